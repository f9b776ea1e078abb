"""The named entity task: annotated texts → roles → scores, over all types and over the critical ones."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from harness import AssetError, Example, Facts, Prepared, Role, Source, StageError, choices, did_you_mean
from harness_ner.reading import Notes, Sentence, choose, read_sentences
from harness_ner.scoring import constant_f1, predicted_tags, softmax, to_samples, type_details, weighted_metrics
from harness_ner.splitting import Pool, carve, duplicates, in_order, shared
from harness_ner.tags import spans, types_of
from harness_ner.words import CUTS, Span

_LABELLED: tuple[Role, ...] = ("train", "dev", "test")
_AROUND = 60  # characters of context shown on either side of an entity


class NamedEntities:
    """Entities of types in texts, none inside another (head `token`).

    Read are CoNLL files (.txt, .conll, .bio, .iob) in IOB1, BIO2, BIOES or BILOU, legal or not; brat folders (.ann
    beside .txt); .jsonl and .parquet with lists of words and tags, or .jsonl with texts and entities by characters.
    Whatever the scheme, tags become BIO2, and facts say what was changed. Texts are cut into words as `task.cut` says;
    an entity that cuts a word is widened to it; of entities that share a word the longest is kept.

    Files, `task.files` first, get roles by what their names, or their folders' names, begin with: train; dev, val,
    valid, validation; test. They are taken as they are: a sentence of test that train has too stays in both, and facts
    count them. Roles that the files do not give are cut from train, or from the one file without a role: in the order
    of a hash of the words, equal sentences on one side. For the role `transfer` tags are not read, and a .txt file
    without a -DOCSTART- line is one text a line.

    Examples are {"id", "text", "words": [[begin, end], …] in characters of the text, "tags": BIO2}, the latter only
    where there are some.
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
        sentences, notes = read_sentences(source, chosen, self.params, labelled=not transfer)
        labels = _labels(sentences, self.params.tags or ())
        if not transfer:
            self._check_types(source, labels)
        pools, split = (
            ({"transfer": sentences}, {}) if transfer else _pools(sentences, set(chosen.values()), self.params)
        )
        kept = _limited(pools, self.params)
        _check_roles(source, kept, roles)
        facts = _facts(source, chosen, sentences, notes) | split | _role_facts(pools, kept, self.params)
        return Prepared({role: [item.example() for item in kept[role]] for role in roles}, labels, facts)

    def input(self, example: Example) -> list[str]:
        """The words; those of a text that was not cut yet are cut here."""
        return [example["text"][begin:end] for begin, end in self._words(example)]

    def target(self, example: Example, labels: tuple[str, ...]) -> list[int] | None:
        """The class id of each word, None for an unlabelled example. StageError for a tag that the model lacks."""
        tags = example.get("tags")
        if tags is None:
            return None
        unknown = set(tags) - set(labels)
        if unknown:
            msg = f"example '{example['id']}' has the tags {choices(unknown)}, the model knows {list(labels)}"
            raise StageError(msg)
        return [labels.index(tag) for tag in tags]

    # -------------------------------------------------------------------------------------------------------- scores

    def samples(
        self, examples: Sequence[Example], outputs: Sequence[np.ndarray], labels: tuple[str, ...]
    ) -> np.ndarray:
        """Examples and logits [words, C] of each → float64 [n, T × (4 + T)], see `harness_ner.scoring`."""
        self._critical_types(labels)
        missing = [example["id"] for example in examples if self.target(example, labels) is None]
        if missing:
            msg = f"{len(missing)} of {len(examples)} examples have no tags ('{missing[0]}', …): they cannot be scored"
            raise StageError(msg)
        gold = [example["tags"] for example in examples]
        return to_samples(gold, self._said(examples, outputs, labels), types_of(labels))

    def metrics(self, samples: np.ndarray, weights: np.ndarray, labels: tuple[str, ...]) -> dict[str, np.ndarray]:
        """Samples [n, k], weights [r, n] → every metric [r], in [0, 1]."""
        return weighted_metrics(samples, weights, types_of(labels), self._critical_types(labels))

    def details(self, samples: np.ndarray, labels: tuple[str, ...]) -> Facts:
        """Scores per type, and which types are taken for which."""
        return type_details(samples, types_of(labels), self._critical_types(labels))

    def chance(self, examples: Sequence[Example], labels: tuple[str, ...]) -> float:
        """The best F1 of calling every word an entity of one and the same type."""
        return constant_f1([example["tags"] for example in examples])

    # ---------------------------------------------------------------------------------------------- critical entities

    def critical(self, labels: tuple[str, ...]) -> tuple[int, ...]:
        """For each class the number of its type among the critical ones, else -1. StageError for an unknown type."""
        types = self._critical_types(labels)
        return tuple(types.index(label[2:]) if label[2:] in types else -1 for label in labels)

    def items(self, examples: Sequence[Example]) -> list[Facts]:
        """The critical entities: {"example", "start", "end", "type", "text", "context"}, the places in characters."""
        return [
            _item(example, kind, first, last)
            for example in examples
            for kind, first, last in self._critical_spans(example["tags"])
        ]

    def found(self, examples: Sequence[Example], outputs: Sequence[np.ndarray], labels: tuple[str, ...]) -> np.ndarray:
        """Which of `items` were found with exact boundaries and type, bool [I]."""
        said = map(spans, self._said(examples, outputs, labels))
        return np.array(
            [
                item in predicted
                for example, predicted in zip(examples, map(set, said), strict=True)
                for item in self._critical_spans(example["tags"])
            ],
            dtype=bool,
        )

    def answer(self, example: Example, output: np.ndarray, labels: tuple[str, ...]) -> Facts:
        """{"text", "entities": [{"start", "end", "type", "text", "score", "critical"}]}, places in characters.

        `score` is the mean over the entity's words of the probability of its type, B- and I- together.
        """
        text, words = example["text"], self._words(example)
        critical = self._critical_types(labels)
        (tags,) = predicted_tags([output], [len(words)], labels)
        probabilities = softmax(output) if words else output  # [words, C]
        entities = []
        for kind, first, last in spans(tags):
            of_type = [index for index, label in enumerate(labels) if label[2:] == kind]
            start, end = words[first][0], words[last - 1][1]
            entities.append(
                {
                    "start": start,
                    "end": end,
                    "type": kind,
                    "text": text[start:end],
                    "score": float(probabilities[first:last, of_type].sum(axis=1).mean()),
                    "critical": kind in critical,
                }
            )
        return {"text": text, "entities": entities}

    def _words(self, example: Example) -> Sequence[Span]:
        words: Sequence[Span] | None = example.get("words")
        return CUTS[self.params.cut](example["text"]) if words is None else words

    def _said(
        self, examples: Sequence[Example], outputs: Sequence[np.ndarray], labels: tuple[str, ...]
    ) -> list[list[str]]:
        return predicted_tags(outputs, [len(self._words(example)) for example in examples], labels)

    def _critical_types(self, labels: tuple[str, ...]) -> tuple[str, ...]:
        types = types_of(labels)
        unknown = _unknown_types(self.params.critical, types)
        if unknown:
            raise StageError(unknown)
        return tuple(self.params.critical) or types

    def _critical_spans(self, tags: Sequence[str]) -> list[tuple[str, int, int]]:
        return [span for span in spans(tags) if not self.params.critical or span[0] in self.params.critical]

    def _check_types(self, source: Source, labels: tuple[str, ...]) -> None:
        """AssetError where no word has a type, or a critical one is not in the data."""
        if len(labels) == 1:
            msg = f"{source.root}: no word belongs to an entity. Set task.tag_column, or give annotated files"
            raise AssetError(msg)
        unknown = _unknown_types(self.params.critical, types_of(labels))
        if unknown:
            msg = f"{source.root}: {unknown}"
            raise AssetError(msg)


