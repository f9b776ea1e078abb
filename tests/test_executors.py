"""Executors are chosen by name, run stages somewhere, and change no answer."""

from __future__ import annotations

import bdb
import json
import os
import sys
import types
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from pathlib import Path

import pytest
from click.testing import CliRunner

from harness import Event, ExecutorRequest, ExecutorSpec, Params, PluginError, run_stage, stage_from_json
from harness.cli.chosen import choose
from harness.cli.stages import started
from harness.keeping import Need
from harness.keys import Ref, Stage
from harness.limits import Limits
from harness.observing import Audience
from harness.plan import Plan
from harness.plugins import Provider, Registered, Registry, load_registry
from harness.store import Store

COMMON = {"summary": "for tests", "version": 1}


def need(store: Store) -> Need:
    return Need(store, store.root.parent / "toys.records.jsonl")


def ignore(key: str) -> None:
    return None


def stage(label: str, *needs: Stage, exclusive: bool = False) -> Stage:
    inputs = {str(n): Ref(need.key) for n, need in enumerate(needs)}
    return Stage(
        kind="pretended",
        component="t/x",
        version=1,
        params={"l": label},
        inputs=inputs,
        label=label,
        exclusive=exclusive,
    )


@pytest.fixture
def store(tmp_path: Path) -> Store:
    made = Store(tmp_path / "store")
    made.create()
    return made


@pytest.fixture
def ran(monkeypatch):
    """What stages of the kind `pretended` did: (label, threads); tests put in what else they do, by label."""
    found = types.SimpleNamespace(stages=[], doing={})

    def run(work):
        found.stages.append((work.stage.label, work.threads))
        found.doing.get(work.stage.label, lambda work: None)(work)
        (work.output() / "x.txt").write_text(work.stage.label)
        return {}

    monkeypatch.setitem(sys.modules, "harness.stages.pretended", types.SimpleNamespace(run=run))
    return found


class Pool:
    """As a cluster's client would be: stages go out as JSON, and it takes more of them from one moment to the next."""

    def __init__(self, request: ExecutorRequest):
        self.request, self.pool, self.running, self.most = request, ThreadPoolExecutor(4), set(), 0

    @property
    def capacity(self):
        return 1 if not self.most else 2

    def submit(self, stage):
        text = json.dumps(stage.as_json())
        self.running.add(self.pool.submit(self.work, text, str(self.request.store.root)))
        self.most = max(self.most, len(self.running))

    def work(self, text, root):
        return run_stage(
            stage_from_json(json.loads(text)), Store(Path(root)), self.request.threads, registry=Registry()
        )

    def wait(self, timeout):
        done, self.running = wait(self.running, timeout, FIRST_COMPLETED)
        return [future.result() for future in done]

    def close(self):
        self.pool.shutdown()


class Broken:
    def __init__(self, request):
        raise OSError("no such cluster")


def registry(*specs: ExecutorSpec) -> Registry:
    found = [Registered(spec, Provider("t", "1")) for spec in specs]
    known = load_registry().components["executor"]
    return Registry({"executor": (*known, *found)})


POOL = ExecutorSpec(name="pool", factory="test_executors:Pool", **COMMON)
BROKEN = ExecutorSpec(name="broken", factory="test_executors:Broken", **COMMON)


def run(store, stages, name, known=None, audience=None, workers=None):
    known = known or registry(POOL, BROKEN)
    with started(
        known, choose(known, "executor", "--executor", name), need(store), workers, Limits(), ignore
    ) as running:
        plan = Plan(suite=None, cells=(), stages={s.key: s for s in stages})
        outcomes = running.run(plan, "stages", audience or Audience([], "x", {}))
        made = running.executor.executor
        executor = getattr(made, "executor", made)  # another's is guarded
        return {plan.stages[key].label: outcome for key, outcome in outcomes.items()}, executor


def diamond():
    top = stage("top")
    left, right = stage("left", top), stage("right", top)
    return [top, left, right, stage("bottom", left, right)]


@pytest.mark.parametrize("name", ["pool", "inline"])
def test_stages_run_in_order_and_are_stored(store, ran, name):
    outcomes, executor = run(store, diamond(), name)
    assert {label: o.status for label, o in outcomes.items()} == dict.fromkeys(("top", "left", "right", "bottom"), "ok")
    order = [label for label, _ in ran.stages]
    assert (order[0], order[-1], len(order)) == ("top", "bottom", 4)
    assert all(store.verify(one.key) is None for one in diamond())
    if name == "pool":
        assert executor.most == 2  # it had room for one, then for two


def test_inline_gives_a_stage_the_threads_that_a_worker_would_have(store, ran):
    work = stage("top")
    run(store, [work, stage("timing", exclusive=True)], "inline", workers=1)
    whole = dict(ran.stages)["timing"]
    assert dict(ran.stages)["top"] == whole  # one worker has them all
    ran.stages.clear()
    run(Store(store.root / "other"), [work, stage("timing", exclusive=True)], "inline", workers=whole)
    assert dict(ran.stages) == {"top": 1, "timing": whole}


