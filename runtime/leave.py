"""Leaving a place in good order: a training that can be kept is kept first."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator

_asked = threading.Event()
"""Set when this process shall leave its machine, and may be given another one later."""

_kept = threading.Event()
"""Set when the training in hand has been saved since, or there is none in hand."""
_kept.set()


def ask() -> None:
    """Ask to leave; called in a signal handler."""
    _asked.set()


def asked() -> bool:
    """Tell whether a checkpoint is wanted at once."""
    return _asked.is_set() and not _kept.is_set()


def due() -> bool:
    """Tell whether the time to leave has come: asked to, and nothing is left to be saved."""
    return _asked.is_set() and _kept.is_set()


def saved() -> None:
    """Note that the training in hand has been saved; it counts if a checkpoint was wanted."""
    if _asked.is_set():
        _kept.set()


@contextlib.contextmanager
def keeping(worth: bool) -> Iterator[None]:
    """Let a stage that leaves checkpoints save itself before the process leaves."""
    if worth:
        _kept.clear()
    try:
        yield
    finally:
        _kept.set()
