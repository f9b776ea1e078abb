"""onnx-static-int8: which values 8 bits are spent on, what becomes 8-bit, and that batch mates do not matter."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from toy_exports import answer, made, request, save_graph, torch_answer
from toy_models import toy_arrays

from harness import StageError
from harness.keys import Ref, Stage
from harness.plugins import load_registry
from harness.stages import Work, compress
from harness.stages.compress import Calibration
from harness_onnx.calibrate import BINS, LEVELS, least_divergence, narrowed, ranges
from harness_onnx.graph import operators
from harness_onnx.plugin import StaticInt8Params
from harness_onnx.quantize import load
from harness_onnx.static_int8 import OnnxStaticInt8
from harness_openvino.extra import absent
from harness_torch.cpu import no_bf16

TEXTS = 24


def static(folder: Path, name: str = "static", texts: int = TEXTS, token_types: bool = False, **params) -> dict:
    """Facts of `onnx-static-int8` on folder/onnx; the graph stands in folder/<name>."""
    asked = request(folder / "onnx", folder / name, StaticInt8Params(**params))
    batches = [toy_arrays(1, 3 + at % 17, token_types) for at in range(texts)]
    object.__setattr__(asked, "calibration", batches)
    return OnnxStaticInt8().compress(asked)


def weights(path: Path) -> dict[str, np.ndarray]:
    return {tensor.name: numpy_helper.to_array(tensor) for tensor in onnx.load(path).graph.initializer}


# --------------------------------------------------------------------------------------------------- what becomes 8-bit


def test_every_product_of_six_layers_and_the_head_becomes_int8():
    toy = made("distilbert")
    facts = static(toy.folder)
    assert facts["changed"]
    assert facts["int8_matmuls"] == 6 * 6 + 1
    assert facts["float_matrices"] == {"count": 0, "names": []}
    assert "warnings" not in facts
    assert facts["activations"]["texts"] == TEXTS
    assert facts["bytes"]["embeddings"] * 4 == toy.facts["bytes"]["embeddings"]
    assert facts["bytes"]["int8"] < toy.facts["bytes"]["fp32"] / 3
    json.dumps(facts)


@pytest.mark.parametrize("method", ["minmax", "percentile", "entropy"])
def test_answers_are_near_and_do_not_depend_on_batch_mates(method):
    toy = made("bert")
    static(toy.folder, method, token_types=True, method=method)
    arrays = toy_arrays(4, 11, token_types=True)
    together, wanted = answer(toy.folder / method, arrays), torch_answer(toy.model, arrays)
    assert 0 < np.abs(together - wanted).max() < 0.2 * wanted.std()
    for row in range(4):
        alone = answer(toy.folder / method, {name: value[row : row + 1] for name, value in arrays.items()})
        assert np.abs(alone - together[row]).max() < 1e-5


def test_what_is_recurrent_stays_in_floating_point_and_is_said():
    facts = static(made("lstm").folder)
    assert facts["changed"]
    assert facts["int8_matmuls"] == 1  # the head
    assert facts["float_matrices"]["count"] == 2
    assert facts["warnings"] == ["2 operators still multiply by fp32 weights"]


def test_embeddings_stay_fp32_when_asked():
    bag = made("bag")
    facts = static(bag.folder, "static-words", embeddings=False)
    assert facts["bytes"]["embeddings"] == bag.facts["bytes"]["embeddings"]
    assert facts["changed"]


def test_weights_have_seven_bits_where_sums_overflow():
    largest = {}
    for name, reduced in (("seven", True), ("eight", False)):
        assert static(made("bag").folder, name, reduce_range=reduced)["reduce_range"] is reduced
        found = weights(made("bag").folder / name / "model.onnx")
        largest[name] = max(np.abs(w.astype(int)).max() for n, w in found.items() if w.ndim == 2 and "classifier" in n)
    assert largest == {"seven": 64, "eight": 127}


def test_scales_per_channel_or_per_matrix():
    sizes = []
    for name, per_channel in (("channels", True), ("matrix", False)):
        static(made("bag").folder, name, per_channel=per_channel)
        found = weights(made("bag").folder / name / "model.onnx")
        sizes.append(sorted(w.size for n, w in found.items() if n.endswith("weight_scale") and "classifier" in n))
    assert sizes == [[3], [1]]


@pytest.mark.parametrize(("symmetric", "kind"), [(True, np.int8), (False, np.uint8)])
def test_signed_activations_lie_around_zero(symmetric, kind):
    name = f"symmetric-{symmetric}"
    static(made("bag").folder, name, symmetric=symmetric)
    graph = onnx.load(made("bag").folder / name / "model.onnx").graph
    zeros = {node.input[2] for node in graph.node if node.op_type == "QuantizeLinear"}
    found = [value for n, value in weights(made("bag").folder / name / "model.onnx").items() if n in zeros]
    assert found
    assert all(value.dtype == kind and (value == 0) == symmetric for value in found)


def test_the_same_graph_and_texts_give_the_same_bytes():
    for name in ("static-once", "static-twice"):
        static(made("bag").folder, name)
    files = [(made("bag").folder / name / "model.onnx").read_bytes() for name in ("static-once", "static-twice")]
    assert files[0] == files[1]


def test_nodes_without_names_are_told_apart(tmp_path):
    rng = np.random.default_rng(0)
    path = save_graph(
        tmp_path / "onnx",
        helper.make_node("Cast", ["input_ids"], ["x"], to=TensorProto.FLOAT),
        helper.make_node("MatMul", ["x", "x"], ["y"]),
        helper.make_node("MatMul", ["y", "w"], ["logits"]),
        weights={"w": rng.normal(size=(4, 2)).astype(np.float32)},
    )
    asked = request(tmp_path / "onnx", tmp_path / "static", StaticInt8Params())
    object.__setattr__(asked, "calibration", [{"input_ids": np.arange(16).reshape(4, 4)}])
    facts = OnnxStaticInt8().compress(asked)
    assert facts["int8_matmuls"] == 1
    assert operators(onnx.load(path.parents[1] / "static/model.onnx"))["MatMul"] == 2


def test_a_file_that_is_int8_already_is_not_said_to_be_changed(tmp_path):
    facts = static(made("bag").folder, "static-before")
    assert facts["changed"]
    shutil.copytree(made("bag").folder / "static-before", tmp_path / "onnx")
    again = static(tmp_path)
    assert again["changed"] is False


def test_nothing_to_quantize_is_said(tmp_path):
    save_graph(tmp_path / "onnx", helper.make_node("Cast", ["input_ids"], ["logits"], to=TensorProto.FLOAT))
    assert static(tmp_path)["changed"] is False


def test_without_examples_nothing_is_guessed():
    with pytest.raises(StageError, match="needs training examples"):
        static(made("bag").folder, "nothing", texts=0)


# -------------------------------------------------------------------------------------------------------------- ranges


def doubled(folder: Path) -> onnx.ModelProto:
    """input_ids as floats, twice of them."""
    two = {"two": np.array(2.0, np.float32)}
    cast = helper.make_node("Cast", ["input_ids"], ["x"], to=TensorProto.FLOAT)
    return load(save_graph(folder / "onnx", cast, helper.make_node("Mul", ["x", "two"], ["logits"]), weights=two))


def test_ranges_are_those_of_all_texts_of_any_length(tmp_path):
    texts = [{"input_ids": np.array([values])} for values in ([-3, 1], [7, 2, 5], [0])]
    found = ranges(doubled(tmp_path), ["x", "logits"], texts, "minmax", 100)
    assert found == {"x": (-3.0, 7.0), "logits": (-6.0, 14.0)}


def test_an_outlier_loses_its_bits_to_all_others(tmp_path):
    texts = [{"input_ids": np.arange(1000).reshape(1, -1) % 100}] * 20 + [{"input_ids": np.array([[100_000]])}]
    model = doubled(tmp_path)
    found = {method: ranges(model, ["x"], texts, method, 99.9)["x"] for method in ("minmax", "percentile", "entropy")}
    assert found["minmax"] == (0.0, 100_000.0)
    assert found["percentile"] == (0.0, pytest.approx(2 * 100_000 / (2 * BINS) * 3, rel=0.5))  # the bin above 99
    assert 99 < found["entropy"][1] < 10_000


def test_activations_that_are_not_finite_are_refused(tmp_path):
    weights = {"zero": np.array(0.0, np.float32)}
    cast = helper.make_node("Cast", ["input_ids"], ["x"], to=TensorProto.FLOAT)
    model = load(
        save_graph(tmp_path / "onnx", cast, helper.make_node("Div", ["x", "zero"], ["logits"]), weights=weights)
    )
    with pytest.raises(StageError, match="'logits' reaches"):
        ranges(model, ["logits"], [{"input_ids": np.ones((1, 2), np.int64)}], "minmax", 100)


def test_percentiles_cut_both_sides_alike():
    counts = np.zeros(2 * BINS, np.int64)
    counts[[0, -1]] = 1  # at -1 and 1
    counts[BINS - BINS // 2 : BINS + BINS // 2] = 10
    assert narrowed(counts, (-1.0, 1.0), "percentile", 100) == (-1.0, 1.0)
    assert narrowed(counts, (-1.0, 1.0), "percentile", 99.9) == (-0.5, 0.5)


def test_divergence_keeps_what_is_spread_and_cuts_what_is_rare():
    even = np.full(BINS, 100)
    assert least_divergence(even) == BINS
    tail = (1e6 * np.exp(-np.arange(BINS) / 30)).astype(np.int64)
    tail[-1] = 1
    assert LEVELS <= least_divergence(tail) < BINS // 2


# ------------------------------------------------------------------------------------------------------------- the core


def windows(examples: list[int | None]) -> list[SimpleNamespace]:
    return [SimpleNamespace(example=example, at=at) for at, example in enumerate(examples)]


def test_the_core_notes_which_examples_were_read():
    answerer = SimpleNamespace(collate=lambda one: {"at": np.array([one[0].at])})
    examples = [{"id": name} for name in "abcd"]
    whole = Calibration(answerer, examples, windows([None] * 4))
    assert len(whole) == 4
    assert whole.ids_read() == []
    assert [batch["at"].item() for batch in whole[2:]] == [2, 3]
    assert whole[0]["at"].item() == 0
    assert whole.ids_read() == ["a", "c", "d"]
    cut = Calibration(answerer, examples, windows([0, 0, 2, 3]))  # contexts of questions, cut into windows
    assert len(list(cut)) == 4
    assert cut.ids_read() == ["a", "c", "d"]


@pytest.mark.parametrize("role", ["test", "dev", "transfer"])
@pytest.mark.parametrize("compressor", ["onnx-static-int8", "openvino-int8", "prune-heads", "vocab-trim"])
def test_no_compressor_is_given_what_models_are_judged_by(compressor, role, tmp_path):
    inputs = {"source": Ref("model"), "data": Ref("data", role)}
    stage = Stage(kind="compress", component="x", version=1, inputs=inputs, options={"compressor": compressor})
    with pytest.raises(StageError, match=f"'{compressor}' was given '{role}' examples; .* those of 'train' alone"):
        compress.run(Work(stage, {}, tmp_path / "out", tmp_path / "scratch", load_registry(), 1))
    assert not (tmp_path / "out").exists()


SUITE = """
schema = 1
[suite]
name = "chains"
title = "Every way of quantizing"
anchor = { model = "tiny", compress = "none" }
[task]
use = "sentiment"
source = "bundled:harness_sentiment/data/quickstart"
max_length = 32
[models.tiny]
use = "transformer"
vocab_size = 500
hidden_size = 32
layers = 1
heads = 2
train = { distil = "finetune", max_steps = 20 }
[chains]
static = ["onnx", { use = "onnx-static-int8", examples = 20 }]
int4 = ["onnx", "onnx-int4"]
bf16 = ["torch-bf16"]
ov = ["onnx", { use = "openvino-int8", examples = 20 }]
[matrix]
compress = ["none", "static", "int4", "bf16", "ov"]
[measure]
speed = false
"""


def test_a_whole_run_names_its_calibration_examples_and_why_rows_are_missing(project):
    project.write(SUITE, "chains.toml")
    project.harness("run", "chains.toml")
    lines = (project.folder / "reports/chains.records.jsonl").read_text().splitlines()
    found = {doc["axes"]["compress"]: doc for doc in map(json.loads, lines) if doc["kind"] == "cell"}
    assert found["static"]["status"] == found["int4"]["status"] == "ok"
    train = list(project.folder.glob(".harness/objects/**/train/examples.jsonl"))
    ids = [json.loads(line)["id"] for line in train[0].read_text().splitlines()]
    calibrated = [
        doc for doc in found.values() if doc["status"] == "ok" and "calibration" in (doc["compress"] or [{}])[-1]
    ]
    assert found["static"] in calibrated
    for doc in calibrated:
        assert doc["compress"][-1]["calibration"] == {"role": "train", "ids": ids[:20]}
    told = (project.folder / "reports/chains.md").read_text()
    assert "calibration.examples 20" in told
    assert ids[0] not in told
    for name, reason in (("bf16", no_bf16()), ("ov", absent("openvino", "nncf"))):
        assert (found[name]["status"], found[name]["reason"]) == (("skipped", reason) if reason else ("ok", ""))
