"""What the stages of one process share: loaded weights, tokenizers and prepared data."""

from __future__ import annotations

import json
import os
import shutil
import weakref
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import torch
from accelerate import Accelerator
from safetensors.torch import load_file
from torch import nn

from compiler.plan import Plan, Stage
from compiler.render import host
from runtime import adapters, lineage
from runtime.batches import Examples
from runtime.corpora import as_task
from runtime.kinds import TRAINED
from runtime.kinds.dual_encoder import Pool
from runtime.model import (
    Report,
    dropouts,
    hub_commit,
    load_tokenizer,
    parameter_counts,
    read_backbone,
    separator_of,
    take_backbone,
)
from runtime.rows import GROUP
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
    reports: dict[str, Report] = field(default_factory=dict)
    tokenizers: dict[str, Any] = field(default_factory=dict)
    loaded: tuple[str, nn.Module] | None = None
    pool: tuple[tuple[str, ...], Pool] | None = None
    divided: set[str] = field(default_factory=set)
    decoded: tuple[str, dict[str, tuple[Examples, list[Any]]]] = ("", {})
    _scratch: Path | None = None

    def model(self, stage: Stage) -> Mapping[str, Any]:
        """Return the model of a stage; of one from scratch the store holds tokenizer and weights.

        What its pretraining left is a checkpoint like any other, for stages that come after it.
        """
        model = self.plan.models[stage.model]
        if "checkpoint" in model:
            return model
        made = {
            "tokenizer": lineage.tokenizer(self.plan, stage),
            "checkpoint": lineage.pretraining(self.plan, stage),
        }
        there = {k: key for k, key in made.items() if key not in (None, stage.key)}
        folders = {k: {"folder": str(self.store.verified(str(key)))} for k, key in there.items()}
        return {**model, **folders}

    def backbone(self, stage: Stage, apart: bool = False) -> nn.Module:
        """Return a stage's backbone with its pretrained weights, every parameter trainable.

        One that will be divided among processes (``apart``) is in the host's memory, read anew each
        time: nothing is kept of it, since a second copy may not fit.

        Raises ValueError when it is not of the size that the plan gives it: the size axis of the
        report would be wrong.
        """
        self.loaded = None
        name = self._root(stage)
        if apart or name in self.divided:  # dividing it among processes has used it up
            self.backbones.pop(name, None)
            self.divided.discard(name)
        if name not in self.backbones:
            self.backbones.clear()
            self.pristine.clear()
            model = self.model(stage)
            backbone, self.reports[name] = read_backbone(model)
            if apart:
                self.divided.add(name)
            elif model.get("tuning") != "qlora":  # which is loaded to where it stays
                backbone = backbone.to(self.accelerator.device)
            found, declared = parameter_counts(backbone), model["parameters"]
            if any(abs(found[k] - declared[k]) > 0.01 * declared[k] for k in found):
                raise ValueError(f"{name} has {found} parameters, and the catalog says {declared}")
            self.backbones[name] = backbone
            self.dropouts[name] = [m.p for m in dropouts(backbone)]
            self.pristine[name] = {}
            if not apart and adapters.settings(model) is None:  # else only changes are, see `grown`
                self._keep(name, backbone.state_dict())
        backbone = self.backbones[name]
        adapters.detach(backbone)
        whole = adapters.settings(self.plan.models[stage.model]) is None and not apart
        backbone.load_state_dict(self.pristine[name], strict=whole)
        for parameter in backbone.parameters():
            if parameter.is_floating_point():  # weights in 4 bits are not, and are never trained
                parameter.requires_grad_(True)
        for module, share in zip(dropouts(backbone), self.dropouts[name], strict=True):
            module.p = share
        return backbone

    def grown(
        self, stage: Stage, key: str | None, apart: bool = False
    ) -> tuple[nn.Module, set[str]]:
        """Return a model's backbone as a training stage left it; as pretrained without a stage.

        The names are those of the weights, as in a whole model, that a stage which starts from
        there must leave beside its own. There are none where stages leave adapters, since those of
        earlier phases are found again by the chain of stages.
        """
        backbone, name = self.backbone(stage, apart), self._root(stage)
        carried: set[str] = set()
        model = self.plan.models[stage.model]
        adapted = adapters.settings(model) is not None
        for link in self._chain(key):
            weights = self.weights(link, apart)
            if adapted:
                self._keep(name, adapters.take(backbone, model, weights))
            else:
                carried = take_backbone(backbone, weights)
        return backbone, carried

    def ground(self, key: str, apart: bool = False) -> nn.Module:
        """Return the backbone that the weights of a training stage are to be put into."""
        stage = self.plan.stages[key]
        adapted = adapters.settings(self.plan.models[stage.model]) is not None
        return self.grown(stage, stage.inputs.get("start") if adapted else None, apart)[0]

    def _chain(self, key: str | None) -> list[str]:
        """Return the stages whose weights make up those of a stage, the first one first."""
        if key is None or self.plan.stages[key].kind == "pretrain":  # which `backbone` has read
            return []
        stage = self.plan.stages[key]
        adapted = adapters.settings(self.plan.models[stage.model]) is not None
        return [*(self._chain(stage.inputs.get("start")) if adapted else []), key]

    def _keep(self, name: str, state: Mapping[str, torch.Tensor]) -> None:
        """Keep weights as they were pretrained; of what is known the first one counts."""
        for place, value in state.items():
            if place not in self.pristine[name]:
                self.pristine[name][place] = value.detach().clone()

    def origin(self, stage: Stage) -> dict[str, Any]:
        """Return what a record says of a stage's checkpoint: its commit, and how it was read."""
        name = self._root(stage)
        commit = hub_commit(self.model(stage).get("checkpoint", {}))
        found: dict[str, Any] = {"checkpoint_commit": commit} if commit else {}
        return found | ({"checkpoint_load": self.reports[name]} if name in self.reports else {})

    def separator(self, stage: Stage) -> int | None:
        """Return the token behind which a pair's second text begins, see ``separator_of``."""
        return separator_of(self.tokenizer(stage), self.backbones[self._root(stage)])

    def _root(self, stage: Stage) -> str:
        """Name what a stage's backbone is loaded from: a pretraining, or the model."""
        return lineage.pretraining(self.plan, stage) or stage.model

    def tokenizer(self, stage: Stage) -> Any:
        """Return the tokenizer of a stage's model."""
        name = lineage.tokenizer(self.plan, stage) or stage.model
        if name not in self.tokenizers:
            self.tokenizers[name] = load_tokenizer(self.model(stage))
        return self.tokenizers[name]

    def frame(self, key: str, part: str) -> pl.DataFrame:
        """Return a part of prepared data, mapped into memory: read where it is used, never whole.

        ``polars.read_ipc`` would copy it.
        """
        mapped = pa.memory_map(str(self.store.verified(key, part) / "data.arrow"))
        found = pl.from_arrow(pa.ipc.open_file(mapped).read_all(), rechunk=False)
        assert isinstance(found, pl.DataFrame)
        return found

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

    def pad(self, stage: Stage) -> int:
        """Return the token that fills up the batches of a stage."""
        found = self.tokenizer(stage).pad_token_id
        return 0 if found is None else int(found)

    def examples(self, stage: Stage, part: str) -> Examples:
        """Return a part of a stage's prepared data as examples with their labels."""
        task = self.task(stage)
        frame = self.frame(stage.inputs["data"], part)
        data = TRAINED[str(task["kind"])].examples(frame, task, self.pad(stage))
        if GROUP in frame.columns:
            groups = frame.unique("id", keep="first", maintain_order=True)[GROUP].to_list()
            data = replace(data, more={**data.more, GROUP: groups})
        return data

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

    def weights(self, key: str, apart: bool = False) -> dict[str, torch.Tensor]:
        """Return what a training stage left: every weight that it could change.

        They are on the device; on the CPU if they are for a model that will be divided (``apart``).
        """
        path: Path = self.store.verified(key) / "weights.safetensors"
        device = self.accelerator.device  # of several processes on CPUs it is cpu:0, cpu:1
        here = device.type == "cpu" or apart
        return load_file(path, device="cpu" if here else str(device))
