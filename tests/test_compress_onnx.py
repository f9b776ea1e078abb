"""onnx and onnx-int8: what the graph contains, that it answers like its model, what it leaves alone."""

from __future__ import annotations

import json
import logging
import os
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import nn
from toy_models import ToyBag, toy_arrays, toy_bag, toy_bert, toy_distilbert, toy_lstm, toy_scanned
from transformers.modeling_outputs import SequenceClassifierOutput

from harness import CompressRequest, StageError
from harness_onnx import export, quiet
from harness_onnx.export import OnnxExport, is_recurrent, samples, takes_additive_mask
from harness_onnx.graph import float_matrices, operators
from harness_onnx.plugin import ExportParams, Int8Params
from harness_onnx.quantize import OnnxInt8, cpu_flags, needs_reduced_range
from harness_onnx.runtime import OnnxRuntime

MAX_LENGTH = 20


def request(source: Path, out: Path, params: Any, model: nn.Module | None = None, **arrays: Any) -> CompressRequest:
    out.mkdir()
    artifact = {"format": "torch", "head": "sequence", "labels": ["a", "b", "c"], "max_length": MAX_LENGTH}
    return CompressRequest(
        source=source,
        out=out,
        artifact=artifact,
        params=params,
        seed=0,
        arrays=[toy_arrays(**arrays)],
        calibration=[],
        student=lambda: model,
    )


def exported(folder: Path, model: nn.Module, token_types: bool = False, **params: Any) -> dict[str, Any]:
    """Facts of `onnx`; the graph stands in folder/onnx."""
    return OnnxExport().compress(
        request(folder, folder / "onnx", ExportParams(**params), model, token_types=token_types)
    )


def quantized(folder: Path, name: str = "int8", **params: Any) -> dict[str, Any]:
    """Facts of `onnx-int8` on folder/onnx; the graph stands in folder/<name>."""
    return OnnxInt8().compress(request(folder / "onnx", folder / name, Int8Params(**params)))


def answer(folder: Path, arrays: dict[str, np.ndarray]) -> np.ndarray:
    return OnnxRuntime().load(folder, {"format": "onnx"}, None, threads=1).forward(arrays)["logits"]


def torch_answer(model: nn.Module, arrays: dict[str, np.ndarray]) -> np.ndarray:
    with torch.inference_mode():
        return model(**{name: torch.tensor(value) for name, value in arrays.items()}).logits.numpy()


class Made:
    """A model, its folder, and the facts of both steps."""

    def __init__(self, folder: Path, model: nn.Module, **params: Any) -> None:
        self.folder, self.model = folder, model
        self.facts = exported(folder, model, **params)
        self.int8 = quantized(folder)


@pytest.fixture(scope="module")
def distilbert(tmp_path_factory) -> Made:
    return Made(tmp_path_factory.mktemp("distilbert"), toy_distilbert(layers=6))


@pytest.fixture(scope="module")
def plain(tmp_path_factory) -> Made:
    return Made(tmp_path_factory.mktemp("plain"), toy_distilbert(layers=6), mask="plain")


@pytest.fixture(scope="module")
def bert(tmp_path_factory) -> Made:
    return Made(tmp_path_factory.mktemp("bert"), toy_bert(), token_types=True)


@pytest.fixture(scope="module")
def lstm(tmp_path_factory) -> Made:
    return Made(tmp_path_factory.mktemp("lstm"), toy_lstm())


@pytest.fixture(scope="module")
def bag(tmp_path_factory) -> Made:
    return Made(tmp_path_factory.mktemp("bag"), toy_bag())


@pytest.fixture(scope="module")
def scanned(tmp_path_factory) -> Made:
    return Made(tmp_path_factory.mktemp("scanned"), toy_scanned())


@pytest.fixture(params=["bert", "lstm", "bag", "scanned"])
def made(request) -> Made:
    return request.getfixturevalue(request.param)


# ------------------------------------------------------------------------------------------------- masks and matrices


def test_every_matrix_of_six_layers_and_the_head_becomes_int8(distilbert):
    assert distilbert.facts["mask"] == "additive"
    assert distilbert.facts["attention_fused"] == distilbert.facts["attention_layers"] == 6
    assert distilbert.facts["fused"]["MultiHeadAttention"] == 6
    assert distilbert.int8["int8_matmuls"] == 6 * 6 + 1
    assert distilbert.int8["float_matrices"] == {"count": 0, "names": []}
    assert "warnings" not in {**distilbert.facts, **distilbert.int8}


