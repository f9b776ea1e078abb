"""From a record and wishes to one row. Pure but for the registry that knows the task's metrics."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, get_args

import numpy as np

from harness.errors import SuiteError, choices, did_you_mean
from harness.plugins import Registry
from harness.recommending.judging import Bar, Row, gains, judge, met, winners
from harness.recommending.model import Candidate, Excluded, Judged, Objective, Quantity, Recommendation, Wishes
from harness.records import Records
from harness.reports import format as fmt
from harness.reports.model import Absent, Ranged, Report
from harness.reports.resampled import Drawn, Resampled
from harness.reports.rows import resample
from harness.specs import Metric
from harness.statistics import RESAMPLES

REFUSED = {
    "rehearsal": "a rehearsal: its figures mean nothing; run the suite itself and ask its record",
    "random": "random weights: nothing is known of quality; run the suite with real weights and ask its record",
}
HIGHEST = 2.0  # share that a row may be asked to keep
FAILED = 3  # rows that are named though they failed a bar


def recommend(records: Records, registry: Registry, wishes: Wishes) -> Recommendation:
    """The row to take. SuiteError for a record or wishes that cannot be answered, PluginError as reports."""
    mode = records.run["mode"]
    if mode in REFUSED:
        msg = f"mode '{mode}': {REFUSED[mode]}"
        raise SuiteError(msg)
    metric = _metric([one["name"] for one in records.run["task"]["metrics"]], wishes.metric)
    _check(wishes)
    report, drawn = resample(records, registry)
    return _answer(report, drawn, next(one for one in report.metrics if one.name == metric), wishes)


def _check(wishes: Wishes) -> None:
    """SuiteError with every bar that is none."""
    problems = []
    share = wishes.min_retention
    if share is not None and not 0 <= share <= HIGHEST:
        hint = f"; {share:g} % is {share / 100:g}" if HIGHEST < share <= 100 * HIGHEST else ""
        problems.append(f"--min-retention {share:g}: expected a share from 0 to {HIGHEST:g}, such as 0.97{hint}")
    for option, value, unit in (
        ("--max-size", wishes.max_size, "MiB, such as 60"),
        ("--max-latency-ms", wishes.max_latency_ms, "milliseconds, such as 5"),
        ("--min-speedup", wishes.min_speedup, "times the anchor's speed, such as 4"),
    ):
        if value is not None and not 0 < value < float("inf"):
            problems.append(f"{option} {value:g}: expected a number above 0, {unit}")
    if problems:
        raise SuiteError(problems)


def _metric(known: Sequence[str], asked: str | None) -> str:
    if asked is None or asked in known:
        return asked or known[0]
    msg = f"--metric {asked}: the record has no such metric.{did_you_mean(asked, known)} Known: {choices(known)}"
    raise SuiteError(msg)


def _answer(report: Report, drawn: Sequence[Resampled], metric: Metric, wishes: Wishes) -> Recommendation:
    reference, confidence = _reference(drawn, metric), float(report.run["measure"]["confidence"])
    beside = next((row for row in drawn if row.row.anchor), None)
    rows = [
        Row(drawn=one, reference=reference, kept=one.kept(reference, metric), quality=one.quality(metric, beside))
        for one in drawn
    ]
    bars = _bars(wishes, reference.row.label, metric, _lowest(reference, metric))
    objective = gains(rows, wishes.objective, metric)
    _check_figures(rows, bars, objective[0], wishes)
    allowed = met(rows, bars)
    best = winners(allowed, objective)
    found = [
        _candidate(row, bars, metric, confidence, float(allowed[at, 1:].mean()), float(best[at, 1:].mean()))
        for at, row in enumerate(rows)
    ]
    by_value = [gain[:, :1] for gain in objective]
    ranked = _ranked(np.array([one.qualified for one in found]), by_value)
    first = float(objective[0][ranked[0], 0]) if ranked else -np.inf
    preferred = [at for at in range(len(rows)) if objective[0][at, 0] > first]
    return Recommendation(
        suite=str(report.run["suite"]["name"]),
        metric=metric,
        objective=wishes.objective,
        reference=reference.row.label,
        anchor=report.anchor.label if report.anchor else "",
        machine=_machine(report.run),
        resamples=RESAMPLES,
        confidence=confidence,
        resolution=report.resolution if metric == report.primary else Absent("known for the primary metric alone"),
        rows=len(rows),
        qualified=len(ranked),
        chosen=found[ranked[0]] if ranked else None,
        runner_up=found[ranked[1]] if len(ranked) > 1 else None,
        nearest=None if ranked else min(found, key=_distance),
        undecided=tuple(sorted((one for one in found if one.undecided and not one.missed), key=_likelihood)),
        failed=_failed([found[at] for at in preferred]),
        excluded=tuple(_excluded(found, at) for at in range(len(bars))),
        some_have_one_seed=any(one.row.seeds == 1 for one in drawn),
    )


def _reference(drawn: Sequence[Resampled], metric: Metric) -> Resampled:
    """What the suite keeps this metric of, else the anchor. SuiteError where there is neither."""
    wanted = {kept.of for row in drawn for kept in row.row.keeps if kept.metric == metric.name}
    named = next((row for row in drawn if row.row.label in wanted), None)
    anchor = next((row for row in drawn if row.row.anchor), None)
    found = named or anchor
    if found is None:
        msg = "the record has neither its anchor nor a row to keep a share of: run the suite without --only"
        raise SuiteError(msg)
    return found


def _lowest(reference: Resampled, metric: Metric) -> float:
    """The suite's own lowest bar for a metric, 0 where it has none."""
    bars = [bar.at_least for kept in reference.row.keeps if kept.metric == metric.name for bar in kept.bars]
    return min(bars, default=0.0)


