"""The tables of cells and of what is missing: every gain, and every score that is in none."""

from __future__ import annotations

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy import special

from runtime.analysis.grid import DIRECT, Bools, Floats, Grid, Means
from runtime.analysis.multiplicity import benjamini_hochberg

SELF_PAIR = "self-pair: the arm is trained on the target's own training data"
NO_RUN = "no run to count"
NO_DIRECT = "no run of the direct arm to count"

CELL = {
    "panel": pl.String,
    "model": pl.String,
    "arm": pl.String,
    "target": pl.String,
    "language": pl.String,
    "flags": pl.String,
    "included": pl.Boolean,
    "exclusion": pl.String,
    "n_seeds": pl.Int64,
    "direct": pl.Float64,
    "value": pl.Float64,
    "gain": pl.Float64,
    "se": pl.Float64,
    "df": pl.Float64,
    "p": pl.Float64,
    "q": pl.Float64,
    "stages": pl.String,
}
MISSING = {
    "panel": pl.String,
    "what": pl.String,
    "model": pl.String,
    "arm": pl.String,
    "target": pl.String,
    "language": pl.String,
    "seed": pl.Int64,
    "reason": pl.String,
}


def cells_table(
    frame: pl.DataFrame, grid: Grid, means: Means, active: Bools, cases: Bools
) -> pl.DataFrame:
    """Return one row per model, intermediate arm, target and language of a panel.

    ``active`` are the sizes in the comparison, ``cases`` the complete cases among them. ``n_seeds``
    is the smaller of the two arms' numbers; ``se`` is Welch's, sqrt(s1^2/K1 + s0^2/K0): the arms
    share no noise (every run draws its order, head and dropout from its own key), so pairing by
    seed is bookkeeping. ``p`` is that of Welch's t, ``q`` is adjusted over the panel's included
    cells (Benjamini-Hochberg): cells are explored, not tested.
    """
    counted = pl.col("stage").filter(pl.col("value").is_not_null()).unique().sort()
    place = ("model", "target", "language")
    direct = frame.filter(pl.col("arm") == DIRECT).group_by(place).agg(counted.alias("base"))
    cells = (
        frame.filter(pl.col("arm") != DIRECT)
        .group_by("panel", "model", "arm", "target", "language")
        .agg(pl.col("flags").max(), counted)
        .join(direct, on=place, how="left", maintain_order="left")
        .select(
            "panel",
            pl.col("model").cast(pl.Enum(grid.models)),
            "arm",
            "target",
            "language",
            "flags",
            pl.concat_str(
                pl.col("base", "stage").list.join(";").replace("", None),
                separator=";",
                ignore_nulls=True,
            ).alias("stages"),
        )
        .sort("model", "arm", "target", "language")
    )
    if cells.is_empty():
        return pl.DataFrame(schema=CELL)
    m, a, t, lang = (
        cells[name].cast(pl.Enum(values)).to_physical().to_numpy().astype(np.intp)
        for name, values in (
            ("model", grid.models),
            ("arm", grid.arms),
            ("target", grid.targets),
            ("language", grid.languages),
        )
    )
    value, base = means.mean[m, a, t, lang], means.mean[m, 0, t, lang]
    n_value, n_base = means.count[m, a, t, lang], means.count[m, 0, t, lang]
    squares = (means.residual**2).sum(axis=-1) * means.count / np.maximum(means.count - 1, 1)
    parts = np.stack([squares[m, a, t, lang], squares[m, 0, t, lang]])
    variance = parts.sum(axis=0)
    both = (n_value > 0) & (n_base > 0)
    included = active[m] & cases[a - 1, t, lang]
    repeated = (n_value > 1) & (n_base > 1)
    df, p = _welch(value - base, parts, np.stack([n_value, n_base]), repeated)
    return cells.with_columns(
        pl.col("model").cast(pl.String),
        pl.Series("included", included),
        pl.Series("exclusion", _exclusions(grid, means, active, included, (m, a, t, lang))),
        pl.Series("n_seeds", np.minimum(n_value, n_base)),
        pl.Series("direct", _hole(base, n_base > 0)),
        pl.Series("value", _hole(value, n_value > 0)),
        pl.Series("gain", _hole(value - base, both)),
        pl.Series("se", _hole(np.sqrt(variance), repeated)),
        pl.Series("df", _hole(df, repeated)),
        pl.Series("p", _hole(p, repeated)),
        pl.Series("q", _adjusted(p, repeated & included), dtype=pl.Float64),
    ).select(pl.col(name).cast(kind) for name, kind in CELL.items())


