"""The stages, one file each, in the order in which data flows; `execute` runs one of them from its JSON."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness.assets import fingerprint
from harness.data import read_examples
from harness.errors import AssetError, StageError
from harness.keys import Stage
from harness.plugins import Registry
from harness.specs import Facts, Task
from harness.stages.checks import check_recorded, checked_facts
from harness.store import Entry, Store


@dataclass(frozen=True)
class Work:
    """What a stage gets to do its work: its inputs as folders, and a private folder to write into."""

    stage: Stage
    inputs: Mapping[str, Path]
    out: Path
    scratch: Path  # survives a kill; for resuming in the middle
    registry: Registry
    threads: int
    progress: Callable[[int, int, str], None] = field(default=lambda done, total, note: None)
    shards: tuple[Entry, ...] = ()  # what the stage is to be merged from, in their order

    @property
    def options(self) -> Mapping[str, Any]:
        """The stage's options."""
        return self.stage.options

    def task(self) -> Task:
        """The task with the params of this stage."""
        return self.registry.open_task(self.options["task"])

    def output(self, name: str = "out") -> Path:
        """The folder of a named output, made."""
        folder = self.out / name
        folder.mkdir(parents=True, exist_ok=True)
        return folder


def check_unchanged(work: Work, name: str, asset: Mapping[str, Any]) -> None:
    """StageError when files that were read are no longer those that the key speaks of."""
    if fingerprint(Path(asset["root"]), asset["files"]) != work.stage.data[name]:
        msg = f"{asset['origin']}: its files changed between the plan and the end of this stage; run again"
        raise StageError(msg)


def asset_path(asset: Mapping[str, Any]) -> Path:
    """Where an asset of the plan lies. AssetError when it has gone."""
    found = Path(asset["path"])
    if not found.exists():
        msg = f"'{found}' was there when the plan was made and is gone now"
        raise AssetError(msg)
    return found


def teacher_inputs(work: Work) -> list[str]:
    """Names of the inputs that hold teachers' answers, in the suite's order: the eleventh after the tenth."""
    return [f"teacher.{n}" for n in range(sum(name.startswith("teacher.") for name in work.inputs))]


def training_texts(work: Work) -> Iterator[str]:
    """Every text of the data that the stage was given. StageError when it was given none."""
    if "data" not in work.inputs:
        msg = "the training texts are read without having said so (`reads_text`)"
        raise StageError(msg)
    task = work.task()
    words = work.registry.task(work.options["task"]["use"]).head in ("token", "nested-token")
    for example in read_examples(work.inputs["data"]):
        found = task.input(example)
        yield from [" ".join(found)] if words else _strings(found)


def _strings(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _strings(item)


def execute(work: Work) -> Facts:
    """Run the stage; its files are under `work.out` afterwards, its facts are returned."""
    module = importlib.import_module(f"harness.stages.{work.stage.kind}")
    facts = checked_facts(work.stage.component, module.run(work))
    check_recorded(work.stage, facts)
    return facts


def work_for(
    stage: Stage,
    store: Store,
    out: Path,
    registry: Registry,
    threads: int,
    progress: Callable[[int, int, str], None] | None = None,
) -> Work:
    """Resolve a stage's inputs in the store. StageError for a shard that has gone."""
    inputs = {name: store.path(ref) for name, ref in stage.inputs.items()}
    shards = tuple(_shard(store, key) for key in stage.options.get("shards", ()))
    scratch = store.scratch / stage.key
    return Work(stage, inputs, out, scratch, registry, threads, progress or (lambda done, total, note: None), shards)


def _shard(store: Store, key: str) -> Entry:
    found = store.entry(key)
    if found is None:
        msg = f"its shard {key[:12]} is no longer in the store: run again"
        raise StageError(msg)
    return found
