"""Every kind of fault, in the order of the table."""

from __future__ import annotations

from benchmarks.faults import cluster, corruption, crowd, disk, hostile, inputs, kills, places

KINDS = (
    *kills.KINDS,
    *disk.KINDS,
    *corruption.KINDS,
    *crowd.KINDS,
    *cluster.KINDS,
    *inputs.KINDS,
    *places.KINDS,
    *hostile.KINDS,
)
