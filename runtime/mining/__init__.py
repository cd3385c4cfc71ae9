"""Finds translations among sentence embeddings: neighbours, margins, pairs, retrieval scores."""

from runtime.mining.embeddings import Vectors, Writer, deduplicate, load
from runtime.mining.pairs import Margin, Pairs, expand, margins, match, mine
from runtime.mining.retrieval import aligned, picked
from runtime.mining.search import BLOCK, Nearest, Neighbours, nearest, neighbours, top_ids

__all__ = [
    "BLOCK", "Margin", "Nearest", "Neighbours", "Pairs", "Vectors", "Writer", "aligned",
    "deduplicate", "expand", "load", "margins", "match", "mine", "nearest", "neighbours", "picked",
    "top_ids",
]  # fmt: skip
