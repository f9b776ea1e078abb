"""The pages for authors: written from the sources, and every block of code is a file that runs."""

from __future__ import annotations

import importlib.util
import re
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

import harness
from harness import hookspecs
from harness.keys import identity_params
from harness.plugins import HOOKS
from harness.scaffold.names import PluginName
from harness.scaffold.writing import render, write
from harness.specs import Metric, Params

DOCS = Path(__file__).parents[1] / "docs"


def module(path: Path):
    """A Python file that is no part of a package."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    loaded = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = loaded  # dataclasses look their module up
    try:
        spec.loader.exec_module(loaded)
    finally:
        del sys.modules[path.stem]
    return loaded


# ---------------------------------------------------------------------------------------------------------- the contract


def test_the_contract_is_that_of_the_source():
    written = (DOCS / "contract.md").read_text(encoding="utf-8")
    assert module(DOCS / "contract.py").page() == written, "stale: run `python docs/contract.py` and commit contract.md"


@pytest.mark.parametrize("hook", HOOKS)
def test_the_contract_has_every_hook_with_its_fields(hook):
    page = (DOCS / "contract.md").read_text(encoding="utf-8")
    section = re.split(r"^## ", page.partition(f"## `{hook}`")[2], flags=re.MULTILINE)[0]
    spec = HOOKS[hook]
    own = set(spec.__dataclass_fields__) - set(spec.__mro__[1].__dataclass_fields__)
    assert f"### `{spec.__name__}`" in section
    assert own == set(re.findall(r"^\| `(\w+):", section, re.MULTILINE))


def test_the_contract_has_every_public_name():
    page = (DOCS / "contract.md").read_text(encoding="utf-8")
    missing = [name for name in harness.__all__ if not re.search(rf"`[^`]*\b{name}\b", page)]
    assert not missing
    assert "| `empty_model(folder, head, **options)` |" in page


@pytest.mark.parametrize("hook", HOOKS)
def test_the_example_of_a_hook_yields_its_spec(hook):
    from inspect import cleandoc

    example = cleandoc(getattr(hookspecs, hook).__doc__.partition("Example::")[2])
    names = {name: type(name, (Params,), {}) for name in re.findall(r"params=(\w+)", example)}
    space = {"Metric": Metric, "hookimpl": hookspecs.hookimpl, HOOKS[hook].__name__: HOOKS[hook], **names}
    exec(example, space)  # noqa: S102 - our own docstring
    (spec,) = space[hook]()
    assert isinstance(spec, HOOKS[hook])


# --------------------------------------------------------------------------------------------------------------- pages


INCLUDE = module(DOCS / "include.py")


@pytest.mark.parametrize("name", [*INCLUDE.PAGES, *INCLUDE.OTHERS])
def test_blocks_are_what_their_files_are(name):
    page = (DOCS / name).read_text(encoding="utf-8")
    assert INCLUDE.filled(page) == page, f"stale: run `python docs/include.py` and commit {name}"
    own = page.count("```") - 2 * page.count("<!-- include ")
    assert name in INCLUDE.OTHERS or not own, "a block that is no file's"


def test_every_snippet_stands_on_a_page():
    pages = "".join((DOCS / name).read_text(encoding="utf-8") for name in (*INCLUDE.PAGES, *INCLUDE.OTHERS))
    assert {path.name for path in (DOCS / "snippets").iterdir() if path.is_file()} == set(
        re.findall(r"<!-- include snippets/(\S+)", pages)
    )


def test_pages_link_to_each_other():
    first = (DOCS / "plugins.md").read_text(encoding="utf-8")
    assert all(f"({name})" in first for name in (*INCLUDE.PAGES, "contract.md"))


def test_what_publishing_says_is_public_can_be_imported():
    assert all(hasattr(harness, name) for name in harness.__all__)
    from harness.testing import checks, conformance

    assert callable(checks)
    assert callable(conformance)


# ------------------------------------------------------------------------------------------------------------- snippets


@pytest.fixture(scope="module")
def package(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("package") / "my-int4"
    write(render("compressor", PluginName("my-int4")), folder)
    return folder


def test_blocks_that_are_left_out_change_nothing(package):
    """`blocks.py` keeps what it promises: at its default the old result and the old key, with blocks a smaller error."""
    import torch

    old, new = runpy.run_path(str(package / "my_int4/compress.py")), module(DOCS / "snippets/blocks.py")
    weight = torch.randn(6, 50, generator=torch.Generator().manual_seed(0)) * torch.logspace(-3, 3, 50)
    assert torch.equal(new.on_grid(weight, 4), old["on_grid"](weight, 4))
    assert torch.equal(new.on_grid(weight, 4, block=50), old["on_grid"](weight, 4))
    wide, narrow = ((new.on_grid(weight, 4, block=block) - weight).square().mean(0).log().mean() for block in (None, 8))
    assert narrow < wide
    spec = next(iter(runpy.run_path(str(package / "my_int4/plugin.py"))["harness_compressors"]()))
    assert identity_params(spec, spec.params()) == identity_params(spec, new.GridParams())
    assert identity_params(spec, new.GridParams(block=8)) != {}


@pytest.mark.parametrize("fault", [False, True])
def test_the_canary_sings(package, fault, tmp_path):
    """With the scaffold's own code; and not with code that gives another result under the same version."""
    import shutil

    shutil.copytree(package / "my_int4", tmp_path / "my_int4")
    shutil.copyfile(DOCS / "snippets/canary.py", tmp_path / "test_canary.py")
    if fault:
        work = tmp_path / "my_int4/compress.py"
        work.write_text(work.read_text().replace("torch.round(", "torch.floor("))
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_canary.py"],
        cwd=tmp_path, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == int(fault), done.stdout
    assert not fault or "raise `version`" in done.stdout
