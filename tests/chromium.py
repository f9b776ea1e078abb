"""A real headless Chromium for tests, driven over plain WebDriver HTTP by the standard library."""

from __future__ import annotations

import contextlib
import json
import shutil
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path

CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
MISSING = "" if CHROMIUM and DRIVER else "needs a Chromium: the Debian packages chromium and chromium-driver"
SILENT = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # the driver is on this machine
# Without --no-sandbox it does not start as root, as in containers; the pages are the tests' own.
FLAGS = [
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--hide-scrollbars",
    "--no-proxy-server",
]


class Refused(Exception):
    """What the driver says when it cannot do what was asked; the first argument is its code."""


class Browser:
    """One window."""

    def __init__(self, root: str, session: str):
        self.root, self.session = root, session

    def call(self, method: str, path: str, body=None):
        return _call(method, f"{self.root}/session/{self.session}{path}", body)

    def open(self, url: str) -> None:
        """Returns when the page is whole: on a busy machine the driver does so while the one before is still there."""
        self.run("window.left = true")
        self.call("POST", "/url", {"url": url})
        self.wait("return !window.left && document.readyState === 'complete'")

    def run(self, script: str, *args):
        """The body of a function: `return document.title`."""
        return self.call("POST", "/execute/sync", {"script": script, "args": list(args)})

    def wait(self, script: str, *args, seconds: float = 10):
        """Until the function returns something true."""
        end = time.monotonic() + seconds
        while not (found := self.run(script, *args)):
            assert time.monotonic() < end, f"still not: {script}"
            time.sleep(0.02)
        return found

    def size(self, width: int, height: int) -> None:
        self.command(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 600
        )

    def command(self, name: str, **params):
        """Of the DevTools protocol."""
        return self.call("POST", "/goog/cdp/execute", {"cmd": name, "params": params})

    def alert(self) -> str | None:
        try:
            return self.call("GET", "/alert/text")
        except Refused as error:
            if error.args[0] != "no such alert":
                raise
            return None

    def log(self) -> list[str]:
        """What the console said since the last time."""
        return [entry["message"] for entry in self.call("POST", "/se/log", {"type": "browser"})]

    def screenshot(self, path: Path) -> None:
        import base64

        path.write_bytes(base64.b64decode(self.call("GET", "/screenshot")))


@contextlib.contextmanager
def browser(*flags: str):
    """Yields a `Browser`; everything that it started is gone afterwards."""
    with (
        tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile,
        _driver(Path(profile) / "driver.log") as root,
    ):
        options = {"binary": CHROMIUM, "args": [*FLAGS, *flags, f"--user-data-dir={profile}/profile"]}
        wanted = {
            "goog:chromeOptions": options,
            "goog:loggingPrefs": {"browser": "ALL"},
            "unhandledPromptBehavior": "ignore",
        }
        made = _call("POST", f"{root}/session", {"capabilities": {"alwaysMatch": wanted}})
        found = Browser(root, made["sessionId"])
        try:
            yield found
        finally:
            found.call("DELETE", "")


@contextlib.contextmanager
def _driver(log: Path):
    with log.open("wb") as said:
        process = subprocess.Popen([DRIVER, "--port=0"], stdout=said, stderr=subprocess.STDOUT)
    try:
        yield f"http://127.0.0.1:{_port(log, process)}"
    finally:
        process.terminate()
        process.wait()


def _port(log: Path, process: subprocess.Popen) -> int:
    end = time.monotonic() + 20
    while "on port " not in (said := log.read_text(errors="replace")) or "successfully" not in said:
        assert process.poll() is None, f"chromedriver did not start: {said}"
        assert time.monotonic() < end, f"chromedriver does not say where it listens: {said}"
        time.sleep(0.05)
    return int(said.rsplit("on port ", 1)[1].split(".", 1)[0])


def _call(method: str, url: str, body):
    data = json.dumps(body or {}).encode() if method == "POST" else None
    request = urllib.request.Request(url, data, {"Content-Type": "application/json"}, method=method)  # noqa: S310 ours
    try:
        with SILENT.open(request, timeout=60) as answer:
            return json.load(answer)["value"]
    except urllib.error.HTTPError as error:
        value = json.load(error)["value"]
        raise Refused(value["error"], value["message"].splitlines()[0]) from None
