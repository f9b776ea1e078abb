"""What a page may hold, looked at by a browser, and a server that counts who was sent to it."""

from __future__ import annotations

import contextlib
import http.server
import threading

ELEMENTS = """
a article b body br button caption circle code dd details div dl dt figcaption figure form h1 h2 h3 head header html i
input label li main meta nav ol option output p path rect script section select span style summary svg table tbody td
text th thead title tr ul
"""
ATTRIBUTES = """
aria-label aria-live aria-sort autocomplete charset class colspan content cx cy d data-k data-m data-n data-task
data-theme height hidden href http-equiv id lang name open r role scope style tabindex title transform type value
viewBox viewbox width x y
"""

# Everything on the page that its writer cannot have put there.
STRANGE = """
const [elements, attributes] = arguments, found = [];
for (const element of document.querySelectorAll("*")) {
  const name = element.localName;
  if (!elements.includes(name)) found.push(`<${name}>`);
  for (const { name: key, value } of element.attributes) {
    if (!attributes.includes(key) || (key === "style" && element.className !== "tip")) found.push(`<${name} ${key}>`);
    if (key === "href" && !/^(#[\\w.-]+|\\.\\/[\\w.%~/-]+\\.jsonl?)$/.test(value)) found.push(`<${name} href=${value}>`);
    if (key === "value" && name === "li" && !/^\\d+$/.test(value)) found.push(`<li value=${value}>`);
  }
  for (const child of element.childNodes) if (![1, 3, 10].includes(child.nodeType)) found.push(`node of type ${child.nodeType}`);
}
for (const [selector, wanted] of [["script", 1], ["style", 1], ["title:not(svg *)", 1], ["form", 1], ["h1", 1], ["#theme", 1]])
  if (document.querySelectorAll(selector).length !== wanted) found.push(`${document.querySelectorAll(selector).length} × ${selector}`);
return found;
"""
RUN = "return 'pwned' in window || 'pwned' in document"


def strange(browser) -> list[str]:
    """Elements, attributes and links that no board page has; what ran; what the console said."""
    if said := browser.alert():
        return [f"alert: {said}"]
    found = browser.run(STRANGE, ELEMENTS.split(), ATTRIBUTES.split())
    if browser.run(RUN):
        found.append("something ran")
    return found + browser.log()


class Counter(http.server.ThreadingHTTPServer):
    """Counts requests."""

    def __init__(self):
        super().__init__(("127.0.0.1", 0), _Handler)
        self.hits: list[str] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/hit"


class _Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.server.hits.append(self.path)
        self.send_response(204)
        self.end_headers()

    def log_message(self, *args):
        """Quiet."""


@contextlib.contextmanager
def counter():
    with Counter() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()
