"""Makes the table of what was done to the data before any model saw it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from runtime.intake import totals
from runtime.report.tables import Cell, Table
from runtime.report.views import Names

CAPTION = "What was done to the data"

_HEAD = (
    "Task", "Split", "Lang.", "Rows used", "Left out, and why", "Answers moved", "Answers cut",
    "Labels that no row has", "Labels by place", "Unknown tokens",
)  # fmt: skip


def data_table(entries: Sequence[Mapping[str, Any]], names: Names) -> Table:
    """Return a row for each split in a language that has something to say, and their sums."""
    rows = [_row(entry, names) for entry in entries]
    if rows:
        rows.append(_sums(totals([dict(entry) for entry in entries])))
    return Table(CAPTION, _HEAD, tuple(rows), stubs=3)


def _row(entry: Mapping[str, Any], names: Names) -> tuple[Cell, ...]:
    share = f"{100 * entry['unknown']:.2g} %" if entry["unknown"] else ""
    return (
        Cell(names.tasks.get(entry["task"], entry["task"])),
        Cell(entry["split"]),
        Cell(entry["language"]),
        Cell(f"{entry['rows']:,}", numeric=True),
        Cell(_reasons(entry["dropped"])),
        _count(entry["moved"]),
        _count(entry["cut"]),
        Cell(", ".join(entry["absent"])),
        _count(entry["placed"]),
        Cell(share, names.models.get(entry["model"], "") if share else "", numeric=True),
    )


def _sums(found: Mapping[str, Any]) -> tuple[Cell, ...]:
    dropped = _reasons(found["dropped"])
    splits = found["splits_with_absent_labels"]
    return (
        Cell("All of these"),
        Cell(""),
        Cell(""),
        Cell("", numeric=True),
        Cell(dropped, f"{found['test_rows_dropped']:,} of them test rows" if dropped else ""),
        _count(found["moved"]),
        _count(found["cut"]),
        Cell(f"in {splits} {'split' if splits == 1 else 'splits'}" if splits else ""),
        _count(found["placed"]),
        Cell("", numeric=True),
    )


def _reasons(dropped: Mapping[str, int]) -> str:
    return "; ".join(f"{rows:,} ({reason})" for reason, rows in sorted(dropped.items()))


def _count(number: int) -> Cell:
    return Cell(f"{number:,}" if number else "", numeric=True)
