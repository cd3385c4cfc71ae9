"""Influence: how far an estimate moves when one task, size, language or run is left out."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np

from runtime.analysis.grid import Bools

Name = TypeVar("Name", bound=Hashable)


@dataclass(frozen=True, slots=True)
class Influence(Generic[Name]):
    """The estimate from everything, and its range when one item at a time is left out.

    ``without`` has the estimate without each item, or None where it is not estimable.
    ``sign_holds`` says that no single item decides the sign; None without a range.
    """

    estimate: float | None
    lowest: float | None
    lowest_without: Name | None
    highest: float | None
    highest_without: Name | None
    sign_holds: bool | None
    without: dict[Name, float | None]
    reason: str = ""


def leave_one_out(
    items: Sequence[Name], estimate: Callable[[Bools], float | None]
) -> Influence[Name]:
    """Estimate again without each item, the jackknife of Quenouille and Tukey as a description.

    ``items`` names for each row what it belongs to (a task, size, language, run: many rows may
    share one); ``estimate`` maps the rows to keep to a number, or to None. The range is no
    interval: it says what rests on one item alone.
    """
    everything = estimate(np.ones(len(items), dtype=np.bool_))
    without = {
        item: estimate(np.asarray([each != item for each in items], dtype=np.bool_))
        for item in dict.fromkeys(items)
    }
    known = {item: value for item, value in without.items() if value is not None}
    if everything is None or not known:
        reason = "there is no estimate" if everything is None else "no item can be left out"
        return Influence(everything, None, None, None, None, None, without, reason)
    low = min(known, key=lambda item: known[item])
    high = max(known, key=lambda item: known[item])
    holds = all(np.sign(value) == np.sign(everything) for value in known.values())
    missing = len(without) - len(known)
    reason = f"not estimable without {missing} of {len(without)} items" if missing else ""
    return Influence(everything, known[low], low, known[high], high, holds, without, reason)
