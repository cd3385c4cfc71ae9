"""Comparisons: intermediates with each other, sizes with each other, and the best of many."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import combinations

import numpy as np

from runtime.analysis import contrasts, slopes
from runtime.analysis.crossfit import Chosen, choose_overall, choose_per_target
from runtime.analysis.estimands import View, filled, label
from runtime.analysis.estimate import Estimate
from runtime.analysis.grid import Floats
from runtime.analysis.interactions import between_arms
from runtime.analysis.ranks import rank_intervals


def compare(view: View) -> Iterator[Estimate]:
    """Yield every comparison of zero-shot gains and slopes in points."""
    yield from _arms(view)
    yield from _sizes(view)
    yield from _best(view)


def _counted_arms(view: View) -> list[int]:
    """Return the places of the arms that an average over arms includes and that have cases."""
    return [int(i) for i in np.flatnonzero(view.counted.any(axis=(1, 2)))]


def _arms(view: View) -> Iterator[Estimate]:
    """Yield the difference of two intermediates' slopes: the interaction with size."""
    line, languages = view.line, contrasts.spoken(view.grid, "zero_shot")
    values = view.means.mean
    if line is None:
        return
    for one, other in combinations(_counted_arms(view), 2):
        contrast = between_arms(view.cases, one, other, languages)
        found = slopes.measure(
            contrast, line.weights, view.means, values, np.ones_like(values),
            shared_runs=view.grid.shared_runs, line=line, levels=("L1", "L2", "L3"),
        )  # fmt: skip
        names = f"{view.grid.arms[1 + one]} - {view.grid.arms[1 + other]}"
        named = label(view, "arm_difference", "points", "zero_shot", names)
        yield from _levels(named, found)


def _sizes(view: View) -> Iterator[Estimate]:
    """Yield the gain of each larger size minus that of each smaller one, in points."""
    gain = contrasts.gain(view.counted, contrasts.spoken(view.grid, "zero_shot"))
    models, values = view.grid.models, view.means.mean
    if gain.empty or len(models) < 3:
        return
    for small, large in combinations(range(len(models)), 2):
        step = np.zeros(len(models))
        step[small], step[large] = -1.0, 1.0
        found = slopes.measure(
            gain, step, view.means, values, np.ones_like(values), shared_runs=view.grid.shared_runs
        )
        named = label(view, "size_difference", "points", "zero_shot", "*")
        yield from _levels(replace(named, model=f"{models[large]} - {models[small]}"), found)


def _levels(named: Estimate, found: slopes.Measured) -> Iterator[Estimate]:
    for level, spread in found.spreads.items():
        floors = (found.spreads["L2"],) if level == "L3" else ()
        yield filled(
            replace(named, level=level), found.value, spread, floors, n_tasks=found.tasks,
            n_languages=found.languages, n_sizes=found.sizes, n_seeds=found.seeds,
            n_runs=found.runs,
        )  # fmt: skip


def _best(view: View) -> Iterator[Estimate]:
    """Yield the gain of the best intermediate without the bias of choosing it, and the ranks."""
    arms = _counted_arms(view)
    if len(arms) < 2:
        return
    names = tuple(view.grid.arms[1 + i] for i in arms)
    gains = []
    for m, model in enumerate(view.grid.models):
        by_seed, direct = _by_seed(view, m, arms)
        gain = _gains(view, m, arms)
        gains.append(gain)
        chosen = (
            ("per_target", choose_per_target(by_seed, direct, names)),
            ("overall", choose_overall(gain, names)),
        )
        for variant, found in chosen:
            named = replace(
                label(view, "best_arm", "points", "zero_shot", "*"),
                level="L2", model=model, variant=f"best_{variant}",
            )  # fmt: skip
            yield from _chosen(named, found)
    named = replace(label(view, "rank", "points", "zero_shot", "*"), level="L2")
    ranks = rank_intervals(np.mean(gains, axis=0).T, names)
    for each in ranks:
        place = lo = hi = None
        if each.mean is not None:
            place = 1.0 + sum((other.mean or 0.0) > each.mean for other in ranks)
            lo, hi = float(each.best), float(each.worst)
        reason = each.reason or ("" if place is not None else "it has a score on no task")
        yield replace(
            named, arm=each.name, estimate=place, lo=lo, hi=hi, reason=reason,
            method="studentised bootstrap of tasks, all ranks jointly",
        )  # fmt: skip


def _chosen(named: Estimate, found: Chosen) -> Iterator[Estimate]:
    votes = ", ".join(f"{arm} {100 * share:.0f} %" for arm, share in found.votes.items() if share)
    own = "" if found.reason == found.spread.reason else found.reason
    reason = "; ".join(filter(None, (votes, own)))
    tasks = sum(value is not None for value in found.values)
    yield filled(replace(named, reason=reason), found.estimate, found.spread, n_tasks=tasks)
    yield replace(
        named, variant=f"{named.variant}_naive", estimate=found.naive, n_tasks=tasks,
        method="chosen and scored on the same runs: biased upwards",
        reason="" if found.naive is not None else found.reason,
    )  # fmt: skip


def _weights(view: View, arms: list[int]) -> Floats:
    """Return equal weights over the zero-shot languages of each arm and target."""
    cases = view.counted[arms] & contrasts.spoken(view.grid, "zero_shot")
    count = cases.sum(axis=2, keepdims=True)
    return np.where(count > 0, cases / np.maximum(count, 1), np.nan)


def _gains(view: View, model: int, arms: list[int]) -> Floats:
    """Return the gain of each arm on each target at one size, NaN where there is none."""
    gain = view.means.mean[model, 1:][arms] - view.means.mean[model, :1]
    return np.asarray((_weights(view, arms) * gain).sum(axis=2))


def _by_seed(view: View, model: int, arms: list[int]) -> tuple[Floats, Floats]:
    """Return the scores of arms (arm x target x seed), and of direct over the arms' languages.

    A run with a language missing is left out, for its mean would be over others. Where the arms
    have different languages, direct is over those of the first arm that has the target.
    """
    weights = _weights(view, arms)
    scores = view.grid.scores[model]
    whole = np.where(np.nan_to_num(weights)[..., None] > 0, scores[1:][arms], 0.0)
    own = (weights[..., None] * whole).sum(axis=2)
    first = np.full(weights.shape[1:], np.nan)
    for each in weights:
        first = np.where(np.isnan(first), each, first)
    base = np.where(np.nan_to_num(first)[..., None] > 0, scores[0], 0.0)
    return np.asarray(own), np.asarray((first[..., None] * base).sum(axis=1))
