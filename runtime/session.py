"""What the stages of one process share: loaded weights, tokenizers and prepared data."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import polars as pl
import torch
from accelerate import Accelerator
from safetensors.torch import load_file
from torch import nn

from compiler.plan import Plan, Stage
from runtime.batches import Examples, examples
from runtime.model import dropouts, load_backbone, load_tokenizer, parameter_counts
from runtime.store import Store


@dataclass
class Session:
    """Loads each thing once; a backbone is put back to its pretrained state before each use."""

    plan: Plan
    store: Store
    accelerator: Accelerator
    backbones: dict[str, nn.Module] = field(default_factory=dict)
    pristine: dict[str, dict[str, torch.Tensor]] = field(default_factory=dict)
    dropouts: dict[str, list[float]] = field(default_factory=dict)
    tokenizers: dict[str, Any] = field(default_factory=dict)
    loaded: tuple[str, nn.Module] | None = None

    def backbone(self, name: str) -> nn.Module:
        """Return a model's backbone with its pretrained weights, every parameter trainable.

        Raises ValueError when it is not of the size that the plan gives it: the size axis of the
        report would be wrong.
        """
        self.loaded = None
        if name not in self.backbones:
            self.backbones.clear()
            self.pristine.clear()
            model = self.plan.models[name]
            backbone = load_backbone(model).to(self.accelerator.device)
            found, declared = parameter_counts(backbone), model["parameters"]
            if any(abs(found[k] - declared[k]) > 0.01 * declared[k] for k in found):
                raise ValueError(f"{name} has {found} parameters, and the catalog says {declared}")
            self.backbones[name] = backbone
            self.dropouts[name] = [m.p for m in dropouts(backbone)]
            self.pristine[name] = {k: v.detach().clone() for k, v in backbone.state_dict().items()}
        backbone = self.backbones[name]
        backbone.load_state_dict(self.pristine[name])
        for parameter in backbone.parameters():
            parameter.requires_grad_(True)
        for module, share in zip(dropouts(backbone), self.dropouts[name], strict=True):
            module.p = share
        return backbone

    def tokenizer(self, name: str) -> Any:
        """Return a model's tokenizer."""
        if name not in self.tokenizers:
            self.tokenizers[name] = load_tokenizer(self.plan.models[name])
        return self.tokenizers[name]

    def frame(self, key: str, part: str) -> pl.DataFrame:
        """Return a part of prepared data."""
        return pl.read_ipc(self.store.verified(key, part) / "data.arrow")

    def examples(self, stage: Stage, part: str) -> Examples:
        """Return a part of a stage's prepared data as examples with their labels."""
        kind = str(self.plan.tasks[stage.task]["kind"])
        pad = self.tokenizer(stage.model).pad_token_id
        return examples(self.frame(stage.inputs["data"], part), kind, 0 if pad is None else pad)

    def weights(self, key: str) -> dict[str, torch.Tensor]:
        """Return what a training stage left: every weight that it could change."""
        path: Path = self.store.verified(key) / "weights.safetensors"
        return load_file(path, device=str(self.accelerator.device))
