"""Breadth: in how many tasks and languages, at least, there is a gain, and how often runs fail."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
import polars as pl

from runtime.analysis import contrasts, slopes
from runtime.analysis.conjunction import both_ways
from runtime.analysis.contrasts import Contrast
from runtime.analysis.estimands import View, label, of_task
from runtime.analysis.estimate import Estimate
from runtime.analysis.grid import Floats
from runtime.analysis.proportions import collapse_rates

RUN = ("model", "arm", "target", "seed")


def counts(view: View) -> Iterator[Estimate]:
    """Yield at least how many tasks and languages gain, lose, rise and fall, for new seeds (L1).

    At each size the gain, and over the sizes its slope, above zero and below it.
    """
    zero_shot = contrasts.spoken(view.grid, "zero_shot")
    codes = view.grid.languages
    kinds = {
        "tasks": [
            contrasts.gain(of_task(view.counted, i), zero_shot)
            for i in range(len(view.grid.targets))
        ],
        "languages": [
            contrasts.gain(view.counted, (np.arange(len(codes)) == i) & zero_shot)
            for i in range(len(codes))
        ],
    }
    weights: list[tuple[str, Floats]] = [
        (model, np.eye(len(view.grid.models))[m]) for m, model in enumerate(view.grid.models)
    ]
    if view.line is not None:
        weights.append(("*", view.line.weights))
    for model, size in weights:
        for kind, each in kinds.items():
            yield from _count(view, model, size, kind, [c for c in each if not c.empty])


def _count(
    view: View, model: str, size: Floats, kind: str, each: Sequence[Contrast]
) -> Iterator[Estimate]:
    if not each:
        return
    values = view.means.mean
    found = [
        slopes.measure(
            one, size, view.means, values, np.ones_like(values),
            shared_runs=view.grid.shared_runs, levels=("L1",),
            line=view.line if model == "*" else None,
        )
        for one in each
    ]  # fmt: skip
    both = both_ways([f.value for f in found], [f.spreads["L1"] for f in found])
    for way, at_least in zip(("above zero", "below zero"), both, strict=True):
        lack = f"{at_least.unknown} of {at_least.total} have no interval"
        named = replace(label(view, "count", "points", "zero_shot", "*"), model=model)
        yield replace(
            named, subset=f"{kind} {way}", estimate=float(at_least.count), tests=at_least.total,
            correction="partial conjunction, Bonferroni", reason=lack if at_least.unknown else "",
            method="one-sided t over new seeds, each way at 0.025",
        )  # fmt: skip


def collapses(scores: pl.DataFrame, named: Estimate) -> Iterator[Estimate]:
    """Yield the share of runs that collapsed, by size and arm, and its change from direct.

    Counted are the runs that ended with a score, in the panel that is fine-tuned.
    """
    ended = scores.filter(
        pl.col("status").is_in(["finished", "degenerate"]) & (pl.col("panel") == "trained")
    )
    runs = ended.group_by(RUN, maintain_order=True).agg(
        (pl.col("status") == "degenerate").any().alias("collapsed")
    )
    places = (runs, runs.with_columns(model=pl.lit("*", dtype=runs.schema["model"])))
    table = pl.concat(places).group_by("model", "arm")
    found = table.agg(pl.col("collapsed").sum(), pl.len().alias("runs")).sort("model", "arm")
    pairs = {(r["model"], r["arm"]): (r["collapsed"], r["runs"]) for r in found.to_dicts()}
    for (model, arm), (rate, difference) in collapse_rates(pairs).items():
        at = replace(named, level="L1", model=model, arm=arm)
        yield replace(
            at, estimand="collapse_rate", estimate=rate.rate, lo=rate.lo, hi=rate.hi,
            n_runs=rate.n, method="Wilson", reason=f"{rate.count} of {rate.n} runs",
        )  # fmt: skip
        if difference is not None:
            yield replace(
                at, estimand="collapse_difference", estimate=difference.difference,
                lo=difference.lo, hi=difference.hi, method="Newcombe, method 10",
                reason=difference.reason, n_runs=rate.n,
            )  # fmt: skip
