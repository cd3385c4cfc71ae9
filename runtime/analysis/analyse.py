"""The analysis: a tidy score table becomes estimates, their cells and the missing-cell table."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import polars as pl

from compiler.errors import ReportImpossible
from runtime.analysis.adjustment import adjust
from runtime.analysis.breadth import collapses, counts
from runtime.analysis.cells import CELL, cells_table, missing_table
from runtime.analysis.comparisons import compare
from runtime.analysis.design import prospects
from runtime.analysis.estimands import View, active_sizes, label, look, primary, sensitivity
from runtime.analysis.estimate import NOT_ESTIMABLE, Estimate, Findings
from runtime.analysis.grid import average_seeds, build
from runtime.analysis.headline import headline_sentence
from runtime.analysis.languages import Facts, by_language
from runtime.analysis.pairing import seed_pairs
from runtime.analysis.robustness import alternatives, equivalences, influence_of
from runtime.analysis.series import one_series
from runtime.analysis.tasks import by_kind
from runtime.coding import coded

__all__ = ["Findings", "analyse", "headline_sentence"]

NAMED = ("panel", "model", "arm", "target", "language", "seed")
NEEDED = (*NAMED, "family", "params_total", "params_nonembedding", "value", "n", "chance", "status",
          "reason", "flags", "stage")  # fmt: skip


def analyse(
    scores: pl.DataFrame,
    analysis: Mapping[str, Any],
    facts: Facts | None = None,
    kinds: Mapping[str, str] | None = None,
) -> Findings:
    """Estimate everything the report says from a score table and the declared analysis.

    ``analysis`` has ``size_axis``, ``margin`` (points per tenfold parameters, or None) and
    ``degenerate``: ``exclude`` makes the primary estimates conditional on healthy runs, and the
    variant ``all_runs`` keeps them all; with ``keep`` it is the other way round. ``facts`` are
    those of languages, by code, to group them by; ``kinds`` are the kinds of the tasks.
    Raises ReportImpossible when the table lacks a column or a score, or contradicts itself.
    """
    scores = _checked(coded(scores))
    exclude = analysis.get("degenerate", "exclude") == "exclude"
    kept = counted(scores, healthy=exclude)
    collapsed = bool((scores["status"] == "degenerate").any())
    other = counted(scores, healthy=not exclude) if collapsed else kept
    estimates: list[Estimate] = []
    tables: list[pl.DataFrame] = []
    for panel in ("trained", "retrieval"):
        frame = of_panel(kept, panel)
        if frame.is_empty():
            continue
        shared = panel == "retrieval"
        grid = build(frame, shared_runs=shared)
        axis = str(analysis.get("size_axis", "non_embedding"))
        blank = look(grid, panel, "primary", axis, analysis.get("margin"))
        with ThreadPoolExecutor(max_workers=1) as beside:  # most of it is compiled code
            table = beside.submit(
                cells_table,
                frame, grid, average_seeds(grid.scores), active_sizes(grid), blank.cases,
            )  # fmt: skip
            estimates += primary(blank)
            rest = build(of_panel(other, panel), shared_runs=shared) if collapsed else grid
            estimates += sensitivity(blank, grid, rest, "all_runs" if exclude else "healthy_runs")
            if not shared:
                estimates += _around(blank, scores, facts or {}, kinds or {})
            tables.append(table.result())
    cells = pl.concat(tables) if tables else pl.DataFrame(schema=CELL)
    head = _headline(estimates, str(analysis.get("size_axis", "non_embedding")))
    ranges = (influence_of(estimates, head, kind) for kind in ("task", "size"))
    around = (*(e for e in ranges if e is not None), *equivalences(estimates, head))
    estimates = adjust([*estimates, *around])
    return Findings(
        scores=scores,
        cells=cells,
        estimates=tuple(estimates),
        missing=missing_table(kept, cells),
        headline=head,
        counts=_counts(scores, cells),
    )


def of_panel(scores: pl.DataFrame, panel: str) -> pl.DataFrame:
    """Return the scores of a panel; where all are of it, without copying a million of them."""
    own = scores["panel"] == panel
    return scores if own.all() else scores.filter(own)


def _around(
    view: View, scores: pl.DataFrame, facts: Facts, kinds: Mapping[str, str]
) -> Iterator[Estimate]:
    """Yield all that stands around the main estimates of the panel that is fine-tuned."""
    yield from alternatives(view)
    yield from by_language(view, facts)
    yield from by_kind(view, kinds)
    yield from compare(view)
    yield from counts(view)
    yield from collapses(scores, label(view, "collapse_rate", "points", "zero_shot", "*"))
    yield from prospects(scores, view)
    yield from seed_pairs(view)


def _headline(estimates: list[Estimate], axis: str) -> Estimate:
    named = Estimate(
        "slope", "L2", "points", "zero_shot", "trained", "*", "*", "*", axis, "primary",
        verdict=NOT_ESTIMABLE, reason="no target task was fine-tuned",
    )  # fmt: skip
    key = ("estimand", "level", "scale", "average", "panel", "arm", "model", "target", "variant")
    wanted = [getattr(named, name) for name in key]
    return next((e for e in estimates if [getattr(e, name) for name in key] == wanted), named)


def _checked(scores: pl.DataFrame) -> pl.DataFrame:
    absent = [name for name in NEEDED if name not in scores.columns]
    if absent:
        raise ReportImpossible(
            "A001", f"the score table lacks {', '.join(absent)}", hint="collect the scores again"
        )
    one_series(scores)
    if scores.select(NAMED).is_duplicated().any():
        scores = scores.unique(maintain_order=True)
        twice = scores.filter(pl.struct(NAMED).is_duplicated())
        if not twice.is_empty():
            where = ", ".join(str(x) for x in twice.select(NAMED).row(0))
            raise ReportImpossible(
                "A002", "a score has two values", where=where, hint="keep one row for each score"
            )
    if scores.filter(pl.col("value").is_finite()).is_empty():
        raise ReportImpossible(
            "A003", "no score is finished yet", hint="run the plan, then report again"
        )
    unplaced = scores.filter(
        (pl.min_horizontal("params_total", "params_nonembedding") > 0).fill_null(False).not_()
    )
    if not unplaced.is_empty():
        raise ReportImpossible(
            "A004",
            f"the model {unplaced['model'][0]} has no number of parameters",
            hint="give the total and the non-embedding parameters of every model",
        )
    return scores


def counted(scores: pl.DataFrame, *, healthy: bool) -> pl.DataFrame:
    """Return the scores with a null value wherever the run is not to be counted."""
    good = ["finished"] if healthy else ["finished", "degenerate"]
    keep = pl.col("status").is_in(good) & pl.col("value").is_finite()
    return scores.with_columns(pl.when(keep).then("value").alias("value"))


def _counts(scores: pl.DataFrame, cells: pl.DataFrame) -> Mapping[str, int]:
    run = ("panel", "model", "arm", "target", "seed")
    rank = {"failed": 0, "missing": 1, "degenerate": 2, "finished": 3}
    worst = scores.group_by(run).agg(
        pl.col("status").replace_strict(rank, default=0).min().alias("rank")
    )["rank"]
    names = {
        "models": "model",
        "families": "family",
        "targets": "target",
        "languages": "language",
        "seeds": "seed",
    }
    return {
        **{name: scores[column].n_unique() for name, column in names.items()},
        "intermediates": scores.filter(pl.col("arm") != "none")["arm"].n_unique(),
        "runs": len(worst),
        **{f"runs_{name}": int((worst == i).sum()) for name, i in rank.items()},
        "scores": scores.height,
        **{f"scores_{name}": int((scores["status"] == name).sum()) for name in rank},
        "cells": cells.height,
        "cells_included": int(cells["included"].sum()),
    }
