"""What a graph of OpenVINO consists of, and what a CPU really runs of it: the figures that prove the work."""

from __future__ import annotations

from collections import Counter
from typing import Any

_THROUGH = ("Convert", "Subtract", "Multiply", "Reshape", "Transpose")  # between stored weights and who reads them
_WITH_WEIGHTS = ("FullyConnected", "LSTMSequence", "LSTMCell", "GRUSequence", "RNNSeq", "RNNCell")


def bytes_by_kind(model: Any) -> dict[str, int]:
    """Bytes of constants: embedding tables of any type, then 8-bit, floating and other ones. The sum is the whole."""
    kinds = dict.fromkeys(("embeddings", "int8", "fp32", "other"), 0)
    for op in model.get_ops():
        if op.get_type_name() == "Constant":
            kinds[_kind(op)] += op.get_byte_size()
    return kinds


def _kind(constant: Any) -> str:
    kind = constant.get_element_type()
    if len(constant.get_output_shape(0)) == 2 and _reader(constant) == "Gather":
        return "embeddings"
    if kind.get_type_name() in ("i8", "u8"):
        return "int8"
    return "fp32" if kind.is_real() else "other"


def _reader(op: Any) -> str:
    """Which operator gets a constant in the end."""
    while True:
        readers = list(op.output(0).get_target_inputs())
        if len(readers) != 1:
            return ""
        op = readers[0].get_node()
        if op.get_type_name() not in _THROUGH:
            return str(op.get_type_name())


def kernels(compiled: Any) -> dict[str, int]:
    """What products with weights are computed in on this CPU: {"u8": 37, "f32": 0, …}, as OpenVINO reports it."""
    found: Counter[str] = Counter()
    for op in compiled.get_runtime_model().get_ops():
        info = op.get_rt_info()
        if _said(info, "layerType") in _WITH_WEIGHTS:
            found[_said(info, "runtimePrecision")] += 1
    return dict(sorted(found.items()))


def _said(info: Any, name: str) -> str:
    return str(info[name].astype(str)) if name in info else ""
