"""Every kind of fault, in the order of the table."""

from __future__ import annotations

from benchmarks.faults import disk, hostile, kills

KINDS = (*kills.KINDS, *disk.KINDS, *hostile.KINDS)
