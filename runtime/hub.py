"""What can be wrong with the Hugging Face hub in one sentence, and which commit was loaded."""

from __future__ import annotations

import errno
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

_COMMIT = re.compile(r"[0-9a-f]{40}")

_CUT = frozenset(
    ("RemoteProtocolError", "ReadError", "ChunkedEncodingError", "IncompleteRead", "ProtocolError")
)
"""Errors of httpx, requests and urllib3 when an answer ends too early."""


def trouble(
    kind: Literal["model", "dataset"], name: str, revision: str | None, error: Exception
) -> str | None:
    """Say what is wrong and what to do; None when the hub is not the cause.

    The libraries wrap the hub's errors in others, so the whole chain is looked at, and the text for
    what they leave out of it.
    """
    import huggingface_hub
    from huggingface_hub import errors

    chain = list(_chain(error))
    words = {type(link).__name__ for link in chain}
    text = " ".join(map(str, chain))
    page = f"{huggingface_hub.constants.ENDPOINT}/{'datasets/' * (kind == 'dataset')}{name}"
    what = f"the {kind} {name}"
    if any(isinstance(x, OSError) and x.errno in (errno.ENOSPC, errno.EDQUOT) for x in chain):
        return None
    if "GatedRepoError" in words or "gated dataset" in text:
        return f"{what} is gated: accept its terms at {page}, then set HF_TOKEN to your token"
    if "RevisionNotFoundError" in words or "Revision '" in text:
        return f"{what} has no revision {revision} on the hub: correct `revision` in the catalog"
    if "RepositoryNotFoundError" in words or "doesn't exist on the Hub" in text:
        return f"{what} is not on the hub, or private: check its name, or set HF_TOKEN"
    absent = words & {"LocalEntryNotFoundError", "OfflineModeIsEnabled", "ConnectionError"}
    if is_offline() and (absent or "find cache for" in text):
        return f"{what} is not in the cache, and HF_HUB_OFFLINE is set: load it once with a network"
    if is_cut(error):
        return f"the hub broke off in {what}: run the same command again"
    codes = [
        link.response.status_code
        for link in chain
        if isinstance(link, errors.HfHubHTTPError) and link.response is not None
    ]
    if codes:
        return f"the hub answered {codes[0]} for {what}: run the same command again later"
    if words & {"ConnectError", "ConnectionError", "ConnectTimeout", "ReadTimeout", "ProxyError"}:
        return f"{what} is not in the cache, and the hub at {page} cannot be reached"
    return None


def is_cut(error: BaseException) -> bool:
    """Tell whether the hub closed the connection in the middle of an answer: it may do better.

    The libraries say so by an error of the protocol or of reading, wrapped or not.
    """
    return any(type(link).__name__ in _CUT for link in _chain(error))


def cached_commit(name: str, revision: str | None) -> str | None:
    """Return the commit of a model that was loaded, from where the cache keeps it."""
    from huggingface_hub import try_to_load_from_cache

    found = try_to_load_from_cache(name, "config.json", revision=revision)
    return commit_in(found) if isinstance(found, str) else None


def commit_of(
    kind: Literal["model", "dataset"], name: str, revision: str | None
) -> tuple[str, bool]:
    """Return the commit of a repository's revision, and whether the cache had to say it.

    Raises LookupError with the reason when neither the hub nor the cache knows it.
    """
    from huggingface_hub import HfApi

    try:
        found = HfApi().repo_info(name, repo_type=kind, revision=revision, timeout=20).sha
    except Exception as error:
        if is_answer(error):
            raise LookupError(trouble(kind, name, revision, error) or str(error)) from error
        known = _cached_reference(kind, name, revision)
        if known is None:
            why = trouble(kind, name, revision, error) or f"{type(error).__name__}: {error}"
            raise LookupError(why) from error
        return known, True
    if not is_commit(found):
        raise LookupError(f"the hub names no commit for it: {found!r}")
    return str(found), False


def is_answer(error: Exception) -> bool:
    """Tell whether the hub itself refused, so that no cache may speak in its place."""
    from huggingface_hub import errors

    refused = (
        errors.RepositoryNotFoundError,
        errors.RevisionNotFoundError,
        errors.HFValidationError,
    )
    return isinstance(error, refused)


def _cached_reference(kind: str, name: str, revision: str | None) -> str | None:
    """Return the commit that a branch or tag had when something of it was last loaded."""
    try:
        known = (
            (_cache_folder(kind, name) / "refs" / (revision or "main"))
            .read_text(encoding="utf-8")
            .strip()
        )
    except (OSError, UnicodeDecodeError):
        return None
    return known if is_commit(known) else None


def _cache_folder(kind: str, name: str) -> Path:
    from huggingface_hub import constants

    return Path(constants.HF_HUB_CACHE) / "--".join((f"{kind}s", *name.split("/")))


def cached_files(
    kind: Literal["model", "dataset"], name: str, revision: str | None
) -> tuple[str, tuple[str, ...]] | None:
    """Return the commit that the cache knows a revision as, and the files that it holds of it.

    None when it holds none of it.
    """
    commit = str(revision) if is_commit(revision) else _cached_reference(kind, name, revision)
    if commit is None:
        return None
    folder = _cache_folder(kind, name) / "snapshots" / commit
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return (commit, tuple(path.relative_to(folder).as_posix() for path in files)) if files else None


def is_offline() -> bool:
    """Tell whether HF_HUB_OFFLINE keeps the libraries from the network."""
    import huggingface_hub

    return bool(huggingface_hub.constants.is_offline_mode())


def commit_in(path: str) -> str | None:
    """Return the commit that names the folder of a file, None when none does."""
    name = Path(path).parent.name
    return name if is_commit(name) else None


def is_commit(word: object) -> bool:
    """Tell whether a revision is a whole commit hash, which names one state of the files."""
    return isinstance(word, str) and bool(_COMMIT.fullmatch(word))


def _chain(error: BaseException) -> Iterator[BaseException]:
    seen: set[int] = set()
    link: BaseException | None = error
    while link is not None and id(link) not in seen:
        seen.add(id(link))
        yield link
        link = link.__cause__ or link.__context__
