"""Turns numbers, sizes and levels into the one text that every table, figure and sentence shows."""

from __future__ import annotations

import math
from collections.abc import Sequence

from runtime.analysis.estimate import EQUIVALENT, LARGER, NOT_ESTIMABLE, SMALLER

_UNITS = ((1e12, "T"), (1e9, "B"), (1e6, "M"), (1e3, "k"))

LEVELS_PLAIN = {
    "L1": "The interval allows for chance in fine-tuning: the very same checkpoints, tasks and "
    "languages, trained again with other random seeds. It claims nothing about any other task, "
    "language or checkpoint.",
    "L2": "The interval also allows for the choice of tasks and languages: the very same "
    "checkpoints, tried on others like these. It does not speak of other checkpoints; the sizes "
    "compared here may differ in more than size.",
    "L3": "The interval also allows for what is particular to each checkpoint: other models of "
    "such sizes, pretrained by somebody else. Only this one supports the words “as models grow”.",
}
"""What each level generalises to, for a reader who has never met a confidence interval."""

PLAINLY = {
    LARGER: "Among these models the gain grows with size.",
    SMALLER: "Among these models the gain shrinks with size.",
    EQUIVALENT: "Among these models the gain is the same at every size, within the margin.",
    "inconclusive": "This study cannot tell whether the gain grows or shrinks with size.",
    NOT_ESTIMABLE: "What is here does not allow an answer.",
}
"""Each verdict as the answer that a reader came for; level and numbers follow in the sentence."""

SCALES = {
    "points": "points",
    "log_error_ratio": "log error ratio",
    "chance_corrected": "chance-corrected",
}
AVERAGES = {
    "zero_shot": ("Zero-shot", "without English"),
    "xtreme": ("XTREME-style", "English included"),
    "english": ("English", "alone"),
}
_DIGITS = {"points": 2, "log_error_ratio": 3, "chance_corrected": 2}


def number(value: float | None, scale: str = "points") -> str:
    """Write a gain, slope or difference with its sign; nothing to show gives the empty text."""
    if value is None or not math.isfinite(value):
        return ""
    text = f"{value:+.{_DIGITS[scale]}f}"
    return text[1:] if float(text) == 0 else text.replace("-", "\N{MINUS SIGN}")


def score(value: float | None) -> str:
    """Write a score from 0 to 100, or any level, without a plus."""
    return number(value).removeprefix("+")


def interval(lo: float | None, hi: float | None, scale: str = "points") -> str:
    """Write an interval, or say that it cannot be estimated."""
    low, high = number(lo, scale), number(hi, scale)
    return f"{low} to {high}" if low and high else NOT_ESTIMABLE


def freedom(df: float | None) -> str:
    """Write degrees of freedom with three digits."""
    if df is None or not math.isfinite(df):
        return ""
    return f"{df:.3g}" if df < 999 else f"{df:.0f}"


def probability(p: float | None) -> str:
    """Write a p value to three decimals, never as zero."""
    if p is None or not math.isfinite(p):
        return ""
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


def parameters(count: float) -> str:
    """Write a parameter count as ``1.8M`` or ``10.7B``: three digits at most."""
    rounded = float(f"{count:.3g}")
    for unit, letter in _UNITS:
        if rounded >= unit:
            return f"{float(f'{rounded / unit:.3g}'):g}{letter}"
    return f"{rounded:g}"


def short_key(key: str) -> str:
    """Shorten a stage key to its hash, which is enough to find it."""
    return key.rsplit("-", 1)[-1]


def listing(items: Sequence[str], last: str = "and") -> str:
    """Join words as in a sentence: ``a, b and c``."""
    if len(items) < 2:
        return "".join(items)
    return f"{', '.join(items[:-1])} {last} {items[-1]}"


def counted(count: int, noun: str, many: str = "") -> str:
    """Write a count with its noun: ``1 task``, ``3 tasks``."""
    return f"{count} {noun}" if count == 1 else f"{count} {many or noun + 's'}"
