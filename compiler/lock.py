"""Freezes what a study depends on: commits of the hub, packages, catalogs and the analysis plan."""

from __future__ import annotations

import importlib.metadata
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, TypeVar

import yaml
from pydantic import Field

from compiler.catalog import Catalog
from compiler.data import matching
from compiler.entries import Checkpoint, Corpus, Model, Task
from compiler.errors import EnvironmentUnready
from compiler.fingerprint import file_sha256
from compiler.identity import canonical, digest
from compiler.resolve import Resolved, Say, readings
from compiler.source import read
from compiler.study import Study
from compiler.terms import Frozen
from compiler.validate import validate

SCHEMA: Literal["stiltscale/lock/1"] = "stiltscale/lock/1"
HubKind = Literal["model", "dataset"]
Resolver = Callable[[HubKind, str, str | None], str]
"""Returns the commit of a repository's revision; raises LookupError, which says why it has none."""

RUNTIME = (
    "stiltscale", "accelerate", "datasets", "huggingface_hub", "numpy", "polars", "safetensors",
    "scipy", "sentencepiece", "seqeval", "tokenizers", "torch", "transformers",
)  # fmt: skip
"""Packages that every result depends on; those of the catalogs' entries come on top."""

Data = TypeVar("Data", Task, Corpus)

_WORDS = {"title", "description", "citation", "license", "limitations", "caveats"}
_COMMIT = re.compile(r"[0-9a-f]{40}")
_AMBIGUOUS = re.compile(r"[-+.0-9a-fA-FeExo_]+")


class Lock(Frozen):
    """A lock file: written by `stiltscale lock`, read by every verb that reads the study."""

    lock: Literal["stiltscale/lock/1"] = Field(description="Version of this format.")
    study: str = Field(description="Name of the study.")
    study_digest: str = Field(description="Of the study and what it takes from the catalogs.")
    analysis: dict[str, Any] = Field(description="The analysis plan as it was frozen.")
    analysis_digest: str = Field(description="Of the analysis plan.")
    claims: dict[str, str] | None = Field(
        None, description="Digest of every published claim to judge; locks of old have none."
    )
    models: dict[str, str] = Field({}, description="Commit by hub model, or model@revision.")
    datasets: dict[str, str] = Field({}, description="Commit by hub dataset, or dataset@revision.")
    files: dict[str, str] = Field({}, description="Digest of every local data file that is there.")
    packages: dict[str, str] = Field({}, description="Versions installed when it was locked.")
    catalog: dict[str, str] = Field({}, description="Digest of every catalog file.")

    def commit(self, kind: HubKind, name: str, revision: str | None) -> str | None:
        """Return the commit that was locked for a repository and revision."""
        commits = self.models if kind == "model" else self.datasets
        return commits.get(_entry(name, revision))


def lock_path(study: Path) -> Path:
    """Return where the lock of a study is."""
    return study.with_name(f"{study.stem}.lock.yaml")


def find(study: Path) -> Lock | None:
    """Read the lock beside a study, None when there is none; raises StudyInvalid."""
    path = lock_path(study)
    return validate(read(path), Lock) if path.is_file() else None


def pinned(study: Study, catalog: Catalog, lock: Lock) -> tuple[Study, Catalog]:
    """Return both with the locked commits where an entry of the hub names no commit itself."""

    def source(checkpoint: Checkpoint | None) -> Checkpoint | None:
        if checkpoint is None or checkpoint.hub is None:
            return checkpoint
        commit = lock.commit("model", checkpoint.hub, checkpoint.revision)
        return checkpoint.model_copy(update={"revision": commit}) if commit else checkpoint

    def model(entry: Model) -> Model:
        sources = {"checkpoint": source(entry.checkpoint), "tokenizer": source(entry.tokenizer)}
        return entry.model_copy(update=sources)

    def data(entry: Data) -> Data:
        if entry.source.hub is None:
            return entry
        commit = lock.commit("dataset", entry.source.hub, _revision(entry))
        if commit is None:
            return entry
        return entry.model_copy(
            update={"source": entry.source.model_copy(update={"revision": commit})}
        )

    members = tuple(model(entry) for entry in study.models.members)
    models = study.models.model_copy(update={"members": members})
    families = {
        name: family.model_copy(update={"members": tuple(model(m) for m in family.members)})
        for name, family in catalog.families.items()
    }
    tasks = {name: data(entry) for name, entry in catalog.tasks.items()}
    corpora = {name: data(entry) for name, entry in catalog.corpora.items()}
    return (
        study.model_copy(update={"models": models}),
        replace(catalog, families=families, tasks=tasks, corpora=corpora),
    )


