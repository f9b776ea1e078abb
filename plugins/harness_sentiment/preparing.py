"""What a text goes through before a model reads it: lemmas, stop words, a length in words; each step only on demand.

The steps of a study of ruBert-tiny (normalising, masking stop words, cutting to one length), in that order. They change
words alone: punctuation, digits, smileys and words of other languages stay, and so does the order. The study says
neither which list of stop words it used nor what became of negations: here the list is `data/words/function.txt`, and
the words that deny have a list of their own, `data/words/negations.txt`.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import cache, lru_cache
from pathlib import Path
from typing import Any, Literal, NamedTuple

from harness_sentiment.reviews import normalise

MASK = "[MASK]"  # the sign that BERT's vocabularies and the harness's own have for a masked word
_WORDS = Path(__file__).parent / "data" / "words"
_WORD = re.compile(r"[\w\u0300-\u036f]+(?:-[\w\u0300-\u036f]+)*")  # with the marks that combine with a letter
_RUSSIAN = re.compile(r"[а-яё]+(?:-[а-яё]+)*")
_LONGEST = 40  # letters of a word that has a lemma: longer ones are no words, and take a dictionary long
_MEMO = 1 << 18  # words, as they are written


@dataclass(frozen=True)
class Steps:
    """Which steps to take."""

    lemmatise: bool = False
    stop_words: Literal["keep", "remove", "mask"] = "keep"
    keep_negations: bool = True
    max_words: int | None = None

    def __bool__(self) -> bool:
        return self.lemmatise or self.stop_words != "keep" or self.max_words is not None

    def __str__(self) -> str:
        stop = {"remove": "stop words removed", "mask": "stop words masked"}.get(self.stop_words, "")
        parts = (
            "lemmas" if self.lemmatise else "",
            stop and f"{stop} {'except' if self.keep_negations else 'with'} negations",
            f"cut at {self.max_words} words" if self.max_words else "",
        )
        return ", ".join(part for part in parts if part) or "as it is"


def steps_of(params: Any) -> Steps:
    """The steps that a task's params ask for."""
    return Steps(params.lemmatise, params.stop_words, params.keep_negations, params.max_words)


class Said(NamedTuple):
    """A text after the steps."""

    text: str
    words: int  # that are left of it
    spared: bool = False  # did it keep its stop words, since nothing else was in it?


def prepare(text: str, steps: Steps) -> Said:
    """Take the steps. A text with a visible sign never ends without one.

    Where nothing would be left, the stop words stay: 'Ну так' is a review, too.
    """
    said = _prepared(text, steps)
    if not said.words and steps.stop_words == "remove" and not normalise(said.text) and normalise(text):
        return _prepared(text, replace(steps, stop_words="keep"))._replace(spared=True)
    return said


def _prepared(text: str, steps: Steps) -> Said:
    """Word by word; what stands between them stays. Cut before the first word too many, and what stands before it."""
    parts: list[str] = []
    words = end = 0
    for found in _WORD.finditer(text):
        word = _word(found[0], steps)
        if word and words == steps.max_words:
            break
        parts += text[end : found.start()], word
        words, end = words + bool(word), found.end()
    else:
        parts.append(text[end:])
    said = "".join(parts)
    return Said(" ".join(said.split()) if steps.stop_words == "remove" else said, words)


def count_words(text: str) -> int:
    """How many words a text has, as `max_words` counts them."""
    return sum(1 for _ in _WORD.finditer(text))


# ------------------------------------------------------------------------------------------------------------- words


@lru_cache(maxsize=_MEMO)
def _word(word: str, steps: Steps) -> str:
    """What becomes of a word; '' where it goes."""
    if steps.stop_words != "keep" and _plain(word).replace("ё", "е") in _stop_words(steps.keep_negations):
        return MASK if steps.stop_words == "mask" else ""
    return lemma(word) if steps.lemmatise else word


def lemma(word: str) -> str:
    """The normal form of a Russian word in lower case, of its likeliest reading; anything else as it is written."""
    plain = _plain(word)
    if len(plain) > _LONGEST or not _RUSSIAN.fullmatch(plain):
        return word
    form: str = _dictionary()(plain)[0].normal_form
    return form


def _plain(word: str) -> str:
    """In lower case, composed, without stress marks."""
    return unicodedata.normalize("NFC", word).replace("\u0301", "").lower()


@cache
def _dictionary() -> Callable[[str], list[Any]]:
    """A word → its readings, the likeliest first."""
    import pymorphy3  # a fifth of a second and 15 MB: only for those who ask for lemmas

    parse: Callable[[str], list[Any]] = pymorphy3.MorphAnalyzer(lang="ru").parse
    return parse


def forget() -> None:
    """All that is remembered of words and lists, so that a benchmark can begin as a fresh process does."""
    for memory in (_word, _dictionary, _stop_words):
        memory.cache_clear()


@cache
def _stop_words(without_negations: bool) -> frozenset[str]:
    names = ("function",) if without_negations else ("function", "negations")
    return frozenset(word.replace("ё", "е") for name in names for word in read_words(name))


def read_words(name: str) -> Iterable[str]:
    """The words of a list in `data/words`, whose lines that begin with '#' are remarks."""
    lines = (_WORDS / f"{name}.txt").read_text(encoding="utf-8").splitlines()
    return [word for line in lines if not line.startswith("#") for word in line.split()]
