"""Small models that behave as students do: built from a config, saved as safetensors, known to the Auto classes."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence
from transformers import (
    AutoConfig,
    AutoModelForQuestionAnswering,
    AutoModelForSequenceClassification,
    BertConfig,
    BertForSequenceClassification,
    DistilBertConfig,
    DistilBertForQuestionAnswering,
    PreTrainedConfig,
    PreTrainedModel,
)
from transformers.modeling_outputs import SequenceClassifierOutput

from harness import Arrays

VOCABULARY = 90


class ToyLstmConfig(PreTrainedConfig):
    model_type = "toy-lstm"

    def __init__(self, layers: int = 2, hidden_size: int = 12, dropout: float = 0.5, **kwargs):
        super().__init__(**kwargs)
        self.layers, self.hidden_size, self.dropout = layers, hidden_size, dropout


class ToyLstm(PreTrainedModel):
    """Bidirectional, packed by length, max-pooled over real tokens."""

    config_class = ToyLstmConfig

    def __init__(self, config):
        super().__init__(config)
        size = config.hidden_size
        self.embed = nn.Embedding(VOCABULARY, size)
        self.dropout = nn.Dropout(config.dropout)
        self.rnn = nn.LSTM(size, size, config.layers, batch_first=True, bidirectional=True)
        self.classifier = nn.Linear(2 * size, config.num_labels)
        self.post_init()

    def forward(self, input_ids, attention_mask):
        packed = pack_padded_sequence(
            self.dropout(self.embed(input_ids)), attention_mask.sum(1).cpu(), batch_first=True, enforce_sorted=False
        )
        states, _ = pad_packed_sequence(self.rnn(packed)[0], batch_first=True, total_length=input_ids.shape[1])
        states = states.masked_fill(~attention_mask.bool()[..., None], -1e9)  # [B, L, 2H]
        return SequenceClassifierOutput(logits=self.classifier(states.amax(1)))


class ToyBagConfig(PreTrainedConfig):
    model_type = "toy-bag"


class ToyBag(PreTrainedModel):
    """The mean of embeddings: no recurrence, no attention, pools by the 2-D mask."""

    config_class = ToyBagConfig

    def __init__(self, config):
        super().__init__(config)
        self.embed = nn.Embedding(VOCABULARY, 16)
        self.classifier = nn.Linear(16, config.num_labels)
        self.post_init()

    def forward(self, input_ids, attention_mask):
        weights = attention_mask[..., None].float()  # [B, L, 1]
        pooled = (self.embed(input_ids) * weights).sum(1) / weights.sum(1)
        return SequenceClassifierOutput(logits=self.classifier(pooled))


def _decay(values: torch.Tensor, keep: torch.Tensor) -> torch.Tensor:
    """state[t] = keep[t] · state[t-1] + (1 - keep[t]) · values[t]; [B, L, H] → [B, H]."""
    state = torch.zeros_like(values[:, 0])
    for step in range(values.shape[1]):
        state = keep[:, step] * state + (1.0 - keep[:, step]) * values[:, step]
    return state


with warnings.catch_warnings():
    warnings.filterwarnings("ignore", "`torch.jit.script` is deprecated", DeprecationWarning)
    decay = torch.jit.script(_decay)


class ToyScannedConfig(PreTrainedConfig):
    model_type = "toy-scanned"


class ToyScanned(PreTrainedModel):
    """A recurrence as a scripted loop; padding keeps the state."""

    config_class = ToyScannedConfig

    def __init__(self, config):
        super().__init__(config)
        self.embed = nn.Embedding(VOCABULARY, 16)
        self.gates = nn.Linear(16, 32)
        self.classifier = nn.Linear(16, config.num_labels)
        self.post_init()

    def scan(self, embedded, attention_mask):
        values, gates = self.gates(embedded).chunk(2, -1)
        return decay(values, torch.sigmoid(gates).masked_fill(~attention_mask.bool()[..., None], 1.0))

    def forward(self, input_ids, attention_mask):
        return SequenceClassifierOutput(logits=self.classifier(self.scan(self.embed(input_ids), attention_mask)))


for _config, _model in ((ToyLstmConfig, ToyLstm), (ToyBagConfig, ToyBag), (ToyScannedConfig, ToyScanned)):
    AutoConfig.register(_config.model_type, _config, exist_ok=True)
    AutoModelForSequenceClassification.register(_config, _model, exist_ok=True)


class ToyStudent:
    """`load` as a student has it."""

    def load(self, folder: Path, head: str) -> nn.Module:
        auto = AutoModelForQuestionAnswering if head == "span" else AutoModelForSequenceClassification
        return auto.from_pretrained(folder).eval()


def toy_lstm(**options) -> ToyLstm:
    torch.manual_seed(0)
    return ToyLstm(ToyLstmConfig(num_labels=3, **options)).eval()


def toy_bag() -> ToyBag:
    torch.manual_seed(0)
    model = ToyBag(ToyBagConfig(num_labels=3)).eval()
    nn.init.normal_(model.classifier.bias)  # a bias of zeros would be optimised away
    return model


def toy_scanned() -> ToyScanned:
    torch.manual_seed(0)
    return ToyScanned(ToyScannedConfig(num_labels=3)).eval()


def toy_bert(layers: int = 2, attention: str = "sdpa") -> BertForSequenceClassification:
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=VOCABULARY,
        hidden_size=32,
        num_hidden_layers=layers,
        num_attention_heads=4,
        intermediate_size=64,
        num_labels=3,
        attn_implementation=attention,
    )
    return BertForSequenceClassification(config).eval()


def toy_distilbert(layers: int = 6) -> DistilBertForQuestionAnswering:
    """Six layers and a head of one matrix, as the models of the published tables."""
    torch.manual_seed(0)
    config = DistilBertConfig(vocab_size=VOCABULARY, dim=32, n_layers=layers, n_heads=4, hidden_dim=64)
    return DistilBertForQuestionAnswering(config).eval()


def toy_span(model_type: str = "bert", layers: int = 2) -> PreTrainedModel:
    """A span model of any architecture, with weights large enough for logits to differ."""
    torch.manual_seed(0)
    sizes = {"vocab_size": VOCABULARY, "hidden_size": 32, "num_hidden_layers": layers, "num_attention_heads": 4}
    wide = {"hidden_dim" if model_type == "distilbert" else "intermediate_size": 64, "initializer_range": 0.2}
    own = {"embedding_size": 16} if model_type == "electra" else {}
    config = AutoConfig.for_model(model_type, **sizes, **wide, **own, pad_token_id=0)
    return AutoModelForQuestionAnswering.from_config(config).eval()


def toy_arrays(batch: int = 3, length: int = 9, token_types: bool = False) -> Arrays:
    """Random tokens, padded at the right except in the first row."""
    numbers = np.random.default_rng(batch * 100 + length)
    ends = np.maximum(1, length - 2 * np.arange(batch))  # [batch]
    mask = (np.arange(length) < ends[:, None]).astype(np.int64)  # [batch, length]
    arrays = {"input_ids": numbers.integers(5, VOCABULARY, (batch, length)) * mask, "attention_mask": mask}
    types = (np.arange(length) >= length // 2) * mask  # the second text of a pair
    return {**arrays, "token_type_ids": types} if token_types else arrays
