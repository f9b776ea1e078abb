"""The real doors by which third parties' files come in, each opened in a process of its own that is watched.

A door takes a path and returns an exit code, or raises what the harness says: as `harness` does, a refusal becomes its
text and its exit code, and anything else a traceback and 3.
"""

from __future__ import annotations

import os
import pickle
import resource
import signal
import socket
import sys
import time
import traceback
from pathlib import Path

from harness.artifacts import Artifact
from harness.assets import Asset, Missing, Places, find_data, find_model
from harness.cli import main_inner
from harness.cli.common import talk
from harness.errors import AssetError, HarnessError
from harness.inference import load_answerer
from harness.plugins import load_registry
from harness.specs import BuildRequest, Source
from harness.text import load_encoder, read_tokenizer, save_encoder

LABELS = ("bad", "good")
TEXTS = ("all is well here", "nothing is well there", "good and bad", "bad or good") * 4
MAX_LENGTH = 16
IMPORTS = (  # once, before the processes of the doors are forked
    "harness_transformers.model", "harness_onnx.onnx_file", "harness_ner.task", "harness_qa.task", "pyarrow.parquet",
    "harness_sentiment.task", "harness_torch.runtime", "harness.suite", "harness.planner", "harness.reports",
    "transformers.models.bert.modeling_bert", "transformers.models.lightglue.configuration_lightglue",
)  # fmt: skip
HOOKS: list[str] = []  # what Python told of unpickling, running commands and compiling a payload's code


def door_open(job):
    """Walk through `job["door"]` with `job["given"]`, at most `job["seconds"]`; what was said, and what it took."""
    os.chdir(Path(job["given"]).parent)
    said = os.open(job["said"], os.O_CREAT | os.O_RDWR | os.O_TRUNC, 0o600)
    for descriptor in (1, 2):
        os.dup2(said, descriptor)
    _bound(job["seconds"], job["mib"])
    sys.addaudithook(_hook(job["given"]))
    started, before = time.monotonic(), _peak_mib()
    code = _code(DOORS[job["door"]], Path(job["given"]))
    sys.stdout.flush()
    sys.stderr.flush()
    return {
        "code": code, "ran": HOOKS, "seconds": time.monotonic() - started, "mib": max(0.0, _peak_mib() - before),
    }  # fmt: skip


def _bound(seconds, mib):
    """SIGALRM, which nothing here handles, ends the process; so much more address space than now is left."""
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    now = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    most = resource.getrlimit(resource.RLIMIT_AS)[1]
    wanted = now + mib * 2**20
    resource.setrlimit(resource.RLIMIT_AS, (wanted if most == resource.RLIM_INFINITY else min(wanted, most), most))


def _peak_mib():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10


def _hook(given):
    folder = os.path.dirname(given)  # noqa: PTH120 - inside an audit hook

    def hook(event, arguments):
        if event in ("pickle.find_class", "os.system", "os.exec", "os.posix_spawn", "ctypes.dlopen"):
            if event != "ctypes.dlopen" or str(arguments[0]).startswith(folder):
                HOOKS.append(f"{event} {arguments[:2]}"[:200])
        elif event == "exec" and str(getattr(arguments[0], "co_filename", "")).startswith(folder):
            HOOKS.append(f"exec {arguments[0].co_filename}")

    return hook


def _code(door, given):
    try:
        return int(door(given) or 0)
    except HarnessError as error:
        talk(str(error))
        return error.exit_code
    except BaseException:  # a panic of Rust code is none of Python's exceptions
        traceback.print_exc()
        return 3


# ------------------------------------------------------------------------------------------------------------- models


def checkpoint(given):
    """`checkpoint = "…"` of a suite: found as the plan does, built as a stage does, and asked."""
    from harness_transformers.plugin import TransformerParams

    found = _found(find_model(str(given), Places(given.parent)))
    built = given.parent / "built"
    built.mkdir()
    _build("transformer", TransformerParams(checkpoint=str(given)), built, {"checkpoint": found.path})
    return artifact(built)


