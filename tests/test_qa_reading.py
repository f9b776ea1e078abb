"""What the question answering tasks accept as questions, how they are split, and what is said about everything else."""

from __future__ import annotations

import csv
import io
import json
import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from harness import AssetError, Prepared, Source, SpanOutput
from harness_qa.plugin import QaParams, SberQuadParams
from harness_qa.task import LABELS, QuestionAnswering

ROLES = ("train", "dev", "test")
TEXTS = ["Вера живёт в Туле.", "Олег живёт в Омске.", "Нина живёт в Уфе.", "Глеб живёт в Чите.", "Анна живёт в Сочи."]


def prepare(folder: Path, roles=ROLES, sberquad: bool = False, **params) -> Prepared:
    files = tuple(sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()))
    values = (SberQuadParams if sberquad else QaParams).model_validate(params)
    return QuestionAnswering(values).prepare(Source("a test", folder, files), roles)


def failure(folder: Path, **params) -> str:
    with pytest.raises(AssetError) as caught:
        prepare(folder, **params)
    return str(caught.value)


def row(number: int, context: str, **cells) -> dict:
    """A question about one of TEXTS, whose answer is its last word without the full stop."""
    begin = context.rindex(" ") + 1 if " " in context else 0
    answers = {"text": [context[begin:-1]], "answer_start": [begin]}
    return {"id": number, "title": "", "context": context, "question": f"Где, {number}?", "answers": answers} | cells


def rows(count: int = 20, first: int = 0) -> list[dict]:
    return [row(first + n, TEXTS[n % len(TEXTS)]) for n in range(count)]


def squad(table: list[dict]) -> str:
    """SQuAD's layout: a paragraph per row."""
    articles = []
    for cells in table:
        answers = [
            {"text": text, "answer_start": begin}
            for text, begin in zip(cells["answers"]["text"], cells["answers"]["answer_start"], strict=True)
        ]
        qas = [{"id": cells["id"], "question": cells["question"], "answers": answers}]
        articles.append({"title": cells["title"], "paragraphs": [{"context": cells["context"], "qas": qas}]})
    return json.dumps({"version": "1.1", "data": articles})


def jsonl(table: list[dict]) -> str:
    return "".join(json.dumps(cells, ensure_ascii=False) + "\n" for cells in table)


def table_csv(table: list[dict], columns: list[str]) -> str:
    file = io.StringIO()
    writer = csv.DictWriter(file, columns, extrasaction="ignore")
    writer.writeheader()
    writer.writerows(table)
    return file.getvalue()


def everything(data: Prepared) -> dict[str, dict]:
    return {example["id"]: example for examples in data.roles.values() for example in examples}


def span(example: dict) -> str | None:
    target = QuestionAnswering(QaParams()).target(example, LABELS)
    return target and example["context"][slice(*target)]


# --------------------------------------------------------------------------------------------------------------- layouts


def write_parquet(folder: Path, name: str, table: list[dict]) -> None:
    datasets = pytest.importorskip("datasets")
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    datasets.Dataset.from_list(table).to_parquet(str(path))


def test_every_layout_gives_the_same_examples(tmp_path):
    plain = [
        cells | {"answer": cells["answers"]["text"][0], "answer_start": cells["answers"]["answer_start"][0]}
        for cells in rows()
    ]
    as_json = [cells | {"answers": json.dumps(cells["answers"])} for cells in rows()]
    as_list = [
        cells
        | {"answers": [{"text": cells["answers"]["text"][0], "answer_start": cells["answers"]["answer_start"][0]}]}
        for cells in rows()
    ]
    written = {
        "a.json": squad(rows()),
        "b.jsonl": jsonl(rows()),
        "c.jsonl": jsonl(as_list),
        "d.csv": table_csv(as_json, ["id", "title", "context", "question", "answers"]),
        "e.csv": table_csv(plain, ["id", "context", "question", "answer", "answer_start"]),
        "f.csv": table_csv(plain, ["id", "context", "question", "answer"]),
    }
    found = []
    for name, text in written.items():
        folder = tmp_path / name.replace(".", "_")
        folder.mkdir()
        (folder / name).write_text(text, encoding="utf-8")
        found.append(everything(prepare(folder)))
    write_parquet(tmp_path / "parquet", "all.parquet", rows())
    found.append(everything(prepare(tmp_path / "parquet")))
    assert all(examples == found[0] for examples in found)
    assert found[0]["7"] == {
        "id": "7",
        "title": "",
        "context": TEXTS[2],
        "question": "Где, 7?",
        "answers": [{"text": "Уфе", "begin": 13}],
    }
    assert QuestionAnswering(QaParams()).input(found[0]["7"]) == ("Где, 7?", TEXTS[2])


