"""What the named entity task reads, and what it says about everything else."""

from __future__ import annotations

import json
import re

import pyarrow.parquet
import pytest
from ner_helpers import columns, entities, everyone, failure, in_file_order, jsonl, prepare, task, write
from pydantic import ValidationError

from harness import AssetError, Prepared, Source
from harness_ner.plugin import NerParams

EU = "EU:B-ORG rejects:O German:B-MISC call:O"
MORE = (EU, "Peter:B-PER Blackburn:I-PER", "BRUSSELS:B-LOC 1996:O", "He:O slept:O", "Oslo:B-LOC")


def lines(*rows: str, end: str = "\n") -> str:
    return end.join(rows) + end


# ------------------------------------------------------------------------------------------------------- CoNLL columns


def split(folder, **params) -> Prepared:
    """Three examples or more, all of them in some role."""
    return prepare(folder, **{"dev": 1, "test": 1, **params})


def test_a_sentence_is_its_words_with_spaces_between_them(tmp_path):
    write(tmp_path, "train.txt", columns(*MORE))
    data = split(tmp_path)
    example = next(e for e in everyone(data) if e["text"].startswith("EU"))
    assert example == {
        "id": "train-0",
        "text": "EU rejects German call",
        "words": [[0, 2], [3, 10], [11, 17], [18, 22]],
        "tags": ["B-ORG", "O", "B-MISC", "O"],
    }
    assert task().input(example) == ["EU", "rejects", "German", "call"]
    assert task().target(example, data.labels) == [data.labels.index(tag) for tag in example["tags"]]


@pytest.mark.parametrize("suffix", [".txt", ".conll", ".bio", ".iob"])
def test_every_suffix_of_conll_files(tmp_path, suffix):
    write(tmp_path, f"train{suffix}", columns(*MORE))
    assert len(everyone(split(tmp_path))) == 5


@pytest.mark.parametrize(
    "document",
    ["-DOCSTART- -X- -X- O", "-DOCSTART- -X- O O", "-DOCSTART-", "-DOCSTART-\tO", "#DOCSTART", "# newdoc id = 1", "# -DOCSTART-"],
)  # fmt: skip
def test_documents_begin_in_many_ways(tmp_path, document):
    rows = ["EU X I-NP I-ORG", document, "Oslo X I-NP I-LOC", "", "Bonn X I-NP I-LOC", document, "", "a X X O"]
    write(tmp_path, "train.txt", lines(document, "", *rows))
    documents = {"EU": [("ORG", "EU")], "Oslo\nBonn": [("LOC", "Oslo"), ("LOC", "Bonn")], "a": []}
    assert {e["text"]: entities(e) for e in everyone(split(tmp_path, unit="document"))} == documents
    assert sorted(e["text"] for e in everyone(split(tmp_path))) == ["Bonn", "EU", "Oslo", "a"]


def test_comments_are_skipped_and_a_word_that_is_a_hash_is_not(tmp_path):
    body = lines("# id 7\tdomain=en", "# text = EU #1", "EU B-ORG", "# O", "1 O", "", "a O", "", "b O")
    write(tmp_path, "train.txt", body)
    data = split(tmp_path)
    assert sorted(e["text"] for e in everyone(data)) == ["EU # 1", "a", "b"]
    assert data.labels == ("O", "B-ORG", "I-ORG")


