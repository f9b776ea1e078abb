"""What machine this is (decides comparability) and how it was doing (does not). Never a host name."""

from __future__ import annotations

import functools
import os
import platform
import re
import shutil
import subprocess
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

GIB = 2**30
# What the kernels of runtimes dispatch on, best first. int8 answers differ between these classes: without VNNI,
# products of two int8 pairs saturate at 16 bits.
ISA_LEVELS = {
    "x86_64": ("amx_int8", "avx512_vnni", "avx_vnni", "avx512f", "avx2"),
    "aarch64": ("i8mm", "asimddp", "asimd"),
}
FLAGS = {
    "x86_64": (
        "amx_int8",
        "amx_bf16",
        "avx512_bf16",
        "avx512_fp16",
        "avx512_vnni",
        "avx512f",
        "avx_vnni",
        "avx2",
        "fma",
    ),
    "aarch64": ("bf16", "i8mm", "sve", "sve2", "asimddp", "asimdhp", "asimd"),
}
NAME_NUMBERS = {"cpu family": "family", "model": "model", "CPU implementer": "implementer", "CPU part": "part"}


@dataclass(frozen=True, kw_only=True)
class Identity:
    """What decides whether two measurements may stand in one column."""

    cpu: str  # model name
    isa: str  # "x86-64-avx512_vnni": the best class of instructions that kernels dispatch on
    flags: tuple[str, ...]  # those of FLAGS that it has
    physical_cores: int  # that this process may run on
    logical_cores: int  # likewise
    cpu_quota: float | None  # CPUs' worth of time that the container grants
    memory_gib: int
    memory_limit_gib: float | None  # the container's
    system: str  # "Linux 6.18"
    gpus: tuple[str, ...]

    @property
    def usable_cores(self) -> int:
        """How many threads can run at once without sharing a core: the default of `threads`."""
        return self.physical_cores if self.cpu_quota is None else max(1, min(self.physical_cores, int(self.cpu_quota)))


@dataclass(frozen=True, kw_only=True)
class Observations:
    """How the machine was doing. None: the system does not tell."""

    load_average: tuple[float, float, float] | None
    governor: str | None
    frequency_mhz: float | None  # mean over the CPUs
    steal_s: float | None  # since boot: time that a hypervisor gave to others


@dataclass(frozen=True, kw_only=True)
class Machine:
    """Identity and observations, apart."""

    identity: Identity
    observations: Observations

    @property
    def isa(self) -> str:
        """The class of instructions that int8 answers depend on."""
        return self.identity.isa

    def identity_key(self) -> dict[str, Any]:
        """The identity as JSON, for keys."""
        return {name: list(v) if isinstance(v, tuple) else v for name, v in asdict(self.identity).items()}

    def as_json(self) -> dict[str, Any]:
        """Both parts as JSON, for records."""
        return {"identity": self.identity_key(), "observations": asdict(self.observations)}


def cpu_flags() -> frozenset[str]:
    """Instruction sets that this machine's CPUs have, of those that kernels differ by: `avx512_bf16`, `amx_int8`, …"""
    return frozenset(_identity().flags)


def detect() -> Machine:
    """This machine as this process may use it."""
    return Machine(identity=_identity(), observations=observe())


def observe() -> Observations:
    """How the machine is doing now."""
    loads = os.getloadavg() if hasattr(os, "getloadavg") else None
    cpufreq = Path("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor")
    return Observations(
        load_average=None if loads is None else (round(loads[0], 2), round(loads[1], 2), round(loads[2], 2)),
        governor=_read(cpufreq).strip() or None,
        frequency_mhz=parse_frequency(_read(Path("/proc/cpuinfo"))),
        steal_s=parse_steal(_read(Path("/proc/stat"))),
    )


def versions(names: Iterable[str]) -> dict[str, str]:
    """Distribution → installed version, "absent" where it is not installed. Imports none of them.

    `os` is the operating system's distribution, `python` the interpreter, `libc` what both are linked to.
    """
    return {name: PLATFORM[name]() if name in PLATFORM else _version(name) for name in sorted(names)}


def parse_cpuinfo(text: str) -> list[dict[str, str]]:
    """/proc/cpuinfo → one dict per logical CPU."""
    blocks = [block for block in text.split("\n\n") if block.startswith("processor")]
    return [{k.strip(): v.strip() for k, _, v in (line.partition(":") for line in b.splitlines())} for b in blocks]


def parse_frequency(cpuinfo: str) -> float | None:
    """Mean of the `cpu MHz` lines."""
    values = [float(value) for value in re.findall(r"^cpu MHz\s*:\s*([\d.]+)", cpuinfo, re.MULTILINE)]
    return round(sum(values) / len(values), 1) if values else None


def parse_steal(stat: str) -> float | None:
    """Seconds of stolen time from the first line of /proc/stat (`man 5 proc`: the eighth figure, in ticks)."""
    fields = stat.partition("\n")[0].split()
    return int(fields[8]) / os.sysconf("SC_CLK_TCK") if fields[:1] == ["cpu"] and len(fields) > 8 else None


def isa_class(architecture: str, flags: Iterable[str]) -> str:
    """`x86-64-avx512_vnni`: the architecture with the best of its ISA_LEVELS that the flags hold, else `-baseline`."""
    present = set(flags)
    best = next((level for level in ISA_LEVELS.get(architecture, ()) if level in present), "baseline")
    return f"{architecture.replace('_', '-')}-{best}"


