"""What was submitted of a study, kept in the store, so that any later process finds its jobs."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from compiler.render import atomic_write
from runtime.store import Store

SCHEMA = "stiltscale/submissions/1"


@dataclass(frozen=True, slots=True)
class Submitted:
    """One job: Slurm's id of it, its array, and when it was submitted."""

    id: str
    array: str
    when: str


@dataclass
class Submissions:
    """Reads and writes ``<store>/submissions/<study>.json``.

    ``intents`` are submissions that have no id yet: each has a token, which stands in the comment
    of the jobs too. When the submitting process was killed in between, they are found by it.
    """

    path: Path
    jobs: dict[str, Submitted] = field(default_factory=dict)
    intents: dict[str, dict[str, Any]] = field(default_factory=dict)

    @property
    def any(self) -> bool:
        """Whether something was, or may have been, submitted."""
        return bool(self.jobs or self.intents)

    def intend(self, token: str, array: str, when: str, jobs: Mapping[int, str]) -> None:
        """Note what is about to be submitted."""
        places = {str(index): job for index, job in jobs.items()}
        self.intents[token] = {"array": array, "when": when, "jobs": places}
        self.write()

    def settle(self, token: str, number: str | None) -> None:
        """Note the id of what was submitted; None when nothing was."""
        intent = self.intents.pop(token)
        for index, job in intent["jobs"].items() if number else ():
            self.jobs[job] = Submitted(f"{number}_{index}", intent["array"], intent["when"])
        self.write()

    def write(self) -> None:
        """Write the file, whole or not at all."""
        body = {
            "schema": SCHEMA,
            "jobs": {name: asdict(job) for name, job in self.jobs.items()},
            "intents": self.intents,
        }
        self.path.parent.mkdir(parents=True, exist_ok=True)
        atomic_write(self.path, (json.dumps(body, indent=1) + "\n").encode("utf-8"))


def load(store: Store, study: str) -> Submissions:
    """Return what was submitted of a study; nothing when the file cannot be read.

    Its jobs would then be submitted once more: the leases of the store keep them from harm.
    """
    path = store.root / "submissions" / f"{study}.json"
    try:
        body = json.loads(path.read_text(encoding="utf-8"))
        if body["schema"] != SCHEMA:
            return Submissions(path)
        jobs = {name: Submitted(**row) for name, row in body["jobs"].items()}
        return Submissions(path, jobs, dict(body["intents"]))
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return Submissions(path)


def told(store: Store, study: str, job: str) -> dict[str, str]:
    """Return what a job's script wrote last of itself: when, machine, id, word and number."""
    names = ("when", "machine", "id", "word", "number")
    return dict(zip(names, next(_lines(store, study, job), []), strict=False))


def _lines(store: Store, study: str, job: str) -> Iterator[list[str]]:
    try:
        text = (store.root / "submissions" / study / f"{job}.txt").read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return
    yield from (line.split() for line in reversed(text.splitlines()) if line.strip())
