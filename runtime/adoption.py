"""Takes a checkpoint or scores made elsewhere into the store, as the result of a stage."""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from compiler.errors import EnvironmentUnready, StoreDamaged
from compiler.plan import Plan, Stage, language_of
from runtime.records import LARGEST, Record
from runtime.store import Store, sha256

PICKLED = (".bin", ".pt", ".pth", ".pkl", ".ckpt")
"""Endings of files that run code when they are read; they never are."""


_NOTHING = "nothing was adopted; see docs/reference/store.md"

_MATRIX = re.compile(r"(.+)\.(lora_[AB])(?:\.default)?\.weight")
"""How PEFT names a matrix of an adapter."""

_INSTEAD = {
    "pretrain": "a model that was pretrained elsewhere is an entry of your catalog with "
    "`checkpoint: {folder: ...}`, and needs no pretraining",
    "tokenizer": "a model of your catalog with a checkpoint brings its own tokenizer",
    "prepare": "tokenised data is made from the task's files: run the study, or name your files in "
    "the task's `source`",
}
"""What to do instead, by the kind of a stage whose result cannot be adopted."""


def adopt(
    plan: Plan, store: Store, key: str, source: Path, note: str, say: Callable[[str], None]
) -> int:
    """Make records of a stage from what was made elsewhere; return how many parts were new.

    ``source`` is a folder of safetensors for a training, a JSON file {language: score} for a
    scoring, see ``scores``. Each record says ``adopted`` in its provenance, which the report shows.
    Raises StoreDamaged (R011) when it does not fit the stage: nothing is adopted then.
    """
    stage = plan.stages[key]
    if stage.kind in _INSTEAD:
        text = f"a {stage.kind} stage cannot be adopted, only trainings and scorings"
        raise _unfit(source, text, f"nothing was adopted; {_INSTEAD[stage.kind]}")
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
        return _scores(store, stage, missing, source, note, say)
    finally:
        lease.release()


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

    Names are those that our trainings leave (``backbone.``, ``head.``), those of a model of
    Transformers, of which the backbone is taken (a head there has another form), or those of PEFT's
    adapters where the plan tunes by LoRA. Every weight of the backbone, or of its adapters, must be
    there and of its shape, and the head's too where an evaluation reads this stage. The heads of a
    mix and of a replay serve their training alone, and are left.
    """
    from accelerate import Accelerator

    from runtime import adapters
    from runtime.session import Session
    from runtime.stages.train import new_model, singles
    from runtime.weights import aliases, trained_state

    mixed = "mix" in stage.identity
    headed = any(
        other.kind == "evaluate" and other.inputs.get("weights") == stage.key
        for other in plan.stages.values()
    )
    if mixed and headed:
        text = "the heads of a mix, which the plan scores, cannot be adopted"
        raise _unfit(source, text, f"adopt its scores instead; {_NOTHING}")
    given = adapters.settings(plan.models[stage.model])
    session = Session(plan, store, Accelerator(cpu=True))
    if given is None:
        backbone = session.backbone(stage)
    else:
        _same_adapter(source, given)
        backbone = session.grown(stage, _start(plan, store, stage, source))[0]
    model = new_model(backbone, singles(stage)[0], session)
    known = dict(model.state_dict() if given is None else trained_state(model))
    if mixed:
        known = {name: value for name, value in known.items() if name.startswith("backbone.")}
    if mixed or "replay" in stage.identity:
        extra = "head" if mixed else "head:"
        tensors = {name: value for name, value in tensors.items() if not name.startswith(extra)}
    if not any(name.startswith("backbone.") for name in tensors):
        newest = adapters.names(backbone)[-1] if given is not None else ""
        tensors = _renamed(tensors, known, newest)
    strange = sorted(tensors.keys() - known.keys())
    shaped = [n for n, value in tensors.items() if n in known and value.shape != known[n].shape]
    needed = {name for name in known if name.startswith("backbone.") or headed} - aliases(model)
    absent = sorted(needed - tensors.keys())
    for names, what in (
        (absent, "lacks"), (strange, "has what the model does not know:"),
        (shaped, "has another shape of"),
    ):  # fmt: skip
        if names:
            more = f" and {len(names) - 3} more" if len(names) > 3 else ""
            raise _unfit(source, f"the checkpoint {what} {', '.join(names[:3])}{more}")
    return {k: v.contiguous() for k, v in tensors.items()}, session.origin(stage)


def _start(plan: Plan, store: Store, stage: Stage, source: Path) -> str | None:
    """Return the training that a stage's adapters come after; it must be in the store."""
    start = key = stage.inputs.get("start")
    while key is not None:
        if store.missing(plan.stages[key]):
            text = f"the adapters come after those of {key}, which are not in the store"
            raise _unfit(source, text, f"run or adopt these first; {_NOTHING}")
        key = plan.stages[key].inputs.get("start")
    return start


def _same_adapter(source: Path, given: Mapping[str, Any]) -> None:
    """Compare what PEFT notes beside an adapter with the plan: its scale is in no weight."""
    path = source / "adapter_config.json"
    if not path.is_file():
        if any(source.glob("adapter_model*.safetensors")):
            text = "adapter_config.json is not beside the adapter: its rank and alpha are not known"
            raise _unfit(source, text)
        return
    try:
        said = json.loads(path.read_text(encoding="utf-8")) if path.stat().st_size < LARGEST else 0
        if not isinstance(said, dict):
            raise ValueError("it is no object")
    except (OSError, ValueError, RecursionError) as error:
        raise _unfit(path, f"it cannot be read: {error}") from error
    wanted = {"peft_type": "LORA", "r": given["rank"], "lora_alpha": given["alpha"]}
    wanted |= dict.fromkeys(("use_dora", "use_rslora", "rank_pattern", "alpha_pattern"))
    for name, value in wanted.items():
        found = said.get(name)
        if (found or None) != value:
            text = f"{name} of the adapter is {str(found)[:40]}, and the plan has {value or 'none'}"
            raise _unfit(path, text)


def _renamed(tensors: Mapping[str, Any], known: Mapping[str, Any], adapter: str) -> dict[str, Any]:
    """Give the weights of a model of Transformers, or of an adapter of PEFT, our names.

    A head and a pooler are left; a weight of an adapter that fits nowhere keeps its name.
    """
    found = {}
    for name, value in tensors.items():
        matrix = _MATRIX.fullmatch(name)
        ours = f"{matrix[1]}.{matrix[2]}.{adapter}.weight" if matrix and adapter else name
        words = ours.split(".")
        # `bert.encoder...` or `encoder...`; `base_model.model.model.layers...`
        tails = (".".join(["backbone", *words[start:]]) for start in range(min(4, len(words))))
        place = next((tail for tail in tails if tail in known), None)
        if place is not None or (matrix and adapter):
            found[place or name] = value
    return found


def _record(stage: Stage, part: str, result: Mapping[str, Any], mark: Mapping[str, Any]) -> Record:
    when = str(mark["when"])
    return Record(
        stage.key, part, stage.kind, when, when, 0.0, result, provenance={"adopted": mark}
    )


def _mark(name: str, digest: str, note: str) -> dict[str, str]:
    when = datetime.now(UTC).isoformat(timespec="seconds")
    return {"source": name, "sha256": digest, "note": note, "when": when}


def _unfit(source: Path, what: str, hint: str = _NOTHING) -> StoreDamaged:
    return StoreDamaged("R011", what, where=str(source), hint=hint)
