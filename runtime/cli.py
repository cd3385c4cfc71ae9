"""The command line: every verb by its name, in the order of `--help`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from runtime.terminal import verb
from runtime.verbs import answer, author, catalog, execute, seeing, store, study

app = typer.Typer(
    help="Compile, run and report studies of size effects in cross-lingual transfer.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)


def told(asked: bool) -> None:
    """Print the version and end, when that is all that is asked."""
    if asked:
        import importlib.metadata

        typer.echo(f"stiltscale {importlib.metadata.version('stiltscale')}")
        raise typer.Exit


@app.callback(help=app.info.help)
def about(
    version: Annotated[
        bool,
        typer.Option("--version", callback=told, is_eager=True, help="Print the version and end."),
    ] = False,
) -> None:
    """Take the options that stand before any verb."""


def main() -> None:
    """Run the command line."""
    app()


def schema(
    kind: Annotated[
        str,
        typer.Argument(
            help="study, task, corpus, family, benchmark, recipe, device, languages, cluster, "
            "plan or record.",
        ),
    ] = "study",
    write: Annotated[
        bool, typer.Option("--write", help="Write all of specs/ and docs/reference/ anew.")
    ] = False,
) -> int:
    """Print the JSON Schema of a kind of file, for editors and other programs."""
    from compiler import catalog, schema, validate
    from compiler.render import atomic_write

    if kind not in (*schema.KINDS, "record"):
        raise typer.BadParameter(f"there is no `{kind}`; {validate.suggest(kind, schema.KINDS)}")
    if kind == "record" and not write:
        from runtime import records

        typer.echo(schema.as_text(records.schema()), nl=False)
        return 0
    if not write:
        typer.echo(schema.as_text(schema.schema(kind, catalog.load())), nl=False)
        return 0
    specs = catalog.specs_folder()
    if specs.name != "specs":
        raise typer.BadParameter("--write is for a checkout; without it, a schema is printed")
    for path, text in generated(specs.parent).items():
        path.parent.mkdir(parents=True, exist_ok=True)
        atomic_write(path, text.encode("utf-8"))
        typer.echo(path.relative_to(specs.parent).as_posix())
    return 0


def generated(root: Path) -> dict[Path, str]:
    """Return every file of a checkout that is made from the code, with its text."""
    from compiler import catalog, reference, schema
    from runtime import manual, records, tidy

    pages = reference.pages() | {"cli.md": manual.cli_page(app)}
    pages["scores.md"] = tidy.page(reference.GENERATED)
    schemas = {root / "specs" / n: text for n, text in schema.files(catalog.load()).items()}
    schemas[root / "specs" / "record.schema.json"] = schema.as_text(records.schema())
    return schemas | {root / "docs" / "reference" / n: text for n, text in pages.items()}


GROUPS: dict[str, tuple[Callable[..., int], ...]] = {
    "A study, from first to last": (
        author.init,
        study.check,
        study.plan,
        study.power,
        execute.run,
        seeing.status,
        answer.report,
        answer.scores,
    ),
    "While it runs, and when something fails": (
        seeing.why,
        seeing.logs,
        seeing.retry,
        seeing.serve,
        execute.cancel,
    ),
    "What there is to choose from": (
        catalog.tasks,
        catalog.models,
        catalog.languages,
        catalog.recipes,
        catalog.corpora,
        catalog.benchmarks,
        catalog.hardware,
        catalog.fit,
    ),
    "Further": (
        study.diff,
        study.explain,
        execute.compile_,
        execute.pilot,
        author.lock,
        author.fetch,
        answer.analyse,
        catalog.trace,
        schema,
    ),
}
"""The verbs by when they are wanted, each under its heading of `--help`."""

for heading, functions in GROUPS.items():
    for function in functions:
        name = function.__name__.rstrip("_")
        app.command(name=name, rich_help_panel=heading)(verb(function))

app.add_typer(store.app, name="store", rich_help_panel="Further")


if __name__ == "__main__":
    main()
