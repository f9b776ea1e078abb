"""Task `texts`: any file of texts, without labels."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from harness import AssetError, Source, StageError
from harness_sentiment.plugin import TextsParams
from harness_sentiment.texts import Texts

ROLES = ("train", "dev", "test")


def prepared(folder: Path, **params):
    names = tuple(sorted(path.name for path in folder.iterdir()))
    return Texts(TextsParams(**params)).prepare(Source("here", folder, names), ROLES)


def texts_of(data) -> dict[str, list[str]]:
    return {role: [example["text"] for example in examples] for role, examples in data.roles.items()}


def test_lines_of_a_plain_file(tmp_path):
    lines = [f"строка номер {n}" for n in range(100)]
    (tmp_path / "corpus.txt").write_text("\n".join([*lines, "", lines[0]]), encoding="utf-8")
    data = prepared(tmp_path)
    found = texts_of(data)
    assert {role: len(texts) for role, texts in found.items()} == {"train": 80, "dev": 10, "test": 10}
    assert sorted(text for texts in found.values() for text in texts) == sorted(lines)
    assert data.facts["repetitions"] == 1
    assert data.labels == ("negative", "neutral", "positive")


def test_the_order_of_lines_decides_nothing(tmp_path):
    lines = [f"строка номер {n}" for n in range(30)]
    found = []
    for name, order in (("a", lines), ("b", lines[::-1])):
        (tmp_path / name).mkdir()
        (tmp_path / name / "corpus.txt").write_text("\n".join(order), encoding="utf-8")
        found.append(texts_of(prepared(tmp_path / name)))
    assert found[0] == found[1]


def test_a_column_of_a_table_whatever_else_it_holds(tmp_path):
    (tmp_path / "all.csv").write_text("n,words\n1,да\n2,нет\n", encoding="utf-8")
    found = texts_of(prepared(tmp_path, text="words"))
    assert sorted(found["test"] + found["dev"]) == ["да", "нет"]


def test_a_column_of_a_parquet_file(tmp_path):
    import datasets

    columns = {"n": [1, 2], "words": ["да", "нет"]}
    datasets.Dataset.from_dict(columns).to_parquet(str(tmp_path / "all.parquet"))
    found = texts_of(prepared(tmp_path, text="words"))
    assert sorted(found["test"] + found["dev"]) == ["да", "нет"]


def test_a_text_alone_has_all_roles_and_no_text_is_refused(tmp_path):
    (tmp_path / "one.txt").write_text("одна", encoding="utf-8")
    assert texts_of(prepared(tmp_path)) == {role: ["одна"] for role in ROLES}
    (tmp_path / "one.txt").write_text("\u200b\n", encoding="utf-8")
    with pytest.raises(AssetError, match="no text is left"):
        prepared(tmp_path)


def test_nothing_is_held_against_a_model_and_nothing_learned():
    task, labels = Texts(TextsParams(classes=["a", "b"])), ("a", "b")
    samples = task.samples([{}, {}], [np.array([0.0, 0.0]), np.array([50.0, 0.0])], labels)
    assert task.metrics(samples, np.array([[1, 1], [2, 0]]), labels)["confidence"].tolist() == [0.75, 0.5]
    assert task.chance([], labels) == 0.5
    with pytest.raises(StageError, match="run the suite with --weights random"):
        task.target({"id": "1", "text": "x"}, labels)


def test_models_with_random_weights_are_timed_on_it(project):
    (project.folder / "corpus.txt").write_text("\n".join(f"строка номер {n}" for n in range(40)), encoding="utf-8")
    project.write(
        """
schema = 1
[suite]
name = "lines"
anchor = { model = "bag" }
[task]
use = "texts"
source = "corpus.txt"
[models.bag]
use = "ngram"
rows = 300
train = { distil = "finetune" }
[matrix]
[measure]
speed = { workloads = ["single"], threads = 1, inputs = 2, blocks = 6, turn_ms = 1 }
""",
        "lines.toml",
    )
    project.harness("run", "lines.toml", "--weights", "random")
    assert "Random weights" in (project.folder / "reports" / "lines.random.md").read_text(encoding="utf-8")
