"""What a series of published scores shows by itself: gains at each size, and their change."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import polars as pl

from runtime.analysis.claims import Subset, estimates
from runtime.analysis.estimate import Estimate
from runtime.analysis.grid import DIRECT
from runtime.analysis.languages import Facts
from runtime.analysis.series import Series


def summary(series: Series, analysis: Mapping[str, Any], facts: Facts) -> tuple[Estimate, ...]:
    """Return gains at each size and their change with size, for each intermediate by itself.

    Sizes enter that have both arms. Languages that were in the models' pretraining and those that
    were not stand apart too. Nothing of a series without an intermediate.
    """
    frame = series.sized
    found: list[Estimate] = []
    for arm in (a for a in frame["arm"].unique(maintain_order=True).to_list() if a != DIRECT):
        part = frame.filter(pl.col("arm").is_in([arm, DIRECT]))
        both = (
            part.group_by("family", "model")
            .agg(pl.col("arm").n_unique().alias("arms"))
            .filter(pl.col("arms") == 2)
        )
        part = part.filter(pl.col("model").is_in(both["model"].implode()))
        families = part["family"].unique(maintain_order=True).to_list()
        for family in families:
            sizes = part.filter(pl.col("family") == family)
            for languages in ("all", "seen", "unseen"):
                subset = Subset(intermediates=(arm,), languages=languages)
                for e in estimates(sizes, subset, analysis, facts, ("gain", "difference", "slope")):
                    several = f"{arm} ({family})" if len(families) > 1 else e.arm
                    named = replace(e, subset=languages, arm=several)
                    if named.n_tasks or languages == "all":
                        found.append(named)
    return tuple(found)
