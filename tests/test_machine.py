"""Machine: parsed from texts of several systems; what decides comparability apart from what does not."""

import json
import platform
import socket
import subprocess
import sys
from importlib import metadata

import pytest

from harness.measuring import machine
from harness.measuring.machine import (
    container_limits,
    cores,
    cpu_name,
    detect,
    isa_class,
    parse_cpuinfo,
    parse_frequency,
    parse_steal,
    versions,
)

X86 = "\n\n".join(
    f"processor\t: {i}\nmodel\t\t: 143\nmodel name\t: Xeon\ncpu family\t: 6\ncpu MHz\t\t: {2000 + i * 100}.000\n"
    f"physical id\t: {i // 4}\ncore id\t\t: {i % 2}\nflags\t\t: fpu avx2 fma"
    for i in range(8)  # two sockets of two cores with two threads each
)
ARM = "processor\t: 0\nFeatures\t: fp asimd asimddp\nCPU implementer\t: 0x41\nCPU part\t: 0xd0c\n\nHardware\t: board\n"


def test_cores_are_those_that_the_process_may_use():
    cpus = parse_cpuinfo(X86)
    assert cores(cpus, None) == (4, 8)
    assert cores(cpus, {0, 2}) == (1, 2)  # two threads of one core
    assert cores(cpus, {0, 1, 4}) == (3, 3)
    assert cores(parse_cpuinfo(ARM), None) == (1, 1)


def test_names_hold_what_tells_two_processors_apart():
    assert cpu_name(parse_cpuinfo(X86)[0]) == "Xeon (family 6, model 143)"
    assert cpu_name(parse_cpuinfo(ARM)[0]) == "ARM (implementer 0x41, part 0xd0c)"
    assert cpu_name({}) == ""


@pytest.mark.parametrize(
    ("architecture", "flags", "expected"),
    [
        ("x86_64", "sse2", "x86-64-baseline"),
        ("x86_64", "avx2 fma", "x86-64-avx2"),
        ("x86_64", "avx2 avx_vnni fma", "x86-64-avx_vnni"),
        ("x86_64", "avx2 avx512f", "x86-64-avx512f"),
        ("x86_64", "avx_vnni avx512f avx512_vnni avx2", "x86-64-avx512_vnni"),
        ("x86_64", "avx512_vnni amx_int8", "x86-64-amx_int8"),
        ("aarch64", "asimd asimddp", "aarch64-asimddp"),
        ("riscv64", "v", "riscv64-baseline"),
    ],
)
def test_the_isa_class_is_the_best_that_int8_kernels_use(architecture, flags, expected):
    assert isa_class(architecture, flags.split()) == expected


def test_observations_are_parsed_or_absent():
    assert parse_frequency(X86) == 2350.0
    assert parse_frequency(ARM) is None
    assert parse_steal("cpu  1 2 3 4 5 6 7 250 0 0\ncpu0 9 9 9 9 9 9 9 9\n") == pytest.approx(2.5)
    assert parse_steal("") is None


def write(root, path, text):
    (root / path).parent.mkdir(parents=True, exist_ok=True)
    (root / path).write_text(text)


def test_a_container_is_bound_by_its_groups_and_by_those_above(tmp_path):
    write(tmp_path, "a/b/cpu.max", "max 100000\n")
    write(tmp_path, "a/cpu.max", "250000 100000\n")
    write(tmp_path, "a/b/memory.max", "2147483648\n")
    write(tmp_path, "a/memory.max", "max\n")
    assert container_limits(tmp_path, "0::/a/b\n") == (2.5, 2**31)
    assert container_limits(tmp_path, "0::/elsewhere\n") == (None, None)


def test_first_version_control_groups_count_too(tmp_path):
    write(tmp_path, "cpu,cpuacct/job/cpu.cfs_quota_us", "150000\n")
    write(tmp_path, "cpu,cpuacct/job/cpu.cfs_period_us", "100000\n")
    write(tmp_path, "cpu,cpuacct/cpu.cfs_quota_us", "-1\n")
    write(tmp_path, "cpu,cpuacct/cpu.cfs_period_us", "100000\n")
    write(tmp_path, "memory/memory.limit_in_bytes", "1073741824\n")
    membership = "4:memory:/hidden/by/the/container\n3:cpu,cpuacct:/job\n0::/\n"
    assert container_limits(tmp_path, membership) == (1.5, 2**30)


@pytest.mark.parametrize(("quota", "usable"), [(None, 8), (2.5, 2), (0.5, 1), (64.0, 8)])
def test_threads_follow_what_the_container_grants(quota, usable):
    identity = machine.Identity(
        cpu="x", isa="x", flags=(), physical_cores=8, logical_cores=16, cpu_quota=quota,
        memory_gib=1, memory_limit_gib=None, system="x", gpus=(),
    )  # fmt: skip
    assert identity.usable_cores == usable


def test_this_machine_has_an_identity_without_its_name():
    here = detect()
    key = here.identity_key()
    assert json.loads(json.dumps(key)) == key
    assert here.isa == key["isa"]
    assert key["isa"].startswith(platform.machine().replace("_", "-"))
    assert 1 <= here.identity.usable_cores <= key["physical_cores"] <= key["logical_cores"]
    assert key["memory_gib"] >= 1
    words = json.dumps(here.as_json()).replace('"', " ").split()
    assert not {socket.gethostname(), platform.node()} & set(words)


def test_how_the_machine_is_doing_does_not_decide_who_it_is():
    first, second = detect(), detect()
    assert first.identity_key() == second.identity_key()
    assert not set(first.identity_key()) & {"load_average", "governor", "frequency_mhz", "steal_s"}
    assert first.as_json().keys() == {"identity", "observations"}


def test_gpus_are_named_by_the_driver(tmp_path, monkeypatch):
    monkeypatch.setattr(machine.shutil, "which", lambda name: str(tmp_path / name))
    program = tmp_path / "nvidia-smi"
    program.write_text("#!/bin/sh\necho 'NVIDIA T4'\necho 'NVIDIA A10'\n")
    program.chmod(0o755)
    assert machine.nvidia_smi() == ["NVIDIA T4", "NVIDIA A10"]
    program.write_text("#!/bin/sh\necho 'NVIDIA-SMI has failed'\nexit 9\n")
    assert machine.nvidia_smi() == []


def test_versions_are_read_without_importing():
    found = versions(["pytest", "no-such-distribution"])
    assert found == {"no-such-distribution": "absent", "pytest": metadata.version("pytest")}
    heavy = "('torch', 'numpy', 'onnxruntime')"
    code = f"import sys; from harness.measuring import machine; machine.versions(['torch', 'numpy']); machine.detect(); print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
