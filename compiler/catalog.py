"""The catalogs: tasks, corpora, families and recipes as YAML files, ours and the author's own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from compiler.entries import Benchmark, Corpus, Device, Family, LanguageEntry, Task
from compiler.errors import Diagnostic, StudyInvalid
from compiler.evidence import EvidenceSet
from compiler.identity import digest
from compiler.source import read
from compiler.terms import Frozen
from compiler.training import Recipe
from compiler.validate import validate

E = TypeVar("E", bound=Frozen)


class Languages(Frozen):
    """The file of languages: one list."""

    languages: tuple[LanguageEntry, ...]


@dataclass(frozen=True)
class Catalog:
    """Every known definition by name, and the file that each came from.

    ``files``, ``origins`` by kind and name (``tasks/mnli``): the path; and as people are told it,
    with the files before it whose definition it replaces. ``digests`` by the latter name.
    """

    tasks: Mapping[str, Task]
    families: Mapping[str, Family]
    recipes: Mapping[str, Recipe]
    benchmarks: Mapping[str, Benchmark]
    devices: Mapping[str, Device]
    languages: Mapping[str, LanguageEntry]
    corpora: Mapping[str, Corpus] = field(default_factory=dict)
    files: Mapping[str, Path] = field(default_factory=dict)
    digests: Mapping[str, str] = field(default_factory=dict)
    origins: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    evidence: Mapping[str, EvidenceSet] = field(default_factory=dict)

    def origin(self, place: str) -> dict[str, str]:
        """Return the file that a definition came from, its digest, and the file it replaces."""
        file, *replaced = self.origins[place]
        found = {"file": file, "digest": self.digests[file]}
        return found | ({"replaces": replaced[0]} if replaced else {})

    def folder(self, kind: str, name: str) -> Path:
        """Return the folder of a definition's file, to which its relative paths belong."""
        return self.files[f"{kind}/{name}"].parent


def specs_folder() -> Path:
    """Return the folder of the catalogs that come with Stiltscale, installed or in a checkout."""
    packaged = Path(__file__).parent / "_specs"
    return packaged if packaged.is_dir() else Path(__file__).parent.parent / "specs"


def load(own: Path | None = None, *, shown: str | None = None) -> Catalog:
    """Read our catalogs, then the author's folder, whose entries extend or replace ours.

    Raises StudyInvalid with the findings of every file.
    """
    roots = [(specs_folder(), "specs")]
    if own is not None:
        roots.append((own, shown or str(own)))
    problems: list[Diagnostic] = []
    files: dict[str, Path] = {}
    digests: dict[str, str] = {}
    origins: dict[str, tuple[str, ...]] = {}

    def entries(kind: str, model: type[E], key: str) -> dict[str, E]:
        found: dict[str, E] = {}
        for root, label in roots:
            for path in sorted((root / kind).glob("*.yaml")):
                try:
                    document = read(
                        path, shown=f"{label}/{kind}/{path.name}", ours=root == specs_folder()
                    )
                    entry = validate(document, model)
                except StudyInvalid as error:
                    problems.extend(error.diagnostics)
                    continue
                name = str(getattr(entry, key))
                found[name] = entry
                place, told = f"{kind}/{name}", f"{label}/{kind}/{path.name}"
                files[place] = path
                digests[told] = digest(document.value)
                origins[place] = (told, *origins.get(place, ()))
        return found

    languages: dict[str, LanguageEntry] = {}
    for root, label in roots:
        path = root / "languages.yaml"
        if not path.is_file():
            continue
        try:
            document = read(path, shown=f"{label}/languages.yaml", ours=root == specs_folder())
            known = validate(document, Languages)
        except StudyInvalid as error:
            problems.extend(error.diagnostics)
            continue
        languages |= {entry.language: entry for entry in known.languages}
        told = f"{label}/languages.yaml"
        digests[told] = digest(document.value)
        origins["languages"] = (told, *origins.get("languages", ()))
    catalog = Catalog(
        tasks=entries("tasks", Task, "task"),
        families=entries("models", Family, "family"),
        recipes=entries("recipes", Recipe, "recipe"),
        benchmarks=entries("benchmarks", Benchmark, "benchmark"),
        devices=entries("hardware", Device, "device"),
        corpora=entries("corpora", Corpus, "corpus"),
        evidence=entries("evidence", EvidenceSet, "evidence"),
        languages=languages,
        files=files,
        digests=digests,
        origins=origins,
    )
    if problems:
        raise StudyInvalid(problems)
    return catalog
