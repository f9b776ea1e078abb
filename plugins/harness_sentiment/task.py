"""The sentiment task: any table of texts and classes → roles → scores."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from harness import (
    AHEAD,
    TABLE_SUFFIXES,
    AssetError,
    Example,
    Facts,
    Prepared,
    Role,
    Source,
    StageError,
    Table,
    choose_files,
    read_table,
)
from harness_sentiment.preparing import Steps, count_words, prepare, steps_of
from harness_sentiment.reviews import Review, class_names, read_reviews
from harness_sentiment.scoring import class_details, softmax, to_samples, weighted_metrics
from harness_sentiment.splitting import Pool, carve, duplicate_facts, stratified_order, without

Progress = Callable[[int, int], None]  # done, total
_LABELLED: tuple[Role, ...] = ("train", "dev", "test")


class Sentiment:
    """Texts with one class each (head `sequence`).

    Which files are read, `task.files` (names or globs) first, else every .csv, .tsv, .jsonl and .parquet file:

    1. A file's role is what its name (or its folder's name) begins with: train; dev, val, valid, validation; test.
    2. Where there is a train file, the files with roles are taken as they are and the others are left out.
    3. Where there is none, the one file without a role is the data, and files named dev or test beside it are left
       out: they are taken to be parts or copies of it. Two such files are an error unless `task.files` names them;
       then they are joined.
    4. Facts say which files were read and which were left out.

    Roles that the files do not give are cut from train (or from the one table): stratified by class, in the order of
    a hash of (`split_seed`, normalised text). Duplicates after normalisation stand on one side: the cut moves
    them together, and where files give the roles, a text that is in test is removed from train and dev, one in dev
    from train. For the role `transfer`, texts without labels come from .txt (one a line), or from any of the above;
    files named dev or test are used only when `task.files` names them. With `transfer = "train"` they are those of the
    train role of a labelled source, whatever `limit` leaves of it for training: few labels, many texts.

    Examples are {"id", "text", "label"} with the text as it was read; a transfer example has no label. Where params ask
    for preparation (see `preparing`), they also have {"prepared": {steps: text}}, which models read instead. Splits and
    slices are those of the texts as they were read, so that rows with and without preparation are about the same ones.
    """

    def __init__(self, params: Any) -> None:
        self.params = params
        self.steps = steps_of(params)

    def prepare(self, source: Source, roles: Sequence[Role], progress: Progress = lambda done, total: None) -> Prepared:
        """Read the source. AssetError with place, value and remedy where it is not what it should be."""
        params = self.params
        transfer = "transfer" in roles
        if transfer and len(roles) > 1:
            msg = f"{source.origin}: 'transfer' was asked for beside {list(roles)}. Give it a [data.…] of its own"
            raise AssetError(msg)
        unlabelled = transfer and params.transfer == "all"
        chosen = choose_files(source, params.files, _suffixes(unlabelled), unlabelled)
        tables = {name: read_table(source.root / name, params.delimiter) for name in chosen}
        reviews, counts = read_reviews(tables, chosen, params, labelled=not unlabelled)
        labels = class_names(reviews)
        _check_classes(source, reviews, labels, unlabelled)
        pools, split = ({"transfer": reviews}, {}) if unlabelled else _pools(reviews, set(chosen.values()), params)
        if transfer and not unlabelled:
            labels, pools = (), {"transfer": [replace(review, label=None) for review in pools["train"]]}
        kept = _limited(pools, params)
        _check_roles(source, kept, roles)
        facts = _facts(source, tables, chosen, reviews, counts) | split | _role_facts(pools, kept, params)
        examples = {role: [_example(review) for review in kept[role]] for role in roles}
        if self.steps:
            facts["preparation"] = _prepare_all(examples, self.steps, progress)
        return Prepared(examples, labels, facts)

    def input(self, example: Example) -> str:
        """The text, after the steps that the params ask for."""
        text = str(example["text"])
        if not self.steps:
            return text
        known: str | None = example.get(AHEAD, {}).get(str(self.steps))
        return prepare(text, self.steps).text if known is None else known

    def target(self, example: Example, labels: tuple[str, ...]) -> int | None:
        """The class id, or None where the example has no label. StageError for a class that the model does not know."""
        name = example.get("label")
        if name is None:
            return None
        if name not in labels:
            msg = f"example '{example['id']}' is of class '{name}', the model knows {list(labels)}"
            raise StageError(msg)
        return labels.index(name)

    def samples(
        self, examples: Sequence[Example], outputs: Sequence[np.ndarray], labels: tuple[str, ...]
    ) -> np.ndarray:
        """Examples and the logits [C] of each → float64 [n, 3]: gold id, predicted id, loss."""
        return to_samples([self.target(example, labels) for example in examples], outputs, len(labels))

    def metrics(self, samples: np.ndarray, weights: np.ndarray, labels: tuple[str, ...]) -> dict[str, np.ndarray]:
        """Samples [n, 3], weights [r, n] → accuracy [r] and macro_f1 [r], each in [0, 1], and loss [r] in nats."""
        return weighted_metrics(samples, weights, len(labels))

    def details(self, samples: np.ndarray, labels: tuple[str, ...]) -> Facts:
        """Class order, per-class scores and the confusion matrix (rows: gold)."""
        return class_details(samples, labels)

    def chance(self, examples: Sequence[Example], labels: tuple[str, ...]) -> float:
        """The accuracy of always answering with the commonest class."""
        counts = Counter(str(example["label"]) for example in examples)
        return max(counts.values()) / len(examples)

    def answer(self, example: Example, output: np.ndarray, labels: tuple[str, ...]) -> Facts:
        """Logits [C] → the class and the probability of each."""
        scores = softmax(np.asarray(output).reshape(-1))
        return {
            "label": labels[int(scores.argmax())],
            "scores": {name: float(score) for name, score in zip(labels, scores, strict=True)},
        }


def _suffixes(transfer: bool) -> set[str]:
    """Files with a known suffix; plain text only as a transfer set, since it has no labels."""
    return set(TABLE_SUFFIXES) if transfer else set(TABLE_SUFFIXES) - {".txt"}


def _example(review: Review) -> Example:
    example: Example = {"id": review.id, "text": review.text}
    return example if review.label is None else example | {"label": review.label}


def _prepare_all(examples: Mapping[Role, Sequence[Example]], steps: Steps, progress: Progress) -> Facts:
    """Give every example its text after the steps. Facts: words by role before and after, and what it took."""
    begun, done, total, name = time.perf_counter(), 0, sum(map(len, examples.values())), str(steps)
    words: dict[Role, Facts] = {}
    spared = 0
    for role, members in examples.items():
        before = after = 0
        for example in members:
            said = prepare(example["text"], steps)
            example[AHEAD] = {name: said.text}
            before, after, spared = before + count_words(example["text"]), after + said.words, spared + said.spared
            done += 1
            progress(done, total)
        words[role] = {"before": before, "after": after}
    seconds = round(time.perf_counter() - begun, 3)
    return {"steps": name, "words": words, "kept_their_stop_words": spared, "seconds": seconds}


def _pools(reviews: Sequence[Review], given: set[Role | None], params: Any) -> tuple[dict[Role, Pool], Facts]:
    """The reviews by role, with no normalised text in two of them, and what that took. `given`: the files' roles."""
    parts = {role: [review for review in reviews if (review.role or "train") == role] for role in _LABELLED}
    pools: dict[Role, Pool] = {"test": parts["test"], "dev": without(parts["dev"], parts["test"])}
    pools["train"] = without(parts["train"], pools["test"], pools["dev"])
    facts: Facts = {
        "removed_because_in_another_split": {role: len(parts[role]) - len(pools[role]) for role in ("train", "dev")},
        "cut_from_train": {},
    }
    whole = len(pools["train"])
    cuts: tuple[tuple[Role, int | float], ...] = (("test", params.test), ("dev", params.dev))
    for role, asked in cuts:
        if role not in given:
            size = min(whole, asked if isinstance(asked, int) else round(asked * whole))
            pools[role], pools["train"] = carve(pools["train"], size, params.split_seed)
            facts["cut_from_train"][role] = {"asked": asked, "got": len(pools[role])}
    return pools, facts


