"""Heads: what depends on the kind of output, above all how a teacher's spans reach a student with another tokenizer."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness import StageError
from harness.artifacts import Artifact
from harness.data import Predictions, read_predictions, write_predictions
from harness.heads import MASKED, rules
from harness.heads.span import align, end_owners, start_owners
from harness.inference import Answerer
from harness.specs import Encoded, SpanOutput

SPAN = rules("span")


def window(places, example=0, question=2):
    """A window of [null, question…, separator, the given context tokens, separator]."""
    before = np.full((question + 2, 2), -1, dtype=np.int32)
    where = np.concatenate([before, np.array(places, dtype=np.int32).reshape(-1, 2), before[:1]])
    ids = np.arange(len(where), dtype=np.int64)
    return Encoded({"input_ids": ids}, len(where), example, where)


def output(*windows, seed=0):
    """A teacher's stored output: for each window its null row, then its tokens."""
    rng = np.random.default_rng(seed)
    places = np.concatenate([np.array([(-1, -1), *tokens], dtype=np.int32).reshape(-1, 2) for tokens in windows])
    return SpanOutput(places, rng.normal(size=(len(places), 2)).astype(np.float32))


def test_an_unknown_head_is_said():
    with pytest.raises(StageError, match="'pixels' is not known"):
        rules("pixels")


# ----------------------------------------------------------------------------------------------------------- reading


def test_what_is_read_is_null_and_context_alone():
    one = window([(0, 3), (4, 9)])
    starts = np.arange(8, dtype=np.float32)[None]
    said = SPAN.read([one], {"start_logits": starts, "end_logits": starts + 100})[0]
    assert said.places.tolist() == [[-1, -1], [0, 3], [4, 9]]
    assert said.logits.tolist() == [[0, 100], [4, 104], [5, 105]]


def test_answers_that_are_no_numbers_are_refused():
    one = window([(0, 3)])
    broken = np.full((1, one.length), np.nan, dtype=np.float32)
    with pytest.raises(StageError, match="not finite"):
        SPAN.read([one], {"start_logits": broken, "end_logits": broken})


def test_rows_that_are_missing_are_counted():
    artifact = Artifact(format="torch", student="any", head="sequence", labels=("a", "b"), max_length=8)
    answerer = Answerer(artifact, None, None, None)
    windows = [window([(0, 3)]), window([(0, 1)])]
    with pytest.raises(StageError, match=r"'logits' of shape \[1, 2\], expected a row for each of 2 windows"):
        answerer.read(windows, {"logits": np.zeros((1, 2), np.float32)})
    assert len(answerer.read(windows, {"logits": np.zeros((2, 2), np.float32)})) == 2


def test_windows_of_an_example_are_joined_and_survive_the_disk(tmp_path):
    windows = [window([(0, 3), (4, 9)], 0), window([(4, 9), (10, 12)], 0), window([(0, 1)], 1)]
    rng = np.random.default_rng(0)
    said = [
        SPAN.read([w], {name: rng.normal(size=(1, w.length)).astype(np.float32) for name in SPAN.outputs})[0]
        for w in windows
    ]
    joined = SPAN.join(windows, said, 2)
    assert [len(one.logits) for one in joined] == [6, 2]
    assert (joined[0].places[:, 0] == [-1, 0, 4, -1, 4, 10]).all()
    write_predictions(tmp_path / "p", ["a", "b"], joined)
    back = read_predictions(tmp_path / "p", [{"id": "a"}, {"id": "b"}]).per_example()
    for one, two in zip(joined, back, strict=True):
        assert (one.places == two.places).all()
        assert (one.logits == two.logits).all()


# ----------------------------------------------------------------------------------------------------------- targets


@pytest.mark.parametrize(
    ("answer", "position"),
    [
        ((4, 9), (5, 5)),  # a token
        ((0, 9), (4, 5)),  # two tokens
        ((5, 11), (5, 6)),  # begins and ends inside tokens
        ((3, 4), (5, 5)),  # a space between tokens belongs to the next one
        ((10, 14), (0, 0)),  # ends beyond this window: null
        (None, (-100, -100)),
    ],
)
def test_targets_are_the_tokens_that_hold_the_ends(answer, position):
    assert SPAN.targets([window([(0, 3), (4, 9), (10, 12)])], [answer]).tolist() == [list(position)]