def test_a_plain_mask_joins_matrices_that_then_stay_fp32(plain, distilbert):
    assert plain.facts["fused"]["Attention"] == 6
    assert plain.int8["int8_matmuls"] == 6 * 3 + 1
    assert plain.int8["float_matrices"]["count"] == 6
    assert len(plain.int8["float_matrices"]["names"]) == 5
    assert plain.int8["warnings"] == ["6 operators still multiply by fp32 weights"]
    sizes = [(made.folder / "int8" / "model.onnx").stat().st_size for made in (plain, distilbert)]
    assert sizes[0] - sizes[1] > 6 * 3 * 32 * 32 * 2  # three of four bytes of each joined matrix, less the extra nodes


def test_an_expanded_mask_does_so_too(tmp_path, monkeypatch):
    narrow = export.additive_mask
    monkeypatch.setattr(export, "additive_mask", lambda mask: narrow(mask).expand(-1, -1, mask.shape[1], -1))
    facts = exported(tmp_path, toy_distilbert(layers=1))
    assert facts["mask"] == "additive"
    assert facts["fused"]["Attention"] == 1
    assert quantized(tmp_path)["int8_matmuls"] == 3 + 1


def test_eager_attention_is_fused_as_well(tmp_path):
    facts = exported(tmp_path, toy_bert(layers=1, attention="eager"), token_types=True)
    assert facts["fused"]["MultiHeadAttention"] == 1
    assert quantized(tmp_path)["int8_matmuls"] == 6 + 2


def test_attention_that_was_not_fused_is_loud(bert, monkeypatch):
    facts = export.attention_facts(bert.model, helper.make_model(helper.make_graph([], "empty", [], [])))
    assert facts["warnings"] == ["only 0 of 2 attention layers were fused into single operators"]


def test_models_without_attention_are_not_expected_to_fuse_any(lstm, bag):
    for made in (lstm, bag):
        assert made.facts["mask"] == "plain"
        assert made.facts["attention_fused"] == 0
        assert "warnings" not in made.facts


class Windowed(nn.Module):
    """Attends to a window of 16 unless the mask comes ready-made, as some encoders do."""

    def forward(self, input_ids, attention_mask):
        ready = attention_mask.ndim == 4
        seen = attention_mask[:, 0, 0] == 0 if ready else attention_mask.bool()
        seen = seen if ready else seen & (torch.arange(seen.shape[1]) < 16)
        return SequenceClassifierOutput(logits=(input_ids * seen).sum(1, keepdim=True).float())


def test_a_mask_that_would_open_a_window_is_not_used():
    assert takes_additive_mask(Windowed(), samples(toy_arrays(), max_length=16)[-1])
    assert not takes_additive_mask(Windowed(), samples(toy_arrays(), max_length=40)[-1])


# -------------------------------------------------------------------------------------------------------- the answers


@pytest.mark.parametrize("shape", [(1, 1), (1, 2), (2, 1), (5, 20), (32, 7)])
def test_any_batch_and_length_is_answered_as_by_the_model(made, shape):
    arrays = {**toy_arrays(*shape), "token_type_ids": np.ones(shape, np.int64)}
    wanted = torch_answer(made.model, {name: arrays[name] for name in _inputs(made)})
    assert np.abs(answer(made.folder / "onnx", arrays) - wanted).max() < 1e-5


def test_padding_changes_nothing_in_fp32(made):
    arrays = {**toy_arrays(4, 11), "token_type_ids": np.zeros((4, 11), np.int64)}
    together = answer(made.folder / "onnx", arrays)
    for row, length in enumerate(arrays["attention_mask"].sum(1)):
        alone = answer(made.folder / "onnx", {name: value[row : row + 1, :length] for name, value in arrays.items()})
        assert np.abs(alone - together[row]).max() < 1e-5


def test_int8_answers_are_near_and_depend_on_batch_mates(lstm):
    arrays = toy_arrays(4, 11)
    together = answer(lstm.folder / "int8", arrays)
    assert 0 < np.abs(together - torch_answer(lstm.model, arrays)).max() < 0.02
    alone = answer(lstm.folder / "int8", {name: value[:1] for name, value in arrays.items()})
    assert 0 < np.abs(alone - together[0]).max() < 0.02


def _inputs(made: Made) -> list[str]:
    return [value.name for value in onnx.load(made.folder / "onnx" / "model.onnx").graph.input]


def test_the_check_covers_several_sizes_and_is_a_fact(made):
    check = made.facts["export_check"]
    assert check["shapes"] == ["3×9", "1×3", "4×17", f"2×{MAX_LENGTH}"]
    assert check["largest_difference"] < 1e-5
    json.dumps({**made.facts, **made.int8})


