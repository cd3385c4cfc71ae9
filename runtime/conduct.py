"""Compiles, runs and reports one study: what the verbs of the command line call."""

from __future__ import annotations

import os
import sys
from collections.abc import Collection, Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.live import Live

from compiler import calibration
from compiler.catalog import load as load_catalog
from compiler.check import check
from compiler.errors import EnvironmentUnready, StagesFailed, StiltscaleError, StudyInvalid
from compiler.expand import expand
from compiler.inherit import read_study
from compiler.plan import Plan, load
from compiler.planning import Noise
from compiler.prospects import Prospects, piloted, prospects
from compiler.render import machine, render, write
from compiler.site import Site, cluster_file
from compiler.source import read
from compiler.validate import validate
from runtime import again, cluster, disposal, hub, launches, progress, scheduler
from runtime.store import Store, status, sweep


def expanded(study: Path, *, installed: bool = True) -> Plan:
    """Return the plan of a study file; raises StudyInvalid."""
    return expand(check(study, installed=installed))


def plan_to_report(study: Path, build: Path) -> Plan:
    """Expand the study; where its local data is gone, take the plan as it was compiled."""
    try:
        return expanded(study, installed=False)
    except StudyInvalid as error:
        errors = {d.code for d in error.diagnostics if d.severity == "error"}
        if not errors <= {"C303", "C304"}:
            raise
        compiled = build / str(read_study(study).value["study"]) / "plan.json"
        if not compiled.is_file():
            raise
        return load(compiled)


def output_folder(made: Plan, build: Path, store: Path | None) -> Path:
    """Return the folder of a study's output; raises EnvironmentUnready when it is the store's."""
    folder, at = build / made.name, store or build / "store"
    if at.resolve() in (folder.resolve(), *folder.resolve().parents):
        raise EnvironmentUnready(
            "E006",
            "the output of the study would lie in the store",
            where=str(folder),
            hint="give the study another name, or choose another folder with --build or --store",
        )
    return folder


def study_or_plan(path: Path) -> Plan:
    """Return a compiled plan, or that of a study file."""
    return load(path) if path.suffix == ".json" else expanded(path, installed=False)


def write_output(
    made: Plan, folder: Path, build: Path, store: Path | None, site: Site | None = None
) -> None:
    """Write the plan, the launch scripts and where this machine keeps its Python and store."""
    at = (store or build / "store").resolve()
    write(render(made, site) | {"env.sh": machine(sys.executable, at, folder)}, folder)


def calibrated(made: Plan, build: Path, store: Path | None) -> Plan:
    """Return a plan with the hours and time limits that pilots in the store give."""
    from runtime.recorded import paces

    found = paces(Store(store or build / "store"), made)
    return calibration.calibrated(made, found, calibration.takes(made, found))


def site_of(made: Plan, file: Path | None) -> Site:
    """Return what the cluster wants to be told: by a file, over what the study says.

    Without a file, the user's own is taken if there is one. Raises StudyInvalid with its findings.
    """
    own = cluster_file(dict(os.environ))
    if file is not None and not file.is_file():
        hint = "name a YAML file of settings such as `partition: gpu`"
        raise EnvironmentUnready("E052", "there is no such file", where=str(file), hint=hint)
    study = Site.model_validate(made.execution.get("slurm", {}))
    chosen = file or (own if own.is_file() else None)
    return validate(read(chosen), Site).over(study) if chosen else study


def on_cluster(
    made: Plan,
    folder: Path,
    study: Path,
    build: Path,
    store: Path | None,
    site: Site,
    detach: bool,
    console: Console,
    jobs: Collection[str] | None = None,
) -> None:
    """Submit what is missing of a plan, or of some of its jobs, to Slurm; follow it, and report.

    Raises StagesFailed when some stages are not done, after the report.
    """
    sent = _through_slurm(
        calibrated(made, build, store), folder, build, store, site, detach, console, jobs
    )
    if sent is not None:
        kept, codes = sent
        asked = None if jobs is None else again.part(made, jobs).stages
        _finish(made, kept, folder, study, codes, console, asked)


