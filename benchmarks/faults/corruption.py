"""A stored file that is no longer what it was: each file of each entry, in every way."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from itertools import zip_longest
from pathlib import Path

from benchmarks.faults import Kind, Trial
from benchmarks.faults.project import Project, calm, project, suite
from harness.store import files_under

TEXT = suite(seconds=0.0)
WAYS = ("flipped", "truncated", "deleted")
ADDED = "added"


def corrupted(count: int) -> Iterator[Trial]:
    """One after another in one store, which each run has made whole again."""
    wanted, _ = calm(TEXT)
    rng = random.Random(0)
    with project(TEXT) as one:
        one.run()
        places = _places([entry.folder for entry in one.store.entries()], rng)
        for way, path in places[:count]:
            damage(path, way, rng)
            inside = path.relative_to(one.store.objects)
            yield Trial(f"{way} {inside}", _healed(one, inside.parts[1]) or one.differs(wanted))


def _places(entries: Sequence[Path], rng: random.Random) -> list[tuple[str, Path]]:
    """Every file with every way to damage it; the ways take turns."""
    files = [path for folder in entries for path in sorted(files_under(folder))]
    added = [folder / inside / "more.json" for folder in entries for inside in ("", "out")]
    turns = [
        [(way, path) for path in rng.sample(paths, len(paths))]
        for way, paths in [*((way, files) for way in WAYS), (ADDED, added)]
    ]
    return [place for turn in zip_longest(*turns) for place in turn if place]


def damage(path: Path, way: str, rng: random.Random) -> None:
    """Change a stored file, or add one."""
    if way == ADDED:
        path.parent.mkdir(exist_ok=True)
        path.write_text("{}")
    elif way == "deleted":
        path.unlink()
    elif way == "truncated":
        content = path.read_bytes()
        path.write_bytes(content[: rng.randrange(len(content))])
    else:
        changed = bytearray(path.read_bytes())
        changed[rng.randrange(len(changed))] ^= 1 << rng.randrange(8)
        path.write_bytes(changed)


def _healed(one: Project, key: str) -> str:
    """Is the damage found, and this entry alone made again?"""
    found = one.command("cache", "verify")
    if found.code != 1 or not found.out.startswith(key[:12]) or len(found.out.splitlines()) != 1:
        return f"cache verify ended with {found.code}: {found.out or found.last}"
    before = one.finished()
    said = one.run()
    if said.code:
        return f"the next run ended with {said.code}: {said.last}"
    now = one.finished()
    if changed := [other for other in now if other != key and now[other] != before.get(other)]:
        return f"{len(changed)} sound stages ran again"
    if now.get(key) == before.get(key):
        return "the damaged stage did not run again"
    return f"torn: {torn[0]}" if (torn := one.torn()) else ""


KINDS = (
    Kind(
        "corruption",
        "One stored file with a flipped bit, cut short, deleted, or added to an entry: `cache verify` names the entry, the "
        "next run makes it again, and it alone, with the same results",
        corrupted,
        1000,
    ),
)
