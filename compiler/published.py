"""Finds the published scores that a study names, and what its claims speak of."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from compiler.catalog import Catalog
from compiler.errors import StudyInvalid
from compiler.evidence import Source, located
from compiler.fingerprint import file_sha256
from compiler.resolve import Resolved, Say
from compiler.source import Document
from compiler.study import Study
from compiler.validate import suggest


def evidence(study: Study, catalog: Catalog, document: Document, say: Say) -> tuple[Source, ...]:
    """Return the tables of published scores of a study; what is not there is said.

    Names of claims and of sets are said too when they are there twice.
    """
    found: list[Source] = []
    for index, entry in enumerate(study.evidence):
        key = "file" if entry.name is None else "name"
        place = ("evidence", index, key)
        base = Path(document.span(("evidence",)).file).parent  # perhaps of a file it extends
        if entry.name is not None and entry.name not in catalog.evidence:
            what = f"there is no set of published scores `{entry.name}`"
            say("C180", what, suggest(entry.name, catalog.evidence), place)
            continue
        folder = catalog.folder("evidence", entry.name) if entry.name else base
        source = located(entry, catalog.evidence, folder, base)
        try:
            source = replace(source, digest=file_sha256(source.path))
        except (StudyInvalid, ValueError):  # a name that no file can have
            what = f"there is no file of published scores `{source.path.name}`"
            say("C180", what, "give a path relative to the study", place)
            continue
        found.append(source)
    names = [claim.claim for claim in study.claims]
    for index, name in enumerate(names):
        if name in names[:index]:
            say("C104", f"`{name}` is listed twice in `claims`", "remove one", ("claims", index))
    return tuple(found)


def strangers(resolved: Resolved, say: Say) -> None:
    """Say which claims speak of what the study does not have: they cannot be judged by it."""
    known = {
        "model": {model.name for model in resolved.models},
        "intermediate": {arm.name for arm in resolved.arms},
        "target": {goal.task.task for goal in resolved.goals},
    }
    for index, claim in enumerate(resolved.study.claims):
        for kind, names in claim.names().items():
            for name in names:
                if name not in known[kind] and not claim.untestable:
                    what = f"the claim `{claim.claim}` is about the {kind} `{name}`"
                    say(
                        "C280", f"{what}, which this study does not have",
                        suggest(name, known[kind]), ("claims", index),
                    )  # fmt: skip
