"""EM and F1 against the formula of SQuAD's official script, written down a second time; weights, slices, chance."""

from __future__ import annotations

import re
import string
import unicodedata

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from harness import SpanOutput, StageError
from harness_qa.plugin import QaParams
from harness_qa.scoring import QUESTION_WORDS, f1_and_em, question_word, squad, squad_unicode
from harness_qa.task import LABELS, QuestionAnswering

# ------------------------------------------------------------------------------------------------- the official formula


def official_words(text: str) -> list[str]:
    lowered = ""
    for sign in text.lower():
        lowered += "" if sign in string.punctuation else sign
    return re.sub(r"\b(a|an|the)\b", " ", lowered).split()


def official(prediction: str, golds: list[str]) -> tuple[float, float]:
    best_f1 = best_em = 0.0
    for gold in golds:
        left = official_words(gold)
        said = official_words(prediction)
        best_em = max(best_em, float(" ".join(said) == " ".join(left)))
        shared = 0
        for word in said:
            if word in left:
                left.remove(word)
                shared += 1
        if shared:
            precision, recall = shared / len(said), shared / len(official_words(gold))
            best_f1 = max(best_f1, 2 * precision * recall / (precision + recall))
    return best_f1, best_em


words = st.sampled_from(
    ["a", "The", "an", "кот", "Кот", "«кот»", "кот.", "1957", "1957-й", "№", "—", "a.b", "", "Бо́льшая"]
)
texts = st.one_of(st.lists(words, max_size=6).map(" ".join), st.text(max_size=12))


@given(texts, st.lists(texts, min_size=1, max_size=3))
@example("the", ["a"])
@example("", [""])
@example("кот кот", ["кот"])
def test_squad_is_the_official_formula(prediction, golds):
    assert f1_and_em(prediction, golds, squad) == pytest.approx(official(prediction, golds), abs=1e-12)


@given(texts)
def test_unicode_variant_takes_away_all_that_the_official_one_does_and_every_punctuation(text):
    left = squad_unicode(text)
    assert not any(unicodedata.category(sign)[0] == "P" or sign in string.punctuation + "№" for sign in left)
    if text.isascii():
        assert left == squad(text)


@pytest.mark.parametrize(
    ("said", "gold", "plain", "unicode"),
    [
        ("«Спартак»", "Спартак", 0, 1),
        ("дом № 5", "дом 5", 0, 1),
        ("1941—1945", "1941–1945", 0, 1),
        ("“да”…", "да", 0, 1),
        ("и\u0306од", "йод", 0, 1),
        ("Спартак.", "спартак", 1, 1),
        ("100 ₽", "100", 0, 0),
    ],
)
def test_what_the_two_variants_call_equal(said, gold, plain, unicode):
    assert f1_and_em(said, [gold], squad)[1] == plain
    assert f1_and_em(said, [gold], squad_unicode)[1] == unicode


# -------------------------------------------------------------------------------------------------------------- samples

CONTEXT = "Вера живёт в Туле, Олег — в Омске."


def asked(question: str, *golds: str, context: str = CONTEXT) -> dict:
    answers = [{"text": gold, "begin": context.find(gold)} for gold in golds]
    return {"id": question, "title": "", "context": context, "question": question, "answers": answers}


def says(text: str, context: str = CONTEXT) -> SpanOutput:
    """A model whose only two tokens besides null are one off the mark and the text."""
    begin = context.index(text)
    places = np.array([(-1, -1), (0, 1), (begin, begin + len(text))], np.int32)
    return SpanOutput(places, np.array([(9, 9), (0, 0), (5, 5)], np.float32))


