"""What the sentiment task accepts as reviews, and what it says about everything else."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest
from pydantic import ValidationError

from harness import AssetError, Prepared, Source
from harness_sentiment.plugin import RuReviewsParams, SentimentParams
from harness_sentiment.task import Sentiment

ROLES = ("train", "dev", "test")


def write(folder: Path, name: str, content: str | bytes) -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def prepare(folder: Path, roles=ROLES, rureviews: bool = False, **params) -> Prepared:
    files = tuple(sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()))
    values = (RuReviewsParams if rureviews else SentimentParams).model_validate(params)
    return Sentiment(values).prepare(Source("a test", folder, files), roles)


def failure(folder: Path, **params) -> str:
    with pytest.raises(AssetError) as caught:
        prepare(folder, **params)
    return str(caught.value)


def table(count: int = 30, labels=("bad", "good"), head: str = "text,label", join: str = ",") -> str:
    return "\n".join([head, *(f"review number {i}{join}{labels[i % len(labels)]}" for i in range(count))]) + "\n"


def texts(examples) -> set[str]:
    return {example["text"] for example in examples}


def jsonl(rows) -> str:
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


def everything(data: Prepared) -> dict[str, dict]:
    return {example["id"]: example for examples in data.roles.values() for example in examples}


# ---------------------------------------------------------------------------------------------------- layouts, columns


def test_author_layout_maps_the_misspelt_class_and_ids_follow_names(tmp_path):
    body = table(60, ("positive", "neautral", "negative"), "review\tsentiment", "\t")
    write(tmp_path, "women.tsv", body)
    data = prepare(tmp_path, rureviews=True)
    assert data.labels == ("negative", "neutral", "positive")
    assert {example["label"] for example in everything(data).values()} == set(data.labels)
    (example,) = [e for e in everything(data).values() if e["text"] == "review number 1"]
    assert example == {"id": "3", "text": "review number 1", "label": "neutral"}
    assert Sentiment(SentimentParams()).target(example, data.labels) == 1


def test_author_file_under_its_csv_name_is_read_by_its_header(tmp_path):
    write(tmp_path, "women.balanced.csv", table(60, ("negative", "neautral", "positive"), "review\tsentiment", "\t"))
    assert prepare(tmp_path, rureviews=True).labels == ("negative", "neutral", "positive")


def test_hub_layout_reads_label_text_and_not_the_number(tmp_path):
    for role in ("train", "validation", "test"):
        rows = [
            {"text": f"{role} {i}", "label_text": name, "label": 2 - i % 3, "id": str(i)}
            for i, name in enumerate(["negative", "neutral", "positive"] * 4)
        ]
        write(tmp_path, f"{role}.jsonl", jsonl(rows))
    write(tmp_path, "README.md", "not data")
    data = prepare(tmp_path, rureviews=True)
    assert {role: len(examples) for role, examples in data.roles.items()} == {"train": 12, "dev": 12, "test": 12}
    assert all(example["text"].startswith("test") for example in data.roles["test"])
    assert all(example["text"].startswith("validation") for example in data.roles["dev"])
    assert data.labels == ("negative", "neutral", "positive")
    assert len(everything(data)) == 36, "ids repeat between the hub's files and must not here"
    assert data.facts["files_left_out"] == ["README.md"]


def test_single_table_wins_where_no_train_file_is(tmp_path):
    write(tmp_path, "all.tsv", table(40, join="\t", head="text\tlabel"))
    write(tmp_path, "test.jsonl", jsonl([{"text": "x", "label": "good"}]))
    write(tmp_path, "validation.jsonl", jsonl([{"text": "x", "label": "good"}]))
    data = prepare(tmp_path)
    assert sum(map(len, data.roles.values())) == 40
    assert data.facts["files_left_out"] == ["test.jsonl", "validation.jsonl"]
    assert data.facts["files"] == {"all.tsv": {"rows": 40, "role": "split"}}


def test_two_tables_are_refused_until_files_names_them(tmp_path):
    write(tmp_path, "a.csv", table(20))
    write(tmp_path, "b.csv", table(20).replace("number", "count"))
    assert "which one is the data?" in failure(tmp_path)
    assert sum(map(len, prepare(tmp_path, files=["a.csv"]).roles.values())) == 20
    joined = prepare(tmp_path, files=["*.csv"])
    assert sum(map(len, joined.roles.values())) == 40
    assert {name.split(":")[0] for name in everything(joined)} == {"a", "b"}


def test_files_that_match_nothing_are_named(tmp_path):
    write(tmp_path, "reviews.csv", table())
    message = failure(tmp_path, files=["review.csv"])
    assert "'review.csv' matches no file of a test. Did you mean 'reviews.csv'?" in message


@pytest.mark.parametrize(
    ("name", "role"),
    [
        ("train.jsonl", "train"),
        ("train-00000-of-00002.parquet", "train"),
        ("data/Valid.csv", "dev"),
        ("val.csv", "dev"),
        ("dev_2.csv", "dev"),
        ("test/0000.parquet", "test"),
        ("testimonials.csv", None),
        ("value.csv", None),
        ("devices.csv", None),
        ("my_test.csv", None),
    ],
)
def test_roles_by_name(name, role):
    from harness import role_of

    assert role_of(name) == role


def test_only_dev_and_test_files_cannot_be_trained_on(tmp_path):
    write(tmp_path, "dev.csv", table())
    write(tmp_path, "test.csv", table())
    assert "no file to train on among 'dev.csv', 'test.csv'" in failure(tmp_path)


@pytest.mark.parametrize(
    ("head", "said"),
    [
        ("text,review,label", "'text' and 'review' could each be the text column"),
        ("text,label,sentiment", "'sentiment' and 'label' could each be the label column"),
        ("body,label,x", "none of 'review', 'text' is there for the text column. Columns: 'body', 'label', 'x'"),
    ],
)
def test_columns_that_cannot_be_guessed_are_listed(tmp_path, head, said):
    write(tmp_path, "reviews.csv", f"{head}\na,b,c\n")
    message = failure(tmp_path)
    assert message.startswith(f"{tmp_path / 'reviews.csv'}:1: ")
    assert said in message
    assert "Set task." in message


def test_named_columns_and_a_wrong_one(tmp_path):
    write(tmp_path, "reviews.csv", table(head="body,stars"))
    data = prepare(tmp_path, text="body", label="stars")
    assert data.labels == ("bad", "good")
    assert "task.label: there is no column 'star'. Did you mean 'stars'?" in failure(
        tmp_path, text="body", label="star"
    )


def test_ids_must_be_unique(tmp_path):
    rows = [{"text": f"text {i}", "label": "ab"[i % 2], "id": i if i != 7 else 3} for i in range(20)]
    write(tmp_path, "reviews.jsonl", jsonl(rows))
    path = tmp_path / "reviews.jsonl"
    assert f"{path}:8: id '3' was used at {path}:4 already" in failure(tmp_path)


# --------------------------------------------------------------------------------------------------------------- labels


def test_labels_map_many_to_one_and_drop(tmp_path):
    write(tmp_path, "reviews.csv", table(50, ("1", "2", "3", "4", "5")))
    labels = {"1": "negative", "2": "negative", "3": "", "4": "positive", "5": "positive"}
    data = prepare(tmp_path, labels=labels)
    assert data.labels == ("negative", "positive")
    assert data.facts["dropped_class"] == 10
    assert sum(map(len, data.roles.values())) == 40


RATINGS = {"1": "negative", "2": "negative", "3": "neutral", "4": "positive", "5": "positive"}


def test_five_ratings_become_three_classes_whatever_the_order_of_map_and_rows(tmp_path):
    for name, ratings in (("up", "12345"), ("down", "54321")):
        rows = [{"text": f"text {rating} {i}", "label": int(rating)} for i in range(6) for rating in ratings]
        write(tmp_path / name, "reviews.jsonl", jsonl(rows))
    one = prepare(tmp_path / "up", labels=RATINGS)
    other = prepare(tmp_path / "down", labels=dict(reversed(RATINGS.items())))
    assert one.labels == other.labels == ("negative", "neutral", "positive")
    for example in everything(one).values():
        assert example["label"] == RATINGS[example["text"].split()[1]]
    targets = [
        {e["text"]: Sentiment(SentimentParams()).target(e, data.labels) for e in everything(data).values()}
        for data in (one, other)
    ]
    assert targets[0] == targets[1]


@pytest.mark.parametrize(
    "codes",
    [
        {"0": "neutral", "1": "positive", "2": "negative"},  # as the study of ruBert-tiny has them
        {"0": "negative", "1": "neutral", "2": "positive"},  # as the hub has them
    ],
    ids=["study", "hub"],
)
def test_codes_of_classes_are_names_and_never_ids(tmp_path, codes):
    write(
        tmp_path, "reviews.jsonl", jsonl({"text": f"text {i} {codes[str(i % 3)]}", "label": i % 3} for i in range(30))
    )
    data = prepare(tmp_path, rureviews=True, labels=codes)
    assert data.labels == ("negative", "neutral", "positive")
    for example in everything(data).values():
        assert data.labels[Sentiment(SentimentParams()).target(example, data.labels)] == example["text"].split()[2]


def test_two_class_mode_drops_a_class_in_either_of_its_spellings(tmp_path):
    write(tmp_path, "women.tsv", table(60, ("positive", "neautral", "negative", "neutral"), "review\tsentiment", "\t"))
    data = prepare(tmp_path, rureviews=True, labels={"negative": "negative", "neutral": "", "positive": "positive"})
    assert data.labels == ("negative", "positive")
    assert data.facts["dropped_class"] == 30
    assert {example["label"] for example in everything(data).values()} == {"negative", "positive"}


def test_duplicates_conflict_by_class_and_not_by_raw_label(tmp_path):
    rows = [(f"text {i}", rating) for i in range(50) for rating in "45"] + [("odd", "1"), ("Odd", "5"), ("ODD", "3")]
    write(tmp_path, "reviews.csv", "text,label\n" + "".join(f"{text},{rating}\n" for text, rating in rows))
    data = prepare(tmp_path, labels=RATINGS)
    assert data.facts["duplicates"]["normalised"] == 52
    assert data.facts["duplicates"]["conflicting_groups"] == 1
    (conflict,) = data.facts["duplicates"]["conflicting_examples"]
    assert sorted(conflict["labels"].values()) == ["negative", "neutral", "positive"]
    roles = {role for role, examples in data.roles.items() for e in examples if e["text"].lower() == "odd"}
    assert len(roles) == 1, "whatever they say, they stand on one side"


def test_numbers_in_json_are_labels_too(tmp_path):
    rows = [{"text": f"text {i}", "label": [0, 1.0, True][i % 3]} for i in range(30)]
    write(tmp_path, "reviews.jsonl", jsonl(rows))
    assert prepare(tmp_path).labels == ("0", "1", "true")


def test_every_label_outside_the_map_is_named_with_its_line(tmp_path):
    write(tmp_path, "reviews.csv", table(8, ("negative", "positive")) + "odd,positve\nodder,7\nodder still,7\n")
    first, second = failure(tmp_path, rureviews=True).split("\n")
    path = tmp_path / "reviews.csv"
    assert first.startswith(f"{path}:10: label 'positve' is not in task.labels. Did you mean 'positive'?")
    assert second.startswith(f"{path}:11: label '7' (and 1 more rows) is not in task.labels.")
    assert "Known: 'neautral', 'negative', 'neutral', 'positive'. Map it to a class there, or to ''" in second


def test_a_class_that_nothing_maps_to_is_a_mistake_in_the_map(tmp_path):
    write(tmp_path, "reviews.csv", table(20))
    message = failure(tmp_path, labels={"bad": "negative", "good": "positive", "meh": "neutral"})
    assert "no example of 'neutral', no row says 'meh'. Found: 'bad', 'good'" in message


def test_one_class_is_not_a_task(tmp_path):
    write(tmp_path, "reviews.csv", table(20, ("good",)))
    assert "every example is of class 'good'" in failure(tmp_path)


# --------------------------------------------------------------------------------------------------------- broken files


def test_not_utf8_says_byte_and_line(tmp_path):
    path = write(tmp_path, "reviews.csv", "text,label\nхорошо,good\n".encode() + "плохо,bad\n".encode("cp1251"))
    message = failure(tmp_path)
    offset = len("text,label\nхорошо,good\n".encode())
    assert message.startswith(f"{path}:3: byte {offset} (0xef) is not UTF-8.")
    assert "iconv" in message


@pytest.mark.parametrize("name", ["reviews.csv", "reviews.tsv", "reviews.jsonl"])
def test_empty_file(tmp_path, name):
    path = write(tmp_path, name, "")
    assert failure(tmp_path).startswith(f"{path}:1: the file holds no examples")


def test_header_only(tmp_path):
    path = write(tmp_path, "reviews.csv", "text,label\n")
    assert failure(tmp_path).startswith(f"{path}:1: the file holds no examples")


def test_ragged_row_is_placed_after_a_cell_of_many_lines(tmp_path):
    path = write(tmp_path, "reviews.csv", 'text,label\n"one\ntwo\nthree",good\nfour,bad,extra\n')
    message = failure(tmp_path)
    assert message.startswith(f"{path}:5: 3 cells where the header has 2 (text, label). Quote cells")


def test_unclosed_quote(tmp_path):
    path = write(tmp_path, "reviews.csv", 'text,label\na,good\n"never closed,bad\nb,good\n')
    assert failure(tmp_path).startswith(f"{path}:3: broken quoting (unexpected end of data)")


def test_column_named_twice(tmp_path):
    write(tmp_path, "reviews.csv", "text,text,label\na,b,c\n")
    assert "names ['text'] more than once" in failure(tmp_path)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('{"text": "half', "not JSON ("),
        ("[1, 2]", "a JSON list where an object was expected"),
        ("[" * 100_000, "not JSON ("),
        ('{"text": 7, "label": "a"}', "column 'text' holds 7 where a string was expected"),
        ('{"label": "a"}', "column 'text' holds nothing where a string was expected"),
        ('{"text": "x", "label": null}', "column 'label' holds None where a name or a whole number was expected"),
        ('{"text": "x", "label": " "}', "column 'label' holds ' ' where a name or a whole number was expected"),
        ('{"text": "x", "label": ["a"]}', "column 'label' holds ['a'] where a name or a whole number was expected"),
    ],
)
def test_broken_line_of_jsonl(tmp_path, line, said):
    rows = jsonl([{"text": "good", "label": "a"}, {"text": "bad", "label": "b"}])
    path = write(tmp_path, "reviews.jsonl", f"{rows}\n{line}\n")
    message = failure(tmp_path)
    assert message.startswith(f"{path}:4: ")
    assert said in message


def test_unknown_suffix_named_and_unnamed(tmp_path):
    path = write(tmp_path, "reviews.xlsx", b"PK")
    assert "no readable file among 'reviews.xlsx'. Readable: .csv, .jsonl, .parquet, .tsv" in failure(tmp_path)
    assert failure(tmp_path, files=["reviews.xlsx"]).startswith(f"{path}: files ending in '.xlsx' cannot be read.")


def test_wrong_delimiter_is_hinted(tmp_path):
    write(tmp_path, "reviews.csv", table(20, head="text|label", join="|"))
    assert "Columns: 'text|label' (if this is one column, set task.delimiter)" in failure(tmp_path)
    assert prepare(tmp_path, delimiter="|").labels == ("bad", "good")


# -------------------------------------------------------------------------------------------------------- strange texts


def test_line_breaks_huge_cells_byte_order_mark_and_odd_separators(tmp_path):
    csv.field_size_limit(131_072)
    texts = [
        "two\nlines",
        "x" * 200_000,
        "tab\there",
        "line\u2028separator\x85next",
        "quote \" and ''",
        "эмодзи 👍",
        "a",
    ]
    body = "".join(f'"{text.replace(chr(34), chr(34) * 2)}",{"ab"[i % 2]}\n' for i, text in enumerate(texts))
    write(tmp_path, "reviews.csv", "\ufefftext,label\n" + body)
    data = prepare(tmp_path, dev=1, test=1)
    assert sorted(example["text"] for example in everything(data).values()) == sorted(texts)
    assert csv.field_size_limit() == 131_072, "the process-wide limit of csv must be put back"


def test_jsonl_is_split_at_line_feeds_alone(tmp_path):
    texts = ["line\u2028separator", "next\x85line", "form\x0cfeed", "plain"]
    rows = [{"text": text, "label": "ab"[i % 2]} for i, text in enumerate(texts)]
    write(tmp_path, "reviews.jsonl", jsonl(rows))
    data = prepare(tmp_path, dev=1, test=1)
    assert sorted(example["text"] for example in everything(data).values()) == sorted(texts)


def test_texts_without_a_visible_sign_are_dropped_and_counted(tmp_path):
    texts = ["", "  ", "\u200b\u00a0", "\x07", None, "👍", ".", "ok", "no", "да", "нет", "a", "b"]
    write(tmp_path, "reviews.jsonl", jsonl({"text": text, "label": "ab"[i % 2]} for i, text in enumerate(texts)))
    data = prepare(tmp_path, dev=1, test=1)
    assert data.facts["empty_texts"] == 5
    assert sorted(example["text"] for example in everything(data).values()) == sorted(texts[5:])


def test_lone_surrogates_are_repaired_so_that_the_text_can_be_stored(tmp_path):
    lines = "".join(f'{{"text": "half \\ud83d {i}", "label": "{"ab"[i % 2]}"}}\n' for i in range(9))
    write(tmp_path, "reviews.jsonl", lines)
    data = prepare(tmp_path, dev=1, test=1)
    assert data.facts["repaired_surrogates"] == 9
    assert all("half \ufffd" in example["text"] for example in everything(data).values())
    json.dumps(data.facts, ensure_ascii=False).encode()


def test_parquet(tmp_path):
    datasets = pytest.importorskip("datasets")
    folder = tmp_path / "odd [name]*"
    folder.mkdir()
    columns = {"text": [f"text {i}" for i in range(20)], "label": [i % 2 for i in range(20)]}
    datasets.Dataset.from_dict(columns).to_parquet(str(folder / "train-00000-of-00001.parquet"))
    data = prepare(folder)
    assert data.labels == ("0", "1")
    assert len(everything(data)) == 20
    write(folder, "train-00000-of-00001.parquet", b"PAR1 not really")
    assert "not a readable Parquet file" in failure(folder)


# ------------------------------------------------------------------------------------------------------------- transfer


@pytest.mark.parametrize("rureviews", [False, True])
def test_transfer_reads_texts_without_labels(tmp_path, rureviews):
    write(tmp_path, "news.txt", "первая\n\nвторая\r\nтретья")
    write(tmp_path, "more.csv", "text\nчетвёртая\n")
    data = prepare(tmp_path, roles=("transfer",), rureviews=rureviews)
    assert sorted(e["text"] for e in data.roles["transfer"]) == ["вторая", "первая", "третья", "четвёртая"]
    assert data.labels == ()
    assert all("label" not in example for example in data.roles["transfer"])
    assert Sentiment(SentimentParams()).target(data.roles["transfer"][0], ("a", "b")) is None


def test_transfer_leaves_test_files_alone_and_forgets_labels(tmp_path):
    for name in ("train", "dev", "test"):
        write(tmp_path, f"{name}.csv", table(4).replace("number", name))
    data = prepare(tmp_path, roles=("transfer",))
    assert {example["text"].split()[1] for example in data.roles["transfer"]} == {"train"}
    assert all("label" not in example for example in data.roles["transfer"])


def test_transfer_of_a_labelled_source_can_leave_out_what_dev_and_test_are_cut_from(tmp_path):
    write(tmp_path, "all.csv", table(40))
    read = prepare(tmp_path, dev=8, test=8, limit=12, split_seed=3)
    data = prepare(tmp_path, roles=("transfer",), transfer="train", dev=8, test=8, limit=12, split_seed=3)
    given, left = texts(data.roles["transfer"]), {role: texts(examples) for role, examples in read.roles.items()}
    assert len(given) == 40 - 16
    assert left["train"] < given
    assert not given & (left["dev"] | left["test"])
    assert data.labels == ()
    assert all("label" not in example for example in data.roles["transfer"])


def test_transfer_has_a_source_of_its_own(tmp_path):
    write(tmp_path, "a.csv", table())
    assert "Give it a [data.…] of its own" in failure(tmp_path, roles=("train", "transfer"))


# --------------------------------------------------------------------------------------------------------------- params


@pytest.mark.parametrize(
    "wrong",
    [
        {"dev": 0},
        {"dev": 1.0},
        {"test": -0.1},
        {"test": True},
        {"test": "0.1"},
        {"limit": 0},
        {"limit": {"trian": 3}},
        {"limit": {"train": 0}},
        {"delimiter": "||"},
        {"files": []},
        {"labels": {}},
        {"colour": "red"},
        {"source": "core only"},
    ],
)
def test_params_refuse(wrong):
    with pytest.raises(ValidationError):
        SentimentParams.model_validate(wrong)
