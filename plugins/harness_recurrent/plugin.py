"""The hook of the `lstm` student and the params that a suite may set."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from pydantic import Field

from harness import Params, StudentSpec, hookimpl


class LstmParams(Params):
    """Sizes and dropout of a bidirectional LSTM over word pieces.

    `init.tokenizer = MODEL` takes that model's tokenizer, `init.embeddings = MODEL` its embeddings as well.
    """

    tokenizer: str | None = Field(None, description="folder, tokenizer.json or vocab.txt instead of training one")
    vocab_size: int = Field(12000, ge=100, description="WordPiece tokens, trained on the task's training texts")
    lowercase: bool = Field(True, description="of a tokenizer trained here, or of a vocab.txt that comes alone")
    embedding_size: int | None = Field(None, ge=1, description="default: 128, or the width of the copied embeddings")
    hidden_size: int = Field(128, ge=1, description="units of each direction")
    layers: int = Field(1, ge=1, description="number of bidirectional layers")
    pooling: Literal["max", "mean", "max-mean", "attention"] = Field(
        "max", description="sequence head: states of a text → one vector"
    )
    embedding_dropout: float = Field(0.3, ge=0, lt=1, description="on the embeddings")
    dropout: float = Field(0.3, ge=0, lt=1, description="between layers and before the classifier")


def _reads_text(params: Params) -> bool:
    return isinstance(params, LstmParams) and params.tokenizer is None


@hookimpl
def harness_students() -> Iterable[StudentSpec]:
    """The recurrent families."""
    yield StudentSpec(
        name="lstm",
        summary="Bidirectional LSTM over word pieces; states pooled, or of each word",
        version=1,
        heads=("sequence", "token"),
        factory="harness_recurrent.lstm:Lstm",
        encoder="harness.text:load_encoder",
        params=LstmParams,
        assets=("tokenizer",),
        init=("embeddings", "tokenizer"),
        reads_text=_reads_text,
        libraries=("tokenizers", "torch", "transformers"),
        miniature={"tokenizer": None, "vocab_size": 600, "embedding_size": None, "hidden_size": 16, "layers": 1},
        reference="https://arxiv.org/abs/1903.12136",
    )
