"""The verbs that turn scores into answers: report, scores, analyse."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from runtime.terminal import Build, StoreAt, Study, screen, write


def report(
    study: Annotated[
        Path | None, typer.Argument(help="The study file (YAML).", show_default=False)
    ] = None,
    build: Build = Path("build"),
    store: StoreAt = None,
    as_of: Annotated[
        str | None,
        typer.Option(help="A date or time: only what was finished by then. UTC without a zone."),
    ] = None,
    compare: Annotated[
        tuple[str, str] | None,
        typer.Option(
            metavar="A B", help="Two studies, or with STUDY two dates or times, side by side."
        ),
    ] = None,
) -> int:
    """Write the report again, from the store alone; or compare two."""
    from runtime import conduct
    from runtime.past import moment
    from runtime.store import Store

    dates = [text for text in (as_of, *(compare if compare and study else ())) if text is not None]
    try:
        for text in dates:
            moment(text)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None
    if compare is not None:
        if study is not None and as_of is not None:
            raise typer.BadParameter("give the two dates to --compare, and no --as-of")
        studies = (study, study) if study else (Path(compare[0]), Path(compare[1]))
        times = compare if study else (as_of, as_of)
        conduct.compare(studies, times, build, store, screen())
        return 0
    if study is None:
        raise typer.BadParameter("name a study, or two with --compare")
    made = conduct.plan_to_report(study, build)
    kept = Store(store or build / "store")
    folder = conduct.output_folder(made, build, store)
    conduct.report(made, kept, folder, screen(), study, as_of)
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
