"""The question answering task: texts and questions that a span of them answers → roles → scores."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from harness import AssetError, Example, Facts, Prepared, Role, Source, SpanOutput, StageError, choose_files
from harness_qa.decoding import answer_text, best_span, read_answer
from harness_qa.questions import SUFFIXES, Notes, Question, read_file, read_questions
from harness_qa.scoring import f1_and_em, sample, slices, squad, weighted_means
from harness_qa.splitting import Pool, carve, duplicates, in_order, published, without

LABELS = ("start", "end")
_LABELLED: tuple[Role, ...] = ("train", "dev", "test")
_CHANCE_EXAMPLES = 500
_CHANCE_DRAWS = 4
_FIRST_WORDS = 10


class QuestionAnswering:
    """Questions that a span of their context answers (head `span`).

    Read are SQuAD v1.1 files (.json) and tables (.parquet, .jsonl, .csv, .tsv) with the columns context, question,
    answers, and id and title where there are some. Files, `task.files` first, get roles by what their names begin
    with: train; dev, val, valid, validation; test. With `test_from = "validation"` the validation file is the test
    split, and the test file is left out. Roles that the files do not give are cut from train, or from the one file
    without a role: whole articles where titles differ, else whole contexts. A context of test is in no other split, one
    of dev not in train.

    Examples are {"id", "title", "context", "question", "answers": [{"text", "begin"}]}. The context is exactly as it
    was read, since offsets count every character of it. `begin` is where the answer, without the spaces at its edges,
    begins; an offset that is wrong is set to the nearest occurrence, an answer that does not occur has None. Such a
    question is left out of train and dev (unless nothing there has one) and kept in test, whose scores compare texts.
    """

    def __init__(self, params: Any) -> None:
        self.params = params

    def prepare(self, source: Source, roles: Sequence[Role]) -> Prepared:
        """Read the source. AssetError with place, value and remedy where it is not what it should be."""
        params = self.params
        transfer = "transfer" in roles
        if transfer and len(roles) > 1:
            msg = f"{source.origin}: 'transfer' was asked for beside {list(roles)}. Give it a [data.…] of its own"
            raise AssetError(msg)
        chosen = published(source, choose_files(source, params.files, SUFFIXES, transfer), params.test_from)
        tables = {name: read_file(source.root / name, params.delimiter) for name in chosen}
        notes = Notes()
        questions = read_questions(tables, chosen, notes)
        facts: Facts = {
            "files": {
                name: {"rows": len(table.rows), "role": chosen[name] or "split"} for name, table in tables.items()
            },
            "files_left_out": sorted(set(source.files) - set(chosen)),
            "reading": dict(sorted(notes.counts.items())),
            "first_ids": notes.ids,
            "duplicate_questions": duplicates(questions),
        }
        pools, split = ({"transfer": questions}, {}) if transfer else _pools(questions, set(chosen.values()), params)
        kept = _limited(pools, params)
        _check_roles(source, kept, roles)
        facts |= split | _role_facts(pools, kept, params)
        examples = {role: [item.example(answers=not transfer) for item in kept[role]] for role in roles}
        return Prepared(examples, LABELS, facts)

    def input(self, example: Example) -> tuple[str, str]:
        """(question, context)."""
        return example["question"], example["context"]

    def target(self, example: Example, labels: tuple[str, ...]) -> tuple[int, int] | None:
        """(begin, end) in characters of the first answer that stands in the context, without edge spaces, or None."""
        placed = ((answer["begin"], answer["text"].strip()) for answer in example.get("answers", ()))
        return next(((begin, begin + len(text)) for begin, text in placed if begin is not None), None)

    def samples(
        self, examples: Sequence[Example], outputs: Sequence[SpanOutput], labels: tuple[str, ...]
    ) -> np.ndarray:
        """Float64 [n, 7]: f1, em, f1_unicode, em_unicode, question word, words of the gold answer, context characters.

        StageError where a question has no gold answer or an output is not finite.
        """
        _check(examples, outputs)
        rows = [_sample(example, output) for example, output in zip(examples, outputs, strict=True)]
        return np.array(rows, dtype=np.float64).reshape(-1, 7)

    def metrics(self, samples: np.ndarray, weights: np.ndarray, labels: tuple[str, ...]) -> dict[str, np.ndarray]:
        """Samples [n, 7], weights [r, n] → weighted means [r] in [0, 1]."""
        return weighted_means(samples, weights)

    def details(self, samples: np.ndarray, labels: tuple[str, ...]) -> Facts:
        """{"slices": {"question word" | "answer length" | "context length": {value: {"examples", "em", "f1"}}}}."""
        return {"slices": slices(samples)}

    def chance(self, examples: Sequence[Example], labels: tuple[str, ...]) -> float | None:
        """Mean F1 of as many words as the gold answer has, from a random place of the context; None without golds.

        _CHANCE_DRAWS places each for the first _CHANCE_EXAMPLES questions, drawn by hash: the same in every process.
        """
        labelled = [example for example in examples[:_CHANCE_EXAMPLES] if example.get("answers")]
        drawn = [_guess(example, draw) for example in labelled for draw in range(_CHANCE_DRAWS)]
        return float(np.mean(drawn)) if drawn else None

    def answer(self, example: Example, output: SpanOutput, labels: tuple[str, ...]) -> Facts:
        """{"answer", "start", "end", "score", "alternatives"}; an empty context gives '' with score 0."""
        return read_answer(example["context"], output)


def _golds(example: Example) -> list[str]:
    return [answer["text"] for answer in example.get("answers", ())]


def _sample(example: Example, output: SpanOutput) -> list[float]:
    said = answer_text(example["context"], best_span(output))
    return sample(said, _golds(example), example["question"], example["context"])


def _check(examples: Sequence[Example], outputs: Sequence[SpanOutput]) -> None:
    missing = [example["id"] for example in examples if not _golds(example)]
    if missing:
        msg = f"{len(missing)} of {len(examples)} questions have no answer ('{missing[0]}', …): they cannot be scored"
        raise StageError(msg)
    broken = sum(not np.isfinite(output.logits).all() for output in outputs)
    if broken:
        msg = f"{broken} of {len(outputs)} outputs are not finite: the model diverged or its artifact is damaged"
        raise StageError(msg)


def _guess(example: Example, draw: int) -> float:
    golds = _golds(example)
    words = example["context"].split()
    length = len(golds[0].split())
    number = int.from_bytes(hashlib.sha256(f"{example['id']}\n{draw}".encode()).digest()[:8])
    begin = number % max(1, len(words) - length + 1)
    return f1_and_em(" ".join(words[begin : begin + length]), golds, squad)[0]


# ------------------------------------------------------------------------------------------------------------- roles


def _pools(questions: Sequence[Question], given: set[Role | None], params: Any) -> tuple[dict[Role, Pool], Facts]:
    """The questions by role, with no context in two of them, and what that took. `given`: the files' roles."""
    parts = {role: [item for item in questions if (item.role or "train") == role] for role in _LABELLED}
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
    usable: dict[Role, Pool] = {"train": _usable(pools["train"]), "dev": _usable(pools["dev"])}
    facts["left_out_without_answer_in_context"] = {role: len(pools[role]) - len(kept) for role, kept in usable.items()}
    return pools | usable, facts


