"""Recurrent networks as transformers models: embeddings, convolutions, a recurrence, a head.

Texts of a batch never see each other or the padding, but for the statistics of batch normalisation in training.
"""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence
from transformers import (
    AutoConfig,
    AutoModelForQuestionAnswering,
    AutoModelForSequenceClassification,
    AutoModelForTokenClassification,
    PreTrainedConfig,
    PreTrainedModel,
)
from transformers.modeling_outputs import (
    QuestionAnsweringModelOutput,
    SequenceClassifierOutput,
    TokenClassifierOutput,
)

from harness import Head
from harness_recurrent.layers import ConvStack, Pooling
from harness_recurrent.recurrence import Sru


class RecurrentConfig(PreTrainedConfig):  # type: ignore[no-untyped-call]
    """Sizes; `hidden_size` is that of one direction, `factorised` the width of the table where it is a narrower one."""

    vocab_size: int = 12000
    embedding_size: int = 128
    factorised: int | None = None
    hidden_size: int = 128
    num_hidden_layers: int = 1
    conv: tuple[int, ...] | list[int] = ()
    kernels: tuple[int, ...] | list[int] = (1, 3, 5)
    conv_norm: str = "batch"
    conv_dropout: float = 0.1
    pooling: str = "max"
    embedding_dropout: float = 0.3
    dropout: float = 0.3
    pad_token_id: int = 0


class LstmConfig(RecurrentConfig):  # type: ignore[no-untyped-call]
    """Of an LSTM."""

    model_type = "harness-lstm"


class SruConfig(RecurrentConfig):  # type: ignore[no-untyped-call]
    """Of an SRU; `highway_bias` is where the gate of the highway begins."""

    model_type = "harness-sru"

    highway_bias: float = 0.0


class SruppConfig(RecurrentConfig):  # type: ignore[no-untyped-call]
    """Of an SRU++; `projection_size` is the width of its attention, half of `hidden_size` where it is None."""

    model_type = "harness-srupp"

    highway_bias: float = -2.0
    projection_size: int | None = None
    attention_dropout: float = 0.1


# ---------------------------------------------------------------------------------------------------- ids to states


class Body(nn.Module):
    """Token ids → states of both directions."""

    def __init__(self, config: Any) -> None:
        super().__init__()
        table = config.factorised or config.embedding_size
        self.embeddings = nn.Embedding(config.vocab_size, table, padding_idx=config.pad_token_id)
        self.up = nn.Linear(table, config.embedding_size, bias=False) if config.factorised else None
        self.embedding_dropout = nn.Dropout(config.embedding_dropout)
        self.dropout = nn.Dropout(config.dropout)
        widths = [config.embedding_size, *config.conv]
        self.convolutions = nn.ModuleList(
            ConvStack(width, out, config.kernels, config.conv_norm, config.conv_dropout)
            for width, out in zip(widths, config.conv, strict=False)
        )
        self.recurrence = self.made(widths[-1], config)

    def made(self, width: int, config: Any) -> nn.Module:
        """The recurrence over inputs of a width."""
        raise NotImplementedError

    def run(self, x: Tensor, mask: Tensor) -> Tensor:
        """Inputs [B, L, W] and mask [B, L] → states [B, longest, 2H]."""
        raise NotImplementedError

    def embedded(self, ids: Tensor) -> Tensor:
        """Ids [B, L] → [B, L, E]."""
        x: Tensor = self.embeddings(ids)
        return x if self.up is None else self.up(x)

    def forward(self, ids: Tensor, mask: Tensor) -> Tensor:
        """Ids and mask [B, L] → states [B, longest, 2H]; those at padding mean nothing."""
        x = self.embedding_dropout(self.embedded(ids))
        keep = mask.unsqueeze(-1).to(x.dtype)  # [B, L, 1]
        for convolution in self.convolutions:
            x = convolution(x, keep)
        return self.run(x, mask)


