"""Design: the slope that a study could be expected to detect, and the noise that it met."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import replace

import numpy as np
import polars as pl

from compiler.planning import LEVELS, Ladder, Noise, Size, band, detectable, smallest_margin
from runtime.analysis.components import NAMES, Components, components
from runtime.analysis.estimands import View, label
from runtime.analysis.estimate import Estimate
from runtime.analysis.grid import DIRECT, ENGLISH

ASIDE = ("self_pair", "control_arm", "exploratory")


def prospects(scores: pl.DataFrame, view: View) -> Iterator[Estimate]:
    """Yield what the planned design could detect, the noise found, and what that means for a next.

    ``scores`` has a row for every planned score, finished or not. The planned figures rest on noise
    assumed beforehand; with the noise that was measured they are for planning another study. For
    this one they would be "observed power", which only says the p-value in other words.
    """
    ladder = planned(scores, view.axis)
    named = replace(
        label(view, "detectable", "points", "zero_shot", "*"),
        n_tasks=ladder.tasks, n_languages=math.floor(ladder.languages), n_seeds=ladder.seeds,
        n_sizes=sum(len(family) for family in ladder.families),
        method="noncentral t, power 0.8, two-sided 0.05",
    )  # fmt: skip
    for name, noise in band().items():
        yield from _levels(replace(named, variant=f"planned_{name}"), ladder, noise)
    found = measured(view)
    if found is None:
        return
    for name in NAMES:
        value = getattr(found, name)
        about = ""
        if name == "checkpoint" and value is not None:
            about = f"{found.checkpoint_df} degrees of freedom"
        yield replace(
            label(view, "noise", "points", "zero_shot", "*"), subset=name, estimate=value,
            method="mean squared differences", reason=about if value is not None else
            "this study cannot tell it",
        )  # fmt: skip
    yield from _levels(replace(named, variant="next_study"), ladder, found.noise(Noise()))


def _levels(named: Estimate, ladder: Ladder, noise: Noise) -> Iterator[Estimate]:
    for level in LEVELS:
        found, margin = detectable(ladder, level, noise), smallest_margin(ladder, level, noise)
        known = math.isfinite(found)
        yield replace(
            named, level=level, estimate=found if known else None,
            reason="" if known else "this level cannot be had with such a design",
        )  # fmt: skip
        if known and named.variant == "planned_base":
            yield replace(
                named, level=level, variant="smallest_margin", estimate=margin,
                method="two one-sided tests, power 0.8 at a slope of zero",
            )  # fmt: skip


def planned(scores: pl.DataFrame, axis: str) -> Ladder:
    """Return the counts of a study from the rows of its plan, of the panel that is fine-tuned."""
    marks = [
        each
        for each in scores["flags"].unique().drop_nulls().to_list()
        if any(flag in each for flag in ASIDE)
    ]
    aside = pl.col("flags").is_in(marks)
    column = "params_total" if axis == "total" else "params_nonembedding"
    rows = scores.filter((pl.col("panel") == "trained") & ~aside.fill_null(False)).select(
        "model", "family", column, "arm", "target", "language", "seed"
    )
    models = rows.select("model", "family", column).unique("model").sort("family", column, "model")
    families: dict[str, list[Size]] = {}
    for r in models.to_dicts():
        families.setdefault(r["family"], []).append(Size(math.log10(r[column])))
    arms = rows.filter(pl.col("arm") != DIRECT)
    foreign = arms.filter(pl.col("language") != ENGLISH)
    languages = foreign.group_by("target").agg(pl.col("language").n_unique())["language"]
    return Ladder(
        families=tuple(tuple(sizes) for sizes in families.values()),
        intermediates=arms["arm"].n_unique(),
        tasks=foreign["target"].n_unique(),
        languages=float(languages.sum()) / max(len(languages), 1),
        seeds=rows["seed"].n_unique(),
    )


def measured(view: View) -> Components | None:
    """Return the noise in the largest family, averaged as variances over the intermediates."""
    names = np.asarray(view.grid.families, dtype=object)
    families = sorted(dict.fromkeys(view.grid.families), key=lambda f: -int((names == f).sum()))
    if not families:
        return None
    member = names == families[0]
    english = np.asarray([code == ENGLISH for code in view.grid.languages])
    each = []
    for arm in np.flatnonzero(view.counted.any(axis=(1, 2))):
        cases = view.counted[arm] & ~english
        scores = view.grid.scores[member][:, [0, 1 + arm]]
        kept = np.where(cases[None, None, ..., None], scores, np.nan)
        each.append(components(kept, view.grid.size(view.axis)[member]))
    if not each:
        return None
    means: Mapping[str, float | None] = {name: _root_mean(each, name) for name in NAMES}
    return Components(checkpoint_df=min(c.checkpoint_df for c in each), **means)


def _root_mean(each: list[Components], name: str) -> float | None:
    known = [value for c in each if (value := getattr(c, name)) is not None]
    return math.sqrt(sum(value**2 for value in known) / len(known)) if known else None
