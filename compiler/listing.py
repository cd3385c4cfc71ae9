"""Lists the catalogs: every entry with the file that it came from, as rows for table or JSON."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from rich import box
from rich.table import Table
from rich.text import Text

from compiler import catalog as catalogs
from compiler import scratch
from compiler.catalog import Catalog
from compiler.data import TaskSource
from compiler.entries import Model

KINDS = ("tasks", "corpora", "models", "languages", "hardware", "recipes", "benchmarks")

WIDE = 120
"""Columns of a terminal from which on a table shows more than the essential."""

WIDEST = 150
"""Columns from which on the files are shown of what has many columns; `--format json` has all."""

WHOLE = 36
"""Longest name or file that is kept in one line when the terminal is narrow."""

Row = dict[str, Any]
"""Column -> value; the names are those that a table shows, in its order."""


def entries(catalog: Catalog, kind: str) -> list[Row]:
    """Return the entries of one kind whole, each with its file, as JSON can hold them."""
    files = files_of(catalog, kind)
    return [
        {"file": files[name], **entry.model_dump(mode="json", exclude_none=True)}
        for name, entry in _entries(catalog, kind).items()
    ]


def table(catalog: Catalog, kind: str, width: int) -> Table:
    """Return a table of one kind of entry; a narrow one leaves out what only helps to browse."""
    files = files_of(catalog, kind)
    rows = [{**row, "file": files[row[_NAMED[kind]]]} for row in _ROWS[kind](catalog)]
    wide = _WIDE_ONLY[kind] if width < WIDE else ()
    if width < WIDEST and kind in ("tasks", "models", "corpora", "recipes"):
        wide = (*wide, "file")
    columns = [name for name in (rows[0] if rows else {"file": ""}) if name not in wide]
    shown = Table(
        box=box.SIMPLE,
        title=f"{kind}: {len(rows)}",
        title_justify="left",
        padding=(0, 1, 0, 0),
        pad_edge=False,
    )
    for name in columns:
        number = name in _SIZES or any(isinstance(row[name], int | float) for row in rows)
        # Names, numbers and files keep their width, so that others are folded first.
        whole = number or name in (columns[0], "file")
        longest = max((len(_text(row[name])) for row in rows), default=0)
        shown.add_column(
            name,
            justify="right" if number else "left",
            overflow="fold",
            width=min(max(longest, len(name)), WHOLE) if whole else None,
        )
    for row in rows:
        shown.add_row(*(Text(_text(row[name])) for name in columns))
    return shown


def files_of(catalog: Catalog, kind: str) -> dict[str, str]:
    """Return the file of each entry: ours from `specs/`, an author's as its folder was given."""
    if kind == "languages":
        return _language_files(catalog)
    found = {}
    ours = catalogs.specs_folder()
    for name in _entries(catalog, kind):
        path = catalog.files[f"{kind}/{name}"]
        inside = path.is_relative_to(ours)
        found[name] = (Path("specs") / path.relative_to(ours) if inside else path).as_posix()
    return found


def _language_files(catalog: Catalog) -> dict[str, str]:
    """Return the file of each language: the author's where it has another entry than ours."""
    files = [name for name in catalog.digests if name.endswith("languages.yaml")]
    ours = catalogs.load().languages if len(files) > 1 else catalog.languages
    return {
        code: files[0] if ours.get(code) == entry else files[-1]
        for code, entry in catalog.languages.items()
    }


def _entries(catalog: Catalog, kind: str) -> Mapping[str, Any]:
    found: dict[str, Mapping[str, Any]] = {
        "tasks": catalog.tasks,
        "corpora": catalog.corpora,
        "models": catalog.families,
        "languages": catalog.languages,
        "hardware": catalog.devices,
        "recipes": catalog.recipes,
        "benchmarks": catalog.benchmarks,
    }
    return found[kind]