class LstmBody(Body):
    """The recurrence is written in three ways that compute the same function.

    Packed by length where the graph is exported or quantized, which gives one LSTM node with lengths; as it is where
    nothing is padded; and else each direction over the padded batch, the backward one on sequences that are reversed
    within their own length, which on a CPU is more than twice as fast as packing, because packing misses the fused
    kernel.
    """

    def made(self, width: int, config: Any) -> nn.LSTM:
        """PyTorch's own."""
        return nn.LSTM(width, config.hidden_size, config.num_hidden_layers, batch_first=True, bidirectional=True)

    def run(self, x: Tensor, mask: Tensor) -> Tensor:
        """As in `Body`."""
        lengths = mask.sum(1)  # [B]
        if torch.jit.is_tracing() or type(self.recurrence) is not nn.LSTM:  # type: ignore[attr-defined, no-untyped-call]
            packed = pack_padded_sequence(x, lengths.cpu(), batch_first=True, enforce_sorted=False)
            states, _ = pad_packed_sequence(self.recurrence(packed)[0], batch_first=True)
            return states
        if not self.training and bool((lengths == x.size(1)).all()):
            return self.recurrence(x)[0]  # type: ignore[no-any-return]
        return self._padded(x, lengths)

    def _padded(self, x: Tensor, lengths: Tensor) -> Tensor:
        step = torch.arange(x.size(1), device=x.device)  # [L]
        turned = torch.where(step < lengths[:, None], lengths[:, None] - 1 - step, step)  # [B, L]
        for layer in range(self.recurrence.num_layers):  # type: ignore[arg-type]
            x = x if layer == 0 else self.dropout(x)
            ahead = self._one_way(x, f"l{layer}")
            back = _reorder(self._one_way(_reorder(x, turned), f"l{layer}_reverse"), turned)
            x = torch.cat([ahead, back], dim=-1)  # [B, L, 2H]
        return x

    def _one_way(self, x: Tensor, suffix: str) -> Tensor:
        names = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
        weights = [getattr(self.recurrence, f"{name}_{suffix}") for name in names]
        start = x.new_zeros(1, x.size(0), weights[1].size(1))
        states: Tensor = torch.lstm(
            x, (start, start), weights, has_biases=True, num_layers=1, dropout=0.0, train=True, bidirectional=False,
            batch_first=True,
        )[0]  # fmt: skip
        return states


def _reorder(x: Tensor, order: Tensor) -> Tensor:
    """Rows of x [B, L, D] in the given order [B, L]."""
    return x.gather(1, order.unsqueeze(-1).expand(-1, -1, x.size(2)))


class SruBody(Body):
    """SRU."""

    def made(self, width: int, config: Any) -> Sru:
        """One matrix per layer."""
        return Sru(
            width, config.hidden_size, config.num_hidden_layers,
            highway_bias=config.highway_bias, dropout=config.dropout,
        )  # fmt: skip

    def run(self, x: Tensor, mask: Tensor) -> Tensor:
        """As in `Body`; zero at padding."""
        return self.recurrence(x, mask)  # type: ignore[no-any-return]


