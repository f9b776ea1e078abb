"""Which groups and layers stay: pure arithmetic, which plans do too, so that nothing heavy is imported."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from harness import StageError

if TYPE_CHECKING:
    from torch import Tensor

_ROUNDING = 1e-9  # 0.29 × 100 is 28.999…


def chosen(
    scores: Sequence[Tensor], share: float, what: str, *, per_layer: bool = False, multiple: int = 1
) -> list[list[int]]:
    """Groups to keep in each layer, ascending: `share` of all groups goes, those with the least scores first.

    They go in blocks, so that a multiple of `multiple` groups stays in each layer, at least one multiple of it (or all
    there are); never more than `share` goes. `per_layer`: the same share of each layer. StageError where `share` would
    leave nothing of a layer.
    """
    if per_layer:
        return [chosen([score], share, what, multiple=multiple)[0] for score in scores]
    order = [score.argsort(descending=True, stable=True).tolist() for score in scores]
    blocks = sorted(
        (float(scores[layer][ranks[start:end]].mean()), layer, -start, end - start)
        for layer, ranks in enumerate(order)
        for start, end in _blocks(len(ranks), multiple)
    )
    if reason := too_much([len(ranks) for ranks in order], share, what, multiple):
        raise StageError(reason)
    wanted = _count(sum(map(len, order)), share)
    left = [len(ranks) for ranks in order]
    for _, layer, _, size in blocks:
        if size > wanted:
            break
        wanted -= size
        left[layer] -= size
    return [sorted(ranks[:count]) for ranks, count in zip(order, left, strict=True)]


def too_much(groups: Sequence[int], share: float, what: str, multiple: int = 1) -> str | None:
    """Why so large a share of all groups, of which each layer has so many, cannot go."""
    total, least = sum(groups), sum(min(multiple, count) for count in groups)
    wanted = _count(total, share)
    if wanted <= total - least:
        return None
    most = int((total - least) / total * 100) / 100
    advice = f"set it to {most:g} or less" if most else "there is nothing that can go: leave it out"
    return (
        f"share = {share}: {wanted} of {total} {what} would go, and each of {_layers(len(groups))} keeps at least "
        f"{min([multiple, *groups])}; {advice}"
    )


def taken(groups: int, share: float, multiple: int) -> int:
    """How many go of so many, where each layer has a multiple of `multiple`."""
    return _count(groups, share) // multiple * multiple


def _count(total: int, share: float) -> int:
    return int(share * total + _ROUNDING)


def _layers(count: int) -> str:
    return f"{count} layer{'' if count == 1 else 's'}"


def _blocks(groups: int, multiple: int) -> list[tuple[int, int]]:
    """(first rank, last rank + 1) of what may go, `multiple` ranks at a time; what is no multiple goes first."""
    return [(start, min(start + multiple, groups)) for start in range(multiple, groups, multiple)]


def absent(keep: int | Sequence[int] | None, layers: int) -> str | None:
    """Why `keep` does not fit a model of so many layers."""
    if isinstance(keep, int):
        return f"keep = {keep}: the model has {_layers(layers)}" if keep > layers else None
    missing = [at for at in keep or () if at >= layers]
    if not missing:
        return None
    places = f"0 to {layers - 1}" if layers > 1 else "0"
    return f"keep = {list(keep or ())}: the model has {_layers(layers)}, {places}; there is no {missing[0]}"


def staying(keep: int | None, layers: int) -> int:
    """How many of so many layers stay: half of them unless the suite says how many."""
    return max(1, layers // 2) if keep is None else keep


def evenly(count: int, layers: int) -> list[int]:
    """So many of them, the first and the last among them where there are two: 3 of 6 → 0, 2, 5."""
    return [round(at * (layers - 1) / max(1, count - 1)) for at in range(count)]
