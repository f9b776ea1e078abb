"""torch-bf16: half of the bytes, arithmetic in bf16, and nothing of it where a CPU would only pretend."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import nn
from toy_models import ToyStudent, toy_arrays, toy_bert, toy_lstm, toy_span

from harness import CompressRequest, StageError
from harness.measuring.machine import Identity
from harness.plugins import load_registry
from harness_torch import bf16, cpu
from harness_torch.runtime import TorchRuntime, TorchSession

ARTIFACT = {"format": "torch-bf16", "head": "sequence", "student": "toy", "labels": ["a", "b", "c"], "max_length": 20}
here = pytest.mark.skipif(cpu.no_bf16() is not None, reason=str(cpu.no_bf16()))


def compressed(model: nn.Module, folder: Path, **artifact) -> dict:
    """Facts of `torch-bf16`; what it wrote stands in folder/bf16."""
    source, out = folder / "source", folder / "bf16"
    model.save_pretrained(source)
    out.mkdir()
    request = CompressRequest(
        source=source, out=out, artifact={**ARTIFACT, **artifact}, params=None, seed=0, arrays=[], calibration=[],
        student=lambda: model,
    )  # fmt: skip
    return bf16.TorchBf16().compress(request)


def loaded(folder: Path, **artifact) -> TorchSession:
    return TorchRuntime().load(folder / "bf16", {**ARTIFACT, **artifact}, ToyStudent(), threads=1)


# ------------------------------------------------------------------------------------------------ where the CPU has it


@here
@pytest.mark.parametrize("toy", [toy_bert, toy_lstm])
def test_answers_are_near_and_weights_take_half_the_bytes(toy, tmp_path):
    model = toy()
    facts = compressed(model, tmp_path)
    assert facts["changed"]
    assert facts["isa"]
    assert 0 < facts["largest_rounding"] <= 2**-8
    whole, half = (load_file(tmp_path / name / "model.safetensors") for name in ("source", "bf16"))
    assert all(half[name].nbytes * 2 == tensor.nbytes for name, tensor in whole.items() if tensor.is_floating_point())
    assert sum(facts["bytes"].values()) == sum(tensor.nbytes for tensor in half.values())
    arrays = toy_arrays(4, 11)
    wanted, found = TorchSession(model).forward(arrays)["logits"], loaded(tmp_path).forward(arrays)["logits"]
    assert found.dtype == np.float32
    assert 0 < np.abs(found - wanted).max() < 0.2 * wanted.std()


@here
def test_arithmetic_is_bf16_in_every_layer(tmp_path):
    compressed(toy_bert(), tmp_path)
    model, kinds = loaded(tmp_path).model, {}
    for name, module in model.named_modules():
        if isinstance(module, nn.Linear):
            module.register_forward_hook(lambda module, given, made, name=name: kinds.update({name: made.dtype}))
    TorchSession(model).forward(toy_arrays())
    assert len(kinds) == 2 * 6 + 2
    assert set(kinds.values()) == {torch.bfloat16}


@here
def test_spans_and_states_are_given_as_floats(tmp_path):
    compressed(toy_span(), tmp_path, head="span")
    found = loaded(tmp_path, head="span").forward(toy_arrays(2, 7), states=(0, -1))
    assert {name: value.shape[:2] for name, value in found.items()} == dict.fromkeys(
        ("start_logits", "end_logits", "states.0", "states.-1"), (2, 7)
    )
    assert all(value.dtype == np.float32 for value in found.values())


@here
def test_a_weight_that_is_too_large_is_refused(tmp_path):
    model = toy_lstm()
    with torch.no_grad():
        model.classifier.weight[0, 0] = torch.finfo(torch.float32).max
    with pytest.raises(StageError, match=r"'classifier.weight' holds 3.4e\+38"):
        compressed(model, tmp_path)


@here
@pytest.mark.parametrize("missing", ["model.safetensors", "bf16.json", "config.json"])
def test_an_artifact_that_is_not_whole_is_refused(missing, tmp_path):
    compressed(toy_lstm(), tmp_path)
    (tmp_path / "bf16" / missing).unlink()
    with pytest.raises(StageError, match="not a bf16 model"):
        loaded(tmp_path)


@here
def test_weights_of_another_architecture_are_refused(tmp_path):
    compressed(toy_lstm(), tmp_path)
    config = tmp_path / "bf16/config.json"
    config.write_text(json.dumps({**json.loads(config.read_text()), "hidden_size": 16}))
    with pytest.raises(StageError, match="was expected"):
        loaded(tmp_path)


# --------------------------------------------------------------------------------------------- where it would pretend


@pytest.fixture
def old_cpu(monkeypatch):
    monkeypatch.setattr(cpu, "cpu_flags", lambda: frozenset({"avx2", "avx512f"}))


def test_a_plan_skips_it_with_the_reason(old_cpu):
    spec = load_registry().compressor("torch-bf16")
    assert spec.supports("transformer", "sequence") == (
        "needs a CPU with instructions for bf16, one of 'amx_bf16', 'avx512_bf16', 'bf16'; "
        "this one has 'avx2', 'avx512f'"
    )


@pytest.mark.parametrize("flag", ["amx_bf16", "avx512_bf16", "bf16"])
def test_any_of_the_instructions_is_enough(flag, monkeypatch):
    monkeypatch.setattr(cpu, "cpu_flags", lambda: frozenset({"avx2", flag}))
    assert load_registry().compressor("torch-bf16").supports("transformer", "sequence") is None
    assert cpu.bf16_flags() == [flag]


def test_flags_are_those_of_this_machine(monkeypatch):
    from harness.measuring import machine

    fields = dict.fromkeys(Identity.__dataclass_fields__) | {"flags": ("avx2", "bf16")}
    monkeypatch.setattr(machine, "_identity", lambda: Identity(**fields))
    assert machine.cpu_flags() == {"avx2", "bf16"}


def test_neither_stage_nor_runtime_pretends(old_cpu, tmp_path):
    with pytest.raises(StageError, match="needs a CPU with instructions for bf16"):
        compressed(toy_lstm(), tmp_path)
    with pytest.raises(StageError, match="needs a CPU with instructions for bf16"):
        loaded(tmp_path)


def test_a_torch_without_the_kernels_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(cpu, "cpu_flags", lambda: frozenset({"avx512_bf16"}))
    monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: False)
    with pytest.raises(StageError, match="without oneDNN"):
        compressed(toy_lstm(), tmp_path)
