"""Trains the tokenizer of models from scratch on their corpora."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from compiler.plan import Stage, language_of
from runtime import corpora, data, lineage, vocabulary
from runtime.session import Session


def run(
    session: Session, stage: Stage, part: str, folder: Path, tell: Callable[..., None]
) -> dict[str, Any]:
    """Write the tokenizer as Transformers saves it, and return what it was trained on."""
    texts: dict[corpora.Group, list[str]] = {}
    commits: dict[str, str] = {}
    total = hashlib.sha256()
    for number, (name, parts) in enumerate(lineage.corpora(session.plan, stage)):
        for one in parts:
            tell(part=f"{name} {one}")
            loaded = corpora.read(session.plan.corpora[name], one)
            texts[number, language_of(one)] = [row["text"] for row in loaded.rows]
            total.update(data.fingerprint(loaded.rows).encode())
            if loaded.commit:
                commits[name] = loaded.commit
    exponents = [float(corpus["exponent"]) for corpus in stage.identity["corpora"]]
    read = vocabulary.sampled(texts, exponents)
    tell(part="training")
    tokenizer = vocabulary.trained([x for rows in read.values() for x in rows], stage.identity)
    tokenizer.save_pretrained(folder)
    return {
        "vocabulary": len(tokenizer),
        "rows": sum(map(len, read.values())),
        "text_sha256": total.hexdigest(),
        "languages": dict(vocabulary.told(tokenizer, texts)),
    } | ({"source_commits": commits} if commits else {})
