"""Tasks of nested entities: documents → roles → examples; layers of types over words; exact mentions scored."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice, takewhile
from typing import Any

import numpy as np

from harness import AssetError, Example, Facts, Prepared, Role, Source, StageError, choices
from harness_ner.bilou import KEPT, Entity, decode, encode, labels_of, mentions, shares, types_of
from harness_ner.cutting import carve, examples_of, in_order, once, shared
from harness_ner.documents import Document, Notes, choose, read_documents
from harness_ner.nested_scoring import apart, best_micro, constant_counts, over_all, to_samples, totals, type_details
from harness_ner.words import cut_words

_LABELLED: tuple[Role, ...] = ("train", "dev", "test")
_LISTED = 3

Pools = dict[Role, list[Document]]


class NestedEntities:
    """Entities of types in texts, one inside another or not (head `nested-token`).

    Read are brat folders (.ann beside .txt), and .jsonl and .parquet of `text` (or `sentences`) with `entities` (or
    `ners`, `spans`, `labels`): [start, end, type] each, an object with these names, "start end type", or brat's "T1
    type start end". Ends are exclusive, those of `ners` inclusive, unless `task.ends` says otherwise. Rows with an `id`
    and no text are the answers to the texts of the same role. Parts of a discontinuous entity are mentions of their
    own; what is listed twice counts once.

    Roles are what files, or their folders, are named after: train; dev, val, valid, validation; test. A dev split
    without any labels is cut from train, like every split that is not there: whole documents in the order of a hash,
    parts of one document on one side. Equal texts of train count once. For the role `transfer` labels are not needed:
    its documents are those of train and what is unlabelled, or all of a source without a train split.

    Documents are cut into examples of whole sentences, {"id": "doc/3", "doc", "begin" (in the document), "text",
    "words": [[begin, end], …], "entities": [[begin, end, type], …]}, places in characters of the example's text. A type
    has one layer of BILOU over the words. Mentions that have no place in it (they cross an example's border, cut a
    word, or share a word with a longer one of their type) are never found, stay in the gold of the score, and are
    counted in the facts beside the score of a model without fault, the ceiling.
    """

    def __init__(self, params: Any) -> None:
        self.params = params

    # ---------------------------------------------------------------------------------------------------------- data

    def prepare(self, source: Source, roles: Sequence[Role]) -> Prepared:
        """Read the source. AssetError with place, value and remedy where it is not what it should be."""
        transfer = "transfer" in roles
        if transfer and len(roles) > 1:
            msg = f"{source.origin}: 'transfer' was asked for beside {list(roles)}. Give it a [data.…] of its own"
            raise AssetError(msg)
        chosen = choose(source, self.params.files, transfer)
        documents, notes = read_documents(source, chosen, self.params)
        pools: Pools = {"transfer": documents}
        split: Facts = {}
        if not transfer or "train" in chosen.values():
            pools, split = self._pools(documents, set(chosen.values()), transfer)
        limits = _limits(self.params)
        examples = {
            role: list(islice(self._examples(pool, notes, role), limits.get(role)))  # what is beyond is not cut at all
            for role, pool in pools.items()
            if role in roles
        }
        _check_roles(source, examples, roles)
        types = _types(documents)
        if not types and not transfer:
            msg = f"{source.root}: no document has an entity. Give annotated documents"
            raise AssetError(msg)
        facts = _facts(source, chosen, notes) | split | self._role_facts(examples, types)
        return Prepared(examples, labels_of(types), facts)

    def _examples(self, pool: Sequence[Document], notes: Notes, role: Role) -> Iterator[Example]:
        """AssetError for mentions in a document without a word; one with neither is counted."""
        for document in in_order(pool, self.params.split_seed):
            made = examples_of(document, self.params.max_words)
            notes.counts["empty_documents"] += not made
            for example in made:
                yield {k: v for k, v in example.items() if k != "entities"} if role == "transfer" else example

    def _pools(self, documents: Sequence[Document], given: set[Role | None], transfer: bool) -> tuple[Pools, Facts]:
        """The documents by role, and what dividing them took."""
        params = self.params
        unlabelled = [document for document in documents if document.mentions is None]
        if not transfer:
            _check_labelled(unlabelled)
        pools: Pools = {
            role: [item for item in documents if (item.role or "train") == role and item.mentions is not None]
            for role in _LABELLED
        }
        pools["train"], dropped, otherwise = once(pools["train"])
        cut: Facts = {}
        whole = len(pools["train"])
        cuts: tuple[tuple[Role, int | float], ...] = (("test", params.test), ("dev", params.dev))
        for role, asked in cuts:
            if role not in given or (role == "dev" and not pools["dev"]):
                size = asked if isinstance(asked, int) else round(asked * whole)
                pools[role], pools["train"] = carve(pools["train"], size, params.split_seed, params.part)
                cut[role] = {"asked": asked, "got": len(pools[role])}
        pools["transfer"] = _to_transfer(pools["train"], unlabelled) if transfer else []
        return pools, {
            "cut_from_train": cut,
            "duplicates_in_train": {"dropped": dropped, "annotated_otherwise": otherwise},
            "unlabelled_documents": dict(Counter(str(document.role) for document in unlabelled)),
            "also_in_train": {role: shared(pools[role], pools["train"]) for role in ("dev", "test")},
        }

    def input(self, example: Example) -> list[str]:
        """The words; those of a text that was not cut yet are cut here."""
        return [example["text"][begin:end] for begin, end in _words(example)]

    def target(self, example: Example, labels: tuple[str, ...]) -> list[list[int]] | None:
        """For each word a class of 0 … 4 (O, B, I, L, U) in each type's layer; None for an unlabelled example.

        StageError for a type that the model lacks.
        """
        if "entities" not in example:
            return None
        layers, _ = _layers(example, _known_types(example, labels))
        target: list[list[int]] = layers.tolist()
        return target

    # -------------------------------------------------------------------------------------------------------- scores

    def samples(
        self, examples: Sequence[Example], outputs: Sequence[np.ndarray], labels: tuple[str, ...]
    ) -> np.ndarray:
        """Examples and logits [words, 5·T] of each → float64 [n, T × 3], see `harness_ner.nested_scoring`."""
        missing = [example["id"] for example in examples if "entities" not in example]
        if missing:
            msg = (
                f"{len(missing)} of {len(examples)} examples have no labels ('{missing[0]}', …): they cannot be scored"
            )
            raise StageError(msg)
        _check_outputs(examples, outputs, labels)
        types = types_of(labels)
        for example in examples:
            _known_types(example, labels)
        said = [_entities(item, layers, types) for item, layers in zip(examples, decode(outputs), strict=True)]
        return to_samples(list(map(_gold, examples)), said, types)

    def metrics(self, samples: np.ndarray, weights: np.ndarray, labels: tuple[str, ...]) -> dict[str, np.ndarray]:
        """Samples [n, T × 3], weights [r, n] → every metric [r], in [0, 1]."""
        return self._scores(totals(samples, weights), types_of(labels))

    def _scores(self, counts: np.ndarray, types: Sequence[str]) -> dict[str, np.ndarray]:
        return over_all(counts)

    def details(self, samples: np.ndarray, labels: tuple[str, ...]) -> Facts:
        """Scores per type."""
        return type_details(samples, types_of(labels))

    def chance(self, examples: Sequence[Example], labels: tuple[str, ...]) -> float:
        """The best micro-F1 of calling every word an entity of some types, always the same."""
        return best_micro(_constant(examples, types_of(labels)))

    def answer(self, example: Example, output: np.ndarray, labels: tuple[str, ...]) -> Facts:
        """{"text", "entities": [{"start", "end", "type", "text", "score"}]}: in the text's order, outer ones first.

        `score` is the mean over the entity's words of the probability that they belong to one of its type.
        """
        _check_outputs([example], [output], labels)
        text, words, types = example["text"], _words(example), types_of(labels)
        inside = shares(output) if words else np.zeros((0, len(types)))
        (layers,) = decode([output])
        entities = [
            {
                "start": words[first][0],
                "end": words[last - 1][1],
                "type": types[kind],
                "text": text[words[first][0] : words[last - 1][1]],
                "score": float(inside[first:last, kind].mean()),
            }
            for first, last, kind in mentions(layers)
        ]
        return {
            "text": text,
            "entities": sorted(entities, key=lambda item: (item["start"], -item["end"], item["type"])),
        }

    # --------------------------------------------------------------------------------------------------------- facts

    def _role_facts(self, examples: Mapping[Role, Sequence[Example]], types: Sequence[str]) -> Facts:
        """Sizes, entities and lengths by role; what the layers lose, and the ceiling that this sets to each score."""
        labelled = {role: made for role, made in examples.items() if role != "transfer"}
        limits = {role: limit for role, limit in _limits(self.params).items() if role in examples}
        return {
            "roles": {role: _role_fact(made) for role, made in examples.items()},
            "overlaps": {role: _overlaps(made) for role, made in labelled.items()},
            "representation": {role: _fates(made, types) for role, made in labelled.items()},
            "ceilings": {role: self._ceiling(made, types) for role, made in labelled.items()},
            "limit_larger_than_data": {
                role: {"asked": limit, "kept": len(examples[role])}
                for role, limit in limits.items()
                if limit > len(examples[role])
            },
        }

    def _ceiling(self, examples: Sequence[Example], types: Sequence[str]) -> dict[str, float]:
        """The score of the layers that the gold mentions are written into."""
        said = [_entities(example, _layers(example, types)[0], types) for example in examples]
        samples = to_samples(list(map(_gold, examples)), said, types)
        scores = self._scores(totals(samples, np.ones((1, len(samples)))), types)
        return {name: round(float(values[0]), 4) for name, values in scores.items()}


class RuNNE(NestedEntities):
    """The same with the two figures of the RuNNE-2022 competition: types with many examples, and those with few."""

    def _scores(self, counts: np.ndarray, types: Sequence[str]) -> dict[str, np.ndarray]:
        few = self.params.few_shot
        return apart(counts, [kind in few for kind in types], len(few)) | super()._scores(counts, types)

    def chance(self, examples: Sequence[Example], labels: tuple[str, ...]) -> float:
        """The macro-F1 of calling every word an entity of every type."""
        types = types_of(labels)
        return float(self._scores(_constant(examples, types), types)["macro_f1"][0])


# ---------------------------------------------------------------------------------------------------------- examples


def _words(example: Example) -> list[tuple[int, int]]:
    words = example.get("words")
    return cut_words(example["text"]) if words is None else words


def _gold(example: Example) -> list[Entity]:
    return [(begin, end, kind) for begin, end, kind in example["entities"]]


def _layers(example: Example, types: Sequence[str]) -> tuple[np.ndarray, list[str]]:
    return encode(_words(example), len(example["text"]), _gold(example), types)


def _entities(example: Example, layers: np.ndarray, types: Sequence[str]) -> list[Entity]:
    """The mentions of layers [words, T] by characters."""
    words = _words(example)
    return [(words[first][0], words[last - 1][1], types[kind]) for first, last, kind in mentions(layers)]


def _known_types(example: Example, labels: tuple[str, ...]) -> tuple[str, ...]:
    """The types of a model. StageError where the example has another one."""
    types = types_of(labels)
    unknown = {kind for _, _, kind in example["entities"]} - set(types)
    if unknown:
        msg = f"example '{example['id']}' has the types {choices(unknown)}, the model knows {choices(types)}"
        raise StageError(msg)
    return types


def _check_outputs(examples: Sequence[Example], outputs: Sequence[np.ndarray], labels: tuple[str, ...]) -> None:
    """StageError where a text has other words than rows, or a logit is not finite."""
    for example, output in zip(examples, outputs, strict=True):
        expected = (len(_words(example)), len(labels))
        if np.shape(output) != expected:
            msg = (
                f"example '{example['id']}': an output of shape {np.shape(output)} for {expected[0]} words of "
                f"{expected[1]} columns, five of each type"
            )
            raise StageError(msg)
        if not np.isfinite(output).all():
            msg = f"example '{example['id']}': outputs are not finite: the model diverged or its artifact is damaged"
            raise StageError(msg)


def _constant(examples: Sequence[Example], types: Sequence[str]) -> np.ndarray:
    """Counts [1, T, 3] of calling every word a mention of every type."""
    gold = list(map(_gold, examples))
    places = [{tuple(word) for word in _words(example)} for example in examples]
    alone = [[item for item in own if item[:2] in known] for own, known in zip(gold, places, strict=True)]
    return constant_counts(sum(len(_words(example)) for example in examples), gold, alone, types)


# -------------------------------------------------------------------------------------------------------------- roles


def _types(documents: Sequence[Document]) -> tuple[str, ...]:
    return tuple(sorted({mention.type for document in documents for mention in document.mentions or ()}))


def _to_transfer(train: Sequence[Document], unlabelled: Sequence[Document]) -> list[Document]:
    """The texts to distil on: those of train, and what nobody annotated but for tests."""
    return once([*train, *(document for document in unlabelled if document.role != "test")])[0]


def _limits(params: Any) -> Mapping[Role, int]:
    return {"train": params.limit} if isinstance(params.limit, int) else params.limit or {}


def _check_labelled(unlabelled: Sequence[Document]) -> None:
    """AssetError for documents to train or to test on that nobody annotated."""
    wrong = [document for document in unlabelled if document.role != "dev"]
    if wrong:
        places = "; ".join(document.place for document in wrong[:_LISTED])
        msg = (
            f"{places}{'; …' if len(wrong) > _LISTED else ''}: {len(wrong)} documents of {wrong[0].role or 'the data'} "
            "have no labels. Give some (entities, an .ann file, a file of answers by id), remove the documents, or "
            "make them a transfer set: [data.…]. task.without_entities says whether a document may have no entity"
        )
        raise AssetError(msg)


def _check_roles(source: Source, kept: Mapping[Role, Sequence[Example]], roles: Sequence[Role]) -> None:
    """AssetError for a role that was asked for and has no example."""
    for role in roles:
        if not kept.get(role):
            sizes = ", ".join(f"{name} {len(made)}" for name, made in kept.items())
            msg = (
                f"{source.root}: the {role} split is empty (examples: {sizes}). Give a file or folder named '{role}…', "
                "more documents, or other task.dev and task.test: counts of documents, or shares such as 0.1"
            )
            raise AssetError(msg)


# -------------------------------------------------------------------------------------------------------------- facts


def _facts(source: Source, chosen: Mapping[str, Role | None], notes: Notes) -> Facts:
    read = {name for text in chosen for name in (text, f"{text.removesuffix('.txt')}.ann")}
    return {
        "files": notes.files,
        "files_left_out": sorted(set(source.files) - read),
        "reading": dict(sorted(notes.counts.items())),
    }


def _role_fact(examples: Sequence[Example]) -> Facts:
    lengths = np.array([len(example["words"]) for example in examples])
    entities = Counter(kind for example in examples for _, _, kind in example.get("entities", ()))
    return {
        "documents": len({example["doc"] for example in examples}),
        "examples": len(examples),
        "entities": dict(sorted(entities.items())),
        "words": {
            "all": int(lengths.sum()),
            "median": float(np.median(lengths)),
            "p95": float(np.percentile(lengths, 95)),
            "max": int(lengths.max()),
        },
    }


def _overlaps(examples: Sequence[Example]) -> dict[str, int]:
    """Mentions that stand inside a longer one of their document, pairs that cross, pairs of two types in one place."""
    documents: dict[str, list[Entity]] = {}
    for example in examples:
        first = example["begin"]
        documents.setdefault(example["doc"], []).extend((first + a, first + b, kind) for a, b, kind in _gold(example))
    counts = dict.fromkeys(("inside_another", "inside_one_of_its_type", "crossing_pairs", "same_place_pairs"), 0)
    for gold in documents.values():
        ordered = sorted(gold, key=lambda item: (item[0], -item[1], item[2]))
        inside: set[Entity] = set()
        inside_own: set[Entity] = set()
        for at, (begin, end, kind) in enumerate(ordered, start=1):
            for other in takewhile(lambda item, end=end: item[0] < end, islice(ordered, at, None)):  # type: ignore[misc]
                if other[:2] == (begin, end):
                    counts["same_place_pairs"] += 1
                elif other[1] > end:
                    counts["crossing_pairs"] += 1
                else:
                    (inside_own if other[2] == kind else inside).add(other)
        counts["inside_another"] += len(inside | inside_own)
        counts["inside_one_of_its_type"] += len(inside_own)
    return counts


def _fates(examples: Sequence[Example], types: Sequence[str]) -> dict[str, int]:
    """How many mentions have a place in the layers, and why the others have none."""
    counts = Counter(fate for example in examples for fate in _layers(example, types)[1])
    return {KEPT: counts.pop(KEPT, 0), **dict(sorted(counts.items()))}
