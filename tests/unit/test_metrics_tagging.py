"""Scores of tags against values worked out by hand, seqeval, and what holds for any tags."""

from __future__ import annotations

import random
import warnings
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from seqeval.metrics import f1_score

from runtime.metrics import classification, score
from runtime.metrics.tagging import UPOS, accuracy, span_f1, xtreme_f1

GOLDEN = Path(__file__).parents[1] / "golden" / "metrics"
BIO = ["O", "B-PER", "I-PER", "B-LOC", "I-LOC", "E-PER", "S-LOC"]


def cases(name: str) -> list[Any]:
    found = yaml.safe_load((GOLDEN / f"{name}.yaml").read_text(encoding="utf-8"))
    return [pytest.param(case, id=case["case"]) for case in found]


@pytest.mark.parametrize("case", cases("tagging"))
def test_spans_by_hand(case: dict[str, Any]) -> None:
    assert span_f1(case["gold"], case["predicted"]) == pytest.approx(case["expected"])
    assert next(iter(span_f1(case["gold"], case["predicted"]))) == "span_f1"


@pytest.mark.parametrize("case", cases("xtreme_f1"))
def test_parts_of_speech_by_hand(case: dict[str, Any]) -> None:
    found = score("xtreme_f1", case["gold"], case["predicted"])
    assert found == pytest.approx(case["expected"])
    assert next(iter(found)) == "xtreme_f1"
    beside = score("accuracy", case["gold"], case["predicted"])
    assert beside == found
    assert next(iter(beside)) == "accuracy"


def spans(tags: list[str]) -> set[tuple[str, int, int]]:
    """Read spans as conlleval's rules state them, without its two tables of transitions."""
    found: list[list[Any]] = []
    before = "O"
    for place, tag in enumerate(tags):
        prefix, _, kind = tag.partition("-")
        goes_on = (
            before != "O"
            and before[0] not in "ES"
            and prefix not in "BS"
            and before.partition("-")[2] == kind
        )
        if tag != "O":
            if goes_on:
                found[-1][2] = place
            else:
                found.append([kind, place, place])
        before = tag
    return {(kind, start, end) for kind, start, end in found}


def corpora(tags: list[str], number: int) -> Any:
    """Yield gold and noisy predicted sentences, some empty."""
    draw = random.Random(7)
    for _ in range(number):
        some = draw.sample(tags, draw.randint(1, len(tags)))
        gold = [
            [draw.choice(some) for _ in range(draw.randint(0, 8))]
            for _ in range(draw.randint(1, 5))
        ]
        gold.append([draw.choice(some)])
        yield gold, [[t if draw.random() < 0.6 else draw.choice(some) for t in s] for s in gold]


def named(sentences: list[list[str]]) -> dict[str, list[str]]:
    return {f"s{number}": sentence for number, sentence in enumerate(sentences)}


def test_spans_as_seqeval_and_as_the_rules_say() -> None:
    positive = 0
    for gold, predicted in corpora(BIO, 200):
        found = span_f1(named(gold), named(predicted))
        ours = {(n, *span) for n, s in enumerate(gold) for span in spans(s)}
        theirs = {(n, *span) for n, s in enumerate(predicted) for span in spans(s)}
        f1 = 200 * len(ours & theirs) / max(1, len(ours) + len(theirs))
        assert found["span_f1"] == pytest.approx(f1), (gold, predicted)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # no spans
            assert found["span_f1"] == pytest.approx(100 * f1_score(gold, predicted))
        positive += f1 > 0
    assert positive > 50


def test_bare_tags_as_old_seqeval() -> None:
    # The installed version compares whole tags too if they follow the prefix it cuts off; but not
    # the tag `_`, which it takes for no type.
    differ = 0
    tags = [*sorted(UPOS - {"_"}), "SYM", "SCONJ", "CCONJ", "INTJ"]
    for gold, predicted in corpora(tags, 200):
        found = xtreme_f1(named(gold), named(predicted))["xtreme_f1"]
        whole = [[[f"{t[0]}-{t}" for t in s] for s in side] for side in (gold, predicted)]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # strange prefixes
            assert found == pytest.approx(100 * f1_score(*whole)), (gold, predicted)
            differ += found != pytest.approx(100 * f1_score(gold, predicted))
    assert differ > 10  # bare tags score otherwise there


