"""Finds and fetches the files of one split in a data set of the Hugging Face hub, and no others."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from compiler.data import TaskSource
from runtime import hub
from runtime.invalid import DataInvalid

USUAL = {"dev": "validation", "pool": "test"}
"""What sources call our splits, where they do not call them what we do."""

_KEYWORDS = {"validation": ("validation", "valid", "dev", "val")}
_DATA = (".parquet", ".json", ".jsonl", ".ndjson", ".csv", ".tsv", ".gz", ".tgz", ".conllu")
_SHARD = re.compile(r"-(\d{5})-of-(\d{5})")


@dataclass(frozen=True)
class Fetched:
    """Files on this machine in their order, the commit they are of, and the card's label names.

    ``splits`` names the split of the source that each file is of.
    """

    files: tuple[Path, ...]
    commit: str
    labels: Mapping[str, tuple[str, ...]]
    splits: tuple[str, ...] = ()


@dataclass(frozen=True)
class _State:
    """The files of a repository at a commit; without ``online`` only those in the cache."""

    commit: str
    names: tuple[str, ...]
    online: bool


def fetch(source: TaskSource, split: str, language: str) -> Fetched:
    """Fetch what a split in a language is made of; what the cache holds is not fetched again.

    Which files these are is said by the task's ``paths``, or by the configurations in the
    repository's card, or by names such as ``train-00000-of-00001.parquet``. (The `datasets`
    library would fetch all splits of a configuration.) Raises DataInvalid with what to do.
    """
    state = _state(source)
    config = _of(source.configs, split) or source.config
    config = source.named(config, language) if config else None
    card = _card(source, state)
    path, wanted = _of(source.paths, split), _of(source.splits, split) or USUAL.get(split, split)
    what = f"the dataset {source.hub} ({config}, {wanted})"
    if source.splits and _of(source.splits, split) is None and path is None:
        raise DataInvalid(f"the task names no {split} split of {source.hub}")
    chosen: dict[str, str] = {}
    for name in wanted.split("+"):
        if path is not None:
            found = _matching(state.names, [source.named(path, language)])
        else:
            found = _of_card(card, config, name, state, what)
        chosen |= {one: name for one in found if one not in chosen}
    if not chosen and not state.online:
        raise DataInvalid(_not_cached(source))
    if not chosen:
        raise DataInvalid(f"{what} cannot be read: the repository has no such files")
    _whole(list(chosen), what, state)
    files = tuple(_download(source, name, state) for name in chosen)
    return Fetched(files, state.commit, _labels(card, config), tuple(chosen.values()))


def _state(source: TaskSource) -> _State:
    """Ask the hub for a repository's commit and files; without an answer, the cache."""
    import huggingface_hub

    address, revision = str(source.hub), _revision(source)
    try:
        info = huggingface_hub.HfApi().dataset_info(address, revision=revision, timeout=30)
    except Exception as error:
        known = None if hub.is_answer(error) else hub.cached_files("dataset", address, revision)
        if known is not None:
            return _State(*known, online=False)
        why = hub.trouble("dataset", address, revision, error)
        other = hub.cached_files("dataset", address, None) if hub.is_commit(revision) else None
        if other is not None and not hub.is_answer(error):
            why = f"the dataset {address}: expected revision {revision}, found {other[0]}"
        if why is None:
            raise
        raise DataInvalid(why) from error
    if not hub.is_commit(info.sha):
        raise DataInvalid(f"the hub names no commit for the dataset {address}: {info.sha!r}")
    names = tuple(sorted(file.rfilename for file in info.siblings or ()))
    return _State(str(info.sha), names, online=True)


def _download(source: TaskSource, name: str, state: _State) -> Path:
    """Return where a file is on this machine; it is of the commit that was listed."""
    import huggingface_hub

    address = str(source.hub)
    # Asked for by branch, so that the cache notes which commit the branch is: without a network
    # that note is all there is.
    revision = _revision(source) if state.online else state.commit
    try:
        path = huggingface_hub.hf_hub_download(
            address, name, repo_type="dataset", revision=revision, local_files_only=not state.online
        )
    except Exception as error:
        why = hub.trouble("dataset", address, revision, error)
        if why is None:
            raise
        raise DataInvalid(why) from error
    folder = Path(path).parents[len(Path(name).parts) - 1].name
    if folder != state.commit:
        raise DataInvalid(
            f"the dataset {address}: expected revision {state.commit}, found {folder}"
        )
    return Path(path)


@dataclass(frozen=True)
class _Card:
    """What a repository's README says: files by configuration and split, and label names."""

    configs: Mapping[str, Mapping[str, Any]]
    labels: Mapping[str, Mapping[str, tuple[str, ...]]]


def _card(source: TaskSource, state: _State) -> _Card:
    """Read the card of a repository, which may have none, as the `datasets` library reads it."""
    if "README.md" not in state.names:
        return _Card({}, {})
    try:
        return _parsed(_download(source, "README.md", state).resolve())
    except (ValueError, KeyError, TypeError) as error:
        if isinstance(error, DataInvalid):
            raise
        what = f"the README of the dataset {source.hub} cannot be read: {error}"
        raise DataInvalid(what) from error


