"""Reads the texts of corpora, and says how often each language of them is drawn."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from runtime import data

Group = tuple[int, str]
"""A corpus, by its place among those of a stage, and one of its languages."""


def as_task(corpus: Mapping[str, Any]) -> dict[str, Any]:
    """Return a corpus of the plan as a task whose rows are plain texts, which one knows to read."""
    counts = corpus.get("counts", {})
    return {
        "task": corpus["corpus"],
        "kind": "masked_lm",
        "languages": corpus["languages"],
        "source": corpus["source"],
        "labels": [],
        "counts": {"train": counts} if counts else {},
    }


def read(corpus: Mapping[str, Any], part: str) -> data.Loaded:
    """Return the rows of a part such as ``train.de``; raises DataInvalid."""
    split, language = part.split("@")[0].split(".", 1)
    return data.read(as_task(corpus), split, language)


def shares(sizes: Mapping[Group, int], exponents: Sequence[float]) -> dict[Group, float]:
    """Return the share of the drawn rows that comes from each language of each corpus.

    A corpus has the share that its rows have among all; within it a language has the number of its
    rows to the power of the corpus's exponent, as in XLM (arXiv:1901.07291, section 3.1), so that
    small languages are seen more often than they are written. Groups without rows have none.
    """
    total = sum(sizes.values())
    found: dict[Group, float] = {}
    for corpus, exponent in enumerate(exponents):
        own = {group: rows for group, rows in sizes.items() if group[0] == corpus and rows}
        weights = {group: rows**exponent for group, rows in own.items()}
        part = sum(own.values()) / total if total else 0.0
        found |= {group: part * w / sum(weights.values()) for group, w in weights.items()}
    return found
