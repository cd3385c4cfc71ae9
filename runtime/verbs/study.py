"""The verbs that read a study and change nothing: check, plan, power, explain, diff."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from runtime.terminal import Build, StoreAt, Study, TableOrJson, screen, show, write

if TYPE_CHECKING:
    from compiler.resolve import Resolved


def check(
    study: Study,
    form: Annotated[
        Literal["text", "json", "github"],
        typer.Option("--format", help="Text, a JSON list, or GitHub's workflow commands."),
    ] = "text",
) -> int:
    """Validate a study: every finding with its line, nothing is written."""
    from compiler.check import check as look
    from compiler.display import findings_github, findings_json, print_diagnostics
    from compiler.errors import Diagnostic, ReportImpossible, StudyInvalid

    if form != "text":
        code = 0
        try:
            resolved = look(study)
            found = list(resolved.diagnostics)
            _verify(resolved)
        except StudyInvalid as error:
            found, code = list(error.diagnostics), error.exit_code
        except ReportImpossible as wrong:
            found.append(Diagnostic(wrong.code, "error", wrong.what, wrong.hint, None))
            code = wrong.exit_code
        written = findings_json(found) if form == "json" else findings_github(found)
        if written:
            typer.echo(written)
        return code
    resolved = look(study)
    _verify(resolved)
    console = screen()
    print_diagnostics(console, resolved.diagnostics)
    console.print(f"{study}: no errors", soft_wrap=True, markup=False, highlight=False)
    return 0


def _verify(resolved: Resolved) -> None:
    """Read the tables of published scores, whose rows are checked by what reads them."""
    if resolved.evidence:
        from runtime.published import verify

        verify(resolved.evidence)


def plan(
    study: Study,
    build: Build = Path("build"),
    store: StoreAt = None,
    form: Annotated[
        Literal["table", "json", "mermaid", "dot"],
        typer.Option("--format", help="Tables, plan.json, or a graph of the stages."),
    ] = "table",
    cells: Annotated[
        bool, typer.Option("--cells", help="One row a cell, separated by tabs.")
    ] = False,
) -> int:
    """Show what would run: the design, the stages, what is done already. Nothing is written."""
    from compiler import formats
    from compiler.display import plan_view
    from runtime import conduct
    from runtime.recorded import measured
    from runtime.states import states
    from runtime.store import Store

    made = conduct.expanded(study)
    if cells or form == "table":
        kept = Store(store or build / "store")
        found, missing = states(kept, made)
        if cells:
            write(formats.chunks(formats.cells(made, found, missing)))
        else:
            takes = measured(kept, made, found)
            outlook = conduct.outlook(made, study, takes=takes)
            screen().print(plan_view(made, found, outlook, takes))
    elif form == "json":
        write([conduct.calibrated(made, build, store).to_json()])
    else:
        write([formats.mermaid(made) if form == "mermaid" else formats.dot(made)])
    return 0


def power(
    study: Study,
    pilot: Annotated[
        Path | None, typer.Option(help="A report.json whose measured noise is taken.")
    ] = None,
    build: Build = Path("build"),
    store: StoreAt = None,
    form: TableOrJson = "table",
) -> int:
    """Say which slope a study could detect at each level, and what would buy most per hour."""
    from compiler.display import power_view
    from runtime import conduct
    from runtime.recorded import measured
    from runtime.states import states
    from runtime.store import Store

    made, kept = conduct.expanded(study, installed=False), Store(store or build / "store")
    takes = measured(kept, made, states(kept, made)[0])
    found = conduct.outlook(made, study, pilot, takes)
    show(power_view(found), found.body() if form == "json" else None)
    return 0


def explain(
    study: Study,
    stage: Annotated[str, typer.Argument(help="Its key, or a part of it.", show_default=False)],
    build: Build = Path("build"),
    store: StoreAt = None,
) -> int:
    """Say what made the key of a stage, who needs it, and why it will run again or not."""
    from compiler.explain import explain as text_of
    from compiler.explain import find
    from compiler.plan import load
    from runtime import conduct
    from runtime.states import seen
    from runtime.store import Store

    made = conduct.expanded(study, installed=False)
    key = find(made, stage)
    compiled = build / made.name / "plan.json"
    former = load(compiled) if compiled.is_file() else None
    write([text_of(made, key, seen(Store(store or build / "store"), made, key, former))])
    return 0


def diff(
    before: Annotated[Path, typer.Argument(help="A study, or a plan.json.", show_default=False)],
    after: Annotated[Path, typer.Argument(help="What it became.", show_default=False)],
    build: Build = Path("build"),
    store: StoreAt = None,
    form: TableOrJson = "table",
) -> int:
    """Compare two studies or plans: what is added, dropped, kept, and re-keyed by which field."""
    from compiler.diff import compare
    from compiler.errors import PlanInvalid
    from compiler.formats import diff_view
    from runtime import conduct
    from runtime.states import seconds
    from runtime.store import Store

    if before.resolve() == after.resolve():
        raise PlanInvalid(
            "P005",
            "a plan is compared with itself",
            where=str(before),
            hint="compile first, change the study, then: stiltscale diff "
            "build/<study>/plan.json STUDY",
        )
    old, new = conduct.study_or_plan(before), conduct.study_or_plan(after)
    found = compare(old, new, seconds(Store(store or build / "store"), (old, new)))
    show(diff_view(found), found.body() if form == "json" else None)
    return 0
