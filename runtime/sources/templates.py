"""Random walks through hassil's expression trees that remember where each slot was filled.

hassil's own sampler enumerates every sentence and forgets the slots, hence this one.
"""

from __future__ import annotations

import random
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any

from hassil.expression import (
    Alternative,
    Expression,
    Group,
    ListReference,
    Permutation,
    RuleReference,
    TextChunk,
)
from hassil.parse_expression import parse_sentence

# The package's slot or list names, and the label each gets; text of any other slot is outside.
SLOT_LABELS = {
    "area": "area",
    "floor": "floor",
    "name": "name",
    "device_class": "device_class",
    "state": "state",
    "color": "color",
    "brightness": "brightness",
    "temperature": "temperature",
    "position": "percentage",
    "percentage": "percentage",
    "volume_level": "percentage",
    "volume_step": "percentage",
    "hours": "hours",
    "start_hours": "hours",
    "minutes": "minutes",
    "start_minutes": "minutes",
    "seconds": "seconds",
    "start_seconds": "seconds",
    "item": "item",
    "timer_name": "timer_name",
}
LIST_LABELS = {
    "timer_name": "timer_name",
    "color_temperature_names": "color",
    # Words that share a slot with numbers ("turn it {up}", "to {maximum}") but are none.
    "volume_step": None,
    "volume_step_up_words": None,
    "volume_step_down_words": None,
    "volume_comparative": None,
    "volume_mapping": None,
    "brightness_level": None,
    "position_level": None,
}
WHOLE_TIMES = frozenset({"timer_hours", "timer_minutes", "timer_seconds", "timer_name"})

Piece = tuple[str, str | None]


@dataclass(frozen=True)
class Phrase:
    """A sentence as text, and as tokens with BIO tags."""

    text: str
    tokens: tuple[str, ...]
    tags: tuple[str, ...]


@dataclass(frozen=True)
class Grammar:
    """The rules and lists of one language, with our values for the lists it leaves open."""

    rules: Mapping[str, str]
    lists: Mapping[str, Any]
    values: Mapping[str, Sequence[str]]
    floor_takes_noun: bool

    @cached_property
    def _open(self) -> dict[str, Sequence[str]]:
        items = self.values["item"]
        return {
            "area": self.values["area"],
            "floor": self.values["floor"],
            "timer_name": self.values["timer_name"],
            "shopping_list_item": items,
            "todo_list_item": items,
        }

    def can_fill(self, text: str, names: Sequence[str]) -> bool:
        """Say whether every list that the template can reach has values."""
        return all(
            bool(names) if name == "name" else self._has_values(name)
            for name in self._reachable(parse(text))
        )

    def sample(self, text: str, names: Sequence[str], rng: random.Random) -> list[Piece]:
        """Draw one sentence as pieces of text, each with its slot label or None."""
        pieces: list[Piece] = []
        self._walk(parse(text), names, rng, pieces)
        return pieces

    def _has_values(self, name: str) -> bool:
        if name in self._open:
            return True
        # Halves count another unit than their slot says ("half an hour"), and numbers in words,
        # which few languages have, would need inside tags that English digits cannot teach.
        if name.startswith("timer_") and name not in WHOLE_TIMES:
            return False
        return bool({"values", "range"} & set(self.lists.get(name, {})))

    def _reachable(self, node: Expression) -> set[str]:
        if isinstance(node, ListReference):
            return {node.list_name}
        if isinstance(node, RuleReference):
            return self._reachable(parse(self.rules[node.rule_name]))
        if isinstance(node, Alternative):
            return set().union(*(self._reachable(item) for item in self._choices(node)))
        if isinstance(node, Group):
            return set().union(*(self._reachable(item) for item in node.items))
        return set()

    def _choices(self, node: Alternative) -> list[Expression]:
        """Drop the branches that need a list without values, unless that leaves none."""
        fillable = [
            item
            for item in node.items
            if all(name == "name" or self._has_values(name) for name in self._reachable(item))
        ]
        return fillable or list(node.items)

    def _walk(
        self, node: Expression, names: Sequence[str], rng: random.Random, out: list[Piece]
    ) -> None:
        if isinstance(node, TextChunk):
            out.append((node.original_text, None))
        elif isinstance(node, RuleReference):
            self._walk(parse(self.rules[node.rule_name]), names, rng, out)
        elif isinstance(node, ListReference):
            self._fill(node, names, rng, out)
        elif isinstance(node, Alternative):
            choices = self._choices(node)
            if node.is_optional:
                # hassil stores "nothing" as one more branch: give it half of the draws.
                written = [item for item in choices if not _is_empty(item)]
                after_floor = self.floor_takes_noun and _follows_floor(out)
                if not written or not (after_floor or rng.random() < 0.5):
                    return
                choices = written
            self._walk(rng.choice(choices), names, rng, out)
        elif isinstance(node, Group):
            items = list(node.items)
            if isinstance(node, Permutation):
                rng.shuffle(items)
            for item in items:
                self._walk(item, names, rng, out)
        else:
            raise TypeError(f"unknown template element {node!r}")

    def _fill(
        self, node: ListReference, names: Sequence[str], rng: random.Random, out: list[Piece]
    ) -> None:
        name = node.list_name
        label = LIST_LABELS.get(name, SLOT_LABELS.get(node.slot_name))
        if name == "name":
            out.append((rng.choice(self.values[rng.choice(list(names))]), label))
        elif name in self._open:
            out.append((rng.choice(self._open[name]), label))
        elif "range" in self.lists[name]:
            span = self.lists[name]["range"]
            number = rng.randrange(span["from"], span["to"] + 1, span.get("step", 1))
            out.append((str(number), label))
        else:
            value = rng.choice(self.lists[name]["values"])
            inner: list[Piece] = []
            text = value["in"] if isinstance(value, dict) else value
            self._walk(parse(str(text)), names, rng, inner)
            out.append(("".join(text for text, _ in inner), label))


