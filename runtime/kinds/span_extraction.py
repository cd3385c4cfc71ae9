"""The span of a context that answers a question, or none.

A context that is too long falls into windows that overlap by the plan's ``stride`` (by half of
what is left beside the question, where that is less). Questions are cut at ``question`` tokens.
Places are characters of the context, from the tokenizer's own offsets, so that languages without
spaces need no rule of their own. An answer has at most ``answer_characters``: a limit in tokens
would differ between scripts and tokenizers.

A window without the answer points at its first position; that of a model which pools the last
token, and sees nothing at the first, at its last one. The score of no answer is the sum of both
logits there, the lowest over the windows (as in the scripts for SQuAD 2.0); it counts where the
task's source has ``no_answer: allowed``, and elsewhere the best span is always taken.

Prepared: a row for each window, those of one example together: ``id``, ``input_ids``, ``first``
(position of the first context token), ``offsets`` (start and end of each context token, in turn),
``start`` and ``end`` (label positions, 0 for no answer here), ``context``, ``answers``.
Predictions: ``id``, ``gold`` (texts), ``predicted`` (text of the best span), ``start``, ``end``
(its characters), ``texts`` and ``scores`` (the best spans over all windows, best first),
``no_answer`` (score of no answer, minus that of the best span).
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import polars as pl
import torch
from numpy.random import Generator
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from runtime import encode as encoding
from runtime import metrics
from runtime.batches import Batch, Examples, arrays, grouped, owners
from runtime.batches import present as present
from runtime.invalid import DataInvalid
from runtime.model import Model, linear
from runtime.rows import Row

SPANS = 5
"""Best spans that are kept of a window and of an example."""

CHUNK = 1000
"""Rows that are tokenised at a time: offsets take much memory before they are arrays."""

NOTHING = (-1e9, 0, 0)
"""What stands for the best span of a window that has none: score, start, end."""

SCHEMA: dict[str, Any] = {
    "id": pl.String,
    "input_ids": encoding.IDS,
    "first": pl.Int32,
    "offsets": encoding.IDS,
    "start": pl.Int32,
    "end": pl.Int32,
    "context": pl.String,
    "answers": pl.List(pl.String),
}


def encode(
    rows: Sequence[Row], task: Mapping[str, Any], tokenizer: Any, max_length: int
) -> pl.DataFrame:
    """Return the windows of the questions with their contexts."""
    parts = []
    for start in range(0, len(rows), CHUNK):
        chunk = rows[start : start + CHUNK]
        found: list[list[dict[str, Any]]] = [[] for _ in chunk]
        for number, window in _windows(chunk, task["protocol"], tokenizer, max_length):
            found[number].append(window)
        parts.append(pl.DataFrame([w for windows in found for w in windows], schema=SCHEMA))
    return pl.concat(parts)


def examples(frame: pl.DataFrame, task: Mapping[str, Any], pad: int) -> Examples:
    """Read an encoded frame into memory; each window is an item of its own."""
    whose = owners(frame["id"])
    leads = [group[0] for group in grouped(whose)]
    return Examples(
        str(task["kind"]),
        arrays(frame["input_ids"]),
        frame["answers"].gather(leads).to_list(),
        frame.select("start", "end").rows(),
        pad,
        whose,
        more={
            "first": frame["first"].to_list(),
            "offsets": [flat.reshape(-1, 2) for flat in arrays(frame["offsets"])],
            "context": frame["context"].gather(leads).to_list(),
        },
    )


def head(backbone: nn.Module, task: Mapping[str, Any], model: Mapping[str, Any]) -> nn.Module:
    """Return a new head with two outputs: start and end."""
    return linear(backbone, 2)


def logits(
    model: Model, head: nn.Module, hidden: Tensor, mask: Tensor, chosen: Tensor | None
) -> Tensor:
    """Return logits of shape (sequences, length, 2); position 0 is no answer."""
    found: Tensor = head(model.dropout(hidden))
    if model.pooling == "last":
        last = mask.sum(dim=1) - 1
        none = found[torch.arange(len(found), device=found.device), last]
        found = torch.cat([none.unsqueeze(1), found[:, 1:]], dim=1)
    return found.masked_fill(~mask.bool().unsqueeze(-1), torch.finfo(found.dtype).min)


def collate(data: Examples, items: Sequence[int], draw: Generator) -> Batch:
    """Return a batch to train on; its labels are of shape (sequences, 2)."""
    batch = present(data, items)
    labels = torch.tensor([data.positions[i] for i in items], dtype=torch.long)
    return replace(batch, labels=labels)


def loss(logits: Tensor, batch: Batch, task: Mapping[str, Any]) -> Tensor:
    """Return the mean cross-entropy over start and end, each over the whole window."""
    assert batch.labels is not None
    return functional.cross_entropy(logits, batch.labels)


def decode(logits: Tensor, batch: Batch, data: Examples, task: Mapping[str, Any]) -> list[Any]:
    """Return the best spans (score, start, end) of each window, and its score of no answer."""
    limit = int(task["protocol"]["answer_characters"])
    found = []
    for values, sequence in zip(logits.float().cpu().numpy(), batch.rows, strict=True):
        offsets, first = data.more["offsets"][sequence], data.more["first"][sequence]
        own = values[first : first + len(offsets)]
        found.append((best_spans(own, offsets, limit, SPANS), float(values[0].sum())))
    return found


def best_spans(
    logits: NDArray[np.floating], offsets: NDArray[np.integer], limit: int, count: int
) -> list[tuple[float, int, int]]:
    """Return the best spans of a window: score, first character, character after the last.

    ``logits`` and ``offsets`` have shape (context tokens, 2). Every span of at most ``limit``
    characters is looked at; its score is the sum of the logits at its ends. Tokens without a
    character (a lone ``▁``, a space) begin and end none. Of equal scores the earlier span wins.
    """
    length = offsets[None, :, 1] - offsets[:, None, 0]
    real = offsets[:, 1] > offsets[:, 0]
    allowed = np.triu((length > 0) & (length <= limit) & real[:, None] & real[None, :])
    starts, ends = allowed.nonzero()
    scores = logits[starts, 0] + logits[ends, 1]
    order = np.argsort(-scores, kind="stable")[:count]
    return [(float(scores[n]), int(offsets[starts[n], 0]), int(offsets[ends[n], 1])) for n in order]


def predictions(
    found: list[Any], data: Examples, task: Mapping[str, Any], pool: Any = None
) -> dict[str, list[Any]]:
    """Return the columns of the predictions: the spans of all windows of an example together."""
    names = ("predicted", "start", "end", "texts", "scores", "no_answer")
    columns: dict[str, list[Any]] = {name: [] for name in names}
    for context, windows in zip(data.more["context"], grouped(data.owners), strict=True):
        best: dict[tuple[int, int], float] = {}
        for sequence in windows:
            for value, start, end in found[sequence][0]:
                place = _stripped(context, start, end)
                best[place] = max(value, best.get(place, value))
        ranked = sorted(best.items(), key=lambda span: -span[1])[:SPANS]
        spans = [(value, *place) for place, value in ranked] or [NOTHING]
        none = min(found[sequence][1] for sequence in windows)
        value, start, end = spans[0]
        texts = [context[a:b] for _, a, b in spans]
        row = (texts[0], start, end, texts, [value for value, _, _ in spans], none - value)
        for column, cell in zip(columns.values(), row, strict=True):
            column.append(cell)
    return columns


def score(
    task: Mapping[str, Any], data: Examples, predicted: Mapping[str, list[Any]], language: str
) -> dict[str, float]:
    """Return F1 and exact match by the task's metric; ``language`` is that of the answers."""
    gold, found, none = (
        {str(row): value for row, value in enumerate(values)}
        for values in (data.labels, predicted["predicted"], predicted["no_answer"])
    )
    allowed = answerless(task)
    return metrics.score(
        str(task["metric"]), gold, found, language=language, no_answer=none if allowed else None
    )


