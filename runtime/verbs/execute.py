"""The verbs that run a study, follow it and end it."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from runtime.terminal import Build, ClusterAt, StoreAt, Study, screen

if TYPE_CHECKING:
    from compiler.plan import Plan
    from compiler.site import Site


def compile_(
    study: Study,
    build: Build = Path("build"),
    store: StoreAt = None,
    cluster: ClusterAt = None,
    pilot: Annotated[
        bool, typer.Option("--pilot", help="Those of the study's pilot, in its own folder.")
    ] = False,
) -> int:
    """Write plan.json, the launch scripts and their Accelerate configurations."""
    from compiler.pilot import pilots
    from compiler.render import alone
    from runtime import conduct, launches

    made = conduct.expanded(study)
    made = pilots(made) if pilot else conduct.calibrated(made, build, store)
    verb = "pilot" if pilot else "run"
    folder = conduct.output_folder(made, build, store)
    with alone(folder):
        conduct.write_output(made, folder, build, store, conduct.site_of(made, cluster))
        launches.verify(made, folder)
    screen().print(
        f"{len(made.stages)} stages in {len(made.jobs)} jobs: {folder / 'plan.json'}\n"
        f"run them with `stiltscale {verb} {study}`, or by hand: bash {folder}/launch/<job>.sh;\n"
        f"on Slurm with `--engine slurm`, or by hand: bash {folder}/submit.sh",
        soft_wrap=True,
        markup=False,
        highlight=False,
    )
    return 0


def run(
    study: Study,
    build: Build = Path("build"),
    store: StoreAt = None,
    parallel: Annotated[
        int | None, typer.Option(min=1, help="Jobs at a time; default: the study's.")
    ] = None,
    engine: Annotated[
        Literal["local", "slurm"], typer.Option(help="This machine, or a cluster's queue.")
    ] = "local",
    cluster: ClusterAt = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only ask Slurm whether it would take every script.")
    ] = False,
    detach: Annotated[
        bool, typer.Option("--detach", help="Submit to Slurm, and do not wait.")
    ] = False,
) -> int:
    """Compile and run what is missing, here or on Slurm; then write the report."""
    import signal

    from compiler.render import alone
    from runtime import conduct
    from runtime.abilities import refuse_unknown
    from runtime.scheduler import STOPPING

    for number in STOPPING:  # jobs are asked to stop as by Ctrl-C
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, signal.default_int_handler)
    _fitting(engine, parallel, cluster or dry_run or detach)
    made = conduct.expanded(study)
    if not dry_run:
        refuse_unknown(made, engine)
    folder = conduct.output_folder(made, build, store)
    with alone(folder):
        if engine == "slurm":
            site = conduct.site_of(made, cluster)
            if dry_run:
                limited = conduct.calibrated(made, build, store)
                conduct.rehearse(limited, folder, build, store, site, screen())
                return 0
            return on_slurm(made, folder, study, build, store, site, detach=detach)
        conduct.conduct(made, folder, study, build, store, parallel, screen())
    return 0


def on_slurm(
    made: Plan,
    folder: Path,
    study: Path,
    build: Path,
    store: Path | None,
    site: Site,
    *,
    detach: bool = False,
    jobs: Collection[str] | None = None,
) -> int:
    """Submit what is missing, or some jobs of it, and follow them; Ctrl-C only stops following."""
    from runtime import conduct

    try:
        conduct.on_cluster(made, folder, study, build, store, site, detach, screen(), jobs)
    except KeyboardInterrupt:
        return _left()
    return 0


def pilot(
    study: Study,
    build: Build = Path("build"),
    store: StoreAt = None,
    parallel: Annotated[
        int | None, typer.Option(min=1, help="Jobs at a time; default: the study's.")
    ] = None,
    engine: Annotated[
        Literal["local", "slurm"], typer.Option(help="This machine, or a cluster's queue.")
    ] = "local",
    cluster: ClusterAt = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only ask Slurm whether it would take every script.")
    ] = False,
    detach: Annotated[
        bool, typer.Option("--detach", help="Submit to Slurm, and do not wait.")
    ] = False,
) -> int:
    """Train each kind of training of each size for some steps, so that plans know their pace."""
    from compiler.pilot import pilots
    from compiler.render import alone
    from runtime import conduct
    from runtime.abilities import refuse_unknown

    _fitting(engine, parallel, cluster or dry_run or detach)
    made = pilots(conduct.expanded(study))
    if not dry_run:
        refuse_unknown(made, engine)
    folder = conduct.output_folder(made, build, store)
    with alone(folder):
        if engine == "local":
            conduct.pilot(made, folder, build, store, parallel, screen())
            return 0
        site = conduct.site_of(made, cluster)
        if dry_run:
            conduct.rehearse(made, folder, build, store, site, screen())
            return 0
        try:
            conduct.pilot_on_cluster(made, folder, build, store, site, detach, screen())
        except KeyboardInterrupt:
            return _left()
    return 0


def _fitting(engine: str, parallel: int | None, of_slurm: object) -> None:
    """Refuse options that are for the other engine."""
    if engine == "local" and of_slurm:
        raise typer.BadParameter(
            "--cluster, --dry-run and --detach go with --engine slurm; "
            "`stiltscale plan` shows what would run here"
        )
    if engine == "slurm" and parallel:
        raise typer.BadParameter("--parallel is for this machine; a cluster's file has `at_once`")


def _left() -> int:
    """Say that the jobs go on, whoever followed them."""
    screen(stderr=True).print(
        "Slurm goes on with the jobs. Run the same command to follow them; "
        "`stiltscale cancel` ends them."
    )
    return 130


def cancel(study: Study, build: Build = Path("build"), store: StoreAt = None) -> int:
    """End a study's jobs on Slurm, where trainings save themselves, or its run on this machine.

    What is finished is kept, and the same `run` goes on from there; so are its pilot's.
    """
    from compiler.pilot import pilots
    from runtime import cluster, conduct, halt, submissions
    from runtime.store import Store

    made = conduct.plan_to_report(study, build)
    kept = Store((store or build / "store").resolve())
    plans, ended = (made, pilots(made)), 0
    for plan in plans:
        if submissions.load(kept, plan.name).any:
            ended += cluster.cancel(plan, kept)
    if ended:
        typer.echo(f"{ended} jobs cancelled")
        return 0
    stopped = [n for plan in plans if (n := halt.halt(build / plan.name)) is not None]
    if not stopped:
        typer.echo(f"{made.name}: nothing is queued or runs that could be ended")
    for number in stopped:
        typer.echo(
            f"the run on this machine has ended (process {number}); finished stages are kept"
        )
    return 0
