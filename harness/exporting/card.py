"""README.md in the form of the hub's model cards: front matter with evaluation results, then what a user must know.

Names and texts come from suites, plugins and data: in the front matter they are quoted by YAML, elsewhere escaped.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from harness.errors import HarnessError
from harness.exporting.gather import Material, Step
from harness.exporting.public import without_paths
from harness.exporting.script import NAME, Script
from harness.exporting.wishes import Wishes
from harness.reports import format as fmt
from harness.reports.escape import code, markdown, plain
from harness.reports.model import Absent, Ratio, Score
from harness.reports.tables import (
    Content,
    Lines,
    bullets,
    figure,
    header,
    integer,
    measured,
    metric_column,
    ratio_cell,
    section,
    table,
)
from harness.specs import Head, Metric

if TYPE_CHECKING:
    from huggingface_hub import EvalResult

Json = Any
PIPELINES: Mapping[Head, str] = {
    "sequence": "text-classification",
    "token": "token-classification",
    "nested-token": "token-classification",
    "span": "question-answering",
}
# Our metrics as the hub knows them: its id and what it has to be told besides.
METRICS: Mapping[str, tuple[str, dict[str, str]]] = {
    "accuracy": ("accuracy", {}),
    "macro_f1": ("f1", {"average": "macro"}),
    "micro_f1": ("f1", {"average": "micro"}),
    "f1": ("f1", {}),
    "precision": ("precision", {}),
    "recall": ("recall", {}),
    "em": ("exact_match", {}),
}
REHEARSAL = (
    "> **A rehearsal: a miniature model, trained for a handful of steps on sample data. It is good for nothing but "
    "trying this folder out. Do not publish it.**"
)
LOOP = ("epochs", "max_steps", "batch_size", "learning_rate", "schedule", "optimizer", "token_dropout", "select")


def name_of(found: Material, wishes: Wishes) -> str:
    """`quickstart-lstm-kd-onnx-int8-seed1`, or as the author wants it."""
    if wishes.name:
        return wishes.name
    values = [str(value) for axis, value in found.cell.row if value not in (None, "none")]
    rehearsal = ["rehearsal"] if found.mode == "rehearsal" else []
    words = [found.suite, *rehearsal, *values, f"seed{found.seed}"]
    parts = [re.sub(r"[^A-Za-z0-9._]+", "-", plain(word)).strip("-.") for word in words]
    return "-".join(part for part in parts if part)[:96]


def card(found: Material, script: Script, wishes: Wishes, proved: int) -> str:
    """The whole file. HarnessError when the hub's own reader does not find in it what was written."""
    from huggingface_hub import ModelCard

    data = _data(found, script, wishes)
    body = "\n".join(_body(found, script, wishes, proved))
    text = f"---\n{data.to_yaml()}\n---\n\n{body}\n"
    read = ModelCard(text)
    front: list[Json] = [read.data.to_dict(), data.to_dict()]  # type: ignore[no-untyped-call]
    if front[0] != front[1] or read.text.strip() != body.strip():
        msg = "the model card is read as something else than was written; is there a name of another form in the suite?"
        raise HarnessError(msg)
    return text


# ------------------------------------------------------------------------------------------------------- front matter


def _data(found: Material, script: Script, wishes: Wishes) -> Any:
    from huggingface_hub import ModelCardData

    results = [] if found.mode == "rehearsal" else _results(found)
    return ModelCardData(
        language=list(wishes.languages) or None,
        license=wishes.license or "unknown",
        library_name=script.library,
        pipeline_tag=PIPELINES[found.artifact.head],
        tags=_tags(found),
        base_model=found.base_model,
        datasets=[found.dataset] if found.dataset else None,
        metrics=list(dict.fromkeys(result.metric_type for result in results)) or None,
        model_name=name_of(found, wishes),
        eval_results=results or None,
    )


_FORMATS = {
    "onnx": ("onnx",),
    "onnx-int8": ("onnx", "int8"),
    "onnx-int4": ("onnx", "int4"),
    "openvino": ("openvino",),
    "torch-bf16": ("bf16",),
    "torch-int8": ("int8",),
}


def _tags(found: Material) -> list[str]:
    distilled = ["distillation"] if any(step.teachers for step in found.steps) else []
    formats = _FORMATS.get(found.artifact.format, ())
    return ["harness", plain(found.student.name), plain(found.task.use), *formats, *distilled]


