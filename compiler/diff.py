"""Compares two plans: what is kept, added, dropped, and re-keyed by which field."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from compiler.identity import canonical
from compiler.plan import Plan, Run, Stage

SCHEMA = "stiltscale/diff/1"

_HASH = re.compile(r"-v\d+-[0-9a-f]{10}\Z")

Seconds = Mapping[str, Mapping[str, float]]
"""Stage key -> part -> seconds that it took, for what the store holds."""


@dataclass(frozen=True, slots=True)
class Change:
    """A field of two stages, or of two plans, that differs; None is a field that is not there."""

    field: str
    old: Any
    new: Any


OTHER_VERSION = Change("nothing of the study; keys are made", "by one version", "by another")
"""Why a key differs though identity and inputs are equal."""


@dataclass(frozen=True, slots=True)
class Rekeyed:
    """A stage that became another; without changes of its own it follows one that it reads."""

    old: str
    new: str
    changes: tuple[Change, ...]
    causes: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Cause:
    """A change that re-keyed stages, and how many others were re-keyed because they read those."""

    kind: str
    task: str
    changes: tuple[Change, ...]
    stages: int
    followers: int


@dataclass(frozen=True, slots=True)
class Cost:
    """What the new work of one kind on one model takes: parts times the mean of the records."""

    kind: str
    model: str
    parts: int
    mean_seconds: float | None
    records: int


@dataclass(frozen=True, slots=True)
class Difference:
    """All that differs between two plans; keys in the order of their plan."""

    before: str
    after: str
    kept: tuple[str, ...]
    added: tuple[str, ...]
    dropped: tuple[str, ...]
    rekeyed: tuple[Rekeyed, ...]
    causes: tuple[Cause, ...]
    parts_added: Mapping[str, tuple[str, ...]]
    parts_dropped: Mapping[str, tuple[str, ...]]
    runs: Mapping[str, int]
    cells: Mapping[str, int]
    design: Mapping[str, Mapping[str, tuple[Any, ...]]]
    settings: tuple[Change, ...]
    costs: tuple[Cost, ...]
    stored: int

    def body(self) -> dict[str, Any]:
        """Return the difference as what JSON can hold; of the stages kept, their number."""
        return {"schema": SCHEMA, **asdict(self), "kept": len(self.kept)}


def words_of(key: str) -> str:
    """Return a key without its scheme and hash: the words that people read."""
    return _HASH.sub("", key)


def compare(before: Plan, after: Plan, seconds: Seconds | None = None) -> Difference:
    """Compare two plans; ``seconds`` are the records of the store, for what the new work costs.

    A stage is re-keyed when the other plan has a stage of the same words under another hash, or of
    the same identity under other words: a renamed arm.
    """
    pairs = _pairs(before, after)
    rekeyed, causes = _rekeyed(before, after, pairs)
    former = set(pairs.values())
    kept = tuple(key for key in after.stages if key in before.stages)
    parts = {key: (before.stages[key].parts, after.stages[key].parts) for key in kept}
    new_parts = {k: _without(new, old) for k, (old, new) in parts.items() if set(new) - set(old)}
    old_parts = {k: _without(old, new) for k, (old, new) in parts.items() if set(old) - set(new)}
    runs, cells = _counts(before, after)
    todo = {k: s.parts for k, s in after.stages.items() if k not in before.stages} | new_parts
    costs, stored = _costs(before, after, todo, seconds or {})
    return Difference(
        before=before.name,
        after=after.name,
        kept=kept,
        added=tuple(k for k in after.stages if k not in before.stages and k not in pairs),
        dropped=tuple(k for k in before.stages if k not in after.stages and k not in former),
        rekeyed=rekeyed,
        causes=causes,
        parts_added=new_parts,
        parts_dropped=old_parts,
        runs=runs,
        cells=cells,
        design=_design(before, after),
        settings=_settings(before, after),
        costs=costs,
        stored=stored,
    )


def leaves(value: Any, path: str = "") -> dict[str, Any]:
    """Return the innermost values of a nested mapping by dotted path; a plain list is one value."""
    if isinstance(value, Mapping) and value:
        dot = f"{path}." if path else ""
        return {k: v for key in value for k, v in leaves(value[key], f"{dot}{key}").items()}
    if isinstance(value, list | tuple):
        if any(isinstance(item, Mapping) for item in value):
            numbered = enumerate(value)
            return {k: v for i, x in numbered for k, v in leaves(x, f"{path}[{i}]").items()}
        return {path: _plain(value)}
    return {path: value}


def differing(old: Any, new: Any, path: str = "") -> tuple[Change, ...]:
    """Return the innermost fields in which two nested mappings differ, in their order."""
    left, right = leaves(old, path), leaves(new, path)
    fields = dict.fromkeys((*left, *right))
    return tuple(
        Change(field, left.get(field), right.get(field))
        for field in fields
        if (field in left) != (field in right)
        or canonical(left.get(field)) != canonical(right.get(field))
    )


def definition(plan: Plan, stage: Stage, field: str) -> dict[str, Any]:
    """Return what stands behind the digest ``model`` or ``tokenizer`` of a stage's identity."""
    model = plan.models.get(stage.model, {})
    if field == "tokenizer":
        return dict(model.get("tokenizer") or model.get("checkpoint") or {})
    origin = "checkpoint" if "checkpoint" in model else "architecture"
    names = (origin, "layers", "pooling", "tuning", "adapter")
    return {name: model[name] for name in names if name in model}


