"""onnx: which exporter, which mask, what was fused, and that the graph answers like its model."""

from __future__ import annotations

import json
import os

import numpy as np
import onnx
import pytest
import torch
from onnx import helper, numpy_helper
from torch import nn
from toy_exports import MAX_LENGTH, Made, answer, exported, made, quantized, torch_answer
from toy_models import ToyBag, toy_arrays, toy_bag, toy_bert, toy_distilbert, toy_lstm
from transformers.modeling_outputs import SequenceClassifierOutput

from harness import StageError
from harness_onnx import export, quiet
from harness_onnx.export import is_recurrent, samples, takes_additive_mask
from harness_onnx.graph import operators


@pytest.fixture(params=["bert", "lstm", "bag", "scanned"])
def toy(request) -> Made:
    return made(request.param)


# ------------------------------------------------------------------------------------------------- masks and matrices


def test_every_matrix_of_six_layers_and_the_head_becomes_int8():
    distilbert = made("distilbert")
    assert distilbert.facts["mask"] == "additive"
    assert distilbert.facts["attention_fused"] == distilbert.facts["attention_layers"] == 6
    assert distilbert.facts["fused"]["MultiHeadAttention"] == 6
    assert distilbert.int8["int8_matmuls"] == 6 * 6 + 1
    assert distilbert.int8["float_matrices"] == {"count": 0, "names": []}
    assert "warnings" not in {**distilbert.facts, **distilbert.int8}


def test_a_plain_mask_joins_matrices_that_then_stay_fp32():
    plain, distilbert = made("plain"), made("distilbert")
    assert plain.facts["fused"]["Attention"] == 6
    assert plain.int8["int8_matmuls"] == 6 * 3 + 1
    assert plain.int8["float_matrices"]["count"] == 6
    assert len(plain.int8["float_matrices"]["names"]) == 5
    assert plain.int8["warnings"] == ["6 operators still multiply by fp32 weights"]
    sizes = [toy.file("int8").stat().st_size for toy in (plain, distilbert)]
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


def test_attention_that_was_not_fused_is_loud(monkeypatch):
    bert = made("bert")
    facts = export.attention_facts(bert.model, helper.make_model(helper.make_graph([], "empty", [], [])))
    assert facts["warnings"] == ["only 0 of 2 attention layers were fused into single operators"]


def test_models_without_attention_are_not_expected_to_fuse_any():
    lstm, bag = made("lstm"), made("bag")
    for toy in (lstm, bag):
        assert toy.facts["mask"] == "plain"
        assert toy.facts["attention_fused"] == 0
        assert "warnings" not in toy.facts


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
def test_any_batch_and_length_is_answered_as_by_the_model(toy, shape):
    arrays = {**toy_arrays(*shape), "token_type_ids": np.ones(shape, np.int64)}
    wanted = torch_answer(toy.model, {name: arrays[name] for name in _inputs(toy)})
    assert np.abs(answer(toy.folder / "onnx", arrays) - wanted).max() < 1e-5


def test_padding_changes_nothing_in_fp32(toy):
    arrays = {**toy_arrays(4, 11), "token_type_ids": np.zeros((4, 11), np.int64)}
    together = answer(toy.folder / "onnx", arrays)
    for row, length in enumerate(arrays["attention_mask"].sum(1)):
        alone = answer(toy.folder / "onnx", {name: value[row : row + 1, :length] for name, value in arrays.items()})
        assert np.abs(alone - together[row]).max() < 1e-5


def _inputs(toy: Made) -> list[str]:
    return [value.name for value in onnx.load(toy.file("onnx")).graph.input]


def test_the_check_covers_several_sizes_and_is_a_fact(toy):
    check = toy.facts["export_check"]
    assert check["shapes"] == ["3×9", "1×3", "4×17", f"2×{MAX_LENGTH}"]
    assert check["largest_difference"] < 1e-5
    json.dumps({**toy.facts, **toy.int8})


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


def test_recurrences_are_traced_and_become_int8():
    lstm = made("lstm")
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


def test_other_models_are_not_traced():
    bert, bag = made("bert"), made("bag")
    assert bert.facts["exporter"] == bag.facts["exporter"] == "dynamo"
    assert not is_recurrent(bert.model)


def test_a_scripted_loop_counts_as_recurrent_and_keeps_its_length_open():
    scanned, bag = made("scanned"), made("bag")
    assert not is_recurrent(bag.model)  # stands in the same file
    assert scanned.facts["exporter"] == "torchscript"
    assert operators(onnx.load(scanned.file("onnx")))["Loop"] == 1
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


def test_the_file_is_one_and_knows_nothing_of_this_machine():
    bert, lstm = made("bert"), made("lstm")
    for toy in (bert, lstm):
        for step in ("onnx", "int8"):
            assert [path.name for path in (toy.folder / step).iterdir()] == ["model.onnx"]
            content = toy.file(step).read_bytes()
            assert b".py" not in content
            assert str(toy.folder).encode() not in content


def test_the_same_model_gives_the_same_bytes(tmp_path):
    bag = made("bag")
    exported(tmp_path, toy_bag(), optimise=False)
    assert b".py" not in (tmp_path / "onnx" / "model.onnx").read_bytes()
    again = tmp_path / "again"
    again.mkdir()
    exported(again, toy_bag())
    quantized(again)
    for step in ("onnx", "int8"):
        files = [folder / step / "model.onnx" for folder in (bag.folder, again)]
        assert files[0].read_bytes() == files[1].read_bytes()


def test_bytes_add_up_to_the_weights(toy):
    for facts, step in ((toy.facts, "onnx"), (toy.int8, "int8")):
        size = toy.file(step).stat().st_size
        assert 0 < size - sum(facts["bytes"].values()) < 60_000  # names and nodes
    before, after = toy.facts["bytes"], toy.int8["bytes"]
    assert after["embeddings"] * 4 == before["embeddings"]
    assert before["int8"] == 0 < after["int8"] <= before["fp32"] / 3


def test_fusing_removes_nodes():
    bert = made("bert")
    assert bert.facts["nodes_after"] < bert.facts["nodes_before"] / 2 + 10
    assert bert.int8["nodes_before"] == bert.facts["nodes_after"] < bert.int8["nodes_after"]
