"""Makes the tables that account for the runs: flow, missing cells, raw scores and provenance."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl

from compiler.plan import Plan
from runtime.analysis.estimate import Findings
from runtime.coding import coded
from runtime.report.tables import CAP, Cell, Table, stage_title, words
from runtime.report.views import Names
from runtime.report.wording import counted, listing, parameters, score, short_key

STATUSES = ("finished", "degenerate", "failed", "missing")
_RUN = ["model", "arm", "target", "seed"]
_CELL = ["model", "arm", "target", "language"]


def flow(findings: Findings) -> list[dict[str, str]]:
    """Return the steps from planned to included runs, in words."""
    scores = findings.scores.select(*_CELL, "seed", "status")
    done = scores.filter(pl.col("status") == "finished")
    kept = _included(findings, done)
    return [
        _step("Planned", scores, "by the study"),
        _step("Finished", done, _losses(scores)),
        _step("Included", kept, "in the primary analysis, both panels"),
    ]


def unfinished(findings: Findings) -> str:
    """Say how many of the planned scores are not here; "" when all are, finished or degenerate."""
    counts = dict(findings.scores.group_by("status").len().iter_rows())
    lacking = {name: counts[name] for name in ("missing", "failed") if counts.get(name)}
    if not lacking:
        return ""
    planned = findings.scores.height
    here = planned - sum(lacking.values())
    why = listing([f"{count:,} {name}" for name, count in lacking.items()])
    return f"{here:,} of {planned:,} planned scores are here, {why}: all below is of these alone."


def status_table(findings: Findings, names: Names) -> Table:
    """Counts of scores by size, arm and status."""
    frame = findings.scores.group_by("model", "arm", "status").len()
    found = {(r["model"], r["arm"], r["status"]): r["len"] for r in frame.to_dicts()}
    rows = tuple(
        (
            Cell(names.models[model], parameters(names.sizes[model])),
            Cell(names.arms[arm]),
            *(Cell(str(n), numeric=True) for n in (sum(counts), *counts)),
        )
        for model in names.sizes
        for arm in names.arms
        if any(counts := [found.get((model, arm, status), 0) for status in STATUSES])
    )
    head = ("Size", "Arm", "Planned", *(status.capitalize() for status in STATUSES))
    return Table("Scores by size, arm and status", head, rows, stubs=2)


def missing_table(findings: Findings, names: Names) -> Table:
    """Every score that did not finish, with its reason; languages and seeds drawn together."""
    gaps = (
        findings.scores.filter(pl.col("status") != "finished")
        .group_by("model", "arm", "target", "status", "reason", maintain_order=True)
        .agg(
            pl.col("language").unique(maintain_order=True),
            pl.col("seed").unique().sort(),
            pl.col("stage").unique(maintain_order=True),
        )
    )
    rows = tuple(
        (
            Cell(names.models.get(r["model"], r["model"])),
            Cell(names.arm(r["arm"])),
            Cell(names.tasks.get(r["target"], r["target"])),
            Cell(", ".join(r["language"])),
            Cell(", ".join(str(seed) for seed in r["seed"])),
            Cell(r["status"]),
            Cell(r["reason"], title=stage_title(r["stage"])),
        )
        for r in gaps.head(CAP).to_dicts()
    )
    head = ("Size", "Arm", "Target", "Languages", "Seeds", "Status", "Reason")
    return Table(
        "Scores that are missing, and why", head, rows, whole=gaps.height, file="runs.parquet"
    )


def exclusion_table(findings: Findings, names: Names) -> Table:
    """Everything that is not in the primary estimates, with the reason; like rows together."""
    left = (
        findings.missing.fill_null("")
        .group_by("panel", "what", "reason", "arm", "target", maintain_order=True)
        .agg(
            pl.col("model").unique(maintain_order=True),
            pl.col("language").unique(maintain_order=True),
            pl.col("seed").drop_nulls().unique().sort(),
            pl.len(),
        )
    )
    rows = tuple(
        (
            Cell(r["reason"], f"{r['panel']} panel"),
            Cell(counted(r["len"], r["what"])),
            Cell(", ".join(_named(model, names.models) for model in r["model"])),
            Cell(_named(r["arm"], names.arms)),
            Cell(_named(r["target"], names.tasks)),
            Cell(", ".join(_named(language, {}) for language in r["language"])),
            Cell(", ".join(str(seed) for seed in r["seed"])),
        )
        for r in left.head(CAP).to_dicts()
    )
    head = ("Reason", "Count", "Sizes", "Arm", "Target", "Languages", "Seeds")
    caption = "What is not in the primary estimates, and why"
    return Table(caption, head, rows, whole=left.height, file="cells.parquet")


def _named(name: str, titles: Mapping[str, str]) -> str:
    return "all" if name == "*" else titles.get(name, name)


def seed_table(findings: Findings, names: Names) -> Table:
    """All raw scores: one row per size, arm, target and language, one column per seed."""
    seeds = sorted(findings.scores["seed"].unique().to_list())
    cells = findings.scores.select(_CELL).unique(maintain_order=True)
    first = cells.head(CAP)
    shown = findings.scores.join(first, on=_CELL, how="semi", maintain_order="left")
    rows: dict[tuple[str, ...], dict[int, Mapping[str, Any]]] = {}
    for r in shown.select(*_CELL, "seed", "value", "status", "stage").to_dicts():
        rows.setdefault(tuple(r[name] for name in _CELL), {})[r["seed"]] = r
    body = tuple(
        (
            Cell(parameters(names.sizes[model]), title=names.models[model]),
            Cell(names.arms[arm]),
            Cell(names.tasks[target]),
            Cell(language),
            *(_score(by_seed.get(seed)) for seed in seeds),
            _keys(by_seed),
        )
        for (model, arm, target, language), by_seed in rows.items()
    )
    head = ("Size", "Arm", "Target", "Lang.", *(f"Seed {seed}" for seed in seeds), "Stages")
    return Table(
        "All raw scores from 0 to 100", head, body, stubs=4, whole=cells.height, file="runs.parquet"
    )


def model_table(plan: Plan, names: Names) -> Table:
    """The checkpoints of the ladder."""
    rows = tuple(
        (
            Cell(names.models[name]),
            Cell(str(plan.models[name].get("family", ""))),
            *(
                Cell(parameters(int(plan.models[name]["parameters"][axis])), numeric=True)
                for axis in ("total", "non_embedding")
            ),
            Cell(str(plan.models[name].get("layers", "")), numeric=True),
            Cell(_plain(plan.models[name].get("checkpoint") or plan.models[name].get("pretrain"))),
        )
        for name in names.sizes
    )
    head = ("Model", "Family", "Parameters", "Non-embedding", "Layers", "Checkpoint")
    return Table("The pretrained checkpoints", head, rows)


def ladder(plan: Plan) -> list[tuple[str, str]]:
    """Return each model family with what its models say of themselves, said once."""
    said: dict[str, list[str]] = {}
    for model in plan.models.values():
        texts = said.setdefault(str(model.get("family", "")), [])
        if (text := str(model.get("description", ""))) and text not in texts:
            texts.append(text)
    return [(family, " ".join(texts)) for family, texts in said.items() if texts]


def limitations(plan: Plan, names: Names) -> list[tuple[str, str]]:
    """Return each task with its limitations, and with the caveats of languages it is scored in."""
    found = [
        (names.tasks[name], text)
        for name, task in plan.tasks.items()
        if (text := _plain(task.get("limitations", "")))
    ]
    return found + [(f"{names.tasks[name]}, {x}", f"{text}.") for name, x, text in caveats(plan)]


def caveats(plan: Plan) -> list[tuple[str, str, str]]:
    """Return task, language and caveat of each language that is scored in and has one."""
    warned = {name for name, task in plan.tasks.items() if task.get("caveats")}
    scored = dict.fromkeys(
        (run.target, x) for run in plan.runs if run.target in warned for x in run.languages
    )
    return [
        (task, language, str(text))
        for task, language in scored
        if (text := plan.tasks[task].get("caveats", {}).get(language))
    ]


def mapping_table(caption: str, rows: Sequence[Mapping[str, Any]]) -> Table:
    """Print mappings, one a row, with the union of their keys as columns."""
    keys = list(dict.fromkeys(key for row in rows for key in row))
    head = tuple(str(key).replace("_", " ").capitalize() for key in keys)
    return Table(caption, head, tuple(words(*(_plain(r.get(k, "")) for k in keys)) for r in rows))


def provenance_tables(provenance: Mapping[str, Any]) -> list[Table]:
    """Print provenance: plain values in one table, each nested value in a table of its own."""
    nested = {k: v for k, v in provenance.items() if _rows(v)}
    plain = tuple(
        words(str(k).replace("_", " ").capitalize(), _plain(v))
        for k, v in provenance.items()
        if k not in nested
    )
    first = Table("What this report was made from", ("Item", "Value"), plain)
    return [
        *([first] if plain else []),
        *(
            mapping_table(str(k).replace("_", " ").capitalize(), _rows(v))
            for k, v in nested.items()
        ),
    ]


def _rows(value: Any) -> list[dict[str, Any]]:
    """Return a nested value as rows, or nothing when it is a plain one."""
    if isinstance(value, Mapping) and value:
        if all(isinstance(v, Mapping) for v in value.values()):
            return [{"name": k, **v} for k, v in value.items()]
        return [{"name": k, "value": v} for k, v in value.items()]
    if isinstance(value, Sequence) and not isinstance(value, str) and value:
        return [dict(v) for v in value] if all(isinstance(v, Mapping) for v in value) else []
    return []


def _plain(value: Any) -> str:
    if isinstance(value, Mapping):
        return "; ".join(f"{k}: {_plain(v)}" for k, v in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(_plain(v) for v in value)
    return "" if value is None else f"{value:g}" if isinstance(value, float) else str(value)


def _included(findings: Findings, done: pl.DataFrame) -> pl.DataFrame:
    """Return the finished scores behind included gains, those of the direct arm too."""
    cells = coded(findings.cells.filter(pl.col("included")).select(_CELL))
    direct = cells.with_columns(pl.lit("none", dtype=pl.Categorical).alias("arm"))
    both = pl.concat([cells, direct]).unique()
    return done.join(both, on=_CELL, how="semi")


def _losses(scores: pl.DataFrame) -> str:
    counts = dict(scores.group_by("status").len().iter_rows())
    lost = [f"{counts[s]} {s}" for s in STATUSES[1:] if counts.get(s)]
    return f"scores not finished: {listing(lost)}" if lost else "nothing is missing"


def _step(name: str, scores: pl.DataFrame, note: str) -> dict[str, str]:
    runs = scores.select(_RUN).unique().height
    return {
        "name": name,
        "runs": counted(runs, "run"),
        "scores": counted(scores.height, "score"),
        "note": note,
    }


def _score(row: Mapping[str, Any] | None) -> Cell:
    if row is None:
        return Cell("")
    text = score(row["value"])
    note = "" if row["status"] == "finished" else row["status"]
    return Cell(text, note, row["stage"], numeric=True)


def _keys(by_seed: Mapping[int, Mapping[str, Any]]) -> Cell:
    keys = dict.fromkeys(row["stage"] for _, row in sorted(by_seed.items()))
    return Cell(" ".join(short_key(key) for key in keys))
