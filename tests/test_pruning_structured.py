"""prune-heads and prune-ffn: what contributes nothing goes and no answer changes; what is left survives every format."""

from __future__ import annotations

import json

import numpy as np
import onnx
import pytest
import torch
from pruning_models import (
    FAMILIES,
    HEADS,
    LAYERS,
    NEURONS,
    REGISTRY,
    answers,
    compress,
    loaded,
    model,
    padded,
    saved,
    shapes,
    texts,
)
from tokenizers import Tokenizer
from tokenizers.models import WordPiece

from harness import AssetError, BuildRequest, StageError, load_pretrained
from harness.shapes import KEY
from harness_onnx.runtime import OnnxSession
from harness_pruning.choosing import chosen
from harness_pruning.importance import importance
from harness_pruning.layout import channels, reading, sites, stack
from harness_torch.int8_format import rebuild
from harness_torch.runtime import TorchSession
from harness_transformers.heads import auto

PARTS = {"prune-heads": "heads", "prune-ffn": "ffn"}


def silence(made, part, gone):
    """Make some groups of each layer contribute nothing: what reads them has zeros for them."""
    with torch.no_grad():
        for site, groups in zip(sites(made, part), gone, strict=True):
            reading(made, site.reader).weight[:, channels(site, groups)] = 0.0


GONE = {"heads": [[1], [0, 2, 3], [2]], "ffn": [list(range(16, 32)), list(range(48)), []]}


@pytest.mark.parametrize("refit", [True, False])
@pytest.mark.parametrize("name", PARTS)
@pytest.mark.parametrize("family", FAMILIES)
def test_what_contributes_nothing_goes_and_no_answer_changes(tmp_path, family, name, refit):
    part = PARTS[name]
    made, gone = model(family), GONE[part]
    silence(made, part, gone)
    source = saved(made, tmp_path / "source")
    groups = {"heads": HEADS, "ffn": NEURONS}[part] * LAYERS
    facts = compress(name, source, tmp_path / "out", share=sum(map(len, gone)) / groups, refit=refit)
    whole, cut = loaded(source), loaded(tmp_path / "out")
    np.testing.assert_allclose(answers(cut), answers(whole), atol=2e-5)
    left = [site.groups for site in sites(cut, part)]
    assert left == [site.groups - len(groups) for site, groups in zip(sites(whole, part), gone, strict=True)]
    assert facts["changed"]
    assert facts["importance_removed"] == 0
    assert facts["parameters"] == sum(p.numel() for p in cut.parameters()) < facts["parameters_before"]
    outside = facts["parameters_without_embeddings"]
    assert facts["bytes"] == {"embeddings": 4 * (facts["parameters"] - outside), "fp32": 4 * outside}
    assert facts["bytes"]["embeddings"] > 0


@pytest.mark.parametrize("name", PARTS)
def test_other_groups_would_have_changed_answers(tmp_path, name):
    """The proof above is one only if answers hang on the rest."""
    source = saved(model(), tmp_path / "source")
    compress(name, source, tmp_path / "out", share=0.4, refit=False)
    assert np.abs(answers(loaded(tmp_path / "out")) - answers(loaded(source))).max() > 0.05


@pytest.mark.parametrize("head", ["sequence", "token", "span"])
@pytest.mark.parametrize("family", FAMILIES)
def test_unequal_layers_come_back_as_they_were_written(tmp_path, family, head):
    source = saved(model(family, head), tmp_path / "source")
    compress("prune-heads", source, tmp_path / "one", head, share=0.5)
    facts = compress("prune-ffn", tmp_path / "one", tmp_path / "two", head, share=0.5, multiple_of=8)
    first, again = loaded(tmp_path / "two", head), loaded(tmp_path / "two", head)
    assert np.array_equal(answers(first), answers(again))
    left = [site.groups for site in sites(first, "heads")]
    assert sum(left) == HEADS * LAYERS // 2
    assert min(left) >= 1
    assert facts["neurons"] == [site.groups for site in sites(first, "ffn")]
    assert all(count % 8 == 0 for count in facts["neurons"])
    assert not first.training
    again.save_pretrained(tmp_path / "three")
    assert np.array_equal(answers(loaded(tmp_path / "three", head)), answers(first))
    assert type(first) is type(model(family, head))
    assert shapes(first) != shapes(model(family, head))


