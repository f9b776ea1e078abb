"""Plugins that misbehave while a stage runs: each fails its own cell, is named, and leaves nothing behind."""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path

import psutil
import pytest
from conftest import SUITE, Project

# chain → what its reason says; None: it does no harm, and its cell is fine
CASES = {
    "raising": r"ValueError: two lines red <script>!+…$",
    "unspeakable": r"Unspeakable \(toy_harness\.hostile, line \d+, of toy-harness 1\.0; its log has the traceback\)",
    "exiting": r"it called sys\.exit\(\) \(toy_harness\.hostile, line \d+, of toy-harness 1\.0.*raise instead",
    "leaving": r"'toy-harness/toy-hostile' ended its process with code 0 instead of returning",
    "segfaulting": r"'toy-harness/toy-hostile', was killed by SIGSEGV; its last words: Fatal Python error: Segm",
    "hanging": r"stopped after 0\.1 min \(limits\.compress\.minutes = 0\.1\); raise it, as with --set limits\.compress",
    "hoarding": r"stopped at \d+ MiB of memory \(limits\.memory_mib = 400\); raise it.*'toy-harness/toy-hostile'",
    "hoarding_in_a_child": r"stopped at \d+ MiB of memory \(limits\.memory_mib = 400\)",
    "printing": None,
    "flooding": r"'toy-harness/toy-hostile' printed more than 64 MiB and was stopped",
    "child": r"'toy-harness/toy-hostile' left processes running: sleep 600; end them",
    "daemon": r"'toy-harness/toy-hostile' left processes running: sleep 600; end them",
    "fork": None,
    "thread": None,
    "writing_thread": r"the result of 'toy-harness/toy-hostile' is not as it was stored \(out/late\.txt: ",
    "input_changed": r"'toy-harness/toy-hostile' changed 'out/toy\.json' among its inputs, which are read-only",
    "input_changed_and_gone": r"'toy-harness/toy-hostile' changed 'out/toy\.json' among its inputs",
    "input_added": r"'toy-harness/toy-hostile' added 'out/cache\.bin' among its inputs, which are read-only",
    "elsewhere": None,
    "not_a_number": r"returned facts that are not JSON: facts\.parity\.worst\[1\] is nan, expected a finite number",
    "objects": r"returned facts that are not JSON: facts\.model is harness\.specs\.CompressRequest, expected",
    "huge": r"'toy-harness/toy-hostile' returned 5,\d+,\d+ characters of facts, at most 4,194,304 are kept",
    "nothing": r"'toy-harness/toy-hostile' returned nothing, expected facts: a dict",
    "no_files": r"'toy-harness/toy-hostile' wrote nothing into `out`",
    "link": r"'toy-harness/toy-hostile' wrote 'out/weights', which is a link",
    "link_over": r"'toy-harness/toy-hostile' wrote 'out/artifact\.json', which is a link",
    "pipe": r"'toy-harness/toy-hostile' wrote 'out/pipe', which is no regular file",
    "outside": r"'toy-harness/toy-hostile' wrote 'outside\.txt' beside its outputs, 'out'",
    "closing": r"'toy-harness/toy-hostile' closed the channel by which its process answers",
    "forging": r"'toy-harness/toy-hostile' wrote into the harness's own channel",
    "asking": r"EOFError",
}
LIMITS = "[limits]\nmemory_mib = 400\ncompress = { minutes = 0.1 }\n"


def hostile(cases) -> str:
    chains = "".join(f'{case} = [{{ use = "toy-hostile", how = "{case}" }}]\n' for case in cases)
    names = json.dumps(["none", *cases, "round"])
    start, end = SUITE.index("[chains]"), SUITE.index("[measure]")
    matrix = f'[matrix]\nmodel = ["plain"]\ncompress = {names}\n'
    return f'{SUITE[:start]}[chains]\nround = ["toy-round"]\n{chains}{matrix}{LIMITS}{SUITE[end:]}'


class Run:
    """One run of all of them."""

    def __init__(self, project: Project) -> None:
        self.project = project
        project.write(hostile(CASES))
        self.before = set(Path(tempfile.gettempdir()).glob("left-by-a-toy-*"))
        self.done = project.harness("run", "toys.toml", code=1)
        lines = (project.folder / "reports/toys.records.jsonl").read_text().splitlines()
        cells = [line for line in map(json.loads, lines) if line["kind"] == "cell"]
        self.cells = {cell["axes"]["compress"]: cell for cell in cells}


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Run:
    return Run(Project(tmp_path_factory.mktemp("hostile")))


@pytest.mark.parametrize("case", CASES)
def test_it_fails_its_own_cell_with_a_reason_that_names_it(run, case):
    cell = run.cells[case]
    if CASES[case] is None:
        assert (cell["status"], cell["reason"]) == ("ok", "")
        return
    assert cell["status"] == "failed"
    assert cell["reason"].startswith(f"compress plain seed 42 with toy-hostile: ") or "toy-hostile" in cell["reason"]
    assert pytest.approx(0) == 0
    import re

    assert re.search(CASES[case], cell["reason"]), cell["reason"]
