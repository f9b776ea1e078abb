"""`harness predict`."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, get_args

import click

from harness.cli.common import open_store, open_suite, suite_options
from harness.cli.marking import Entity, brat, marked
from harness.data import read_examples
from harness.errors import HarnessError, NothingSelected, SuiteError, printable
from harness.plan import CellPlan, Plan, Weights
from harness.specs import AHEAD, Example, Facts, Head
from harness.suite import bind

Fields = dict[str, Any]  # what is shown of one example, beside its answer
Format = Literal["text", "json", "brat"]
_ENTITIES: frozenset[Head] = frozenset({"token", "nested-token"})  # heads whose answers may hold entities
_TEXTS = ("text", "question", "context")
TRUTH = "truth"  # what the data say of a test example
AROUND = 200  # characters of the context shown on either side of an answer


@click.command(
    name="predict",
    epilog="""\b
Examples:
  harness predict suites/quickstart.toml --only model=lstm-kd,compress=onnx-int8 --text "Отличное платье"
  cat reviews.txt | harness predict suites/quickstart.toml --only model=lstm-kd --json
  harness predict suites/quickstart.toml --only model=lstm-kd,compress=onnx-int8 --example test:test-882
  harness predict suites/reading.toml --question "Где живёт Анна?" --context "Анна живёт в Твери."
  cat questions.jsonl | harness predict suites/reading.toml --json
  cat sentences.txt | harness predict suites/conll2003-critical.toml --format brat --out annotated""",
)
@suite_options
@click.option("--text", "texts", multiple=True, help="A text to answer; without it, one text per line of stdin.")
@click.option(
    "--example", "ids", multiple=True, help="The id of a test example, as reports name it: its text is shown."
)
@click.option("--question", help="A question, with its --context; without it, JSON lines of both on stdin.")
@click.option("--context", help="The text in which the answer is looked for.")
@click.option(
    "--format",
    "wanted",
    type=click.Choice(get_args(Format)),
    default="text",
    show_default=True,
    help="'json': one JSON object per line; 'brat': brat's lines, for suites that find entities.",
)
@click.option("--json", "as_json", is_flag=True, help="The same as --format json.")
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    help="With --format brat: a new folder, for the .txt and the .ann file of each text.",
)
def command(
    suite: str,
    only: str | None,
    overrides: tuple[str, ...],
    rehearse: bool,
    weights: Weights,
    texts: tuple[str, ...],
    ids: tuple[str, ...],
    question: str | None,
    context: str | None,
    wanted: Format,
    as_json: bool,
    out: Path | None,
) -> int:
    """Answer texts or questions with the artifact of the first selected cell."""
    from harness.inference import load_answerer

    opened = open_suite(suite, only, overrides, rehearse=rehearse, weights=weights)
    head = opened.registry.task(opened.suite.task.use).head
    wanted = _format(wanted, as_json, out, head)
    if ids and (texts or question is not None or context is not None or wanted == "brat"):
        msg = "--example asks about the suite's own test data, without --text, --question, --context and --format brat"
        raise SuiteError(msg)
    asked = iter(()) if ids else _asked(head, texts, question, context)
    if wanted == "brat":
        asked = _for_brat(asked, out)
    plan = opened.plan()
    planned, folder = _artifact(plan, opened.command)
    cell = planned.cell
    typed = ((fields, {"id": str(number), **fields}) for number, fields in enumerate(asked))
    examples = _examples(ids, plan, planned, opened.command) if ids else typed
    task = opened.registry.task(opened.suite.task.use).load(bind(opened.suite, cell)[0].params)
    answerer = load_answerer(folder, task, opened.registry, threads=1)
    if wanted == "text":
        click.echo(printable(f"answered by {cell.id}"), err=True)
    answers = ((fields, answerer.answer_one(example)) for fields, example in examples)
    if wanted == "brat":
        _write_brat(answers, out)
        return 0
    show = _SHOW[head] if wanted == "text" else _as_json
    for fields, answer in answers:
        click.echo(show(fields, answer))
        if TRUTH in fields and wanted == "text":
            click.echo(printable(f"  {fields['id']}, as labelled: {json.dumps(fields[TRUTH], ensure_ascii=False)}"))
    return 0


def _artifact(plan: Plan, command: str) -> tuple[CellPlan, Path]:
    store = open_store()
    for cell in plan.cells:
        if cell.artifact and store.entry(cell.artifact.key):
            problem = store.verify(cell.artifact.key)
            if problem:
                msg = f"{cell.cell.id}: the stored artifact is damaged ({problem}); run the suite to make it again"
                raise HarnessError(msg)
            return cell, store.path(cell.artifact)
    reasons = list(dict.fromkeys(str(cell.skipped) for cell in plan.cells))
    if all(cell.skipped for cell in plan.cells):
        msg = f"none of the selected cells has an artifact, they are skipped: {'; '.join(reasons)}"
        raise NothingSelected(msg)
    msg = f"none of the selected cells has an artifact in the store; first: {command}"
    raise NothingSelected(msg)


# ------------------------------------------------------------------------------------------------------------- asking


def _format(wanted: Format, as_json: bool, out: Path | None, head: Head) -> Format:
    """The format that the options ask for. SuiteError where they contradict each other, or the suite's head."""
    if wanted == "brat" and (as_json or head not in _ENTITIES):
        problem = (
            "--json exclude each other" if as_json else f"a suite of head '{head}' do not fit: it finds no entities"
        )
        msg = f"--format brat and {problem}"
        raise SuiteError(msg)
    if out and wanted != "brat":
        msg = "--out is the folder of --format brat; other formats go to stdout"
        raise SuiteError(msg)
    return "json" if as_json else wanted


