"""From the store to the report: collects scores, estimates, and writes every output file."""

from __future__ import annotations

import hashlib
import importlib.metadata
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import polars as pl

from compiler.catalog import Catalog, load
from compiler.errors import ReportImpossible
from compiler.identity import digest, slug
from compiler.plan import Plan, Stage
from runtime import published, tidy
from runtime.analysis.analyse import analyse
from runtime.analysis.claims import judge_claims
from runtime.analysis.estimate import Findings
from runtime.analysis.evidence import summary
from runtime.analysis.languages import Facts
from runtime.analysis.series import Series
from runtime.collect import Records, collect
from runtime.intake import intake
from runtime.past import Past, shown
from runtime.recorded import piloted
from runtime.report.build import build_report, write_report
from runtime.report.compared import build_comparison
from runtime.report.evidence import Shown
from runtime.report.pretraining import pretrained
from runtime.report.probe import compared
from runtime.report.versus import Side

OF_RUNS = ("collapse_rate", "collapse_difference", "run_gain", "noise", "detectable")
"""Estimands about runs, of which published scores tell nothing."""


def publish(
    plan: Plan,
    store: Records,
    folder: Path,
    command: str,
    own: Path | None = None,
    until: datetime | None = None,
) -> Path:
    """Write the report of what the store holds of a plan; return the HTML file's path.

    ``own`` is the study's folder of catalog entries, which may know more languages; with ``until``
    the report is of what was finished by then. Raises ReportImpossible when no score is there,
    EnvironmentUnready when nothing can be written.
    """
    catalog, beside = load(own), published.series(plan)
    if beside and not plan.runs:
        return _publish_alone(plan, beside, catalog, folder, command)
    seen = store if until is None else Past(store, until)
    known, claims = facts(plan, catalog), plan.study.get("claims", ())
    scores = collect(plan, seen)
    files = build_report(
        plan,
        analyse(scores, plan.study["analysis"], known, kinds(plan)),
        provenance(plan, seen, command) | _tables(beside),
        title=plan.name,
        intake=intake(plan, seen),
        pretrained=pretrained(plan, seen),
        costs=costs(plan, seen),
        pilots=[{"model": model, **took} for model, took in piloted(seen, plan).items()],
        published=_shown(plan, beside, catalog),
        judged=judge_claims(scores, claims, plan.study["analysis"], known),
        probed=compared(plan, scores, seen),
        as_of="" if until is None else shown(until),
    )
    write_report(files, folder)
    return folder / "report.html"


def _publish_alone(
    plan: Plan, beside: tuple[Series, ...], catalog: Catalog, folder: Path, command: str
) -> Path:
    """Write the report of a study of published scores alone: it is about the first series."""
    first, claims = beside[0], plan.study.get("claims", ())
    made = published.as_plan(first, plan)
    known, analysis = facts(made, catalog), plan.study["analysis"]
    findings = analyse(first.sized, analysis, known)
    told = tuple(e for e in findings.estimates if e.estimand not in OF_RUNS)
    findings = replace(findings, estimates=told)
    source = {
        "command": command,
        "tool": f"stiltscale {importlib.metadata.version('stiltscale')}",
        "plan": digest(replace(plan, execution={}).to_json())[:16],
        "analysis plan": digest(analysis)[:16],
        **_tables(beside),
    }
    files = build_report(
        made,
        findings,
        source,
        title=plan.name,
        published=_shown(made, beside, catalog),
        judged=judge_claims(first.sized, claims, analysis, known),
        alone=True,
    )
    write_report(files, folder)
    return folder / "report.html"


def _shown(plan: Plan, beside: tuple[Series, ...], catalog: Catalog) -> tuple[Shown, ...]:
    """Return each series with its own estimates; languages are seen or not by its own families."""
    found = []
    for one in beside:
        known = languages(one.sized, catalog)
        found.append(Shown(one, summary(one, plan.study["analysis"], known)))
    return tuple(found)


def languages(frame: pl.DataFrame, catalog: Catalog) -> Facts:
    """Return which languages of published scores were in the pretraining of what is compared.

    That are the families with scores of both arms; languages in which they differ are neither.
    """
    arms = frame.group_by("family").agg(pl.col("arm").unique())
    both = arms.filter(pl.col("arm").list.contains("none") & (pl.col("arm").list.len() > 1))
    names = set(both["family"].to_list())
    if not names <= set(catalog.families):
        return {}
    seen = {
        code: {code in catalog.families[name].languages for name in names}
        for code in set(frame["language"].unique().to_list()) - {tidy.MEAN}
    }
    return {code: {"seen": found.pop()} for code, found in seen.items() if len(found) == 1}