def _results(found: Material) -> list[EvalResult]:
    """This artifact's own scores, in the metric's own unit: a share is between 0 and 1."""
    from huggingface_hub import EvalResult

    results: list[EvalResult] = []
    for metric in found.report.metrics:
        score = found.own[metric.name].interval
        if isinstance(score, Absent):
            continue
        type_, args = METRICS.get(metric.name, (metric.name, {}))
        bounds = {"low": round(score.low, 6), "high": round(score.high, 6), "confidence": _level(found)}
        results.append(
            EvalResult(
                task_type=PIPELINES[found.artifact.head],
                task_name=plain(found.task_spec.summary),
                dataset_type=found.dataset or plain(found.task.use),
                dataset_name=plain(_data_name(found)),
                dataset_split="test",
                dataset_revision=_revision(found),
                dataset_args=_which(found),
                metric_type=type_,
                metric_name=plain(metric.name),
                metric_value=round(score.value, 6),
                metric_args={**args, **bounds},
            )
        )
    return results


def _data_name(found: Material) -> str:
    return found.dataset or f"test data of the suite {found.suite}"


def _revision(found: Material) -> str | None:
    """Of the hub's data set, where that is where it was read from."""
    origin = str(_tested(found).get("origin", ""))
    return origin.partition("@")[2] or None if origin.startswith("hub:") else None


def _which(found: Material) -> dict[str, Json]:
    """What tells these test examples from others."""
    data = _tested(found)
    return {"examples": data["counts"]["test"], "ids_sha256": data["examples"]} if data.get("examples") else {}


def _tested(found: Material) -> Mapping[str, Json]:
    """The data whose test examples this artifact was scored on."""
    wanted = (found.record["quality"] or {}).get("examples")
    data: list[dict[str, Json]] = found.report.run["task"]["data"]
    with_test = [one for one in data if "test" in one["counts"]]
    return next((one for one in with_test if one.get("examples") == wanted), with_test[0] if with_test else {})


def _level(found: Material) -> float:
    return float(found.report.run["measure"]["confidence"])


# --------------------------------------------------------------------------------------------------------------- body


def _body(found: Material, script: Script, wishes: Wishes, proved: int) -> Iterable[str]:
    rehearsal = found.mode == "rehearsal"
    unsaid = section("Quality", ["Not shown: a rehearsal says nothing about quality.", ""])
    return [
        *([REHEARSAL, ""] if rehearsal else []),
        f"# {markdown(name_of(found, wishes))}",
        "",
        f"{_public(found.task_spec.summary)}. Model {_public(found.row.label)} of the suite {_public(found.suite)}, "
        f"seed {found.seed}: {_public(found.student.summary)}.",
        "",
        *section("Use", _use(found, script, proved)),
        *(unsaid if rehearsal else _quality(found)),
        *_size_and_speed(found),
        *_making(found),
        *section("What it is not", bullets(_limits(found))),
        *section("Before you publish", bullets(_left_to_do(found, wishes))),
        *section("Where the figures come from", bullets(_evidence(found))),
    ]


def _public(text: object) -> str:
    return markdown(without_paths(str(text)))


def _use(found: Material, script: Script, proved: int) -> Lines:
    question = """'{"question": "Who?", "context": "Anna did."}'"""
    example = question if found.artifact.head == "span" else '"a text" "another"'
    install = f"pip install {' '.join(script.needs)}"
    why = f"It needs the harness's code: {_public(script.why)}." if script.why else "It needs nothing of the harness."
    checked = f"Its answers to {proved} texts were compared with the harness's own when this folder was made."
    shell = ["```", install, f"python {NAME} {example}", "```"]
    return [*shell, "", f"`{NAME}` prints a line of JSON for each text. {why} {checked}", ""]


