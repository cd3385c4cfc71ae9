"""Published scores as series that are never joined, with each other or with own runs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import polars as pl

from compiler.errors import ReportImpossible


@dataclass(frozen=True, slots=True)
class Series:
    """Scores of one publication made by one protocol: what may be compared within itself.

    ``frame`` has the rows that the analysis takes; ``left_out`` counts those without a score,
    without a size, of a target's second metric, or that nobody has verified in their source: these
    are in no estimate.
    """

    label: str
    title: str
    protocol: str
    source: str
    frame: pl.DataFrame
    digest: str = ""
    citation: str = ""
    limitations: tuple[str, ...] = ()
    left_out: int = 0
    direct: str = "direct fine-tuning"

    @property
    def sized(self) -> pl.DataFrame:
        """The rows that can enter an estimate."""
        return usable(self.frame)


def usable(frame: pl.DataFrame) -> pl.DataFrame:
    """Return the rows with a score and a size that somebody has seen in their source.

    Of several metrics of a target the one is taken that the table has first.
    """
    return frame.filter(
        pl.col("value").is_not_null()
        & pl.col("params_total").is_not_null()
        & (pl.col("verified").fill_null("yes") != "no")
        & (pl.col("metric") == pl.col("metric").first().over("target"))
    )


def apart(frame: pl.DataFrame) -> Iterator[tuple[str, str, pl.DataFrame]]:
    """Yield protocol, source and rows of each series of a table, in the table's order."""
    for names, rows in frame.group_by("protocol", "source", maintain_order=True):
        yield str(names[0]), str(names[1]), rows


def one_series(scores: pl.DataFrame) -> None:
    """Refuse scores of several protocols or publications, or published ones beside own.

    Raises ReportImpossible (A007). Own scores have no protocol; one that is joined to published
    ones is an empty entry beside others, and is refused too.
    """
    for name, what in (("protocol", "protocols"), ("source", "publications")):
        if name in scores.columns and scores[name].n_unique() > 1:
            shown = "; ".join(str(x or "own runs") for x in scores[name].unique().sort().head(4))
            raise ReportImpossible(
                "A007", f"scores of several {what} are joined in one series: {shown}",
                hint="estimate each by itself",
            )  # fmt: skip
