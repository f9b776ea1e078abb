"""Tags of words: which scheme a file is in, what is wrong with it, and the same in BIO2."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from itertools import pairwise

from harness import AssetError

OUTSIDE = ("O", "")
_TAG = re.compile(r"([BIESLU])-(.+)")

Tag = tuple[str, str]  # (prefix, type): ("B", "PER"), or OUTSIDE


def is_tag(text: str) -> bool:
    """Is it what `parse` reads?"""
    return text == "O" or _TAG.fullmatch(text) is not None


def parse(tag: str, place: str) -> Tag:
    """`B-PER` → ("B", "PER"). AssetError for what is neither O nor a prefix and a type."""
    if tag == "O":
        return OUTSIDE
    found = _TAG.fullmatch(tag)
    if found is None:
        msg = (
            f"{place}: tag '{tag[:80]}' where 'O' or a prefix of B, I, E, S, L, U and a type was expected, such as "
            "'B-PER'. Set task.tag_column to the column of the tags, or rename them"
        )
        raise AssetError(msg)
    return found[1], found[2]


def scheme_of(sentences: Iterable[Sequence[Tag]]) -> str:
    """'BIOES', 'BILOU', 'IOB1', 'BIO2', or 'none' where no word has a type.

    Files with B, I and O alone are in the scheme that explains more beginnings of entities: in BIO2 each has a B, in
    IOB1 only those that follow an entity of the same type.
    """
    prefixes: set[str] = set()
    without_b = needless_b = 0
    for tags in sentences:
        prefixes.update(prefix for prefix, _ in tags)
        for (_, before), (prefix, kind) in pairwise((OUTSIDE, *tags)):
            without_b += prefix == "I" and before != kind
            needless_b += prefix == "B" and before != kind
    if prefixes & set("ESLU"):
        return "BIOES" if prefixes & set("ES") else "BILOU"
    if not prefixes & set("BI"):
        return "none"
    return "IOB1" if without_b > needless_b else "BIO2"


def to_bio2(tags: Sequence[Tag], scheme: str) -> tuple[tuple[str, ...], int]:
    """(tags in BIO2, how many transitions the scheme forbids).

    An entity begins where conlleval sees one begin: at B, S and U, and at any other prefix that does not go on with an
    entity of its type.
    """
    made, illegal = [], 0
    for before, tag in pairwise((OUTSIDE, *tags)):
        made.append("O" if tag == OUTSIDE else f"{'I' if _goes_on(before, tag) else 'B'}-{tag[1]}")
    for before, tag in pairwise((OUTSIDE, *tags, OUTSIDE)):
        illegal += _is_illegal(before, tag, scheme)
    return tuple(made), illegal


def _goes_on(before: Tag, tag: Tag) -> bool:
    return before[0] in "BI" and tag[0] in "IEL" and before[1] == tag[1]


def _is_illegal(before: Tag, tag: Tag, scheme: str) -> bool:
    if scheme == "IOB1":
        return tag[0] == "B" and before[1] != tag[1]
    headless = tag[0] in "IEL" and not _goes_on(before, tag)
    endless = scheme != "BIO2" and before[0] in "BI" and not _goes_on(before, tag)
    return headless or endless


def spans(tags: Sequence[str]) -> list[tuple[str, int, int]]:
    """BIO tags → (type, first word, last word + 1) of each entity, as conlleval reads them: any I- may begin one."""
    found: list[tuple[str, int, int]] = []
    for position, (before, tag) in enumerate(pairwise(("O", *tags))):
        if tag == "O":
            continue
        if tag[0] == "I" and before[1:] == tag[1:]:
            kind, first, _ = found.pop()
            found.append((kind, first, position + 1))
        else:
            found.append((tag[2:], position, position + 1))
    return found


def types_of(labels: Iterable[str]) -> tuple[str, ...]:
    """The types of BIO tags, each once, in their order."""
    return tuple(dict.fromkeys(label[2:] for label in labels if label != "O"))
