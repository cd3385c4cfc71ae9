"""The estimate: one number with its level, interval and verdict, and the findings made of many."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from operator import attrgetter
from typing import Literal

import polars as pl

Estimand = Literal[
    "score", "gain", "slope", "difference", "task_slope", "english_gap_change",
    # The main answers above; below, what shows how far they can be trusted and where they differ.
    "language_slope", "group_slope", "group_gain", "group_difference", "moderator", "family_slope",
    "arm_difference", "size_difference", "best_arm", "rank", "tau", "prediction", "count",
    "collapse_rate", "collapse_difference", "run_gain", "noise", "detectable", "seed_correlation",
    "influence", "equivalence",
]  # fmt: skip
Level = Literal["L1", "L2", "L3"]
Scale = Literal["points", "log_error_ratio", "chance_corrected"]
Average = Literal["zero_shot", "xtreme", "english"]

LEVELS: Mapping[Level, str] = {
    "L1": "these checkpoints, tasks and languages, new seeds",
    "L2": "these checkpoints, new tasks and languages",
    "L3": "other checkpoints of such sizes",
}

LARGER = "larger with size"
SMALLER = "smaller with size"
EQUIVALENT = "equivalent within the margin"
INCONCLUSIVE = "inconclusive"
NOT_ESTIMABLE = "not estimable"


@dataclass(frozen=True, slots=True)
class Estimate:
    """What was estimated, over which cells, at which level, and with what result.

    ``arm`` is ``*`` for the mean over the intermediate arms, ``model`` is ``*`` for a statement
    over sizes, ``target`` is ``*`` for the mean over tasks; an ``english_gap_change`` with model
    ``*`` is the slope of that change. Slopes are per tenfold parameters, differences are the larger
    size minus the smaller. On every scale a positive gain means that the training helps:

    - ``points``: score points, 0 to 100;
    - ``log_error_ratio``: -ln((100 - arm) / (100 - direct)), the relative error reduction;
    - ``chance_corrected``: 100 (y - chance) / (100 - chance), which is points where chance is 0.

    ``lo`` and ``hi`` are the 95 % interval, ``lo90`` and ``hi90`` the 90 % interval that is held
    against the margin; ``margin`` is the declared one where it applies, to slopes in points.
    ``subset`` names a part of the languages, such as ``script: Latn``, a moderator or a cluster.
    ``adjusted`` is the p adjusted for the ``tests`` of its family by ``correction``.
    ``reason`` says why a number is missing, or what to mind about it.
    """

    estimand: Estimand
    level: Level
    scale: Scale
    average: Average
    panel: str
    arm: str
    model: str
    target: str
    axis: str
    variant: str
    estimate: float | None = None
    se: float | None = None
    df: float | None = None
    lo: float | None = None
    hi: float | None = None
    p: float | None = None
    lo90: float | None = None
    hi90: float | None = None
    verdict: str = ""
    reason: str = ""
    n_tasks: int = 0
    n_languages: int = 0
    n_sizes: int = 0
    n_seeds: int = 0
    n_runs: int = 0
    method: str = ""
    margin: float | None = None
    subset: str = "*"
    adjusted: float | None = None
    tests: int = 0
    correction: str = ""


@dataclass(frozen=True, slots=True)
class Findings:
    """Everything a report says: the scores, their cells, the estimates and what fell out.

    ``cells`` has one row per model, intermediate arm, target and language; ``missing`` one row for
    each run, cell, pair, arm or size that is not in the primary estimates, with the reason.
    """

    scores: pl.DataFrame
    cells: pl.DataFrame
    estimates: tuple[Estimate, ...]
    missing: pl.DataFrame
    headline: Estimate
    counts: Mapping[str, int]
    _index: dict[str, list[Estimate]] = field(default_factory=dict, repr=False, compare=False)

    def select(self, **names: str) -> tuple[Estimate, ...]:
        """Return the estimates whose fields have the given values, in order."""
        if "estimand" not in names:
            return _matching(self.estimates, names)
        if not self._index:
            index: dict[str, list[Estimate]] = {}
            for e in self.estimates:
                index.setdefault(e.estimand, []).append(e)
            self._index.update(index)  # at once: threads never see half of it
        return _matching(self._index.get(names["estimand"], ()), names)


def _matching(estimates: Iterable[Estimate], names: Mapping[str, str]) -> tuple[Estimate, ...]:
    if not names:
        return tuple(estimates)
    wanted = next(iter(names.values())) if len(names) == 1 else tuple(names.values())
    look = attrgetter(*names)
    return tuple(e for e in estimates if look(e) == wanted)


def judge(
    interval95: tuple[float, float], interval90: tuple[float, float], margin: float | None
) -> tuple[str, str]:
    """Return the verdict word of a slope and what to mind about it.

    A 95 % interval on one side of zero gives the direction. Else a 90 % interval inside the margin
    gives equivalence: that is both one-sided tests at 5 % (Schuirmann 1987). Else the data do not
    decide; a wide interval around zero is never read as "no effect".
    """
    low, high = interval95
    within = margin is not None and -margin < interval90[0] and interval90[1] < margin
    if low > 0 or high < 0:
        word = LARGER if low > 0 else SMALLER
        return word, "within the margin" if within else ""
    if within:
        return EQUIVALENT, ""
    if margin is None:
        return INCONCLUSIVE, "no margin was declared, so equivalence cannot be concluded"
    return INCONCLUSIVE, ""
