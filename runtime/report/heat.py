"""Draws the gains of every intermediate on every task, those that do not count in brackets."""

from __future__ import annotations

from typing import Any

import altair as alt
import polars as pl

from runtime.analysis.estimate import Findings
from runtime.report import figures, views
from runtime.report.drawing import Draw, here
from runtime.report.tables import Cell, Table, figure
from runtime.report.views import Names
from runtime.report.wording import number


def pair_gains(findings: Findings, names: Names) -> list[dict[str, Any]]:
    """Return the mean zero-shot gain of each pair over languages, then over sizes."""
    cells = findings.cells.filter(
        (pl.col("language") != views.ENGLISH) & (pl.col("panel") == "trained")
        & pl.col("gain").is_not_null()
    )  # fmt: skip
    found = (
        cells.group_by("target", "arm", "model", maintain_order=True)
        .agg(pl.col("gain").mean(), pl.col("included").any())
        .group_by("target", "arm", maintain_order=True)
        .agg(pl.col("gain").mean(), pl.col("included").any())
    )
    return [
        r | {"task": names.tasks[r["target"]], "arm": names.arms[r["arm"]]}
        for r in found.to_dicts()
    ]


def pair_data(findings: Findings, names: Names) -> Table:
    """The numbers of the figure."""
    found = {(r["task"], r["arm"]): r for r in pair_gains(findings, names)}
    tasks = [t for t in names.tasks.values() if any(t == task for task, _ in found)]
    arms = [names.arms[a] for a in names.intermediates]
    rows = tuple(
        (
            Cell(task),
            *(
                figure(r["gain"], note="" if r["included"] else "not counted")
                if (r := found.get((task, arm)))
                else Cell("")
                for arm in arms
            ),
        )
        for task in tasks
    )
    title = "Mean gain by target task and intermediate, over sizes and zero-shot languages"
    return Table(title, ("Target task", *arms), rows)


def pair_figure(findings: Findings, names: Names, title: str, draw: Draw = here) -> str:
    """Draw target task by intermediate on a scale symmetric about zero; missing pairs blank."""
    rows = [
        r | {"text": number(r["gain"]) if r["included"] else f"({number(r['gain'])})"}
        for r in pair_gains(findings, names)
    ]
    reach = max((abs(r["gain"]) for r in rows), default=1.0) or 1.0
    tasks = [t for t in names.tasks.values() if any(r["task"] == t for r in rows)]
    arms = [names.arms[a] for a in names.intermediates]
    quiet: dict[str, Any] = {"domain": False, "ticks": False, "labelPadding": 6}
    angle = -25 if len(arms) > 3 else 0
    table = figures.frame(rows, "task", "arm", "text", "included")
    base = alt.Chart(table).encode(
        x=alt.X("arm:N", scale=alt.Scale(domain=arms), title="Intermediate task",
                axis=alt.Axis(orient="top", labelAngle=angle, labelLimit=170, **quiet)),
        y=alt.Y("task:N", scale=alt.Scale(domain=tasks), title=None,
                axis=alt.Axis(labelLimit=190, **quiet)),
    )  # fmt: skip
    colour = alt.Color(
        "gain:Q",
        title="Gain, points",
        scale=alt.Scale(
            domain=[-reach, 0, reach], range=list(figures.BLUE_WHITE_ORANGE), interpolate="lab"
        ),
        legend=alt.Legend(orient="right", gradientLength=120, tickCount=5),
    )
    dash = alt.StrokeDash(
        "included:N", scale=alt.Scale(domain=[True, False], range=[[1, 0], [4, 3]]), legend=None
    )
    stroke = alt.Stroke(
        "included:N",
        scale=alt.Scale(domain=[True, False], range=["#BBBBBB", "#444444"]),
        legend=None,
    )
    chart = alt.layer(
        base.mark_rect(strokeWidth=1.5).encode(color=colour, strokeDash=dash, stroke=stroke),
        base.mark_text(color=figures.INK).encode(text="text:N"),
    )
    width = max(70, min(130, 420 // max(1, len(arms))))
    stepped = chart.properties(width={"step": width}, height={"step": 30})
    return figures.svg(stepped, "pairs", title, draw)
