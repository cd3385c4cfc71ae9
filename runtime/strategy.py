"""Compares how a job really runs with how it was planned: a silent downgrade is an error.

Accelerate falls back to one process, to another way of dividing the work or to another device
without a word in several settings.
"""

from __future__ import annotations

from typing import Any

import torch

from compiler.errors import EnvironmentUnready
from compiler.plan import Plan, Stage
from runtime.ranks import shared

AUTOCAST = {"bf16": torch.bfloat16, "fp16": torch.float16}
"""What the products of a forward pass are computed in, by the precision that a training names."""


def parted(plan: Plan, stage: Stage) -> bool:
    """Tell whether a stage's model is divided among the processes of its job.

    That is so where they run the stage together. What the main process does alone, as searches in
    vectors, it does with the whole model.
    """
    return strategy_of(plan, stage).startswith("fsdp2") and shared(stage)


def strategy_of(plan: Plan, stage: Stage) -> str:
    """Return how a stage's model is trained by plan, as ``fsdp2 + checkpointing``; "" if unsaid.

    A stage of the sharding probe says so itself, the others of a model are all trained alike.
    """
    takes = stage.probe or plan.execution.get("resources", {}).get(stage.model, {})
    return str(takes.get("strategy", ""))


def compare(accelerator: Any, device: str, processes: int, sharded: bool = False) -> None:
    """Raise EnvironmentUnready (E007) when a job does not run as it was planned.

    The precision is that of each training, see ``computes``: Accelerate's own must be off, since
    it would be laid over all of them. That the weights of a ``sharded`` job are divided is seen
    where that is done, see ``runtime.sharding.shard``: on CPUs Accelerate has no word for it.
    """
    here = str(accelerator.device.type)
    if device in ("cpu", "cuda") and here != device:
        raise _differs("device", device, here)
    if accelerator.num_processes != processes:
        raise _differs("number of processes", str(processes), str(accelerator.num_processes))
    planned = "NO" if processes == 1 else f"MULTI_{'CPU' if here == 'cpu' else 'GPU'}"
    if sharded and processes > 1 and here != "cpu":  # which knows it on GPUs alone
        planned = "FSDP"
    found = str(accelerator.distributed_type).rsplit(".", 1)[-1]
    if found != planned:
        raise _differs("distributed type", planned, found)
    if str(accelerator.mixed_precision) != "no":
        raise _differs("mixed precision of Accelerate", "no", str(accelerator.mixed_precision))


def computes(device: torch.device, precision: str) -> None:
    """Raise EnvironmentUnready (E007) when products on a device are not of a training's precision.

    One small product is computed, the way the forward pass is, and looked at.
    """
    wanted = AUTOCAST.get(precision, torch.float32)
    ones = torch.ones((2, 2), device=device)
    with torch.autocast(device.type, AUTOCAST.get(precision), precision in AUTOCAST):
        found = (ones @ ones).dtype
    if found != wanted:
        raise _differs("precision", str(wanted), str(found))


def _differs(what: str, planned: str, found: str) -> EnvironmentUnready:
    return EnvironmentUnready(
        "E007",
        f"the {what} was planned as {planned}, and is {found}",
        hint="start the job by its own launch script, on the device that the study names",
    )
