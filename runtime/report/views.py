"""Selects from the findings the rows that tables and figures show, so that both show the same."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import polars as pl

from compiler.plan import Plan
from runtime.analysis.estimate import Estimate, Findings
from runtime.coding import coded
from runtime.report.wording import parameters

ENGLISH = "en"


@dataclass(frozen=True, slots=True)
class Names:
    """What the report calls models, arms and tasks, in the order of the plan; all unique."""

    models: Mapping[str, str]
    sizes: Mapping[str, int]
    arms: Mapping[str, str]
    tasks: Mapping[str, str]
    languages: tuple[str, ...]
    axis: str

    @property
    def intermediates(self) -> tuple[str, ...]:
        """The arms other than direct fine-tuning."""
        return tuple(arm for arm in self.arms if arm != "none")

    def model(self, name: str) -> str:
        """Title and size of a model."""
        return f"{self.models.get(name, name)}, {parameters(self.sizes.get(name, 0))}"

    def arm(self, name: str) -> str:
        """Title of an arm; ``*`` is the mean over the declared intermediates."""
        return "mean of intermediates" if name == "*" else self.arms.get(name, name)


def names(plan: Plan) -> Names:
    """Collect the names of a plan."""
    axis = str(plan.study["analysis"]["size_axis"])
    sizes = {name: int(model["parameters"][axis]) for name, model in plan.models.items()}
    return Names(
        models=_unique(plan.models),
        sizes=dict(sorted(sizes.items(), key=lambda item: item[1])),
        arms=_unique(plan.arms),
        tasks=_unique(plan.tasks),
        languages=tuple(str(code) for code in plan.study["languages"]),
        axis=axis.replace("_", "-"),
    )


def select(findings: Findings, **fields: str) -> list[Estimate]:
    """Return the estimates whose fields have the given values, in the order of the findings."""
    return list(findings.select(**fields))


def one(findings: Findings, **fields: str) -> Estimate | None:
    """Return the first primary estimate in points with these fields, if there is one."""
    return next(iter(select(findings, **{"variant": "primary", "scale": "points"} | fields)), None)


def pooled_slope(findings: Findings, level: str, estimand: str = "slope") -> Estimate | None:
    """Return the headline's slope, or between two sizes its difference, at another level."""
    head = findings.headline
    return one(
        findings,
        estimand=estimand,
        level=level,
        average=head.average,
        panel=head.panel,
        arm=head.arm,
        target="*",
    )


def gain_at(findings: Findings, model: str, level: str) -> Estimate | None:
    """Return the mean zero-shot gain of a size at a level."""
    return one(
        findings,
        estimand="gain",
        level=level,
        average="zero_shot",
        panel="trained",
        arm="*",
        model=model,
        target="*",
    )


def estimable(estimate: Estimate | None) -> bool:
    """Say whether an estimate has an interval."""
    return estimate is not None and estimate.lo is not None and estimate.hi is not None


def included(findings: Findings, panel: str = "trained") -> pl.DataFrame:
    """Return the cells that enter the primary analysis of a panel."""
    return findings.cells.filter(pl.col("included") & (pl.col("panel") == panel))


def task_gains(findings: Findings) -> dict[tuple[str, str], float]:
    """Return the mean zero-shot gain by (target, model): over languages, then over arms."""
    frame = (
        included(findings)
        .filter(pl.col("language") != ENGLISH)
        .group_by("model", "target", "arm", maintain_order=True)
        .agg(pl.col("gain").mean())
        .group_by("model", "target", maintain_order=True)
        .agg(pl.col("gain").mean())
    )
    return {(r["target"], r["model"]): r["gain"] for r in frame.to_dicts()}


def language_gains(findings: Findings) -> dict[tuple[str, str], tuple[float, int]]:
    """Return mean gain and number of tasks by (language, model): over arms, then over tasks."""
    frame = (
        included(findings)
        .group_by("model", "language", "target", maintain_order=True)
        .agg(pl.col("gain").mean())
        .group_by("model", "language", maintain_order=True)
        .agg(pl.col("gain").mean(), pl.len().alias("tasks"))
    )
    return {(r["language"], r["model"]): (r["gain"], r["tasks"]) for r in frame.to_dicts()}


def seed_gains(findings: Findings) -> list[dict[str, Any]]:
    """Return each seed's mean gain by size and arm, against the mean over seeds of direct.

    Only seeds with every included cell are shown; the others would mix other tasks in.
    """
    cells = coded(included(findings).filter(pl.col("language") != ENGLISH))
    joined = cells.select("model", "arm", "target", "language", "direct").join(
        findings.scores.filter(
            (pl.col("status") == "finished") & pl.col("value").is_not_null()
        ).select("model", "arm", "target", "language", "seed", "value"),
        on=["model", "arm", "target", "language"],
        how="inner",
        maintain_order="left",
    )
    rows = (
        joined.with_columns((pl.col("value") - pl.col("direct")).alias("gain"))
        .group_by("model", "arm", "seed", "target", maintain_order=True)
        .agg(pl.col("gain").mean(), pl.len().alias("found"))
        .group_by("model", "arm", "seed", maintain_order=True)
        .agg(pl.col("gain").mean(), pl.col("found").sum())
    )
    whole = cells.group_by("model", "arm").len()
    return (
        rows.join(whole, on=["model", "arm"], how="left", maintain_order="left")
        .filter(pl.col("found") == pl.col("len"))
        .select("model", "arm", "seed", "gain")
        .to_dicts()
    )


def _unique(entries: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
    titles = {name: str(entry.get("title") or name) for name, entry in entries.items()}
    seen = Counter(titles.values())
    return {n: t if seen[t] == 1 else f"{t} ({n})" for n, t in titles.items()}
