"""Start and end logits of windows → the best spans, exactly, and how sure the model is of them.

A span is i ≤ j < i + LONGEST within one window, never its null row. Its score is start[i] + end[j], raw logits without
a softmax per window, so spans of different windows compare.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from harness import Facts, SpanOutput

LONGEST = 30  # tokens, as in the usual SQuAD evaluation
N_BEST = 20
SHOWN = 3  # alternatives to an answer


@dataclass(frozen=True)
class Span:
    """A stretch of the context: first character, last + 1, start + end logit."""

    begin: int
    end: int
    score: float


def best_span(output: SpanOutput) -> Span | None:
    """The span of the highest score (of equals the earliest, then shortest); None where no context token is."""
    scores = _scores(output)  # [T, LONGEST]
    return next(_spans(output, scores, [int(scores.argmax())] if scores.size else []), None)


def best_spans(output: SpanOutput, count: int = N_BEST) -> list[Span]:
    """The `count` best spans with different characters, best first; fewer where there are not so many.

    The k-th highest of the best scores per start bounds the k-th best score from below, so that few spans are sorted.
    Windows overlap: a stretch of text that several of them hold counts once, with its best score.
    """
    scores = _scores(output)  # [T, LONGEST]
    flat = scores.reshape(-1)
    peaks = -np.sort(-scores.max(axis=1, initial=-np.inf))  # [T], falling
    wanted = count * max(1, int((output.places[:, 0] < 0).sum()))
    while True:
        bound = peaks[wanted - 1] if wanted <= len(peaks) else -np.inf
        found = np.flatnonzero(flat >= bound)
        ordered = found[np.argsort(-flat[found], kind="stable")]
        distinct: dict[tuple[int, int], Span] = {}
        for span in _spans(output, scores, ordered):
            distinct.setdefault((span.begin, span.end), span)
            if len(distinct) == count:
                return list(distinct.values())
        if bound == -np.inf:
            return list(distinct.values())
        wanted *= 4


def answer_text(context: str, span: Span | None) -> str:
    """The span's characters without spaces at the edges; '' for None."""
    return context[span.begin : span.end].strip() if span else ""


def read_answer(context: str, output: SpanOutput) -> Facts:
    """{"answer", "start", "end", "score", "alternatives": the next SHOWN other texts, each with the same four}.

    `start` and `end` are characters of the context, end exclusive. `score` is the span's probability: exp(start + end)
    over the product of the sums of exp(start) and of exp(end) over the context tokens of all windows.
    """
    normaliser = _log_normaliser(output)
    texts: dict[str, Facts] = {}
    for span in best_spans(output):
        text = answer_text(context, span)
        begin = context.index(text, span.begin)
        score = float(np.exp(span.score - normaliser))
        texts.setdefault(text, {"answer": text, "start": begin, "end": begin + len(text), "score": score})
    best, *others = texts.values() or [{"answer": "", "start": 0, "end": 0, "score": 0.0}]
    return best | {"alternatives": others[:SHOWN]}


def _scores(output: SpanOutput) -> np.ndarray:
    """Float64 [T, LONGEST]: the score of the span of k + 1 tokens from token i; -inf where that is none."""
    nulls = np.flatnonzero(output.places[:, 0] < 0)
    logits = output.logits.astype(np.float64)  # [T, 2]
    logits[nulls] = -np.inf
    size = len(logits)
    ends = np.concatenate([logits[:, 1], np.full(LONGEST, -np.inf)])
    scores: np.ndarray = logits[:, :1] + sliding_window_view(ends, LONGEST)[:size]
    tokens = np.arange(size)
    left = np.append(nulls, size)[np.searchsorted(nulls, tokens, side="right")] - tokens  # [T], to the window's end
    short = np.flatnonzero(left < LONGEST)
    scores[short] = np.where(np.arange(LONGEST) < left[short, None], scores[short], -np.inf)
    return scores


def _spans(output: SpanOutput, scores: np.ndarray, places: np.ndarray | list[int]) -> Iterator[Span]:
    """Positions in the flattened scores → spans, without those that are none."""
    for place in places:
        first, more = divmod(int(place), LONGEST)
        if scores[first, more] == -np.inf:
            return
        begin, end = output.places[first, 0], output.places[first + more, 1]
        yield Span(int(begin), int(end), float(scores[first, more]))


def _log_normaliser(output: SpanOutput) -> float:
    """Log Σ exp(start) + log Σ exp(end) over context tokens; 0 where there are none."""
    logits = output.logits[output.places[:, 0] >= 0].astype(np.float64)  # [T', 2]
    if not len(logits):
        return 0.0
    peak = logits.max(axis=0)
    return float((peak + np.log(np.exp(logits - peak).sum(axis=0))).sum())
