"""The best spans, against a search through all of them."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness import SpanOutput
from harness_qa.decoding import LONGEST, N_BEST, best_span, best_spans, read_answer

Logits = list[tuple[float, float]]


def spoken(windows: list[Logits], step: int = 3, shift: int = 2) -> SpanOutput:
    """Windows of tokens of two characters, `step` apart; each window begins `shift` tokens after the one before."""
    places: list[tuple[int, int]] = []
    logits: Logits = []
    for number, window in enumerate(windows):
        for token, pair in enumerate(window):
            begin = (number * shift + token - 1) * step
            places.append((begin, begin + 2) if token else (-1, -1))
            logits.append(pair)
    return SpanOutput(np.array(places, np.int32).reshape(-1, 2), np.array(logits, np.float32).reshape(-1, 2))


def every_span(output: SpanOutput) -> dict[tuple[int, int], float]:
    """All spans by their characters, one by one; of those with equal characters the best score."""
    found: dict[tuple[int, int], float] = {}
    size = len(output.places)
    for first in range(size):
        for last in range(first, min(size, first + LONGEST)):
            if (output.places[first : last + 1, 0] < 0).any():
                break
            place = (int(output.places[first, 0]), int(output.places[last, 1]))
            score = float(output.logits[first, 0]) + float(output.logits[last, 1])
            found[place] = max(score, found.get(place, -math.inf))
    return found


numbers = st.floats(-8, 8, width=16)
windows = st.lists(st.lists(st.tuples(numbers, numbers), min_size=1, max_size=45), min_size=1, max_size=4)


@given(windows.map(spoken))
def test_best_spans_are_those_of_a_full_search(output):
    everything = every_span(output)
    found = best_spans(output)
    assert [span.score for span in found] == sorted(everything.values(), reverse=True)[:N_BEST]
    assert all(everything[span.begin, span.end] == span.score for span in found)
    assert len({(span.begin, span.end) for span in found}) == len(found)
    best = best_span(output)
    assert (best == found[0]) if found else best is None


def test_a_span_is_never_longer_than_the_limit_nor_crosses_windows_nor_is_a_null_row():
    quiet = [(0.0, 0.0)] * 50
    long = [(99.0, 99.0), *quiet]
    long[3] = (5.0, 0.0)
    long[3 + LONGEST] = (0.0, 5.0)  # one token too far
    assert best_span(spoken([long])).score == 5.0
    long[2 + LONGEST] = (0.0, 4.0)
    assert best_span(spoken([long])).score == 9.0
    first, second = [(0.0, 0.0), (7.0, 0.0)], [(0.0, 0.0), (0.0, 7.0)]
    assert best_span(spoken([first, second])).score == 7.0
    backwards = [(0.0, 0.0), (0.0, 3.0), (3.0, 0.0)]
    assert best_span(spoken([backwards])).score == 3.0


def test_windows_are_compared_by_raw_logits():
    sure_of_little = [(0.0, 0.0), (1.0, 1.0)]  # a softmax per window would give this one probability 1
    unsure_of_much = [(0.0, 0.0), (2.0, 2.0), (2.0, 2.0)]
    assert best_span(spoken([sure_of_little, unsure_of_much], shift=10)).score == 4.0


def test_many_tokens_on_the_same_characters_still_give_all_other_spans():
    places = np.array([(-1, -1), *[(0, 2)] * 100, *[(3 * n, 3 * n + 2) for n in range(1, 25)]], np.int32)
    logits = np.zeros((len(places), 2), np.float32)
    logits[1:101] = 5
    output = SpanOutput(places, logits)
    assert len({(span.begin, span.end) for span in best_spans(output)}) == N_BEST


@given(windows.map(spoken))
def test_scores_are_probabilities_over_all_windows(output):
    context = "".join(f"{chr(1072 + n % 32)}{chr(1104 + n % 10)} " for n in range(200))
    answer = read_answer(context, output)
    inside = output.logits[output.places[:, 0] >= 0].astype(float)
    if not len(inside):
        assert answer == {"answer": "", "start": 0, "end": 0, "score": 0.0, "alternatives": []}
        return
    total = np.exp(inside[:, 0]).sum() * np.exp(inside[:, 1]).sum()
    assert answer["score"] == pytest.approx(math.exp(max(every_span(output).values())) / total)
    for found in [answer, *answer["alternatives"]]:
        assert context[found["start"] : found["end"]] == found["answer"] == found["answer"].strip()
    assert len(answer["alternatives"]) <= 3
    texts = [answer["answer"], *(other["answer"] for other in answer["alternatives"])]
    assert len(set(texts)) == len(texts)


def test_huge_logits_do_not_overflow():
    said = spoken([[(0.0, 0.0), (30000.0, 30000.0), (-30000.0, -30000.0)]])
    assert read_answer("аб вг", said)["score"] == pytest.approx(1.0)
    assert read_answer("аб вг", said)["answer"] == "аб"


def test_spaces_that_a_token_covers_are_not_part_of_the_answer():
    places = np.array([(-1, -1), (0, 3), (3, 8)], np.int32)
    logits = np.array([(0, 0), (0, 0), (9, 9)], np.float32)
    answer = read_answer("год  1957", SpanOutput(places, logits))
    assert (answer["answer"], answer["start"], answer["end"]) == ("195", 5, 8)
