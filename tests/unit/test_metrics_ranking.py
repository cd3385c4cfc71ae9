"""Scores of rankings against values worked out by hand, and what holds for any ranking."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from runtime.metrics import score
from runtime.metrics.ranking import map_at_k, mrr_at_k

GOLDEN = Path(__file__).parents[1] / "golden" / "metrics"
CASES = yaml.safe_load((GOLDEN / "ranking.yaml").read_text(encoding="utf-8"))


@pytest.mark.parametrize("case", [pytest.param(case, id=case["case"]) for case in CASES])
def test_by_hand(case: dict[str, Any]) -> None:
    sides, k = (case["relevant"], case["ranked"]), case["k"]
    assert map_at_k(*sides, k) == {f"map_at_{k}": pytest.approx(case["expected"]["map"])}
    assert mrr_at_k(*sides, k) == {f"mrr_at_{k}": pytest.approx(case["expected"]["mrr"])}


def test_twenty_by_the_name_of_the_metric() -> None:
    names = [f"c{number}" for number in range(30)]
    at_20, at_21 = {"q": ["c19"]}, {"q": ["c20"]}
    for metric in ("map_at_20", "mrr_at_20"):
        assert score(metric, at_20, {"q": names}) == {metric: pytest.approx(5.0)}
        assert score(metric, at_21, {"q": names}) == {metric: 0.0}
        assert score(metric, {"q": names}, {"q": names}) == {metric: pytest.approx(100.0)}


@pytest.mark.parametrize("metric", [map_at_k, mrr_at_k])
def test_what_cannot_be_scored(metric: Any) -> None:
    with pytest.raises(ValueError, match="nothing to score"):
        metric({}, {})
    with pytest.raises(ValueError, match="for no example, the first for `r`"):
        metric({"q": ["a"]}, {"r": ["a"]})
    with pytest.raises(ValueError, match="nothing is relevant to the query `q`"):
        metric({"q": []}, {"q": ["a"]})
    with pytest.raises(ValueError, match="names a candidate twice"):
        metric({"q": ["a"]}, {"q": ["a", "a"]})
    with pytest.raises(ValueError, match="k is 0"):
        metric({"q": ["a"]}, {"q": ["a"]}, 0)


NAMES = [f"c{number}" for number in range(8)]
QUERY = st.tuples(
    st.lists(st.sampled_from(NAMES), min_size=1, max_size=5, unique=True),
    st.permutations(NAMES).flatmap(lambda p: st.integers(0, 8).map(lambda n: p[:n])),
)
QUERIES = st.lists(QUERY, min_size=1, max_size=5)


def by_definition(relevant: list[str], ranked: list[str], k: int) -> float:
    """Return average precision as its definition reads: the precision at every relevant rank."""
    total = 0.0
    for rank in range(1, min(k, len(ranked)) + 1):
        if ranked[rank - 1] in relevant:
            total += len(set(ranked[:rank]) & set(relevant)) / rank
    return total / min(k, len(relevant))


@settings(max_examples=50, deadline=None)
@given(QUERIES.flatmap(lambda q: st.tuples(st.just(q), st.permutations(q))), st.integers(1, 12))
def test_any_ranking(pair: tuple[list[Any], list[Any]], k: int) -> None:
    values = []
    for queries in pair:
        relevant = {f"q{n}": right for n, (right, _) in enumerate(queries)}
        ranked = {f"q{n}": found for n, (_, found) in enumerate(queries)}
        values.append(
            (*map_at_k(relevant, ranked, k).values(), *mrr_at_k(relevant, ranked, k).values())
        )
        assert map_at_k(relevant, relevant, k) == {f"map_at_{k}": 100.0}
        assert mrr_at_k(relevant, relevant, k) == {f"mrr_at_{k}": 100.0}
    assert values[0] == values[1]
    precise, reciprocal = values[0]
    expected = sum(by_definition(right, found, k) for right, found in pair[0]) / len(pair[0])
    assert precise == pytest.approx(100 * expected)
    assert 0 <= precise <= 100
    assert 0 <= reciprocal <= 100
    if all(len(right) == 1 for right, _ in pair[0]):
        assert precise == pytest.approx(reciprocal)
