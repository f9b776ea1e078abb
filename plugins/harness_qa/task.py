"""The question answering tasks: questions about texts → spans of the texts → scores."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from harness import (
    TABLE_SUFFIXES,
    AssetError,
    Example,
    Facts,
    Prepared,
    Role,
    Source,
    SpanOutput,
    StageError,
    choose_files,
    role_of,
)
from harness_qa.decoding import answer_text, best_span, read_answer
from harness_qa.questions import NOT_FOUND, Question, Reading, read_questions
from harness_qa.scoring import f1_and_em, sample, slices, squad, weighted_means
from harness_qa.splitting import Pool, apart, carve, ordered

LABELS = ("start", "end")
_SUFFIXES = (".json", *(suffix for suffix in TABLE_SUFFIXES if suffix != ".txt"))
_LISTED = 10  # ids in facts
_DRAWN, _DRAWS = 500, 4  # examples that chance is judged by, and guesses about each


class QuestionAnswering:
    """Questions with a context each; the answer is a span of it (head `span`).

    Which files are read follows `harness.choose_files`: names that begin with train, dev or validation, and test; else
    one file, which is split by articles where titles tell them, by contexts otherwise. `test_from = "validation"`
    makes the validation files the test split and leaves files named test out. Roles that the files do not give are cut
    from train; a context that is in test is in no other split.

    Examples are {"id", "title", "context", "question", "answers": [{"text", "begin"}]} with texts as they were read;
    `begin` is -1 where the text does not stand in the context. Questions without a usable answer are left out of train
    and of dev; in test they are asked, and scored by their text as the official script does.
    """

    def prepare(self, source: Source, params: Any, roles: Sequence[Role]) -> Prepared:
        """Read the source. AssetError with place, value and remedy where it is not what it should be."""
        chosen, left_out = _chosen(source, params, transfer="transfer" in roles)
        reading = read_questions(source.root, chosen, params.delimiter)
        facts = _facts(source, chosen, left_out, reading)
        if "transfer" in roles:
            pools: dict[Role, Pool] = {"transfer": ordered(reading.questions, params.split_seed)}
        else:
            pools, split = _pools(reading.questions, set(chosen.values()), params)
            facts |= split
        kept = {role: pool[: _limits(params).get(role)] for role, pool in pools.items()}
        _check_roles(source, kept, roles)
        facts |= {"roles": {role: _role_fact(kept[role]) for role in roles}}
        return Prepared({role: [_example(question) for question in kept[role]] for role in roles}, LABELS, facts)

    def input(self, example: Example) -> tuple[str, str]:
        """(question, context)."""
        return str(example["question"]), str(example["context"])

    def target(self, example: Example, labels: tuple[str, ...]) -> tuple[int, int] | None:
        """(begin, end) of the first answer that stands in the context, without spaces at its edges."""
        for answer in example.get("answers", []):
            text, begin = str(answer["text"]), int(answer["begin"])
            if begin != NOT_FOUND and text.strip():
                begin += len(text) - len(text.lstrip())
                return begin, begin + len(text.strip())
        return None

    def samples(
        self, examples: Sequence[Example], outputs: Sequence[SpanOutput], labels: tuple[str, ...]
    ) -> np.ndarray:
        """Float64 [n, 7]: F1, EM, the same by Unicode, question word, words of the answer, characters of the context.

        StageError where a question has no answer to be scored by.
        """
        missing = sum(not example.get("answers") for example in examples)
        if missing:
            msg = f"{missing} of {len(examples)} questions have no answers: they can be answered, not scored"
            raise StageError(msg)
        rows = [_sample(example, output) for example, output in zip(examples, outputs, strict=True)]
        return np.array(rows, dtype=np.float64).reshape(-1, 7)

    def metrics(self, samples: np.ndarray, weights: np.ndarray, labels: tuple[str, ...]) -> dict[str, np.ndarray]:
        """Samples [n, 7], weights [r, n] → f1, em, f1_unicode, em_unicode, each [r] in [0, 1]."""
        return weighted_means(samples, weights)

    def details(self, samples: np.ndarray, labels: tuple[str, ...]) -> Facts:
        """EM and F1 by question word, length of the answer and length of the context."""
        return {"slices": slices(samples)}

    def chance(self, examples: Sequence[Example], labels: tuple[str, ...]) -> float | None:
        """F1 of as many words as the answer has, from any place of the context; None where nothing has an answer."""
        asked = [example for example in examples if example.get("answers")][:_DRAWN]
        scores = [score for example in asked for score in _guesses(example)]
        return float(np.mean(scores)) if scores else None

    def answer(self, example: Example, output: SpanOutput, labels: tuple[str, ...]) -> Facts:
        """{"answer", "start", "end", "score", "alternatives"}, characters of the context and a probability."""
        return read_answer(str(example["context"]), output)


def _sample(example: Example, output: SpanOutput) -> list[float]:
    said = answer_text(str(example["context"]), best_span(output))
    golds = [str(answer["text"]) for answer in example["answers"]]
    return sample(said, golds, str(example["question"]), str(example["context"]))


def _guesses(example: Example) -> list[float]:
    """F1 of a few stretches of words, drawn by a hash of the example's id."""
    words = str(example["context"]).split()
    golds = [str(answer["text"]) for answer in example["answers"]]
    size = max(1, len(golds[0].split()))
    places = max(1, len(words) - size + 1)
    draws = hashlib.sha256(str(example["id"]).encode("utf-8", "surrogatepass")).digest()
    begins = [int.from_bytes(draws[4 * n : 4 * n + 4]) % places for n in range(_DRAWS)]
    return [f1_and_em(" ".join(words[begin : begin + size]), golds, squad)[0] for begin in begins]


