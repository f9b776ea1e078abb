"""Students `lstm`, `sru` and `srupp` under every head: padding, folders, embeddings, params, ONNX and int8."""

from __future__ import annotations

import functools
import json
import tempfile
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from pydantic import ValidationError

from harness import BuildRequest, CompressRequest, StageError, train_wordpiece
from harness.plugins import load_registry
from harness.stages.batching import collate
from harness.text import load_encoder
from harness_onnx.export import OnnxExport
from harness_onnx.graph import operators
from harness_onnx.plugin import ExportParams, Int8Params
from harness_onnx.quantize import OnnxInt8
from harness_onnx.runtime import OnnxSession
from harness_recurrent.plugin import LstmParams, SruParams, SruppParams
from harness_torch.int8 import TorchInt8
from harness_torch.int8_format import rebuild
from harness_torch.plugin import Int8Params as TorchInt8Params
from harness_torch.runtime import TorchSession
from harness_trimming.trim import shrink

STUDENTS = {name: load_registry().student(name) for name in ("lstm", "sru", "srupp")}
HEADS = ("sequence", "token", "nested-token", "span")
LABELS = tuple(f"{kind}:{letter}" for kind in ("AGE", "CITY") for letter in "OBILU")
TEXTS = ["Anna Petrova lives in Tver .", "The Volga Bank of Samara opened in 1996 .", "U.S. beats Peru 2-0", "Peru"] * 4
SMALL = {"hidden_size": 6, "layers": 2, "vocab_size": 150, "embedding_size": 12, "conv": [15, 9]}
LENGTHS = (1, 7, 64, 512)


class Made:
    """A small student of one family and head, its encoder and the texts as it reads them."""

    def __init__(self, name: str, head: str, **changes) -> None:
        self.student, self.head, self.folder = STUDENTS[name].load(), head, Path(tempfile.mkdtemp())
        self.params = STUDENTS[name].params(**{**SMALL, **changes})
        self.facts = build(name, self.folder, head, self.params)
        self.encoder = load_encoder(self.folder)
        inputs = {"sequence": TEXTS, "span": [("Who lives in Tver ?", text) for text in TEXTS]}
        self.windows = self.encoder.encode(inputs.get(head, [text.split() for text in TEXTS]), head)

    @functools.cached_property
    def model(self):
        return self.student.load(self.folder, self.head)

    def answer(self, arrays) -> np.ndarray:
        return joined(TorchSession(self.model).forward(arrays))

    def compressed(self, step, source: Path, params) -> tuple[Path, dict]:
        out = Path(tempfile.mkdtemp())
        batches = [collate(self.windows[i : i + 8], self.encoder.pad) for i in (0, 8)]
        about = {"format": "torch", "student": "x", "head": self.head, "labels": list(LABELS), "max_length": 64}
        facts = step.compress(
            CompressRequest(
                source=source, out=out, artifact=about, params=params, seed=0, arrays=batches, calibration=[],
                student=lambda: self.student.load(self.folder, self.head),
            )
        )  # fmt: skip
        return out, facts

    @functools.cached_property
    def onnx(self) -> tuple[Path, dict]:
        return self.compressed(OnnxExport(), self.folder, ExportParams())


def build(name: str, out: Path, head: str, params, **changes) -> dict:
    request = {
        "labels": LABELS,
        "seed": 1,
        "max_length": 512,
        "assets": {},
        "artifacts": {},
        "texts": lambda: iter(TEXTS),
    }
    return STUDENTS[name].load().build(BuildRequest(out=out, head=head, params=params, **{**request, **changes}))


@functools.cache
def made(name: str, head: str, **changes) -> Made:
    return Made(name, head, **changes)


def joined(outputs) -> np.ndarray:
    """The columns of any head: `logits` as they are, starts and ends side by side."""
    return outputs["logits"] if "logits" in outputs else np.stack([outputs["start_logits"], outputs["end_logits"]], -1)


