"""Scores of answers against values worked out by hand, and what holds for any answers."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from runtime.metrics import score
from runtime.metrics.answers import mlqa, squad, squad_v2
from runtime.metrics.normalise import mlqa_words, squad_words

GOLDEN = Path(__file__).parents[1] / "golden" / "metrics"


def cases(name: str) -> list[Any]:
    found = yaml.safe_load((GOLDEN / f"{name}.yaml").read_text(encoding="utf-8"))
    return [pytest.param(case, id=case["case"]) for case in found]


@pytest.mark.parametrize("case", cases("squad"))
def test_squad_by_hand(case: dict[str, Any]) -> None:
    assert squad(case["gold"], case["predicted"]) == pytest.approx(case["expected"])


@pytest.mark.parametrize("case", cases("mlqa"))
def test_mlqa_by_hand(case: dict[str, Any]) -> None:
    rules = ["official", "fixed"] if "both" in case else [case.get("arabic", "official")]
    for arabic in rules:
        found = mlqa(case["gold"], case["predicted"], case["language"], arabic)
        assert found == pytest.approx(case["expected"]), arabic


@pytest.mark.parametrize("case", cases("squad_v2"))
def test_squad_v2_by_hand(case: dict[str, Any]) -> None:
    scores = case.get("no_answer")
    found = squad_v2(case["gold"], case["predicted"], scores, case.get("threshold", 0.0))
    assert found.keys() == case["expected"].keys()
    for key, value in case["expected"].items():
        if value == "below":
            assert -math.inf < found[key] < min(scores.values()), key
        else:
            assert found[key] == pytest.approx(value), key


def test_the_main_score_is_f1() -> None:
    assert next(iter(squad({"q": ["a b"]}, {}))) == "f1"
    assert next(iter(mlqa({"q": ["a b"]}, {}, "en"))) == "f1"
    assert next(iter(squad_v2({"q": []}, {}))) == "f1"


@pytest.mark.parametrize("language", ["ar", "de", "en", "es", "hi", "vi", "zh"])
def test_all_punctuation_goes_in_every_language_of_mlqa(language: str) -> None:
    marks = "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~¡¿§«»·–—‘’“”…、。「」《》！？，；：（）،؛؟۔।॥"
    assert mlqa_words(marks, language) == []
    assert mlqa_words(f"x{marks}5", language) == ["x5"]
    assert squad_words("¿«。؟।") == ["¿«。؟।"]


def test_articles_of_mlqa() -> None:
    every = {
        "en": "a an the",
        "es": "un una unos unas el la los las",
        "de": "ein eine einen einem eines einer der die das den dem des",
        "vi": "của là cái chiếc những",
        "hi": "",
        "zh": "",
        "ar": "ال",
    }
    for language, articles in every.items():
        assert mlqa_words(articles.upper(), language) == []
        for other in every.keys() - {language}:
            if language != "ar" and articles:
                assert set(articles.split()) & set(mlqa_words(articles, other)), (language, other)


def test_a_language_without_a_rule_is_refused() -> None:
    with pytest.raises(ValueError, match="no rule for the language `fr`"):
        mlqa({"q": ["le chat"]}, {"q": "chat"}, "fr")


@pytest.mark.parametrize("metric", [squad, squad_v2, lambda g, p: mlqa(g, p, "en")])
def test_what_cannot_be_scored(metric: Any) -> None:
    with pytest.raises(ValueError, match="nothing to score"):
        metric({}, {})
    with pytest.raises(ValueError, match="1 predictions are for no example, the first for `r`"):
        metric({"q": ["cat"]}, {"q": "cat", "r": "dog"})


def test_a_question_without_an_answer_needs_squad_v2() -> None:
    with pytest.raises(ValueError, match="`q` has no answer"):
        squad({"q": []}, {"q": ""})


def test_no_answer_scores_must_fit() -> None:
    with pytest.raises(ValueError, match="other ids"):
        squad_v2({"q": [], "r": []}, {"q": "", "r": ""}, {"q": 1.0})
    with pytest.raises(ValueError, match="not finite"):
        squad_v2({"q": []}, {"q": ""}, {"q": math.nan})


def test_by_the_name_of_the_metric() -> None:
    gold, predicted = {"q": ["مال"]}, {"q": "م"}
    assert score("squad", gold, predicted) == squad(gold, predicted)
    assert score("mlqa", gold, predicted, language="ar") == {
        "f1": 100.0,
        "em": 100.0,
        "fixed_f1": 0.0,
        "fixed_em": 0.0,
    }
    assert score("mlqa", gold, predicted, language="en") == {"f1": 0.0, "em": 0.0}
    assert score("squad", gold, predicted, no_answer={"q": 1.0})["best_f1_thresh"] < 1.0
    with pytest.raises(ValueError, match="needs the language"):
        score("mlqa", gold, predicted)


# --- what holds for any answers --------------------------------------------------------------

LATIN = "a an the The cat Cat! dog à a\u0300 der eine Hund la luna là mèo — 5 ..."
WORDS = st.sampled_from([*LATIN.split(), "中国", "中", "北京。", "البيت", "مال"])
TEXT = st.lists(WORDS, max_size=4).map(" ".join)
LANGUAGE = st.sampled_from(["ar", "de", "en", "es", "hi", "vi", "zh"])
QUESTION = st.tuples(st.lists(TEXT, min_size=1, max_size=3), st.none() | TEXT)
QUESTIONS = st.lists(QUESTION, min_size=1, max_size=6)
OPEN = st.tuples(st.lists(TEXT, max_size=2), st.none() | TEXT, st.integers(-3, 3))


def split(questions: list[Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    gold = {f"q{n}": answers for n, (answers, *_) in enumerate(questions)}
    texts = {f"q{n}": text for n, (_, text, *_) in enumerate(questions) if text is not None}
    return gold, texts


@settings(max_examples=60, deadline=None)
@given(QUESTIONS, LANGUAGE, st.sampled_from(["official", "fixed"]))
def test_f1_is_at_least_the_match_unless_nothing_is_left(
    questions: list[Any], language: str, arabic: Any
) -> None:
    gold, predicted = split(questions)
    normalised = (squad_words, lambda text: mlqa_words(text, language, arabic))
    scores = (squad(gold, predicted), mlqa(gold, predicted, language, arabic))
    for words, found in zip(normalised, scores, strict=True):
        assert 0 <= found["f1"] <= 100
        assert 0 <= found["em"] <= 100
        empty = sum(not words(text) for text in predicted.values())
        assert found["f1"] >= found["em"] - 100 * empty / len(gold) - (1e-9 if empty else 0)


@settings(max_examples=40, deadline=None)
@given(QUESTIONS, LANGUAGE)
def test_a_perfect_prediction(questions: list[Any], language: str) -> None:
    gold, _ = split(questions)
    perfect = {name: answers[0] for name, answers in gold.items()}
    words = [squad_words(text) for text in perfect.values()]
    found = squad(gold, perfect)
    assert found["em"] == 100
    assert found["f1"] == pytest.approx(100 * sum(map(bool, words)) / len(words))
    words = [mlqa_words(text, language) for text in perfect.values()]
    found = mlqa(gold, perfect, language)
    assert found["em"] == 100
    assert found["f1"] == pytest.approx(100 * sum(map(bool, words)) / len(words))


@settings(max_examples=40, deadline=None)
@given(
    st.lists(OPEN, min_size=1, max_size=7).flatmap(
        lambda q: st.tuples(st.just(q), st.permutations(q))
    )
)
def test_the_order_changes_nothing(pair: tuple[list[Any], list[Any]]) -> None:
    first, second = (
        squad_v2(*split(q), {f"q{n}": s for n, (_, t, s) in enumerate(q) if t is not None})
        for q in pair
    )
    assert first == pytest.approx(second, abs=1e-9)
    spans = [[q for q in questions if q[0]] for questions in pair]
    if spans[0]:
        assert squad(*split(spans[0])) == squad(*split(spans[1]))
        assert mlqa(*split(spans[0]), "de") == mlqa(*split(spans[1]), "de")


@settings(max_examples=60, deadline=None)
@given(st.lists(OPEN, min_size=1, max_size=7))
def test_no_threshold_is_better_than_the_best(questions: list[Any]) -> None:
    gold, predicted = split(questions)
    scores = {f"q{n}": s for n, (_, t, s) in enumerate(questions) if t is not None}
    found = squad_v2(gold, predicted, scores)
    for key in ("f1", "exact") if scores else ():
        tried = {t: squad_v2(gold, predicted, scores, t)[key] for t in range(-4, 4)}
        assert found[f"best_{key}"] == pytest.approx(max(tried.values()))
        there = squad_v2(gold, predicted, scores, found[f"best_{key}_thresh"])[key]
        assert there == pytest.approx(found[f"best_{key}"])


def test_perfect_with_and_without_answers() -> None:
    gold = {"a": ["cat"], "b": []}
    found = squad_v2(gold, {"a": "Cat", "b": "dog"}, {"a": -1.0, "b": 1.0})
    assert {v for k, v in found.items() if not k.endswith("thresh")} == {100.0}