def test_sberquad_in_the_layout_of_the_hub_is_evaluated_on_validation(tmp_path):
    hidden = [row(n, "Тайна.", answers={"text": [""], "answer_start": [-1]}) for n in range(4)]
    write_parquet(tmp_path, "sberquad/train-00000-of-00001.parquet", rows(40))
    write_parquet(
        tmp_path, "sberquad/validation-00000-of-00001.parquet", [row(n, f"Лев живёт в Туле{n}.") for n in range(6)]
    )
    write_parquet(tmp_path, "sberquad/test-00000-of-00001.parquet", hidden)
    (tmp_path / "dataset_infos.json").write_text("{}", encoding="utf-8")
    data = prepare(tmp_path, sberquad=True, dev=8)
    assert {role: len(examples) for role, examples in data.roles.items()} == {"train": 32, "dev": 8, "test": 6}
    assert data.labels == ("start", "end")
    assert all("Лев" in example["context"] for example in data.roles["test"])
    assert data.facts["files_left_out"] == ["dataset_infos.json", "sberquad/test-00000-of-00001.parquet"]
    assert data.facts["reading"]["ids_led_by_their_role"] == 46, "ids are numbered in each file of the hub"
    contexts = [{example["context"] for example in data.roles[role]} for role in ROLES]
    assert not contexts[0] & contexts[1]

    asked = prepare(tmp_path, sberquad=True, test_from="test")
    assert all(example["answers"] == [] for example in asked.roles["test"])
    assert all(span(example) is None for example in asked.roles["test"])
    (tmp_path / "sberquad" / "validation-00000-of-00001.parquet").unlink()
    assert "task.test_from = 'validation', and no file's name begins with 'validation'" in failure(
        tmp_path, sberquad=True
    )


def test_only_files_that_are_named_are_read(tmp_path):
    (tmp_path / "a.json").write_text(squad(rows()), encoding="utf-8")
    (tmp_path / "b.json").write_text("not JSON at all", encoding="utf-8")
    assert "which one is the data?" in failure(tmp_path)
    assert len(everything(prepare(tmp_path, files=["a.*"]))) == 20
    assert failure(tmp_path, files=["b.json"]).startswith(f"{tmp_path / 'b.json'}: not JSON (")


def test_a_transfer_set_has_no_answers(tmp_path):
    (tmp_path / "train.jsonl").write_text(jsonl(rows()), encoding="utf-8")
    (tmp_path / "test.jsonl").write_text(jsonl(rows(5, first=50)), encoding="utf-8")
    data = prepare(tmp_path, roles=("transfer",))
    assert len(data.roles["transfer"]) == 20
    assert all(example["answers"] == [] for example in data.roles["transfer"])
    assert "Give it a [data.…] of its own" in failure(tmp_path, roles=("train", "transfer"))


# ---------------------------------------------------------------------------------------------------------------- splits


def test_whole_articles_stay_together_and_so_do_articles_that_share_a_context(tmp_path):
    table = [row(n, f"{TEXTS[n % 5]} Дом {n // 2}.", title=f"Статья {n % 10}") for n in range(60)]
    (tmp_path / "all.jsonl").write_text(jsonl(table), encoding="utf-8")
    data = prepare(tmp_path, dev=6, test=12)
    for key in ("title", "context"):
        sides = [{example[key] for example in data.roles[role]} for role in ROLES]
        assert not sides[0] & sides[1]
        assert not sides[0] & sides[2]
        assert not sides[1] & sides[2]
    joined = [cells | {"context": TEXTS[0]} if n in (0, 1) else cells for n, cells in enumerate(table)]
    (tmp_path / "all.jsonl").write_text(jsonl(joined), encoding="utf-8")
    side = {
        example["id"]: role
        for role, examples in prepare(tmp_path, dev=6, test=12).roles.items()
        for example in examples
    }
    assert len({side[str(n)] for n in range(60) if n % 10 in (0, 1)}) == 1