def test_a_window_without_context_has_null_as_its_target():
    assert SPAN.targets([window([])], [(0, 3)]).tolist() == [[0, 0]]


# --------------------------------------------------------------------------------------------------------- alignment


def holders(tokens, begin, end):
    return [n for n, (b, e) in enumerate(tokens) if b < end and e > begin]


def start_by_the_book(teacher, student):
    """For each teacher token the first student token that begins inside it or holds all of it."""
    found = []
    for begin, end in teacher:
        claims = [n for n, (b, e) in enumerate(student) if begin <= b < end or (b <= begin and e >= end)]
        found.append(claims[0] if claims else -1)
    return found


def end_by_the_book(teacher, student):
    found = []
    for begin, end in teacher:
        claims = [n for n, (b, e) in enumerate(student) if begin < e <= end or (b <= begin and e >= end)]
        found.append(claims[-1] if claims else -1)
    return found


@st.composite
def cuts(draw, length=14):
    """Tokens of a text: not overlapping, in order, with gaps."""
    edges = sorted(draw(st.sets(st.integers(0, length), min_size=2, max_size=length)))
    tokens = [(a, b) for a, b in pairwise(edges) if draw(st.booleans())]
    return tokens or [(edges[0], edges[1])]


@given(cuts(), cuts())
def test_owners_are_those_of_the_book(teacher, student):
    one, two = np.array(teacher), np.array(student)
    assert start_owners(one, two).tolist() == start_by_the_book(teacher, student)
    assert end_owners(one, two).tolist() == end_by_the_book(teacher, student)


@given(cuts(), st.integers(0, 5))
def test_equal_tokens_give_the_teacher_bit_for_bit(tokens, seed):
    teacher, one = output(tokens, seed=seed), window(tokens)
    taught = align(teacher, one)
    assert taught.covered.tolist() == [n == 0 or place >= 0 for n, place in enumerate(one.places[:, 0])]
    assert (taught.logits[:, taught.covered] == teacher.logits.T).all()
    assert (taught.logits[:, ~taught.covered] == MASKED).all()


def test_tokens_that_share_a_place_are_the_identity_too():
    """Bytes of one character stand at one place; a teacher with the same tokenizer teaches each of them."""
    places = [(0, 1), (1, 2), (1, 2), (1, 2), (2, 3)]
    teacher = output(places)
    taught = align(teacher, window(places))
    assert (taught.logits[:, [0, 4, 5, 6, 7, 8]] == teacher.logits.T).all()


def test_several_teacher_tokens_add_up_in_one_student_token():
    teacher = output([(0, 2), (2, 5)])
    taught = align(teacher, window([(0, 5)]))
    assert taught.logits[:, 4] == pytest.approx(np.logaddexp(teacher.logits[1], teacher.logits[2]), rel=1e-6)


def test_one_teacher_token_starts_at_the_first_and_ends_at_the_last_student_token():
    teacher = output([(0, 5)])
    taught = align(teacher, window([(0, 2), (2, 5)]))
    assert taught.logits[0, 4:6].tolist() == [teacher.logits[1, 0], MASKED]
    assert taught.logits[1, 4:6].tolist() == [MASKED, teacher.logits[1, 1]]
    assert taught.covered[4:6].all()


def test_what_the_teacher_does_not_see_is_covered_for_neither():
    taught = align(output([(0, 3)]), window([(0, 3), (4, 9)]))
    assert taught.covered.tolist() == [True, False, False, False, True, False, False]


def test_a_window_reads_the_teacher_window_that_shares_most_and_the_earlier_of_equals():
    first, second = [(0, 3), (4, 9)], [(4, 9), (10, 15), (16, 20)]
    teacher = output(first, second)
    assert align(teacher, window([(10, 15), (16, 20)])).logits[0, 0] == teacher.logits[3, 0]
    assert align(teacher, window([(4, 9)])).logits[0, 0] == teacher.logits[0, 0]
    assert align(teacher, window(first)).logits[0, 0] == teacher.logits[0, 0]