def identity_changes(old: Stage, new: Stage, before: Plan, after: Plan) -> tuple[Change, ...]:
    """Return the identity fields in which two stages differ; digests are opened where they can."""
    found: list[Change] = []
    for change in differing(old.identity, new.identity):
        if change.field not in ("model", "tokenizer"):
            found.append(change)
            continue
        left, right = (definition(p, s, change.field) for p, s in ((before, old), (after, new)))
        opened = differing(left, right, change.field)
        opened = tuple(c for c in opened if not c.field.endswith(".folder"))
        unseen = Change(f"{change.field} (the files of its folder)", change.old, change.new)
        found += opened or (unseen,)
    return tuple(found)


def _plain(value: Any) -> Any:
    return [_plain(item) for item in value] if isinstance(value, list | tuple) else value


def _without(some: Iterable[str], others: Iterable[str]) -> tuple[str, ...]:
    left_out = set(others)
    return tuple(item for item in some if item not in left_out)


def _pairs(before: Plan, after: Plan) -> dict[str, str]:
    """Return new key -> old key for the stages that became others."""
    gone: dict[str, list[Stage]] = defaultdict(list)
    fresh: dict[str, list[Stage]] = defaultdict(list)
    for plan, other, found in ((before, after, gone), (after, before, fresh)):
        for key, stage in plan.stages.items():
            if key not in other.stages:
                found[words_of(key)].append(stage)
    pairs: dict[str, str] = {}
    for words, new in fresh.items():
        _pair(gone.get(words, []), new, pairs)
    former = set(pairs.values())
    left = {
        (s.kind, canonical(s.identity), tuple(sorted(s.inputs.items()))): s.key
        for stages in gone.values()
        for s in stages
        if s.key not in former
    }
    for key, stage in after.stages.items():  # inputs come first: their pairs are known
        if left and key not in pairs and key not in before.stages:
            inputs = {name: pairs.get(up, up) for name, up in stage.inputs.items()}
            same = (stage.kind, canonical(stage.identity), tuple(sorted(inputs.items())))
            if same in left:
                pairs[key] = left.pop(same)
    return pairs


def _pair(old: list[Stage], new: list[Stage], pairs: dict[str, str]) -> None:
    """Pair stages of the same words, those first that differ in the fewest fields."""
    if len(old) == len(new) == 1:
        pairs[new[0].key] = old[0].key
        return
    closest = sorted(
        (len(differing(a.identity, b.identity)), a.model != b.model, i, j)
        for i, a in enumerate(old)
        for j, b in enumerate(new)
    )
    taken: set[str] = set()
    for *_, i, j in closest:
        if old[i].key not in taken and new[j].key not in pairs:
            pairs[new[j].key] = old[i].key
            taken.add(old[i].key)


def _rekeyed(
    before: Plan, after: Plan, pairs: Mapping[str, str]
) -> tuple[tuple[Rekeyed, ...], tuple[Cause, ...]]:
    numbers: dict[tuple[str, str, str], int] = {}
    told: list[tuple[Change, ...]] = []
    reach: dict[str, frozenset[int]] = {}
    found: list[Rekeyed] = []
    roots: Counter[int] = Counter()
    followers: Counter[int] = Counter()
    for key, stage in after.stages.items():
        if key not in pairs:
            continue
        old = before.stages[pairs[key]]
        changes = [*identity_changes(old, stage, before, after), *_renamed(old.key, key)]
        above: frozenset[int] = frozenset()
        for name in dict.fromkeys((*old.inputs, *stage.inputs)):
            ups = old.inputs.get(name), stage.inputs.get(name)
            if ups[1] is not None and ups[0] != ups[1] and pairs.get(ups[1]) == ups[0]:
                above |= reach.get(ups[1], frozenset())
            elif ups[0] != ups[1]:
                changes += _input_changes(name, *ups, before, after)
        if not changes and not above:
            changes = [OTHER_VERSION]
        if changes:
            values = canonical([[c.field, c.old, c.new] for c in changes])
            number = numbers.setdefault((stage.kind, stage.task, values), len(numbers))
            if number == len(told):
                told.append(tuple(changes))
            roots[number] += 1
            reach[key] = above | {number}
        else:
            followers.update(above)
            reach[key] = above
        found.append(Rekeyed(old.key, key, tuple(changes), tuple(sorted(reach[key]))))
    causes = tuple(
        Cause(kind, task, told[number], roots[number], followers[number])
        for (kind, task, _), number in numbers.items()
    )
    return tuple(found), causes


