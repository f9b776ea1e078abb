"""torch-int8: integers on disk, the same answers after loading; the torch runtime."""

from __future__ import annotations

import json
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn
from toy_models import ToyStudent, toy_arrays, toy_bag, toy_bert, toy_lstm, toy_span

from harness import CompressRequest, StageError
from harness_torch import int8_format
from harness_torch.int8 import TorchInt8, quantizable, quantize
from harness_torch.int8_format import rebuild
from harness_torch.plugin import Int8Params
from harness_torch.runtime import TorchRuntime, TorchSession

ARTIFACT = {"format": "torch", "student": "toy", "head": "sequence", "labels": ["a", "b", "c"], "max_length": 20}


def compress(folder: Path, model: nn.Module, per_channel: bool = True, batch: int = 3, head: str = "sequence"):
    """Facts; the source stands in folder/source, the result in folder/out."""
    source, out = folder / "source", folder / "out"
    model.save_pretrained(source)
    out.mkdir()
    request = CompressRequest(
        source=source,
        out=out,
        artifact={**ARTIFACT, "head": head},
        params=Int8Params(per_channel=per_channel),
        seed=0,
        arrays=[toy_arrays(batch, token_types=model.config.model_type in ("bert", "electra"))],
        calibration=[],
        student=lambda: ToyStudent().load(source, head),
    )
    return TorchInt8().compress(request)


def load(folder: Path, format_name: str = "torch-int8", head: str = "sequence") -> TorchSession:
    return TorchRuntime().load(folder, {**ARTIFACT, "format": format_name, "head": head}, ToyStudent(), threads=1)


@pytest.mark.parametrize("per_channel", [True, False])
@pytest.mark.parametrize("make", [toy_bert, toy_lstm, toy_bag])
def test_a_loaded_model_answers_bit_for_bit_like_the_quantized_one(tmp_path, make, per_channel):
    compress(tmp_path, make(), per_channel)
    fresh = make()
    quantize(fresh, per_channel)
    loaded = load(tmp_path / "out")
    for shape in ((1, 1), (1, 3), (4, 17)):
        arrays = toy_arrays(*shape)
        wanted = TorchSession(fresh).forward(arrays)["logits"]
        assert np.array_equal(loaded.forward(arrays)["logits"], wanted)
        assert np.abs(wanted - TorchSession(make()).forward(arrays)["logits"]).max() < 0.02
    assert (wanted != TorchSession(make()).forward(arrays)["logits"]).any()  # it is not fp32 that answers


@pytest.mark.parametrize("model_type", ["bert", "distilbert", "electra", "roberta"])
def test_a_span_model_says_both_ends_after_loading(tmp_path, model_type):
    facts = compress(tmp_path, toy_span(model_type), head="span")
    assert facts["modules"]["Linear"] == 6 * 2 + 1 + (model_type == "electra")
    assert facts["left_fp32"]["count"] == 0
    fresh = toy_span(model_type)
    quantize(fresh, per_channel=True)
    loaded = load(tmp_path / "out", head="span")
    for shape in ((1, 1), (1, 3), (4, 17)):
        arrays = toy_arrays(*shape, token_types=model_type in ("bert", "electra"))
        found, wanted, exact = (
            s.forward(arrays) for s in (loaded, TorchSession(fresh), TorchSession(toy_span(model_type)))
        )
        assert set(found) == {"start_logits", "end_logits"}
        for name, values in exact.items():
            assert np.array_equal(found[name], wanted[name])
            assert 0 < np.abs(found[name] - values).mean() < 0.1


@pytest.mark.parametrize("make", [toy_bert, toy_lstm])
def test_quantized_weights_are_stored_as_int8_only(tmp_path, make):
    model = make()
    facts = compress(tmp_path, model)
    stored = load_file(tmp_path / "out" / "model.safetensors")
    weights = [
        f"{name}.{key}" for name in quantizable(model) for key, _ in model.get_submodule(name).named_parameters()
    ]
    matrices = [name for name in weights if ".bias" not in name]
    assert matrices
    assert all(stored[name].dtype == torch.int8 for name in matrices)
    assert all(stored[f"{name}.scale"].shape == stored[name].shape[:1] for name in matrices)
    largest = max(
        tensor.numel() for name, tensor in stored.items() if tensor.is_floating_point() and "embed" not in name
    )
    assert largest <= 192  # biases and scales, no matrix
    assert facts["bytes"]["int8"] == sum(stored[name].numel() * 1 + len(stored[name]) for name in matrices)
    size = (tmp_path / "out" / "model.safetensors").stat().st_size
    header = int.from_bytes((tmp_path / "out" / "model.safetensors").read_bytes()[:8], "little")
    assert size == sum(facts["bytes"].values()) + header + 8


