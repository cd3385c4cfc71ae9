"""Ends the run of a study on this machine, as Ctrl-C in its own terminal would."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

from compiler.errors import EnvironmentUnready
from compiler.render import host, occupant
from runtime.lease import born
from runtime.scheduler import GRACE

PATIENCE = 3 * GRACE
"""Seconds in which a run that was asked to stop must have ended; its jobs get ``GRACE`` of them."""


def halt(folder: Path) -> int | None:
    """Ask the run that works in a study's folder to stop, and wait; return its process.

    None when there is none. Raises EnvironmentUnready (E072) when it is another machine's or
    another user's, or does not end.
    """
    found = occupant(folder)
    if found is None:
        return None
    there, number = found
    start = born(number) if there == host() else ""
    if not start:
        raise _cannot(folder, f"the run is process {number} on {there}", "say the same there")
    try:
        os.kill(number, signal.SIGTERM)
    except PermissionError as error:
        text = f"the run is process {number} of another user"
        raise _cannot(folder, text, "who started it can end it") from error
    except ProcessLookupError:
        return number
    deadline = time.monotonic() + PATIENCE
    while born(number) == start:
        if time.monotonic() > deadline:
            text = f"process {number} was asked to stop, and still runs after {PATIENCE:.0f} s"
            raise _cannot(folder, text, f"look what it does; `kill -9 {number}` ends it at once")
        time.sleep(0.05)
    return number


def _cannot(folder: Path, what: str, hint: str) -> EnvironmentUnready:
    return EnvironmentUnready("E072", what, where=str(folder), hint=hint)
