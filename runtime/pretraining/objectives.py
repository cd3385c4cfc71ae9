"""What a pretraining learns from: guessed tokens, and translations found among other sentences."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from runtime.batches import Batch
from runtime.model import pool


class Learner(nn.Module):
    """A backbone and its head, from batches to the loss of each objective."""

    def __init__(
        self, backbone: nn.Module, head: nn.Module, pooling: str, objectives: Mapping[str, Any]
    ) -> None:
        super().__init__()
        self.backbone = backbone
        self.head = head
        self.pooling = pooling
        self.objectives = objectives

    def forward(self, masked: Batch | None, pairs: Batch | None) -> dict[str, Tensor]:
        """Return the loss of each objective that has a batch, by its name.

        ``masked`` is as `runtime.kinds.masked_lm` makes it. ``pairs`` has the two sides of each
        pair in turn; its labels, of shape (sequences,), are equal for equal texts.
        """
        losses = {}
        if masked is not None:
            losses["mlm"] = self._guessed(masked)
        if pairs is not None:
            losses["translation_pairs"] = self._found(pairs)
        return losses

    def _states(self, batch: Batch) -> Tensor:
        found: Tensor = self.backbone(
            input_ids=batch.input_ids, attention_mask=batch.attention_mask
        ).last_hidden_state
        return found

    def _guessed(self, batch: Batch) -> Tensor:
        """Return the mean cross-entropy over the masked tokens (Devlin et al. 2019)."""
        assert batch.labels is not None
        assert batch.chosen is not None
        logits = self.head(self._states(batch)[batch.chosen])
        return functional.cross_entropy(logits.float(), batch.labels[batch.chosen])

    def _found(self, batch: Batch) -> Tensor:
        """Return the mean cross-entropy of each side over the other sides of the batch.

        Cosines over a temperature, both ways (InfoNCE: van den Oord et al. 2018). A text that is
        the same as one's own, or the translation of the same text, is left out: it would be wrong
        to call it wrong.
        """
        assert batch.labels is not None
        states = pool(self._states(batch), batch.attention_mask, self.pooling)
        unit = functional.normalize(states.float(), dim=-1)
        temperature = float(self.objectives["translation_pairs"]["temperature"])
        similar = unit[0::2] @ unit[1::2].T / temperature
        same = torch.zeros_like(similar, dtype=torch.bool)
        for side in (batch.labels[0::2], batch.labels[1::2]):
            same |= side[:, None] == side[None, :]
        same.fill_diagonal_(False)
        similar = similar.masked_fill(same, -torch.inf)
        own = torch.arange(len(similar), device=similar.device)
        ways = (similar, similar.T)
        return torch.stack([functional.cross_entropy(way, own) for way in ways]).mean()
