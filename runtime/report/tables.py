"""Makes the report's tables of estimates: rows of finished text, each number rounded once."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import polars as pl

from runtime.analysis.estimate import LEVELS, NOT_ESTIMABLE, Estimate, Findings
from runtime.report import figures, views
from runtime.report.views import Names
from runtime.report.wording import (
    AVERAGES,
    SCALES,
    counted,
    freedom,
    interval,
    number,
    parameters,
    probability,
    score,
    short_key,
)

CAP = 2000
"""Rows of a table that a page can bear: a browser takes seconds over more."""

MARKS = {"self_pair": "†", "shared_text": "‡"}
"""Signs put at gains whose intermediate task shares labelled data or text with the target."""


@dataclass(frozen=True, slots=True)
class Cell:
    """One table cell: its text, a smaller second line, and what pointing at it shows."""

    text: str
    note: str = ""
    title: str = ""
    numeric: bool = False


@dataclass(frozen=True, slots=True)
class Table:
    """A table ready to print; the first ``stubs`` cells of a row are its headers.

    A table of more than ``CAP`` rows has the first of them only; ``whole`` is then the number of
    all, and ``file`` where they are.
    """

    caption: str
    head: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    stubs: int = 1
    whole: int = 0
    file: str = ""

    @property
    def cut(self) -> str:
        """Say what part of a long table this is; "" of a whole one."""
        if self.whole <= len(self.rows):
            return ""
        return f"The first {len(self.rows):,} of {self.whole:,} rows; all are in {self.file}."

    @property
    def heading(self) -> str:
        """The caption, and what part of a long table this is."""
        return f"{self.caption}. {self.cut}" if self.cut else self.caption

    @property
    def numeric(self) -> tuple[bool, ...]:
        """Which columns hold numbers, so that their heads stand over them."""
        columns = zip(*self.rows, strict=True) if self.rows else [()] * len(self.head)
        return tuple(any(cell.numeric for cell in column) for column in columns)


def figure(value: float | None, *, scale: str = "points", note: str = "", title: str = "") -> Cell:
    """Make a cell of a number."""
    return Cell(number(value, scale), note, title, numeric=True)


def words(*texts: str) -> tuple[Cell, ...]:
    """Make a row of plain text cells."""
    return tuple(Cell(text) for text in texts)


def levels_table(findings: Findings) -> Table:
    """The headline slope at each level; between two sizes their difference beside it."""
    gaps = {level: views.pooled_slope(findings, level, "difference") for level in LEVELS}
    two = any(gaps.values())
    tests = {e.level: e for e in views.select(findings, estimand="equivalence")}
    rows = []
    for level, meaning in LEVELS.items():
        e, gap = views.pooled_slope(findings, level), gaps[level]
        difference = Cell(
            number(gap.estimate if gap else None),
            interval(gap.lo, gap.hi) if gap else "",
            numeric=True,
        )
        rows.append(
            (
                Cell(level, meaning),
                *([difference] if two else []),
                figure(e.estimate if e else None),
                short(e),
                Cell(e.verdict, _grounds(e, tests.get(level))) if e else Cell(NOT_ESTIMABLE),
            )
        )
    extra = ("Larger minus smaller size",) if two else ()
    head = ("Level: generalises to", *extra, "Slope", "95 % interval, df", "Verdict")
    caption = "Slope of the gain, points per tenfold parameters, at three levels"
    return Table(caption, head, tuple(rows))


def size_table(findings: Findings, names: Names, panel: str) -> Table:
    """Direct, intermediates and gain for every size and way of averaging."""
    rows = []
    for model in names.sizes:
        for average, (title, about) in AVERAGES.items():
            same = {"panel": panel, "average": average, "model": model, "target": "*"}
            direct = views.one(findings, estimand="score", arm="none", **same)
            after = [_after(findings, arm, same) for arm in names.intermediates]
            first, second = (
                views.one(findings, estimand="gain", arm="*", level=level, **same)
                for level in ("L1", "L2")
            )
            gain = second or first
            if gain is None and direct is None:
                continue
            rows.append(
                (
                    Cell(names.models[model], parameters(names.sizes[model])),
                    Cell(title, about),
                    Cell(score(direct.estimate if direct else None), numeric=True),
                    *after,
                    figure(gain.estimate if gain else None),
                    short(first),
                    short(second),
                    _counts(gain),
                )
            )
    control = "Pretrained encoder" if panel == "retrieval" else "Direct"
    head = (
        "Size",
        "Average",
        control,
        *(f"After {names.arms[arm]}" for arm in names.intermediates),
        "Gain (mean)",
        "L1: 95 % interval, df",
        "L2: 95 % interval, df",
        "n",
    )
    return Table(f"Scores and gains by size, {panel} panel", head, tuple(rows), stubs=2)


def arm_table(findings: Findings, names: Names, panel: str) -> Table:
    """The zero-shot gain of each intermediate at each size."""
    rows = []
    for arm in names.intermediates:
        for model in names.sizes:
            same = {"panel": panel, "average": "zero_shot", "model": model, "target": "*"}
            first, second = (
                views.one(findings, estimand="gain", arm=arm, level=level, **same)
                for level in ("L1", "L2")
            )
            gain = second or first
            if gain is None:
                continue
            rows.append(
                (
                    Cell(names.arms[arm]),
                    Cell(names.models[model], parameters(names.sizes[model])),
                    figure(gain.estimate),
                    short(first),
                    short(second),
                    _counts(gain),
                )
            )
    head = ("Intermediate", "Size", "Gain", "L1: 95 % interval, df", "L2: 95 % interval, df", "n")
    return Table(f"Zero-shot gain of each intermediate, {panel} panel", head, tuple(rows), stubs=2)


def gain_data(findings: Findings, names: Names) -> Table:
    """The numbers of the first figure."""
    gains = views.task_gains(findings)
    shown = [task for task in names.tasks if any((task, model) in gains for model in names.sizes)]
    rows = []
    for model in names.sizes:
        e = figures.best_gain(findings, model)
        rows.append(
            (
                Cell(names.models[model], parameters(names.sizes[model])),
                *(figure(gains.get((task, model))) for task in shown),
                figure(e.estimate if e else None),
                *_interval(e),
                Cell(e.level if e else ""),
            )
        )
    head = ("Size", *(names.tasks[t] for t in shown), "Mean", "95 % interval", "df", "Level")
    return Table("Zero-shot gain by task and size, points", head, tuple(rows))


def forest_data(findings: Findings, names: Names) -> Table:
    """The numbers of the second figure."""
    pooled = [views.pooled_slope(findings, level) for level in LEVELS]
    pooled += views.select(findings, estimand="prediction")
    rows = [
        (
            Cell(
                "One more task"
                if e.estimand == "prediction"
                else names.tasks.get(e.target, "All tasks")
            ),
            Cell("prediction" if e.estimand == "prediction" else e.level),
            figure(e.estimate),
            *_interval(e),
            Cell(probability(e.p), numeric=True),
            Cell(e.reason),
        )
        for e in (*figures.task_slopes(findings, names), *(p for p in pooled if p is not None))
    ]
    head = ("Task", "Level", "Slope", "95 % interval", "df", "p", "Remark")
    return Table("Slopes, points per tenfold parameters", head, tuple(rows))


def heat_data(findings: Findings, names: Names) -> Table:
    """The numbers of the third figure."""
    gains = views.language_gains(findings)
    rows = tuple(
        (
            Cell(language),
            *(
                figure(gain[0], note=f"{gain[1]} tasks" if gain[1] != 1 else "1 task")
                if (gain := gains.get((language, model)))
                else Cell("")
                for model in names.sizes
            ),
        )
        for language in names.languages
    )
    head = ("Language", *(names.model(model) for model in names.sizes))
    return Table("Mean gain by language and size, points; blank: no included run", head, rows)


def pair_table(findings: Findings, names: Names) -> Table:
    """Gain of every intermediate on every task and size, with marks; excluded ones in brackets."""
    frame = (
        findings.cells.filter(pl.col("language") != views.ENGLISH)
        .group_by("target", "model", "arm", maintain_order=True)
        .agg(
            pl.col("gain").mean(),
            pl.col("gain").count().alias("found"),
            pl.col("included").any(),
            pl.col("flags").str.join(";"),
            pl.col("exclusion").filter(pl.col("exclusion") != "").first(),
            pl.col("stages").first(),
        )
    )
    found = {(r["target"], r["model"], r["arm"]): r for r in frame.to_dicts()}
    rows = [
        (
            Cell(names.tasks[task]),
            Cell(names.models[model], parameters(names.sizes[model])),
            *(_pair(found.get((task, model, arm))) for arm in names.intermediates),
        )
        for task in names.tasks
        for model in names.sizes
        if any((task, model, arm) in found for arm in names.intermediates)
    ]
    head = ("Target task", "Size", *(names.arms[arm] for arm in names.intermediates))
    return Table("Zero-shot gain by target task, size and intermediate", head, tuple(rows), stubs=2)


def sensitivity_tables(findings: Findings, names: Names) -> tuple[Table, Table]:
    """Every slope: first the headline's under other choices, then those of other averages."""
    groups: dict[tuple[str, ...], dict[str, Estimate]] = {}
    for e in views.select(findings, estimand="slope"):
        key = (e.variant, e.axis, e.scale, e.average, e.panel, e.arm)
        groups.setdefault(key, {})[e.level] = e
    head = findings.headline
    main: list[tuple[Cell, ...]] = []
    others: list[tuple[Cell, ...]] = []
    for (variant, _, scale, *rest), levels in groups.items():
        some = next(iter(levels.values()))
        same = rest == [head.average, head.panel, head.arm]
        row = (
            Cell(variant_name(variant, names), "" if same else _about(some, names)),
            Cell(SCALES[scale]),
            figure(some.estimate, scale=scale),
            *(_level(levels.get(level), scale) for level in LEVELS),
        )
        (main if same else others).append(row)
    columns = ("Analysis", "Scale", "Slope", *(f"{level}: 95 % interval" for level in LEVELS))
    return (
        Table("The headline slope under other choices", columns, tuple(main)),
        Table("Slopes of other averages, intermediates and panels", columns, tuple(others)),
    )