def _tables(beside: tuple[Series, ...]) -> dict[str, Any]:
    """Return the digests of the tables of published scores, for the provenance."""
    digests = {one.label: f"sha256 {one.digest[:16]}" for one in beside}
    return {"published scores": digests} if digests else {}


def find(plan: Plan, store: Records, own: Path | None = None) -> Findings:
    """Estimate what a store shows of a plan; raises ReportImpossible when no score is there."""
    known = facts(plan, load(own))
    return analyse(collect(plan, store), plan.study["analysis"], known, kinds(plan))


def kinds(plan: Plan) -> dict[str, str]:
    """Return the kind of each task in words, to group slopes by."""
    return {name: str(task["kind"]).replace("_", " ") for name, task in plan.tasks.items()}


def publish_comparison(
    sides: Sequence[tuple[str, Plan, Path | None, datetime | None]],
    store: Records,
    folder: Path,
    command: str,
) -> Path:
    """Write the comparison of two studies, or of one at two times; return the HTML file's path.

    A side is its label, plan, own catalog, and the moment after which nothing counts. Raises
    ReportImpossible, which says of which side there is no score.
    """
    made, told = [], []
    for label, plan, own, until in sides:
        seen = store if until is None else Past(store, until)
        try:
            made.append(Side(label, plan, find(plan, seen, own)))
        except ReportImpossible as error:
            where = f"{label}: {error.where}" if error.where else label
            raise ReportImpossible(error.code, error.what, where=where, hint=error.hint) from error
        told.append({"side": label} | provenance(plan, seen, command))
    first, second = made
    write_report(build_comparison(first, second, told), folder)
    return folder / "comparison.html"


def publish_table(path: Path, block: tidy.Block, build: Path, command: str) -> Path:
    """Write the report of a tidy table; return the HTML file's path.

    It is the report of ``publish`` without a store: no hours, no machines. Raises ReportImpossible
    when the table is wrong, EnvironmentUnready when nothing can be written.
    """
    frame = tidy.read(path)
    title = block.title or path.stem
    plan = tidy.as_plan(frame, block, slug(path.stem))
    findings = analyse(
        frame.drop("protocol", "source", "verified"), plan.study["analysis"], facts(plan, load())
    )
    source = {
        "command": command,
        "tool": f"stiltscale {importlib.metadata.version('stiltscale')}",
        "scores": f"{path.name}, sha256 {hashlib.sha256(path.read_bytes()).hexdigest()[:16]}",
        "analysis plan": digest(plan.study["analysis"])[:16],
        "protocol": next(iter(frame["protocol"].drop_nulls()), "not stated"),
    }
    folder = build / plan.name / "report"
    write_report(build_report(plan, findings, source, title=title), folder)
    return folder / "report.html"


def facts(plan: Plan, catalog: Catalog) -> Facts:
    """Return script, family and part in the pretraining of each language of a plan.

    A language counts as seen when every model was pretrained on it, as far as the families and
    corpora say; it is neither when they differ or do not say. Its share is that of the only family.
    """
    pretrained = {str(model.get("family")): _pretrained(plan, model, catalog)
                  for model in plan.models.values()}  # fmt: skip
    found: dict[str, dict[str, Any]] = {}
    codes = {language for run in plan.runs for language in run.languages}
    for code in sorted(codes - {tidy.MEAN}):
        entry = catalog.languages.get(code)
        fact: dict[str, Any] = {}
        if entry is not None:
            fact |= {"script": entry.script, "family": entry.family}
        seen = {code in known if known else None for known in pretrained.values()}
        if len(seen) == 1:
            fact["seen"] = next(iter(seen))
        if len(pretrained) == 1:
            fact["share"] = next(iter(pretrained.values())).get(code)
        found[code] = fact
    return found


def _pretrained(
    plan: Plan, model: Mapping[str, Any], catalog: Catalog
) -> Mapping[str, float | None]:
    """Return the languages of a model's pretraining, with shares where they are published."""
    if "pretrain" in model:
        corpora = model["pretrain"]["corpus"]
        names = [corpora] if isinstance(corpora, str) else corpora
        return {code: None for name in names for code in plan.corpora[name].get("languages", ())}
    family = catalog.families.get(str(model.get("family")))
    return family.languages if family is not None else {}


