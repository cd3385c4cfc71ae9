"""Finds what in a store no known study needs, and removes it when told to."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from compiler.errors import StoreDamaged
from compiler.identity import digest
from compiler.plan import Plan, load
from compiler.render import atomic_write, host
from runtime.audit import parts, quarantined
from runtime.store import Store, sweep


@dataclass(frozen=True, slots=True)
class Waste:
    """Something that can be freed: a folder or file, why, and its bytes.

    ``key`` is the stage whose lease is taken while it is removed; "" where there is none.
    """

    path: Path
    why: str
    bytes: int
    key: str = ""


def remember(store: Store, plan: Plan, folder: Path) -> None:
    """Note in the store which stages a study needs, so that no other user's `gc` frees them.

    ``folder`` is the study's output folder, by which the note is found again.
    """
    place = store.root / "studies" / f"{plan.name}-{digest(str(folder.resolve()))[:10]}.json"
    said = {
        "plan": str(folder.resolve() / "plan.json"),
        "needs": {key: list(stage.parts) for key, stage in plan.stages.items()},
    }
    text = json.dumps(said, ensure_ascii=False) + "\n"
    if not place.exists() or place.read_text(encoding="utf-8") != text:
        place.parent.mkdir(parents=True, exist_ok=True)
        atomic_write(place, text.encode("utf-8"))


Needs = Mapping[str, frozenset[str]]
"""The parts of each stage that some study needs."""


def needed(store: Store, plans: Iterable[Plan], build: Path) -> tuple[Needs, list[str]]:
    """Return what the studies need that are given, compiled in ``build``, or noted in the store.

    Also where each was found. Raises PlanInvalid or StoreDamaged when one of them cannot be read:
    what is not known may be needed.
    """
    found: dict[str, set[str]] = {}
    sources = []
    for plan in plans:
        sources.append(f"the study {plan.name}")
        _add(found, {key: stage.parts for key, stage in plan.stages.items()})
    for path in sorted(build.glob("*/plan.json")):
        sources.append(str(path))
        _add(found, {key: stage.parts for key, stage in load(path).stages.items()})
    for path in sorted((store.root / "studies").glob("*.json")):
        try:
            said = json.loads(path.read_text(encoding="utf-8"))
            sources.append(f"{path} ({said['plan']})")
            _add(found, {str(key): map(str, names) for key, names in said["needs"].items()})
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise StoreDamaged(
                "R008",
                "what a study needs cannot be read",
                where=str(path),
                hint="run that study's `stiltscale run` again, or remove the file if it is gone",
            ) from error
    return {key: frozenset(names) for key, names in found.items()}, sources


def _add(found: dict[str, set[str]], more: Mapping[str, Iterable[str]]) -> None:
    for key, names in more.items():
        found.setdefault(key, set()).update(names)


def waste(store: Store, needs: Needs) -> list[Waste]:
    """Return what can be freed; nothing that is needed, nor of a stage that somebody runs."""
    busy = store.running(patient=True)
    found = []
    for part in parts(store):
        if part.part not in needs.get(part.key, ()) and part.key not in busy:
            why = "no known study needs it"
            found.append(Waste(part.folder, why, _size(part.folder), part.key))
    for path in sorted((store.root / "checkpoints").glob("*")):
        if path.name in busy:
            continue
        if path.name not in needs:
            found.append(Waste(path, "no known study needs it", _size(path), path.name))
        elif _finished(store, path.name, needs):
            found.append(Waste(path, "its training is finished", _size(path), path.name))
    found += [Waste(path, "set aside as damaged", _size(path)) for path in quarantined(store)]
    return found


def _finished(store: Store, key: str, needs: Needs) -> bool:
    return all(store.record(key, part) is not None for part in needs[key])


def free(store: Store, found: Iterable[Waste]) -> tuple[int, int]:
    """Remove waste; return how many things were freed, and how many bytes.

    Each is first moved out of its place, under the lease of its stage: a process that is killed
    here leaves nothing that looks finished. What somebody has begun to run meanwhile stays.
    """
    store.prepare()
    sweep(store)
    count = freed = 0
    for item in found:
        lease = store.lease(item.key) if item.key else None
        if item.key and lease is None:
            continue
        try:
            if not os.path.lexists(item.path):
                continue
            if item.path.is_symlink():
                item.path.unlink()
            else:
                grave = _grave(store, count)
                item.path.rename(grave)
                _remove(grave)
            count, freed = count + 1, freed + item.bytes
            if (
                item.path.parent.parent == store.root / "stages"
            ):  # which our lease keeps others from
                _tidy(item.path.parent)
        finally:
            if lease is not None:
                lease.release()
    return count, freed


def _grave(store: Store, number: int) -> Path:
    """Return a name under ``tmp`` that ``sweep`` takes for a leftover if we are killed here."""
    return store.root / "tmp" / f"freed{number}.{host()}.{os.getpid()}.0"


def _tidy(folder: Path) -> None:
    """Remove the folder of a stage when nothing but an old failure is in it."""
    if {path.name for path in folder.iterdir()} <= {"failure.json"}:
        (folder / "failure.json").unlink(missing_ok=True)
        folder.rmdir()


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _size(path: Path) -> int:
    """Return the bytes of a file, or of all files in a folder; links are not followed."""
    if path.is_symlink() or not path.is_dir():
        return path.lstat().st_size
    inside = (Path(folder) / name for folder, _, names in os.walk(path) for name in names)
    return sum(place.lstat().st_size for place in inside)
