"""A job that does not run as it was planned is refused, whatever Accelerate makes of it."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from accelerate import Accelerator

from compiler.errors import EnvironmentUnready
from runtime import strategy


def found(**changes: Any) -> Any:
    """Return an accelerator of two processes on CPUs, or what has become of it."""
    real = {"device": torch.device("cpu"), "num_processes": 2, "mixed_precision": "no",
            "distributed_type": "DistributedType.MULTI_CPU"}  # fmt: skip
    return SimpleNamespace(**(real | changes))


def test_what_runs_as_planned_is_taken() -> None:
    strategy.compare(found(), "cpu", 2, sharded=True)
    cuda = {"device": torch.device("cuda"), "distributed_type": "DistributedType.FSDP"}
    strategy.compare(found(**cuda), "cuda", 2, sharded=True)
    strategy.compare(found(), "cpu", 2)
    strategy.compare(found(), "auto", 2)
    strategy.compare(Accelerator(cpu=True), "cpu", 1)


@pytest.mark.parametrize(
    ("changes", "device", "said"),
    [
        ({"num_processes": 1}, "cpu", "number of processes was planned as 2, and is 1"),
        ({"num_processes": 4}, "cpu", "number of processes was planned as 2, and is 4"),
        ({"distributed_type": "DistributedType.NO"}, "cpu", "as MULTI_CPU, and is NO"),
        ({"distributed_type": "DistributedType.FSDP"}, "cpu", "as MULTI_CPU, and is FSDP"),
        ({"device": torch.device("cuda")}, "cuda", "as MULTI_GPU, and is MULTI_CPU"),
        ({"mixed_precision": "bf16"}, "cpu", "of Accelerate was planned as no, and is bf16"),
        ({"mixed_precision": "fp16"}, "cpu", "of Accelerate was planned as no, and is fp16"),
        ({}, "cuda", "device was planned as cuda, and is cpu"),
    ],
)
def test_a_silent_downgrade_is_an_error(changes: dict[str, Any], device: str, said: str) -> None:
    with pytest.raises(EnvironmentUnready, match=said) as caught:
        strategy.compare(found(**changes), device, 2)
    assert caught.value.code == "E007"


def test_a_job_that_was_to_be_sharded_and_is_not_is_an_error() -> None:
    copied = {"device": torch.device("cuda"), "distributed_type": "DistributedType.MULTI_GPU"}
    with pytest.raises(EnvironmentUnready, match="as FSDP, and is MULTI_GPU"):
        strategy.compare(found(**copied), "cuda", 2, sharded=True)


@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16"])
def test_the_precision_is_looked_at(precision: str, monkeypatch: pytest.MonkeyPatch) -> None:
    cpu = torch.device("cpu")
    strategy.computes(cpu, precision)
    real = torch.autocast
    other = torch.float16 if precision == "bf16" else torch.bfloat16
    monkeypatch.setattr(torch, "autocast", lambda kind, *_: real(kind, other, True))
    with pytest.raises(EnvironmentUnready, match="precision was planned as"):
        strategy.computes(cpu, precision)
