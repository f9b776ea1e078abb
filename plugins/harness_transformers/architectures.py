"""Published checkpoints whose exact architecture is known here, for `--weights random` where their files are not.

Sizes are those of the checkpoints' own config.json, except where a line says [inferred]. Names differ from version to
version of the hub: the older one of each stands beside the newer. Imports nothing heavy: specs list these names.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Architecture:
    """What a config needs to have every weight in its right shape."""

    model_type: str
    vocab_size: int  # rows of the embedding table
    tokens: int | None = None  # of the vocabulary, where the table has rows that no token uses
    hidden_size: int = 768
    layers: int = 12
    heads: int = 12
    intermediate: int = 3072
    positions: int = 512
    cased: bool = True

    @property
    def smallest_vocabulary(self) -> int:
        """Tokens that a tokenizer must have to belong to this model."""
        return self.tokens or self.vocab_size

    def config_arguments(self) -> dict[str, Any]:
        """For `AutoConfig.for_model`: the names that this model type uses."""
        shared = {"vocab_size": self.vocab_size, "max_position_embeddings": self.positions}
        if self.model_type == "distilbert":
            sizes = {"dim": self.hidden_size, "n_layers": self.layers, "n_heads": self.heads}
            return {**shared, **sizes, "hidden_dim": self.intermediate}
        names = {"hidden_size": self.hidden_size, "num_hidden_layers": self.layers, "num_attention_heads": self.heads}
        wide = {**shared, **names, "intermediate_size": self.intermediate}
        return {**wide, "type_vocab_size": 1, "layer_norm_eps": 1e-5} if self.model_type == "roberta" else wide


def _bert(vocab_size: int, **sizes: Any) -> Architecture:
    return Architecture(model_type="bert", vocab_size=vocab_size, **sizes)


def _distilbert(vocab_size: int, layers: int = 6, **sizes: Any) -> Architecture:
    return Architecture(model_type="distilbert", vocab_size=vocab_size, layers=layers, **sizes)


_LARGE: Mapping[str, Any] = {"hidden_size": 1024, "layers": 24, "heads": 16, "intermediate": 4096}
_TINY: Mapping[str, Any] = {"hidden_size": 312, "layers": 3, "heads": 12, "intermediate": 600}
_RU_BASE, _RU_LARGE = _bert(120_138), _bert(120_138, **_LARGE)
# 50,257 tokens by its card, 50,265 rows by its config.json.
_RU_ROBERTA = Architecture(model_type="roberta", vocab_size=50_265, tokens=50_257, positions=514, **_LARGE)
_MULTILINGUAL, _DISTIL_MULTILINGUAL = _bert(119_547), _distilbert(119_547)
_ENGLISH = {
    "bert-base-uncased": _bert(30_522, cased=False),
    "bert-base-cased": _bert(28_996),
}
_DISTIL_ENGLISH = {
    "distilbert-base-uncased": _distilbert(30_522, cased=False),
    "distilbert-base-cased": _distilbert(28_996),
}

KNOWN: Mapping[str, Architecture] = {
    "ai-forever/ruBert-base": _RU_BASE,
    "sberbank-ai/ruBert-base": _RU_BASE,
    "ai-forever/ruBert-large": _RU_LARGE,
    "sberbank-ai/ruBert-large": _RU_LARGE,
    "ai-forever/ruRoberta-large": _RU_ROBERTA,
    "sberbank-ai/ruRoberta-large": _RU_ROBERTA,
    "ai-forever/sbert_large_nlu_ru": _RU_LARGE,
    "sberbank-ai/sbert_large_nlu_ru": _RU_LARGE,
    "DeepPavlov/rubert-base-cased": _MULTILINGUAL,
    "DeepPavlov/rubert-base-cased-sentence": _MULTILINGUAL,
    # [inferred] 119,547 rows and DistilBERT's own layout: with them and a masked-language head the parameters are the
    # 135.4 and 107 million of the cards. The one called tiny is, by its card, the small one under a wrong name.
    "DeepPavlov/distilrubert-base-cased-conversational": _distilbert(119_547),
    "DeepPavlov/distilrubert-small-cased-conversational": _distilbert(119_547, layers=2),
    "DeepPavlov/distilrubert-tiny-cased-conversational": _distilbert(119_547, layers=2),
    "Geotrend/distilbert-base-ru-cased": _distilbert(14_283),
    "sentence-transformers/LaBSE": _bert(501_153),
    "cointegrated/rubert-tiny": _bert(29_564, **_TINY),
    "cointegrated/rubert-tiny2": _bert(83_828, positions=2048, **_TINY),
    "google-bert/bert-base-multilingual-cased": _MULTILINGUAL,
    "bert-base-multilingual-cased": _MULTILINGUAL,
    "distilbert/distilbert-base-multilingual-cased": _DISTIL_MULTILINGUAL,
    "distilbert-base-multilingual-cased": _DISTIL_MULTILINGUAL,
    **_ENGLISH,
    **{f"google-bert/{name}": architecture for name, architecture in _ENGLISH.items()},
    **_DISTIL_ENGLISH,
    **{f"distilbert/{name}": architecture for name, architecture in _DISTIL_ENGLISH.items()},
}
