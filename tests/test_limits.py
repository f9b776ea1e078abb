"""`[limits]`: what is read of it, and that no key knows of it."""

from __future__ import annotations

import suite_helpers as helpers

SUITE = helpers.HEAD + helpers.MODELS


def limits(text: str = "", *overrides: str):
    return helpers.parse(SUITE + text, *overrides).limits


def test_a_kind_of_stage_has_its_own_figure_else_that_of_all():
    found = limits("[limits]\nminutes = 60\nmemory_mib = 8000\ntrain = { minutes = 600 }\n")
    assert (found.of("train", "minutes").value, found.of("train", "minutes").key) == (600, "limits.train.minutes")
    assert (found.of("train", "memory_mib").value, found.of("train", "memory_mib").key) == (8000, "limits.memory_mib")
    assert found.of("compress", "minutes").key == "limits.minutes"


def test_nothing_is_limited_unless_it_is_said():
    assert limits().of("train", "minutes") is None
    assert limits("[limits]\ntrain = { minutes = 1 }\n").of("build", "minutes") is None


def test_the_command_line_raises_a_limit():
    assert limits("[limits]\nminutes = 1\n", "limits.train.minutes=600").of("train", "minutes").value == 600


def test_wrong_limits_are_named_with_what_is_allowed():
    (line,) = helpers.problems(SUITE + "[limits]\nminutes = 0\n")
    assert "limits.minutes: expected a value greater than 0, got 0" in line
    (line,) = helpers.problems(SUITE + "[limits]\ntrian = { minutes = 5 }\n")
    assert "limits.trian: unknown key. Did you mean 'train'?" in line
