"""Recomputing what is stored: a sample of the examples of a predict entry, answered anew and compared.

The store alone says all that is needed: a predict entry names its artifact and its data, the data names its task, and
each of them the versions that it was made with. What another version would compute is no evidence and is not computed.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from harness.data import read_examples, read_json, read_predictions, read_states
from harness.errors import HarnessError, SuiteError, worded
from harness.inference import load_answerer
from harness.keys import CORE, Ref, differences
from harness.plugins import Registry
from harness.specs import Example
from harness.stages.predict import BATCH
from harness.store import KEY, Entry, Store

TOLERANCE = 1e-4  # batch mates differ, and with them the padding that fp32 sums run over
STATES = 1e-3  # of hidden states, as a share of the largest: they are stored in half precision, which costs 0.0005
_COMPONENTS = {"predict": "runtime", "build": "student", "prepare": "task"}  # stage kind → who computes it

Status = Literal["ok", "DIFFERS", "FAILED", "not checked"]


@dataclass(frozen=True, kw_only=True)
class Here:
    """What a recomputation runs on."""

    store: Store
    registry: Registry
    machine: Mapping[str, Any]  # facets, as of a plan's context
    library_version: Callable[[str], str]
    damaged: frozenset[str] = frozenset()  # keys of entries whose files are not what their manifests say


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What became of one entry."""

    status: Status
    checked: int = 0  # examples
    examples: int = 0  # that the entry is about
    difference: float = 0.0  # the largest of outputs; inf where the shapes differ or a figure is no number
    reason: str = ""  # of everything that is not ok


@dataclass(frozen=True)
class _Lineage:
    """The entries that say how a predict entry is computed."""

    entry: Entry
    artifact: Entry
    build: Entry
    data: Entry

    def __iter__(self) -> Iterator[Entry]:
        return iter((self.entry, self.artifact, self.build, self.data))


@dataclass(frozen=True, kw_only=True)
class Amount:
    """How many examples of an entry are drawn: a share of them, at least one, or a number."""

    share: float | None = None  # in (0, 1]
    count: int = 1

    def of(self, examples: int) -> int:
        """Never more than there are."""
        wanted = self.count if self.share is None else max(1, round(self.share * examples))
        return min(wanted, examples)


