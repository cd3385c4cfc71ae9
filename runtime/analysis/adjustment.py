"""Adjustment: the families of tests of a report, and the p-values adjusted within each."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from runtime.analysis.estimate import Estimate
from runtime.analysis.multiplicity import Adjusted, benjamini_hochberg, holm

Correct = Callable[[Sequence[float | None]], Adjusted]

DECLARED = ("arm_difference", "size_difference")
EXPLORED = ("language_slope", "group_slope", "group_difference", "moderator")


def adjust(estimates: Sequence[Estimate]) -> list[Estimate]:
    """Adjust the p-values at L2 of every family of tests; the pooled slope itself has none.

    The slopes of the intermediates, their differences and those of sizes are declared by the study:
    Holm. Languages, groups and moderators are explored: Benjamini-Hochberg. A family is one kind of
    estimate of one panel.
    """
    families: dict[tuple[str, ...], list[int]] = {}
    for place, e in enumerate(estimates):
        if e.level == "L2" and (kind := _kind(e)):
            families.setdefault((e.panel, *kind), []).append(place)
    found = list(estimates)
    for family, places in families.items():
        correct: Correct = benjamini_hochberg if family[1] in EXPLORED else holm
        adjusted = correct([found[place].p for place in places])
        for place, p in zip(places, adjusted.p, strict=True):
            found[place] = replace(
                found[place], adjusted=p, tests=adjusted.family, correction=adjusted.method
            )
    return found


def _kind(e: Estimate) -> tuple[str, ...]:
    if e.estimand == "slope" and e.arm != "*":
        plain = (e.scale, e.average, e.variant) == ("points", "zero_shot", "primary")
        return ("slope",) if plain else ()
    if e.estimand in DECLARED:
        return (e.estimand,)
    if e.estimand in EXPLORED:
        return (e.estimand, e.variant)
    return ()
