"""Times the steps of a pilot by what its training tells."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

WARM = 16
"""First steps, which are not timed: memory is taken, kernels are chosen."""

TOGETHER = 0.1
"""Share of a step's mean time below which two steps were told at one look."""


@dataclass
class Pace:
    """Notes when steps were told.

    Several are told at once, each time that the losses have been read from the device: a time is
    that of the last of them.
    """

    marks: list[tuple[int, float]] = field(default_factory=list)

    def telling(self, tell: Callable[..., None]) -> Callable[..., None]:
        """Return what tells, and notes the time of each step."""

        def also(**progress: Any) -> None:
            if "step" in progress:
                self.marks.append((int(progress["step"]), time.perf_counter()))
            tell(**progress)

        return also

    def result(self, tokens: float, processes: int) -> dict[str, float]:
        """Return seconds and device seconds of a step, after the first ones, and their spread.

        ``steps`` were timed, in ``pieces`` from one look to the next. ``standard_error`` is that of
        the mean ``step_seconds``, from the variance of the pieces, each weighted by its steps;
        there is none of a single piece. ``tokens`` is the speed of the whole run, for which it is
        kept too.
        """
        last, ended = self.marks[-1]
        whole = ended - self.marks[0][1]
        warm = next(at for step, at in self.marks if step >= min(WARM, last))
        near = [mark for mark in self.marks if mark[1] <= warm + 0.01 * whole]
        first, started = near[-1]
        if first == last:
            raise ValueError("the steps were told all at once, and have no time of their own")
        steps = last - first
        seconds = (ended - started) / steps
        looks = [(first, started)]
        for step, at in self.marks[len(near) :]:
            if at - looks[-1][1] < TOGETHER * seconds:
                looks[-1] = (step, at)
            else:
                looks.append((step, at))
        pieces = [(b - a, (then - before) / (b - a)) for (a, before), (b, then) in pairwise(looks)]
        result = {
            "step_seconds": round(seconds, 6),
            "device_seconds": round(seconds * processes, 6),
            "tokens_per_second": tokens,
            "steps": steps,
            "pieces": len(pieces),
        }
        if len(pieces) > 1:
            variance = sum(n * (each - seconds) ** 2 for n, each in pieces) / (len(pieces) - 1)
            result["standard_error"] = round(math.sqrt(variance / steps), 9)
        return result
