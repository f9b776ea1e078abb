"""What the nested entity tasks read: layouts, splits, examples, and what is wrong with bad input."""

from __future__ import annotations

import pytest
from nested_helpers import ROLES, failure, jsonl, prepare, rebus, row, source_of, task, write

from harness import AssetError
from harness_ner.cutting import stretches


def rows(count: int, prefix: str = "", **more) -> list[dict]:
    """Different documents of one line, each with a mention inside another."""
    return [row(f"Bank of Tver {prefix}{n}", "ORG:Bank of Tver", "CITY:Tver", id=n, **more) for n in range(count)]


def competition(folder, train=6, test=3) -> None:
    """RuNNE's own layout: ends inclusive, answers in a file of their own, a dev split without any."""

    def own(name: str, count: int, texts: bool, labels: bool) -> None:
        made = [
            {"id": item["id"]}
            | ({"sentences": item["text"]} if texts else {})
            | ({"ners": [[begin, end - 1, kind] for begin, end, kind in item["entities"]]} if labels else {})
            for item in rows(count, name[:2])
        ]
        write(folder, f"{name}.jsonl", jsonl(made))

    own("train", train, True, True)
    own("dev", 4, True, False)
    own("test", test, True, False)
    own("test_with_answers", test, False, True)
    (folder / "test_with_answers.jsonl").write_text(
        jsonl([{"id": r["id"], "ners": [[0, 11, "ORG"], [8, 11, "CITY"]]} for r in reversed(rows(test))])
    )
    write(folder, "ners.txt", "ORG\nCITY\n")


def found(data, role: str) -> set[tuple[str, str, str]]:
    """(document, type, text) of every mention of a role."""
    return {(e["doc"], kind, e["text"][begin:end]) for e in data.roles[role] for begin, end, kind in e["entities"]}


def brat(folder, name: str, text: str, *lines: str) -> None:
    write(folder, f"{name}.txt", text)
    write(folder, f"{name}.ann", "".join(f"{line}\n" for line in lines))


# ------------------------------------------------------------------------------------------------------------ layouts


def test_the_competitions_layout(tmp_path):
    competition(tmp_path)
    data = prepare(tmp_path, runne=True, dev=2)
    assert {role: len(made) for role, made in data.roles.items()} == {"train": 4, "dev": 2, "test": 3}
    assert found(data, "test") == {
        (f"test-{n}", *m) for n in range(3) for m in (("ORG", "Bank of Tver"), ("CITY", "Tver"))
    }
    assert data.labels == tuple(f"{kind}:{tag}" for kind in ("CITY", "ORG") for tag in "OBILU")
    assert data.facts["files_left_out"] == ["ners.txt"]
    assert data.facts["unlabelled_documents"] == {"dev": 4}
    assert data.facts["cut_from_train"] == {"dev": {"asked": 2, "got": 2}}
    assert not {e["doc"] for e in data.roles["dev"]} & {e["doc"] for e in data.roles["train"]}


def test_the_hubs_layout_with_exclusive_ends_and_a_dev_split_of_empty_lists(tmp_path):
    for role, count in (("train", 5), ("dev", 4), ("test", 2)):
        made = [
            {**item, "entities": [f"{b} {e} {kind}" for b, e, kind in item["entities"]] if role != "dev" else []}
            for item in rows(count, role)
        ]
        write(tmp_path, f"data/{role}.jsonl", jsonl(made))
    data = prepare(tmp_path, runne=True, dev=1)
    assert ("test-1", "CITY", "Tver") in found(data, "test")
    assert {role: len(made) for role, made in data.roles.items()} == {"train": 4, "dev": 1, "test": 2}
    assert data.facts["unlabelled_documents"] == {"dev": 4}


def test_the_hubs_parquet(tmp_path):
    import datasets

    for role, count in (("train", 5), ("dev", 4), ("test", 2)):
        made = [
            {"id": n, "text": item["text"], "entities": [] if role == "dev" else ["0 12 ORG", "8 12 CITY"]}
            for n, item in enumerate(rows(count, role))
        ]
        (tmp_path / f"default/{role}").mkdir(parents=True)
        datasets.Dataset.from_list(made).to_parquet(tmp_path / f"default/{role}/0000.parquet")
    data = prepare(tmp_path, runne=True, dev=1)
    assert ("test-1", "ORG", "Bank of Tver") in found(data, "test")


