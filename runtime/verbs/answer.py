"""The verbs that turn scores into answers: report, scores, analyse."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from runtime.terminal import Build, StoreAt, Study, screen, write


def report(study: Study, build: Build = Path("build"), store: StoreAt = None) -> int:
    """Write the report again, from the store alone."""
    from runtime import conduct
    from runtime.store import Store

    made = conduct.plan_to_report(study, build)
    kept = Store(store or build / "store")
    conduct.report(made, kept, conduct.output_folder(made, build, store), screen(), study)
    return 0


def scores(
    study: Study,
    build: Build = Path("build"),
    store: StoreAt = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", help="A .csv, .parquet or .arrow file; default: CSV here."),
    ] = None,
) -> int:
    """Write every score of a study as a tidy table: a row for each, finished or not.

    Of a study of published scores alone these are the published ones, with protocol and source.
    """
    from compiler.render import atomic_write, unwritable
    from runtime import conduct, published, tidy
    from runtime.collect import collect
    from runtime.store import Store

    made = conduct.plan_to_report(study, build)
    alone = published.alone(made)
    table = tidy.table(collect(made, Store(store or build / "store")) if alone is None else alone)
    if out is None:
        write([tidy.written(table, ".csv").decode("utf-8")])
        return 0
    content = tidy.written(table, out.suffix)
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        atomic_write(out, content)
    except OSError as error:
        raise unwritable(out.parent, error) from error
    typer.echo(f"{table.height} scores: {out}")
    return 0


def analyse(
    scores: Annotated[Path, typer.Argument(help="CSV or Parquet.", show_default=False)],
    analysis: Annotated[
        Path | None, typer.Option(help="YAML: the analysis block of a study.")
    ] = None,
    build: Build = Path("build"),
) -> int:
    """Make the same report from any tidy table of scores."""
    from runtime import conduct

    conduct.analyse_table(scores, analysis, build, screen())
    return 0