def _example(question: Question) -> Example:
    answers = [{"text": answer.text, "begin": answer.begin} for answer in question.answers]
    texts = {"title": question.title, "context": question.context, "question": question.question}
    return {"id": question.id, **texts, "answers": answers}


# ------------------------------------------------------------------------------------------------------ files and roles


def _chosen(source: Source, params: Any, transfer: bool) -> tuple[dict[str, Role | None], list[str]]:
    """Files with their roles, and the files that are left out."""
    if params.test_from == "test" or transfer:
        chosen = choose_files(source, params.files, _SUFFIXES, transfer)
        return chosen, sorted(set(source.files) - set(chosen))
    named = [name for name in source.files if role_of(name) != "test"] or list(source.files)
    chosen = choose_files(Source(source.origin, source.root, tuple(named)), params.files, _SUFFIXES, transfer)
    asked: dict[str, Role | None] = {name: "test" if role == "dev" else role for name, role in chosen.items()}
    return asked, sorted(set(source.files) - set(asked))


def _pools(questions: Sequence[Question], given: set[Role | None], params: Any) -> tuple[dict[Role, Pool], Facts]:
    """The questions by role, no context in two of them, and what that took. `given`: the files' roles."""
    named: dict[Role, Pool] = {
        role: ordered([q for q in questions if (q.role or "train") == role], params.split_seed)
        for role in ("train", "dev", "test")
    }
    pools = apart(named)
    removed = {role: len(named[role]) - len(pools[role]) for role in ("train", "dev")}
    cut: dict[str, Any] = {}
    whole = len(pools["train"])
    cuts: tuple[tuple[Role, int | float], ...] = (("test", params.test), ("dev", params.dev))
    for role, asked in cuts:
        if role not in given:
            size = asked if isinstance(asked, int) else max(1, round(asked * whole))
            pools[role], pools["train"] = carve(pools["train"], size, params.split_seed)
            cut[role] = {"asked": asked, "got": len(pools[role])}
    usable: dict[Role, Pool] = {role: [q for q in pools[role] if q.usable] for role in ("train", "dev")}
    unusable = {role: len(pools[role]) - len(pool) for role, pool in usable.items()}
    facts = {"removed_because_in_another_split": removed, "cut_from_train": cut, "left_out_without_answer": unusable}
    return {**pools, **usable}, facts


def _limits(params: Any) -> Mapping[str, int]:
    return {"train": params.limit} if isinstance(params.limit, int) else params.limit or {}


def _check_roles(source: Source, kept: Mapping[Role, Pool], roles: Sequence[Role]) -> None:
    """AssetError for a role that was asked for and has no question."""
    for role in roles:
        if not kept.get(role):
            sizes = ", ".join(f"{name} {len(pool)}" for name, pool in kept.items())
            msg = (
                f"{source.root}: the {role} split is empty ({sizes}). Give a file named '{role}…' about texts that are "
                "in no other split, with answers that stand in them, or set task.dev and task.test"
            )
            raise AssetError(msg)


# ---------------------------------------------------------------------------------------------------------------- facts


def _facts(source: Source, chosen: Mapping[str, Role | None], left_out: list[str], reading: Reading) -> Facts:
    questions = Counter((question.context, question.question) for question in reading.questions)
    counted = ("repaired_offsets", "answers_not_in_context", "without_answers", "empty_context", "empty_question")
    return {
        "files": {name: role or "split" for name, role in chosen.items()},
        "files_left_out": left_out,
        "questions": len(reading.questions),
        "repeated_questions": len(reading.questions) - len(questions),
        **{name: reading.counts[name] for name in counted},
        "questions_whose_answer_is_not_there": reading.lost[:_LISTED],
    }


def _role_fact(pool: Pool) -> Facts:
    texts = {
        "context": [question.context for question in pool],
        "question": [question.question for question in pool],
        "answer": [question.answers[0].text for question in pool if question.answers],
    }
    first = Counter(question.question.split()[0].lower() for question in pool if question.question.split())
    return {
        "examples": len(pool),
        "contexts": len({question.context for question in pool}),
        "mean_characters": {name: _mean([len(text) for text in found]) for name, found in texts.items()},
        "mean_words": {name: _mean([len(text.split()) for text in found]) for name, found in texts.items()},
        "first_words": json.dumps(dict(first.most_common(_LISTED)), ensure_ascii=False),
    }


def _mean(values: Sequence[int]) -> float:
    return round(float(np.mean(values)), 1) if values else 0.0