class SruppBody(SruBody):
    """SRU++."""

    def made(self, width: int, config: Any) -> Sru:
        """Attention per layer."""
        projection = config.projection_size or max(1, config.hidden_size // 2)
        return Sru(
            width, config.hidden_size, config.num_hidden_layers, highway_bias=config.highway_bias,
            dropout=config.dropout, projection=projection, attention_dropout=config.attention_dropout,
        )  # fmt: skip


# --------------------------------------------------------------------------------------------------------------- heads


class RecurrentModel(PreTrainedModel):  # type: ignore[no-untyped-call]
    """What the heads share: a body, which bears the family's name."""

    body_class: ClassVar[type[Body]]

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        self.add_module(self.base_model_prefix, self.body_class(config))

    @property
    def body(self) -> Body:
        """Ids to states."""
        return getattr(self, self.base_model_prefix)  # type: ignore[no-any-return]

    def get_input_embeddings(self) -> nn.Embedding:
        """The word-piece table [vocabulary, E], or the narrower one before the map that leads up to E."""
        return self.body.embeddings

    def hidden(self, ids: Tensor, states: Tensor, asked: bool) -> tuple[Tensor, Tensor] | None:
        """Hidden states, where they are asked for: embeddings [B, L, E] and the recurrence's [B, L, 2H]."""
        return (self.body.embedded(ids), states) if asked else None

    def _init_weights(self, module: nn.Module) -> None:
        """The constructors' own initial weights are meant."""


class SequenceModel(RecurrentModel):  # type: ignore[no-untyped-call]
    """States pooled, one linear layer."""

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        self.pooling = Pooling(config.pooling, 2 * config.hidden_size)
        self.dropout = nn.Dropout(config.dropout)
        self.classifier = nn.Linear(self.pooling.width, len(config.id2label or {}))
        self.post_init()  # type: ignore[no-untyped-call]

    def forward(
        self, input_ids: Tensor, attention_mask: Tensor, output_hidden_states: bool = False, **_: Any
    ) -> SequenceClassifierOutput:
        """Ids and mask, int64 [B, L], ones before zeros → logits [B, C]."""
        states = self.body(input_ids, attention_mask)
        mask = attention_mask[:, : states.size(1)] > 0
        pooled = self.dropout(self.pooling(states, mask))
        hidden = self.hidden(input_ids, states, output_hidden_states)
        return SequenceClassifierOutput(logits=self.classifier(pooled), hidden_states=hidden)


class TokenModel(RecurrentModel):  # type: ignore[no-untyped-call]
    """One linear layer on the state of every token."""

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        self.dropout = nn.Dropout(config.dropout)
        self.classifier = nn.Linear(2 * config.hidden_size, len(config.id2label or {}))
        self.post_init()  # type: ignore[no-untyped-call]

    def forward(
        self, input_ids: Tensor, attention_mask: Tensor, output_hidden_states: bool = False, **_: Any
    ) -> TokenClassifierOutput:
        """Ids and mask, int64 [B, L], ones before zeros, a row of ones among them → logits [B, L, C], 0 at padding."""
        states = self.body(input_ids, attention_mask)  # [B, L, 2H]
        logits = self.classifier(self.dropout(states)) * attention_mask.unsqueeze(-1)
        return TokenClassifierOutput(logits=logits, hidden_states=self.hidden(input_ids, states, output_hidden_states))


class SpanModel(TokenModel):  # type: ignore[no-untyped-call]
    """The two columns of a linear layer on the state of every token: does an answer start, does it end there?"""

    def forward(  # type: ignore[override]
        self, input_ids: Tensor, attention_mask: Tensor, output_hidden_states: bool = False, **_: Any
    ) -> QuestionAnsweringModelOutput:
        """Ids and mask as for tokens → start_logits and end_logits, each [B, L], 0 at padding."""
        answer = super().forward(input_ids, attention_mask, output_hidden_states)
        start, end = answer["logits"].unbind(-1)
        return QuestionAnsweringModelOutput(start_logits=start, end_logits=end, hidden_states=answer.hidden_states)


def _family(name: str, config: type[RecurrentConfig], body: type[Body]) -> dict[Head, Any]:
    """The models of a family by head, known to the Auto classes."""
    own = {"config_class": config, "base_model_prefix": name.lower(), "body_class": body, "__module__": __name__}
    sequence, token, span = (
        type(f"{name}For{task}", (base,), {**own, "__doc__": f"{name}, {(base.__doc__ or '').lower()}"})
        for task, base in (
            ("SequenceClassification", SequenceModel),
            ("TokenClassification", TokenModel),
            ("QuestionAnswering", SpanModel),
        )
    )
    AutoConfig.register(config.model_type, config)
    AutoModelForSequenceClassification.register(config, sequence)
    AutoModelForTokenClassification.register(config, token)
    AutoModelForQuestionAnswering.register(config, span)
    return {"sequence": sequence, "token": token, "nested-token": token, "span": span}


LSTM = _family("Lstm", LstmConfig, LstmBody)
SRU = _family("Sru", SruConfig, SruBody)
SRUPP = _family("Srupp", SruppConfig, SruppBody)
