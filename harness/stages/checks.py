"""What a stage hands over is checked before it is stored: facts are JSON, files are files and lie where they should."""

from __future__ import annotations

import json
import math
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from harness.errors import StageError, choices
from harness.keys import Stage
from harness.plain import plain
from harness.specs import GREATEST, Facts

MOST = 4 * 2**20  # characters of facts as JSON: they are read with every record
DEEPEST = 20


def checked_facts(who: str, facts: Any) -> Facts:
    """The facts as they are. StageError, naming `who` returned them and the place, when records cannot hold them."""
    if not isinstance(facts, dict):
        msg = f"'{who}' returned {_typed(facts)}, expected facts: a dict of what it did, such as {{'changed': True}}"
        raise StageError(msg)
    if problem := _problem(facts, "facts", 0):
        msg = f"'{who}' returned facts that are not JSON: {problem}"
        raise StageError(msg)
    if (size := len(json.dumps(facts))) > MOST:
        msg = f"'{who}' returned {size:,} characters of facts, at most {MOST:,} are kept: write data into `out`"
        raise StageError(msg)
    return facts


def check_recorded(stage: Stage, facts: Facts) -> None:
    """StageError for facts under names that records know which are not what these names mean there.

    One such line would make the whole record of the run one that nothing reads.
    """
    from pydantic import ValidationError

    from harness.records.schema import FACTS
    from harness.suite.problems import describe, dotted

    written = {**json.loads(json.dumps(facts)), "use": stage.component, "seconds": 0.0}
    for model in FACTS.get(stage.kind, ()):
        try:
            model.model_validate(written)
        except ValidationError as error:
            fault = describe(error, model, written)[0]
            place = plain(dotted(("facts", *fault.loc)), 120)
            msg = f"'{stage.component}' returned facts that records cannot hold: {place}: {plain(fault.message)}"
            raise StageError(msg) from error


def check_samples(who: str, samples: Any, examples: int) -> None:
    """StageError unless they are a row of finite figures per example, as records hold them."""
    from harness.records.samples import LARGEST, MOST

    kind, shape = getattr(getattr(samples, "dtype", None), "kind", ""), list(getattr(samples, "shape", ()))
    if kind not in list("biuf") or len(shape) != 2 or shape[0] != examples or not 0 < samples.size <= MOST:
        found = f"{samples.dtype} of shape {shape}" if kind else _typed(samples)
        msg = f"'{who}' returned samples that are {found}: expected numbers of shape [{examples} examples, figures]"
        raise StageError(msg)
    if not abs(samples.astype("float64")).max() <= LARGEST:  # nor is one that is no number
        msg = f"'{who}' returned samples with a figure that is not finite, or beyond {LARGEST:g} either way"
        raise StageError(msg)


def _problem(value: Any, place: str, depth: int) -> str | None:
    if depth > DEEPEST:
        return f"{place} is nested more than {DEEPEST} deep"
    if isinstance(value, dict):
        if wrong := [key for key in value if not isinstance(key, str | int)]:
            return f"{place} has the key {plain(repr(wrong[0]), 80)}, expected text"
        if len({isinstance(key, str) for key in value}) > 1:
            return f"{place} has text and numbers as keys, expected text"
        items = [(f"{place}.{plain(key, 40)}", item) for key, item in value.items()]
    elif isinstance(value, list | tuple):
        items = [(f"{place}[{index}]", item) for index, item in enumerate(value)]
    else:
        return _scalar_problem(value, place)
    return next((found for name, item in items if (found := _problem(item, name, depth + 1))), None)


def _scalar_problem(value: Any, place: str) -> str | None:
    if value is None:
        return None
    if isinstance(value, float) and not math.isfinite(value):
        return f"{place} is {value}, expected a finite number or None"
    if isinstance(value, int | float):
        return None if abs(value) <= GREATEST else f"{place} is a number beyond {GREATEST:g}"
    if isinstance(value, str):
        return f"{place} is text that is not Unicode" if any("\ud800" <= c <= "\udfff" for c in value) else None
    return f"{place} is {_typed(value)}, expected a number, text, list or dict"


def _typed(value: Any) -> str:
    kind = type(value)
    return "nothing" if value is None else plain(f"{kind.__module__}.{kind.__qualname__}".removeprefix("builtins."), 80)


def check_written(stage: Stage, folder: Path) -> None:
    """StageError for links and other things that are no files, and for what lies beside the stage's outputs."""
    for path in sorted(folder.rglob("*")):
        mode = path.lstat().st_mode
        if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
            what = "a link" if stat.S_ISLNK(mode) else "no regular file"
            msg = f"'{stage.component}' wrote {_named(path, folder)}, which is {what}: results are plain files"
            raise StageError(msg)
    known = _outputs(stage)
    stranger = next((path for path in sorted(folder.iterdir()) if path.name not in known), None)
    if stranger:
        msg = f"'{stage.component}' wrote {_named(stranger, folder)} beside its outputs, {choices(known)}: write inside"
        raise StageError(msg)


def _named(path: Path, folder: Path) -> str:
    return repr(plain(path.relative_to(folder), 120))


def _outputs(stage: Stage) -> set[str]:
    params: Mapping[str, Any] = stage.params
    if stage.kind == "prepare":
        return {*params["roles"], "meta"}
    if stage.kind == "train":
        return {*params.get("outputs", [stage.options["loop"]["select"]]), "log"}
    return {"out"}


def checked_work(stage: Stage, folder: Path, said: Any) -> Facts:
    """The facts of a plugin that had to write into `out`, before the core adds files, which would hide what is wrong.

    StageError as above, and when nothing was written.
    """
    facts = checked_facts(stage.component, said)
    check_written(stage, folder)
    if not any(path.is_file() for path in (folder / "out").rglob("*")):
        msg = f"'{stage.component}' wrote nothing into `out`: there is no model to go on with"
        raise StageError(msg)
    return facts