def _welch(
    gain: Floats, variances: Floats, count: NDArray[np.int64], known: Bools
) -> tuple[Floats, Floats]:
    """Return Welch's degrees of freedom and two-sided p of each gain; without spread p is 1."""
    total = variances.sum(axis=0)
    varies = known & (total > 0.0)
    shares = (variances**2 / np.maximum(count - 1, 1)).sum(axis=0)
    df = np.where(varies, total**2 / np.where(varies, shares, 1.0), np.maximum(count.sum(0) - 2, 1))
    t = np.abs(gain) / np.sqrt(np.where(varies, total, 1.0))
    return df, np.where(varies, 2.0 * special.stdtr(df, -t), 1.0)


def _adjusted(p: Floats, tested: Bools) -> list[float | None]:
    return list(
        benjamini_hochberg(
            [each if test else None for each, test in zip(p.tolist(), tested, strict=True)]
        ).p
    )


def missing_table(frame: pl.DataFrame, cells: pl.DataFrame) -> pl.DataFrame:
    """Return what is not in the primary estimates: runs, pairs and incomplete cells, with reasons.

    A ``*`` says that a row holds for all of the kind. ``frame`` has a null ``value`` in every row
    that is not counted.
    """
    run = ("panel", "model", "arm", "target", "seed")
    lost = frame.filter(pl.col("value").is_null()).select(
        *run, "language", "status", (pl.col("status") + ": " + pl.col("reason")).alias("reason")
    )
    planned = frame.group_by(run).len("planned")
    lost = (
        lost.with_columns(pl.len().over(*run, "reason").alias("lost"))
        .join(planned, on=run, how="left")
        .with_columns(
            pl.when(pl.col("lost") == pl.col("planned"))
            .then(pl.lit("*"))
            .otherwise("language")
            .alias("language"),
            pl.col("reason").str.strip_suffix(": "),
        )
        .unique([*run, "language", "reason"])
        .with_columns(
            pl.when(pl.col("language") == "*")
            .then(pl.lit("run"))
            .otherwise(pl.lit("score"))
            .alias("what")
        )
    )
    left_out = cells.filter(~pl.col("included") & ~pl.col("exclusion").is_in([NO_RUN, NO_DIRECT]))
    dropped = left_out.select(
        "panel",
        pl.when(pl.col("exclusion") == SELF_PAIR)
        .then(pl.lit("pair"))
        .otherwise(pl.lit("cell"))
        .alias("what"),
        pl.lit("*").alias("model"),
        "arm",
        "target",
        pl.when(pl.col("exclusion") == SELF_PAIR)
        .then(pl.lit("*"))
        .otherwise("language")
        .alias("language"),
        pl.lit(None, dtype=pl.Int64).alias("seed"),
        pl.col("exclusion").alias("reason"),
    ).unique()
    parts = [
        part.select(pl.col(name).cast(kind) for name, kind in MISSING.items())
        for part in (lost, dropped)
    ]
    return pl.concat(parts).sort(list(MISSING), nulls_last=True)


def _exclusions(
    grid: Grid, means: Means, active: Bools, included: Bools, where: tuple[np.ndarray, ...]
) -> list[str]:
    scored = means.count > 0
    names = np.asarray(grid.models, dtype=object)
    lacking: dict[tuple[int, int, int], str] = {}
    reasons = []
    for fine, m, a, t, lang in zip(included.tolist(), *(i.tolist() for i in where), strict=True):
        if fine:
            reasons.append("")
        elif grid.self_pair[a, t]:
            reasons.append(SELF_PAIR)
        elif not scored[m, a, t, lang]:
            reasons.append(NO_RUN)
        elif not scored[m, 0, t, lang]:
            reasons.append(NO_DIRECT)
        else:
            if (a, t, lang) not in lacking:
                holes = active & ~(scored[:, a, t, lang] & scored[:, 0, t, lang])
                lacking[a, t, lang] = ", ".join(names[holes])
            reasons.append(f"not scored in both arms at every size: {lacking[a, t, lang]}")
    return reasons


def _hole(values: np.ndarray, known: Bools) -> pl.Series:
    return pl.Series(np.where(known, values, np.nan)).fill_nan(None)
