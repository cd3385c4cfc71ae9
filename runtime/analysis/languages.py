"""Languages: slope and gain of each, of groups by script, family and pretraining, and why."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from runtime.analysis import contrasts, slopes
from runtime.analysis.estimands import View, by_cell, filled, label, sizes
from runtime.analysis.estimate import Estimate
from runtime.analysis.grid import Floats, rescale
from runtime.analysis.interactions import between_languages
from runtime.analysis.metaregression import PER_MODERATOR, permuted, regress
from runtime.analysis.sandwich import cluster_regression

Facts = Mapping[str, Mapping[str, Any]]
"""By code of a language: ``script``, ``family``, ``seen`` in pretraining, ``share`` of it."""

GROUPINGS = ("script", "family", "seen")
SEEN = {True: "seen", False: "unseen"}


@dataclass(frozen=True, slots=True)
class _One:
    code: str
    slope: float
    variance: float | None


def by_language(view: View, facts: Facts) -> Iterator[Estimate]:
    """Yield slopes and gains of languages and of their groups, in points, without English."""
    zero_shot = contrasts.spoken(view.grid, "zero_shot")
    everyone = contrasts.gain(view.counted, zero_shot)
    line = view.line
    if everyone.empty:
        return
    scaled = rescale(view.means.mean, view.grid, "points")
    singles: list[_One] = []
    for i in np.flatnonzero(everyone.share.any(axis=0)):
        code = view.grid.languages[i]
        only = np.arange(len(view.grid.languages)) == i
        one = contrasts.gain(view.counted, only, languages_vary=False)
        if line is not None:
            found = slopes.measure(
                one, line.weights, view.means, *scaled,
                shared_runs=view.grid.shared_runs, line=line,
            )  # fmt: skip
            yield from _written(view, "language_slope", f"language: {code}", found)
            if found.value is not None:
                singles.append(_One(code, found.value, found.spreads["L1"].variance))
    for grouping in GROUPINGS:
        yield from _groups(view, facts, grouping, scaled)
    if line is not None:
        cells = by_cell(view, everyone, line.weights)
        yield from _differences(view, facts, cells)
        yield from _moderators(view, facts, singles)


def group_of(facts: Facts, code: str, grouping: str) -> str:
    """Return the group of a language in words; empty where it is not known."""
    value = facts.get(code, {}).get(grouping)
    return "" if value is None else SEEN[value] if isinstance(value, bool) else str(value)


def _groups(
    view: View, facts: Facts, grouping: str, scaled: tuple[Floats, Floats]
) -> Iterator[Estimate]:
    """Yield slope and gains of each group of languages."""
    zero_shot = contrasts.spoken(view.grid, "zero_shot")
    groups = [group_of(facts, code, grouping) for code in view.grid.languages]
    used = np.asarray(view.counted.any(axis=(0, 1)) & zero_shot, dtype=np.bool_)
    for name in sorted({g for g, u in zip(groups, used.tolist(), strict=True) if g and u}):
        member = used & np.asarray([g == name for g in groups])
        gain = contrasts.gain(view.counted, member)
        subset = f"{grouping}: {name}"
        named = replace(label(view, "group_gain", "points", "zero_shot", "*"), subset=subset)
        yield from sizes(view, gain, scaled, named)
        if view.line is not None:
            found = slopes.measure(
                gain, view.line.weights, view.means, *scaled,
                shared_runs=view.grid.shared_runs, line=view.line,
            )  # fmt: skip
            yield from _written(view, "group_slope", subset, found)


def _differences(view: View, facts: Facts, cells: Floats) -> Iterator[Estimate]:
    """Yield each group's slope minus that of the other languages with a known group."""
    for grouping in GROUPINGS:
        groups = [group_of(facts, code, grouping) for code in view.grid.languages]
        known = np.asarray([bool(g) for g in groups])
        left = np.where(known, cells, np.nan)
        present: list[bool] = np.isfinite(left).any(axis=0).tolist()  # type: ignore[assignment]
        names = sorted({g for g, p in zip(groups, present, strict=True) if p})
        if len(names) < 2:
            continue
        for name in names[:1] if len(names) == 2 else names:
            found = between_languages(left, [g == name for g in groups])
            other = names[1] if len(names) == 2 else "others"
            named = replace(
                label(view, "group_difference", "points", "zero_shot", "*"),
                level="L2", subset=f"{grouping}: {name} - {other}",
            )  # fmt: skip
            yield filled(
                named, found.estimate, found.spread,
                n_tasks=max(found.tasks, default=0), n_languages=sum(found.languages),
            )  # fmt: skip


