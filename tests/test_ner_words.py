"""Words of texts and mentions by characters."""

from __future__ import annotations

import time
from collections import Counter

import pytest

from harness_ner.words import CUTS, Cut, Mention, cut_words, joined, tag_words


def words(text: str, cut: Cut = "signs") -> list[str]:
    return [text[begin:end] for begin, end in CUTS[cut](text)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", []),
        (" \n\t ", []),
        ("ЛДПР-Москва, «ООО».", ["ЛДПР", "-", "Москва", ",", "«", "ООО", "»", "."]),
        ("Бо\u0301льшая часть", ["Бо\u0301льшая", "часть"]),  # a combining accent belongs to its letter
        ("स्थिति", ["स्थिति"]),
        ("U\u200bN \ufeffEU\u200f", ["U", "N", "EU"]),  # signs that nobody sees
        ("5 км\u00a0от", ["5", "км", "от"]),
        ("a\x1b[31mb", ["a", "[", "31", "mb"]),
    ],
)
def test_words_and_signs(text, expected):
    assert words(text) == expected


def test_places_are_characters_of_the_text_whatever_stands_between():
    text = "  Бо\u0301льшая\r\n\u00a0ЛДПР,\u200b да  "
    assert all(text[begin:end].strip() == text[begin:end] != "" for begin, end in cut_words(text))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", []),
        (" \n\ufeff ", []),
        ("pro-Israeli talks.", ["pro-Israeli", "talks", "."]),
        ("in the U.S. (and the U.N.)", ["in", "the", "U.S.", "(", "and", "the", "U.N.", ")"]),
        ("up 154.60, or .5%.", ["up", "154.60", ",", "or", ".5", "%", "."]),
        ("It was 154.60.", ["It", "was", "154.60", "."]),
        ("on 08/29/96 at 2:23", ["on", "08/29/96", "at", "2:23"]),
        ("J. Lee of St. Ives", ["J.", "Lee", "of", "St.", "Ives"]),
        ("It is plan B.", ["It", "is", "plan", "B", "."]),
        ("1. Leeds", ["1.", "Leeds"]),
        ("since 1996. Leeds", ["since", "1996", ".", "Leeds"]),
        ("Bush's aides' \"we can't\"...", ["Bush", "'s", "aides", "'", '"', "we", "ca", "n't", '"', "..."]),
        ("O'Brien's, 's", ["O'Brien", "'s", ",", "'s"]),
        ("$100 and C$ 5 and -- +44", ["$", "100", "and", "C$", "5", "and", "--", "+44"]),
        ("ЛДПР-Москва, «ООО».", ["ЛДПР-Москва", ",", "«", "ООО", "»", "."]),
        ("U\u200bN \ufeffEU\u200f a\x1b[31mb", ["U", "N", "EU", "a", "[", "31mb"]),
        ("Бо\u0301льшая\u00a0часть!?", ["Бо\u0301льшая", "часть", "!", "?"]),
    ],
)
def test_words_as_columns_have_them(text, expected):
    assert words(text, "words") == expected


@pytest.mark.parametrize("text", ["x" + "." * 100_000 + "y", "'" * 100_000, "(" * 50_000 + "a" + ")" * 50_000])
def test_no_text_takes_longer_than_its_length_allows(text):
    begun = time.perf_counter()
    assert "".join(words(text, "words")) == text
    assert time.perf_counter() - begun < 5


def test_joined_words_stand_where_it_is_said():
    text, places = joined(["EU", "rejects", "call"])
    assert [text[begin:end] for begin, end in places] == ["EU", "rejects", "call"]


def tagged(text: str, *mentions: tuple[int, int, str]) -> tuple[str, dict[str, int]]:
    counts: Counter[str] = Counter()
    tags = tag_words(cut_words(text), [Mention(*mention) for mention in mentions], counts)
    return " ".join(tags), {name: count for name, count in counts.items() if count}


TEXT = "Bank of New Astrel"  # 0-4 5-7 8-11 12-18


@pytest.mark.parametrize(
    ("mentions", "tags", "counts"),
    [
        ([], "O O O O", {}),
        ([(0, 18, "ORG")], "B-ORG I-ORG I-ORG I-ORG", {"kept": 1}),
        ([(0, 18, "ORG"), (8, 18, "LOC")], "B-ORG I-ORG I-ORG I-ORG", {"kept": 1, "dropped_nested": 1}),
        ([(8, 18, "LOC"), (0, 11, "ORG")], "B-ORG I-ORG I-ORG O", {"kept": 1, "dropped_crossing": 1}),
        ([(0, 4, "ORG"), (0, 4, "ORG")], "B-ORG O O O", {"kept": 1, "dropped_duplicate": 1}),
        ([(0, 4, "ORG"), (0, 4, "FAC")], "B-FAC O O O", {"kept": 1, "dropped_nested": 1}),
        ([(9, 10, "LOC")], "O O B-LOC O", {"kept": 1, "widened_to_words": 1}),
        ([(1, 7, "ORG")], "B-ORG I-ORG O O", {"kept": 1, "widened_to_words": 1}),
        ([(4, 5, "ORG")], "O O O O", {"dropped_without_word": 1}),
        ([(4, 8, "ORG")], "O B-ORG O O", {"kept": 1}),  # spaces at the edges are not a word cut
        ([(0, 4, "ORG"), (5, 7, "ORG")], "B-ORG B-ORG O O", {"kept": 2}),
    ],
)
def test_mentions_become_tags_of_whole_words(mentions, tags, counts):
    assert tagged(TEXT, *mentions) == (tags, counts)
    assert tagged(TEXT, *reversed(mentions)) == (tags, counts)
