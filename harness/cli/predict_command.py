"""`harness predict`."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import click

from harness.cli.common import Opened, open_store, open_suite, suite_options
from harness.errors import HarnessError, NothingSelected, printable
from harness.plan import Weights
from harness.specs import Example, Facts


@click.command(
    name="predict",
    epilog="""\b
Examples:
  harness predict suites/quickstart.toml --only model=lstm-kd,compress=onnx-int8 --text "Отличное платье"
  cat reviews.txt | harness predict suites/quickstart.toml --only model=lstm-kd --json""",
)
@suite_options
@click.option("--text", "texts", multiple=True, help="A text to answer; without it, one text per line of stdin.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object per line.")
def command(
    suite: str,
    only: str | None,
    overrides: tuple[str, ...],
    rehearse: bool,
    weights: Weights,
    texts: tuple[str, ...],
    as_json: bool,
) -> int:
    """Answer texts with the artifact of the first selected cell."""
    from harness.inference import load_answerer

    opened = open_suite(suite, only, overrides, rehearse=rehearse, weights=weights)
    folder = _artifact(opened)
    answerer = load_answerer(folder[1], opened.suite.task.use, opened.registry, threads=1)
    if not as_json:
        click.echo(f"answered by {folder[0]}", err=True)
    for number, text in enumerate(texts or _lines()):
        example: Example = {"id": str(number), "text": text}
        answer = answerer.answer_one(example)
        click.echo(json.dumps({"text": text, **answer}, ensure_ascii=False) if as_json else _plain(text, answer))
    return 0


def _artifact(opened: Opened) -> tuple[str, Path]:
    store = open_store()
    for cell in opened.plan().cells:
        if cell.artifact and store.entry(cell.artifact.key):
            problem = store.verify(cell.artifact.key)
            if problem:
                msg = f"{cell.cell.id}: the stored artifact is damaged ({problem}); run the suite to make it again"
                raise HarnessError(msg)
            return cell.cell.id, store.path(cell.artifact)
    msg = f"none of the selected cells has an artifact in the store; first: {opened.command}"
    raise NothingSelected(msg)


def _lines() -> Iterator[str]:
    for line in sys.stdin:
        if line.strip():
            yield line.rstrip("\n")


def _plain(text: str, answer: Facts) -> str:
    scores = answer.get("scores", {})
    listed = "  ".join(f"{name} {value:.2f}" for name, value in scores.items())
    return printable(f"{answer.get('label', '')}\t{listed}\t{text}".replace("\t", "  "))
