"""Collects a plan's scores from the store: one row per cell, finished or not, in plan order."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Protocol

import polars as pl

from compiler.plan import Plan, Run
from compiler.terms import UNTRAINED
from runtime.metrics.averages import xtreme_score
from runtime.records import Failure, Record

SCORES = {
    "model": pl.String,
    "family": pl.String,
    "params_total": pl.Int64,
    "params_nonembedding": pl.Int64,
    "arm": pl.String,
    "target": pl.String,
    "panel": pl.String,
    "language": pl.String,
    "seed": pl.Int64,
    "metric": pl.String,
    "value": pl.Float64,
    "official": pl.Float64,
    "n": pl.Int64,
    "chance": pl.Float64,
    "status": pl.String,
    "reason": pl.String,
    "english_dev": pl.Float64,
    "english_dev_chance": pl.Float64,
    "english_dev_n": pl.Int64,
    "flags": pl.String,
    "stage": pl.String,
    "train": pl.String,
}

RANKED = ("map_at_20", "mrr_at_20")
"""Metrics of ranked candidates; their value is a mean of numbers from 0 to 1."""

ANSWERS = ("squad", "mlqa")
"""Metrics of answers to questions; their value is an F1."""

Origin = tuple[str, str]
"""What went wrong, and the stage that it went wrong in."""


class Records(Protocol):
    """What is read from a store: the record of a stage's part, or why the stage failed."""

    def record(self, key: str, part: str) -> Record | None:
        """Return the complete record, or None."""

    def failure(self, key: str) -> Failure | None:
        """Return why the latest attempt failed, or None."""


def collect(plan: Plan, store: Records) -> pl.DataFrame:
    """Return one row per cell of the plan, on the columns of ``SCORES``.

    A cell without a score is ``failed`` when its stage or one that it needs has failed, else
    ``missing``. Each record is read once, however many runs share it.
    """
    columns: dict[str, list[Any]] = {name: [] for name in SCORES}
    trained: dict[str, Mapping[str, Any]] = {}
    scored: dict[tuple[str, str], Mapping[str, Any] | None] = {}
    blame: dict[str, Origin] = {}
    for run in plan.runs:
        if run.train is not None and run.train not in trained:
            trained[run.train] = _english_dev(store.record(run.train, "all"))
        dev = trained[run.train] if run.train is not None else {}
        degenerate = degeneracy(dev)
        shared = _shared(plan, run, dev)
        for language in run.languages:
            place = (run.score, language)
            if place not in scored:
                record = store.record(run.score, plan.part_of(run.score, language))
                scored[place] = None if record is None else record.result
            result = scored[place]
            value = _finite(result.get("value")) if result is not None else None
            if result is None:
                reason, origin = _blame(plan, store, run.score, blame)
                status = "failed" if reason else "missing"
                reason += f" ({origin})" if origin not in ("", run.score) else ""
            elif value is None:
                status, reason = "failed", "data: the record holds no finite value"
            else:
                status, reason = ("degenerate" if degenerate else "finished"), degenerate
            row = shared | {
                "language": language,
                "value": value,
                "official": None if value is None else _official(result or {}),
                "n": (result or {}).get("n"),
                "status": status,
                "reason": reason,
            }
            for name, column in columns.items():
                column.append(row[name])
    return pl.DataFrame(columns, schema=SCORES)


def _official(result: Mapping[str, Any]) -> float | None:
    """Return the number that a benchmark averages; the value itself in a record without scores."""
    scores = {name: _finite(value) for name, value in (result.get("scores") or {}).items()}
    known = {name: value for name, value in scores.items() if value is not None}
    return xtreme_score(known) if known else _finite(result.get("value"))


