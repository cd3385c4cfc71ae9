"""Notices a stage that hangs: no word of progress, and a process that does not compute."""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Callable, Iterator

STALL = 3600.0
"""Seconds without progress and without computing after which a stage counts as hanging."""

IDLE = 0.001
"""Share of one processor below which a process does not compute; a heartbeat takes less."""

VARIABLE = "STILTSCALE_STALL"
"""Changes `STALL`, in seconds; 0 waits for ever."""


def patience() -> float:
    """Return the seconds that a stage may hang; raises ValueError when it is set to no number."""
    said = os.environ.get(VARIABLE, "")
    seconds = float(said) if said else STALL
    if not seconds >= 0:
        raise ValueError(f"{VARIABLE} is {said!r}: give seconds, or 0 to wait for ever")
    return seconds


class Watch:
    """Knows when a stage last said something."""

    def __init__(self) -> None:
        self.word()

    def word(self) -> None:
        """Note a sign of progress."""
        self.when, self.spent = time.monotonic(), time.process_time()

    def hangs(self, seconds: float) -> bool:
        """Tell whether there was no progress for so long, and next to no computing either."""
        passed = time.monotonic() - self.when
        if passed < seconds:
            return False
        idle = time.process_time() - self.spent < IDLE * passed
        if not idle:  # computing without a word, as in one large product: look again from here
            self.word()
        return idle


@contextlib.contextmanager
def watching(act: Callable[[float], None]) -> Iterator[Watch]:
    """Call ``act`` in a thread with the seconds that went by when what is done here hangs.

    Whatever hangs cannot be interrupted from within, so ``act`` is to end the process.
    """
    watch, over, seconds = Watch(), threading.Event(), patience()

    def look() -> None:
        while not over.wait(min(60.0, seconds / 4)):
            if watch.hangs(seconds):
                act(time.monotonic() - watch.when)
                return

    if seconds:
        threading.Thread(target=look, daemon=True).start()
    try:
        yield watch
    finally:
        over.set()
