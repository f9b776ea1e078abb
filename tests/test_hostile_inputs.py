"""A bounded selection of `python -m benchmarks.faults hostile`, and that its trials can fail."""

from __future__ import annotations

import pytest

from benchmarks.faults import hostile, hostile_traps
from benchmarks.faults.hostile_traps import Trap, write

SELECTED = 5  # payloads of each group


@pytest.mark.parametrize("group", hostile.GROUPS)
def test_hostile_input_is_refused_or_contained(group):
    found = list(hostile.trials(group, SELECTED))
    assert len(found) == SELECTED
    assert [trial for trial in found if trial.problem] == []


CAUGHT = {
    "its code ran": lambda g: g.canary.mkdir(),
    "told another's file": lambda g: write(g.given, g.secret.read_bytes()),
    "unprintable": lambda g: write(g.given, "\x1b[2J"),
    "a traceback": lambda g: write(g.given, "raise ValueError"),
    "reached for": lambda g: write(g.given, "connect"),
    "pickle.find_class": lambda g: write(g.given, "pickle"),
    "SIGSEGV": lambda g: write(g.given, "die"),
    "MiB": lambda g: write(g.given, "grow"),
    "does not name": lambda g: write(g.given, "refuse"),
    "was taken": lambda g: write(g.given, "nothing"),
}


@pytest.mark.parametrize("wrong", CAUGHT)
def test_what_goes_wrong_at_a_door_is_seen(wrong, tmp_path):
    found = hostile_traps.spring(Trap("doors", wrong, "planted", CAUGHT[wrong]), tmp_path / "trap")
    assert any(wrong in what for what in found.wrong), found
