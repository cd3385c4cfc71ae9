"""Loads the rows of a task from its source, and refuses data that is not what the task says."""

from __future__ import annotations

import hashlib
import importlib
import itertools
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from compiler.data import TaskSource, matching
from runtime import readers, repository, sentences
from runtime.invalid import DataInvalid as DataInvalid
from runtime.labels import Labels
from runtime.readers.tables import label_names
from runtime.rows import GROUP, Form, Tally
from runtime.rows import Row as Row
from runtime.rows import rows as rows_of

BY_PLACE = (
    "labels are numbers that the source does not name: each was taken for a place in `labels`, "
    "which is wrong if the source counts them in another order; `wording` names them"
)
"""What a record warns of where numbers became labels by their place."""


@dataclass(frozen=True)
class Loaded:
    """The checked rows of a split in a language, and what was found on the way to them.

    ``found`` counts the rows of the source before any was left out (of mining, gold pairs), and
    ``expected`` is what the task says of that. ``dropped`` has those left out by reason, ``labels``
    how often each occurs, ``absent`` those of the task that no row has, ``moved`` counts the
    answers that stood beside their place, and ``placed`` the labels that were numbers without a
    name and were taken by their place.
    """

    rows: list[Row]
    commit: str | None
    found: int
    expected: int | None
    dropped: Mapping[str, int] = field(default_factory=dict)
    labels: Mapping[str, int] = field(default_factory=dict)
    absent: tuple[str, ...] = ()
    moved: int = 0
    placed: int = 0

    def account(self) -> dict[str, Any]:
        """Return what a record keeps: expected against found, and what was left out and why."""
        said: dict[str, Any] = {"source_rows": self.found, "expected_rows": self.expected}
        said |= {"rows_dropped": dict(self.dropped)} if self.dropped else {}
        said |= {"answers_moved": self.moved} if self.moved else {}
        said |= {"labels_absent": list(self.absent)} if self.absent else {}
        said |= {"labels_by_position": self.placed, "warnings": [BY_PLACE]} if self.placed else {}
        return said | ({"labels": dict(sorted(self.labels.items()))} if self.labels else {})


def load(task: Mapping[str, Any], split: str, language: str) -> tuple[list[Row], str | None]:
    """Return the rows of a split in a language, and the commit that the hub gave them from.

    Rows are as `runtime.rows` says by kind. ``split`` may be ``pool`` for a dual encoder, with the
    language ``all`` where there is one pool of all. Raises DataInvalid when the data is damaged, or
    its counts, columns, labels or languages differ from the task's definition.
    """
    loaded = read(task, split, language)
    return loaded.rows, loaded.commit


def read(task: Mapping[str, Any], split: str, language: str) -> Loaded:
    """Like ``load``, with what was expected and found."""
    source = _source(task)
    where = f"{task['task']}, {split} split, {language}"
    tally = Tally()
    commits: dict[str, str | None] = {}
    try:
        if source.sentences is not None:
            rows = _by_sentence(task, source, split, language, tally, commits)
        else:
            rows = list(_rows(task, source, split, language, tally, commits))
        _distinct(rows)
    except DataInvalid as error:
        said = str(error)
        raise DataInvalid(f"{where}: {said}" if said.startswith("row ") else said) from error
    expected = task.get("counts", {}).get(split, {}).get(language)
    found = len(rows) if split == "pool" and source.sentences is not None else tally.found
    if expected is not None and found != expected:
        raise DataInvalid(f"{where}: expected {expected} rows, found {found}")
    if not rows:
        raise DataInvalid(f"{where}: there are no rows")
    if task["kind"] == "bitext_mining":
        _distracted(task, rows, split, language, where)
    commit = commits.get(language)
    known = task.get("labels", ()) if tally.labels else ()
    absent = tuple(label for label in known if label not in tally.labels)
    # A choice has no other name than its place.
    placed = 0 if task["kind"] == "multiple_choice" else tally.placed
    dropped, labels = tally.dropped, tally.labels
    return Loaded(rows, commit, found, expected, dropped, labels, absent, tally.moved, placed)


def fingerprint(rows: Iterable[Row]) -> str:
    """Return the SHA-256 over all rows, in order: equal data has equal fingerprints."""
    total = hashlib.sha256()
    for row in rows:
        total.update(repr(sorted(row.items())).encode("utf-8", "surrogatepass"))
    return total.hexdigest()


def _source(task: Mapping[str, Any]) -> TaskSource:
    """Return the source of a plan's task; the plan adds the folder of local files to it."""
    given = {name: value for name, value in task["source"].items() if name != "folder"}
    try:
        return TaskSource.model_validate(given)
    except ValidationError as error:
        raise DataInvalid(f"the source of {task['task']} in the plan is none: {error}") from error


