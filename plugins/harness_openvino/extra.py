"""Is the extra installed, and does this CPU have bf16? Imports nothing heavy: plans ask."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec

from harness import choices, cpu_flags

_INSTALL = "pip install 'harness[openvino]'"
_SEEN = "2026.4"  # the version whose gaps are known; what others cannot do, their stages find out
_GAPS = {
    "lstm": "answers padded batches of 'lstm' wrongly",
    "srupp": "cannot answer batches of 'srupp'",
}
BF16 = ("amx_bf16", "avx512_bf16", "bf16")  # of x86, best first; the last is ARM's


def absent(*names: str) -> str | None:
    """Why nothing can be done without these packages, and how to get them; None where they are here."""
    missing = [name for name in names if find_spec(name) is None]
    return f"needs {choices(missing)}, which {_INSTALL} installs" if missing else None


def gap(student: str) -> str | None:
    """What the installed version is known not to do with one of the bundled students."""
    try:
        seen = version("openvino").startswith(f"{_SEEN}.")
    except PackageNotFoundError:
        return None
    return f"OpenVINO {_SEEN} {_GAPS[student]}: leave it to ONNX Runtime" if seen and student in _GAPS else None


def no_bf16() -> str | None:
    """Why arithmetic in bf16 makes no sense here: where it is emulated, it is slower than fp32 and tells nothing."""
    flags = cpu_flags()
    if flags & {*BF16}:
        return None
    return f"needs a CPU with instructions for bf16, one of {choices(BF16)}; this one has {choices(flags)}"
