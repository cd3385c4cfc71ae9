"""Says which stages of a plan this version of the runtime cannot run yet, before any is started."""

from __future__ import annotations

from compiler.errors import EnvironmentUnready
from compiler.plan import Plan, Stage


def refuse_unknown(plan: Plan) -> None:
    """Raise EnvironmentUnready (E010) when a plan has stages that cannot be run here.

    Such plans can be checked, shown, compared and compiled; running half of one would leave cells
    missing without a reason that the study could mend.
    """
    lacking: dict[str, int] = {}
    for stage in plan.stages.values():
        for reason in _lacks(plan, stage):
            lacking[reason] = lacking.get(reason, 0) + 1
    devices = int(plan.execution.get("nodes", 1)) * int(plan.execution.get("devices_per_node", 1))
    if devices > 1:
        lacking[f"{devices} devices for a job"] = len(plan.stages)
    if lacking:
        shown = "; ".join(f"{reason} ({count} stages)" for reason, count in sorted(lacking.items()))
        raise EnvironmentUnready(
            "E010",
            f"this version cannot run all of the plan: {shown}",
            hint="take these out of the study, or use `plan` and `compile` alone",
        )


def _lacks(plan: Plan, stage: Stage) -> list[str]:
    found = []
    if stage.kind in ("tokenizer", "pretrain"):
        found.append("pretraining from scratch")
    elif stage.reads_corpus:
        found.append("texts of a corpus")
    found += [name for name in ("mix", "replay") if name in stage.identity]
    tuning = str(plan.models[stage.model].get("tuning", "full"))
    return found + ([f"{tuning} tuning"] if tuning != "full" else [])
