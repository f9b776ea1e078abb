"""Reporters: reports become files, and nothing that a name holds becomes a command."""

from __future__ import annotations

import json
import re
from dataclasses import replace

import pytest
import report_fakes as fakes
from report_fakes import REGISTRY, report, tables

from harness.cli.chosen import choose
from harness.cli.report_command import reporters as named
from harness.errors import PluginError, SuiteError
from harness.plugins import Provider, Registered, Registry, load_registry
from harness.reports import Absent, Marked, main_table, render, summarise, write_reports
from harness.specs import ReporterSpec

# Control words that a table is made of. Whatever stands in a name, there is no other in the file.
OURS = {
    "begin", "end", "centering", "small", "caption", "label", "toprule", "midrule", "bottomrule", "smallskip", "par",
    "textbf", "emph", "textsuperscript", "textbackslash", "textasciitilde", "textasciicircum", "textless",
    "textgreater", "textbar", "symbol", "pm", "times", "div", "cdot", "approx", "geq", "leq", "rightarrow", "uparrow",
    "downarrow", "Delta", "beta", "ldots",
}  # fmt: skip
PAYLOADS = [
    r"\input{/etc/passwd}", r"\write18{id}", r"\end{tabular}", r"a & b \\ \hline", "100 % comment", "$x^2$", "a_b#c",
    "{", "}", r"}}\newcommand", "~^<>|", "[10cm]", "*", "`` ''", '"a', "--- ,,", "^^5cinput", "a\nb\rc", "\x1b[31mred",
    "\u202eevil", r"\\", "\\", "%", "#1", "tab\there", "Тинькофф", "x" * 1000,
]  # fmt: skip


def latex(found, **params):
    spec = load_registry().reporter("latex")
    return spec.make(spec.params(**params)).files(found, "made-up")["made-up.tex"]


def named_like(payload):
    """A report in which the payload is a model's name, a chain's and a reason."""
    made = fakes.records()
    swap = {"teacher": payload}
    cells = [
        {**cell, "axes": {**cell["axes"], "model": swap.get(cell["axes"]["model"], cell["axes"]["model"])}}
        for cell in made.cells
    ]
    cells = [{**c, "unmeasured": payload, "measure": None} if c["axes"]["model"] == "lstm" else c for c in cells]
    measure = {**made.run["measure"], "retention": {**made.run["measure"]["retention"], "of": payload}}
    run = {**made.run, "anchor": {"model": payload, "compress": "none"}, "measure": measure}
    return summarise(replace(made, run=run, cells=cells), REGISTRY)


def body(text):
    """The lines between the rules, cut at their cells."""
    lines = text.partition("\\toprule\n")[2].partition("\\bottomrule")[0].splitlines()
    return [re.split(r"(?<!\\)&", line) for line in lines if line != "\\midrule"]


@pytest.mark.parametrize("payload", PAYLOADS)
def test_no_name_breaks_out_of_its_cell(payload):
    found = named_like(payload)
    text = latex(found)
    code = re.sub(r"^% .*\n", "", text, flags=re.MULTILINE)
    assert set(re.findall(r"\\([A-Za-z]+)", code)) <= OURS
    rest = re.sub(r"\\([A-Za-z]+|[&%$#_{}\\])", "", code)
    assert not set("%#^~_\\\x1b\r\t") & set(rest)
    assert rest.count("{") == rest.count("}")
    assert rest.count("$") % 2 == 0
    lines = body(text)
    assert len(lines) == 13
    assert {len(line) for line in lines} == {len(main_table(found).headers)}
    assert all(line[-1].endswith(" \\\\") and "\\\\" not in "".join(line)[:-2] for line in lines)
    assert not [line for line in lines if line[0].startswith(("[", "*"))]  # would be an argument of the \\ before
    assert text.count("\\begin{") == text.count("\\end{") == 2


