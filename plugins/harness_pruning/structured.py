"""`prune-heads` and `prune-ffn`: channels go, and with them rows and columns of the matrices around them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from harness import Arrays, CompressRequest, Facts, parameter_facts, save_pretrained
from harness_pruning.choosing import chosen
from harness_pruning.importance import importance
from harness_pruning.layout import Part, Site, channels, cut, reading, sites
from harness_pruning.refit import refitted, second_moment
from harness_pruning.sizes import bytes_by_kind

_WORDS: dict[Part, str] = {"heads": "heads", "ffn": "neurons"}


class Structured:
    """What the two have in common."""

    part: Part

    def compress(self, request: CompressRequest) -> Facts:
        """Write a smaller model. StageError for architectures that are not known and for shares that leave nothing."""
        model: Any = request.student().eval()
        params = request.params
        texts = request.calibration[: params.examples]
        found = sites(model, self.part)
        before = parameter_facts(model)["parameters"]
        scores = importance(model, found, texts, request.seed)
        kept = chosen(
            scores,
            params.share,
            _WORDS[self.part],
            per_layer=params.scope == "layer",
            multiple=getattr(params, "multiple_of", 1),
        )
        remove(model, found, kept, texts if params.refit else None)
        save_pretrained(model, request.out)
        return {
            "changed": any(len(keep) < site.groups for site, keep in zip(found, kept, strict=True)),
            f"{_WORDS[self.part]}_before": [site.groups for site in found],
            _WORDS[self.part]: [len(keep) for keep in kept],
            "importance_removed": _share(scores, kept),
            "texts": len(texts),
            "parameters_before": before,
            **parameter_facts(model),
            "bytes": bytes_by_kind(model),
        }


class PruneHeads(Structured):
    """The factory of `prune-heads`."""

    part: Part = "heads"


class PruneFfn(Structured):
    """The factory of `prune-ffn`."""

    part: Part = "ffn"


def remove(model: Any, found: Sequence[Site], kept: Sequence[Sequence[int]], texts: Sequence[Arrays] | None) -> None:
    """Cut the model in place; with texts, readers are fitted to what they gave before."""
    cuts = [(site, keep) for site, keep in zip(found, kept, strict=True) if len(keep) < site.groups]
    for site, keep in cuts:
        # One layer after the other, so that each is fitted to what really reaches it, and to what it gave of that.
        moment = None if texts is None else second_moment(model, site.reader, texts)
        shrink(model, site, keep, moment)


def shrink(model: Any, site: Site, keep: Sequence[int], moment: Tensor | None) -> None:
    """Leave one layer only these groups."""
    fitted = None if moment is None else refitted(reading(model, site.reader), channels(site, keep), moment)
    cut(model, site, keep)
    if fitted is not None:
        reader = reading(model, site.reader)
        with torch.no_grad():
            reader.weight.copy_(fitted[0])
            reader.bias.copy_(fitted[1])


def _share(scores: Sequence[Tensor], kept: Sequence[Sequence[int]]) -> float:
    """How much of all importance went."""
    total = sum(float(score.sum()) for score in scores)
    stays = sum(float(score[list(keep)].sum()) for score, keep in zip(scores, kept, strict=True))
    return round(1 - stays / total, 6) if total else 0.0
