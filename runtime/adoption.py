"""Takes a checkpoint or scores made elsewhere into the store, as the result of a stage."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from compiler.errors import EnvironmentUnready, StoreDamaged
from compiler.plan import Plan, Stage, language_of
from runtime.records import LARGEST, Record
from runtime.store import Store, sha256

SCORED = ("evaluate", "retrieve")
PICKLED = (".bin", ".pt", ".pth", ".pkl", ".ckpt")
"""Endings of files that run code when they are read; they never are."""


def adopt(
    plan: Plan, store: Store, key: str, source: Path, note: str, say: Callable[[str], None]
) -> int:
    """Make records of a stage from what was made elsewhere; return how many parts were new.

    ``source`` is a folder of safetensors for a training, a JSON file {language: score} for a
    scoring, see ``scores``. Each record says ``adopted`` in its provenance, which the report shows.
    Raises StoreDamaged (R011) when it does not fit the stage: nothing is adopted then.
    """
    stage = plan.stages[key]
    store.prepare()
    missing = store.missing(stage)
    if not missing:
        say(f"{key} is finished already; nothing was adopted")
        return 0
    lease = store.lease(key)
    if lease is None:
        raise EnvironmentUnready(
            "E003", "a process is running this stage", where=key, hint="wait until it has ended"
        )
    try:
        if stage.kind == "train":
            return _checkpoint(plan, store, stage, source, note)
        if stage.kind in SCORED:
            return _scores(store, stage, missing, source, note, say)
    finally:
        lease.release()
    raise _unfit(source, f"a {stage.kind} stage cannot be adopted, only trainings and scorings")


def scores(text: str, source: Path, metric: str) -> dict[str, dict[str, Any]]:
    """Read scores: {language: number} or {language: {value, n, scores}}, on a scale of 0 to 100.

    ``scores`` has the value under its metric's name where the file says nothing else.
    """
    try:
        body = json.loads(text)
        if not isinstance(body, dict) or not body:
            raise ValueError("it is no object of scores by language")
        found = {}
        for language, given in body.items():
            one = given if isinstance(given, dict) else {"value": given}
            if not {"value"} <= one.keys() <= {"value", "n", "scores"}:
                raise ValueError(f"{language[:40]}: a score has value, n and scores")
            named = one.get("scores", {metric: one["value"]})
            for value in (one["value"], *named.values()):
                if isinstance(value, bool) or not isinstance(value, int | float):
                    raise ValueError(f"{language[:40]}: a score is a number")
                if not (math.isfinite(value) and 0 <= value <= 100):
                    raise ValueError(f"{language[:40]}: {value} is not from 0 to 100")
            count = one.get("n", 0)
            if type(count) is not int or count < 0:
                raise ValueError(f"{language[:40]}: n is the number of examples")
            found[language] = {"value": float(one["value"]), "n": count, "scores": named}
        return found
    except (ValueError, AttributeError, TypeError, RecursionError) as error:
        raise _unfit(source, f"the scores cannot be read: {error}") from error


def _scores(
    store: Store,
    stage: Stage,
    missing: tuple[str, ...],
    source: Path,
    note: str,
    say: Callable[[str], None],
) -> int:
    metric = str(stage.identity["metric"])
    try:
        if source.stat().st_size > LARGEST:
            raise _unfit(source, "the file is too large for scores")
        content = source.read_bytes()
        found = scores(content.decode("utf-8"), source, metric)
    except (OSError, UnicodeDecodeError) as error:
        raise _unfit(source, f"the scores cannot be read: {error}") from error
    known = {language_of(part): part for part in stage.parts}
    strange = sorted(found.keys() - known.keys())
    if strange:
        raise _unfit(source, f"the stage has no {strange[0][:40]!r}; it has {', '.join(known)}")
    came = 0
    for language, part in known.items():
        if language not in found or part not in missing:
            say(f"{stage.key}/{part}: " + ("there already" if language in found else "no score"))
            continue
        result = {"metric": metric, **found[language]}
        mark = _mark(source.name, hashlib.sha256(content).hexdigest(), note)
        with store.writing(stage.key, part) as folder:
            store.commit(_record(stage, part, result, mark), folder)
        came += 1
    return came


def _checkpoint(plan: Plan, store: Store, stage: Stage, source: Path, note: str) -> int:
    from safetensors import SafetensorError
    from safetensors.torch import load_file, save_file

    files = sorted(source.glob("*.safetensors")) if source.is_dir() else []
    if not files:
        pickles = source.is_dir() and [p.name for p in source.iterdir() if p.suffix in PICKLED]
        more = f"; {pickles[0]} is a pickle, which is never read" if pickles else ""
        raise _unfit(source, f"there are no safetensors in this folder{more}")
    tensors: dict[str, Any] = {}
    digests = hashlib.sha256()
    for path in files:
        try:
            tensors |= load_file(path)
        except (SafetensorError, OSError) as error:
            raise _unfit(path, f"it cannot be read: {error}") from error
        digests.update(f"{path.name} {sha256(path)}\n".encode())
    fitted, origin = _fitted(plan, store, stage, source, tensors)
    result = {"steps": 0, "adopted": True, "tensors": len(fitted), **origin}
    mark = _mark(source.name, digests.hexdigest(), note)
    with store.writing(stage.key, "all") as folder:
        save_file(fitted, folder / "weights.safetensors")
        store.commit(_record(stage, "all", result, mark), folder)
    return 1


def _fitted(
    plan: Plan, store: Store, stage: Stage, source: Path, tensors: Mapping[str, Any]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the weights under the names of our model, and where its checkpoint came from.

    Names are those that our trainings leave (``backbone.``, ``head.``), or those of a model of
    Transformers, of which the backbone is taken: a head there has another form. Every weight of the
    backbone must be there and of its shape, and the head's too where a scoring reads this stage.
    """
    from accelerate import Accelerator

    from runtime.session import Session
    from runtime.stages.train import new_model
    from runtime.weights import aliases

    if "mix" in stage.identity or plan.models[stage.model].get("tuning") in ("lora", "qlora"):
        raise _unfit(source, "the weights of a mix or of adapters cannot be adopted")
    session = Session(plan, store, Accelerator(cpu=True))
    model = new_model(session.backbone(stage), stage, session)
    state = model.state_dict()
    if not any(name.startswith("backbone.") for name in tensors):
        tensors = _renamed(tensors, state)
    strange = sorted(tensors.keys() - state.keys())
    shaped = [n for n, value in tensors.items() if n in state and value.shape != state[n].shape]
    scored = any(
        other.kind in SCORED and other.inputs.get("weights") == stage.key
        for other in plan.stages.values()
    )
    needed = {name for name in state if name.startswith("backbone.") or scored} - aliases(model)
    absent = sorted(needed - tensors.keys())
    for names, what in (
        (absent, "lacks"), (strange, "has what the model does not know:"),
        (shaped, "has another shape of"),
    ):  # fmt: skip
        if names:
            more = f" and {len(names) - 3} more" if len(names) > 3 else ""
            raise _unfit(source, f"the checkpoint {what} {', '.join(names[:3])}{more}")
    return {k: v.contiguous() for k, v in tensors.items()}, session.origin(stage)


def _renamed(tensors: Mapping[str, Any], state: Mapping[str, Any]) -> dict[str, Any]:
    """Give the weights of a model of Transformers our names; its head and pooler are left."""
    found = {}
    for name, value in tensors.items():
        for tail in (name, name.partition(".")[2]):  # `bert.encoder...` or `encoder...`
            if f"backbone.{tail}" in state:
                found[f"backbone.{tail}"] = value
                break
    return found


def _record(stage: Stage, part: str, result: Mapping[str, Any], mark: Mapping[str, Any]) -> Record:
    when = str(mark["when"])
    return Record(
        stage.key, part, stage.kind, when, when, 0.0, result, provenance={"adopted": mark}
    )


def _mark(name: str, digest: str, note: str) -> dict[str, str]:
    when = datetime.now(UTC).isoformat(timespec="seconds")
    return {"source": name, "sha256": digest, "note": note, "when": when}


def _unfit(source: Path, what: str) -> StoreDamaged:
    return StoreDamaged(
        "R011", what, where=str(source), hint="nothing was adopted; see docs/reference/store.md"
    )
