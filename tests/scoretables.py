"""Score tables for the tests of the estimates, and short ways to one of them."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence

import numpy as np
import polars as pl
import pytest

from runtime.analysis.estimands import look, pooled
from runtime.analysis.estimate import Estimate, Findings
from runtime.analysis.grid import build

PLAN = {"size_axis": "non_embedding", "margin": 1.0, "degenerate": "exclude"}
Score = Callable[[str, str, str, str, int], float]
KEY = ("model", "arm", "target", "language", "seed")


THREE = {"s": 1e7, "m": 1e8, "l": 1e9}


def table(
    score: Score,
    *,
    sizes: dict[str, float],
    arms: Sequence[str] = ("mnli",),
    targets: Sequence[str] = ("A", "B"),
    languages: Sequence[str] = ("de", "fr"),
    seeds: Sequence[int] = (1, 2),
    panel: str = "trained",
    families: dict[str, str] | None = None,
) -> pl.DataFrame:
    """Make a complete score table from a function of (model, arm, target, language, seed)."""
    rows = [
        {
            "model": m,
            "family": (families or {}).get(m, "one"),
            "params_total": int(2 * sizes[m]),
            "params_nonembedding": int(sizes[m]),
            "arm": a,
            "target": t,
            "panel": panel,
            "language": lang,
            "seed": k,
            "metric": "accuracy",
            "value": float(score(m, a, t, lang, k)),
            "n": 1000,
            "chance": 20.0,
            "status": "finished",
            "reason": "",
            "flags": "",
            "stage": f"{m}-{a}-{t}-{k}",
        }
        for m, a, t, lang, k in itertools.product(sizes, ("none", *arms), targets, languages, seeds)
    ]
    return pl.DataFrame(rows)


def where(**names: object) -> pl.Expr:
    return pl.all_horizontal(pl.col(name) == value for name, value in names.items())


def put(frame: pl.DataFrame, rows: pl.Expr, **values: object) -> pl.DataFrame:
    return frame.with_columns(
        pl.when(rows).then(pl.lit(v, dtype=frame[name].dtype)).otherwise(name).alias(name)
        for name, v in values.items()
    )


def slope(found: Findings, level: str = "L2", **names: str) -> Estimate:
    wanted = {
        "estimand": "slope", "level": level, "scale": "points", "average": "zero_shot",
        "panel": "trained", "arm": "*", "variant": "primary",
    }  # fmt: skip
    (only,) = found.select(**(wanted | names))
    return only


def quick(frame: pl.DataFrame) -> dict[str, Estimate]:
    """The pooled slope at each level, without the rest of the analysis."""
    view = look(build(frame, shared_runs=False), "trained", "primary", "non_embedding", None)
    return {e.level: e for e in pooled(view)}


def noisy(
    seed: int,
    *,
    tasks: int = 3,
    languages: int = 4,
    sizes: int = 4,
    seeds: int = 2,
    arms: Sequence[str] = ("mnli",),
) -> pl.DataFrame:
    """A table with a trend and with noise of tasks, languages, runs and scores."""
    rng = np.random.default_rng(seed)
    names = dict(list(zip("smlx", (2.7e8, 5.5e8, 3.5e9, 1.07e10), strict=True))[:sizes])
    run: dict[tuple[object, ...], float] = {}

    def draw(sd: float, *key: object) -> float:
        return run.setdefault((sd, *key), float(rng.normal(0.0, sd)))

    def score(m: str, a: str, t: str, lang: str, k: int) -> float:
        x = math.log10(names[m]) - 9
        base = 60 + 5 * x + draw(5, t) + draw(3.0, lang)
        gain = (2 - (0.6 + draw(0.8, a, t) + draw(0.31, a, lang)) * x) if a != "none" else 0.0
        return base + gain + draw(0.61, m, a, t, k) + draw(0.41, m, a, t, lang, k)

    return table(
        score,
        sizes=names,
        arms=arms,
        targets=[f"T{i}" for i in range(tasks)],
        languages=["en", *(f"l{i}" for i in range(languages - 1))],
        seeds=range(1, seeds + 1),
    )


def same(one: dict[str, Estimate], other: dict[str, Estimate]) -> None:
    for level, e in one.items():
        for field in ("estimate", "se", "df", "lo", "hi", "p"):
            assert getattr(other[level], field) == pytest.approx(
                getattr(e, field), rel=1e-6, abs=1e-8
            )
