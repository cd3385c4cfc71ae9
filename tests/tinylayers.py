"""What several tests of adapters need: tiny decoders and encoders, and their entries in a plan."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from transformers import AutoConfig, AutoModel, AutoModelForTextEncoding

TINY: dict[str, dict[str, Any]] = {
    "bert": {},
    "xlm-roberta": {},
    "xlm-roberta-xl": {},
    "deberta-v2": {"relative_attention": True, "pos_att_type": "p2c|c2p", "type_vocab_size": 0},
    "mt5": {"d_model": 16, "d_kv": 8, "d_ff": 24, "num_layers": 2, "num_heads": 2,
            "is_encoder_decoder": False},
    "bloom": {"n_layer": 2, "n_head": 2},
    "xglm": {"d_model": 16, "ffn_dim": 24, "num_layers": 2, "attention_heads": 2},
    "llama": {},
    "qwen2": {},
    "qwen3": {"head_dim": 8},
    "gemma3_text": {"head_dim": 8},
}  # fmt: skip

ADAPTER = {"rank": 4, "alpha": 8.0, "dropout": 0.0, "modules": "all-linear", "between": "merge"}


def tiny(kind: str) -> nn.Module:
    """Return a random backbone of an architecture, with dropout switched off."""
    common = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2,
              "num_key_value_heads": 1, "intermediate_size": 24,
              "max_position_embeddings": 64}  # fmt: skip
    fields = {k: v for k, v in common.items() if hasattr(AutoConfig.for_model(kind), k)}
    torch.manual_seed(3)
    config = AutoConfig.for_model(
        kind, **{"vocab_size": 50, "pad_token_id": 0, **fields, **TINY[kind]}
    )
    auto = AutoModelForTextEncoding if kind == "mt5" else AutoModel
    made: nn.Module = auto.from_config(config)
    return made.eval()


def entry(**changes: Any) -> dict[str, Any]:
    """Return what a plan says of a model that is tuned by adapters."""
    return {"tuning": "lora", "adapter": ADAPTER | changes}