def _for_brat(asked: Iterable[Fields], out: Path | None) -> Iterator[Fields]:
    """All texts, once it is sure that there is room for them. SuiteError where there is not."""
    texts = list(asked)
    if out is None and len(texts) != 1:
        msg = f"--format brat writes one text to stdout, and {len(texts)} were given: name a folder with --out"
        raise SuiteError(msg)
    if out and out.exists() and any(out.iterdir()):
        msg = f"--out {out}: the folder is not empty. Name a new one"
        raise SuiteError(msg)
    return iter(texts)


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


def _examples(ids: Sequence[str], plan: Plan, planned: CellPlan, command: str) -> Iterator[tuple[Fields, Example]]:
    """What is shown of test examples, and the examples. SuiteError for an id that is not among them."""
    store = open_store()
    data = plan.stages[planned.score].inputs["data"] if planned.score else None
    if data is None or not store.entry(data.key):
        msg = f"{planned.cell.id}: its test data are not in the store; first: {command}"
        raise NothingSelected(msg)
    known = {example["id"]: example for example in read_examples(store.path(data))}
    if unknown := [name for name in ids if name not in known]:
        msg = (
            f"--example {printable(unknown[0])!r}: not among the {len(known):,} test examples of {planned.cell.id}; "
            f"name one as its report does, such as {printable(next(iter(known)))}"
        )
        raise SuiteError(msg)
    return ((_labelled(known[name]), known[name]) for name in ids)


def _labelled(example: Example) -> Fields:
    """Its texts as if somebody had typed them, and apart from them what the data say of it."""
    texts = {name: example[name] for name in _TEXTS if name in example}
    truth = {name: value for name, value in example.items() if name not in (*_TEXTS, "id", "words", AHEAD)}
    return {"id": example["id"], **texts, TRUTH: truth}


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


def _shown_entities(fields: Fields, answer: Facts) -> str:
    """Marked in the text; what a task about other things than entities says, as it says it."""
    return marked(fields["text"], answer["entities"]) if "entities" in answer else _as_json(fields, answer)


def _as_json(fields: Fields, answer: Facts) -> str:
    return json.dumps({**fields, **answer}, ensure_ascii=False)


def _write_brat(answers: Iterable[tuple[Fields, Facts]], out: Path | None) -> None:
    """`0.txt` and `0.ann` in the folder, and so on; without one, the lines of the .ann file to stdout."""
    for number, (fields, answer) in enumerate(answers):
        lines = brat(_found(answer))
        if out is None:
            for line in lines:
                click.echo("\t".join(map(printable, line.split("\t", 2))))
            continue
        out.mkdir(parents=True, exist_ok=True)
        (out / f"{number}.txt").write_bytes(fields["text"].encode())
        (out / f"{number}.ann").write_bytes("".join(f"{line}\n" for line in lines).encode())


def _found(answer: Facts) -> Sequence[Entity]:
    """SuiteError where a task about words is not about entities."""
    if "entities" not in answer:
        msg = f"--format brat and this task do not fit: it finds no entities, it says {', '.join(answer)}"
        raise SuiteError(msg)
    entities: Sequence[Entity] = answer["entities"]
    return entities


_SHOW: Mapping[Head, Callable[[Fields, Facts], str]] = {
    "sequence": _shown_class,
    "token": _shown_entities,
    "nested-token": _shown_entities,
    "span": _shown_span,
}
