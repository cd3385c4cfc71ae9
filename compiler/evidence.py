"""Published scores that a study names, and the catalog entries of those that come along."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, model_validator

from compiler.terms import Frozen, Name

Word = Annotated[str, Field(min_length=1, max_length=200)]
"""What a publication calls a model, task or metric: any text, and never part of a path."""


class Keep(Frozen):
    """Which rows of a table of published scores are taken; a list that is left out takes all."""

    models: tuple[Word, ...] = Field((), description="Values of the column `model`.")
    intermediates: tuple[Word, ...] = Field(
        (), description="Values of `intermediate`; `none` is direct fine-tuning."
    )
    targets: tuple[Word, ...] = Field((), description="Values of `target`.")
    languages: tuple[Word, ...] = Field((), description="Values of `language`.")
    metrics: tuple[Word, ...] = Field((), description="Values of `metric`.")
    protocols: tuple[Word, ...] = Field((), description="Values of `protocol`.")


class Evidence(Frozen):
    """Published scores, shown beside the study's own by protocol, never joined with them."""

    name: Name | None = Field(None, description="A set of the catalog's folder `evidence/`.")
    file: Word | None = Field(None, description="CSV or Parquet, relative to the study.")
    protocol: str = Field(
        "", description="How those scores were made, in a sentence; default: what the table says."
    )
    keep: Keep = Field(Keep(), description="Which rows are taken; default: all.")

    @model_validator(mode="after")
    def _one_origin(self) -> Evidence:
        if (self.name is None) == (self.file is None):
            raise ValueError("give `file`, or `name` of a set of the catalog")
        return self


class EvidenceSet(Frozen):
    """A set of published scores in the catalog: a table of facts, and where they come from."""

    evidence: Name = Field(description="Its name in studies.")
    title: str = Field(description="A short name for people.")
    description: str = Field("", description="What was measured, in a sentence or two.")
    file: Word = Field(description="The table, CSV or Parquet, relative to this file.")
    protocol: str = Field("", description="How the scores were made, if the table does not say.")
    direct: str = Field(
        "direct fine-tuning", description="What the arm `none` is in it, in a few words."
    )
    citation: str = Field("", description="The publication.")
    limitations: tuple[str, ...] = Field(
        (), description="What the numbers cannot support; the report prints each."
    )


@dataclass(frozen=True)
class Source:
    """A table of published scores that was found, and what is taken of it."""

    label: str
    title: str
    path: Path
    digest: str
    protocol: str
    keep: Keep
    citation: str = ""
    limitations: tuple[str, ...] = ()
    direct: str = "direct fine-tuning"

    def entry(self) -> dict[str, Any]:
        """Return what a plan keeps of it, but for the folder that the table is in."""
        return {
            "label": self.label,
            "title": self.title,
            "file": self.path.name,
            "digest": self.digest,
            "protocol": self.protocol,
            "keep": {k: list(v) for k, v in self.keep.model_dump().items() if v},
            "citation": self.citation,
            "direct": self.direct,
            "limitations": list(self.limitations),
        }


def located(entry: Evidence, sets: Mapping[str, EvidenceSet], folder: Path, study: Path) -> Source:
    """Return where the table of an entry is; its digest is not known yet.

    ``folder`` is that of the set's file in the catalog, ``study`` that of the study's. Raises
    KeyError when there is no such set.
    """
    if entry.name is None:
        name = str(entry.file)
        return Source(name, name, study / name, "", entry.protocol, entry.keep)
    known = sets[entry.name]
    return Source(
        entry.name,
        known.title,
        folder / known.file,
        "",
        entry.protocol or known.protocol,
        entry.keep,
        known.citation,
        known.limitations,
        known.direct,
    )
