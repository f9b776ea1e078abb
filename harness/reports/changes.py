"""Sections that a suite asks for: what compression broke, where the gain came from, students beside their teachers."""

from __future__ import annotations

from collections.abc import Sequence

from harness.reports import format as fmt
from harness.reports.broken import BINS, CLASS
from harness.reports.escape import code, markdown
from harness.reports.model import Absent, Broken, Fall, FallStep, Flip, Report, Taught, Together
from harness.reports.tables import (
    Content,
    Lines,
    Shown,
    bullets,
    figure,
    header,
    measured,
    metric_column,
    section,
    table,
)

WIDE = 5  # rows beside each other in a table of slices
SMALL = 0.001  # p below it is shown as such
ARROW = " → "
_WEIGHED = (
    " By confidence: as in training, a teacher weighs in each unit (text, word, layer of a word, end of a span) as much"
    " as its own answer is certain, 1 − entropy / log of classes; the figures are means over the units."
)
_BY_PLACE = " Teachers of different tokens are read by place in the text, at the tokens of who cuts it finest."


# ------------------------------------------------------------------------------------------------------ what was broken


def broken_section(report: Report) -> Lines:
    """Answers that compression changed: how many, which way, which, and how sure they are."""
    found = report.asked.breakage
    return section(
        "What did it break?",
        _changed("Against the same model before it was compressed.", found.sources, report),
        _changed("Against the anchor.", found.anchors, report),
        [_method(report), ""] if found.sources or found.anchors else [],
        _browse(found.sources, report),
        _slices(found.sources, report),
    )


def _changed(title: str, found: Sequence[Broken], report: Report) -> Lines:
    nets = metric_column([entry.net for entry in found], "%", signed=True)
    columns: list[tuple[str, Sequence[Content]]] = [
        ("row", [entry.row for entry in found]),
        ("against", [entry.of for entry in found]),
        (Shown(_same(report)), [Shown(_percent(entry.same)) for entry in found]),
        (Shown("right → wrong"), [_counted(entry.lost, entry) for entry in found]),
        (Shown("wrong → right"), [_counted(entry.won, entry) for entry in found]),
        (Shown("net, points"), nets),
        (Shown("p by seed"), [Shown(" · ".join(_p(p) for p in entry.p.values())) for entry in found]),
        *(_calibration(found) if _calibrated(report) else ()),
    ]
    rows = zip(*(cells for _, cells in columns), strict=True)
    lines = table([header for header, _ in columns], rows, "ll" + "r" * (len(columns) - 2))
    return [title, "", *lines] if lines else []


def _same(report: Report) -> str:
    return "same figures, %" if report.asked.breakage.judged else "same answer, %"


def _calibrated(report: Report) -> bool:
    """Does the record hold probabilities of any row?"""
    found = report.asked.breakage
    return any(isinstance(entry.error, float) for entry in (*found.sources, *found.anchors))


def _calibration(found: Sequence[Broken]) -> list[tuple[str, Sequence[Content]]]:
    errors = [figure(entry.error, lambda error: fmt.fixed(100 * error, 2)) for entry in found]
    changes = metric_column([entry.error_change for entry in found], "%", signed=True)
    return [(Shown("ECE, % ↓"), errors), (Shown("Δ ECE, points"), changes)]


def _percent(share: float) -> str:
    """All of them, or two decimals that never round to all."""
    return "100" if share == 1 else fmt.fixed(min(100 * share, 99.99), 2)


def _counted(count: float, entry: Broken) -> Content:
    """`14.3 (0.48 %)`."""
    if not count:
        return Shown("0")
    share = fmt.fixed(100 * count / entry.examples, 2)
    return Shown(f"{fmt.fixed(count, 0 if count == round(count) else 1)} ({share} %)")


def _p(value: float) -> str:
    return f"< {SMALL}" if value < SMALL else fmt.significant(value, 2).removesuffix(".0")


def _method(report: Report) -> str:
    level = fmt.share(report.run["measure"]["confidence"])
    judged = markdown(report.asked.breakage.judged)
    parts = [
        "Counts: means over seeds, each against the same seed of what it is compared with, or its first. Net: share "
        f"of right answers gained less lost, {level} paired bootstrap over examples and seeds. p: McNemar's exact "
        "test, one per seed."
    ]
    if judged:
        parts.insert(
            0,
            "Records of this task hold figures of answers, not the answers: an example is right where "
            f"{judged} finds no fault with it; the same are those with the same figures.",
        )
    if _calibrated(report):
        parts.append(
            "ECE: expected calibration error, the mean distance between confidence and share of right answers over "
            f"{BINS} equally wide bins of confidence; its Δ is paired."
        )
    else:
        parts.append("Nothing is said of calibration: the record holds no probabilities of answers.")
    return " ".join(parts)


