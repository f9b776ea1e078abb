"""The process of a sandbox: reads jobs from its input, imports what they need, forks for each, says how it ended.

Nothing is computed before the fork, so no thread is lost by it; what a job prints goes into a file.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
import threading
from pathlib import Path
from typing import Any

from harness.lifeline import die_with_parent
from harness.testing.model import told

_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
# Audit event → how many paths it begins with; where the descriptor stands of a folder that they are relative to.
_CHANGES = {
    "os.rename": (2, 2),
    "os.link": (2, 2),
    "os.symlink": (2, 2),
    "os.remove": (1, 1),
    "os.rmdir": (1, 1),
    "os.mkdir": (1, 2),
    "os.truncate": (1, None),
}
_NETWORK = ("socket.connect", "socket.getaddrinfo", "socket.sendto")


def main() -> None:
    """Serve until the input ends or the parent dies."""
    die_with_parent(int(sys.argv[1]))
    replies = os.fdopen(os.dup(1), "wb", buffering=0)
    os.dup2(2, 1)  # what libraries print at import is no reply
    for line in sys.stdin:
        request = json.loads(line)
        for message in serve(request):
            replies.write(json.dumps(message).encode() + b"\n")


def serve(request: dict[str, Any]) -> Any:
    """{pid} when the job has started, {code} when it has ended; or {error} where its modules cannot be imported."""
    for name in [request["function"], *request["job"].get("imports", ())]:
        try:
            importlib.import_module(name.partition(":")[0])
        except Exception as error:
            yield {"error": f"'{name}' cannot be imported: {told(error, _packages(request))}"}
            return
    parent = os.getpid()
    pid = os.fork()
    if pid == 0:
        _child(request, parent)
    yield {"pid": pid}
    yield {"code": os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])}


def _child(request: dict[str, Any], parent: int) -> None:
    die_with_parent(parent)
    folder = Path(request["folder"])
    said = os.open(folder / "said.txt", os.O_CREAT | os.O_WRONLY, 0o600)
    for descriptor in (1, 2):
        os.dup2(said, descriptor)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    module, _, name = request["function"].partition(":")
    watch = Watch()
    sys.addaudithook(watch)
    try:
        value = getattr(sys.modules[module], name)(request["job"])
        reply = {"value": value, "trace": watch.stop()}
        text = json.dumps(reply)
    except Exception as error:
        watch.stop()
        text = json.dumps({"error": told(error, _packages(request))})
    (folder / "reply.part").write_text(text, encoding="utf-8")
    (folder / "reply.part").rename(folder / "reply.json")
    sys.stdout.flush()
    os._exit(0)


def _packages(request: dict[str, Any]) -> set[str]:
    """Those that hold the plugins' work."""
    return {name.partition(":")[0].partition(".")[0] for name in request["job"].get("imports", ())}


class Watch:
    """An audit hook that writes down what is opened, changed and called."""

    def __init__(self) -> None:
        self.read: set[str] = set()
        self.written: set[str] = set()
        self.network: set[str] = set()
        self.on = True

    def __call__(self, event: str, arguments: tuple[Any, ...]) -> None:
        """What Python tells before it does something."""
        if not self.on:
            return
        if event == "open":
            path, _, flags = arguments
            self._note(self.written if (flags or 0) & _WRITES else self.read, path)
        elif event in _CHANGES:
            count, at = _CHANGES[event]
            if at is None or arguments[at] in (None, -1):
                for path in arguments[:count]:
                    self._note(self.written, path)
        elif event in _NETWORK:
            self.network.add(str(arguments[1] if event != "socket.getaddrinfo" else arguments[0]))

    def _note(self, notes: set[str], path: Any) -> None:
        if isinstance(path, str | bytes | os.PathLike):
            notes.add(os.path.abspath(os.fsdecode(path)))  # noqa: PTH100 - Path.resolve would open and follow

    def stop(self) -> dict[str, list[str]]:
        """End the notes; what was seen, and which threads would keep the process alive."""
        self.on = False
        alive = [thread.name for thread in threading.enumerate()[1:] if not thread.daemon]
        notes = {"read": self.read, "written": self.written, "network": self.network, "threads": set(alive)}
        return {name: sorted(values) for name, values in notes.items()}


if __name__ == "__main__":
    main()
