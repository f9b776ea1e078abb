"""What a worker of the cluster does: it says what it is, and runs the stages of runs that have found it fit."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import dask
from distributed import get_worker

from harness import MachineShare, describe_machine, do_job

NOT_ADMITTED = ""  # instead of an event
_SHARES: dict[str, MachineShare] = {}  # a run's token → what its stages may have here


def describe(question: Mapping[str, Any]) -> dict[str, Any]:
    """This machine, as JSON."""
    return describe_machine(question)


def admit(token: str, threads: int, capacity: int) -> None:
    """The run of this token has found this worker fit."""
    _forget_what_dask_set()
    _SHARES[token] = MachineShare(threads, capacity)


def _forget_what_dask_set() -> None:
    """What a nanny gives its worker slows memory and arithmetic down: stages have none of it anywhere else."""
    given = {**dask.config.get("distributed.nanny.pre-spawn-environ"), "PYTHONHASHSEED": "6640"}
    for name, value in given.items():
        if os.environ.get(name) == str(value):
            del os.environ[name]


def do(text: str, token: str) -> str:
    """Run a stage. A worker that came meanwhile, or in the place of a lost one, has to be looked at first."""
    share = _SHARES.get(token)
    return NOT_ADMITTED if share is None else do_job(text, share, where=get_worker().address)
