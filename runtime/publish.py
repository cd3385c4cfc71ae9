"""From the store to the report: collects scores, estimates, and writes every output file."""

from __future__ import annotations

import importlib.metadata
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from compiler.identity import digest
from compiler.plan import Plan
from runtime.analysis.analyse import analyse
from runtime.collect import collect
from runtime.intake import intake
from runtime.report.build import build_report, write_report
from runtime.report.pretraining import pretrained
from runtime.store import Store


def publish(plan: Plan, store: Store, folder: Path, command: str) -> Path:
    """Write the report of what the store holds of a plan; return the HTML file's path.

    Raises ReportImpossible when no score is there, EnvironmentUnready when nothing can be written.
    """
    scores = collect(plan, store)
    findings = analyse(scores, plan.study["analysis"])
    files = build_report(
        plan,
        findings,
        provenance(plan, store, command),
        title=plan.name,
        intake=intake(plan, store),
        pretrained=pretrained(plan, store),
    )
    write_report(files, folder)
    return folder / "report.html"


def provenance(plan: Plan, store: Store, command: str) -> dict[str, Any]:
    """Say what the numbers come from. Nothing here changes while the store stays the same."""
    seen: dict[str, Counter[str]] = {}
    seconds: dict[str, float] = {}
    memory = 0
    last = ""
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
            commit = str(record.provenance.get("git", {}).get("commit", ""))
            if commit:
                clean = record.provenance["git"]["clean"]
                shown = commit[:12] + ("" if clean else " with changes")
                seen.setdefault("software: commit", Counter())[shown] += 1
    return {
        "command": command,
        "tool": f"stiltscale {importlib.metadata.version('stiltscale')}",
        "plan": digest(plan.to_json())[:16],
        "last record": last,
        "compute": {
            **{f"{kind} stages, hours": f"{value / 3600:.3f}" for kind, value in seconds.items()},
            "largest process, GiB": f"{memory / 2**30:.2f}",
        },
        "ran on": {name: _values(values) for name, values in sorted(seen.items())},
        "models": {name: _checkpoint(model) for name, model in plan.models.items()},
        "data": {name: _source(task["source"]) for name, task in plan.tasks.items()},
        **_corpora(plan),
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