@pytest.mark.parametrize(
    ("body", "params"),
    [
        (lines("B-PER Anna 1", "O sang 2", "", "O a 3", "", "O b 4"), {"word_column": 1, "tag_column": 0}),
        (
            lines("1 Anna X B-PER X", "2 sang X O X", "", "3 a X O X", "", "4 b X O X"),
            {"word_column": 1, "tag_column": -2},
        ),
        (lines("Anna\tB-PER", "sang\tO", "", "a\tO", "", "b\tO"), {}),
        (lines("Anna  B-PER ", "sang \t O", "", "a O", "", "b O"), {}),
        (lines("Anna B-PER", "sang O", "", "a O", "", "b O", end="\r\n"), {}),
        ("\ufeff" + lines("Anna B-PER", "sang O", " ", "a O", "\t", "b O"), {}),
        (lines("Anna B-PER", "sang O", "", "", "a O", "", "b O").rstrip(), {}),
    ],
    ids=["tags first", "tags in the middle", "tabs", "loose spaces", "CRLF", "BOM and blank lines", "no last line end"],
)
def test_columns_in_any_order_and_files_of_any_make(tmp_path, body, params):
    write(tmp_path, "train.txt", body)
    data = split(tmp_path, **params)
    every = {e["text"]: entities(e) for e in everyone(data)}
    assert every == {"Anna sang": [("PER", "Anna")], "a": [], "b": []}


def test_words_with_spaces_stay_whole_where_tabs_divide(tmp_path):
    write(tmp_path, "train.txt", lines("New Astrel\tB-LOC", "", "a\u00a0b\tO", "", "c\tO"))
    data = split(tmp_path)
    found = {e["text"]: task().input(e) for e in everyone(data)}
    assert found == {"New Astrel": ["New Astrel"], "a\u00a0b": ["a\u00a0b"], "c": ["c"]}


def test_schemes_are_recognized_by_file_and_changes_counted(tmp_path):
    write(tmp_path, "train.txt", lines("EU I-ORG", "x O", "Ann I-PER", "Lee I-PER", "Bo B-PER", "", "a O"))
    write(tmp_path, "dev.txt", lines("EU S-ORG", "Ann B-PER", "Lee E-PER"))
    write(tmp_path, "test.txt", lines("EU B-ORG", "Ann I-PER", "Lee I-PER", "", "Bo B-PER"))
    data = prepare(tmp_path)
    assert data.facts["files"] == {
        "train.txt": {"scheme": "IOB1", "changed_tags": 2, "illegal_transitions": 0, "role": "train", "examples": 2},
        "dev.txt": {"scheme": "BIOES", "changed_tags": 2, "illegal_transitions": 0, "role": "dev", "examples": 1},
        "test.txt": {"scheme": "BIO2", "changed_tags": 1, "illegal_transitions": 1, "role": "test", "examples": 2},
    }
    assert data.facts["first_illegal"] == ["test.txt:1"]
    assert str(tmp_path) not in json.dumps(data.facts)
    assert in_file_order(data)[0]["tags"] == ["B-ORG", "O", "B-PER", "I-PER", "B-PER"]
    assert in_file_order(data, "test")[0]["tags"] == ["B-ORG", "B-PER", "I-PER"]
    assert in_file_order(data, "dev")[0]["tags"] == ["B-ORG", "B-PER", "I-PER"]


def test_words_that_nobody_sees_are_dropped_with_their_tags(tmp_path):
    write(tmp_path, "train.txt", lines("\u200b\tB-PER", "Anna\tI-PER", "", "\ufeff\tO", "", "a\tO", "", "b\tO"))
    data = split(tmp_path)
    assert data.facts["reading"] == {"dropped_empty_sentences": 1, "dropped_invisible_words": 2}
    found = [entities(e) for e in everyone(data)]
    assert sorted(found) == [[], [], [("PER", "Anna")]]


