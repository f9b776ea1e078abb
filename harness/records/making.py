"""Collecting a run's record from its plan, its outcomes and the store; nothing is computed here."""

from __future__ import annotations

import shlex
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from harness.data import read_examples, read_json, read_meta, read_predictions
from harness.keys import Ref, Stage, digest, written
from harness.plain import plain
from harness.plan import CellPlan, Plan, suite_digest
from harness.plugins import Registry
from harness.records.confidence import recorded_confidence
from harness.records.document import SCHEMA, Json, Records
from harness.records.ensembles import ensemble
from harness.records.samples import PLAIN, packed
from harness.runner import Outcome
from harness.specs import AHEAD
from harness.store import Store
from harness.suite.bind import bind
from harness.suite.types import recoveries

POINTS = 200  # of a training curve


@dataclass(frozen=True, kw_only=True)
class RunFacts:
    """What the runner of a suite knows besides plan and store."""

    mode: str  # "real", "rehearsal" or "random"
    started: str  # ISO 8601, UTC
    seconds: float
    command: str  # how to run the suite again
    machine: Json
    versions: Json


def make_records(
    plan: Plan, store: Store, outcomes: Mapping[str, Outcome], registry: Registry, facts: RunFacts
) -> Records:
    """Collect everything that the reports need; nothing is computed here."""
    cells = [_cell(planned, plan, store, outcomes, facts) for planned in plan.cells]
    if "teachers" in plan.suite.sections:
        for planned, cell in zip(plan.cells, cells, strict=True):
            cell.update(ensemble(planned, plan, store, outcomes))
    measured = {str(cell["measure"]) for cell in cells if cell["measure"]}
    measurements = {
        key: {"schema": SCHEMA, "kind": "measurement", "key": key, **read_json(store.path(Ref(key)) / "measure.json")}
        for key in sorted(measured)
    }
    scored = {
        str(cell["quality"]["examples"]): str(planned.score)
        for planned, cell in zip(plan.cells, cells, strict=True)
        if cell["quality"]
    }
    return Records(_run(plan, store, registry, facts, scored), measurements, cells)


def with_earlier(records: Records, earlier: Records, whole: Plan, store: Store) -> Records:
    """Keep what an earlier run of the suite found about cells that this one did not select.

    Kept are cells whose work is planned as it was then; so the retry of one cell does not cost the report the others.
    The data are those of the whole plan: what was selected may be skipped, and need none.
    """
    now = {str(cell["cell"]): cell for cell in records.cells}
    then = {str(cell["cell"]): cell for cell in earlier.cells}
    cells = []
    for planned in whole.cells:
        known = now.get(planned.cell.id) or then.get(planned.cell.id)
        if known and (planned.cell.id in now or known.get("work") == list(planned.work)):
            cells.append(known)
    run = {
        **records.run,
        "task": {**records.run["task"], "data": _with_items(_data(whole, store), records.run, earlier.run)},
    }
    wanted = {str(cell["measure"]) for cell in cells}
    measurements = {k: m for k, m in {**earlier.measurements, **records.measurements}.items() if k in wanted}
    return Records(run, measurements, cells)


def _with_items(found: Sequence[Json], run: Json, earlier: Json) -> list[Json]:
    """Data with the critical spans that the run listed, or an earlier one where this one scored nothing on them."""
    listed = [data for data in (*earlier["task"]["data"], *run["task"]["data"]) if "items" in data]
    known = {data.get("examples"): {"items": data["items"]} for data in listed}
    return [{**known.get(data.get("examples"), {}), **data} for data in found]


def _run(plan: Plan, store: Store, registry: Registry, facts: RunFacts, scored: Mapping[str, str]) -> Json:
    """`scored`: digest of the examples → the key of a score on them."""
    suite = plan.suite
    task = registry.task(suite.task.use)
    providers = {str(e.provider) for entries in registry.components.values() for e in entries}
    return {
        "schema": SCHEMA,
        "kind": "run",
        "mode": facts.mode,
        "started": facts.started,
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
        "seconds": round(facts.seconds, 1),
        "command": facts.command,
        "commit": commit(Path(__file__).parent),
        "suite": {"name": suite.name, "title": suite.title, "text": suite.text, "set": list(suite.overrides)},
        "digest": suite_digest(suite),
        "task": {
            "name": task.name,
            "params": written(suite.task.params),
            "head": task.head,
            "summary": task.summary,
            "max_length": suite.task.max_length,
            "doc_stride": suite.task.doc_stride,
            "source": suite.task.source,
            "default_source": task.default_source,
            "scoring_version": task.scoring_version,
            "metrics": [asdict(metric) for metric in task.metrics],
            "data": [
                {**data, **_items(scored.get(str(data.get("examples"))), store, task.private_text)}
                for data in _data(plan, store)
            ],
        },
        "anchor": dict(suite.anchor),
        "measure": asdict(suite.measure),
        "select": asdict(suite.select) if suite.select else None,
        "sets": dict(suite.sets),
        "report": {
            "columns": list(suite.columns),
            "figures": list(suite.figures),
            "sections": list(suite.sections),
            "matrix": asdict(suite.grid) if suite.grid else None,
        },
        "published": [dict(row) for row in suite.published],
        "claims": [dict(claim) for claim in suite.claims],
        "machine": facts.machine,
        "versions": facts.versions,
        "plugins": sorted(providers),
        "broken_plugins": dict(registry.broken),
    }


