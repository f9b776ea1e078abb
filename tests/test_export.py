"""`harness export` of real formats: the folder's own script answers as `harness predict` does, without what it needs not."""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import Project
from huggingface_hub import ModelCard

SUITE = """
schema = 1
[suite]
name = "shipped"
title = "Untrained models in every format"
anchor = { model = "bert", compress = "none" }
[task]
use = "sentiment"
source = "bundled:harness_sentiment/data/quickstart"
limit = { train = 1500, dev = 200, test = 60 }
max_length = 24
[models.bert]
use = "transformer"
hidden_size = 16
layers = 1
heads = 2
vocab_size = 300
train = { distil = "finetune", max_steps = 20, learning_rate = 1e-2 }
[models.lstm]
use = "lstm"
hidden_size = 8
embedding_size = 8
vocab_size = 300
train = { distil = "kd", teacher = "ngram", max_steps = 20, learning_rate = 1e-2 }
[models.ngram]
use = "ngram"
rows = 2048
width = 8
train = { distil = "finetune", epochs = 5, learning_rate = 3e-2 }
[chains]
int8 = ["torch-int8"]
onnx = ["onnx"]
onnx-int8 = ["onnx", "onnx-int8"]
[matrix]
model = ["bert"]
compress = ["none", "int8", "onnx-int8"]
[[matrix.include]]
model = "lstm"
[[matrix.include]]
model = "lstm"
compress = "onnx"
[[matrix.include]]
model = "ngram"
compress = "onnx"
[measure]
speed = false
"""
NER = """
schema = 1
[suite]
name = "tagged"
title = "Words"
anchor = { model = "lstm", compress = "none" }
[task]
use = "conll2003"
source = "bundled:harness_ner/data/sample"
limit = { train = 60, dev = 20, test = 20 }
[models.lstm]
use = "lstm"
hidden_size = 8
embedding_size = 8
vocab_size = 300
[chains]
onnx = ["onnx"]
[matrix]
model = ["lstm"]
compress = ["none", "onnx"]
[measure]
speed = false
"""
TEXTS = ("Отличное платье, село идеально", "Ужас!", "\u2028 так себе | <b>", "слово " * 60)
LIGHT = ("torch", "transformers", "harness", "harness_onnx", "onnx", "pydantic")
# A subprocess in which the named packages cannot be imported.
WITHOUT = """
import runpy, sys
class Refused:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {refused}:
            raise ImportError(name + " was not to be needed")
sys.meta_path.insert(0, Refused())
sys.argv = ["answer.py", *{texts!r}]
runpy.run_path("answer.py", run_name="__main__")
"""


@pytest.fixture(scope="module")
def shipped(tmp_path_factory):
    made = Project(tmp_path_factory.mktemp("export"))
    made.write(SUITE, "shipped.toml")
    made.harness("run", "shipped.toml")
    return made


def called(project, *words):
    """A command in this process, which has imported torch already; what it printed."""
    from harness.cli import main_inner

    out = io.StringIO()
    with contextlib.chdir(project.folder), contextlib.redirect_stdout(out), contextlib.redirect_stderr(io.StringIO()):
        assert main_inner(list(words)) == 0
    return out.getvalue()


def exported(project, cell, *words, suite="shipped.toml"):
    return project.folder / called(project, "export", cell, "--suite", suite, "--force", *words).strip()


def answers(folder, texts=TEXTS, without=()):
    code = WITHOUT.format(refused=set(without) or "()", texts=list(texts))
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=folder, env={**kept, "HF_HUB_OFFLINE": "1"}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.split("\n")[:-1]]


def predicted(project, cell, texts=TEXTS, suite="shipped.toml"):
    words = [word for text in texts for word in ("--text", text)]
    said = called(project, "predict", suite, "--only", cell, "--json", *words)
    return [json.loads(line) for line in said.split("\n")[:-1]]


def rounded(value):
    if isinstance(value, dict):
        return {name: rounded(entry) for name, entry in value.items()}
    if isinstance(value, list):
        return [rounded(entry) for entry in value]
    return round(value, 3) if isinstance(value, float) else value