def test_documents_that_nobody_annotated_leave_dev_and_the_others_stay(tmp_path):
    for role, count in (("train", 3), ("test", 2)):
        write(tmp_path, f"{role}.jsonl", jsonl(rows(count, role)))
    bare = [{"id": 7, "text": "Nobody read this", "entities": []}]
    write(tmp_path, "dev.jsonl", jsonl([*rows(2, "dev"), *bare]))
    assert len(prepare(tmp_path, runne=True).roles["dev"]) == 2
    assert len(prepare(tmp_path).roles["dev"]) == 3


@pytest.mark.parametrize("entities", [
    [[0, 12, "ORG"], [8, 12, "CITY"]],
    [{"start": 0, "end": 12, "type": "ORG"}, {"start": 8, "end": 12, "label": "CITY"}],
    ["0 12 ORG", "8 12 CITY", "8 12 CITY"],
    ["T1\tORG 0 12\tBank of Tver", "T2\tCITY 8 12\tTver"],
])  # fmt: skip
def test_ways_to_write_entities(tmp_path, entities):
    texts = [{"text": f"Bank of Tver {n}", "entities": entities} for n in range(10)]
    write(tmp_path, "own.jsonl", jsonl(texts))
    data = prepare(tmp_path)
    assert {role: len(made) for role, made in data.roles.items()} == {"train": 7, "dev": 1, "test": 2}
    assert {m[1:] for role in ROLES for m in found(data, role)} == {("ORG", "Bank of Tver"), ("CITY", "Tver")}
    assert all(len(e["entities"]) == 2 for role in ROLES for e in data.roles[role])


def test_ends_are_what_the_params_say(tmp_path):
    write(tmp_path, "own.jsonl", jsonl([{"text": f"Tver {n}", "spans": [[0, 3, "CITY"]]} for n in range(10)]))
    data = prepare(tmp_path, ends="inclusive")
    assert all(m[2] == "Tver" for role in ROLES for m in found(data, role))


def test_brat_folders_with_tabs_parts_and_a_byte_order_mark(tmp_path):
    brat(tmp_path, "train/a", "\ufeffBank\tof Tver and Riga", "T1\tORG 1 13\tBank\tof Tver", "R1\tX Arg1:T1 Arg2:T1",
         "T2\tCITY 9 13;18 22\tTver Riga")  # fmt: skip
    brat(tmp_path, "train/test_b", "Tver and nothing", "T1\tCITY 0 4\tTver")
    brat(tmp_path, "test_full/c", "In Riga", "T1\tCITY 3 7\tRiga")
    data = prepare(tmp_path, dev=1)
    mentions = {m[1:] for role in ROLES for m in found(data, role)}
    assert mentions == {("ORG", "Bank\tof Tver"), ("CITY", "Tver"), ("CITY", "Riga")}
    assert [e["doc"] for e in data.roles["test"]] == ["test_full/c"]
    assert data.facts["reading"]["discontinuous"] == data.facts["reading"]["other_annotations"] == 1


def test_parts_of_a_document_stay_together_and_files_that_repeat_count_once(tmp_path):
    for base in range(8):
        for part in ("_part_0", "_part_1_", "_part_2"):
            brat(tmp_path, f"train/{base}_5{part}", f"Tver {base} {part}", "T1\tCITY 0 4\tTver")
    brat(tmp_path, "train/0_5", "Tver 0 _part_0", "T1\tCITY 0 4\tTver")
    brat(tmp_path, "train/1_5", "Tver 1 _part_0", "T1\tTOWN 0 4\tTver")
    brat(tmp_path, "test_full/x", "Riga", "T1\tCITY 0 4\tRiga")
    for seed in range(4):
        data = rebus(dev=7, split_seed=seed).prepare(source_of(tmp_path), ROLES)
        bases = {role: {e["doc"].split("_")[0] for e in data.roles[role]} for role in ROLES}
        assert not bases["train"] & bases["dev"]
        assert {len(data.roles["dev"]), len(bases["dev"])} == {6, 2}
        assert data.facts["duplicates_in_train"] == {"dropped": 2, "annotated_otherwise": 1}


# ----------------------------------------------------------------------------------------------------------- examples


