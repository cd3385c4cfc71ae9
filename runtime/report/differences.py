"""Makes the tables of what differs: between tasks, languages, their groups, and families."""

from __future__ import annotations

from runtime.analysis.estimate import NOT_ESTIMABLE, Estimate, Findings
from runtime.report import views
from runtime.report.tables import Cell, Table, figure, short
from runtime.report.views import Names
from runtime.report.wording import counted, freedom, interval, parameters, probability

METHODS = {"meta_reml": "REML", "meta_pm": "Paule-Mandel", "meta_dl": "DerSimonian-Laird"}


def heterogeneity_table(findings: Findings) -> Table:
    """Tau by each estimator with its Q-profile interval, and the prediction interval."""
    rows = []
    for e in views.select(findings, estimand="tau"):
        rows.append(
            (
                Cell("tau, spread of task slopes", METHODS[e.variant]),
                Cell("" if e.estimate is None else f"{e.estimate:.2f}", numeric=True),
                _span(e),
                Cell(e.reason),
            )
        )
    for e in views.select(findings, estimand="prediction"):
        rows.append(
            (
                Cell("slope of one more task", "95 % prediction interval"),
                figure(e.estimate),
                _span(e),
                Cell("; ".join(filter(None, (e.method, e.reason)))),
            )
        )
    for e in views.select(findings, estimand="influence"):
        kind = e.variant.removeprefix("without_one_")
        what = Cell("slope without any one " + kind, "range, no interval")
        rows.append((what, figure(e.estimate), _span(e), Cell(e.reason)))
    head = ("What", "Estimate", "95 % interval, or range", "About it")
    return Table("How far task slopes differ, points per tenfold parameters", head, tuple(rows))


def count_table(findings: Findings, names: Names) -> Table:
    """At least how many tasks and languages gain, lose, rise and fall."""
    found: dict[tuple[str, str], dict[str, Estimate]] = {}
    for e in views.select(findings, estimand="count"):
        kind, way = e.subset.split(" ", 1)
        found.setdefault((e.model, kind), {})[way] = e
    rows = []
    for (model, kind), ways in found.items():
        what = "slope over the sizes" if model == "*" else f"gain at {names.model(model)}"
        counts = [
            Cell("" if e.estimate is None else f"{e.estimate:.0f} of {e.tests}", numeric=True)
            for e in (ways["above zero"], ways["below zero"])
        ]
        rows.append((Cell(what), Cell(kind), *counts, Cell(ways["above zero"].reason)))
    head = ("Effect", "Of", "At least above zero", "At least below zero", "Remark")
    title = "In how many tasks and languages, at least (level L1, each way at 2.5 %)"
    return Table(title, head, tuple(rows), stubs=2)


def group_table(findings: Findings, names: Names) -> Table:
    """Gain at each size and slope of each group of languages, by script, family and pretraining."""
    gains = {(e.subset, e.model): e for e in _level(findings, "group_gain")}
    sizes = [m for m in names.sizes if any((s, m) in gains for s, _ in gains)]
    slopes = {e.subset: e for e in _level(findings, "group_slope")}
    rows = []
    for subset in dict.fromkeys(name for name, _ in gains):
        slope = slopes.get(subset)
        some = next(e for (name, _), e in gains.items() if name == subset)
        rows.append(
            (
                Cell(subset),
                Cell(str(some.n_languages), numeric=True),
                *(figure(e.estimate) if (e := gains.get((subset, m))) else Cell("") for m in sizes),
                figure(slope.estimate if slope else None),
                short(slope),
                _adjusted(slope),
            )
        )
    gain_heads = (f"Gain, {parameters(names.sizes[m])}" for m in sizes)
    head = ("Group", "Languages", *gain_heads, "Slope", "L2: 95 % interval, df", "q")
    return Table("Groups of languages, zero-shot", head, tuple(rows))


def contrast_table(findings: Findings) -> Table:
    """Slope of a group of languages, or of tasks, minus that of the others."""
    rows = tuple(
        (Cell(e.subset.replace(" - ", " \N{MINUS SIGN} ")), figure(e.estimate), short(e), _p(e),
         _adjusted(e), Cell(e.reason))
        for e in views.select(findings, estimand="group_difference")
    )  # fmt: skip
    head = ("Slopes of groups", "Difference", "L2: 95 % interval, df", "p", "q", "Remark")
    return Table("Do slopes differ between groups of languages, or of tasks?", head, rows)


def moderator_table(findings: Findings) -> Table:
    """Meta-regression of language slopes, one moderator at a time."""
    words = {
        "meta_reml_guarded": "REML, Hartung-Knapp with max(1, q)",
        "permuted": "permutation",
        "families_as_clusters": "language families as clusters, CR2",
    }
    rows = tuple(
        (Cell(e.subset), Cell(words[e.variant]), figure(e.estimate),
         short(e) if e.variant != "permuted" else Cell(""), _p(e),
         _adjusted(e), Cell(e.reason))
        for e in views.select(findings, estimand="moderator")
    )  # fmt: skip
    head = ("Moderator", "Method", "Coefficient", "95 % interval, df", "p", "q", "Remark")
    return Table("What goes with the slopes of languages (exploratory)", head, rows, stubs=2)


def family_table(findings: Findings) -> Table:
    """Slope of each model family, and their differences."""
    rows = tuple(
        (Cell(e.subset.replace(" - ", " \N{MINUS SIGN} ")), figure(e.estimate), short(e), _p(e))
        for e in views.select(findings, estimand="family_slope")
    )
    head = ("Family, or difference", "Slope", "t over tasks: 95 % interval, df", "p")
    return Table("Slopes of the model families, never joined in one line", head, rows)


def language_table(findings: Findings) -> Table:
    """The slope of every language."""
    first = {e.subset: e for e in views.select(findings, estimand="language_slope", level="L1")}
    rows = tuple(
        (Cell(e.subset.removeprefix("language: ")), figure(e.estimate), short(first.get(e.subset)),
         short(e), _p(e), _adjusted(e), Cell(str(e.n_tasks), numeric=True))
        for e in _level(findings, "language_slope")
    )  # fmt: skip
    head = ("Language", "Slope", "L1: 95 % interval, df", "L2 over tasks", "p", "q", "Tasks")
    return Table("Slope of every language, points per tenfold parameters", head, rows)


def _level(findings: Findings, estimand: str) -> list[Estimate]:
    return views.select(findings, estimand=estimand, level="L2")


def _span(e: Estimate) -> Cell:
    known = e.lo is not None and e.hi is not None
    note = f"df {freedom(e.df)}" if e.estimand == "prediction" and known else ""
    return Cell(interval(e.lo, e.hi) if known else NOT_ESTIMABLE, note, numeric=known)


def _p(e: Estimate) -> Cell:
    return Cell(probability(e.p), numeric=True)


def _adjusted(e: Estimate | None) -> Cell:
    if e is None or e.adjusted is None:
        return Cell("")
    return Cell(probability(e.adjusted), f"of {counted(e.tests, 'test')}", numeric=True)
