"""Embeddings as directions: unit rows block by block, and files too large for memory."""

from __future__ import annotations

import os
from collections.abc import Hashable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.lib.format import open_memmap
from numpy.typing import NDArray
from torch import Tensor

from runtime.invalid import DataInvalid

Vectors = Tensor | NDArray[Any]
"""Embeddings (rows, width) of any floating type: a tensor, an array or a memory-mapped file."""

Text = TypeVar("Text", bound=Hashable)


def deduplicate(texts: Sequence[Text]) -> tuple[list[Text], list[int]]:
    """Return the distinct texts in the order of their first, and for each text its place in them.

    Each is then embedded once. Copies left in would compete with each other for one partner and
    crowd out the other neighbours of a sentence; ``runtime.mining.pairs.expand`` undoes this.
    """
    place: dict[Text, int] = {}
    places = [place.setdefault(text, len(place)) for text in texts]
    return list(place), places


def unit_rows(vectors: Vectors, start: int, stop: int, device: torch.device | None) -> Tensor:
    """Return rows ``start`` to ``stop`` in float32 on the device, each of length 1.

    A row of zeros stays zero, so that it is like nothing. Raises DataInvalid when a row has no
    finite length: what produced it has diverged, and every ranking would be noise.
    """
    block = vectors[start:stop]
    if not isinstance(block, Tensor):
        block = torch.from_numpy(np.array(block))  # copied: torch wants to be allowed to write
    block = block.detach().to(device=device, dtype=torch.float32)
    lengths = torch.linalg.vector_norm(block, dim=1, keepdim=True)
    if not bool(torch.isfinite(lengths).all()):
        row = start + int((~torch.isfinite(lengths)).nonzero()[0, 0])
        raise DataInvalid(f"the embedding of row {row} has no finite length")
    found: Tensor = block / lengths.clamp_min(1e-12)
    return found


class Writer:
    """Writes embeddings into one ``.npy`` file as they come, in any order, in half precision.

    Rows are made unit length first: nothing that compares directions misses the lengths, and no
    value can leave the range of half precision. The file takes its name when it is complete.

        with Writer(path, rows=400_000, width=1024) as file:
            file.put([7, 2], vectors)
    """

    def __init__(self, path: Path, rows: int, width: int) -> None:
        """Reserve the space, so that a full disk is an OSError here and no crash later."""
        self.path = path
        self._partial = path.with_name(path.name + ".partial")
        self._missing = np.ones(rows, dtype=np.bool_)
        self._file = open_memmap(self._partial, "w+", dtype=np.float16, shape=(rows, width))
        if rows and width and hasattr(os, "posix_fallocate"):  # macOS has none
            try:
                with self._partial.open("r+b") as file:
                    os.posix_fallocate(file.fileno(), 0, self._partial.stat().st_size)
            except OSError:
                self._partial.unlink()
                raise

    def put(self, rows: Sequence[int], vectors: Vectors) -> None:
        """Write vectors (len(rows), width) to these rows; raises DataInvalid if not finite."""
        self._file[rows] = unit_rows(vectors, 0, len(rows), None).cpu().numpy()
        self._missing[rows] = False

    def close(self) -> None:
        """Give the file its name; raises ValueError when rows were never written."""
        if self._missing.any():
            raise ValueError(f"{self.path.name}: row {int(self._missing.argmax())} was not written")
        self._file.flush()
        self._partial.replace(self.path)

    def __enter__(self) -> Writer:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            if error is None:
                self.close()
        finally:
            self._partial.unlink(missing_ok=True)


def load(path: Path) -> NDArray[np.float16]:
    """Map a file of ``Writer`` into memory, read only; raises DataInvalid when it is not one."""
    try:
        found = open_memmap(path, "r")
    except (OSError, ValueError) as error:
        raise DataInvalid(f"{path} cannot be read: {error}") from error
    if found.dtype != np.float16 or found.ndim != 2:
        raise DataInvalid(f"{path} holds no embeddings in half precision")
    return found
