"""What a person sees of a run: third parties' words never steer the terminal, and no stage counts twice."""

from __future__ import annotations

import pytest

from harness.cli.display import Live, Plain
from harness.executors import Event
from harness.keys import Stage
from harness.plan import Plan
from harness.runner import Outcome

STAGE = Stage(kind="build", component="t/x", version=1, params={}, label="build a")
PLAN = Plan(suite=None, cells=(), stages={STAGE.key: STAGE, "other": STAGE})
HOSTILE = "\x1b[2Jloss \x1b]0;owned\x07\u202e1"


@pytest.mark.parametrize("kind", [Plain, Live])
def test_what_a_plugin_says_of_its_progress_does_not_steer_the_terminal(kind, capsys):
    with kind(PLAN, "stages") if kind is Live else kind(PLAN) as display:
        display.last = -1e9  # nothing was said for long
        display("started", STAGE, Event(kind="started", key=STAGE.key))
        display("progress", STAGE, Event(kind="progress", key=STAGE.key, done=1, total=2, note=HOSTILE))
        shown = [task.description for task in display.progress.tasks] if kind is Live else [capsys.readouterr().err]
        display("finished", STAGE, Outcome(status="failed", reason=HOSTILE))
    said = "".join([*shown, *(capsys.readouterr().err if kind is Plain else "")])
    assert "loss" in said
    assert all(sign.isprintable() or sign == "\n" for sign in said)


def test_a_stage_that_ends_once_more_counts_once(capsys):
    live = Live(PLAN, "stages")
    plain = Plain(PLAN)
    for status in ("ok", "cached", "ok"):
        live("finished", STAGE, Outcome(status=status))
        plain("finished", STAGE, Outcome(status=status))
    assert [task.completed for task in live.progress.tasks] == [1]
    assert "[2/2]" not in capsys.readouterr().err