def test_inline_runs_in_this_process_and_leaves_stdout_to_the_data(store, ran, capsys):
    import threading

    ran.doing["top"] = lambda work: (sys.stdout.write("from a plugin"), ran.stages.append(threading.current_thread()))
    run(store, diamond()[:1], "inline")
    assert ran.stages[-1] is threading.main_thread()
    said = capsys.readouterr()
    assert "from a plugin" not in said.out
    assert "from a plugin" in said.err


def test_a_plugin_that_goes_elsewhere_takes_the_run_nowhere(store, ran, monkeypatch, tmp_path):
    monkeypatch.chdir(store.root.parent)
    (tmp_path / "elsewhere").mkdir()
    ran.doing["top"] = lambda work: os.chdir(tmp_path / "elsewhere")
    outcomes, _ = run(Store(Path(store.root.name)), diamond(), "inline")
    assert {outcome.status for outcome in outcomes.values()} == {"ok"}
    assert Path.cwd() == store.root.parent
    assert [*(tmp_path / "elsewhere").iterdir()] == []


def test_inline_tells_progress_while_the_stage_runs(store, ran):
    told = []

    class Watching(Audience):
        def stage(self, what, stage, event):
            told.append((what, getattr(event, "done", None)))

    ran.doing["top"] = lambda work: (work.progress(1, 2, "half"), told.append("the stage goes on"))
    run(store, diamond()[:1], "inline", audience=Watching([], "x", {}))
    assert told == [("started", 0), ("progress", 1), "the stage goes on", ("finished", None)]


def fails(work):
    raise ZeroDivisionError("by plugin")


def test_inline_fails_a_stage_and_goes_on_and_shows_the_traceback(store, ran, capsys):
    ran.doing["left"] = fails
    outcomes, _ = run(store, [*diamond(), stage("other")], "inline")
    assert {label: o.status for label, o in outcomes.items()} == {
        "top": "ok", "left": "failed", "right": "ok", "bottom": "not run", "other": "ok",
    }  # fmt: skip
    assert "ZeroDivisionError: by plugin" in outcomes["left"].reason
    assert "in fails" in capsys.readouterr().err
    assert list(store.staging.iterdir()) == []


def test_inline_opens_the_debugger_where_it_happened(store, ran, monkeypatch):
    places = []

    def post_mortem(traceback):
        while traceback.tb_next:
            traceback = traceback.tb_next
        places.append(traceback.tb_frame.f_code.co_name)

    monkeypatch.setattr("pdb.post_mortem", post_mortem)
    ran.doing["top"] = fails
    run(store, diamond(), "inline")
    assert places == []
    run(store, diamond(), "inline=post_mortem=true")
    run(store, diamond(), "inline=true")  # its first parameter
    assert places == ["fails", "fails"]


def test_leaving_the_debugger_ends_the_run_and_leaves_nothing_half_done(store, ran):
    def leave(work):
        raise bdb.BdbQuit

    ran.doing["left"] = leave
    with pytest.raises(KeyboardInterrupt):
        run(store, diamond(), "inline")
    assert [label for label, _ in ran.stages] == ["top", "left"]
    assert list(store.staging.iterdir()) == []
    ran.doing.clear()
    outcomes, _ = run(store, diamond(), "inline")  # and the same command goes on
    assert {label: o.status for label, o in outcomes.items()} == {"top": "cached"} | dict.fromkeys(
        ("left", "right", "bottom"), "ok"
    )


def test_a_breakpoint_in_a_stage_reaches_the_person(store, ran, monkeypatch):
    reached = []
    monkeypatch.setattr(sys, "breakpointhook", lambda: reached.append(sys._getframe(1).f_code.co_name))
    ran.doing["top"] = lambda work: breakpoint()
    run(store, diamond()[:1], "inline")
    assert reached == ["<lambda>"]


def test_an_executor_that_cannot_be_made_is_named(store):
    with pytest.raises(PluginError, match=r"executor broken \(t 1\) cannot be made: OSError: no such cluster"):
        run(store, diamond(), "broken")


class Wrong:
    """Runs what it is given like `inline`, but for one thing."""

    def __init__(self, request):
        self.request, self.key, self.capacity, self.closed = request, "", 0 if request.params.how == "full" else 1, 0

    def submit(self, stage):
        if self.request.params.how == "submit":
            raise ConnectionError("the queue is\x1b[2J gone")
        self.key = stage.key

    def wait(self, timeout):
        done = Event(kind="done", key=self.key, seconds=0.0)
        return {
            "wait": [].pop,
            "stranger": lambda: [Event(kind="done", key="of nothing")],
            "elsewhere": lambda: [done],
            "twice": lambda: [done, done],
            "unheard": lambda: [Event(kind="paused", key=self.key)],
            "text": lambda: ["done"],
            "none": lambda: None,
            "close": list,
        }[self.request.params.how]()

    def close(self):
        if self.request.params.how == "close":
            raise OSError("cannot")