def _quality(found: Material) -> Lines:
    """This very artifact, then its row over all seeds, then beside the anchor."""
    metrics = [metric for metric in found.report.metrics if not isinstance(found.own[metric.name].interval, Absent)]
    if not metrics:
        return section("Quality", ["Not scored.", ""])
    rows = [[header(m.name, m.unit, m.higher_is_better), *_scores(found, m)] for m in metrics]
    seeds = f"mean of {found.row.seeds_ok} seeds" if found.row.seeds_ok > 1 else "of its one seed"
    anchor = f"difference to {found.anchor.label}" if found.anchor else "difference to the anchor"
    examples = _tested(found).get("counts", {}).get("test")
    of = f"{fmt.count(examples)} test examples" if examples else "the test examples"
    note = (
        f"On {of} of {_public(_data_name(found))}; in brackets {100 * _level(found):g} % intervals: of this model over "
        "examples, of the row over examples and seeds. Differences are paired."
    )
    return section("Quality", table(["metric", "this model", seeds, anchor], rows, "lrrr"), [note, ""])


def _scores(found: Material, metric: Metric) -> list[Content]:
    row = found.row.quality[metric.name]
    return [*_column(found.own[metric.name], metric), *_column(row, metric), *_difference(row, metric)]


def _column(score: Score, metric: Metric) -> list[Content]:
    return metric_column([score.interval], metric.unit)


def _difference(score: Score, metric: Metric) -> list[Content]:
    return metric_column([score.difference], metric.unit, signed=True)


def _size_and_speed(found: Material) -> Lines:
    row, anchor = found.row, found.anchor
    rows: list[list[Content]] = [
        ["model file, MiB", figure(row.size.model_mib, fmt.mib)],
        ["parameters", integer(row.size.parameters)],
        ["parameters without embeddings", integer(row.size.parameters_without_embeddings)],
    ]
    if anchor and not row.anchor:
        against = anchor.label
        rows += [
            [f"times smaller than {against}", figure(row.size.times_smaller, fmt.times)],
            [f"times faster than {against}, text to answer", _ratio(row.speed.request)],
            [f"times faster than {against}, arrays to arrays", _ratio(row.speed.forward)],
        ]
    rows += [
        ["request, median, ms", measured(row.speed.p50_ms)],
        ["texts per second, in batches", measured(row.speed.examples_per_s)],
        ["memory at most, MiB", figure(row.speed.peak_mib)],
    ]
    return section("Size and speed", table(["figure", "value"], rows, "lr"), [_where(found), ""])


def _ratio(ratio: Ratio) -> Content:
    return ratio_cell(ratio)


def _where(found: Material) -> str:
    """The machine without its name; times hold there alone."""
    identity = found.report.run["machine"].get("identity", {})
    threads = sorted({str(one.threads) for one in found.report.measurements if found.row.label in one.rows})
    if not threads or isinstance(found.row.speed.measurement, Absent):
        return "Speed was not measured."
    return (
        f"Measured on {markdown(identity.get('cpu', 'an unknown CPU'))} ({markdown(identity.get('isa', ''))}), "
        f"{identity.get('physical_cores')} cores, {' or '.join(threads)} threads, one process running alone. Times "
        "hold for that machine; ratios were measured beside the other model in the same minutes."
    )


def _making(found: Material) -> Lines:
    lines = [f"Architecture: {_public(found.student.name)}{_pairs(_params(found))}"]
    lines += [f"Base model: {_public(found.base_model)}"] if found.base_model else []
    lines += [_step(number, step) for number, step in enumerate(found.steps, start=1)]
    lines += [] if found.steps else ["Not trained by the harness: used as it is"]
    lines += [_compression(step.use, step.parity) for step in found.row.steps]
    lines += [_data_line(data) for data in found.report.run["task"]["data"][:3]]
    lines += [f"Seed {found.seed} of {found.row.seeds}, the first one: not chosen by its score"]
    return section("How it was made", bullets(lines))


def _params(found: Material) -> dict[str, Json]:
    """The architecture's own, without places."""
    from harness.keys import changed

    return {name: value for name, value in changed(found.model.params).items() if name not in found.student.assets}


def _step(number: int, step: Step) -> str:
    taught = f" from {_public(', '.join(step.teachers))}" if step.teachers else ""
    taught += f", weighed by {step.loop['ensemble']}" if step.loop["ensemble"] != "mean" else ""
    on = ", on unlabelled texts" if step.transfer else ""
    loop = {name: step.loop[name] for name in LOOP if step.loop.get(name) not in (None, 0, 0.0)}
    best = step.facts.get("best_epoch") if step.loop["select"] == "best" else None
    epoch = f"; kept: epoch {best}, the best on dev" if best is not None else ""
    return f"Training {number}: {_public(step.distil)}{taught}{on}{_pairs({**step.params, **loop})}{epoch}"


