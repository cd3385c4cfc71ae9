"""Times the steps of a pilot by what its training tells."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from compiler.pilot import WARM


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
        """Return seconds and device seconds of a step, after the first ones.

        ``tokens`` is the speed of the whole run, for which it is kept too.
        """
        last, ended = self.marks[-1]
        whole = ended - self.marks[0][1]
        warm = next(at for step, at in self.marks if step >= min(WARM, last))
        near = [mark for mark in self.marks if mark[1] <= warm + 0.01 * whole]
        first, started = near[-1]
        if first == last:
            raise ValueError("the steps were told all at once, and have no time of their own")
        seconds = (ended - started) / (last - first)
        return {
            "step_seconds": round(seconds, 6),
            "device_seconds": round(seconds * processes, 6),
            "tokens_per_second": tokens,
        }