class HowParams(Params):
    how: str


WRONG = ExecutorSpec(name="wrong", factory="test_executors:Wrong", params=HowParams, **COMMON)


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ("submit", "executor wrong (t 1): ConnectionError: the queue is\\x1b[2J gone (test_executors.py, line "),
        ("wait", "executor wrong (t 1): IndexError: pop from empty list (test_executors.py, line "),
        ("none", "executor wrong (t 1): TypeError: 'NoneType' object is not iterable"),
        ("stranger", "executor wrong (t 1): it reports \"Event(kind='done', key='of nothing'"),
        ("twice", "executor wrong (t 1): it reports \"Event(kind='done'"),
        ("unheard", "executor wrong (t 1): it reports \"Event(kind='paused'"),
        ("text", "executor wrong (t 1): it reports 'done', expected an Event"),
        ("full", "executor wrong (t 1): its capacity is 0, expected a whole number, at least 1"),
    ],
)
def test_what_an_executor_does_wrong_ends_the_run_in_a_sentence(store, ran, how, said):
    with pytest.raises(PluginError) as raised:
        run(store, diamond(), f"wrong={how}", registry(WRONG))
    assert said in str(raised.value)


def test_a_stage_that_is_said_to_be_done_and_is_not_there_has_failed(store, ran):
    outcomes, _ = run(store, diamond(), "wrong=elsewhere", registry(WRONG))
    assert {label: outcome.status for label, outcome in outcomes.items()} == {
        "top": "failed", "left": "not run", "right": "not run", "bottom": "not run",
    }  # fmt: skip
    assert "executor wrong (t 1) says that it is done, and its result is not in the store" in outcomes["top"].reason


def test_an_executor_that_cannot_be_closed_is_named(store, ran):
    known = registry(WRONG)
    closing = pytest.raises(PluginError, match=r"executor wrong \(t 1\): OSError: cannot")
    with (
        closing,
        started(
            known, choose(known, "executor", "--executor", "wrong=close"), need(store), None, Limits(), ignore
        ) as running,
    ):
        assert running.executor.capacity == 1  # it is made when it is asked first


def test_one_of_anothers_is_chosen_by_its_full_name_and_takes_nobodys_place(store, ran):
    known = registry(POOL, ExecutorSpec(name="inline", factory="test_executors:Pool", **COMMON))
    with pytest.raises(PluginError, match=r"two plugins provide executor 'inline': harness .* and t 1"):
        choose(known, "executor", "--executor", "inline")
    assert type(run(store, diamond(), "t/inline", known)[1]).__name__ == "Pool"
    assert type(run(store, diamond(), "harness/inline", known)[1]).__name__ == "Inline"


def test_inline_waits_for_a_stage_that_another_run_has(store, ran):
    known = registry()
    chosen = choose(known, "executor", "--executor", "inline")
    with started(known, chosen, need(store), None, Limits(), ignore) as running:
        assert running.executor.wait(0.01) == []
        assert ran.stages == []


# ------------------------------------------------------------------------------------------------------- whole runs


def cells(project):
    lines = map(json.loads, (project.folder / "reports/toys.records.jsonl").read_text().splitlines())
    return [
        {name: line[name] for name in ("cell", "status", "quality", "artifact", "stages")}
        for line in lines
        if line["kind"] == "cell"
    ]


def hashes(project):
    return {entry.key: entry.manifest["files"] for entry in Store(project.folder / ".harness").entries()}


def test_inline_answers_the_same_as_worker_processes(project, tmp_path):
    project.harness("run", "toys.toml")
    expected, files = cells(project), hashes(project)
    (project.folder / ".harness").rename(tmp_path / "away")
    done = project.harness("run", "toys.toml", "--executor", "inline", "--json")
    assert json.loads(done.out)["suite"]["name"] == "toys"
    assert cells(project) == expected
    assert hashes(project) == files
    assert len(files) == 25


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        (
            "lokal",
            "--executor: 'lokal' is not a known executor. Did you mean 'local'? Known: 'dask', 'inline', 'local'",
        ),
        ("inline=post_mortm=true", "--executor inline: post_mortm: unknown key. Did you mean 'post_mortem'?"),
        ("inline=post_mortem=7", "--executor inline: post_mortem: expected true or false, got 7 (integer)"),
        ("local=4", "--executor local: 'local' has no parameters, got '4'"),
    ],
)
def test_what_is_wrong_with_the_option_is_said_before_anything_runs(project, asked, said):
    done = project.harness("run", "toys.toml", "--executor", asked, code=2)
    assert said in done.err
    assert project.ran == []


def test_executors_are_listed_and_described():
    from harness.cli.list_command import command

    listed = CliRunner().invoke(command, ["executors"]).stdout
    assert [line.split()[0] for line in listed.splitlines()] == ["executors", "dask", "inline", "local"]
    described = CliRunner().invoke(command, ["executors", "inline"]).stdout
    assert "for a debugger and breakpoints" in described
    assert "post_mortem" in described