def compare(lock: Lock, resolved: Resolved, say: Say) -> None:
    """Say where the study is not what was locked."""
    if study_digest(resolved, lock) != lock.study_digest:
        say(
            "C215",
            "the study, or what it takes from the catalogs, has changed since it was locked",
            "`stiltscale lock` again if that is meant",
            ("study",),
        )
    here = dict((*_files(resolved), *_evidence(resolved)))
    changed = [name for name, content in lock.files.items() if here.get(name) != content]
    if changed:
        more = f" and {len(changed) - 1} more" if len(changed) > 1 else ""
        say(
            "C215",
            f"a data file is not as it was locked: {changed[0]}{more}",
            "`stiltscale lock` again if that is meant; what reads it runs again",
            ("study",),
        )
    if digest(resolved.study.analysis.model_dump(mode="json")) != lock.analysis_digest:
        changes = _analysis_changes(lock, resolved)
        where = "; ".join(f"{name}: locked {old}, now {new}" for name, old, new in changes)
        where = where or "its digest"
        say(
            "C216",
            f"the analysis plan differs from the locked one in {where}",
            "the report lists it as a deviation",
            ("analysis",),
        )
    claims = [name for name, _, _ in _claim_changes(lock, resolved)]
    if claims:
        say(
            "C216",
            f"a published claim is not as it was locked: {', '.join(claims)}",
            "the report lists it as a deviation",
            ("claims",),
        )


def deviations(lock: Lock, resolved: Resolved) -> tuple[dict[str, str], ...]:
    """Return field by field what was locked and what is now, for the report to list."""
    found = [
        {"what": f"analysis: {name.replace('_', ' ')}", "locked": old, "now": new}
        for name, old, new in _analysis_changes(lock, resolved)
    ]
    found += [
        {"what": f"claim {name}", "locked": old, "now": new}
        for name, old, new in _claim_changes(lock, resolved)
    ]
    now = study_digest(resolved, lock)
    if now != lock.study_digest:
        what = "what determines the results (digest of the study and its catalog entries)"
        found.append({"what": what, "locked": lock.study_digest[:16], "now": now[:16]})
    here = dict(_files(resolved))
    found += [
        {"what": f"data file {name}", "locked": content, "now": here.get(name, "not there")}
        for name, content in lock.files.items()
        if here.get(name) != content
    ]
    return tuple(found)


def _analysis_changes(lock: Lock, resolved: Resolved) -> list[tuple[str, str, str]]:
    now = resolved.study.analysis.model_dump(mode="json")
    return [
        (name, _shown(lock.analysis.get(name)), _shown(now.get(name)))
        for name in sorted(set(now) | set(lock.analysis))
        if canonical(now.get(name)) != canonical(lock.analysis.get(name))
    ]


def _claims(resolved: Resolved) -> dict[str, str]:
    return {claim.claim: digest(claim.entry())[:16] for claim in resolved.study.claims}


def _claim_changes(lock: Lock, resolved: Resolved) -> list[tuple[str, str, str]]:
    """Return name, old and new digest of the claims that changed, came or went since the lock."""
    if lock.claims is None:
        return []
    now = _claims(resolved)
    return [
        (name, lock.claims.get(name, "not there"), now.get(name, "not there"))
        for name in sorted(set(now) | set(lock.claims))
        if now.get(name) != lock.claims.get(name)
    ]


