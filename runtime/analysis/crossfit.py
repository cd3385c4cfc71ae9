"""Cross-fitting: the gain of the best intermediate, chosen on some data and scored on other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from runtime.analysis.grid import Floats
from runtime.analysis.intervals import Spread


@dataclass(frozen=True, slots=True)
class Chosen:
    """The gain of the chosen intermediate without the bias of having chosen it.

    ``naive`` is the maximum that chooses and scores on the same data; ``optimism`` how much it
    claims beyond ``estimate``. ``votes`` are how often each arm was chosen, ties split evenly, as
    shares; ``values`` the gain for each target, None where nothing could be held out. ``spread`` is
    that of a t over targets.
    """

    estimate: float | None
    naive: float | None
    optimism: float | None
    spread: Spread
    values: tuple[float | None, ...]
    votes: Mapping[str, float]
    reason: str = ""


def choose_per_target(scores: ArrayLike, direct: ArrayLike, arms: tuple[str, ...]) -> Chosen:
    """Choose the best arm of every target on all seeds but one, and score it on that one, in turn.

    ``scores`` is arm x target x seed, ``direct`` target x seed, missing where there is no run. The
    maximum of noisy means is above the truth even where all arms are alike; a seed that took no
    part in the choice is not (cross-validation: Stone 1974, Journal of the Royal Statistical
    Society B 36, 111-147). The estimate is that of the arm which K - 1 seeds would choose, which is
    less often the best one than K would. The direct arm takes no part in the choice and enters by
    its mean.
    """
    y, base = np.asarray(scores, dtype=np.float64), np.asarray(direct, dtype=np.float64)
    votes = dict.fromkeys(arms, 0.0)
    values: list[float | None] = []
    maxima: list[float] = []
    for target in range(y.shape[1]):
        cells, control = y[:, target], base[target][~np.isnan(base[target])]
        usable = np.flatnonzero((~np.isnan(cells)).sum(axis=1) > 1)
        if len(usable) == 0 or len(control) == 0:
            values.append(None)
            continue
        held = []
        for seed in range(y.shape[2]):
            rest = np.delete(cells[usable], seed, axis=1)
            best = _best(np.nanmean(rest, axis=1))
            scored = cells[usable[best], seed]
            if np.isnan(scored).any():
                continue
            held.append(float(scored.mean()))
            for arm in usable[best]:
                votes[arms[arm]] += 1.0 / len(best)
        if not held:
            values.append(None)
            continue
        values.append(float(np.mean(held) - control.mean()))
        maxima.append(float(np.nanmean(cells[usable], axis=1).max() - control.mean()))
    return _conclude(values, maxima, votes, "two seeds of an arm")


def choose_overall(gains: ArrayLike, arms: tuple[str, ...]) -> Chosen:
    """Choose one arm for all targets on all targets but one, and score it on that one, in turn.

    ``gains`` is arm x target, missing where there is none. Only targets that all arms have count,
    for arms must be compared on the same ones. The gains of the targets share their choices, so the
    t over targets is an approximation.
    """
    g = np.asarray(gains, dtype=np.float64)
    whole = np.asarray(~np.isnan(g).any(axis=0))
    votes = dict.fromkeys(arms, 0.0)
    values: list[float | None] = []
    for target in range(g.shape[1]):
        others = whole.copy()
        others[target] = False
        if not whole[target] or not others.any():
            values.append(None)
            continue
        best = _best(g[:, others].mean(axis=1))
        values.append(float(g[best, target].mean()))
        for arm in best:
            votes[arms[arm]] += 1.0 / len(best)
    top = [float(g[:, whole].mean(axis=1).max())] if whole.any() and len(g) else []
    return _conclude(values, top, votes, "two targets that all arms have")


def _best(means: Floats) -> np.ndarray[tuple[int], np.dtype[np.intp]]:
    """Return all arms with the highest mean, so that the order of the arms decides nothing."""
    return np.flatnonzero(means >= means.max() - 1e-12 * np.abs(means).max())


def _conclude(
    values: Sequence[float | None], maxima: Sequence[float], votes: Mapping[str, float], need: str
) -> Chosen:
    known = np.asarray([value for value in values if value is not None])
    method = "cross-fitted, t over targets"
    total = sum(votes.values())
    shares = {arm: vote / total if total else 0.0 for arm, vote in votes.items()}
    if len(known) == 0:
        gone = Spread(None, None, method, f"nothing can be held out without {need}")
        return Chosen(None, None, None, gone, tuple(values), shares, gone.reason)
    estimate, naive = float(known.mean()), float(np.mean(maxima))
    spread = Spread(None, None, method, "one target says nothing about new targets")
    if len(known) > 1:
        spread = Spread(float(known.var(ddof=1)) / len(known), len(known) - 1.0, method)
    lost = len(values) - len(known)
    reason = f"{lost} of {len(values)} targets are left out" if lost else ""
    return Chosen(estimate, naive, naive - estimate, spread, tuple(values), shares, reason)
