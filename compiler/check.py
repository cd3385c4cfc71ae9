"""Checks a study file: reads, validates and resolves it, and says every finding in one pass."""

from __future__ import annotations

from pathlib import Path

from compiler import catalog as catalogs
from compiler import presence, rules
from compiler.errors import Diagnostic, StudyInvalid
from compiler.findings import Findings
from compiler.resolve import Resolved, goals, models, recipes
from compiler.source import read
from compiler.study import Study
from compiler.validate import validate


def check(path: Path, *, installed: bool = True) -> Resolved:
    """Read, validate and resolve a study file.

    With ``installed`` the packages that its data and models come from must be there. Raises
    StudyInvalid with all findings when one of them is an error; warnings and notes are kept in
    the result.
    """
    document = read(path)
    study = validate(document, Study)
    own = None
    if study.catalog is not None:
        own = path.parent / study.catalog
        if not _holds_catalog(own):
            raise StudyInvalid(
                [
                    Diagnostic(
                        "C001",
                        "error",
                        f"`{study.catalog}` is no catalog folder",
                        "name a folder that has tasks/, models/ or recipes/, relative to this file",
                        document.span(("catalog",)),
                    )
                ]
            )
    catalog = catalogs.load(own, shown=study.catalog)
    found = Findings(document)
    ladder, families, describes = models(study, catalog, found.say)
    targets = tuple(goals(study, catalog, found.say))
    rules.arms(study, catalog, targets, found.say)
    rules.duplicates(study, found.say)
    trainings = recipes(study, catalog, ladder, targets, found.say)
    if installed:
        presence.packages(study, catalog, ladder, targets, found.say)
    presence.files(study, catalog, ladder, targets, path.parent, found.say)
    if found.errors():
        raise StudyInvalid([d for d in found.made if d.severity != "note"])
    rules.design(study, ladder, targets, found.say)
    return Resolved(
        path,
        study,
        catalog,
        ladder,
        families,
        targets,
        trainings,
        tuple(sorted(found.made, key=Diagnostic.sort_key)),
        describes,
    )


def _holds_catalog(folder: Path) -> bool:
    try:
        return any((folder / kind).is_dir() for kind in ("tasks", "models", "recipes"))
    except (OSError, ValueError):  # too long, or not to be looked into
        return False