def random_arrays(batch: int, length: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(batch * 1000 + length)
    mask = (np.arange(length) < np.maximum(1, length - 3 * np.arange(batch))[:, None]).astype(np.int64)
    return {"input_ids": rng.integers(5, 90, (batch, length)) * mask, "attention_mask": mask}


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("name", STUDENTS)
def test_padding_and_batch_mates_change_nothing(name, head):
    student, arrays = made(name, head), random_arrays(5, 64)
    together = student.answer(arrays)
    for row, mask in enumerate(arrays["attention_mask"]):
        length = int(mask.sum())
        alone = student.answer({key: value[row : row + 1, :length] for key, value in arrays.items()})[0]
        mine = together[row] if head == "sequence" else together[row, :length]
        assert alone.shape == mine.shape
        np.testing.assert_allclose(alone, mine, atol=1e-5)
    assert together.std() > 0.01


@pytest.mark.parametrize("head", ["sequence", "nested-token", "span"])
@pytest.mark.parametrize("name", STUDENTS)
def test_onnx_answers_as_pytorch_does_at_any_batch_and_length(name, head):
    student = made(name, head)
    folder, facts = student.onnx
    assert facts["exporter"] == "torchscript"
    session = OnnxSession(folder / "model.onnx", threads=1)
    for length in LENGTHS:
        for batch in (1, 3):
            arrays = random_arrays(batch, length)
            wanted, found = student.answer(arrays), joined(session.forward(arrays))
            assert found.shape == wanted.shape
            there = arrays["attention_mask"].astype(bool) if head != "sequence" else slice(None)
            np.testing.assert_allclose(found[there], wanted[there], atol=1e-4)


@pytest.mark.parametrize("name", STUDENTS)
def test_padding_and_batch_mates_change_nothing_in_onnx(name):
    student = made(name, "nested-token")
    session = OnnxSession(student.onnx[0] / "model.onnx", threads=1)
    for length in LENGTHS:
        arrays = random_arrays(4, length)
        wider = {key: np.pad(value, [(0, 0), (0, 30)]) for key, value in arrays.items()}
        together = joined(session.forward(wider))
        for row, mask in enumerate(arrays["attention_mask"]):
            own = int(mask.sum())
            alone = joined(session.forward({key: value[row : row + 1, :own] for key, value in arrays.items()}))[0]
            np.testing.assert_allclose(together[row, :own], alone, atol=2e-5)


@pytest.mark.parametrize("name", ["sru", "srupp"])
def test_a_recurrence_is_exported_as_one_scan_per_layer(name):
    folder, _ = made(name, "nested-token").onnx
    counts = operators(onnx.load(folder / "model.onnx"))
    assert counts["Scan"] == 2
    assert not {"Loop", "SequenceEmpty", "SequenceInsert", "ConcatFromSequence"} & set(counts)


@pytest.mark.parametrize("name", STUDENTS)
def test_int8_leaves_no_matrix_in_floating_point_and_answers_almost_alike(name):
    student = Made(name, "nested-token", hidden_size=32, conv=[48])
    folder, _ = student.onnx
    small, facts = student.compressed(OnnxInt8(), folder, Int8Params())
    assert facts["float_matrices"]["count"] == 0
    assert facts["dynamic_quantize_lstm"] == (2 if name == "lstm" else 0)
    assert facts["int8_matmuls"] == {"lstm": 3 + 1, "sru": 3 + 2 + 1, "srupp": 3 + 6 + 1}[name]
    session = OnnxSession(small / "model.onnx", threads=1)
    scale = student.answer(random_arrays(3, 64)).std()  # of a text of one word there is not enough to say it
    for length in LENGTHS:
        for batch in (1, 3):
            arrays = random_arrays(batch, length)
            wanted, found = student.answer(arrays), joined(session.forward(arrays))
            assert found.shape == wanted.shape
            assert 0 < np.abs(found - wanted)[arrays["attention_mask"] > 0].max() < 0.5 * scale


@pytest.mark.parametrize("name", STUDENTS)
def test_int8_of_pytorch_is_read_back_bit_for_bit(name):
    student = made(name, "span")
    out, facts = student.compressed(TorchInt8(), student.folder, TorchInt8Params())
    assert facts["left_fp32"]["count"] == 0
    arrays = random_arrays(2, 20)
    found = joined(TorchSession(rebuild(out, "span")).forward(arrays))
    assert 0 < np.abs(found - student.answer(arrays)).max() < 0.1


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("name", STUDENTS)
def test_hidden_states_are_given_where_they_are_asked_for(name, head):
    said = TorchSession(made(name, head).model).forward(random_arrays(2, 9), (0, 1))
    assert said["states.0"].shape == (2, 9, 12)
    assert said["states.1"].shape == (2, 9, 12)
    assert not made(name, head).model(**tensors(random_arrays(2, 9))).hidden_states


def tensors(arrays) -> dict[str, torch.Tensor]:
    return {name: torch.from_numpy(value) for name, value in arrays.items()}


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("name", STUDENTS)
def test_columns_are_the_labels_or_the_two_ends(name, head):
    config = json.loads((made(name, head).folder / "config.json").read_text())
    wanted = ("start", "end") if head == "span" else LABELS
    assert list(config["id2label"].values()) == list(wanted)
    assert made(name, head).answer(random_arrays(1, 5)).shape[-1] == len(wanted)


@pytest.mark.parametrize("name", STUDENTS)
def test_the_same_seed_builds_the_same_and_loading_gives_it_back(name, tmp_path):
    first = made(name, "token")
    for folder, seed in (("a", 1), ("b", 2)):
        (tmp_path / folder).mkdir()
        build(name, tmp_path / folder, "token", first.params, seed=seed)
    weights = [(folder / "model.safetensors").read_bytes() for folder in (first.folder, tmp_path / "a", tmp_path / "b")]
    assert weights[0] == weights[1] != weights[2]


@pytest.mark.parametrize("name", STUDENTS)
def test_a_step_moves_every_weight_and_leaves_numbers(name):
    student = Made(name, "nested-token")
    model = student.model.train()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    before = {key: value.detach().clone() for key, value in model.named_parameters()}
    arrays = tensors(random_arrays(8, 16))
    for _ in range(2):  # the first opens the attention
        optimizer.zero_grad()
        model(**arrays).logits.pow(2).sum().div(100).backward()
        optimizer.step()
    for key, value in model.named_parameters():
        assert value.isfinite().all()
        assert not torch.equal(value, before[key]), key


@pytest.mark.parametrize("name", STUDENTS)
def test_mixed_precision_answers_almost_alike_and_can_be_trained(name):
    student, arrays = Made(name, "nested-token", factorised=3), random_arrays(4, 9)
    wanted = student.answer(arrays)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = student.model(**tensors(arrays)).logits.float()
        student.model.train()(**tensors(arrays)).logits.float().pow(2).sum().backward()
    assert np.abs(found.detach().numpy() - wanted).max() < 0.1 * wanted.std()
    assert all(parameter.grad.isfinite().all() for parameter in student.model.parameters())


def test_windows_of_long_contexts_share_what_the_suite_says(tmp_path):
    pairs = [("who ?", "Peru Samara Tver " * 30)]
    counts = []
    for stride in (1, 20):
        out = tmp_path / str(stride)
        out.mkdir()
        build("sru", out, "span", SruParams(**SMALL), max_length=48, doc_stride=stride)
        counts.append(len(load_encoder(out).encode(pairs, "span")))
    assert counts[0] < counts[1]


# ---------------------------------------------------------------------------------------------------------- embeddings


def test_a_narrow_table_is_counted_and_led_up(tmp_path):
    whole, narrow = made("sru", "token"), made("sru", "token", factorised=3)
    rows = narrow.facts["vocab_size"]
    saved = {key: whole.facts[key] - narrow.facts[key] for key in ("parameters", "parameters_without_embeddings")}
    assert saved == {"parameters": rows * (12 - 3) - 3 * 12, "parameters_without_embeddings": -3 * 12}
    assert narrow.model.get_input_embeddings().weight.shape == (rows, 3)
    said = TorchSession(narrow.model).forward(random_arrays(1, 4), (0,))
    assert said["states.0"].shape == (1, 4, 12)


@pytest.mark.parametrize("head", ["token", "nested-token", "span"])
def test_embeddings_of_any_family_are_borrowed_whole(head, tmp_path):
    donor = made("lstm", head)
    params = SruParams(hidden_size=6)
    facts = build("sru", tmp_path, head, params, artifacts={"embeddings": donor.folder})
    model = STUDENTS["sru"].load().load(tmp_path, head)
    assert torch.equal(model.get_input_embeddings().weight, donor.model.get_input_embeddings().weight)
    assert facts["weights"] == "random, with another model's embeddings"


def test_a_narrow_table_gets_the_nearest_of_what_is_borrowed(tmp_path):
    donor = made("lstm", "token")
    params = SruParams(hidden_size=6, factorised=4)
    facts = build("sru", tmp_path, "token", params, artifacts={"embeddings": donor.folder})
    model = STUDENTS["sru"].load().load(tmp_path, "token")
    table = donor.model.get_input_embeddings().weight.detach()
    values = torch.linalg.svdvals(table)
    found = model.body.up(model.get_input_embeddings().weight)
    torch.testing.assert_close((found - table).norm(), values[4:].norm(), atol=1e-4, rtol=1e-4)
    share = values[:4].norm() / values.norm()
    assert facts["weights"] == f"random, with another model's embeddings, of rank 4 ({float(share):.1%} of their norm)"


def test_what_a_narrow_table_means_is_borrowed_from_it(tmp_path):
    donor = made("sru", "token", factorised=3)
    build("lstm", tmp_path, "token", LstmParams(hidden_size=6), artifacts={"embeddings": donor.folder})
    model = STUDENTS["lstm"].load().load(tmp_path, "token")
    wanted = donor.model.body.up(donor.model.get_input_embeddings().weight)
    torch.testing.assert_close(model.get_input_embeddings().weight, wanted)


def test_a_table_that_is_not_narrower_is_refused(tmp_path):
    with pytest.raises(StageError, match="factorised = 12: the embeddings are 12 wide; use a smaller number"):
        build("sru", tmp_path, "token", SruParams(**{**SMALL, "factorised": 12}))


@pytest.mark.parametrize("name", STUDENTS)
def test_a_vocabulary_can_be_cut_whatever_the_table_leads_to(name):
    student, arrays = Made(name, "token", factorised=3), random_arrays(2, 9)
    before, used = student.answer(arrays), sorted({0, *arrays["input_ids"].ravel().tolist()})
    new = {old: at for at, old in enumerate(used)}
    shrink(student.model, new)
    assert student.model.get_input_embeddings().weight.shape == (len(used), 3)
    after = student.answer({**arrays, "input_ids": np.vectorize(new.get)(arrays["input_ids"])})
    assert np.array_equal(after, before)


# -------------------------------------------------------------------------------------------------------------- params


def test_an_even_kernel_and_a_width_that_kernels_cannot_share_are_refused():
    with pytest.raises(ValidationError, match=r"kernels = \[1, 2\]: 2 has no middle; use odd numbers"):
        LstmParams(kernels=[1, 2])
    with pytest.raises(ValidationError, match=r"conv = \[9, 8\]: 8 cannot be shared by 3 kernels; use a multiple"):
        SruppParams(conv=[9, 8])


def test_defaults_add_nothing_to_an_lstm(tmp_path):
    build("lstm", tmp_path, "token", LstmParams(vocab_size=150))
    names = set(STUDENTS["lstm"].load().load(tmp_path, "token").state_dict())
    suffixes = [
        f"{part}_l0{way}" for part in ("weight_ih", "weight_hh", "bias_ih", "bias_hh") for way in ("", "_reverse")
    ]
    assert names == {
        "lstm.embeddings.weight", "classifier.weight", "classifier.bias", *(f"lstm.recurrence.{name}" for name in suffixes)
    }  # fmt: skip


def test_the_published_shape_has_the_published_size(tmp_path):
    """25 times fewer weights than RuBERT without its word embeddings, 85.56 million with 29 heads of 5 classes."""
    labels = tuple(f"{kind}:{letter}" for kind in range(29) for letter in "OBILU")
    shape = {"hidden_size": 192, "layers": 4, "embedding_size": 768, "conv": [768, 384], "vocab_size": 100}
    counted = {}
    for name, spec in STUDENTS.items():
        (tmp_path / name).mkdir()
        facts = build(name, tmp_path / name, "nested-token", spec.params(**shape), labels=labels)
        counted[name] = facts["parameters_without_embeddings"] / 1e6
    assert counted == pytest.approx({"lstm": 6.26, "sru": 4.49, "srupp": 3.38}, abs=0.02)
    assert 85.56 / counted["srupp"] == pytest.approx(25.3, abs=0.1)


def test_a_tokenizer_may_be_borrowed_alone(tmp_path):
    train_wordpiece(TEXTS, 120).save(str(tmp_path / "tokenizer.json"))
    (tmp_path / "out").mkdir()
    facts = build("srupp", tmp_path / "out", "token", SruppParams(hidden_size=6), artifacts={"tokenizer": tmp_path})
    assert facts["vocab_size"] == load_encoder(tmp_path / "out")._tokenizer.get_vocab_size()