def test_one_title_for_all_splits_by_context(tmp_path):
    (tmp_path / "all.jsonl").write_text(
        jsonl([cells | {"title": "SberChallenge"} for cells in rows(50)]), encoding="utf-8"
    )
    data = prepare(tmp_path, dev=10, test=20)
    assert {role: len(examples) for role, examples in data.roles.items()} == {"train": 20, "dev": 10, "test": 20}
    sides = [{example["context"] for example in data.roles[role]} for role in ROLES]
    assert not sides[0] & sides[1] | sides[0] & sides[2] | sides[1] & sides[2]


def test_a_context_of_test_is_taken_out_of_train_and_dev(tmp_path):
    (tmp_path / "train.jsonl").write_text(jsonl(rows(20)), encoding="utf-8")
    (tmp_path / "dev.jsonl").write_text(jsonl([row(n, f"{TEXTS[n % 2]}") for n in range(100, 104)]), encoding="utf-8")
    (tmp_path / "test.jsonl").write_text(jsonl([row(200, TEXTS[0].upper()), row(201, TEXTS[4])]), encoding="utf-8")
    data = prepare(tmp_path)
    assert data.facts["removed_because_in_another_split"] == {"train": 12, "dev": 2}
    assert {example["context"] for example in data.roles["train"]} == set(TEXTS[2:4])


def test_splits_do_not_depend_on_the_order_of_the_file_and_limits_nest(tmp_path):
    (tmp_path / "all.jsonl").write_text(jsonl(rows(50)), encoding="utf-8")
    whole = prepare(tmp_path)
    (tmp_path / "all.jsonl").write_text(jsonl(rows(50)[::-1]), encoding="utf-8")
    assert prepare(tmp_path).roles == whole.roles
    few = prepare(tmp_path, limit={"train": 5, "test": 2})
    assert few.roles["train"] == whole.roles["train"][:5]
    assert few.roles["test"] == whole.roles["test"][:2]
    assert few.roles["dev"] == whole.roles["dev"]
    assert prepare(tmp_path, limit=500).facts["limit_larger_than_data"] == {"train": {"asked": 500, "kept": 30}}
    assert prepare(tmp_path, split_seed=3).roles != whole.roles


def test_too_few_contexts_for_three_splits(tmp_path):
    (tmp_path / "all.jsonl").write_text(jsonl([row(n, TEXTS[0]) for n in range(9)]), encoding="utf-8")
    assert "the train split is empty (test 9, dev 0, train 0). Splits are cut by whole contexts" in failure(tmp_path)


# --------------------------------------------------------------------------------------------------------------- offsets


def test_contexts_are_kept_to_the_character(tmp_path):
    texts = [
        "\ufeffБо\u0301льшая часть",
        " с\u00a0пробелом и \u200bнулём ",
        "две\nстроки\r\nи\tтаб",
        "комплекс Байконур , сдан",
        "👍 да",
    ]
    table = []
    for n, text in enumerate(texts):
        answer = text.split()[-1]
        table.append(row(n, text, answers={"text": [answer], "answer_start": [text.rindex(answer)]}))
    for name, body in (("all.json", squad(table)), ("all.jsonl", jsonl(table))):
        folder = tmp_path / name.split(".")[1]
        folder.mkdir()
        (folder / name).write_text(body, encoding="utf-8")
        data = prepare(folder)
        assert {example["context"] for example in everything(data).values()} == set(texts)
        assert all(span(example) == example["answers"][0]["text"] for example in everything(data).values())
        assert data.facts["reading"]["answers"] == 5
        assert "repaired_offsets" not in data.facts["reading"]


