"""Coding: the names that repeat in a score table, kept as numbers within and spelled when shown."""

from __future__ import annotations

import polars as pl

NAMES = ("panel", "model", "family", "arm", "target", "language", "metric", "status", "flags")
"""Columns of few different names. Rows are grouped, joined and filtered by them throughout; as
numbers that takes a third of the time, and a table of a million scores half of the memory."""


def coded(frame: pl.DataFrame) -> pl.DataFrame:
    """Return a frame whose names are categories: they sort and compare as the texts they are."""
    return frame.with_columns(pl.col(_of(frame, pl.String)).cast(pl.Categorical))


def spelled(frame: pl.DataFrame) -> pl.DataFrame:
    """Return a frame whose names are texts again, as files have them."""
    return frame.with_columns(pl.col(_of(frame, pl.Categorical)).cast(pl.String))


def _of(frame: pl.DataFrame, kind: type[pl.DataType]) -> list[str]:
    return [name for name in NAMES if name in frame.columns and frame.schema[name] == kind]
