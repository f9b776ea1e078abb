"""The hook of `markdown`, `csv`, `json` and `latex`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from pydantic import Field

from harness import Params, ReporterSpec, hookimpl


class LatexParams(Params):
    """Options of `latex`."""

    columns: tuple[int, ...] = Field((), description="columns of the main table, counted from 1; default: all")
    rows: tuple[int, ...] = Field((), description="its rows, counted from 1; default: all")
    environment: Literal["table", "table*", "sidewaystable", "none"] = Field(
        "table", description="what the tabular stands in"
    )
    size: Literal["normalsize", "small", "footnotesize", "scriptsize"] = Field("small", description="of the type")
    caption: str | None = Field(None, description="plain text; default: the report's first sentence")
    label: str | None = Field(None, pattern=r"^[A-Za-z0-9:._/-]+$", description="for \\ref; default: tab:NAME")


@hookimpl
def harness_reporters() -> Iterator[ReporterSpec]:
    """The files of every report, and one for papers."""
    yield ReporterSpec(
        name="markdown",
        summary="The report as a page, with its figures as SVG beside it",
        version=1,
        factory="harness_reporters.files:Markdown",
    )
    yield ReporterSpec(
        name="csv",
        summary="A line per row, every figure in a plain column whose name holds its unit",
        version=1,
        factory="harness_reporters.files:Csv",
    )
    yield ReporterSpec(
        name="json",
        summary="What the tables show, unrounded, with the run's identity",
        version=1,
        factory="harness_reporters.files:Json",
    )
    yield ReporterSpec(
        name="latex",
        summary="The main table for a paper: booktabs, intervals kept, reasons as notes",
        version=1,
        factory="harness_reporters.latex:Latex",
        params=LatexParams,
        reference="https://ctan.org/pkg/booktabs",
    )
