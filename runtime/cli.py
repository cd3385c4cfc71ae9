"""The command line: each verb parses, calls one function of the library, and prints.

It is long because it has a function for every verb, and little else.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

if TYPE_CHECKING:
    from rich.console import Console


app = typer.Typer(
    help="Compile, run and report studies of size effects in cross-lingual transfer.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)

Study = Annotated[Path, typer.Argument(help="The study file (YAML).", show_default=False)]
Build = Annotated[Path, typer.Option(help="Folder of the output.")]
StoreAt = Annotated[Path | None, typer.Option("--store", help="Default: BUILD/store.")]
CatalogAt = Annotated[Path | None, typer.Option("--catalog", help="A folder of your own entries.")]
ClusterAt = Annotated[
    Path | None, typer.Option("--cluster", help="Settings of the cluster (YAML), over the study's.")
]
TableOrJson = Annotated[Literal["table", "json"], typer.Option("--format", help="How to write it.")]


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
    from compiler.errors import StudyInvalid

    if form != "text":
        code = 0
        try:
            found = look(study).diagnostics
        except StudyInvalid as error:
            found, code = error.diagnostics, error.exit_code
        written = findings_json(found) if form == "json" else findings_github(found)
        if written:
            typer.echo(written)
        return code
    resolved = look(study)
    console = _console()
    print_diagnostics(console, resolved.diagnostics)
    console.print(f"{study}: no errors", soft_wrap=True, markup=False, highlight=False)
    return 0


@app.command()
@_verb
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
    from runtime.recorded import recorded
    from runtime.states import states
    from runtime.store import Store

    made = conduct.expanded(study)
    if cells or form == "table":
        kept = Store(store or build / "store")
        found, missing = states(kept, made)
        if cells:
            _out(formats.chunks(formats.cells(made, found, missing)))
        else:
            outlook, takes = conduct.outlook(made, study), recorded(kept, made, found)
            _console().print(plan_view(made, found, outlook, takes))
    elif form == "json":
        _out([made.to_json()])
    else:
        _out([formats.mermaid(made) if form == "mermaid" else formats.dot(made)])
    return 0


@app.command()
@_verb
def power(
    study: Study,
    pilot: Annotated[
        Path | None, typer.Option(help="A report.json whose measured noise is taken.")
    ] = None,
    form: TableOrJson = "table",
) -> int:
    """Say which slope a study could detect at each level, and what would buy most per hour."""
    from compiler.display import power_view
    from runtime import conduct

    found = conduct.outlook(conduct.expanded(study, installed=False), study, pilot)
    _show(power_view(found), found.body() if form == "json" else None)
    return 0


@app.command()
@_verb
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
    _out([text_of(made, key, seen(Store(store or build / "store"), made, key, former))])
    return 0


@app.command()
@_verb
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
    _show(diff_view(found), found.body() if form == "json" else None)
    return 0


@app.command()
@_verb
def tasks(catalog: CatalogAt = None, form: TableOrJson = "table") -> int:
    """List the tasks of the catalog."""
    return _list("tasks", catalog, form)


@app.command()
@_verb
def corpora(catalog: CatalogAt = None, form: TableOrJson = "table") -> int:
    """List the corpora of the catalog, to pretrain on or to replay."""
    return _list("corpora", catalog, form)


@app.command()
@_verb
def models(catalog: CatalogAt = None, form: TableOrJson = "table") -> int:
    """List the model families of the catalog, with their sizes."""
    return _list("models", catalog, form)


@app.command()
@_verb
def languages(catalog: CatalogAt = None, form: TableOrJson = "table") -> int:
    """List the languages of the catalog."""
    return _list("languages", catalog, form)


@app.command()
@_verb
def hardware(catalog: CatalogAt = None, form: TableOrJson = "table") -> int:
    """List the devices of the catalog."""
    return _list("hardware", catalog, form)


@app.command()
@_verb
def recipes(catalog: CatalogAt = None, form: TableOrJson = "table") -> int:
    """List the training recipes of the catalog."""
    return _list("recipes", catalog, form)


@app.command()
@_verb
def benchmarks(catalog: CatalogAt = None, form: TableOrJson = "table") -> int:
    """List the benchmarks of the catalog."""
    return _list("benchmarks", catalog, form)


@app.command(name="compile")
@_verb
def compile_(
    study: Study, build: Build = Path("build"), store: StoreAt = None, cluster: ClusterAt = None
) -> int:
    """Write plan.json, the launch scripts and their Accelerate configurations."""
    from compiler.render import alone
    from runtime import conduct, launches

    made = conduct.expanded(study)
    folder = conduct.output_folder(made, build, store)
    with alone(folder):
        conduct.write_output(made, folder, build, store, conduct.site_of(made, cluster))
        launches.verify(made, folder)
    _console().print(
        f"{len(made.stages)} stages in {len(made.jobs)} jobs: {folder / 'plan.json'}\n"
        f"run them with `stiltscale run {study}`, or by hand: bash {folder}/launch/<job>.sh;\n"
        f"on Slurm with `--engine slurm`, or by hand: bash {folder}/submit.sh",
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
    if engine == "local" and (cluster or dry_run or detach):
        raise typer.BadParameter("--cluster, --dry-run and --detach go with --engine slurm")
    if engine == "slurm" and parallel:
        raise typer.BadParameter("--parallel is for this machine; a cluster's file has `at_once`")
    made = conduct.expanded(study)
    if not dry_run:
        refuse_unknown(made, engine)
    folder = conduct.output_folder(made, build, store)
    with alone(folder):
        if engine == "slurm":
            site = conduct.site_of(made, cluster)
            if dry_run:
                conduct.rehearse(made, folder, build, store, site, _console())
                return 0
            try:
                conduct.on_cluster(made, folder, study, build, store, site, detach, _console())
            except KeyboardInterrupt:
                _console(stderr=True).print(
                    "Slurm goes on with the jobs. Run the same command to follow them; "
                    "`stiltscale cancel` ends them."
                )
                return 130
            return 0
        conduct.conduct(made, folder, study, build, store, parallel, _console())
    return 0


@app.command()
@_verb
def status(study: Study, build: Build = Path("build"), store: StoreAt = None) -> int:
    """Say how far a study is, from anywhere that sees its store: stages, and jobs on Slurm."""
    from runtime import conduct
    from runtime.store import Store

    made = conduct.plan_to_report(study, build)
    conduct.standing(made, Store((store or build / "store").resolve()), _whole_lines())
    return 0


@app.command()
@_verb
def cancel(study: Study, build: Build = Path("build"), store: StoreAt = None) -> int:
    """End a study's jobs on Slurm; what is finished is kept, and trainings save themselves."""
    from runtime import cluster, conduct
    from runtime.store import Store

    made = conduct.plan_to_report(study, build)
    ended = cluster.cancel(made, Store((store or build / "store").resolve()))
    typer.echo(f"{ended} jobs cancelled")
    return 0