def test_sentences_are_joined_up_to_so_many_words_and_lines_end_them():
    text = "Anna sang. Bo ran.\r\nLi \t\n\n  Tver is a town far away. Ok"
    parts = stretches(text, 6)
    assert [text[part.begin : part.end] for part in parts] == [
        "Anna sang. Bo ran.",
        "Li",
        "Tver is a town far away.",
        "Ok",
    ]
    assert [text[a:b] for a, b in parts[0].words] == ["Anna", "sang", ".", "Bo", "ran", "."]
    assert [text[part.begin : part.end] for part in stretches(text, 60)] == [text]
    assert stretches(" \n\u200b", 5) == []


def test_examples_have_places_of_their_own_and_every_mention_once(tmp_path):
    text = "Anna sang in Tver. Bo ran.\nLi left us"
    own = row(text, "A:Anna", "A:Tver. Bo", "B:Bo", "C:.\nLi", "D:Li left", "E:eft", "F:Li left", id="x")
    own["entities"] += [[27, 29, "D"], [30, 34, "D"]]
    write(tmp_path, "train.jsonl", jsonl([own]))
    write(tmp_path, "dev.jsonl", jsonl(rows(1)))
    write(tmp_path, "test.jsonl", jsonl([own]))
    data = prepare(tmp_path, max_words=5, without_entities="labelled")
    made = data.roles["test"]
    assert [(e["id"], e["doc"], e["begin"], e["text"]) for e in made] == [
        ("test-x/0", "test-x", 0, "Anna sang in Tver."),
        ("test-x/1", "test-x", 19, "Bo ran."),
        ("test-x/2", "test-x", 27, "Li left us"),
    ]
    for e in made:
        assert text[e["begin"] :].startswith(e["text"])
    assert [e["entities"] for e in made] == [
        [[0, 4, "A"], [13, 21, "A"]],
        [[0, 2, "B"], [6, 10, "C"]],
        [[0, 7, "D"], [0, 7, "F"], [0, 2, "D"], [3, 7, "D"], [4, 7, "E"]],
    ]
    assert data.facts["representation"]["test"] == {
        "kept": 4, "crosses_border": 2, "cuts_word": 1, "nested_in_its_type": 2
    }  # fmt: skip
    ceiling = data.facts["ceilings"]["test"]
    assert (ceiling["precision"], ceiling["recall"]) == (1.0, round(4 / 9, 4))
    assert data.facts["also_in_train"] == {"dev": 0, "test": 1}
    assert {name: len(ids) for name, ids in data.roles.items()} == {"train": 3, "dev": 1, "test": 3}


def test_empty_documents_are_counted(tmp_path):
    write(tmp_path, "own.jsonl", jsonl([*rows(10), {"text": "", "entities": [], "id": "e"}, row(" \u200b ", id="f")]))
    data = prepare(tmp_path, dev=3, test=3)
    assert data.facts["reading"]["empty_documents"] == 2
    assert sum(map(len, data.roles.values())) == 10


def test_empty_texts_of_brat_are_counted_and_cannot_hold_anything(tmp_path):
    for role in ROLES:
        brat(tmp_path, f"{role}/a", "Tver", "T1\tCITY 0 4\tTver")
    brat(tmp_path, "train/b", "")
    brat(tmp_path, "train/c", "\n \n")
    data = prepare(tmp_path)
    assert data.facts["reading"]["empty_documents"] == 2
    assert [e["doc"] for e in data.roles["train"]] == ["train/a"]
    brat(tmp_path, "train/b", "", "T1\tCITY 0 1\tT")
    assert "train/b.ann:1: characters 0 to 1 of a text of 0" in failure(tmp_path)


def test_what_overlaps_is_counted_whatever_examples_the_documents_are_cut_into(tmp_path):
    """Places in 'Anna sang in Tver. Bo ran.': one of them reaches over the border of two examples."""
    entities = [[0, 17, "A"], [0, 4, "A"], [13, 17, "B"], [13, 17, "C"], [10, 21, "B"], [19, 21, "C"], [19, 25, "A"]]
    for role in ROLES:
        write(tmp_path, f"{role}.jsonl", jsonl([{"text": f"Anna sang in Tver. Bo ran {role}", "entities": entities}]))
    for words in (5, 60):
        facts = prepare(tmp_path, max_words=words).facts
        assert facts["overlaps"]["test"] == {
            "inside_another": 4, "inside_one_of_its_type": 2, "crossing_pairs": 2, "same_place_pairs": 1,
        }  # fmt: skip
        assert ("crosses_border" in facts["representation"]["test"]) == (words == 5)


