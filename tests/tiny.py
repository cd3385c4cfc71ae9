"""A study small enough for tests: random models of some thousand weights, made-up languages."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import yaml

COLOURS = ("red", "blue", "green", "grey")
THINGS = ("cup", "door", "lamp", "book", "shoe", "tree")
VERBS = ("take", "see", "hold", "want")
LANGUAGES = {"en": "", "de": "d", "fr": "f", "ru": "r"}
"""A language is English with a letter before some words, so that transfer is possible."""


def word(text: str, language: str) -> str:
    """Translate a word: things keep their English form, all else gets the language's letter."""
    return text if text in THINGS or language == "en" else LANGUAGES[language] + text


def vocabulary() -> list[str]:
    """Every token of the made-up languages."""
    words = [word(w, x) for x in LANGUAGES for w in (*COLOURS, *THINGS, *VERBS)]
    return ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *dict.fromkeys(words)]


def write_models(folder: Path, layers: tuple[int, ...] = (1, 2)) -> list[dict[str, Any]]:
    """Write tiny random BERT models with a word tokenizer, and return their catalog members."""
    import torch
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

    from runtime.model import parameter_counts

    tokens = {token: number for number, token in enumerate(vocabulary())}
    backend = Tokenizer(models.WordLevel(tokens, unk_token="[UNK]"))
    backend.pre_tokenizer = pre_tokenizers.Whitespace()
    backend.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B [SEP]",
        special_tokens=[("[CLS]", 2), ("[SEP]", 3)],
    )
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=backend,
        pad_token="[PAD]",
        unk_token="[UNK]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        mask_token="[MASK]",
        model_max_length=64,
    )
    members = []
    for depth in layers:
        torch.manual_seed(depth)
        config = BertConfig(
            vocab_size=len(tokens), hidden_size=16, num_hidden_layers=depth, num_attention_heads=2,
            intermediate_size=32, max_position_embeddings=64,
        )  # fmt: skip
        model = BertModel(config, add_pooling_layer=False)
        target = folder / f"tiny-{depth}"
        model.save_pretrained(target)
        tokenizer.save_pretrained(target)
        members.append(
            {
                "name": f"tiny-{depth}",
                "size": depth,
                "checkpoint": {"folder": f"../weights/tiny-{depth}"},
                "parameters": parameter_counts(model),
            }
        )
    return members


def rows(kind: str, language: str, count: int, seed: int) -> list[dict[str, Any]]:
    """Make rows of a task: the colour of a thing, the tags of colour and thing, or pairs."""
    draw = random.Random(f"{kind}/{language}/{seed}")
    made = []
    for number in range(count):
        verb, colour, thing = (draw.choice(x) for x in (VERBS, COLOURS, THINGS))
        tokens = [word(w, language) for w in (verb, colour, thing)]
        text = " ".join(tokens)
        if kind == "colours":
            made.append({"id": str(number), "text": text, "label": colour})
        elif kind == "things":
            made.append({"id": str(number), "text": text, "label": thing})
        elif kind == "tags":
            made.append({"id": str(number), "tokens": tokens, "tags": ["O", "B-colour", "B-thing"]})
        else:
            made.append({"id": str(number), "source": text, "target": f"{verb} {colour} {thing}"})
    return made


def task(name: str, kind: str, labels: list[str], metric: str) -> dict[str, Any]:
    """Return the catalog entry of a made-up task."""
    entry: dict[str, Any] = {
        "task": name,
        "title": f"made-up {name}",
        "kind": kind,
        "languages": sorted(LANGUAGES),
        "source": {
            "files": {s: f"../data/{name}.{s}.{{language}}.jsonl" for s in ("train", "dev", "test")}
        },
        "metric": metric,
    }
    if labels:
        entry |= {"labels": labels, "train_data": f"{name}.en", "train_text": [f"{name}.en"]}
    return entry


def write_study(folder: Path, layers: tuple[int, ...] = (1, 2), **changes: Any) -> Path:
    """Write a whole study with its catalog, data and models; return the study file."""
    catalog = folder / "own"
    for name in ("tasks", "models", "recipes", "data", "weights"):
        (catalog / name).mkdir(parents=True, exist_ok=True)
    tasks = [
        task("colours", "sequence_classification", list(COLOURS), "accuracy"),
        task("things", "sequence_classification", list(THINGS), "accuracy"),
        task("tags", "token_classification", ["O", "B-colour", "B-thing"], "span_f1"),
        task("pairs", "retrieval", [], "top1"),
    ]
    for entry in tasks:
        write_yaml(catalog / "tasks" / f"{entry['task']}.yaml", entry)
        for language in LANGUAGES:
            sizes = {"train": 64, "dev": 32, "test": 24}
            for split, count in sizes.items():
                write_rows(catalog, entry["task"], split, language, count)
    if not (catalog / "models" / "tiny.yaml").exists():
        members = write_models(catalog / "weights", layers)
        write_yaml(catalog / "models" / "tiny.yaml", {"family": "tiny", "members": members})
    write_yaml(
        catalog / "recipes" / "tiny.yaml",
        {"recipe": "tiny",
         "defaults": {"steps": 40, "batch": 8, "learning_rate": 0.01, "max_length": 16}},
    )  # fmt: skip
    study: dict[str, Any] = {
        "study": "tiny",
        "models": {"family": "tiny"},
        "intermediate": ["things"],
        "targets": ["colours", "tags", "pairs"],
        "languages": ["en", "de", "fr"],
        "seeds": [1, 2],
        "recipe": "tiny",
        "catalog": "own",
        "hardware": {"device": "cpu", "parallel": 2, "threads": 1, "pack": "seed"},
    }
    path = folder / "study.yaml"
    write_yaml(path, study | changes)
    return path


def write_rows(catalog: Path, name: str, split: str, language: str, count: int) -> None:
    """Write one data file of a task."""
    seed = {"train": 1, "dev": 2, "test": 3}[split]
    lines = [json.dumps(row) for row in rows(name, language, count, seed)]
    path = catalog / "data" / f"{name}.{split}.{language}.jsonl"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def write_yaml(path: Path, value: Any) -> None:
    """Write a value as YAML."""
    path.write_text(yaml.safe_dump(value, sort_keys=False), encoding="utf-8")
