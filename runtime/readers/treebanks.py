"""Reads tagged sentences: CoNLL-U, and the leaves of CCGbank's derivations."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from runtime.invalid import damaged
from runtime.readers.lines import lines

COLUMNS = ("id", "form", "lemma", "upos", "xpos", "feats", "head", "deprel", "deps", "misc")
"""The ten columns of CoNLL-U (universaldependencies.org/format.html)."""

_KEPT = {"form": 1, "lemma": 2, "upos": 3, "xpos": 4}
_SENTENCE = re.compile(r"ID=(\S+)")
_LEAF = re.compile(r"\(<L (\S+) (\S+) (\S+) (\S+) (\S+)>\)")


def conllu(path: Path) -> Iterator[dict[str, list[str]]]:
    """Yield the sentences of a CoNLL-U file as lists: form, lemma, upos, xpos.

    A multiword token is read as its words, each with a line of its own; empty nodes (8.1) are
    skipped, since no tag is predicted for them. Words count from 1 without gaps and an empty line
    ends every sentence, the last one too: a file that is cut off between words shows by that.
    """
    words: list[list[str]] = []
    number = 0
    for number, line in lines(path):
        if not line.strip():
            if words:
                yield _sentence(words)
            words = []
        elif not line.startswith("#"):
            fields = line.split("\t")
            if len(fields) != len(COLUMNS):
                what = f"expected {len(COLUMNS)} columns of CoNLL-U, found {len(fields)}"
                raise damaged(path, number, what)
            if "-" in fields[0] or "." in fields[0]:
                continue
            if fields[0] != str(len(words) + 1):
                what = f"expected word {len(words) + 1} of the sentence, found {fields[0]!r}"
                raise damaged(path, number, what)
            words.append(fields)
    if words:
        raise damaged(path, number, "the file ends inside a sentence: is it cut off?")


def ccgbank(path: Path) -> Iterator[dict[str, str | list[str]]]:
    """Yield the sentences of a CCGbank .auto file: id, tokens, tags (categories), pos.

    Each sentence is a line ``ID=...`` and the line of its derivation, whose leaves are
    ``(<L category pos pos word category>)``.
    """
    name: str | None = None
    number = 0
    for number, line in lines(path):
        if not line.strip():
            continue
        if name is None:
            found = _SENTENCE.match(line)
            if found is None:
                raise damaged(path, number, "expected a line that begins with ID=")
            name = found.group(1)
            continue
        leaves = _LEAF.findall(line)
        rest = _LEAF.sub("", line)
        if not leaves or rest.count("(") != rest.count(")") or "<L" in rest:
            raise damaged(path, number, f"the derivation of {name} is not whole")
        yield {
            "id": name,
            "tokens": [leaf[3] for leaf in leaves],
            "tags": [leaf[0] for leaf in leaves],
            "pos": [leaf[1] for leaf in leaves],
        }
        name = None
    if name is not None:
        raise damaged(path, number, f"the derivation of {name} is missing: is the file cut off?")


def _sentence(words: list[list[str]]) -> dict[str, list[str]]:
    return {column: [word[place] for word in words] for column, place in _KEPT.items()}
