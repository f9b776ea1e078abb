"""The hook of `vocab-trim` and the params that a suite may set."""

from __future__ import annotations

from collections.abc import Iterator

from pydantic import Field

from harness import CompressorSpec, Params, hookimpl


class TrimParams(Params):
    """Options of `vocab-trim`."""

    keep: str | None = Field(
        None, description="file with one token a line, to keep exactly those; default: the tokens of the training texts"
    )
    min_count: int = Field(1, ge=1, description="without `keep`: how often a token must occur; each text counts once")
    spell: int = Field(
        3,
        ge=1,
        description="without `keep`: tokens of up to so many characters stay, to spell words unseen in training",
    )


@hookimpl
def harness_compressors() -> Iterator[CompressorSpec]:
    """Fewer tokens, and a tokenizer that knows no others."""
    yield CompressorSpec(
        name="vocab-trim",
        summary="Drop the tokens that the training texts do not need, rows and tokenizer alike",
        version=1,
        consumes=("torch",),
        produces="torch",
        factory="harness_trimming.trim:VocabTrim",
        params=TrimParams,
        reads_text=lambda _: True,  # with a list too: its coverage is reported
        assets=("keep",),
        libraries=("tokenizers", "torch", "transformers"),
        reference="https://arxiv.org/abs/2010.05609",
    )
