"""Divides a model among processes: each holds a part of every weight (FSDP2), not a copy of all.

It is torch's own ``fully_shard``, on GPUs and on CPUs alike. Accelerate starts the processes and
says where they run; its plugin divides models on GPUs alone, and on CPUs copies them without a
word, so that what is tested on CPUs would not be what runs on GPUs.
"""

from __future__ import annotations

from collections.abc import Mapping

from accelerate import Accelerator
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FSDPModule, fully_shard
from torch.distributed.tensor import DTensor, distribute_tensor

from compiler.errors import EnvironmentUnready
from runtime.model import Model


def shard(model: Model, accelerator: Accelerator) -> None:
    """Divide a model among the processes of a job, in place; it may be in the host's memory.

    Weights are gathered layer by layer as they are needed, those outside the layers around each
    pass. All processes must hold the same weights: none are sent. Names and order of the weights
    stay. Raises EnvironmentUnready (E007) when weights were left whole, and ValueError when it is
    not known what a layer of the model is.
    """
    mesh = init_device_mesh(accelerator.device.type, (accelerator.num_processes,))
    for layer in layers(model.backbone):
        fully_shard(layer, mesh=mesh, reshard_after_forward=True)
    fully_shard(model, mesh=mesh, reshard_after_forward=True)
    whole = [name for name, value in model.named_parameters() if not isinstance(value, DTensor)]
    if whole:
        raise EnvironmentUnready(
            "E007",
            f"the weights were planned to be divided among devices, and are whole: {whole[0]}",
            hint="start the job by its own launch script",
        )
    for name, value in model.named_buffers():
        if value.device.type != accelerator.device.type:
            raise ValueError(f"{name} was not moved to {accelerator.device}")


def layers(backbone: nn.Module) -> list[nn.Module]:
    """Return the layers of a backbone: those modules of a list that Transformers never splits.

    Raises ValueError when there are none.
    """
    kinds = set(getattr(backbone, "_no_split_modules", None) or ())
    found = [
        module
        for stack in backbone.modules()
        if isinstance(stack, nn.ModuleList)
        for module in stack
        if type(module).__name__ in kinds
    ]
    if not found:
        raise ValueError(
            f"{type(backbone).__name__} does not say which of its layers stay on one device: it "
            "cannot be divided among several"
        )
    return found


def divided(model: nn.Module) -> bool:
    """Tell whether a model is divided among processes."""
    return isinstance(model, FSDPModule)


def reshard(model: nn.Module) -> None:
    """Let go of the parts of other processes, which a pass without a way back has left."""
    for module in model.modules():
        if isinstance(module, FSDPModule):
            module.reshard()


def gathered(tensors: Mapping[str, Tensor], keep: bool) -> dict[str, Tensor]:
    """Return tensors whole and on the CPU; all processes ask, and one that keeps none gets none.

    One tensor after the other is gathered, so that only the largest must fit on a device.
    """
    found = {}
    for name, value in tensors.items():
        whole = value.detach()
        if isinstance(whole, DTensor):
            whole = whole.full_tensor()
        if keep:
            found[name] = whole.cpu()
    return found


def scattered(value: Tensor, like: Tensor) -> Tensor:
    """Return this process's part of a tensor, if another one of its shape is divided; else all."""
    if not isinstance(like, DTensor) or value.shape != like.shape:
        return value
    whole = value.to(like.device)
    return distribute_tensor(whole, like.device_mesh, like.placements, src_data_rank=None)
