"""Downloads what the open stages of a plan need from the hub, for a machine without a network."""

from __future__ import annotations

import errno
import glob
import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatch
from functools import partial
from pathlib import Path
from typing import Any, Literal, TypeVar

from rich.table import Table

from compiler.errors import EnvironmentUnready
from compiler.fingerprint import TOKENIZER_FILES
from compiler.plan import Plan
from runtime import hub, lineage
from runtime.store import Store

WEIGHTS = ("model.safetensors", "model.safetensors.index.json")
"""Where a model's weights are, in the order in which Transformers looks: whole, or in shards."""

PAUSES = (1, 3, 0)
"""Seconds to wait before a hub that is busy or broke off is asked again."""

Answer = TypeVar("Answer")


@dataclass
class Want:
    """A repository at the revision that `run` will ask for, and what of it.

    The revision is never turned into a commit first: without a network the libraries find a branch
    only where the cache holds what that branch was, and files fetched by commit leave no such note.
    """

    kind: Literal["model", "dataset"]
    name: str
    revision: str | None
    weights: bool = False
    tokenizer: bool = False
    parts: list[tuple[str, str, str]] = field(default_factory=list)
    """Of a data set: (task, split, language)."""
    texts: list[tuple[str, str, str]] = field(default_factory=list)
    """Of a data set: (corpus, split, language)."""


@dataclass(frozen=True)
class Got:
    """What came of a want: sizes in bytes, in all and of what was not in the cache before.

    ``cached``: the hub was not asked.
    """

    want: Want
    commit: str | None = None
    size: int = 0
    fresh: int = 0
    cached: bool = False
    troubles: tuple[str, ...] = ()


def wants(plan: Plan, store: Store) -> list[Want]:
    """Return what the stages that are not done will read from the hub, each repository once."""
    found: dict[tuple[str, str, str | None], Want] = {}

    def want(kind: Literal["model", "dataset"], source: Mapping[str, Any] | None) -> Want | None:
        if not source or not source.get("hub"):
            return None
        revision = None if source.get("revision") is None else str(source["revision"])
        one = Want(kind, str(source["hub"]), revision)
        return found.setdefault((kind, one.name, revision), one)

    for stage in plan.stages.values():
        missing = store.missing(stage)
        if not missing:
            continue
        model = plan.models[stage.model]
        tokenizer = want("model", model.get("tokenizer") or model.get("checkpoint"))
        if tokenizer:
            tokenizer.tokenizer = True
        if stage.kind not in ("tokenizer", "prepare"):
            weights = want("model", model.get("checkpoint"))
            if weights:
                weights.weights = True
            continue
        parts = [(stage.task, part) for part in missing]
        if stage.kind == "tokenizer":
            parts = [(name, part) for name, own in lineage.corpora(plan, stage) for part in own]
        for name, part in parts:
            split, language = part.split("@")[0].split(".", 1)
            entries = plan.corpora if stage.reads_corpus else plan.tasks
            rows = want("dataset", entries[name]["source"])
            if rows is None:
                continue
            asked = rows.texts if stage.reads_corpus else rows.parts
            if (name, split, language) not in asked:
                asked.append((name, split, language))
    return sorted(found.values(), key=lambda one: (one.kind, one.name, one.revision or ""))


def fetch(plan: Plan, want: Want) -> Got:
    """Download one repository's share; what is in the cache already is not fetched again.

    With HF_HUB_OFFLINE it says whether the cache has all of it. Raises EnvironmentUnready when the
    hub does not answer, or the cache cannot be written.
    """
    from huggingface_hub import constants
    from huggingface_hub.utils import logging
    from huggingface_hub.utils.tqdm import disable_progress_bars

    disable_progress_bars()  # they would run through the table, and so would warnings
    logging.set_verbosity_error()  # type: ignore[no-untyped-call]
    try:
        return _fetched(plan, want, bool(constants.is_offline_mode()))
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        if not full and error.errno not in (errno.EACCES, errno.EROFS, errno.ENOTDIR):
            raise
        raise EnvironmentUnready(
            "E002" if full else "E001",
            f"the cache of the hub cannot be written: {error.strerror}",
            where=str(constants.HF_HOME),
            hint="set HF_HOME to another folder, here and where the study runs",
        ) from error