def _browse(found: Sequence[Broken], report: Report) -> Lines:
    """The first ids: records hold no texts."""
    rows: list[list[Content]] = [
        [entry.row, what, "; ".join(_flip(flip) for flip in flips)]
        for entry in found
        for what, flips in (("right → wrong", entry.first_lost), ("wrong → right", entry.first_won))
        if flips
    ]
    lines = table(["row", "", "examples"], rows, "lll")
    if not lines:
        return []
    ids = "The first of them, first seed, by the ids of the test data"
    kinds = ", with the true class: the answer before → the answer now" if any(f.gold for f in _all(found)) else ""
    command = str(report.run["command"]).replace("harness run ", "harness predict ", 1)
    ask = f"{command} --only AXIS=VALUE,… --example ID"
    where = "Texts are not in the record; where the data are, this shows one with a row's answer"
    return [f"{ids}{kinds}. {where}: {code(ask)}.", "", *lines]


def _all(found: Sequence[Broken]) -> list[Flip]:
    return [flip for entry in found for flip in (*entry.first_lost, *entry.first_won)]


def _flip(flip: Flip) -> str:
    return f"{flip.example} ({flip.gold}: {flip.before}{ARROW}{flip.after})" if flip.gold else flip.example


def _slices(found: Sequence[Broken], report: Report) -> Lines:
    """A line per part of the test data, a column per row; several tables where there are many rows."""
    several = [entry for entry in found if entry.slices and any(part.change for part in entry.slices)]
    lines: Lines = []
    for first in range(0, len(several), WIDE):
        lines += _slice_table(several[first : first + WIDE], report.primary.unit == "%")
    unit = "points" if report.primary.unit == "%" else markdown(report.primary.unit)
    note = (
        f"By part of the test data: {markdown(report.primary.name)} (of a class its F1, points) after compression less "
        f"before, {unit}, mean over seeds, without intervals: a part of few examples says little. Rows without any "
        "change are left out."
    )
    return [note, "", *lines] if lines else []


def _slice_table(found: Sequence[Broken], percent: bool) -> Lines:
    places = list(dict.fromkeys((part.by, part.value, part.examples) for entry in found for part in entry.slices))
    changes = {(e.row, part.by, part.value): part.change for e in found for part in e.slices}
    rows = [
        [by, value, Shown("") if examples is None else Shown(fmt.count(examples))]
        + [_change(changes.get((entry.row, by, value)), percent or by == CLASS) for entry in found]
        for by, value, examples in places
    ]
    return table(["by", "value", Shown("examples"), *(e.row for e in found)], rows, "llr" + "r" * len(found))


def _change(value: float | None, share: bool) -> Content:
    if value is None:
        return Absent("not reported by the task")
    return Shown(fmt.fixed(100 * value, 1, signed=True) if share else fmt.fixed(value, 4, signed=True))


# ------------------------------------------------------------------------------------------------------------ waterfall


def waterfall_section(report: Report) -> Lines:
    """Each compressed row's steps from its teacher or its own uncompressed model."""
    placed = [(fall, step) for fall in report.asked.falls for step in _with_whole(fall)]
    qualities = metric_column([step.quality for _, step in placed], report.primary.unit, signed=True)
    lines = [
        [fall.row if step is fall.steps[0] else Shown(""), *_step(step, fall, change)]
        for (fall, step), change in zip(placed, qualities, strict=True)
    ]
    headers = [
        "row",
        "step",
        Shown(_delta(report)),
        Shown("× faster, request ↑"),
        Shown("Δ model file, MiB ↓"),
        Shown("× smaller ↑"),
    ]
    level = fmt.share(report.run["measure"]["confidence"])
    note = (
        f"Brackets: {level} intervals. Δ of quality: paired, on the same examples. Times within blocks where two rows "
        "were measured together, else by way of the anchor, widened by the noise. A student that was taught begins at "
        "the best of its teachers. What is joined by + has no row of its own in between."
    )
    return section("Where did the gain come from?", table(headers, lines, "llrrrr"), [note, ""] if lines else [])


