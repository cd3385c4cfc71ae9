"""The verbs that look after a store: ls, verify, gc, export, import, adopt."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from runtime.terminal import Build, StoreAt, TableOrJson, show, verb, whole_lines

if TYPE_CHECKING:
    from runtime.store import Store

app = typer.Typer(
    help="Look after the store: what is in it, whether it is sound, what can go, what moves.",
    no_args_is_help=True,
)
Studies = Annotated[
    list[Path] | None,
    typer.Option("--study", help="A study file or plan.json; may be given several times."),
]


def ls(build: Build = Path("build"), store: StoreAt = None, form: TableOrJson = "table") -> int:
    """List the stages in the store: kind, parts, bytes, when, and whether they were adopted."""
    from rich.table import Table

    from runtime import audit

    kept = _opened(build, store)
    rows: dict[str, dict[str, object]] = {}
    for part in audit.parts(kept):
        found = rows.setdefault(
            part.key,
            {"stage": part.key, "parts": 0, "damaged": 0, "bytes": 0, "finished": "",
             "adopted": False},
        )  # fmt: skip
        found["parts"] = int(str(found["parts"])) + 1
        found["bytes"] = int(str(found["bytes"])) + part.bytes
        if part.record is None:
            found["damaged"] = int(str(found["damaged"])) + 1
        else:
            found["finished"] = max(str(found["finished"]), part.record.finished)
            found["adopted"] = bool(found["adopted"] or part.record.provenance.get("adopted"))
    table = Table("stage", "parts", "damaged", "bytes", "finished", "")
    for row in rows.values():
        table.add_row(
            _plain(str(row["stage"])),
            str(row["parts"]),
            str(row["damaged"] or ""),
            f"{row['bytes']:,}",
            _plain(str(row["finished"])),
            "adopted" if row["adopted"] else "",
        )
    show(table, list(rows.values()) if form == "json" else None)
    return 0


def verify(
    build: Build = Path("build"),
    store: StoreAt = None,
    set_aside: Annotated[
        bool, typer.Option("--set-aside", help="Move damaged parts away, so that they run again.")
    ] = False,
) -> int:
    """Compare every file with its checksum; say what is damaged, and what was set aside before."""
    from compiler.errors import StoreDamaged
    from runtime import audit

    kept = _opened(build, store)
    before = audit.quarantined(kept)
    count = bad = 0
    for part in audit.parts(kept):
        count += 1
        wrong = audit.fault(part)
        if wrong:
            bad += 1
            _say(f"damaged: {part.key}/{part.part}: {wrong}")
            if set_aside:
                try:
                    _say(f"  set aside: {kept.move_aside(part.key, part.part)}")
                except StoreDamaged:  # R002
                    _say("  it is not ours by its name, and stays; remove it by hand")
    for path in before:
        _say(f"set aside earlier: {path}")
    if bad and not set_aside:
        raise StoreDamaged(
            "R007",
            f"{bad} of {count} parts are damaged",
            where=str(kept.root),
            hint="say `stiltscale store verify --set-aside`, and run the studies again",
        )
    _say(f"{count - bad} of {count} parts are as they were recorded")
    return 0


def gc(
    build: Build = Path("build"),
    store: StoreAt = None,
    study: Studies = None,
    nothing_is_needed: Annotated[
        bool, typer.Option("--nothing-is-needed", help="Go on though no study is known.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Free it; without this it is shown.")] = False,
) -> int:
    """Show what no known study needs, and free it with --yes.

    Known are the plans in BUILD, those noted in the store by whoever ran them, and those given.
    """
    from compiler.errors import StoreDamaged
    from runtime import conduct, disposal

    kept = _opened(build, store)
    plans = [conduct.study_or_plan(path) for path in study or ()]
    needs, sources = disposal.needed(kept, plans, build)
    if not sources and not nothing_is_needed:
        raise StoreDamaged(
            "R008",
            "no study is known that could need what is in the store",
            where=str(kept.root),
            hint="name study files with --study, or say --nothing-is-needed",
        )
    for source in sources:
        _say(f"needed by {source}")
    found = disposal.waste(kept, needs)
    for item in found:
        _say(f"{item.bytes:>16,}  {item.path.relative_to(kept.root)}: {item.why}")
    total = sum(item.bytes for item in found)
    if yes:
        count, freed = disposal.free(kept, found)
        _say(f"{count} of {len(found)} freed, {freed:,} bytes")
    else:
        _say(f"{len(found)} can be freed, {total:,} bytes; --yes does it")
    return 0


def export(
    target: Annotated[Path, typer.Argument(help="The tar file to write.", show_default=False)],
    build: Build = Path("build"),
    store: StoreAt = None,
    study: Studies = None,
    key: Annotated[
        list[str] | None, typer.Option("--stage", help="A stage's key; may be given several times.")
    ] = None,
) -> int:
    """Write finished records with their files to a tar archive: of studies, of stages, or all."""
    from runtime import conduct, transfer

    kept = _opened(build, store)
    chosen: set[str] | None = set(key or ()) if key or study else None
    if chosen is not None:
        for path in study or ():
            chosen |= conduct.study_or_plan(path).stages.keys()
        for name in chosen:
            kept.folder(name)
    count, damaged = transfer.export(kept, chosen, target)
    for line in damaged:
        _say(f"left out, damaged: {line}")
    _say(f"{count} parts written: {target}")
    return 0


def import_(
    source: Annotated[Path, typer.Argument(help="What `export` wrote.", show_default=False)],
    build: Build = Path("build"),
    store: StoreAt = None,
) -> int:
    """Take the records of an archive into the store, checked; other content is refused."""
    from runtime import transfer

    came, there = transfer.bring(_opened(build, store), source)
    _say(f"{came} parts imported, {there} were there already")
    return 0


def adopt(
    study: Annotated[Path, typer.Argument(help="The study, or a plan.json.", show_default=False)],
    stage: Annotated[str, typer.Argument(help="Its key, or a part of it.", show_default=False)],
    source: Annotated[
        Path,
        typer.Argument(help="A folder of safetensors, or a JSON of scores.", show_default=False),
    ],
    note: Annotated[str, typer.Option(help="Where it comes from; the report prints it.")],
    build: Build = Path("build"),
    store: StoreAt = None,
) -> int:
    """Take a checkpoint or scores made elsewhere as the result of a stage, marked so."""
    from compiler.explain import find
    from runtime import adoption, conduct

    made = conduct.study_or_plan(study)
    key = find(made, stage)
    came = adoption.adopt(made, _opened(build, store), key, source, note, _say)
    _say(f"{came} parts of {key} adopted")
    return 0


def _opened(build: Path, store: Path | None) -> Store:
    from runtime.store import Store

    kept = Store((store or build / "store").resolve())
    kept.known_layout()
    return kept


def _say(text: str) -> None:
    whole_lines().print(_plain(text), soft_wrap=True, markup=False, highlight=False)


def _plain(text: str) -> str:
    """Show what a terminal would obey, which a store can hold, as text."""
    from runtime.records import printable

    return printable(text)


for function in (ls, verify, gc, export, import_, adopt):
    app.command(name=function.__name__.rstrip("_"))(verb(function))
