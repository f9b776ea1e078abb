"""The hooks of the recurrent students and the params that a suite may set."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from harness import Params, StudentSpec, hookimpl

_Size = Annotated[int, Field(ge=1)]
_SMALL = {"hidden_size": 16, "layers": 1}


class LstmParams(Params):
    """Sizes and dropout of bidirectional recurrent layers over word pieces, with or without convolutions before them.

    `init.tokenizer = MODEL` takes that model's tokenizer, `init.embeddings = MODEL` its embeddings as well.
    """

    tokenizer: str | None = Field(None, description="folder, tokenizer.json or vocab.txt instead of training one")
    vocab_size: int = Field(12000, ge=100, description="WordPiece tokens, trained on the task's training texts")
    lowercase: bool = Field(True, description="of a tokenizer trained here, or of a vocab.txt that comes alone")
    embedding_size: int | None = Field(None, ge=1, description="default: 128, or the width of the copied embeddings")
    factorised: int | None = Field(
        None, ge=1, description="width of a narrower table, which a matrix leads up to embedding_size"
    )
    conv: list[_Size] = Field([], description="widths of convolution layers before the recurrence, e.g. [768, 384]")
    kernels: list[_Size] = Field([1, 3, 5], min_length=1, description="odd; a convolution layer has its share of each")
    conv_norm: Literal["batch", "none"] = Field(
        "batch", description="after each convolution layer; batch statistics are those of tokens, not of padding"
    )
    conv_dropout: float = Field(0.1, ge=0, lt=1, description="after each convolution layer")
    hidden_size: int = Field(128, ge=1, description="units of each direction")
    layers: int = Field(1, ge=1, description="number of bidirectional layers")
    pooling: Literal["max", "mean", "max-mean", "attention"] = Field(
        "max", description="sequence head: states of a text → one vector"
    )
    embedding_dropout: float = Field(0.3, ge=0, lt=1, description="on the embeddings")
    dropout: float = Field(0.3, ge=0, lt=1, description="between layers and before the classifier")

    @model_validator(mode="after")
    def _kernels_fit(self) -> Self:
        even = [kernel for kernel in self.kernels if kernel % 2 == 0]
        if even:
            msg = f"kernels = {self.kernels}: {even[0]} has no middle; use odd numbers"
            raise ValueError(msg)
        unequal = [width for width in self.conv if width % len(self.kernels)]
        if unequal:
            msg = f"conv = {self.conv}: {unequal[0]} cannot be shared by {len(self.kernels)} kernels; use a multiple"
            raise ValueError(msg)
        return self


class SruParams(LstmParams):
    """The same of an SRU; its dropout is one mask per text and layer, on what a layer adds to its input."""

    layers: int = Field(2, ge=1, description="number of bidirectional layers")
    highway_bias: float = Field(0.0, description="where the gate begins that lets a layer add to its input")


class SruppParams(SruParams):
    """The same of an SRU++."""

    highway_bias: float = Field(-2.0, description="where the gate begins that lets a layer add to its input")
    projection_size: int | None = Field(None, ge=1, description="width of the attention; default: half of hidden_size")
    attention_dropout: float = Field(0.1, ge=0, lt=1, description="on the weights of the attention")


def _reads_text(params: Params) -> bool:
    return isinstance(params, LstmParams) and params.tokenizer is None


def _spec(name: str, summary: str, factory: str, params: type[LstmParams], reference: str) -> StudentSpec:
    return StudentSpec(
        name=name,
        summary=summary,
        version=1,
        heads=("sequence", "token", "nested-token", "span"),
        factory=factory,
        encoder="harness.text:load_encoder",
        params=params,
        assets=("tokenizer",),
        init=("embeddings", "tokenizer"),
        reads_text=_reads_text,
        libraries=("tokenizers", "torch", "transformers"),
        miniature={**dict.fromkeys(("tokenizer", "embedding_size", "factorised")), "vocab_size": 600, **_SMALL},
        reference=reference,
    )


@hookimpl
def harness_students() -> Iterable[StudentSpec]:
    """The recurrent families."""
    yield _spec(
        "lstm",
        "Bidirectional LSTM over word pieces; states pooled, or of each word",
        "harness_recurrent.lstm:Lstm",
        LstmParams,
        "https://arxiv.org/abs/1903.12136",
    )
    yield _spec(
        "sru",
        "Bidirectional SRU over word pieces: a recurrence without matrices",
        "harness_recurrent.sru:Sru",
        SruParams,
        "https://arxiv.org/abs/1709.02755",
    )
    yield _spec(
        "srupp",
        "Bidirectional SRU++ over word pieces: attention and a recurrence without matrices",
        "harness_recurrent.sru:Srupp",
        SruppParams,
        "https://arxiv.org/abs/2102.12459",
    )
