"""The verbs that show a study and try again: status, why, logs, retry, serve."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from runtime.terminal import Build, ClusterAt, StoreAt, Study, screen, whole_lines, write

StageWords = Annotated[
    str, typer.Argument(help="Its key, or a part of it.", show_default=False, metavar="STAGE")
]


def status(
    study: Study,
    build: Build = Path("build"),
    store: StoreAt = None,
    watch: Annotated[bool, typer.Option("--watch", help="Look again until nothing runs.")] = False,
    every: Annotated[float, typer.Option(min=0.2, help="Seconds between two looks.")] = 5.0,
    as_json: Annotated[bool, typer.Option("--json", help="Print it for programs.")] = False,
) -> int:
    """Say how far a study is, from anywhere that sees its store; 3 when some stages failed."""
    import json
    import time

    from rich.live import Live

    from runtime import conduct, standing
    from runtime.store import Store

    if watch and as_json:
        raise typer.BadParameter("--watch is for people, --json for programs: give one")
    made = conduct.plan_to_report(study, build)
    kept = Store((store or build / "store").resolve())
    seen = standing.look(made, kept)
    if as_json:
        write([json.dumps(seen.body(), indent=1, ensure_ascii=False) + "\n"])
        return seen.exit_code
    console = whole_lines()
    if not watch:
        console.print(standing.view(seen, console.width), highlight=False)
        return seen.exit_code
    try:
        if not console.is_terminal:
            while seen.running:
                console.print(standing.view(seen, console.width), highlight=False)
                time.sleep(every)
                seen = standing.look(made, kept)
            console.print(standing.view(seen, console.width), highlight=False)
            return seen.exit_code
        with Live(standing.view(seen, console.width), console=console, auto_refresh=False) as live:
            while seen.running:
                time.sleep(every)
                seen = standing.look(made, kept)
                live.update(standing.view(seen, console.width), refresh=True)
    except KeyboardInterrupt:
        return _looked_away()
    return seen.exit_code


def why(
    study: Study, stage: StageWords, build: Build = Path("build"), store: StoreAt = None
) -> int:
    """Say why a stage waits, failed, runs or will run again, and what to do next."""
    from compiler.explain import find
    from runtime import conduct, reasons, standing
    from runtime.store import Store

    made = conduct.plan_to_report(study, build)
    key = find(made, stage)
    seen = standing.look(made, Store((store or build / "store").resolve()), queue=False)
    said = reasons.why(made, seen, key, study.as_posix(), build / made.name)
    write([reasons.folded(said, whole_lines().width)])
    return 0


def logs(
    study: Study,
    stage: StageWords,
    build: Build = Path("build"),
    store: StoreAt = None,
    lines: Annotated[int, typer.Option("--lines", "-n", min=1, help="Of the end.")] = 40,
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Go on until the stage has ended.")
    ] = False,
) -> int:
    """Show the end of the log of the job that a stage runs in; control characters are harmless."""
    import time

    from compiler.explain import find
    from runtime import conduct, standing
    from runtime.logs import end, fresh, log_of
    from runtime.store import Store

    made = conduct.plan_to_report(study, build)
    key = find(made, stage)
    kept = Store((store or build / "store").resolve())
    path = log_of(made, kept, build / made.name, key)
    try:
        screen(stderr=True).print(path.as_posix(), soft_wrap=True, markup=False, highlight=False)
        text, at = end(path, lines)
        write([text])
        while follow:
            state = standing.look(made, kept, queue=False).states[key]
            text, at = fresh(path, at)
            write([text])
            if state in ("done", "failed") and not text:
                break
            time.sleep(0.5)
    except KeyboardInterrupt:
        return _looked_away()
    return 0


def _looked_away() -> int:
    """Say what Ctrl-C ended, and what it did not; 130, since the end was not seen."""
    screen(stderr=True).print("no longer watched; what runs goes on")
    return 130


def retry(
    study: Study,
    stage: Annotated[
        str | None, typer.Argument(help="Its key, or a part of it; default: --failed.")
    ] = None,
    failed: Annotated[
        bool, typer.Option("--failed", help="All that failed, and what it blocks.")
    ] = False,
    build: Build = Path("build"),
    store: StoreAt = None,
    parallel: Annotated[
        int | None, typer.Option(min=1, help="Jobs at a time; default: the study's.")
    ] = None,
    engine: Annotated[
        Literal["local", "slurm"] | None,
        typer.Option(help="Default: Slurm if the study was submitted there, else this machine."),
    ] = None,
    cluster: ClusterAt = None,
) -> int:
    """Run failed stages again, with what they block; or one stage's job and what it needs."""
    import signal

    from compiler.explain import find
    from compiler.render import alone
    from runtime import again, conduct, standing, submissions
    from runtime.abilities import refuse_unknown
    from runtime.scheduler import STOPPING
    from runtime.store import Store

    if stage and failed:
        raise typer.BadParameter("give a stage, or --failed, not both")
    for number in STOPPING:  # jobs are asked to stop as by Ctrl-C
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, signal.default_int_handler)
    made = conduct.expanded(study)
    kept = Store((store or build / "store").resolve())
    chosen = engine or ("slurm" if submissions.load(kept, made.name).any else "local")
    if chosen == "local" and cluster:
        raise typer.BadParameter("--cluster goes with --engine slurm")
    if chosen == "slurm" and parallel:
        raise typer.BadParameter("--parallel is for this machine (--engine local)")
    refuse_unknown(made, chosen)
    key = find(made, stage) if stage else None
    folder = conduct.output_folder(made, build, store)
    with alone(folder):
        states = standing.look(made, kept, queue=False).states
        jobs = again.of_stage(made, states, key) if key else again.of_failed(made, states)
        if not jobs:
            typer.echo(f"{key} is done" if key else f"{made.name}: no stage has failed")
            return 0
        if chosen == "slurm":
            from runtime.verbs.execute import on_slurm

            site = conduct.site_of(made, cluster)
            code = on_slurm(made, folder, study, build, store, site, jobs=jobs)
            if code:
                return code
        else:
            conduct.conduct(made, folder, study, build, store, parallel, screen(), jobs)
        left = sum(
            state != "done" for state in standing.look(made, kept, queue=False).states.values()
        )
    if left:
        typer.echo(f"{left} other stages are still to be done: stiltscale run {study}")
    return 0


def serve(
    study: Study,
    build: Build = Path("build"),
    store: StoreAt = None,
    host: Annotated[str, typer.Option(help="Address to listen at.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0: any free one.")] = 8321,
) -> int:
    """Show a study as a web page of this machine: stages, progress, logs, report. Changes nothing.

    The address that it prints holds a secret word: who does not know it sees nothing.
    """
    import contextlib

    from runtime import conduct, server
    from runtime.store import Store

    made = conduct.plan_to_report(study, build)
    kept = Store((store or build / "store").resolve())
    with (
        contextlib.suppress(KeyboardInterrupt),
        server.listening(made, kept, build / made.name, study.as_posix(), host, port) as running,
    ):
        lines = [f"{made.name}: {running.address}", "Ctrl-C ends it; the study goes on."]
        if host not in ("127.0.0.1", "localhost", "::1"):
            lines.append("This is no loopback address: whoever reads the traffic sees the page.")
        typer.echo("\n".join(lines))
        running.serve_forever()
    return 0
