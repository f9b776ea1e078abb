"""Loops over the steps of tensors, as scripted recurrences are exported, become `Scan`.

A loop gathers its step from each tensor and appends to a sequence that is stacked after it; `Scan` slices and stacks by
itself, which takes half of the time (ONNX Runtime 1.31, one text of 24 or 96 tokens), and holds no sequences, which the
optimiser's notes on types get wrong.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

import onnx
from onnx import GraphProto, NodeProto, helper

from harness_onnx.graph import graphs


@dataclass(frozen=True)
class _Loop:
    """A loop that is a scan: what its body reads and says at each step, by the names of values."""

    node: NodeProto
    body: GraphProto
    states: tuple[int, ...]  # positions of carried tensors
    lists: tuple[int, ...]  # positions of carried sequences
    reads: tuple[NodeProto, ...]  # Gather of a step from a tensor outside
    writes: tuple[NodeProto, ...]  # SequenceInsert, one per sequence
    stacks: tuple[NodeProto, ...]  # ConcatFromSequence, one per sequence


def scanned(model: onnx.ModelProto) -> onnx.ModelProto:
    """The same graph, in place, with `Scan` for each loop of the main graph that is nothing else; others stay.

    Constants that only the loops read are left to the optimiser.
    """
    uses = Counter(name for graph in graphs(model.graph) for node in graph.node for name in node.input)
    for loop in [found for node in model.graph.node for found in _recognised(model.graph, node, uses)]:
        at = list(model.graph.node).index(loop.node)
        model.graph.node.insert(at, _scan(loop))
        for node in (loop.node, *loop.stacks):
            model.graph.node.remove(node)
    return model


def _recognised(graph: GraphProto, node: NodeProto, uses: Counter[str]) -> Iterator[_Loop]:
    """The loop as a scan, if it is one."""
    if node.op_type != "Loop":
        return
    body = next(attribute.g for attribute in node.attribute if attribute.name == "body")
    made = {name: maker for maker in body.node for name in maker.output}
    outside = {name: maker for maker in graph.node for name in maker.output}
    step, carried = body.input[0].name, range(len(body.input) - 2)
    lists = tuple(at for at in carried if body.input[2 + at].type.HasField("sequence_type"))
    states = tuple(at for at in carried if at not in lists)
    readers = [reader for reader in body.node if step in reader.input]
    writes = [made.get(body.output[1 + at].name) for at in lists]
    stacks = [next((n for n in graph.node if node.output[at] in n.input), None) for at in lists]
    starts = [outside.get(node.input[2 + at]) for at in lists]
    if (
        readers
        and len(body.output) == 1 + len(carried)
        and _endless(node, body, made, outside)
        and _length(node.input[0], outside) in {reader.input[0] for reader in readers}
        and all(_reads_step(reader, step, made) for reader in readers)
        and all(_appends(write, body.input[2 + at].name, uses) for write, at in zip(writes, lists, strict=True))
        and all(start is not None and start.op_type == "SequenceEmpty" for start in starts)
        and all(_stacks(stack, node.output[at], uses) for stack, at in zip(stacks, lists, strict=True))
    ):
        found = (tuple(n for n in nodes if n is not None) for nodes in (readers, writes, stacks))
        yield _Loop(node, body, states, lists, *found)


def _endless(node: NodeProto, body: GraphProto, made: dict[str, NodeProto], outside: dict[str, NodeProto]) -> bool:
    """Is the condition the constant that it begins with, so that only the number of steps ends the loop?"""
    after = made.get(body.output[0].name)
    start = outside.get(node.input[1])
    kept = after is not None and after.op_type == "Identity" and after.input[0] in (node.input[1], body.input[1].name)
    return kept and start is not None and start.op_type == "Constant" and _is_true(start)


def _is_true(constant: NodeProto) -> bool:
    return bool(onnx.numpy_helper.to_array(constant.attribute[0].t).all())


def _length(name: str, outside: dict[str, NodeProto]) -> str | None:
    """The tensor whose first dimension this number is."""
    gather = outside.get(name)
    shape = outside.get(gather.input[0]) if gather is not None and gather.op_type == "Gather" else None
    return shape.input[0] if shape is not None and shape.op_type == "Shape" else None


def _reads_step(reader: NodeProto, step: str, made: dict[str, NodeProto]) -> bool:
    axis = next((attribute.i for attribute in reader.attribute if attribute.name == "axis"), 0)
    return reader.op_type == "Gather" and axis == 0 and reader.input[1] == step and reader.input[0] not in made


def _appends(write: NodeProto | None, name: str, uses: Counter[str]) -> bool:
    """Is it an insertion at the end, and the only thing that happens to the sequence?"""
    return (
        write is not None and write.op_type == "SequenceInsert" and list(write.input)[::2] == [name] and uses[name] == 1
    )


def _stacks(stack: NodeProto | None, name: str, uses: Counter[str]) -> bool:
    if stack is None or stack.op_type != "ConcatFromSequence" or uses[name] != 1:
        return False
    return {attribute.name: attribute.i for attribute in stack.attribute} == {"axis": 0, "new_axis": 1}


def _scan(loop: _Loop) -> NodeProto:
    """Carried tensors, then the tensors that are read; the last states, then what was appended."""
    body = loop.body
    gone = {id(node) for node in (*loop.reads, *loop.writes)}
    said = [helper.make_node("Identity", [write.input[1]], [f"{write.output[0]}_step"]) for write in loop.writes]
    after = next(node for node in body.node if body.output[0].name in node.output)
    kept = [node for node in body.node if id(node) not in gone and node is not after]
    states_in = [body.input[2 + at] for at in loop.states]
    inner = helper.make_graph(
        [*kept, *said],
        body.name,
        [*states_in, *(_untyped(read.output[0], states_in[0]) for read in loop.reads)],
        [*(body.output[1 + at] for at in loop.states), *(_untyped(node.output[0], states_in[0]) for node in said)],
    )
    node = loop.node
    return helper.make_node(
        "Scan",
        [*(node.input[2 + at] for at in loop.states), *(read.input[0] for read in loop.reads)],
        [*(node.output[at] for at in loop.states), *(stack.output[0] for stack in loop.stacks)],
        node.name,
        body=inner,
        num_scan_inputs=len(loop.reads),
    )


def _untyped(name: str, like: onnx.ValueInfoProto) -> onnx.ValueInfoProto:
    """A value of the states' type and of any shape."""
    return helper.make_tensor_value_info(name, like.type.tensor_type.elem_type, None)