def _data(plan: Plan, store: Store) -> list[Json]:
    prepared = [stage for stage in plan.stages.values() if stage.kind == "prepare" and store.entry(stage.key)]
    found = []
    for stage in prepared:
        meta = read_meta(store.path(Ref(stage.key, "meta")))
        origin = store.entry(stage.key).facts["origin"]  # type: ignore[union-attr]
        about = {"origin": origin, "labels": list(meta.labels), "counts": meta.counts, "facts": meta.facts}
        found.append({**about, **(_tested(store.path(Ref(stage.key, "test"))) if "test" in meta.counts else {})})
    return found


def _tested(folder: Path) -> Json:
    """Which examples were scored; `contents` tells revisions apart whose ids are the same."""
    examples = read_examples(folder)
    ids = [example["id"] for example in examples]
    contents = digest([{name: value for name, value in one.items() if name != AHEAD} for one in examples])
    return {"examples": digest(ids), "contents": contents, "ids": ids}


def _items(score: str | None, store: Store, private: bool) -> Json:
    """The critical spans of the test data, without a word of theirs where the task's texts are private."""
    path = store.path(Ref(score)) / "items.json" if score else None
    if not path or not path.exists():
        return {}
    hidden = ("text", "context") if private else ()
    return {"items": [{k: v for k, v in item.items() if k not in hidden} for item in read_json(path)]}


def _cell(planned: CellPlan, plan: Plan, store: Store, outcomes: Mapping[str, Outcome], facts: RunFacts) -> Json:
    status, reason, failed = _status(planned, plan, outcomes)
    score = planned.score if planned.score and store.entry(planned.score) else None
    measure = planned.measure if planned.measure and store.entry(planned.measure) else None
    _, model = bind(plan.suite, planned.cell)
    recovered = recoveries(plan.suite.chains[str(planned.cell["compress"])])
    steps = (*model.train, *recovered)
    return {
        "schema": SCHEMA,
        "kind": "cell",
        "cell": planned.cell.id,
        "axes": dict(planned.cell.axes),
        "student": model.use,
        "distil": [step.distil for step in steps],
        "teachers": [list(step.teacher) for step in steps],
        "recovered": len(recovered),
        "status": status,
        "reason": reason,
        "failed_stage": failed,
        "retry": f"{facts.command} --only {shlex.quote(planned.cell.id)}",
        "quality": {**_quality(score, store), **_confidence(plan.stages[score], store)} if score else None,
        "dev": _dev(planned.dev, store),
        "artifact": _artifact(planned, store),
        "predict": _facts(planned.predict, store) if planned.predict and store.entry(planned.predict) else None,
        "train": [_train(key, store) for key in planned.train if store.entry(key)],
        "compress": [_facts(key, store) for key in planned.compress if store.entry(key)],
        "measure": measure,
        "subject": planned.subject,
        "unmeasured": _unmeasured(planned, plan, outcomes),
        "stages": {plan.stages[key].kind + f".{n}": key for n, key in enumerate(planned.keys)},
        "work": list(planned.work),
        "ancestors": plan.ancestors(planned.keys),
    }


def _status(planned: CellPlan, plan: Plan, outcomes: Mapping[str, Outcome]) -> tuple[str, str, str]:
    """A cell is failed when a stage of its own failed, not run when something that it needs did.

    What cannot be measured is still ok: its speed alone is missing, with the reason.
    """
    if planned.skipped:
        return "skipped", planned.skipped, ""
    for key in plan.ancestors(planned.work):
        outcome = _outcome(key, outcomes)
        if outcome.status == "failed":
            own = key in planned.keys
            reason = f"{plan.stages[key].label}: {plain(outcome.reason)}"
            return ("failed" if own else "not run"), reason if own else f"because of {reason}", key
        if outcome.status == "not run":
            return "not run", outcome.reason, key
    return "ok", "", ""


