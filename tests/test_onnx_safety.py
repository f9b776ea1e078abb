"""What an ONNX file may contain, and the runtime that reads it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from toy_exports import made, save_graph
from toy_models import toy_arrays

from harness import StageError
from harness_onnx.runtime import OnnxRuntime
from harness_onnx.safety import check_model

CAST = helper.make_node("Cast", ["input_ids"], ["x"], to=TensorProto.FLOAT)


def external(folder: Path, *entries: tuple[str, str], size: int = 16) -> Path:
    """A model whose one weight of 4 floats stands in another file, described by `entries`."""
    path = save_graph(
        folder / "model", CAST, helper.make_node("MatMul", ["x", "w"], ["logits"]), weights={"w": np.ones((4, 1), "f4")}
    )
    (folder / "outside.bin").write_bytes(b"\0" * 16)
    (folder / "model" / "weights.bin").write_bytes(np.ones(size // 4, "f4").tobytes())
    model = onnx.load(path)
    tensor = model.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in entries:
        entry = tensor.external_data.add()
        entry.key, entry.value = key, value
    path.write_bytes(model.SerializeToString())
    return path


def test_external_data_beside_the_model_is_read(tmp_path):
    path = external(tmp_path, ("location", "weights.bin"), ("offset", "0"), ("length", "16"))
    check_model(path)
    answer = OnnxRuntime().load(path.parent, {}, None, 1).forward({"input_ids": np.ones((2, 4), np.int64)})
    assert answer["logits"].tolist() == [[4.0], [4.0]]


@pytest.mark.parametrize(
    "location",
    [
        "../outside.bin",
        "/etc/hostname",
        "sub/weights.bin",
        "..\\outside.bin",
        "..",
        ".",
        "",
        "*/_ORT_MEM_ADDR_/*",
        "a\0b",
    ],
)
def test_external_data_elsewhere_is_refused(tmp_path, location):
    with pytest.raises(StageError, match="leaves the model's folder"):
        check_model(external(tmp_path, ("location", location)))


def test_external_data_with_two_locations_is_refused(tmp_path):
    with pytest.raises(StageError, match="leaves the model's folder"):
        check_model(external(tmp_path, ("location", "../outside.bin"), ("location", "weights.bin")))


def test_external_data_behind_a_link_is_refused(tmp_path):
    path = external(tmp_path, ("location", "link.bin"))
    (path.parent / "link.bin").symlink_to(tmp_path / "outside.bin")
    with pytest.raises(StageError, match=r"'link\.bin' must be a regular file"):
        check_model(path)
    (path.parent / "link.bin").unlink()
    os.link(tmp_path / "outside.bin", path.parent / "link.bin")
    with pytest.raises(StageError, match=r"'link\.bin' must be a regular file"):
        check_model(path)
    (path.parent / "link.bin").unlink()
    with pytest.raises(StageError, match=r"'link\.bin' cannot be read"):
        check_model(path)


@pytest.mark.parametrize(("offset", "length"), [("0", "32"), ("8", "16"), ("16", "4")])
def test_external_data_that_is_too_short_is_refused(tmp_path, offset, length):
    path = external(tmp_path, ("location", "weights.bin"), ("offset", offset), ("length", length))
    with pytest.raises(StageError, match="has 16 bytes"):
        check_model(path)


@pytest.mark.parametrize("number", ["-1", "1e3", "٣", " 4"])
def test_external_data_with_strange_numbers_is_refused(tmp_path, number):
    with pytest.raises(StageError, match="whole number of bytes"):
        check_model(external(tmp_path, ("location", "weights.bin"), ("length", number)))


def _custom(domain: str) -> onnx.NodeProto:
    return helper.make_node("Anything", ["x"], ["y"], domain=domain)


@pytest.mark.parametrize("domain", ["evil", "ai.onnxx", "com.microsoft.nchwc", "com.microsoftx", "AI.ONNX"])
def test_operators_of_other_domains_are_refused(tmp_path, domain):
    with pytest.raises(StageError, match=f"operators of domain '{domain}' are not allowed"):
        check_model(save_graph(tmp_path / "model", CAST, _custom(domain)))


@pytest.mark.parametrize("domain", ["", "ai.onnx", "ai.onnx.ml", "com.microsoft"])
def test_known_domains_pass(tmp_path, domain):
    check_model(save_graph(tmp_path / "model", CAST, _custom(domain)))


def test_custom_operators_hide_neither_in_branches_nor_in_functions(tmp_path):
    body = helper.make_graph([_custom("evil")], "body", [], [])
    branch = helper.make_node("If", ["c"], ["d"], then_branch=body, else_branch=body)
    with pytest.raises(StageError, match="'evil'"):
        check_model(save_graph(tmp_path / "branch", CAST, branch))
    path = save_graph(tmp_path / "function", CAST)
    model = onnx.load(path)
    opset = helper.make_opsetid("", 20)
    model.functions.append(helper.make_function("ai.onnx", "F", ["x"], ["y"], [_custom("evil")], [opset]))
    path.write_bytes(model.SerializeToString())
    with pytest.raises(StageError, match="'evil'"):
        check_model(path)


def test_external_data_hides_neither_in_attributes_nor_in_sparse_weights(tmp_path):
    tensor = numpy_helper.from_array(np.ones(2, "f4"), "t")
    tensor.ClearField("raw_data")
    entry = tensor.external_data.add()
    entry.key, entry.value = "location", "../outside.bin"
    constant = helper.make_node("Constant", [], ["k"], value=tensor)
    with pytest.raises(StageError, match="outside"):
        check_model(save_graph(tmp_path / "attribute", CAST, constant))
    sparse = helper.make_sparse_tensor(tensor, numpy_helper.from_array(np.arange(2), "i"), [4])
    path = save_graph(tmp_path / "sparse", CAST)
    model = onnx.load(path)
    model.graph.sparse_initializer.append(sparse)
    path.write_bytes(model.SerializeToString())
    with pytest.raises(StageError, match="outside"):
        check_model(path)


def test_deep_nesting_is_refused(tmp_path):
    graph = helper.make_graph([CAST], "innermost", [], [])
    for level in range(30):
        graph = helper.make_graph([helper.make_node("If", ["c"], ["d"], then_branch=graph)], f"level{level}", [], [])
    path = save_graph(tmp_path / "model", CAST)
    path.write_bytes(helper.make_model(graph).SerializeToString())
    with pytest.raises(StageError, match="nested too deeply"):
        check_model(path)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n",
        b"<!DOCTYPE html><html></html>",
        b"\x80\x04K\x01.",
        b"\x3a\xff\xff\xff\xff\x0f",
        b"\x3a" + b"\xff" * 11,
        b"\x08\x0a",
    ],
)
def test_other_files_are_refused(tmp_path, content):
    (tmp_path / "model.onnx").write_bytes(content)
    with pytest.raises(StageError, match="not an ONNX model"):
        OnnxRuntime().load(tmp_path, {}, None, 1)


def test_a_missing_or_cut_file_is_refused(tmp_path):
    with pytest.raises(StageError, match="missing"):
        OnnxRuntime().load(tmp_path, {}, None, 1)
    content = made("bag").file("onnx").read_bytes()
    (tmp_path / "model.onnx").write_bytes(content[: len(content) // 2])
    with pytest.raises(StageError, match="cut short"):
        OnnxRuntime().load(tmp_path, {}, None, 1)


def test_every_exported_file_passes():
    for name in ("bag", "bert", "lstm", "scanned"):
        for step in ("onnx", "int8"):
            check_model(made(name).file(step))


# -------------------------------------------------------------------------------------------------------- the runtime


def test_a_graph_that_cannot_run_is_named(tmp_path):
    save_graph(tmp_path / "model", CAST, _custom("com.microsoft"), helper.make_node("Identity", ["y"], ["logits"]))
    with pytest.raises(StageError, match=r"ONNX Runtime .* cannot load it: .*Anything"):
        OnnxRuntime().load(tmp_path / "model", {}, None, 1)


def test_arrays_that_the_graph_does_not_read_are_left_out():
    session = OnnxRuntime().load(made("bag").folder / "onnx", {}, None, 1)
    arrays = toy_arrays()
    assert np.array_equal(
        session.forward({**arrays, "token_type_ids": np.zeros((3, 9), np.int64)})["logits"],
        session.forward(arrays)["logits"],
    )
    with pytest.raises(StageError, match="reads 'attention_mask', 'input_ids'; the encoder gives 'input_ids'"):
        session.forward({"input_ids": arrays["input_ids"]})


def test_int32_and_half_precision_graphs_are_served(tmp_path):
    path = save_graph(tmp_path / "m", CAST, helper.make_node("Cast", ["x"], ["logits"], to=TensorProto.FLOAT16))
    model = onnx.load(path)
    model.graph.input[0].type.tensor_type.elem_type = TensorProto.INT32
    model.graph.output[0].type.tensor_type.elem_type = TensorProto.FLOAT16
    path.write_bytes(model.SerializeToString())
    logits = OnnxRuntime().load(tmp_path / "m", {}, None, 1).forward({"input_ids": np.ones((1, 2), np.int64)})["logits"]
    assert logits.dtype == np.float32


def test_other_inputs_are_refused(tmp_path):
    path = save_graph(tmp_path / "m", helper.make_node("Identity", ["input_ids"], ["logits"]))
    model = onnx.load(path)
    model.graph.input[0].type.tensor_type.elem_type = TensorProto.FLOAT
    path.write_bytes(model.SerializeToString())
    with pytest.raises(StageError, match=r"input 'input_ids' is tensor\(float\)"):
        OnnxRuntime().load(tmp_path / "m", {}, None, 1)


def test_a_measured_process_imports_nothing_heavy():
    code = (
        "import sys, pathlib, numpy as np; from harness_onnx.runtime import OnnxRuntime; import harness_onnx.encoder; "
        f"session = OnnxRuntime().load(pathlib.Path({str(made('bag').folder / 'onnx')!r}), {{}}, None, 1); "
        "ids = np.ones((1, 3), np.int64); session.forward({'input_ids': ids, 'attention_mask': ids}); "
        "print([m for m in ('torch', 'transformers', 'onnx', 'onnxscript', 'optimum') if m in sys.modules])"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


def test_hooks_import_nothing_heavy():
    code = (
        "import harness_onnx.plugin as p, sys; "
        "list(p.harness_compressors()), list(p.harness_runtimes()), list(p.harness_students()); "
        "print([m for m in ('torch', 'onnx', 'onnxruntime', 'numpy', 'tokenizers') if m in sys.modules])"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"
