"""Reads the published scores that a plan names into series, each of one protocol and source."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import polars as pl

from compiler.errors import ReportImpossible
from compiler.evidence import Source
from compiler.plan import Plan
from compiler.study import Analysis
from compiler.validate import suggest
from runtime import tidy
from runtime.analysis.grid import DIRECT
from runtime.analysis.series import Series, apart, usable

KEPT = {
    "models": "model", "intermediates": "arm", "targets": "target", "languages": "language",
    "metrics": "metric", "protocols": "protocol",
}  # fmt: skip


def series(plan: Plan) -> tuple[Series, ...]:
    """Return the published scores of a plan, apart by set, protocol and publication.

    Raises ReportImpossible: A005 and A006 for a table that is wrong, with the numbers of its rows,
    A020 for rows without a protocol or names that are not there, A021 for a table that has changed.
    """
    folders = plan.execution.get("evidence", {})
    return tuple(
        one
        for entry in plan.study.get("evidence", ())
        for one in _series(entry, Path(folders[entry["label"]]) / entry["file"])
    )


def alone(plan: Plan) -> pl.DataFrame | None:
    """Return the published scores of a plan that has no runs; None of one that has."""
    if plan.runs or "evidence" not in plan.study:
        return None
    return pl.concat([one.frame for one in series(plan)])


def verify(sources: Iterable[Source]) -> None:
    """Read the tables of a checked study; raises ReportImpossible as ``series`` does."""
    for source in sources:
        for _ in _series(source.entry(), source.path):
            pass


def as_plan(one: Series, plan: Plan) -> Plan:
    """Return the plan that a series would have come from: a report's, of published scores alone."""
    analysis = Analysis.model_validate(plan.study["analysis"])
    block = tidy.Block(
        **analysis.model_dump(), title=plan.name, question=str(plan.study["question"])
    )
    made = tidy.as_plan(one.sized, block, plan.name)
    more = {name: plan.study[name] for name in ("evidence", "claims") if name in plan.study}
    limits = tuple({"what": "published scores", "detail": text} for text in one.limitations)
    return Plan(
        study={**made.study, **more}, models=made.models, tasks=made.tasks,
        arms={**made.arms, DIRECT: {"title": one.direct}},
        recipes={}, stages={}, jobs=(), runs=made.runs, notes=plan.notes,
        confounds=(*limits, *made.confounds), catalog=plan.catalog,
    )  # fmt: skip


def _series(entry: Mapping[str, Any], path: Path) -> Iterator[Series]:
    frame = tidy.read(path, published=True)
    found = hashlib.sha256(path.read_bytes()).hexdigest()
    if found != entry["digest"]:
        raise ReportImpossible(
            "A021", "the table of published scores has changed since the plan was made",
            where=str(path), hint="compile the study again, or put the table back",
        )  # fmt: skip
    frame = _kept(frame, entry["keep"], path)
    frame = frame.with_columns(pl.format("{} {}", pl.lit(entry["label"]), "stage").alias("stage"))
    said = str(entry["protocol"])
    unsaid = frame["protocol"].null_count()
    if unsaid and not said:
        raise ReportImpossible(
            "A020", f"{unsaid} rows of the published scores have no protocol", where=str(path),
            hint="give the entry of `evidence` a `protocol`",
        )  # fmt: skip
    if said:
        stated = pl.concat_str(pl.lit(said), "protocol", separator=": ", ignore_nulls=True)
        frame = frame.with_columns(stated.alias("protocol"))
    for protocol, source, rows in apart(frame):
        _unique(rows, path)
        yield Series(
            entry["label"], entry["title"], protocol, source, rows, found, entry["citation"],
            tuple(entry["limitations"]), rows.height - usable(rows).height, entry["direct"],
        )  # fmt: skip


def _unique(rows: pl.DataFrame, path: Path) -> None:
    named = ("model", "arm", "target", "language", "seed", "metric")
    twice = rows.filter(pl.struct(named).is_duplicated())
    if not twice.is_empty():
        raise ReportImpossible(
            "A002", "a published score has two values",
            where=f"{path}: {', '.join(twice['stage'].head(tidy.SHOWN))}",
            hint="keep one row for each score; give a second publication its own `source`",
        )  # fmt: skip


def _kept(frame: pl.DataFrame, keep: Mapping[str, Sequence[str]], path: Path) -> pl.DataFrame:
    """Return the rows that are to be kept; raises ReportImpossible (A020) for an unknown name."""
    for field, names in keep.items():
        column = KEPT[field]
        known = frame[column].drop_nulls().unique().sort().to_list()
        for name in names:
            if name not in known:
                raise ReportImpossible(
                    "A020", f"the published scores have no {field[:-1]} `{name}`",
                    where=str(path), hint=suggest(name, known),
                )  # fmt: skip
    for field, names in keep.items():
        frame = frame.filter(pl.col(KEPT[field]).is_in(list(names)))
    if frame.is_empty():
        raise ReportImpossible(
            "A020", "nothing is left of the published scores by what `keep` names",
            where=str(path), hint="leave out one of its lists",
        )  # fmt: skip
    return frame