@pytest.mark.parametrize(
    ("cell", "without"),
    [
        ("model=bert,compress=onnx-int8", LIGHT),
        ("model=lstm,compress=onnx", LIGHT),
        ("model=bert,compress=none", ("harness", "harness_transformers")),
        ("model=bert,compress=int8", ()),
        ("model=lstm,compress=none", ()),
        ("model=ngram,compress=onnx", ("torch", "transformers")),
    ],
)
def test_the_script_answers_as_predict_does(shipped, cell, without):
    folder = exported(shipped, cell)
    moved = shipped.folder / "elsewhere"  # nothing in it may point back
    shutil.rmtree(moved, ignore_errors=True)
    shutil.copytree(folder, moved)
    said, expected = answers(moved, without=without), predicted(shipped, cell)
    assert rounded(said) == rounded(expected)
    assert len({answer["label"] for answer in said}) >= 1
    needs_harness = "harness" not in without
    assert ("It needs the harness's code" in (folder / "README.md").read_text()) == needs_harness


def test_words_and_their_windows_are_read_by_the_harness(shipped):
    shipped.write(NER, "tagged.toml")
    shipped.harness("run", "tagged.toml")
    cell = "model=lstm,compress=onnx"
    folder = exported(shipped, cell, suite="tagged.toml")
    texts = ["EU rejects German call .", "Peter Blackburn " * 40]
    assert rounded(answers(folder, texts, without=("torch",))) == rounded(
        predicted(shipped, cell, texts, "tagged.toml")
    )
    assert ModelCard.load(folder / "README.md").data.pipeline_tag == "token-classification"


def test_a_task_that_prepares_texts_is_answered_by_the_harness(shipped):
    words = ("--set", "task.stop_words=remove")
    cell = "model=bert,compress=none"
    shipped.harness("run", "shipped.toml", *words, "--only", cell, "--reports", "others")
    folder = exported(shipped, cell, *words, "--out", "prepared")
    assert "the task prepares texts before the model reads them" in (folder / "README.md").read_text()
    assert json.loads((folder / "answer.json").read_text())["task"]["params"]["stop_words"] == "remove"
    same = answers(folder, ["Это платье", "платье"])
    assert same[0]["scores"] == same[1]["scores"]


def test_the_card_is_the_hubs_and_holds_the_artifacts_own_scores(shipped):
    folder = exported(shipped, "model=lstm,compress=onnx", "--license", "mit", "--language", "ru")
    data = ModelCard.load(folder / "README.md").data
    assert (data.license, data.language, data.library_name) == ("mit", ["ru"], "onnx")
    assert data.pipeline_tag == "text-classification"
    assert {"onnx", "distillation", "lstm"} <= set(data.tags)
    record = [json.loads(line) for line in (shipped.folder / "reports/shipped.records.jsonl").read_text().splitlines()]
    scored = next(c for c in record if c.get("cell", "").startswith("model=lstm,compress=onnx,"))["quality"]["metrics"]
    found = {result.metric_name: result for result in data.eval_results}
    assert {name: result.metric_value for name, result in found.items()} == pytest.approx(scored, abs=1e-6)
    accuracy = found["accuracy"]
    assert accuracy.metric_type == "accuracy"
    assert accuracy.metric_args["low"] <= accuracy.metric_value <= accuracy.metric_args["high"]
    assert (accuracy.dataset_split, accuracy.dataset_args["examples"]) == ("test", 60)
    assert found["macro_f1"].metric_type == "f1"


def test_the_card_says_what_it_is_not(shipped):
    text = (exported(shipped, "model=bert,compress=onnx-int8") / "README.md").read_text()
    assert "depend on the CPU's instructions" in text
    assert "depend on batch mates" in text
    assert "It reads 24 tokens at once" in text
    assert re.search(r"[1-9]\d* test examples were cut", text)
    assert "Its vocabulary was learned from the training texts" in text
    assert "**License: to be chosen by the author**" in text
    assert "**Language: to be named by the author**" in text
    plain = (exported(shipped, "model=bert,compress=none") / "README.md").read_text()
    assert "CPU's instructions" not in plain
    assert "batch mates" not in plain


def test_nothing_of_this_machine_stands_in_any_file(shipped):
    for cell in ("model=bert,compress=none", "model=lstm,compress=onnx"):
        folder = exported(shipped, cell)
        for path in folder.iterdir():
            content = path.read_bytes()
            for place in (str(shipped.folder), f"{Path.home()}/", str(Path.cwd()), sys.prefix):
                assert place.encode() not in content, (path.name, place)


def test_transformers_loads_the_folder_by_itself(shipped):
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(exported(shipped, "model=bert,compress=none"))
    assert tokenizer.model_max_length == 24
    assert tokenizer.convert_tokens_to_ids("[PAD]") == tokenizer.pad_token_id
    assert len(tokenizer("слово " * 60, truncation=True)["input_ids"]) == 24