def costs(plan: Plan, store: Records) -> list[dict[str, Any]]:
    """Return the hours of every model and arm: its trainings and scorings, and what is shared once.

    ``intermediate_hours`` are those of the trainings before the target's own.
    """
    hours: dict[str, float] = {}
    for stage in plan.stages.values():
        records = (store.record(stage.key, part) for part in stage.parts)
        hours[stage.key] = sum(r.seconds for r in records if r is not None) / 3600
    found: dict[tuple[str, str], tuple[set[str], set[str], int]] = {}
    for run in plan.runs:
        spent, before, count = found.get((run.model, run.arm), (set(), set(), 0))
        spent.add(run.score)
        stage, last = plan.stages[run.score], run.train
        for key in _ancestors(plan, stage):
            spent.add(key)
            if run.arm != "none" and key != last:
                before.add(key)
        found[run.model, run.arm] = (spent, before, count + 1)
    return [
        {
            "model": model,
            "arm": arm,
            "hours": sum(hours[key] for key in sorted(spent)),
            "intermediate_hours": sum(hours[key] for key in sorted(before)),
            "runs": count,
        }
        for (model, arm), (spent, before, count) in found.items()
        if any(hours[key] for key in spent)
    ]


def _ancestors(plan: Plan, stage: Stage) -> Iterator[str]:
    """Yield the keys of the trainings that a stage's weights come from, the last one first."""
    seen = [key for name in ("weights", "start") if (key := stage.inputs.get(name))]
    for key in seen:
        up = plan.stages.get(key)
        if up is not None and up.kind == "train":
            yield key
            yield from _ancestors(plan, up)


def provenance(plan: Plan, store: Records, command: str) -> dict[str, Any]:
    """Say what the numbers come from. Nothing here changes while the store stays the same."""
    seen: dict[str, Counter[str]] = {}
    seconds: dict[str, float] = {}
    memory = 0
    last = ""
    adopted: dict[str, str] = {}
    for stage in plan.stages.values():
        for part in stage.parts:
            record = store.record(stage.key, part)
            if record is None:
                continue
            seconds[stage.kind] = seconds.get(stage.kind, 0.0) + record.seconds
            last = max(last, record.finished)
            memory = max(memory, int(record.provenance.get("peak_memory_bytes", 0)))
            for group in ("software", "machine", "accelerator"):
                for name, value in record.provenance.get(group, {}).items():
                    seen.setdefault(f"{group}: {name}", Counter())[str(value)] += 1
            mark = record.provenance.get("adopted")
            if isinstance(mark, Mapping):
                said = (str(mark.get(name, "")) for name in ("note", "source", "when"))
                adopted[f"{stage.key}/{part}"] = ", ".join(filter(None, said))
            commit = str(record.provenance.get("git", {}).get("commit", ""))
            if commit:
                clean = record.provenance["git"]["clean"]
                shown = commit[:12] + ("" if clean else " with changes")
                seen.setdefault("software: commit", Counter())[shown] += 1
    return {
        "command": command,
        "tool": f"stiltscale {importlib.metadata.version('stiltscale')}",
        "plan": digest(plan.to_json())[:16],
        "analysis plan": digest(plan.study["analysis"])[:16],
        "last record": last,
        "compute": {
            **{f"{kind} stages, hours": f"{value / 3600:.3f}" for kind, value in seconds.items()},
            "largest process, GiB": f"{memory / 2**30:.2f}",
        },
        "ran on": {name: _values(values) for name, values in sorted(seen.items())},
        "models": {name: _checkpoint(model) for name, model in plan.models.items()},
        "data": {name: _source(task["source"]) for name, task in plan.tasks.items()},
        **_corpora(plan),
        **({"adopted, not run here": adopted} if adopted else {}),
        "catalog": {name: f"{x['file']} {x['digest'][:16]}" for name, x in plan.catalog.items()},
    }


def _values(counted: Mapping[str, int]) -> str:
    if len(counted) == 1:
        return next(iter(counted))
    return ", ".join(f"{value} ({count} records)" for value, count in sorted(counted.items()))


def _checkpoint(model: Mapping[str, Any]) -> str:
    if "checkpoint" not in model:
        made = model["pretrain"]
        corpora = [made["corpus"]] if isinstance(made["corpus"], str) else made["corpus"]
        return f"from scratch, {made['tokens']:,} tokens of {', '.join(corpora)}"
    source = model["checkpoint"]
    packages = " ".join(f"{k} {v}" for k, v in source.get("packages", {}).items())
    name = source.get("hub") or source.get("folder") or f"{packages}: {source['file']}"
    revision = f" at {source['revision']}" if source.get("revision") else ""
    layers = f", first {model['layers']} layers" if model.get("layers") else ""
    return f"{name}{revision}{layers}"


def _corpora(plan: Plan) -> dict[str, Any]:
    found = {name: _source(corpus["source"]) for name, corpus in plan.corpora.items()}
    return {"corpora": found} if found else {}


def _source(source: Mapping[str, Any]) -> str:
    if source.get("reader"):
        packages = ", ".join(f"{k} {v}" for k, v in source.get("packages", {}).items())
        return f"{packages} (reader {source['reader']}, revision {source.get('revision')})"
    if source.get("hub"):
        return f"{source['hub']} at {source.get('revision', 'the newest commit')}"
    return "local files, fingerprints in the parts' names"
