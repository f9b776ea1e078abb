"""Speed and size of rows, from the raw samples of their measurements."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from harness.reports.model import Absent, Figure, Measurement, Ranged, Ratio, Size, Speed
from harness.statistics import (
    CONFIDENCE,
    Interval,
    block_mean,
    chained_ratio,
    is_noise,
    median_ratio,
    noise_floor,
    percentile,
    samples_needed,
)

Json = dict[str, Any]
KINDS = {
    "forward": ("single", "forward_ms"),
    "request": ("single", "request_ms"),
    "throughput": ("batch", "request_ms"),
    "fixed": ("fixed", "batch_ms"),
}
MS_PER_S = 1000
UNASKED = Absent("speed was not asked for")
NO_ENERGY = Absent("energy was not asked for")
LOUDEST = 0.5  # noise floor above which nothing in a measurement is told apart
WIDEST = 1.5  # high / low of a ratio that still says something


def speed(
    document: Json, name: str, measurement: str, floors: Mapping[str, Figure], pace: Ranged, confidence: float
) -> Speed:
    """The figures of one subject of a measurement. `pace`: the anchor's mean request in the calmest one, ms."""
    result = subject(document, name)
    if result["status"] != "ok":
        return unmeasured(Absent(f"not measured: {result['reason']}"))
    ratios = {kind: ratio(document, name, kind, floors[kind], confidence) for kind in KINDS}
    requests = result["workloads"].get("single", {}).get("requests", {}).get("request_ms", [])
    return Speed(
        measurement=measurement,
        **ratios,
        forward_ms=_mean(_times(result, "forward"), confidence),
        request_ms=_mean(_times(result, "request"), confidence),
        level_ms=_level(pace, ratios["request"]),
        requests=len(requests),
        p50_ms=_quantile(requests, 0.5, confidence),
        p90_ms=_quantile(requests, 0.9, confidence),
        examples_per_s=_throughput(_quantile(_times(result, "throughput"), 0.5, confidence)),
        batch_seconds=_mean(_seconds(result), confidence),
        batch_seconds_std=_spread(_seconds(result)),
        joules_per_example=_joules(document.get("energy"), result.get("energy"), confidence),
        load_ms=_figure(result["cold_start"].get("load_ms")),
        first_answer_ms=_figure(result["cold_start"].get("first_answer_ms")),
        peak_mib=_figure(result["memory"].get("peak_mib")),
    )


def pace(document: Json, confidence: float) -> Ranged:
    """The anchor's mean request, ms."""
    return _mean(_times(document["anchor"], "request"), confidence)


def _level(pace: Ranged, ratio: Ratio) -> Ranged:
    """A row's mean request from its ratio to the anchor: machines slow down from one measurement to the next."""
    faster = ratio.interval
    if isinstance(pace, Absent) or isinstance(faster, Absent):
        return pace if isinstance(pace, Absent) else faster
    if not ratio.resolved:
        return Absent("not resolved: the measurement was too noisy")
    return Interval(pace.value / faster.value, pace.low / faster.high, pace.high / faster.low)


def measurement(document: Json, name: str, rows: Sequence[str], floors: Mapping[str, Figure]) -> Measurement:
    """What all rows of a measured group have in common."""
    before, after = (document["observed"][when]["load_average"] for when in ("before", "after"))
    return Measurement(
        name=name,
        rows=tuple(rows),
        floors=floors,
        threads=document["threads"],
        counters=tuple(document.get("energy", {}).get("counters", ())),
        idle_watts=_idle(document.get("energy")),
        load_before=before[0] if before else None,
        load_after=after[0] if after else None,
        failures={n: r["reason"] for n, r in _results(document).items() if r["status"] != "ok"},
    )


def floors(document: Json, confidence: float) -> dict[str, Figure]:
    """By how much the anchor's ratio to its own twin may be off, by kind of time."""
    return {kind: floor(document, kind, confidence) for kind in KINDS}


def floor(document: Json, kind: str, confidence: float) -> Figure:
    """By how much the anchor's ratio of one kind to its own twin may be off, or why that is not known."""
    anchor, twin = document["anchor"], document["twin"]
    if twin["status"] != "ok":
        return Absent(f"the anchor's twin was not measured: {twin['reason']}")
    first, second = _times(anchor, kind), _times(twin, kind)
    return noise_floor(first, second, confidence) if first and second else _unasked(kind)


def subject(document: Json, name: str) -> Json:
    """The result of one subject: the anchor's or a row's."""
    return _results(document).get(name, {"status": "failed", "reason": "it is not in the measurement"})


def size(cells: Sequence[Json], anchor: Figure) -> Size:
    """What the row's first artifact weighs; `anchor` is the anchor's model file in MiB."""
    cell = next((cell for cell in cells if cell["artifact"]), None)
    if cell is None:
        nothing = Absent("no artifact: see the problems below")
        return Size(
            model_mib=nothing,
            folder_mib=nothing,
            times_smaller=nothing,
            parameters=nothing,
            parameters_without_embeddings=nothing,
            bytes={},
        )
    sizes, artifact = cell["artifact"]["sizes"] or {}, cell["artifact"]
    model = _figure(sizes.get("model_mib"))
    smaller = _smaller(anchor, model)
    counted = [step["bytes"] for step in cell["compress"] if step.get("bytes")]
    return Size(
        model_mib=model,
        folder_mib=_figure(sizes.get("folder_mib")),
        times_smaller=smaller,
        parameters=_figure(artifact["parameters"]),
        parameters_without_embeddings=_figure(artifact["parameters_without_embeddings"]),
        bytes=counted[-1] if counted else {},
    )