def digests(lock: Lock) -> dict[str, str]:
    """Return what a plan keeps of a lock."""
    return {
        "schema": lock.lock,
        "study": lock.study_digest,
        "analysis": lock.analysis_digest,
        "file": digest(lock.model_dump(mode="json", exclude_none=True)),
    }


def study_digest(resolved: Resolved, lock: Lock | None = None) -> str:
    """Return a digest of all that determines results, commits of the lock included.

    The analysis plan has a digest of its own; hardware and words for people are left out.
    """
    tasks = {task.task: task for arm in resolved.arms for task in arm.tasks}
    for goal in resolved.goals:
        tasks |= {task.task: task for task in (goal.task, *goal.trains)}
    body = {
        "study": resolved.study.study,
        "seeds": list(resolved.study.seeds),
        "models": [_essence(model, lock) for model in resolved.models],
        "tasks": {name: _essence(task, lock) for name, task in tasks.items()},
        "arms": [
            [arm.name, arm.role, arm.of, [_course(course) for course in arm.courses]]
            for arm in resolved.arms
        ],
        "targets": [
            [goal.task.task, list(goal.languages), [task.task for task in goal.trains]]
            for goal in resolved.goals
        ],
        "recipes": {
            "/".join(place): training.model_dump(mode="json", exclude=training.unkeyed)
            for place, training in resolved.recipes.items()
        },
    }
    if resolved.retrievals:
        body["retrievals"] = {
            "/".join(place): retrieval.model_dump(mode="json")
            for place, retrieval in resolved.retrievals.items()
        }
    corpora = _corpora(resolved)
    if corpora:
        body["corpora"] = {name: _essence(corpus, lock) for name, corpus in corpora.items()}
    return digest(body)


def make(resolved: Resolved, commit_of: Resolver) -> Lock:
    """Return the lock of a study that was resolved without one.

    Raises EnvironmentUnready (E020) that names every repository without a commit.
    """
    found: dict[str, dict[str, str]] = {"model": {}, "dataset": {}}
    troubles: dict[str, str] = {}
    wanted = dict.fromkeys(repositories(resolved))
    for kind, name, revision in wanted:
        if revision is not None and _COMMIT.fullmatch(revision):
            found[kind][_entry(name, revision)] = revision
            continue
        try:
            found[kind][_entry(name, revision)] = commit_of(kind, name, revision)
        except LookupError as error:
            troubles[f"{kind} {_entry(name, revision)}"] = str(error.args[0])
    if troubles:
        lines = [f"the commits of {len(troubles)} of {len(wanted)} repositories could not be found"]
        lines += [
            f"  {why}" if name in why else f"  {name}: {why}"
            for name, why in sorted(troubles.items())
        ]
        raise EnvironmentUnready(
            "E020",
            "\n".join(lines),
            hint="lock once with a network; a cache that has loaded them before does too",
        )
    analysis = resolved.study.analysis.model_dump(mode="json")
    made = Lock(
        lock=SCHEMA,
        study=resolved.study.study,
        study_digest="",
        analysis=analysis,
        analysis_digest=digest(analysis),
        claims=_claims(resolved),
        models=dict(sorted(found["model"].items())),
        datasets=dict(sorted(found["dataset"].items())),
        files=dict(sorted((*_files(resolved), *_evidence(resolved)))),
        packages=dict(sorted(_installed(resolved))),
        catalog=dict(sorted(resolved.catalog.digests.items())),
    )
    return made.model_copy(update={"study_digest": study_digest(resolved, made)})


def repositories(resolved: Resolved) -> Iterator[tuple[HubKind, str, str | None]]:
    """Yield every repository of the hub that the study's models and tasks name."""
    for model in resolved.models:
        for source in (model.checkpoint, model.tokenizer):
            if source is not None and source.hub is not None:
                yield "model", source.hub, source.revision
    for entry in _data(resolved):
        if entry.source.hub is not None:
            yield "dataset", entry.source.hub, _revision(entry)