@app.command()
@_verb
def report(study: Study, build: Build = Path("build"), store: StoreAt = None) -> int:
    """Write the report again, from the store alone."""
    from runtime import conduct
    from runtime.store import Store

    made = conduct.plan_to_report(study, build)
    kept = Store(store or build / "store")
    conduct.report(made, kept, conduct.output_folder(made, build, store), _console(), study)
    return 0


@app.command()
@_verb
def scores(
    study: Study,
    build: Build = Path("build"),
    store: StoreAt = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", help="A .csv, .parquet or .arrow file; default: CSV here."),
    ] = None,
) -> int:
    """Write every score of a study as a tidy table: a row for each, finished or not."""
    from compiler.render import atomic_write, unwritable
    from runtime import conduct, tidy
    from runtime.collect import collect
    from runtime.store import Store

    made = conduct.plan_to_report(study, build)
    table = tidy.table(collect(made, Store(store or build / "store")))
    if out is None:
        _out([tidy.written(table, ".csv").decode("utf-8")])
        return 0
    content = tidy.written(table, out.suffix)
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        atomic_write(out, content)
    except OSError as error:
        raise unwritable(out.parent, error) from error
    typer.echo(f"{table.height} scores: {out}")
    return 0


@app.command()
@_verb
def analyse(
    scores: Annotated[Path, typer.Argument(help="CSV or Parquet.", show_default=False)],
    analysis: Annotated[
        Path | None, typer.Option(help="YAML: the analysis block of a study.")
    ] = None,
    build: Build = Path("build"),
) -> int:
    """Make the same report from any tidy table of scores."""
    from runtime import conduct

    conduct.analyse_table(scores, analysis, build, _console())
    return 0


