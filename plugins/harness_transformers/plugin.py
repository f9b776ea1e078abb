"""The hook of the `transformer` student and the params that a suite may set."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from pydantic import Field, model_validator

from harness import Params, StudentSpec, hookimpl
from harness_transformers.architectures import KNOWN

_DIMENSIONS = frozenset({"model_type", "hidden_size", "layers", "heads", "intermediate", "vocab_size", "init_std"})


class TransformerParams(Params):
    """A checkpoint, or dimensions."""

    checkpoint: str | None = Field(None, description="hub id or folder; its architecture, weights and tokenizer")
    tokenizer: str | None = Field(None, description="folder, tokenizer.json or vocab.txt instead of training one")
    model_type: Literal["bert", "distilbert", "electra", "roberta"] = Field("bert", description="architecture")
    hidden_size: int = Field(128, ge=1, description="width; a multiple of `heads`")
    layers: int = Field(2, ge=1, description="number of layers")
    heads: int = Field(2, ge=1, description="attention heads of a layer")
    intermediate: int | None = Field(None, ge=1, description="width of the feed-forward part; default: 4 × hidden_size")
    vocab_size: int = Field(8000, ge=100, description="WordPiece tokens, trained on the task's training texts")
    lowercase: bool = Field(
        True,
        description="of a tokenizer trained here, or of a vocab.txt that comes alone; "
        "of a checkpoint known by name under --weights random: as that checkpoint does, unless set",
    )
    init_std: float = Field(
        0.02,
        gt=0,
        le=1,
        description="spread of the weights drawn; about 1/√hidden_size lets a narrow model learn faster",
    )
    dropout: float | None = Field(None, ge=0, lt=1, description="default: the checkpoint's, or 0.1")

    @model_validator(mode="after")
    def _consistent(self) -> TransformerParams:
        clash = sorted(self.model_fields_set & _DIMENSIONS) if self.checkpoint else []
        if clash:
            msg = f"a checkpoint brings its own dimensions: remove {', '.join(clash)} or remove 'checkpoint'"
            raise ValueError(msg)
        if self.hidden_size % self.heads:
            msg = f"hidden_size {self.hidden_size} is not a multiple of heads {self.heads}"
            raise ValueError(msg)
        return self


def _reads_text(params: Params) -> bool:
    return isinstance(params, TransformerParams) and params.checkpoint is None and params.tokenizer is None


@hookimpl
def harness_students() -> Iterable[StudentSpec]:
    """One family for every encoder that the Auto classes know."""
    yield StudentSpec(
        name="transformer",
        summary="Transformer encoder: a Hugging Face checkpoint, or built from dimensions",
        version=1,
        heads=("sequence", "token", "nested-token", "span"),
        factory="harness_transformers.model:Transformer",
        encoder="harness.text:load_encoder",
        params=TransformerParams,
        assets=("checkpoint", "tokenizer"),
        init=("layers_of", "tokenizer"),
        architectures=frozenset(KNOWN),
        reads_text=_reads_text,
        libraries=("tokenizers", "torch", "transformers"),
        miniature={
            "checkpoint": None,
            "tokenizer": None,
            "hidden_size": 32,
            "layers": 1,
            "heads": 2,
            "intermediate": 64,
            "vocab_size": 600,
        },
        reference="https://arxiv.org/abs/1810.04805",
    )
