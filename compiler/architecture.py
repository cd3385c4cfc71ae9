"""What the configuration of an encoder comes to: its defaults, its parameters, its positions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from compiler.entries import Parameters
from compiler.identity import canonical
from compiler.validate import suggest

SIZE = ("hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size")
"""What makes a size: always given. In all else the sizes of a controlled ladder agree."""

_BERT: dict[str, Any] = {
    "hidden_act": "gelu", "hidden_dropout_prob": 0.1, "attention_probs_dropout_prob": 0.1,
    "max_position_embeddings": 512, "type_vocab_size": 2, "initializer_range": 0.02,
    "layer_norm_eps": 1e-12, "pad_token_id": 0,
}  # fmt: skip
_ROBERTA = _BERT | {"bos_token_id": 0, "pad_token_id": 1, "eos_token_id": 2}

DEFAULTS: dict[str, Mapping[str, Any]] = {
    "bert": _BERT,
    "roberta": _ROBERTA,
    "xlm-roberta": _ROBERTA,
}
"""The other fields that shape an encoder, as Transformers 5 sets them, by `model_type`.

They are written out in plans and hashed in keys, so that a later default changes no result."""

ACTIVATIONS = ("gelu", "gelu_new", "relu", "silu")

_COUNTS = (*SIZE, "vocab_size", "max_position_embeddings", "type_vocab_size")

SPECIAL: dict[str, Mapping[str, str]] = {
    "bert": {"pad": "[PAD]", "unk": "[UNK]", "cls": "[CLS]", "sep": "[SEP]", "mask": "[MASK]"},
    "": {"cls": "<s>", "pad": "<pad>", "sep": "</s>", "unk": "<unk>", "mask": "<mask>"},
}
"""The special tokens of a tokenizer for a type, and for all others (""), in their usual order."""

_SAME = {"bos": "cls", "eos": "sep"}
"""Roles that the configuration names and that another one's token plays."""


def filled(architecture: Mapping[str, Any], vocabulary: int) -> dict[str, Any]:
    """Return an architecture with the defaults of its type and the size of its vocabulary."""
    known = DEFAULTS.get(_type(architecture), {})
    return {**known, "vocab_size": vocabulary, **architecture}


def problems(architecture: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    """Yield a field, what is wrong with it and what to do; of an unknown type nothing.

    A misspelt field would leave the default of another model in its place without a word.
    """
    kind = _type(architecture)
    for name, value in architecture.items():
        if not _is_hashable(value):
            yield name, f"has a `{name}` that is no number", "infinity and NaN have no place here"
    if not kind:
        yield "model_type", "names no `model_type`", f"for example one of: {', '.join(DEFAULTS)}"
    if kind not in DEFAULTS:
        return
    known = {"model_type", "vocab_size", *SIZE, *DEFAULTS[kind]}
    for name in architecture:
        if name not in known:
            yield name, f"has a field `{name}`, which {kind} has not", suggest(name, known)
    absent = [name for name in SIZE if name not in architecture]
    if absent:
        shown = ", ".join(f"`{name}`" for name in absent)
        yield absent[0], f"lacks {shown}", "give what makes a size; it has no default"
    wrong = [n for n in known if n in architecture and not _fits(n, architecture[n])]
    for name in sorted(wrong):
        yield name, f"has a `{name}` of {architecture[name]!r}", _asked(name)
    if not {"hidden_size", "num_attention_heads"} & {*wrong, *absent}:
        width, heads = architecture["hidden_size"], architecture["num_attention_heads"]
        if width % heads:
            what = f"has a `hidden_size` of {width}, which {heads} heads do not divide"
            yield "hidden_size", what, "change `hidden_size` or `num_attention_heads`"
    ids = [place for _, place in set(_special_ids(architecture))]
    if len(set(ids)) < len(ids):
        hint = "give each a place of its own, or leave them out"
        yield "pad_token_id", "has two special tokens of one id", hint


def parameters(architecture: Mapping[str, Any]) -> Parameters | None:
    """Count the backbone of a filled architecture without pooler and head; None when unknown.

    Token, position and type embeddings with their norm; in each layer four projections of the
    attention, two of the feed-forward part, and two norms (Devlin et al. 2019, section 3; Vaswani
    et al. 2017, sections 3.2 and 3.3). Non-embedding is what the layers hold.
    """
    if _type(architecture) not in DEFAULTS or any(problems(architecture)):
        return None
    width, inner = int(architecture["hidden_size"]), int(architecture["intermediate_size"])
    rows = ("vocab_size", "max_position_embeddings", "type_vocab_size")
    norm = 2 * width
    attention = 4 * (width * width + width)
    forward = 2 * width * inner + inner + width
    body = int(architecture["num_hidden_layers"]) * (attention + forward + 2 * norm)
    embeddings = sum(int(architecture[name]) for name in rows) * width + norm
    return Parameters(total=embeddings + body, non_embedding=body)


def positions(architecture: Mapping[str, Any]) -> int | None:
    """Return the longest input in tokens, None when unknown.

    RoBERTa counts its positions from after the one of the padding.
    """
    if _type(architecture) not in DEFAULTS or any(problems(architecture)):
        return None
    known = int(architecture["max_position_embeddings"])
    return known if _type(architecture) == "bert" else known - int(architecture["pad_token_id"]) - 1


def special_tokens(architecture: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    """Return role and text of the special tokens of an architecture's tokenizer, by id from 0.

    A token whose id the architecture gives (``pad_token_id``, where below 5) stands there; the
    others fill the places that are left, in their usual order.
    """
    usual = SPECIAL.get(_type(architecture), SPECIAL[""])
    placed: dict[int, str] = {}
    for role, place in _special_ids(architecture):
        if place < len(usual) and role not in placed.values():
            placed.setdefault(place, role)
    rest = iter(role for role in usual if role not in placed.values())
    roles = [placed.get(place) or next(rest) for place in range(len(usual))]
    return tuple((role, usual[role]) for role in roles)


def _special_ids(architecture: Mapping[str, Any]) -> list[tuple[str, int]]:
    """Return the roles that have an id in the architecture, with it."""
    found = []
    for name, value in architecture.items():
        role = name.removesuffix("_token_id")
        role = _SAME.get(role, role)
        if role != name and role in SPECIAL[""] and type(value) is int and value >= 0:
            found.append((role, value))
    return found


def _type(architecture: Mapping[str, Any]) -> str:
    kind = architecture.get("model_type")
    return kind if isinstance(kind, str) else ""


def _fits(name: str, value: Any) -> bool:
    if name in ("model_type", "hidden_act"):
        return value in (DEFAULTS if name == "model_type" else ACTIVATIONS)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    if name in _COUNTS:
        return isinstance(value, int) and value > 0
    return isinstance(value, int) and 0 <= value < 5 if name.endswith("_id") else 0 <= value < 1


def _is_hashable(value: Any) -> bool:
    """Tell whether a value can be part of a key."""
    try:
        return bool(canonical(value))
    except ValueError:
        return False


def _asked(name: str) -> str:
    if name == "hidden_act":
        return f"choose from: {', '.join(ACTIVATIONS)}"
    if name in _COUNTS:
        return "give a whole number above 0"
    if name.endswith("_id"):
        return "give a whole number below 5: special tokens come first"
    return "give a number from 0 to below 1"
