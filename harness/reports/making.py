"""Sections about what was done to the weights: compressors and their proofs, training and its course."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from harness.reports import format as fmt
from harness.reports.courses import time_table, trained_rows, training_label
from harness.reports.escape import markdown
from harness.reports.model import Absent, Report, Row, Step
from harness.reports.tables import Content, Lines, Shown, bullets, figure, name, section, table

_PARITY = ("max_difference", "mean_difference", "spread", "same_answer", "batch_shift")
_COLUMNS = ("nodes_before", "nodes_after", "int8_matmuls")  # facts with a column of their own


def compressor_section(report: Report) -> Lines:
    """The proof of each compressor's work; what did nothing is said first."""
    loud = [f"**⚠ {markdown(step.loud)}**" for row in report.rows for step in row.steps if step.loud]
    isa = _instructions(report)
    rows = [[*_step(row, step), isa if step.isa_dependent else Shown("any")] for row, step in _unique_steps(report)]
    headers = [
        "row",
        "compressor",
        Shown("nodes"),
        Shown("int8 MatMuls"),
        Shown("largest shift"),
        Shown("mean shift"),
        Shown("spread"),
        Shown("same answers"),
        Shown("batch shift"),
        "answers hold for",
    ]
    proofs = [_shifts(report), bullets(_other_facts(report))]
    return section("What the compressors did", bullets(loud), table(headers, rows, "llrrrrrrrl"), *proofs)


def _instructions(report: Report) -> str:
    """The CPU's instructions that int8 kernels choose by: class, then flags."""
    identity = report.run["machine"].get("identity", {})
    flags = " ".join(identity.get("flags", ()))
    return f"{identity.get('isa', 'unknown instructions')}{f' ({flags})' if flags else ''}"


def _unique_steps(report: Report) -> list[tuple[Row, Step]]:
    """`onnx` of the chain onnx → int8 is the `onnx` of the chain onnx: listed once."""
    found: dict[str, tuple[Row, Step]] = {}
    for row in report.rows:
        others = {axis: value for axis, value in row.axes.items() if axis != "compress"}
        for step in row.steps:
            same = repr((others, step.use, sorted(step.facts.items()), sorted(step.parity.items())))
            found.setdefault(same, (row, step))
    return list(found.values())


def _step(row: Row, step: Step) -> list[Content]:
    return [name(row), step.use, _nodes(step), _count(step), *(_parity(step, key) for key in _PARITY)]


def _other_facts(report: Report) -> list[str]:
    """What has no column, once for all rows of which it is true."""
    labels: dict[tuple[str, str], list[str]] = {}
    for row, step in _unique_steps(report):
        facts = {key: value for key, value in step.facts.items() if key not in _COLUMNS}
        text = ", ".join(f"{key} {value}" for key, value in flat(facts))
        if text:
            labels.setdefault((step.use, text), []).append(row.label)
    return [f"{markdown(use)} ({markdown(', '.join(rows))}): {markdown(text)}" for (use, text), rows in labels.items()]


def _nodes(step: Step) -> Content:
    before, after = step.facts.get("nodes_before"), step.facts.get("nodes_after")
    if before is None or after is None:
        return Absent("no graph")
    return Shown(f"{fmt.count(int(before))} → {fmt.count(int(after))}")


def _count(step: Step) -> Content:
    value = step.facts.get("int8_matmuls")
    return Absent("not reported by the compressor") if value is None else Shown(fmt.count(int(value)))


def _parity(step: Step, key: str) -> Content:
    value = step.parity.get(key)
    if value is None:
        return Absent("not compared")
    if key == "same_answer":
        examples = round(step.parity["examples"])
        return Shown(f"{round(value * examples)}/{examples}")
    return Shown(f"{value:.2g}")


def _shifts(report: Report) -> Lines:
    examples = {int(step.parity["examples"]) for row in report.rows for step in row.steps if "examples" in step.parity}
    if not examples:
        return []
    note = (
        f"Shifts of logits against the compressor's source on {max(examples)} training examples at batch 1, the worst "
        "over seeds; spread: standard deviation of the source's logits. Batch shift: the same examples in one padded "
        "batch. What follows are the facts of the first seed."
    )
    return [note, ""]


def flat(facts: Mapping[str, Any], depth: int = 9, prefix: str = "") -> list[tuple[str, str]]:
    """Nested facts → (dotted name, text), in the order of names; what lies deeper than `depth` is one text."""
    found: list[tuple[str, str]] = []
    for key in sorted(facts):
        value = facts[key]
        if not isinstance(value, Mapping):
            found.append((f"{prefix}{key}", _text(value)))
        elif depth > 1:
            found += flat(value, depth - 1, f"{prefix}{key}.")
        else:
            found.append((f"{prefix}{key}", ", ".join(f"{name} {text}" for name, text in flat(value)) or "none"))
    return found


def _text(value: Any) -> str:
    if isinstance(value, bool) or value is None:
        return {True: "yes", False: "no", None: "none"}[value]
    if isinstance(value, float):
        return f"{value:.3g}"
    if isinstance(value, list | tuple):
        scalars = all(isinstance(entry, str | int | float) for entry in value)
        shown = " ".join(map(str, value[:8])) + (" …" if len(value) > 8 else "") if scalars else f"{len(value)} entries"
        return shown or "none"
    return str(value)


# ----------------------------------------------------------------------------------------------------------- training


def training_section(report: Report) -> Lines:
    """Each training once: what it took, how dev went."""
    rows = [line for row in trained_rows(report) for line in _trained(row, report)]
    headers = [
        "model",
        "distiller",
        "teachers",
        Shown("seed"),
        Shown("training"),
        Shown("with its teachers"),
        Shown("epochs"),
        Shown(f"dev {markdown(report.primary.name)} by epoch{', %' if report.primary.unit == '%' else ''}"),
    ]
    taught = any(len(row.training.seconds) > 1 and row.training.teachers for row in trained_rows(report))
    note = "Teachers have their first seed, whatever the student's: intervals leave out what another would change."
    return section("Training", table(headers, rows, "lllrrrrr"), [note, ""] if taught else [], time_table(report))


def _trained(row: Row, report: Report) -> list[list[Content]]:
    training = row.training
    model = training_label(row)
    lines: list[list[Content]] = []
    for seed, seconds in training.seconds.items():
        steps = training.epochs[seed]
        total: Content = figure(training.with_teachers_s, fmt.seconds) if not lines else Shown("")
        lines.append(
            [
                model,
                " → ".join(training.distil),
                ", ".join(training.teachers) or Shown("none"),
                Shown(seed),
                Shown(fmt.seconds(seconds)),
                total,
                Shown(" → ".join(str(len(step)) for step in steps)),
                _dev(steps, report.primary.unit),
            ]
        )
    return lines


def _dev(steps: Sequence[Sequence[Mapping[str, Any]]], unit: str) -> Content:
    factor = 100 if unit == "%" else 1
    values = [[epoch.get("dev") for epoch in step] for step in steps]
    if not any(value is not None for step in values for value in step):
        return Absent("no dev set")
    shown = (", ".join("?" if v is None else f"{v * factor:.1f}" for v in step) for step in values)
    return Shown(" → ".join(shown))