def _about(e: Estimate, names: Names) -> str:
    return f"{AVERAGES[e.average][0]}; {names.arm(e.arm)}; {e.panel} panel"


VARIANTS = {
    "meta_reml": "random effects (REML)",
    "meta_reml_guarded": "random effects (REML, q at least 1)",
    "meta_pm": "random effects (Paule-Mandel)",
    "meta_pm_guarded": "random effects (Paule-Mandel, q at least 1)",
    "meta_dl": "random effects (DerSimonian-Laird)",
    "meta_dl_guarded": "random effects (DerSimonian-Laird, q at least 1)",
    "bootstrap": "studentised bootstrap of tasks",
    "t_over_tasks": "t over task slopes",
    "sign_flip": "exact sign flips of tasks",
    "permuted_sizes": "permutation of sizes",
    "iqm_of_cells": "interquartile mean of cells",
    "over_families": "t over families",
    "common_languages": "languages that all tasks have",
}


def variant_name(variant: str, names: Names) -> str:
    """Write a variant in words: ``without_task:xnli`` becomes ``without task XNLI``."""
    if variant in VARIANTS:
        return VARIANTS[variant]
    word, _, name = variant.partition(":")
    known: Mapping[str, str] = {**names.models, **names.tasks}
    return f"{word.replace('_', ' ')} {known.get(name, name)}".strip()


