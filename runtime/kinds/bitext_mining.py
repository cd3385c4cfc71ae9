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

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import polars as pl

from runtime import encode as encoding
from runtime.batches import arrays
from runtime.invalid import DataInvalid
from runtime.metrics import mining as metrics
from runtime.mining import Vectors, deduplicate, expand, mine, neighbours
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
    """Return the scores of the test split, and every pair that was mined or is right.

    Where the vectors of every layer fit into the plan's ``sweep_gib``, every layer is scored like
    the declared one. Where those of the dev split alone do, the sweep is of dev, and its scores are
    with the threshold that is best there.
    """
    protocol = task["protocol"]
    chosen = round(depth * encoder.layers)
    swept = _swept(parts, encoder, float(protocol.get("sweep_gib", 0.0)))
    gold = {name: _gold(frame) for name, frame in parts.items()}
    sides = {
        name: _sides(frame, name, encoder, None if swept in ("test", name) else chosen)
        for name, frame in parts.items()
    }

    def scored(layer: int) -> Mined:
        mined = {name: one.mined(layer, encoder, protocol) for name, one in sides.items()}
        return _scored(mined["test"], gold["test"], mined.get("dev"), gold.get("dev"))

    sweep: list[dict[str, Any]] = []
    main = scored(chosen)
    for layer in range(encoder.layers + 1) if swept else ():
        found: Mapping[str, float] = main.scores
        if swept == "dev":
            found = _best(sides["dev"].mined(layer, encoder, protocol), gold["dev"])
        elif layer != chosen:
            found = scored(layer).scores
        sweep.append({"depth": round(layer / max(1, encoder.layers), 4), **found})
    mined, right = main.pairs, set(gold["test"])
    every = list(mined) + [pair for pair in gold["test"] if pair not in mined]
    predictions = pl.DataFrame(
        {
            "source": [source for source, _ in every],
            "target": [target for _, target in every],
            "score": [mined.get(pair) for pair in every],
            "gold": [pair in right for pair in every],
            "predicted": [pair in main.accepted for pair in every],
        }
    )
    result = {
        "n": len(gold["test"]),
        "scores": main.scores,
        "mined": len(mined),
        "layer": chosen,
        "tuned_on": "dev" if "dev" in parts else "halves",
        "layers": sweep,
        "layers_of": swept,
    }
    return result, predictions


class Mined(NamedTuple):
    """The pairs of ids that were mined with their margin, those accepted, and the scores."""

    pairs: Mapping[metrics.Pair, float]
    accepted: Collection[metrics.Pair]
    scores: Mapping[str, float]


def _scored(
    mined: Mapping[metrics.Pair, float],
    gold: list[metrics.Pair],
    tuning: Mapping[metrics.Pair, float] | None,
    right: list[metrics.Pair] | None,
) -> Mined:
    """Accept pairs by a threshold of the dev split, or of the other half, and score them."""
    if tuning is not None and right is not None:
        threshold = metrics.best_threshold(tuning, right)
        accepted = metrics.accepted(mined, threshold)
        scores = metrics.mining_f1(gold, accepted) | {"threshold": threshold}
    else:
        scores = metrics.crossfit(mined, gold)
        accepted = {
            pair
            for pair, score in mined.items()
            if score >= scores[f"threshold_{metrics.half(pair[0])}"]
        }
    return Mined(mined, accepted, scores | _best(mined, gold))


def _best(mined: Mapping[metrics.Pair, float], gold: list[metrics.Pair]) -> dict[str, float]:
    """Return the F1 with the threshold that is best on these very pairs."""
    best = metrics.best_threshold(mined, gold)
    return {"best_f1": metrics.mining_f1(gold, metrics.accepted(mined, best))["mining_f1"]}


def _swept(parts: Mapping[str, pl.DataFrame], encoder: Encoder, gib: float) -> str | None:
    """Return the split that all layers are scored on: ``test``, else ``dev``, or none."""
    texts = {
        name: sum(frame.filter(pl.col("side") == side)["text"].n_unique() for side in SIDES)
        for name, frame in parts.items()
    }
    most = gib * 2**30 / (2 * (encoder.layers + 1) * encoder.width)
    if sum(texts.values()) <= most:
        return "test"
    return "dev" if texts.get("dev", most + 1) <= most else None


def _gold(frame: pl.DataFrame) -> list[metrics.Pair]:
    ours = frame.filter(pl.col("side") == "source").select("id", "matches").rows()
    return [(name, other) for name, matches in ours for other in matches]


@dataclass(frozen=True)
class _Sides:
    """The vectors of both sides' distinct texts by layer, and which ids hold each text."""

    vectors: tuple[Mapping[int, Vectors], ...]
    holders: tuple[tuple[list[str], list[int]], ...]

    def mined(
        self, layer: int, encoder: Encoder, protocol: Mapping[str, Any]
    ) -> dict[metrics.Pair, float]:
        """Return the score of each mined pair of ids, best first."""
        source, target = (side[layer] for side in self.vectors)
        found = neighbours(source, target, int(protocol["neighbours"]), device=encoder.device)
        return expand(mine(found, protocol["margin"]), *self.holders)


def _sides(frame: pl.DataFrame, name: str, encoder: Encoder, layer: int | None) -> _Sides:
    """Embed the distinct texts of both sides at a layer, or at all of them in one pass."""
    vectors: list[Mapping[int, Vectors]] = []
    holders = []
    for side in SIDES:
        own = frame.filter(pl.col("side") == side)
        if own.is_empty():
            raise DataInvalid(f"there are no sentences on the {side} side")
        texts, places = deduplicate(own["text"].to_list())
        ids = arrays(own["input_ids"])
        first = {text: row for row, text in reversed(list(enumerate(own["text"])))}
        sequences, place = [ids[first[text]] for text in texts], f"{name}-{side}"
        if layer is None:
            vectors.append(dict(enumerate(encoder.all_layers(sequences, place))))
        else:
            vectors.append({layer: encoder.one_layer(sequences, layer, place)})
        holders.append((own["id"].to_list(), places))
    return _Sides(tuple(vectors), tuple(holders))