def _fetched(plan: Plan, want: Want, cached: bool) -> Got:
    commit, why = _commit(want, cached)
    if why:
        return Got(want, cached=cached, troubles=(why,))
    before = _held(want, commit)
    if want.kind == "dataset":
        commit, troubles = _rows(plan, want, commit)
    else:
        commit, troubles = _model(want, str(commit), cached)
    size = _held(want, commit)
    fresh = 0 if cached else max(0, size - before)
    return Got(want, commit, size, fresh, cached, tuple(dict.fromkeys(troubles)))


def again(ask: Callable[[], Answer]) -> Answer:
    """Ask the hub, and again after a pause where it breaks off: what is whole is not asked twice.

    Raises the last error.
    """
    for pause in PAUSES[:-1]:
        try:
            return ask()
        except Exception as error:
            if not hub.is_cut(error):
                raise
        time.sleep(pause)
    return ask()


def _commit(want: Want, cached: bool) -> tuple[str | None, str]:
    """Return the commit to fetch, or why there is none; raises EnvironmentUnready without a hub."""
    if hub.is_commit(want.revision):
        return want.revision, ""
    if cached:
        try:
            return hub.commit_of(want.kind, want.name, want.revision)[0], ""
        except LookupError as error:
            return None, str(error.args[0])
    from huggingface_hub import HfApi, constants
    from huggingface_hub.errors import HfHubHTTPError

    why: str | None = None
    for pause in PAUSES:
        try:
            found = HfApi().repo_info(
                want.name, repo_type=want.kind, revision=want.revision, timeout=20
            )
            return str(found.sha), ""
        except Exception as error:
            why = hub.trouble(want.kind, want.name, want.revision, error)
            if why is None:
                raise
            if hub.is_cut(error):
                time.sleep(pause)
                continue
            if not isinstance(error, HfHubHTTPError) or error.response is None:
                raise EnvironmentUnready(
                    "E020",
                    f"the hub at {constants.ENDPOINT} cannot be reached",
                    hint="fetch where there is a network; HF_HUB_OFFLINE=1 says what is there",
                ) from error
            if error.response.status_code < 500:
                break
            time.sleep(pause)
    return None, str(why)


def _rows(plan: Plan, want: Want, commit: str | None) -> tuple[str | None, list[str]]:
    """Load every part as `run` will: this fills the libraries' caches, and checks the rows."""
    from runtime import corpora, data

    troubles = []
    asked = [(plan.tasks[name], split, x) for name, split, x in want.parts]
    asked += [(corpora.as_task(plan.corpora[name]), split, x) for name, split, x in want.texts]
    for task, split, language in asked:
        try:
            commit = again(partial(data.load, task, split, language))[1] or commit
        except Exception as error:
            why = str(error) if isinstance(error, data.DataInvalid) else _why(want, error)
            if why is None:
                raise
            troubles.append(why)
    return commit, troubles


def _model(want: Want, commit: str, cached: bool) -> tuple[str, list[str]]:
    """Download the files of a model that our loading reads; return its commit and what is amiss."""
    from huggingface_hub import HfApi, snapshot_download

    def take(patterns: list[str]) -> None:
        revision = want.revision
        again(partial(snapshot_download, want.name, revision=revision, allow_patterns=patterns))

    folder = _snapshot(want, commit)
    there = [path.relative_to(folder).as_posix() for path in folder.rglob("*")]
    try:
        if not cached:
            there = again(partial(HfApi().list_repo_files, want.name, revision=commit))
        chosen = files(want, there)
        if not cached:
            patterns = [glob.escape(name) for name in chosen]
            take(patterns)
        if WEIGHTS[1] in chosen:
            chosen += _shards(folder / WEIGHTS[1])
            if not cached:
                patterns = [glob.escape(name) for name in chosen]
                take(patterns)
    except LookupError as error:
        return commit, [f"the model {want.name} {error.args[0]}"]
    except Exception as error:
        why = _why(want, error)
        if why is None:
            raise
        return commit, [why]
    absent = [name for name in chosen if not (folder / name).is_file()]
    if absent:
        return commit, [f"the model {want.name} lacks {', '.join(absent[:3])} in the cache"]
    return commit, []


