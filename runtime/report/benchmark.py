"""Makes the table of benchmark averages: as the benchmark's own script, and without English."""

from __future__ import annotations

import polars as pl

from runtime.analysis.estimate import Findings
from runtime.metrics.averages import ENGLISH
from runtime.report.tables import Cell, Table, figure
from runtime.report.views import Names
from runtime.report.wording import parameters, score

CELLS = ("target", "language")


def benchmark_table(findings: Findings, names: Names) -> Table:
    """Return the official and the zero-shot average of every arm and size, over all its targets.

    Both are plain means over tasks of means over languages of means over seeds, of the number that
    XTREME averages (arXiv:2003.11080: the mean of F1 and exact match for question answering).
    Targets that are not fine-tuned are in, and so are self-pairs: a leaderboard counts them. An
    arm's cells are those that it and the direct arm have finished at every size.
    """
    scores = findings.scores
    if "official" not in scores.columns:  # scores made elsewhere: their values are all there is
        scores = scores.with_columns(official="value")
    finished = scores.filter(
        pl.col("status").is_in(["finished", "degenerate"]) & pl.col("official").is_finite()
    )
    means = finished.group_by("model", "arm", *CELLS, maintain_order=True).agg(
        pl.col("official").mean()
    )
    means = means.sort("model", "arm", *CELLS)  # sums of another order have other last digits
    rows = []
    for arm in ("none", *names.intermediates):
        both = means.filter(pl.col("arm").is_in(["none", arm]))
        wanted = len(names.sizes) * (1 if arm == "none" else 2)
        whole = both.group_by(CELLS).agg(pl.len()).filter(pl.col("len") == wanted)
        common = both.join(whole.select(CELLS), on=CELLS, how="semi", maintain_order="left")
        tasks = common["target"].n_unique()
        for model in names.sizes:
            of_model = common.filter(pl.col("model") == model)
            own, direct = (of_model.filter(pl.col("arm") == name) for name in (arm, "none"))
            if own.is_empty():
                continue
            cells = []
            for english in (True, False):
                value, base = average(own, english=english), average(direct, english=english)
                cells.append(Cell(score(value), numeric=True))
                cells.append(figure(None if arm == "none" else gain(value, base)))
            count = Cell(str(tasks), numeric=True)
            size = Cell(names.models[model], parameters(names.sizes[model]))
            rows.append((Cell(names.arms[arm]), size, *cells, count))
    head = ("Arm", "Size", "Official average", "Gain", "Zero-shot average", "Gain", "Targets")
    return Table("Averages over all targets, as a benchmark counts", head, tuple(rows), stubs=2)


def gain(value: float | None, base: float | None) -> float | None:
    """Return the difference of two averages; None when one of them is not known."""
    return None if value is None or base is None else value - base


def average(cells: pl.DataFrame, *, english: bool) -> float | None:
    """Return the plain mean over tasks of means over languages; None when a task has none left."""
    left = cells if english else cells.filter(pl.col("language") != ENGLISH)
    tasks = left.group_by("target", maintain_order=True).agg(pl.col("official").mean())
    if tasks.is_empty() or len(tasks) < cells["target"].n_unique():
        return None
    return float(tasks["official"].sort().sum() / len(tasks))
