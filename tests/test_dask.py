"""`--executor dask`: a cluster of this machine's processes, whose parts are killed, frozen, wrong or missing."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
from conftest import SUITE, TOY

pytest.importorskip("distributed")
from benchmarks.faults.dask_cluster import Cluster, alive, family, free_port, wait_for
from harness import heartbeats
from harness.claims import Claims
from harness.errors import PluginError
from harness.executors.fitness import (
    describe_machine,
    machine_faults,
    machine_question,
    own_versions,
    stage_misfit,
    stages_without_machine,
    store_sign,
)
from harness.executors.remote import Job, MachineShare, do_job, event_from_text
from harness.keys import Stage
from harness.plan import Plan
from harness.runner import Runner
from harness.specs import ExecutorRequest
from harness.store import Store
from harness_dask import cluster as cluster_module
from harness_dask import executor as dask_module
from harness_dask import workers as workers_module
from harness_dask.cluster import address_of, safe, start_here
from harness_dask.executor import dask_executor
from harness_dask.plugin import DaskParams
from harness_dask.workers import Workers

SLOW = 40_000_000  # rounds of an empty loop: some seconds


@pytest.fixture(scope="module")
def environment(tmp_path_factory) -> dict[str, str]:
    path = os.pathsep.join(filter(None, (TOY, os.environ.get("PYTHONPATH"))))
    kept = {name: value for name, value in os.environ.items() if not name.startswith("HARNESS_")}
    return {**kept, "PYTHONPATH": path, "TOY_RAN": str(tmp_path_factory.mktemp("ran") / "ran.txt")}


@pytest.fixture(scope="module")
def cluster(tmp_path_factory, environment):
    made = Cluster(tmp_path_factory.mktemp("dask"), environment)
    made.start_scheduler()
    made.start_worker()
    made.start_worker("--resources", "GPU=1")
    yield made
    made.close()


@pytest.fixture
def toys(monkeypatch):
    monkeypatch.syspath_prepend(TOY)
    path = os.pathsep.join(filter(None, (TOY, os.environ.get("PYTHONPATH"))))
    monkeypatch.setenv("PYTHONPATH", path)


@pytest.fixture
def store(tmp_path, toys) -> Store:
    made = Store(tmp_path / "store")
    made.create()
    return made


def work(number: int, rounds: int = 0, **changed) -> Stage:
    params = {"examples": 1, "rounds": rounds}
    fields = {
        "kind": "prepare", "component": "toy-harness/toy", "version": 1, "label": f"work {number}",
        "params": {"roles": ["train"], "number": number}, "data": {"source": NO_FILES},
        "options": {"task": {"use": "toy", "params": params}, "asset": {"origin": "made", "root": ".", "files": []}},
    }  # fmt: skip
    return Stage(**{**fields, **changed})


NO_FILES = "4f53cda18c2baa0c0354bb5f9a3ecbe5ed12ab4d8e11ba873c2f11161202b945"  # sha256 of "[]"


class Running:
    """Stages on a cluster, step by step."""

    def __init__(self, store: Store, stages: list[Stage], **params) -> None:
        self.said: list[str] = []
        known = DaskParams(**{"wait_s": 20.0, **params})
        request = ExecutorRequest(
            store=store, capacity=2, threads=1, params=known, progress=lambda event: None, say=self.said.append
        )
        self.executor = dask_executor(request)
        self.plan = Plan(suite=None, cells=(), stages={stage.key: stage for stage in stages})
        self.runner = Runner(self.plan, store, self.executor, fail_fast=False)

    def __enter__(self) -> Running:
        return self

    def __exit__(self, *error: object) -> None:
        self.executor.close()

    def check(self) -> Running:
        self.executor.check([*self.plan.stages.values()])
        return self

    def reasons(self) -> dict[str, str]:
        """Label → why it failed, "" where it did not."""
        found = self.check().runner.run()
        return {self.plan.stages[key].label: outcome.reason for key, outcome in found.items()}


# ---------------------------------------------------------------------------------------------------- where it is well


def test_a_suite_answers_on_a_cluster_of_its_own_as_it_does_here(project, tmp_path_factory):
    done = project.harness("run", "toys.toml", "--executor", "dask", "--workers", "2", "--json")
    assert "dask: 2 workers, 2 stages at once, scheduler of this run" in done.err
    assert "stages: 25 done" in done.err
    calm = type(project)(tmp_path_factory.mktemp("calm"))
    calm.write(SUITE)
    here = calm.harness("run", "toys.toml", "--json")
    assert quality(done.out) == quality(here.out)
    again = project.harness("run", "toys.toml")
    assert "stages: 0 done, 25 from the store" in again.err
    assert list(Store(project.folder / ".harness").claims.iterdir()) == []
    assert not [process for process in everyone() if str(project.folder) in process]


def quality(out: str) -> list:
    rows = json.loads(out)["rows"]
    assert rows
    return [
        {name: row[name] for name in row if name in ("row", "label", "metrics", "quality", "status")} for row in rows
    ]


def everyone() -> list[str]:
    return [" ".join(process.info["cmdline"] or ()) for process in psutil.process_iter(["cmdline"])]


def test_a_cluster_of_its_own_is_reached_from_this_machine_alone():
    made = start_here(1)
    try:
        wait_for(lambda: made.client.scheduler_info(n_workers=-1)["workers"], what="a worker")
        own = psutil.Process()
        listening = {
            found.laddr.ip
            for process in (own, *own.children(recursive=True))
            for found in process.net_connections("inet")
            if found.status == psutil.CONN_LISTEN
        }
        assert listening == {"127.0.0.1"}
    finally:
        made.close()


def test_stages_run_on_a_cluster_that_is_there(cluster, store):
    stages = [work(number) for number in range(12)]
    with Running(store, stages, address=cluster.address) as running:
        assert set(running.reasons().values()) == {""}
    assert all(store.verify(stage.key) is None for stage in stages)


def test_a_run_that_finds_everything_starts_no_cluster(project):
    project.harness("run", "toys.toml")
    done = project.harness(
        "run", "toys.toml", "--executor", "dask", "--set", "executor.address=tcp://127.0.0.1:1"
    )  # nobody is there
    assert "0 done, 25 from the store" in done.err


def test_an_address_is_no_part_of_the_record(project, cluster):
    words = (
        "--executor",
        "dask",
        "--set",
        f"executor.address={cluster.address}",
        "--set",
        "executor.allow_versions=true",
    )
    project.harness("run", "toys.toml", *words)
    assert cluster.address not in (project.folder / "reports/toys.records.jsonl").read_text()


# ------------------------------------------------------------------------------------------------ what is found before


def problems(run: Running) -> str:
    with run, pytest.raises(PluginError) as error:
        run.check()
    return str(error.value)


def test_an_address_that_does_not_answer(project):
    words = ("--set", "executor.address=tcp://127.0.0.1:1", "--set", "executor.wait_s=3")
    done = project.harness("run", "toys.toml", "--executor", "dask", *words, code=2)
    assert "waiting for the scheduler tcp://127.0.0.1:1, at most 3 s …" in done.err
    assert "executor.address tcp://127.0.0.1:1: no scheduler answers there" in done.err
    assert "Start one (`dask scheduler`)" in done.err
    assert "Traceback" not in done.err


@pytest.mark.parametrize("host", ["10.0.0.7", "nowhere.invalid", "192.0.2.1", "[::]", "8.8.8.8"])
def test_what_others_could_listen_to_is_refused(host):
    with pytest.raises(PluginError, match="is not encrypted, and whoever reaches it runs code as you: use tls://"):
        safe(f"tcp://{host}:8786", "executor.address")


@pytest.mark.parametrize("address", ["", "127.0.0.1:8786", "tcp://127.0.0.1", "inproc://x:1", "tcp://:1", "http://a:1"])
def test_what_is_no_address_is_refused(address):
    with pytest.raises(PluginError, match="is no address of a scheduler: tls://HOST:PORT"):
        safe(address, "executor.address")


@pytest.mark.parametrize("address", ["tcp://127.0.0.1:1", "tcp://localhost:1", "tcp://[::1]:1", "tls://node7:8786"])
def test_this_machine_and_what_is_encrypted_are_not(address):
    assert safe(address, "executor.address") == address


@pytest.mark.parametrize("text", ["", "{", "[]", '{"id": 3}', "\x00"])
def test_a_file_that_is_no_schedulers(tmp_path, text):
    (tmp_path / "s.json").write_text(text)
    with pytest.raises(PluginError, match="it holds no scheduler's address"):
        address_of(DaskParams(scheduler_file=tmp_path / "s.json"))


def test_a_schedulers_file_names_its_address(tmp_path):
    (tmp_path / "s.json").write_text('{"address": "tls://10.0.0.7:8786", "workers": {}}')
    assert address_of(DaskParams(scheduler_file=tmp_path / "s.json")) == "tls://10.0.0.7:8786"


def test_params_that_do_not_fit_together(project):
    words = ("--executor", "dask", "--set", "executor.tls_ca_file=a.pem")
    done = project.harness("run", "toys.toml", *words, code=2)
    assert "tls_ca_file, tls_cert and tls_key go together" in done.err
    done = project.harness("run", "toys.toml", "--executor", "dask", "--set", "executor.resources.trian.GPU=1", code=2)
    assert "--executor dask: resources.trian" in done.err


def test_a_label_that_no_worker_offers_is_said_before_anything_runs(cluster, store):
    stages = [work(number, kind="train") for number in range(3)] + [work(9)]
    lines = problems(Running(store, stages, address=cluster.address, resources={"train": {"TPU": 1}}))
    assert "no worker offers TPU; 3 stages wait for one. Start workers with `dask worker … --resources TPU=1`" in lines
    lines = problems(Running(store, stages, address=cluster.address, resources={"train": {"GPU": 2}}))
    assert "no worker offers GPU; 3 stages wait for 2." in lines


def test_stages_with_a_label_run_where_it_is_offered(cluster, store):
    stages = [work(number) for number in range(4)]
    with Running(store, stages, address=cluster.address, resources={"prepare": {"GPU": 1}}) as running:
        assert set(running.reasons().values()) == {""}


def test_a_worker_with_other_versions_is_named_and_refused_unless_allowed(cluster, store, monkeypatch):
    monkeypatch.setattr("harness.executors.fitness.own_versions", lambda: {**own_versions(), "toy-harness": "2.0"})
    lines = problems(Running(store, [work(1)], address=cluster.address))
    assert lines.count("has other versions: toy-harness 1.0, here 2.0. Install the same there, or allow it with") == 2
    assert "worker tcp://127.0.0.1:" in lines
    with Running(store, [work(1)], address=cluster.address, allow_versions=True) as running:
        assert set(running.reasons().values()) == {""}


def test_a_version_that_a_key_names_is_never_let_pass(cluster, store):
    stage = work(1, libraries={"numpy": "0.1"})
    lines = problems(Running(store, [stage, work(2)], address=cluster.address, allow_versions=True))
    assert "no worker may run 'work 1': worker tcp://" in lines
    assert "instead of 0.1" in lines


def test_a_measurement_runs_on_the_planning_machines_kind_alone(cluster, store):
    from harness.measuring.machine import detect

    here = detect().identity_key()
    other = {**here, "cpu": "Another CPU", "logical_cores": 512}
    with Running(store, [work(1, facets={"machine": here}, exclusive=True)], address=cluster.address) as running:
        assert set(running.reasons().values()) == {""}
    lines = problems(Running(store, [work(2, facets={"machine": other})], address=cluster.address))
    assert "no worker may run 'work 2'" in lines
    assert "another kind of machine" in lines


def test_a_worker_without_the_offline_root(cluster, store, tmp_path):
    asset = {
        "origin": "reviews.csv",
        "root": str(tmp_path),
        "files": ["reviews.csv"],
        "path": str(tmp_path / "gone.csv"),
    }
    stage = work(1, options={"task": {"use": "toy", "params": {}}, "asset": asset})
    lines = problems(Running(store, [stage], address=cluster.address))
    assert f"does not see '{tmp_path / 'gone.csv'}', which stages read: mount it there" in lines
    assert "HARNESS_DATA_DIR" in lines


def test_a_worker_that_does_not_share_the_store(store, tmp_path):
    with store_sign(store) as token:
        question = machine_question(store, token, [work(1)])
        assert machine_faults("worker w", describe_machine(question), question) == []
        elsewhere = Store(tmp_path / "another")
        elsewhere.create()
        found = describe_machine({**question, "store": str(elsewhere.root)})
        (line,) = machine_faults("worker w", found, question)
        assert line.startswith(f"worker w does not share the store: there is no '{store.root}'")
    assert list(store.claims.iterdir()) == []


def test_the_sign_of_a_store_beats_so_that_no_clean_up_takes_it(store):
    with store_sign(store) as token:
        (sign,) = store.claims.iterdir()
        os.utime(sign, (1.0, 1.0))
        deadline = time.monotonic() + 20
        while sign.stat().st_mtime == 1.0:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        assert describe_machine(machine_question(store, token, []))["sees"]


def test_a_disk_that_refuses_a_worker_is_not_taken_for_a_lost_worker(store):
    shutil.rmtree(store.claims)
    event = event_from_text(do_job(Job(stage=work(1), store=store.root).text(), MachineShare(1, 1)))
    assert event.kind == "failed"
    assert event.reason.startswith("FileNotFoundError")


def test_nobody_is_at_the_scheduler(tmp_path, store, environment):
    lonely = Cluster(tmp_path, environment)
    lonely.start_scheduler()
    try:
        lines = problems(Running(store, [work(1)], address=lonely.address, wait_s=1.0))
        assert "has no worker that answers, and none came in 1 s: start some, as with `dask worker tcp://" in lines
    finally:
        lonely.close()


def test_fitness_is_judged_by_what_keys_name():
    stage = work(1, libraries={"torch": "2"}, facets={"isa": "x86-64-avx2"})
    machine = {"libraries": {"torch": "2"}, "isa": "x86-64-avx2", "identity": {}}
    assert stage_misfit(stage, machine) is None
    assert stage_misfit(stage, {**machine, "isa": "x86-64-avx512_vnni"}) == (
        "instructions x86-64-avx512_vnni instead of x86-64-avx2"
    )
    assert stage_misfit(stage, {**machine, "libraries": {"torch": "3"}}) == "torch 3 instead of 2"
    one, two = machine, {**machine, "isa": "other"}
    assert stages_without_machine([stage], {"a": two, "b": one}) == []
    (line,) = stages_without_machine([stage, replace(stage, seed=1)], {"a": two})
    assert line.startswith("no worker may run 'work 1' and 1 more: a has instructions other instead of")


# --------------------------------------------------------------------------------------------------------- what breaks


def begun(store: Store, key: str):
    """A worker has begun with the stage."""
    found = Claims(store.claims).look(key)
    return found and found.where


def stepped(running: Running, until, seconds: float = 90.0) -> None:
    """Let the run go on until something is so."""
    import threading

    thread = threading.Thread(target=running.runner.run)
    thread.start()
    try:
        wait_for(until, seconds, what="\n".join(running.said))
    finally:
        thread.join(seconds)
    assert not thread.is_alive()


@pytest.fixture
def fragile(tmp_path, environment):
    own = {"TOY_RAN": str(tmp_path / "ran.txt"), "DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES": "0"}
    made = Cluster(tmp_path, {**environment, **own})
    made.start_scheduler()
    yield made
    made.close()


def ran(cluster: Cluster) -> int:
    path = Path(cluster.environment["TOY_RAN"])
    return len(path.read_text().split()) if path.exists() else 0


def test_a_killed_worker_costs_the_stage_that_it_was_at_and_no_other(fragile, store):
    fragile.start_worker()
    victim = fragile.start_worker()
    stages = [work(1), work(2), work(3, SLOW), work(4, SLOW), work(5)]
    killed = []

    def kill() -> bool:
        busy = [stage for stage in stages[2:4] if begun(store, stage.key)]
        if len(busy) < 2 or killed:
            return bool(killed)
        victim.send_signal(signal.SIGKILL)
        killed.append(victim)
        return True

    with Running(store, stages, address=fragile.address) as running:
        running.check()
        stepped(running, kill)
        assert {outcome.status for outcome in running.runner.outcomes.values()} == {"ok"}
        assert [line for line in running.said if "it starts again (retry 1 of 10)" in line]
    assert ran(fragile) in (len(stages), len(stages) + 1)  # it may not have got as far as to say so


def test_a_lost_scheduler_is_waited_for(fragile, store):
    fragile.start_worker()
    stages = [work(1), work(2, SLOW), work(3)]
    done = []

    def restart() -> bool:
        if done:
            return True
        if not begun(store, stages[1].key):
            return False
        fragile.scheduler.kill()
        fragile.scheduler.wait()
        fragile.start_scheduler()
        fragile.start_worker()
        done.append(True)
        return True

    with Running(store, stages, address=fragile.address, reconnect_s=60.0) as running:
        running.check()
        stepped(running, restart)
        assert {outcome.status for outcome in running.runner.outcomes.values()} == {"ok"}, running.said


def test_a_scheduler_that_stays_away_ends_the_run_in_a_sentence(fragile, store):
    fragile.start_worker()
    stages = [work(1, SLOW)]
    running = Running(store, stages, address=fragile.address, reconnect_s=1.0)
    running.check()
    running.executor.submit(stages[0])
    wait_for(lambda: begun(store, stages[0].key))
    fragile.scheduler.kill()
    with running, pytest.raises(PluginError, match="no scheduler answers there"):
        waited(running)


def test_workers_that_stay_away_end_the_run_in_a_sentence(fragile, store):
    fragile.start_worker()
    stages = [work(1, SLOW)]
    running = Running(store, stages, address=fragile.address, reconnect_s=2.0)
    running.check()
    running.executor.submit(stages[0])
    wait_for(lambda: begun(store, stages[0].key))
    fragile.workers[0].kill()
    with running, pytest.raises(PluginError, match="no worker is left that may run 'work 1', and none came in 2 s"):
        waited(running)
    assert "no worker is left that may run 'work 1'; waiting 2 s for one …" in running.said


def test_a_machine_that_is_divided_among_workers_is_not_divided_twice():
    workers = Workers(DaskParams(), print, "token")
    workers.slots = {"a": 1, "b": 1, "c": 2, "d": 1}
    workers.fit = {
        who: {"host": host, "cores": len(cpus), "cpus": cpus}
        for who, host, cpus in (("a", "n", [0, 1]), ("b", "n", [2, 3]), ("c", "m", [0, 1, 2, 3]), ("d", "m", [0, 1, 2, 3]))
    }  # fmt: skip
    assert [workers._share(workers.fit[who]) for who in "abcd"] == [(2, 1), (2, 1), (1, 3), (1, 3)]


def waited(running: Running) -> None:
    for _ in range(400):
        running.executor.wait(0.1)


def test_a_frozen_worker_is_given_up_and_its_late_result_changes_nothing(fragile, store, monkeypatch):
    monkeypatch.setattr(heartbeats, "SILENT_S", 3.0)
    monkeypatch.setattr(dask_module, "_GONE_S", 0.5)
    victim = fragile.start_worker()
    stages = [work(1, SLOW)]
    frozen = []

    def freeze() -> bool:
        if not frozen and begun(store, stages[0].key):
            for process in family(victim.pid):
                os.kill(process, signal.SIGSTOP)
            fragile.start_worker()
            frozen.append(True)
        return bool(frozen)

    with Running(store, stages, address=fragile.address) as running:
        running.check()
        stepped(running, freeze)
        assert {outcome.status for outcome in running.runner.outcomes.values()} == {"ok"}
        assert [line for line in running.said if "has fallen silent; it starts again" in line]
    before = store.entry(stages[0].key).manifest
    for process in family(victim.pid):
        os.kill(process, signal.SIGCONT)
    time.sleep(3)
    assert store.entry(stages[0].key).manifest == before
    assert store.verify(stages[0].key) is None


def test_an_idle_worker_that_is_frozen_keeps_no_stage(fragile, store, monkeypatch):
    monkeypatch.setattr(workers_module, "SILENT_S", 2.0)
    victim = fragile.start_worker()
    fragile.start_worker()
    stages = [work(number) for number in range(6)]
    with Running(store, stages, address=fragile.address) as running:
        wait_for(lambda: len(running.executor.cluster.client.scheduler_info(n_workers=-1)["workers"]) == 2)
        running.check()
        victim.send_signal(signal.SIGSTOP)
        found = running.runner.run()
    assert {outcome.status for outcome in found.values()} == {"ok"}
    assert ran(fragile) == len(stages)


def test_a_worker_that_comes_back_under_its_address_is_looked_at_again(fragile, store):
    port = str(free_port())
    first = fragile.start_worker("--worker-port", port)
    with Running(store, [work(1)], address=fragile.address) as running:
        running.check()
        first.kill()
        first.wait()
        fragile.start_worker("--worker-port", port)
        assert {outcome.status for outcome in running.runner.run().values()} == {"ok"}


def test_a_stage_waits_for_the_label_that_was_lost(fragile, store):
    fragile.start_worker()
    victim = fragile.start_worker("--resources", "GPU=1")
    with Running(store, [work(1)], address=fragile.address, resources={"prepare": {"GPU": 1}}) as running:
        wait_for(lambda: len(running.executor.cluster.client.scheduler_info(n_workers=-1)["workers"]) == 2)
        running.check()
        victim.kill()
        known = running.executor.workers
        wait_for(lambda: not (known.look(running.executor.cluster.client) or len(known.fit) == 2))
        fragile.start_worker("--resources", "GPU=1")
        assert {outcome.status for outcome in running.runner.run().values()} == {"ok"}


def test_a_scheduler_that_is_frozen_for_good_ends_the_run_in_a_sentence(fragile, store, monkeypatch):
    monkeypatch.setattr(workers_module, "_SCHEDULER_S", 0.5)
    monkeypatch.setattr(dask_module, "_CONNECT_S", 1.0)
    monkeypatch.setattr(cluster_module, "_ENDING_S", 1.0)
    fragile.start_worker()
    stages = [work(1, SLOW)]
    running = Running(store, stages, address=fragile.address, reconnect_s=0.5)
    running.check()
    running.executor.submit(stages[0])
    fragile.scheduler.send_signal(signal.SIGSTOP)
    with running, pytest.raises(PluginError, match="no scheduler answers there"):
        waited(running)


def test_a_stage_that_another_run_took_over_is_not_a_failure(fragile, store):
    fragile.start_worker()
    stages = [work(1, 4 * SLOW)]
    taken = []

    def take() -> bool:
        if not taken and begun(store, stages[0].key):
            Claims(store.claims).stop(stages[0].key)
            taken.append(True)
        return bool(taken)

    with Running(store, stages, address=fragile.address) as running:
        running.check()
        stepped(running, take)
        assert {outcome.status for outcome in running.runner.outcomes.values()} == {"ok"}
        assert [line for line in running.said if "another run has taken it over; it starts again" in line]


def test_a_cluster_of_its_own_gets_new_workers_where_all_are_lost(store):
    stages = [work(1), work(2, SLOW)]
    killed = []

    def kill() -> bool:
        if not killed and begun(store, stages[1].key):
            killed.append(running.executor.cluster.own.process)
            killed[0].kill()
        return bool(killed)

    with Running(store, stages) as running:
        running.check()
        stepped(running, kill)
        assert {outcome.status for outcome in running.runner.outcomes.values()} == {"ok"}


def test_nothing_of_a_killed_run_with_its_own_cluster_is_left(project):
    suite = SUITE.replace(
        'round = ["toy-round"]', 'round = [{ use = "toy-slow", seconds = 600.0, processes = 2 }]'
    ).replace("seed = [1, 2]", "seed = [1]")
    project.write(suite)
    run = project.start("run", "toys.toml", "--executor", "dask", "--workers", "1")
    wait_for(lambda: len(started_by(project, "time.sleep(613)")) >= 2, 60, "a plugin has started its own")
    run.kill()
    run.communicate()
    wait_for(lambda: not started_by(project), 20, "all of it has ended")


def started_by(project, word: str = "") -> list[int]:
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            carries = process.environ().get("TOY_RAN") == project.environment["TOY_RAN"]
            if carries and process.status() != psutil.STATUS_ZOMBIE and word in " ".join(process.cmdline()):
                found.append(process.pid)
    return found


def test_the_budget_of_retries_ends(fragile, store):
    stages = [work(1, SLOW)]
    fragile.start_worker()
    victims = []

    def kill() -> bool:
        if begun(store, stages[0].key) and alive(fragile.workers[-1].pid) and len(victims) < 2:
            fragile.workers[-1].kill()
            victims.append(fragile.workers[-1])
            fragile.start_worker()
        return len(victims) == 2

    with Running(store, stages, address=fragile.address, retries=1) as running:
        running.check()
        stepped(running, kill)
        (outcome,) = running.runner.outcomes.values()
        assert outcome.status == "failed"
        assert "all 1 retries of this run are spent (executor.retries)" in outcome.reason


def test_a_stage_that_kills_its_process_costs_no_worker(project, fragile):
    fragile.start_worker()
    suite = SUITE.replace(
        'round = ["toy-round"]', 'round = ["toy-round"]\nbad = [{ use = "toy-trouble", how = "kill" }]'
    )
    project.write(suite.replace('["none", "round"]', '["none", "bad"]').replace("seed = [1, 2]", "seed = [1]"))
    words = ("--executor", "dask", "--set", f"executor.address={fragile.address}")
    done = project.harness("run", "toys.toml", *words, code=1)
    assert "killed by SIGKILL" in done.err
    assert alive(fragile.workers[0].pid)
    assert "it starts again" not in done.err


def test_what_a_killed_run_was_at_is_finished_and_not_done_twice(project, fragile):
    """The laptop is gone, the worker goes on; the next run waits for it instead of doing it again."""
    fragile.start_worker()
    project.write(SUITE.replace('use = "toy"\n[models.plain]', f'use = "toy"\nrounds = {SLOW}\n[models.plain]'))
    words = ("run", "toys.toml", "--executor", "dask", "--set", f"executor.address={fragile.address}")
    claims = Store(project.folder / ".harness").claims
    run = project.start(*words)
    wait_for(lambda: claims.exists() and any(claims.glob("*.json")) and ran(fragile) == 1, 60, "it begins")
    run.kill()
    run.communicate()
    done = project.harness(*words)
    assert "another run makes it (process" in done.err or "from the store" in done.err
    assert Path(fragile.environment["TOY_RAN"]).read_text().split().count("prepare") == 1


def test_a_stage_can_be_stopped_and_its_worker_goes_on_with_another(fragile, store):
    fragile.start_worker()
    endless, short = work(1, 100 * SLOW), work(2)
    with Running(store, [endless, short], address=fragile.address) as running:
        running.check().executor.submit(endless)
        wait_for(lambda: begun(store, endless.key))
        running.executor.stop(endless.key)
        running.executor.submit(short)
        events: list = []
        wait_for(lambda: events.extend(running.executor.wait(0.2)) or store.entry(short.key))
        assert store.entry(endless.key) is None
        assert {event.key for event in events} <= {short.key}


def test_an_interrupted_run_stops_its_stages(project, fragile):
    fragile.start_worker()
    project.write(SUITE.replace('use = "toy"\n[models.plain]', f'use = "toy"\nrounds = {20 * SLOW}\n[models.plain]'))
    words = ("run", "toys.toml", "--executor", "dask", "--set", f"executor.address={fragile.address}")
    claims = Store(project.folder / ".harness").claims
    run = project.start(*words)
    wait_for(lambda: ran(fragile) == 1, 60, "it begins")
    run.send_signal(signal.SIGINT)
    _, err = run.communicate(timeout=60)
    assert run.returncode == 130
    assert "the same command goes on from there" in err
    wait_for(lambda: not [*claims.glob("*.json")], 20, "the claims are gone")
    parent = str(fragile.workers[0].pid)
    wait_for(lambda: not [line for line in everyone() if "executors.worker" in line and parent in line], 20, "the work")


def test_stages_have_nothing_of_what_dask_gives_its_workers(monkeypatch):
    from harness_dask import worker

    given = {"MALLOC_TRIM_THRESHOLD_": "65536", "OPENBLAS_NUM_THREADS": "1", "PYTHONHASHSEED": "6640"}
    for name, value in {**given, "OMP_NUM_THREADS": "7"}.items():
        monkeypatch.setenv(name, value)
    worker.admit("token", 1, 1)
    assert not given.keys() & os.environ.keys()
    assert os.environ["OMP_NUM_THREADS"] == "7"


# ------------------------------------------------------------------------------------------------------- certificates


@pytest.fixture(scope="module")
def certificates(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("tls")
    words = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", "/CN=harness"]
    try:
        subprocess.run(
            [*words, "-keyout", folder / "key.pem", "-out", folder / "cert.pem"], check=True, capture_output=True
        )
    except FileNotFoundError:
        pytest.skip("there is no openssl here to make certificates")
    return folder


def test_an_encrypted_cluster(certificates, tmp_path, environment, store):
    cert, key = str(certificates / "cert.pem"), str(certificates / "key.pem")
    tls = ("--tls-ca-file", cert, "--tls-cert", cert, "--tls-key", key)
    secret = Cluster(tmp_path, environment, ("--protocol", "tls", *tls))
    secret.start_scheduler()
    try:
        secret.tls = tls
        secret.start_worker("--protocol", "tls")
        params = {"address": f"tls://127.0.0.1:{secret.port}", "tls_ca_file": cert, "tls_cert": cert, "tls_key": key}
        params = {name: value if name == "address" else Path(value) for name, value in params.items()}
        with Running(store, [work(1)], **params) as running:
            assert set(running.reasons().values()) == {""}
        with pytest.raises(PluginError, match="tls:// needs executor.tls_ca_file, tls_cert and tls_key"):
            Running(store, [work(2)], address=params["address"], wait_s=2.0)
        with pytest.raises(PluginError, match="there is no file"):
            Running(store, [work(2)], **{**params, "tls_key": Path("nowhere.pem")})
    finally:
        secret.close()


def test_nothing_of_dask_is_imported_before_it_is_chosen():
    code = "import sys, harness.cli; harness.cli.main_inner(['list', 'executors']); print('distributed' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout.splitlines()[-1] == "False", done.stderr
    assert "dask" in done.stdout
