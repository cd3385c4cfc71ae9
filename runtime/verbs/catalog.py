"""The verbs that show the catalog, and what a model needs on a device."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from runtime.terminal import Build, CatalogAt, StoreAt, TableOrJson, show, whole_lines


def tasks(catalog: CatalogAt = None, form: TableOrJson = "table") -> int:
    """List the tasks of the catalog."""
    return _list("tasks", catalog, form)


def corpora(catalog: CatalogAt = None, form: TableOrJson = "table") -> int:
    """List the corpora of the catalog, to pretrain on or to replay."""
    return _list("corpora", catalog, form)


def models(catalog: CatalogAt = None, form: TableOrJson = "table") -> int:
    """List the model families of the catalog, with their sizes."""
    return _list("models", catalog, form)


def languages(catalog: CatalogAt = None, form: TableOrJson = "table") -> int:
    """List the languages of the catalog."""
    return _list("languages", catalog, form)


def hardware(catalog: CatalogAt = None, form: TableOrJson = "table") -> int:
    """List the devices of the catalog."""
    return _list("hardware", catalog, form)


def recipes(catalog: CatalogAt = None, form: TableOrJson = "table") -> int:
    """List the training recipes of the catalog."""
    return _list("recipes", catalog, form)


def benchmarks(catalog: CatalogAt = None, form: TableOrJson = "table") -> int:
    """List the benchmarks of the catalog."""
    return _list("benchmarks", catalog, form)


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
    build: Build = Path("build"),
    store: StoreAt = None,
    form: TableOrJson = "table",
) -> int:
    """Say in which ways a model fits a device, with memory, hours and energy of one training.

    Hours are measured where the store has a pilot of the same model, training and way.
    """
    from compiler import answer
    from compiler import resources as numbers
    from compiler.strategy import Machine
    from compiler.training import TrainingChange
    from runtime.recorded import pilots_of
    from runtime.store import Store

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
    pilots = list(pilots_of(Store(store or build / "store"), found.name, device))
    rows = answer.rows(question, traced, pilots)
    show(answer.view(question, traced, pilots), rows if form == "json" else None)
    return 0 if any(row["fits"] for row in rows) else 1


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
    show(listing.table(catalog, kind, whole_lines().width), entries)
    return 0
