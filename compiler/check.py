"""Checks a study file: reads, validates and resolves it, and says every finding in one pass."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from compiler import catalog as catalogs
from compiler import counts, fitting, presence, probe, rules
from compiler import lock as locks
from compiler.catalog import Catalog
from compiler.codes import CODES
from compiler.errors import Diagnostic, StudyInvalid
from compiler.findings import Findings
from compiler.inherit import read_study
from compiler.published import evidence, strangers
from compiler.resolve import Goal, Reading, Resolved, Treatment, arms, goals, models, readings
from compiler.settings import lengths, retrievals, settings, uncounted, unselected
from compiler.study import EvidenceStudy, Study, model_of
from compiler.validate import suggest, validate


def check(path: Path, *, installed: bool = True, locked: bool = True) -> Resolved:
    """Read, validate and resolve a study file.

    With ``installed`` the packages that its data and models come from must be there. With
    ``locked`` a lock beside the study pins what the hub is asked for. Raises
    StudyInvalid with all findings when one of them is an error; warnings and notes are kept in
    the result.
    """
    document = read_study(path)
    study = validate(document, model_of(document.value))
    own = None
    if study.catalog is not None:
        named_in = Path(document.span(("catalog",)).file)  # perhaps a file that this one extends
        own = named_in.parent / study.catalog
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
    lock = locks.find(path) if locked else None
    if lock is not None:
        study, catalog = locks.pinned(study, catalog, lock)
    found = Findings(document)
    say = found.say
    sources = evidence(study, catalog, document, say)
    if isinstance(study, EvidenceStudy):
        return _published(
            Resolved(path, study, catalog, (), {}, (), (), {}, evidence=sources), lock, found
        )
    catalog = counts.recounted(study, catalog, say)
    ladder, families, describes = models(study, catalog, say)
    treatments = tuple(arms(study, catalog, say))
    targets = tuple(goals(study, catalog, say))
    rules.pairs(treatments, targets, say)
    rules.duplicates(study, say)
    rules.analysis(study, say)
    rules.hardware(study, catalog, say)
    counts.idle(study, catalog, treatments, targets, say)
    trainings = settings(study, catalog, ladder, treatments, targets, say)
    uncounted(treatments, trainings, say)
    unselected(treatments, targets, trainings, say)
    vectors = retrievals(study, catalog, ladder, targets)
    lengths(ladder, trainings, vectors, say)
    design = (families, treatments, targets, trainings)
    if not found.errors():
        ladder = fitting.fallen_back(study, catalog, ladder, *design)
    corpora = readings(ladder, treatments, catalog)
    if installed:
        presence.packages(ladder, treatments, targets, corpora, say)
        presence.trackers(study.tracking, say)
    folders = {m.name: model_folder(m.name, families, catalog, path) for m in ladder}
    presence.files(ladder, treatments, targets, corpora, folders, catalog, say)
    if found.errors():
        raise StudyInvalid([d for d in found.made if d.severity != "note"])
    rules.design(study, ladder, targets, treatments, families, trainings, say)
    rules.pretrainings(ladder, say)
    rules.coverage(catalog, ladder, families, targets, say)
    rules.sources(corpora, targets, say)
    rules.caveats(targets, say)
    rules.unscored(study, targets, say)
    rules.margin(study, ladder, families, targets, treatments, say)
    rules.replaced(catalog, _used(study, treatments, targets, families, corpora), say)
    strategies = fitting.fitted(study, catalog, ladder, *design, say)
    second = None
    if not found.errors():
        second = probe.probed(study, catalog, ladder, *design, strategies, say)
    if found.errors():
        raise StudyInvalid([d for d in found.made if d.severity != "note"])
    resolved = Resolved(
        path,
        study,
        catalog,
        ladder,
        families,
        treatments,
        targets,
        fitting.cut(trainings, strategies),
        retrievals=vectors,
        describes=describes,
        lock=locks.digests(lock) if lock else {},
        strategies=strategies,
        evidence=sources,
        probe=second,
    )
    strangers(resolved, say)
    if lock is not None:
        locks.compare(lock, resolved, say)
        resolved = replace(resolved, deviations=locks.deviations(lock, resolved))
    known = sorted(acknowledged(study, found), key=Diagnostic.sort_key)
    return replace(resolved, diagnostics=tuple(known))


def _published(resolved: Resolved, lock: locks.Lock | None, found: Findings) -> Resolved:
    """Return a study of published scores alone, with what is found about it."""
    if found.errors():
        raise StudyInvalid([d for d in found.made if d.severity != "note"])
    rules.duplicates(resolved.study, found.say)
    if lock is not None:
        resolved = replace(resolved, lock=locks.digests(lock))
        locks.compare(lock, resolved, found.say)
    known = sorted(acknowledged(resolved.study, found), key=Diagnostic.sort_key)
    return replace(resolved, diagnostics=tuple(known))


def _used(
    study: Study,
    arms: tuple[Treatment, ...],
    goals: tuple[Goal, ...],
    families: Mapping[str, str],
    corpora: Mapping[str, Reading],
) -> tuple[str, ...]:
    """Name the catalog entries that a study uses, as `Catalog.origins` does."""
    tasks = {task.task for arm in arms for task in arm.tasks}
    for goal in goals:
        tasks |= {goal.task.task, *(task.task for task in goal.trains)}
    return (
        *(f"tasks/{name}" for name in sorted(tasks)),
        *(f"corpora/{name}" for name in sorted(corpora)),
        *(f"models/{name}" for name in sorted(set(families.values()))),
        f"recipes/{study.recipe.name}",
        f"hardware/{study.hardware.device}",
        f"benchmarks/{study.targets.benchmark}",
        "languages",
    )


def model_folder(name: str, families: Mapping[str, str], catalog: Catalog, study: Path) -> Path:
    """Return what a model's local paths are relative to: its catalog's folder, or the study's."""
    family = families[name]
    known = f"models/{family}" in catalog.files
    return catalog.folder("models", family) if known else study.parent


def acknowledged(study: Study, found: Findings) -> list[Diagnostic]:
    """Turn warnings that the author acknowledges into notes that carry the reason.

    Raises StudyInvalid when a code that is no warning is acknowledged.
    """
    reasons = {}
    for index, entry in enumerate(study.acknowledge):
        path = ("acknowledge", index, "code")
        if entry.code not in CODES or CODES[entry.code][0] != "warning":
            warnings = [code for code, (severity, _) in CODES.items() if severity == "warning"]
            found.say("C119", f"`{entry.code}` is no warning", suggest(entry.code, warnings), path)
        elif entry.code not in {d.code for d in found.made}:
            found.say("C214", f"`{entry.code}` is acknowledged and did not occur", "", path)
        reasons[entry.code] = entry.reason
    if found.errors():
        raise StudyInvalid(found.made)
    return [
        replace(d, severity="note", message=f"{d.message} (acknowledged: {reasons[d.code]})")
        if d.severity == "warning" and d.code in reasons
        else d
        for d in found.made
    ]


def _holds_catalog(folder: Path) -> bool:
    try:
        return any(
            (folder / kind).is_dir()
            for kind in ("tasks", "models", "recipes", "corpora", "evidence")
        )
    except (OSError, ValueError):  # too long, or not to be looked into
        return False
