"""Splits: exact, stratified, nested, the same whatever the order of the file, no duplicate on two sides."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness import AssetError, Source
from harness_sentiment.plugin import RuReviewsParams, SentimentParams
from harness_sentiment.reviews import Review, normalise
from harness_sentiment.splitting import carve, groups, quotas, stratified_order
from harness_sentiment.task import Sentiment

ROLES = ("train", "dev", "test")


def prepare(folder: Path, params=None, roles=ROLES, **values):
    files = tuple(sorted(path.name for path in folder.iterdir()))
    return Sentiment(params or SentimentParams.model_validate(values)).prepare(Source("a test", folder, files), roles)


def write(folder: Path, name: str, rows) -> None:
    folder.mkdir(exist_ok=True)
    (folder / name).write_text("text\tlabel\n" + "".join(f"{text}\t{label}\n" for text, label in rows), "utf-8")


def sides(data) -> dict[str, set[str]]:
    """normalised text → the roles it is in."""
    found: dict[str, set[str]] = {}
    for role, examples in data.roles.items():
        for example in examples:
            found.setdefault(normalise(example["text"]), set()).add(role)
    return found


def classes(examples) -> dict[str, int]:
    return dict(Counter(example["label"] for example in examples))


def balanced(count: int) -> list[tuple[str, str]]:
    return [(f"отзыв номер {i}", "abc"[i % 3]) for i in range(count)]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Ёлка  Зелёная", "елка зеленая"),
        ("хоро\u200bшо", "хорошо"),
        ("ﬁne №5", "FINE No5"),
        ("a\u00a0b\n\tc ", "a b c"),
        ("straße", "STRASSE"),
        ("да\x9d\x07!", "да!"),
        ("е\u0308лка", "елка"),
        ("one\x85two", "one two"),
    ],
)
def test_same_after_normalisation(one, other):
    assert normalise(one) == normalise(other)


@pytest.mark.parametrize(("one", "other"), [("хорошо!", "хорошо"), ("не плохо", "неплохо"), ("👍", "👎"), ("1", "2")])
def test_different_after_normalisation(one, other):
    assert normalise(one) != normalise(other)


def test_shares_of_the_whole_by_default(tmp_path):
    write(tmp_path, "all.tsv", balanced(600))
    data = prepare(tmp_path)
    assert {role: len(examples) for role, examples in data.roles.items()} == {"train": 510, "dev": 30, "test": 60}
    assert classes(data.roles["test"]) == {"a": 20, "b": 20, "c": 20}
    assert data.facts["cut_from_train"] == {"test": {"asked": 0.1, "got": 60}, "dev": {"asked": 0.05, "got": 30}}


def test_counts_are_exact_with_unequal_classes_and_duplicates(tmp_path):
    rows = [(f"text {i}", "rare" if i % 7 == 0 else "often") for i in range(300)]
    rows += [(text.upper(), label) for text, label in rows[:40]]
    write(tmp_path, "all.tsv", rows)
    data = prepare(tmp_path, dev=34, test=68)
    assert {role: len(examples) for role, examples in data.roles.items()} == {"train": 238, "dev": 34, "test": 68}
    shares = {role: classes(examples)["rare"] / len(examples) for role, examples in data.roles.items()}
    whole = sum(label == "rare" for _, label in rows) / len(rows)
    assert all(abs(share - whole) < 1 / 34 for share in shares.values())
    assert all(len(roles) == 1 for roles in sides(data).values())
    assert data.facts["duplicates"]["normalised"] == 40
    assert data.facts["duplicates"]["exact"] == 0


def test_order_of_the_file_and_position_of_a_class_do_not_matter(tmp_path):
    rows = balanced(240)
    write(tmp_path / "sorted", "all.tsv", sorted(rows, key=lambda row: row[1]))
    rows.reverse()
    write(tmp_path / "reversed", "all.tsv", rows)
    one, other = prepare(tmp_path / "sorted"), prepare(tmp_path / "reversed")
    for role in ROLES:
        assert [e["text"] for e in one.roles[role]] == [e["text"] for e in other.roles[role]], role


def test_another_seed_is_another_split(tmp_path):
    write(tmp_path, "all.tsv", balanced(240))
    tests = [{e["text"] for e in prepare(tmp_path, split_seed=seed).roles["test"]} for seed in (0, 0, 1)]
    assert tests[0] == tests[1] != tests[2]


def test_examples_do_not_come_in_the_order_of_classes(tmp_path):
    write(tmp_path, "all.tsv", sorted(balanced(300), key=lambda row: row[1]))
    labels = [example["label"] for example in prepare(tmp_path).roles["train"]]
    assert set(labels[:9]) == {"a", "b", "c"}


def test_roles_that_files_give_are_kept_and_leaks_removed_from_train_and_dev(tmp_path):
    write(tmp_path, "train.tsv", [("one", "a"), ("two", "b"), ("Three!", "a"), ("four", "b"), ("two", "b")])
    write(tmp_path, "dev.tsv", [("three!", "a"), ("FOUR", "a"), ("five", "b")])
    write(tmp_path, "test.tsv", [("Four", "b"), ("six", "a")])
    data = prepare(tmp_path)
    assert {role: sorted(e["text"] for e in examples) for role, examples in data.roles.items()} == {
        "train": ["one", "two", "two"],
        "dev": ["five", "three!"],
        "test": ["Four", "six"],
    }
    assert data.facts["removed_because_in_another_split"] == {"train": 2, "dev": 1}
    assert data.facts["duplicates"]["conflicting_groups"] == 1
    (conflict,) = data.facts["duplicates"]["conflicting_examples"]
    assert sorted(conflict["labels"].values()) == ["a", "b", "b"]


def test_a_missing_role_is_cut_from_train_and_only_that(tmp_path):
    write(tmp_path, "train.tsv", balanced(300))
    write(tmp_path, "test.tsv", [("t1", "a"), ("t2", "b"), ("t3", "c")])
    data = prepare(tmp_path, dev=30)
    assert {role: len(examples) for role, examples in data.roles.items()} == {"train": 270, "dev": 30, "test": 3}
    assert list(data.facts["cut_from_train"]) == ["dev"]


def test_a_given_role_that_ends_up_empty_is_an_error_and_never_cut_silently(tmp_path):
    write(tmp_path, "train.tsv", balanced(30))
    write(tmp_path, "dev.tsv", [("same", "a")])
    write(tmp_path, "test.tsv", [("Same", "b")])
    with pytest.raises(AssetError, match=r"the dev split is empty \(test 1, dev 0, train 30\)"):
        prepare(tmp_path)


def test_sizes_that_leave_nothing_to_train_on(tmp_path):
    write(tmp_path, "all.tsv", balanced(30))
    with pytest.raises(AssetError, match="the train split is empty.*task.dev and task.test to smaller counts"):
        prepare(tmp_path, dev=1500, test=3000)


def test_limits_nest_are_stratified_and_leave_other_roles_alone(tmp_path):
    rows = [(f"text {i}", "rare" if i % 5 == 0 else "often") for i in range(500)]
    write(tmp_path, "all.tsv", rows)
    whole = prepare(tmp_path)
    slices = [prepare(tmp_path, limit=size) for size in (50, 150)]
    texts = [[e["text"] for e in data.roles["train"]] for data in (*slices, whole)]
    assert [len(part) for part in texts] == [50, 150, 425]
    assert set(texts[0]) < set(texts[1]) < set(texts[2])
    assert classes(slices[0].roles["train"]) == {"rare": 10, "often": 40}
    assert all(data.roles["test"] == whole.roles["test"] for data in slices)
    by_role = prepare(tmp_path, limit={"train": 60, "test": 10})
    assert {role: len(examples) for role, examples in by_role.roles.items()} == {"train": 60, "dev": 25, "test": 10}


def test_a_limit_above_the_data_is_said(tmp_path):
    write(tmp_path, "all.tsv", balanced(300))
    data = prepare(tmp_path, limit=27_000)
    assert len(data.roles["train"]) == 255
    assert data.facts["limit_larger_than_data"] == {"train": {"asked": 27_000, "kept": 255}}


def test_a_subset_of_roles_is_the_same_split(tmp_path):
    write(tmp_path, "all.tsv", balanced(300))
    assert prepare(tmp_path, roles=("dev",)).roles == {"dev": prepare(tmp_path).roles["dev"]}


# ------------------------------------------------------------------------------------------------------------ properties

REVIEWS = st.lists(st.tuples(st.integers(0, 30), st.sampled_from("abc")), min_size=1, max_size=80)


def pool(pairs) -> list[Review]:
    return [Review(str(i), f"text {n}", label, f"text {n}", None) for i, (n, label) in enumerate(pairs)]


@settings(max_examples=60, deadline=None)
@given(REVIEWS, st.integers(0, 80))
def test_carving_splits_no_group_loses_nothing_and_never_exceeds(pairs, size):
    reviews = pool(pairs)
    part, rest = carve(reviews, min(size, len(reviews)), seed=3)
    assert Counter(r.id for r in part + rest) == Counter(r.id for r in reviews)
    assert not {r.key for r in part} & {r.key for r in rest}
    assert len(part) <= size
    if len(groups(reviews, 0)) == len(reviews):
        assert len(part) == min(size, len(reviews))


@settings(max_examples=60, deadline=None)
@given(REVIEWS)
def test_every_beginning_of_the_stratified_order_has_the_class_shares(pairs):
    reviews = pool(pairs)
    order = stratified_order(reviews, seed=1)
    whole = Counter(r.label for r in reviews)
    for end in range(1, len(order) + 1):
        seen = Counter(r.label for r in order[:end])
        assert all(abs(seen[label] - end * count / len(order)) < 2 for label, count in whole.items())


@settings(max_examples=60, deadline=None)
@given(st.dictionaries(st.sampled_from("abcdef"), st.integers(1, 50), min_size=1), st.integers(0, 300))
def test_quotas_add_up_and_stay_within_one(counts, size):
    size = min(size, sum(counts.values()))
    shares = quotas(counts, size)
    assert sum(shares.values()) == size
    assert all(abs(shares[name] - size * count / sum(counts.values())) < 1 for name, count in counts.items())


# ------------------------------------------------------------------------------------------------------------- real data


@pytest.fixture(scope="module")
def real():
    root = Path(os.environ.get("HARNESS_DATA_DIR", "")) / "rureviews"
    if "HARNESS_DATA_DIR" not in os.environ or not root.is_dir():
        pytest.skip("HARNESS_DATA_DIR with a folder rureviews is not set")
    return prepare(root, RuReviewsParams(dev=1500, test=3000))


def test_real_reviews_split_as_the_suite_says(real):
    sizes = {role: len(examples) for role, examples in real.roles.items()}
    assert sizes == {"train": 25_499, "dev": 1_500, "test": 3_000}, "25,500 less the one text that is blank"
    assert real.facts["empty_texts"] == 1
    assert real.labels == ("negative", "neutral", "positive")
    assert classes(real.roles["test"]) == {"negative": 1000, "neutral": 1000, "positive": 1000}
    assert classes(real.roles["dev"]) == {"negative": 500, "neutral": 500, "positive": 500}


def test_real_reviews_have_no_text_on_two_sides(real):
    assert all(len(roles) == 1 for roles in sides(real).values())
    assert real.facts["duplicates"]["exact"] == 0
    assert real.facts["duplicates"]["normalised"] > 150
    assert len(real.facts["duplicates"]["conflicting_examples"]) == 5


def test_real_hub_files_lose_their_leaks(real, tmp_path):
    source = Path(os.environ["HARNESS_DATA_DIR"]) / "rureviews"
    (tmp_path / "train.jsonl").symlink_to((source / "validation.jsonl").resolve())
    (tmp_path / "test.jsonl").symlink_to((source / "test.jsonl").resolve())
    data = prepare(tmp_path, RuReviewsParams(dev=1500))
    assert len(data.roles["test"]) == 15_000 or data.facts["empty_texts"] == 1
    assert data.facts["removed_because_in_another_split"]["train"] > 80
    assert all(len(roles) == 1 for roles in sides(data).values())
