"""Reads files of every format that data comes in, record by record."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from compiler.data import FileFormat
from runtime.readers import bitext, entities, objects, tables, treebanks

Record = dict[str, Any]
"""One record as its source has it: a row, a sentence, a question."""


def read(form: FileFormat, path: Path, language: str) -> Iterator[Record]:
    """Yield the records of a file, holding one at a time where its format allows that.

    ``language`` is the foreign one of a bitext. Raises DataInvalid with the file and the line where
    it is damaged: cut off, not UTF-8, with too many or too few columns.
    """
    if form == "json":
        return objects.json_records(path)
    if form == "jsonl":
        return (record for _, record in objects.json_lines(path))
    if form == "squad":
        return objects.questions(path)
    if form == "mewsli":
        return entities.mewsli(path)
    if form == "parquet":
        return tables.parquet(path)
    if form == "conllu":
        return treebanks.conllu(path)
    if form == "ccgbank":
        return treebanks.ccgbank(path)
    if form == "bucc":
        return bitext.bucc(path, language)
    return tables.separated(path, "\t" if form == "tsv" else ",")