def files(want: Want, there: list[str]) -> list[str]:
    """Choose what our loading reads of a model's files; raises LookupError when some are not there.

    Weights are safetensors alone: other formats are twice the size, or can hold code.
    """
    chosen = ["config.json"]
    if want.tokenizer:
        found = [
            name
            for name in there
            if "/" not in name and any(fnmatch(name, pattern) for pattern in TOKENIZER_FILES)
        ]
        if not found:
            raise LookupError("has no files of a tokenizer: give `tokenizer` in the catalog")
        chosen += found
    if want.weights:
        weights = next((name for name in WEIGHTS if name in there), None)
        if weights is None:
            raise LookupError(
                "has no weights as safetensors: name a revision that has them in the catalog "
                "(the hub's own conversions are revisions such as refs/pr/1)"
            )
        chosen.append(weights)
    if "config.json" not in there:
        raise LookupError("has no config.json")
    return chosen


def _shards(index: Path) -> list[str]:
    named = set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values())
    return sorted(str(name) for name in named)


def _snapshot(want: Want, commit: str) -> Path:
    """Return where the cache of the hub keeps a commit of a repository."""
    from huggingface_hub import constants
    from huggingface_hub.file_download import repo_folder_name

    name = repo_folder_name(repo_id=want.name, repo_type=want.kind)
    return Path(constants.HF_HUB_CACHE) / name / "snapshots" / commit


def _held(want: Want, commit: str | None) -> int:
    """Return the bytes that the cache holds of a commit of a repository."""
    if commit is None:
        return 0
    files = (path for path in _snapshot(want, commit).rglob("*") if path.is_file())
    return sum(path.stat().st_size for path in files)


def _why(want: Want, error: Exception) -> str | None:
    """Say why a download failed; None when it was not the hub's doing."""
    return hub.trouble(want.kind, want.name, want.revision, error)


def table(todo: Sequence[Want], done: Sequence[Got]) -> Table:
    """Show what is to be fetched, and how far it is."""
    made = Table(box=None, pad_edge=False, header_style="dim")
    for name in ("kind", "repository", "size", "state", "commit"):
        made.add_column(name, justify="right" if name == "size" else "left", no_wrap=True)
    for place, want in enumerate(todo):
        if place >= len(done):
            made.add_row(want.kind, _named(want), "", "" if place > len(done) else "fetching", "")
            continue
        got = done[place]
        made.add_row(want.kind, _named(want), _bytes(got.size), _state(got), got.commit or "")
    return made


def missing(done: Sequence[Got]) -> list[str]:
    """Say what could not be had, one line a reason."""
    return list(dict.fromkeys(trouble for got in done for trouble in got.troubles))


def _named(want: Want) -> str:
    hashed = want.revision is None or hub.is_commit(want.revision)
    return want.name if hashed else f"{want.name}@{want.revision}"


def _state(got: Got) -> str:
    if got.troubles:
        return "incomplete" if got.size else "missing"
    if got.cached:
        return "in the cache"
    return f"fetched {_bytes(got.fresh)}" if got.fresh else "there already"


def _bytes(count: int) -> str:
    size = float(count)
    for unit in ("B", "kB", "MB"):
        if size < 1000:
            return f"{size:.0f} {unit}"
        size /= 1000
    return f"{size:.1f} GB"
