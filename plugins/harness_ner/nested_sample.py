"""Writes the bundled documents: invented news whose entities lie one inside another, made up by a seeded generator.

`python -m harness_ner.nested_sample` rewrites `data/nested/` byte for byte. A slot in capitals is a mention of that
type, with whatever fills it inside; the types are some of RuNNE's, few-shot ones among them. A town's name is a club's
where matches are told of, so that a word alone does not decide.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

from harness_ner.generate import DATA, Dice

FOLDER = DATA / "nested"
SIZES = {"train": 96, "dev": 24, "test": 48}  # documents
SEED = 20220615
SENTENCES = 4  # of a document
_SLOT = re.compile(r"\{(\w+)(?::(\w+))?\}")  # a symbol, or a type and the symbol that fills it


def _words(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(","))


GRAMMAR: dict[str, tuple[str, ...]] = {
    "sentence": (
        "{PROFESSION} {PERSON} came to {CITY} on {DATE}.",
        "{PERSON}, {PROFESSION}, opened the {EVENT} in {CITY}.",
        "On {DATE} the {ORGANIZATION} said that {PERSON} would not be {PROFESSION} again.",
        "{ORGANIZATION} and {ORGANIZATION} met before the {EVENT}.",
        "The {NATIONALITY} press wrote about {PERSON}, author of “{WORK_OF_ART}”.",
        "Doctors in {CITY} reported {number} cases of {DISEASE}.",
        "The court of {CITY} gave {PERSON} {PENALTY}.",
        "Prices of wheat in {COUNTRY} rose {number} percent after {DATE}.",
        "{ORGANIZATION:town} beat {ORGANIZATION:town} by {number} points, and {PERSON} scored twice.",
        "{ORGANIZATION:town} drew with {ORGANIZATION:town} in the {EVENT}.",
        "Trains from {CITY} to {CITY} were late again.",
    ),
    "PERSON": tuple(
        f"{first} {last}"
        for first in _words("Alvin, Berta, Cormo, Dalia, Erwan, Fenna, Gorim, Helka")
        for last in _words("Ostrell, Pavane, Quorin, Rusbeck, Sandral, Tolvey, Umbart")
    ),
    "CITY": ("{town}",),
    "town": _words("Astrel, Brenholm, Corvale, Drunmoor, Elsgate, Farholm, New Astrel, Port Corvale"),
    "COUNTRY": _words("Astria, Brenland, Corvia, Drunia, Elsland"),
    "NATIONALITY": _words("Astrian, Brenish, Corvian, Drunish, Elsian"),
    "ORGANIZATION": (
        "Bank of {COUNTRY}",
        "{NATIONALITY} Grain Board",
        "{CITY} Steel Works",
        "Council of {CITY}",
        "Audit Office of the {ORGANIZATION}",
        "UCF",
    ),
    "PROFESSION": (
        "minister of trade of {COUNTRY}",
        "head of the {ORGANIZATION}",
        "mayor of {CITY}",
        "{NATIONALITY} minister",
        "painter",
    ),
    "EVENT": ("{CITY} Lantern Fair", "elections in {COUNTRY}", "{NATIONALITY} Grain Cup"),
    "DATE": ("{number} May", "{number} June", "the summer of 20{number}", "Monday"),
    "WORK_OF_ART": ("Songs of {CITY}", "The {number} Lanterns", "A Winter in {COUNTRY}"),
    "DISEASE": ("{NATIONALITY} fever", "river cough"),
    "PENALTY": ("{number} years in prison", "a fine"),
    "number": _words("11, 12, 14, 17, 18, 20, 23, 26, 29"),
}

Entity = tuple[int, int, str]


def expand(dice: Dice, symbol: str, begin: int = 0, kind: str = "") -> tuple[str, list[Entity]]:
    """(a text for the symbol, the mentions in it by characters, counted from `begin`, itself one of the kind)."""
    template = dice.pick(GRAMMAR[symbol])
    text, at = "", 0
    entities: list[Entity] = []
    for slot in _SLOT.finditer(template):
        text += template[at : slot.start()]
        inside, found = expand(dice, slot[2] or slot[1], begin + len(text), slot[1])
        text, entities, at = text + inside, entities + found, slot.end()
    text += template[at:]
    own = [(begin, begin + len(text), kind)] if kind.isupper() else []
    return text, own + entities


def document(dice: Dice) -> tuple[str, list[Entity]]:
    """Some sentences, the second on a line of its own."""
    text, entities = expand(dice, "sentence")
    for number in range(1, SENTENCES):
        text += "\n" if number == 1 else " "
        more, found = expand(dice, "sentence", len(text))
        text, entities = text + more, entities + found
    return text, entities


def files() -> Iterator[tuple[str, str]]:
    """(name, content) of every file of `data/nested/`: a document a line."""
    dice = Dice(SEED)
    for role, size in SIZES.items():
        lines = []
        for number in range(size):
            text, entities = document(dice)
            row = {"id": number, "text": text, "entities": [f"{begin} {end} {kind}" for begin, end, kind in entities]}
            lines.append(json.dumps(row, ensure_ascii=False) + "\n")
        yield f"{role}.jsonl", "".join(lines)


def main() -> None:
    """Rewrite the bundled documents."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name, content in files():
        (FOLDER / name).write_bytes(content.encode())


if __name__ == "__main__":
    main()
