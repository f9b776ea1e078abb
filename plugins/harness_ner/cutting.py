"""Documents → examples: neighbouring sentences up to a number of words, every mention in the one where it begins."""

from __future__ import annotations

import hashlib
import re
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

import razdel

from harness import AssetError, Example
from harness_ner.documents import Document
from harness_ner.words import Mention, Span, cut_words

_LINE = re.compile(r"[^\r\n]+")


@dataclass(frozen=True)
class Stretch:
    """Some sentences of a document: where they stand in it, and their words, in characters of the document."""

    begin: int
    end: int
    words: tuple[Span, ...]


def sentences(text: str) -> Iterator[Stretch]:
    """Those with a word in them; a line's end ends a sentence."""
    for line in _LINE.finditer(text):
        for sentence in razdel.sentenize(line[0]):
            begin = line.start() + sentence.start
            words = tuple((begin + first, begin + last) for first, last in cut_words(sentence.text))
            if words:
                yield Stretch(begin, line.start() + sentence.stop, words)


def stretches(text: str, max_words: int) -> list[Stretch]:
    """Neighbouring sentences together while they have at most `max_words` words; a longer sentence stands alone."""
    made: list[Stretch] = []
    for sentence in sentences(text):
        if made and len(made[-1].words) + len(sentence.words) <= max_words:
            before = made.pop()
            made.append(Stretch(before.begin, sentence.end, before.words + sentence.words))
        else:
            made.append(sentence)
    return made


def examples_of(document: Document, max_words: int) -> list[Example]:
    """{"id", "doc", "begin", "text", "words", "entities"}, places in characters of the example's own text.

    A mention is given to the example in which it begins, else to the one before; its place may reach out of the text.
    `entities` is there where somebody looked for mentions. A document without a word gives no example; AssetError
    where it has mentions nevertheless.
    """
    text = document.text or ""
    parts = stretches(text, max_words)
    if not parts and document.mentions:
        first = document.mentions[0]
        msg = (
            f"{document.place}: a {first.type} of characters {first.begin} to {first.end} in a document without a word "
            f"({text[:40]!r}). Remove the entity, or give the text it belongs to"
        )
        raise AssetError(msg)
    owned: list[list[Mention]] = [[] for _ in parts]
    begins = [part.begin for part in parts]
    for mention in document.mentions or ():
        owned[max(bisect_right(begins, mention.begin) - 1, 0)].append(mention)
    made: list[Example] = []
    for number, (part, mentions) in enumerate(zip(parts, owned, strict=True)):
        example: Example = {
            "id": f"{document.id}/{number}",
            "doc": document.id,
            "begin": part.begin,
            "text": text[part.begin : part.end],
            "words": [[first - part.begin, last - part.begin] for first, last in part.words],
        }
        if document.mentions is not None:
            example["entities"] = [[item.begin - part.begin, item.end - part.begin, item.type] for item in mentions]
        made.append(example)
    return made


# ------------------------------------------------------------------------------------------------------------- splits


def in_order(documents: Sequence[Document], seed: int) -> list[Document]:
    """The documents by hash of their texts: any beginning of them is a random part, so that slices nest."""
    return sorted(documents, key=lambda document: (_hash(seed, document.text or ""), document.id))


def carve(
    documents: Sequence[Document], size: int, seed: int, part: str | None
) -> tuple[list[Document], list[Document]]:
    """(taken, rest): whole groups in the order of a hash, each that still fits into `size` documents.

    A group are documents whose ids are the same without what `part` matches at their ends, and equal texts.
    """
    groups = sorted(_groups(documents, part), key=lambda group: _hash(seed, *(item.text or "" for item in group)))
    taken: list[Document] = []
    rest: list[Document] = []
    for group in groups:
        (taken if len(taken) + len(group) <= size else rest).extend(group)
    return taken, rest


def _groups(documents: Sequence[Document], part: str | None) -> list[list[Document]]:
    ending = re.compile(f"(?:{part})$") if part else None

    def base(document: Document) -> str:
        return ending.sub("", document.id) if ending else document.id

    return [list(group) for _, group in groupby(sorted(documents, key=lambda item: (base(item), item.id)), key=base)]


def once(documents: Sequence[Document]) -> tuple[list[Document], int, int]:
    """(the first of equal texts each, how many others there were, how many of these have other mentions)."""
    first: dict[str | None, Document] = {}
    for document in documents:
        first.setdefault(document.text, document)
    others = [document for document in documents if first[document.text] is not document]
    return list(first.values()), len(others), sum(first[item.text].mentions != item.mentions for item in others)


def shared(documents: Sequence[Document], others: Sequence[Document]) -> int:
    """How many documents the others have too, word for word."""
    texts = {document.text for document in others}
    return sum(document.text in texts for document in documents)


def _hash(seed: int, *texts: str) -> str:
    return hashlib.sha256("\n".join([str(seed), *texts]).encode()).hexdigest()