def read_amount(text: str) -> Amount:
    """`1%` or `20`. SuiteError for anything else."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)(%?)", text)
    number = float(found[1]) if found else 0.0
    if found and found[2] and 0 < number <= 100:
        return Amount(share=number / 100)
    if found and not found[2] and number >= 1 and number == int(number):
        return Amount(count=int(number))
    msg = f"--recompute {text!r}: expected a share of each entry's examples (1%, at most 100%) or their number (20)"
    raise SuiteError(msg)


def predictions(store: Store) -> list[Entry]:
    """Every predict entry, by what it is about; shards are checked with what they were merged into."""
    found = [entry for entry in store.entries() if entry.manifest["kind"] == "predict" and not entry.is_shard]
    return sorted(found, key=lambda entry: (str(entry.manifest["label"]), entry.key))


def recompute(
    entry: Entry, here: Here, amount: Amount, seed: int, progress: Callable[[int, int], None] | None = None
) -> Verdict:
    """Answer a sample of the entry's examples with the stored artifact and compare with what is stored.

    Compared are outputs, and hidden states where a distiller asked for them.
    """
    try:
        lineage = _lineage(entry, here)
        problem = _outdated(lineage, here)
    except HarnessError as error:
        problem = str(error)
    except (LookupError, TypeError, AttributeError, ValueError, OSError) as error:
        problem = f"what it was made of cannot be read: {worded(error)}"
    if problem:
        return Verdict(status="not checked", reason=problem)
    try:
        return _compared(lineage, here, amount, seed, progress)
    except Exception as error:  # plugins may raise anything, and other entries wait
        return Verdict(status="FAILED", reason=str(error) if isinstance(error, HarnessError) else repr(error))


# ------------------------------------------------------------------------------------------------- what it was made of


def _lineage(entry: Entry, here: Here) -> _Lineage:
    inputs = _identity(entry)["inputs"]
    artifact = build = _sound(inputs["artifact"][0], "artifact", here)
    seen = set[str]()
    while build.manifest["kind"] != "build":
        if build.key in seen:
            msg = f"its model {build.key[:12]} says that it was made of itself"
            raise HarnessError(msg)
        seen.add(build.key)
        source = "source" if build.manifest["kind"] == "compress" else "start"
        build = _sound(_identity(build)["inputs"][source][0], "model", here)
    return _Lineage(entry, artifact, build, _sound(inputs["data"][0], "data", here))


def _sound(key: str, what: str, here: Here) -> Entry:
    found = here.store.entry(key)
    if found is None or key in here.damaged:
        msg = f"its {what} {key[:12]} is {'damaged' if found else 'no longer in the store'}"
        raise HarnessError(msg)
    return found


def _identity(entry: Entry) -> dict[str, Any]:
    found: dict[str, Any] = read_json(entry.folder / KEY)
    return found


def _outdated(lineage: _Lineage, here: Here) -> str:
    """What differs between then and now; empty where nothing does."""
    lines: dict[str, None] = {}
    for entry in lineage:
        identity, kind = _identity(entry), str(entry.manifest["kind"])
        if kind not in _COMPONENTS:
            continue
        spec = here.registry.get(_COMPONENTS[kind], identity["component"])
        now = {
            "version": spec.version,
            "core": CORE.get(kind),
            "libraries": {name: here.library_version(name) for name in identity["libraries"]},
            "facets": {name: here.machine.get(name) for name in identity["facets"]},
        }
        then = {name: identity.get(name) for name in now}
        lines |= dict.fromkeys(f"{spec.name} {line}" if "version" in line else line for line in differences(then, now))
    return f"made with others than are here: {', '.join(lines)}" if lines else ""


# ------------------------------------------------------------------------------------------------------------ comparing


def _compared(
    lineage: _Lineage, here: Here, amount: Amount, seed: int, progress: Callable[[int, int], None] | None
) -> Verdict:
    identity, about = _identity(lineage.entry), _identity(lineage.data)
    artifact, data = (here.store.path(Ref(*identity["inputs"][name])) for name in ("artifact", "data"))
    params = {name: value for name, value in about["params"].items() if name != "roles"}
    task = here.registry.open_task({"use": about["component"], "params": params})
    answerer = load_answerer(artifact, task, here.registry, int(lineage.entry.facts["threads"]))
    examples = read_examples(data)
    out = lineage.entry.folder / "out"
    stored = read_predictions(out, examples)
    rows = _drawn(len(examples), amount.of(len(examples)), seed, lineage.entry.key)
    drawn = [examples[row] for row in rows]
    windows, asked = answerer.encode(drawn), identity["params"]
    said, states = answerer.look(windows, int(asked.get("batch", BATCH)), asked.get("states", ()), progress)
    found = _differences(stored.per_example(), rows, answerer.rules.join(windows, said, len(drawn)))
    reasons = [_differing(found, TOLERANCE, drawn)]
    for layer, seen in states.items():
        kept = [np.atleast_2d(one) for one in read_states(stored, out, layer).per_example()]
        fresh = [np.atleast_2d(one) for one in answerer.rules.join(windows, seen, len(drawn))]
        off = _differences(kept, rows, fresh) / _largest(fresh)
        which = f"hidden states of layer {layer}, by up to {off.max():.2g} of the largest: "
        reasons.append(_differing(off, STATES, drawn, which))
    reason = "; ".join(filter(None, reasons))
    return Verdict(
        status="DIFFERS" if reason else "ok",
        checked=len(rows),
        examples=len(examples),
        difference=float(found.max()),
        reason=reason,
    )


def _drawn(examples: int, count: int, seed: int, key: str) -> list[int]:
    """Positions of a sample, ascending: another one for each entry and seed."""
    rng = np.random.default_rng([seed, int(key[:16], 16)])
    return sorted(rng.choice(examples, count, replace=False).tolist())


def _differing(found: np.ndarray, allowed: float, drawn: Sequence[Example], what: str = "") -> str:
    """How many examples differ by more than is allowed, and where most; empty where none does."""
    beyond = int((found > allowed).sum())
    return f"{what}{beyond} of them, most at {drawn[int(found.argmax())]['id']!r}" if beyond else ""


def _differences(stored: Sequence[Any], rows: Sequence[int], fresh: Sequence[Any]) -> np.ndarray:
    """Of each drawn example, [rows]; inf where there is no number to compare."""
    return np.array([_difference(stored[row], new) for row, new in zip(rows, fresh, strict=True)])


def _difference(stored: Any, fresh: Any) -> float:
    """The largest between two outputs about one example, places in the text included."""
    pairs = list(zip(_arrays(stored), _arrays(fresh), strict=True))
    if any(a.shape != b.shape for a, b in pairs):
        return np.inf
    most = np.max([np.abs(np.asarray(a, dtype=np.float64) - b).max(initial=0.0) for a, b in pairs])
    return float(most) if np.isfinite(most) else np.inf


def _largest(states: Sequence[np.ndarray]) -> float:
    """Of all states; what is smaller than half precision can tell from 0 counts as that."""
    tiny = float(np.finfo(np.float16).smallest_subnormal)
    return max(tiny, *(float(np.abs(one).max(initial=0.0)) for one in states))


def _arrays(said: Any) -> Sequence[np.ndarray]:
    """An output is an array, or a value made of arrays."""
    return [said] if isinstance(said, np.ndarray) else [getattr(said, f.name) for f in dataclasses.fields(said)]
