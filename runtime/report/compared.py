"""Builds the files of a comparison of two studies, or of one study at two times."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

from runtime.analysis.estimate import Estimate
from runtime.report.build import as_fields, as_parquet, plain, render, written
from runtime.report.ledger import provenance_tables
from runtime.report.versus import KEY, SCHEMA, Side, Versus, change, context, pairs, versus


def build_comparison(
    first: Side, second: Side, provenance: Sequence[Mapping[str, Any]]
) -> dict[str, bytes]:
    """Return the comparison as file name to content; the same inputs give the same bytes.

    ``provenance`` is that of both reports: what each was made from.
    """
    found = versus(first, second)
    told = zip((f"First: {first.label}", f"Second: {second.label}"), provenance, strict=True)
    page = context(found) | {
        "provenance": [
            replace(table, caption=label)
            for label, side in told
            for table in provenance_tables(side)[:1]
        ]
    }
    texts = {
        "comparison.html": render("compare.html.j2", page),
        "comparison.md": render("compare.md.j2", page),
        "comparison.json": written(_body(found, page, provenance)),
    }
    return {
        **{name: text.encode("utf-8") for name, text in texts.items()},
        "comparison-scores.parquet": as_parquet(found.scores),
    }


def _body(
    found: Versus, page: Mapping[str, Any], provenance: Sequence[Mapping[str, Any]]
) -> dict[str, Any]:
    """Return what comparison.json says: every number of the page, and all estimates."""
    stages = found.stages.body()
    return {
        "schema": SCHEMA,
        "title": page["title"],
        "why": list(found.why),
        "sides": [
            {
                "label": side.label,
                "study": side.plan.name,
                "sentence": said["sentence"],
                "headline": plain(as_fields(side.findings.headline)),
                "counts": plain(side.findings.counts),
                "analysis": plain(side.plan.study["analysis"]),
                "provenance": plain(made),
            }
            for side, said, made in zip(found.sides, page["sides"], provenance, strict=True)
        ],
        "steps": [
            {"what": step.what, "levels": {k: plain(as_fields(e)) for k, e in step.levels.items()}}
            for step in found.steps
        ],
        "scores": found.counts(),
        "estimates": [_pair(one, other) for one, other in pairs(found)],
        "stages": plain(
            {name: stages[name] for name in ("kept", "added", "dropped", "rekeyed", "causes")}
        ),
        "design": plain(stages["design"]),
        "settings": [plain(asdict(each)) for each in found.stages.settings],
    }


def _pair(one: Estimate | None, other: Estimate | None) -> dict[str, Any]:
    told = ("estimate", "se", "df", "lo", "hi", "p", "verdict", "reason")
    some = one or other
    sides = {
        name: None if e is None else {field: plain(getattr(e, field)) for field in told}
        for name, e in (("first", one), ("second", other))
    }
    return {
        **{name: plain(getattr(some, name)) for name in KEY},
        **sides,
        "difference": plain(change(one, other)),
    }