@pytest.mark.parametrize(
    ("payload", "shown"),
    [
        (r"\input{x}", r"\textbackslash{}input\{x\}"),
        ("50 % & $1_a#", r"50 \% \& \$1\_a\#"),
        ("a--b,,c''", "a-{}-b,{},c'{}'"),
        ("x^2~<y>|", r"x\textasciicircum{}2\textasciitilde{}\textless{}y\textgreater{}\textbar{}"),
        ('"`', r"\symbol{34}\symbol{96}"),
        ("Отзывы", "Отзывы"),
    ],
)
def test_a_name_is_shown_as_itself(payload, shown):
    assert f"\\textbf{{{shown}}} (anchor)" in latex(named_like(payload))


def test_the_table_has_the_pages_figures_with_their_intervals():
    found = report()
    page, table = tables(render(found))[0], body(latex(found))
    signs = {"$-$": "−", "$\\approx$": "≈", "\\%": "%", "\\textbf{": "**"}
    for shown, line in zip(page[2:], table[1:], strict=True):
        cells = [cell.removesuffix("\\\\").strip() for cell in line]
        for sign, text in signs.items():
            cells = [cell.replace(sign, text) for cell in cells]
        assert cells[1:] == shown[1:]
    assert sum("[" in cell for line in table[1:] for cell in line) > 40


def test_a_dash_has_its_reason_below():
    found = named_like("boom & co")
    text = latex(found)
    (number,) = {cell for line in body(text) for cell in re.findall(r"---\\textsuperscript\{(\d)\}", "&".join(line))}
    assert f"\\textsuperscript{{{number}}} not measured: boom \\& co" in text


def test_rows_columns_and_surroundings_can_be_chosen():
    found = report()
    whole = body(latex(found))
    part = body(latex(found, columns=(3, 1), rows=(2, 1)))
    assert [[cell.strip(" \\") for cell in line] for line in part] == [
        [whole[row][column].strip(" \\") for column in (2, 0)] for row in (0, 2, 1)
    ]
    text = latex(found, environment="sidewaystable", caption="A & B", label="tab:mine", size="scriptsize")
    assert "\\usepackage{rotating}" in text
    assert "\\caption{A \\& B}\n\\label{tab:mine}" in text
    assert "\\begin{sidewaystable}\n\\centering\n\\scriptsize\n" in text
    bare = latex(found, environment="none")
    assert "\\caption" not in bare
    assert bare.rstrip().endswith("}")
    with pytest.raises(PluginError, match=r"columns: the main table has no 99. It has: 1 model, 2 chain, "):
        latex(found, columns=(99,))


def test_a_main_table_is_values():
    found = main_table(report())
    assert found.rows[0][0] == Marked("teacher", "anchor")
    assert found.headers[:3] == ("model", "chain", "accuracy, % ↑")
    assert len(found.align) == len(found.headers) == len(found.rows[0])
    assert isinstance(main_table(named_like("x")).rows[4][-1], Absent)


# ------------------------------------------------------------------------------------------------- whatever plugins do


class Fixed:
    """Returns, or raises, what it was made with."""

    def __init__(self, files):
        self.found = files

    def files(self, report, name):
        if isinstance(self.found, Exception):
            raise self.found
        return self.found


@pytest.mark.parametrize(
    ("files", "why"),
    [
        (ValueError("boom\nmore"), "reporter 'odd': ValueError: boom"),
        (["x.txt"], "reporter 'odd': AttributeError"),
        ({"../x.txt": "a"}, r"file '\.\./x\.txt': expected a name that begins with 'x\.', without a folder"),
        ({"x./../y": "a"}, "expected a name"),
        ({"y.txt": "a"}, "expected a name"),
        ({"x.\x1b.txt": "a"}, r"file 'x\.\\x1b\.txt': expected a name"),
        ({"x.records.jsonl": "a"}, "not the record's"),
        ({"x." + "я" * 120: "a"}, "a name of 242 bytes, at most 230"),
        ({"x.csv": "a"}, "file 'x.csv' was written by reporter 'harness/csv' already"),
        ({"x.txt": 3}, "file 'x.txt' is a int, expected text or bytes"),
        ({"x.txt": "\ud800"}, "UnicodeEncodeError"),
    ],
)
def test_a_reporters_fault_is_named_and_the_others_files_are_written(tmp_path, files, why):
    with pytest.raises(PluginError, match=why):
        write_reports(report(), tmp_path, "x", {**fakes.reporters(), "odd": Fixed(files)})
    assert sorted(path.name for path in tmp_path.iterdir()) == ["x.accuracy.svg", "x.csv", "x.json", "x.md"]


