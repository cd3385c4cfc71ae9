"""Simulated studies: the intervals cover the truth they name, as often as they say."""

from __future__ import annotations

import numpy as np
import pytest

from runtime.analysis.estimands import View, look, pooled
from runtime.analysis.estimate import LARGER, SMALLER
from runtime.analysis.grid import Floats, Grid
from runtime.analysis.robustness import alternatives

STUDIES = 2000
X = np.log10([2.7e8, 5.5e8, 3.5e9, 1.07e10])
CENTRED = X - X.mean()
TRUE_SLOPE = -0.6
TASKS, LANGUAGES, SEEDS = 7, 10, 3


def simulate(
    rng: np.random.Generator, checkpoint_sd: float, slope: float = TRUE_SLOPE
) -> tuple[Floats, float]:
    """Draw the scores of one study, and the slope that its tasks, languages and sizes have.

    The components are sd in points: task 1.5 and 0.8 per tenfold, language 0.5 and 0.3, task x
    language 0.5 and 0.3, size x task 0.5, test set 0.3, run 0.6 shared over languages, score 0.5.
    """
    sizes = len(X)
    x = CENTRED[:, None, None]
    task, task_slope = rng.normal(0, 1.5, (1, TASKS, 1)), rng.normal(0, 0.8, (1, TASKS, 1))
    lang, lang_slope = rng.normal(0, 0.5, (1, 1, LANGUAGES)), rng.normal(0, 0.3, (1, 1, LANGUAGES))
    both = (1, TASKS, LANGUAGES)
    gain = (
        2.0 + task + lang + rng.normal(0, 0.5, both)
        + (slope + task_slope + lang_slope + rng.normal(0, 0.3, both)) * x
        + rng.normal(0, 0.5, (sizes, TASKS, 1))
        + rng.normal(0, 0.3, (sizes, TASKS, LANGUAGES))
        + rng.normal(0, checkpoint_sd, (sizes, 1, 1))
    )  # fmt: skip
    realised = float(CENTRED @ gain.mean(axis=(1, 2)) / (CENTRED @ CENTRED))
    scores = 60.0 + np.stack([np.zeros_like(gain), gain], axis=1)[..., None]
    run = rng.normal(0, 0.6, (sizes, 2, TASKS, 1, SEEDS))
    return scores + run + rng.normal(0, 0.5, (sizes, 2, TASKS, LANGUAGES, SEEDS)), realised


def study(scores: Floats) -> View:
    sizes = len(X)
    grid = Grid(
        models=tuple(f"m{i}" for i in range(sizes)),
        families=("one",) * sizes,
        total=10.0**X,
        non_embedding=10.0**X,
        arms=("none", "mnli"),
        targets=tuple(f"t{i}" for i in range(TASKS)),
        languages=tuple(f"l{i}" for i in range(LANGUAGES)),
        seeds=tuple(range(SEEDS)),
        scores=scores,
        chance=np.zeros((TASKS, LANGUAGES)),
        examples=np.full((TASKS, LANGUAGES), 1000.0),
        self_pair=np.zeros((2, TASKS), dtype=np.bool_),
        shared_text=np.zeros((2, TASKS), dtype=np.bool_),
        shared_runs=False,
    )
    return look(grid, "trained", "primary", "non_embedding", None)


@pytest.mark.slow
@pytest.mark.parametrize("checkpoint_sd", [0.0, 0.5])
def test_coverage_of_the_three_levels(checkpoint_sd: float) -> None:
    rng = np.random.default_rng(20240611)
    covered = dict.fromkeys(("L1", "L2", "L3"), 0)
    for _ in range(STUDIES):
        scores, realised = simulate(rng, checkpoint_sd)
        for e in pooled(study(scores)):
            truth = realised if e.level == "L1" else TRUE_SLOPE
            assert e.lo is not None
            assert e.hi is not None
            covered[e.level] += e.lo <= truth <= e.hi
    share = {level: hits / STUDIES for level, hits in covered.items()}
    # Three Monte Carlo standard errors of 95 % in 2000 studies are 1.5 points; beside that, two-way
    # clusters are known to cover 94 to 96 %, pooled run variances 95 to 97 %.
    assert 0.93 <= share["L1"] <= 0.98
    assert 0.935 <= share["L3"]
    if checkpoint_sd == 0.0:
        assert 0.93 <= share["L2"] <= 0.97
    else:
        # Read as a law of size, the second level covers too little: the reason for the third.
        assert share["L2"] < 0.90


@pytest.mark.slow
def test_size_seldom_matters_where_it_does_not() -> None:
    rng = np.random.default_rng(7)
    wrong = dict.fromkeys(("L2", "L3"), 0)
    for _ in range(STUDIES):
        for e in pooled(study(simulate(rng, 0.0, slope=0.0)[0]), ("L2", "L3")):
            wrong[e.level] += e.verdict in (LARGER, SMALLER)
    assert wrong["L2"] / STUDIES <= 0.07
    assert wrong["L3"] / STUDIES <= 0.07


@pytest.mark.slow
def test_the_other_estimators_cover_too() -> None:
    rng = np.random.default_rng(11)
    studies = 400
    # What t, Hartung-Knapp and the studentised bootstrap are measured to cover in this design is
    # 94 to 95 %; three Monte Carlo standard errors of 400 studies are 3.3 points.
    names = ("t_over_tasks", "meta_reml", "meta_reml_guarded", "meta_pm", "bootstrap")
    covered = dict.fromkeys(names, 0)
    signs = 0
    for _ in range(studies):
        view = study(simulate(rng, 0.0)[0])
        for e in alternatives(view):
            if e.estimand == "slope" and e.variant in covered:
                assert e.lo is not None
                assert e.hi is not None
                covered[e.variant] += e.lo <= TRUE_SLOPE <= e.hi
        flat = study(simulate(rng, 0.0, slope=0.0)[0])
        (flip,) = (e for e in alternatives(flat) if e.variant == "sign_flip")
        assert flip.p is not None
        signs += flip.p <= 0.05
    assert min(covered.values()) / studies >= 0.91
    assert covered["meta_reml_guarded"] >= covered["meta_reml"]
    assert signs / studies <= 0.085