def test_parts_of_discontinuous_entities_and_repeated_ones_are_counted_in_tables_too(tmp_path):
    entities = ["T1\tCITY 0 4;5 9\tTver Riga", "T2\tCITY 0 4\tTver", "5 9 TOWN"]
    write(tmp_path, "own.jsonl", jsonl([{"text": f"Tver Riga {n}", "entities": entities} for n in range(10)]))
    data = prepare(tmp_path)
    reading = {name: data.facts["reading"][name] for name in ("discontinuous", "duplicate_mentions", "mentions")}
    assert reading == {"discontinuous": 10, "duplicate_mentions": 10, "mentions": 40}
    assert {m[1:] for m in found(data, "train")} == {("CITY", "Tver"), ("CITY", "Riga"), ("TOWN", "Riga")}


def test_slices_nest_and_the_order_of_files_does_not_matter(tmp_path):
    write(tmp_path / "a", "own.jsonl", jsonl(rows(30)))
    write(tmp_path / "b", "own.jsonl", jsonl(reversed(rows(30))))
    whole = prepare(tmp_path / "a")
    assert prepare(tmp_path / "b").roles == whole.roles
    some = prepare(tmp_path / "a", limit={"train": 5, "test": 100})
    assert some.roles["train"] == whole.roles["train"][:5]
    assert some.facts["limit_larger_than_data"] == {"test": {"asked": 100, "kept": 6}}
    assert prepare(tmp_path / "a", split_seed=1).roles["test"] != whole.roles["test"]


# ----------------------------------------------------------------------------------------------------------- transfer


def test_transfer_sets_are_texts_without_labels(tmp_path):
    competition(tmp_path)
    whole = prepare(tmp_path, ("transfer",), runne=True, dev=2)
    train = prepare(tmp_path, runne=True, dev=2).roles["train"]
    texts = {e["text"] for e in whole.roles["transfer"]}
    assert len(texts) == 4 + 4
    assert texts >= {e["text"] for e in train}
    assert not any(e["text"].startswith("Bank of Tver te") for e in whole.roles["transfer"])
    assert all("entities" not in e for e in whole.roles["transfer"])
    assert task(True).target(whole.roles["transfer"][0], whole.labels) is None


@pytest.mark.parametrize("name", ["dev.jsonl", "news.jsonl", "news.txt"])
def test_a_file_alone_is_a_transfer_set(tmp_path, name):
    write(
        tmp_path,
        name,
        jsonl([{"text": "Anna sang."}, {"text": "Bo ran."}]) if name != "news.txt" else "Anna sang.\nBo ran.",
    )
    data = prepare(tmp_path, ("transfer",), runne=True)
    assert " ".join(e["text"] for e in data.roles["transfer"]).split() in (
        ["Anna", "sang.", "Bo", "ran."], ["Bo", "ran.", "Anna", "sang."],
    )  # fmt: skip


@pytest.mark.parametrize(
    "names",
    [
        ("news_train.jsonl", "news_validation.jsonl", "news_test.jsonl"),
        ("data/train/0.jsonl", "data/validation/0.jsonl", "data/test/0.jsonl"),
        ("a.txt", "more/b.txt", "c.txt"),
    ],
)
def test_folders_as_the_hub_has_them_are_transfer_sets(tmp_path, names):
    """A corpus of its own that comes in splits is read but for its test split, one that does not whole."""
    for number, name in enumerate(names):
        text = f"Anna sang {number} times."
        write(tmp_path, name, text if name.endswith("txt") else jsonl([{"text": text, "summary": "", "url": ""}]))
    data = prepare(tmp_path, ("transfer",), runne=True)
    texts = {e["text"] for e in data.roles["transfer"]}
    assert {f"Anna sang {number} times." for number in (0, 1)} <= texts
    assert len(texts) == (2 if "test/" in names[2] else 3)


def test_of_a_large_transfer_set_no_more_is_cut_than_is_asked_for(tmp_path, monkeypatch):
    from harness_ner import nested

    write(tmp_path, "news.jsonl", jsonl([{"text": f"Anna sang {n} times.\nBo ran."} for n in range(50)]))
    whole = prepare(tmp_path, ("transfer",), max_words=5).roles["transfer"]
    asked, right = [], nested.examples_of
    monkeypatch.setattr(nested, "examples_of", lambda document, words: asked.append(document) or right(document, words))
    some = prepare(tmp_path, ("transfer",), max_words=5, limit={"transfer": 7})
    assert some.roles["transfer"] == whole[:7]
    assert len(asked) == 4
    assert some.facts["limit_larger_than_data"] == {}


