"""onnx-int8: what becomes 8-bit, with how many bits, and what is left alone."""

from __future__ import annotations

import logging
import shutil
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from toy_exports import answer, made, quantized, save_graph, torch_answer
from toy_models import toy_arrays

from harness import StageError
from harness_onnx.graph import float_matrices, operators
from harness_onnx.quantize import cpu_flags, needs_reduced_range


def test_int8_answers_are_near_and_depend_on_batch_mates():
    lstm = made("lstm")
    arrays = toy_arrays(4, 11)
    together = answer(lstm.folder / "int8", arrays)
    assert 0 < np.abs(together - torch_answer(lstm.model, arrays)).max() < 0.02
    alone = answer(lstm.folder / "int8", {name: value[:1] for name, value in arrays.items()})
    assert 0 < np.abs(alone - together[0]).max() < 0.02


def test_the_quantizer_leaves_its_source_alone():
    source = made("lstm").folder / "onnx"
    before = {path.name: path.read_bytes() for path in source.iterdir()}
    quantized(made("lstm").folder, "again")
    assert {path.name: path.read_bytes() for path in source.iterdir()} == before


def test_the_quantizer_leaves_the_root_logger_alone(monkeypatch, capfd):
    folder = made("lstm").folder
    monkeypatch.setattr(logging.root, "handlers", [])
    quantized(folder, "silent")
    assert logging.root.handlers == []
    assert logging.root.manager.disable == logging.NOTSET
    assert capfd.readouterr().err == ""


def _weights(path: Path) -> dict[str, np.ndarray]:
    return {tensor.name: numpy_helper.to_array(tensor) for tensor in onnx.load(path).graph.initializer}


def test_reduced_range_means_seven_bits():
    lstm = made("lstm")
    assert quantized(lstm.folder, "reduced", reduce_range=True)["reduce_range"] is True
    assert quantized(lstm.folder, "full", reduce_range=False)["reduce_range"] is False
    largest = {}
    for name in ("reduced", "full"):
        weights = _weights(lstm.folder / name / "model.onnx")
        largest[name] = max(np.abs(w.astype(int)).max() for key, w in weights.items() if w.dtype == np.int8 and w.size)
    assert largest == {"reduced": 64, "full": 127}


def test_scales_per_channel_or_per_matrix():
    bag = made("bag")
    quantized(bag.folder, "one", per_channel=False)
    per_channel, one = (_weights(bag.folder / step / "model.onnx") for step in ("int8", "one"))
    scales = [
        [w.size for name, w in weights.items() if "classifier" in name and "scale" in name]
        for weights in (per_channel, one)
    ]
    assert scales == [[3], [1]]


def test_embeddings_stay_fp32_when_asked():
    bag = made("bag")
    facts = quantized(bag.folder, "words", embeddings=False)
    assert facts["bytes"]["embeddings"] == bag.facts["bytes"]["embeddings"]
    assert facts["changed"] is True


def test_a_file_that_is_int8_already_is_not_said_to_be_changed(tmp_path):
    facts = quantized(made("lstm").folder, "dynamic-once")
    assert facts["changed"]
    shutil.copytree(made("lstm").folder / "dynamic-once", tmp_path / "onnx")
    again = quantized(tmp_path)
    assert again["changed"] is False


def test_nothing_to_quantize_is_said(tmp_path):
    save_graph(tmp_path / "onnx", helper.make_node("Cast", ["input_ids"], ["logits"], to=TensorProto.FLOAT))
    assert quantized(tmp_path)["changed"] is False


def test_matrices_computed_from_constants_count_as_float(tmp_path):
    path = save_graph(
        tmp_path / "onnx",
        helper.make_node("Cast", ["input_ids"], ["x"], to=TensorProto.FLOAT),
        helper.make_node("Concat", ["a", "b"], ["joined"], axis=1),
        helper.make_node("MatMul", ["x", "joined"], ["y"], name="joined-product"),
        helper.make_node("MatMul", ["y", "y"], ["logits"], name="of two activations"),
        weights={"a": np.ones((2, 2), np.float32), "b": np.ones((2, 2), np.float32)},
    )
    assert float_matrices(onnx.load(path)) == ["joined-product"]


def test_a_graph_that_the_quantizer_refuses_is_named(tmp_path, monkeypatch):
    save_graph(tmp_path / "onnx", helper.make_node("Cast", ["input_ids"], ["logits"], to=TensorProto.FLOAT))

    def fail(*_, **__):
        msg = "shape_inference failed"
        raise RuntimeError(msg)

    monkeypatch.setattr("harness_onnx.quantize.quantize_dynamic", fail)
    with pytest.raises(StageError, match="cannot quantize this graph: shape_inference failed"):
        quantized(tmp_path)


@pytest.mark.parametrize(
    ("machine", "flags", "asked", "expected"),
    [
        ("x86_64", {"avx2", "avx512f"}, None, True),
        ("AMD64", set(), None, True),
        ("x86_64", {"avx512_vnni"}, None, False),
        ("x86_64", {"avx_vnni"}, None, False),
        ("aarch64", set(), None, False),
        ("x86_64", {"avx512_vnni"}, True, True),
        ("x86_64", {"avx2"}, False, False),
    ],
)
def test_seven_bits_only_where_eight_can_overflow(machine, flags, asked, expected):
    assert needs_reduced_range(machine, frozenset(flags), asked) is expected


def test_flags_are_read_from_either_kind_of_cpuinfo(tmp_path):
    (tmp_path / "x86").write_text("processor\t: 0\nflags\t\t: fpu avx2 avx_vnni\n\nflags\t\t: other\n")
    (tmp_path / "arm").write_text("processor\t: 0\nFeatures\t: fp asimddp\n")
    assert cpu_flags(tmp_path / "x86") == {"fpu", "avx2", "avx_vnni"}
    assert cpu_flags(tmp_path / "arm") == {"fp", "asimddp"}
    assert cpu_flags(tmp_path / "absent") == frozenset()


def test_subgraphs_are_counted():
    body = helper.make_graph([helper.make_node("Neg", ["a"], ["b"])], "body", [], [])
    outer = helper.make_graph(
        [helper.make_node("If", ["c"], ["d"], then_branch=body, else_branch=body)], "outer", [], []
    )
    assert operators(helper.make_model(outer)) == {"If": 1, "Neg": 2}
