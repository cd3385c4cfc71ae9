"""Makes the tables of precision and cost: planned and achieved, noise met, hours spent."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from runtime.analysis.estimate import LEVELS, Findings
from runtime.report import views
from runtime.report.tables import Cell, Table, figure
from runtime.report.views import Names
from runtime.report.wording import interval, parameters

NOISE = {
    "run": ("run", "one gain, all its languages alike"),
    "language_noise": ("language within a run", "what a run adds to each language"),
    "task_slope": ("slopes of tasks", "points per tenfold"),
    "language_slope": ("slopes of languages", "points per tenfold"),
    "task_language_slope": ("slopes of single cells", "points per tenfold"),
    "size_task": ("size by task", "around the lines"),
    "test_set": ("cells", "around the lines"),
    "checkpoint": ("checkpoints", "what sets a checkpoint off its family's line"),
}


def detectable_table(findings: Findings) -> Table:
    """The detectable slope of the plan, the half-width achieved, and a next study's."""
    found = {(e.level, e.variant): e for e in views.select(findings, estimand="detectable")}
    columns = ("planned_low", "planned_base", "planned_high", "smallest_margin")
    rows = []
    for level, meaning in LEVELS.items():
        if not any(key[0] == level for key in found):
            continue
        slope = views.pooled_slope(findings, level)
        half = None
        if slope is not None and slope.hi is not None and slope.estimate is not None:
            half = slope.hi - slope.estimate
        planned = [found.get((level, column)) for column in columns]
        next_ = found.get((level, "next_study"))
        rows.append(
            (
                Cell(level, meaning),
                *(_plain(e.estimate if e else None) for e in planned),
                _plain(half),
                _plain(next_.estimate if next_ else None),
            )
        )
    head = (
        "Level",
        "Planned: half the noise",
        "Planned: noise as assumed",
        "Planned: twice the noise",
        "Smallest margin in reach",
        "Half-width achieved",
        "A next study, noise as measured",
    )
    title = "Slope detectable in four of five studies, points per tenfold parameters"
    return Table(title, head, tuple(rows))


def noise_table(findings: Findings) -> Table:
    """The standard deviations that this study met, for planning another."""
    rows = tuple(
        (Cell(*NOISE[e.subset]), _plain(e.estimate), Cell(e.reason))
        for e in views.select(findings, estimand="noise")
    )
    return Table("Noise measured here, standard deviations in points",
                 ("Source", "Standard deviation", "Remark"), rows)  # fmt: skip


def pairing_table(findings: Findings, names: Names) -> Table:
    """Whether runs of one seed move together in both arms, so that pairing them would help."""
    rows = tuple(
        (
            Cell(names.arm(e.arm)),
            figure(e.estimate),
            Cell(interval(e.lo, e.hi), numeric=e.lo is not None),
            Cell(str(e.n_runs), numeric=True),
            Cell(e.reason),
        )
        for e in views.select(findings, estimand="seed_correlation")
    )
    head = ("Intermediate", "Correlation", "95 % interval", "Pairs of runs", "About it")
    return Table("Correlation over seeds with direct fine-tuning (level L1)", head, rows)


def cost_table(findings: Findings, names: Names, costs: Sequence[Mapping[str, Any]]) -> Table:
    """Hours by size and arm, and the gain for each hour of intermediate training."""
    rows = []
    for row in costs:
        model, arm = str(row["model"]), str(row["arm"])
        if model not in names.sizes or arm not in names.arms:
            continue
        gain = views.one(findings, estimand="gain", level="L2", average="zero_shot",
                         panel="trained", arm=arm, model=model, target="*")  # fmt: skip
        own = float(row["intermediate_hours"])
        value = gain.estimate if gain else None
        per_hour = value / own if value is not None and own > 0 else None
        rows.append(
            (
                Cell(parameters(names.sizes[model]), title=names.models[model]),
                Cell(names.arms[arm]),
                Cell(f"{row['hours']:.3f}", numeric=True),
                Cell(f"{own:.3f}" if own else "", numeric=True),
                Cell(f"{row['runs']}", numeric=True),
                figure(value),
                figure(per_hour),
            )
        )
    head = ("Size", "Arm", "Hours", "of which intermediate", "Runs", "Gain", "Gain per hour")
    return Table("Hours spent, and gain in points for each hour of intermediate training", head,
                 tuple(rows), stubs=2)  # fmt: skip


def pilot_table(names: Names, pilots: Sequence[Mapping[str, Any]]) -> Table:
    """Rate and memory of each size as its pilots measured them, beside what was assumed."""
    rows = tuple(
        (
            Cell(parameters(names.sizes[model]), title=names.models[model]),
            Cell(f"{row['device_hours']:.3g}", numeric=True),
            Cell(f"{row['measured_share']:.0%}", numeric=True),
            Cell(f"{row['steps']:,}", numeric=True),
            *(
                Cell("" if row.get(name) is None else f"{row[name]:.2g}", numeric=True)
                for name in ("mfu", "assumed_mfu")
            ),
            *(_plain(row.get(name)) for name in ("peak_memory_gib", "traced_memory_gib")),
        )
        for row in pilots
        if (model := str(row["model"])) in names.sizes
    )
    head = (
        "Size", "Device hours of the plan", "of which measured", "Steps timed", "MFU",
        "MFU assumed", "Peak GiB", "Peak GiB traced",
    )  # fmt: skip
    title = "Pace of training by the pilots, against what was assumed of the device"
    return Table(title, head, rows)


def _plain(value: float | None) -> Cell:
    return Cell("" if value is None else f"{value:.2f}", numeric=True)
