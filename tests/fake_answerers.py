"""Subjects without models, named by `answerer` strings in tests of measuring."""

import os
import signal
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np


class Fake:
    """Answers with a function of the text alone, and writes down what it was asked."""

    def __init__(self, description):
        self.model = description["model"]
        self.threads = description["threads"]
        self.log = self.model.get("log")
        self.note("open", os.getpid(), self.threads, os.environ["OMP_NUM_THREADS"])

    def note(self, *words):
        if self.log:
            with Path(self.log).open("a") as file:
                file.write(" ".join(str(word) for word in words) + "\n")

    def encode(self, examples):
        self.note("encode", *(example["id"] for example in examples))
        return [SimpleNamespace(length=len(e["text"]), values=[float(ord(c)) for c in e["text"]]) for e in examples]

    def collate(self, encoded, length=None):
        length = length or max(one.length for one in encoded)
        self.note("collate", length, len(encoded))
        return {"values": np.array([one.values + [0.0] * (length - one.length) for one in encoded])}

    def forward(self, arrays):
        total = arrays["values"].sum(axis=1)
        return {"logits": np.stack([total, -total], axis=1) * self.model.get("scale", 1.0)}

    def read(self, windows, outputs):
        assert len(windows) == len(outputs["logits"])
        return list(outputs["logits"])

    def answer(self, examples, windows, said):
        assert len(examples) == len(windows) == len(said)
        return [logits.argmax() for logits in said]


class Chatty(Fake):
    """Prints between replies, as native libraries do."""

    def forward(self, arrays):
        sys.stdout.write('{"error": "not a reply"}\n')
        sys.stdout.flush()
        os.write(1, b"nor this\n")
        assert not sys.stdin.read()
        return super().forward(arrays)


class Faulty(Fake):
    """Fails from its n-th forward on, in the way that its model names."""

    def __init__(self, description):
        super().__init__(description)
        self.calls = 0
        if self.model.get("at", 0) < 0:
            self.fail()

    def forward(self, arrays):
        self.calls += 1
        if self.calls > self.model["at"]:
            self.fail()
        return super().forward(arrays)

    def fail(self):
        match self.model["how"]:
            case "raise":
                msg = "no kernel\nfor this"
                raise ValueError(msg)
            case "die":
                os.kill(os.getpid(), signal.SIGKILL)
            case "exit":
                sys.stderr.write("last words\n")
                os._exit(7)
            case "hang":
                self.note("hanging", os.getpid())
                time.sleep(3600)


class Worker(Fake):
    """Burns a given CPU time in each forward."""

    def forward(self, arrays):
        burn(self.model["cpu_s"])
        return super().forward(arrays)


class Busy(Fake):
    """A bad neighbour: a thread of it works all the time."""

    def __init__(self, description):
        super().__init__(description)
        threading.Thread(target=burn, args=(3600,), daemon=True).start()


class Observer(Fake):
    """Looks at another process before and after working: its CPU ticks and its state."""

    def forward(self, arrays):
        before = self.look()
        burn(0.05)
        self.note("saw", *before, *self.look())
        return super().forward(arrays)

    def look(self):
        opened = Path(self.model["other"]).read_text().split() if Path(self.model["other"]).exists() else []
        return cpu_ticks(int(opened[1])) if opened else ("-", "-")


class Memory(Fake):
    """Holds 64 MiB for a moment in its first forward."""

    def forward(self, arrays):
        np.ones(64 * 2**17)
        return super().forward(arrays)


class Consumer(Fake):
    """Advances a powercap counter by so many µJ with each forward."""

    def forward(self, arrays):
        zone = Path(self.model["zone"])
        used, full = (int((zone / name).read_text()) for name in ("energy_uj", "max_energy_range_uj"))
        (zone / "energy_uj").write_text(str((used + self.model["uj"]) % full))
        return super().forward(arrays)


def burn(seconds):
    """Work until this thread has had so much CPU time."""
    end = time.thread_time() + seconds
    while time.thread_time() < end:
        sum(range(1000))


def cpu_ticks(pid):
    """(user + system ticks, state) of a process, from /proc."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12]), fields[0]