def test_bare_tags_in_o_and_a_point_are_outside_of_spans() -> None:
    # Old seqeval takes the first letter for a prefix: O is outside, and so is a point.
    gold = {"s": ["O", ".", "NOUN", "OTHER"]}
    assert xtreme_f1(gold, {"s": ["O", ".", "VERB", "OTHER"]}) == {"xtreme_f1": 0.0}
    assert xtreme_f1(gold, {"s": ["NOUN", "VERB", "NOUN", "."]}) == {"xtreme_f1": 50.0}


@pytest.mark.parametrize("metric", [accuracy, span_f1, xtreme_f1, classification.accuracy])
def test_what_cannot_be_scored(metric: Any) -> None:
    with pytest.raises(ValueError, match="nothing to score"):
        metric({}, {})
    with pytest.raises(ValueError, match="for no example, the first for `t`"):
        metric({"s": ["O"]}, {"t": ["O"]})


@pytest.mark.parametrize("metric", [accuracy, span_f1, xtreme_f1])
def test_as_many_tags_as_words(metric: Any) -> None:
    with pytest.raises(ValueError, match="`t` has 2 words and 1 predicted tags"):
        metric({"s": ["O"], "t": ["O", "O"]}, {"s": ["O"], "t": ["O"]})


def test_words_are_needed() -> None:
    with pytest.raises(ValueError, match="no sentence has a word"):
        accuracy({"s": []}, {})


@pytest.mark.parametrize("tag", ["PER", "B", "B-", "L-PER", "o", "OX", ""])
def test_tags_that_are_no_spans(tag: str) -> None:
    with pytest.raises(ValueError, match="and not `"):
        span_f1({"s": [tag]}, {"s": ["O"]})


@pytest.mark.parametrize("tag", ["B-PER", ""])
def test_tags_that_are_not_bare(tag: str) -> None:
    with pytest.raises(ValueError, match="not a bare tag"):
        xtreme_f1({"s": [tag]}, {})


def test_classes() -> None:
    gold = {"a": "x", "b": "x", "c": "y", "d": "y"}
    # a is right, b is wrong, c and d are missing.
    assert classification.accuracy(gold, {"a": "x", "b": "y"}) == {"accuracy": 25.0}
    assert score("accuracy", gold, gold) == {"accuracy": 100.0}
    assert score("accuracy", {"a": 0, "b": 1}, {"a": 0}) == {"accuracy": 50.0}


def test_accuracy_of_other_tags_has_nothing_beside_it() -> None:
    gold = {"s": ["N", "S[dcl]\\NP"]}
    assert score("accuracy", gold, gold) == {"accuracy": 100.0}
    assert score("span_f1", {"s": ["O"]}, {"s": ["O"]})["span_f1"] == 0.0


def test_an_unknown_metric() -> None:
    with pytest.raises(ValueError, match="`bleu` is no metric"):
        score("bleu", {"a": "x"}, {"a": "x"})


def sentences(tags: list[str]) -> Any:
    sentence = st.lists(st.sampled_from(tags), min_size=1, max_size=5)
    guess = st.lists(st.none() | st.sampled_from(tags), min_size=5, max_size=5)
    pairs = st.lists(st.tuples(sentence, guess, st.booleans()), min_size=1, max_size=5)
    return pairs.flatmap(lambda found: st.tuples(st.just(found), st.permutations(found)))


def sides(found: list[Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    gold = {f"s{n}": tags for n, (tags, _, _) in enumerate(found)}
    guesses = {f"s{n}": guess[: len(tags)] for n, (tags, guess, kept) in enumerate(found) if kept}
    return gold, guesses


@settings(max_examples=40, deadline=None)
@given(sentences(BIO), sentences(sorted(UPOS)))
def test_any_tags(bio: Any, pos: Any) -> None:
    for (found, shuffled), metric in ((bio, span_f1), (pos, xtreme_f1), (pos, accuracy)):
        gold, predicted = sides(found)
        scores = metric(gold, predicted)
        assert all(0 <= value <= 100 for value in scores.values())
        assert scores == pytest.approx(metric(*sides(shuffled)))
        perfect = metric(gold, gold)
        if metric is not span_f1 or any(tag != "O" for tags in gold.values() for tag in tags):
            assert set(perfect.values()) == {100.0}
