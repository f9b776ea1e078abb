"""What a plan can tell of a model that is pruned: its dimensions, less what the links before have removed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from harness_pruning.choosing import absent, staying, taken, too_much
from harness_pruning.params import FfnParams, HeadsParams, LayerParams

_DIMENSIONS = frozenset({"hidden_size", "layers", "heads", "intermediate"})
_CUT = frozenset({"dropout"})  # what a suite may say of a model that is cut from another one


@dataclass(frozen=True)
class Groups:
    """Heads or neurons of each layer. Where `placed` is False, training texts decide which layer has how many.

    Then only the sum is sure, and that none has fewer than the least.
    """

    counts: tuple[int, ...]
    placed: bool = True


@dataclass(frozen=True)
class Shape:
    """A transformer; None: only the stages will know."""

    layers: int
    heads: Groups | None
    neurons: Groups | None


def too_few_layers(params: LayerParams, student: Any, before: Sequence[Any]) -> str | None:
    """Why a model with so many layers cannot keep what it should."""
    return _told("layer-drop", student, before, lambda shape: absent(params.keep, shape.layers))


def too_many_heads(params: HeadsParams, student: Any, before: Sequence[Any]) -> str | None:
    """Why a model with so many heads cannot lose the share."""
    return _told("prune-heads", student, before, lambda shape: _refused(shape.heads, params, "heads", 1))


def too_many_neurons(params: FfnParams, student: Any, before: Sequence[Any]) -> str | None:
    """Why a model with so many neurons cannot lose the share."""
    multiple = params.multiple_of
    return _told("prune-ffn", student, before, lambda shape: _refused(shape.neurons, params, "neurons", multiple))


def _told(name: str, student: Any, before: Sequence[Any], judge: Callable[[Shape], str | None]) -> str | None:
    shape = foreseen(student, before)
    reason = None if shape is None else judge(shape)
    behind = "" if shape == dimensions(student) else " (behind the links before it)"
    return reason and f"{name}: {reason}{behind}"


def foreseen(student: Any, before: Sequence[Any]) -> Shape | None:
    """The model as it comes out of compressors with such params."""
    shape = dimensions(student)
    for params in before:
        shape = shape and _after(shape, params)
    return shape


def dimensions(student: Any) -> Shape | None:
    """What the suite says of its size; None where its checkpoint, or the model it is cut from, decides."""
    cut = student.model_fields_set <= _CUT
    if cut or getattr(student, "checkpoint", None) or not type(student).model_fields.keys() >= _DIMENSIONS:
        return None
    return Shape(
        layers=student.layers,
        heads=Groups((student.heads,) * student.layers),
        neurons=Groups((student.intermediate or 4 * student.hidden_size,) * student.layers),
    )


def _after(shape: Shape, params: Any) -> Shape:
    if isinstance(params, LayerParams):
        return _dropped(shape, params)
    if isinstance(params, FfnParams):
        return replace(shape, neurons=_pruned(shape.neurons, params, params.multiple_of))
    return replace(shape, heads=_pruned(shape.heads, params, 1)) if isinstance(params, HeadsParams) else shape


def _dropped(shape: Shape, params: LayerParams) -> Shape:
    named = isinstance(params.keep, list)
    keep = params.keep if isinstance(params.keep, list) else [*range(staying(params.keep, shape.layers))]

    def rest(groups: Groups | None) -> Groups | None:
        if groups is None or not groups.placed or not (named or len({*groups.counts}) == 1):
            return None
        return Groups(tuple(groups.counts[at] for at in keep))

    return Shape(layers=len(keep), heads=rest(shape.heads), neurons=rest(shape.neurons))


def _pruned(groups: Groups | None, params: HeadsParams, multiple: int) -> Groups | None:
    """What `chosen` leaves: where everything is a multiple, whole multiples go until the next would be too much."""
    if groups is None or any(count % multiple for count in groups.counts):
        return None
    if params.scope == "layer":
        left = tuple(count - taken(count, params.share, multiple) for count in groups.counts)
        return Groups(left) if groups.placed else None
    gone = taken(sum(groups.counts), params.share, multiple)
    if not gone:
        return groups
    others = (multiple,) * (len(groups.counts) - 1)
    return Groups((*others, sum(groups.counts) - gone - sum(others)), placed=not others)


def _refused(groups: Groups | None, params: HeadsParams, what: str, multiple: int) -> str | None:
    """Why so much of it cannot go; None where it can, and where a plan cannot tell."""
    if groups is None:
        return None
    if params.scope == "global":
        sure = groups.placed or multiple <= min(groups.counts)
        return too_much(groups.counts, params.share, what, multiple) if sure else None
    each = [too_much([count], params.share, what, multiple) for count in groups.counts if groups.placed]
    return next(filter(None, each), None)
