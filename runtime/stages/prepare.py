"""Prepares one split of a task or corpus in a language: loads, checks, tokenises, stores it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl

from compiler.plan import Stage
from runtime import data
from runtime.encode import first_ids, spaced, unknown_share
from runtime.kinds import ENCODED
from runtime.model import hub_commit
from runtime.rows import GROUP
from runtime.session import Session


def run(
    session: Session, stage: Stage, part: str, folder: Path, tell: Callable[..., None]
) -> dict[str, Any]:
    """Write ``data.arrow`` (its columns are the kind's) and return what was read.

    What is true or false of a sequence, as ``answer_cut``, is counted in the result; of words it
    says whether the tokenizer was given the spaces between them, see ``runtime.encode.spaced``.
    """
    split, language = part.split("@")[0].split(".", 1)
    tell(part=part)
    task = session.task(stage)
    loaded = data.read(task, split, language)
    rows = loaded.rows
    tokenizer = session.tokenizer(stage)
    length = int(stage.identity["max_length"])
    frame = ENCODED[str(task["kind"])].encode(rows, task, tokenizer, length)
    if rows and GROUP in rows[0]:
        groups = {row["id"]: row[GROUP] for row in rows}
        frame = frame.with_columns(frame["id"].replace_strict(groups).alias(GROUP))
    if stage.reads_corpus:
        frame = frame.with_columns(language=pl.lit(language))
    frame.write_ipc(folder / "data.arrow", compression="uncompressed")
    lengths = first_ids(frame).list.len()
    model = session.model(stage)
    commits = {
        "source_commit": loaded.commit,
        "tokenizer_commit": hub_commit(model.get("tokenizer") or model["checkpoint"]),
    }
    return {
        "rows": len(rows),
        "sequences": len(frame),
        "tokens": int(lengths.sum()),
        "at_max_length": int((lengths >= length).sum()),
        "text_sha256": data.fingerprint(rows),
        "unknown_share": round(unknown_share(frame, tokenizer.unk_token_id), 6),
        **loaded.account(),
        **({"words_spaced": spaced(tokenizer)} if task["kind"] == "token_classification" else {}),
        **{n: int(frame[n].sum()) for n, kind in frame.schema.items() if kind == pl.Boolean},
    } | {name: commit for name, commit in commits.items() if commit}