def _smaller(anchor: Figure, model: Figure) -> Figure:
    if isinstance(model, Absent):
        return model
    return Absent("no artifact of the anchor in this run") if isinstance(anchor, Absent) else anchor / model


def unmeasured(why: Absent) -> Speed:
    """Every figure absent for one reason."""
    ratio = Ratio(interval=why)
    return Speed(
        measurement=why,
        forward=ratio,
        request=ratio,
        throughput=ratio,
        forward_ms=why,
        request_ms=why,
        level_ms=why,
        requests=0,
        p50_ms=why,
        p90_ms=why,
        examples_per_s=why,
        fixed=ratio,
        batch_seconds=why,
        batch_seconds_std=why,
        joules_per_example=why,
        load_ms=why,
        first_answer_ms=why,
        peak_mib=why,
    )


def _results(document: Json) -> dict[str, Json]:
    return {"anchor": document["anchor"], "twin": document["twin"], **document["rows"]}


def _times(result: Json, kind: str) -> list[float]:
    workload, column = KINDS[kind]
    return list(result.get("workloads", {}).get(workload, {}).get(column, []))


def ratio(document: Json, name: str, kind: str, noise: Figure, confidence: float) -> Ratio:
    """How many times the anchor's speed a subject of a measurement has. `noise`: the floor of that kind."""
    anchor, row = _times(document["anchor"], kind), _times(subject(document, name), kind)
    if not anchor or not row:
        return Ratio(interval=_unasked(kind))
    if name == "anchor":
        return Ratio(interval=Interval(1.0, 1.0, 1.0))
    found = median_ratio(anchor, row, confidence=confidence)
    least = noise if isinstance(noise, float) else 0.0
    return Ratio(
        interval=found,
        noise=isinstance(noise, float) and is_noise(found, least),
        resolved=least <= LOUDEST and found.high <= WIDEST * found.low,
    )


def times(document: Json, name: str, kind: str) -> list[float]:
    """A subject's times of one kind, ms, one per block."""
    return _times(subject(document, name), kind)


def mean(document: Json, name: str, kind: str, confidence: float) -> Ranged:
    """A subject's mean time of one kind, ms."""
    return _mean(_times(subject(document, name), kind), confidence)


def faster(
    row: tuple[Json, str], base: tuple[Json, str], kind: str, floor: float, confidence: float = CONFIDENCE
) -> Ranged:
    """How many times faster one (measurement, subject) is than another, within blocks where they share them.

    Otherwise by way of the anchor, which is in every measurement. The interval is widened by the noise floor: so far
    may two measurements of one artifact be apart.
    """
    if row[1] == "anchor":
        row = (base[0], "anchor")
    elif base[1] == "anchor":
        base = (row[0], "anchor")
    pairs = [
        (_times(document["anchor"], kind), _times(subject(document, name), kind)) for document, name in (row, base)
    ]
    (anchor, mine), (other_anchor, theirs) = pairs
    if not (anchor and mine and other_anchor and theirs):
        return Absent(f"no {kind} times of both rows")
    if row[0] is base[0]:
        found = median_ratio(theirs, mine, confidence=confidence)
    else:
        found = chained_ratio((anchor, mine), (other_anchor, theirs), confidence=confidence)
    return Interval(found.value, found.low / (1 + floor), found.high * (1 + floor))


def _unasked(kind: str) -> Absent:
    return Absent(f"the workload '{KINDS[kind][0]}' was not asked for")


def _quantile(samples: Sequence[float], q: float, confidence: float) -> Ranged:
    if not samples:
        return Absent("its workload was not asked for")
    found = percentile(samples, q, confidence)
    if found is None:
        needed = samples_needed(q, confidence)
        return Absent(f"{len(samples)} samples do not support a p{q * 100:g}: it takes {needed}")
    return found


def _mean(blocks: Sequence[float], confidence: float) -> Ranged:
    return block_mean(blocks, confidence=confidence) if blocks else Absent("its workload was not asked for")


def _seconds(result: Json) -> list[float]:
    """The mean of each repeat's runs, s per batch."""
    return [ms / MS_PER_S for ms in _times(result, "fixed")]


def _spread(repeats: Sequence[float]) -> Figure:
    """The standard deviation between repeats."""
    if not repeats:
        return _unasked("fixed")
    return float(np.std(repeats, ddof=1)) if len(repeats) > 1 else Absent("one repeat has no spread")


def _joules(energy: Json | None, windows: Any, confidence: float) -> Ranged:
    """Per example, above what idling took in the same time, each window beside the idle one of its round.

    `windows`: of the row, or why it has none.
    """
    if energy is None or "not measured" in energy:
        return _no_energy(energy)
    if "not measured" in windows:
        return _no_energy(windows)
    pairs = zip(windows, energy["idle"], strict=True)
    net = [(w["joules"] - idle["joules"] / idle["seconds"] * w["seconds"]) / w["examples"] for w, idle in pairs]
    found = block_mean(net, confidence=confidence)
    return found if found.low > 0 else Absent("not measured (the counters showed no more than when idle)")


def _idle(energy: Json | None) -> Figure:
    """Watts."""
    if energy is None or "not measured" in energy:
        return _no_energy(energy)
    return float(sum(w["joules"] for w in energy["idle"]) / sum(w["seconds"] for w in energy["idle"]))


def _no_energy(energy: Json | None) -> Absent:
    return NO_ENERGY if energy is None else Absent(f"not measured ({energy['not measured']})")


def _throughput(ms: Ranged) -> Ranged:
    return ms if isinstance(ms, Absent) else Interval(1000 / ms.value, 1000 / ms.high, 1000 / ms.low)


def _figure(value: Any) -> Figure:
    """A recorded number; a text is the reason why there is none."""
    if isinstance(value, str):
        return Absent(value)
    return Absent("not recorded") if value is None else value
