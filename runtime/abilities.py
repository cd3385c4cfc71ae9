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
    nodes = int(plan.execution.get("nodes", 1))
    if nodes > 1:
        lacking[f"{nodes} machines for a job"] = len(plan.stages)
    undivided = [x for x in plan.stages.values() if x.identity.get("kind") == "dual_encoder"]
    trained = sum(stage.kind == "train" for stage in undivided)
    if trained and any(job.processes > 1 for job in plan.jobs):
        lacking["a dual encoder trained by several processes"] = trained
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
    tuning = str(plan.models[stage.model].get("tuning", "full"))
    return found + ([f"{tuning} tuning"] if tuning != "full" else [])
