"""Builds a plausible synthetic study for tests: a plan, its score frame and provenance."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import polars as pl

from compiler.plan import Plan, Run

LANGUAGES = ("en", "de", "es", "ar", "zh", "sw", "th", "ur")
SEEDS = (1, 2, 3)
SIZES = {"small": 270_000_000, "large": 550_000_000, "xl": 3_500_000_000, "xxl": 10_700_000_000}
TASKS = {
    "xnli": ("XNLI", "accuracy", 33.3, 72.0),
    "pawsx": ("PAWS-X", "accuracy", 50.0, 82.0),
    "wikiann": ("WikiANN", "span_f1", 0.0, 61.0),
    "tatoeba": ("Tatoeba", "accuracy", 0.1, 55.0),
}
ARMS = {"none": "direct fine-tuning", "mnli": "MNLI", "squad": "SQuAD", "paws": "PAWS"}
FLAGS = {
    ("mnli", "xnli"): ("self_pair",),
    ("paws", "pawsx"): ("self_pair",),
    ("squad", "pawsx"): ("shared_text",),
}


def plan(*, sizes: int = 3, hostile: str = "") -> Plan:
    """Build a plan of some sizes; ``hostile`` is put into every name that a user can choose."""
    chosen = list(SIZES.items())[:sizes]
    return Plan(
        study={
            "name": "synthetic",
            "question": f"Does intermediate training help less as models grow? {hostile}".strip(),
            "languages": list(LANGUAGES),
            "seeds": list(SEEDS),
            "analysis": {
                "size_axis": "non_embedding",
                "margin": 1.0,
                "margin_reason": f"less than a change of seed {hostile}".strip(),
                "degenerate": "exclude",
            },
        },
        models={
            name: {
                "family": f"invented{hostile}",
                "title": f"Invented {name}{hostile}",
                "parameters": {"total": count, "non_embedding": count // 3},
                "layers": 12 * (i + 1),
                "checkpoint": {"hub": f"invented/{name}", "revision": "0123abcd"},
                "description": f"Made-up checkpoints whose data and steps differ. {hostile}",
            }
            for i, (name, count) in enumerate(chosen)
        },
        arms={
            name: {"title": title + hostile, "task": None if name == "none" else name}
            for name, title in ARMS.items()
        },
        tasks={
            name: {
                "title": title + hostile,
                "kind": "retrieval" if name == "tatoeba" else "classification",
                "metric": metric,
                "chance": chance,
                "languages": list(LANGUAGES),
                "limitations": f"Translated from English. {hostile}".strip(),
            }
            for name, (title, metric, chance, _) in TASKS.items()
        },
        recipes={},
        stages={},
        jobs=(),
        runs=tuple(
            Run(
                model=model,
                arm=arm,
                target=task,
                seed=seed,
                languages=_languages(task),
                train=_key("train", task, arm, model, seed),
                score=_score_key(task, arm, model, seed),
                flags=FLAGS.get((arm, task), ()),
            )
            for model, _ in chosen
            for arm in ARMS
            for task in TASKS
            for seed in SEEDS
        ),
        notes=(
            {"code": "S201", "severity": "warning", "message": f"a self-pair is planned {hostile}"},
        ),
        confounds=({"what": "pretraining", "detail": f"separately pretrained {hostile}"},),
    )


def scores(study: Plan, *, gaps: bool = True) -> pl.DataFrame:
    """Make the score of every cell; with ``gaps`` some runs failed, collapsed or are missing."""
    rng = np.random.default_rng(7)
    tilt = {task: rng.normal(-0.6, 0.8) for task in TASKS}
    rows = []
    for run in study.runs:
        _, metric, chance, base = TASKS[run.target]
        size = int(study.models[run.model]["parameters"]["total"])
        decades = np.log10(size / 270e6)
        raw = run.target == "tatoeba"
        noise = 0.0 if raw and run.arm == "none" else rng.normal(0, 0.5)
        gain = 0.0 if run.arm == "none" else 2.0 + tilt[run.target] * decades
        status = _status(run) if gaps else ("finished", "")
        for place, language in enumerate(run.languages):
            value = base + 8 * decades - 1.5 * place + gain + noise
            value += 0.0 if raw and run.arm == "none" else rng.normal(0, 0.4)
            known = status[0] in ("finished", "degenerate")
            value = chance if status[0] == "degenerate" else min(value, 99.5)
            rows.append(
                {
                    "model": run.model,
                    "family": study.models[run.model]["family"],
                    "params_total": size,
                    "params_nonembedding": size // 3,
                    "arm": run.arm,
                    "target": run.target,
                    "panel": "retrieval" if raw else "trained",
                    "language": language,
                    "seed": run.seed,
                    "metric": metric,
                    "value": float(value) if known else None,
                    "n": 2000 if known else None,
                    "chance": chance,
                    "status": status[0],
                    "reason": status[1],
                    "english_dev": None if raw or not known else float(value),
                    "english_dev_chance": None if raw or not known else chance,
                    "english_dev_n": None if raw or not known else 1000,
                    "flags": ";".join(sorted((*run.flags, *(("untuned",) if raw else ())))),
                    "stage": run.score,
                    "train": run.train,
                }
            )
    return pl.DataFrame(rows, infer_schema_length=None)


def facts(hostile: str = "") -> dict[str, dict[str, Any]]:
    """Return invented facts of the languages; one has none."""
    rows = {
        "en": ("Latn", "Indo-European", True, 0.3), "de": ("Latn", "Indo-European", True, 0.06),
        "es": ("Latn", "Indo-European", True, 0.05), "ar": ("Arab", "Afro-Asiatic", True, 0.02),
        "zh": ("Hans", "Sino-Tibetan", True, 0.04), "sw": ("Latn", "Niger-Congo", True, 0.001),
        "th": ("Thai", "Kra-Dai", False, None),
    }  # fmt: skip
    return {
        code: {"script": script, "family": family + hostile, "seen": seen, "share": share}
        for code, (script, family, seen, share) in rows.items()
    }


def costs(study: Plan) -> list[dict[str, Any]]:
    """Return invented hours of every size and arm."""
    return [
        {"model": model, "arm": arm, "hours": 2.0 + i, "runs": 9,
         "intermediate_hours": 0.0 if arm == "none" else 0.5 + i}
        for i, model in enumerate(study.models)
        for arm in study.arms
    ]  # fmt: skip


def provenance() -> Mapping[str, Any]:
    """Return provenance of the usual shape."""
    return {
        "tool": "stiltscale 0.1.0",
        "plan": "5f3a" * 16,
        "study": "synthetic",
        "models": {"small": {"checkpoint": "invented/small@0123abcd", "parameters": 270_000_000}},
        "data": {"invented-data": "1.0.0"},
        "seeds": list(SEEDS),
        "hardware": ["invented machine, 2 cores"],
        "software": {"python": "3.11.2", "torch": "2.9.0"},
        "stages": {"prepare": 4, "train": 108, "evaluate": 96},
        "hours": 12.5,
        "command": "stiltscale report synthetic",
    }


def _languages(task: str) -> tuple[str, ...]:
    if task == "tatoeba":
        return LANGUAGES[1:]
    return LANGUAGES if task != "pawsx" else LANGUAGES[:5]


def _status(run: Run) -> tuple[str, str]:
    where = (run.model, run.arm, run.target)
    if where == ("large", "squad", "wikiann"):
        return "missing", ""
    if (*where, run.seed) == ("xl", "squad", "xnli", 2):
        return "failed", "oom: 79 GiB of 80 GiB in use"
    if (*where, run.seed) == ("small", "none", "xnli", 3):
        return "degenerate", "English dev score not above chance"
    return "finished", ""


def _key(kind: str, task: str, arm: str, model: str, seed: int) -> str:
    mark = abs(hash_of(kind, task, arm, model, str(seed)))
    return f"{kind}-{task}-{arm}-{model}-s{seed}-v1-{mark:010x}"


def _score_key(task: str, arm: str, model: str, seed: int) -> str:
    if task == "tatoeba":
        return _key("retrieve", task, arm, model, 0 if arm == "none" else seed)
    return _key("evaluate", task, arm, model, seed)


def hash_of(*words: str) -> int:
    """Hash words to 40 bits, the same in every process."""
    from compiler.identity import digest

    return int(digest(list(words))[:10], 16)
