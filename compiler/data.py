"""Where the rows of a task or corpus come from, and how its source writes them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, model_validator

from compiler.terms import Frozen, Language, Name

Part = Literal["train", "dev", "test", "pool"]
"""A split of a task, or the pool of candidates that a dual encoder's test queries search in."""

FileFormat = Literal[
    "json", "jsonl", "csv", "tsv", "parquet", "conllu", "ccgbank", "squad", "bucc", "mewsli"
]


class TaskSource(Frozen):
    """Where a task's rows come from: exactly one of ``reader``, ``files`` and ``hub``."""

    reader: Name | None = Field(None, description="A module of runtime/sources.")
    revision: int | str | None = Field(None, description="Reader revision, or hub commit.")
    packages: dict[str, str] = Field({}, description="Distributions needed, with their version.")
    options: dict[str, Any] = Field({}, description="What the reader is told.")
    files: dict[Part, str] | None = Field(
        None,
        description="Paths by split, relative to this file; {language} stands for the code, and * "
        "for any part of a name: all such files follow each other, sorted. JSON, JSONL, CSV, TSV, "
        "Parquet, CoNLL-U, CCGbank's .auto, BUCC's .gold; also with .gz.",
    )
    format: FileFormat | None = Field(
        None, description="What the files hold, where their ending does not say it."
    )
    supplied: bool = Field(
        False, description="The files are the user's to supply; without them one can only plan."
    )
    hub: str | None = Field(None, description="Dataset id on the Hugging Face hub.")
    config: str | None = Field(None, description="Hub configuration; {language} allowed.")
    configs: dict[Part, str] = Field(
        {}, description="Hub configuration of a split, where it is not `config`."
    )
    paths: dict[Part, str] = Field(
        {},
        description="Files of the hub repository by split, with * and {language}, where it has no "
        "configuration for them.",
    )
    names: dict[Language, str] = Field(
        {}, description="What {language} becomes, where the source has other codes."
    )
    splits: dict[Part, str] = Field(
        {}, description="Our split -> the source's; `a+b` joins two of them in this order."
    )
    columns: dict[str, str] = Field(
        {},
        description="Our column -> the source's. A dot leads into a nested one; a comma joins "
        "several: texts with a space, choices to a list.",
    )
    pool: Literal["each", "all"] | None = Field(
        None, description="Candidates of a dual encoder: a pool of each language, or one of all."
    )
    pool_columns: dict[str, str] = Field(
        {}, description="Like `columns`, for `id`, `text` and `language` of the pool."
    )
    sentences: Literal["given", "inferred"] | None = Field(
        None,
        description="Pairs questions with the sentence that answers them: `given` takes the "
        "source's sentence breaks, `inferred` looks for them (English).",
    )
    wording: dict[str, dict[str, str]] = Field(
        {}, description="Column of the source -> its values in other words, before any joining."
    )
    ids: Literal["source", "position"] = Field(
        "source", description="The source's ids, or each row's position, where those repeat."
    )
    group: Literal["split"] | None = Field(
        None,
        description="Scores are also given for each of the source's splits that `splits` joins.",
    )
    id_prefix: str | None = Field(
        None,
        description="Rows whose id begins otherwise are of another language, and left out; "
        "{language} allowed.",
    )
    language_column: str | None = Field(
        None, description="Column that says a row's language: rows of another are left out."
    )
    label_base: int = Field(
        0, ge=0, le=1, description="Number of the first label, where labels are numbers."
    )
    unlabelled: Literal["refused", "dropped"] = Field(
        "refused",
        description="Rows without a label (none, an empty text, -1); of tagging, sentences with a "
        "word without a tag.",
    )
    placeholders: tuple[str, ...] = Field(
        (),
        description="Texts that stand for a missing one: rows with one, or with a choice that is "
        "one, are left out, counted.",
    )
    no_answer: Literal["refused", "allowed"] = Field(
        "refused", description="Questions that their paragraph does not answer."
    )

    @model_validator(mode="after")
    def _one_source(self) -> TaskSource:
        if sum(value is not None for value in (self.reader, self.files, self.hub)) != 1:
            raise ValueError("give exactly one of `reader`, `files` and `hub`")
        for owner, fields in _ONLY_WITH.items():
            idle = [name for name in fields if getattr(self, name) != default(name)]
            if idle and getattr(self, owner) is None:
                raise ValueError(f"`{idle[0]}` goes with `{owner}`, which is not given here")
        for name, instead in _NOT_OF_FILES.items():
            if self.files is not None and getattr(self, name) != default(name):
                raise ValueError(f"`{name}` has no meaning for `files`: {instead}")
        if self.group is not None and not any("+" in name for name in self.splits.values()):
            raise ValueError("`group: split` tells joined splits apart, and `splits` joins none")
        if self.format is not None and self.reader is not None:
            raise ValueError("`format` says what files hold; a reader has its own")
        if self.pool is None and (self.pool_columns or "pool" in self.configs):
            raise ValueError("say with `pool` whether there is one of `each` language or of `all`")
        return self

    def named(self, pattern: str, language: str) -> str:
        """Put a language into a pattern, by the source's own name of it."""
        return pattern.replace("{language}", self.names.get(language, language))

    def file_format(self, path: str) -> FileFormat | None:
        """Tell what a file holds, by `format` or by its ending; None when neither says it."""
        if self.format is not None:
            return self.format
        words = path.lower().rsplit("/", 1)[-1].split(".")
        endings = [word for word in words[1:] if word not in ("gz", "tar", "tgz")]
        return FORMATS.get(endings[-1]) if endings else None