@pytest.mark.parametrize(
    ("body", "params", "said"),
    [
        (lines("EU X B-ORG", "fell X O", "Ann O"), {}, r"train.txt:3: 2 columns \(Ann \| O\) where line 1 has 3, divided by spaces\. Give"),
        (lines("EU\tB-ORG", "fell O"), {}, r"train.txt:2: 1 columns \(fell O\) where line 1 has 2, divided by tabs"),
        (lines("EU B-ORG"), {"tag_column": 3}, r"train.txt: task.tag_column = 3: its lines have 2 columns .* Allowed: 0 to 1, or -1 to -2"),
        (lines("EU B-ORG"), {"word_column": -3}, r"task.word_column = -3: its lines have 2 columns"),
        (lines("EU B-ORG"), {"word_column": "tokens"}, r"task.word_column = 'tokens': its lines have 2 columns and no names"),
        (lines("EU"), {}, r"train.txt:1: words and tags are both read from column 0 of 1 \(EU\)\. Set task.word_column"),
        (lines("EU B-ORG", "fell 0"), {}, r"train.txt:2: tag '0' where 'O' or a prefix"),
        (lines("-DOCSTART- O", ""), {}, r"train.txt:1: the file holds no words"),
        ("", {}, r"train.txt:1: the file holds no words"),
        (b"EU B-ORG\n\xe9 O\n", {}, r"train.txt:2: byte 9 \(0xe9\) is not UTF-8"),
        (lines("a O", "", "b O", "", "c O"), {}, r"no word belongs to an entity. Set task.tag_column"),
    ],
)  # fmt: skip
def test_a_broken_file_is_named_with_place_and_remedy(tmp_path, body, params, said):
    write(tmp_path, "train.txt", body)
    with pytest.raises(AssetError, match=said):
        split(tmp_path, **params)


# -------------------------------------------------------------------------------------------------------------- tables


def rows(count: int = 5) -> list[dict]:
    return [{"tokens": ["EU", f"n{i}"], "ner_tags": ["B-ORG", "O"]} for i in range(count)]


def test_lists_of_words_and_tags(tmp_path):
    write(tmp_path, "train.jsonl", jsonl(rows()))
    data = split(tmp_path)
    assert {tuple(entities(e)) for e in everyone(data)} == {(("ORG", "EU"),)}
    assert data.facts["files"]["train.jsonl"]["scheme"] == "BIO2"


def test_columns_of_tables_have_names(tmp_path):
    body = [{"w": ["Anna", f"n{i}"], "t": ["U-PER", "O"]} for i in range(4)]
    write(tmp_path, "train.jsonl", jsonl(body))
    data = split(tmp_path, word_column="w", tag_column="t")
    assert entities(data.roles["test"][0]) == [("PER", "Anna")]
    assert "task.word_column: there is no column 'W'. Columns: 't', 'w'" in failure(tmp_path, word_column="W")
    assert "no column holds a list of words ('tokens', 'words') or a 'text'. Columns: 't', 'w'" in failure(tmp_path)
    assert "none of 'labels', 'ner', 'ner_tags', 'tags' is there" in failure(tmp_path, word_column="w")


def test_numbers_are_tags_by_the_published_order_or_the_one_given(tmp_path):
    body = [{"tokens": ["EU", f"n{i}"], "ner_tags": [3, 0], "id": str(i)} for i in range(5)]
    write(tmp_path, "train.jsonl", jsonl(body))
    assert split(tmp_path, conll=True, critical=["ORG"]).labels == ("O", "B-ORG", "I-ORG")
    assert split(tmp_path, tags=["O", "B-A", "I-A", "B-B"]).labels == ("O", "B-B", "I-B")
    said = failure(tmp_path, dev=1, test=1)
    assert "train.jsonl:1: 'ner_tags'[0] is 3 where a name, since nothing says what numbers mean," in said
    assert "a number below 2 or a name" in failure(tmp_path, dev=1, test=1, tags=["O", "B-A"])


