"""Low-rank adapters: small matrices beside a frozen backbone's layers, which are trained instead.

A training stage leaves its own adapters and its head, and nothing of the backbone. Weights are
found again along the chain of stages: those of each earlier phase are added to the layers
(``merge``) or stay beside them, frozen, under the next ones (``stack``). The layers are peft's, put
into the backbone in place, so that it is called as before and the names of its modules stay.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from compiler.errors import EnvironmentUnready
from runtime.abilities import unready

Weights = dict[str, Tensor]

ATTENTION = {
    "bert": ("query", "value"),
    "xlm-roberta": ("query", "value"),
    "xlm-roberta-xl": ("query", "value"),
    "deberta-v2": ("query_proj", "value_proj"),
    "mt5": ("q", "v"),
    "bloom": ("query_key_value",),
    "xglm": ("q_proj", "v_proj"),
    "llama": ("q_proj", "v_proj"),
    "qwen2": ("q_proj", "v_proj"),
    "qwen3": ("q_proj", "v_proj"),
    "gemma3_text": ("q_proj", "v_proj"),
}
"""The layers that make queries and values (arXiv:2106.09685, section 7.1), by `model_type`.

BLOOM makes queries, keys and values in one layer.
"""

QUANTISATION = {
    "load_in_4bit": True,
    "bnb_4bit_quant_type": "nf4",
    "bnb_4bit_use_double_quant": True,
    "bnb_4bit_compute_dtype": torch.bfloat16,
}
"""How bitsandbytes holds a frozen backbone in 4 bits, as in arXiv:2305.14314."""


def settings(model: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """Return the adapter settings of a plan's model; None when it is tuned in full."""
    return model["adapter"] if model.get("tuning", "full") != "full" else None


def quantisation(model: Mapping[str, Any]) -> Any:
    """Return how Transformers has to quantise a plan's model as it loads it; None if not at all.

    Raises EnvironmentUnready (E010) when this machine cannot run the model's tuning.
    """
    tuning = str(model.get("tuning", "full"))
    why = unready(tuning, torch.cuda.is_available())
    if why is not None:
        raise EnvironmentUnready("E010", why)
    if tuning != "qlora":
        return None
    from transformers import BitsAndBytesConfig

    return BitsAndBytesConfig(**QUANTISATION)  # type: ignore[no-untyped-call]


def is_adapter(name: str) -> bool:
    """Tell whether a parameter of this name belongs to an adapter."""
    return ".lora_" in name


def attach(backbone: nn.Module, model: Mapping[str, Any]) -> None:
    """Put new adapters beside the layers that a plan's model names; all else is frozen.

    They change nothing until they are trained: one of the two matrices of each is zero. Adapters
    that are there already stay, and are frozen. Does nothing to a model that is tuned in full.
    Raises ValueError when a layer that is named does not exist.
    """
    given = settings(model)
    if given is None:
        return
    from peft import LoraConfig, inject_adapter_in_model

    older = names(backbone)
    name = f"phase{len(older) + 1}"
    config = LoraConfig(
        r=given["rank"],
        lora_alpha=given["alpha"],
        lora_dropout=given["dropout"],
        target_modules=sorted(_targets(backbone, given["modules"])),
        bias="none",
    )
    _forget(backbone)  # peft warns of adapters that are there, which is what stacking means
    inject_adapter_in_model(config, backbone, name)
    for _, layer in _layers(backbone):
        layer.set_adapter([*older, name])
        for old in older:  # frozen weights take no part in the regularisation of new ones
            layer.lora_dropout[old] = nn.Identity()
    for place, parameter in backbone.named_parameters():
        parameter.requires_grad_(is_adapter(place) and f".{name}." in place)


def names(backbone: nn.Module) -> list[str]:
    """Return the names of the adapters of a backbone, the oldest first."""
    found = {name for _, layer in _layers(backbone) for name in layer.lora_A}
    return sorted(found, key=lambda name: int(name.removeprefix("phase")))


def unset(model: nn.Module, missing: Iterable[str]) -> set[str]:
    """Return those of the missing weights that belong to the newest adapters of a model."""
    own = names(model)
    return {name for name in missing if own and is_adapter(name) and f".{own[-1]}." in name}


def take(backbone: nn.Module, model: Mapping[str, Any], weights: Mapping[str, Tensor]) -> Weights:
    """Put the adapters of an earlier phase into a backbone, merged or to be stacked upon.

    Returns what the layers' weights were that have changed, under their names in the backbone
    without adapters. Raises ValueError when the weights are not those of such adapters.
    """
    prefix = "backbone."
    state = {k.removeprefix(prefix): v for k, v in weights.items() if k.startswith(prefix)}
    attach(backbone, model)
    found = backbone.load_state_dict(state, strict=False)
    wrong = [*found.unexpected_keys, *sorted(unset(backbone, found.missing_keys))]
    if wrong:
        raise ValueError(f"adapters of another model: {', '.join(wrong[:5])}")
    given = settings(model)
    assert given is not None
    return _merge(backbone) if given["between"] == "merge" else {}


def detach(backbone: nn.Module) -> None:
    """Take every adapter off a backbone: each layer is what it was, or what was merged into it."""
    for name, layer in list(_layers(backbone)):
        backbone.set_submodule(name, layer.get_base_layer())
    _forget(backbone)


def _forget(backbone: nn.Module) -> None:
    """Take away peft's note on a backbone; what is put into its layers stays."""
    if hasattr(backbone, "peft_config"):
        del backbone.peft_config


def _merge(backbone: nn.Module) -> Weights:
    before = {}
    for name, layer in _layers(backbone):
        before[f"{name}.weight"] = layer.get_base_layer().weight.detach().clone()
        layer.merge(safe_merge=True)
    detach(backbone)
    return before


def _layers(backbone: nn.Module) -> Iterator[tuple[str, Any]]:
    """Yield the layers of a backbone that have adapters."""
    if "peft" not in sys.modules:  # it takes seconds to import
        return
    from peft.tuners.lora import LoraLayer

    for name, module in backbone.named_modules():
        if isinstance(module, LoraLayer):
            yield name, module


def _targets(backbone: nn.Module, modules: str | list[str]) -> set[str]:
    """Return the names of the layers that get an adapter."""
    inside = (".base_layer", ".lora_")
    every = {
        name.split(inside[0])[0].split(inside[1])[0]
        for name, module in backbone.named_modules()
        if isinstance(module, nn.Linear)
    }
    if modules == "all-linear":
        wanted = tuple(every)
    elif modules == "attention":
        kind = str(backbone.config.model_type)  # type: ignore[union-attr]
        if kind not in ATTENTION:
            raise ValueError(
                f"it is not known which layers of {kind} make queries and values: name them in "
                "`modules`, or say `all-linear`"
            )
        wanted = ATTENTION[kind]
    else:
        wanted = tuple(modules)
    found = {word: {n for n in every if f".{n}".endswith(f".{word}")} for word in wanted}
    absent = sorted(word for word, some in found.items() if not some)
    if absent or not every:
        raise ValueError(f"the model has no linear layer {', '.join(absent)}")
    return {name for some in found.values() for name in some}