def _through_slurm(
    made: Plan,
    folder: Path,
    build: Path,
    store: Path | None,
    site: Site,
    detach: bool,
    console: Console,
    jobs: Collection[str] | None = None,
) -> tuple[Store, dict[str, str]] | None:
    """Submit what is missing of a plan, or of some of its jobs; return how the bad ones ended.

    None when it is not followed.
    """
    kept = _opened(made, folder, build, store, site)
    launches.verify(made, folder)
    chosen = made if jobs is None else again.part(made, jobs)
    if not scheduler.unfinished(chosen, kept):
        console.print(f"{made.name}: all {len(chosen.stages)} stages are done, nothing to run")
        return kept, {}
    fresh, sent, there = cluster.submit(made, folder, kept, site, jobs)
    console.print(
        f"{made.name}: {fresh} jobs submitted in {sent} arrays, {there} were there already",
        highlight=False,
    )
    if detach:
        return None
    with progress.view(console) as tell:
        return kept, cluster.follow(made, kept, site, tell)


def rehearse(
    made: Plan, folder: Path, build: Path, store: Path | None, site: Site, console: Console
) -> None:
    """Have Accelerate and Slurm check every script; nothing is submitted.

    Raises EnvironmentUnready (E053) with what Slurm says of those that it would not take.
    """
    write_output(made, folder, build, store, site)
    shapes = launches.verify(made, folder)
    lines = []
    for array, refusal, reading in cluster.rehearse(made, folder, site):
        if refusal:
            lines.append(f"  {array.name}: {reading or 'for a reason that we cannot see'}")
            lines.append(f"    Slurm says: {refusal}")
        else:
            console.print(f"{array.name}: {len(array.jobs)} jobs, accepted", highlight=False)
    if lines:
        raise EnvironmentUnready(
            "E053",
            "\n".join([f"Slurm would not take {len(lines) // 2} of the arrays", *lines]),
            where=str(folder / "slurm"),
            hint="change `hardware` in the study or the cluster's settings (`--cluster`)",
        )
    console.print(f"{shapes} kinds of launch read by Accelerate, nothing submitted")


def conduct(
    made: Plan,
    folder: Path,
    study: Path,
    build: Path,
    store: Path | None,
    parallel: int | None,
    console: Console,
    jobs: Collection[str] | None = None,
) -> None:
    """Run what is missing of a plan, or of some of its jobs; write the report of what there is.

    Raises StagesFailed when some stages are not done, after the report.
    """
    kept = _opened(calibrated(made, build, store), folder, build, store)
    codes: dict[str, int] = {}
    chosen = made if jobs is None else again.part(made, jobs)
    todo = scheduler.unfinished(chosen, kept)
    if todo:
        console.print(f"{made.name}: {len(todo)} of {len(made.jobs)} jobs have work to do")
        with progress.view(console) as tell:
            at_once = parallel or int(made.execution["parallel"])
            codes = scheduler.run(chosen, folder, kept, at_once, tell)
    else:
        console.print(f"{made.name}: all {len(made.stages)} stages are done, nothing to run")
    _finish(made, kept, folder, study, codes, console, chosen.stages)


def _opened(
    made: Plan, folder: Path, build: Path, store: Path | None, site: Site | None = None
) -> Store:
    """Write what a plan is run from; return the store, tidied up, which now knows the study."""
    write_output(made, folder, build, store, site)
    kept = Store((store or build / "store").resolve())
    kept.prepare()
    sweep(kept)
    disposal.remember(kept, made, folder)
    return kept


def _finish(
    made: Plan,
    kept: Store,
    folder: Path,
    study: Path,
    codes: Mapping[str, int | str],
    console: Console,
    asked: Collection[str] | None = None,
) -> None:
    """Write the report of what there is; raise StagesFailed when some stages are not done.

    With ``asked``, only those stages count.
    """
    states = status(kept, made)
    bad = any(states[key] != "done" for key in (states if asked is None else asked))
    try:
        report(made, kept, folder, console, study)
    except StiltscaleError as error:
        if not bad:
            raise
        console.print(f"no report: {error.what}", soft_wrap=True, markup=False, highlight=False)
    if bad:
        raise StagesFailed(
            "F001",
            failures(made, kept, states, codes),
            where=str(folder / "logs"),
            hint="read the log of its job, mend the cause, and run the same command again",
        )


