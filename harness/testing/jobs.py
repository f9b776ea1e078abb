"""What is done in a sandbox: build, train, compress, load. Each takes plain JSON and returns plain JSON."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from harness.errors import StageError
from harness.specs import Arrays, BuildRequest, CompressRequest, Params, load_object
from harness.stages.checks import checked_facts


def params_of(described: Any) -> Params:
    """{"class": import string, "values": as written} → params."""
    made: Params = load_object(described["class"])(**described["values"])
    return made


def describe(params: Params) -> dict[str, Any]:
    """The inverse: by name, because a spec is not JSON."""
    kind = type(params)
    values = params.model_dump(mode="json", exclude_unset=True)
    return {"class": f"{kind.__module__}:{kind.__qualname__}", "values": values}


def build(job: dict[str, Any]) -> dict[str, Any]:
    """`Student.build` into the empty folder `out`; its facts, as text where JSON cannot say them."""
    facts = _made(job["student"], "build")(
        BuildRequest(
            out=Path(job["out"]),
            head=job["head"],
            labels=tuple(job["labels"]),
            params=params_of(job["params"]),
            seed=job["seed"],
            max_length=job["max_length"],
            assets={name: Path(path) for name, path in job["assets"].items()},
            artifacts={},
            texts=lambda: _texts(job, "build"),
        )
    )
    return checked(job["student"], facts)


def compress(job: dict[str, Any]) -> dict[str, Any]:
    """`Compressor.compress` of `source` into the empty folder `out`; its facts and how often texts were asked for."""
    source, artifact = Path(job["source"]), job["artifact"]
    params = params_of(job["params"])
    with np.load(job["arrays"], allow_pickle=False) as stored:
        batches, single = unpacked(stored, "batch"), unpacked(stored, "single")
    facts = _made(job["compressor"], "compress")(
        CompressRequest(
            source=source,
            out=Path(job["out"]),
            artifact=artifact,
            params=params,
            seed=0,
            arrays=batches,
            calibration=single if job["calibrates"] else [],
            student=lambda: load_object(job["student"])().load(source, artifact["head"]),
            texts=lambda: _texts(job, "compress"),
        )
    )
    return checked(job["compressor"], facts)


def _made(factory: str, method: str) -> Any:
    """A method of what a factory makes. StageError where there is none."""
    work = load_object(factory)()
    if not callable(found := getattr(work, method, None)):
        msg = f"factory '{factory}' makes a {type(work).__name__}, which has no method `{method}`"
        raise StageError(msg)
    return found


def checked(who: str, facts: Any) -> dict[str, Any]:
    """{"facts"} where records can hold them, {"broken": why} where not."""
    try:
        return {"facts": checked_facts(who, facts)}
    except StageError as error:
        return {"facts": {}, "broken": str(error)}


def _texts(job: dict[str, Any], who: str) -> Iterator[str]:
    if not job["reads_text"]:
        msg = f"{who} reads the training texts without having said so (`reads_text`)"
        raise StageError(msg)
    return iter(job["texts"])


def packed(name: str, batches: list[Arrays]) -> Arrays:
    """Batches as the arrays of one file."""
    return {f"{name}.{n}.{key}": array for n, batch in enumerate(batches) for key, array in batch.items()}


def unpacked(stored: Any, name: str) -> list[Arrays]:
    """The inverse."""
    found: dict[int, Arrays] = {}
    for full in stored.files:
        kind, number, key = full.split(".", 2)
        if kind == name:
            found.setdefault(int(number), {})[key] = stored[full]
    return [found[number] for number in sorted(found)]


# --------------------------------------------------------------------------------------------------------- what learns


def train(job: dict[str, Any]) -> dict[str, Any]:
    """Some steps of Adam with the labels on a loaded student; the weights replace those in `folder`.

    {"losses": before each step, "frozen": parameters without `requires_grad`, "idle": those that never got a gradient}.
    """
    import torch

    from harness.heads import rules
    from harness.stages.batching import collate
    from harness.testing.corpus import ToyTask
    from harness.weights import save_pretrained

    torch.manual_seed(0)
    folder, head = Path(job["folder"]), job["head"]
    model: Any = load_object(job["student"])().load(folder, head)
    encoder = load_object(job["encoder"])(folder)
    task, head_rules = ToyTask(head), rules(head)
    examples = task.examples()
    windows = encoder.encode([task.input(e) for e in examples], head)
    targets = head_rules.targets(windows, [task.target(e, task.labels) for e in examples])
    arrays = {name: torch.from_numpy(array) for name, array in collate(windows, encoder.pad).items()}
    optimizer = torch.optim.Adam((p for p in model.parameters() if p.requires_grad), lr=job["rate"])
    losses: list[float] = []
    idle = {name for name, parameter in model.named_parameters() if parameter.requires_grad}
    for _ in range(job["steps"]):
        model.train(job["dropout"])
        batch = head_rules.batch(model(**arrays), windows, targets, [], torch.from_numpy)
        loss = torch.nn.functional.cross_entropy(batch.logits, batch.targets, ignore_index=-100)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        losses.append(float(loss.detach()))
        idle -= {name for name, p in model.named_parameters() if p.grad is not None and bool(p.grad.any())}
        optimizer.step()
    frozen = [name for name, parameter in model.named_parameters() if not parameter.requires_grad]
    save_pretrained(model.eval(), folder)
    told = [loss if math.isfinite(loss) else str(loss) for loss in losses]
    return {"losses": told, "frozen": frozen, "idle": sorted(idle)}


def threads(job: dict[str, Any]) -> dict[str, Any]:
    """Load an artifact and answer; how many threads of the operating system that started."""
    before = _count()
    runtime, student = load_object(job["runtime"])(), job["student"]
    loaded = None if student is None else load_object(student)()
    session = runtime.load(Path(job["folder"]), job["artifact"], loaded, job["threads"])
    with np.load(job["arrays"], allow_pickle=False) as stored:
        batches = unpacked(stored, "batch")
    for batch in batches:
        session.forward(batch)
    return {"started": _count() - before}


def _count() -> int:
    return len(os.listdir("/proc/self/task"))  # noqa: PTH208 - a count