def _text(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    return f"{value:g}" if isinstance(value, float) else str(value)


def _size(count: int | None) -> str:
    if count is None:
        return "-"
    if count < 10**6:
        return f"{count / 1e3:.0f} K"
    return f"{count / 1e9:.2f} B" if count >= 10**9 else f"{count / 1e6:.1f} M"


def _tasks(catalog: Catalog) -> list[Row]:
    return [
        {
            "task": name,
            "title": task.title,
            "kind": task.kind.replace("_", " "),
            "metric": task.metric,
            "languages": len(task.languages),
            "trained on": " + ".join(task.train_on) or ("itself" if task.trains else "-"),
            "data": _source(task.source),
        }
        for name, task in catalog.tasks.items()
    ]


def _source(source: TaskSource) -> str:
    if source.hub is not None:
        return f"hub: {source.hub}"
    return f"reader: {source.reader}" if source.reader is not None else "local files"


def _models(catalog: Catalog) -> list[Row]:
    return [
        {
            "model": model.name,
            "family": name,
            "size": str(model.size) if model.size is not None else "-",
            "total": _size(counts.total if counts else None),
            "non-embedding": _size(counts.non_embedding if counts else None),
            "checkpoint": _origin(model),
            "gated": model.gated,
            "licence": family.license or "-",
        }
        for name, family in catalog.families.items()
        for model in scratch.members(family)
        for counts in [model.parameters]
    ]


def _origin(model: Model) -> str:
    source = model.checkpoint
    if source is None:
        return "from scratch"
    return str(source.hub or source.folder or source.file)


def _corpora(catalog: Catalog) -> list[Row]:
    return [
        {
            "corpus": name,
            "title": corpus.title,
            "parallel": corpus.parallel,
            "languages": len(corpus.languages),
            "rows": sum(corpus.counts.values()) or None,
            "licence": corpus.license or "-",
            "data": _source(corpus.source),
        }
        for name, corpus in catalog.corpora.items()
    ]


def _languages(catalog: Catalog) -> list[Row]:
    used = [set(task.languages) for task in catalog.tasks.values()]
    return [
        {
            "code": code,
            "name": language.name,
            "script": language.script,
            "family": language.family,
            "ISO 639-3": language.iso639_3,
            "XLM-R": language.xlm_r,
            "BLOOM": language.bloom,
            "tasks": sum(code in languages for languages in used),
        }
        for code, language in catalog.languages.items()
    ]


def _hardware(catalog: Catalog) -> list[Row]:
    return [
        {
            "device": name,
            "title": device.title,
            "GiB": device.memory_gib,
            "TFLOP/s": ", ".join(f"{k} {v:g}" for k, v in device.tflops.items()) or "-",
            "GB/s": device.bandwidth_gb_s,
            "price/h": device.price_per_hour,
        }
        for name, device in catalog.devices.items()
    ]


def _recipes(catalog: Catalog) -> list[Row]:
    rows = []
    for name, recipe in catalog.recipes.items():
        defaults = recipe.defaults.model_dump(exclude_none=True)
        narrower = (*recipe.phases, *recipe.tasks, *recipe.models)
        rows.append(
            {
                "recipe": name,
                "title": recipe.title,
                "defaults": ", ".join(f"{k} {_text(v)}" for k, v in defaults.items()) or "-",
                "changed for": ", ".join(narrower) or "-",
            }
        )
    return rows


def _benchmarks(catalog: Catalog) -> list[Row]:
    return [
        {
            "benchmark": name,
            "title": benchmark.title,
            "tasks": ", ".join(entry.task for entry in benchmark.tasks),
        }
        for name, benchmark in catalog.benchmarks.items()
    ]


_NAMED = {
    "tasks": "task",
    "corpora": "corpus",
    "models": "family",
    "languages": "code",
    "hardware": "device",
    "recipes": "recipe",
    "benchmarks": "benchmark",
}

_SIZES = ("total", "non-embedding")

_ROWS: dict[str, Callable[[Catalog], list[Row]]] = {
    "tasks": _tasks,
    "corpora": _corpora,
    "models": _models,
    "languages": _languages,
    "hardware": _hardware,
    "recipes": _recipes,
    "benchmarks": _benchmarks,
}

_WIDE_ONLY: dict[str, tuple[str, ...]] = {
    "tasks": ("title", "metric", "trained on"),
    "corpora": ("title", "licence"),
    "models": ("checkpoint", "gated", "licence"),
    "languages": ("ISO 639-3", "XLM-R", "BLOOM"),
    "hardware": ("title", "GB/s"),
    "recipes": ("title",),
    "benchmarks": ("title",),
}
