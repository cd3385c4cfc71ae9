"""Says which stages of a plan this version of the runtime cannot run yet, before any is started."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from pathlib import Path

from compiler.errors import EnvironmentUnready
from compiler.plan import Plan, Stage
from compiler.shape import shape

_GPU = ("/dev/nvidiactl", "/dev/dxg", "/dev/kfd")
"""What the drivers of NVIDIA, of Windows' Linux and of AMD show: PyTorch need not be asked."""


def refuse_unknown(plan: Plan, engine: str = "local") -> None:
    """Raise EnvironmentUnready (E010) when a plan has stages that cannot be run by an engine.

    E008 when it asks for a GPU that this machine has not: each stage would fail by itself, late.

    Such plans can be checked, shown, compared and compiled; running half of one would leave cells
    missing without a reason that the study could mend.
    """
    lacking: dict[str, int] = {}
    for stage in plan.stages.values():
        for reason in _lacks(plan, stage):
            lacking[reason] = lacking.get(reason, 0) + 1
    for job in plan.jobs:
        nodes = shape(plan, job).nodes
        if nodes > 1 and engine == "local":
            reason = f"{nodes} machines for a job without `--engine slurm`"
            lacking[reason] = lacking.get(reason, 0) + len(job.stages)
    for model, takes in plan.execution.get("resources", {}).items():
        trainings = [s for s in plan.stages.values() if s.model == model and s.kind == "train"]
        trainings = [s for s in trainings if not s.probe]
        why = indivisible(plan, model, str(takes["strategy"]), trainings)
        if trainings and why is not None:
            lacking[why] = lacking.get(why, 0) + len(trainings)
    if probe := plan.execution.get("sharding_probe"):
        second = [s for s in plan.stages.values() if s.kind == "train" and s.probe]
        why = indivisible(plan, probe["model"], str(probe["strategy"]), second)
        if why is not None:
            lacking[why] = lacking.get(why, 0) + len(second)
    parted = [job for job in plan.jobs if job.processes > 1]
    undivided = [
        stage
        for stage in (plan.stages[key] for job in parted for key in job.stages)
        if stage.kind == "train" and stage.identity.get("kind") == "dual_encoder"
    ]
    if undivided:
        lacking["a dual encoder trained by several processes"] = len(undivided)
    if lacking:
        shown = "; ".join(f"{reason} ({count} stages)" for reason, count in sorted(lacking.items()))
        raise EnvironmentUnready(
            "E010",
            f"this version cannot run all of the plan: {shown}",
            hint="take these out of the study, or use `plan` and `compile` alone",
        )
    if engine == "local" and plan.execution.get("device") == "cuda" and not has_cuda():
        raise EnvironmentUnready(
            "E008",
            "the study asks for a GPU (CUDA), and this machine shows none",
            hint="give `device: cpu` or `device: auto` in `hardware`, or run it where there is "
            "one; `plan`, `compile` and `fetch` work here",
        )


def has_cuda() -> bool:
    """Tell whether this machine has a GPU that PyTorch takes; without one only after loading it."""
    if any(Path(name).exists() for name in _GPU):
        return True
    import torch

    return torch.cuda.is_available()


def indivisible(plan: Plan, model: str, strategy: str, trainings: Sequence[Stage]) -> str | None:
    """Return why a model cannot be trained divided among devices; None if it can, or is not to."""
    if not strategy.startswith("fsdp2"):
        return None
    if "offload" in strategy:
        return f"`{strategy}`, weights kept in the host's memory"
    if plan.models[model].get("tuning") == "qlora":
        return f"`{strategy}` of weights in 4 bits"
    if any(stage.identity["training"].get("compile") for stage in trainings) or any(
        plan.execution.get("trainings", {}).get(stage.key, {}).get("compile") for stage in trainings
    ):
        return f"`{strategy}` with `compile`"
    return None


def _lacks(plan: Plan, stage: Stage) -> list[str]:
    found = []
    if stage.kind in ("train", "evaluate", "retrieve"):
        model = plan.models[stage.model]
        tuning = str(model.get("tuning", "full"))
        why = unready(tuning, plan.execution.get("device") != "cpu")
        found += [why] if why else []
        source = model.get("checkpoint", {})
        if tuning == "qlora" and not (source.get("hub") or source.get("folder")):
            found.append("qlora tuning of a model that is not loaded from the hub or a folder")
    return found


def unready(tuning: str, cuda: bool) -> str | None:
    """Return what the tuning of a model lacks to be run: a GPU or a package; None if nothing.

    ``cuda`` tells whether there is a CUDA device: bitsandbytes' weights in 4 bits are meant for it.
    """
    if tuning == "qlora" and not cuda:
        return "qlora tuning needs a CUDA device: use one, or `tuning: lora`"
    needed = {"lora": ("peft",), "qlora": ("peft", "bitsandbytes")}.get(tuning, ())
    for package in needed:
        if importlib.util.find_spec(package) is None:
            return f"{tuning} tuning needs the package {package}: `pip install {package}`"
    return None