@app.command()
@_verb
def init(
    path: Annotated[Path | None, typer.Argument(help="Default: NAME.yaml.")] = None,
    name: Annotated[str | None, typer.Option(help="Name of the study.")] = None,
    question: Annotated[str, typer.Option(help="What it is meant to answer.")] = "",
    family: Annotated[str | None, typer.Option(help="A model family of the catalog.")] = None,
    sizes: Annotated[str | None, typer.Option(help="Its sizes, with commas.")] = None,
    intermediate: Annotated[str | None, typer.Option(help="Tasks, with commas.")] = None,
    targets: Annotated[str | None, typer.Option(help="Tasks, with commas.")] = None,
    benchmark: Annotated[str | None, typer.Option(help="Instead of targets.")] = None,
    languages: Annotated[str | None, typer.Option(help="Codes, with commas; or all.")] = None,
    seeds: Annotated[str | None, typer.Option(help="Whole numbers, with commas.")] = None,
    recipe: Annotated[str | None, typer.Option(help="A recipe of the catalog.")] = None,
    device: Annotated[str | None, typer.Option(help="auto, or a device of the catalog.")] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Take defaults, ask nothing.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Overwrite a file.")] = False,
) -> int:
    """Write a new study: asks a few questions, or takes the answers as options."""
    from compiler import author, catalog
    from compiler.render import atomic_write, unwritable

    known = catalog.load()
    given = {
        "name": name or (_study_name(path) if path else None),
        "family": family,
        "sizes": sizes,
        "intermediate": intermediate,
        "targets": benchmark or targets,
        "languages": languages,
        "seeds": seeds,
        "recipe": recipe,
        "device": device,
    }
    if benchmark and targets:
        raise typer.BadParameter("give --targets or --benchmark, not both")
    if path:
        author.refuse_existing(path, force)
    answers: dict[str, str] = {}
    for field, text in author.QUESTIONS.items():

        def fitting(answer: str, field: str = field) -> str:
            wrong = author.problem(field, answer.strip(), answers, known)
            if wrong:
                raise typer.BadParameter(f"{field}: {wrong}")
            return answer.strip()

        value, proposed = given[field], author.default(field, answers, known)
        if value is None and not yes:
            value = typer.prompt(text, default=proposed, value_proc=fitting)
        answers[field] = fitting(value or proposed)
    path = path or Path(f"{answers['name']}.yaml")
    author.refuse_existing(path, force)
    header = author.schema_line(path)
    written = author.render(answers, known, header, question)
    author.verified(written, path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        atomic_write(path, written.encode("utf-8"))
    except OSError as error:
        raise unwritable(path.parent, error) from error
    shown = path.as_posix()
    lines = [f"{shown} is written. Next:"]
    lines += [f"  stiltscale {verb:7} {shown}" for verb in ("check", "plan", "run")]
    if not header:
        lines += [
            "Editors check it with a schema beside it, which is not there: to have it,",
            f"  stiltscale schema study > {(path.parent / 'study.schema.json').as_posix()}",
            "and `# yaml-language-server: $schema=study.schema.json` as the study's first line.",
        ]
    typer.echo("\n".join(lines))
    return 0


@app.command()
@_verb
def lock(study: Study) -> int:
    """Freeze commits of the hub, versions, catalogs and the analysis plan beside a study."""
    from compiler import lock as locks
    from compiler.check import check as look
    from compiler.render import atomic_write, unwritable
    from runtime import hub

    cached: list[str] = []

    def commit_of(kind: locks.HubKind, name: str, revision: str | None) -> str:
        commit, from_cache = hub.commit_of(kind, name, revision)
        if from_cache:
            cached.append(f"{kind} {name}")
        return commit

    made = locks.make(look(study, installed=False, locked=False), commit_of)
    path = locks.lock_path(study)
    try:
        atomic_write(path, locks.as_yaml(made, study.name).encode("utf-8"))
    except OSError as error:
        raise unwritable(path.parent, error) from error
    lines = [
        f"{path.as_posix()}: {len(made.models)} models and {len(made.datasets)} data sets, "
        f"{len(made.packages)} packages, {len(made.catalog)} catalog files",
        f"  study    {made.study_digest[:16]}",
        f"  analysis {made.analysis_digest[:16]}",
    ]
    lines += [f"  {what}: the hub did not answer, its commit is the cache's" for what in cached]
    typer.echo("\n".join([*lines, "check, plan, compile and run use it from now on"]))
    return 0


@app.command()
@_verb
def fetch(study: Study, build: Build = Path("build"), store: StoreAt = None) -> int:
    """Download what a study needs from the hub; it then runs without a network."""
    from runtime import conduct

    conduct.fetch(conduct.expanded(study, installed=False), build, store, _whole_lines())
    return 0


@app.command()
@_verb
def fit(
    model: Annotated[str, typer.Argument(help="Its name, or FAMILY:SIZE.", show_default=False)],
    device: Annotated[str, typer.Option(help="A device of the catalog.", show_default=False)],
    devices: Annotated[int, typer.Option(min=1, max=64, help="Of one machine.")] = 8,
    nodes: Annotated[int, typer.Option(min=1, max=512, help="Machines.")] = 1,
    task: Annotated[str, typer.Option(help="What it is trained on.")] = "mnli",
    recipe: Annotated[str, typer.Option(help="A recipe of the catalog.")] = "x-stilts",
    phase: Annotated[
        Literal["intermediate", "target"], typer.Option(help="Phase of the recipe.")
    ] = "intermediate",
    batch: Annotated[int | None, typer.Option(min=1, help="In place of the recipe's.")] = None,
    length: Annotated[int | None, typer.Option(min=8, help="In place of the recipe's.")] = None,
    precision: Annotated[
        Literal["fp32", "bf16", "fp16"] | None, typer.Option(help="In place of the recipe's.")
    ] = None,
    tuning: Annotated[
        Literal["full", "lora", "qlora"] | None, typer.Option(help="Default: all of them.")
    ] = None,
    catalog: CatalogAt = None,
    form: TableOrJson = "table",
) -> int:
    """Say in which ways a model fits a device, with memory, hours and energy of one training."""
    from compiler import answer
    from compiler import resources as numbers
    from compiler.strategy import Machine
    from compiler.training import TrainingChange

    known = _catalog(catalog)
    family, found = answer.model_of(known, model)
    machine = Machine(answer.device_of(known, device), nodes, devices)
    traced = numbers.find(known, family, found)
    if traced is None:
        from runtime.tracing import trace as traced_now  # seconds to minutes, with torch

        traced = traced_now(found)
    change = TrainingChange(batch=batch, max_length=length, precision=precision)
    work = answer.work_of(known, found, traced, task, recipe, phase, change)
    tunings = answer.TUNINGS if tuning is None else (tuning,)
    question = answer.Question(found, machine, work, tunings)
    rows = answer.rows(question, traced)
    _show(answer.view(question, traced), rows if form == "json" else None)
    return 0 if any(row["fits"] for row in rows) else 1


@app.command()
@_verb
def trace(
    family: Annotated[str, typer.Argument(help="A model family.", show_default=False)],
    catalog: CatalogAt = None,
) -> int:
    """Trace what the sizes of a family take, and write it beside the family's file.

    Nothing of a model is loaded: its architecture is enough. Minutes for a family.
    """
    from compiler import resources as numbers
    from compiler import scratch
    from compiler.answer import family_of
    from compiler.render import atomic_write, unwritable
    from runtime.tracing import traced_family

    known = _catalog(catalog)
    members = scratch.members(family_of(known, family))
    path = numbers.file_of(known.files[f"models/{family}"], family)
    made = traced_family(family, members, lambda name: typer.echo(f"{name} ..."))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        atomic_write(path, numbers.as_json(made).encode("utf-8"))
    except OSError as error:
        raise unwritable(path.parent, error) from error
    typer.echo(f"{path.as_posix()}: {len(made.models)} of {len(members)} sizes")
    return 0


@app.command()
@_verb
def schema(
    kind: Annotated[
        str,
        typer.Argument(
            help="study, task, corpus, family, benchmark, recipe, device, languages, cluster "
            "or plan.",
        ),
    ] = "study",
    write: Annotated[
        bool, typer.Option("--write", help="Write all of specs/ and docs/reference/ anew.")
    ] = False,
) -> int:
    """Print the JSON Schema of a kind of file, for editors and other programs."""
    from compiler import catalog, schema, validate
    from compiler.render import atomic_write

    if kind not in schema.KINDS:
        raise typer.BadParameter(f"there is no `{kind}`; {validate.suggest(kind, schema.KINDS)}")
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
    from runtime import manual, tidy

    pages = reference.pages() | {"cli.md": manual.cli_page(app)}
    pages["scores.md"] = tidy.page(reference.GENERATED)
    schemas = {root / "specs" / n: text for n, text in schema.files(catalog.load()).items()}
    return schemas | {root / "docs" / "reference" / n: text for n, text in pages.items()}


def _study_name(path: Path) -> str:
    from compiler.identity import slug

    return slug(path.stem) if path.stem != path.stem.lower() else path.stem


def _catalog(own: Path | None) -> Any:
    from compiler.catalog import load
    from compiler.errors import EnvironmentUnready

    if own is not None and not own.is_dir():
        at, hint = str(own), "name a folder that has tasks/, models/ or recipes/"
        raise EnvironmentUnready("E011", "there is no such catalog folder", where=at, hint=hint)
    return load(own)


def _list(kind: str, own: Path | None, form: str) -> int:
    from compiler import listing

    catalog = _catalog(own)
    entries = listing.entries(catalog, kind) if form == "json" else None
    _show(listing.table(catalog, kind, _whole_lines().width), entries)
    return 0


def _show(view: Any, body: Any) -> None:
    """Print a view, or a body as JSON when there is one."""
    import json

    if body is None:
        _whole_lines().print(view)
    else:
        _out([json.dumps(body, indent=1, ensure_ascii=False, allow_nan=False) + "\n"])


def _whole_lines() -> Console:
    """Return a console that folds no line when its output is read by a program."""
    import os

    console = _console()
    if not console.is_terminal and "COLUMNS" not in os.environ:
        console.width = 10_000
    return console


def _out(texts: Iterable[str]) -> None:
    """Write texts as they are, byte for byte."""
    for text in texts:
        typer.echo(text.encode("utf-8"), nl=False)


def _console(*, stderr: bool = False) -> Console:
    from rich.console import Console

    return Console(stderr=stderr)


if __name__ == "__main__":
    main()
