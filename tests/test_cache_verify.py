"""`harness cache verify --recompute`: what is stored is what the stored artifacts say."""

from __future__ import annotations

import json
import re
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from conftest import Project

from harness.errors import SuiteError
from harness.manifest import MANIFEST, sealed
from harness.measuring.machine import detect, versions
from harness.plugins import load_registry
from harness.specs import SpanOutput
from harness.store import KEY, Store, file_hash
from harness.verifying import TOLERANCE, Amount, Here, Verdict, _difference, read_amount, recompute


@pytest.fixture
def ran_once(project):
    """Eight predict entries of 24 examples each."""
    project.harness("run", "toys.toml")
    return project


def entries(project, kind: str) -> list[Path]:
    found = sorted(project.folder.glob(".harness/objects/??/*"))
    return [entry for entry in found if json.loads((entry / MANIFEST).read_text())["kind"] == kind]


def seal(entry: Path) -> None:
    """Make the manifest say that the files are as they are: no hash tells that they were changed."""
    manifest = json.loads((entry / MANIFEST).read_text())
    for name in manifest["files"]:
        manifest["files"][name] = [(entry / name).stat().st_size, file_hash(entry / name)]
    (entry / MANIFEST).write_text(json.dumps(sealed(manifest)))


def plant(entry: Path, row: int, value: float) -> None:
    """Change one stored number."""
    logits = np.load(entry / "out/logits.npy")
    logits[row, 0] += value
    np.save(entry / "out/logits.npy", logits)
    seal(entry)


def rewrite(path: Path, **changes) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def rows(out: str) -> dict[str, str]:
    """Key → what was said about the entry."""
    found = (re.match(r"(ok|DIFFERS|FAILED|not checked) +([0-9a-f]{12})  (.*)", line) for line in out.splitlines())
    return {match[2]: f"{match[1]} {match[3]}" for match in found if match}


def test_what_was_just_made_is_the_same_again(ran_once):
    done = ran_once.harness("cache", "verify", "--recompute", "10%")
    assert len(rows(done.out)) == 8
    assert all(
        "ok predict" in said and "2 of 24 examples, largest difference 0" in said for said in rows(done.out).values()
    )
    assert (
        "8 predict entries: 8 ok, 0 DIFFERS, 0 FAILED, 0 not checked; differences up to 0.0001 are rounding" in done.err
    )
    assert ran_once.ran.count("build") == 4  # nothing was made again


@pytest.mark.parametrize("value", [1e-3, -7.0, np.nan, np.inf])
def test_one_changed_number_is_caught_although_every_hash_fits(ran_once, value):
    entry = entries(ran_once, "predict")[3]
    plant(entry, 17, value)
    assert "0 damaged" in ran_once.harness("cache", "verify").err
    done = ran_once.harness("cache", "verify", "--recompute", "100%", code=1)
    said = rows(done.out)
    changed = said.pop(entry.name[:12])
    assert changed.startswith("DIFFERS ")
    assert f"1 of them, most at '{json.loads((entry / 'out/ids.json').read_text())[17]}'" in changed
    assert {line.split()[0] for line in said.values()} == {"ok"}


def test_rounding_is_no_difference(ran_once):
    plant(entries(ran_once, "predict")[0], 5, 3e-5)
    assert "largest difference 3e-05" in ran_once.harness("cache", "verify", "--recompute", "24").out


def test_a_changed_model_shows_in_all_that_it_predicted(ran_once):
    built = entries(ran_once, "build")[0]
    rewrite(built / "out/toy.json", a=9.0)
    seal(built)
    artifacts = {
        entry.name[:12]: json.loads((entry / KEY).read_text())["inputs"]["artifact"][0]
        for entry in entries(ran_once, "predict")
    }
    said = rows(ran_once.harness("cache", "verify", "--recompute", "5", code=1).out)
    assert {key for key, line in said.items() if line.startswith("DIFFERS")} == {
        key for key, artifact in artifacts.items() if artifact == built.name
    }


def test_a_seed_draws_its_own_examples_every_time(ran_once):
    """One of 24 examples is changed: samples of 6 find it for some seeds, and for the same ones again."""
    plant(entries(ran_once, "predict")[0], 11, 1.0)

    def found(seed: int) -> bool:
        words = ("cache", "verify", "--recompute", "6", "--seed", str(seed))
        process = ran_once.start(*words)
        out, err = process.communicate(timeout=60)
        assert process.returncode == ("DIFFERS  " in out), err
        return "DIFFERS  " in out

    first = [found(seed) for seed in range(8)]
    assert 0 < sum(first) < 8
    assert [found(seed) for seed in range(3)] == first[:3]