@given(cuts(), cuts(), st.integers(0, 3))
def test_no_probability_appears_from_nowhere(teacher_tokens, student_tokens, seed):
    """What a student is taught sums up to at most what the teacher said, token by token."""
    teacher = output(teacher_tokens, seed=seed)
    taught = align(teacher, window(student_tokens))
    for side in (0, 1):
        assert np.exp(taught.logits[side]).sum() <= np.exp(teacher.logits[:, side]).sum() * (1 + 1e-5)


# ------------------------------------------------------------------------------------------- what a distiller is given


def answer_of(windows, seed=1):
    import torch

    rng = np.random.default_rng(seed)
    longest = max(one.length for one in windows)
    arrays = [torch.tensor(rng.normal(size=(len(windows), longest)), dtype=torch.float32) for _ in range(2)]
    return type("Answer", (), {"start_logits": arrays[0], "end_logits": arrays[1]})


def test_kd_with_equal_tokens_is_the_direct_computation():
    """KL on start and end over null and context, T², mixed with labels, as a plain script would write it."""
    import torch
    from torch.nn import functional as F  # noqa: N812

    from harness_distillers.kd import Kd
    from harness_distillers.plugin import KdParams

    tokens = [[(0, 3), (4, 9), (10, 12)], [(0, 2), (3, 8)]]
    windows = [window(places, n) for n, places in enumerate(tokens)]
    stored = [output(places, seed=n) for n, places in enumerate(tokens)]
    values, places = (np.concatenate([getattr(o, name) for o in stored]) for name in ("logits", "places"))
    predictions = Predictions(("a", "b"), values, np.array([0, 4, 7]), places)
    answer, answers = answer_of(windows), [(4, 9), (3, 8)]
    batch = SPAN.batch(
        answer,
        windows,
        SPAN.targets(windows, answers),
        [SPAN.lesson(predictions, windows)(np.array([0, 1]))],
        torch.tensor,
    )
    loss, _ = Kd().loss(batch, KdParams(temperature=3.0, alpha=0.25))
    teacher_kl, labels = [], []
    for row, (one, kept) in enumerate(zip(windows, stored, strict=True)):
        at = [0, *np.flatnonzero(one.places[:, 0] >= 0)]
        for side, name in enumerate(("start_logits", "end_logits")):
            mine, theirs = getattr(answer, name)[row][at], torch.tensor(kept.logits[:, side])
            p, q = (theirs / 3).softmax(0), (mine / 3).log_softmax(0)
            teacher_kl.append((p * (p.log() - q)).sum() * 9)
            begin, end = answers[row]
            right = [place[side] for place in kept.places.tolist()].index((begin, end)[side])
            labels.append(F.cross_entropy(mine[None], torch.tensor([right])))
    direct = 0.25 * torch.stack(teacher_kl).mean() + 0.75 * torch.stack(labels).mean()
    assert loss.item() == pytest.approx(direct.item(), rel=1e-5)


def test_label_smoothing_is_spread_over_what_exists():
    import torch

    from harness_distillers.labels import cross_entropy

    windows = [window([(0, 3), (4, 9)]), window([(0, 3), (4, 9), (10, 12)], 1)]
    batch = SPAN.batch(answer_of(windows), windows, SPAN.targets(windows, [(4, 9), (0, 3)]), [], torch.tensor)
    loss = cross_entropy(batch, 0.1)
    expected = []
    for logits, target, exists in zip(batch.logits, batch.targets, batch.exists, strict=True):
        log = logits[exists].log_softmax(0)
        position = int(exists[: int(target)].sum())
        expected.append(-(0.9 * log[position] + 0.1 * log.mean()))
    assert loss.item() == pytest.approx(torch.stack(expected).mean().item(), rel=1e-5)


def test_two_teachers_cover_what_both_see():
    import torch

    one = window([(0, 3), (4, 9)])
    lessons = [[align(output([(0, 3)]), one)], [align(output([(0, 3), (4, 9)]), one)]]
    batch = SPAN.batch(answer_of([one]), [one], SPAN.targets([one], [(0, 3)]), lessons, torch.tensor)
    assert batch.covered[0].tolist() == [True, False, False, False, True, False, False]
