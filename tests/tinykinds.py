"""Tokenizers and random models of an encoder and a decoder, and rows of every kind of task."""

from __future__ import annotations

import random
from typing import Any

import torch
from accelerate import Accelerator
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, processors
from torch import nn
from transformers import (
    LlamaConfig,
    LlamaModel,
    PreTrainedTokenizerFast,
    XLMRobertaConfig,
    XLMRobertaModel,
)

from runtime.batches import Examples, Source
from runtime.kinds import ENCODED, TRAINED
from runtime.loop import train
from runtime.model import Model

COLOURS = ("red", "blue", "green", "grey")
THINGS = ("cup", "door", "lamp", "book", "shoe", "tree")
VERBS = ("take", "see", "hold", "want")
WORDS = (*COLOURS, *THINGS, *VERBS, "a", "what", "is")
CHINESE = "我们在北京吃苹果好。"
THAI = "กรุงเทพมหานครเป็นเมืองใหญ่"

POOLING = {"encoder": "mean", "decoder": "last"}

PROTOCOL: dict[str, dict[str, Any]] = {
    "multiple_choice": {"cut": "text_start"},
    "token_classification": {"spacing": "running_text", "tag_at": "first_piece"},
    "span_extraction": {"stride": 128, "question": 64, "answer_characters": 40},
    "masked_lm": {"mask_share": 0.15},
    "dual_encoder": {"scale": 20.0, "top": 20},
}

TASKS: dict[str, dict[str, Any]] = {
    "sequence_classification": {"labels": list(COLOURS), "metric": "accuracy"},
    "token_classification": {"labels": ["O", "B-colour", "B-thing"], "metric": "span_f1"},
    "multiple_choice": {"labels": ["0", "1", "2"], "choices": 3, "metric": "accuracy"},
    "span_extraction": {"metric": "squad"},
    "masked_lm": {"metric": "accuracy"},
    "dual_encoder": {"metric": "mrr_at_20"},
}


def task(kind: str, **changes: Any) -> dict[str, Any]:
    """Return a task of a kind as the session gives it to the functions of the kind."""
    made = {"kind": kind, "labels": [], "source": {}, "protocol": PROTOCOL.get(kind, {})}
    return made | TASKS[kind] | changes


def pieces() -> PreTrainedTokenizerFast:
    """Return a tokenizer of an encoder: like SentencePiece, with `▁` and two separators."""
    specials = ["<s>", "<pad>", "</s>", "<unk>"]
    words = [f"▁{word}" for word in WORDS]
    characters = [*"abcdefghijklmnopqrstuvwxyz?", *dict.fromkeys(CHINESE + THAI)]
    vocabulary = [(token, 0.0) for token in specials]
    vocabulary += [("▁", -3.0), *((word, -1.0) for word in words)]
    vocabulary += [*((c, -4.0) for c in characters), ("北京", -2.0), ("กรุงเทพมหานคร", -2.0)]
    backend = Tokenizer(models.Unigram(vocabulary, unk_id=3))
    backend.pre_tokenizer = pre_tokenizers.Metaspace()
    backend.decoder = decoders.Metaspace()
    backend.add_special_tokens([AddedToken("<mask>", lstrip=True)])
    backend.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>",
        pair="<s> $A </s> </s> $B </s>",
        special_tokens=[("<s>", 0), ("</s>", 2)],
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=backend, bos_token="<s>", eos_token="</s>", cls_token="<s>",
        sep_token="</s>", pad_token="<pad>", unk_token="<unk>", mask_token="<mask>",
    )  # fmt: skip


def octets(prefix: bool = True) -> PreTrainedTokenizerFast:
    """Return a tokenizer of a decoder: bytes, nothing before, between or after texts.

    Without ``prefix`` a text begins without a space, as with Llama 3, Qwen and BLOOM.
    """
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    words = [f"Ġ{word}" for word in WORDS] + ([] if prefix else list(WORDS))
    merges = []
    vocabulary = dict.fromkeys(alphabet)
    for word in words:
        for end in range(2, len(word) + 1):
            merges.append((word[: end - 1], word[end - 1]))
            vocabulary[word[:end]] = None
    ids = {token: number for number, token in enumerate(vocabulary)}
    backend = Tokenizer(models.BPE(ids, list(dict.fromkeys(merges))))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=prefix)
    backend.post_processor = processors.ByteLevel(trim_offsets=True)
    backend.add_special_tokens(["<end>"])
    return PreTrainedTokenizerFast(
        tokenizer_object=backend, eos_token="<end>", add_prefix_space=prefix
    )


