"""onnx-int4: what is packed, into how many bytes, and that answers stay near and independent."""

from __future__ import annotations

import logging
import shutil
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from toy_exports import answer, made, request, save_graph, torch_answer
from toy_models import toy_arrays

from harness_onnx.graph import operators
from harness_onnx.int4 import OnnxInt4
from harness_onnx.plugin import Int4Params


def packed(folder: Path, name: str = "int4", **params) -> dict:
    """Facts of `onnx-int4` on folder/onnx; the graph stands in folder/<name>."""
    return OnnxInt4().compress(request(folder / "onnx", folder / name, Int4Params(**params)))


def test_every_matrix_and_table_is_packed():
    toy = made("distilbert")
    facts = packed(toy.folder)
    assert facts["changed"]
    assert facts["int4_matmuls"] == 6 * 6 + 1
    assert facts["int4_tables"] == 2  # words and positions
    assert facts["float_matrices"] == {"count": 0, "names": []}
    assert "warnings" not in facts
    assert facts["bytes"]["embeddings"] * 8 == toy.facts["bytes"]["embeddings"]
    size = (toy.folder / "int4/model.onnx").stat().st_size
    assert 0 < size - sum(facts["bytes"].values()) < 60_000  # names and nodes
    assert facts["bytes"]["int4"] >= 6 * (4 * 32 * 32 + 2 * 32 * 64) / 2


def test_answers_are_near_and_do_not_depend_on_batch_mates():
    toy = made("bert")
    packed(toy.folder)
    arrays = toy_arrays(4, 11, token_types=True)
    together, wanted = answer(toy.folder / "int4", arrays), torch_answer(toy.model, arrays)
    assert 0 < np.abs(together - wanted).max() < wanted.std()
    for row in range(4):
        alone = answer(toy.folder / "int4", {name: value[row : row + 1] for name, value in arrays.items()})
        assert np.abs(alone - together[row]).max() < 1e-5


@pytest.mark.parametrize("symmetric", [True, False])
def test_values_on_a_grid_of_sixteen_are_kept_exactly(tmp_path, symmetric):
    rng = np.random.default_rng(0)
    weight = rng.integers(-8, 8, (32, 6)).astype(np.float32) / 4
    weight[0], weight[1] = -2.0, 1.75  # both ends of the grid in every block
    path = save_graph(
        tmp_path / "onnx",
        helper.make_node("Cast", ["input_ids"], ["x"], to=TensorProto.FLOAT),
        helper.make_node("MatMul", ["x", "w"], ["logits"]),
        weights={"w": weight},
    )
    facts = packed(tmp_path, symmetric=symmetric, accuracy_level=0)
    assert facts["int4_matmuls"] == 1
    # A scale for each of 6 × 1 blocks; 16 bytes of 4-bit numbers for each, and a byte for where its zero lies.
    assert facts["bytes"] == {"embeddings": 0, "int8": 0, "fp32": 24, "other": 0, "int4": 96 + (0 if symmetric else 6)}
    ids = rng.integers(-3, 4, (2, 32))
    assert np.abs(answer(path.parents[1] / "int4", {"input_ids": ids}) - ids @ weight).max() < 1e-4


def test_smaller_blocks_cost_scales_and_err_less():
    toy, arrays = made("bert"), toy_arrays(6, 13, token_types=True)
    wanted, sizes, errors = torch_answer(toy.model, arrays), [], []
    for block in (16, 32):
        facts = packed(toy.folder, f"block-{block}", block_size=block)
        sizes.append(sum(facts["bytes"].values()))
        errors.append(np.abs(answer(toy.folder / f"block-{block}", arrays) - wanted).mean())
    assert sizes[0] > sizes[1]
    assert errors[0] < errors[1]


def test_embeddings_stay_fp32_when_asked():
    bag = made("bag")
    facts = packed(bag.folder, "int4-words", embeddings=False)
    assert facts["bytes"]["embeddings"] == bag.facts["bytes"]["embeddings"]
    assert facts["int4_tables"] == 0
    assert facts["changed"]


def test_a_table_with_a_row_of_zeros_is_packed(tmp_path):
    table = np.random.default_rng(0).normal(size=(5, 32)).astype(np.float32)
    table[0] = 0
    save_graph(tmp_path / "onnx", helper.make_node("Gather", ["t", "input_ids"], ["logits"]), weights={"t": table})
    assert packed(tmp_path)["int4_tables"] == 1
    found = answer(tmp_path / "int4", {"input_ids": np.arange(5)[None]})
    assert (found[0, 0] == 0).all()
    assert np.abs(found[0] - table).max() < 0.3


def test_what_is_recurrent_stays_in_floating_point_and_is_said():
    facts = packed(made("lstm").folder)
    assert facts["changed"]
    assert facts["float_matrices"]["count"] == 2
    assert facts["warnings"] == ["2 operators still multiply by fp32 weights"]


def test_a_file_that_is_packed_already_is_not_said_to_be_changed(tmp_path):
    facts = packed(made("bag").folder, "packed-once")
    assert facts["changed"]
    shutil.copytree(made("bag").folder / "packed-once", tmp_path / "onnx")
    again = packed(tmp_path)
    assert again["changed"] is False


def test_nothing_to_pack_is_said(tmp_path):
    save_graph(tmp_path / "onnx", helper.make_node("Cast", ["input_ids"], ["logits"], to=TensorProto.FLOAT))
    assert packed(tmp_path)["changed"] is False


def test_the_quantizer_leaves_source_and_root_logger_alone(monkeypatch, capfd):
    folder = made("bag").folder
    before = (folder / "onnx/model.onnx").read_bytes()
    monkeypatch.setattr(logging.root, "handlers", [])
    packed(folder, "silent")
    assert logging.root.handlers == []
    said = capfd.readouterr()
    assert said.err + said.out == ""
    assert (folder / "onnx/model.onnx").read_bytes() == before


def test_the_same_graph_gives_the_same_bytes():
    for name in ("int4-once", "int4-twice"):
        packed(made("bag").folder, name)
    files = [(made("bag").folder / name / "model.onnx").read_bytes() for name in ("int4-once", "int4-twice")]
    assert files[0] == files[1]
    graph = onnx.load(made("bag").folder / "int4-once/model.onnx")
    assert operators(graph)["GatherBlockQuantized"] == 1
    assert all(np.isfinite(numpy_helper.to_array(t)).all() for t in graph.graph.initializer if t.data_type == 1)
