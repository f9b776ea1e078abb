"""Text preparation: what each step does to a text, to hostile ones, to the data, to keys, and in a whole run."""

from __future__ import annotations

import hashlib
import json
import os
import re
from pathlib import Path

import pymorphy3
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from harness import AHEAD, Source
from harness.assets import Places
from harness.measuring.subject import SubjectLoop
from harness.plan import Context
from harness.planner import make_plan
from harness.plugins import load_registry
from harness.suite import parse_suite
from harness_sentiment.generate import DATA
from harness_sentiment.plugin import RuReviewsParams, SentimentParams
from harness_sentiment.preparing import MASK, Steps, count_words, lemma, prepare, read_words
from harness_sentiment.reviews import normalise
from harness_sentiment.task import Sentiment

ROLES = ("train", "dev", "test")
LEMMAS, REMOVE, MASKED = Steps(lemmatise=True), Steps(stop_words="remove"), Steps(stop_words="mask")


def source(name: str = "sample") -> Source:
    return Source("bundled", DATA / name, ("dev.jsonl", "test.jsonl", "train.jsonl"))


def task(**params) -> Sentiment:
    return Sentiment(SentimentParams.model_validate(params))


# ----------------------------------------------------------------------------------------------------------- the steps


@pytest.mark.parametrize(
    ("steps", "text", "after"),
    [
        (LEMMAS, "Платья были хорошие, размеры маленькие!", "платье быть хороший, размер маленький!"),
        (LEMMAS, "ЕЩЁ еще", "ещё ещё"),
        (LEMMAS, "какие-то из-за", "какой-то из-за"),
        (LEMMAS, "Купила на AliExpress за 500р, 5 звёзд :))", "купить на AliExpress за 500р, 5 звезда :))"),
        (LEMMAS, "краси\u0301вая ко\u0438\u0306ка", "красивый койка"),
        (REMOVE, "Я не знаю, что это за ткань, но мне нравится :)", "не знаю, ткань, нравится :)"),
        (REMOVE, "И\nу меня\tтоже  села", "села"),
        (REMOVE, "Всё ещё хорошая, чём-то даже ОТЛИЧНАЯ", "ещё хорошая, ОТЛИЧНАЯ"),
        (MASKED, "Я не знаю, что это", f"{MASK} не знаю, {MASK} {MASK}"),
        (Steps(stop_words="remove", keep_negations=False), "Я не знаю, без проблем", "знаю, проблем"),
        (Steps(stop_words="mask", keep_negations=False), "Ни разу не пожалела", f"{MASK} разу {MASK} пожалела"),
        (Steps(max_words=2), "Очень хорошее, тёплое платье", "Очень хорошее"),
        (Steps(max_words=2), "Очень хорошее!!! :)", "Очень хорошее!!! :)"),
        (Steps(max_words=2), "👍 Очень хорошее, платье", "👍 Очень хорошее"),
        (Steps(stop_words="remove", max_words=2), "Оно мне очень понравилось, и размер", "очень понравилось,"),
        (Steps(stop_words="mask", max_words=2), "Я и ты пошли", f"{MASK} {MASK}"),
        (Steps(True, "remove", True, 3), "Мои покупки не понравились никому из нас", "покупка не понравиться"),
    ],
)
def test_what_the_steps_do(steps, text, after):
    assert prepare(text, steps).text == after


def test_words_are_counted_as_they_are_left():
    assert prepare("Я не знаю, что это", LEMMAS).words == 5
    assert prepare("Я не знаю, что это", REMOVE).words == 2
    assert prepare("Я не знаю, что это", MASKED).words == 5, "a mask is a token like any other"
    assert prepare("Я не знаю, что это", Steps(max_words=3)).words == 3
    assert count_words("два-три слова, 5 👍 и:)") == 4


def test_lemmas_are_the_dictionarys_own():
    parse = pymorphy3.MorphAnalyzer(lang="ru").parse
    words = re.findall(r"[а-яё]{3,}", (DATA / "sample" / "train.jsonl").read_text(encoding="utf-8").lower())
    assert len(set(words)) > 300
    assert all(lemma(word) == parse(word)[0].normal_form for word in set(words))


@pytest.mark.parametrize("word", ["hello", "42", "ООО_ру", "х100", "🙂", "a" * 50, "я" * 1000, "по-" * 300 + "моему"])
def test_what_is_no_russian_word_stays_as_it_is_written(word):
    assert lemma(word) == word


# ------------------------------------------------------------------------------------------------------- hostile texts


