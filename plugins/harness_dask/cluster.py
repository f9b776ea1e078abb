"""Connecting to a scheduler, or starting one here; nothing is sent where others could listen or send back code."""

from __future__ import annotations

import contextlib
import ipaddress
import json
import logging
import os
import socket
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness import Guard, PluginError
from harness_dask.plugin import DaskParams
from harness_dask.waiting import within

if TYPE_CHECKING:
    from distributed import Client, LocalCluster, Security

_LARGEST = 2**20  # bytes of a scheduler file
_OURS = {
    "distributed.scheduler.worker-ttl": None,  # by the clock on the wall: a laptop that wakes up would lose them all
    "distributed.scheduler.allowed-failures": 0,  # the executor counts what was lost, and starts it again
}
_ENDING_S = 5.0
_HERE = "127.0.0.1:0"  # of pages about the cluster, which are served even by --no-dashboard, and else to every network


@dataclass
class Cluster:
    """A client of a scheduler; `own`: what ends with it, where it was started here."""

    client: Client
    own: Own | None = None

    def close(self) -> None:
        """Leave it; end it, where it was started here."""
        with contextlib.suppress(Exception):  # the other side may be gone
            self.client.close(timeout=5)
        if self.own:
            self.own.close()


@dataclass
class Own:
    """A program of workers of a scheduler in this process, and all that ends with it."""

    words: list[str]
    environment: dict[str, str]
    ending: contextlib.ExitStack
    process: subprocess.Popen[bytes] | None = None

    def mend(self) -> None:
        """Start it, also where it has ended."""
        if self.process and self.process.poll() is None:
            return
        self.process = subprocess.Popen(
            self.words,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,  # Ctrl-C reaches the run alone
        )

    def close(self) -> None:
        """End everything."""
        if self.process:
            _ended(self.process)
        self.ending.close()


def start_here(workers: int) -> Cluster:
    """A scheduler in this process and workers beside it, reachable from this machine alone; they end with it."""
    dask, distributed = _libraries()
    dask.config.set(_OURS)
    with contextlib.ExitStack() as stack:
        scheduler = distributed.LocalCluster(
            n_workers=0, host="127.0.0.1", protocol="tcp", dashboard_address=_HERE, silence_logs=logging.CRITICAL
        )
        stack.callback(_closed, scheduler)
        guard = Guard()
        stack.callback(guard.close)
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="harness-dask-", ignore_cleanup_errors=True))
        words = [sys.executable, "-P", "-m", "distributed.cli.dask_worker", scheduler.scheduler_address]
        words += ["--nworkers", str(workers), "--nthreads", "1", "--memory-limit", "0"]
        words += ["--local-directory", folder, "--host", "127.0.0.1", "--no-dashboard", "--dashboard-address", _HERE]
        own = Own(words, {**os.environ, **guard.environment}, stack)
        client = distributed.Client(scheduler.scheduler_address, set_as_default=False, name="harness")
        own.mend()
        own.ending = stack.pop_all()
        return Cluster(client, own)


def _ended(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(_ENDING_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _closed(scheduler: LocalCluster) -> None:
    with contextlib.suppress(Exception):
        scheduler.close(timeout=_ENDING_S)


def connect(params: DaskParams, address: str) -> Cluster:
    """A client of the scheduler at a checked address. PluginError when nobody answers there."""
    _, distributed = _libraries()
    words = {"timeout": params.wait_s, "security": _security(params), "set_as_default": False, "name": "harness"}
    client = within(params.wait_s + _ENDING_S, lambda: distributed.Client(address, **words))
    if isinstance(client, OSError | RuntimeError | TypeError | ValueError):  # TypeError: tls:// without certificates
        error = client
        first = str(error).splitlines()[0][:200] if str(error) else type(error).__name__
        msg = (
            f"executor.address {address}: no scheduler answers there ({first}){_hint(params, address)}. Start one "
            "(`dask scheduler`), look at its log for its address, or leave the address out to start a cluster on this "
            "machine"
        )
        raise PluginError(msg) from error
    if isinstance(client, Exception):
        raise client
    return Cluster(client)


def _hint(params: DaskParams, address: str) -> str:
    missing = address.startswith("tls:") and not params.tls_ca_file
    return "; tls:// needs executor.tls_ca_file, tls_cert and tls_key" if missing else ""


def address_of(params: DaskParams) -> str:
    """The scheduler's address, "" for none. PluginError for one that cannot be used, or that others could listen to."""
    found = _from_file(params.scheduler_file) if params.scheduler_file else params.address
    return safe(found, "executor.address") if found else ""


def safe(address: str, what: str) -> str:
    """The address, where it is encrypted or of this machine. PluginError otherwise."""
    scheme, _, rest = address.partition("://")
    host, _, port = rest.rpartition(":")
    if scheme not in ("tcp", "tls") or not host or not port.isdecimal():
        msg = f"{what}: '{address}' is no address of a scheduler: tls://HOST:PORT, or tcp://127.0.0.1:PORT"
        raise PluginError(msg)
    if scheme == "tcp" and not _is_loopback(host.strip("[]")):
        msg = (
            f"{what}: '{address}' is not encrypted, and whoever reaches it runs code as you: use tls:// with "
            "certificates (docs/clusters.md has the commands), or an address of this machine (tcp://127.0.0.1:PORT)"
        )
        raise PluginError(msg)
    return address


def _is_loopback(host: str) -> bool:
    try:
        found = {info[4][0] for info in socket.getaddrinfo(host, None)}
    except OSError:
        return False
    return bool(found) and all(ipaddress.ip_address(one).is_loopback for one in found)


def _from_file(path: Path) -> str:
    try:
        with path.open("rb") as file:
            found = json.loads(file.read(_LARGEST))
        address = found["address"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        msg = (
            f"executor.scheduler_file '{path}': it holds no scheduler's address ({type(error).__name__}): name the "
            "file that `dask scheduler --scheduler-file` writes, once it runs"
        )
        raise PluginError(msg) from error
    return str(address)


def _security(params: DaskParams) -> Security | None:
    """Certificates of the params, else those of Dask's own configuration."""
    if not params.tls_ca_file:
        return None
    for path in (params.tls_ca_file, params.tls_cert, params.tls_key):
        if path is None or not path.is_file():
            msg = f"executor: there is no file '{path}'; docs/clusters.md has the commands that make certificates"
            raise PluginError(msg)
    _, distributed = _libraries()
    made: Security = distributed.Security(
        tls_ca_file=str(params.tls_ca_file),
        tls_client_cert=str(params.tls_cert),
        tls_client_key=str(params.tls_key),
        require_encryption=True,
    )
    return made


def _libraries() -> tuple[Any, Any]:
    try:
        import dask
        import distributed
    except ImportError as error:
        msg = f"executor dask needs the package distributed ({error}): pip install 'harness[dask]'"
        raise PluginError(msg) from error
    logging.getLogger("distributed").setLevel(logging.CRITICAL)  # what is lost is said in the harness's words
    return dask, distributed
