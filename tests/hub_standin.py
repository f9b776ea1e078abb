"""A hub on the loopback interface: the four requests that fetching a repository makes, and a count of them."""

from __future__ import annotations

import hashlib
import json
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlparse


@dataclass
class Hub:
    """Repositories by name: {"datasets/owner/name": {"file": b"content"}}."""

    repositories: dict[str, dict[str, bytes]]
    requests: list[str] = field(default_factory=list)
    server: ThreadingHTTPServer | None = None

    def __enter__(self) -> Hub:
        hub = self

        class Handler(BaseHTTPRequestHandler):
            def do_HEAD(self) -> None:
                hub.answer(self, body=False)

            def do_GET(self) -> None:
                hub.answer(self, body=True)

            def log_message(self, *_: object) -> None:
                return

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.server.shutdown()
        self.server.server_close()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.server_port}"

    def commit(self, repository: str) -> str:
        files = self.repositories[repository]
        return hashlib.sha1(b"".join(name.encode() + files[name] for name in sorted(files))).hexdigest()  # noqa: S324

    def answer(self, request: BaseHTTPRequestHandler, *, body: bool) -> None:
        path = unquote(urlparse(request.path).path).strip("/")
        self.requests.append(path)
        for repository, files in self.repositories.items():
            kind = repository if "/" in repository.partition("/")[2] else f"models/{repository}"
            if path.startswith(f"api/{kind}"):
                return self._describe(request, repository, files, path, body)
            if path.startswith(f"{repository}/resolve/"):
                name = path.removeprefix(f"{repository}/resolve/").partition("/")[2]
                if name in files:
                    return self._send(request, files[name], body, self.commit(repository), "application/octet-stream")
        return self._send(request, b'{"error": "not found"}', body, None, "application/json", 404)

    def _describe(self, request, repository, files, path, body):
        siblings = [{"rfilename": name, "size": len(content)} for name, content in files.items()]
        answer: object = {
            "id": repository.removeprefix("datasets/"),
            "sha": self.commit(repository),
            "siblings": siblings,
        }
        if "/tree/" in path:
            answer = [
                {"type": "file", "path": n, "size": len(c), "oid": hashlib.sha1(c).hexdigest()}  # noqa: S324
                for n, c in files.items()
            ]
        return self._send(request, json.dumps(answer).encode(), body, self.commit(repository), "application/json")

    def _send(self, request, content, body, commit, kind, status=200):
        request.send_response(status)
        request.send_header("Content-Type", kind)
        request.send_header("Content-Length", str(len(content)))
        if commit:
            request.send_header("X-Repo-Commit", commit)
            request.send_header("ETag", f'"{hashlib.sha1(content).hexdigest()}"')  # noqa: S324
        request.end_headers()
        if body:
            request.wfile.write(content)
