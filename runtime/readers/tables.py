"""Reads tables: comma- or tab-separated text with a header, and Parquet."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from runtime.invalid import DataInvalid, damaged
from runtime.readers.lines import lines

_LONGEST = 2**31 - 1
"""Characters of a field: the module's own limit of 131,072 is below a long document."""

_BATCH = 2048
"""Rows of Parquet that are turned into Python values at a time."""


def separated(path: Path, separator: str) -> Iterator[dict[str, str]]:
    """Yield the rows of a table with a header; all values are texts.

    A comma-separated field may stand in quotation marks, and then hold commas and line ends. In a
    tab-separated one a quotation mark is a character like any other, and so is a carriage return:
    code that takes the one for more loses rows of PAWS-X.
    """
    csv.field_size_limit(_LONGEST)
    place = [0]

    def texts() -> Iterator[str]:
        for place[0], line in lines(path):
            yield f"{line}\n"

    reader: Iterator[list[str]]
    if separator == "\t":  # the module takes a carriage return inside a field for the end of a line
        reader = (line[:-1].split("\t") if line[:-1] else [] for line in texts())
    else:
        reader = csv.reader(texts(), delimiter=separator, strict=True)
    header: list[str] | None = None
    try:
        for row in reader:
            if header is None:
                header = _header(row, path, place[0])
            elif row and len(row) != len(header):
                what = f"expected {len(header)} columns, found {len(row)}"
                raise damaged(path, place[0], what)
            elif row:
                yield dict(zip(header, row, strict=True))
    except csv.Error as error:
        raise damaged(path, place[0], f"{error}; is the file cut off?") from error
    if header is None:
        raise DataInvalid(f"{path}: the file is empty; its first line names the columns")


def parquet(path: Path) -> Iterator[dict[str, Any]]:
    """Yield the rows of a Parquet file, a batch in memory at a time."""
    import pyarrow
    import pyarrow.parquet

    try:
        with pyarrow.parquet.ParquetFile(path) as file:
            for batch in file.iter_batches(batch_size=_BATCH):
                yield from batch.to_pylist()
    except (OSError, pyarrow.ArrowException) as error:
        raise DataInvalid(f"{path} cannot be read as Parquet: {error}") from error


def label_names(path: Path) -> dict[str, tuple[str, ...]]:
    """Return the label names that a Parquet file written by `datasets` keeps, by column."""
    import pyarrow
    import pyarrow.parquet

    try:
        kept = pyarrow.parquet.read_schema(path).metadata or {}
    except (OSError, pyarrow.ArrowException) as error:
        raise DataInvalid(f"{path} cannot be read as Parquet: {error}") from error
    features = json.loads(kept.get(b"huggingface", b"{}")).get("info", {}).get("features", {})
    found = {column: _names(feature) for column, feature in features.items()}
    return {column: names for column, names in found.items() if names}


def _names(feature: Any) -> tuple[str, ...]:
    """Return the names of a class label, or of the class labels in a list; () for others."""
    while isinstance(feature, dict) and "names" not in feature:
        feature = feature.get("feature")
    if isinstance(feature, list):
        return _names(feature[0]) if feature else ()
    return tuple(feature["names"]) if isinstance(feature, dict) else ()


def _header(row: list[str], path: Path, line: int) -> list[str]:
    twice = {name for name in row if row.count(name) > 1}
    if not row or twice or "" in row:
        what = f"`{min(twice)}` is there twice" if twice else "a column has no name"
        raise damaged(path, line, f"the first line names the columns, and {what}")
    return row
