"""Claims: the rule of every verdict, the estimates behind them, and those of X-STILTs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from pydantic import ValidationError
from scoretables import put, table, where
from studies import SMALL, resolved

from compiler.check import check
from compiler.claims import Claim
from compiler.expand import expand
from runtime.analysis.claims import Judgement, Subset, estimates, judge_claims, verdict
from runtime.analysis.estimate import Estimate
from runtime.report.claims import claims_table

ROOT = Path(__file__).parents[2]
ANALYSIS = {"size_axis": "non_embedding", "degenerate": "exclude"}
BLANK = Estimate(
    "gain", "L2", "points", "zero_shot", "trained", "*", "*", "*", "total", "claim", estimate=0.0
)
SEEN = {"de": {"seen": True}, "fr": {"seen": True}, "th": {"seen": False}, "my": {"seen": False}}


def claim(**fields: Any) -> Mapping[str, Any]:
    """Return a claim as a plan keeps it."""
    given = {
        "claim": "c", "says": "it does help", "estimand": "gain", "direction": "positive",
        "source": "a paper",
    } | fields  # fmt: skip
    return Claim.model_validate(given).entry()


@pytest.mark.parametrize(
    ("direction", "wide", "narrow", "word"),
    [
        ("positive", (0.1, 2.0), (0.3, 1.8), "replicated"),
        ("positive", (-2.0, -0.1), (-1.8, -0.3), "contradicted"),
        ("positive", (-0.1, 2.0), (0.1, 1.8), "inconclusive"),
        ("positive", (0.0, 2.0), (0.1, 1.8), "inconclusive"),
        ("negative", (-2.0, -0.1), (-1.8, -0.3), "replicated"),
        ("negative", (0.1, 2.0), (0.3, 1.8), "contradicted"),
        ("negative", (-2.0, 0.1), (-1.8, -0.1), "inconclusive"),
        ("none", (-1.1, 1.1), (-0.9, 0.9), "replicated"),
        ("none", (0.1, 0.9), (0.2, 0.8), "replicated"),
        ("none", (1.1, 3.0), (1.3, 2.8), "contradicted"),
        ("none", (-3.0, -1.1), (-2.8, -1.3), "contradicted"),
        ("none", (-0.5, 1.5), (-0.3, 1.3), "inconclusive"),
    ],
)
def test_every_rule(
    direction: str, wide: tuple[float, float], narrow: tuple[float, float], word: str
) -> None:
    e = replace(BLANK, lo=wide[0], hi=wide[1], lo90=narrow[0], hi90=narrow[1])
    assert verdict(direction, e, 1.0)[0] == word


def test_without_an_interval_nothing_is_judged() -> None:
    word, reason = verdict("positive", replace(BLANK, reason="one seed"), None)
    assert (word, reason) == ("not testable here", "one seed")


def made(gain: float, *, noise: float = 0.05, seeds: int = 3) -> pl.DataFrame:
    """Scores after two arms, of which `b` gains half as much; unseen languages gain nothing."""
    rng = np.random.default_rng(3)

    def score(m: str, a: str, t: str, lang: str, k: int) -> float:
        size = {"s": 1.0, "m": 2.0}[m]
        part = {"none": 0.0, "a": 1.0, "b": 0.5}[a] * (lang in ("en", "de", "fr"))
        return 50 + 5 * (t == "B") + gain * size * part + rng.normal(0, noise)

    return table(
        score, sizes={"s": 1e8, "m": 1e9}, arms=("a", "b"), targets=("A", "B", "C"),
        languages=("en", "de", "fr", "th", "my"), seeds=range(seeds),
    )  # fmt: skip


def judged(scores: pl.DataFrame, **fields: Any) -> Judgement:
    (only,) = judge_claims(scores, [claim(**fields)], ANALYSIS, SEEN)
    return only


@pytest.mark.parametrize(
    ("fields", "value", "word"),
    [
        ({"of": {"intermediates": ["a"], "languages": "seen"}}, 3.0, "replicated"),
        ({"of": {"intermediates": ["a"], "languages": ["de"]}, "level": "L1"}, 3.0, "replicated"),
        ({"of": {"languages": "seen"}, "direction": "negative"}, 2.25, "contradicted"),
        ({"of": {"languages": "unseen"}, "level": "L1"}, 0.0, "inconclusive"),
        ({"of": {"languages": "unseen"}, "direction": "none", "margin": 0.5}, 0.0, "replicated"),
        ({"of": {"languages": "seen"}, "direction": "none", "margin": 0.5}, 2.25, "contradicted"),
        ({"of": {"models": ["m"], "intermediates": ["b"], "languages": "seen"}}, 2.0, "replicated"),
        ({"estimand": "difference", "of": {"intermediates": ["a"], "languages": "seen"}}, 2.0,
         "replicated"),
        ({"estimand": "slope", "of": {"intermediates": ["a"], "languages": "seen"}}, 2.0,
         "replicated"),
        ({"estimand": "arm_difference", "of": {"intermediates": ["a"], "languages": "seen"},
          "against": ["b"]}, 1.5, "replicated"),
        ({"estimand": "arm_difference", "of": {"intermediates": ["b"], "languages": "seen"},
          "against": ["a"]}, -1.5, "contradicted"),
    ],
)  # fmt: skip
def test_verdicts_and_their_estimates(fields: dict[str, Any], value: float, word: str) -> None:
    found = judged(made(2.0), **fields)
    assert found.verdict == word
    assert found.estimate is not None
    assert found.estimate.estimate == pytest.approx(value, abs=0.06)


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"of": {"intermediates": ["c"]}}, "no intermediate c"),
        ({"of": {"targets": ["Z"], "models": ["x"]}}, "no model x, no target Z"),
        ({"untestable": "another design"}, "another design"),
        ({"level": "L3"}, "L3 needs a line"),
        ({"estimand": "slope", "level": "L3"}, "two sizes fit a line exactly"),
        ({"of": {"targets": ["A"]}}, "one task says nothing about new tasks"),
        ({"estimand": "difference", "of": {"models": ["s"]}}, "exactly two sizes"),
        ({"of": {"languages": ["xx"]}}, "no scores of both arms"),
    ],
)
def test_what_is_not_testable_here(fields: dict[str, Any], why: str) -> None:
    found = judged(made(2.0), **fields)
    assert found.verdict == "not testable here"
    assert why in found.reason


def test_one_seed_is_not_testable_at_l1() -> None:
    assert judged(made(2.0, seeds=1), level="L1").verdict == "not testable here"


def test_whether_the_published_value_fits_is_no_part_of_the_verdict() -> None:
    of = {"intermediates": ["a"], "languages": "seen"}
    near, far = (judged(made(2.0), of=of, value=value) for value in (3.0, 30.0))
    assert (near.verdict, near.covered) == ("replicated", True)
    assert (far.verdict, far.covered) == ("replicated", False)
    rows = claims_table([near, far]).rows
    assert [row[2].note for row in rows] == ["within the interval", "outside the interval"]


def test_arms_are_compared_on_tasks_that_both_have() -> None:
    """A self-pair of one arm takes its task out of the other's mean too."""
    scores = put(made(2.0, noise=0.0), where(arm="a", target="C"), flags="self_pair")
    scores = put(scores, where(arm="b", target="C"), value=99.0)
    subset = Subset(intermediates=("a",), against=("b",), languages="seen")
    found = {e.level: e for e in estimates(scores, subset, ANALYSIS, SEEN, ("arm_difference",))}
    assert found["L2"].estimate == pytest.approx(1.5)
    assert found["L2"].n_tasks == 2
    assert found["L2"].arm == "a - b"