def fetch(made: Plan, build: Path, store: Path | None, console: Console) -> None:
    """Download what the open stages need from the hub, and say what was fetched.

    Raises StagesFailed when something could not be had, after all the rest.
    """
    from runtime import fetch as fetching

    todo = fetching.wants(made, Store(store or build / "store"))
    done: list[fetching.Got] = []
    if not todo:
        console.print(f"{made.name}: nothing is needed from the hub")
        return
    with Live(console=console, transient=True) if console.is_terminal else nullcontext() as live:
        for want in todo:
            if live is not None:
                live.update(fetching.table(todo, done), refresh=True)
            done.append(fetching.fetch(made, want))
    console.print(fetching.table(todo, done), highlight=False)
    lacking = fetching.missing(done)
    if lacking:
        bad = sum(bool(got.troubles) for got in done)
        lines = [f"{bad} of {len(done)} repositories could not be had whole"]
        lines += [f"  {line}" for line in lacking[:20]]
        lines += [f"  and {len(lacking) - 20} more" for _ in lacking[20:21]]
        raise StagesFailed(
            "F002",
            "\n".join(lines),
            hint="mend the cause, and run the same command again: what is there stays",
        )
    loose = sum(not hub.is_commit(want.revision) for want in todo)
    if loose:
        text = f"{loose} of {len(todo)} follow a branch, which may move: `stiltscale lock` pins it"
        console.print(text, soft_wrap=True, markup=False, highlight=False)


def report(
    made: Plan,
    store: Store,
    folder: Path,
    console: Console,
    study: Path,
    as_of: str | None = None,
) -> None:
    """Write the report, of what was finished by ``as_of`` if it is given, and say where it is."""
    from runtime.past import brief, moment
    from runtime.publish import publish

    command, place, until = f"stiltscale report {study.as_posix()}", "report", None
    if as_of is not None:
        until = moment(as_of)
        command += f" --as-of {as_of}"
        place = f"report-{brief(until)}"
    written = publish(made, store, folder / place, command, own_catalog(study), until)
    console.print(f"report: {written}", soft_wrap=True, markup=False, highlight=False)


def outlook(
    made: Plan,
    study: Path,
    pilot: Path | None = None,
    takes: Mapping[str, Mapping[str, Any]] | None = None,
) -> Prospects:
    """Say what a plan can detect, with the noise assumed, or measured by an earlier report.

    ``takes`` has by model the device hours that were measured.
    """
    noise = piloted(pilot) if pilot else Noise()
    return prospects(made, load_catalog(own_catalog(study)), noise, takes or {})


def pilot(
    made: Plan, folder: Path, build: Path, store: Path | None, parallel: int | None,
    console: Console,
) -> None:  # fmt: skip
    """Run what is missing of the pilot of a plan; what was done is shown by `stiltscale plan`.

    Raises StagesFailed when some of it is not done.
    """
    kept = _opened(made, folder, build, store)
    codes: dict[str, int] = {}
    if scheduler.unfinished(made, kept):
        with progress.view(console) as tell:
            at_once = parallel or int(made.execution["parallel"])
            codes = scheduler.run(made, folder, kept, at_once, tell)
    _piloted(made, kept, folder, codes, console)


def pilot_on_cluster(
    made: Plan,
    folder: Path,
    build: Path,
    store: Path | None,
    site: Site,
    detach: bool,
    console: Console,
) -> None:
    """Submit what is missing of the pilot of a plan to Slurm, and follow it.

    Raises StagesFailed when some of it is not done.
    """
    sent = _through_slurm(made, folder, build, store, site, detach, console)
    if sent is not None:
        kept, codes = sent
        _piloted(made, kept, folder, codes, console)


def _piloted(
    made: Plan, kept: Store, folder: Path, codes: Mapping[str, int | str], console: Console
) -> None:
    """Say what each pilot measured; raise StagesFailed when some are not done."""
    for key, stage in made.stages.items():
        if stage.kind != "train" or (record := kept.record(key)) is None:
            continue
        pace = calibration.read(record.result)
        said = [
            f"{stage.model}, {stage.task}: {pace.step_seconds:.3f} s a step, at most "
            f"{pace.slowest:.3f} by its spread",
            f"{pace.tokens / pace.step_seconds:,.0f} tokens/s",
        ]
        planned = made.execution.get("resources", {}).get(stage.model, {})
        beside = calibration.compared(planned, [(pace, pace.steps)])
        if "mfu" in beside:
            said.append(calibration.reached(beside | {"assumed_mfu": planned["mfu"]}))
        elif "peak_memory_gib" in beside:
            said.append(f"peak {beside['peak_memory_gib']:.2f} GiB {beside['memory']}")
        console.print(", ".join(said), soft_wrap=True, markup=False, highlight=False)
    states = status(kept, made)
    if any(state != "done" for state in states.values()):
        raise StagesFailed(
            "F001",
            "of the pilot, " + failures(made, kept, states, codes),
            where=str(folder / "logs"),
            hint="read the log of its job, mend the cause, and run the same command again",
        )


