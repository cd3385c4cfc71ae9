"""Measures how fast a pretraining goes, as `runtime.throughput` does of a training."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch

from runtime.batches import Batch
from runtime.pretraining.objectives import Learner
from runtime.throughput import Speed, counter


@dataclass
class Gauge(Speed):
    """Counts the tokens of each objective, and the FLOPs that they need forward and backward.

    A token of one objective costs other FLOPs than one of another: only the one has a head. They
    are measured on the first batch of each.
    """

    learner: Learner
    _each: dict[str, float] = field(default_factory=dict, init=False)

    def count(self, step: int, read: Mapping[str, Batch | None]) -> int:
        """Note what a step reads for each objective, and return its tokens."""
        tokens, flops = 0, 0.0
        for name, batch in read.items():
            if batch is None:
                continue
            if name not in self._each:
                self._each[name] = flops_per_token(self.learner, name, batch)
            own = int(batch.attention_mask.sum())
            tokens += own
            flops += own * self._each[name]
        self.note(step, tokens, flops)
        return tokens


def flops_per_token(learner: Learner, objective: str, batch: Batch) -> float:
    """Return the FLOPs of a token of an objective in training, at the shape of a batch.

    The whole batch is run once: translations are told from all others of it, so that a token costs
    more in a larger one. No weight, gradient or random state is changed.
    """
    trained = [p for p in learner.parameters() if p.requires_grad]
    device = trained[0].device
    own = batch.to(device)
    both = (own, None) if objective == "mlm" else (None, own)
    places = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(places), torch.enable_grad(), counter() as counted:
        loss = learner(*both)[objective]
        torch.autograd.grad(loss, trained, allow_unused=True)
    return float(counted.get_total_flops()) / batch.input_ids.numel()