def test_attention_modules_know_how_many_heads_they_have(tmp_path):
    for family, attribute in (("bert", "num_attention_heads"), ("distilbert", "n_heads")):
        source = saved(model(family), tmp_path / family)
        facts = compress("prune-heads", source, tmp_path / f"{family}-out", share=0.5)
        modules = [m for m in loaded(tmp_path / f"{family}-out").modules() if hasattr(m, attribute)]
        assert [getattr(module, attribute) for module in modules] == facts["heads"]


def test_weights_that_do_not_fit_are_never_drawn_anew(tmp_path):
    compress("prune-heads", saved(model(), tmp_path / "source"), tmp_path / "out", share=0.5)
    file = tmp_path / "out" / "config.json"
    config = json.loads(file.read_text())
    assert config.pop(KEY)
    file.write_text(json.dumps(config))
    with pytest.raises(StageError, match=r"lacks \d+ weights"):
        loaded(tmp_path / "out")


@pytest.mark.parametrize(
    "said",
    [
        [],
        "x",
        {"bert.encoder.layer.0.attention.self.query": [16]},
        {"bert.encoder.layer.0.attention.self.query": [0, 32]},
        {"bert.encoder.layer.0.attention.self.query": [33, 32]},
        {"bert.encoder.layer.0.attention.self.query": [10**12, 10**12]},
        {"bert.encoder.layer.0.attention.self.query": [True, 32]},
        {"bert.encoder.layer.0.attention.self.query": [16.0, 32]},
        {"bert.encoder.layer.0.attention.self.query": "16"},
        {"bert.encoder.layer.0.attention.self.query": None},
        {"bert.encoder.layer.9.attention.self.query": [16, 32]},
        {"bert.encoder.layer.0.attention.self": [16, 32]},
        {"": [16, 32]},
        {"__class__": [16, 32]},
    ],
)
def test_shapes_that_no_pruning_wrote_are_refused(tmp_path, said):
    source = saved(model(), tmp_path / "source")
    file = source / "config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), KEY: said}))
    if not said:
        assert loaded(source)
        return
    with pytest.raises(AssetError, match=KEY):
        load_pretrained(auto("sequence"), source)


# ------------------------------------------------------------------------------------------------------ other formats


@pytest.fixture(scope="module", params=["bert", "distilbert"])
def pruned(request, tmp_path_factory):
    """(folder with one/ and two/, facts): heads, then neurons, layers unequal."""
    folder = tmp_path_factory.mktemp("pruned")
    compress("prune-heads", saved(model(request.param), folder / "source"), folder / "one", share=0.5)
    facts = compress("prune-ffn", folder / "one", folder / "two", share=0.5)
    return folder, facts


def test_the_graph_answers_alike_with_fewer_operations(pruned, tmp_path):
    folder, facts = pruned
    compress("onnx", folder / "source", tmp_path / "whole")
    said = compress("onnx", folder / "two", tmp_path / "cut")
    assert said["export_check"]["largest_difference"] < 1e-4
    assert said["attention_fused"] == LAYERS
    session = OnnxSession(tmp_path / "cut" / "model.onnx", threads=1)
    made = loaded(folder / "two")
    for arrays in (*texts(4, 5), padded()):
        found = session.forward(arrays)["logits"].ravel()
        np.testing.assert_allclose(found, answers(made, [arrays]), atol=1e-4)
    whole, cut = (products(tmp_path / name / "model.onnx") for name in ("whole", "cut"))
    heads = [site.groups for site in sites(made, "heads")]
    expected = 32 * 32 * 4 * sum(heads) / HEADS + 2 * 32 * sum(facts["neurons"])
    rest = whole - LAYERS * 32 * (4 * 32 + 2 * NEURONS)
    assert cut - rest == expected
    assert cut < 0.6 * whole


def products(file) -> int:
    """Multiplications per token in matrices that a graph knows."""
    graph = onnx.load(file).graph
    sizes = {tensor.name: int(np.prod(tensor.dims)) for tensor in graph.initializer if len(tensor.dims) == 2}
    nodes = (node for node in graph.node if node.op_type in ("MatMul", "Gemm"))
    return sum(sizes.get(name, 0) for node in nodes for name in node.input)


