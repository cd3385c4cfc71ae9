"""Says what became of the data between its source and the models, by the records of the store."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from compiler.plan import Plan
from runtime.collect import Records

UNKNOWN = 0.001
"""Share of tokens outside of a vocabulary from which on it is worth a line; below, it is noise."""

Entry = dict[str, Any]
"""``task``, ``split``, ``language``; ``rows`` that were used of ``found``; ``dropped`` rows by
reason; ``moved`` answers; ``absent`` labels; ``placed``, labels that were numbers without a name;
``cut`` answers; ``unknown``, the largest share of tokens that a vocabulary lacks, and ``model``,
whose it is."""


def intake(plan: Plan, store: Records) -> list[Entry]:
    """Return an entry for each split in a language where something is to be said, in plan order.

    What tokenizers make of a split is taken from the one that makes the worst of it; everything
    else is the same for all of them.
    """
    found: dict[tuple[str, str, str], Entry] = {}
    for stage in plan.stages.values():
        if stage.kind != "prepare":
            continue
        for part in stage.parts:
            record = store.record(stage.key, part)
            if record is None:
                continue
            split, language = part.split("@")[0].split(".", 1)
            place = (stage.task, split, language)
            entry = _entry(place, stage.model, record.result)
            known = found.setdefault(place, entry)
            if entry["unknown"] > known["unknown"]:
                known |= {name: entry[name] for name in ("unknown", "model")}
            known["cut"] = max(known["cut"], entry["cut"])
    return [entry for entry in found.values() if _is_notable(entry)]


def _entry(place: tuple[str, str, str], model: str, result: Mapping[str, Any]) -> Entry:
    task, split, language = place
    return {
        "task": task,
        "split": split,
        "language": language,
        "rows": int(result.get("rows", 0)),
        "found": int(result.get("source_rows", result.get("rows", 0))),
        "dropped": dict(result.get("rows_dropped", {})),
        "moved": int(result.get("answers_moved", 0)),
        "absent": list(result.get("labels_absent", ())),
        "placed": int(result.get("labels_by_position", 0)),
        "cut": int(result.get("answer_cut", 0)),
        "unknown": float(result.get("unknown_share", 0.0)),
        "model": model,
    }


def _is_notable(entry: Entry) -> bool:
    counted = any(entry[name] for name in ("dropped", "moved", "absent", "placed", "cut"))
    return counted or entry["unknown"] >= UNKNOWN


def totals(entries: list[Entry]) -> Entry:
    """Return the sums over entries: rows left out by reason, answers moved and cut, labels."""
    dropped: dict[str, int] = {}
    for entry in entries:
        for reason, rows in entry["dropped"].items():
            dropped[reason] = dropped.get(reason, 0) + rows
    tests = [entry for entry in entries if entry["split"] == "test"]
    return {
        "dropped": dropped,
        "test_rows_dropped": sum(sum(entry["dropped"].values()) for entry in tests),
        "moved": sum(entry["moved"] for entry in entries),
        "placed": sum(entry["placed"] for entry in entries),
        "cut": sum(entry["cut"] for entry in entries),
        "splits_with_absent_labels": sum(bool(entry["absent"]) for entry in entries),
    }
