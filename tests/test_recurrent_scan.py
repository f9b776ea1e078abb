"""Loops become scans where they are nothing else, and answer the same; all others stay as they are."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
import pytest

from harness_onnx.graph import operators
from harness_onnx.scan import scanned

# A recurrence as the exporter that traces writes a scripted one: p ← p · w + x_t, all p stacked.
PARTS = {
    "length": "shape = Shape(x) n = Gather(shape, zero)",
    "start": "list = SequenceEmpty<dtype = 1>()",
    "read": "now = Gather<axis = 0>(x, i)",
    "step": "kept = Mul(p, w) q = Add(kept, now)",
    "write": "more = SequenceInsert(some, q)",
    "until": "on = Identity(go)",
    "stack": "y = ConcatFromSequence<axis = 0, new_axis = 1>(all)",
    "last": "z = Identity(last)",
}


def model(**changes: str) -> onnx.ModelProto:
    part = {**PARTS, **changes}
    text = f"""<ir_version: 9, opset_import: ["" : 20]>
    m (float[L, B, 3] x, float[3] w, float[B, 3] p0) => (float[A, C, D] y, float[E, F] z) {{
        zero = Constant<value = int64 {{0}}>()
        go = Constant<value = bool {{1}}>()
        {part["length"]}
        {part["start"]}
        last, all = Loop(n, go, p0, list)<body = body (int64 i, bool going, float[B, 3] p, seq(float[B, 3]) some)
            => (bool on, float[B, 3] q, seq(float[B, 3]) more) {{
            {part["read"]} {part["step"]} {part["write"]} {part["until"]}
        }}>
        {part["stack"]}
        {part["last"]}
    }}"""
    return onnx.parser.parse_model(text)


def answers(made: onnx.ModelProto, length: int, batch: int) -> list[np.ndarray]:
    onnx.checker.check_model(made)
    session = onnxruntime.InferenceSession(made.SerializeToString(), providers=["CPUExecutionProvider"])
    rng = np.random.default_rng(length)
    shapes = {"x": (length, batch, 3), "w": (3,), "p0": (batch, 3)}
    return session.run(None, {name: rng.normal(size=shape).astype(np.float32) for name, shape in shapes.items()})


@pytest.mark.parametrize("length", [1, 2, 9])
def test_a_loop_over_steps_becomes_a_scan_that_answers_the_same(length):
    found = scanned(model())
    counts = operators(found)
    assert counts["Scan"] == 1
    assert not {"Loop", "SequenceInsert", "ConcatFromSequence"} & set(counts)
    for batch in (1, 4):
        for mine, wanted in zip(answers(found, length, batch), answers(model(), length, batch), strict=True):
            assert np.array_equal(mine, wanted)


@pytest.mark.parametrize(
    "changes",
    [
        {"read": "now = Gather<axis = 1>(x, i)"},
        {"length": "n = Constant<value = int64 {2}>()"},
        {"until": "one = ReduceMax<keepdims = 0>(q) on = Less(one, one)"},
        {"write": "front = Sub(i, i) more = SequenceInsert(some, q, front)"},
        {"start": "list = SequenceConstruct(p0)"},
        {"stack": "y = ConcatFromSequence<axis = 0>(all)"},
        {"step": "at = Cast<to = 1>(i) kept = Mul(p, at) q = Add(kept, now)"},
        {"last": "count = SequenceLength(all) z = Cast<to = 1>(count)"},
        {"read": "now = Gather<axis = 0>(x, i) seen = SequenceLength(some)"},
    ],
    ids=["another axis", "another length", "a condition", "at the front", "not empty", "not stacked", "counts", "list used", "list seen"],
)  # fmt: skip
def test_a_loop_that_is_more_than_that_stays(changes):
    before = model(**changes)
    assert scanned(model(**changes)) == before
    assert operators(before)["Loop"] == 1