def _unmeasured(planned: CellPlan, plan: Plan, outcomes: Mapping[str, Outcome]) -> str:
    """Why the cell has no speed; empty when it has."""
    if plan.suite.measure.speed is None:
        return "speed is not measured in this suite"
    if planned.skipped:
        return planned.skipped
    if planned.measure is None:
        return "the anchor or this row's first seed failed"
    outcome = _outcome(planned.measure, outcomes)
    return "" if outcome.status in ("ok", "cached") else outcome.reason


def _outcome(key: str, outcomes: Mapping[str, Outcome]) -> Outcome:
    return outcomes.get(key, Outcome(status="not run", reason="the run was stopped"))


def _quality(key: str, store: Store) -> Json:
    folder = store.path(Ref(key))
    score = read_json(folder / "score.json")
    samples = np.load(folder / "samples.npy", allow_pickle=False)
    whole = samples.astype(np.int64)
    plain = whole if np.array_equal(whole, samples) else samples
    found = folder / "found.npy"
    return {
        "metrics": score["metrics"],
        "details": score["details"],
        "examples": digest(score["ids"]),  # which ones, by the ids in the run's task.data
        "samples": plain.tolist() if plain.size <= PLAIN else packed(plain),
        **({"found": np.packbits(np.load(found, allow_pickle=False)).tobytes().hex()} if found.exists() else {}),
    }


def _confidence(score: Stage, store: Store) -> Json:
    """How sure the answers were, where they are classes and their logits are still stored."""
    predictions, data = (score.inputs[name] for name in ("predictions", "data"))
    if not store.entry(predictions.key) or not store.entry(data.key):
        return {}
    outputs = read_predictions(store.path(predictions), read_examples(store.path(data)))
    found = recorded_confidence(outputs.values) if outputs.offsets is None else None
    return {} if found is None else {"confidence": found}


def _dev(key: str | None, store: Store) -> Json | None:
    return read_json(store.path(Ref(key)) / "score.json")["metrics"] if key and store.entry(key) else None


def _facts(key: str, store: Store) -> Json:
    entry = store.entry(key)
    assert entry is not None  # noqa: S101 - asked for after a look
    component = str(entry.manifest["component"]).rpartition("/")[2]
    return {**entry.facts, "use": component, "seconds": entry.seconds}


def _train(key: str, store: Store) -> Json:
    curve = store.folder(key) / "log" / "curve.json"
    facts = _facts(key, store)
    seconds = sum(epoch["seconds"] for epoch in facts["epochs"])  # over all processes that worked on it
    thin = _thinned(read_json(curve)["steps"]) if curve.exists() else None
    return {**facts, "seconds": round(seconds, 3), "curve": thin}


def _thinned(curve: Json) -> Json:
    """Means over at most POINTS stretches of steps; the whole curve stays in the store."""
    stretch = max(1, -(-len(curve["loss"]) // POINTS))
    losses = np.asarray(curve["loss"], dtype=np.float64)
    edges = range(0, len(losses), stretch)
    return {"steps_per_point": stretch, "loss": [round(float(losses[a : a + stretch].mean()), 5) for a in edges]}


def _artifact(planned: CellPlan, store: Store) -> Json | None:
    """Sizes of what the cell ships, parameters of what was built."""
    built = store.entry(planned.build) if planned.build else None
    last = store.entry(planned.artifact.key) if planned.artifact else None
    if built is None or last is None:
        return None
    made = [built, *(entry for key in planned.compress if (entry := store.entry(key)))]
    names = ("parameters", "parameters_without_embeddings", "vocab_size")
    counts = {n: next((e.facts[n] for e in reversed(made) if n in e.facts), None) for n in names}
    return {"sizes": last.facts.get("sizes"), **counts}


def commit(folder: Path) -> Json:
    """The git commit of a folder and whether it has uncommitted changes; nulls outside a repository.

    Reports do not count: a run rewrites them, and the next one would seem to be of other code.
    """
    try:
        _git(folder, "ls-files", "--error-unmatch", Path(__file__).name)  # not installed inside somebody's own project
        sha = _git(folder, "rev-parse", "HEAD")
        changed = _git(folder, "status", "--porcelain", "--untracked-files=no", "--", ":(top)", ":(top,exclude)reports")
        return {"sha": sha, "dirty": bool(changed)}
    except (OSError, subprocess.SubprocessError):
        return {"sha": None, "dirty": None}


def _git(folder: Path, *words: str) -> str:
    done = subprocess.run(["git", *words], cwd=folder, capture_output=True, text=True, check=True, timeout=10)  # noqa: S607
    return done.stdout.strip()
