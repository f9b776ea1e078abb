"""`harness new`."""

from __future__ import annotations

import json
import re
from pathlib import Path

import click

from harness.assets import Missing, Places, find_data, find_model, places
from harness.cli.common import talk
from harness.errors import AssetError, SuiteError
from harness.plugins import load_registry
from harness.specs import Source
from harness.suite import parse_suite

TEMPLATE = """\
schema = 1

[suite]
name = {name}
title = {title}
anchor = {{ model = "teacher", compress = "none" }}

[task]
use = {task}
source = {source}
max_length = {max_length}
{more}
[models.teacher]
use = "transformer"
{teacher}

[models.student]
{student}
train = {{ distil = "finetune", epochs = {epochs}, learning_rate = {rate} }}

[models.student-kd]
{student}
train = {{ distil = "kd", teacher = "teacher", epochs = {epochs}, learning_rate = {rate} }}

[chains]
int8 = ["torch-int8"]
onnx = ["onnx"]
onnx-int8 = ["onnx", "onnx-int8"]

[matrix]
compress = ["none", "int8", "onnx", "onnx-int8"]
seed = [1, 2, 3]

[measure]
retention = {{ of = "teacher", metric = {metric}, at_least = [0.95, 0.99] }}
"""


CRITICAL = """\
# critical = ["PER"]   # types that must not be lost: scored apart; see the distillers constrained and guarantee
"""

# Recurrent students read one text at a time; a student that answers questions is half of its teacher.
_WORDS = {"max_length": 128, "student": 'use = "lstm"\nlowercase = false', "rate": "3e-3"}
_SHAPES = {
    "sequence": {"max_length": 128, "student": 'use = "lstm"', "rate": "2e-3"},
    "token": _WORDS,
    "nested-token": _WORDS,
    "span": {"max_length": 384, "student": 'use = "transformer"\ninit = { layers_of = "teacher" }', "rate": "5e-5"},
}


@click.group(
    name="new",
    epilog="""\b
Example:
  harness new suite --task sentiment --data reviews.csv""",
)
def command() -> None:
    """Write a suite for your own data."""


@command.command(
    name="suite",
    epilog="""\b
Examples:
  harness new suite --task sentiment --data reviews.csv
  harness new suite --task sentiment --data reviews.csv --model checkpoints/my-bert --out suites/mine.toml
  harness new suite --task ner --data corpus/
  harness new suite --task nested-ner --data corpus/""",
)
@click.option("--task", required=True, help="A task of `harness list tasks`.")
@click.option("--data", required=True, type=click.Path(path_type=Path), help="A file or folder of your data.")
@click.option("--model", help="A checkpoint folder or hub id for the teacher; without it one is trained from nothing.")
@click.option("--out", type=click.Path(path_type=Path), help="Default: suites/<name of the data>.toml.")
def suite(task: str, data: Path, model: str | None, out: Path | None) -> int:
    """Write a suite: your data, a teacher, two students, four chains. Never over an existing file."""
    registry = load_registry()
    spec = registry.task(task)
    if spec.head not in _SHAPES:
        msg = f"no suite is written for tasks of the head '{spec.head}' yet; start from one in suites/"
        raise SuiteError(msg)
    name = re.sub(r"[\W_]+", "-", data.stem.lower()).strip("-") or "mine"
    out = out or Path("suites") / f"{name}.toml"
    if out.exists():
        msg = f"{out} exists already; give another name with --out"
        raise SuiteError(msg)
    model = str(Path(model).absolute()) if model and Path(model).exists() else model
    where = places(out.parent)
    for found in (find_data(str(data.absolute()), where), *([find_model(model, where)] if model else [])):
        if isinstance(found, Missing) and found.hub is None:
            raise AssetError(str(found))
    prepared = spec.load().prepare(_source(str(data.absolute()), where), list(spec.roles))  # bad data shows here
    text = TEMPLATE.format(
        name=_quoted(name),
        title=_quoted(f"{data.name}: distillation × quantization × ONNX"),
        task=_quoted(task),
        source=_quoted(str(data.absolute())),
        teacher=_teacher(model, _epochs(len(prepared.roles["train"])), cased=spec.head in ("token", "nested-token")),
        metric=_quoted(spec.metrics[0].name),
        epochs=_epochs(len(prepared.roles["train"])),
        more=CRITICAL if spec.names_critical else "",
        **_SHAPES[spec.head],
    )
    parse_suite(text, registry, path=out)
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(text, encoding="utf-8")
    talk(f"read: {', '.join(f'{role} {len(examples):,}' for role, examples in prepared.roles.items())}")
    click.echo(str(out))
    talk(f"next: harness plan {out} && harness run {out} --rehearse && harness run {out}")
    return 0


def _source(data: str, where: Places) -> Source:
    found = find_data(data, where)
    if isinstance(found, Missing):
        raise AssetError(str(found))
    return Source(found.origin, found.root, found.files)


def _epochs(examples: int) -> int:
    """As many as a small data set needs to be learned from nothing: 600 steps of 32, 5 epochs at least."""
    return max(5, min(100, -(-600 * 32 // examples)))


def _teacher(model: str | None, epochs: int, *, cased: bool) -> str:
    if model is None:
        lines = "lowercase = false\n" if cased else ""  # names begin with a capital
        lines += "hidden_size = 128\nlayers = 2\ninit_std = 0.09\n"
        lines += f'train = {{ distil = "finetune", epochs = {epochs}, learning_rate = 1e-3 }}'
        return f"# no checkpoint given: trained from nothing\n{lines}"
    return f'checkpoint = {_quoted(model)}\ntrain = {{ distil = "finetune", epochs = 3, learning_rate = 2e-5 }}'


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)