def test_a_graph_that_answers_otherwise_is_refused(tmp_path, monkeypatch):
    def planted(model):
        for tensor in model.graph.initializer:
            if list(tensor.dims) == [3]:
                tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor) + 0.01, tensor.name))
        return model

    monkeypatch.setattr(export, "optimise", planted)
    with pytest.raises(StageError, match=r"differs from its model by 0\.01 .* 3×9 batch"):
        exported(tmp_path, toy_lstm())


class Unrolled(ToyBag):
    """A recurrence as a Python loop: the trace holds as many steps as the example was long."""

    def __init__(self, config):
        super().__init__(config)
        self.cell = nn.LSTMCell(16, 16)

    def forward(self, input_ids, attention_mask):
        embedded = self.embed(input_ids)
        state = (embedded.new_zeros(len(embedded), 16), embedded.new_zeros(len(embedded), 16))
        for step in range(embedded.shape[1]):
            state = self.cell(embedded[:, step], state)
        return SequenceClassifierOutput(logits=self.classifier(state[0]))


def test_a_length_that_the_trace_fixed_is_refused(tmp_path):
    with pytest.raises(StageError, match=r"size was fixed|differs from its model"):
        exported(tmp_path, Unrolled(toy_bag().config).eval())


def test_what_cannot_be_exported_is_named(tmp_path):
    class Silent(ToyBag):
        def forward(self, input_ids, attention_mask):
            if attention_mask.sum() > 5:  # data-dependent control flow
                return super().forward(input_ids, attention_mask)
            return super().forward(input_ids, attention_mask * 0 + 1)

    with pytest.raises(StageError, match="Silent cannot be exported to ONNX by the dynamo exporter"):
        exported(tmp_path, Silent(toy_bag().config).eval())


# -------------------------------------------------------------------------------------------------------- recurrences


def test_recurrences_are_traced_and_become_int8(lstm):
    assert lstm.facts["exporter"] == "torchscript"
    assert lstm.int8["dynamic_quantize_lstm"] == 2
    assert lstm.int8["int8_matmuls"] == 1
    assert lstm.int8["float_matrices"]["count"] == 0
    weights = sum(p.numel() for name, p in lstm.model.named_parameters() if p.ndim == 2 and "embed" not in name)
    assert weights <= lstm.int8["bytes"]["int8"] < weights * 1.2


def test_exporting_leaves_dropout_off(tmp_path):
    model = toy_lstm(dropout=0.9).train()
    exported(tmp_path, model)
    assert not any(module.training for module in model.modules())
    evaluated = toy_lstm(dropout=0.9)
    assert np.abs(answer(tmp_path / "onnx", toy_arrays()) - torch_answer(evaluated, toy_arrays())).max() < 1e-5


def test_other_models_are_not_traced(bert, bag):
    assert bert.facts["exporter"] == bag.facts["exporter"] == "dynamo"
    assert not is_recurrent(bert.model)


def test_a_scripted_loop_counts_as_recurrent_and_keeps_its_length_open(scanned, bag):
    assert not is_recurrent(bag.model)  # stands in the same file
    assert scanned.facts["exporter"] == "torchscript"
    assert operators(onnx.load(scanned.folder / "onnx" / "model.onnx"))["Loop"] == 1
    assert scanned.int8["int8_matmuls"] == 2


def test_nothing_is_said(tmp_path, capfd, recwarn):
    exported(tmp_path, toy_lstm())
    quantized(tmp_path)
    said = capfd.readouterr()
    assert said.err == ""
    assert said.out == ""
    assert not recwarn.list


def test_unknown_words_on_stderr_pass(capfd):
    with quiet.quiet_export():
        os.write(2, b"Warning: The shape inference of prim::PackPadded type is missing\nsomething else\n")
    assert capfd.readouterr().err == "something else\n"


# --------------------------------------------------------------------------------------------------- the file and facts


def test_the_file_is_one_and_knows_nothing_of_this_machine(bert, lstm):
    for made in (bert, lstm):
        for step in ("onnx", "int8"):
            assert [path.name for path in (made.folder / step).iterdir()] == ["model.onnx"]
            content = (made.folder / step / "model.onnx").read_bytes()
            assert b".py" not in content
            assert str(made.folder).encode() not in content


def test_the_same_model_gives_the_same_bytes(bag, tmp_path):
    exported(tmp_path, toy_bag(), optimise=False)
    assert b".py" not in (tmp_path / "onnx" / "model.onnx").read_bytes()
    again = tmp_path / "again"
    again.mkdir()
    exported(again, toy_bag())
    quantized(again)
    for step in ("onnx", "int8"):
        files = [folder / step / "model.onnx" for folder in (bag.folder, again)]
        assert files[0].read_bytes() == files[1].read_bytes()


