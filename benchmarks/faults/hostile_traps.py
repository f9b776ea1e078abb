"""What a stranger hands over, the door that it comes in by, and what may become of it."""

from __future__ import annotations

import shutil
import unicodedata
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.faults.hostile_doors import IMPORTS
from harness.testing.model import Broken
from harness.testing.sandbox import Outcome, sandbox

SECONDS, MIB = 20.0, 512  # that a payload may take beyond what the process holds anyway; address space: four times that
SECRET = "the-secret-of-another-file"
WRITTEN = ("built", "encoder", "board")  # where doors leave what they make, and reports of the record x
REFUSED, TAKEN, DIED = "refused", "taken", "died"
EITHER = (REFUSED, TAKEN)
NATIVE = (REFUSED, TAKEN, DIED)  # native code reads it: its process may die, which is its stage's failure alone


@dataclass(frozen=True)
class Ground:
    """Where a payload is planted: `given` is handed over, everything else around it is not its business."""

    folder: Path

    @property
    def given(self) -> Path:
        return self.folder / "in" / "given"

    @property
    def outside(self) -> Path:
        return self.folder / "outside"

    @property
    def canary(self) -> Path:
        """Made only if a payload's code runs, or a path of its leads out."""
        return self.outside / "canary"

    @property
    def secret(self) -> Path:
        return self.outside / "secret"


@dataclass(frozen=True)
class Trap:
    """A payload. `plant` makes it at `given`, or returns another path beside it to hand over."""

    group: str
    name: str
    door: str
    plant: Callable[[Ground], object]
    may: tuple[str, ...] = (REFUSED,)
    names: tuple[str, ...] = ()  # what a refusal may name instead of the path that was handed over


@dataclass(frozen=True)
class Verdict:
    """What became of a payload, and what is wrong with that."""

    trap: Trap
    outcome: str  # refused, taken, died
    said: str
    seconds: float = 0.0
    mib: float = 0.0
    wrong: tuple[str, ...] = field(default=())


def spring(trap: Trap, folder: Path) -> Verdict:
    """Plant it in a new folder, open its door, look around."""
    ground = Ground(folder)
    ground.given.parent.mkdir(parents=True)
    ground.outside.mkdir()
    ground.secret.write_text(SECRET, encoding="utf-8")
    planted = trap.plant(ground)
    given = planted if isinstance(planted, Path) else ground.given
    before, said = _around(ground), folder / "said.txt"
    job = {
        "door": trap.door, "given": str(given), "said": str(said), "seconds": SECONDS, "mib": 4 * MIB,
        "imports": IMPORTS,
    }  # fmt: skip
    try:
        outcome: Outcome | None = sandbox().run("benchmarks.faults.hostile_doors:door_open", job)
    except Broken as death:
        outcome, died = None, str(death)
    text = said.read_text(encoding="utf-8", errors="surrogateescape") if said.exists() else ""
    wrong = list(_traces(ground, before, text))
    if outcome is None:
        wrong += [died] if DIED not in trap.may else []
        return Verdict(trap, DIED, died, wrong=tuple(wrong))
    found = outcome.value
    kind = TAKEN if found["code"] == 0 else REFUSED
    wrong += [f"ran: {what}" for what in found["ran"]]
    wrong += [f"reached for {address}" for address in outcome.trace.network]
    wrong += [f"left running: {process}" for process in outcome.trace.processes]
    wrong += [f"wrote {path}" for path in outcome.trace.written if path.startswith(str(ground.outside))]
    wrong += [f"{found['seconds']:.0f} s"] if found["seconds"] > SECONDS else []
    wrong += [f"{found['mib']:.0f} MiB"] if found["mib"] > MIB else []
    wrong += list(_refusal(trap, given, found["code"], text)) if kind == REFUSED else []
    wrong += [f"was {kind}: exit {found['code']}"] if kind not in trap.may else []
    return Verdict(trap, kind, text, found["seconds"], found["mib"], tuple(wrong))


def _around(ground: Ground) -> set[str]:
    """All that lies beside what was handed over, and what nobody asked to be written there."""
    beside = (path for path in ground.given.parent.iterdir() if path.name not in WRITTEN and path.name[:2] != "x.")
    return {str(path) for path in (*ground.outside.rglob("*"), *beside)}


def _traces(ground: Ground, before: set[str], text: str) -> Iterator[str]:
    if ground.canary.exists():
        yield "its code ran: the canary is there"
    if strangers := _around(ground) ^ before:
        yield f"changed what is none of its business: {sorted(strangers)[:3]}"
    if ground.secret.read_text(encoding="utf-8") != SECRET:
        yield "changed another's file"
    if SECRET in text:
        yield "told another's file"
    if steering := {sign for sign in text if sign != "\n" and unicodedata.category(sign) in ("Cc", "Cf", "Cs")}:
        yield f"unprintable: {sorted(steering)}"


def _refusal(trap: Trap, given: Path, code: int, text: str) -> Iterator[str]:
    if "Traceback (most recent" in text:
        yield "a traceback instead of a sentence: " + text.strip().splitlines()[-1][:200]
    elif code not in (1, 2, 5):
        yield f"exit code {code}"
    beside = f"../{given.name}/"  # from a folder beside it
    if not any(name in text for name in (str(given), beside, *trap.names)):
        yield f"does not name {given}: {text[:200]!r}"


def write(path: Path, content: str | bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode("utf-8", "surrogatepass"))


def shut(traps: Iterable[Trap], root: Path) -> Iterator[Verdict]:
    """One after the other, each in a folder of its own, which is removed."""
    for number, trap in enumerate(traps):
        folder = root / str(number)
        yield spring(trap, folder)
        folder.chmod(0o700)
        shutil.rmtree(folder, ignore_errors=True)