@pytest.mark.parametrize(
    ("answer", "begin", "target", "note"),
    [
        ("в Туле", 11, (11, 17), None),
        (" в Туле ", 10, (11, 17), None),
        (" в Туле ", 11, (11, 17), None),
        ("в Туле", 30, (31, 37), "repaired_offsets"),
        ("в Туле", 2, (11, 17), "repaired_offsets"),
        ("в Туле", 10**9, (31, 37), "repaired_offsets"),
        ("в Туле", -1, (11, 17), "repaired_offsets"),
        ("в Туле", None, (11, 17), "placed_by_text"),
        ("в Омске", 11, None, "not_found"),
        ("В ТУЛЕ", 11, None, "not_found"),
    ],
)
def test_answers_stand_where_their_text_is(tmp_path, answer, begin, target, note):
    context = "Вера живёт в Туле, а Олег вчера в Туле был."
    table = [*rows(20), row(99, context, answers={"text": [answer], "answer_start": [begin]})]
    (tmp_path / "train.jsonl").write_text(jsonl(rows(10)), encoding="utf-8")
    (tmp_path / "test.jsonl").write_text(jsonl([table[-1]]), encoding="utf-8")
    data = prepare(tmp_path, dev=2)
    (example,) = data.roles["test"]
    context_target = target and tuple(
        place + (context.index("в Туле") - 11 if place < 20 else context.rindex("в Туле") - 31) for place in target
    )
    assert QuestionAnswering(QaParams()).target(example, LABELS) == context_target
    assert example["answers"][0]["text"] == answer, "scores compare with the text as it was written"
    assert data.facts["first_ids"] == ({note: ["99"]} if note else {})


@given(st.text("аб в", min_size=1, max_size=30), st.data())
def test_any_stretch_is_found_again_from_any_offset(tmp_path_factory, context, data):
    first = data.draw(st.integers(0, len(context) - 1))
    answer = context[first : data.draw(st.integers(first + 1, len(context)))]
    if not answer.strip():
        return
    wrong = data.draw(st.integers(-3, 35))
    folder = tmp_path_factory.mktemp("qa")
    (folder / "train.jsonl").write_text(jsonl(rows(10)), encoding="utf-8")
    cells = row(99, context, answers={"text": [answer, answer], "answer_start": [wrong, first]})
    (folder / "test.jsonl").write_text(jsonl([cells]), encoding="utf-8")
    (example,) = prepare(folder, dev=2).roles["test"]
    assert span(example) == answer.strip()
    right = first + len(answer) - len(answer.lstrip())
    assert example["answers"][1]["begin"] == right
    places = [n for n in range(len(context)) if context.startswith(answer.strip(), n)]
    assert example["answers"][0]["begin"] in places
    distance = abs(example["answers"][0]["begin"] - wrong)
    assert distance <= min(abs(place - wrong) for place in places) + len(answer) - len(answer.strip())


def test_answers_that_are_nowhere_leave_train_and_stay_in_test(tmp_path):
    lost = {"text": ["нигде"], "answer_start": [3]}
    (tmp_path / "train.jsonl").write_text(jsonl([*rows(20), row(50, TEXTS[0], answers=lost)]), encoding="utf-8")
    (tmp_path / "dev.jsonl").write_text(
        jsonl([row(60, "Лев тут."), row(61, "Лев там.", answers=lost)]), encoding="utf-8"
    )
    (tmp_path / "test.jsonl").write_text(
        jsonl([row(70, "Ия тут."), row(71, "Ия там.", answers=lost)]), encoding="utf-8"
    )
    data = prepare(tmp_path)
    assert {role: len(examples) for role, examples in data.roles.items()} == {"train": 20, "dev": 1, "test": 2}
    assert data.facts["left_out_without_answer_in_context"] == {"train": 1, "dev": 1}
    assert data.facts["first_ids"] == {"not_found": ["61", "71", "50"]}


def test_no_answers_at_all_can_be_prepared(tmp_path):
    table = [{"context": cells["context"], "question": cells["question"]} for cells in rows(30)]
    (tmp_path / "all.jsonl").write_text(jsonl(table), encoding="utf-8")
    data = prepare(tmp_path)
    assert len(everything(data)) == 30
    assert all(span(example) is None for example in everything(data).values())
    assert data.facts["reading"]["without_answers"] == 30
    assert QuestionAnswering(QaParams()).chance(data.roles["test"], LABELS) is None