def test_degenerate_runs_are_left_out_as_the_analysis_says() -> None:
    scores = put(made(2.0, noise=0.0), where(arm="a", seed=1), value=0.0, status="degenerate")
    of = {"intermediates": ["a"], "languages": "seen"}
    (healthy,) = judge_claims(scores, [claim(of=of)], ANALYSIS, SEEN)
    (every,) = judge_claims(scores, [claim(of=of)], ANALYSIS | {"degenerate": "keep"}, SEEN)
    assert healthy.estimate is not None
    assert every.estimate is not None
    assert healthy.estimate.estimate == pytest.approx(3.0)
    assert (every.estimate.estimate or 0.0) < 0


@pytest.mark.parametrize(
    "fields",
    [
        {"estimand": "arm_difference"},
        {"against": ["b"]},
        {"estimand": "arm_difference", "against": ["b"]},
        {"direction": "none"},
        {"margin": 1.0},
        {"level": "L4"},
    ],
)
def test_claims_that_make_no_sense(fields: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        claim(**fields)


def test_a_claim_about_what_is_not_there_is_noted() -> None:
    entry = {"claim": "c", "says": "it does help", "estimand": "gain", "direction": "positive",
             "of": {"intermediates": ["pair"]}, "source": "a paper"}  # fmt: skip
    small = SMALL | {"catalog": str(ROOT / "tests" / "catalog")}
    found = [d for d in resolved(small, claims=[entry]).diagnostics if d.code == "C280"]
    assert [(d.severity, d.hint) for d in found] == [("note", "did you mean `pairs`?")]
    with pytest.raises(Exception, match="S000"):
        resolved(small, claims=[entry, entry])


def test_the_claims_of_x_stilts() -> None:
    """Every claim is judged by the study's own arms and targets, or says why it is not."""
    study = check(ROOT / "specs" / "studies" / "x-stilts.yaml", installed=False)
    assert "C280" not in {d.code for d in study.diagnostics}
    plan = expand(study)
    strong = ("mnli", "squad_v1", "squad_v2", "hellaswag")
    rng = np.random.default_rng(1)
    rows = []
    for run in plan.runs:
        raw = plan.tasks[run.target]["kind"] in ("retrieval", "bitext_mining")
        gain = {"none": 0.0, "all_tasks": 2.5}.get(run.arm, 2.0 if run.arm in strong else 0.5)
        gain *= -1.0 if run.target in ("xquad", "mlqa", "tydiqa_goldp") else 4.0 if raw else 1.0
        noise = rng.normal(0, 0.2)
        rows += [
            {"model": run.model, "family": "xlm-r", "params_total": 559, "params_nonembedding": 303,
             "arm": run.arm, "target": run.target, "panel": "retrieval" if raw else "trained",
             "language": language, "seed": run.seed, "value": 60 + gain + noise, "n": 1000,
             "chance": 0.0, "status": "finished", "flags": ";".join(run.flags)}
            for language in run.languages
        ]  # fmt: skip
    found = judge_claims(pl.DataFrame(rows), plan.study["claims"], plan.study["analysis"], {})
    assert {one.claim["claim"]: one.verdict for one in found} == {
        "retrieval_gains": "replicated",
        "question_answering_gains": "contradicted",
        "best_single_tasks": "replicated",
        "multi_task_adds": "replicated",
        "best_per_target": "not testable here",
        "replay_adds_nothing": "not testable here",
        "translation_adds_nothing": "not testable here",
    }
    assert next(x for x in found if x.claim["claim"] == "best_per_target").claim["value"] == 5.4
