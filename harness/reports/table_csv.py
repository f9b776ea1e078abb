"""The report as CSV: one line per row, every figure in a plain column whose name holds its unit."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator

from harness.reports.escape import csv_text
from harness.reports.model import Absent, Figure, Ranged, Ratio, Report, Row
from harness.reports.study import minutes, per_minute
from harness.specs import Metric

Field = tuple[str, str]  # column, text


def to_csv(report: Report) -> str:
    """Absent figures are empty. Numbers have six significant digits."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    lines = [list(_fields(row, report)) for row in report.rows]
    if lines:
        writer.writerow([csv_text(column) for column, _ in lines[0]])
        writer.writerows([text for _, text in line] for line in lines)
    return out.getvalue()


def _fields(row: Row, report: Report) -> Iterator[Field]:
    for axis in report.axes:
        value = row.axes.get(axis)
        yield axis, "" if value is None else csv_text(value)
    yield "anchor", "true" if row.anchor else "false"
    yield "status", csv_text(row.status)
    yield "seeds_ok", str(row.seeds_ok)
    yield "seeds", str(row.seeds)
    for metric in report.metrics:
        yield from _metric(row, metric)
    yield from _kept(row)
    yield from _size(row)
    yield from _speed(row)
    yield from _ranged("minutes_over_test_examples", minutes(row, report.examples))
    yield from _ranged("requests_per_minute", per_minute(row))
    seconds = list(row.training.seconds.values())
    yield "training_s_mean_over_seeds", _number(sum(seconds) / len(seconds)) if seconds else ""
    yield from _figure("training_with_teachers_s", row.training.with_teachers_s)
    yield from _figure("tokens_per_training_example", row.tokens)
    yield from _figure("tokens_per_test_example", row.test_tokens)


def _metric(row: Row, metric: Metric) -> Iterator[Field]:
    percent = metric.unit == "%"
    factor, unit = (100.0, "_percent") if percent else (1.0, f"_{metric.unit}" if metric.unit else "")
    score = row.quality[metric.name]
    yield from _ranged(f"{metric.name}{unit}", score.interval, factor)
    yield from _ranged(f"{metric.name}_difference{'_points' if percent else unit}", score.difference, factor)
    yield from _ranged(f"{metric.name}_kept_of_anchor_percent", score.retention, 100.0)


def _kept(row: Row) -> Iterator[Field]:
    """Where several metrics should be kept, columns begin with the metric, and with whose where it is kept of two."""
    metrics = [kept.metric for kept in row.keeps]
    for kept in row.keeps:
        about = kept.metric if metrics.count(kept.metric) == 1 else f"{kept.metric}_of_{kept.of}"
        lead = f"{about}_" if row.also_kept else ""
        if kept.bars:
            yield f"{lead}kept_of", csv_text(kept.of)
            yield from _ranged(f"{about}_kept_percent", kept.interval, 100.0)
        for bar in kept.bars:
            verdict = "" if isinstance(bar.verdict, Absent) else bar.verdict
            yield f"{lead}at_least_{bar.at_least * 100:g}_percent", verdict


def _size(row: Row) -> Iterator[Field]:
    yield from _figure("model_mib", row.size.model_mib)
    yield from _figure("folder_mib", row.size.folder_mib)
    yield from _figure("times_smaller", row.size.times_smaller)
    yield from _figure("parameters", row.size.parameters, whole=True)
    yield from _figure("parameters_without_embeddings", row.size.parameters_without_embeddings, whole=True)


def _speed(row: Row) -> Iterator[Field]:
    yield from _ratio("times_faster_forward", row.speed.forward)
    yield from _ratio("times_faster_request", row.speed.request)
    yield from _ratio("times_throughput", row.speed.throughput)
    yield from _ranged("forward_ms", row.speed.forward_ms)
    yield from _ranged("request_ms", row.speed.request_ms)
    yield "requests_timed", str(row.speed.requests)
    yield from _ranged("request_p50_ms", row.speed.p50_ms)
    yield from _ranged("request_p90_ms", row.speed.p90_ms)
    yield from _ranged("throughput_examples_per_s", row.speed.examples_per_s)
    yield from _latency(row)
    yield from _figure("load_ms", row.speed.load_ms)
    yield from _figure("first_answer_ms", row.speed.first_answer_ms)
    yield from _figure("peak_memory_mib", row.speed.peak_mib)
    yield from _ranged("joules_per_example", row.speed.joules_per_example)
    yield from _why_not("joules_per_example", row.speed.joules_per_example)


def _latency(row: Row) -> Iterator[Field]:
    seconds = row.speed.batch_seconds
    yield from _ratio("times_faster_batch", row.speed.fixed)
    yield from _figure("batch_seconds", seconds if isinstance(seconds, Absent) else seconds.value)
    yield from _figure("batch_seconds_std", row.speed.batch_seconds_std)


def _ratio(column: str, ratio: Ratio) -> Iterator[Field]:
    yield from _ranged(column, ratio.interval)
    yield f"{column}_is_noise", "" if isinstance(ratio.interval, Absent) else str(ratio.noise).lower()


def _ranged(column: str, value: Ranged, factor: float = 1.0) -> Iterator[Field]:
    for suffix, part in (("", "value"), ("_low", "low"), ("_high", "high")):
        yield column + suffix, "" if isinstance(value, Absent) else _number(getattr(value, part) * factor)


def _why_not(column: str, value: Ranged) -> Iterator[Field]:
    """The reason beside a figure that many machines do not have."""
    yield f"{column}_why_not", csv_text(value.reason) if isinstance(value, Absent) else ""


def _figure(column: str, value: Figure, whole: bool = False) -> Iterator[Field]:
    yield column, "" if isinstance(value, Absent) else str(round(value)) if whole else _number(value)


def _number(value: float) -> str:
    return f"{value:.6g}"
