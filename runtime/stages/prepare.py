"""Prepares one split of a task in one language: loads, checks, tokenises and stores it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from compiler.plan import Stage
from runtime import data
from runtime.encode import encode, unknown_share
from runtime.model import hub_commit
from runtime.session import Session


def run(
    session: Session, stage: Stage, part: str, folder: Path, tell: Callable[..., None]
) -> dict[str, Any]:
    """Write ``data.arrow`` (see ``encode``) and return what was read."""
    split, language = part.split("@")[0].split(".", 1)
    tell(part=part)
    task = session.plan.tasks[stage.task]
    rows, source_commit = data.load(task, split, language)
    tokenizer = session.tokenizer(stage.model)
    length = int(stage.identity["max_length"])
    frame = encode(rows, task, tokenizer, length)
    frame.write_ipc(folder / "data.arrow", compression="uncompressed")
    column = "source_ids" if task["kind"] == "retrieval" else "input_ids"
    lengths = frame[column].list.len()
    model = session.plan.models[stage.model]
    commits = {
        "source_commit": source_commit,
        "tokenizer_commit": hub_commit(model.get("tokenizer") or model["checkpoint"]),
    }
    return {
        "rows": len(rows),
        "tokens": int(lengths.sum()),
        "at_max_length": int((lengths >= length).sum()),
        "text_sha256": data.fingerprint(rows),
        "unknown_share": round(unknown_share(frame, tokenizer.unk_token_id), 6),
    } | {name: commit for name, commit in commits.items() if commit}
