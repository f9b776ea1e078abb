"""prepare: source → units with roles; knows no tokenizer."""

from __future__ import annotations

from pathlib import Path

from harness.data import META, write_examples, write_json
from harness.errors import AssetError, StageError
from harness.specs import Facts, Prepared, Source
from harness.stages import Work, check_unchanged


def run(work: Work) -> Facts:
    """One output per role, and `meta` with the labels."""
    asset = work.options["asset"]
    if "missing" in asset:
        raise AssetError(asset["missing"])
    source = Source(asset["origin"], Path(asset["root"]), tuple(asset["files"]))
    roles = work.stage.params["roles"]
    prepared = work.task().prepare(source, roles)
    _check(prepared, roles, source)
    check_unchanged(work, "source", asset)
    for role in roles:
        write_examples(work.out / role, prepared.roles[role])
    counts = {role: len(prepared.roles[role]) for role in roles}
    meta = {"labels": list(prepared.labels), "counts": counts, "facts": prepared.facts, "origin": source.origin}
    write_json(work.out / "meta" / META, meta)
    return {"counts": counts, "labels": list(prepared.labels), "origin": source.origin, **prepared.facts}


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
