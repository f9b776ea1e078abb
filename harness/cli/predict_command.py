"""`harness predict`."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import click

from harness.cli.common import Opened, open_store, open_suite, suite_options
from harness.errors import HarnessError, NothingSelected, SuiteError, printable
from harness.plan import Weights
from harness.specs import Example, Facts, Head

Fields = dict[str, str]  # of one example, without its id
AROUND = 200  # characters of the context shown on either side of an answer


@click.command(
    name="predict",
    epilog="""\b
Examples:
  harness predict suites/quickstart.toml --only model=lstm-kd,compress=onnx-int8 --text "Отличное платье"
  cat reviews.txt | harness predict suites/quickstart.toml --only model=lstm-kd --json
  harness predict suites/reading.toml --question "Где живёт Анна?" --context "Анна живёт в Твери."
  cat questions.jsonl | harness predict suites/reading.toml --json""",
)
@suite_options
@click.option("--text", "texts", multiple=True, help="A text to answer; without it, one text per line of stdin.")
@click.option("--question", help="A question, with its --context; without it, JSON lines of both on stdin.")
@click.option("--context", help="The text in which the answer is looked for.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object per line.")
def command(
    suite: str,
    only: str | None,
    overrides: tuple[str, ...],
    rehearse: bool,
    weights: Weights,
    texts: tuple[str, ...],
    question: str | None,
    context: str | None,
    as_json: bool,
) -> int:
    """Answer texts or questions with the artifact of the first selected cell."""
    from harness.inference import load_answerer

    opened = open_suite(suite, only, overrides, rehearse=rehearse, weights=weights)
    head = opened.registry.task(opened.suite.task.use).head
    asked = _asked(head, texts, question, context)
    cell, folder = _artifact(opened)
    task = opened.registry.task(opened.suite.task.use).load(opened.suite.task.params)
    answerer = load_answerer(folder, task, opened.registry, threads=1)
    if not as_json:
        click.echo(printable(f"answered by {cell}"), err=True)
    show = _SHOW[head]
    for number, fields in enumerate(asked):
        example: Example = {"id": str(number), **fields}
        answer = answerer.answer_one(example)
        click.echo(json.dumps({**fields, **answer}, ensure_ascii=False) if as_json else show(fields, answer))
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


# ------------------------------------------------------------------------------------------------------------- asking


def _asked(head: Head, texts: tuple[str, ...], question: str | None, context: str | None) -> Iterator[Fields]:
    """What is to be answered. SuiteError when the options do not belong to the suite's head."""
    if head == "span":
        if texts or (question is None) != (context is None):
            msg = "this suite answers questions: give --question and --context, or JSON lines with both on stdin"
            raise SuiteError(msg)
        return (
            _questions() if question is None else iter([{"question": whole(question), "context": whole(context or "")}])
        )
    if question is not None or context is not None:
        msg = "this suite answers texts: give --text, or one text per line of stdin"
        raise SuiteError(msg)
    return ({"text": whole(text)} for text in texts or _lines())


def _questions() -> Iterator[Fields]:
    for number, line in enumerate(_lines(), start=1):
        try:
            found = json.loads(line)
            yield {name: _text(found, name) for name in ("question", "context")}
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            msg = f'stdin, line {number}: expected {{"question": "…", "context": "…"}}, found {line[:60]!r}'
            raise SuiteError(msg) from error


def _text(found: Mapping[str, object], name: str) -> str:
    value = found[name]
    if not isinstance(value, str):
        raise TypeError(name)
    return whole(value)


def whole(text: str) -> str:
    """Without lone surrogates, which nothing can encode."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _lines() -> Iterator[str]:
    """Every line of stdin, blank ones too: the answers stand in the order of the lines."""
    for number, line in enumerate(sys.stdin.buffer, start=1):
        try:
            yield line.decode("utf-8").rstrip("\r\n")
        except UnicodeDecodeError as error:
            msg = f"stdin, line {number}: not UTF-8. Convert it, for instance: iconv -f cp1251 -t utf-8"
            raise SuiteError(msg) from error


# ------------------------------------------------------------------------------------------------------------ showing


def _shown_class(fields: Fields, answer: Facts) -> str:
    listed = "  ".join(f"{name} {value:.2f}" for name, value in answer.get("scores", {}).items())
    return printable("  ".join([str(answer.get("label", "")), listed, fields["text"]]))


def _shown_span(fields: Fields, answer: Facts) -> str:
    """The answer, its score, and where it stands: highlighted on a terminal, between ** elsewhere."""
    context, begin, end = fields["context"], int(answer["start"]), int(answer["end"])
    if begin == end:
        return f"no answer  {printable(fields['question'])}"
    before, found, after = (printable(part) for part in (context[:begin], context[begin:end], context[end:]))
    mark = click.style(found, bold=True, reverse=True) if sys.stdout.isatty() else f"**{found}**"
    before = before if len(before) <= AROUND else f"…{before[-AROUND:]}"
    after = after if len(after) <= AROUND else f"{after[:AROUND]}…"
    return f"{found}  {answer['score']:.2f}  {printable(fields['question'])}\n  {before}{mark}{after}"


_SHOW: Mapping[Head, Callable[[Fields, Facts], str]] = {"sequence": _shown_class, "span": _shown_span}
