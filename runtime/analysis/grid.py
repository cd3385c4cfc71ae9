"""The grid: scores of one panel as a dense block, and their seed means on three scales."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import polars as pl
from numpy.typing import NDArray

from runtime.analysis.estimate import Scale

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

ENGLISH = "en"
DIRECT = "none"
UNKNOWN_N = 1000
"""Taken as the number of test examples, where it was not recorded, to guard a score of 100."""


@dataclass(frozen=True, slots=True)
class Grid:
    """Scores as model x arm x target x language x seed, NaN where there is none.

    The direct arm comes first; models are ordered by size. ``self_pair``, ``shared_text`` and
    ``aside`` (control and exploratory arms, which no average over arms includes) are
    arm x target. ``shared_runs`` says that the targets of one model, arm and seed were scored on
    one trained model, as in retrieval, so that they share its run noise.
    """

    models: tuple[str, ...]
    families: tuple[str, ...]
    total: Floats
    non_embedding: Floats
    arms: tuple[str, ...]
    targets: tuple[str, ...]
    languages: tuple[str, ...]
    seeds: tuple[int, ...]
    scores: Floats
    chance: Floats
    examples: Floats
    self_pair: Bools
    shared_text: Bools
    shared_runs: bool
    aside: Bools | None = None

    def size(self, axis: str) -> Floats:
        """Return log10 of the parameters on the named axis."""
        return np.log10(self.total if axis == "total" else self.non_embedding)


@dataclass(frozen=True, slots=True)
class Means:
    """Seed means and what is left of each run around them.

    ``residual`` is (y - mean) / K, zero where a run is absent; summed over the cells of a contrast
    it is what one run adds to the contrast's error.
    """

    mean: Floats
    count: NDArray[np.int64]
    present: Bools
    residual: Floats


def build(frame: pl.DataFrame, *, shared_runs: bool) -> Grid:
    """Lay out the rows of one panel; rows whose ``value`` is null leave a hole.

    One row per model, arm, target, language and seed is assumed.
    """
    models = (
        frame.select("model", "family", "params_total", "params_nonembedding")
        .unique("model", keep="any")
        .sort("params_nonembedding", "params_total", "model")
    )
    arms = sorted(set(frame["arm"].unique().to_list()) - {DIRECT})
    labels = {
        "model": models["model"].to_list(),
        "arm": [DIRECT, *arms],
        "target": sorted(frame["target"].unique().to_list()),
        "language": sorted(frame["language"].unique().to_list()),
    }
    seeds = sorted(frame["seed"].unique().to_list())
    m, a, t, lang = (
        frame[name].cast(pl.Enum(values)).to_physical().to_numpy().astype(np.intp)
        for name, values in labels.items()
    )
    k = np.searchsorted(np.asarray(seeds), frame["seed"].to_numpy())
    shape = tuple(len(values) for values in labels.values())
    scores = np.full((*shape, len(seeds)), np.nan)
    scores[m, a, t, lang, k] = frame["value"].fill_null(float("nan")).to_numpy()
    chance = np.zeros(shape[2:])
    np.maximum.at(chance, (t, lang), frame["chance"].fill_null(0.0).to_numpy())
    examples = np.zeros(shape[2:])
    np.maximum.at(examples, (t, lang), frame["n"].fill_null(0).cast(pl.Float64).to_numpy())
    own = np.asarray([[arm == target for target in labels["target"]] for arm in labels["arm"]])
    return Grid(
        models=tuple(labels["model"]),
        families=tuple(models["family"].to_list()),
        total=models["params_total"].cast(pl.Float64).to_numpy(),
        non_embedding=models["params_nonembedding"].cast(pl.Float64).to_numpy(),
        arms=tuple(labels["arm"]),
        targets=tuple(labels["target"]),
        languages=tuple(labels["language"]),
        seeds=tuple(seeds),
        scores=scores,
        chance=chance,
        examples=np.where(examples > 0, examples, UNKNOWN_N),
        self_pair=_flagged(frame, "self_pair", a, t, shape[1:3]) | own,
        shared_text=_flagged(frame, "shared_text", a, t, shape[1:3]),
        shared_runs=shared_runs,
        aside=_flagged(frame, "control_arm", a, t, shape[1:3])
        | _flagged(frame, "exploratory", a, t, shape[1:3]),
    )


def take(grid: Grid, keep: Bools) -> Grid:
    """Return the grid of some of its models."""
    if keep.all():
        return grid
    kept = np.flatnonzero(keep)
    return replace(
        grid,
        models=tuple(grid.models[i] for i in kept),
        families=tuple(grid.families[i] for i in kept),
        total=grid.total[kept],
        non_embedding=grid.non_embedding[kept],
        scores=grid.scores[kept],
    )


def average_seeds(scores: Floats) -> Means:
    """Average the last axis, leaving out absent runs; cells without any run get the mean 0."""
    present = ~np.isnan(scores)
    count = present.sum(axis=-1)
    filled = np.where(present, scores, 0.0)
    divisor = np.maximum(count, 1)
    mean = filled.sum(axis=-1) / divisor
    residual = np.where(present, scores - mean[..., None], 0.0) / divisor[..., None]
    return Means(mean, count, present, residual)


def rescale(mean: Floats, grid: Grid, scale: Scale) -> tuple[Floats, Floats]:
    """Return seed means on a scale, and the derivative there, for the delta method.

    The log error ratio of an arm is the difference of -ln(100 - y) of seed means: the average over
    cells is one of logs of ratios, not the log of an average. An error below half an example,
    50 / n points, counts as half an example.
    """
    if scale == "points":
        return mean, np.ones_like(mean)
    if scale == "chance_corrected":
        factor = 100.0 / (100.0 - grid.chance)
        return (mean - grid.chance) * factor, np.broadcast_to(factor, mean.shape)
    error = np.maximum(100.0 - mean, 50.0 / grid.examples)
    return -np.log(error), 1.0 / error


def _flagged(
    frame: pl.DataFrame,
    flag: str,
    arm: NDArray[np.intp],
    target: NDArray[np.intp],
    shape: tuple[int, ...],
) -> Bools:
    marks = [each for each in frame["flags"].unique().drop_nulls() if flag in each.split(";")]
    has = frame["flags"].is_in(marks).fill_null(False).to_numpy()
    marked = np.zeros(shape, dtype=np.bool_)
    marked[arm[has], target[has]] = True
    return marked
