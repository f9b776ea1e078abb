"""The hook of the named entity tasks and the params that a suite may set."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from harness import Metric, Params, TaskSpec, hookimpl

_CONLLEVAL = "seqeval, default mode = conlleval, BIO tags"
_METRICS = (
    Metric(name="f1", summary=f"entities with exact boundaries and type: {_CONLLEVAL}"),
    Metric(name="precision", summary=f"share of predicted entities that are right: {_CONLLEVAL}"),
    Metric(name="recall", summary=f"share of gold entities that were found: {_CONLLEVAL}"),
    Metric(name="f1_strict", summary="F1 where an entity must begin with B-: seqeval, mode strict, scheme IOB2"),
    Metric(name="f1_critical", summary=f"F1 over the critical types: {_CONLLEVAL}"),
    Metric(name="precision_critical", summary=f"precision over the critical types: {_CONLLEVAL}"),
    Metric(name="recall_critical", summary=f"recall over the critical types: {_CONLLEVAL}"),
    Metric(name="coverage", summary="share of gold critical entities found exactly, with their type"),
    Metric(name="coverage_blind", summary="share of gold critical entities whose boundaries were found, of any type"),
)
_EXACT = "exact place and type, as sets of (document, start, end, type)"
_MICRO = Metric(name="micro_f1", summary=f"F1 over all mentions: {_EXACT}")
_MACRO_ALL = Metric(name="macro_f1_all", summary="mean F1 over all types of the data, the variant that studies publish")
_SHARES = (
    Metric(name="precision", summary=f"share of predicted mentions that are right: {_EXACT}"),
    Metric(name="recall", summary=f"share of gold mentions that were found: {_EXACT}"),
)
_NESTED_METRICS = (_MICRO, _MACRO_ALL, *_SHARES)
_RUNNE_METRICS = (
    Metric(name="macro_f1", summary="RuNNE-2022: mean F1 over the main types that occur in gold (26 of its test)"),
    Metric(name="macro_f1_few_shot", summary="RuNNE-2022: mean F1 over the few-shot types, in gold or not (3)"),
    _MICRO,
    Metric(name="macro_f1_all", summary="mean F1 over all types (29): Malakhov 2022, not the competition's figure"),
    *_SHARES,
)
FEW_SHOT = ["DISEASE", "PENALTY", "WORK_OF_ART"]
CONLL_TAGS = ["O", "B-PER", "I-PER", "B-ORG", "I-ORG", "B-LOC", "I-LOC", "B-MISC", "I-MISC"]


def _check_size(size: int | float) -> int | float:
    """A count or a share; ValueError says which values are allowed."""
    if (isinstance(size, int) and size >= 1) or (isinstance(size, float) and 0 < size < 1):
        return size
    msg = f"{size} is neither a count (a whole number from 1) nor a share (between 0 and 1, both excluded)"
    raise ValueError(msg)


def _check_pattern(pattern: str) -> str:
    """A regular expression; ValueError says what is wrong with it."""
    try:
        re.compile(pattern)
    except re.error as error:
        msg = f"{pattern!r} is no regular expression: {error}"
        raise ValueError(msg) from error
    return pattern


def _check_critical(types: list[str]) -> list[str]:
    """In one order, since theirs means nothing; ValueError for a type that is named twice."""
    twice = sorted({name for name in types if types.count(name) > 1})
    if twice:
        msg = f"{', '.join(map(repr, twice))} stands there twice. Name every type once"
        raise ValueError(msg)
    return sorted(types)


Critical = Annotated[list[str], AfterValidator(_check_critical)]
Size = Annotated[int | float, AfterValidator(_check_size)]
Count = Annotated[int, Field(ge=1)]


class NerParams(Params):
    """How to read annotated texts, how they are split, and which entities must not be lost."""

    files: list[str] | None = Field(
        None, min_length=1, description="names or globs of the source's files to read; default: see the task's page"
    )
    word_column: int | str = Field(
        0, description="column of the words: a number in CoNLL files (negative: from the end), a name in tables"
    )
    tag_column: int | str = Field(
        -1, description="column of the tags, or of the entities: a number in CoNLL files, a name in tables"
    )
    tags: list[str] | None = Field(
        None, min_length=1, description="names of tags that a table holds as numbers, in their order; orders the types"
    )
    ends: Literal["exclusive", "inclusive"] = Field(
        "exclusive", description="is the end of a JSONL entity the character after its last, or its last?"
    )
    unit: Literal["sentence", "document"] = Field(
        "sentence", description="what an example of a CoNLL file is; documents begin with -DOCSTART-"
    )
    cut: Literal["signs", "words"] = Field(
        "signs",
        description="how texts without words are cut: at every sign, or into words such as 'U.S.' and 'pro-Israeli'. "
        "Set 'words' for column data",
    )
    critical: Critical = Field([], description="types that must not be lost; none: all types")
    dev: Size = Field(0.10, description="size of a dev split cut here: a count, or a share of the whole")
    test: Size = Field(0.20, description="size of a test split cut here: a count, or a share of the whole")
    split_seed: int = Field(0, description="another seed is another split and another order")
    limit: Count | dict[Literal["train", "dev", "test", "transfer"], Count] | None = Field(
        None, description="at most so many examples, nested: {role = n}; a number alone limits train"
    )


class ConllParams(NerParams):
    """The same with the published tags and words of CoNLL-2003, and people and organizations as critical."""

    tags: list[str] | None = Field(
        CONLL_TAGS, min_length=1, description="names of tags that a table holds as numbers; orders the types"
    )
    cut: Literal["signs", "words"] = Field(
        "words", description="how texts without words are cut; the corpus has 'words'"
    )
    critical: Critical = Field(["ORG", "PER"], description="types that must not be lost; none: all types")


class NestedParams(Params):
    """How to read annotated documents, how they are split, and how they are cut into examples."""

    files: list[str] | None = Field(
        None, min_length=1, description="names or globs of the source's files to read; default: see the task's page"
    )
    ends: Literal["exclusive", "inclusive"] | None = Field(
        None, description="is the end of an entity the character after its last, or its last? Default: its field's own"
    )
    max_words: Count = Field(64, description="sentences are joined to examples of at most so many words")
    without_entities: Literal["labelled", "unlabelled"] = Field(
        "labelled", description="is a document without any entity one that has none, or one that nobody annotated?"
    )
    part: Annotated[str, AfterValidator(_check_pattern)] | None = Field(
        None, description="regular expression of what numbers the parts of a document at the end of their ids"
    )
    dev: Size = Field(0.10, description="size of a dev split cut here: a count of documents, or a share of the whole")
    test: Size = Field(0.20, description="size of a test split cut here: a count of documents, or a share of the whole")
    split_seed: int = Field(0, description="another seed is another split and another order")
    limit: Count | dict[Literal["train", "dev", "test", "transfer"], Count] | None = Field(
        None, description="at most so many examples, nested: {role = n}; a number alone limits train"
    )


class RuNNEParams(NestedParams):
    """The same; every document of the competition has entities, so that those without any were not annotated."""

    few_shot: list[str] = Field(FEW_SHOT, min_length=1, description="types that are scored apart from the others")
    without_entities: Literal["labelled", "unlabelled"] = Field(
        "unlabelled", description="is a document without any entity one that has none, or one that nobody annotated?"
    )


class RuREBusParams(NestedParams):
    """The same; documents come in files that are numbered `_part_0`, `_part_1`, …"""

    part: Annotated[str, AfterValidator(_check_pattern)] | None = Field(
        r"(_part_\d+)?_?",
        description="regular expression of what numbers the parts of a document at the end of their ids",
    )


@hookimpl
def harness_tasks() -> Iterable[TaskSpec]:
    """The published data set, and the same task for any annotated texts."""
    yield TaskSpec(
        name="conll2003",
        summary="CoNLL-2003: people, organizations, places and other names in English news",
        version=1,
        head="token",
        metrics=_METRICS,
        factory="harness_ner.task:NamedEntities",
        params=ConllParams,
        libraries=("razdel", "seqeval"),
        default_source="hub:eriktks/conll2003@refs/convert/parquet",
        offline_folder="conll2003",
        sample_source="bundled:harness_ner/data/sample",
        scoring=frozenset({"critical"}),
        names_critical=True,
        private_text=True,  # Reuters' corpus: research use, not to be passed on
        reference="https://aclanthology.org/W03-0419",
    )
    yield TaskSpec(
        name="ner",
        summary="Entities of your own: CoNLL columns, brat, or JSONL and Parquet with tags or character offsets",
        version=1,
        head="token",
        metrics=_METRICS,
        factory="harness_ner.task:NamedEntities",
        params=NerParams,
        libraries=("razdel", "seqeval"),
        sample_source="bundled:harness_ner/data/sample",
        scoring=frozenset({"critical"}),
        names_critical=True,
    )
    yield TaskSpec(
        name="runne",
        summary="RuNNE-2022: nested entities of 29 types in Russian news, three of them with few examples",
        version=1,
        head="nested-token",
        metrics=_RUNNE_METRICS,
        factory="harness_ner.nested:RuNNE",
        params=RuNNEParams,
        libraries=("razdel",),
        default_source="hub:iluvvatar/RuNNE@refs/convert/parquet",
        offline_folder="runne",
        sample_source="bundled:harness_ner/data/nested",
        scoring=frozenset({"few_shot"}),
        reference="https://arxiv.org/abs/2205.11159",
    )
    yield TaskSpec(
        name="rurebus",
        summary="RuREBus-2020: entities of 8 types in Russian officialese",
        version=1,
        head="nested-token",
        metrics=_NESTED_METRICS,
        factory="harness_ner.nested:NestedEntities",
        params=RuREBusParams,
        libraries=("razdel",),
        sample_source="bundled:harness_ner/data/nested",
        reference="https://github.com/dialogue-evaluation/RuREBus",
    )
    yield TaskSpec(
        name="nested-ner",
        summary="Entities of your own, one inside another or not: brat, or JSONL and Parquet with character offsets",
        version=1,
        head="nested-token",
        metrics=_NESTED_METRICS,
        factory="harness_ner.nested:NestedEntities",
        params=NestedParams,
        libraries=("razdel",),
        sample_source="bundled:harness_ner/data/nested",
    )
