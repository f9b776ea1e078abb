"""prepare: source → units with roles; knows no tokenizer."""

from __future__ import annotations

from pathlib import Path
from typing import cast

from harness.data import META, read_examples, write_examples, write_json
from harness.errors import AssetError, StageError
from harness.overlap import RUN, known, text_of
from harness.specs import Facts, Prepared, Role, SlowTask, Source
from harness.stages import Work, check_unchanged


def run(work: Work) -> Facts:
    """One output per role, and `meta` with the labels."""
    asset = work.options["asset"]
    if "missing" in asset:
        raise AssetError(asset["missing"])
    source = Source(asset["origin"], Path(asset["root"]), tuple(asset["files"]))
    roles = work.stage.params["roles"]
    prepared = _prepared(work, source, roles)
    _check(prepared, roles, source)
    check_unchanged(work, "source", asset)
    for role in work.inputs:
        _check_apart(work, prepared, role, source)
    for role in roles:
        write_examples(work.out / role, prepared.roles[role])
    counts = {role: len(prepared.roles[role]) for role in roles}
    meta = {"labels": list(prepared.labels), "counts": counts, "facts": prepared.facts, "origin": source.origin}
    write_json(work.out / "meta" / META, meta)
    return {"counts": counts, "labels": list(prepared.labels), "origin": source.origin, **prepared.facts}


def _prepared(work: Work, source: Source, roles: list[Role]) -> Prepared:
    if not work.registry.task(work.options["task"]["use"]).reports_progress:
        return work.task().prepare(source, roles)
    return cast("SlowTask", work.task()).prepare(source, roles, lambda done, total: work.progress(done, total, "texts"))


def _check_apart(work: Work, prepared: Prepared, role: str, source: Source) -> None:
    """AssetError for a transfer set that holds texts of a split that models are chosen or judged by."""
    task, name = work.task(), work.options["data"]
    judged = read_examples(work.inputs[role])
    texts = (text_of(task.input(example)) for example in prepared.roles["transfer"])
    found = known([text_of(task.input(example)) for example in judged], texts)
    if found:
        first = judged[found[0]]
        msg = (
            f"{source.origin}: [data.{name}] holds {len(found)} of the {len(judged)} {role} texts, such as "
            f"'{first['id']}' ({text_of(task.input(first))[:60]!r}): at least half of the {RUN}-word runs"
            f'. Give another source, or allow it by name: [data.{name}] allow_overlap = ["{role}"]'
        )
        raise AssetError(msg)


def _check(prepared: Prepared, roles: list[str], source: Source) -> None:
    seen: dict[str, str] = {}
    for role in roles:
        examples = prepared.roles.get(role)  # type: ignore[call-overload]
        if not examples:
            msg = f"{source.origin}: no examples for the role '{role}' after preparing; check the source and the split"
            raise AssetError(msg)
        for example in examples:
            if example["id"] in seen:
                msg = f"{source.origin}: id {example['id']!r} stands in '{seen[example['id']]}' and again in '{role}'"
                raise StageError(msg)
            seen[example["id"]] = role
