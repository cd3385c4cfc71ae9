"""Predicts the labels of a split, and scores predictions as the field does, on a 0-100 scale."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from runtime.batches import Examples, scoring_batches
from runtime.encode import CUT
from runtime.model import Tagger


def predict(model: Tagger, data: Examples, batch: int, device: torch.device) -> list[Any]:
    """Return one label index per sequence, or one per word; a word that was cut gets index 0."""
    found: list[Any] = [None] * len(data)
    model.eval()
    with torch.inference_mode():
        for chunk in scoring_batches(data, batch):
            logits = model(chunk.input_ids.to(device), chunk.attention_mask.to(device))
            best = logits.argmax(dim=-1).cpu()
            for line, row in enumerate(chunk.rows):
                if data.kind == "sequence_classification":
                    found[row] = int(best[line])
                else:
                    found[row] = [
                        int(best[line, p]) if p != CUT else 0 for p in data.positions[row]
                    ]
    return found


def score(
    metric: str, gold: Sequence[Any], predicted: Sequence[Any], labels: Sequence[str]
) -> dict[str, float]:
    """Return named scores, the task's metric first.

    ``span_f1`` is micro F1 over exact spans and types with lenient BIO reading, as in CoNLL's
    script (seqeval's default mode); ``accuracy`` of tagging counts words.
    """
    if metric == "accuracy" and gold and not isinstance(gold[0], list):
        right = sum(a == b for a, b in zip(gold, predicted, strict=True))
        return {"accuracy": 100.0 * right / len(gold)}
    pairs = [
        (g, p) for gs, ps in zip(gold, predicted, strict=True) for g, p in zip(gs, ps, strict=True)
    ]
    word = 100.0 * sum(g == p for g, p in pairs) / max(1, len(pairs))
    if metric == "accuracy":
        return {"accuracy": word}
    from seqeval.metrics import f1_score

    with warnings.catch_warnings():
        # A model that predicts no span has no precision: seqeval warns, and the F1 is 0.
        warnings.simplefilter("ignore")
        f1 = f1_score(
            [[labels[t] for t in tags] for tags in gold],
            [[labels[t] for t in tags] for tags in predicted],
            zero_division=0,
        )
    return {"span_f1": 100.0 * float(f1), "word_accuracy": word}


def chance(metric: str, gold: Sequence[Any], task: Mapping[str, Any]) -> float:
    """Return what a guesser reaches: the share of the most frequent class, for accuracy."""
    if metric == "accuracy" and gold and not isinstance(gold[0], list):
        return 100.0 * Counter(gold).most_common(1)[0][1] / len(gold)
    return float(task.get("chance", 0.0))


def nearest(queries: Tensor, candidates: Tensor) -> Tensor:
    """Return for each query the row of its nearest candidate by cosine; ties go to the first."""
    queries = torch.nn.functional.normalize(queries, dim=-1)
    candidates = torch.nn.functional.normalize(candidates, dim=-1)
    return (queries @ candidates.T).argmax(dim=-1)


def top1(source: Tensor, target: Tensor) -> dict[str, float]:
    """Score retrieval of aligned pairs, both ways; row i of one side belongs to row i of the other.

    ``top1`` has English queries over foreign candidates, the direction of XTREME's Tatoeba script
    (``source`` is foreign, ``target`` English); ``top1_reverse`` is the other direction.
    """
    truth = torch.arange(len(source))
    forward = (nearest(target, source) == truth).double().mean()
    reverse = (nearest(source, target) == truth).double().mean()
    return {"top1": 100.0 * float(forward), "top1_reverse": 100.0 * float(reverse)}
