"""The main table as LaTeX, for a paper. Third parties' text stays text: no command, no line's end."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from harness import Absent, Marked, PluginError, Report, main_table, plain_text

if TYPE_CHECKING:
    from harness_reporters.plugin import LatexParams

# Quotes are shorthands in some languages. The right sides are what T1, T2A and Unicode fonts have, or mathematics.
_SIGNS = {
    **{sign: f"\\{sign}" for sign in "&%$#_{}"},
    "\\": "\\textbackslash{}",
    "~": "\\textasciitilde{}",
    "^": "\\textasciicircum{}",
    "<": "\\textless{}",
    ">": "\\textgreater{}",
    "|": "\\textbar{}",
    '"': "\\symbol{34}",
    "`": "\\symbol{96}",
    "−": "$-$",
    "±": "$\\pm$",
    "×": "$\\times$",
    "÷": "$\\div$",
    "·": "$\\cdot$",
    "≈": "$\\approx$",
    "≥": "$\\geq$",
    "≤": "$\\leq$",
    "→": "$\\rightarrow$",
    "↑": "$\\uparrow$",
    "↓": "$\\downarrow$",
    "Δ": "$\\Delta$",
    "β": "$\\beta$",
    "—": "---",
    "–": "--",
    "…": "\\ldots{}",
}
_LIGATURE = re.compile(r"([-,'])(?=\1)")  # two of a kind would become another sign
_HEAD = """\
% The main table of a report. Needs \\usepackage{booktabs}{more}
% and fonts for the letters in its names: \\usepackage[T2A]{fontenc} for Russian, or LuaLaTeX."""


class Latex:
    """A booktabs table."""

    def __init__(self, params: LatexParams) -> None:
        self.params = params

    def files(self, report: Report, name: str) -> dict[str, str]:
        """`<name>.tex`. PluginError for a row or column that the table does not have."""
        found = main_table(report)
        columns = _picked(self.params.columns, found.headers, "columns")
        rows = _picked(self.params.rows, [_text(row[0]) for row in found.rows], "rows")
        notes: dict[str, int] = {}
        cells = [[_cell(found.rows[row][column], notes) for column in columns] for row in rows]
        align = "".join(found.align[column] for column in columns)
        tabular = _tabular([escape(found.headers[column]) for column in columns], cells, align)
        level = f"Brackets: {report.run['measure']['confidence'] * 100:g} % intervals."
        body = [*tabular, "", *_notes(level, notes)]
        return {f"{name}.tex": "\n".join([*self._head(), *self._around(body, report, name)]) + "\n"}

    def _head(self) -> list[str]:
        more = ", \\usepackage{rotating}" if self.params.environment == "sidewaystable" else ""
        return _HEAD.replace("{more}", more).splitlines()

    def _around(self, body: Sequence[str], report: Report, name: str) -> list[str]:
        params, environment = self.params, self.params.environment
        if environment == "none":
            return ["{" + f"\\{params.size}", *body, "}"]
        caption = escape(report.sentence if params.caption is None else params.caption)
        label = params.label or "tab:" + "".join(sign if sign.isascii() and sign.isalnum() else "-" for sign in name)
        top = [f"\\begin{{{environment}}}", "\\centering", f"\\{params.size}", f"\\caption{{{caption}}}"]
        return [*top, f"\\label{{{label}}}", *body, f"\\end{{{environment}}}"]


def escape(text: object) -> str:
    """The text as itself wherever LaTeX sets text."""
    return _LIGATURE.sub(r"\1{}", "".join(_SIGNS.get(sign, sign) for sign in plain_text(text)))


def _tabular(headers: Sequence[str], rows: Sequence[Sequence[str]], align: str) -> list[str]:
    lines = [_begun(" & ".join(cells)) + " \\\\" for cells in (headers, *rows)]
    return [f"\\begin{{tabular}}{{{align}}}", "\\toprule", lines[0], "\\midrule", *lines[1:], "\\bottomrule",
            "\\end{tabular}"]  # fmt: skip


def _begun(line: str) -> str:
    """A bracket or a star would be an argument of the line's end, or of the rule, before it."""
    return f"{{}}{line}" if line.startswith(("[", "*")) else line


def _cell(content: str | Marked | Absent, notes: dict[str, int]) -> str:
    if isinstance(content, Absent):
        return f"---\\textsuperscript{{{notes.setdefault(content.reason, len(notes) + 1)}}}"
    if isinstance(content, Marked):
        face = "textbf" if content.note == "anchor" else "emph"
        return f"\\{face}{{{escape(content.text)}}} ({escape(content.note)})"
    return escape(content)


def _text(content: str | Marked | Absent) -> str:
    return content.text if isinstance(content, Marked) else content.reason if isinstance(content, Absent) else content


def _notes(level: str, notes: dict[str, int]) -> list[str]:
    reasons = [f"\\textsuperscript{{{number}}} {escape(reason)}" for reason, number in notes.items()]
    return ["\\smallskip", "\\par", "\n".join([escape(level), *reasons])]


def _picked(wanted: Sequence[int], names: Sequence[str], what: str) -> list[int]:
    """Positions from 0, in the order that was asked for."""
    wrong = [number for number in wanted if not 1 <= number <= len(names)]
    if wrong:
        known = ", ".join(f"{number} {name}" for number, name in enumerate(names, 1))
        msg = f"{what}: the main table has no {wrong[0]}. It has: {known}"
        raise PluginError(msg)
    return [number - 1 for number in wanted] or list(range(len(names)))
