"""Reads the three files of a mining task: two texts and the pairs that are in both (BUCC)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from compiler.data import bitext_sides
from runtime.invalid import damaged
from runtime.readers.lines import lines


def bucc(gold: Path, language: str) -> Iterator[dict[str, Any]]:
    """Yield every sentence of both sides: id, side, text, matches.

    ``gold`` holds a foreign and an English id a line; beside it lie the texts, ``.xx`` and ``.en``
    in its place, with an id and a sentence a line. The foreign sentences come first. Sentences with
    a tab keep it.
    """
    foreign, english = (Path(side) for side in bitext_sides(str(gold), language))
    sources, targets = _texts(foreign), _texts(english)
    matches: dict[str, list[str]] = {}
    for number, line in lines(gold):
        ids = line.split("\t")
        if len(ids) != 2:
            raise damaged(gold, number, f"expected two ids, found {len(ids)}")
        source, target = ids
        for one, side, name in ((source, sources, foreign), (target, targets, english)):
            if one not in side:
                raise damaged(gold, number, f"{name.name} has no sentence {one!r}")
        if target in matches.get(source, ()):
            raise damaged(gold, number, f"the pair {source} and {target} is there twice")
        matches.setdefault(source, []).append(target)
    for one, text in sources.items():
        yield {"id": one, "side": "source", "text": text, "matches": matches.get(one, [])}
    for one, text in targets.items():
        yield {"id": one, "side": "target", "text": text, "matches": []}


def _texts(path: Path) -> dict[str, str]:
    texts: dict[str, str] = {}
    for number, line in lines(path):
        one, tab, text = line.partition("\t")
        if not tab:
            raise damaged(path, number, "expected an id and a sentence, found one column")
        if one in texts:
            raise damaged(path, number, f"the id {one!r} is there twice")
        texts[one] = text
    return texts