@pytest.mark.filterwarnings("default")
def test_parquet_says_itself_what_its_numbers_mean(tmp_path):
    import datasets

    names = ["O", "B-LOC", "I-LOC", "B-PER", "I-PER"]
    features = datasets.Features(
        {
            "id": datasets.Value("string"),
            "tokens": datasets.List(datasets.Value("string")),
            "ner_tags": datasets.List(datasets.ClassLabel(names=names)),
        }
    )
    for role, word in (("train", "Ann"), ("validation", "Bob"), ("test", "Eve")):
        table = {"id": ["0", "1"], "tokens": [[word, "sang"], []], "ner_tags": [[3, 0], []]}
        folder = tmp_path / "conll2003" / role
        folder.mkdir(parents=True)
        datasets.Dataset.from_dict(table, features=features).to_parquet(folder / "0000.parquet")
    data = prepare(tmp_path, conll=True, critical=["PER"])
    assert {role: [e["id"] for e in examples] for role, examples in data.roles.items()} == {
        "train": ["train-0"], "dev": ["dev-0"], "test": ["test-0"],
    }  # fmt: skip
    assert entities(data.roles["dev"][0]) == [("PER", "Bob")]
    assert data.facts["reading"]["dropped_empty_sentences"] == 3


@pytest.mark.parametrize(
    "metadata",
    [
        "[]",
        "null",
        '{"info": []}',
        '{"info": {"features": null}}',
        '{"info": {"features": {"ner_tags": [{}]}}}',
        '{"info": {"features": {"ner_tags": []}}}',
    ],
)
def test_metadata_that_say_nothing_leave_it_to_the_params(tmp_path, metadata):
    table = pyarrow.table({"tokens": [["EU", f"n{i}"] for i in range(5)], "ner_tags": [[1, 0]] * 5})
    (tmp_path / "data").mkdir()
    pyarrow.parquet.write_table(table.replace_schema_metadata({"huggingface": metadata}), tmp_path / "data/a.parquet")
    assert split(tmp_path, tags=["O", "B-ORG"]).labels == ("O", "B-ORG", "I-ORG")
    assert re.search(r"a.parquet.*: 'ner_tags'\[0\] is 1 where a name, since nothing", failure(tmp_path, dev=1, test=1))


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({"tokens": ["EU"], "ner_tags": []}, r"train.jsonl:1: 'ner_tags' holds 0 values where 1 tags were expected"),
        ({"tokens": ["EU"], "ner_tags": None}, r"'ner_tags' holds None where 1 tags"),
        ({"tokens": "EU", "ner_tags": ["O"]}, r"'tokens' holds 'EU' where a list of words was expected"),
        ({"tokens": [3], "ner_tags": ["O"]}, r"'tokens' holds 3 where a string was expected"),
        ({"tokens": ["EU"], "ner_tags": ["ORG"]}, r"train.jsonl:1: 'ner_tags'\[0\]: tag 'ORG' where 'O'"),
        ({"tokens": ["EU"], "ner_tags": [True]}, r"'ner_tags'\[0\] is True"),
        ({"tokens": ["EU"], "ner_tags": ["O"], "id": None}, r"'id' holds nothing where a name or a whole number"),
    ],
)
def test_a_row_that_is_no_sentence_is_named(tmp_path, row, said):
    write(tmp_path, "train.jsonl", jsonl([row, *rows()]))
    with pytest.raises(AssetError, match=said):
        split(tmp_path)


# ------------------------------------------------------------------------------------------------- character offsets

TEXT = "Anna flew to New Astrel."


def offsets(key: str, *found: object, text: str = TEXT) -> str:
    return jsonl([{"text": text, key: list(found)}, {"text": "a", key: []}, {"text": "b", key: []}])


@pytest.mark.parametrize(
    ("key", "found", "params"),
    [
        ("entities", ([0, 4, "PER"], [13, 23, "LOC"]), {}),
        ("entities", ([0, 3, "PER"], [13, 22, "LOC"]), {"ends": "inclusive"}),
        ("entities", ({"start": 0, "end": 4, "type": "PER"}, {"start": 13, "end": 23, "type": "LOC"}), {}),
        ("spans", ({"start": 0, "end": 4, "label": "PER"}, {"start": 13, "end": 23, "label": "LOC"}), {}),
        ("label", ([0, 4, "PER"], [13, 23, "LOC"]), {}),
        ("mine", ([0, 4, "PER"], [13, 23, "LOC"]), {"tag_column": "mine"}),
    ],
)
def test_texts_with_entities_by_characters(tmp_path, key, found, params):
    write(tmp_path, "train.jsonl", offsets(key, *found))
    data = split(tmp_path, **params)
    every = {e["text"]: entities(e) for e in everyone(data)}
    assert every == {TEXT: [("PER", "Anna"), ("LOC", "New Astrel")], "a": [], "b": []}
    assert data.facts["mentions"] == {"kept": 2, "widened_to_words": 0}