def answerless(task: Mapping[str, Any]) -> bool:
    """Tell whether questions of a task may have no answer."""
    return bool(task["source"].get("no_answer") == "allowed")


def chance(task: Mapping[str, Any], data: Examples) -> float:
    """Return what saying that nothing has an answer scores, where that can be right."""
    if not answerless(task):
        return float(task.get("chance", 0.0))
    return 100.0 * sum(not answers for answers in data.labels) / len(data)


def shuffled(data: Examples, draw: random.Random) -> Examples:
    """Return the examples with each answer moved to a drawn place of its window."""
    positions = []
    for sequence, (start, end) in enumerate(data.positions):
        if start:
            first, size = data.more["first"][sequence], len(data.more["offsets"][sequence])
            moved = draw.randint(first, first + size - 1 - (end - start))
            start, end = moved, moved + end - start
        positions.append((start, end))
    return replace(data, positions=positions)


def _stripped(text: str, start: int, end: int) -> tuple[int, int]:
    """Return a span without white space at its ends."""
    start += len(text[start:end]) - len(text[start:end].lstrip())
    return start, start + len(text[start:end].rstrip())


def _windows(
    rows: Sequence[Row], protocol: Mapping[str, Any], tokenizer: Any, max_length: int
) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield the windows of some rows, with the row's number."""
    ending = _ending(tokenizer)
    room = max_length - tokenizer.num_special_tokens_to_add(pair=True) - len(ending)
    questions, rooms = _questions(rows, tokenizer, min(int(protocol["question"]), room // 2), room)
    by_stride: dict[int, list[int]] = {}
    for number, left in enumerate(rooms):
        by_stride.setdefault(min(int(protocol["stride"]), left // 2), []).append(number)
    for stride, numbers in by_stride.items():
        batch = tokenizer(
            [questions[number] for number in numbers],
            [rows[number]["context"] for number in numbers],
            truncation="only_second",
            max_length=max_length - len(ending),
            stride=stride,
            return_overflowing_tokens=True,
            return_offsets_mapping=True,
            return_attention_mask=False,
        )
        for window, sample in enumerate(batch["overflow_to_sample_mapping"]):
            row = rows[numbers[sample]]
            texts = batch.sequence_ids(window)
            first = texts.index(1) if 1 in texts else len(texts)
            offsets = _offsets(
                row["context"], batch["offset_mapping"][window][first : first + texts.count(1)]
            )
            start, end = _place(row, offsets, first)
            yield (
                numbers[sample],
                {
                    "id": row["id"],
                    "input_ids": batch["input_ids"][window] + ending,
                    "first": first,
                    "offsets": offsets.ravel().tolist(),
                    "start": start,
                    "end": end,
                    "context": row["context"],
                    "answers": row["answers"]["text"],
                },
            )


def _questions(
    rows: Sequence[Row], tokenizer: Any, limit: int, room: int
) -> tuple[list[str], list[int]]:
    """Return the questions, cut to ``limit`` tokens, and the room that each leaves its context."""
    end = encoding.seam(tokenizer)
    texts = [row["question"] for row in rows]
    found = tokenizer(texts, add_special_tokens=False, return_offsets_mapping=True)
    cut = [
        text[: offsets[limit - 1][1]] if len(offsets) > limit else text
        for text, offsets in zip(texts, found["offset_mapping"], strict=True)
    ]
    joined = [text + end for text in cut]
    sizes = [len(ids) for ids in tokenizer(joined, add_special_tokens=False)["input_ids"]]
    rooms = [room - size for size in sizes]
    if min(rooms) < 2:
        raise DataInvalid(f"a question leaves no room for its context: raise `max_length` ({room})")
    return joined, rooms


def _ending(tokenizer: Any) -> list[int]:
    """Return what to end a window with: a token that is no part of the context."""
    probe = tokenizer("a", "b", return_special_tokens_mask=True)
    if probe["special_tokens_mask"][-1]:
        return []
    if tokenizer.eos_token_id is None:
        raise DataInvalid("the tokenizer ends a text with nothing, and has no token for its end")
    return [int(tokenizer.eos_token_id)]


def _offsets(context: str, found: list[tuple[int, int]]) -> NDArray[np.int32]:
    """Return the characters of each token; none for a token of white space alone."""
    places = [(a, a if context[a:b].isspace() else b) for a, b in found]
    return np.array(places, dtype=np.int32).reshape(-1, 2)


def _place(row: Row, offsets: NDArray[np.int32], first: int) -> tuple[int, int]:
    """Return the positions of the first answer's tokens; (0, 0) when not all of it is here."""
    answers = row["answers"]
    if not answers["text"] or not len(offsets):
        return 0, 0
    begin = int(answers["start"][0])
    begin, stop = _stripped(row["context"], begin, begin + len(answers["text"][0]))
    inside = ((offsets[:, 1] > begin) & (offsets[:, 0] < stop)).nonzero()[0]
    if not len(inside) or offsets[0, 0] > begin or offsets[-1, 1] < stop:
        return 0, 0
    return first + int(inside[0]), first + int(inside[-1])
