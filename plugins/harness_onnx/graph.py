"""What a graph consists of: the figures that prove an export or a quantization."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import onnx

from harness import StageError

_FLOATS = (onnx.TensorProto.FLOAT, onnx.TensorProto.FLOAT16, onnx.TensorProto.DOUBLE, onnx.TensorProto.BFLOAT16)
_BYTES = (onnx.TensorProto.INT8, onnx.TensorProto.UINT8)
_FOUR_BITS = (onnx.TensorProto.INT4, onnx.TensorProto.UINT4)
_PACKED = {"MatMulNBits": (1, 3), "GatherBlockQuantized": (3,)}  # operator → inputs that hold two values to a byte
_MATRIX_OPS = ("MatMul", "Gemm", "FusedMatMul", "Attention", "LSTM", "GRU")  # operators that multiply by weights
_LARGEST = 2**31 - 1  # bytes of one protobuf message
_SKIP = "SkipLayerNormalization"
_EPSILON = 1e-12  # that operator's default


def save(model: onnx.ModelProto, path: Path) -> None:
    """Write one file without external data. StageError where the model is too large for that."""
    if model.ByteSize() > _LARGEST:
        msg = f"{path.name}: {model.ByteSize() / 2**30:.1f} GiB; one ONNX file holds at most 2. Use a smaller model."
        raise StageError(msg)
    onnx.save(model, path)


def operators(model: onnx.ModelProto) -> Counter[str]:
    """How many nodes of each operator, subgraphs included."""
    return Counter(node.op_type for graph in graphs(model.graph) for node in graph.node)


def graphs(graph: onnx.GraphProto) -> Iterator[onnx.GraphProto]:
    """The graph, then the bodies of its loops and branches."""
    yield graph
    for node in graph.node:
        for attribute in node.attribute:
            for body in [attribute.g] if attribute.type == onnx.AttributeProto.GRAPH else attribute.graphs:
                yield from graphs(body)


def bytes_by_kind(model: onnx.ModelProto) -> dict[str, int]:
    """Bytes of weights: embedding tables of any type, then 8-bit, floating, other and (if there are any) 4-bit tensors.

    The sum is the whole. Scales of blocks are floating; where a block's zero lies is part of its bits.
    """
    kinds = dict.fromkeys(("embeddings", "int8", "fp32", "other"), 0)
    for tensor, kind in _weights(model):
        kinds[kind] = kinds.get(kind, 0) + _bytes(tensor)
    return kinds


def _bytes(tensor: onnx.TensorProto) -> int:
    numbers: int = math.prod(tensor.dims)
    if tensor.data_type in _FOUR_BITS:
        return (numbers + 1) // 2
    size: int = onnx.helper.tensor_dtype_to_np_dtype(tensor.data_type).itemsize
    return numbers * size


def split_normalisation(model: onnx.ModelProto) -> onnx.ModelProto:
    """The same graph with additions and LayerNormalization instead of SkipLayerNormalization, in place.

    ONNX Runtime's operator for both is several times slower on CPUs than the two it stands for (1.31; 2 threads of an
    AVX-512 machine): without it an int8 model of 3 × 312 answers 1.3 to 1.5 times as fast, one of 6 × 768 1.1 to 1.2.
    """
    for graph in graphs(model.graph):
        nodes = [part for node in graph.node for part in _split(node)]
        graph.ClearField("node")
        graph.node.extend(nodes)
    return model


def _split(node: onnx.NodeProto) -> list[onnx.NodeProto]:
    """Inputs of the operator: x, skip, gamma, beta, bias; outputs: the result, two that nobody reads, the sum."""
    if node.op_type != _SKIP:
        return [node]
    given = list(node.input)
    x, skip, gamma, beta, bias = given + [""] * (5 - len(given))
    result = node.output[0]
    total = node.output[3] if len(node.output) > 3 and node.output[3] else f"{result}_sum"
    epsilon = next((attribute.f for attribute in node.attribute if attribute.name == "epsilon"), _EPSILON)
    biased = [onnx.helper.make_node("Add", [x, bias], [f"{result}_biased"], f"{node.name}_bias")] if bias else []
    scales = [gamma, beta] if beta else [gamma]
    return [
        *biased,
        onnx.helper.make_node("Add", [biased[0].output[0] if biased else x, skip], [total], f"{node.name}_sum"),
        onnx.helper.make_node("LayerNormalization", [total, *scales], [result], node.name, axis=-1, epsilon=epsilon),
    ]


def parameter_counts(model: onnx.ModelProto) -> dict[str, int]:
    """Weights of any float or 8-bit type, with and without embedding tables."""
    counts = dict.fromkeys(("embeddings", "int8", "fp32", "other"), 0)
    for tensor, kind in _weights(model):
        counts[kind] = counts.get(kind, 0) + math.prod(tensor.dims)
    without = counts["int8"] + counts["fp32"]
    return {"parameters": without + counts["embeddings"], "parameters_without_embeddings": without}


def float_matrices(model: onnx.ModelProto) -> list[str]:
    """Names of operators that still multiply by floating weights, given as they are or computed from constants."""
    constants, eight_bit = _constants(model.graph), _eight_bit(model.graph)
    return [
        node.name or node.output[0]
        for node in model.graph.node
        if node.op_type in _MATRIX_OPS and node.input[1] in constants and node.input[1] not in eight_bit
    ]


def products(model: onnx.ModelProto, kinds: Sequence[str]) -> list[onnx.NodeProto]:
    """Nodes of these operators that multiply an activation by a weight of the file."""
    weights, constants = {tensor.name for tensor in model.graph.initializer}, _constants(model.graph)
    return [
        node
        for node in model.graph.node
        if node.op_type in kinds and node.input[1] in weights and node.input[0] not in constants
    ]


def static_products(model: onnx.ModelProto) -> int:
    """How many products have an 8-bit weight and an activation whose 8-bit scale stands in the file."""
    eight_bit, constants = _eight_bit(model.graph), _constants(model.graph)
    rounded = {
        node.output[0]
        for node in model.graph.node
        if node.op_type == "DequantizeLinear" and node.output[0] not in constants and node.input[1] in constants
    }
    return sum(
        node.op_type in _MATRIX_OPS and node.input[0] in rounded and node.input[1] in eight_bit
        for node in model.graph.node
    )


def _eight_bit(graph: onnx.GraphProto) -> set[str]:
    """8-bit weights, as they are and read as floats."""
    stored = {tensor.name for tensor in graph.initializer if tensor.data_type in _BYTES}
    read = {node.output[0] for node in graph.node if node.op_type == "DequantizeLinear" and node.input[0] in stored}
    return stored | read


def _constants(graph: onnx.GraphProto) -> set[str]:
    """Values that depend on no input."""
    known = {tensor.name for tensor in graph.initializer}
    for node in graph.node:
        if all(name in known for name in node.input if name):
            known.update(node.output)
    return known


def _weights(model: onnx.ModelProto) -> Iterator[tuple[onnx.TensorProto, str]]:
    for graph in graphs(model.graph):
        tables = {node.input[0] for node in graph.node if node.op_type in ("Gather", "GatherBlockQuantized")}
        packed = {node.input[at] for node in graph.node for at in _PACKED.get(node.op_type, ()) if at < len(node.input)}
        for tensor in graph.initializer:
            yield tensor, "int4" if tensor.name in packed else _kind(tensor, tensor.name in tables)


def _kind(tensor: onnx.TensorProto, is_table: bool) -> str:
    if is_table and len(tensor.dims) == 2 and tensor.data_type in (*_FLOATS, *_BYTES, *_FOUR_BITS):
        return "embeddings"
    if tensor.data_type in _BYTES:
        return "int8"
    return "fp32" if tensor.data_type in _FLOATS else "other"
