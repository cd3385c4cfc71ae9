"""Finds the name of a label that its source gives as a name, a number or a text with space."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from runtime.invalid import DataInvalid


@dataclass(frozen=True)
class Labels:
    """The labels of a task, and how its source writes them.

    ``known`` are the task's labels in order, () when any name will do. ``names`` are the source's
    own label names by its column, for labels that it keeps as numbers: the order of a source is not
    the order of our head. ``wording`` renames what the source says. ``placed`` counts the numbers
    that were taken for a place among ``known`` because nothing named them.
    """

    known: tuple[str, ...]
    base: int = 0
    names: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    wording: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    placed: Counter[str] = field(default_factory=Counter, compare=False)

    def need(self, value: Any, column: str, where: str) -> str:
        """Return the name of a label; raises DataInvalid when it is none."""
        found = self._find(value, column)
        if found is None:
            said = f"{where} has the label {value!r}; expected one of: {', '.join(self.known)}"
            if self.is_missing(value, column):
                said += "; `unlabelled: dropped` leaves out rows without a label"
            raise DataInvalid(said)
        return found

    def is_missing(self, value: Any, column: str) -> bool:
        """Tell a value that stands for no label: none, an empty text, -1 (GLUE, SNLI, Cosmos)."""
        blank = value is None or (not isinstance(value, bool) and str(value).strip() in ("", "-1"))
        return blank and self._find(value, column) is None

    def _find(self, value: Any, column: str) -> str | None:
        if isinstance(value, float) and value.is_integer():
            value = int(value)
        if value is None or isinstance(value, (bool, float, list, dict)):
            return None
        names = self.names.get(column)
        if names and isinstance(value, int):
            if not 0 <= value < len(names):
                return None
            value = names[value]
        text = str(value).strip()
        text = self.wording.get(column, {}).get(text, text)
        if text in self.known or (not self.known and text):
            return text
        # A number is a position only where no label is itself one: 1 of (1, 2, 3) is the first.
        if any(label.lstrip("-").isdigit() for label in self.known) or not text.isdecimal():
            return None
        place = int(text) - self.base
        if not 0 <= place < len(self.known):
            return None
        self.placed[column] += 1
        return self.known[place]
