"""The metrics of tasks: plain values by id in, named scores out, on a scale of 0 to 100."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from runtime.metrics import answers, classification, ranking, tagging


def score(
    metric: str,
    gold: Mapping[str, Any],
    predicted: Mapping[str, Any],
    *,
    language: str | None = None,
    no_answer: Mapping[str, float] | None = None,
) -> dict[str, float]:
    """Return the scores of a task by the name of its metric; the first is the one that counts.

    Both sides are by id: labels, lists of tags, answer texts (gold: a list of them), or candidate
    ids (gold: the relevant ones; predicted: the best first). ``language`` is that of the answers,
    which ``mlqa`` needs; for Arabic it shows the scores by the rule as it was meant too.
    ``no_answer`` makes of ``squad`` the SQuAD 2.0 one. ``accuracy`` of tags shows XTREME's F1
    beside it if all tags are parts of speech. Mined pairs have no ids: see ``mining``.

    Raises:
        ValueError: no such metric, or the values do not fit it.
    """
    match metric:
        case "accuracy" if any(isinstance(value, (list, tuple)) for value in gold.values()):
            found = tagging.accuracy(gold, predicted)
            if tagging.are_parts_of_speech(gold):
                found |= tagging.xtreme_f1(gold, predicted)
            return found
        case "accuracy":
            return classification.accuracy(gold, predicted)
        case "span_f1":
            return tagging.span_f1(gold, predicted)
        case "xtreme_f1":
            return tagging.xtreme_f1(gold, predicted) | tagging.accuracy(gold, predicted)
        case "squad" if no_answer is not None:
            return answers.squad_v2(gold, predicted, no_answer)
        case "squad":
            return answers.squad(gold, predicted)
        case "mlqa":
            if language is None:
                raise ValueError("the metric `mlqa` needs the language of the answers")
            found = answers.mlqa(gold, predicted, language)
            if language == "ar":
                fixed = answers.mlqa(gold, predicted, language, "fixed")
                found |= {f"fixed_{name}": value for name, value in fixed.items()}
            return found
        case "map_at_20":
            return ranking.map_at_k(gold, predicted, 20)
        case "mrr_at_20":
            return ranking.mrr_at_k(gold, predicted, 20)
        case _:
            raise ValueError(f"`{metric}` is no metric of values by id")
