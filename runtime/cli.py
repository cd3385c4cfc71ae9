"""The command line: each verb parses, calls one function of the library, and prints."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from rich.console import Console

    from compiler.plan import Plan

app = typer.Typer(
    help="Compile, run and report studies of size effects in cross-lingual transfer.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)

Study = Annotated[Path, typer.Argument(help="The study file (YAML).", show_default=False)]
Build = Annotated[Path, typer.Option(help="Folder of the output.")]
StoreAt = Annotated[Path | None, typer.Option("--store", help="Default: BUILD/store.")]


def main() -> None:
    """Run the command line."""
    app()


def _verb(function: Callable[..., int]) -> Callable[..., None]:
    """Turn the errors of our tree into their text and exit code."""

    @wraps(function)
    def run(*args: Any, **kwargs: Any) -> None:
        from compiler.display import print_diagnostics
        from compiler.errors import StiltscaleError, StudyInvalid

        try:
            code = function(*args, **kwargs)
        except StudyInvalid as error:
            print_diagnostics(_console(stderr=True), error.diagnostics)
            code = error.exit_code
        except StiltscaleError as error:
            _console(stderr=True).print(str(error), soft_wrap=True, markup=False, highlight=False)
            code = error.exit_code
        except KeyboardInterrupt:
            _console(stderr=True).print(
                "stopped; finished stages are kept. Run the same command to go on."
            )
            code = 130
        raise typer.Exit(code)

    return run


@app.command()
@_verb
def check(study: Study) -> int:
    """Validate a study: every finding with its line, nothing is written."""
    from compiler.check import check as look
    from compiler.display import print_diagnostics

    resolved = look(study)
    console = _console()
    print_diagnostics(console, resolved.diagnostics)
    console.print(f"{study}: no errors", soft_wrap=True, markup=False, highlight=False)
    return 0


@app.command()
@_verb
def plan(study: Study, build: Build = Path("build"), store: StoreAt = None) -> int:
    """Show what would run: the design, the stages, what is done already. Nothing is written."""
    from compiler.display import plan_view
    from runtime.store import Store, status

    made = _plan(study)
    states = status(Store(store or build / "store"), made)
    _console().print(plan_view(made, states))
    return 0


@app.command(name="compile")
@_verb
def compile_(study: Study, build: Build = Path("build"), store: StoreAt = None) -> int:
    """Write plan.json, the launch scripts and their Accelerate configurations."""
    from compiler.render import alone

    made = _plan(study)
    folder = _folder(made, build, store)
    with alone(folder):
        _write(made, folder, build, store)
    _console().print(
        f"{len(made.stages)} stages in {len(made.jobs)} jobs: {folder / 'plan.json'}\n"
        f"run them with `stiltscale run {study}`, or by hand: bash {folder}/launch/<job>.sh",
        soft_wrap=True,
        markup=False,
        highlight=False,
    )
    return 0


@app.command()
@_verb
def run(
    study: Study,
    build: Build = Path("build"),
    store: StoreAt = None,
    parallel: Annotated[
        int | None, typer.Option(min=1, help="Jobs at a time; default: the study's.")
    ] = None,
) -> int:
    """Compile and run what is missing, here; then write the report."""
    import signal

    from compiler.render import alone
    from runtime.scheduler import STOPPING

    for number in STOPPING:  # jobs are asked to stop as by Ctrl-C
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, signal.default_int_handler)
    made = _plan(study)
    folder = _folder(made, build, store)
    with alone(folder):
        return _run(made, folder, study, build, store, parallel)


@app.command()
@_verb
def report(study: Study, build: Build = Path("build"), store: StoreAt = None) -> int:
    """Write the report again, from the store alone."""
    from runtime.store import Store

    made = _plan_to_report(study, build)
    kept = Store(store or build / "store")
    _report(made, kept, _folder(made, build, store), _console(), study)
    return 0


def _plan(study: Path, *, installed: bool = True) -> Plan:
    from compiler.check import check as look
    from compiler.expand import expand

    return expand(look(study, installed=installed))


def _plan_to_report(study: Path, build: Path) -> Plan:
    """Expand the study; where its local data is gone, take the plan as it was compiled."""
    from compiler.errors import StudyInvalid
    from compiler.plan import load
    from compiler.source import read

    try:
        return _plan(study, installed=False)
    except StudyInvalid as error:
        errors = {d.code for d in error.diagnostics if d.severity == "error"}
        if not errors <= {"C303", "C304"}:
            raise
        compiled = build / str(read(study).value["study"]) / "plan.json"
        if not compiled.is_file():
            raise
        return load(compiled)


def _folder(made: Plan, build: Path, store: Path | None) -> Path:
    """Return the folder of a study's output; raises EnvironmentUnready when it is the store's."""
    from compiler.errors import EnvironmentUnready

    folder, at = build / made.name, store or build / "store"
    if at.resolve() in (folder.resolve(), *folder.resolve().parents):
        raise EnvironmentUnready(
            "E006",
            "the output of the study would lie in the store",
            where=str(folder),
            hint="give the study another name, or choose another folder with --build or --store",
        )
    return folder


def _write(made: Plan, folder: Path, build: Path, store: Path | None) -> None:
    from compiler.render import machine, render, write

    at = (store or build / "store").resolve()
    write(render(made) | {"env.sh": machine(sys.executable, at, folder)}, folder)


def _run(
    made: Plan, folder: Path, study: Path, build: Path, store: Path | None, parallel: int | None
) -> int:
    from compiler.errors import StagesFailed, StiltscaleError
    from runtime import progress, scheduler
    from runtime.store import Store, status, sweep

    _write(made, folder, build, store)
    kept = Store((store or build / "store").resolve())
    kept.prepare()
    sweep(kept)
    console = _console()
    codes: dict[str, int] = {}
    todo = scheduler.unfinished(made, kept)
    if todo:
        console.print(f"{made.name}: {len(todo)} of {len(made.jobs)} jobs have work to do")
        with progress.view(console) as tell:
            at_once = parallel or int(made.execution["parallel"])
            codes = scheduler.run(made, folder, kept, at_once, tell)
    else:
        console.print(f"{made.name}: all {len(made.stages)} stages are done, nothing to run")
    states = status(kept, made)
    bad = any(state != "done" for state in states.values())
    try:
        _report(made, kept, folder, console, study)
    except StiltscaleError as error:
        if not bad:
            raise
        console.print(f"no report: {error.what}", soft_wrap=True, markup=False, highlight=False)
    if bad:
        raise StagesFailed(
            "F001",
            _failures(made, kept, states, codes),
            where=str(folder / "logs"),
            hint="read the log of its job, mend the cause, and run the same command again",
        )
    return 0


def _report(made: Plan, store: Any, folder: Path, console: Console, study: Path) -> None:
    from runtime.publish import publish

    written = publish(made, store, folder / "report", f"stiltscale report {study.as_posix()}")
    console.print(f"report: {written}", soft_wrap=True, markup=False, highlight=False)


def _failures(made: Plan, store: Any, states: dict[str, str], codes: dict[str, int]) -> str:
    failed = [key for key, state in states.items() if state == "failed"]
    others = sum(state not in ("done", "failed") for state in states.values())
    lines = [f"{len(failed)} of {len(made.stages)} stages failed, {others} did not run"]
    for key in failed[:5]:
        failure = store.failure(key)
        first = f"{failure.failure_class}: {failure.message}".splitlines()[0][:200]
        lines.append(f"  {key}: {first}" + (f" [{failure.log}]" if failure.log else ""))
    if len(failed) > 5:
        lines.append(f"  and {len(failed) - 5} more")
    died = _died(made, states, codes)
    lines += [f"  job {name} ended early, {how}" for name, how in list(died.items())[:5]]
    if len(died) > 5:
        lines.append(f"  and {len(died) - 5} more jobs")
    return "\n".join(lines)


def _died(made: Plan, states: dict[str, str], codes: dict[str, int]) -> dict[str, str]:
    """Name the jobs that ended without a word: they failed, and left a stage that could have run.

    A job whose inputs failed elsewhere leaves only stages that could not have run.
    """
    from runtime.scheduler import log_of

    found = {}
    for job in made.jobs:
        stages = [made.stages[key] for key in job.stages]
        if not codes.get(job.name) or any(states[stage.key] == "failed" for stage in stages):
            continue
        open_ = [stage for stage in stages if states[stage.key] != "done"]
        if any(all(states[up] == "done" for up in stage.inputs.values()) for stage in open_):
            found[job.name] = f"exit code {codes[job.name]} [{log_of(job.name)}]"
    return found


def _console(*, stderr: bool = False) -> Console:
    from rich.console import Console

    return Console(stderr=stderr)


if __name__ == "__main__":
    main()
