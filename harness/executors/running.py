"""Running one stage in this process, whatever executor asks for it: into a private folder, then into the store."""

from __future__ import annotations

import functools
import shutil
import time
import traceback
from collections.abc import Callable, Mapping
from datetime import UTC, datetime

from harness.errors import HarnessError
from harness.executors import Event
from harness.keys import Stage
from harness.plugins import Registry, load_registry
from harness.stages import execute, work_for
from harness.store import Store


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
    started, cpu = time.monotonic(), time.process_time()
    try:
        with store.stage(stage.key) as out:
            work = work_for(stage, store, out, registry or _plugins(), threads, progress)
            facts = execute(work)
            seconds = time.monotonic() - started
            facts = {**facts, "cpu_seconds": round(time.process_time() - cpu, 3), "threads": work.threads}
            store.publish(stage, out, facts, seconds, datetime.now(UTC).isoformat(timespec="seconds"))
        shutil.rmtree(work.scratch, ignore_errors=True)  # only now: until here a kill resumes in the middle
    except HarnessError as error:
        return Event(kind="failed", key=stage.key, reason=str(error), exit_code=error.exit_code)
    except Exception as error:
        surprised(error)
        return Event(kind="failed", key=stage.key, reason=f"{type(error).__name__}: {error}")
    return Event(kind="done", key=stage.key, seconds=seconds)


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
