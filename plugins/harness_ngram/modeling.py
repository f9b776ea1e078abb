"""A bag of n-grams as a transformers model: Joulin et al. 2016, arXiv 1607.01759; pieces of words: 1607.04606."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812
from transformers import AutoConfig, AutoModelForSequenceClassification, PreTrainedConfig, PreTrainedModel
from transformers.modeling_outputs import SequenceClassifierOutput

from harness_ngram.encoder import PAD


class NgramConfig(PreTrainedConfig):  # type: ignore[no-untyped-call]
    """Sizes; `width` is that of a row."""

    model_type = "harness-ngram"

    rows: int = 2**16
    width: int = 32
    pooling: str = "sqrt"
    hidden_size: int | None = None
    dropout: float = 0.0
    init_std: float = 0.05
    pad_token_id: int = PAD


class NgramForSequenceClassification(PreTrainedModel):  # type: ignore[no-untyped-call]
    """logits = W·pool(E[n-grams]) + b, with ReLU(V·pool + c) in the place of pool where there is a hidden layer."""

    config_class = NgramConfig
    base_model_prefix = "ngram"

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        self.table = nn.Embedding(config.rows, config.width, padding_idx=PAD)
        nn.init.normal_(self.table.weight, std=config.init_std)
        with torch.no_grad():
            self.table.weight[PAD] = 0
        self.hidden = nn.Linear(config.width, config.hidden_size) if config.hidden_size else None
        self.dropout = nn.Dropout(config.dropout)
        self.classifier = nn.Linear(config.hidden_size or config.width, len(config.id2label or {}))
        self.post_init()  # type: ignore[no-untyped-call]

    def get_input_embeddings(self) -> nn.Embedding:
        """The table [rows, W]."""
        return self.table

    def forward(self, input_ids: Tensor, **_: Any) -> SequenceClassifierOutput:
        """Rows of n-grams, int64 [B, L], `PAD` where a text has no more → logits [B, C]."""
        vector = self.pooled(input_ids)  # [B, W]
        if self.hidden is not None:
            vector = F.relu(self.hidden(vector))
        return SequenceClassifierOutput(logits=self.classifier(self.dropout(vector)))

    def pooled(self, ids: Tensor) -> Tensor:
        """Ids [B, L] → [B, W]; 0 for a text of padding alone.

        An exported graph looks rows up and adds them, which is two operators that can be quantized; here it is one that
        keeps no [B, L, W]. The row of the padding is 0 and stays it: it has no gradient.
        """
        if torch.compiler.is_exporting():
            total: Tensor = self.table(ids).sum(1)
        else:
            total = F.embedding_bag(ids, self.table.weight, mode="sum", padding_idx=PAD)
        if self.config.pooling == "sum":
            return total
        count = (ids != PAD).sum(1, keepdim=True).clamp(min=1).to(total.dtype)  # [B, 1]
        return total / (count.sqrt() if self.config.pooling == "sqrt" else count)

    def _init_weights(self, module: nn.Module) -> None:
        """The constructors' own initial weights are meant."""


AutoConfig.register(NgramConfig.model_type, NgramConfig)
AutoModelForSequenceClassification.register(NgramConfig, NgramForSequenceClassification)
