"""Exact match and F1 of answers, as SQuAD's official script counts them, and by slices of the questions.

Rajpurkar et al., SQuAD: 100,000+ Questions for Machine Comprehension of Text, EMNLP 2016; evaluate-v1.1.py. The
variant `unicode` takes every Unicode punctuation sign away, where the script knows those of ASCII alone.
"""

from __future__ import annotations

import re
import string
import unicodedata
from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from harness import Facts

Normalise = Callable[[str], str]

_ARTICLES = re.compile(r"\b(a|an|the)\b")
_ASCII = str.maketrans("", "", string.punctuation)
_SIGNS = frozenset(string.punctuation + "№")

# -------------------------------------------------------------------------------------------------------- one answer


def squad(text: str) -> str:
    """Lower case, no ASCII punctuation, no English articles, single spaces: `normalize_answer` of the script."""
    return _rest(text.lower().translate(_ASCII))


def squad_unicode(text: str) -> str:
    """The same after NFC, with punctuation of every script (categories P*) and № taken away too."""
    lowered = unicodedata.normalize("NFC", text).lower()
    return _rest("".join(sign for sign in lowered if sign not in _SIGNS and unicodedata.category(sign)[0] != "P"))


def _rest(text: str) -> str:
    return " ".join(_ARTICLES.sub(" ", text).split())


VARIANTS: Mapping[str, Normalise] = {"": squad, "_unicode": squad_unicode}


def f1_and_em(prediction: str, golds: Sequence[str], normalise: Normalise) -> tuple[float, float]:
    """The best F1 over words and the best exact match, each over the gold answers (at least one)."""
    said = normalise(prediction)
    right = [normalise(gold) for gold in golds]
    return max(_f1(said.split(), gold.split()) for gold in right), float(said in right)


def _f1(said: Sequence[str], gold: Sequence[str]) -> float:
    shared = sum((Counter(said) & Counter(gold)).values())
    if shared == 0:
        return 0.0
    precision, recall = shared / len(said), shared / len(gold)
    return 2 * precision * recall / (precision + recall)


# ------------------------------------------------------------------------------------------------------------ slices

QUESTION_WORDS: Mapping[str, str] = {
    "кто": "кто кого кому кем ком who whom",
    "что": "что чего чему чем чём what",
    "какой": "какой какого какому каким каком какая какую какое какие каких какими which",
    "который": "который которого которому которым котором которая которую которое которые которых которой",
    "чей": "чей чьего чьему чьим чья чью чьё чьи чьих whose",
    "где": "где where",
    "куда": "куда",
    "откуда": "откуда",
    "когда": "когда when",
    "почему": "почему отчего why",
    "зачем": "зачем",
    "сколько": "сколько скольких скольким скольки",
    "как": "как насколько how",
    "другое": "",
}
_FORMS = {form: code for code, forms in enumerate(QUESTION_WORDS.values()) for form in forms.split()}
ANSWER_WORDS = (1, 2, 3, 5, 9)  # a slice begins at each
CONTEXT_CHARACTERS = (0, 300, 600, 900, 1200)


def question_word(question: str) -> int:
    """The index in QUESTION_WORDS of the first word of the question that is one; the last where none is."""
    words = re.findall(r"\w+", question.lower())
    return next((_FORMS[word] for word in words if word in _FORMS), len(QUESTION_WORDS) - 1)


def sample(prediction: str, golds: Sequence[str], question: str, context: str) -> list[float]:
    """One row of samples: F1 and EM of each variant, question word, words of the first gold, characters of context."""
    scores = [score for normalise in VARIANTS.values() for score in f1_and_em(prediction, golds, normalise)]
    return [*scores, question_word(question), len(golds[0].split()), len(context)]


# --------------------------------------------------------------------------------------------------------- all of them


def weighted_means(samples: np.ndarray, weights: np.ndarray) -> dict[str, np.ndarray]:
    """Samples [n, 7], weights [r, n] → {'f1', 'em', 'f1_unicode', 'em_unicode'}: [r] in [0, 1]; nan for no weight."""
    weights = np.asarray(weights, dtype=np.float64)
    total = weights.sum(axis=1, keepdims=True)
    sums = weights @ samples[:, :4]  # [r, 4]
    means = np.divide(sums, total, out=np.full(sums.shape, np.nan), where=total > 0)
    names = [f"{name}{variant}" for variant in VARIANTS for name in ("f1", "em")]
    return dict(zip(names, means.T, strict=True))


def slices(samples: np.ndarray) -> Facts:
    """Samples [n, 7] → {slice: {value: {"examples", "em", "f1"}}}; values that occur, in their natural order."""
    words = list(QUESTION_WORDS)
    columns = {
        "question word": [words[int(code)] for code in samples[:, 4]],
        "answer length": [_bucket(ANSWER_WORDS, value, "words") for value in samples[:, 5]],
        "context length": [_bucket(CONTEXT_CHARACTERS, value, "characters") for value in samples[:, 6]],
    }
    order = {name: index for index, name in enumerate([*words, *_names(ANSWER_WORDS, "words")])}
    order |= {name: index for index, name in enumerate(_names(CONTEXT_CHARACTERS, "characters"))}
    return {
        name: {
            value: _slice(samples[np.array(values) == value]) for value in sorted(set(values), key=order.__getitem__)
        }
        for name, values in columns.items()
    }


def _slice(samples: np.ndarray) -> Facts:
    return {"examples": len(samples), "em": float(samples[:, 1].mean()), "f1": float(samples[:, 0].mean())}


def _names(begins: Sequence[int], unit: str) -> list[str]:
    """(1, 2, 3, 5), 'words' → '1 words', '2 words', '3–4 words', '5+ words'."""
    lasts = [begin - 1 for begin in begins[1:]]
    closed = [f"{first}–{last}" if last > first else f"{first}" for first, last in zip(begins, lasts, strict=False)]
    return [f"{name} {unit}" for name in (*closed, f"{begins[-1]}+")]


def _bucket(begins: Sequence[int], value: float, unit: str) -> str:
    return _names(begins, unit)[max(0, bisect_right(begins, value) - 1)]
