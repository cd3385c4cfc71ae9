"""Says which finished parts a part of a stage reads."""

from __future__ import annotations

from compiler.plan import Stage


def needs(stage: Stage, part: str) -> list[tuple[str, str]]:
    """Return the (stage, part) pairs that a part of a stage reads."""
    wanted = []
    for role, key in stage.inputs.items():
        if role != "data":
            wanted.append((key, "all"))
        else:
            wanted += [(key, name) for name in prepared(stage, part)]
    return wanted


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