def moderators(facts: Facts, codes: Sequence[str]) -> dict[str, Floats]:
    """Return what may explain differences between languages, the primary one first.

    That is the share of the pretraining data, where it is published; then the script, and whether
    the language was seen at all. NaN where a fact is not known.
    """

    def column(value: Any) -> Floats:
        return np.asarray([value(facts.get(code, {})) for code in codes], dtype=np.float64)

    def share(fact: Mapping[str, Any]) -> float:
        return float(np.log10(fact["share"])) if fact.get("share") else float("nan")

    def latin(fact: Mapping[str, Any]) -> float:
        return float(fact["script"] == "Latn") if fact.get("script") else float("nan")

    def seen(fact: Mapping[str, Any]) -> float:
        return float("nan") if fact.get("seen") is None else float(fact["seen"])

    named = {"log10 share of pretraining": share, "Latin script": latin, "seen": seen}
    columns = {name: column(value) for name, value in named.items()}
    return {name: c for name, c in columns.items() if len(set(c[~np.isnan(c)].tolist())) > 1}


def _moderators(view: View, facts: Facts, singles: Sequence[_One]) -> Iterator[Estimate]:
    """Yield each moderator's coefficient on the languages' slopes, one moderator at a time.

    By random effects, by its permutation test, and by least squares with language families as
    clusters. All are exploratory.
    """
    for name, column in moderators(facts, [one.code for one in singles]).items():
        kept = [(one, x) for one, x in zip(singles, column, strict=True) if not np.isnan(x)]
        y = [one.slope for one, _ in kept]
        x = np.asarray([[value] for _, value in kept])
        named = replace(
            label(view, "moderator", "points", "zero_shot", "*"),
            level="L2", subset=name, n_languages=len(kept),
            reason=f"{len(kept)} languages; about {PER_MODERATOR} are asked for"
            if len(kept) < PER_MODERATOR else "",
        )  # fmt: skip
        v = [float("nan") if one.variance is None else one.variance for one, _ in kept]
        fit = regress(y, v, x, (name,)).coefficients[1]
        yield filled(replace(named, variant="meta_reml_guarded"), fit.estimate, fit.guarded)
        dealt = permuted(y, v, x, method="DL")[0]  # a thousand times: by the quick estimator
        yield replace(
            named, variant="permuted", estimate=fit.estimate, p=dealt.p, reason=dealt.reason,
            method="permutation of the languages",
        )  # fmt: skip
        clusters = [facts.get(one.code, {}).get("family") or one.code for one, _ in kept]
        term = cluster_regression(y, x, (name,), clusters)[1]
        yield filled(replace(named, variant="families_as_clusters"), term.estimate, term.spread)


def _written(view: View, estimand: Any, subset: str, found: slopes.Measured) -> Iterator[Estimate]:
    for level, spread in found.spreads.items():
        named = replace(
            label(view, estimand, "points", "zero_shot", "*"), level=level, subset=subset
        )
        yield filled(
            named, found.value, spread, n_tasks=found.tasks, n_languages=found.languages,
            n_sizes=found.sizes, n_seeds=found.seeds, n_runs=found.runs,
        )  # fmt: skip