def test_both_kinds_of_int8_take_it(pruned, tmp_path):
    folder, _ = pruned
    wanted = answers(loaded(folder / "two"), [padded()])
    facts = compress("torch-int8", folder / "two", tmp_path / "torch")
    assert facts["left_fp32"]["count"] == 0
    session = TorchSession(rebuild(tmp_path / "torch", "sequence"))
    found = session.forward(padded())["logits"].ravel()
    assert 0 < np.abs(found - wanted).max() < 0.2 * wanted.std()
    compress("onnx", folder / "two", tmp_path / "onnx")
    compress("onnx-int8", tmp_path / "onnx", tmp_path / "int8", format_="onnx")
    found = OnnxSession(tmp_path / "int8" / "model.onnx", threads=1).forward(padded())["logits"].ravel()
    assert 0 < np.abs(found - wanted).max() < 0.2 * wanted.std()


def test_what_is_left_can_be_trained(pruned, tmp_path):
    folder, _ = pruned
    made = loaded(folder / "two").train()
    assert all(parameter.requires_grad for parameter in made.parameters())
    optimizer = torch.optim.Adam(made.parameters(), lr=1e-2)
    arrays = {name: torch.tensor(array) for name, array in padded().items()}
    target = torch.tensor([0, 1, 2, 0])
    losses = []
    for _ in range(10):
        loss = torch.nn.functional.cross_entropy(made(**arrays).logits, target)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.5 * losses[0]
    made.eval().save_pretrained(tmp_path / "again")
    assert np.array_equal(answers(loaded(tmp_path / "again")), answers(made))


# ------------------------------------------------------------------------------------------------- which ones matter


def test_importance_is_the_squared_slope_of_the_answers():
    """Against finite differences of each logit, summed: the random signs average out."""
    made, batch = model().double(), texts(1)[0]
    found = sites(made, "heads")
    estimated = torch.stack(importance(made, found, [batch] * 400, seed=1))
    exact = torch.zeros(LAYERS, HEADS, dtype=torch.float64)
    step = 1e-4
    for layer, site in enumerate(found):
        reader = reading(made, site.reader)
        for head in range(HEADS):
            moved = []
            for factor in (1 + step, 1 - step):
                kept = reader.weight.detach().clone()
                with torch.no_grad():
                    reader.weight[:, channels(site, [head])] *= factor
                    z = torch.tensor(answers(made, [batch]))
                    reader.weight.copy_(kept)
                moved.append(z - z.mean())
            exact[layer, head] = ((moved[0] - moved[1]) / (2 * step)).square().sum()
    torch.testing.assert_close(estimated, exact, rtol=0.25, atol=0.02 * float(exact.max()))


def scored(*rows):
    return [torch.tensor(row, dtype=torch.float64) for row in rows]


def test_globally_the_least_go_and_each_layer_keeps_one():
    scores = scored([9.0, 8.0, 7.0], [0.1, 0.3, 0.2], [5.0, 0.0, 6.0])
    assert chosen(scores, 3 / 9, "heads") == [[0, 1, 2], [1], [0, 2]]
    assert chosen(scores, 4 / 9, "heads") == [[0, 1, 2], [1], [2]]
    assert chosen(scores, 6 / 9, "heads") == [[0], [1], [2]]


def test_by_layer_the_same_share_goes_everywhere():
    scores = scored([9.0, 8.0, 7.0], [0.1, 0.3, 0.2])
    assert chosen(scores, 0.34, "heads", per_layer=True) == [[0, 1], [1, 2]]
    assert chosen(scores, 0.99, "heads", per_layer=True) == [[0], [1]]


def test_neurons_go_in_blocks_and_never_more_than_asked():
    scores = scored([float(n) for n in range(20)], [100.0 + n for n in range(20)])
    kept = chosen(scores, 0.3, "neurons", multiple=8)
    assert [len(keep) for keep in kept] == [8, 20]
    assert kept[0] == list(range(12, 20))
    assert [len(keep) for keep in chosen(scores, 0.1, "neurons", multiple=8)] == [16, 20]
    assert [len(keep) for keep in chosen(scores, 0.05, "neurons", multiple=8)] == [20, 20]
    assert [len(keep) for keep in chosen(scores, 0.29, "neurons")] == [20 - 11, 20]