def compare(
    studies: tuple[Path, Path],
    as_of: tuple[str | None, str | None],
    build: Path,
    store: Path | None,
    console: Console,
) -> None:
    """Write the comparison of two studies, or of one study at two times, and say where it is."""
    from runtime.past import brief, moment, shown
    from runtime.publish import publish_comparison

    sides = []
    for study, when in zip(studies, as_of, strict=True):
        plan, until = plan_to_report(study, build), moment(when) if when is not None else None
        label = plan.name if until is None else f"{plan.name} at {shown(until)}"
        sides.append((label, plan, own_catalog(study), until))
    if studies[0] == studies[1]:
        command = f"stiltscale report {studies[0].as_posix()} --compare {as_of[0]} {as_of[1]}"
    else:
        command = f"stiltscale report --compare {studies[0].as_posix()} {studies[1].as_posix()}"
        command += f" --as-of {as_of[0]}" if as_of[0] else ""
    names = [brief(until) for *_, until in sides if until is not None]
    if studies[0] != studies[1]:
        names = ["with", sides[1][1].name, *names[:1]]
    folder = output_folder(sides[0][1], build, store) / "-".join(["compared", *names])
    written = publish_comparison(sides, Store(store or build / "store"), folder, command)
    console.print(f"comparison: {written}", soft_wrap=True, markup=False, highlight=False)


def analyse_table(scores: Path, analysis: Path | None, build: Path, console: Console) -> None:
    """Write the report of a score table, and say where it is."""
    from runtime.publish import publish_table
    from runtime.tidy import Block

    block = validate(read(analysis), Block) if analysis else Block()
    command = f"stiltscale analyse {scores.as_posix()}"
    command += f" --analysis {analysis.as_posix()}" if analysis else ""
    written = publish_table(scores, block, build, command)
    console.print(f"report: {written}", soft_wrap=True, markup=False, highlight=False)


def own_catalog(study: Path) -> Path | None:
    """Return the study's own folder of catalog entries, if it names one that is still there."""
    document = read_study(study)
    named = document.value.get("catalog") if isinstance(document.value, dict) else None
    if not isinstance(named, str):
        return None
    folder = Path(document.span(("catalog",)).file).parent / named
    return folder if folder.is_dir() else None


def failures(
    made: Plan, store: Store, states: dict[str, str], codes: Mapping[str, int | str]
) -> str:
    """Say which stages failed and why, and which jobs ended without a word."""
    failed = [key for key, state in states.items() if state == "failed"]
    others = sum(state not in ("done", "failed") for state in states.values())
    lines = [f"{len(failed)} of {len(made.stages)} stages failed, {others} did not run"]
    for key in failed[:5]:
        failure = store.failure(key)
        if failure is None:
            continue
        first = f"{failure.failure_class}: {failure.message}".splitlines()[0][:200]
        lines.append(f"  {key}: {first}" + (f" [{failure.log}]" if failure.log else ""))
    if len(failed) > 5:
        lines.append(f"  and {len(failed) - 5} more")
    silent = died(made, states, codes)
    lines += [f"  job {name} ended early, {how}" for name, how in list(silent.items())[:5]]
    if len(silent) > 5:
        lines.append(f"  and {len(silent) - 5} more jobs")
    return "\n".join(lines)


def died(made: Plan, states: dict[str, str], codes: Mapping[str, int | str]) -> dict[str, str]:
    """Name the jobs that ended without a word: they failed, and left a stage that could have run.

    A job whose inputs failed elsewhere leaves only stages that could not have run.
    """
    found = {}
    for job in made.jobs:
        stages = [made.stages[key] for key in job.stages]
        if not codes.get(job.name) or any(states[stage.key] == "failed" for stage in stages):
            continue
        open_ = [stage for stage in stages if states[stage.key] != "done"]
        if any(all(states[up] == "done" for up in stage.inputs.values()) for stage in open_):
            code = codes[job.name]
            how = code if isinstance(code, str) else f"exit code {code}"
            found[job.name] = f"{how} [{scheduler.log_of(job.name)}]"
    return found