def _limits(params: Any) -> Mapping[str, int]:
    return {"train": params.limit} if isinstance(params.limit, int) else params.limit or {}


def _limited(pools: Mapping[Role, Pool], params: Any) -> dict[Role, Pool]:
    """Each pool in its stratified order, cut at its limit."""
    limits = _limits(params)
    return {role: stratified_order(pool, params.split_seed)[: limits.get(role)] for role, pool in pools.items()}


# ------------------------------------------------------------------------------------------------------------ checks


def _check_classes(source: Source, reviews: Sequence[Review], labels: tuple[str, ...], transfer: bool) -> None:
    if not reviews:
        msg = f"{source.root}: no text is left: every row is empty or of a dropped class. See task.text and task.labels"
        raise AssetError(msg)
    if not transfer and len(labels) < 2:
        msg = f"{source.root}: every example is of class '{labels[0]}'. Two classes are needed: see task.labels"
        raise AssetError(msg)


def _check_roles(source: Source, kept: Mapping[Role, Pool], roles: Sequence[Role]) -> None:
    """AssetError for a role that was asked for and has no example."""
    for role in roles:
        if not kept.get(role):
            sizes = ", ".join(f"{name} {len(pool)}" for name, pool in kept.items())
            msg = (
                f"{source.root}: the {role} split is empty ({sizes}). Give a file named '{role}…' whose texts are in "
                "no other split, or set task.dev and task.test to smaller counts or to shares such as 0.1"
            )
            raise AssetError(msg)


# ------------------------------------------------------------------------------------------------------------- facts


def _facts(
    source: Source,
    tables: Mapping[str, Table],
    chosen: Mapping[str, Role | None],
    reviews: Sequence[Review],
    counts: Counter[str],
) -> Facts:
    """What was read: files by name, what was dropped, duplicates."""
    return {
        "files": {name: {"rows": len(table.rows), "role": chosen[name] or "split"} for name, table in tables.items()},
        "files_left_out": sorted(set(source.files) - set(chosen)),
        "empty_texts": counts["empty_text"],
        "dropped_class": counts["dropped_class"],
        "repaired_surrogates": counts["repaired_surrogates"],
        "duplicates": duplicate_facts(reviews),
    }


def _role_facts(pools: Mapping[Role, Pool], kept: Mapping[Role, Pool], params: Any) -> Facts:
    """What became of it: sizes, classes and lengths by role; slices larger than the data are said."""
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
    lengths = np.array([len(review.text) for review in pool])
    return {
        "examples": len(pool),
        "classes": dict(sorted(Counter(review.label for review in pool if review.label is not None).items())),
        "characters": {
            "median": float(np.median(lengths)),
            "p95": float(np.percentile(lengths, 95)),
            "max": int(lengths.max()),
        },
    }