def degeneracy(english_dev: Mapping[str, Any]) -> str:
    """Say why a run counts as degenerate by its English development score, or return "".

    Accuracy must exceed chance by more than three binomial standard errors, sqrt(p (1 - p) / n) at
    chance p; so must the F1 of answers where saying that nothing has an answer scores something.
    An F1 without such a chance must exceed 1 point. XTREME's F1 of parts of speech must exceed
    both: its chance is the best of the taggers that have one tag for every word. Of ranked
    candidates, chance is what any order scores; a mean of numbers from 0 to 1 spreads at most as
    much as a share of the same mean, so the same standard error is an upper bound. Other metrics
    have no known chance and are not judged. A mix is degenerate when none of its tasks is above
    chance: an encoder that has learnt one of nine is no failed run. Test scores are never looked
    at: that would select on the outcome.
    """
    tasks = english_dev.get("tasks")
    if isinstance(tasks, Mapping):
        reasons = {name: degeneracy(one) for name, one in tasks.items()}
        said = "; ".join(f"{name}: {reason}" for name, reason in reasons.items())
        return said if all(reasons.values()) else ""
    value, metric = _finite(english_dev.get("value")), english_dev.get("metric")
    if value is None:
        return ""
    chance = _finite(english_dev.get("chance"))
    if metric == "span_f1" or (metric in ANSWERS and not chance):
        return f"English dev F1 {value:.1f} is not above 1.0" if value <= 1.0 else ""
    if metric not in ("accuracy", "xtreme_f1", *RANKED, *ANSWERS) or chance is None:
        return ""
    examples = english_dev.get("n") or 0
    share = chance / 100.0
    error = 100.0 * math.sqrt(share * (1.0 - share) / examples) if examples > 0 else 0.0
    if metric == "xtreme_f1" and chance + 3.0 * error < 1.0:
        return f"English dev F1 {value:.1f} is not above 1.0" if value <= 1.0 else ""
    if value > chance + 3.0 * error:
        return ""
    word = {"accuracy": "accuracy", "map_at_20": "mAP@20", "mrr_at_20": "MRR@20"}.get(metric, "F1")
    return f"English dev {word} {value:.1f} is not above chance {chance:.1f} + 3 SE ({error:.1f})"


def _shared(plan: Plan, run: Run, dev: Mapping[str, Any]) -> dict[str, Any]:
    """Return the columns that all languages of a run have in common."""
    model, task = plan.models[run.model], plan.tasks[run.target]
    retrieval = task["kind"] in UNTRAINED or "untuned" in run.flags
    return {
        "model": run.model,
        "family": model["family"],
        "params_total": model["parameters"]["total"],
        "params_nonembedding": model["parameters"]["non_embedding"],
        "arm": run.arm,
        "target": run.target,
        "panel": "retrieval" if retrieval else "trained",
        "seed": run.seed,
        "metric": task["metric"],
        "chance": task.get("chance") or 0.0,
        "english_dev": _finite(dev.get("value")),
        "english_dev_chance": _finite(dev.get("chance")),
        "english_dev_n": dev.get("n"),
        "flags": ";".join(sorted(run.flags)),
        "stage": run.score,
        "train": run.train,
    }


def _english_dev(record: Record | None) -> Mapping[str, Any]:
    found = record.result.get("english_dev") if record is not None else None
    return found if isinstance(found, Mapping) else {}


def _blame(plan: Plan, store: Records, key: str, known: dict[str, Origin]) -> Origin:
    """Return the failure of a stage, or of the first unfinished stage that it needs, and whose."""
    if key in known:
        return known[key]
    known[key] = ("", "")
    failure = store.failure(key)
    if failure is not None:
        known[key] = (f"{failure.failure_class}: {failure.message}", key)
        return known[key]
    stage = plan.stages.get(key)
    for needed in stage.inputs.values() if stage is not None else ():
        needs = plan.stages.get(needed)
        if needs is None or all(store.record(needed, part) for part in needs.parts):
            continue
        known[key] = _blame(plan, store, needed, known)
        if known[key][0]:
            break
    return known[key]


def _finite(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return float(value)
