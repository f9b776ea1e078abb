"""The exported folder: written beside its place, proved, then renamed to it; nothing is ever half there."""

from __future__ import annotations

import json
import shutil
import uuid
from collections.abc import Sequence
from pathlib import Path

from harness.artifacts import NAME as ARTIFACT
from harness.errors import HarnessError, SuiteError
from harness.exporting import script as scripts
from harness.exporting.card import card
from harness.exporting.gather import Material
from harness.exporting.public import refuse_places
from harness.exporting.wishes import Wishes
from harness.plugins import Registry

README = "README.md"
CODE = (".py", ".pyc", ".pyd", ".so")  # that an import would find beside the script


def export(
    found: Material, out: Path, wishes: Wishes, registry: Registry, places: Sequence[Path] = (), *, force: bool = False
) -> Path:
    """Write the folder. `places`: those of this machine that must not stand in any file.

    SuiteError where something is in the way: with `force`, an earlier export is replaced, and nothing else is.
    HarnessError where the script does not answer as the harness does.
    """
    check_out(out, force=force)
    out.parent.mkdir(parents=True, exist_ok=True)
    draft = out.parent / f".{out.name}.{uuid.uuid4().hex[:8]}.tmp"
    try:
        draft.mkdir()
        _fill(draft, found, wishes, registry)
        refuse_places(draft, places)
        _put(draft, out)
    except OSError as error:
        msg = f"--out {out}: {error.strerror or error}. Name a folder that can be written"
        raise SuiteError(msg) from error
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return out


def check_out(out: Path, *, force: bool) -> None:
    """SuiteError unless the place is free, or holds an earlier export that may be replaced."""
    if not out.is_symlink() and not out.exists():
        return
    ours = out.is_dir() and not out.is_symlink() and _is_export(out)
    if force and ours:
        return
    what = "is an earlier export: --force replaces it" if ours else "is there, and no earlier export: it stays"
    msg = f"--out {out} {what}; or name another folder"
    raise SuiteError(msg)


def _is_export(folder: Path) -> bool:
    """Exports hold no folders: with one, as of a repository, it is more than that."""
    written = all((folder / name).is_file() for name in (README, ARTIFACT, scripts.NAME))
    return written and all(path.is_file() for path in folder.iterdir())


def _fill(draft: Path, found: Material, wishes: Wishes, registry: Registry) -> None:
    script = scripts.chosen(found, registry)
    written = {README, scripts.NAME, *scripts.extras(script, found)}
    for path in sorted(found.folder.iterdir()):
        if path.is_symlink() or not path.is_file() or path.name in written:
            msg = (
                f"the artifact holds '{path.name}', which is no plain file, or has the name of one that is written here"
            )
            raise HarnessError(msg)
        if path.suffix in CODE:
            msg = f"the artifact holds '{path.name}', which {scripts.NAME} could run for a library: models are data"
            raise HarnessError(msg)
        shutil.copyfile(path, draft / path.name)
    for name, value in scripts.extras(script, found).items():
        (draft / name).write_text(json.dumps(value, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    (draft / scripts.NAME).write_text(script.text, encoding="utf-8")
    proved = scripts.prove(draft, found, registry)
    (draft / README).write_text(card(found, script, wishes, proved), encoding="utf-8")


def _put(draft: Path, out: Path) -> None:
    """Rename, an earlier export out of the way first."""
    if not out.exists():
        draft.rename(out)
        return
    away = out.with_name(f".{out.name}.{uuid.uuid4().hex[:8]}.old")
    out.rename(away)
    try:
        draft.rename(out)
    except OSError:
        away.rename(out)
        raise
    shutil.rmtree(away, ignore_errors=True)