@cache
def parse(text: str) -> Expression:
    """Parse a template once."""
    return parse_sentence(text).expression


def tokenize(pieces: Sequence[Piece]) -> Phrase | None:
    """Cut a sentence into tokens with BIO tags; None when one token would need two labels.

    Tokens are runs of letters, runs of digits and single other signs. Han, Kana and Thai are
    written without spaces, so there each character (with its marks) is a token, as in WikiANN;
    Latin words and digits among them stay whole. A token that is partly slot ("거실의") belongs to
    the slot.
    """
    slots: list[int | None] = []
    for number, (text, label) in enumerate(pieces):
        slots += [None if label is None else number] * len(text)
    raw = "".join(text for text, _ in pieces)
    tokens: list[str] = []
    tags: list[str] = []
    before: int | None = None
    for start, end in _token_spans(raw):
        covered = {slot for slot in slots[start:end] if slot is not None}
        if len(covered) > 1:
            return None
        slot = covered.pop() if covered else None
        label = None if slot is None else pieces[slot][1]
        tokens.append(raw[start:end])
        tags.append("O" if label is None else f"{'I' if slot == before else 'B'}-{label}")
        before = slot
    return Phrase(" ".join(raw.split()), tuple(tokens), tuple(tags))


def _token_spans(text: str) -> list[tuple[int, int]]:
    spans: list[tuple[int, int]] = []
    kind_before = "space"
    for position, character in enumerate(text):
        kind = _kind(character)
        joined = kind == "mark" or (kind == kind_before and kind in ("letter", "digit"))
        inside_word = (
            character in "'’-"
            and kind_before == "letter"
            and position + 1 < len(text)
            and _kind(text[position + 1]) == "letter"
        )
        if kind == "space":
            kind_before = kind
            continue
        if (joined or inside_word) and kind_before != "space":
            spans[-1] = (spans[-1][0], position + 1)
        else:
            spans.append((position, position + 1))
        kind_before = "letter" if inside_word else kind_before if kind == "mark" else kind
    return spans


def _kind(character: str) -> str:
    """Class a character; marks and joiners belong to what they follow."""
    if character.isspace():
        return "space"
    category = unicodedata.category(character)
    if category.startswith("M") or category == "Cf":
        return "mark"
    if category == "Nd":
        return "digit"
    if category.startswith("L"):
        return "character" if _without_spaces(character) else "letter"
    return "sign"


def _without_spaces(character: str) -> bool:
    name = unicodedata.name(character, "")
    return name.startswith(("CJK", "HIRAGANA", "KATAKANA", "THAI"))


def _is_empty(node: Expression) -> bool:
    return isinstance(node, TextChunk) and not node.original_text


def _follows_floor(out: Sequence[Piece]) -> bool:
    written = [label for text, label in out if text.strip()]
    return bool(written) and written[-1] == "floor"
