"""What the stages of one process share: loaded weights, tokenizers and prepared data."""

from __future__ import annotations

import json
import os
import shutil
import weakref
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import polars as pl
import torch
from accelerate import Accelerator
from safetensors.torch import load_file
from torch import nn

from compiler.plan import Plan, Stage
from compiler.render import host
from runtime.batches import Examples
from runtime.corpora import as_task
from runtime.kinds import TRAINED
from runtime.kinds.dual_encoder import Pool
from runtime.model import dropouts, load_backbone, load_tokenizer, parameter_counts
from runtime.store import Store

LABELS = "labels.json"
"""Where a training stage keeps the labels that it found in its data."""


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
    pool: tuple[tuple[str, ...], Pool] | None = None
    _scratch: Path | None = None

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

    def task(self, stage: Stage) -> Mapping[str, Any]:
        """Return the task of a stage, with its labels and what the plan declares of its kind.

        Labels that are those of the training set come from its tags, sorted; they are kept beside
        the trained weights, and scoring takes them from there.
        """
        own = self.plan.define(stage)
        task = {
            **(as_task(own) if stage.reads_corpus else own),
            "protocol": stage.identity.get("protocol", {}),
        }
        if task.get("labels_from") != "train" or stage.kind == "prepare":
            return {"labels": []} | task
        if stage.kind == "train":
            tags = self.frame(stage.inputs["data"], stage.identity["data"][0])["tags"]
            return task | {"labels": sorted({tag for row in tags.to_list() for tag in row})}
        path = self.store.verified(stage.inputs["weights"]) / LABELS
        return task | {"labels": json.loads(path.read_text(encoding="utf-8"))}

    def pad(self, name: str) -> int:
        """Return the token that fills up a model's batches."""
        found = self.tokenizer(name).pad_token_id
        return 0 if found is None else int(found)

    def examples(self, stage: Stage, part: str) -> Examples:
        """Return a part of a stage's prepared data as examples with their labels."""
        task = self.task(stage)
        frame = self.frame(stage.inputs["data"], part)
        return TRAINED[str(task["kind"])].examples(frame, task, self.pad(stage.model))

    def scratch(self, name: str) -> Path:
        """Return an empty folder for what this process alone needs; it goes with the process.

        Its name tells ``store.sweep`` whose it is, should the process be killed.
        """
        if self._scratch is None:
            found = self.store.root / "tmp" / f"scratch.{host()}.{os.getpid()}.{id(self)}"
            weakref.finalize(self, shutil.rmtree, found, ignore_errors=True)
            self._scratch = found
        folder = self._scratch / name
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        return folder

    def weights(self, key: str) -> dict[str, torch.Tensor]:
        """Return what a training stage left: every weight that it could change."""
        path: Path = self.store.verified(key) / "weights.safetensors"
        device = self.accelerator.device  # of several processes on CPUs it is cpu:0, cpu:1
        return load_file(path, device="cpu" if device.type == "cpu" else str(device))
