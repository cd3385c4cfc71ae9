"""The translation of each sentence among those of another language, by the nearest vector.

Prepared: ``id``, ``source_ids`` (the foreign sentence), ``target_ids`` (the English one).
Predictions: ``id``, ``gold`` and ``predicted`` (for each English sentence the row of the foreign
one), ``score`` (its cosine), ``reverse`` (for each foreign sentence the row of the English one),
``reverse_score``; the same four with ``_margin`` and ``_distance`` behind, of the scores whose
names end so, where the score is the margin.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl
import torch
from torch import Tensor
from torch.nn import functional

from runtime import encode as encoding
from runtime.batches import arrays
from runtime.mining import aligned, picked
from runtime.mining.retrieval import KINDS
from runtime.rows import Row
from runtime.vectors import Encoder

MARGINS = ("_margin", "_distance")
"""How the names of scores end that rank by a margin."""


def encode(
    rows: Sequence[Row], task: Mapping[str, Any], tokenizer: Any, max_length: int
) -> pl.DataFrame:
    """Return the token ids of both sides."""
    sides = {
        f"{side}_ids": encoding.texts(tokenizer, [row[side] for row in rows], None, max_length)
        for side in ("source", "target")
    }
    return pl.DataFrame(
        {"id": [row["id"] for row in rows], **sides},
        schema={"id": pl.String, "source_ids": encoding.IDS, "target_ids": encoding.IDS},
    )


def find(
    task: Mapping[str, Any], parts: Mapping[str, pl.DataFrame], encoder: Encoder, depth: float
) -> tuple[dict[str, Any], pl.DataFrame]:
    """Return the scores at a depth and at every depth, and the predictions at that depth.

    Depth is a share of the layers, so that sizes of different depth are treated alike.
    """
    frame = parts["test"]
    source = encoder.every_layer(arrays(frame["source_ids"]))
    target = encoder.every_layer(arrays(frame["target_ids"]))
    layers = len(source) - 1
    chosen = round(depth * layers)
    sweep = [
        {"depth": round(layer / max(1, layers), 4), **top1(source[layer], target[layer])}
        for layer in range(layers + 1)
    ]
    scores = {name: value for name, value in sweep[chosen].items() if name != "depth"}
    forward, forward_score = nearest(target[chosen], source[chosen])
    reverse, reverse_score = nearest(source[chosen], target[chosen])
    columns: dict[str, Any] = {
        "id": frame["id"],
        "gold": range(len(frame)),
        "predicted": forward.tolist(),
        "score": forward_score.tolist(),
        "reverse": reverse.tolist(),
        "reverse_score": reverse_score.tolist(),
    }
    for kind, found in picked(source[chosen], target[chosen]).items():
        if end := KINDS[kind]:
            columns |= {
                f"predicted{end}": found.forward,
                f"score{end}": found.forward_score,
                f"reverse{end}": found.reverse,
                f"reverse_score{end}": found.reverse_score,
            }
    predicted = pl.DataFrame(columns)
    return {"n": len(frame), "scores": scores, "layer": chosen, "layers": sweep}, predicted


def nearest(queries: Tensor, candidates: Tensor) -> tuple[Tensor, Tensor]:
    """Return for each query the row of its nearest candidate by cosine, and the cosine.

    Of equally near ones the first is taken.
    """
    cosines = _cosines(queries, candidates)
    best = cosines.argmax(dim=-1)
    return best, cosines.gather(-1, best.unsqueeze(-1)).squeeze(-1)


def top1(source: Tensor, target: Tensor) -> dict[str, float]:
    """Score retrieval of aligned pairs; row i of one side belongs to row i of the other.

    ``top1`` has English queries over foreign candidates, the direction of XTREME's Tatoeba script
    (``source`` is foreign, ``target`` English); ``top1_reverse`` is the other direction and
    ``top1_both`` their mean. Those that rank by a margin are of ``mining.aligned``.
    """
    truth = torch.arange(len(source))
    ways = ((target, source), (source, target))
    forward, reverse = (100.0 * float((nearest(*way)[0] == truth).double().mean()) for way in ways)
    margins = {name: v for name, v in aligned(source, target).items() if name.endswith(MARGINS)}
    return {
        "top1": forward,
        "top1_reverse": reverse,
        "top1_both": (forward + reverse) / 2,
        **margins,
    }


def _cosines(queries: Tensor, candidates: Tensor) -> Tensor:
    queries, candidates = (functional.normalize(side, dim=-1) for side in (queries, candidates))
    return queries @ candidates.T
