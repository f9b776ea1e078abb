"""Can a file system hold a store? What the store relies on is tried: object storage mounted as folders cannot do it."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import uuid
from pathlib import Path

PREFIX = ".probe-"
NEEDED = (
    "a file system that renames a folder in one step and creates a file once (ext4, XFS, NFS; not object storage "
    "mounted as folders)"
)
_CANNOT = {errno.EXDEV, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL, errno.EPERM}  # others: trouble with the disk


def what_is_wrong(written: Path, kept: Path) -> str | None:
    """What renaming a folder from `written` to `kept` does that a store cannot live with; None: nothing.

    OSError when the disk refuses to be written to. Takes about a millisecond and leaves nothing behind.
    """
    name = f"{PREFIX}{uuid.uuid4().hex}"  # of nobody else's, on no other machine either
    ours, theirs = written / name, kept / name
    try:
        for folder in (ours / "first", ours / "second"):
            folder.mkdir(parents=True)
            (folder / folder.name).write_text(folder.name)
        return _moved(ours / "first", theirs) or _moved_onto(ours / "second", theirs) or _created_twice(ours / "once")
    finally:
        for folder in (ours, theirs):
            shutil.rmtree(folder, ignore_errors=True)


def _moved(folder: Path, target: Path) -> str | None:
    before = folder.stat().st_ino
    try:
        folder.rename(target)
    except OSError as error:
        if error.errno not in _CANNOT:
            raise
        return f"a folder cannot be renamed ({os.strerror(error.errno or 0)})"
    if folder.exists() or target.stat().st_ino != before:
        return "a renamed folder is a copy, which others see half of"
    return None if _holds(target, "first") else "a renamed folder lost what was in it"


def _moved_onto(folder: Path, target: Path) -> str | None:
    with contextlib.suppress(OSError):
        folder.rename(target)
        return "a folder can be renamed onto another that holds files, so what is finished can be replaced"
    whole = _holds(folder, "second") and _holds(target, "first")
    return None if whole else "a rename that was refused left parts behind"


def _created_twice(path: Path) -> str | None:
    for number in (1, 2):
        try:
            os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY))
        except FileExistsError:
            return None if number == 2 else "a file that nobody created is there"
    return "a file that exists can be created again, so two would both be the first"


def _holds(folder: Path, name: str) -> bool:
    """Is this file, and no other, in it?"""
    try:
        return [path.name for path in folder.iterdir()] == [name] and (folder / name).read_text() == name
    except OSError:
        return False
