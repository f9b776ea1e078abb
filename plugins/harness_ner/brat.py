"""brat's stand-off files: a text, and beside it a file of what stands where in it."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from harness import AssetError, read_utf8
from harness_ner.words import Mention, Span

_OFFSET = r"\d{1,15}"  # longer ones are no places in a text, and Python refuses to read numbers without end
SPANS = rf"{_OFFSET} {_OFFSET}(?:;{_OFFSET} {_OFFSET})*"
_PLACE = re.compile(rf"(\S+) ({SPANS})")
_OTHERS = "REMAN#*"  # relations, events, attributes, normalizations, notes, equivalences


def read_text(path: Path) -> str:
    """The text, every sign as it stands: a byte order mark counts in the offsets, and so does a carriage return."""
    text = read_utf8(path)
    return f"\ufeff{text}" if path.read_bytes().startswith(b"\xef\xbb\xbf") else text


def read_mentions(path: Path, text: str, counts: Counter[str]) -> Iterator[Mention]:
    """The T lines of an .ann file; a discontinuous entity gives a mention for each of its parts.

    AssetError for a line that is none of brat's, an offset outside the text, or an entity whose text stands elsewhere.
    """
    for number, raw in enumerate(read_utf8(path).split("\n"), start=1):
        line = raw.rstrip("\r")
        if line and line[0] in _OTHERS and "\t" in line:
            counts["other_annotations"] += 1
        elif line.strip():
            kind, places = _entity(f"{path}:{number}", line, text)
            counts["discontinuous"] += len(places) > 1
            yield from (Mention(begin, end, kind) for begin, end in places)


def _entity(place: str, line: str, text: str) -> tuple[str, list[Span]]:
    """`T1<TAB>PER 0 5;7 9<TAB>its text` → (type, [(0, 5), (7, 9)]). The text may hold tabs."""
    name, _, rest = line.partition("\t")
    where, tab, said = rest.partition("\t")
    found = _PLACE.fullmatch(where)
    if name[:1] != "T" or not tab or found is None:
        msg = (
            f"{place}: {line[:80]!r} where 'T1<TAB>TYPE start end<TAB>text' was expected. "
            "Fix the line, or remove it with what belongs to it"
        )
        raise AssetError(msg)
    parts = [part.split(" ") for part in found[2].split(";")]
    places = [(int(begin), int(end)) for begin, end in parts]
    for begin, end in places:
        if not begin < end <= len(text):
            msg = (
                f"{place}: characters {begin} to {end} of a text of {len(text)}; "
                "0 ≤ start < end ≤ its length was expected. Fix the offsets, or give the text they belong to"
            )
            raise AssetError(msg)
    stands = " ".join(text[begin:end] for begin, end in places)
    if stands.split() != said.split():
        msg = (
            f"{place}: characters {found[2]} are {stands[:80]!r} in the text, and {said[:80]!r} here. "
            "Fix the offsets, or give the text they belong to (line ends count: one character, or two with CR)"
        )
        raise AssetError(msg)
    return found[1], places
