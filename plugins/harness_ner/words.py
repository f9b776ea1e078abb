"""Texts → words with their characters, and mentions by characters → tags of words."""

from __future__ import annotations

import functools
import re
import sys
import unicodedata
from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby, pairwise
from typing import Literal

import razdel

Span = tuple[int, int]  # first character, last + 1
Cut = Literal["signs", "words"]

_SIGNS = "[]()<>{}«»\"'`“”„‚‘’,:;!?…%"
_BEFORE = re.compile(rf"(?:[{re.escape(_SIGNS)}]|[$€£¥₽](?=\d)|\.(?!\d))*")
_LEANING = re.compile(r"(?:n['’]t|['’](?:s|re|m|ve|ll|d))$", re.IGNORECASE)  # of English
_STOPS = re.compile(r"\.+|.", re.DOTALL)
_SHORTENED = re.compile(
    r"mr|mrs|ms|dr|prof|rev|gen|lt|col|st|jr|sr|vs|inc|corp|ltd|jan|feb|apr|aug|sept|oct|nov|dec|calif|fla|vol",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Mention:
    """A stretch of a text that is of a type: first character, last + 1."""

    begin: int
    end: int
    type: str


@functools.cache
def _pieces() -> re.Pattern[str]:
    """Letters and digits with their combining marks, or one sign: `re` counts no mark as part of a word."""
    marks = [code for code in range(sys.maxunicode + 1) if unicodedata.category(chr(code))[0] == "M"]
    ends = [code for code, after in pairwise([*marks, sys.maxunicode + 2]) if after != code + 1]
    begins = [code for before, code in pairwise([-2, *marks]) if code != before + 1]
    ranges = "".join(f"{chr(first)}-{chr(last)}" for first, last in zip(begins, ends, strict=True))
    return re.compile(rf"(?:\w[{ranges}]*)+|[^\w\s]")


def cut_words(text: str) -> list[Span]:
    """Words and signs: razdel's tokens, cut further where a sign touches a word. Signs that nobody sees are none."""
    return [
        (token.start + piece.start(), token.start + piece.end())
        for token in razdel.tokenize(text)
        for piece in _pieces().finditer(token.text)
        if visible(piece[0])
    ]


def cut_pieces(text: str) -> list[Span]:
    """Words as corpora in columns have them: `U.S.`, `154.60`, `08/29/96`, `pro-Israeli`, `Bush 's`, `do n't`, `...`.

    Cut at spaces; then the signs around each piece go one by one, but for stops in a row. A full stop stays with a
    word that has another inside and, before more text, with an initial, a usual abbreviation, or a number that the text
    begins with. Signs that nobody sees divide as spaces do.
    """
    groups = (
        [place for place, _ in group] for shows, group in groupby(enumerate(text), lambda c: visible(c[1])) if shows
    )
    pieces = [(group[0], group[-1] + 1) for group in groups]
    return [span for number, piece in enumerate(pieces) for span in _peeled(text, piece, number, len(pieces))]


def _peeled(text: str, piece: Span, number: int, pieces: int) -> Iterator[Span]:
    """The signs before a word, the word, what leans on it, the signs after it."""
    first, last = piece
    after = first + len(text[first:last].rstrip(f"{_SIGNS}."))
    leaning = _LEANING.search(text, max(first, after - 3), after)
    end = leaning.start() if leaning else after
    before = _BEFORE.match(text, first, end)
    begin = before.end() if before else first
    stop = text.startswith(".", after, last) and not text.startswith("..", after, last)
    if stop and not leaning:
        end = after = after + _keeps_stop(text[begin:end], number == 0, number == pieces - 1)
    yield from _signs(text, first, begin)
    yield from (span for span in ((begin, end), (end, after)) if span[0] < span[1])
    yield from _signs(text, after, last)


def _signs(text: str, begin: int, end: int) -> Iterator[Span]:
    return (sign.span() for sign in _STOPS.finditer(text, begin, end))


def _keeps_stop(word: str, first: bool, last: bool) -> bool:
    """Does a full stop after the word belong to it? `first` and `last`: of the text's pieces."""
    if "." in word:
        return not word[-1].isdigit()
    if last:
        return False
    initial = len(word) == 1 and word.isalpha()
    return initial or (first and word.isdigit()) or _SHORTENED.fullmatch(word) is not None


CUTS: Mapping[Cut, Callable[[str], list[Span]]] = {"signs": cut_words, "words": cut_pieces}


def visible(word: str) -> bool:
    """Does anything of the word show? Tokenizers drop spaces, control and zero-width signs."""
    return any(not sign.isspace() and unicodedata.category(sign) not in ("Cc", "Cf") for sign in word)


def joined(words: Sequence[str], separator: str = " ") -> tuple[str, tuple[Span, ...]]:
    """(text of the words, where each stands in it)."""
    places, begin = [], 0
    for word in words:
        places.append((begin, begin + len(word)))
        begin += len(word) + len(separator)
    return separator.join(words), tuple(places)


def tag_words(words: Sequence[Span], mentions: Iterable[Mention], counts: Counter[str]) -> tuple[str, ...]:
    """BIO2 tags of the words. Mentions are widened to whole words; of those that share a word the longest is kept.

    Of equally long ones the first is kept, then the first type by name. `counts` is told what happened.
    """
    tags = ["O"] * len(words)
    taken: dict[int, Mention] = {}
    for mention in sorted(mentions, key=lambda item: (item.begin - item.end, item.begin, item.type)):
        inside = _words_of(words, mention)
        rivals = {taken[index] for index in inside if index in taken}
        fate = _fate(mention, inside, rivals)
        counts[fate] += 1
        if fate != "kept":
            continue
        counts["widened_to_words"] += words[inside[0]][0] < mention.begin or words[inside[-1]][1] > mention.end
        for index in inside:
            taken[index] = mention
            tags[index] = f"{'B' if index == inside[0] else 'I'}-{mention.type}"
    return tuple(tags)


def _words_of(words: Sequence[Span], mention: Mention) -> range:
    """Positions of the words that share a character with the mention."""
    first = bisect_right(words, mention.begin, key=lambda word: word[1])
    return range(first, bisect_left(words, mention.end, key=lambda word: word[0]))


def _fate(mention: Mention, inside: range, rivals: set[Mention]) -> str:
    """'kept', or why it is dropped. A rival is longer, or as long, and shares a word."""
    if not inside:
        return "dropped_without_word"
    if not rivals:
        return "kept"
    if mention in rivals:
        return "dropped_duplicate"
    nested = any(rival.begin <= mention.begin and mention.end <= rival.end for rival in rivals)
    return "dropped_nested" if nested else "dropped_crossing"