def test_samples_metrics_and_slices():
    task = QuestionAnswering(QaParams())
    examples = [
        asked("Где живёт Вера?", "Туле", "в Туле"),
        asked("В каком городе Олег?", "в Омске"),
        asked("Назовите имя", "Вера", context="Вера" + " и другие" * 40),
    ]
    outputs = [says("Туле,"), says("Омске"), says("другие", examples[2]["context"])]
    samples = task.samples(examples, outputs, LABELS)
    codes = [list(QUESTION_WORDS).index(word) for word in ("где", "какой", "другое")]
    assert samples.tolist() == [
        [1.0, 1.0, 1.0, 1.0, codes[0], 1, len(CONTEXT)],
        [pytest.approx(2 / 3), 0.0, pytest.approx(2 / 3), 0.0, codes[1], 2, len(CONTEXT)],
        [0.0, 0.0, 0.0, 0.0, codes[2], 1, 364],
    ]
    weights = np.array([[1, 1, 1], [3, 1, 0], [0, 0, 0]])
    metrics = task.metrics(samples, weights, LABELS)
    assert list(metrics) == ["f1", "em", "f1_unicode", "em_unicode"]
    assert metrics["em"][:2] == pytest.approx([1 / 3, 3 / 4])
    assert metrics["f1"][:2] == pytest.approx([(1 + 2 / 3) / 3, (3 + 2 / 3) / 4])
    assert np.isnan(metrics["f1"][2])
    slices = task.details(samples, LABELS)["slices"]
    assert slices["question word"] == {
        "какой": {"examples": 1, "em": 0.0, "f1": pytest.approx(2 / 3)},
        "где": {"examples": 1, "em": 1.0, "f1": 1.0},
        "другое": {"examples": 1, "em": 0.0, "f1": 0.0},
    }
    assert {name: found["examples"] for name, found in slices["answer length"].items()} == {"1 words": 2, "2 words": 1}
    assert list(slices["context length"]) == ["0–299 characters", "300–599 characters"]


def test_edge_spaces_of_gold_answers_do_not_count():
    context = "комплекс Байконур , арендованный"
    samples = QuestionAnswering(QaParams()).samples(
        [asked("какой?", "комплекс Байконур ", context=context)], [says("комплекс Байконур", context)], LABELS
    )
    assert samples[0, :4].tolist() == [1, 1, 1, 1]


def test_an_answer_that_is_not_in_the_context_is_scored_by_its_text():
    example = asked("Где?", "в Туле")
    example["answers"] = [{"text": "в  ТУЛЕ", "begin": None}]
    assert QuestionAnswering(QaParams()).target(example, LABELS) is None
    assert QuestionAnswering(QaParams()).samples([example], [says("в Туле")], LABELS)[0, 1] == 1


def test_scoring_refuses_without_gold_answers_and_broken_outputs():
    task = QuestionAnswering(QaParams())
    with pytest.raises(StageError, match=r"1 of 2 questions have no answer \('Кто\?', …\): they cannot be scored"):
        task.samples([asked("Где?", "Туле"), asked("Кто?")], [says("Туле")] * 2, LABELS)
    broken = says("Туле")
    broken.logits[1, 0] = np.nan
    with pytest.raises(StageError, match="1 of 1 outputs are not finite"):
        task.samples([asked("Где?", "Туле")], [broken], LABELS)


def test_an_empty_context_is_answered_and_scored():
    empty = asked("Где?", "Туле", context="")
    null = SpanOutput(np.array([(-1, -1)], np.int32), np.array([(1, 2)], np.float32))
    assert QuestionAnswering(QaParams()).answer(empty, null, LABELS)["answer"] == ""
    assert QuestionAnswering(QaParams()).samples([empty], [null], LABELS)[0, :2].tolist() == [0, 0]


@pytest.mark.parametrize(
    ("question", "word"),
    [
        ("в каком году открыли мост?", "какой"),
        ("С кем говорил Пётр", "кто"),
        ("чём известен город", "что"),
        ("Насколько велик остров?", "как"),
        ("What is it?", "что"),
        ("Назовите автора, который…", "который"),
        ("", "другое"),
    ],
)
def test_question_words(question, word):
    assert list(QUESTION_WORDS)[question_word(question)] == word


# --------------------------------------------------------------------------------------------------------------- chance


def test_chance_is_what_random_spans_score():
    words = [f"слово{n}" for n in range(10)]
    examples = [asked(f"{n}", words[n % 10], context=" ".join(words)) for n in range(400)]
    found = QuestionAnswering(QaParams()).chance(examples, LABELS)
    assert found == pytest.approx(0.1, abs=0.03)
    assert found == QuestionAnswering(QaParams()).chance(examples, LABELS)
    assert QuestionAnswering(QaParams()).chance([asked("одно", "слово", context="слово")], LABELS) == 1
    assert QuestionAnswering(QaParams()).chance([asked("без ответа")], LABELS) is None