def _bars(wishes: Wishes, of: str, metric: Metric, lowest: float) -> list[Bar]:
    share = lowest if wishes.min_retention is None else wishes.min_retention
    found: dict[Quantity, tuple[float | None, str]] = {
        "retention": (share or None, f"keep at least {fmt.share(share)} of {of}'s {metric.name}"),
        "size": (wishes.max_size, f"weigh at most {wishes.max_size or 0:g} MiB"),
        "latency": (wishes.max_latency_ms, f"answer within {wishes.max_latency_ms or 0:g} ms"),
        "speedup": (wishes.min_speedup, f"are at least {wishes.min_speedup or 0:g}× as fast as the anchor"),
    }
    return [Bar(text=text, quantity=name, at=at) for name, (at, text) in found.items() if at is not None]


def _check_figures(rows: Sequence[Row], bars: Sequence[Bar], objective: np.ndarray, wishes: Wishes) -> None:
    """SuiteError where no row has what a bar or the objective is about."""
    problems = []
    for bar in bars:
        lacking = [gain for row in rows if isinstance(gain := row.gain(bar), Absent)]
        if len(lacking) == len(rows):
            problems.append(f"{bar.quantity}: no row has it ({lacking[0].reason}), so rows cannot be asked for it")
    if not np.isfinite(objective[:, 0]).any():
        others = [name for name in get_args(Objective) if name != wishes.objective]
        problems.append(f"--objective {wishes.objective}: no row has that figure; take {' or '.join(others)}")
    if problems:
        raise SuiteError(problems)


def _candidate(
    row: Row, bars: Sequence[Bar], metric: Metric, confidence: float, meets: float, best: float
) -> Candidate:
    def ranged(draws: Drawn) -> Ranged:
        return draws if isinstance(draws, Absent) else draws.interval(confidence)

    return Candidate(
        label=row.drawn.row.label,
        anchor=row.drawn.row.anchor,
        quality=row.drawn.row.quality[metric.name].interval,
        kept=ranged(row.kept),
        speedup=ranged(row.drawn.speedup),
        latency_ms=ranged(row.drawn.latency_ms),
        size_mib=row.drawn.row.size.model_mib,
        judged=tuple(judge(row, bar, metric, confidence) for bar in bars),
        meets=meets,
        best=best,
    )


def _ranked(qualified: np.ndarray, by_value: Sequence[np.ndarray]) -> list[int]:
    """The best of the qualified rows, and the next."""
    found: list[int] = []
    left = qualified[:, None].copy()
    while len(found) < int(qualified.sum()):
        best = winners(left, by_value)[:, 0]
        if not best.any():
            break
        found.append(int(best.argmax()))
        left[found[-1]] = False
    return found


def _failed(found: Sequence[Candidate]) -> tuple[Candidate, ...]:
    """Those that failed a single bar, the nearest first."""
    return tuple(sorted((one for one in found if len(one.missed) == 1), key=_distance)[:FAILED])


def _likelihood(one: Candidate) -> float:
    return -one.meets


def _distance(one: Candidate) -> tuple[int, float]:
    """How many bars a row fails, then how far it is from the farthest, relative to the bar."""
    return len(one.missed), max((_short(judged) for judged in one.judged), default=0.0)


def _short(judged: Judged) -> float:
    if isinstance(judged.found, Absent):
        return float("inf")
    ratio = judged.found.value / judged.at
    return 1 - ratio if judged.quantity in ("retention", "speedup") else ratio - 1


def _excluded(found: Sequence[Candidate], at: int) -> Excluded:
    verdicts = [one.judged[at].verdict for one in found]
    return Excluded(
        bar=found[0].judged[at].bar,
        fail=verdicts.count("FAIL"),
        undecided=verdicts.count("INCONCLUSIVE"),
        unknown=sum(isinstance(one, Absent) for one in verdicts),
    )


def _machine(run: Mapping[str, Any]) -> str:
    return str(run["machine"].get("identity", {}).get("cpu", "a machine that is not named"))