def test_a_folder_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(SuiteError, match=r"file/x\.md: File exists; reports stand beside their record"):
        write_reports(report(), tmp_path / "file", "x", fakes.reporters())


def test_files_may_be_text_or_bytes(tmp_path):
    paths = write_reports(report(), tmp_path, "x", {"a": Fixed({"x.bin": b"\xff\x00", "x.txt": "текст"})})
    assert [path.read_bytes() for path in paths] == [b"\xff\x00", "текст".encode()]


def test_a_reporter_that_cannot_be_made_is_named():
    broken = ReporterSpec(name="broken", summary="s", version=1, factory="no.where:X")
    registry = Registry({"reporter": (Registered(broken, Provider("t", "1")),)})
    with pytest.raises(PluginError, match=r"reporter 'broken \(t 1\)' cannot be made: 'no.where:X' cannot be imported"):
        named(registry, ["broken"])


def test_nobody_takes_the_place_of_the_reports_own_formats():
    theirs = ReporterSpec(name="csv", summary="s", version=1, factory="no.where:X")
    known = load_registry()
    registry = Registry({"reporter": (*known.components["reporter"], Registered(theirs, Provider("t", "1")))})
    assert list(named(registry)) == ["harness/markdown", "harness/csv", "harness/json"]
    with pytest.raises(PluginError, match=r"--format: two plugins provide reporter 'csv': harness .* and t 1"):
        named(registry, ["csv"])


@pytest.mark.parametrize(
    ("text", "params"),
    [
        ("latex", {}),
        ("latex=columns=[1,2,3],label=tab:mine", {"columns": (1, 2, 3), "label": "tab:mine"}),
        ("latex=[1, 2]", {"columns": (1, 2)}),
        ("latex=caption=a, b = c,size=small", {"caption": "a, b = c", "size": "small"}),
        ('latex=caption="x=1"', {"caption": "x=1"}),
    ],
)
def test_params_on_the_command_line(text, params):
    found = choose(load_registry(), "reporter", "--format", text).params()
    assert found.model_dump(exclude_unset=True) == params


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("latx", "--format: 'latx' is not a known reporter. Did you mean 'latex'?"),
        ("latex=colums=[1]", "--format latex: colums: unknown key. Did you mean 'columns'?"),
        (
            "latex=size=huge",
            "--format latex: size: expected 'normalsize', 'small', 'footnotesize' or 'scriptsize', got",
        ),
        ("latex=label=a}b", "--format latex: label: "),
        ("csv=1", "--format csv: 'csv' has no parameters, got '1'"),
    ],
)
def test_wrong_params_say_what_is_allowed(text, why):
    with pytest.raises(PluginError, match=re.escape(why)):
        named(load_registry(), [text])


def test_report_writes_what_is_asked_for_and_else_what_a_run_writes(project):
    project.harness("run", "toys.toml")
    folder = project.folder / "reports"
    first = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert set(first) == {"toys.md", "toys.csv", "toys.json", "toys.records.jsonl"}
    for path in folder.iterdir():
        if path.suffix != ".jsonl":
            path.unlink()
    said = project.harness("report", "reports/toys.records.jsonl", "--format", "csv", "--format", "latex=columns=[1,3]")
    assert "report: reports/toys.csv\nreport: reports/toys.tex\n" in said.err
    assert {path.name for path in folder.iterdir()} == {"toys.csv", "toys.tex", "toys.records.jsonl"}
    project.harness("report", "reports/toys.records.jsonl")
    assert {path.name: path.read_bytes() for path in folder.iterdir() if path.suffix != ".tex"} == first
    assert json.loads(first["toys.json"])["suite"]["name"] == "toys"
