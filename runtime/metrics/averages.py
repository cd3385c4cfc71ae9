"""Averages scores over languages and tasks, as XTREME does and without English."""

from __future__ import annotations

import math
from collections.abc import Mapping

ENGLISH = "en"

Languages = Mapping[str, Mapping[str, float]]
"""The named scores of a task, by language."""


def xtreme_score(scores: Mapping[str, float]) -> float:
    """Return the one number that enters XTREME's averages.

    That is the mean of F1 and exact match for question answering, the F1 over runs for parts of
    speech, and else a task's first score, its main metric (arXiv:2003.11080 and its evaluate.py).
    """
    if "em" in scores:
        return (scores["f1"] + scores["em"]) / 2
    if "xtreme_f1" in scores:
        return scores["xtreme_f1"]
    return next(iter(scores.values()))


def task_average(languages: Languages, *, english: bool = True) -> float:
    """Return the plain mean of a task's languages, each with the same weight.

    XTREME's average includes English; without it the mean is that of zero-shot transfer. A task
    that has no English, such as Tatoeba, has the same average either way.

    Raises:
        ValueError: no language is left, or a score is not finite.
    """
    taken = [
        xtreme_score(scores)
        for language, scores in languages.items()
        if english or language != ENGLISH
    ]
    return _mean(taken, "there are no languages to average")


def benchmark_average(tasks: Mapping[str, Languages], *, english: bool = True) -> float:
    """Return the plain mean of the tasks' averages, whatever their number of languages.

    XTREME shows it only if all its tasks have all their languages; whether they do is the caller's
    to know.

    Raises:
        ValueError: there are no tasks, a task has no language left, or a score is not finite.
    """
    taken = [task_average(languages, english=english) for languages in tasks.values()]
    return _mean(taken, "there are no tasks to average")


def _mean(values: list[float], nothing: str) -> float:
    if not values:
        raise ValueError(nothing)
    if not all(map(math.isfinite, values)):
        raise ValueError("a score is not finite")
    return math.fsum(values) / len(values)
