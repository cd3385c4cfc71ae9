"""Builds a model from its architecture, with the head that guesses masked tokens."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from runtime.language_head import NewHead, OwnHead

_TOKENS = ("pad", "bos", "eos", "cls", "sep", "mask")


@dataclass(frozen=True)
class Built:
    """A backbone with random weights, and the head of its masked language model, if it has one.

    ``whole`` is what Transformers saves: the model with its head, or the backbone alone.
    """

    backbone: Any
    head: nn.Module
    whole: Any

    def save(self, folder: Path) -> None:
        """Write configuration and weights, as ``from_pretrained`` reads them."""
        if self.whole is not self.backbone:
            setattr(self.whole, self.whole.base_model_prefix, self.backbone)
        self.whole.save_pretrained(folder)


def built(architecture: Mapping[str, Any], tokenizer: Any, guesses: bool, seed: int) -> Built:
    """Build a model of Transformers with weights drawn from ``seed``, on the CPU.

    ``guesses`` asks for a head that guesses tokens: the type's own, or where Transformers has none
    a new one that is not saved. Raises ValueError for encoder-decoders.
    """
    from transformers import AutoConfig, AutoModel, AutoModelForMaskedLM

    kind = str(architecture["model_type"])
    # A type's own default for the padding may lie outside our vocabulary.
    ids = {f"{name}_token_id": getattr(tokenizer, f"{name}_token_id") for name in _TOKENS}
    fields = {k: v for k, v in ids.items() if v is not None} | dict(architecture)
    config = AutoConfig.for_model(**fields)
    if config.is_encoder_decoder:
        raise ValueError(f"{kind} is an encoder-decoder: this pretrains encoders")
    torch.manual_seed(seed)
    if guesses and type(config) in AutoModelForMaskedLM._model_mapping:
        whole: Any = AutoModelForMaskedLM.from_config(config)  # type: ignore[no-untyped-call]
        return Built(whole.base_model, OwnHead(whole.base_model, whole), whole)
    backbone: Any = AutoModel.from_config(config)  # type: ignore[no-untyped-call]
    if isinstance(getattr(backbone, "pooler", None), nn.Module):
        backbone.pooler = None  # we pool ourselves
    return Built(backbone, NewHead(backbone) if guesses else nn.Identity(), backbone)
