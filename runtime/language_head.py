"""The head that predicts tokens: a checkpoint's own, or a new one tied to its embeddings."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from runtime.model import masked_lm, width


def language_head(backbone: nn.Module, model: Mapping[str, Any]) -> nn.Module:
    """Return the head that a checkpoint was pretrained with, as far as Transformers has it.

    Where the architecture or the checkpoint has none, a new one takes its place. Either has
    ``origin``, which goes into the record. Its last matrix is the backbone's embeddings if the
    checkpoint ties them, and is then no weight of its own.
    """
    whole = masked_lm(model)
    return NewHead(backbone) if whole is None else OwnHead(backbone, whole)


class OwnHead(nn.Module):
    """The head of a Transformers model, given hidden states in the place of its backbone's."""

    origin = "checkpoint"

    def __init__(self, backbone: nn.Module, whole: Any) -> None:
        super().__init__()
        name = whole.base_model_prefix
        self.parts = nn.ModuleDict({n: part for n, part in whole.named_children() if n != name})
        self.given = _Given(backbone)
        tied = whole.get_output_embeddings().weight is whole.get_input_embeddings().weight
        if tied:
            whole.get_output_embeddings().weight = backbone.get_input_embeddings().weight  # type: ignore[operator]
        setattr(whole, name, self.given)
        self.whole = (whole,)  # in a tuple, so that its parts are not registered a second time

    def forward(self, hidden: Tensor) -> Tensor:
        """Return logits of shape (tokens, vocabulary) from hidden states (tokens, width)."""
        self.given.hidden = hidden.unsqueeze(0)
        ids = torch.zeros((1, len(hidden)), dtype=torch.long, device=hidden.device)
        found: Tensor = self.whole[0](input_ids=ids).logits.squeeze(0)
        return found


class _Given(nn.Module):
    """Stands in a model for its backbone, and returns the states that it was handed."""

    def __init__(self, backbone: nn.Module) -> None:
        super().__init__()
        self.backbone = (backbone,)
        self.hidden = torch.empty(0)

    @property
    def embeddings(self) -> Any:
        """Return the backbone's embeddings, which some heads look at."""
        return self.backbone[0].embeddings

    def forward(self, *_words: Any, **_more: Any) -> Any:
        """Return the hidden states as a backbone's output."""
        from transformers.modeling_outputs import BaseModelOutput

        return BaseModelOutput(last_hidden_state=self.hidden)


class NewHead(nn.Module):
    """A layer and a norm before the backbone's own embeddings, with a new bias for each token."""

    origin = "new_tied"

    def __init__(self, backbone: nn.Module) -> None:
        super().__init__()
        size = width(backbone)
        self.dense = nn.Linear(size, size)
        nn.init.normal_(self.dense.weight, std=0.02)
        nn.init.zeros_(self.dense.bias)
        self.norm = nn.LayerNorm(size)
        table = backbone.get_input_embeddings()  # type: ignore[operator]
        self.bias = nn.Parameter(torch.zeros(len(table.weight)))
        self.table = (table,)

    def forward(self, hidden: Tensor) -> Tensor:
        """Return logits of shape (tokens, vocabulary) from hidden states (tokens, width)."""
        hidden = self.norm(nn.functional.gelu(self.dense(hidden)))
        return nn.functional.linear(hidden, self.table[0].weight, self.bias)
