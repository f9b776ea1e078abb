"""The hook of the question answering tasks and the params that a suite may set."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from harness import Metric, Params, TaskSpec, hookimpl

_METRICS = (
    Metric(name="f1", summary="words shared with the answer, by SQuAD's official normalisation"),
    Metric(name="em", summary="share of questions whose answer is exactly right, by the same normalisation"),
    Metric(name="f1_unicode", summary="F1 where every Unicode punctuation sign is removed, Russian quotes too"),
    Metric(name="em_unicode", summary="exact match by that normalisation"),
)


def _check_size(size: int | float) -> int | float:
    """A count or a share; ValueError says which values are allowed."""
    if (isinstance(size, int) and size >= 1) or (isinstance(size, float) and 0 < size < 1):
        return size
    msg = f"{size} is neither a count (a whole number from 1) nor a share (between 0 and 1, both excluded)"
    raise ValueError(msg)


Size = Annotated[int | float, AfterValidator(_check_size)]
Count = Annotated[int, Field(ge=1)]


class QaParams(Params):
    """How to read questions and how they are split."""

    files: list[str] | None = Field(
        None, min_length=1, description="names or globs of the source's files to read; default: see the task's page"
    )
    delimiter: str | None = Field(
        None, min_length=1, max_length=1, description="of CSV columns; default: tab for .tsv, else read off the header"
    )
    test_from: Literal["test", "validation"] = Field(
        "test", description="the file that is the test split; with 'validation', the file named test is left out"
    )
    dev: Size = Field(0.05, description="size of a dev split cut here, in questions: a count, or a share of the whole")
    test: Size = Field(
        0.20, description="size of a test split cut here, in questions: a count, or a share of the whole"
    )
    split_seed: int = Field(0, description="another seed is another split and another order")
    limit: Count | dict[Literal["train", "dev", "test", "transfer"], Count] | None = Field(
        None, description="at most so many questions, nested: {role = n}; a number alone limits train"
    )


class SberQuadParams(QaParams):
    """The same for SberQuAD, whose test answers are not public: its validation split is what studies report."""

    test_from: Literal["test", "validation"] = Field(
        "validation", description="the file that is the test split; with 'validation', the file named test is left out"
    )
    dev: Size = Field(0.02, description="size of a dev split cut from train, in questions: a count, or a share of it")


@hookimpl
def harness_tasks() -> Iterable[TaskSpec]:
    """The published data set, and the same task for any questions about texts."""
    yield TaskSpec(
        name="sberquad",
        summary="SberQuAD: answers to Russian questions, found in a paragraph",
        version=1,
        head="span",
        metrics=_METRICS,
        factory="harness_qa.task:QuestionAnswering",
        params=SberQuadParams,
        default_source="hub:kuznetsoffandrey/sberquad",
        offline_folder="sberquad",
        sample_source="bundled:harness_qa/data/sample",
        classes=lambda params: None,
        reference="https://arxiv.org/abs/1912.09723",
    )
    yield TaskSpec(
        name="qa",
        summary="Answers found in texts: SQuAD's JSON, or a table of questions, contexts and answers",
        version=1,
        head="span",
        metrics=_METRICS,
        factory="harness_qa.task:QuestionAnswering",
        params=QaParams,
        sample_source="bundled:harness_qa/data/sample",
        classes=lambda params: None,
        reference="https://arxiv.org/abs/1606.05250",
    )