def tokenizer(name: str) -> Any:
    return {"encoder": pieces, "decoder": octets}[name]()


def backbone(name: str, layers: int = 2, seed: int = 0) -> nn.Module:
    """Return a random backbone."""
    torch.manual_seed(seed)
    shape = {"hidden_size": 32, "num_hidden_layers": layers, "num_attention_heads": 2,
             "intermediate_size": 64, "max_position_embeddings": 200}  # fmt: skip
    size = len(tokenizer(name))
    if name == "encoder":
        config = XLMRobertaConfig(
            vocab_size=size, type_vocab_size=1, pad_token_id=1, hidden_dropout_prob=0.0,
            attention_probs_dropout_prob=0.0, **shape,
        )  # fmt: skip
        return XLMRobertaModel(config, add_pooling_layer=False)
    return LlamaModel(LlamaConfig(vocab_size=size, num_key_value_heads=2, **shape))


def model(name: str, of: dict[str, Any], seed: int = 0, body: nn.Module | None = None) -> Model:
    """Return a random model with a new head for a task."""
    body = backbone(name, seed=seed) if body is None else body
    kind = TRAINED[of["kind"]]
    head = kind.head(body, of, {"checkpoint": {"reader": "none"}})
    return Model(body, head, kind.logits, POOLING[name], 0.0)


def examples(name: str, of: dict[str, Any], rows: list[dict[str, Any]], length: int = 40) -> Any:
    """Encode rows and read them into memory."""
    tokens = tokenizer(name)
    frame = ENCODED[of["kind"]].encode(rows, of, tokens, length)
    pad = tokens.pad_token_id
    return TRAINED[of["kind"]].examples(frame, of, 0 if pad is None else pad)


def trained(
    made: Model,
    data: Examples,
    dev: Examples | None,
    of: dict[str, Any],
    steps: int = 60,
    selection: str = "last",
) -> dict[str, Any]:
    """Train a model in place."""
    settings = {
        "steps": steps, "batch": 8, "learning_rate": 3e-3, "warmup": 0.1, "schedule": "linear",
        "weight_decay": 0.0, "clip": 1.0, "freeze": "none", "precision": "fp32",
        "selection": selection,
    }  # fmt: skip
    source = Source(data.kind, data.kind, data, of)
    return train(
        made, [source], dev, settings, 1, Accelerator(cpu=True), 64, lambda **_progress: None
    )


def rows(kind: str, count: int, seed: int = 0) -> list[dict[str, Any]]:
    """Make rows whose answer a word gives away."""
    draw = random.Random(f"{kind}/{seed}")
    made: list[dict[str, Any]] = []
    for number in range(count):
        verb, colour, thing = (draw.choice(words) for words in (VERBS, COLOURS, THINGS))
        row: dict[str, Any] = {"id": f"r{number}"}
        if kind == "sequence_classification":
            row |= {"text": f"{verb} a {thing}", "text_pair": f"a {colour}", "label": colour}
        elif kind == "token_classification":
            row |= {"tokens": [verb, colour, thing], "tags": ["O", "B-colour", "B-thing"]}
        elif kind == "multiple_choice":
            right = draw.randrange(3)
            choices = [f"a {draw.choice(THINGS)}" for _ in range(3)]
            choices[right] = "a red"
            row |= {"text": f"{verb} what", "choices": choices, "label": str(right)}
        elif kind == "span_extraction":
            before = [draw.choice(VERBS) for _ in range(draw.randrange(1, 5))]
            text = " ".join([*before, colour, thing, verb])
            answers = {"text": [colour], "start": [text.index(colour)]}
            row |= {"question": "what is", "context": text, "answers": answers}
        elif kind == "masked_lm":
            row |= {"text": " ".join([thing, colour] * 4), "language": "en"}
        elif kind == "dual_encoder":
            partner = VERBS[COLOURS.index(colour)]
            row |= {"query": f"a {colour}", "candidate": f"what is {partner}"}
        made.append(row)
    return made
