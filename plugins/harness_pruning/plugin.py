"""The hook of the pruning compressors."""

from __future__ import annotations

from collections.abc import Iterator

from harness import CompressorSpec, Head, hookimpl
from harness_pruning.foreseen import too_few_layers, too_many_heads, too_many_neurons
from harness_pruning.params import FfnParams, HeadsParams, LayerParams, MagnitudeParams

LIBRARIES = ("torch", "transformers")
# Bundled students without heads or layers to remove.
_NO_LAYERS = frozenset({"lstm", "sru", "srupp", "ngram", "onnx-file"})


def no_layers(student: str, head: Head) -> str | None:  # noqa: ARG001 - heads of a task make no difference
    """Why a cell cannot lose heads, neurons or layers."""
    return f"'{student}' is no transformer: nothing to remove from it" if student in _NO_LAYERS else None


@hookimpl
def harness_compressors() -> Iterator[CompressorSpec]:
    """One that masks, three that remove.

    Tolerances are for the conformance kit's toy at the default params: pruning means to change answers, and what it
    does to a real model is for the report to say.
    """
    yield CompressorSpec(
        name="prune-magnitude",
        summary="Set the smallest weights to zero: masked, not removed",
        version=1,
        consumes=("torch",),
        produces="torch",
        factory="harness_pruning.magnitude:PruneMagnitude",
        params=MagnitudeParams,
        masks=lambda params: params.sparsity > 0,
        tolerance=0.5,
        libraries=LIBRARIES,
        reference="https://arxiv.org/abs/1506.02626",
    )
    yield CompressorSpec(
        name="prune-heads",
        summary="Remove the attention heads that answers hang on least",
        version=1,
        consumes=("torch",),
        produces="torch",
        factory="harness_pruning.structured:PruneHeads",
        params=HeadsParams,
        calibrates=True,
        tolerance=0.2,
        supports=no_layers,
        fits=too_many_heads,
        miniature={"share": 0.5},
        libraries=LIBRARIES,
        reference="https://arxiv.org/abs/2203.09656",
    )
    yield CompressorSpec(
        name="prune-ffn",
        summary="Remove the feed-forward neurons that answers hang on least",
        version=1,
        consumes=("torch",),
        produces="torch",
        factory="harness_pruning.structured:PruneFfn",
        params=FfnParams,
        calibrates=True,
        tolerance=0.2,
        supports=no_layers,
        fits=too_many_neurons,
        miniature={"share": 0.5},
        libraries=LIBRARIES,
        reference="https://arxiv.org/abs/2203.09656",
    )
    yield CompressorSpec(
        name="layer-drop",
        summary="Remove the layers that answers hang on least, or all but those that are named",
        version=1,
        consumes=("torch",),
        produces="torch",
        factory="harness_pruning.layers:LayerDrop",
        params=LayerParams,
        calibrates=True,
        tolerance=2.0,
        supports=no_layers,
        fits=too_few_layers,
        miniature={"keep": 1},
        libraries=LIBRARIES,
        reference="https://arxiv.org/abs/2402.09025",
    )
