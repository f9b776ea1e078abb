"""`harness run suites/sberquad.toml` as a person runs it: without flags, on folders in the hub's layout."""

from __future__ import annotations

import json
import os
import re
from dataclasses import replace
from pathlib import Path

import pytest
from standins import write_standin

SUITE = Path(__file__).parents[1] / "suites" / "sberquad.toml"
COLOURS = ("алый", "белый", "синий", "серый", "бурый", "чёрный", "жёлтый", "зелёный")
DATA = os.environ.get("HARNESS_DATA_DIR")
MODELS = {
    "ai-forever/ruBert-base": "bert",
    "Geotrend/distilbert-base-ru-cased": "distilbert",
    "cointegrated/rubert-tiny": "bert",
}


def questions(document: dict) -> list[dict]:
    """Rows of the hub's columns."""
    return [
        {
            "id": qa["id"], "title": "SberChallenge", "context": paragraph["context"], "question": qa["question"],
            "answers": {
                "text": [answer["text"] for answer in qa["answers"]],
                "answer_start": [answer["answer_start"] for answer in qa["answers"]],
            },
        }
        for article in document["data"] for paragraph in article["paragraphs"] for qa in paragraph["qas"]
    ]  # fmt: skip


def made_up(count: int, first: int) -> list[dict]:
    """Questions whose answer is the only word of its kind."""
    return [
        {
            "id": n, "title": "SberChallenge", "question": f"какого цвета предмет {n}?",
            "context": f"Предмет {n} лежит у окна. Цвет его {COLOURS[n % len(COLOURS)]} , и это видно издалека.",
            "answers": {"text": [COLOURS[n % len(COLOURS)]], "answer_start": [len(f"Предмет {n} лежит у окна. Цвет его ")]},
        }
        for n in range(first, first + count)
    ]  # fmt: skip


def write_parquet(folder: Path, **splits: list[dict]) -> None:
    import datasets

    (folder / "data").mkdir(parents=True)
    for name, rows in splits.items():
        datasets.Dataset.from_list(rows).to_parquet(folder / "data" / f"{name}-00000-of-00001.parquet")


def with_assets(project, splits: dict[str, list[dict]]):
    """The project with SberQuAD's layout and a stand-in for every checkpoint of the suite."""
    write_parquet(project.folder / "data" / "sberquad", **splits)
    rows = [row for split in splits.values() for row in split]
    texts = [text for row in rows for text in (row["context"], row["question"])]
    answers = [text for row in rows for text in row["answers"]["text"]]
    for name, kind in MODELS.items():
        write_standin(project.folder / "models" / name, kind, texts, answers)
    roots = {"HARNESS_DATA_DIR": str(project.folder / "data"), "HARNESS_MODELS_DIR": str(project.folder / "models")}
    return replace(project, variables=roots)


def cells(folder: Path) -> list[dict]:
    lines = (folder / "reports" / "sberquad.records.jsonl").read_text(encoding="utf-8").splitlines()
    return [document for document in map(json.loads, lines) if document["kind"] == "cell"]


def check_report(folder: Path) -> None:
    assert len(cells(folder)) == 14
    report = (folder / "reports" / "sberquad.md").read_text(encoding="utf-8")
    head = next(line for line in report.splitlines() if line.startswith("| model"))
    order = ["em", "f1", "model file", "minutes", "questions|examples", "per minute", "training"]
    found = [re.search(name, head) for name in order]
    assert all(found), head
    assert [match.start() for match in found] == sorted(match.start() for match in found)
    assert "not comparable: other data" in report
    assert "404.46" in report  # where the paper contradicts itself
    assert "Claims" in report
    assert (folder / "reports" / "sberquad.f1.svg").exists()
    assert (folder / "reports" / "sberquad.em.svg").exists()


def test_the_suite_runs_end_to_end_without_a_flag(project):
    asked = made_up(16, 100)
    unanswered = [{**row, "answers": {"text": [""], "answer_start": [0]}} for row in made_up(4, 200)]
    ready = with_assets(project, {"train": made_up(48, 0), "validation": asked, "test": unanswered})
    done = ready.harness("run", str(SUITE))
    others = [cell for cell in cells(project.folder) if cell["status"] != "ok"]
    assert all(cell["status"] == "skipped" and "pip install 'harness[openvino]'" in json.dumps(cell) for cell in others)
    assert [cell["axes"]["compress"] for cell in others] == ["openvino-int8"][: len(others)]
    check_report(project.folder)
    assert "report: reports/sberquad.md" in done.err
    again = ready.harness("run", str(SUITE))
    assert "0 done" in again.err
    said = ready.harness(
        "predict", str(SUITE), "--only", "model=distilbert-ru,compress=onnx-int8", "--json",
        "--question", asked[0]["question"], "--context", asked[0]["context"],
    )  # fmt: skip
    answer = json.loads(said.out)
    assert answer["context"][answer["start"] : answer["end"]] == answer["answer"]
    assert 0 < answer["score"] <= 1


@pytest.mark.skipif(not DATA, reason="HARNESS_DATA_DIR is not set: the real questions are not here")
def test_it_runs_on_real_questions_and_a_teacher_that_cannot_answer_them_teaches_nobody(project):
    rows = questions(json.loads((Path(DATA) / "sberquad_sample" / "sample.squad.json").read_text(encoding="utf-8")))
    contexts = list(dict.fromkeys(row["context"] for row in rows))
    splits = {
        name: [row for row in rows if row["context"] in chosen]
        for name, chosen in (("train", contexts[:3]), ("validation", contexts[3:]))
    }
    with_assets(project, splits).harness("run", str(SUITE), code=1)
    check_report(project.folder)
    students = {cell["axes"]["model"]: cell for cell in cells(project.folder) if cell["status"] != "ok"}
    assert set(students) == {"distilbert-ru", "rubert-tiny"}
    assert all("it can teach nothing" in cell["reason"] for cell in students.values())


def test_without_its_assets_it_is_2_and_names_the_remedies(project):
    done = project.harness("run", str(SUITE), code=2)
    for missing in ("kuznetsoffandrey/sberquad", *MODELS):
        assert missing in done.err
    assert all(f"({n})" in done.err for n in (1, 2, 3))
    assert "HARNESS_DATA_DIR" in done.err
    assert "HARNESS_MODELS_DIR" in done.err
    assert not list(project.folder.glob("reports/*"))