def _unknown_types(critical: Sequence[str], types: Sequence[str]) -> str | None:
    """What is wrong with the critical types, if anything is."""
    for name in critical:
        if name not in types:
            hint = did_you_mean(name, types)
            return f"task.critical: the data has no type '{name}'.{hint} Its types: {choices(types)}"
    return None


def _item(example: Example, kind: str, first: int, last: int) -> Facts:
    text = example["text"]
    start, end = example["words"][first][0], example["words"][last - 1][1]
    return {
        "example": example["id"],
        "start": start,
        "end": end,
        "type": kind,
        "text": text[start:end],
        "context": text[max(0, start - _AROUND) : end + _AROUND],
    }


# ------------------------------------------------------------------------------------------------------------- roles


def _labels(sentences: Sequence[Sentence], named: Sequence[str]) -> tuple[str, ...]:
    """O, then B- and I- of every type that occurs: in the order of the named tags, then by name."""
    types = {kind for sentence in sentences for kind in types_of(sentence.tags or ())}
    order = list(types_of(named))
    ordered = sorted(types, key=lambda kind: (order.index(kind) if kind in order else len(order), kind))
    return ("O", *(f"{prefix}-{kind}" for kind in ordered for prefix in "BI")) if types else ("O",)


def _pools(sentences: Sequence[Sentence], given: set[Role | None], params: Any) -> tuple[dict[Role, Pool], Facts]:
    """The sentences by role, and what cutting them took. `given`: the files' roles."""
    pools: dict[Role, Pool] = {role: [s for s in sentences if (s.role or "train") == role] for role in _LABELLED}
    cut: Facts = {}
    whole = len(pools["train"])
    cuts: tuple[tuple[Role, int | float], ...] = (("test", params.test), ("dev", params.dev))
    for role, asked in cuts:
        if role not in given:
            size = asked if isinstance(asked, int) else round(asked * whole)
            pools[role], pools["train"] = carve(pools["train"], size, params.split_seed)
            cut[role] = {"asked": asked, "got": len(pools[role])}
    also = {role: shared(pools[role], pools["train"]) for role in _LABELLED if role != "train"}
    return pools, {
        "cut_from_train": cut,
        "also_in_train": also,
        "test_also_in_dev": shared(pools["test"], pools["dev"]),
    }