def test_predictions_about_other_examples_fail_alone(ran_once):
    entry = entries(ran_once, "predict")[2]
    (entry / "out/ids.json").write_text(json.dumps([str(n) for n in range(24)]))
    seal(entry)
    said = rows(ran_once.harness("cache", "verify", "--recompute", "1", code=1).out)
    assert "predictions are about other examples" in said[entry.name[:12]]
    assert said[entry.name[:12]].startswith("FAILED")
    assert sum(line.startswith("ok") for line in said.values()) == 7


def test_what_other_versions_made_is_not_compared(ran_once):
    for entry in entries(ran_once, "predict")[:2]:
        rewrite(entry / KEY, version=7)
        seal(entry)
    done = ran_once.harness("cache", "verify", "--recompute", "1")
    assert sum("made with others than are here: toy version: 7 → 1" in line for line in rows(done.out).values()) == 2
    assert "6 ok, 0 DIFFERS, 0 FAILED, 2 not checked" in done.err
    for entry in entries(ran_once, "prepare"):
        rewrite(entry / KEY, libraries={"numpy": "0.1"})
        seal(entry)
    done = ran_once.harness("cache", "verify", "--recompute", "1", code=5)
    assert 'libraries.numpy: "0.1" → ' in done.out
    assert "nothing could be compared; run a suite first" in done.err


def test_without_its_model_an_entry_is_not_compared(ran_once):
    lost, broken = entries(ran_once, "compress")[:2]
    (lost / MANIFEST).unlink()
    with (broken / "out/toy.json").open("a") as file:
        file.write(" ")
    done = ran_once.harness("cache", "verify", "--recompute", "1", code=1)
    said = list(rows(done.out).values())
    assert sum(line.endswith(f"its artifact {lost.name[:12]} is no longer in the store") for line in said) == 1
    assert sum(line.endswith(f"its artifact {broken.name[:12]} is damaged") for line in said) == 1
    assert sum(line.startswith("ok") for line in said) == 6


@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize("name", ["places", "logits"])
def test_what_is_no_number_is_seen_in_every_part_of_an_output(name, bad):
    said = SpanOutput(np.array([[-1.0, -1.0], [0.0, 4.0]]), np.array([[0.5, 0.25], [1.0, 2.0]]))
    parts = {"places": said.places, "logits": said.logits}
    stored = SpanOutput(**{**parts, name: np.where(parts[name] == parts[name].max(), bad, parts[name])})
    assert _difference(stored, said) == np.inf
    assert _difference(said, SpanOutput(**parts)) == 0.0


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"component": "other-plugins/model"}, "other-plugins/model"),
        ({"inputs": {}}, "what it was made of cannot be read: KeyError"),
        ({"inputs": None}, "what it was made of cannot be read: TypeError"),
        ({"facets": {"gpu": "Other"}}, 'facets.gpu: "Other" → null'),
    ],
)
def test_an_entry_of_a_plugin_that_is_not_here_is_not_checked_and_the_others_are(ran_once, changes, said):
    entry = entries(ran_once, "predict")[0]
    rewrite(entry / KEY, **changes)
    seal(entry)
    found = rows(ran_once.harness("cache", "verify", "--recompute", "1").out)
    line = found.pop(entry.name[:12])
    assert line.startswith("not checked")
    assert said in line
    assert {line.split()[0] for line in found.values()} == {"ok"}


def test_a_model_that_was_made_of_itself_ends_the_search(ran_once):
    entry = entries(ran_once, "compress")[0]
    rewrite(entry / KEY, inputs={"source": [entry.name, "out"]})
    seal(entry)
    said = rows(ran_once.harness("cache", "verify", "--recompute", "1").out)
    assert sum(f"its model {entry.name[:12]} says that it was made of itself" in line for line in said.values()) == 1


# ------------------------------------------------------------------------------------------------------- hidden states

