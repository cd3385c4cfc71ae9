"""What is particular to each kind of task: one module for each, with functions of equal names.

Every kind has ``encode``. One that is trained has the functions of ``Trained``; one that is scored
from the encoder as it stands has ``find``. The module of a kind says in its docstring which columns
its prepared data and its predictions have.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import polars as pl
from numpy.random import Generator
from torch import Tensor, nn

from runtime.batches import Batch, Examples
from runtime.kinds import (
    bitext_mining,
    dual_encoder,
    masked_lm,
    multiple_choice,
    retrieval,
    sequence_classification,
    span_extraction,
    token_classification,
)
from runtime.model import Model
from runtime.rows import Row
from runtime.vectors import Encoder

Task = Mapping[str, Any]
"""A task of the plan with its labels, and under ``protocol`` what the plan declares of its kind."""


class Encoded(Protocol):
    """What every kind has."""

    def encode(
        self, rows: Sequence[Row], task: Task, tokenizer: Any, max_length: int
    ) -> pl.DataFrame:
        """Turn checked rows into token ids; the rows of an example stand together."""


class Trained(Encoded, Protocol):
    """A kind with a training of its own."""

    def examples(self, frame: pl.DataFrame, task: Task, pad: int) -> Examples:
        """Read an encoded frame into memory."""

    def head(self, backbone: nn.Module, task: Task, model: Mapping[str, Any]) -> nn.Module:
        """Return a new head for a backbone of a model of the plan."""

    def logits(
        self, model: Model, head: nn.Module, hidden: Tensor, mask: Tensor, chosen: Tensor | None
    ) -> Tensor:
        """Apply a head to the last hidden states, of shape (sequences, length, width)."""

    def collate(self, data: Examples, items: Sequence[int], draw: Generator) -> Batch:
        """Return a batch of items to train on."""

    def present(self, data: Examples, sequences: Sequence[int]) -> Batch:
        """Return a batch of sequences to score."""

    def loss(self, logits: Tensor, batch: Batch, task: Task) -> Tensor:
        """Return the loss of a batch from its logits in float32."""

    def decode(self, logits: Tensor, batch: Batch, data: Examples, task: Task) -> list[Any]:
        """Return what the logits say of each sequence of a batch."""

    def predictions(
        self, found: list[Any], data: Examples, task: Task, pool: Any = None
    ) -> dict[str, list[Any]]:
        """Bring what was decoded of each sequence together to columns with a row per example."""

    def score(
        self, task: Task, data: Examples, predicted: Mapping[str, list[Any]], language: str
    ) -> dict[str, float]:
        """Return the scores of predictions, the one that counts first."""

    def chance(self, task: Task, data: Examples) -> float:
        """Return what a guesser scores on these examples, 0 to 100."""

    def shuffled(self, data: Examples, draw: random.Random) -> Examples:
        """Return the examples with each other's labels: a placebo that teaches no task."""


class Found(Encoded, Protocol):
    """A kind that is scored from the encoder as it stands."""

    def find(
        self, task: Task, parts: Mapping[str, pl.DataFrame], encoder: Encoder, depth: float
    ) -> tuple[dict[str, Any], pl.DataFrame]:
        """Return the result, with ``n`` and ``scores``, and the predictions.

        ``parts`` are the prepared splits of one language, ``depth`` the share of the layers below
        the vectors.
        """


TRAINED: dict[str, Trained] = {
    "sequence_classification": sequence_classification,
    "token_classification": token_classification,
    "multiple_choice": multiple_choice,
    "span_extraction": span_extraction,
    "masked_lm": masked_lm,
    "dual_encoder": dual_encoder,
}
FOUND: dict[str, Found] = {"retrieval": retrieval, "bitext_mining": bitext_mining}
ENCODED: dict[str, Encoded] = {**TRAINED, **FOUND}