def test_offsets_count_every_sign(tmp_path):
    text = "\ufeff\U0001f600 Анна\u00a0пела.\r\n"
    write(tmp_path, "train.jsonl", offsets("entities", [3, 7, "PER"], text=text))
    data = split(tmp_path)
    (example,) = [e for e in everyone(data) if len(e["text"]) > 1]
    assert example["text"] == text
    assert entities(example) == [("PER", "Анна")]


@pytest.mark.parametrize(
    ("entity", "said"),
    [
        ([0, 40, "PER"], r"train.jsonl:1: 'entities'\[0\] is of characters 0 to 40 \(the last excluded\) of a text of 24.*task.ends"),
        ([4, 4, "PER"], r"is of characters 4 to 4"),
        ([-1, 4, "PER"], r"is of characters -1 to 4"),
        ([0, "4", "PER"], r"'entities'\[0\] is \[0, '4', 'PER'\] where \[start, end, type\] or"),
        ({"start": 0, "end": 4}, r"where \[start, end, type\] or"),
        ("PER", r"is 'PER' where"),
        ([0, 4, ""], r"where \[start, end, type\] or"),
    ],
)  # fmt: skip
def test_an_entity_outside_its_text_is_named(tmp_path, entity, said):
    write(tmp_path, "train.jsonl", offsets("entities", entity))
    with pytest.raises(AssetError, match=said):
        split(tmp_path)


def test_texts_without_a_list_of_entities_are_named(tmp_path):
    write(tmp_path, "train.jsonl", jsonl([{"text": "a", "entities": None}]))
    assert "'entities' holds nothing where a list of entities ([] for none) was expected" in failure(tmp_path)


# ---------------------------------------------------------------------------------------------------------------- brat


def brat(folder, name: str, text: str, *notes: str) -> None:
    write(folder, f"{name}.txt", text)
    write(folder, f"{name}.ann", "".join(f"{note}\n" for note in notes))


def test_brat_folders_with_roles(tmp_path):
    brat(tmp_path, "train/1", TEXT, "T1\tPER 0 4\tAnna", "T2\tLOC 13 23\tNew Astrel", "R1\tin Arg1:T1 Arg2:T2")
    brat(tmp_path, "train/2", "Nothing here.\n")
    brat(tmp_path, "dev/3", "Bo  sang\tand danced.", "T1\tPER 0 2\tBo", "T2\tDEED 4 12\tsang\tand", "#1\tNote T1\thm")
    brat(tmp_path, "test/4", "Ann and Bo Lee", "T1\tPER 0 3;11 14\tAnn Lee", "T2\tPER 8 14\tBo Lee")
    write(tmp_path, "README.txt", "not data")
    data = prepare(tmp_path)
    found = {e["id"]: entities(e) for examples in data.roles.values() for e in examples}
    assert found == {
        "train/1": [("PER", "Anna"), ("LOC", "New Astrel")],
        "train/2": [],
        "dev/3": [("PER", "Bo"), ("DEED", "sang\tand")],
        "test/4": [("PER", "Ann"), ("PER", "Bo Lee")],
    }
    assert data.facts["reading"] == {"discontinuous": 1, "dropped_empty_sentences": 0, "other_annotations": 2}
    assert data.facts["mentions"] == {"dropped_nested": 1, "kept": 6, "widened_to_words": 0}
    assert data.facts["files"]["train/*.ann"] == {"role": "train", "examples": 2}
    assert data.facts["files_left_out"] == ["README.txt"]


