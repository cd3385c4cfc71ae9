"""Scores answers that are spans of text: SQuAD 1.1, SQuAD 2.0 and MLQA."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import groupby

from runtime.metrics.normalise import Arabic, mlqa_words, squad_words
from runtime.metrics.pairing import pair

Answers = Mapping[str, Sequence[str]]
"""The texts of the right answers, by the id of the question."""

Points = dict[str, float]
"""What each question scores, from 0 to 1."""


def squad(gold: Answers, predicted: Mapping[str, str]) -> dict[str, float]:
    """Return F1 and exact match as SQuAD 1.1 scores them; also for XQuAD and TyDiQA-GoldP.

    The best of a question's answers counts. The F1 is over words as multisets. Where nothing is
    left of both sides after normalising, the match is exact and the F1 is 0, as in the script.
    A question without a prediction scores 0.

    Raises:
        ValueError: there is nothing to score, a prediction is for no question, or a question has
            no answer.
    """
    return _spans(gold, predicted, squad_words)


def mlqa(
    gold: Answers, predicted: Mapping[str, str], language: str, arabic: Arabic = "official"
) -> dict[str, float]:
    """Return F1 and exact match as MLQA scores them.

    ``language`` is that of the answer, and so of the paragraph; not of the question. For the rest
    see ``squad``, and ``mlqa_words`` for ``arabic``.

    Raises:
        ValueError: as ``squad``, or MLQA has no rule for this language.
    """
    return _spans(gold, predicted, lambda text: mlqa_words(text, language, arabic))


def squad_v2(
    gold: Answers,
    predicted: Mapping[str, str],
    no_answer: Mapping[str, float] | None = None,
    threshold: float = 0.0,
) -> dict[str, float]:
    """Return F1 and exact match where a question may have no answer, as SQuAD 2.0 scores them.

    ``predicted`` has the best span of each question, and "" says that there is no answer.
    ``no_answer`` says how much more likely no answer is than that span, with 0 for equally likely:
    above ``threshold`` the question counts as unanswered. Without it the texts count as they are.

    Keys are those of the script: ``HasAns_`` and ``NoAns_`` for questions with and without an
    answer, if there are any; and with ``no_answer`` ``best_exact`` and ``best_f1``, the highest
    that any threshold gives on these very questions, which is optimistic, with that threshold
    (``_thresh``, in the unit of ``no_answer``; below all scores if it is best to answer nothing).

    Three things differ from the script, whose search can miss the best threshold: questions of one
    score are answered together; a text of which normalising leaves nothing counts as no answer
    there too; and a question without a prediction scores 0, where the script leaves it out.

    Raises:
        ValueError: there is nothing to score, a prediction is for no question, ``no_answer`` has
            other ids than ``predicted``, or a score is not finite.
    """
    raw = _points_v2(gold, predicted)
    unanswered = {name: float(not gold[name]) for name in predicted}
    shown = raw
    if no_answer is not None:
        if no_answer.keys() != predicted.keys():
            raise ValueError("the no-answer scores have other ids than the predictions")
        no_answer = {name: float(score) for name, score in no_answer.items()}
        if not all(map(math.isfinite, no_answer.values())):
            raise ValueError("a no-answer score is not finite")
        above = {name: unanswered[name] for name, score in no_answer.items() if score > threshold}
        shown = {key: points | above for key, points in raw.items()}
    result = {key: _mean(points.values()) for key, points in shown.items()}
    for part, answered in (("HasAns", True), ("NoAns", False)):
        names = [name for name, answers in gold.items() if bool(answers) is answered]
        if names:
            for key, points in shown.items():
                result[f"{part}_{key}"] = _mean(points[name] for name in names)
    if no_answer:
        for key, points in raw.items():
            total, where = _best(points, unanswered, no_answer)
            result[f"best_{key}"] = 100.0 * total / len(gold)
            result[f"best_{key}_thresh"] = where
    return result


def _spans(
    gold: Answers, predicted: Mapping[str, str], words: Callable[[str], list[str]]
) -> dict[str, float]:
    f1, exact = [], []
    for (answers, text), name in zip(pair(gold, predicted), gold, strict=True):
        if not answers:
            raise ValueError(f"the question `{name}` has no answer to compare with")
        found = None if text is None else words(text)
        right = [words(answer) for answer in answers]
        f1.append(0.0 if found is None else max(_overlap(found, one) for one in right))
        exact.append(float(found in right))
    return {"f1": _mean(f1), "em": _mean(exact)}


def _points_v2(gold: Answers, predicted: Mapping[str, str]) -> dict[str, Points]:
    """Return what each question scores if its text counts as it is."""
    f1, exact = {}, {}
    for (answers, text), name in zip(pair(gold, predicted), gold, strict=True):
        found = None if text is None else squad_words(text)
        right = [words for words in map(squad_words, answers) if words] or [[]]
        exact[name] = float(found in right)
        # Of empty sides only two agree: no answer is an answer here.
        f1[name] = max(_overlap(found, one) if found and one else exact[name] for one in right)
    return {"f1": f1, "exact": exact}


def _overlap(found: list[str], right: list[str]) -> float:
    """Return the F1 of two multisets of words: 2 shared / (found + right)."""
    shared = sum((Counter(found) & Counter(right)).values())
    return 2 * shared / (len(found) + len(right)) if shared else 0.0


def _best(
    points: Points, unanswered: Points, no_answer: Mapping[str, float]
) -> tuple[float, float]:
    """Return the highest sum over thresholds, and the lowest threshold that reaches it."""
    order = sorted(no_answer, key=lambda name: no_answer[name])
    total = math.fsum(unanswered.values())
    best = (total, math.nextafter(no_answer[order[0]], -math.inf))
    for score, names in groupby(order, key=lambda name: no_answer[name]):
        total += math.fsum(points[name] - unanswered[name] for name in names)
        if total > best[0] + 1e-9:  # what is less is rounding, and depends on the order
            best = (total, score)
    return best


def _mean(points: Iterable[float]) -> float:
    """Return the mean on a scale of 100, exactly the same in any order."""
    known = list(points)
    return 100.0 * math.fsum(known) / len(known)