def test_empty_contexts_and_questions_are_counted_and_kept_in_test(tmp_path):
    (tmp_path / "train.jsonl").write_text(jsonl(rows(10)), encoding="utf-8")
    table = [row(90, "", answers={"text": ["да"], "answer_start": [0]}), row(91, "Ия тут.", question=" ")]
    (tmp_path / "test.jsonl").write_text(jsonl(table), encoding="utf-8")
    data = prepare(tmp_path, dev=2)
    assert data.facts["first_ids"] == {"empty_contexts": ["90"], "not_found": ["90"], "empty_questions": ["91"]}
    (empty,) = [example for example in data.roles["test"] if example["id"] == "90"]
    null = SpanOutput(np.zeros((0, 2), np.int32), np.zeros((0, 2), np.float32))
    assert QuestionAnswering(QaParams()).answer(empty, null, LABELS) == {
        "answer": "",
        "start": 0,
        "end": 0,
        "score": 0.0,
        "alternatives": [],
    }


# ------------------------------------------------------------------------------------------------------------------- ids


def test_ids_are_unique_in_a_split_and_led_by_it_where_splits_share_some(tmp_path):
    (tmp_path / "train.jsonl").write_text(jsonl(rows(10)), encoding="utf-8")
    (tmp_path / "test.jsonl").write_text(jsonl([row(3, "Ия тут."), row(77, "Ия там.")]), encoding="utf-8")
    ids = set(everything(prepare(tmp_path, dev=2)))
    assert {"train:3", "test:3", "test:77"} <= ids
    (tmp_path / "test.jsonl").write_text(jsonl([row(76, "Ия тут."), row(77, "Ия там.")]), encoding="utf-8")
    assert {"3", "76"} <= set(everything(prepare(tmp_path, dev=2)))
    (tmp_path / "test.jsonl").write_text(jsonl([row(76, "Ия тут."), row(76.0, "Ия там.")]), encoding="utf-8")
    path = tmp_path / "test.jsonl"
    assert failure(tmp_path).startswith(f"{path}:2: id '76' was used at {path}:1 already.")


def test_a_doubled_id_of_a_json_file_names_both_places(tmp_path):
    path = tmp_path / "all.json"
    path.write_text(squad([*rows(5), row(2, "Ия тут.")]), encoding="utf-8")
    said = failure(tmp_path)
    assert said.startswith(
        f"{path}: data[5].paragraphs[0].qas[0]: id '2' was used at {path}: data[2].paragraphs[0].qas[0]"
    )


# ------------------------------------------------------------------------------------------------------------ wrong files


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[" * 100_000, "not JSON"),
        ("[1]", "data: no list is there. A .json file has SQuAD's layout"),
        ('{"data": [{"paragraphs": 3}]}', "data[0].paragraphs: no list is there"),
        ('{"data": [7]}', "data[0]: a JSON int where an object was expected"),
        ('{"data": []}', "the file holds no questions"),
        (
            '{"data": [{"paragraphs": [{"context": 3, "qas": [{"id": "a", "question": "?"}]}]}]}',
            "data[0].paragraphs[0].qas[0]: 'context' holds 3",
        ),
        ('{"data": [{"paragraphs": [{"qas": [{"id": [], "question": "?"}]}]}]}', "'id' holds [] where a name"),
        (
            '{"data": [{"paragraphs": [{"context": "", "qas": [{"id": 1, "answers": []}]}]}]}',
            "there is no column 'question'",
        ),
    ],
)
def test_broken_squad_files(tmp_path, text, said):
    path = tmp_path / "all.json"
    path.write_text(text, encoding="utf-8")
    message = failure(tmp_path)
    assert message.startswith(str(path))
    assert said in message


@pytest.mark.parametrize(
    ("answers", "said"),
    [
        ("['Туле']", "'answers' is not JSON ("),
        ('{"text": ["a", "b"], "answer_start": [1]}', "where lists text and answer_start of one length"),
        ('{"text": "a", "answer_start": 1}', "where lists text and answer_start of one length"),
        ("7", "'answers' holds 7 where lists"),
        ('[{"text": 7, "answer_start": 1}]', "'answers.text' holds 7 where a string was expected"),
        ('[{"text": "a", "answer_start": 1.5}]', "'answers.answer_start' holds 1.5 where a whole number was expected"),
        ('[{"text": "a", "answer_start": true}]', "'answers.answer_start' holds True where a whole number"),
        ('[{"text": "a", "answer_start": "там"}]', "'answers.answer_start' holds 'там' where a whole number"),
        ('[{"text": "a", "answer_start": Infinity}]', "'answers.answer_start' holds inf where a whole number"),
    ],
)
def test_broken_answers(tmp_path, answers, said):
    path = tmp_path / "all.csv"
    path.write_text(
        table_csv([row(1, TEXTS[0], answers=answers)], ["id", "context", "question", "answers"]), encoding="utf-8"
    )
    assert failure(tmp_path).startswith(f"{path}:2: ")
    assert said in failure(tmp_path)