TAUGHT = """
schema = 1
[suite]
name = "taught"
anchor = {{ model = "teacher", compress = "none" }}
[task]
use = "{task}"
source = "bundled:harness_{task}/data/{source}"
max_length = 32
[models.teacher]
use = "transformer"
hidden_size = 32
layers = 1
heads = 2
vocab_size = 300
train = {{ distil = "finetune", learning_rate = 3e-3, epochs = {epochs}, batch_size = 16 }}
[models.student]
use = "lstm"
hidden_size = 8
embedding_size = 8
vocab_size = 300
train = {{ distil = "hidden", teacher = "teacher", layers = [[-1, 1], [0, 0]], epochs = 1 }}
[matrix]
model = ["teacher", "student"]
seed = [1]
[measure]
speed = false
"""


@pytest.fixture(scope="module", params=[("ner", "sample", 12), ("sentiment", "quickstart", 3)], ids=["words", "texts"])
def taught(request, tmp_path_factory):
    """States of two layers, of words and of whole texts, beside the teacher's outputs."""
    made = Project(tmp_path_factory.mktemp("taught"))
    task, source, epochs = request.param
    made.write(TAUGHT.format(task=task, source=source, epochs=epochs))
    made.harness("run", "toys.toml")
    return made


def with_states(project) -> Path:
    (file,) = project.folder.glob(".harness/objects/**/states.1.npy")
    return file


def again(project, file: Path, amount: Amount) -> Verdict:
    """The verdict on the entry of a file, as the command asks for it."""
    store, facts = Store(project.folder / ".harness"), {"isa": detect().isa}
    here = Here(
        store=store, registry=load_registry(), machine=facts, library_version=lambda name: versions([name])[name]
    )
    return recompute(store.entry(file.parents[1].name), here, amount, seed=0)


@contextmanager
def instead(file: Path, values: np.ndarray):
    """Other values in a sealed entry, for a while."""
    right = np.load(file)
    np.save(file, values)
    seal(file.parents[1])
    yield
    np.save(file, right)
    seal(file.parents[1])


def test_hidden_states_are_the_same_again(taught):
    done = taught.harness("cache", "verify", "--recompute", "100%")
    assert rows(done.out)[with_states(taught).parents[1].name[:12]].startswith("ok")
    assert "0 DIFFERS, 0 FAILED, 0 not checked" in done.err


@pytest.mark.parametrize(
    ("layer", "change", "said"),
    [(1, 0.02, r"0\.0[12]\d*"), (0, 0.02, r"0\.0[12]\d*"), (1, np.nan, "inf"), (1, 2e-4, None)],
)
def test_one_changed_state_is_caught_beside_outputs_that_are_right(taught, layer, change, said):
    file = with_states(taught).with_name(f"states.{layer}.npy")
    wrong = np.load(file)
    at = tuple(np.argwhere(np.abs(wrong) < np.abs(wrong).max() / 4)[7])  # where half precision can say so small a step
    wrong[at] += np.float16(change * np.abs(wrong).max())
    with instead(file, wrong):
        found = again(taught, file, Amount(share=1.0))
    assert (found.status, found.difference < TOLERANCE) == ("DIFFERS" if said else "ok", True)
    expected = (
        rf"hidden states of layer {layer}, by up to {said} of the largest: 1 of them, most at '.+'" if said else ""
    )
    assert re.fullmatch(expected, found.reason)


def test_states_of_other_units_are_no_states_of_these(taught):
    file = with_states(taught)
    with instead(file, np.load(file)[:, :-1]):
        found = again(taught, file, Amount(count=2))
    assert found.reason.startswith("hidden states of layer 1, by up to inf of the largest: 2 of them, most at ")


def test_an_empty_store_is_5(project):
    Store(project.folder / ".harness").create()
    assert "nothing could be compared" in project.harness("cache", "verify", "--recompute", "1%", code=5).err


@pytest.mark.parametrize("amount", ["0", "0%", "101%", "-1", "2.5", "all", "1 %", ""])
def test_amounts_that_are_none_are_refused(amount):
    with pytest.raises(SuiteError, match=r"expected a share of each entry's examples \(1%, at most 100%\)"):
        read_amount(amount)


def test_a_wrong_amount_is_2_before_anything_is_read(project):
    done = project.harness("cache", "verify", "--recompute", "all", code=2)
    assert "--recompute 'all': expected a share" in done.err
    assert "damaged" not in done.err


@pytest.mark.parametrize(
    ("amount", "of_24"), [("1%", 1), ("50%", 12), ("100%", 24), ("0.1%", 1), ("3", 3), ("900", 24)]
)
def test_amounts(amount, of_24):
    assert read_amount(amount).of(24) == of_24
