"""Where data and checkpoints come from, and what is said when they do not."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from hub_standin import Hub

from harness.assets import Asset, Missing, Places, find_data, find_model, fingerprint, places
from harness.errors import AssetError

ROWS = b'{"text": "a", "label": "x"}\n'
FETCH = """
import sys
from harness.assets import Places, fetch, find_data
missing = find_data("hub:owner/reviews", Places())
fetch(missing, "dataset")
found = find_data("hub:owner/reviews", Places())
print(found.files, found.fingerprint, found.origin.partition("@")[0])
"""


@pytest.fixture
def empty_hub_cache(tmp_path, monkeypatch):
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))


def test_a_path_is_found_beside_the_suite_and_its_place_does_not_matter(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "rows.jsonl").write_bytes(ROWS)
    found = find_data("a", Places(tmp_path))
    assert found.files == ("rows.jsonl",)
    one = find_data("rows.jsonl", Places(tmp_path / "a"))
    assert one.fingerprint == found.fingerprint
    assert one.path == tmp_path / "a" / "rows.jsonl"
    (tmp_path / "a" / "rows.jsonl").write_bytes(ROWS * 2)
    assert find_data("a", Places(tmp_path)).fingerprint != found.fingerprint


def test_hidden_and_unknown_files_do_not_count(tmp_path):
    (tmp_path / "rows.csv").write_bytes(ROWS)
    before = find_data(str(tmp_path), Places())
    (tmp_path / ".rows.csv").write_bytes(b"x")
    (tmp_path / "notes.md").write_bytes(b"x")
    assert find_data(str(tmp_path), Places()) == before


def test_the_offline_root_stands_in_for_the_hub(tmp_path, empty_hub_cache):
    for folder in ("reviews", "owner/name"):
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / "train.jsonl").write_bytes(ROWS)
    where = places(tmp_path, {"HARNESS_DATA_DIR": str(tmp_path)})
    by_folder = find_data("hub:any/thing", where, "reviews")
    by_name = find_data("hub:owner/name@main", where)
    assert isinstance(by_folder, Asset)
    assert by_folder.fingerprint == by_name.fingerprint
    assert str(tmp_path) not in by_folder.origin


def test_what_is_missing_comes_with_three_ways(tmp_path, empty_hub_cache):
    missing = find_data("hub:owner/reviews", places(tmp_path, {}), "reviews")
    assert str(missing) == (
        "dataset 'owner/reviews' is not here. To provide it: (1) let 'harness run' fetch hub:owner/reviews (needs network); "
        "(2) set HARNESS_DATA_DIR to a folder that holds 'reviews'; (3) give a path in the suite"
    )
    model = find_model("owner/bert", places(tmp_path, {}))
    assert model.hub == "owner/bert"
    path = find_model("./bert", places(tmp_path, {}))
    assert path.hub is None
    assert "put it at" in str(path)


def test_a_folder_without_a_usable_file_is_missing(tmp_path):
    (tmp_path / "empty").mkdir()
    assert isinstance(find_data("empty", Places(tmp_path)), Missing)


def test_nonsense_is_refused(tmp_path, empty_hub_cache):
    with pytest.raises(AssetError, match="not a hub id"):
        find_data("hub:a/b/c/d", Places(tmp_path))


def run(code: str, hub: str, home: Path, **extra: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "HF_ENDPOINT": hub, "HF_HOME": str(home), "HF_HUB_DISABLE_XET": "1", **extra}
    environment.pop("HF_HUB_OFFLINE", None)
    return subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=120)


def test_fetching_from_a_hub_and_keying_by_content(tmp_path):
    files = {"train.jsonl": ROWS, "README.md": b"x", "evil.py": b"raise SystemExit", "weights.bin": b"pickle"}
    with Hub({"datasets/owner/reviews": files}) as hub:
        first = run(FETCH, hub.url, tmp_path / "one")
        assert first.returncode == 0, first.stderr
        assert first.stdout.startswith("('train.jsonl',) ")
        assert not list((tmp_path / "one").rglob("evil.py"))
        assert not list((tmp_path / "one").rglob("weights.bin"))
        # the branch moves: another content, another fingerprint; the same content elsewhere, the same one
        assert run(FETCH, hub.url, tmp_path / "two").stdout == first.stdout
        hub.repositories["datasets/owner/reviews"]["train.jsonl"] = ROWS * 2
        assert run(FETCH, hub.url, tmp_path / "three").stdout != first.stdout


def test_an_unreachable_hub_is_one_sentence_with_remedies(tmp_path):
    done = run(
        FETCH.replace("fetch(missing", "import harness.errors\ntry:\n    fetch(missing").replace(
            "found = find", "except harness.errors.AssetError as e: print(e); sys.exit(2)\nfound = find"
        ),
        "http://127.0.0.1:9",
        tmp_path,
    )
    assert done.returncode == 2, done.stderr
    assert "dataset 'owner/reviews' is not here" in done.stdout
    assert "fetching failed" in done.stdout


def test_a_package_that_is_not_installed_is_missing_with_its_remedy(tmp_path):
    found = find_data("bundled:no_such_package/data", Places(tmp_path))
    assert isinstance(found, Missing)
    assert "pip install no-such-package" in str(found)


def test_a_change_that_keeps_size_and_time_changes_the_fingerprint(tmp_path):
    path = tmp_path / "rows.csv"
    path.write_text("one")
    before, was = fingerprint(tmp_path, ["rows.csv"]), path.stat()
    path.write_text("two")
    os.utime(path, ns=(was.st_atime_ns, was.st_mtime_ns))
    assert fingerprint(tmp_path, ["rows.csv"]) != before


@pytest.mark.parametrize(
    "plant",
    [
        os.mkfifo,
        lambda path: path.symlink_to("/dev/zero"),
        lambda path: path.symlink_to(path),
        lambda path: path.symlink_to(path.parents[1] / "outside.json"),
    ],
    ids=["pipe", "device", "circle", "link out"],
)
def test_what_is_no_file_of_a_checkpoint_is_refused_when_the_plan_is_made(tmp_path, plant):
    (tmp_path / "outside.json").write_text("{}")
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "model.safetensors").touch()
    plant(tmp_path / "model" / "config.json")
    with pytest.raises(AssetError, match=r"config\.json: a file of a checkpoint lies in its folder"):
        find_model("model", Places(tmp_path))


def test_links_of_a_hub_cache_are_its_own(tmp_path):
    (tmp_path / "blobs").mkdir()
    (tmp_path / "blobs" / "1").write_text("{}")
    (tmp_path / "snapshots" / "abc").mkdir(parents=True)
    (tmp_path / "snapshots" / "abc" / "config.json").symlink_to("../../blobs/1")
    assert find_model("snapshots/abc", Places(tmp_path)).files == ("config.json",)


@pytest.mark.parametrize("name", ["evil.evil/data", "/data", "../x/data"])
def test_bundled_names_a_package_and_nothing_inside_it_that_would_be_imported(tmp_path, name):
    with pytest.raises(AssetError, match="is no name of a package"):
        find_data(f"bundled:{name}", Places(tmp_path))


def test_names_that_are_too_long_or_no_text_are_said(tmp_path):
    assert isinstance(find_data("x" * 100_000, Places(tmp_path)), Missing)
    (tmp_path / os.fsdecode(b"a\xff.jsonl")).touch()
    with pytest.raises(AssetError, match="is not UTF-8"):
        find_data(str(tmp_path), Places(tmp_path))
