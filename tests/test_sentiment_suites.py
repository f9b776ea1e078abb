"""The suites of the sentiment study: their rows are there, their figures are the paper's, a training is made once."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from harness.assets import Places
from harness.plan import Context
from harness.planner import make_plan
from harness.plugins import load_registry
from harness.suite import load_suite

SUITES = Path(__file__).parents[1] / "suites"
PUBLISHED = {  # row → (accuracy, %) or (ms per request, MiB)
    "rureviews": {
        ("ruBert-tiny", 27000, 1): (75.8,),
        ("ruBert-tiny", 27000, 2): (76.4,),
        "ruBert-tiny, by the conclusion": (71.0,),
        ("ruBert-base", 27000, 2): (74.2,),
        ("Tatyana-ruBert", 27000, 2): (77.1,),
    },
    "encoder-speed": {
        ("bert-base", "none"): (125, 680),
        ("rubert-base-cased-sentence", "none"): (110, 680),
        ("LaBSE", "none"): (120, 1843),  # 1.8 GB
        ("sbert_large", "none"): (420, 1638),  # 1.6 GB
        ("rubert-tiny", "none"): (6, 45),
        ("bert-base", "gpu"): (8, None),
        ("rubert-base-cased-sentence", "gpu"): (8, None),
        ("LaBSE", "gpu"): (8, None),
        ("sbert_large", "gpu"): (16, None),
        ("rubert-tiny", "gpu"): (3, None),
    },
}


@pytest.fixture(scope="module")
def registry():
    return load_registry()


def read(name, registry):
    return load_suite(SUITES / f"{name}.toml", registry)


@pytest.mark.parametrize("name", ["rureviews", "rureviews-preparation", "encoder-speed"])
def test_what_was_claimed_and_published_is_of_rows_that_are_there(name, registry):
    suite = read(name, registry)
    rows = [dict(cell.row) for cell in suite.cells]
    assert suite.claims
    for claim in suite.claims:
        assert all({"compress": "none", **claim[side]} in rows for side in ("row", "than") if side in claim)
    for row in suite.published:
        assert isinstance(row["row"], str) or {"compress": "none", **row["row"]} in rows


@pytest.mark.parametrize("name", PUBLISHED)
def test_the_figures_are_those_of_the_paper(name, registry):
    names = ("accuracy",) if name == "rureviews" else ("request_ms", "size_mib")
    found = {
        row["row"] if isinstance(row["row"], str) else tuple(row["row"].values()): tuple(row.get(n) for n in names)
        for row in read(name, registry).published
    }
    assert found == PUBLISHED[name]


def test_both_epochs_are_of_one_training_and_slices_of_one_split(registry, tmp_path):
    suite = read("rureviews", registry)
    machine = {"isa": "x", "identity": {}}
    here = Context(registry=registry, places=Places(tmp_path), machine=machine, library_version=lambda name: "1")
    kinds = Counter(stage.kind for stage in make_plan(suite, here).stages.values())
    studied = [cell for cell in suite.cells if cell["compress"] == "none"]
    assert len(studied) == 54  # 3 models × 3 slices × 2 epochs × 3 seeds
    assert len(suite.cells) == 54 + 5 * 3  # and five chains, of the largest slice alone
    assert kinds["train"] == 27 + 3  # one chain trains
    assert kinds["predict"] == 54 + 5 * 3 + 2  # its teacher once on train and once on dev
    assert kinds["prepare"] == 3