def _limits(params: Any) -> Mapping[str, int]:
    return {"train": params.limit} if isinstance(params.limit, int) else params.limit or {}


def _limited(pools: Mapping[Role, Pool], params: Any) -> dict[Role, Pool]:
    """Each pool in the order of its hashes, cut at its limit."""
    limits = _limits(params)
    return {role: in_order(pool, params.split_seed)[: limits.get(role)] for role, pool in pools.items()}


def _check_roles(source: Source, kept: Mapping[Role, Pool], roles: Sequence[Role]) -> None:
    """AssetError for a role that was asked for and has no example."""
    for role in roles:
        if not kept.get(role):
            sizes = ", ".join(f"{name} {len(pool)}" for name, pool in kept.items())
            msg = (
                f"{source.root}: the {role} split is empty ({sizes}). Give a file named '{role}…' with at least one "
                "sentence, more data, or other task.dev and task.test: counts, or shares such as 0.1"
            )
            raise AssetError(msg)


# ------------------------------------------------------------------------------------------------------------- facts


def _facts(source: Source, chosen: Mapping[str, Role | None], sentences: Sequence[Sentence], notes: Notes) -> Facts:
    """What was read and what was repaired."""
    read = {name for text in chosen for name in (text, f"{text.removesuffix('.txt')}.ann")}
    return {
        "files": notes.files,
        "files_left_out": sorted(set(source.files) - read),
        "reading": dict(sorted(notes.counts.items())),
        "mentions": dict(sorted(notes.mentions.items())),
        "first_illegal": notes.illegal,
        "duplicates": duplicates(sentences),
    }


def _role_facts(pools: Mapping[Role, Pool], kept: Mapping[Role, Pool], params: Any) -> Facts:
    """What became of it: sizes, entities and lengths by role; slices larger than the data are said."""
    short = {
        role: {"asked": limit, "kept": len(pool)}
        for role, pool in pools.items()
        if (limit := _limits(params).get(role, 0)) > len(pool)
    }
    return {
        "roles": {role: _role_fact(pool) for role, pool in kept.items() if pool},
        "limit_larger_than_data": short,
    }


def _role_fact(pool: Pool) -> Facts:
    lengths = np.array([len(sentence.words) for sentence in pool])
    entities = Counter(kind for sentence in pool for kind, _, _ in spans(sentence.tags or ()))
    return {
        "examples": len(pool),
        "duplicates": duplicates(pool),
        "entities": dict(sorted(entities.items())),
        "words": {
            "all": int(lengths.sum()),
            "median": float(np.median(lengths)),
            "p95": float(np.percentile(lengths, 95)),
            "max": int(lengths.max()),
        },
    }
