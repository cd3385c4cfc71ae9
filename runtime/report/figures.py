"""Draws the report's figures as static SVG text: gain by size, task slopes, gains by language."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from html import escape
from itertools import count
from typing import Any

import altair as alt
import polars as pl
from altair.utils import schemapi

from runtime.analysis.estimate import LEVELS, NOT_ESTIMABLE, Estimate, Findings
from runtime.report import views
from runtime.report.drawing import Draw, here
from runtime.report.views import Names
from runtime.report.wording import interval, number, parameters

OKABE_ITO = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#7F6A00")
DASHES = ([1, 0], [6, 3], [2, 2], [8, 3, 2, 3])
SHAPES = ("circle", "square", "triangle-up", "diamond", "cross", "triangle-down", "triangle-right")
INK = "#222222"
BLUE_WHITE_ORANGE = ("#5B9BD5", "#FFFFFF", "#E8781A")
"""Light enough at both ends for dark text at more than 4.5:1."""
KINDS = ("task", "pooled", "predicted")
_FONT = "Liberation Sans, Arial, Helvetica, sans-serif"
_WIDTH = 430
_MEAN = "Mean of tasks"
_ROLES = re.compile(r' (?:role|aria-[a-z]+)="[^"<>]*"')
_IDS = re.compile(r'(?<=id=")[^"]+(?=")')


def gain_figure(findings: Findings, names: Names, title: str, draw: Draw = here) -> str:
    """Draw gain against parameters: a line per task, the mean with its interval, seeds behind."""
    order = [label for name, label in names.tasks.items()]
    gains = views.task_gains(findings)
    points = [
        {"size": names.sizes[model], "gain": gain, "series": names.tasks[task]}
        for (task, model), gain in gains.items()
    ]
    shown = [label for label in order if any(p["series"] == label for p in points)]
    means = [
        {"size": size, "gain": e.estimate, "lo": e.lo, "hi": e.hi, "series": _MEAN}
        for model, size in names.sizes.items()
        if (e := best_gain(findings, model)) is not None and e.estimate is not None
    ]
    seeds = [
        {"size": names.sizes[row["model"]], "gain": row["gain"]}
        for row in views.seed_gains(findings)
    ]
    series: dict[str, list[Any]] = {
        "domain": [*shown, _MEAN],
        "color": [*(OKABE_ITO[i % len(OKABE_ITO)] for i in range(len(shown))), INK],
        "dash": [*(DASHES[i % len(DASHES)] for i in range(len(shown))), [1, 0]],
        "shape": [*(SHAPES[i % len(SHAPES)] for i in range(len(shown))), "circle"],
    }
    legend = alt.Legend(
        orient="bottom",
        columns=2,
        title=None,
        symbolSize=90,
        symbolOpacity=1,
        symbolStrokeWidth=0,
        labelLimit=220,
    )

    def scale(channel: str) -> dict[str, Any]:
        return {
            "scale": alt.Scale(domain=series["domain"], range=series[channel]),
            "legend": legend,
        }

    spread = list(names.sizes.values()) or [1]
    x = alt.X(
        "size:Q",
        title=f"{names.axis} parameters of the pretrained model (log scale)",
        scale=alt.Scale(type="log", domain=[min(spread) / 1.3, max(spread) * 1.3], nice=False),
        axis=alt.Axis(
            values=sorted(set(spread)), labelExpr=_labels(spread), labelOverlap="greedy", grid=False
        ),
    )
    y = alt.Y("gain:Q", title=f"Gain over {names.arm('none')}, points")
    colour = alt.Color("series:N", **scale("color"))
    lines = alt.Chart(frame(points, "series")).encode(x=x, y=y, color=colour)
    mean = alt.Chart(frame(means, "series", "lo", "hi")).encode(x=x, y=y, color=colour)
    chart = alt.layer(
        alt.Chart(frame([{"gain": 0.0}])).mark_rule(color="#555555").encode(y=y),
        alt.Chart(frame(means, "lo", "hi"))
        .mark_rule(strokeWidth=9, color="#D0D0D0", strokeCap="butt")
        .encode(x=x, y=alt.Y("lo:Q"), y2=alt.Y2("hi:Q")),
        alt.Chart(frame(seeds)).mark_point(color="#707070", opacity=0.55, size=16).encode(x=x, y=y),
        lines.mark_line(strokeWidth=1.4).encode(
            strokeDash=alt.StrokeDash("series:N", scale=scale("dash")["scale"], legend=None)
        ),
        lines.mark_point(filled=True, size=46, opacity=1).encode(
            shape=alt.Shape("series:N", **scale("shape"))
        ),
        mean.mark_line(strokeWidth=3.2),
        mean.mark_point(filled=True, size=100, opacity=1).encode(
            shape=alt.Shape("series:N", **scale("shape"))
        ),
    )
    return svg(chart.properties(width=_WIDTH, height=330), "gain", title, draw)


def forest_figure(findings: Findings, names: Names, title: str, draw: Draw = here) -> str:
    """Draw task slopes with L1 intervals, and under them the pooled slope at every level."""
    rows = [_forest_row(names.tasks[e.target], e, "task") for e in task_slopes(findings, names)]
    rows += [
        _forest_row(f"All tasks, {level}", estimate, "pooled")
        for level in LEVELS
        if (estimate := views.pooled_slope(findings, level)) is not None
    ]
    predicted = views.select(findings, estimand="prediction")
    rows += [_predicted(e) for e in predicted if views.estimable(e)]
    table = frame(rows, "row", "kind", "text", "lo", "hi")
    y = alt.Y(
        "row:N",
        sort=[row["row"] for row in rows],
        title=None,
        axis=alt.Axis(labelLimit=190, domain=False, ticks=False, labelPadding=8, grid=True),
    )
    x = alt.X(
        "gain:Q",
        title="Slope, points per tenfold parameters",
        scale=window(
            [
                *task_slopes(findings, names),
                *views.select(
                    findings,
                    estimand="slope",
                    scale="points",
                    average=findings.headline.average,
                    variant="primary",
                    arm="*",
                    panel="trained",
                ),
            ],
            [],
        ),
        axis=alt.Axis(tickCount=5, labelOverlap="greedy"),
    )
    colour = alt.Color(
        "kind:N",
        scale=alt.Scale(domain=list(KINDS), range=[OKABE_ITO[0], INK, OKABE_ITO[6]]),
        legend=None,
    )
    base = alt.Chart(table).encode(y=y, color=colour)
    plot = alt.layer(
        alt.Chart(frame([{"gain": 0.0}])).mark_rule(color="#555555").encode(x=x),
        base.mark_rule(strokeWidth=2.4, clip=True).encode(x=alt.X("lo:Q"), x2=alt.X2("hi:Q")),
        base.mark_point(filled=True, size=80, opacity=1).encode(
            x=x,
            shape=alt.Shape(
                "kind:N",
                scale=alt.Scale(domain=list(KINDS), range=["circle", "diamond", "square"]),
                legend=None,
            ),
        ),
    ).properties(width=220, height={"step": 30})
    text = (
        alt.Chart(table)
        .mark_text(align="left", color=INK)
        .encode(y=alt.Y("row:N", sort=[row["row"] for row in rows], axis=None), text="text:N")
        .encode(x=alt.value(0))
        .properties(width=150, height={"step": 30}, view=alt.ViewConfig(strokeOpacity=0))
    )
    return svg(alt.hconcat(plot, text, spacing=8), "forest", title, draw)


def heat_figure(findings: Findings, names: Names, title: str, draw: Draw = here) -> str:
    """Draw mean gain by language and size on a scale symmetric about zero; missing cells blank."""
    gains = views.language_gains(findings)
    rows: list[dict[str, Any]] = [
        {
            "row": language,
            "column": column(names, model),
            "gain": gain,
            "text": number(gain),
        }
        for (language, model), (gain, _) in gains.items()
    ]
    reach = max((abs(row["gain"]) for row in rows), default=1.0) or 1.0
    base = alt.Chart(frame(rows, "row", "column", "text")).encode(
        x=alt.X(
            "column:N",
            scale=alt.Scale(domain=[column(names, model) for model in names.sizes]),
            title=f"{names.axis} parameters",
            axis=alt.Axis(orient="top", labelAngle=0, domain=False, ticks=False, labelPadding=6),
        ),
        y=alt.Y(
            "row:N",
            scale=alt.Scale(domain=list(names.languages)),
            title="Target language",
            axis=alt.Axis(domain=False, ticks=False, labelPadding=6, titlePadding=12),
        ),
    )
    colour = alt.Color(
        "gain:Q",
        title="Gain, points",
        scale=alt.Scale(
            domain=[-reach, 0, reach], range=list(BLUE_WHITE_ORANGE), interpolate="lab"
        ),
        legend=alt.Legend(orient="right", gradientLength=140, tickCount=5),
    )
    chart = alt.layer(
        base.mark_rect(stroke="#BBBBBB").encode(color=colour),
        base.mark_text(color=INK).encode(text="text:N"),
    )
    width = max(60, min(110, 400 // max(1, len(names.sizes))))
    stepped = chart.properties(width={"step": width}, height={"step": 25})
    return svg(stepped, "heat", title, draw)


def window(estimates: Sequence[Estimate], values: Sequence[float]) -> alt.Scale:
    """Return the scale of a slope axis: one and a half times the intervals of some estimates.

    The middle four fifths of ``values`` are always in it. Wider intervals are cut at the frame, or
    a single one, such as a prediction from three tasks, would press all others into dots.
    """
    ends = [end for e in estimates for end in (e.lo, e.hi, e.estimate) if end is not None]
    if not ends:
        return alt.Scale()
    low, high = min(*ends, 0.0), max(*ends, 0.0)
    spare = (high - low) / 4 or 1.0
    kept = sorted(values)[len(values) // 10 : len(values) - len(values) // 10]
    low, high = min([low - spare, *kept]), max([high + spare, *kept])
    return alt.Scale(domain=[low, high], nice=False, zero=False)


def best_gain(findings: Findings, model: str) -> Estimate | None:
    """Return a size's gain at L2, or at L1 where L2 is not estimable."""
    second, first = (views.gain_at(findings, model, level) for level in ("L2", "L1"))
    return second if views.estimable(second) or first is None else first