@cache
def _parsed(path: Path) -> _Card:
    """Read a card, once for all languages: that of XTREME describes 183 configurations.

    ``path`` is where the cache keeps the file under the hash of what it holds.
    """
    from datasets import ClassLabel
    from datasets.info import DatasetInfosDict
    from datasets.utils.metadata import MetadataConfigs
    from huggingface_hub import DatasetCard

    data = DatasetCard.load(path).data
    configs = MetadataConfigs.from_dataset_card_data(data)
    infos = DatasetInfosDict.from_dataset_card_data(data)
    labels: dict[str, dict[str, tuple[str, ...]]] = {}
    for name, info in infos.items():
        for column, feature in (info.features or {}).items():
            inner = getattr(feature, "feature", feature)
            if isinstance(inner, ClassLabel):
                labels.setdefault(name, {})[column] = tuple(inner.names)
    return _Card(configs, labels)


def _of_card(card: _Card, config: str | None, split: str, state: _State, what: str) -> list[str]:
    """Return the files of a split by the card's configurations, or by their names without one."""
    if not card.configs:
        return _by_name(state.names, config, split)
    from datasets.data_files import sanitize_patterns

    name = config or _default(card.configs)
    if name is None or name not in card.configs:
        why = f"has no configuration {name}" if name else "has several; give `config`"
        raise DataInvalid(f"{what} cannot be read: it {why}; it has: {_listed(card.configs)}")
    files = card.configs[name].get("data_files")
    if files is None:
        return _by_name(state.names, card.configs[name].get("data_dir"), split)
    by_split = {str(key): patterns for key, patterns in sanitize_patterns(files).items()}
    if split not in by_split:
        raise DataInvalid(
            f"{what} cannot be read: it has no split {split}; it has: {_listed(by_split)}"
        )
    return _matching(state.names, by_split[split])


def _default(configs: Mapping[str, Mapping[str, Any]]) -> str | None:
    """Return the configuration of a repository that has one, or says which is the usual one."""
    usual = [name for name, one in configs.items() if name == "default" or one.get("default")]
    return next(iter(configs)) if len(configs) == 1 else next(iter(usual), None)


def _by_name(names: Sequence[str], folder: str | None, split: str) -> list[str]:
    """Return the files that are named after a split, below a folder if one is given."""
    words = "|".join(_KEYWORDS.get(split, (split,)))
    pattern = re.compile(rf"(?:^|[/._ -])(?:{words})(?:[/._ -]|$)")
    below = f"{folder.strip('/')}/" if folder and folder != "default" else ""
    data = [name for name in names if name.lower().endswith(_DATA) and name.startswith(below)]
    return [name for name in data if pattern.search(name.removeprefix(below))]


def _matching(names: Sequence[str], patterns: Sequence[str]) -> list[str]:
    found: dict[str, None] = {}
    for pattern in patterns:
        glob = _glob(pattern.removeprefix("./"))
        found |= dict.fromkeys(name for name in names if glob.fullmatch(name))
    return list(found)


def _glob(pattern: str) -> re.Pattern[str]:
    """Translate a pattern: ``*`` stays inside a folder, ``**`` does not."""
    parts = re.split(r"(\*\*/|\*\*|\*|\?)", pattern)
    meaning = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}
    return re.compile("".join(meaning.get(part, re.escape(part)) for part in parts))


def _whole(names: Sequence[str], what: str, state: _State) -> None:
    """Refuse a file of several parts of which some are not there: a cache may hold the first."""
    parts: dict[str, set[int]] = {}
    for name in names:
        for part, total in _SHARD.findall(name):
            parts.setdefault(f"{_SHARD.sub('', name)} of {int(total)}", set()).add(int(part))
    for name, there in parts.items():
        total = int(name.rsplit(" ", 1)[1])
        if len(there) != total:
            where = "the repository" if state.online else "the cache"
            raise DataInvalid(
                f"{what} cannot be read: {where} has {len(there)} of its {total} files"
            )


def _labels(card: _Card, config: str | None) -> Mapping[str, tuple[str, ...]]:
    """Return the label names of the columns that the card describes as labels."""
    only = next(iter(card.labels.values())) if len(card.labels) == 1 and config is None else {}
    return card.labels.get(config or "default", only)


def _not_cached(source: TaskSource) -> str:
    why = "HF_HUB_OFFLINE is set" if hub.is_offline() else "the hub does not answer"
    return f"the dataset {source.hub} is not in the cache, and {why}: load it once with a network"


def _of(mapping: Mapping[Any, str], split: str) -> str | None:
    return mapping.get(split)


def _revision(source: TaskSource) -> str | None:
    return None if source.revision is None else str(source.revision)


def _listed(names: Collection[str]) -> str:
    return ", ".join(sorted(names)[:20]) + (", ..." if len(names) > 20 else "")
