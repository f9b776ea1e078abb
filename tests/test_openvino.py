"""OpenVINO, an optional extra: its graphs answer like their source, its files are hostile until checked, it may be absent."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from toy_exports import made, request, torch_answer
from toy_models import toy_arrays

from harness import StageError
from harness.plugins import load_registry
from harness_openvino import extra, int8
from harness_openvino.convert import OpenVino, OpenVinoBf16
from harness_openvino.int8 import OpenVinoInt8, reduces_range
from harness_openvino.plugin import Int8Params
from harness_openvino.runtime import OpenVinoRuntime, OpenVinoSession
from harness_openvino.safety import check_graph

TEXTS = 24
MISSING = extra.absent("openvino", "nncf")
here = pytest.mark.skipif(MISSING is not None, reason=str(MISSING))
bf16 = pytest.mark.skipif(extra.no_bf16() is not None, reason=str(extra.no_bf16()))


def converted(name: str, folder: Path, how: type[OpenVino] = OpenVino) -> dict:
    """Facts of a conversion of a toy; the graph stands in folder/ov."""
    return how().compress(request(made(name).folder / "onnx", folder / "ov", None, token_types=name == "bert"))


def quantized(name: str, folder: Path, texts: int = TEXTS, **params) -> dict:
    """Facts of `openvino-int8`; the graph stands in folder/ov."""
    asked = request(made(name).folder / "onnx", folder / "ov", Int8Params(**params), token_types=name == "bert")
    object.__setattr__(asked, "calibration", [toy_arrays(1, 3 + at % 17, name == "bert") for at in range(texts)])
    return OpenVinoInt8().compress(asked)


def answer(folder: Path, arrays: dict[str, np.ndarray]) -> np.ndarray:
    return OpenVinoRuntime().load(folder / "ov", {"format": "openvino"}, None, threads=1).forward(arrays)["logits"]


# ----------------------------------------------------------------------------------------------------- with the extra


@here
@pytest.mark.parametrize("name", ["bert", "bag"])
@pytest.mark.parametrize("shape", [(1, 1), (3, 9), (5, 20)])
def test_any_batch_and_length_is_answered_as_by_the_model(name, shape, tmp_path):
    facts = converted(name, tmp_path)
    arrays = toy_arrays(*shape, token_types=name == "bert")
    assert np.abs(answer(tmp_path, arrays) - torch_answer(made(name).model, arrays)).max() < 1e-5
    assert set(facts["kernels"]) == {"f32"}
    assert facts["bytes"]["embeddings"] == made(name).facts["bytes"]["embeddings"]


@here
@bf16
def test_bf16_is_what_the_cpu_computes_in(tmp_path):
    facts = converted("bert", tmp_path, OpenVinoBf16)
    assert set(facts["kernels"]) == {"bf16"}
    arrays = toy_arrays(4, 11, token_types=True)
    wanted = torch_answer(made("bert").model, arrays)
    assert 0 < np.abs(answer(tmp_path, arrays) - wanted).max() < 0.2 * wanted.std()


@here
def test_every_product_becomes_int8_and_tables_too(tmp_path):
    facts = quantized("bert", tmp_path)
    assert facts["changed"]
    assert facts["int8_matmuls"] == 2 * 6 + 2
    assert set(facts["kernels"]) <= {"i8", "u8"}
    assert "warnings" not in facts
    assert facts["texts"] == TEXTS
    before = made("bert").facts["bytes"]
    assert facts["bytes"]["embeddings"] <= before["embeddings"] / 3
    assert facts["bytes"]["int8"] < before["fp32"] / 3
    arrays = toy_arrays(4, 11, token_types=True)
    wanted = torch_answer(made("bert").model, arrays)
    assert 0 < np.abs(answer(tmp_path, arrays) - wanted).max() < wanted.std()
    json.dumps(facts)


@here
@pytest.mark.parametrize("how", ["openvino", "openvino-int8"])
def test_recurrences_that_it_answers_wrongly_are_refused(how, tmp_path):
    with pytest.raises(StageError, match="answers a padded batch otherwise"):
        converted("lstm", tmp_path) if how == "openvino" else quantized("lstm", tmp_path)


@here
def test_recurrences_that_are_loops_are_answered(tmp_path):
    converted("scanned", tmp_path)
    arrays = toy_arrays(3, 9)
    assert np.abs(answer(tmp_path, arrays) - torch_answer(made("scanned").model, arrays)).max() < 1e-5


@here
def test_the_same_graph_and_texts_give_the_same_bytes_and_name_no_machine(tmp_path):
    for name in ("once", "twice"):
        (tmp_path / name).mkdir()
        quantized("bag", tmp_path / name)
    for file in ("model.xml", "model.bin"):
        files = [(tmp_path / name / "ov" / file).read_bytes() for name in ("once", "twice")]
        assert files[0] == files[1]
        assert str(made("bag").folder).encode() not in files[0]
        assert str(tmp_path).encode() not in files[0]


@here
def test_nothing_is_said_on_stdout_and_no_home_is_written(tmp_path):
    code = (
        "import sys; sys.path.insert(0, sys.argv[1]); from pathlib import Path; import test_openvino\n"
        "test_openvino.quantized('bag', Path(sys.argv[2]))"
    )
    home = tmp_path / "home"
    home.mkdir()
    run = subprocess.run(
        [sys.executable, "-c", code, str(Path(__file__).parent), str(tmp_path)],
        capture_output=True, text=True, check=True, env={**os.environ, "HOME": str(home)},
    )  # fmt: skip
    assert run.stdout == ""
    assert not (home / "intel").exists()


@here
def test_a_process_that_answers_imports_neither_torch_nor_nncf(tmp_path):
    converted("bag", tmp_path)
    code = (
        "import sys, numpy; from pathlib import Path; from harness_openvino.runtime import OpenVinoRuntime\n"
        "session = OpenVinoRuntime().load(Path(sys.argv[1]), {}, None, 1)\n"
        "session.forward({name: numpy.ones((1, 3), 'int64') for name in session.inputs})\n"
        "print(sorted({'torch', 'transformers', 'onnx', 'nncf'} & set(sys.modules)))"
    )
    run = subprocess.run([sys.executable, "-c", code, str(tmp_path / "ov")], capture_output=True, text=True, check=True)
    assert run.stdout == "[]\n"


@here
def test_without_examples_nothing_is_guessed(tmp_path):
    with pytest.raises(StageError, match="needs training examples"):
        quantized("bag", tmp_path, texts=0)


@here
def test_a_graph_that_it_cannot_read_is_named(tmp_path):
    (tmp_path / "onnx").mkdir()
    (tmp_path / "onnx/model.onnx").write_bytes(b"no graph")
    with pytest.raises(StageError, match="cannot read this ONNX graph"):
        OpenVino().compress(request(tmp_path / "onnx", tmp_path / "ov", None))


@here
def test_arrays_that_the_encoder_does_not_give_are_named(tmp_path):
    converted("bag", tmp_path)
    with pytest.raises(
        StageError, match="the graph reads 'attention_mask', 'input_ids'; the encoder gives 'input_ids'"
    ):
        answer(tmp_path, {"input_ids": np.ones((1, 3), np.int64)})


@here
def test_a_graph_that_was_tampered_with_is_refused(tmp_path):
    converted("bag", tmp_path)
    graph = tmp_path / "ov/model.xml"
    graph.write_text(graph.read_text().replace('version="opset1"', 'version="extension"', 1))
    with pytest.raises(StageError, match="of 'extension'"):
        answer(tmp_path, toy_arrays())


@here
@pytest.mark.parametrize("text", ["", "[]", "{}", '{"precision": "fp64"}', '{"precision": []}'])
def test_settings_that_say_nothing_are_refused(text, tmp_path):
    converted("bag", tmp_path)
    (tmp_path / "ov/openvino.json").write_text(text)
    with pytest.raises(StageError, match="does not say what to compute in"):
        answer(tmp_path, toy_arrays())


# -------------------------------------------------------------------------------------------------- what it cannot do


@pytest.mark.parametrize("name", ["openvino", "openvino-bf16", "openvino-int8"])
@pytest.mark.parametrize(
    ("student", "installed", "expected"),
    [
        ("lstm", "2026.4.1", "OpenVINO 2026.4 answers padded batches of 'lstm' wrongly: leave it to ONNX Runtime"),
        ("srupp", "2026.4.0", "OpenVINO 2026.4 cannot answer batches of 'srupp': leave it to ONNX Runtime"),
        ("srupp", "2026.40.0", None),
        ("lstm", "2027.1.0", None),
        ("sru", "2026.4.1", None),
        ("transformer", "2026.4.1", None),
    ],
)
def test_a_plan_knows_what_this_version_cannot_do(name, student, installed, expected, monkeypatch):
    monkeypatch.setattr(extra, "find_spec", lambda name: object())
    monkeypatch.setattr(extra, "version", lambda name: installed)
    monkeypatch.setattr(extra, "cpu_flags", lambda: frozenset({"amx_bf16"}))
    assert load_registry().compressor(name).supports(student, "sequence") == expected


class Refusing:
    """A compiled graph whose kernels give up."""

    inputs = outputs = (SimpleNamespace(any_name="input_ids"),)

    def create_infer_request(self):
        return self

    def infer(self, feed, share_inputs):
        raise RuntimeError(
            "Exception from src/inference/src/cpp/infer_request.cpp:224:\nException from src/node.cpp:794:\n"
            "[CPU] Subgraph node with name '/model/MatMul_1' Exception from src/expression.cpp:319:\n"
            "Incompatible MatMul batch dimension. Can't merge dim 9 with dim 3 at index=0\n\n\n"
        )


def test_a_batch_that_it_cannot_answer_is_a_sentence():
    with pytest.raises(StageError) as error:
        OpenVinoSession(Refusing()).forward({"input_ids": np.ones((3, 9), np.int64)})
    assert str(error.value) == (
        "OpenVINO cannot answer a 3×9 batch with this graph: Incompatible MatMul batch dimension. Can't merge dim 9 "
        "with dim 3 at index=0. Use ONNX Runtime for it."
    )


# -------------------------------------------------------------------------------------------------- without the extra


@pytest.fixture
def nothing_installed(monkeypatch):
    monkeypatch.setattr(extra, "find_spec", lambda name: None)


@pytest.mark.parametrize(
    ("name", "needed"),
    [("openvino", "'openvino'"), ("openvino-bf16", "'openvino'"), ("openvino-int8", "'nncf', 'openvino'")],
)
def test_a_plan_skips_it_with_the_command(name, needed, nothing_installed):
    supports = load_registry().compressor(name).supports
    assert supports("transformer", "sequence") == f"needs {needed}, which pip install 'harness[openvino]' installs"


def test_stages_and_the_runtime_say_so_too(nothing_installed, tmp_path):
    for compressor in (OpenVino(), OpenVinoInt8()):
        with pytest.raises(StageError, match=r"pip install 'harness\[openvino\]'"):
            compressor.compress(request(tmp_path, tmp_path / type(compressor).__name__, None))
    with pytest.raises(StageError, match=r"pip install 'harness\[openvino\]'"):
        OpenVinoRuntime().load(tmp_path, {}, None, threads=1)


def test_bf16_is_not_pretended(monkeypatch, tmp_path):
    monkeypatch.setattr(extra, "cpu_flags", lambda: frozenset({"avx2"}))
    monkeypatch.setattr(extra, "find_spec", importlib.util.find_spec if MISSING is None else lambda name: True)
    reason = load_registry().compressor("openvino-bf16").supports("transformer", "sequence")
    assert reason == (
        "needs a CPU with instructions for bf16, one of 'amx_bf16', 'avx512_bf16', 'bf16'; this one has 'avx2'"
    )
    with pytest.raises(StageError, match="needs a CPU with instructions for bf16"):
        OpenVinoBf16().compress(request(tmp_path, tmp_path / "out", None))


@pytest.mark.parametrize(
    ("machine", "flags", "asked", "expected"),
    [
        ("x86_64", {"avx2"}, None, True),
        ("x86_64", {"avx512f", "avx512_vnni"}, None, False),
        ("AMD64", set(), None, True),
        ("aarch64", set(), None, False),
        ("aarch64", set(), True, True),
        ("x86_64", {"avx2"}, False, False),
    ],
)
def test_weights_have_seven_bits_where_sums_overflow(machine, flags, asked, expected):
    assert reduces_range(machine, frozenset(flags), asked) is expected
    assert int8.__doc__


# ----------------------------------------------------------------------------------------------------- hostile graphs

GRAPH = """<?xml version="1.0"?>
<net name="g" version="11"><layers>
<layer id="0" name="x" type="Parameter" version="opset1"><data shape="?,?" element_type="i64"/></layer>
<layer id="1" name="w" type="Const" version="opset1"><data element_type="f32" shape="2" offset="0" size="8"/></layer>
</layers></net>"""


def plain(folder: Path, text: str = GRAPH) -> tuple[Path, Path]:
    (folder / "model.xml").write_text(text)
    (folder / "model.bin").write_bytes(b"\0" * 8)
    return folder / "model.xml", folder / "model.bin"


def test_a_plain_graph_passes(tmp_path):
    check_graph(*plain(tmp_path))


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "no element found"),
        ("<net", "unclosed token"),
        ("<net></net>", "no operators"),
        ("<model><layer version='opset1'/></model>", "it is 'model', not 'net'"),
        (GRAPH.replace("opset1", "extension"), "operator 'Parameter' of 'extension'"),
        (GRAPH.replace(' version="opset1"', ""), "operator 'Parameter' of ''"),
        (GRAPH.replace('size="8"', 'size="9"'), "weights of 9 bytes at 0, where the file beside it has 8"),
        (GRAPH.replace('offset="0"', 'offset="-1"'), "weights at '-1'"),
        (GRAPH.replace('size="8"', 'size="8e0"'), "weights at '0' of '8e0' bytes"),
        (GRAPH.replace(' size="8"', ""), "weights at '0' of '' bytes"),
        (GRAPH.replace("<net ", '<!DOCTYPE net [<!ENTITY a SYSTEM "file:///etc/passwd">]><net '), "document type"),
        (GRAPH.replace("<net ", '<!DOCTYPE net [<!ENTITY a "aaaa">]><net '), "document type"),
    ],
)
def test_hostile_graphs_are_refused(text, reason, tmp_path):
    with pytest.raises(StageError, match="not a graph of OpenVINO") as error:
        check_graph(*plain(tmp_path, text))
    assert reason in str(error.value)


def test_links_folders_and_missing_files_are_refused(tmp_path):
    graph, weights = plain(tmp_path)
    elsewhere = weights.rename(tmp_path / "elsewhere")
    with pytest.raises(StageError, match="cannot be read"):
        check_graph(graph, weights)
    weights.symlink_to(elsewhere)
    with pytest.raises(StageError, match="not a link"):
        check_graph(graph, weights)
    weights.unlink()
    weights.mkdir()
    with pytest.raises(StageError, match="or a folder"):
        check_graph(graph, weights)