def test_a_file_per_format_and_no_pickle(tmp_path, monkeypatch):
    compress(tmp_path, toy_lstm())
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert names == {"config.json", "model.safetensors", "int8.json"}

    def refuse(*_, **__):
        pytest.fail("pickle was used")

    for module, name in ((pickle, "load"), (pickle, "loads"), (pickle, "Unpickler"), (torch, "load"), (torch, "save")):
        monkeypatch.setattr(module, name, refuse)
    load(tmp_path / "out")


def test_loading_starts_from_integers_not_from_floats(tmp_path, monkeypatch):
    compress(tmp_path, toy_bert())

    def refuse(*_, **__):
        pytest.fail("a float weight was quantized while loading")

    monkeypatch.setattr(torch, "quantize_per_channel", refuse)
    model = load(tmp_path / "out").model
    names = set(quantizable(toy_bert()))
    assert not any(name.rpartition(".")[0] in names for name, _ in model.named_parameters())
    assert not any(tensor.is_meta for tensor in (*model.parameters(), *model.buffers()))


def test_facts_count_modules_and_bytes(tmp_path):
    facts = compress(tmp_path, toy_bert(layers=2))
    assert facts["changed"] is True
    assert facts["modules"] == {"Linear": 2 * 6 + 2, "LSTM": 0}
    assert facts["left_fp32"] == {"count": 0, "names": []}
    assert facts["bytes"]["embeddings"] == 4 * 32 * (90 + 512 + 2)
    assert facts["engine"] in torch.backends.quantized.supported_engines
    json.dumps(facts)


def test_lstm_counts_as_one_module(tmp_path):
    assert compress(tmp_path, toy_lstm())["modules"] == {"Linear": 1, "LSTM": 1}


class OtherLinear(nn.Linear):
    """Something that torch.ao has no int8 twin for."""


def test_nothing_to_quantize_is_said(tmp_path):
    class Student(ToyStudent):
        def load(self, folder, head):
            model = super().load(folder, head)
            model.classifier.__class__ = OtherLinear
            return model

    source, out = tmp_path / "source", tmp_path / "out"
    toy_bag().save_pretrained(source)
    out.mkdir()
    request = CompressRequest(
        source, out, ARTIFACT, Int8Params(), 0, [toy_arrays()], [], lambda: Student().load(source, "sequence")
    )
    facts = TorchInt8().compress(request)
    assert facts["changed"] is False
    assert facts["left_fp32"] == {"count": 1, "names": ["classifier"]}
    assert np.array_equal(
        load(out).forward(toy_arrays())["logits"], TorchSession(toy_bag()).forward(toy_arrays())["logits"]
    )


@pytest.mark.parametrize("options", [{"bias": False}, {"proj_size": 3}])
def test_lstm_without_a_kernel_stays_fp32(options):
    model = nn.ModuleDict({"rnn": nn.LSTM(4, 8, **options), "gru": nn.GRU(4, 8), "head": nn.Linear(8, 2)})
    assert quantizable(model) == {"head": "Linear"}


def test_padding_changes_nothing_in_fp32():
    session = TorchSession(toy_lstm())
    arrays = toy_arrays(3, 9)
    together = session.forward(arrays)["logits"]
    for row, length in enumerate(arrays["attention_mask"].sum(1)):
        alone = session.forward({name: value[row : row + 1, :length] for name, value in arrays.items()})["logits"]
        assert np.abs(alone - together[row]).max() < 1e-5


def test_runtime_evaluates_without_gradients_and_reads_frozen_arrays(tmp_path):
    toy_lstm().save_pretrained(tmp_path)

    class Careless(ToyStudent):
        def load(self, folder, head):
            return super().load(folder, head).train()

    session = TorchRuntime().load(tmp_path, ARTIFACT, Careless(), threads=1)
    arrays = toy_arrays()
    for value in arrays.values():
        value.flags.writeable = False
    first = session.forward(arrays)["logits"]
    assert first.dtype == np.float32
    assert first.shape == (3, 3)
    assert np.array_equal(first, session.forward(arrays)["logits"])  # dropout of 0.5 is off
    assert torch.get_num_threads() == 1


