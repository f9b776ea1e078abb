"""A predict stage in shards gives what it gives at once, byte for byte, for every head; and a wrong merge is seen."""

from __future__ import annotations

from dataclasses import dataclass, replace

import pytest

from harness.assets import Places
from harness.data import read_examples, read_json, write_examples
from harness.executors.running import run_stage
from harness.inference import Answerer
from harness.keys import Ref, Stage
from harness.plan import Context, Plan
from harness.planner import make_plan
from harness.plugins import Registry, load_registry
from harness.sharding import with_shards
from harness.stages import shards as merging
from harness.store import Store
from harness.suite import parse_suite

SUITE = """
schema = 1
[suite]
name = "sharded"
anchor = {{ model = "small", compress = "none" }}
[task]
use = "{task}"
source = "bundled:harness_{source}"
max_length = {length}
{more}
[models.small]
use = "transformer"
hidden_size = 16
layers = 1
heads = 2
vocab_size = 300
train = {{ distil = "finetune" }}
[matrix]
seed = [1]
[measure]
speed = false
"""
HEADS = {
    "sequence": ("sentiment", "sentiment/data/quickstart", 32, "", (0, 1)),
    "token": ("ner", "ner/data/sample", 12, "", (-1,)),
    "nested-token": ("nested-ner", "ner/data/nested", 16, "", ()),
    "span": ("qa", "qa/data/sample", 24, "doc_stride = 8", ()),
}
EXAMPLES = 40
# Facts about who did it and how long it took; all others are to be the same.
OF_THE_WORK = {"cpu_seconds", "threads", "start_seconds", "shards"}


@dataclass(frozen=True)
class Answered:
    """An untrained model that has answered at once, and the entry's files (size, hash) and facts."""

    head: str
    stage: Stage
    store: Store
    registry: Registry
    files: dict[str, list]
    facts: dict[str, object]

    def entry(self):
        return self.store.entry(self.stage.key)

    def in_shards(self, count: int, stage: Stage | None = None):
        """How the merge ended, made anew."""
        wanted = stage or self.stage
        self.store.discard(wanted.key)
        plan = with_shards(Plan(suite=None, cells=(), stages={wanted.key: wanted}), {wanted.key: count})
        return [run_stage(one, self.store, 1, registry=self.registry) for one in plan.stages.values()][-1]


@pytest.fixture(scope="module", params=HEADS)
def answered(request, tmp_path_factory):
    task, source, length, more, states = HEADS[request.param]
    registry, store = load_registry(), Store(tmp_path_factory.mktemp("store"))
    store.create()
    context = Context(
        registry=registry,
        places=Places(store.root),
        machine={"isa": "", "identity": {}},
        library_version=lambda name: "1",
    )
    suite = parse_suite(SUITE.format(task=task, source=source, length=length, more=more), registry)
    plan = make_plan(suite, context)
    made = {kind: next(s for s in plan.stages.values() if s.kind == kind) for kind in ("prepare", "build", "predict")}
    for stage in (made["prepare"], made["build"]):
        assert run_stage(stage, store, 1, registry=registry).kind == "done"
    inputs = {"artifact": Ref(made["build"].key), "data": few(made["prepare"], store)}
    stage = replace(made["predict"], inputs=inputs, params={"states": list(states)} if states else {})
    done = run_stage(stage, store, 1, registry=registry)
    assert done.kind == "done", done.reason
    entry = store.entry(stage.key)
    return Answered(request.param, stage, store, registry, entry.manifest["files"], entry.facts)


def few(prepared: Stage, store: Store) -> Ref:
    """A few of the test examples, as data of their own."""
    stage = replace(prepared, params={"roles": ["test"]}, label="few")
    with store.stage(stage.key) as out:
        write_examples(out / "test", read_examples(store.path(Ref(prepared.key, "test")))[:EXAMPLES])
        store.publish(stage, out, {}, 0.0, "now")
    return Ref(stage.key, "test")


@pytest.mark.parametrize("count", [2, 3])
def test_shards_say_what_one_stage_says(answered, count):
    done = answered.in_shards(count)
    assert done.kind == "done", done.reason
    entry = answered.entry()
    assert entry.manifest["files"] == answered.files
    assert about_the_data(entry.facts) == about_the_data(answered.facts)
    shards = entry.facts["shards"]
    assert shards["count"] == count
    assert entry.seconds > shards["seconds"] > shards["start_seconds"] > 0


def about_the_data(facts):
    return {name: value for name, value in facts.items() if name not in OF_THE_WORK}


def test_examples_of_several_windows_are_among_them(answered):
    several = answered.facts["windows"] > answered.facts["examples"]
    assert several == (answered.head != "sequence")
    assert ("states" in answered.facts) == (answered.head in ("sequence", "token"))


def test_with_more_shards_than_batches_some_have_nothing_to_do(answered):
    assert answered.in_shards(15).kind == "done"
    shards = [entry for entry in answered.store.entries() if entry.facts.get("shard", [0, 0])[1] == 15]
    assert len(shards) == 15
    assert not all(read_json(entry.folder / "out/windows.json")["windows"] for entry in shards)
    assert answered.entry().manifest["files"] == answered.files


def test_a_merge_in_another_order_would_be_seen(answered, monkeypatch):
    right = merging._in_order
    monkeypatch.setattr(merging, "_in_order", lambda *about: right(*about)[::-1])
    assert answered.in_shards(2).kind == "done"
    assert answered.entry().manifest["files"]["out/logits.npy"] != answered.files["out/logits.npy"]


@pytest.mark.parametrize(
    ("planted", "said"),
    [
        (lambda index: {**index, "windows": [0 for _ in index["windows"]]}, "not each of"),
        (lambda index: {**index, "windows": [n + 1 for n in index["windows"]]}, "not each of"),
        (lambda index: {name: values[:-1] for name, values in index.items()}, "about other examples"),
    ],
    ids=["one window for all", "windows of others", "one less"],
)
def test_shards_that_make_no_whole_are_refused(answered, monkeypatch, planted, said):
    write, read = merging.write_json, merging.read_predictions

    def loosely(folder, windows):
        return read(folder, [{"id": name} for name in read_json(folder / "ids.json")])

    monkeypatch.setattr(merging, "write_json", lambda path, index: write(path, planted(index)))
    if said == "not each of":
        monkeypatch.setattr(merging, "read_predictions", loosely)
    done = answered.in_shards(2, replace(answered.stage, params={**answered.stage.params, "planted": said}))
    assert (done.kind, said in done.reason) == ("failed", True), done


def test_an_encoder_that_changes_its_mind_is_refused(answered, monkeypatch):
    encode, calls = Answerer.encode, []

    def fewer(self, examples):
        calls.append(examples)
        return encode(self, examples)[len(calls) - 1 :]

    monkeypatch.setattr(Answerer, "encode", fewer)
    done = answered.in_shards(2, replace(answered.stage, params={**answered.stage.params, "planted": "encoder"}))
    assert done.kind == "failed"
    assert "its shards did not read the same windows" in done.reason
