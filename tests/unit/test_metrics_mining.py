"""Scores and thresholds of mined pairs against values by hand, and against every threshold."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from runtime.metrics.mining import accepted, best_threshold, crossfit, half, mining_f1

GOLDEN = Path(__file__).parents[1] / "golden" / "metrics"


def read(name: str) -> Any:
    return yaml.safe_load((GOLDEN / f"{name}.yaml").read_text(encoding="utf-8"))


def pairs(names: Any) -> Any:
    """Give each foreign sentence an English one of its own."""
    if isinstance(names, dict):
        return {(name, f"en-{name}"): score for name, score in names.items()}
    return [(name, f"en-{name}") for name in names]


@pytest.mark.parametrize("case", [pytest.param(c, id=c["case"]) for c in read("pairs")])
def test_pairs_by_hand(case: dict[str, Any]) -> None:
    gold, predicted = (list(map(tuple, case[side])) for side in ("gold", "predicted"))
    assert mining_f1(gold, predicted) == pytest.approx(case["expected"])


@pytest.mark.parametrize("case", [pytest.param(c, id=c["case"]) for c in read("thresholds")])
def test_thresholds_by_hand(case: dict[str, Any]) -> None:
    scores, gold = pairs(case["scores"]), pairs(case["gold"])
    found = best_threshold(scores, gold)
    assert found == pytest.approx(case["threshold"], rel=1e-15)
    assert mining_f1(gold, accepted(scores, found))["mining_f1"] == pytest.approx(case["dev"])


def test_crossfit_by_hand() -> None:
    case = read("crossfit")
    assert {name: half(name) for name in case["halves"]} == case["halves"]
    assert crossfit(pairs(case["scores"]), pairs(case["gold"])) == pytest.approx(case["expected"])


def test_both_partners_of_a_sentence_are_in_one_half() -> None:
    # A wrong partner of s0 goes with s0: half 0 is cut by half 1, at the middle of 1.5 and 1.1.
    scores = {("s0", "x"): 1.4, ("s0", "y"): 1.2, ("s2", "x"): 1.5, ("s2", "y"): 1.1}
    gold = [("s0", "x"), ("s2", "x")]
    found = crossfit(scores, gold)
    assert found["threshold_0"] == pytest.approx(1.3)
    assert found["threshold_1"] == pytest.approx(1.3)
    assert found["mining_f1"] == 100.0


def test_a_threshold_that_was_tuned_is_not_scored_on_itself() -> None:
    # Tuned on the pairs that it scores, any mining has a threshold that looks good.
    scores = {(f"s{n}", "x"): 2.0 - n / 100 for n in range(60)}
    gold = [pair for pair in scores if half(pair[0]) == 0][:10]
    gold += [pair for pair in scores if half(pair[0]) == 1][-10:]
    own = mining_f1(gold, accepted(scores, best_threshold(scores, gold)))["mining_f1"]
    assert crossfit(scores, gold)["mining_f1"] < own


def test_float32_scores() -> None:
    # The two have a middle in float64 but none in float32, where it rounds to the lower one.
    low = np.float32(1.0)
    high = np.nextafter(low, np.float32(2.0))
    scores = {("a", "x"): high, ("b", "x"): low}
    threshold = best_threshold(scores, [("a", "x")])
    assert accepted(scores, threshold) == {("a", "x")}
    assert json.loads(json.dumps(threshold)) == threshold


def test_halves_are_about_equal() -> None:
    assert 450 < sum(half(f"de-{number:09}") for number in range(1000)) < 550


def test_what_cannot_be_scored() -> None:
    one = {("s0", "x"): 1.0}
    with pytest.raises(ValueError, match="no gold pairs"):
        mining_f1([], one)
    with pytest.raises(ValueError, match="without gold pairs"):
        best_threshold(one, [])
    with pytest.raises(ValueError, match="without mined pairs"):
        best_threshold({}, list(one))
    with pytest.raises(ValueError, match="not finite"):
        best_threshold({("s0", "x"): math.nan}, list(one))
    with pytest.raises(ValueError, match="without gold pairs"):
        crossfit({("s0", "x"): 1.0, ("s2", "x"): 1.0}, list(one))


MINED = st.dictionaries(
    st.tuples(st.sampled_from([f"s{n}" for n in range(9)]), st.sampled_from("xyz")),
    st.integers(-3, 6).map(lambda n: n / 4),
    min_size=1,
    max_size=14,
)
GOLD = st.sets(
    st.tuples(st.sampled_from([f"s{n}" for n in range(9)]), st.sampled_from("xyz")),
    min_size=1,
    max_size=8,
)


@settings(max_examples=100, deadline=None)
@given(MINED, GOLD, st.randoms(use_true_random=False))
def test_no_threshold_is_better(scores: dict[Any, float], gold: set[Any], draw: Any) -> None:
    found = best_threshold(scores, gold)
    f1 = mining_f1(gold, accepted(scores, found))["mining_f1"]
    tried = {t: mining_f1(gold, accepted(scores, t))["mining_f1"] for t in scores.values()}
    assert f1 == max(tried.values())
    fewer = [t for t in tried if accepted(scores, t) < accepted(scores, found)]
    assert all(tried[t] < f1 for t in fewer)
    # No score is nearer to the cut from below than from above.
    nearest = {t: abs(t - found) for t in scores.values()}
    if any(t < found for t in nearest):
        above = min(d for t, d in nearest.items() if t >= found)
        assert above == pytest.approx(min(d for t, d in nearest.items() if t < found))
    shuffled = list(scores.items())
    draw.shuffle(shuffled)
    assert best_threshold(dict(shuffled), gold) == found


@settings(max_examples=50, deadline=None)
@given(GOLD, GOLD)
def test_any_sets(gold: set[Any], predicted: set[Any]) -> None:
    found = mining_f1(gold, predicted)
    p, r = found["precision"], found["recall"]
    assert all(0 <= value <= 100 for value in found.values())
    assert found["mining_f1"] == pytest.approx(2 * p * r / (p + r) if p else 0.0)
    assert set(mining_f1(gold, gold).values()) == {100.0}