def _pairs(values: Mapping[str, Json]) -> str:
    shown = ", ".join(f"{name} = {value}" for name, value in values.items() if not isinstance(value, dict))
    return f" ({_public(shown)})" if shown else ""


def _compression(use: str, parity: Mapping[str, float]) -> str:
    facts = [f"{fmt.share(parity['same_answer'])} of answers as before it"] if "same_answer" in parity else []
    moved = parity.get("max_difference")
    facts += [f"outputs moved by {fmt.significant(moved, 2)} at most"] if moved is not None else []
    return f"Compressor: {_public(use)}{': ' if facts else ''}{', '.join(facts)}"


def _data_line(data: Mapping[str, Json]) -> str:
    counts = ", ".join(f"{fmt.count(count)} {role}" for role, count in data["counts"].items())
    origin = str(data["origin"])
    public = origin.startswith(("hub:", "bundled:"))
    return f"Data: {_public(origin) if public else 'files of the author'} ({counts} examples)"


def _limits(found: Material) -> list[str]:
    """What a user would otherwise learn the hard way."""
    artifact = found.artifact
    labels = list(dict.fromkeys(re.sub(r":[OBILU]$", "", label) for label in artifact.labels))
    shown = ", ".join(map(_public, labels[:12])) + (f" and {len(labels) - 12} more" if len(labels) > 12 else "")
    lines = [
        f"It knows the labels {shown}, and always answers with one of them." if artifact.head == "sequence" else
        f"It answers for the head {artifact.head}" + (f", with the labels {shown}." if labels else "."),
        f"It reads {artifact.max_length} tokens at once: {_longer(found)}",
        "It was tested on data of one kind. Whether it holds on yours, yours must tell.",
        "Nobody has looked for unfair or unsafe answers.",
    ]  # fmt: skip
    if found.isa_dependent:
        isa = markdown(found.report.run["machine"].get("identity", {}).get("isa", "unknown"))
        lines.append(f"Its answers depend on the CPU's instructions; the scores are of {isa}, and others may differ.")
    if found.batch_dependent:
        lines.append("Its answers depend on batch mates, because activations are scaled per batch: scored one by one.")
    if any(step.teachers for step in found.steps):
        lines.append("It learned from a single training of its teacher; intervals do not cover another one.")
    if found.row.seeds_ok == 1:
        lines.append("One seed was trained: how much another would differ is not known.")
    if found.reads_text:
        lines.append(
            "Its vocabulary was learned from the training texts: pieces of words of them stand in the tokenizer."
        )
    return [*lines, *(_public(step.loud) for step in found.row.steps if step.loud)]


def _longer(found: Material) -> str:
    if found.artifact.head != "sequence":
        return "longer texts are read in windows that overlap."
    cut = f" {fmt.count(found.row.cut)} test examples were cut." if found.row.cut else " No test example was longer."
    return f"what is longer is cut.{cut}"


def _left_to_do(found: Material, wishes: Wishes) -> list[str]:
    """What no program can know."""
    todo = [] if wishes.license else ["**License: to be chosen by the author** (`license` above says `unknown`)."]
    todo += [] if wishes.languages else ["**Language: to be named by the author** (`language`, such as `ru`)."]
    todo.append("May the data, the base model and the teacher be used so? This card does not know their terms.")
    if found.task_spec.private_text:
        todo.append(
            "**The texts of this task may not be passed on.** None stands here; whether a model of them may, ask."
        )
    todo.append("Nothing was uploaded: that is yours to do.")
    return todo


def _evidence(found: Material) -> list[str]:
    run = found.report.run
    commit = run["commit"]
    where = f", commit {markdown(commit['sha'][:12])}" if commit.get("sha") else ""
    changes = " with uncommitted changes" if commit.get("dirty") else ""
    names = ("python", "torch", "transformers", "tokenizers", "onnx", "onnxruntime", "numpy")
    versions = [f"{name} {run['versions'][name]}" for name in names if run["versions"].get(name, "absent") != "absent"]
    return [
        f"Written by {_public(', '.join(found.distributions))}{where}{changes}",
        f"Suite {_public(found.suite)}, digest {markdown(run['digest'][:12])}",
        f"Cell {code(without_paths(found.cell.id))}, artifact {code(found.key[:12])}",
        f"Versions: {_public(', '.join(versions))}",
    ]