@pytest.mark.parametrize(
    "text", ["", " ", "\u200b", "я", "и", "Ж", ".", "👍", "👍🏽👩\u200d👩\u200d👧", "но", "—", "\x00", "\ufffd"]
)
@pytest.mark.parametrize("steps", [LEMMAS, REMOVE, MASKED, Steps(True, "remove", False, 1)], ids=str)
def test_nothing_visible_is_lost_of_tiny_texts(text, steps):
    assert bool(normalise(prepare(text, steps).text)) == bool(normalise(text))


@pytest.mark.parametrize(
    "text", ["слово " * 166, "я" * 1000, "я-" * 500, "👍" * 1000, ", " * 500, "не" * 500, "и " * 500, "е\u0301" * 500]
)
def test_a_thousand_characters_of_anything(text):
    for steps in (LEMMAS, REMOVE, MASKED, Steps(True, "remove", False, 5)):
        said = prepare(text, steps)
        assert said.text
        assert steps.max_words is None or said.words <= steps.max_words


def test_a_text_of_stop_words_alone_keeps_them_and_is_counted():
    assert prepare("Ну так", REMOVE) == ("Ну так", 2, True)
    assert prepare("Ну \u200b так", REMOVE).spared
    assert prepare("Никому такую", Steps(True, "remove", False)) == ("никто такой", 2, True)
    assert prepare("Ну так :(", REMOVE) == (":(", 0, False), "the smiley says it"
    assert prepare("Ну так", Steps(stop_words="remove", max_words=1)) == ("Ну", 1, True)


@settings(max_examples=200, deadline=None)
@given(st.text(st.sampled_from("янемыплатье НЕи,-.:)👍\u200b\u0301\n5q"), max_size=40), st.integers(1, 5))
def test_properties_of_any_text(text, most):
    assert prepare(text, Steps()).text == text
    for steps in (LEMMAS, REMOVE, MASKED, Steps(max_words=most), Steps(True, "remove", False, most)):
        said = prepare(text, steps)
        assert said.words == count_words(said.text)
        assert said.words <= count_words(text)
        assert bool(normalise(said.text)) == bool(normalise(text))
        assert prepare(text, steps) == said


# ----------------------------------------------------------------------------------------------------------- the lists


def test_the_lists_are_frozen():
    """Another list is another result: raise the version of both tasks in plugin.py, then write the new digests here."""
    digests = {name: hashlib.sha256(" ".join(read_words(name)).encode()).hexdigest()[:16] for name in LISTS}
    assert digests == LISTS
    assert {load_registry().task(name).version for name in ("rureviews", "sentiment")} == {1}


LISTS = {"function": "f7539f5ca1eeafcd", "negations": "97de26dd781ade64"}


@pytest.mark.parametrize("name", LISTS)
def test_the_lists_hold_function_words_in_lower_case_each_once(name):
    parse = pymorphy3.MorphAnalyzer(lang="ru").parse
    words = list(read_words(name))
    assert len(words) == len(set(words))
    assert all(word == word.lower() and count_words(word) == 1 for word in words)
    kinds = {word: {str(grammeme) for reading in parse(word) for grammeme in reading.tag.grammemes} for word in words}
    strange = [
        word
        for word, kind in kinds.items()
        if not kind & {"PREP", "CONJ", "PRCL", "NPRO", "Apro", "ADVB", "NUMR", "PRED"}
    ]
    assert set(strange) <= {"нашею", "вашею", "тою", "которою", "всею"}, "old endings"


def test_what_denies_is_in_the_list_of_its_own_alone():
    function, negations = set(read_words("function")), set(read_words("negations"))
    assert not function & negations
    assert {"не", "ни", "нет", "без", "никогда", "никто", "ничего"} <= negations
    assert not [word for word in function if re.match("ни[кч]|не[кч]ог|негд", word)]
    assert not {"хорошо", "плохо", "очень", "надо", "можно", "лучше"} & (function | negations), "they say something"


# ------------------------------------------------------------------------------------------------------------ the data


def test_by_default_examples_facts_and_input_are_what_they_were():
    data = task().prepare(source(), ROLES)
    assert all(set(example) == {"id", "text", "label"} for examples in data.roles.values() for example in examples)
    assert "preparation" not in data.facts
    assert task().input({"id": "1", "text": " Мои  ПЛАТЬЯ\n"}) == " Мои  ПЛАТЬЯ\n"


