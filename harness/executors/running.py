"""Running one stage in this process, whatever executor asks for it: into a private folder, then into the store."""

from __future__ import annotations

import contextlib
import functools
import os
import shutil
import time
import traceback
from collections.abc import Callable, Mapping
from datetime import UTC, datetime

from harness.errors import HarnessError, StageError, StoreError, raised_at, refused
from harness.executors import Event
from harness.executors.guard import MARK
from harness.executors.processes import left_running, running
from harness.keys import Stage
from harness.plain import plain
from harness.plugins import Registry, load_registry
from harness.specs import Facts
from harness.stages import Work, execute, work_for
from harness.stages.checks import check_written
from harness.store import Store

_REASON = 2000  # characters: whoever reports it has a line to write
_SAID = 240  # characters of an unforeseen error's text: where it was raised has to fit behind it


def run_stage(
    stage: Stage,
    store: Store,
    threads: int,
    progress: Callable[[int, int, str], None] | None = None,
    registry: Registry | None = None,
    surprised: Callable[[Exception], None] = traceback.print_exception,
) -> Event:
    """Run the stage and publish its result: `done` or `failed`.

    Its inputs have to be in the store. `progress` is told (done, of how many, note). Without a registry, this process's
    plugins are loaded once. `surprised` gets what no stage should raise; as it is, the traceback goes to stderr.
    """
    started = time.monotonic()
    store = Store(store.root.absolute())  # wherever a plugin goes meanwhile
    event = _attempt(stage, store, threads, progress, registry or _plugins(), surprised)
    if event.kind == "failed" and _is_made(store, stage.key):  # by another, who removed what both resume from
        return Event(kind="done", key=stage.key, seconds=time.monotonic() - started)
    return event


def _is_made(store: Store, key: str) -> bool:
    try:
        return store.verify(key) is None
    except StoreError:
        return False


def _attempt(
    stage: Stage,
    store: Store,
    threads: int,
    progress: Callable[[int, int, str], None] | None,
    known: Registry,
    surprised: Callable[[Exception], None],
) -> Event:
    started, cpu = time.monotonic(), time.process_time()
    try:
        with store.stage(stage.key, os.environ.get(MARK, "")) as out:
            work = work_for(stage, store, out, known, threads, progress)
            facts = _executed(work)
            seconds = time.monotonic() - started
            facts = {**facts, "cpu_seconds": round(time.process_time() - cpu, 3), "threads": work.threads}
            store.publish(stage, out, facts, seconds, datetime.now(UTC).isoformat(timespec="seconds"))
        shutil.rmtree(work.scratch, ignore_errors=True)  # only now: until here a kill resumes in the middle
    except HarnessError as error:
        return Event(kind="failed", key=stage.key, reason=str(error)[:_REASON], exit_code=error.exit_code)
    except SystemExit as error:
        return Event(kind="failed", key=stage.key, reason=f"it called sys.exit(){_where(error, known)}: raise instead")
    except Exception as error:
        with contextlib.suppress(OSError):  # the disk may be full, and that be the error
            surprised(error)
        return Event(kind="failed", key=stage.key, reason=_reason(error, known))
    return Event(kind="done", key=stage.key, seconds=seconds)


def _executed(work: Work) -> Facts:
    """Run the stage. StageError for processes that it leaves running, and for files that are no results."""
    process, before = os.getpid(), running()
    try:
        facts = execute(work)
    finally:
        if os.getpid() != process:  # a fork of a plugin's came back as if it were this process
            os._exit(1)
    if left := left_running(before):
        msg = f"'{work.stage.component}' left processes running: {', '.join(left[:3])}; end them and wait for them"
        raise StageError(msg)
    check_written(work.stage, work.out)
    return facts


def _reason(error: Exception, registry: Registry) -> str:
    if said := refused(error):
        return f"{said}{_where(error, registry)}"
    try:
        text = str(error)
    except Exception:  # its own text is what is broken
        text = ""
    said = plain(f"{type(error).__name__}: {text}" if text else type(error).__name__, _SAID)
    return f"{said}{_where(error, registry)}"


def _where(error: BaseException, registry: Registry) -> str:
    """The innermost line that is a plugin's own: ` (my_int4.compress, line 31, of my-int4 1.0)`."""
    entries = [entry for kind in registry.components.values() for entry in kind]
    providers = {entry.spec.factory.partition(":")[0].partition(".")[0]: entry.provider for entry in entries}
    at = raised_at(error, providers.keys() - {"harness"})
    return f" ({at}, of {providers[at.partition('.')[0]]}; its log has the traceback)" if at else ""


def stage_environment(threads: int) -> Mapping[str, str]:
    """Variables under which stages run with so many threads."""
    return {
        "OMP_NUM_THREADS": str(threads),
        "MKL_NUM_THREADS": str(threads),
        "TOKENIZERS_PARALLELISM": "false",
        "HF_HUB_OFFLINE": "1",  # assets were resolved by the plan; no stage reaches for the network
        "HF_DATASETS_OFFLINE": "1",
    }


@functools.cache
def _plugins() -> Registry:
    return load_registry()
