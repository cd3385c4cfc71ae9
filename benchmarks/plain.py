"""A plain training with the Transformers Trainer: what benchmarks and tests hold our loop against.

It shares the model with our loop and nothing else: padding, order, losses, schedule and optimizer
are written here anew or are the Trainer's own, as a user's script would have them.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import PrinterCallback, Trainer, TrainingArguments

IGNORED = -100

Item = dict[str, Any]
"""``input_ids`` and ``labels`` of one example: a number, a list of one a token, or (start, end)."""


class Plain(nn.Module):
    """Computes the loss of a model of ours, as a head of Transformers does."""

    def __init__(self, model: nn.Module, kind: str) -> None:
        super().__init__()
        self.model = model
        self.kind = kind

    def forward(self, input_ids: Tensor, attention_mask: Tensor, labels: Tensor) -> dict[str, Any]:
        """Return the mean loss over what has a label."""
        logits = self.model(input_ids, attention_mask).float()
        if self.kind == "span_extraction":  # (sequences, length, start and end)
            ends = [functional.cross_entropy(logits[:, :, n], labels[:, n]) for n in (0, 1)]
            return {"loss": (ends[0] + ends[1]) / 2}
        loss = functional.cross_entropy(
            logits.reshape(-1, logits.shape[-1]), labels.reshape(-1), ignore_index=IGNORED
        )
        return {"loss": loss}


def padded(items: Sequence[Item]) -> dict[str, Tensor]:
    """Pad a batch to its longest example."""
    longest = max(len(item["input_ids"]) for item in items)
    ids, mask = (torch.zeros(len(items), longest, dtype=torch.long) for _ in "ab")
    tags = torch.full((len(items), longest), IGNORED)
    for row, item in enumerate(items):
        size = len(item["input_ids"])
        ids[row, :size] = torch.tensor(item["input_ids"])
        mask[row, :size] = 1
        if isinstance(item["labels"], list):
            tags[row, :size] = torch.tensor(item["labels"])
    tagged = isinstance(items[0]["labels"], list)
    labels = tags if tagged else torch.tensor([item["labels"] for item in items])
    return {"input_ids": ids, "attention_mask": mask, "labels": labels}


def fit(
    model: nn.Module,
    kind: str,
    items: Sequence[Item],
    settings: Mapping[str, Any],
    seed: int,
    grouped: bool = False,
) -> Trainer:
    """Train a model in place with the settings of a recipe; return the Trainer that did it."""
    with tempfile.TemporaryDirectory() as folder:
        arguments = TrainingArguments(
            output_dir=folder,
            use_cpu=True,
            seed=seed,
            max_steps=settings["steps"],
            per_device_train_batch_size=settings["batch"],
            learning_rate=settings["learning_rate"],
            warmup_steps=settings["warmup"],
            weight_decay=settings["weight_decay"],
            lr_scheduler_type="linear",
            max_grad_norm=settings["clip"],
            adam_epsilon=1e-8,
            bf16=settings["precision"] == "bf16",
            train_sampling_strategy="group_by_length" if grouped else "random",
            save_strategy="no",
            logging_strategy="no",
            report_to=[],
            disable_tqdm=True,
            remove_unused_columns=False,
            dataloader_pin_memory=False,
        )
        trainer = Trainer(
            model=Plain(model, kind),
            args=arguments,
            train_dataset=list(items),
            data_collator=padded,
        )
        trainer.remove_callback(PrinterCallback)
        trainer.train()
    return trainer