def _rows(
    task: Mapping[str, Any],
    source: TaskSource,
    split: str,
    language: str,
    tally: Tally,
    commits: dict[str, str | None],
) -> Iterator[Row]:
    """Yield the rows of one split in one language; note the commit that they are from."""
    records, commits[language], names = _records(task, source, split, language)
    labels = Labels(tuple(task.get("labels", ())), source.label_base, names, source.wording)
    form = Form(str(task["kind"]), source, split, language, labels, task.get("choices"))
    yield from rows_of(records, form, tally)


def _by_sentence(
    task: Mapping[str, Any],
    source: TaskSource,
    split: str,
    language: str,
    tally: Tally,
    commits: dict[str, str | None],
) -> list[Row]:
    """Return questions with the sentences that answer them, or the sentences of the pool.

    A test question is answered by a sentence in every language of the task: all of them are read.
    """

    def asked(code: str, counted: Tally) -> Iterator[sentences.Asked]:
        found = _rows(task, source, split, code, counted, commits)
        return sentences.asked(found, str(source.sentences))

    own = list(asked(language, tally))
    if split == "pool":
        return list(sentences.pool(own, language))
    lost = sum(not one.answering for one in own)
    if lost:
        tally.dropped["answer in no sentence"] += lost
    if split != "test":
        return list(sentences.pairs(own))
    others = [code for code in task.get("languages", ()) if code != language]
    named = [sentences.relevant(own, language)]
    named += [sentences.relevant(asked(code, Tally()), code) for code in others]
    return [
        {
            "id": one.id,
            "query": one.question,
            "relevant": list(itertools.chain.from_iterable(x.get(one.id, ()) for x in named)),
        }
        for one in own
        if one.answering
    ]


Records = tuple[Iterable[Mapping[str, Any]], str | None, Mapping[str, tuple[str, ...]]]
"""Records, the commit that they are of, and the source's label names by its column."""


def _records(task: Mapping[str, Any], source: TaskSource, split: str, language: str) -> Records:
    if source.reader is not None:
        return _from_reader(source, split, language), None, {}
    if split == "pool" and source.sentences is not None:
        split = "test"  # the pool is made of the paragraphs that the questions are about
    labels: Mapping[str, tuple[str, ...]] = {}
    splits: tuple[str, ...] = ()
    if source.files is not None:
        pattern = {str(name): path for name, path in source.files.items()}.get(split)
        if pattern is None:
            raise DataInvalid(f"the task names no file for its {split} split")
        folder, commit = Path(str(task["source"]["folder"])), None
        files: tuple[Path, ...] = tuple(matching(folder, source.named(pattern, language)))
    else:
        fetched = repository.fetch(source, split, language)
        files, commit, labels = fetched.files, fetched.commit, fetched.labels
        splits = fetched.splits
    forms = [source.file_format(path.name) for path in files]
    for path, form in zip(files, forms, strict=True):
        if form is None:
            raise DataInvalid(f"{path}: the ending does not say what it holds; give `format`")
        if form == "parquet" and not labels:
            labels = label_names(path)
    read_each: list[Iterable[Mapping[str, Any]]] = [
        readers.read(form, path, source.named("{language}", language))
        for path, form in zip(files, forms, strict=True)
        if form is not None
    ]
    if source.group is not None:
        read_each = [_of_split(*one) for one in zip(read_each, splits, strict=True)]
    return itertools.chain.from_iterable(read_each), commit, labels


def _of_split(records: Iterable[Mapping[str, Any]], name: str) -> Iterator[Mapping[str, Any]]:
    for record in records:
        yield {**record, GROUP: name}


def _from_reader(source: TaskSource, split: str, language: str) -> list[Row]:
    name = str(source.reader)
    if not re.fullmatch(r"[a-z][a-z0-9_]*", name):
        raise DataInvalid(f"not the name of a reader: {name!r}")
    module = importlib.import_module(f"runtime.sources.{name}")
    rows: list[Row] = module.rows(source.options, language, split)
    return rows


def _distracted(
    task: Mapping[str, Any], rows: list[Row], split: str, language: str, where: str
) -> None:
    """Refuse a mining task without its distractors, which make it: copies hold gold pairs alone."""
    paired = {row["id"] for row in rows if row["matches"]}
    paired |= {name for row in rows for name in row["matches"]}
    for side in ("source", "target"):
        names = {row["id"] for row in rows if row["side"] == side}
        if names and names <= paired:
            raise DataInvalid(
                f"{where}: all {len(names)} sentences of the {side} side are in gold pairs; the "
                "distractors that pairs are to be told from are missing"
            )
    expected = task.get("counts", {}).get("pool", {}).get(language)
    found = len({row["text"] for row in rows if row["side"] == "target"})
    if split == "test" and expected is not None and found != expected:
        raise DataInvalid(
            f"{where}: expected {expected} distinct English sentences to mine in, found {found}"
        )


def _distinct(rows: Iterable[Row]) -> None:
    seen: set[str] = set()
    for row in rows:
        if row["id"] in seen:
            raise DataInvalid(
                f"row with the id {row['id']!r} is there twice; `ids: position` names rows by place"
            )
        seen.add(row["id"])
