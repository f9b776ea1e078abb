"""Words of the bundled sentences: invented names, and the sentences that hold them.

Names of people, towns, companies and peoples share beginnings, so that a name is told by its neighbours and its ending,
and a club is called like the town it is from.
"""

from __future__ import annotations


def _words(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(","))


_FIRST_NAMES = _words("Alvin, Berta, Cormo, Dalia, Erwan, Fenna, Gorim, Helka, Ivaro, Jolen, Karda, Lomas")
_LAST_NAMES = _words("Ostrell, Pavane, Quorin, Rusbeck, Sandral, Tolvey, Umbart, Vessing, Wendral, Yarrow")
_TOWNS = _words("Astrel, Brenholm, Corvale, Drunmoor, Elsgate, Farholm, Greyvale, Hartmoor, Ilmgate, Jarnholm")
_FAR_TOWNS = _words("New Astrel, Port Corvale, Upper Drunmoor, Lake Elsgate, North Farholm")
_FIRMS = _words("Astrotec, Brenmar, Corvex, Dunlar, Elvico, Fargon")
_FORMS = _words("Bank, Motors, Group, Steel Works, Air")
_BODIES = _words("UCF, Council of Towns, Grain Board, FTA, Court of Audit")

# What fills a slot of a sentence, and its type ('' for none)
SLOTS: dict[str, tuple[str, tuple[str, ...]]] = {
    "person": ("PER", tuple(f"{first} {last}" for first in _FIRST_NAMES for last in _LAST_NAMES)),
    "last": ("PER", _LAST_NAMES),
    "place": ("LOC", (*_TOWNS, *_FAR_TOWNS)),
    "club": ("ORG", _TOWNS),
    "body": ("ORG", (*(f"{firm} {form}" for firm in _FIRMS for form in _FORMS), *_BODIES * 3)),
    "people": ("MISC", _words("Astrelian, Brenish, Corvalian, Drunmoorish, Elsgatian, Farish")),
    "event": ("MISC", _words("Grain Cup, Lantern Open, Harbour Prize, River Games")),
    "number": ("", _words("2, 3, 5, 8, 11, 14, 17, 20, 26, 29")),
}
SENTENCES = (
    "{person} of {body} arrived in {place} on Monday .",
    "Mr {last} said that {body} would open an office in {place} .",
    "{club} beat {club} {number} - {number} in the {event} .",
    "{club} drew with {club} , and {person} scored twice .",
    "{person} ( {people} ) won the {event} in {place} .",
    "shares of {body} fell {number} percent , {body} rose {number} .",
    "the {people} minister {person} met Mr {last} in {place} .",
    "{place} : police found {number} lost boats near {place} .",
    "the {people} press wrote about {body} and {person} .",
    "Mrs {last} left {body} after {number} years .",
    "rain is expected in {place} and {place} on Friday .",
    "prices of wheat rose {number} percent last week .",
    "the match was stopped after {number} minutes .",
    "{body} sold {number} ships to the {people} navy .",
    "{person} , {person} and Mr {last} signed for {body} .",
    "trains from {place} to {place} were late again .",
)
