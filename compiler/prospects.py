"""What a plan can be expected to find, and what would make it find more for each device hour."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from compiler.catalog import Catalog
from compiler.errors import ReportImpossible
from compiler.pilot import steps_of
from compiler.plan import Plan, Stage
from compiler.planning import (
    LEVELS,
    Addition,
    Ladder,
    Level,
    Noise,
    Parts,
    Size,
    additions,
    band,
    detectable,
    parts,
    smallest_margin,
)
from compiler.power import Spread
from compiler.terms import UNTRAINED

USE = 0.35
"""Share of a device's peak rate that training usually reaches."""
RATES = {"fp32": "fp32", "bf16": "bf16", "fp16": "fp16"}


@dataclass(frozen=True)
class Prospects:
    """The outlook of a design: by level and noise, by source of variance, and by what is added.

    ``additions`` are for L2. ``device`` is the catalog's device that the hours are for, empty where
    nothing is known of its rate: hours are then zero.
    """

    ladder: Ladder
    detectable: Mapping[Level, Mapping[str, float]]
    margin: Mapping[Level, float]
    sources: Parts | None
    additions: tuple[Addition, ...]
    device: str
    noise: Noise

    def body(self) -> dict[str, Any]:
        """Return the outlook as JSON knows it; what cannot be had is null."""
        return {
            "design": {
                "sizes": [len(family) for family in self.ladder.families],
                "intermediates": self.ladder.intermediates,
                "tasks": self.ladder.tasks,
                "languages": self.ladder.languages,
                "seeds": self.ladder.seeds,
                "device": self.device,
                "device_hours": self.ladder.hours,
            },
            "noise": {**vars(self.noise.spread), "checkpoint": self.noise.checkpoint,
                      "family": self.noise.family},
            "detectable": {
                level: {name: _finite(value) for name, value in by.items()}
                for level, by in self.detectable.items()
            },
            "smallest_margin": {level: _finite(value) for level, value in self.margin.items()},
            "variance": None if self.sources is None else asdict(self.sources),
            "additions": [
                {"what": a.what, "further_hours": a.hours - self.ladder.hours,
                 "detectable": _finite(a.detectable), "fall_per_hour": _finite(a.per_hour)}
                for a in self.additions
            ],
        }  # fmt: skip


def prospects(
    plan: Plan,
    catalog: Catalog,
    noise: Noise,
    takes: Mapping[str, Mapping[str, Any]] | None = None,
) -> Prospects:
    """Work out what a plan can detect. The noise is assumed, or that of an earlier report.

    ``takes`` has by model the device hours of all trainings that were measured: the hours of one
    are those that were estimated, by the same factor.
    """
    rate, device = _rate(plan, catalog)
    ladder = ladder_of(plan, rate, takes)
    by_level = {
        level: {name: detectable(ladder, level, each) for name, each in band(noise).items()}
        for level in LEVELS
    }
    sizes = tuple(_further_sizes(plan, catalog, ladder))
    families = ladder.families[:1] if ladder.families and len(ladder.families[0]) > 1 else ()
    return Prospects(
        ladder,
        by_level,
        {level: smallest_margin(ladder, level, noise) for level in LEVELS},
        parts(ladder, noise),
        additions(ladder, "L2", noise, sizes=sizes, families=families),
        device,
        noise,
    )


def ladder_of(
    plan: Plan,
    rate: Mapping[str, float] | None = None,
    takes: Mapping[str, Mapping[str, Any]] | None = None,
) -> Ladder:
    """Return the counts of a plan's fine-tuned panel, without self-pairs and what stands apart.

    With ``rate``, operations a second by precision, the sizes have their hours by training run.
    """
    aside = {"self_pair", "control_arm", "exploratory", "untuned"}
    runs = [
        run for run in plan.runs
        if plan.tasks[run.target]["kind"] not in UNTRAINED and not aside & set(run.flags)
    ]  # fmt: skip
    foreign: dict[str, set[str]] = {}
    for run in runs:
        if run.arm != "none":
            foreign.setdefault(run.target, set()).update(set(run.languages) - {"en"})
    counts = [len(codes) for codes in foreign.values() if codes]
    axis = str(plan.study["analysis"]["size_axis"])
    families: dict[str, list[Size]] = {}
    for name in dict.fromkeys(run.model for run in runs):
        model = plan.models[name]
        target, before = _hours(plan, name, rate or {}, (takes or {}).get(name, {}))
        size = Size(math.log10(int(model["parameters"][axis])), target, before)
        families.setdefault(str(model.get("family", "")), []).append(size)
    return Ladder(
        families=tuple(
            tuple(sorted(sizes, key=lambda s: s.log_parameters)) for sizes in families.values()
        ),
        intermediates=len({run.arm for run in runs if run.arm != "none"}),
        tasks=len(counts),
        languages=sum(counts) / len(counts) if counts else 0.0,
        seeds=len({run.seed for run in runs}),
    )