def test_examples_hold_both_texts_and_stand_in_the_same_splits_and_order():
    plain, prepared = (task(**params).prepare(source(), ROLES) for params in ({}, {"lemmatise": True}))
    lemmas = task(lemmatise=True)
    for role in ROLES:
        bare = [{name: value for name, value in e.items() if name != "prepared"} for e in prepared.roles[role]]
        assert bare == plain.roles[role]
        for example in prepared.roles[role]:
            assert lemmas.input(example) == prepare(example["text"], LEMMAS).text == example["prepared"]["lemmas"]
    json.dumps(prepared.roles["test"])


def test_a_stored_text_is_read_by_the_task_that_made_it_alone():
    example = {"id": "1", "text": "Мои платья", "prepared": {"lemmas": "что лежит в хранилище"}}
    assert task(lemmatise=True).input(example) == "что лежит в хранилище"
    assert task(lemmatise=True, stop_words="remove").input(example) == "платье"
    assert task().input(example) == "Мои платья"


def test_raw_text_is_prepared_on_the_fly():
    assert task(lemmatise=True, max_words=2).input({"id": "0", "text": "Мои новые платья"}) == "мой новый"


def test_facts_count_words_by_role_before_and_after(tmp_path):
    (tmp_path / "train.csv").write_text("text,label\nМои платья,a\nНу так,b\nне то,a\n👍,b\n", encoding="utf-8")
    (tmp_path / "dev.csv").write_text("text,label\nи платья и туфли,a\nx,b\n", encoding="utf-8")
    (tmp_path / "test.csv").write_text("text,label\nплохо,a\ny,b\n", encoding="utf-8")
    files = Source("a test", tmp_path, ("dev.csv", "test.csv", "train.csv"))
    facts = task(lemmatise=True, stop_words="remove").prepare(files, ROLES).facts["preparation"]
    assert facts["steps"] == "lemmas, stop words removed except negations"
    assert facts["words"] == {
        "train": {"before": 6, "after": 4},
        "dev": {"before": 5, "after": 3},
        "test": {"before": 2, "after": 2},
    }
    assert facts["kept_their_stop_words"] == 1
    assert facts["seconds"] >= 0


def test_slices_and_transfer_sets_are_prepared_too(tmp_path):
    (tmp_path / "news.txt").write_text("Мои платья\nТвои туфли\n", encoding="utf-8")
    data = task(lemmatise=True).prepare(Source("a test", tmp_path, ("news.txt",)), ("transfer",))
    assert {task(lemmatise=True).input(e) for e in data.roles["transfer"]} == {"мой платье", "твой туфля"}
    sliced = task(lemmatise=True, limit=30).prepare(source(), ROLES)
    assert sliced.facts["preparation"]["words"]["train"]["before"] == sum(
        count_words(example["text"]) for example in sliced.roles["train"]
    )


def test_progress_goes_through_all_examples():
    seen: list[tuple[int, int]] = []
    task(lemmatise=True).prepare(source(), ROLES, lambda done, total: seen.append((done, total)))
    assert seen == [(number, 168) for number in range(1, 169)]


@pytest.mark.parametrize(
    "wrong", [{"lemmatise": 1}, {"stop_words": "drop"}, {"max_words": 0}, {"max_words": 2.5}, {"keep_negations": "yes"}]
)
def test_params_refuse(wrong):
    with pytest.raises(ValidationError):
        SentimentParams.model_validate(wrong)


def test_real_reviews_lose_a_quarter_of_their_words_and_none_its_text():
    root = Path(os.environ.get("HARNESS_DATA_DIR", "")) / "rureviews"
    if "HARNESS_DATA_DIR" not in os.environ or not root.is_dir():
        pytest.skip("HARNESS_DATA_DIR with a folder rureviews is not set")
    params = RuReviewsParams(lemmatise=True, stop_words="remove", dev=1500, test=3000)
    files = tuple(sorted(path.name for path in root.iterdir()))
    data = Sentiment(params).prepare(Source("real", root, files), ROLES)
    words = data.facts["preparation"]["words"]["train"]
    assert 0.7 < words["after"] / words["before"] < 0.8
    assert 0 < data.facts["preparation"]["kept_their_stop_words"] < 50
    assert all(normalise(Sentiment(params).input(e)) for examples in data.roles.values() for e in examples)


# -------------------------------------------------------------------------------------------------------- a whole suite

