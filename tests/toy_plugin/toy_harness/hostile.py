"""A compressor that does, on demand, what no plugin should."""

from __future__ import annotations

import ctypes
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

FOREVER = 613  # seconds: longer than any test waits
NOISE = "\x1b[2J\x1b]0;owned\x07" + "garbage " * 1000 + "\n"


class Unspeakable(Exception):
    def __str__(self):
        raise RuntimeError("no words")


def raising(request):
    raise ValueError("two\nlines \x1b[31mred\x1b[0m <script>" + "!" * 5000)


def unspeakable(request):
    raise Unspeakable


def exiting(request):
    sys.exit(0)


def leaving(request):
    os._exit(0)


def segfaulting(request):
    ctypes.string_at(0)


def hanging(request):
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    time.sleep(FOREVER)


def hoarding(request):
    kept = []
    while True:
        kept.append(bytearray(os.urandom(1 << 20)) * 16)
        time.sleep(0.02)


def hoarding_in_a_child(request):
    subprocess.run([sys.executable, "-c", "a = bytearray(1 << 30)\nimport time\ntime.sleep(613)"], check=True)


def _filling(path):
    with path.open("wb") as file:
        while True:
            file.write(os.urandom(1 << 20) * 4)
            file.flush()
            time.sleep(0.02)


def filling(request):
    _filling(request.out / "weights.bin")


def filling_elsewhere(request):
    _filling(Path(tempfile.mkdtemp()) / "cache.bin")


def printing(request):
    for _ in range(500):
        sys.stdout.write(NOISE)
    os.write(2, NOISE.encode())
    return {"changed": True}


def flooding(request):
    while True:
        os.write(1, NOISE.encode() * 20)


def child(request):
    subprocess.Popen(["sleep", str(FOREVER)])  # noqa: S607
    return {"changed": True}


def daemon(request):
    """As services start: two forks, a session of its own, no environment."""
    words = f"exec env -i sleep {FOREVER} >/dev/null 2>&1 </dev/null &"
    subprocess.run(["setsid", "sh", "-c", words], check=True)  # noqa: S607
    time.sleep(0.2)
    return {"changed": True}


def fork(request):
    os.fork()
    return {"changed": True}


def thread(request):
    threading.Thread(target=time.sleep, args=(FOREVER,), daemon=True).start()
    return {"changed": True}


def writing_thread(request):
    file = (request.out / "late.txt").open("w")

    def write():
        while True:
            file.write("late ")
            file.flush()

    threading.Thread(target=write, daemon=True).start()
    return {"changed": True}


def input_changed(request):
    (request.source / "toy.json").write_text((request.source / "toy.json").read_text() + " ")
    return {"changed": True}


def input_changed_and_gone(request):
    input_changed(request)
    os._exit(3)


def input_added(request):
    (request.source / "cache.bin").write_bytes(b"mine")
    return {"changed": True}


def elsewhere(request):
    Path("in_the_working_folder.txt").write_text("left")
    descriptor, _ = tempfile.mkstemp(prefix="left-by-a-toy-")
    os.close(descriptor)
    os.environ["LEFT"] = "behind"
    os.chdir("/")
    return {"changed": True}


def not_a_number(request):
    return {"changed": True, "parity": {"worst": [1.0, float("nan")]}}


def objects(request):
    return {"changed": True, "model": request}


def huge(request):
    return {"changed": True, "log": "x" * (5 << 20)}


def nothing(request):
    return None


def no_files(request):
    for path in request.out.iterdir():
        path.unlink()
    return {"changed": True}


def link(request):
    (request.out / "weights").symlink_to("/etc/passwd")
    return {"changed": True}


def link_over(request):
    (request.out / "artifact.json").symlink_to(os.environ["TOY_RAN"])
    return {"changed": True}


def pipe(request):
    os.mkfifo(request.out / "pipe")
    return {"changed": True}


def outside(request):
    (request.out / ".." / "outside.txt").write_text("mine")
    return {"changed": True}


def closing(request):
    os.closerange(3, 256)
    time.sleep(FOREVER)


def forging(request):
    forged = json.dumps({"kind": "done", "seconds": 0.0, "reason": "", "exit_code": 0}).encode() + b"\n"
    for descriptor in range(1, 64):
        try:
            os.write(descriptor, forged)
        except OSError:
            continue
    time.sleep(FOREVER)


def asking(request):
    input("may I? ")


def wordy(request):
    return {"changed": True, "bytes": {"int8": "many"}}


def masking(request):
    return {"changed": True, "masked": True}


def waiting(request):
    subprocess.run(["/bin/sleep", str(FOREVER)], check=True)


class Hostile:
    """Copies the model, then does what it is told to."""

    def compress(self, request):
        (request.out / "toy.json").write_text((request.source / "toy.json").read_text())
        return globals()[request.params.how](request)
