"""Draws the specification curve: the headline slope under every other choice, in order."""

from __future__ import annotations

import altair as alt

from runtime.analysis.estimate import Estimate, Findings
from runtime.report import figures, views
from runtime.report.drawing import Draw, here
from runtime.report.tables import Cell, Table, figure, short, variant_name
from runtime.report.views import Names
from runtime.report.wording import interval, number

_PREFERRED = ("L2", "L3", "L1")


def specifications(findings: Findings) -> list[Estimate]:
    """Return one slope in points for each choice, at L2 where it has that level, smallest first."""
    head = findings.headline
    same = views.select(
        findings, estimand="slope", scale="points", average=head.average, panel=head.panel,
        arm=head.arm,
    )  # fmt: skip
    by_variant: dict[str, dict[str, Estimate]] = {}
    for e in same:
        by_variant.setdefault(e.variant, {})[e.level] = e
    chosen = [
        next(levels[level] for level in _PREFERRED if level in levels)
        for levels in by_variant.values()
    ]
    return sorted(chosen, key=lambda e: (e.estimate is None, e.estimate or 0.0, e.variant))


def curve_table(findings: Findings, names: Names) -> Table:
    """The numbers of the specification curve."""
    rows = tuple(
        (Cell(_name(e, names)), Cell(e.level), figure(e.estimate), short(e), Cell(e.verdict))
        for e in specifications(findings)
    )
    head = ("Choice", "Level", "Slope", "95 % interval, df", "Verdict")
    return Table("The headline slope by every choice, smallest first", head, rows)


def curve_figure(findings: Findings, names: Names, title: str, draw: Draw = here) -> str:
    """Draw each choice as a point with its interval, one below the other, the headline in black."""
    rows = []
    for e in specifications(findings):
        if e.estimate is None:
            continue
        span = views.estimable(e)
        rows.append(
            {
                "row": _name(e, names),
                "kind": "headline" if e.variant == "primary" else "other",
                "gain": e.estimate,
                "lo": e.lo if span else e.estimate,
                "hi": e.hi if span else e.estimate,
                "text": f"{number(e.estimate)} ({interval(e.lo, e.hi)})"
                if span
                else number(e.estimate),
            }
        )
    order = [str(row["row"]) for row in rows]
    table = figures.frame(rows, "row", "kind", "text", "lo", "hi")
    axis = alt.Axis(labelLimit=300, domain=False, ticks=False, labelPadding=8, grid=True)
    x = alt.X(
        "gain:Q",
        title="Slope, points per tenfold parameters",
        scale=figures.window(
            [e for e in specifications(findings) if e.variant == "primary"],
            [float(str(row["gain"])) for row in rows],
        ),
        axis=alt.Axis(tickCount=5, labelOverlap="greedy"),
    )
    colour = alt.Color(
        "kind:N",
        scale=alt.Scale(domain=["headline", "other"], range=[figures.INK, figures.OKABE_ITO[0]]),
        legend=None,
    )
    base = alt.Chart(table).encode(y=alt.Y("row:N", sort=order, title=None, axis=axis))
    plot = alt.layer(
        alt.Chart(figures.frame([{"gain": 0.0}])).mark_rule(color="#555555").encode(x=x),
        base.mark_rule(strokeWidth=2.2, clip=True).encode(
            x=alt.X("lo:Q"), x2=alt.X2("hi:Q"), color=colour
        ),
        base.mark_point(filled=True, size=60, opacity=1, clip=True).encode(x=x, color=colour),
    ).properties(width=290, height={"step": 22})
    return figures.svg(alt.hconcat(plot), "curve", title, draw)


def _name(e: Estimate, names: Names) -> str:
    return "headline" if e.variant == "primary" else variant_name(e.variant, names)
