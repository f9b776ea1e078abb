"""Sections about speed and size."""

from __future__ import annotations

from harness.measuring.size import MIB
from harness.reports import format as fmt
from harness.reports.escape import markdown
from harness.reports.model import Absent, Figure, Measurement, Report, Row
from harness.reports.tables import (
    Content,
    Lines,
    Shown,
    bullets,
    figure,
    integer,
    measured,
    name,
    ratio_cell,
    section,
    table,
)


def speed_section(report: Report) -> Lines:
    """Ratios and times, cold start and memory, and how far to trust them."""
    if not report.measurements:
        return []
    return section("Speed", _ratios(report), _start(report), _measurements(report), _how(report))


def _ratios(report: Report) -> Lines:
    rows = [
        [
            name(row),
            *(ratio_cell(ratio, row.anchor) for ratio in (row.speed.forward, row.speed.request, row.speed.throughput)),
            measured(row.speed.forward_ms),
            measured(row.speed.request_ms),
            measured(row.speed.p50_ms),
            measured(row.speed.p90_ms),
            measured(row.speed.examples_per_s),
        ]
        for row in report.rows
    ]
    headers = [
        "row",
        Shown("× faster, forward ↑"),
        Shown("× faster, request ↑"),
        Shown("× throughput ↑"),
        Shown("forward, ms ↓"),
        Shown("request, ms ↓"),
        Shown("request p50, ms ↓"),
        Shown("request p90, ms ↓"),
        Shown("examples/s ↑"),
    ]
    return table(headers, rows, "lrrrrrrrr")


def _start(report: Report) -> Lines:
    rows = [
        [
            name(row),
            figure(row.speed.load_ms),
            figure(row.speed.first_answer_ms),
            figure(row.speed.peak_mib),
            row.speed.measurement,
        ]
        for row in report.rows
    ]
    headers = ["row", Shown("load, ms ↓"), Shown("first answer, ms ↓"), Shown("peak memory, MiB ↓"), "measurement"]
    return table(headers, rows, "lrrrl")


def _measurements(report: Report) -> Lines:
    rows = [
        [
            Shown(measurement.name),
            ", ".join(measurement.rows),
            *(_floor(measurement.floors[kind]) for kind in ("forward", "request", "throughput")),
            _load(measurement),
        ]
        for measurement in report.measurements
    ]
    noise = [Shown(f"noise, {kind}") for kind in ("forward", "request", "throughput")]
    return table(["measurement", "rows that it holds for", *noise, "load before → after"], rows, "llrrrr")


def _floor(value: Figure) -> Content:
    return value if isinstance(value, Absent) else Shown(fmt.off(value))


def _load(measurement: Measurement) -> Content:
    if measurement.load_before is None or measurement.load_after is None:
        return Absent("the system does not tell")
    return Shown(f"{measurement.load_before:.2f} → {measurement.load_after:.2f}")


def _how(report: Report) -> Lines:
    config, threads = report.run["measure"]["speed"], report.measurements[0].threads
    return bullets(
        (
            f"Batch 1 over {config['inputs']} test examples a block, each window at its natural length; throughput in "
            f"batches of {config['batch_size']} sorted by length; {config['blocks']} blocks, at least "
            f"{config['turn_ms']:g} ms a turn, {threads} thread{'s' if threads != 1 else ''}.",
            "forward: arrays to arrays. request: text to answer. throughput, examples/s: text to answer, in batches.",
            "A ratio is the median over blocks of anchor's time / row's time in the same block; above 1 is faster.",
            "?: not resolved (the interval spans more than × 1.5, or the noise does): compared with no other row.",
            "Noise: how far the anchor and its twin (the same artifact again) may be apart. What reaches into it: ≈ 1.",
            "Rows that differ only in how their weights were trained share a measurement of the first seed's artifact.",
            "load: imports and model in a fresh process. Peak memory: the most that it ever held. One reading each.",
        )
    )


# --------------------------------------------------------------------------------------------------------------- size


def size_section(report: Report) -> Lines:
    """Files, parameters, bytes by kind of tensor."""
    kinds = sorted({kind for row in report.rows for kind in row.size.bytes})
    rows = [
        [
            name(row),
            figure(row.size.model_mib, fmt.mib),
            figure(row.size.folder_mib, fmt.mib),
            figure(row.size.times_smaller, fmt.times),
            integer(row.size.parameters),
            integer(row.size.parameters_without_embeddings),
            *(_mib(row, kind) for kind in kinds),
        ]
        for row in report.rows
    ]
    headers = [
        "row",
        Shown("model file, MiB ↓"),
        Shown("whole folder, MiB ↓"),
        Shown("× smaller ↑"),
        Shown("parameters"),
        Shown("without embeddings"),
        *(Shown(f"{markdown(kind)}, MiB") for kind in kinds),
    ]
    note = "MiB: 2^20 bytes. × smaller: model files. Parameters: of the model, less what its compressors removed."
    return section("Size", table(headers, rows, "l" + "r" * (len(headers) - 1)), [note, ""])


def _mib(row: Row, kind: str) -> Content:
    if not row.size.bytes:
        return Absent("counted by no compressor of this row")
    return Shown(fmt.mib(row.size.bytes.get(kind, 0) / MIB))
