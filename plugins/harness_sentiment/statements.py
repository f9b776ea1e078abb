"""Russian grammar and single statements for the review generator: what one author can say about one product."""

from __future__ import annotations

import random
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from harness_sentiment.lexicon import Aspect, Domain, Product
from harness_sentiment.phrases import ABSOLUTE, DENIALS, DENYING, INTENSIFIERS, SERVICE, SERVICE_EVENTS

T = TypeVar("T")


class Dice:
    """Random choices from `random.Random.random` alone, whose sequence Python guarantees across versions."""

    def __init__(self, seed: int) -> None:
        self._next = random.Random(seed).random  # noqa: S311

    def chance(self, probability: float) -> bool:
        """True with this probability."""
        return self._next() < probability

    def below(self, count: int) -> int:
        """A whole number from 0 to count - 1."""
        return int(self._next() * count)

    def pick(self, items: Sequence[T]) -> T:
        """One of the items."""
        return items[self.below(len(items))]


# ----------------------------------------------------------------------------------------------------------- grammar

_GENDERS = "mfnp"
_PRONOUNS = ("он", "она", "оно", "они")
_SOFT = frozenset({"средний"})


def decline(adjective: str, gender: str) -> str:
    """The nominative of an adjective given in the masculine: 'колючий', 'f' → 'колючая'."""
    stem, column = adjective[:-2], _GENDERS.index(gender)
    if adjective in _SOFT:
        return stem + ("ий", "яя", "ее", "ие")[column]
    neuter = "ее" if stem[-1] in "шжчщ" and not adjective.endswith("ой") else "ое"
    plural = "ие" if stem[-1] in "шжчщкгх" else "ые"
    return stem + (adjective[-2:], "ая", neuter, plural)[column]


def agree(phrase: str, gender: str, author: int) -> str:
    """Fill `[…]` by the gender or number of what is spoken of, `<…>` by the author (0 he, 1 she)."""

    def product_form(found: re.Match[str]) -> str:
        forms = found[1].split("|")
        return forms[_GENDERS.index(gender)] if len(forms) == 4 else forms[gender == "p"]

    return re.sub(r"<(.*?)>", lambda found: found[1].split("|")[author], re.sub(r"\[(.*?)\]", product_form, phrase))


# -------------------------------------------------------------------------------------------------------- statements


@dataclass(frozen=True)
class Author:
    """Who writes about what, and the stems of what was spoken of already: nobody contradicts himself by accident."""

    dice: Dice
    domain: Domain
    product: Product
    she: int
    spoken: set[str] = field(default_factory=set)

    def agreed(self, phrase: str) -> str:
        """The phrase, in agreement with the product and the author."""
        return agree(phrase, self.product.gender, self.she)

    def statement(self, polarity: int, *, of_service: bool = False, may_deny: bool = False) -> str:
        """One thing said: an event, or an aspect with an adjective or with the opposite one denied."""
        if self.dice.chance(0.4):
            return self._event(polarity, of_service=of_service)
        judged = self.aspect(SERVICE if of_service else self.domain.aspects)
        if polarity and self.dice.chance(0.3):
            return self.denied(judged, polarity, may_deny=may_deny)
        return self.affirmed(judged, polarity)

    def aspect(self, aspects: Sequence[Aspect]) -> Aspect:
        """One that was not spoken of yet."""
        judged = self.dice.pick([item for item in aspects if not stems(item.noun) & self.spoken])
        self.spoken.update(stems(judged.noun))
        return judged

    def _event(self, polarity: int, *, of_service: bool) -> str:
        events = (SERVICE_EVENTS if of_service else self.domain.events)[polarity]
        written = self.dice.pick([item for item in events if not stems(self.agreed(item)) & self.spoken])
        phrase = self.agreed(written)
        self.spoken.update(stems(phrase))
        unnamed = not stems(self.product.nominative) & self.spoken
        if unnamed and written.startswith(("[", "не [")) and self.dice.chance(0.7):
            return f"{self.named()} {phrase}"
        return phrase

    def named(self) -> str:
        """The product's name, noted as spoken."""
        self.spoken.update(stems(self.product.nominative))
        return self.product.nominative

    def affirmed(self, judged: Aspect, polarity: int) -> str:
        """`ткань очень мягкая` or `мягкая ткань`."""
        adjective = self.dice.pick(judged.adjectives[polarity])
        word = decline(adjective, judged.gender)
        if polarity and adjective not in ABSOLUTE and self.dice.chance(0.35):
            word = f"{self.dice.pick(INTENSIFIERS)} {word}"
        return f"{word} {judged.noun}" if self.dice.chance(0.3) else f"{judged.noun} {word}"

    def denied(self, judged: Aspect, polarity: int, *, may_deny: bool) -> str:
        """The opposite adjective, denied in place or (where the sentence allows) from the front."""
        opposite = deniable(judged, -polarity)
        if not opposite:
            return self.affirmed(judged, polarity)
        word = decline(self.dice.pick(opposite), judged.gender)
        if may_deny and self.dice.chance(0.5):
            return self.dice.pick(DENYING).format(a=f"{judged.noun} {word}")
        return f"{judged.noun} {self.dice.pick(DENIALS)} {word}"

    def opposites(self, polarity: int) -> tuple[str, str]:
        """Of one aspect, a statement of this polarity, then its contrary: ('ткань мягкая', 'она колючая') for 1."""
        judged = self.aspect(self.domain.aspects)
        first, second = (
            decline(self.dice.pick(judged.adjectives[sign]), judged.gender) for sign in (polarity, -polarity)
        )
        return f"{judged.noun} {first}", f"{_PRONOUNS[_GENDERS.index(judged.gender)]} {second}"


def stems(text: str) -> set[str]:
    """The beginnings of the longer words, equal in most forms of a word."""
    return {word[:5] for word in re.findall(r"\w{4,}", text)}


def deniable(judged: Aspect, polarity: int) -> list[str]:
    """The adjectives that 'не' goes before: 'не мягкий', but neither 'не отличный' nor 'не неровный'."""
    return [word for word in judged.adjectives[polarity] if word not in ABSOLUTE and not word.startswith("не")]