def test_a_brat_folder_without_roles_is_split(tmp_path):
    for number in range(10):
        brat(tmp_path, f"docs/{number}", f"Bo sang {number} times", "T1\tPER 0 2\tBo")
    data = prepare(tmp_path, dev=2, test=3)
    assert {role: len(examples) for role, examples in data.roles.items()} == {"train": 5, "dev": 2, "test": 3}
    assert prepare(tmp_path, dev=2, test=3, files=["docs/*"]).roles == data.roles
    assert prepare(tmp_path, dev=2, test=3, files=["*.ann"]).roles == data.roles


def test_marks_at_the_beginning_and_carriage_returns_count_in_brat(tmp_path):
    brat(tmp_path, "train/1", "\ufeffBo\r\nsang", "T1\tPER 1 3\tBo", "T2\tDEED 5 9\tsang")
    data = prepare(tmp_path, ("train",))
    assert entities(data.roles["train"][0]) == [("PER", "Bo"), ("DEED", "sang")]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("T1\tPER 0\tAnna", r"1.ann:2: 'T1\\tPER 0\\tAnna' where 'T1<TAB>TYPE start end<TAB>text' was expected"),
        ("Пела дальше", r"1.ann:2: 'Пела дальше' where"),
        ("T1 PER 0 4 Anna", r"where 'T1<TAB>TYPE"),
        ("T1\tPER 0 4", r"where 'T1<TAB>TYPE"),
        ("T1\tPER 20 29\tstrel.", r"1.ann:2: characters 20 to 29 of a text of 24; 0 ≤ start < end ≤ its length"),
        ("T1\tPER 4 4\t", r"characters 4 to 4"),
        ("T1\tPER 1 5\tAnna", r"1.ann:2: characters 1 5 are 'nna ' in the text, and 'Anna' here. Fix the offsets"),
    ],
)
def test_a_malformed_line_of_brat_is_named(tmp_path, line, said):
    brat(tmp_path, "train/1", TEXT, "T9\tPER 0 4\tAnna", line)
    with pytest.raises(AssetError, match=said):
        prepare(tmp_path, ("train",))


def test_brat_beside_tables_and_annotations_without_text_are_errors(tmp_path):
    brat(tmp_path, "train/1", TEXT, "T1\tPER 0 4\tAnna")
    write(tmp_path, "extra.jsonl", jsonl(rows()))
    assert "brat files and 'extra.jsonl': which are the data? Set task.files" in failure(tmp_path, ("train",))
    assert len(prepare(tmp_path, ("train",), files=["*.ann"]).roles["train"]) == 1
    assert len(prepare(tmp_path, ("train",), files=["extra.jsonl"], dev=1, test=1).roles["train"]) == 3
    (tmp_path / "train/1.txt").unlink()
    said = failure(tmp_path, ("train",), files=["*.ann"])
    assert "train/1.txt: this text of a brat annotation is not there. Add it, or remove its .ann file" in said


# ------------------------------------------------------------------------------------------------------- other sources


def test_transfer_texts_have_no_tags(tmp_path):
    write(tmp_path, "lines.txt", "Anna sang.\n\nBo fell\n")
    data = prepare(tmp_path, ("transfer",))
    assert data.labels == ("O",)
    assert sorted(task().input(e) for e in data.roles["transfer"]) == [["Anna", "sang", "."], ["Bo", "fell"]]
    assert all("tags" not in e and task().target(e, ("O",)) is None for e in data.roles["transfer"])


def test_conll_files_brat_and_tables_serve_as_transfer_too(tmp_path):
    write(tmp_path / "a", "train.txt", lines("-DOCSTART- O", "", "EU B-ORG", "fell nonsense", "", "Bo B-PER"))
    write(tmp_path / "b", "data.conll", lines("EU", "fell"))
    brat(tmp_path / "c", "train/1", TEXT, "not a line of brat's")
    write(tmp_path / "d", "data.jsonl", jsonl([{"tokens": ["EU", "fell"]}]))
    write(tmp_path / "e", "data.jsonl", jsonl([{"text": "EU fell"}]))
    texts = {name: [e["text"] for e in prepare(tmp_path / name, ("transfer",)).roles["transfer"]] for name in "abcde"}
    assert sorted(texts.pop("a")) == ["Bo", "EU fell"]
    assert texts == {"b": ["EU fell"], "c": [TEXT], "d": ["EU fell"], "e": ["EU fell"]}


