"""The pairs of sentences that are translations of each other, out of two large collections.

Each distinct text is embedded once, at the plan's depth; pairs are mined by margin over its
``neighbours``, one to one, and a mined pair of texts stands for all pairs of their ids. A threshold
then decides. It is the best one on the dev split of the language; without such a split each half of
the foreign sentences is cut at the threshold that is best on the other half.

Prepared: ``id``, ``side`` (``source`` is foreign, ``target`` English), ``input_ids``, ``text``
(number of the distinct text on its side), ``matches`` (ids of the other side). Predictions, a row
for each pair that was mined or is right: ``source``, ``target`` (ids), ``score`` (the margin; none
if it was not mined), ``gold``, ``predicted``. Among the scores ``best_f1`` is the F1 with the
threshold that is best on these very pairs, which is optimistic and what some code reports.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl

from runtime import encode as encoding
from runtime.batches import arrays
from runtime.invalid import DataInvalid
from runtime.metrics import mining as metrics
from runtime.mining import deduplicate, expand, mine, neighbours
from runtime.rows import Row
from runtime.vectors import Encoder

SIDES = ("source", "target")


def encode(
    rows: Sequence[Row], task: Mapping[str, Any], tokenizer: Any, max_length: int
) -> pl.DataFrame:
    """Return the token ids of both sides, and which texts are the same."""
    number = dict(zip(SIDES, ({}, {}), strict=True))  # type: ignore[var-annotated]
    texts = [number[row["side"]].setdefault(row["text"], len(number[row["side"]])) for row in rows]
    return pl.DataFrame(
        {
            "id": [row["id"] for row in rows],
            "side": [row["side"] for row in rows],
            "input_ids": encoding.texts(tokenizer, [row["text"] for row in rows], None, max_length),
            "text": texts,
            "matches": [row["matches"] for row in rows],
        },
        schema={
            "id": pl.String,
            "side": pl.String,
            "input_ids": encoding.IDS,
            "text": pl.Int32,
            "matches": pl.List(pl.String),
        },
    )


def find(
    task: Mapping[str, Any], parts: Mapping[str, pl.DataFrame], encoder: Encoder, depth: float
) -> tuple[dict[str, Any], pl.DataFrame]:
    """Return the scores of the test split, and every pair that was mined or is right."""
    protocol = task["protocol"]
    layer = round(depth * encoder.layers)
    gold = _gold(parts["test"])
    mined = _mined(parts["test"], encoder, layer, protocol)
    if "dev" in parts:
        tuning = _mined(parts["dev"], encoder, layer, protocol)
        threshold = metrics.best_threshold(tuning, _gold(parts["dev"]))
        accepted = metrics.accepted(mined, threshold)
        scores = metrics.mining_f1(gold, accepted) | {"threshold": threshold}
    else:
        scores = metrics.crossfit(mined, gold)
        accepted = {
            pair
            for pair, score in mined.items()
            if score >= scores[f"threshold_{metrics.half(pair[0])}"]
        }
    best = metrics.best_threshold(mined, gold)
    scores["best_f1"] = metrics.mining_f1(gold, metrics.accepted(mined, best))["mining_f1"]
    every = list(mined) + [pair for pair in gold if pair not in mined]
    right = set(gold)
    predictions = pl.DataFrame(
        {
            "source": [source for source, _ in every],
            "target": [target for _, target in every],
            "score": [mined.get(pair) for pair in every],
            "gold": [pair in right for pair in every],
            "predicted": [pair in accepted for pair in every],
        }
    )
    result = {"n": len(gold), "scores": scores, "mined": len(mined), "layer": layer}
    return result | {"tuned_on": "dev" if "dev" in parts else "halves"}, predictions


def _gold(frame: pl.DataFrame) -> list[metrics.Pair]:
    ours = frame.filter(pl.col("side") == "source").select("id", "matches").rows()
    return [(name, other) for name, matches in ours for other in matches]


def _mined(
    frame: pl.DataFrame, encoder: Encoder, layer: int, protocol: Mapping[str, Any]
) -> dict[metrics.Pair, float]:
    """Return the score of each mined pair of ids, best first."""
    vectors, holders = [], []
    for side in SIDES:
        own = frame.filter(pl.col("side") == side)
        if own.is_empty():
            raise DataInvalid(f"there are no sentences on the {side} side")
        texts, places = deduplicate(own["text"].to_list())
        ids = arrays(own["input_ids"])
        first = {text: row for row, text in reversed(list(enumerate(own["text"])))}
        vectors.append(encoder.one_layer([ids[first[text]] for text in texts], layer, side))
        holders.append((own["id"].to_list(), places))
    found = neighbours(vectors[0], vectors[1], int(protocol["neighbours"]), device=encoder.device)
    pairs = mine(found, protocol["margin"])
    return expand(pairs, holders[0], holders[1])