def task_slopes(findings: Findings, names: Names) -> list[Estimate]:
    """Return the tasks' own slopes with L1 intervals, smallest first."""
    head = findings.headline
    rows = views.select(
        findings,
        estimand="task_slope",
        level="L1",
        scale="points",
        average=head.average,
        panel=head.panel,
        arm=head.arm,
        variant="primary",
        axis=head.axis,
    )
    known = [row for row in rows if row.target in names.tasks]
    return sorted(known, key=lambda e: (e.estimate is None, e.estimate or 0.0, e.target))


def _forest_row(label: str, e: Estimate, kind: str) -> dict[str, Any]:
    whole = e.estimate is not None
    span = views.estimable(e)
    return {
        "row": label,
        "kind": kind,
        "gain": e.estimate,
        "lo": e.lo if span else e.estimate,
        "hi": e.hi if span else e.estimate,
        "text": f"{number(e.estimate)} ({interval(e.lo, e.hi)})" if whole else NOT_ESTIMABLE,
    }


def _predicted(e: Estimate) -> dict[str, Any]:
    row = _forest_row("One more task (prediction)", e, "predicted")
    return row | {"gain": e.estimate}


def column(names: Names, model: str) -> str:
    """Return the head of a size's column; with the model's name where two sizes look the same."""
    label = parameters(names.sizes[model])
    twins = sum(parameters(size) == label for size in names.sizes.values())
    return label if twins == 1 else f"{label} {model}"