def test_nothing_left_is_refused_with_what_could_go():
    with pytest.raises(
        StageError,
        match=r"share = 0.8: 7 of 9 heads would go, and each of 3 layers keeps at least 1; set it to 0.66 or less",
    ):
        chosen(scored([1.0, 2.0, 3.0], [1.0, 2.0, 3.0], [1.0, 2.0, 3.0]), 0.8, "heads")


def test_fitting_again_loses_less(tmp_path):
    """On other texts than those that it was fitted to."""
    source = saved(model(), tmp_path / "source")
    whole = answers(loaded(source), texts(40, seed=77))
    moved = {}
    for refit in (True, False):
        compress("prune-ffn", source, tmp_path / f"{refit}", share=0.25, refit=refit)
        moved[refit] = np.square(answers(loaded(tmp_path / f"{refit}"), texts(40, seed=77)) - whole).mean()
    assert moved[True] < 0.8 * moved[False]


def test_a_share_that_removes_nothing_says_so(tmp_path):
    source = saved(model(), tmp_path / "source")
    facts = compress("prune-heads", source, tmp_path / "out", share=0.0)
    assert not facts["changed"]
    assert np.array_equal(answers(loaded(tmp_path / "out")), answers(loaded(source)))


def test_the_same_again_is_the_same(tmp_path):
    source = saved(model(), tmp_path / "source")
    for name in ("one", "two"):
        compress("prune-heads", source, tmp_path / name, share=0.5)
    assert np.array_equal(answers(loaded(tmp_path / "one")), answers(loaded(tmp_path / "two")))


# ------------------------------------------------------------------------------------------------------ what builds on it


def built(out, head="sequence", **given):
    """Facts of a student that starts from somewhere."""
    out.mkdir()
    spec = REGISTRY.student("transformer")
    params = spec.params(**({"checkpoint": str(given["assets"]["checkpoint"])} if "assets" in given else {}))
    request = {"labels": ("a", "b", "c"), "params": params, "seed": 0, "max_length": 32, "assets": {}, "artifacts": {}}
    return spec.load().build(BuildRequest(out=out, head=head, texts=lambda: iter(()), **{**request, **given}))


def with_tokenizer(folder):
    """As an artifact's folder is."""
    words = {word: at for at, word in enumerate(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"])}
    tokenizer = Tokenizer(WordPiece(words, unk_token="[UNK]"))  # noqa: S106
    tokenizer.save(str(folder / "tokenizer.json"))
    return folder


def test_a_student_is_cut_from_unequal_layers(pruned, tmp_path):
    folder, facts = pruned
    built(tmp_path / "out", artifacts={"layers_of": with_tokenizer(folder / "two")}, keep=(0, 2))
    cut, whole = loaded(tmp_path / "out"), loaded(folder / "two")
    assert [site.groups for site in sites(cut, "ffn")] == [facts["neurons"][0], facts["neurons"][2]]
    assert torch.equal(
        reading(cut, sites(cut, "heads")[1].reader).weight, reading(whole, sites(whole, "heads")[2].reader).weight
    )


def test_a_pruned_folder_is_a_checkpoint_for_another_task(pruned, tmp_path):
    folder, facts = pruned
    said = built(
        tmp_path / "out", "token", labels=("O", "B", "I", "X"), assets={"checkpoint": with_tokenizer(folder / "two")}
    )
    made = loaded(tmp_path / "out", "token")
    assert [site.groups for site in sites(made, "ffn")] == facts["neurons"]
    assert all("layer" not in name for name in said["initialised"])
    for one, two in zip(stack(made)[1].parameters(), stack(loaded(folder / "two"))[1].parameters(), strict=True):
        assert torch.equal(one, two)


def test_an_export_says_that_transformers_alone_cannot_load_it(pruned):
    from harness.exporting.script import _not_stock

    folder, _ = pruned
    assert _not_stock(folder / "source", "transformer") == ""
    assert "pruned" in _not_stock(folder / "two", "transformer")
    with pytest.raises(RuntimeError, match="ignore_mismatched_sizes"):
        auto("sequence").from_pretrained(folder / "two")
