"""Makes the tables that compare: intermediates, sizes, ranks, collapsed runs, English."""

from __future__ import annotations

from itertools import product

from runtime.analysis.estimate import Estimate, Findings
from runtime.report import views
from runtime.report.tables import Cell, Table, figure, short
from runtime.report.views import Names
from runtime.report.wording import SCALES, counted, number, parameters, probability

CHOICES = {"best_per_target": "for each target", "best_overall": "one for all targets"}


def arm_table(findings: Findings, names: Names) -> Table:
    """Slope of each intermediate, then the differences of any two, with Holm's p."""
    slopes = [
        e
        for arm in names.intermediates
        if (e := views.one(findings, estimand="slope", level="L2", average="zero_shot",
                           panel="trained", arm=arm))
    ]  # fmt: skip
    rows = [_tested(Cell(names.arms[e.arm], "slope"), e) for e in slopes]
    for e in views.select(findings, estimand="arm_difference", level="L2"):
        one, other = e.arm.split(" - ", 1)
        what = f"{names.arm(one)} \N{MINUS SIGN} {names.arm(other)}"
        rows.append(_tested(Cell(what, "difference of slopes"), e))
    title = "Slopes of the intermediates and their differences, points per tenfold parameters"
    return Table(title, _HEAD, tuple(rows))


def size_table(findings: Findings, names: Names) -> Table:
    """The gain of each larger size minus that of each smaller one."""
    rows = []
    for e in views.select(findings, estimand="size_difference", level="L2"):
        large, small = (parameters(names.sizes[m]) for m in e.model.split(" - ", 1))
        rows.append(_tested(Cell(f"{large} \N{MINUS SIGN} {small}"), e))
    return Table("Gain at the larger minus the smaller size, points", _HEAD, tuple(rows))


def rank_table(findings: Findings, names: Names) -> Table:
    """Rank of each intermediate by its gain over tasks and sizes, with the ranks it may have."""
    rows = tuple(
        (Cell(names.arm(e.arm)), Cell(_whole(e.estimate), numeric=True),
         Cell(f"{_whole(e.lo)} to {_whole(e.hi)}" if e.lo != e.hi else _whole(e.lo), numeric=True),
         Cell(e.reason))
        for e in views.select(findings, estimand="rank")
    )  # fmt: skip
    head = ("Intermediate", "Rank", "95 % interval of ranks", "Remark")
    return Table("Ranks of the intermediates, 1 the largest gain", head, rows)


def best_table(findings: Findings, names: Names) -> Table:
    """The gain of the best intermediate by cross-fitting, and what choosing would claim."""
    found = {(e.model, e.variant): e for e in views.select(findings, estimand="best_arm")}
    rows = []
    for model in names.sizes:
        for variant, about in CHOICES.items():
            e = found.get((model, variant))
            if e is None:
                continue
            naive = found[model, f"{variant}_naive"]
            size = Cell(parameters(names.sizes[model]), title=names.models[model])
            rows.append(
                (size, Cell(about), figure(e.estimate), short(e), figure(naive.estimate),
                 Cell(e.reason))
            )  # fmt: skip
    head = ("Size", "Chosen", "Cross-fitted gain", "95 % interval, df", "Naive gain", "How often")
    return Table("Gain of the best intermediate, points", head, tuple(rows), stubs=2)


def gap_table(findings: Findings, names: Names) -> Table:
    """How the training changes English minus the other languages."""
    rows = []
    for model in (*names.sizes, "*"):
        e = views.one(
            findings, estimand="english_gap_change", level="L2", panel="trained", arm="*",
            model=model,
        )  # fmt: skip
        if e is not None:
            what = "slope, per tenfold parameters" if model == "*" else names.model(model)
            rows.append((Cell(what), figure(e.estimate), short(e), Cell(probability(e.p))))
    head = ("Size", "Change of the gap", "L2: 95 % interval, df", "p")
    return Table("Change of English minus the mean of the other languages, points", head,
                 tuple(rows))  # fmt: skip


def scale_table(findings: Findings, names: Names) -> Table:
    """The zero-shot gain at every size, and its slope, on each of the three scales."""
    rows = []
    for scale, title in SCALES.items():
        for model in (*names.sizes, "*"):
            estimand = "slope" if model == "*" else "gain"
            e = views.one(
                findings, estimand=estimand, level="L2", average="zero_shot", panel="trained",
                arm="*", model=model, scale=scale,
            )  # fmt: skip
            if e is not None:
                what = "slope, per tenfold parameters" if model == "*" else names.model(model)
                rows.append((Cell(title), Cell(what), figure(e.estimate, scale=scale), short(e)))
    head = ("Scale", "Size", "Gain", "L2: 95 % interval, df")
    return Table("Zero-shot gain on three scales", head, tuple(rows), stubs=2)


def collapse_table(findings: Findings, names: Names) -> Table:
    """The share of runs that collapsed by size and arm, and the difference from direct."""
    changes = {(e.model, e.arm): e for e in views.select(findings, estimand="collapse_difference")}
    rates = {(e.model, e.arm): e for e in views.select(findings, estimand="collapse_rate")}
    rows = []
    for model, arm in product((*names.sizes, "*"), names.arms):
        e = rates.get((model, arm))
        if e is None:
            continue
        change = changes.get((e.model, e.arm))
        size = "all sizes" if e.model == "*" else parameters(names.sizes[e.model])
        rows.append(
            (Cell(size), Cell(names.arm(e.arm)), Cell(_percent(e.estimate), e.reason, numeric=True),
             Cell(_percents(e), numeric=True),
             Cell(_percents(change) if change else "", numeric=True))
        )  # fmt: skip
    head = ("Size", "Arm", "Collapsed", "95 % interval (Wilson)", "Minus direct (Newcombe)")
    return Table("Collapsed runs among those that ended", head, tuple(rows), stubs=2)


def as_run_table(findings: Findings, names: Names) -> Table:
    """The gain at every size with the other choice of runs, where it changes something."""
    rows = []
    for model in names.sizes:
        main = views.gain_at(findings, model, "L2")
        for e in views.select(findings, estimand="run_gain", panel="trained", level="L2"):
            if e.model == model and main is not None:
                rows.append(
                    (Cell(names.models[model], parameters(names.sizes[model])),
                     figure(main.estimate), short(main), figure(e.estimate), short(e),
                     Cell(e.reason))
                )  # fmt: skip
    head = ("Size", "Primary gain", "L2", "With the other runs", "L2", "Remark")
    return Table("Gain with and without collapsed runs, points", head, tuple(rows))


_HEAD = ("Comparison", "Estimate", "L2: 95 % interval, df", "p", "Adjusted p")


def _tested(what: Cell, e: Estimate) -> tuple[Cell, ...]:
    adjusted = Cell(
        probability(e.adjusted),
        f"{e.correction}, {counted(e.tests, 'test')}" if e.tests else "",
        numeric=True,
    )
    return (what, figure(e.estimate), short(e), Cell(probability(e.p), numeric=True), adjusted)


def _whole(value: float | None) -> str:
    return "" if value is None else f"{value:.0f}"


def _percent(value: float | None) -> str:
    return "" if value is None else f"{100 * value:.0f} %"


def _percents(e: Estimate) -> str:
    low, high = (None if v is None else 100 * v for v in (e.lo, e.hi))
    if low is None or high is None:
        return ""
    if e.estimand == "collapse_rate":
        return f"{low:.0f} to {high:.0f} %"
    middle = None if e.estimate is None else 100 * e.estimate
    return f"{number(middle)} ({number(low)} to {number(high)}) percentage points"