def _delta(report: Report) -> str:
    """`Δ accuracy, points ↑`."""
    metric = report.primary
    unit = "points" if metric.unit == "%" else markdown(metric.unit)
    return f"Δ {markdown(metric.name)}{', ' + unit if unit else ''} {'↑' if metric.higher_is_better else '↓'}"


def _with_whole(fall: Fall) -> tuple[FallStep, ...]:
    return fall.steps if len(fall.steps) == 1 else (*fall.steps, fall.whole)


def _step(step: FallStep, fall: Fall, change: Content) -> list[Content]:
    return [_named(step, fall), change, measured(step.faster), *_sizes(step)]


def _named(step: FallStep, fall: Fall) -> Content:
    """What was done; the first step says to what."""
    if step is fall.whole:
        return Shown("**all of it**")
    first = f" (from {step.before.label})" if step is fall.steps[0] else ""
    return f"{' + '.join(step.use)}{first}"


def _sizes(step: FallStep) -> list[Content]:
    before, after = step.before.mib, step.after.mib
    if isinstance(before, Absent) or isinstance(after, Absent):
        missing = before if isinstance(before, Absent) else after
        return [missing, missing]  # type: ignore[list-item]
    sign = fmt.MINUS if after < before else "+" if after > before else ""
    size = abs(after - before)
    return [Shown(f"{sign}{fmt.significant(size, 3 if size >= 1 else 2)}"), Shown(fmt.times(before / after))]


# ------------------------------------------------------------------------------------------------------------- teachers


def teachers_section(report: Report) -> Lines:
    """Rows that learned from several teachers beside each of them alone."""
    found = report.asked.taught
    changes = metric_column([entry.difference for entry in found], report.primary.unit, signed=True)
    higher = report.primary.higher_is_better
    rows = [
        [entry.row, entry.teacher, change, _verdict(entry, higher)]
        for entry, change in zip(found, changes, strict=True)
    ]
    beaten = bullets(_beats(row, found, higher) for row in dict.fromkeys(entry.row for entry in found))
    lines = table(["row", "teacher", Shown(_delta(report)), "the row is"], rows, "llrl")
    return section("Students of several teachers", beaten, lines, _together(report) if lines else [])


def _together(report: Report) -> Lines:
    """What the teachers score as one answerer."""
    found, metric = report.asked.together, report.primary
    if not found:
        return ["What the teachers score together is not in the record.", ""]
    scores = metric_column([entry.score for entry in found], metric.unit)
    changes = metric_column([entry.difference for entry in found], metric.unit, signed=True)
    weighed = any(entry.ensemble for entry in found)
    rows = [
        [entry.row, " + ".join(entry.teachers), *([_weights(entry)] if weighed else []), score, change]
        for entry, score, change in zip(found, scores, changes, strict=True)
    ]
    headers = ["row", "teachers", *(["weights"] if weighed else [])]
    headers += [header(metric.name, metric.unit, metric.higher_is_better), Shown(_delta(report))]
    note = (
        "Teachers together: the mean of their probabilities, each teacher's first seed; Δ: the row less them, paired."
        f"{_BY_PLACE if report.run['task']['head'] == 'span' else ''}{_WEIGHED if weighed else ''}"
    )
    return [note, "", *table(headers, rows, "lllrr" if weighed else "llrr")]


def _weights(entry: Together) -> str:
    """How the teachers were weighed, and what that came to over all units."""
    means = " + ".join(f"{weight:.3f}" for weight in entry.weights)
    return f"{entry.ensemble}: {means}" if entry.ensemble else "alike"


def _verdict(entry: Taught, higher_is_better: bool) -> Content:
    found = entry.difference
    if isinstance(found, Absent):
        return found
    if found.low <= 0 <= found.high:
        return Shown("not told apart")
    return Shown("**better**" if (found.low > 0) == higher_is_better else "worse")


def _beats(row: str, found: Sequence[Taught], higher_is_better: bool) -> str:
    """One sentence about all of a row's teachers."""
    own = [entry for entry in found if entry.row == row]
    verdicts = [_verdict(entry, higher_is_better) for entry in own]
    name = f"{markdown(row)}{f' (teachers by {markdown(own[0].ensemble)})' if own[0].ensemble else ''}"
    better = sum(verdict == "**better**" for verdict in verdicts)
    worse = sum(verdict == "worse" for verdict in verdicts)
    if better == len(verdicts):
        return f"{name} beats each of its {len(verdicts)} teachers alone."
    rest = f", is worse than {worse}" if worse else ""
    return f"{name} beats {better or 'none'} of its {len(verdicts)} teachers alone{rest}."
