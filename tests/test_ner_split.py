"""Who goes where: files' roles, splits that are cut here, slices that nest, labels and critical types."""

from __future__ import annotations

from ner_helpers import columns, entities, everyone, failure, prepare, write

ORG, PER, LOC = "EU:B-ORG fell:O", "Ann:B-PER sang:O", "Oslo:B-LOC slept:O"


def numbered(count: int, tag: str = "B-PER") -> str:
    return columns(*(f"n{i}:{tag} sang:O" for i in range(count)))


def sizes(data) -> dict[str, int]:
    return {role: len(examples) for role, examples in data.roles.items()}


def test_published_splits_are_taken_as_they_are_and_repeats_are_counted(tmp_path):
    write(tmp_path, "train.txt", columns(ORG, PER, LOC, PER))
    write(tmp_path, "valid.txt", columns(PER, "Bo:B-PER"))
    write(tmp_path, "test.txt", columns(ORG, PER, PER))
    data = prepare(tmp_path)
    assert sizes(data) == {"train": 4, "dev": 2, "test": 3}
    assert data.facts["also_in_train"] == {"dev": 1, "test": 3}
    assert data.facts["test_also_in_dev"] == 2
    assert data.facts["roles"]["train"]["duplicates"] == 1
    assert data.facts["cut_from_train"] == {}


def test_splits_cut_here_keep_equal_sentences_on_one_side(tmp_path):
    write(tmp_path, "data.conll", "\n\n".join(columns(f"n{i}:B-PER") for i in range(40) for _ in range(3)))
    data = prepare(tmp_path, dev=0.2, test=30)
    assert data.facts["cut_from_train"] == {"test": {"asked": 30, "got": 30}, "dev": {"asked": 0.2, "got": 24}}
    texts = {role: {e["text"] for e in examples} for role, examples in data.roles.items()}
    assert not texts["train"] & texts["test"] | texts["train"] & texts["dev"] | texts["dev"] & texts["test"]
    assert data.facts["also_in_train"] == {"dev": 0, "test": 0}
    assert data.facts["duplicates"] == 80


def test_roles_that_files_lack_are_cut_from_train(tmp_path):
    write(tmp_path, "train.txt", numbered(20))
    write(tmp_path, "test.txt", columns(ORG))
    data = prepare(tmp_path, dev=5)
    assert sizes(data) == {"train": 15, "dev": 5, "test": 1}


def test_another_seed_is_another_split_and_file_order_does_not_matter(tmp_path):
    write(tmp_path / "a", "data.txt", numbered(60))
    write(tmp_path / "b", "data.txt", "\n\n".join(reversed(numbered(60).strip().split("\n\n"))))
    texts = [
        {e["text"] for e in prepare(tmp_path / name, split_seed=seed).roles["test"]}
        for name, seed in (("a", 0), ("a", 1), ("b", 0))
    ]
    assert texts[0] == texts[2] != texts[1]


def test_slices_nest_and_too_large_ones_are_said(tmp_path):
    write(tmp_path, "train.txt", numbered(50))
    ids = [[e["id"] for e in prepare(tmp_path, limit=limit, dev=5, test=5).roles["train"]] for limit in (10, 25, 40)]
    assert [len(found) for found in ids] == [10, 25, 40]
    assert ids[0] == ids[2][:10]
    assert ids[1] == ids[2][:25]
    data = prepare(tmp_path, limit={"test": 3, "dev": 9}, dev=5, test=5)
    assert sizes(data) == {"train": 40, "dev": 5, "test": 3}
    assert data.facts["limit_larger_than_data"] == {"dev": {"asked": 9, "kept": 5}}


def test_ids_are_unique_over_roles_and_files(tmp_path):
    write(tmp_path, "train-0.txt", numbered(5))
    write(tmp_path, "train-1.txt", numbered(5, "B-LOC"))
    ids = [e["id"] for e in everyone(prepare(tmp_path, dev=2, test=2))]
    assert sorted(ids) == [f"train-{i}" for i in range(10)]


def test_labels_follow_the_published_order_else_the_alphabet(tmp_path):
    write(tmp_path, "train.txt", columns("Ann:B-PER Oslo:B-LOC", "EU:B-ORG", "Zed:B-AGE", "a:O", "b:O"))
    assert prepare(tmp_path, dev=1, test=1, conll=True).labels == (
        "O", "B-PER", "I-PER", "B-ORG", "I-ORG", "B-LOC", "I-LOC", "B-AGE", "I-AGE",
    )  # fmt: skip
    assert prepare(tmp_path, dev=1, test=1).labels[1::2] == ("B-AGE", "B-LOC", "B-ORG", "B-PER")


def test_entities_and_lengths_are_facts(tmp_path):
    write(tmp_path, "train.txt", columns("Ann:B-PER Lee:I-PER met:O Bo:B-PER", ORG))
    write(tmp_path, "dev.txt", columns(LOC))
    write(tmp_path, "test.txt", columns(PER))
    data = prepare(tmp_path)
    assert data.facts["roles"]["train"] == {
        "examples": 2,
        "duplicates": 0,
        "entities": {"ORG": 1, "PER": 2},
        "words": {"all": 6, "median": 3.0, "p95": 3.9, "max": 4},
    }
    assert {kind for e in everyone(data) for kind, _ in entities(e)} == {"PER", "ORG", "LOC"}


def test_a_critical_type_that_the_data_does_not_have_is_named(tmp_path):
    write(tmp_path, "train.txt", numbered(10))
    said = failure(tmp_path, critical=["PRE"])
    assert f"{tmp_path}: task.critical: the data has no type 'PRE'. Did you mean 'PER'? Its types: 'PER'" in said
    assert "no type 'ORG'. Its types: 'PER'" in failure(tmp_path, conll=True)


def test_an_empty_split_is_named(tmp_path):
    write(tmp_path, "train.txt", columns(PER, PER, PER))
    said = failure(tmp_path, dev=1, test=1)
    assert "the dev split is empty (train 3, dev 0, test 0). Give a file named 'dev…'" in said
