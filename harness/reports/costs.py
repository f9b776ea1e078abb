"""Sections about speed and size."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from harness.measuring.energy import ROUNDS
from harness.measuring.size import MIB
from harness.reports import format as fmt
from harness.reports.escape import markdown
from harness.reports.model import Absent, Figure, Measurement, Ranged, Report, Row
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

_GPU_ALONE = " What the CPU takes is not in it."
_NO_MEMORY = " What memory takes is not in it."


def speed_section(report: Report) -> Lines:
    """Ratios and times, cold start, memory and energy, and how far to trust them; latency as the study measures it."""
    if not report.measurements:
        return []
    blocks = (_ratios(report), _start(report), _measurements(report), _how(report), _energy(report))
    return [*section("Speed", *blocks), *_latency_section(report)]


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
    energy = [Shown("J per example ↓")] if _asked_for_energy(report) else []
    rows = [
        [
            name(row),
            figure(row.speed.load_ms),
            figure(row.speed.first_answer_ms),
            figure(row.speed.peak_mib),
            *(measured(row.speed.joules_per_example) for _ in energy),
            row.speed.measurement,
        ]
        for row in report.rows
    ]
    headers = ["row", Shown("load, ms ↓"), Shown("first answer, ms ↓"), Shown("peak memory, MiB ↓")]
    return table([*headers, *energy, "measurement"], rows, "lrrr" + "r" * len(energy) + "l")


def _asked_for_energy(report: Report) -> bool:
    return report.run["measure"].get("energy") is not None  # records of earlier versions say nothing of it


def _energy(report: Report) -> Lines:
    """What was counted and what idling took; nothing where nothing was: the table says why."""
    return bullets(
        f"J per example, measurement {one.name}: text to answer, one by one, in {ROUNDS} windows; counted by "
        f"{markdown(', '.join(one.counters))} for the whole machine, less {fmt.significant(one.idle_watts)} W idle."
        f"{_uncounted(one.counters)}"
        for one in report.measurements
        if not isinstance(one.idle_watts, Absent)
    )


def _uncounted(counters: Sequence[str]) -> str:
    """Which part of the machine the counters leave out."""
    if all(counter.startswith("nvml") for counter in counters):
        return _GPU_ALONE
    return "" if any(counter.endswith("dram") for counter in counters) else _NO_MEMORY


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
            *_warmup(config),
            "forward: arrays to arrays. request: text to answer. throughput, examples/s: text to answer, in batches.",
            "A ratio is the median over blocks of anchor's time / row's time in the same block; above 1 is faster.",
            "?: not resolved (the interval spans more than × 1.5, or the noise does): compared with no other row.",
            "Noise: how far the anchor and its twin (the same artifact again) may be apart. What reaches into it: ≈ 1.",
            "Rows that differ only in how their weights were trained share a measurement of the first seed's artifact.",
            "load: imports and model in a fresh process. Peak memory: the most that it ever held. One reading each.",
        )
    )


def _warmup(config: Mapping[str, Any]) -> Lines:
    if config.get("warmup") != "all":  # records of earlier versions do not say: it was the first block's draw
        return []
    return ["Everybody had answered all these examples before: runtimes that compile for each length had met them all."]


# ------------------------------------------------------------------------------------------------------------ latency


def _latency_section(report: Report) -> Lines:
    """One batch of a fixed shape, mean ± standard deviation; nothing where the suite does not ask for it."""
    if "fixed" not in report.run["measure"]["speed"]["workloads"]:
        return []
    rows = [
        [
            name(row),
            integer(row.size.parameters),
            _mean_and_spread(row.speed.batch_seconds, row.speed.batch_seconds_std),
            ratio_cell(row.speed.fixed, row.anchor),
        ]
        for row in report.rows
    ]
    headers = ["row", "parameters", Shown("seconds per batch ↓"), Shown("× faster ↑")]
    return section("Latency as the study measures it", table(headers, rows, "lrrr"), _latency_how(report))


def _mean_and_spread(mean: Ranged, spread: Figure) -> Content:
    """`0.00780 ± 0.00021`."""
    if isinstance(mean, Absent):
        return mean
    if isinstance(spread, Absent) or not spread:
        return Shown(fmt.significant(mean.value))
    places = fmt.decimals([spread])
    return Shown(f"{fmt.fixed(mean.value, places)} ± {fmt.fixed(spread, places)}")


def _latency_how(report: Report) -> Lines:
    config, threads = report.run["measure"]["speed"]["fixed"], report.measurements[0].threads
    length = "the longest of the batch" if config["length"] is None else f"{config['length']} tokens"
    noise = [f"{_floor_text(one.floors['fixed'])} in measurement {one.name}" for one in report.measurements]
    return bullets(
        (
            f"One batch for all: the first {config['batch_size']} rows of the test data, padded to {length}, collated "
            f"by one function before the clock starts; {threads} thread{'s' if threads != 1 else ''}.",
            f"Warm-ups: {config['warmups']} passes. A latency: the mean of {config['runs']} timed passes, arrays to "
            f"arrays. Repeats: {config['repeats']}, every row once in each, in random order, all others stopped; "
            "mean ± standard deviation over the repeats.",
            "× faster: the median over repeats of anchor's / row's latency in the same repeat. "
            f"Noise, anchor against its twin: {', '.join(noise)}.",
        )
    )


def _floor_text(value: Figure) -> str:
    return "unknown" if isinstance(value, Absent) else fmt.off(value)


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
    if kind not in row.size.bytes:
        return Absent("no kind that the row's compressor tells apart")
    return Shown(fmt.mib(row.size.bytes[kind] / MIB))