# ---------------------------------------------------------------------------------------------------------- bad input


def one(folder, *items: dict) -> None:
    write(folder, "own.jsonl", jsonl(items))


@pytest.mark.parametrize(
    ("items", "parts"),
    [
        ([{"text": "Tver", "entities": [[0, 9, "C"]]}], ["own.jsonl:1: C of characters 0 to 9", "a text of 4", "task.ends"]),
        ([{"text": "Tver", "entities": ["3 3 C"]}], ["own.jsonl:1: C of characters 3 to 3"]),
        ([{"text": "Tver", "entities": [[-1, 3, "C"]]}], ["C of characters -1 to 3"]),
        ([{"text": "", "entities": [[0, 1, "C"]]}], ["C of characters 0 to 1 (the last excluded) of a text of 0"]),
        ([{"text": "Tver", "entities": [[0, 4]]}], ["own.jsonl:1: 'entities'[0] is [0, 4] where", "Fix or remove it"]),
        ([{"text": "Tver", "entities": ["T1 C 0 4 Tver"]}], ["'entities'[0] is 'T1 C 0 4 Tver' where"]),
        ([{"text": "Tver", "entities": [[True, 4, "C"]]}], ["'entities'[0] is [True, 4, 'C'] where"]),
        ([{"text": "Tver", "entities": [[0, 4, " "]]}], ["'entities'[0] is [0, 4, ' '] where"]),
        ([{"text": "Tver", "entities": [f"0 {'9' * 5000} C"]}], ["own.jsonl:1: 'entities'[0] is '0 9999"]),
        ([{"text": "Tver", "entities": 3}], ["'entities' holds 3 where a list of entities"]),
        ([{"text": 4, "entities": []}], ["own.jsonl:1: 'text' holds 4 where a string was expected"]),
        ([{"words": ["Tver"]}], ["own.jsonl:1: a 'text' ('sentences', 'text')", "Columns: 'words'"]),
        ([{"id": 1, "text": "a", "entities": []}, {"id": 1, "text": "b", "entities": []}],
         ["own.jsonl:2: id '1' was used at", "own.jsonl:1 already", "Make ids unique"]),
        ([{"id": None, "text": "a", "entities": []}], ["'id' holds nothing where a name"]),
        ([{"text": "Tver", "entities": []}, {"text": "b"}], ["own.jsonl:2: 1 documents of the data have no labels", "[data.…]"]),
        ([{"text": f"a{n}", "entities": []} for n in range(20)], ["no document has an entity"]),
        ([row(f"Tver {n}", "C:Tver") for n in range(3)] + [{"text": " \n", "entities": [[0, 1, "C"]]}],
         ["own.jsonl:4: a C of characters 0 to 1 in a document without a word (' \\n')"]),
        ([row("Tver", "C:Tver")], ["the dev split is empty (examples: train 1, dev 0, test 0)"]),
    ],
)  # fmt: skip
def test_bad_tables_say_where_and_what(tmp_path, items, parts):
    one(tmp_path, *items)
    said = failure(tmp_path)
    for part in parts:
        assert part in said


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("T1 CITY 0 4 Tver", r"train/a.ann:2: 'T1 CITY 0 4 Tver' where 'T1<TAB>TYPE start end<TAB>text' was expected"),
        ("Пермь", r"train/a.ann:2: 'Пермь' where"),
        ("T1\tCITY 0 44\tTver", r"train/a.ann:2: characters 0 to 44 of a text of 8"),
        ("T1\tCITY 4 0\tTver", r"train/a.ann:2: characters 4 to 0 of a text of 8"),
        ("T1\tCITY 0 4;5 44\tTver Tve", r"train/a.ann:2: characters 5 to 44 of a text of 8"),
        ("T1\tCITY -1 4\tTver", r"train/a.ann:2: 'T1\tCITY -1 4\tTver' where"),
        ("T1\tCITY zero 4\tTver", r"train/a.ann:2: 'T1\tCITY zero 4\tTver' where"),
        ("T1\tCITY 0 4", r"train/a.ann:2: 'T1\tCITY 0 4' where"),
        (f"T1\tCITY 0 {'9' * 5000}\tTver", r"train/a.ann:2: 'T1\tCITY 0 99999"),
        ("T1\tCITY 0 4\tPerm", r"train/a.ann:2: characters 0 4 are 'Tver' in the text, and 'Perm' here"),
    ],
)
def test_broken_brat_lines_say_where_and_what(tmp_path, line, said):
    brat(tmp_path, "train/a", "Tver Tve", "", line)
    assert said in failure(tmp_path)
    assert "Fix the" in failure(tmp_path)