def _renamed(old: str, new: str) -> list[Change]:
    """Return the words of the key that differ, for a stage whose identity did not."""
    left, right = words_of(old).split("-"), words_of(new).split("-")
    if left == right:
        return []
    gone = "-".join(word for word in left if word not in right)
    come = "-".join(word for word in right if word not in left)
    return [Change("words of the key", gone, come)]


def _input_changes(
    name: str, old: str | None, new: str | None, before: Plan, after: Plan
) -> list[Change]:
    """Say how a stage that is read differs from the one that was read."""
    field = f"inputs.{name}"
    left, right = before.stages.get(old or ""), after.stages.get(new or "")
    if left and right and words_of(left.key) == words_of(right.key):
        inner = identity_changes(left, right, before, after)
        if inner:
            return [Change(f"{field}.{c.field}", c.old, c.new) for c in inner]
    return [Change(field, old and words_of(old), new and words_of(new))]


def _counts(before: Plan, after: Plan) -> tuple[dict[str, int], dict[str, int]]:
    """Count runs and cells; a run is its model, arm, target and seed."""

    def by_name(plan: Plan) -> dict[tuple[str, str, str, int], Run]:
        return {(run.model, run.arm, run.target, run.seed): run for run in plan.runs}

    old, new = by_name(before), by_name(after)
    runs = {"kept": 0, "added": 0, "dropped": len(old)}
    cells = {"kept": 0, "added": 0, "dropped": sum(len(run.languages) for run in old.values())}
    for name, run in new.items():
        known = old.get(name)
        same = set(known.languages) & set(run.languages) if known else set()
        runs["kept" if known else "added"] += 1
        cells["kept"] += len(same)
        cells["added"] += len(run.languages) - len(same)
    runs["dropped"] -= runs["kept"]
    cells["dropped"] -= cells["kept"]
    return runs, cells


def _design(before: Plan, after: Plan) -> dict[str, dict[str, tuple[Any, ...]]]:
    """Return what was added to and dropped from each dimension of the design."""
    sides = [
        {
            "models": tuple(plan.models),
            "arms": tuple(plan.arms),
            "targets": tuple(dict.fromkeys(run.target for run in plan.runs)),
            "languages": tuple(plan.study["languages"]),
            "seeds": tuple(plan.study["seeds"]),
        }
        for plan in (before, after)
    ]
    return {
        name: {"added": _without(sides[1][name], old), "dropped": _without(old, sides[1][name])}
        for name, old in sides[0].items()
    }


def _settings(before: Plan, after: Plan) -> tuple[Change, ...]:
    """Return what differs in the plans' definitions, whether or not a key depends on it."""
    sides = []
    for plan, other in ((before, after), (after, before)):
        study = {k: v for k, v in plan.study.items() if k not in ("languages", "seeds")}
        tables = {
            name: {k: v for k, v in getattr(plan, name).items() if k in getattr(other, name)}
            for name in ("models", "arms", "tasks", "corpora", "recipes")
        }
        execution = {k: v for k, v in plan.execution.items() if k != "measured"}
        sides.append({"study": study, "execution": execution, **tables})
    found = differing(sides[0], sides[1])
    return tuple(change for change in found if not change.field.endswith(".folder"))


def _costs(
    before: Plan, after: Plan, todo: Mapping[str, tuple[str, ...]], seconds: Seconds
) -> tuple[tuple[Cost, ...], int]:
    """Return the cost of what is to do, and how many of its parts the store has already."""
    taken: dict[tuple[str, str], list[float]] = defaultdict(list)
    for key, by_part in seconds.items():
        stage = after.stages.get(key) or before.stages.get(key)
        if stage is not None:
            taken[(stage.kind, stage.model)] += by_part.values()
    stored = 0
    missing: Counter[tuple[str, str]] = Counter()
    for key, parts in todo.items():
        lacking = len(set(parts) - set(seconds.get(key, {})))
        stored += len(parts) - lacking
        if lacking:
            missing[(after.stages[key].kind, after.stages[key].model)] += lacking
    costs = []
    for (kind, model), count in missing.items():
        known = taken[(kind, model)]
        mean = round(sum(known) / len(known), 3) if known else None
        costs.append(Cost(kind, model, count, mean, len(known)))
    return tuple(costs), stored
