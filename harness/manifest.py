"""What stands in an entry's manifest, with a seal over all of it: the file that has the hashes needs one of its own."""

from __future__ import annotations

import errno
import json
import stat
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from harness.keys import digest

MANIFEST = "manifest.json"
SCHEMA = 2  # 1 had no seal
_FIELDS: Mapping[str, Any] = {
    "key": str, "kind": str, "component": str, "label": str, "finished": str, "seconds": int | float, "files": dict,
    "facts": dict,
}  # fmt: skip
_LONGEST = 1e12  # seconds: a greater number would not even become a float
LARGEST = 64 << 20  # bytes; facts have at most 4 MiB, and files a line each


def sealed(manifest: Mapping[str, Any]) -> dict[str, Any]:
    """The manifest as it is written."""
    document = {name: value for name, value in manifest.items() if name not in ("schema", "seal")}
    return {**document, "schema": SCHEMA, "seal": digest({**document, "schema": SCHEMA})}


def read_manifest(folder: Path, key: str) -> dict[str, Any] | None:
    """The manifest of an entry's folder; None when there is none, or it is not as it was written.

    OSError when that cannot be told: a file that may not be read, too many that are open.
    """
    try:
        if not stat.S_ISREG((folder / MANIFEST).lstat().st_mode):  # a pipe would be waited for
            return None
        with (folder / MANIFEST).open("rb") as file:
            found = json.loads(file.read(LARGEST + 1))
        return found if _is_one(found) and found["key"] == key and _is_whole(found) else None
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError, ValueError, RecursionError):
        return None
    except OSError as error:
        if error.errno == errno.EIO:  # the disk has lost it
            return None
        raise


def _is_one(found: Any) -> bool:
    """Does it have every field, of its type? Anybody may have put it there."""
    if not isinstance(found, dict) or not all(isinstance(found.get(name), kind) for name, kind in _FIELDS.items()):
        return False
    return found["seconds"] < _LONGEST and all(_is_inside(name) and _is_file(it) for name, it in found["files"].items())


def _is_inside(name: str) -> bool:
    path = PurePosixPath(name)
    return not path.is_absolute() and ".." not in path.parts and "\0" not in name


def _is_file(value: Any) -> bool:
    """Size in bytes, sha256."""
    return isinstance(value, list) and [type(one) for one in value] == [int, str] and 0 <= value[0] < 1 << 63


def _is_whole(found: dict[str, Any]) -> bool:
    if found.get("schema") == 1:
        return "seal" not in found
    return found == sealed(found)
