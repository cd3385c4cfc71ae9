"""Families: the mean of the size slopes of several model families, and how they differ."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import ArrayLike

from runtime.analysis.grid import Floats
from runtime.analysis.intervals import Spread, satterthwaite

METHOD = "t over families + variance over tasks, Welch df"


@dataclass(frozen=True, slots=True)
class Mean:
    """An estimate over tasks or families with its spread; ``n`` is what the spread is over."""

    name: str
    estimate: float | None
    spread: Spread
    n: int


@dataclass(frozen=True, slots=True)
class Families:
    """The mean slope over families, each family's own, and the differences of any two.

    The differences are paired over tasks, and over all of them only the tasks that every family
    has count. ``tasks`` is how many these are.
    """

    mean: Mean
    each: tuple[Mean, ...]
    differences: tuple[Mean, ...]
    tasks: int


def over_families(slopes: ArrayLike, names: Sequence[str]) -> Families:
    """Average slopes (family x task, missing where there is none) over families and tasks.

    Two families are never joined in one line. With b_f the mean over tasks of family f and b_t that
    over families of task t,

        V = var(b_f) / F + var(b_t) / T,   Welch's df of F - 1 and T - 1

    (Welch 1947, Biometrika 34, 28-35; Satterthwaite 1946, Biometrics Bulletin 2, 110-114). What
    differs between families and tasks at once is counted in both, on purpose. It is the level L3:
    other families and checkpoints, other tasks; one family cannot have it.
    """
    b = np.asarray(slopes, dtype=np.float64).reshape(len(names), -1)
    b = b[:, ~np.isnan(b).any(axis=0)]
    families, tasks = b.shape
    each = tuple(_over_tasks(name, row) for name, row in zip(names, b, strict=True))
    differences = tuple(
        _over_tasks(f"{names[i]} - {names[j]}", b[i] - b[j])
        for i, j in combinations(range(families), 2)
    )
    value = float(b.mean()) if b.size else None
    reason = ""
    if value is None:
        reason = "no task has a slope in every family"
    elif families < 2:
        reason = "one family says nothing about other families"
    elif tasks < 2:
        reason = "one task says nothing about new tasks"
    spread = Spread(None, None, METHOD, reason)
    if not reason:
        parts = [b.mean(axis=1).var(ddof=1) / families, b.mean(axis=0).var(ddof=1) / tasks]
        spread = Spread(float(sum(parts)), satterthwaite(parts, [families - 1, tasks - 1]), METHOD)
    return Families(Mean("*", value, spread, families), each, differences, tasks)


def _over_tasks(name: str, slopes: Floats) -> Mean:
    n, method = len(slopes), "t over tasks, t(T - 1)"
    if n < 2:
        reason = "one task says nothing about new tasks" if n else "there are no tasks"
        value = float(slopes[0]) if n else None
        return Mean(name, value, Spread(None, None, method, reason), n)
    return Mean(
        name, float(slopes.mean()), Spread(float(slopes.var(ddof=1)) / n, n - 1.0, method), n
    )