def test_runtime_sets_threads(tmp_path):
    toy_bag().save_pretrained(tmp_path)
    before = torch.get_num_threads()
    try:
        TorchRuntime().load(tmp_path, ARTIFACT, ToyStudent(), threads=2)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


def _spoil_tensor(folder, change):
    path = folder / "model.safetensors"
    stored = load_file(path)
    change(stored)
    save_file(stored, path)


def _spoil_description(folder, change):
    path = folder / "int8.json"
    description = json.loads(path.read_text())
    change(description["modules"])
    path.write_text(json.dumps(description))


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda f: _spoil_tensor(f, lambda t: t.pop("embed.weight")), "'embed.weight'"),
        (lambda f: _spoil_tensor(f, lambda t: t.pop("classifier.weight.scale")), "classifier.weight.scale"),
        (lambda f: _spoil_tensor(f, lambda t: t.update({"embed.weight": torch.zeros(3, 12)})), "'embed.weight'"),
        (lambda f: _spoil_tensor(f, lambda t: t.update({"classifier.weight": torch.zeros(3, 2)})), "'classifier"),
        (lambda f: _spoil_tensor(f, lambda t: t.update({"extra.weight": torch.zeros(3)})), "extra"),
        (lambda f: _spoil_description(f, lambda m: m.update({"embed": "Linear"})), "'embed' is Embedding"),
        (lambda f: _spoil_description(f, lambda m: m.update({"classifier": "eval"})), "eval"),
        (lambda f: _spoil_description(f, lambda m: m.pop("classifier")), "'classifier"),
        (lambda f: (f / "int8.json").unlink(), "int8.json"),
        (lambda f: (f / "model.safetensors").write_bytes(b"\x80\x04K\x01."), "not an int8 model"),
        (lambda f: (f / "config.json").write_text('{"model_type": "no-such-type"}'), "no-such-type"),
    ],
)
def test_a_broken_artifact_is_named(tmp_path, spoil, said):
    compress(tmp_path, toy_lstm())
    spoil(tmp_path / "out")
    with pytest.raises(StageError, match=said) as caught:
        rebuild(tmp_path / "out", "sequence")
    assert str(tmp_path / "out") in str(caught.value)


def test_code_beside_a_config_is_never_run(tmp_path):
    compress(tmp_path, toy_lstm())
    out = tmp_path / "out"
    trap = tmp_path / "ran"
    (out / "evil.py").write_text(f"open({str(trap)!r}, 'w')\nclass Evil: pass\n")
    config = json.loads((out / "config.json").read_text())
    auto = {"AutoConfig": "evil.Evil", "AutoModelForSequenceClassification": "evil.Evil"}
    (out / "config.json").write_text(json.dumps({**config, "model_type": "unknown", "auto_map": auto}))
    with pytest.raises(StageError):
        rebuild(out, "sequence")
    assert not trap.exists()


def test_a_build_without_engines_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(int8_format, "_ENGINES", ("other",))
    with pytest.raises(StageError, match=r"no int8 engine.*'fbgemm'.*onnx-int8"):
        compress(tmp_path, toy_bag())


def test_what_was_written_is_compared_with_what_is_in_memory(tmp_path, monkeypatch):
    monkeypatch.setattr("harness_torch.int8_format._integers", _halved(int8_format._integers))
    with pytest.raises(StageError, match="answers differently"):
        compress(tmp_path, toy_bag())


def _halved(integers):
    def planted(weight):
        parts = integers(weight)
        return {**parts, ".scale": parts[".scale"] / 2}

    return planted


def test_a_torch_artifact_needs_its_student(tmp_path):
    with pytest.raises(StageError, match="no student"):
        TorchRuntime().load(tmp_path, ARTIFACT, None, threads=1)


def test_hooks_import_nothing_heavy():
    code = "import harness_torch.plugin as p, sys; list(p.harness_compressors()), list(p.harness_runtimes()); "
    code += "print([m for m in ('torch', 'transformers', 'numpy') if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"