def stage_title(keys: Iterable[str]) -> str:
    """What pointing at a number shows: the stages it comes from."""
    return "stages: " + " ".join(dict.fromkeys(keys))


def _after(findings: Findings, arm: str, same: Mapping[str, str]) -> Cell:
    """The score of an arm, and under it the gain over direct on the very same cells."""
    level, gain = (views.one(findings, estimand=x, arm=arm, **same) for x in ("score", "gain"))
    if level is None or level.estimate is None:
        return Cell("")
    note = f"gain {number(gain.estimate)}" if gain and gain.estimate is not None else ""
    return Cell(score(level.estimate), note, numeric=True)


def _interval(e: Estimate | None) -> tuple[Cell, Cell]:
    if e is None:
        return Cell(NOT_ESTIMABLE), Cell("")
    return (
        Cell(interval(e.lo, e.hi, e.scale), numeric=views.estimable(e), title=e.method or e.reason),
        Cell(freedom(e.df), numeric=True),
    )


def short(e: Estimate | None) -> Cell:
    """Make a cell of an interval, with its degrees of freedom on the second line."""
    cell, df = _interval(e)
    return Cell(cell.text, f"df {df.text}" if df.text else "", cell.title, cell.numeric)


def _grounds(e: Estimate, test: Estimate | None) -> str:
    """What a verdict rests on besides its interval: the 90 % one against a margin, a caveat."""
    held = f"90 % interval {interval(e.lo90, e.hi90)}" if e.margin and e.lo90 is not None else ""
    tost = f"equivalence p {probability(test.p)}" if test and test.p is not None else ""
    return "; ".join(filter(None, (held, tost, e.reason)))


def _level(e: Estimate | None, scale: str) -> Cell:
    if e is None:
        return Cell("", "not computed")
    if not views.estimable(e):
        tested = f"p {probability(e.p)}; " if e.p is not None else ""
        return Cell(NOT_ESTIMABLE, tested + e.reason)
    note = "; ".join(filter(None, (f"df {freedom(e.df)}", e.verdict, e.reason)))
    return Cell(interval(e.lo, e.hi, scale), note, e.method, numeric=True)


def _counts(e: Estimate | None) -> Cell:
    if e is None:
        return Cell("")
    tasks, languages = counted(e.n_tasks, "task"), counted(e.n_languages, "language")
    return Cell(tasks, f"{languages}, {counted(e.n_seeds, 'seed')}, {counted(e.n_runs, 'run')}")


def _pair(row: Mapping[str, object] | None) -> Cell:
    if row is None or not row["found"]:
        return Cell("")
    flags = str(row["flags"]).split(";")
    marks = "".join(mark for flag, mark in MARKS.items() if flag in flags)
    text = number(row["gain"])  # type: ignore[arg-type]
    if not row["included"]:
        text = f"({text})"
    keys = [short_key(key) for key in str(row["stages"]).split(";")]
    about = "; ".join(filter(None, (str(row["exclusion"] or ""), stage_title(keys))))
    return Cell(text + marks, title=about, numeric=True)