def onnx_file(given):
    """`use = "onnx-file"`: the same."""
    from harness_onnx.plugin import OnnxFileParams

    found = _found(find_model(str(given), Places(given.parent)))
    built = given.parent / "built"
    built.mkdir()
    _build("onnx-file", OnnxFileParams(model=str(given)), built, {"model": found.path})
    return artifact(built)


def onnx_file_here(given):
    """The same by its bare name, where the working folder is the model's."""
    os.chdir(given.parent)
    return onnx_file(Path(given.name))


def tokenizer(given):
    """`tokenizer = "…"` of a suite: read, stored, and used on a text."""
    out = given.parent / "encoder"
    out.mkdir()
    save_encoder(out, read_tokenizer(given), MAX_LENGTH)
    load_encoder(out).encode(list(TEXTS), "sequence")


def artifact(given):
    """An artifact in a store: loaded by its runtime, asked for an answer."""
    registry = load_registry()
    task = registry.open_task({"use": "sentiment", "params": {}})
    load_answerer(given, task, registry, 1).answer_one({"id": "0", "text": "all is well"})


def _found(asset: Asset | Missing) -> Asset:
    if isinstance(asset, Missing):
        raise AssetError(str(asset))
    return asset


def _build(student, params, out, assets):
    spec = load_registry().student(student)
    spec.load().build(
        BuildRequest(
            out=out, head="sequence", labels=LABELS, params=params, seed=0, max_length=MAX_LENGTH, assets=assets,
            artifacts={}, texts=lambda: iter(TEXTS),
        )
    )  # fmt: skip
    Artifact(format=spec.format, student=student, head="sequence", labels=LABELS, max_length=MAX_LENGTH).write(out)


def planted(given):
    """No door of the harness: does what it may not, so that a test sees that it is seen."""
    text = given.read_text(encoding="utf-8") if given.is_file() else ""
    does = {
        "raise ValueError": lambda: int("x"),
        "connect": lambda: socket.socket().connect_ex(("127.0.0.1", 9)),
        "pickle": lambda: pickle.loads(b"cos\nmkdir\n."),
        "die": lambda: os.kill(os.getpid(), signal.SIGSEGV),
        "grow": lambda: len(bytearray(600 << 20)),
        "nothing": lambda: None,
    }
    if text not in does:
        sys.stdout.write(text)
        msg = "it is not good"
        raise AssetError(msg)
    does[text]()


# -------------------------------------------------------------------------------------------------------------- files


def _data(use):
    def prepare(given):
        asset = _found(find_data(str(given), Places(given.parent)))
        source = Source(asset.origin, asset.root, asset.files)
        load_registry().open_task({"use": use, "params": {}}).prepare(source, ("train", "dev", "test"))

    return prepare


def _command(*words):
    def command(given):
        return main_inner([str(given) if word == "…" else word for word in words])

    return command


def _store(*words):
    def command(given):
        os.environ["HARNESS_STORE"] = str(given)
        return main_inner(list(words))

    return command


DOORS = {
    "planted": planted,
    "checkpoint": checkpoint,
    "onnx-file": onnx_file,
    "onnx-file here": onnx_file_here,
    "tokenizer": tokenizer,
    "artifact": artifact,
    "sentiment": _data("sentiment"),
    "ner": _data("ner"),
    "qa": _data("qa"),
    "plan": _command("plan", "…"),
    "report": _command("report", "…"),
    "schema": _command("schema", "--check", "…"),
    "compare": _command("compare", "…", "…"),
    "recommend": _command("recommend", "…"),
    "leaderboard": _command("leaderboard", "…", "--out", "board"),
    "cache ls": _store("cache", "ls"),
    "cache verify": _store("cache", "verify"),
    "cache gc": _store("cache", "gc"),
}
