"""Reads a study file with what it extends: the child's fields change the parent's."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from compiler.errors import Diagnostic, StudyInvalid
from compiler.source import Document, Path_, read

DEEPEST = 8
"""Files in one chain of `extends`."""


def read_study(path: Path) -> Document:
    """Return a study's document, its values and spans merged with those of the files it extends.

    Mappings are merged field by field; every other value of the child replaces the parent's, lists
    as a whole. Raises StudyInvalid with S009 when the chain is too long or goes in a circle.
    """
    return _read(path, ())


def _read(path: Path, seen: tuple[Path, ...]) -> Document:
    document = read(path)
    parent = document.value.get("extends")
    if not isinstance(parent, str):
        return document
    here = path.resolve()
    above = path.parent / parent
    circle = above.resolve() in (*seen, here)
    if circle or len(seen) + 1 >= DEEPEST:
        what = (
            "these files extend each other in a circle"
            if circle
            else f"more than {DEEPEST} files extend each other"
        )
        where = document.span(("extends",))
        raise StudyInvalid([Diagnostic("S009", "error", what, "take one `extends` out", where)])
    if not above.is_file():
        where = document.span(("extends",))
        hint = "give a path relative to this file"
        what = f"`{parent}` is no file to extend"
        raise StudyInvalid([Diagnostic("S009", "error", what, hint, where)])
    return merged(_read(above, (*seen, here)), document)


def merged(parent: Document, child: Document) -> Document:
    """Return the parent's document with the child's fields over it; every span keeps its file."""
    spans = dict(parent.spans)
    keys = dict(parent.keys)

    def over(base: Mapping[str, Any], new: Mapping[str, Any], path: Path_) -> dict[str, Any]:
        result = dict(base)
        for key, value in new.items():
            place = (*path, key)
            both = isinstance(base.get(key), dict) and isinstance(value, dict)
            if not both:
                for known in (spans, keys):
                    for old in [p for p in known if p[: len(place)] == place]:
                        del known[old]
            result[key] = over(base[key], value, place) if both else value
        return result

    value = over(parent.value, child.value, ())
    spans.update(child.spans)
    keys.update(child.keys)
    return Document(child.file, value, spans, keys, child.lines)
