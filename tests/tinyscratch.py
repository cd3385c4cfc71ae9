"""A small study of models from scratch: parallel texts of the made-up languages of `tiny`."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

from tiny import COLOURS, LANGUAGES, THINGS, VERBS, word, write_study, write_yaml

SHAPES = {
    1: {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2,
        "intermediate_size": 32},
    2: {"hidden_size": 24, "num_hidden_layers": 2, "num_attention_heads": 2,
        "intermediate_size": 48},
}  # fmt: skip
PRETRAIN: dict[str, Any] = {
    "corpus": ["parallel", "plain"],
    "tokenizer": {"vocabulary": 90},
    "objectives": {"mlm": {}, "translation_pairs": {}},
    "tokens": 20_000,
    "batch": 16,
    "learning_rate": 0.01,
    "max_length": 16,
}


def sentences(language: str, count: int, seed: int) -> list[str]:
    """Say the same things in any language: equal seeds give translations, row by row."""
    draw = random.Random(seed)
    made = []
    for _ in range(count):
        words = [draw.choice(x) for x in (VERBS, COLOURS, THINGS, VERBS, COLOURS, THINGS)]
        made.append(" ".join(word(w, language) for w in words))
    return made


def corpus_rows(name: str, language: str, count: int) -> list[dict[str, str]]:
    """Rows of a corpus: of the parallel one rows of one id are translations."""
    seed = 0 if name == "parallel" else sum(language.encode())
    return [{"id": f"r{n}", "text": x} for n, x in enumerate(sentences(language, count, seed))]


def write_scratch(
    folder: Path,
    sizes: tuple[int, ...] = (1, 2),
    pretrain: Any = None,
    architecture: Any = None,
    budgets: Any = None,
    **changes: Any,
) -> Path:
    """Write a study whose models are pretrained on two corpora of its own; return its file.

    ``pretrain`` and ``architecture`` change what all sizes share, ``budgets`` a size's tokens.
    """
    own = {size: {"pretrain": {"tokens": count}} for size, count in (budgets or {}).items()}
    catalog = folder / "own"
    (catalog / "corpora" / "texts").mkdir(parents=True, exist_ok=True)
    (catalog / "models").mkdir(parents=True, exist_ok=True)
    for name, count in (("parallel", 150), ("plain", 60)):
        entry = {
            "corpus": name, "title": f"made-up {name}", "languages": sorted(LANGUAGES),
            "parallel": name == "parallel", "counts": dict.fromkeys(sorted(LANGUAGES), count),
            "source": {"files": {"train": f"texts/{name}.{{language}}.jsonl"}},
        }  # fmt: skip
        write_yaml(catalog / "corpora" / f"{name}.yaml", entry)
        for language in LANGUAGES:
            lines = [json.dumps(row) + "\n" for row in corpus_rows(name, language, count)]
            path = catalog / "corpora" / "texts" / f"{name}.{language}.jsonl"
            path.write_text("".join(lines), encoding="utf-8")
    family = {
        "family": "tiny",
        "architecture": {"model_type": "xlm-roberta", "max_position_embeddings": 40,
                         "type_vocab_size": 1} | (architecture or {}),
        "pretrain": PRETRAIN | (pretrain or {}),
        "members": [
            {"name": f"made-{n}", "size": n, "architecture": SHAPES[n], **own.get(n, {})}
            for n in sizes
        ],
    }  # fmt: skip
    write_yaml(catalog / "models" / "tiny.yaml", family)
    return write_study(folder, **changes)
