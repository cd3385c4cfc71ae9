"""Says which finished parts a part of a stage reads."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from compiler.plan import Stage


def needs(stage: Stage, part: str) -> list[tuple[str, str]]:
    """Return the (stage, part) pairs that a part of a stage reads."""
    wanted = []
    several = iter(_sources(stage.identity))
    for role, key in stage.inputs.items():
        if role == "data":
            names = prepared(stage, part)
        elif role == "replay":
            names = list(stage.identity["replay"]["data"])
        elif role.startswith("data:"):
            names = list(next(several)["data"])
        else:
            names = ["all"]
        wanted += [(key, name) for name in names]
    return wanted


def _sources(identity: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return what an identity says of several data sets, in the order of the inputs."""
    return list(identity.get("corpora", identity.get("mix", ())))


def prepared(stage: Stage, part: str) -> list[str]:
    """Name the parts of prepared data that a part of a stage reads.

    Training reads what its identity lists, scoring the test split of its own language and the pool
    of candidates. Where a threshold is tuned on a dev split, that is read too: a part of local
    files is named after both contents, as ``de@<test>-<dev>``, and has no dev split if it lacks
    the second.
    """
    if stage.kind == "train":
        return list(stage.identity["data"])
    language, at, contents = part.partition("@")
    test, _, dev = contents.partition("-")
    found = [f"test.{language}{at}{test}", *stage.identity.get("pool", ())]
    if stage.identity.get("threshold") == "dev" and (dev or not at):
        found.append(f"dev.{language}{at}{dev}")
    return found
