"""The store as it was: only what had finished or failed by some moment."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from runtime.collect import Records
from runtime.records import Failure, Record


@dataclass(frozen=True)
class Past:
    """Reads a store as if nothing had happened after ``until``.

    A store keeps one record of a part and one reason of a stage's latest failure. So a part that
    was made anew later counts as not there, and a failure that a later attempt has replaced or
    mended is not told: its scores are missing without a reason.
    """

    store: Records
    until: datetime

    def record(self, key: str, part: str = "all") -> Record | None:
        """Return the record of a part that was finished by then, or None."""
        found = self.store.record(key, part)
        return found if found is not None and _time(found.finished) <= self.until else None

    def failure(self, key: str) -> Failure | None:
        """Return why the latest attempt failed, if it had by then."""
        found = self.store.failure(key)
        return found if found is not None and _time(found.when) <= self.until else None


def moment(text: str) -> datetime:
    """Read a date, which lasts until its end, or a time of ISO 8601; without a zone it is UTC.

    Raises ValueError.
    """
    try:
        found = _time(text)
    except ValueError:
        hint = "write a date such as 2026-05-31, or a time such as 2026-05-31T18:00:00+02:00"
        raise ValueError(f"`{text}` is no date or time; {hint}") from None
    if len(text) <= len("2026-05-31") and "T" not in text:
        found += timedelta(days=1) - timedelta(microseconds=1)
    return found


def stamp(when: datetime) -> str:
    """Write a moment as records do, in UTC, to the second."""
    return when.astimezone(UTC).isoformat(timespec="seconds")


def shown(when: datetime) -> str:
    """Write a moment for readers."""
    return when.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def brief(when: datetime) -> str:
    """Write a moment as part of a folder's name."""
    return when.astimezone(UTC).strftime("%Y%m%dT%H%M%SZ")


def _time(text: str) -> datetime:
    found = datetime.fromisoformat(text)
    return found if found.tzinfo is not None else found.replace(tzinfo=UTC)