_NOT_OF_FILES = {
    "splits": "name the file of each split there",
    "revision": "their contents are hashed; remove it",
}
"""Fields of sources elsewhere, and what says the same of local files."""

FORMATS: dict[str, FileFormat] = {
    "json": "json",
    "jsonl": "jsonl",
    "ndjson": "jsonl",
    "csv": "csv",
    "tsv": "tsv",
    "parquet": "parquet",
    "conllu": "conllu",
    "auto": "ccgbank",
    "gold": "bucc",
}
"""What a file holds, by the ending of its name."""

_ONLY_WITH = {
    "reader": ("options",),
    "files": ("supplied",),
    "hub": ("config", "configs", "paths"),
}


def default(name: str) -> Any:
    """Return what a field of a source is when it is not given."""
    return TaskSource.model_fields[name].default


COLUMNS: dict[str, tuple[str, ...]] = {
    "sequence_classification": ("text", "text_pair", "label"),
    "token_classification": ("tokens", "tags"),
    "multiple_choice": ("text", "choices", "choice_names", "label"),
    "span_extraction": ("context", "question", "answers"),
    "masked_lm": ("text",),
    "retrieval": ("source", "target"),
    "bitext_mining": ("source", "target", "pairs"),
    "dual_encoder": ("query", "candidate", "relevant", "context", "question", "answers"),
}
"""Our columns of each kind that a task may say where to find, beside `id` and `language`."""

LABELLED = ("sequence_classification", "token_classification", "multiple_choice")
"""Kinds whose rows have labels."""

_KINDS: dict[str, tuple[str, ...]] = {
    "pool": ("dual_encoder",),
    "pool_columns": ("dual_encoder",),
    "sentences": ("dual_encoder",),
    "no_answer": ("span_extraction",),
    "label_base": LABELLED,
    "unlabelled": LABELLED,
    "placeholders": tuple(kind for kind in COLUMNS if kind != "token_classification"),
    "group": ("sequence_classification", "multiple_choice"),
}
"""Fields of a source that have a meaning for some kinds alone."""


def refuse_idle(source: TaskSource, kind: str) -> None:
    """Raise ValueError when a source is told what has no meaning for rows of its kind."""
    for name, kinds in _KINDS.items():
        if getattr(source, name) != default(name) and kind not in kinds:
            raise ValueError(f"`{name}` is for {' and '.join(kinds)}; this is {kind}: remove it")
    known = ("id", "language", *COLUMNS[kind])
    for name, columns in (("columns", known), ("pool_columns", ("id", "language", "text"))):
        unknown = sorted(set(getattr(source, name)) - set(columns))
        if unknown:
            raise ValueError(
                f"a {kind} task has no column `{unknown[0]}` in `{name}`; it has: "
                f"{', '.join(columns)}"
            )


def matching(folder: Path, name: str) -> list[Path]:
    """Return the files that a name of a source stands for, ordered by their path.

    In a name only ``*`` is special: it stands for any characters of a file's or folder's name. A
    name without one, or one that nothing matches, is returned as it is: what reads it says that it
    is not there.
    """
    if "*" not in name:
        return [folder / name]
    pattern = re.sub(r"[\[?]", r"[\g<0>]", re.sub(r"\*{2,}", "*", name))
    found = [path for path in folder.glob(pattern) if path.is_file()]
    return sorted(found, key=lambda path: path.relative_to(folder).parts) or [folder / name]


def bitext_sides(gold: str, language: str) -> tuple[str, str]:
    """Return the two texts that lie beside a file of gold pairs: the foreign one, the English."""
    stem = gold.removesuffix(".gold")
    return f"{stem}.{language}", f"{stem}.en"