def test_documents_to_train_and_to_test_on_need_labels(tmp_path):
    brat(tmp_path, "train/a", "Tver", "T1\tCITY 0 4\tTver")
    write(tmp_path, "train/b.txt", "Nobody read this")
    said = failure(tmp_path)
    assert "train/b.txt: 1 documents of train have no labels. Give some (entities, an .ann file" in said
    competition(tmp_path / "c")
    (tmp_path / "c/test_with_answers.jsonl").unlink()
    said = failure(tmp_path / "c", runne=True)
    assert "test.jsonl:1" in said
    assert "3 documents of test have no labels" in said
    brat(tmp_path / "d", "train/a", "Tver")
    assert "without_entities" in failure(tmp_path / "d", runne=True)


def test_answers_without_texts_and_texts_with_two_answers(tmp_path):
    competition(tmp_path)
    answers = tmp_path / "test_with_answers.jsonl"
    whole = answers.read_text()
    answers.write_text(whole + jsonl([{"id": 9, "ners": []}]))
    assert "test_with_answers.jsonl:4: no test text has the id '9'" in failure(tmp_path, runne=True)
    answers.write_text(whole + jsonl([{"id": 0, "ners": []}]))
    assert "test_with_answers.jsonl:4: id '0' was used at" in failure(tmp_path, runne=True)
    answers.write_text(jsonl([{"id": 0, "ners": [[0, 99, "ORG"]]}]))
    assert "test_with_answers.jsonl:1: ORG of characters 0 to 100" in failure(tmp_path, runne=True)
    answers.write_text(whole)
    write(tmp_path, "test.jsonl", jsonl([{"id": n, "sentences": "Bank of Tver", "ners": []} for n in range(3)]))
    assert "which has labels at" in failure(tmp_path, runne=True, without_entities="labelled")


def test_files_that_could_all_be_the_data(tmp_path):
    write(tmp_path, "a.jsonl", jsonl(rows(9)))
    write(tmp_path, "b.jsonl", jsonl(rows(9)))
    assert "'a.jsonl', 'b.jsonl': which one is the data? Set task.files = ['a.jsonl']" in failure(tmp_path)
    assert "'c.jsonl' matches no file" in failure(tmp_path, files=["c.jsonl"])
    assert sum(map(len, prepare(tmp_path, files=["b*"]).roles.values())) == 9
    brat(tmp_path, "c", "Tver", "T1\tCITY 0 4\tTver")
    assert "brat files and 'a.jsonl', 'b.jsonl': which are the data?" in failure(tmp_path)
    (tmp_path / "c.txt").unlink()
    assert "c.txt: this text of a brat annotation is not there" in failure(tmp_path, files=["c.ann"])


def test_two_folders_to_test_on(tmp_path):
    for folder in ("train", "test_full", "test_ner_only"):
        brat(tmp_path, f"{folder}/a", f"Tver {folder}", "T1\tCITY 0 4\tTver")
        brat(tmp_path, f"{folder}/b", f"Riga {folder}", "T1\tCITY 0 4\tRiga")
    said = failure(tmp_path)
    assert "'test_full', 'test_ner_only' could all be the test set" in said
    data = prepare(tmp_path, files=["train*/*", "test_full/*"], dev=1)
    assert [e["doc"] for e in data.roles["test"]] in (["test_full/a", "test_full/b"], ["test_full/b", "test_full/a"])
    assert set(data.facts["files"]) == {"train/*", "test_full/*"}


def test_nothing_to_read(tmp_path):
    write(tmp_path, "notes.csv", "a,b\n")
    assert "no .jsonl, .parquet or .ann among 'notes.csv'" in failure(tmp_path)


def test_transfer_is_asked_for_alone(tmp_path):
    write(tmp_path, "own.jsonl", jsonl(rows(9)))
    with pytest.raises(AssetError, match="'transfer' was asked for beside"):
        prepare(tmp_path, ("train", "transfer"))
