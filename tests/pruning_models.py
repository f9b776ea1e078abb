"""Small transformers whose heads and neurons matter, and what the pruning compressors make of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from toy_models import VOCABULARY
from transformers import AutoConfig

from harness import CompressRequest
from harness.plugins import load_registry
from harness_transformers.heads import auto
from harness_transformers.model import Transformer

FAMILIES = ("bert", "distilbert", "electra", "roberta")
LAYERS, HEADS, NEURONS = 3, 4, 64
REGISTRY = load_registry()


def model(family: str = "bert", head: str = "sequence", seed: int = 0):
    """Three layers of four heads; weights are large, so that no answer is decided by rounding."""
    torch.manual_seed(seed)
    sizes = {"vocab_size": VOCABULARY, "hidden_size": 32, "num_hidden_layers": LAYERS, "num_attention_heads": HEADS}
    wide = {"hidden_dim" if family == "distilbert" else "intermediate_size": NEURONS, "initializer_range": 0.2}
    own = {"embedding_size": 16} if family == "electra" else {}
    config = AutoConfig.for_model(family, **sizes, **wide, **own, pad_token_id=0, max_position_embeddings=40)
    if head != "span":
        config.num_labels = 3
    return auto(head).from_config(config).eval()


def texts(count: int, seed: int = 0, longest: int = 20) -> list[dict[str, np.ndarray]]:
    """Batches of one text."""
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(count):
        ids = rng.integers(5, VOCABULARY, (1, int(rng.integers(2, longest))))
        found.append({"input_ids": ids, "attention_mask": np.ones_like(ids)})
    return found


def padded(batch: int = 4, length: int = 12) -> dict[str, np.ndarray]:
    """One batch with padding."""
    ids = np.random.default_rng(3).integers(5, VOCABULARY, (batch, length))
    mask = (np.arange(length) < (length - np.arange(batch))[:, None]).astype(np.int64)
    return {"input_ids": ids * mask, "attention_mask": mask}


def compress(name: str, source: Path, out: Path, head: str = "sequence", format_: str = "torch", **params):
    """Facts of a bundled compressor's work; it stands in `out`."""
    spec = REGISTRY.compressor(name)
    out.mkdir()
    return spec.load().compress(
        CompressRequest(
            source=source,
            out=out,
            artifact={"format": format_, "student": "transformer", "head": head, "labels": ["a", "b", "c"], "max_length": 32},
            params=spec.params(**params),
            seed=0,
            arrays=[padded()],
            calibration=texts(24) if spec.calibrates else [],
            student=lambda: Transformer().load(source, head),
        )
    )  # fmt: skip


def saved(made, folder: Path) -> Path:
    """A source for compressors."""
    made.save_pretrained(folder)
    return folder


def loaded(folder: Path, head: str = "sequence"):
    """As a stage loads it."""
    return Transformer().load(folder, head)


def answers(made, batches=None) -> np.ndarray:
    """All logits of some texts, flat."""
    with torch.inference_mode():
        found = [
            made(**{n: torch.tensor(a) for n, a in arrays.items()}) for arrays in batches or [*texts(6, 9), padded()]
        ]
    return np.concatenate([v.numpy().ravel() for one in found for name, v in one.items() if name.endswith("logits")])


def shapes(made) -> dict[str, tuple[int, ...]]:
    """Of every parameter."""
    return {name: tuple(parameter.shape) for name, parameter in made.named_parameters()}