def test_bytes_add_up_to_the_weights(made):
    for facts, step in ((made.facts, "onnx"), (made.int8, "int8")):
        size = (made.folder / step / "model.onnx").stat().st_size
        assert 0 < size - sum(facts["bytes"].values()) < 60_000  # names and nodes
    before, after = made.facts["bytes"], made.int8["bytes"]
    assert after["embeddings"] * 4 == before["embeddings"]
    assert before["int8"] == 0 < after["int8"] <= before["fp32"] / 3


def test_fusing_removes_nodes(bert):
    assert bert.facts["nodes_after"] < bert.facts["nodes_before"] / 2 + 10
    assert bert.int8["nodes_before"] == bert.facts["nodes_after"] < bert.int8["nodes_after"]


# --------------------------------------------------------------------------------------------------------------- int8


def test_the_quantizer_touches_neither_its_source_nor_the_root_logger(lstm):
    source = lstm.folder / "onnx"
    before = {path.name: path.read_bytes() for path in source.iterdir()}
    handlers, disabled = list(logging.root.handlers), logging.root.manager.disable
    quantized(lstm.folder, "again")
    assert {path.name: path.read_bytes() for path in source.iterdir()} == before
    assert (list(logging.root.handlers), logging.root.manager.disable) == (handlers, disabled)


def _weights(path: Path) -> dict[str, np.ndarray]:
    return {tensor.name: numpy_helper.to_array(tensor) for tensor in onnx.load(path).graph.initializer}


def test_reduced_range_means_seven_bits(lstm):
    assert quantized(lstm.folder, "reduced", reduce_range=True)["reduce_range"] is True
    assert quantized(lstm.folder, "full", reduce_range=False)["reduce_range"] is False
    largest = {}
    for name in ("reduced", "full"):
        weights = _weights(lstm.folder / name / "model.onnx")
        largest[name] = max(np.abs(w.astype(int)).max() for key, w in weights.items() if w.dtype == np.int8 and w.size)
    assert largest == {"reduced": 64, "full": 127}


def test_scales_per_channel_or_per_matrix(bag):
    quantized(bag.folder, "one", per_channel=False)
    per_channel, one = (_weights(bag.folder / step / "model.onnx") for step in ("int8", "one"))
    scales = [
        [w.size for name, w in weights.items() if "classifier" in name and "scale" in name]
        for weights in (per_channel, one)
    ]
    assert scales == [[3], [1]]


def test_embeddings_stay_fp32_when_asked(bag):
    facts = quantized(bag.folder, "words", embeddings=False)
    assert facts["bytes"]["embeddings"] == bag.facts["bytes"]["embeddings"]
    assert facts["changed"] is True


def _save_graph(folder: Path, *nodes: onnx.NodeProto, weights: dict[str, np.ndarray] | None = None) -> Path:
    """A graph from input_ids [B, L] to logits."""
    graph = helper.make_graph(
        nodes,
        "graph",
        [helper.make_tensor_value_info("input_ids", TensorProto.INT64, ["B", "L"])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(value, name) for name, value in (weights or {}).items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    folder.mkdir()
    onnx.save(model, folder / "model.onnx")
    return folder / "model.onnx"


def test_nothing_to_quantize_is_said(tmp_path):
    _save_graph(tmp_path / "onnx", helper.make_node("Cast", ["input_ids"], ["logits"], to=TensorProto.FLOAT))
    assert quantized(tmp_path)["changed"] is False


def test_matrices_computed_from_constants_count_as_float(tmp_path):
    path = _save_graph(
        tmp_path / "onnx",
        helper.make_node("Cast", ["input_ids"], ["x"], to=TensorProto.FLOAT),
        helper.make_node("Concat", ["a", "b"], ["joined"], axis=1),
        helper.make_node("MatMul", ["x", "joined"], ["y"], name="joined-product"),
        helper.make_node("MatMul", ["y", "y"], ["logits"], name="of two activations"),
        weights={"a": np.ones((2, 2), np.float32), "b": np.ones((2, 2), np.float32)},
    )
    assert float_matrices(onnx.load(path)) == ["joined-product"]


def test_a_graph_that_the_quantizer_refuses_is_named(tmp_path, monkeypatch):
    _save_graph(tmp_path / "onnx", helper.make_node("Cast", ["input_ids"], ["logits"], to=TensorProto.FLOAT))

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
