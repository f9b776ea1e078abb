"""Markup as values: what is not `Html` is escaped when it is put into a tag, so nothing is written raw by oversight."""

from __future__ import annotations

import html
import re
from collections.abc import Iterable
from hashlib import sha256
from posixpath import normpath
from urllib.parse import quote

from harness.reports.escape import plain

_BARE = re.compile(r"[\w.,:;+#?-]+")  # values of attributes that need no quotes; no slash, which could end a tag
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,13}")
_OPEN = frozenset({"td", "th", "tr", "li", "dt", "dd", "option", "thead", "tbody"})  # their ends may be left out
_VOID = frozenset({"input", "meta", "br"})
_SHAPES = frozenset({"path", "circle", "rect"})  # of SVG: they end where they begin
_RECORDS = (".json", ".jsonl", ".jsonl.gz")


class Html(str):
    """Text that is markup already."""

    __slots__ = ()


def escaped(text: object) -> Html:
    """The text as itself, on one line, without what cannot be seen; `Html` as it is."""
    return text if isinstance(text, Html) else Html(html.escape(plain(text)))


def join(parts: Iterable[object], separator: str = "") -> Html:
    """One after the other, escaped where they are no markup; None is left out."""
    return Html(escaped(separator).join(escaped(part) for part in parts if part is not None))


def tag(name: str, /, *children: object, **attributes: object) -> Html:
    """An element. `class_` is the attribute `class`, `aria_label` is `aria-label`; None and False leave one out."""
    opening = f"<{name}{''.join(_attribute(key, value) for key, value in attributes.items())}"
    if name in _SHAPES:
        return Html(f"{opening} />")
    if name in _VOID:
        return Html(f"{opening}>")
    return Html(f"{opening}>{join(children)}{'' if name in _OPEN else f'</{name}>'}")


def link(target: str, *children: object, title: str | None = None) -> Html:
    """To a place on the page."""
    return tag("a", *children, href=f"#{target}", title=title)


def place_name(kind: str, id_: str) -> str:
    """What a place on the page is called: the id where it is harmless and short, else its hash; kinds never meet."""
    harmless = _NAME.fullmatch(id_)
    return f"{kind}-{id_ if harmless else sha256(id_.encode(errors='surrogatepass')).hexdigest()[:10]}"


def file_link(path: str) -> Html:
    """A record's file as a link where it is a relative path of a records file; as text where it may be anything else.

    A browser that follows such a link shows text: it opens no page and runs nothing.
    """
    shown = escaped(path)
    if path != plain(path, longest=1000) or "\\" in path or path.startswith("/") or not path.endswith(_RECORDS):
        return shown
    return tag("a", shown, href=f"./{quote(normpath(path))}")  # the dot: no name before a colon is a scheme


def _attribute(key: str, value: object) -> str:
    name = key.rstrip("_").replace("_", "-")
    if value is None or value is False:
        return ""
    if value is True:
        return f" {name}"
    text = escaped(value)
    return f" {name}={text}" if _BARE.fullmatch(text) else f' {name}="{text}"'