def _usable(pool: Pool) -> Pool:
    """The questions whose answer stands in the context; all where none has one: to be answered."""
    return [item for item in pool if item.target is not None] or pool


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
                f"{source.root}: the {role} split is empty ({sizes}). Splits are cut by whole contexts and articles, "
                f"so that three of them are needed at least: give a file named '{role}…' with contexts of its own, "
                "more data, or smaller task.dev and task.test"
            )
            raise AssetError(msg)


# ------------------------------------------------------------------------------------------------------------- facts


def _role_facts(pools: Mapping[Role, Pool], kept: Mapping[Role, Pool], params: Any) -> Facts:
    """What became of it: sizes and lengths by role; slices larger than the data are said."""
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
    """Lengths of contexts (each once), questions and gold answers; the commonest first words of questions."""
    texts = {
        "context": list(dict.fromkeys(item.context for item in pool)),
        "question": [item.question for item in pool],
        "answer": [answer.text for item in pool for answer in item.answers],
    }
    first = Counter(item.question.split()[0].lower() for item in pool if item.question.strip())
    return {
        "examples": len(pool),
        "contexts": len(texts["context"]),
        "titles": len({item.title for item in pool}),
        "characters": {name: _lengths([len(text) for text in found]) for name, found in texts.items() if found},
        "words": {name: _lengths([len(text.split()) for text in found]) for name, found in texts.items() if found},
        "first_words": dict(sorted(first.items(), key=lambda item: (-item[1], item[0]))[:_FIRST_WORDS]),
    }


def _lengths(lengths: Sequence[int]) -> Facts:
    return {"mean": round(float(np.mean(lengths)), 2), "p95": float(np.percentile(lengths, 95)), "max": max(lengths)}
