"""The verbs that write for an author: a first study, its lock, its data, the schemas."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from runtime.terminal import Build, StoreAt, Study, whole_lines


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
    asked = False
    for field, text in author.QUESTIONS.items():

        def fitting(answer: str, field: str = field) -> str:
            wrong = author.problem(field, answer.strip(), answers, known)
            if wrong:
                raise typer.BadParameter(f"{field}: {wrong}")
            return answer.strip()

        value, proposed = given[field], author.default(field, answers, known)
        if value is None and not yes:
            if not asked:
                typer.echo("Enter takes the answer in brackets; nothing is written before the end.")
            asked = True
            may = author.choices(field, answers, known)
            typer.echo(f"\n{text}" + (f" ({may})" if may else ""))
            text = field
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
    if len(author.words(answers["seeds"])) < 3:
        lines.insert(0, "Fewer than three seeds tell little of the noise of a run; see `check`.")
    lines += [f"  stiltscale {verb:7} {shown}" for verb in ("check", "plan", "run")]
    if not header:
        lines += [
            "Editors check it with a schema beside it, which is not there: to have it,",
            f"  stiltscale schema study > {(path.parent / 'study.schema.json').as_posix()}",
            "and `# yaml-language-server: $schema=study.schema.json` as the study's first line.",
        ]
    typer.echo("\n".join(lines))
    return 0


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


def fetch(study: Study, build: Build = Path("build"), store: StoreAt = None) -> int:
    """Download what a study needs from the hub; it then runs without a network."""
    from runtime import conduct

    conduct.fetch(conduct.expanded(study, installed=False), build, store, whole_lines())
    return 0


def _study_name(path: Path) -> str:
    from compiler.identity import slug

    return slug(path.stem) if path.stem != path.stem.lower() else path.stem