@pytest.mark.parametrize("divider", [" ", "\t"])
def test_columns_in_a_plain_file_are_no_text_even_as_transfer(tmp_path, divider):
    body = lines("# id 1", "EU B-ORG", "fell O", "", "Bo I-PER", end="\r\n").replace(" ", divider)
    write(tmp_path, "lines.txt", body)
    data = prepare(tmp_path, ("transfer",))
    assert sorted(e["text"] for e in data.roles["transfer"]) == ["Bo", "EU fell"]
    write(tmp_path, "lines.txt", lines("B-ORG EU", "O fell", "O it"))
    assert "B-ORG EU" in {e["text"] for e in prepare(tmp_path, ("transfer",)).roles["transfer"]}
    data = prepare(tmp_path, ("transfer",), word_column=1, tag_column=0)
    assert [e["text"] for e in data.roles["transfer"]] == ["EU fell it"]


@pytest.mark.parametrize("body", [lines("Ann O", "Bo sang"), lines("Ann O", "Bo Lee O"), lines("O", "O")])
def test_texts_that_only_look_like_columns_stay_texts(tmp_path, body):
    write(tmp_path, "lines.txt", body)
    found = prepare(tmp_path, ("transfer",)).roles["transfer"]
    assert sorted(e["text"] for e in found) == sorted(body.split("\n")[:-1])


def test_transfer_stands_alone(tmp_path):
    write(tmp_path, "train.txt", columns(*MORE))
    assert "'transfer' was asked for beside ['train', 'transfer']" in failure(tmp_path, ("train", "transfer"))


def test_ids_are_the_sources_own_where_it_has_some(tmp_path):
    body = [{"id": i, "tokens": ["EU", f"n{i}"], "ner_tags": ["B-ORG", "O"]} for i in range(3)]
    for role in ("train", "dev", "test"):
        write(tmp_path, f"{role}.jsonl", jsonl(body))
    ids = {role: sorted(e["id"] for e in examples) for role, examples in prepare(tmp_path).roles.items()}
    assert ids == {role: [f"{role}-{i}" for i in range(3)] for role in ("train", "dev", "test")}
    write(tmp_path, "train.jsonl", jsonl([*body, body[1]]))
    assert "train.jsonl:4: id '1' was used at" in failure(tmp_path)


def test_lone_surrogates_become_replacement_signs_one_for_one(tmp_path):
    write(
        tmp_path,
        "train.jsonl",
        '{"text": "a \\ud800 Bo", "entities": [[4, 6, "PER"]]}\n{"text": "a", "entities": []}\n{"text": "b", "entities": []}\n',
    )
    data = split(tmp_path)
    assert data.facts["reading"]["repaired_surrogates"] == 1
    found = [entities(e) for e in everyone(data)]
    assert [("PER", "Bo")] in found


@pytest.mark.parametrize(
    "params", [{"dev": 0}, {"test": 1.5}, {"ends": "open"}, {"tags": []}, {"limit": 0}, {"unit": "x"}, {"cut": "x"}]
)
def test_values_outside_their_range_are_refused(params):
    with pytest.raises(ValidationError):
        NerParams.model_validate(params)


def test_nothing_readable_is_said(tmp_path):
    write(tmp_path, "data.xml", "<a/>")
    with pytest.raises(AssetError, match=r"no readable file among 'data.xml'. Readable: .bio, .conll, .iob, .jsonl"):
        task().prepare(Source("a test", tmp_path, ("data.xml",)), ("train",))