def as_yaml(lock: Lock, study: str) -> str:
    """Write a lock; the same lock gives the same bytes."""
    body = yaml.dump(
        lock.model_dump(mode="json", exclude_none=True),
        Dumper=_Dumper,
        sort_keys=False,
        allow_unicode=True,
        width=120,
    )
    return f"# Written by `stiltscale lock {study}`; kept with the study. Not for editing.\n{body}"


class _Dumper(yaml.SafeDumper):
    """Quotes what YAML 1.2 would read as a number: a digest may look like 12e34."""


def _text(dumper: _Dumper, text: str) -> yaml.ScalarNode:
    style = '"' if _AMBIGUOUS.fullmatch(text) else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _text)


def _tasks(resolved: Resolved) -> Iterator[Task]:
    for arm in resolved.arms:
        yield from arm.tasks
    for goal in resolved.goals:
        yield from (goal.task, *goal.trains)


def _data(resolved: Resolved) -> Iterator[Task | Corpus]:
    yield from _tasks(resolved)
    yield from _corpora(resolved).values()


def _corpora(resolved: Resolved) -> dict[str, Corpus]:
    read = readings(resolved.models, resolved.arms, resolved.catalog)
    return {name: reading.corpus for name, reading in read.items()}


def _files(resolved: Resolved) -> Iterator[tuple[str, str]]:
    """Yield the local data files that are there, as the catalog names them, with their digest.

    A name with ``*`` has one digest of all its files.
    """
    for entry in _data(resolved):
        folder = resolved.catalog.folder(*entry.place) if entry.source.files else Path()
        for split in entry.source.files or ():
            for language in entry.languages:
                for name in entry.files_of(split, language):
                    there = [path for path in matching(folder, name) if path.is_file()]
                    if there:
                        found = [file_sha256(path) for path in there]
                        whole = digest(found) if "*" in name else found[0]
                        yield f"{entry.place[0]}/{name}", whole[:16]


def _evidence(resolved: Resolved) -> Iterator[tuple[str, str]]:
    """Yield the tables of published scores that are there, with their digest."""
    for source in resolved.evidence:
        yield f"evidence/{source.label}", source.digest[:16]


def _installed(resolved: Resolved) -> Iterator[tuple[str, str]]:
    """Yield the installed version of every package that the study needs; absent ones not."""
    names = set(RUNTIME)
    for model in resolved.models:
        names |= set(model.checkpoint.packages) if model.checkpoint else set()
    for entry in _data(resolved):
        names |= set(entry.source.packages)
    for name in names:
        try:
            yield name, importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue


def _essence(entry: Model | Task | Corpus, lock: Lock | None) -> dict[str, Any]:
    """Return an entry with the commits that the lock pins, and without words for people."""
    body: dict[str, Any] = entry.model_dump(mode="json", exclude=_WORDS)
    if body.get("pretrain", ...) is None:
        del body["pretrain"]  # a checkpoint is locked as it was before there were others
    kind: HubKind = "model" if isinstance(entry, Model) else "dataset"
    for source in (body.get("checkpoint"), body.get("tokenizer"), body.get("source")):
        if lock is not None and source and source.get("hub"):
            revision = source.get("revision")
            source["revision"] = lock.commit(kind, source["hub"], revision) or revision
    return body


def _course(course: Any) -> dict[str, Any]:
    return {
        "name": course.name,
        "tasks": [task.task for task in course.tasks],
        "language": course.language,
        "sampling": dict(course.sampling) if course.sampling else None,
        "replay": {**course.replay, "corpus": course.corpus.corpus} if course.replay else None,
        "shuffled": course.shuffled,
    }


def _revision(entry: Task | Corpus) -> str | None:
    return None if entry.source.revision is None else str(entry.source.revision)


def _entry(name: str, revision: str | None) -> str:
    return f"{name}@{revision}" if revision else name


def _shown(value: Any) -> str:
    return "none" if value in (None, [], ()) else str(value)
