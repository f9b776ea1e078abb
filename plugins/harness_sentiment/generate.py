"""Writes the bundled reviews: short Russian texts made up by a seeded generator, in three classes.

`python -m harness_sentiment.generate` rewrites `data/` byte for byte. The class of a review follows from how its
statements are put together: a statement may be denied ('не скажу, что ткань колючая'), set aside ('хотя доставка
долгая, …'), overturned ('в отзывах пишут, что …, а у меня …') or balanced by its opposite (neutral), so that which
words occur says less than where they stand. Typos, careless case and punctuation, smileys and wrong labels are added.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from harness_sentiment.lexicon import DOMAINS
from harness_sentiment.phrases import BALANCING, OPENINGS, OVERTURNING, SETTING_ASIDE, VERDICTS
from harness_sentiment.reviews import normalise
from harness_sentiment.statements import Author, Dice, decline, deniable

DATA = Path(__file__).parent / "data"
SIZES = {
    "quickstart": {"train": 4000, "dev": 500, "test": 1000},
    "sample": {"train": 96, "dev": 24, "test": 48},
}
LABELS = {-1: "negative", 0: "neutral", 1: "positive"}
LABEL_NOISE = 0.06
SEED = 20240229

# ----------------------------------------------------------------------------------------------------------- recipes


def _plainly(author: Author, polarity: int) -> list[str]:
    """Two statements that agree, as one sentence or two."""
    first = author.statement(polarity, may_deny=True)
    second = author.statement(polarity, of_service=author.dice.chance(0.3))
    joint = author.dice.pick((", ", " и ", ", к тому же ", "", "", ""))
    return [f"{first}{joint}{second}"] if joint else [first, second]


def _setting_aside(author: Author, polarity: int) -> list[str]:
    aside = author.statement(-polarity, of_service=author.dice.chance(0.6))
    return [author.dice.pick(SETTING_ASIDE[polarity]).format(a=aside, b=author.statement(polarity))]


def _overturning(author: Author, polarity: int) -> list[str]:
    phrase = author.dice.pick(OVERTURNING)
    b_first = phrase.index("{b}") < phrase.index("{a}")
    signs = (polarity, -polarity) if b_first else (-polarity, polarity)
    pair = author.opposites(signs[0]) if author.dice.chance(0.7) else tuple(map(author.statement, signs))
    a, b = reversed(pair) if b_first else pair
    return [author.agreed(phrase).format(a=a, b=b)]


def _concluding(author: Author, polarity: int) -> list[str]:
    return [author.statement(polarity, may_deny=True), author.agreed(author.dice.pick(VERDICTS[polarity]))]


def _denying(author: Author, polarity: int) -> list[str]:
    """Nothing but denials of the opposite."""
    return [
        author.denied(author.aspect(author.domain.aspects), polarity, may_deny=may_deny) for may_deny in (True, False)
    ]


def _balancing(author: Author, _: int) -> list[str]:
    sign = author.dice.pick((1, -1))
    service = author.dice.chance(0.3)
    first, second = author.statement(sign), author.statement(-sign, of_service=service)
    return [author.dice.pick(BALANCING).format(a=first, b=second)]


def _shrugging(author: Author, _: int) -> list[str]:
    return [author.statement(0), author.statement(0, of_service=author.dice.chance(0.4))]


def _neither(author: Author, _: int) -> list[str]:
    """An aspect that is not this and not its opposite either."""
    judged = author.aspect([item for item in author.domain.aspects if deniable(item, 1) and deniable(item, -1)])
    good, bad = (decline(author.dice.pick(deniable(judged, sign)), judged.gender) for sign in (1, -1))
    first, second = (good, bad) if author.dice.chance(0.5) else (bad, good)
    return [f"{judged.noun} не {first}, но и не {second}"]


Recipe = Callable[[Author, int], list[str]]
DECIDED: tuple[tuple[Recipe, int], ...] = (
    (_plainly, 6),
    (_setting_aside, 6),
    (_overturning, 5),
    (_concluding, 3),
    (_denying, 2),
)
UNDECIDED: tuple[tuple[Recipe, int], ...] = ((_balancing, 11), (_shrugging, 4), (_neither, 3), (_concluding, 2))


def compose(author: Author, polarity: int) -> list[str]:
    """The sentences of one review, in lower case, without their final stops."""
    dice = author.dice
    recipes = [recipe for recipe, weight in (DECIDED if polarity else UNDECIDED) for _ in range(weight)]
    recipe = dice.pick(recipes)
    sentences = []
    if dice.chance(0.35):
        names = {"nominative": author.named(), "accusative": author.product.accusative}
        sentences.append(author.agreed(dice.pick(OPENINGS)).format(**names))
    sentences += recipe(author, polarity)
    if recipe is not _concluding and dice.chance(0.2):
        sentences.append(author.agreed(dice.pick(VERDICTS[polarity])))
    elif dice.chance(0.15):
        sentences.insert(dice.below(len(sentences) + 1), author.statement(0, of_service=True))
    return sentences


# ------------------------------------------------------------------------------------------------------------- style

_NEIGHBOURS = dict(zip("аоеинтрслв", ("вп", "рл", "нк", "мт", "ег", "иь", "по", "чм", "од", "ыа"), strict=True))
_SMILEYS = {1: (")", "))", ":)", "👍", "😊"), -1: ("(", "((", ":(", "👎", "😡"), 0: (")", "(", "...", "🤷", ":/")}


def mistype(dice: Dice, text: str) -> str:
    """One slip inside a longer word: two letters swapped, one dropped, doubled, or hit on the neighbouring key."""
    places = [index for word in re.finditer(r"\w{5,}", text) for index in range(word.start() + 1, word.end() - 1)]
    if not places:
        return text
    at = dice.pick(places)
    here, after = text[at], text[at + 1]
    slip = dice.pick((after + here, after, here + here + after, dice.pick(_NEIGHBOURS.get(here, here)) + after))
    return text[:at] + slip + text[at + 2 :]


def style(dice: Dice, sentences: Sequence[str], polarity: int) -> str:
    """The sentences as somebody would type them."""
    careful = dice.chance(0.55)
    stop = dice.pick((".", ".", ".", "!", "...", ","))
    parts = [sentence[0].upper() + sentence[1:] if careful else sentence for sentence in sentences]
    text = f"{stop if careful and stop != ',' else dice.pick((',', '.', ' '))} ".join(parts).replace("  ", " ")
    if careful:
        text += "." if stop == "," else stop
    if dice.chance(0.6):
        text = text.replace("ё", "е")
    if dice.chance(0.08):
        text = text.replace(", ", ",")
    for _ in range(dice.pick((0, 0, 0, 1))):
        text = mistype(dice, text)
    if dice.chance(0.03):
        text = text.upper()
    if dice.chance(0.15):
        text += dice.pick(("", " ")) + dice.pick(_SMILEYS[polarity if dice.chance(0.7) else 0])
    return text


# ------------------------------------------------------------------------------------------------------------- files


def reviews(seed: int) -> Iterator[tuple[str, str]]:
    """(text, label) without end: classes in turn, LABEL_NOISE of the labels wrong, no text twice."""
    dice = Dice(seed)
    seen: set[str] = set()
    turn = 0
    while True:
        polarity = turn % 3 - 1
        domain = dice.pick(DOMAINS)
        author = Author(dice, domain, dice.pick(domain.products), int(dice.chance(0.7)))
        text = style(dice, compose(author, polarity), polarity)
        said = (polarity + 1 + dice.pick((1, 2))) % 3 - 1 if dice.chance(LABEL_NOISE) else polarity
        if normalise(text) not in seen:
            seen.add(normalise(text))
            turn += 1
            yield text, LABELS[said]


def files() -> dict[str, str]:
    """Every file of `data/` by its relative path: JSONL with id, text and label."""
    source = reviews(SEED)
    found = {}
    for folder, sizes in SIZES.items():
        for role, size in sizes.items():
            rows = [
                {"id": f"{role}-{index}", "text": text, "label": label}
                for index, (text, label) in zip(range(size), source, strict=False)
            ]
            found[f"{folder}/{role}.jsonl"] = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    return found


def main() -> None:
    """Rewrite the bundled reviews."""
    for name, text in files().items():
        path = DATA / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text.encode())


if __name__ == "__main__":
    main()
