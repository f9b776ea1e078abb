"""Energy counters of the hardware: RAPL for CPUs, NVML for NVIDIA GPUs. Counted, or not measured and why.

The names of the counters say what is covered: `rapl package-0` is a CPU without its memory, `rapl package-0 dram` the
memory beside it, `nvml GPU 0` a whole board. Disks, fans and power supplies have no counter.

A method that misses a part of the machine (one package unreadable, one GPU without a counter) is not used at all. What
is counted is the whole machine, whoever works on it; so is idling, which is measured to be subtracted.

https://docs.kernel.org/power/powercap/powercap.html and nvmlDeviceGetTotalEnergyConsumption of the NVML API reference.
"""

from __future__ import annotations

import importlib
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeVar

from harness.measuring.machine import detect

POWERCAP = Path("/sys/class/powercap")
J_PER_UJ, J_PER_MJ = 1e-6, 1e-3
ROUNDS = 10  # windows, idle and of each row; intervals are taken over them
NO_RAPL, NO_GPU = "no readable RAPL counter", "no NVIDIA GPU"
T = TypeVar("T")


class CounterError(Exception):
    """A counter cannot be read; says which and why."""


class Counter(Protocol):
    """One energy counter."""

    @property
    def name(self) -> str:
        """`rapl package-0`: its method first."""

    def joules(self) -> float:
        """Since it was opened. CounterError."""


@dataclass
class Rapl:
    """A zone of powercap. Its counter starts again from 0 when it has reached its range."""

    folder: Path
    name: str = ""
    _range: int = 0  # µJ
    _last: int = 0
    _total: int = 0

    def __post_init__(self) -> None:
        self.name = f"rapl {_zone(self.folder)}"
        self._range = _number(self.folder / "max_energy_range_uj")
        self._last = _number(self.folder / "energy_uj")

    def joules(self) -> float:
        """What was counted since it was opened, across restarts: it must be read more often than it restarts."""
        now = _number(self.folder / "energy_uj")
        self._total += now - self._last if now >= self._last else now + self._range - self._last
        self._last = now
        return self._total * J_PER_UJ


@dataclass
class Nvml:
    """A GPU's counter since the driver was loaded, in mJ: Volta and later. The driver refreshes it every 20–100 ms."""

    nvml: Any  # the module pynvml
    index: int
    name: str = ""
    _first: float = 0.0

    def __post_init__(self) -> None:
        self.name = f"nvml GPU {self.index}"
        self._first = self._read()

    def joules(self) -> float:
        """What was counted since it was opened."""
        return self._read() - self._first

    def _read(self) -> float:
        try:
            handle = self.nvml.nvmlDeviceGetHandleByIndex(self.index)
            return float(self.nvml.nvmlDeviceGetTotalEnergyConsumption(handle)) * J_PER_MJ
        except self.nvml.NVMLError as error:
            msg = f"GPU {self.index} gives no energy counter: {error}"
            raise CounterError(msg) from error


@dataclass(frozen=True)
class Meter:
    """Every counter of this machine that can be read, or why there is none."""

    counters: Sequence[Counter]
    missing: tuple[str, ...] = ()  # per method without counters: the reason

    @property
    def names(self) -> list[str]:
        """The counters, method first."""
        return [counter.name for counter in self.counters]

    @property
    def method(self) -> str:
        """`rapl`, `nvml` or `rapl+nvml`; nothing without a counter."""
        return "+".join(dict.fromkeys(name.split()[0] for name in self.names))

    @property
    def reason(self) -> str:
        """Why nothing can be measured."""
        return ", ".join(self.missing)

    def joules(self) -> float:
        """The sum of all counters. CounterError."""
        return sum(counter.joules() for counter in self.counters)

    def window(self, work: Callable[[], T]) -> tuple[T, Window]:
        """Do the work between two readings."""
        before, start = self.joules(), time.perf_counter()
        result = work()
        return result, Window(self.joules() - before, time.perf_counter() - start)


@dataclass(frozen=True)
class Window:
    """What was counted over a stretch of time."""

    joules: float
    seconds: float


def find_meter(powercap: Path = POWERCAP, gpus: Sequence[str] | None = None, nvml: Any = None) -> Meter:
    """Open the counters of this machine. `gpus`: their names (None: look), `nvml`: pynvml (None: import it)."""
    found = [_rapl(powercap), _nvml(detect().identity.gpus if gpus is None else gpus, nvml)]
    counters = [counter for part in found if not isinstance(part, str) for counter in part]
    return Meter(counters, tuple(part for part in found if isinstance(part, str)))


def _rapl(powercap: Path) -> list[Counter] | str:
    """Packages, and the memory beside them where no `psys` counts it; `core` and `uncore` are inside a package."""
    try:
        zones = {path: _text(path / "name") for path in sorted(powercap.glob("intel-rapl:*"))}
        beside = () if "psys" in zones.values() else ("dram",)
        found: list[Counter] = [Rapl(path) for path, name in zones.items() if name.startswith(("package", *beside))]
    except CounterError as error:
        return f"{NO_RAPL}: {error}"
    return found if any(name.startswith("package") for name in zones.values()) else NO_RAPL


def _zone(folder: Path) -> str:
    """`package-0`; `package-0 dram` for `intel-rapl:0:2`, which belongs to `intel-rapl:0`."""
    parent = folder.with_name(folder.name.rpartition(":")[0])
    own = _text(folder / "name")
    return f"{_text(parent / 'name')} {own}" if ":" in parent.name else own


def _nvml(gpus: Sequence[str], nvml: Any) -> list[Counter] | str:
    if not gpus:
        return NO_GPU
    try:
        nvml = nvml or importlib.import_module("pynvml")
    except ModuleNotFoundError:
        return "a GPU's counter needs pynvml: pip install 'harness[energy]'"
    try:
        nvml.nvmlInit()
        return [Nvml(nvml, index) for index in range(nvml.nvmlDeviceGetCount())] or NO_GPU
    except nvml.NVMLError as error:
        return f"NVML does not answer: {error}"
    except CounterError as error:
        return str(error)


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii").strip()
    except PermissionError as error:
        msg = f"{path} may be read by root only"
        raise CounterError(msg) from error
    except (OSError, ValueError) as error:
        msg = f"{path} cannot be read: {error}"
        raise CounterError(msg) from error


def _number(path: Path) -> int:
    text = _text(path)
    if not text.isdecimal():
        msg = f"{path} holds {text[:40]!r}, expected a whole number of microjoules"
        raise CounterError(msg)
    return int(text)