def test_wrong_delimiter_is_hinted(tmp_path):
    (tmp_path / "all.csv").write_text("id|context|question|answer\n1|а|б|в\n", encoding="utf-8")
    assert "Columns: 'id|context|question|answer'. If this is one column, set task.delimiter." in failure(tmp_path)


def test_lone_surrogates_are_repaired_one_for_one(tmp_path):
    lines = [
        f'{{"id": {n}, "context": "x{n} \\ud83d да", "question": "?", "answer": "да", "answer_start": 5}}\n'
        for n in range(9)
    ]
    (tmp_path / "all.jsonl").write_text("".join(lines), encoding="utf-8")
    data = prepare(tmp_path)
    assert data.facts["reading"]["repaired_surrogates"] == 9
    assert all(span(example) == "да" for example in everything(data).values())
    json.dumps(data.facts, ensure_ascii=False).encode()


@pytest.mark.parametrize(
    "wrong",
    [
        {"dev": 0},
        {"test": 1.0},
        {"test_from": "train"},
        {"limit": {"trian": 1}},
        {"files": []},
        {"source": "core only"},
    ],
)
def test_params_refuse(wrong):
    with pytest.raises(ValidationError):
        QaParams.model_validate(wrong)


# ------------------------------------------------------------------------------------------------------------- real files

DATA = os.environ.get("HARNESS_DATA_DIR")
real = pytest.mark.skipif(not DATA, reason="HARNESS_DATA_DIR is not set: no real data")


@real
@pytest.mark.parametrize("language", ["ru", "en"])
def test_xquad(language):
    path = Path(DATA or "") / "xquad" / f"xquad.{language}.json"
    data = QuestionAnswering(QaParams()).prepare(Source("xquad", path.parent, (path.name,)), ROLES)
    examples = list(everything(data).values())
    assert len(examples) == 1190
    assert data.facts["reading"] == {"answers": 1190, "answers_with_edge_spaces": 0, "without_answers": 0}
    assert sum(role["titles"] for role in data.facts["roles"].values()) == 48
    assert all(span(example) == example["answers"][0]["text"] for example in examples)
    marked = {example["context"] for example in examples if example["context"].startswith("\ufeff")}
    assert len(marked) == (7 if language == "ru" else 0)
    assert {len(data.roles[role]) for role in ROLES} == {
        len(everything(data)) - sum(len(data.roles[r]) for r in ROLES if r != role) for role in ROLES
    }


@real
def test_gold_spans_of_xquad_score_one():

    path = Path(DATA or "") / "xquad" / "xquad.ru.json"
    task = QuestionAnswering(QaParams())
    data = task.prepare(Source("xquad", path.parent, (path.name,)), ROLES)
    examples = list(everything(data).values())
    outputs = []
    for example in examples:
        begin, end = task.target(example, LABELS)
        places = [(-1, -1), *[(n, n + 1) for n in range(max(0, begin - 20), begin)], (begin, end), (end, end + 1)]
        logits = np.zeros((len(places), 2), np.float32)
        logits[places.index((begin, end))] = 9
        outputs.append(SpanOutput(np.array(places, np.int32), logits))
    samples = task.samples(examples, outputs, LABELS)
    assert samples[:, :4].min() == 1.0
    assert 0.0 < task.chance(examples, LABELS) < 0.1


@real
def test_the_sample_of_sberquad():
    path = Path(DATA or "") / "sberquad_sample"
    data = prepare(path, sberquad=True)
    assert len(everything(data)) == 38
    assert data.facts["reading"]["answers_with_edge_spaces"] == 1
    assert "repaired_offsets" not in data.facts["reading"]
    assert all(span(example) == example["answers"][0]["text"].strip() for example in everything(data).values())
