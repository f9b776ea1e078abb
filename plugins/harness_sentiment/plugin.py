"""The hook of the sentiment tasks and the params that a suite may set."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from harness import Metric, Params, TaskSpec, hookimpl

_METRICS = (
    Metric(name="accuracy", summary="share of examples whose class is right"),
    Metric(name="macro_f1", summary="mean over classes of F1"),
    Metric(name="loss", higher_is_better=False, unit="nats", summary="mean cross-entropy of the right class"),
)


def _check_size(size: int | float) -> int | float:
    """A count or a share; ValueError says which values are allowed."""
    if (isinstance(size, int) and size >= 1) or (isinstance(size, float) and 0 < size < 1):
        return size
    msg = f"{size} is neither a count (a whole number from 1) nor a share (between 0 and 1, both excluded)"
    raise ValueError(msg)


Size = Annotated[int | float, AfterValidator(_check_size)]
Count = Annotated[int, Field(ge=1)]


class SentimentParams(Params):
    """How to read reviews: which files and columns, what their labels mean, how they are split."""

    files: list[str] | None = Field(
        None, min_length=1, description="names or globs of the source's files to read; default: see the task's page"
    )
    text: str | None = Field(None, description="column of the text; default: 'text' or 'review', whichever is there")
    label: str | None = Field(None, description="column of the label; default: 'label_text', 'sentiment' or 'label'")
    id: str | None = Field(None, description="column of a unique id; default: 'id' if there, else the line number")
    delimiter: str | None = Field(
        None, min_length=1, max_length=1, description="of CSV columns; default: tab for .tsv, else read off the header"
    )
    labels: dict[str, str] | None = Field(
        None, min_length=1, description="raw label → class, many to one; '' drops; default: each label is its own class"
    )
    aliases: dict[str, str] = Field({}, description="other spellings: raw label → a key of `labels`")
    dev: Size = Field(0.05, description="size of a dev split cut here: a count, or a share of the whole")
    test: Size = Field(0.10, description="size of a test split cut here: a count, or a share of the whole")
    split_seed: int = Field(0, description="another seed is another split and another order")
    limit: Count | dict[Literal["train", "dev", "test", "transfer"], Count] | None = Field(
        None, description="at most so many examples, nested and stratified: {role = n}; a number alone limits train"
    )
    transfer: Literal["all", "train"] = Field(
        "all",
        description="what a labelled source gives as unlabelled texts: all, or what neither dev nor test is cut from",
    )
    lemmatise: bool = Field(False, description="does a model read Russian words in their normal form (pymorphy3)?")
    stop_words: Literal["keep", "remove", "mask"] = Field(
        "keep", description="function words, of a list that comes with this plugin; 'mask' puts '[MASK]' for each"
    )
    keep_negations: bool = Field(True, description="are words that deny ('не', 'без', …) no stop words?")
    max_words: Count | None = Field(None, description="cut texts after so many words, of those that are left")


class RuReviewsParams(SentimentParams):
    """The same, with the three classes of RuReviews and the spelling in its author's file."""

    labels: dict[str, str] | None = Field(
        {"negative": "negative", "neutral": "neutral", "positive": "positive"},
        min_length=1,
        description="raw label → class, many to one; '' drops the class",
    )
    aliases: dict[str, str] = Field(
        {"neautral": "neutral"}, description="other spellings: raw label → a key of `labels`"
    )


class TextsParams(Params):
    """Where the texts are, and how many classes a model is to tell apart."""

    files: list[str] | None = Field(
        None, min_length=1, description="names or globs of the source's files to read; default: all but dev and test"
    )
    text: str | None = Field(None, description="column of the text; default: 'text' or 'review', whichever is there")
    delimiter: str | None = Field(
        None, min_length=1, max_length=1, description="of CSV columns; default: tab for .tsv, else read off the header"
    )
    classes: list[str] = Field(
        ["negative", "neutral", "positive"], min_length=2, description="of the models, which nothing is held against"
    )


def _libraries(params: SentimentParams) -> tuple[str, ...]:
    """Whose version decides what a lemma is."""
    return ("pymorphy3", "pymorphy3-dicts-ru") if params.lemmatise else ()


def _classes(params: SentimentParams) -> int | None:
    """How many `labels` names; a class of which the data have no example is found out when they are read."""
    return None if params.labels is None else len(set(params.labels.values()) - {""})


@hookimpl
def harness_tasks() -> Iterable[TaskSpec]:
    """The published data set, and the same task for any table of texts and classes."""
    yield TaskSpec(
        name="rureviews",
        summary="RuReviews: sentiment of Russian clothing reviews, 3 classes",
        version=1,
        scoring_version=2,
        head="sequence",
        metrics=_METRICS,
        factory="harness_sentiment.task:Sentiment",
        params=RuReviewsParams,
        classes=_classes,
        default_source="hub:ai-forever/ru-reviews-classification",
        offline_folder="rureviews",
        sample_source="bundled:harness_sentiment/data/sample",
        libraries_for=_libraries,
        reports_progress=True,
        reference="Smetanin & Komarov, Sentiment Analysis of Product Reviews in Russian using CNN, IEEE CBI 2019",
    )
    yield TaskSpec(
        name="sentiment",
        summary="Classes of short texts from a CSV, TSV, JSONL or Parquet file of your own",
        version=1,
        scoring_version=2,
        head="sequence",
        metrics=_METRICS,
        factory="harness_sentiment.task:Sentiment",
        params=SentimentParams,
        classes=_classes,
        sample_source="bundled:harness_sentiment/data/sample",
        libraries_for=_libraries,
        reports_progress=True,
    )
    yield TaskSpec(
        name="texts",
        summary="Texts without labels, one a line or a column of a table: to measure speed on",
        version=1,
        head="sequence",
        metrics=(Metric(name="confidence", summary="mean probability of the likeliest class: no label says more"),),
        factory="harness_sentiment.texts:Texts",
        params=TextsParams,
        classes=lambda params: len(params.classes),
        sample_source="bundled:harness_sentiment/data/sample",
    )