def cpu_name(cpu: Mapping[str, str]) -> str:
    """`AMD EPYC (family 26, model 2)`: hypervisors shorten the name; ARM kernels give numbers only."""
    numbers = [f"{label} {cpu[key]}" for key, label in NAME_NUMBERS.items() if key in cpu]
    return f"{cpu.get('model name', 'ARM')} ({', '.join(numbers)})" if numbers else cpu.get("model name", "")


def cores(cpus: Iterable[Mapping[str, str]], allowed: set[int] | None) -> tuple[int, int]:
    """(physical, logical) cores among the allowed CPUs (None: all). A CPU that names no core is one by itself."""
    mine = [cpu for cpu in cpus if allowed is None or int(cpu["processor"]) in allowed]
    physical = {(cpu.get("physical id"), cpu.get("core id", f"cpu{cpu['processor']}")) for cpu in mine}
    return len(physical), len(mine)


@functools.cache
def _identity() -> Identity:
    architecture = {"AMD64": "x86_64", "arm64": "aarch64"}.get(platform.machine(), platform.machine())
    cpus = parse_cpuinfo(_read(Path("/proc/cpuinfo")))
    first = cpus[0] if cpus else {}
    flags = (first.get("flags") or first.get("Features") or "").split()
    allowed = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else None
    physical, logical = cores(cpus, allowed) if cpus else (os.cpu_count() or 1,) * 2
    quota, limit = container_limits(Path("/sys/fs/cgroup"), _read(Path("/proc/self/cgroup")))
    return Identity(
        cpu=cpu_name(first) or platform.processor() or "unknown",
        isa=isa_class(architecture, flags),
        flags=tuple(flag for flag in FLAGS.get(architecture, ()) if flag in flags),
        physical_cores=physical,
        logical_cores=logical,
        cpu_quota=quota,
        memory_gib=round(_memory_bytes() / GIB),
        memory_limit_gib=None if limit is None or limit >= _memory_bytes() else round(limit / GIB, 2),
        system=" ".join([platform.system(), *re.findall(r"^\d+\.\d+", platform.release())]),
        gpus=_gpus(),
    )


def container_limits(root: Path, membership: str) -> tuple[float | None, int | None]:
    """(CPUs' worth of time, bytes of memory) that control groups grant; None: no limit.

    `membership` is the text of /proc/self/cgroup. A group is bound by all groups above it too. Both versions are read:
    https://docs.kernel.org/admin-guide/cgroup-v2.html and cgroup-v1.
    """
    folders = [folder for line in membership.splitlines() for folder in _group_folders(root, line)]
    quotas = [quota for folder in folders if (quota := _cpu_quota(folder)) is not None]
    texts = [_read(folder / name).strip() for folder in folders for name in ("memory.max", "memory.limit_in_bytes")]
    limits = [int(text) for text in texts if text.isdecimal()]
    return min(quotas, default=None), min(limits, default=None)


def _group_folders(root: Path, line: str) -> list[Path]:
    """`4:memory:/a/b` → root/memory/a/b, root/memory/a, root/memory; `0::/a` → the same under root and root/unified."""
    _, controllers, path = line.split(":", 2)
    bases = [root / controllers] if controllers else [root, root / "unified"]
    parts = [part for part in path.split("/") if part not in {"", ".."}]
    return [base.joinpath(*parts[:depth]) for base in bases for depth in range(len(parts), -1, -1)]


def _cpu_quota(folder: Path) -> float | None:
    words = _read(folder / "cpu.max").split()
    words = words or [_read(folder / f"cpu.cfs_{name}_us").strip() for name in ("quota", "period")]
    return int(words[0]) / int(words[1]) if len(words) == 2 and all(word.isdecimal() for word in words) else None


def _memory_bytes() -> int:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def _gpus() -> tuple[str, ...]:
    """Names of NVIDIA GPUs, sorted. The driver's own listing costs nothing; nvidia-smi is asked where it is missing."""
    listed = [_read(path) for path in Path("/proc/driver/nvidia/gpus").glob("*/information")]
    names = [match[1].strip() for text in listed if (match := re.search(r"^Model:(.*)$", text, re.MULTILINE))]
    return tuple(sorted(names or nvidia_smi()))


def nvidia_smi() -> list[str]:
    """What `nvidia-smi` lists; nothing where it is missing or finds no driver."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return []
    command = [program, "--query-gpu=name", "--format=csv,noheader"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=True)
    except (OSError, subprocess.SubprocessError):  # installed, but without a driver
        return []
    return [line.strip() for line in done.stdout.splitlines() if line.strip()]


def _os() -> str:
    """`Debian GNU/Linux 13 (trixie)`."""
    try:
        return platform.freedesktop_os_release()["PRETTY_NAME"]
    except (OSError, KeyError):  # not Linux, or a system without /etc/os-release
        return platform.platform(terse=True)


def _libc() -> str:
    return " ".join(platform.libc_ver()).strip() or "absent"


PLATFORM: Mapping[str, Callable[[], str]] = {
    "os": _os,
    "python": lambda: f"{platform.python_implementation()} {platform.python_version()}",
    "libc": _libc,
}


def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return "absent"


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
