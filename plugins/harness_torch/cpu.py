"""What this machine's CPU does by itself. Imports nothing heavy: plans ask, too."""

from __future__ import annotations

from harness import choices, cpu_flags

BF16 = ("amx_bf16", "avx512_bf16", "bf16")  # of x86, best first; the last is ARM's


def no_bf16() -> str | None:
    """Why arithmetic in bf16 makes no sense here: where it is emulated, it is slower than fp32 and tells nothing."""
    flags = cpu_flags()
    if flags & {*BF16}:
        return None
    return f"needs a CPU with instructions for bf16, one of {choices(BF16)}; this one has {choices(flags)}"


def bf16_flags() -> list[str]:
    """The instructions for bf16 that this CPU has, best first."""
    flags = cpu_flags()
    return [flag for flag in BF16 if flag in flags]