def _labels(sizes: list[int]) -> str:
    """Write the label expression of a size axis: the words of ``parameters``, value by value."""
    words = ", ".join(f"'{size}': '{parameters(size)}'" for size in sorted(set(sizes)))
    return f"({{{words}}})[format(datum.value, '.0f')]"


def frame(rows: list[dict[str, Any]], *texts: str) -> pl.DataFrame:
    """Make a frame whose columns exist even when there are no rows."""
    return pl.DataFrame(rows) if rows else pl.DataFrame({n: [] for n in ("size", "gain", *texts)})


def svg(
    chart: alt.LayerChart | alt.FacetChart | alt.HConcatChart,
    name: str,
    title: str,
    draw: Draw = here,
) -> str:
    """Render a chart; ids are renumbered, since the renderer counts them over the process."""
    styled = chart.configure(
        font=_FONT,
        background="#FFFFFF",
        padding=6,
        view=alt.ViewConfig(strokeOpacity=0),
        axis=alt.AxisConfig(
            labelFontSize=13,
            titleFontSize=13,
            titleFontWeight="normal",
            labelColor=INK,
            titleColor=INK,
            gridColor="#E3E3E3",
            tickColor="#888888",
            domainColor="#888888",
        ),
        legend=alt.LegendConfig(
            labelFontSize=13, titleFontSize=13, titleFontWeight="normal", labelColor=INK
        ),
        text=alt.MarkConfig(fontSize=13),
        aria=False,
    )
    specification = styled.to_dict(validate=schemapi.DEBUG_MODE)
    svg = draw(json.dumps(specification, sort_keys=True))
    fresh = (f"{name}-{n}" for n in count(1))
    for old in dict.fromkeys(_IDS.findall(svg)):
        new = next(fresh)
        svg = svg.replace(f'id="{old}"', f'id="{new}"').replace(f"url(#{old})", f"url(#{new})")
    head = f'<svg role="img" aria-label="{escape(title)}" aria-describedby="{name}-title" '
    words = f'<title id="{name}-title">{escape(title)}</title>'
    # The picture is named as a whole; the renderer's roles for groups without a name are dropped.
    start, rest = _ROLES.sub("", svg).removeprefix("<svg ").split(">", 1)
    return f"{head}{start}>{words}{rest}\n"
