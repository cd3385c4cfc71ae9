"""What every verb shares: common options, consoles, and errors as text."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

if TYPE_CHECKING:
    from rich.console import Console

Study = Annotated[Path, typer.Argument(help="The study file (YAML).", show_default=False)]
Build = Annotated[Path, typer.Option(help="Folder of the output.")]
StoreAt = Annotated[Path | None, typer.Option("--store", help="Default: BUILD/store.")]
CatalogAt = Annotated[Path | None, typer.Option("--catalog", help="A folder of your own entries.")]
ClusterAt = Annotated[
    Path | None, typer.Option("--cluster", help="Settings of the cluster (YAML), over the study's.")
]
TableOrJson = Annotated[Literal["table", "json"], typer.Option("--format", help="How to write it.")]


def verb(function: Callable[..., int]) -> Callable[..., None]:
    """Turn the errors of our tree into their text and exit code."""

    @wraps(function)
    def run(*args: Any, **kwargs: Any) -> None:
        from compiler.display import print_diagnostics
        from compiler.errors import StiltscaleError, StudyInvalid

        try:
            code = function(*args, **kwargs)
        except StudyInvalid as error:
            print_diagnostics(screen(stderr=True), error.diagnostics)
            code = error.exit_code
        except StiltscaleError as error:
            from runtime.records import printable

            text = printable(str(error))  # it may quote data, or what is in a store
            screen(stderr=True).print(text, soft_wrap=True, markup=False, highlight=False)
            code = error.exit_code
        except KeyboardInterrupt:
            screen(stderr=True).print(
                "stopped; finished stages are kept. Run the same command to go on."
            )
            code = 130
        raise typer.Exit(code)

    return run


def show(view: Any, body: Any) -> None:
    """Print a view, or a body as JSON when there is one."""
    import json

    if body is None:
        whole_lines().print(view)
    else:
        write([json.dumps(body, indent=1, ensure_ascii=False, allow_nan=False) + "\n"])


def whole_lines() -> Console:
    """Return a console that folds no line when its output is read by a program."""
    import os

    console = screen()
    if not console.is_terminal and "COLUMNS" not in os.environ:
        console.width = 10_000
    return console


def write(texts: Iterable[str]) -> None:
    """Write texts as they are, byte for byte."""
    for text in texts:
        typer.echo(text.encode("utf-8"), nl=False)


def screen(*, stderr: bool = False) -> Console:
    """Return a console that writes to the terminal as it is."""
    from rich.console import Console

    return Console(stderr=stderr)