SUITE = """
schema = 1
[suite]
name = "lemmas"
title = "What lemmas buy"
anchor = { model = "lstm", compress = "none", lemmas = false }
[task]
use = "sentiment"
source = "bundled:harness_sentiment/data/quickstart"
limit = 600
max_length = 48
[models.lstm]
use = "lstm"
hidden_size = 16
vocab_size = 800
train = { distil = "finetune", epochs = 1, batch_size = 32 }
[matrix]
lemmas = [false, true]
seed = [1]
[matrix.sets]
lemmas = "task.lemmatise"
[measure]
speed = false
"""


def planned(text: str):
    registry = load_registry()
    machine = {"isa": "x86-64", "identity": {"cpu": "box"}}
    context = Context(registry=registry, places=Places(), machine=machine, library_version=lambda name: "1.0")
    return list(make_plan(parse_suite(text, registry), context).stages.values())


def test_every_row_is_timed_on_the_same_texts_and_prepares_them_as_its_own_task_does():
    speed = SUITE.replace("speed = false", 'speed = { workloads = ["single"] }')
    anchor, lemmas = (stage for stage in planned(speed) if stage.kind == "measure")
    assert anchor.inputs["data"] == lemmas.inputs["data"]
    assert "tasks" not in anchor.params, "as in suites that were run before"
    assert lemmas.params["tasks"] == {"row.none": {"limit": 600, "lemmatise": True}}
    assert lemmas.options["tasks"]["row.none"]["params"]["lemmatise"] is True
    assert lemmas.options["task"]["params"]["lemmatise"] is False


def test_timed_requests_begin_with_the_raw_text(tmp_path):
    (tmp_path / "examples.jsonl").write_text(json.dumps({"id": "1", "text": "Мои", AHEAD: {"lemmas": "мой"}}) + "\n")
    files = {"examples": str(tmp_path / "examples.jsonl"), "answerer": "fake_answerers:Fake", "model": {}, "threads": 1}
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    assert SubjectLoop(files).examples == [{"id": "1", "text": "Мои"}]


def test_slices_are_an_axis_of_which_each_reads_the_whole_source():
    slices = SUITE.replace("lemmas = [false, true]", "reviews = [3000, 9000]").replace("limit = 600\n", "")
    slices = slices.replace('lemmas = "task.lemmatise"', 'reviews = "task.limit"').replace(
        "lemmas = false", "reviews = 3000"
    )
    prepared = [stage for stage in planned(slices) if stage.kind == "prepare"]
    assert [stage.params["limit"] for stage in prepared] == [3000, 9000]
    assert prepared[0].data == prepared[1].data


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    from conftest import Project

    project = Project(tmp_path_factory.mktemp("lemmas"))
    project.write(SUITE, "lemmas.toml")
    project.harness("run", "lemmas.toml")
    return project


def documents(project, kind: str):
    lines = (project.folder / "reports/lemmas.records.jsonl").read_text(encoding="utf-8").splitlines()
    return [doc for doc in map(json.loads, lines) if doc["kind"] == kind]


def test_an_axis_trains_and_scores_both_on_the_same_examples(ran):
    cells = documents(ran, "cell")
    assert [cell["status"] for cell in cells] == ["ok", "ok"]
    assert cells[0]["quality"]["examples"] == cells[1]["quality"]["examples"]
    assert cells[0]["quality"]["samples"] != cells[1]["quality"]["samples"]
    facts = [data["facts"] for data in documents(ran, "run")[0]["task"]["data"]]
    assert ["preparation" in one for one in facts] == [False, True]


def test_predict_takes_raw_text_and_prepares_it_as_the_cell_says(ran):
    forms = ("--text", "Хорошее платье", "--text", "хорошие платья", "--json")
    same, other = (
        [json.loads(line)["scores"] for line in ran.harness("predict", "lemmas.toml", "--only", f"lemmas={on}", *forms).out.splitlines()]
        for on in ("true", "false")
    )  # fmt: skip
    assert same[0] == same[1]
    assert other[0] != other[1]


def test_the_version_of_the_dictionary_is_in_the_key_of_lemmas_alone(ran):
    keys = [json.loads(path.read_text()) for path in ran.folder.glob(".harness/objects/**/key.json")]
    prepared = [key for key in keys if key["kind"] == "prepare"]
    libraries = {json.dumps(key["params"], sort_keys=True): set(key["libraries"]) for key in prepared}
    bare = {"limit": 600, "roles": ["train", "dev", "test"]}
    assert libraries == {
        json.dumps(bare, sort_keys=True): set(),
        json.dumps({**bare, "lemmatise": True}, sort_keys=True): {"pymorphy3", "pymorphy3-dicts-ru"},
    }
