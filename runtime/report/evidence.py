"""The section of published scores: each protocol by itself, beside this study's own."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import polars as pl

from runtime.analysis.estimate import Estimate, Findings
from runtime.analysis.grid import DIRECT
from runtime.analysis.series import Series
from runtime.coding import spelled
from runtime.report.sections import Section
from runtime.report.tables import Cell, Table
from runtime.report.views import Names
from runtime.report.wording import counted, interval, listing, number, parameters, score

SUBSETS = {
    "all": "all but English",
    "seen": "seen in pretraining",
    "unseen": "not seen in pretraining",
}
TEXT = (
    "Published scores, as they stand in their sources. A series is what one publication measured "
    "by one protocol; series are shown side by side and never joined, with each other or with runs "
    "of this study: a protocol alone can move a score by more than a size does. Estimates are "
    "within a series, for each intermediate over the sizes that have both arms. English is left "
    "out of averages. Where a source tells no seeds, nothing can be said about new ones (L1)."
)


@dataclass(frozen=True, slots=True)
class Shown:
    """A series and what it shows by itself."""

    series: Series
    estimates: tuple[Estimate, ...]


def evidence_section(
    shown: Sequence[Shown], names: Names, findings: Findings, *, alone: bool
) -> Section | None:
    """Return the section; None where a study has no published scores.

    ``alone`` says that the study has no runs: its report is about the first series.
    """
    if not shown:
        return None
    letters = [chr(65 + i) if i < 26 else f"S{i + 1}" for i in range(len(shown))]
    gains = [t for letter, one in zip(letters, shown, strict=True) for t in _gains(letter, one)]
    start = f"{counted(len(shown), 'series', 'series')}. "
    if alone:
        start += "All of this report is about series A; this section shows each by itself. "
    own = None if alone else spelled(findings.scores)
    return Section(
        "evidence",
        "Published scores",
        start + TEXT,
        (series_table(letters, shown), *gains),
        (beside_table(letters, shown, names, own),),
    )


def series_table(letters: Sequence[str], shown: Sequence[Shown]) -> Table:
    """What each series is: protocol, source, numbers, and the digest of its table."""
    rows = []
    for letter, one in zip(letters, shown, strict=True):
        s = one.series
        used = s.frame.height - s.left_out
        out = f"{s.left_out} in no estimate" if s.left_out else "all in estimates"
        verified = int((s.frame["verified"].fill_null("") == "yes").sum())
        rows.append(
            (
                Cell(letter, s.title),
                Cell(s.protocol),
                Cell("", s.source),
                Cell(str(s.frame.height), f"{used} used; {verified} verified", out, numeric=True),
                Cell("", f"{s.label}, sha256 {s.digest[:16]}"),
            )
        )
    head = ("Series", "Protocol", "Source", "Scores", "Table")
    return Table("Series of published scores", head, tuple(rows))


def _gains(letter: str, one: Shown) -> Iterator[Table]:
    """Yield the gains of a series, and their change between its sizes."""
    found = one.estimates
    means = one.series.frame["language"].unique().to_list() == ["avg"]
    words_of = SUBSETS | ({"all": "the published mean"} if means else {})
    sizes = dict(one.series.sized.select("model", "params_total").iter_rows())
    rows = []
    for arm, subset in dict.fromkeys((e.arm, e.subset) for e in found):
        mine = [e for e in found if (e.arm, e.subset) == (arm, subset)]
        for e in mine:
            if e.estimand != "gain" or e.level != "L2" or e.model == "*":
                continue
            size = f"{e.model}, {parameters(sizes[e.model])}"
            rows.append(_line(arm, words_of[subset], size, (e,)))
        for estimand, words in (
            ("difference", "larger minus smaller"),
            ("slope", "per tenfold parameters"),
        ):
            levels = tuple(e for e in mine if e.estimand == estimand)
            if levels:
                rows.append(_line(arm, words_of[subset], words, levels))
    if rows:
        head = ("Intermediate", "Languages", "Size", "Gain", "L1", "L2", "L3")
        caption = f"Series {letter}: gain over {one.series.direct}, in points"
        yield Table(caption, head, tuple(rows), stubs=3)


def _line(arm: str, languages: str, size: str, levels: Sequence[Estimate]) -> tuple[Cell, ...]:
    by = {e.level: e for e in levels}
    first = levels[0]
    cells = []
    for level in ("L1", "L2", "L3"):
        e = by.get(level)
        if e is not None:
            why = e.reason if e.lo is None else f"{e.method}; df {e.df:.3g}"
            cells.append(Cell(interval(e.lo, e.hi), "", why, numeric=True))
        elif len(levels) == 1:
            none = "one run of each" if level == "L1" and first.n_seeds < 2 else ""
            cells.append(Cell("not estimable" if none else "", "", none, numeric=True))
        else:
            cells.append(Cell(""))
    counts = f"{counted(first.n_tasks, 'task')}, {counted(first.n_languages, 'language')}"
    return (
        Cell(arm),
        Cell(languages, counts),
        Cell(size),
        Cell(number(first.estimate), numeric=True),
        *cells,
    )


def beside_table(
    letters: Sequence[str], shown: Sequence[Shown], names: Names, own: pl.DataFrame | None
) -> Table:
    """Mean scores by model, intermediate and target: this study's and each series', side by side.

    A published mean is over the languages that its source gives, an own one over the same ones
    where these are named, else over all that were scored.
    """
    keys: dict[tuple[str, str, str, str], None] = {}
    columns: list[Mapping[tuple[str, str, str, str], tuple[float, tuple[str, ...]]]] = []
    for one in shown:
        column = {}
        for r in _means(one.series.frame).to_dicts():
            place = (r["model"], r["arm"], r["target"], r["metric"])
            column[place] = (r["value"], tuple(r["languages"]))
            keys.setdefault(place)
        columns.append(column)
    rows = []
    for place in sorted(keys, key=lambda k: (k[2], k[0], k[1] != DIRECT, k[1], k[3])):
        model, arm, target, metric = place
        held = [column.get(place) for column in columns]
        cells = [
            Cell("") if x is None else Cell(score(x[0]), _languages(x[1]), numeric=True)
            for x in held
        ]
        mine = []
        if own is not None:
            codes = next(x[1] for x in held if x is not None)
            mine = [_own(own, model, arm, target, codes)]
        rows.append(
            (
                Cell(names.tasks.get(target, target), metric),
                Cell(names.models.get(model, model)),
                Cell("none" if arm == DIRECT else names.arms.get(arm, arm)),
                *mine,
                *cells,
            )
        )
    head = ("Target", "Model", "Intermediate", *([] if own is None else ["This study"]), *letters)
    return Table("Scores side by side, by protocol", head, tuple(rows), stubs=3)


def _own(own: pl.DataFrame, model: str, arm: str, target: str, codes: Sequence[str]) -> Cell:
    rows = own.filter(
        (pl.col("model") == model) & (pl.col("arm") == arm) & (pl.col("target") == target)
        & pl.col("value").is_not_null()
    )  # fmt: skip
    named = rows.filter(pl.col("language").is_in(list(codes)))
    rows = named if named.height else rows
    if not rows.height:
        return Cell("")
    by_language = rows.group_by("language").agg(pl.col("value").mean())
    value = by_language["value"].mean()
    note = f"{counted(by_language.height, 'language')}, {counted(rows['seed'].n_unique(), 'seed')}"
    return Cell(score(float(str(value))), note, numeric=True)


def _means(frame: pl.DataFrame) -> pl.DataFrame:
    return (
        frame.filter(pl.col("value").is_not_null())
        .group_by("model", "arm", "target", "metric", maintain_order=True)
        .agg(pl.col("value").mean(), pl.col("language").unique().sort().alias("languages"))
    )


def _languages(codes: Sequence[str]) -> str:
    return listing(list(codes)) if len(codes) < 3 else counted(len(codes), "language")


def limits(one: Series, findings: Findings) -> tuple[str, ...]:
    """Say what a report of published scores alone cannot support."""
    head = findings.headline
    found = list(one.limitations)
    if findings.counts["seeds"] < 2:
        found.append("L1 is not estimable: no score is given for more than one run.")
    if findings.counts["models"] < 3:
        found.append(
            f"L3 is not estimable: {counted(findings.counts['models'], 'size')} leave nothing to "
            "tell size from what is particular to each checkpoint."
        )
    found.append(
        f"{head.level} generalises to other tasks and languages like these "
        f"{counted(head.n_tasks, 'task')} and {counted(head.n_languages, 'language')}, by the same "
        "checkpoints and the same protocol."
    )
    return tuple(dict.fromkeys(found))


def plain(shown: Sequence[Shown]) -> list[dict[str, Any]]:
    """Return the series as report.json has them; their scores are in evidence.parquet."""
    return [
        {
            "label": one.series.label,
            "title": one.series.title,
            "protocol": one.series.protocol,
            "source": one.series.source,
            "citation": one.series.citation,
            "digest": one.series.digest,
            "limitations": list(one.series.limitations),
            "scores": one.series.frame.height,
            "left_out": one.series.left_out,
            "estimates": [asdict(e) for e in one.estimates],
        }
        for one in shown
    ]


def table_bytes(shown: Sequence[Shown]) -> bytes:
    """Return every published score as Parquet, with the set, protocol and source it is of."""
    frames = [one.series.frame.with_columns(pl.lit(one.series.label).alias("set")) for one in shown]
    buffer = io.BytesIO()
    pl.concat(frames).write_parquet(buffer, compression="zstd", compression_level=3)
    return buffer.getvalue()
