"""A bidirectional LSTM as a transformers model: embeddings, recurrence, masked pooling, classifier.

Texts of a batch never see each other or the padding. The recurrence is written in three ways that compute the same
function: packed by length where the graph is exported or quantized, which gives one LSTM node with lengths; as it is
where nothing is padded; and else each direction over the padded batch, the backward one on sequences that are reversed
within their own length, which on a CPU is more than twice as fast as packing, because packing misses the fused kernel.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence
from transformers import (
    AutoConfig,
    AutoModelForSequenceClassification,
    AutoModelForTokenClassification,
    PreTrainedConfig,
    PreTrainedModel,
)
from transformers.modeling_outputs import SequenceClassifierOutput, TokenClassifierOutput


class LstmConfig(PreTrainedConfig):  # type: ignore[no-untyped-call]
    """Sizes; `hidden_size` is that of one direction."""

    model_type = "harness-lstm"

    vocab_size: int = 12000
    embedding_size: int = 128
    hidden_size: int = 128
    num_hidden_layers: int = 1
    pooling: str = "max"
    embedding_dropout: float = 0.3
    dropout: float = 0.3
    pad_token_id: int = 0


class BiLstm(nn.Module):
    """Token ids → states of both directions."""

    def __init__(self, config: LstmConfig) -> None:
        super().__init__()
        self.embeddings = nn.Embedding(config.vocab_size, config.embedding_size, padding_idx=config.pad_token_id)
        self.embedding_dropout = nn.Dropout(config.embedding_dropout)
        self.dropout = nn.Dropout(config.dropout)
        self.recurrence = nn.LSTM(
            config.embedding_size,
            config.hidden_size,
            config.num_hidden_layers,
            batch_first=True,
            bidirectional=True,
        )

    def forward(self, ids: Tensor, mask: Tensor) -> Tensor:
        """Ids and mask [B, L] → states [B, longest, 2H]; those at padding mean nothing."""
        x = self.embedding_dropout(self.embeddings(ids))  # [B, L, E]
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
        for layer in range(self.recurrence.num_layers):
            x = x if layer == 0 else self.dropout(x)
            ahead = self._one_way(x, f"l{layer}")
            back = _reorder(self._one_way(_reorder(x, turned), f"l{layer}_reverse"), turned)
            x = torch.cat([ahead, back], dim=-1)  # [B, L, 2H]
        return x

    def _one_way(self, x: Tensor, suffix: str) -> Tensor:
        names = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
        weights = [getattr(self.recurrence, f"{name}_{suffix}") for name in names]
        start = x.new_zeros(1, x.size(0), self.recurrence.hidden_size)
        states: Tensor = torch.lstm(
            x, (start, start), weights, has_biases=True, num_layers=1, dropout=0.0, train=True, bidirectional=False,
            batch_first=True,
        )[0]  # fmt: skip
        return states


def _reorder(x: Tensor, order: Tensor) -> Tensor:
    """Rows of x [B, L, D] in the given order [B, L]."""
    return x.gather(1, order.unsqueeze(-1).expand(-1, -1, x.size(2)))


class Pooling(nn.Module):
    """States of a text → one vector; padding counts for nothing."""

    def __init__(self, config: LstmConfig) -> None:
        super().__init__()
        self.kind = config.pooling
        width = 2 * config.hidden_size
        self.width = 2 * width if self.kind == "max-mean" else width
        self.score = nn.Linear(width, 1) if self.kind == "attention" else None

    def forward(self, states: Tensor, mask: Tensor) -> Tensor:
        """States [B, L, W], mask bool [B, L] → [B, width]."""
        keep = mask.unsqueeze(-1)  # [B, L, 1]
        if self.score is not None:
            scores: Tensor = self.score(states)  # [B, L, 1]
            return (states * scores.masked_fill(~keep, float("-inf")).softmax(1)).sum(1)
        parts = []
        if self.kind != "mean":
            parts.append(states.masked_fill(~keep, float("-inf")).amax(1))
        if self.kind != "max":
            parts.append(states.masked_fill(~keep, 0.0).sum(1) / keep.sum(1))
        return torch.cat(parts, dim=-1)


class LstmModel(PreTrainedModel):  # type: ignore[no-untyped-call]
    """What the heads share."""

    config_class = LstmConfig
    config: LstmConfig
    base_model_prefix = "lstm"

    def __init__(self, config: LstmConfig) -> None:
        super().__init__(config)
        self.lstm = BiLstm(config)

    def get_input_embeddings(self) -> nn.Module:
        """The word-piece table [vocabulary, E]."""
        return self.lstm.embeddings

    def _init_weights(self, module: nn.Module) -> None:
        """PyTorch's own initial weights are meant, those of the constructors."""


class LstmForSequenceClassification(LstmModel):
    """BiLSTM, pooling, one linear layer."""

    def __init__(self, config: LstmConfig) -> None:
        super().__init__(config)
        self.pooling = Pooling(config)
        self.dropout = nn.Dropout(config.dropout)
        self.classifier = nn.Linear(self.pooling.width, len(config.id2label or {}))
        self.post_init()  # type: ignore[no-untyped-call]

    def forward(self, input_ids: Tensor, attention_mask: Tensor, **_: Any) -> SequenceClassifierOutput:
        """Ids and mask, int64 [B, L], ones before zeros → logits [B, C]."""
        states = self.lstm(input_ids, attention_mask)
        mask = attention_mask[:, : states.size(1)] > 0
        pooled = self.dropout(self.pooling(states, mask))
        return SequenceClassifierOutput(logits=self.classifier(pooled))


class LstmForTokenClassification(LstmModel):
    """BiLSTM and one linear layer on the states of every token."""

    def __init__(self, config: LstmConfig) -> None:
        super().__init__(config)
        self.dropout = nn.Dropout(config.dropout)
        self.classifier = nn.Linear(2 * config.hidden_size, len(config.id2label or {}))
        self.post_init()  # type: ignore[no-untyped-call]

    def forward(
        self, input_ids: Tensor, attention_mask: Tensor, output_hidden_states: bool = False, **_: Any
    ) -> TokenClassifierOutput:
        """Ids and mask, int64 [B, L], ones before zeros, a row of ones among them → logits [B, L, C], 0 at padding.

        Hidden states, where they are asked for: embeddings [B, L, E] and the recurrence's [B, L, 2H].
        """
        states = self.lstm(input_ids, attention_mask)  # [B, L, 2H]
        logits = self.classifier(self.dropout(states)) * attention_mask.unsqueeze(-1)
        hidden = (self.lstm.embeddings(input_ids), states) if output_hidden_states else None
        return TokenClassifierOutput(logits=logits, hidden_states=hidden)


AutoConfig.register(LstmConfig.model_type, LstmConfig)
AutoModelForSequenceClassification.register(LstmConfig, LstmForSequenceClassification)
AutoModelForTokenClassification.register(LstmConfig, LstmForTokenClassification)
