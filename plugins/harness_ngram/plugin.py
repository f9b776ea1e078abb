"""The hook of the `ngram` student and the params that a suite may set."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from pydantic import Field, model_validator

from harness import Params, StudentSpec, hookimpl

_LONGEST = 10  # piece of a word, in characters: each length more makes a text a fifth longer


class NgramParams(Params):
    """Which n-grams are read and into how large a table. Nothing of a text's order is left beyond them."""

    rows: int = Field(2**16, ge=2, le=2**26, description="of the table that n-grams are hashed into")
    width: int = Field(32, ge=1, description="of a row")
    words: int = Field(2, ge=1, le=5, description="longest run of neighbouring words")
    pieces: list[int] = Field([2, 5], description="[shortest, longest] piece of a word in characters; []: whole words")
    lowercase: bool = Field(True, description="of the texts")
    pooling: Literal["mean", "sqrt", "sum"] = Field(
        "sqrt", description="rows of a text → one vector; sqrt: their sum by the root of their number"
    )
    hidden_size: int | None = Field(None, ge=1, description="width of a layer with ReLU before the classes")
    dropout: float = Field(0.0, ge=0, lt=1, description="before the classes")
    init_std: float = Field(0.05, gt=0, description="spread of the table's initial values")

    @model_validator(mode="after")
    def _pieces_ascend(self) -> NgramParams:
        if self.pieces and not (len(self.pieces) == 2 and 2 <= self.pieces[0] <= self.pieces[1] <= _LONGEST):
            msg = f"pieces = {self.pieces}: write [shortest, longest], from 2 to {_LONGEST} characters, or []"
            raise ValueError(msg)
        return self


@hookimpl
def harness_students() -> Iterable[StudentSpec]:
    """The one family."""
    yield StudentSpec(
        name="ngram",
        summary="Bag of hashed n-grams of words and characters, their rows pooled; no order, no tokenizer",
        version=1,
        heads=("sequence",),
        factory="harness_ngram.student:Ngram",
        encoder="harness_ngram.encoder:load",
        params=NgramParams,
        libraries=("torch", "transformers"),
        miniature={"rows": 512, "width": 8},
        reference="https://arxiv.org/abs/1607.01759",
    )