def piloted(path: Path) -> Noise:
    """Return the noise that an earlier ``report.json`` measured; the assumed where it has none.

    Raises ReportImpossible when the file cannot be read or is none of our reports.
    """
    hint = "name the report.json of a finished study"
    try:
        body = json.loads(path.read_text(encoding="utf-8"))
        rows = [row for row in body["estimates"] if row["estimand"] == "noise"]
        found = {str(row["subset"]): row["estimate"] for row in rows}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ReportImpossible(
            "A010", f"no noise can be read: {type(error).__name__}", where=str(path), hint=hint
        ) from error
    known = {name: float(value) for name, value in found.items() if value is not None}
    if not known:
        raise ReportImpossible(
            "A010", "the report has measured no noise", where=str(path), hint=hint
        )
    assumed = Noise()
    spread = {name: known.get(name, value) for name, value in vars(assumed.spread).items()}
    return Noise(Spread(**spread), known.get("checkpoint", assumed.checkpoint), assumed.family)


def _rate(plan: Plan, catalog: Catalog) -> tuple[Mapping[str, float], str]:
    device = catalog.devices.get(str(plan.execution.get("device")))
    if device is None:
        return {}, ""
    return {name: 1e12 * value for name, value in device.tflops.items()}, device.title


def _hours(
    plan: Plan, model: str, rate: Mapping[str, float], takes: Mapping[str, Any]
) -> tuple[float, float]:
    """Return the mean hours of a model's target run, and of one intermediate run.

    Those of a model that was traced are of its own operations; of another one a step takes 6
    operations for each parameter and token (Kaplan et al. 2020, arXiv:2001.08361). Stages whose
    steps or whose device's rate are not known have none. Scoring is not counted.
    """
    last = {run.train for run in plan.runs}
    target: list[float] = []
    before: list[float] = []
    traced = plan.execution.get("resources", {}).get(model, {}).get("step_device_seconds", {})
    for stage in plan.stages.values():
        if stage.kind == "train" and stage.model == model and not stage.probe:
            end = stage.key in last
            phases = ("target", "intermediate") if end else ("intermediate", "target")
            paces = [traced[x] for phase in phases if (x := f"{phase}/{stage.task}") in traced]
            steps = steps_of(plan, stage)
            if paces and steps is not None:
                hours = steps * float(paces[0]) / 3600
            else:
                hours = _stage_hours(plan, stage, rate)
            (target if end else before).append(hours)
    estimated = sum(target) + sum(before)
    factor = float(takes["device_hours"]) / estimated if takes and estimated else 1.0
    return tuple(factor * sum(x) / len(x) if x else 0.0 for x in (target, before))  # type: ignore[return-value]


def _stage_hours(plan: Plan, stage: Stage, rate: Mapping[str, float]) -> float:
    training: Mapping[str, Any] = stage.identity.get("training", {})
    speed = rate.get(RATES.get(str(training.get("precision")), "fp32")) or rate.get("bf16")
    if not speed:
        return 0.0
    tokens = training.get("batch_tokens") or training["batch"] * training["max_length"]
    steps = steps_of(plan, stage)
    if steps is None:
        return 0.0
    parameters = int(plan.models[stage.model]["parameters"]["non_embedding"])
    return float(6.0 * parameters * tokens * steps / (USE * speed) / 3600.0)


def _further_sizes(plan: Plan, catalog: Catalog, ladder: Ladder) -> Iterator[tuple[int, Size]]:
    """Yield the sizes of the catalog's families that the plan leaves out, by place in the ladder.

    Their hours grow with their parameters from those of the largest size in the plan.
    """
    axis = str(plan.study["analysis"]["size_axis"])
    names = list(dict.fromkeys(str(m.get("family", "")) for m in plan.models.values()))
    for place, name in enumerate(names[: len(ladder.families)]):
        family = catalog.families.get(name)
        largest = ladder.families[place][-1]
        for member in family.members if family else ():
            if member.name in plan.models or member.parameters is None:
                continue
            log = math.log10(getattr(member.parameters, axis))
            grown = 10.0 ** (log - largest.log_parameters)
            yield place, Size(log, grown * largest.target_hours, grown * largest.intermediate_hours)


def lines(found: Prospects) -> Sequence[tuple[str, ...]]:
    """Return for each level what is detectable at half, at once and twice the noise, in words."""
    rows = []
    for level, by in found.detectable.items():
        values = [by[name] for name in ("low", "base", "high")]
        rows.append((level, *map(points, values), points(found.margin[level])))
    return rows


def points(value: float | None) -> str:
    """Write points per tenfold parameters; what cannot be had gives a dash."""
    return "-" if value is None or not math.isfinite(value) else f"{value:.2f}"


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None
