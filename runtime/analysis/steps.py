"""Steps from one study's headline slope to another's: what each only has, and what differs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import polars as pl

from runtime.analysis.analyse import counted, of_panel
from runtime.analysis.estimands import look, pooled
from runtime.analysis.estimate import Estimate
from runtime.analysis.grid import build

PLACE = ("panel", "model", "arm", "target", "language", "seed")
"""What makes two scores of two studies the same score."""


@dataclass(frozen=True, slots=True)
class Step:
    """A slope on the way from one study to the other, by level, and what led to it."""

    what: str
    levels: Mapping[str, Estimate]


def steps(
    one: pl.DataFrame, other: pl.DataFrame, plans: tuple[Mapping[str, Any], Mapping[str, Any]]
) -> list[Step]:
    """Return four slopes: of the first study, of both on the scores they share, of the second.

    The three changes between them sum to the difference of the two studies: the scores that only
    the first has go, those that both have take the other's values (and analysis plan), and those
    that only the second has come in. ``plans`` are the analysis blocks.
    """
    first, second = (
        _counted(scores, plan) for scores, plan in zip((one, other), plans, strict=True)
    )
    return [
        Step("the first study", _slope(first, plans[0])),
        Step(
            "without the scores that only the first has", _slope(_within(first, second), plans[0])
        ),
        Step("the same scores as the second has them", _slope(_within(second, first), plans[1])),
        Step("with the scores that only the second has", _slope(second, plans[1])),
    ]


def _counted(scores: pl.DataFrame, plan: Mapping[str, Any]) -> pl.DataFrame:
    healthy = plan.get("degenerate", "exclude") == "exclude"
    return of_panel(counted(scores, healthy=healthy), "trained")


def _within(scores: pl.DataFrame, others: pl.DataFrame) -> pl.DataFrame:
    there = others.filter(pl.col("value").is_not_null()).select(PLACE)
    return scores.join(there, on=PLACE, how="semi", maintain_order="left")


def _slope(scores: pl.DataFrame, plan: Mapping[str, Any]) -> dict[str, Estimate]:
    if scores.filter(pl.col("value").is_not_null()).is_empty():
        return {}
    axis = str(plan.get("size_axis", "non_embedding"))
    view = look(build(scores, shared_runs=False), "trained", "primary", axis, plan.get("margin"))
    return {e.level: e for e in pooled(view)}
