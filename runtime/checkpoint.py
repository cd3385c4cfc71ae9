"""Checkpoints: what a training needs to go on after an interruption as if there had been none."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import shutil
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from compiler.identity import digest
from compiler.render import atomic_write, host
from runtime import leave
from runtime.store import sha256, sync

SCHEMA = "stiltscale/checkpoint/1"

KEPT = 2
"""Checkpoints that are kept of a training: when one is damaged the one before it serves."""

MINUTES = 10.0
"""Time between two checkpoints, where the study does not say; a short training leaves none."""

_TENSORS, _STATE = "tensors.safetensors", "state.json"


@dataclass
class Checkpoints:
    """Reads and writes ``<root>/checkpoints/<stage key>/<step>/``.

    A checkpoint is written under ``<root>/tmp`` and moved into place whole. Tensors are in
    safetensors, all else in JSON: nothing in it is run when it is read. What is read is compared
    with its checksums first.
    """

    root: Path
    key: str
    minutes: float
    _saved: float = field(default_factory=time.monotonic)

    @property
    def folder(self) -> Path:
        """Where the checkpoints of the stage are."""
        return self.root / "checkpoints" / self.key

    def due(self) -> bool:
        """Tell whether the latest checkpoint, or the start, is long enough ago.

        It is too when the process is asked to leave its machine.
        """
        return leave.asked() or time.monotonic() - self._saved >= 60 * self.minutes

    def save(self, step: int, tensors: Mapping[str, Tensor], state: Mapping[str, Any]) -> None:
        """Keep the state after a step, and drop all but the last few.

        ``state`` is what JSON can hold; its numbers come back exactly.
        """
        target = self.folder / f"{step:09}"
        with self._writing() as temporary:
            save_file(
                {k: v.detach().contiguous() for k, v in tensors.items()}, temporary / _TENSORS
            )
            sync(temporary / _TENSORS)
            body = {"step": step, "sha256": sha256(temporary / _TENSORS), **state}
            text = json.dumps({"schema": SCHEMA, "digest": digest(body), "body": body})
            atomic_write(temporary / _STATE, text.encode("utf-8"))
            sync(temporary)
            self.folder.mkdir(parents=True, exist_ok=True)
            shutil.rmtree(target, ignore_errors=True)  # a damaged one that could not be read
            temporary.rename(target)
            sync(self.folder)
        for old in self._found()[KEPT:]:
            shutil.rmtree(old, ignore_errors=True)
        self._saved = time.monotonic()
        leave.saved()

    def latest(self) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
        """Return the tensors, on the CPU, and the state of the last sound checkpoint.

        A damaged one is removed, and the one before it is taken. None when there is none.
        """
        for folder in self._found():
            found = _read(folder)
            if found is not None:
                return found
            logging.getLogger(__name__).warning("the checkpoint %s is damaged, and is left", folder)
            shutil.rmtree(folder, ignore_errors=True)
        return None

    def _found(self) -> list[Path]:
        return sorted((path for path in self.folder.glob("*") if path.name.isdigit()), reverse=True)

    @contextlib.contextmanager
    def _writing(self) -> Iterator[Path]:
        """Give a temporary folder, named so that ``store.sweep`` knows whose it is."""
        name = f"{self.key}.checkpoint.{host()}.{os.getpid()}.{threading.get_ident()}"
        temporary = self.root / "tmp" / name
        temporary.mkdir(parents=True)
        try:
            yield temporary
        finally:
            shutil.rmtree(temporary, ignore_errors=True)


def clear(root: Path, key: str) -> None:
    """Remove the checkpoints of a stage that has its record, or shall begin anew."""
    shutil.rmtree(root / "checkpoints" / key, ignore_errors=True)


def _read(folder: Path) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
    """Read a checkpoint; None when it is damaged, or of another schema."""
    try:
        found = json.loads((folder / _STATE).read_text(encoding="utf-8"))
        body: dict[str, Any] = found["body"]
        sound = found["schema"] == SCHEMA and found["digest"] == digest(body)
        if not sound or body["sha256"] != sha256(folder / _TENSORS):
            return None
        return load_file(folder / _TENSORS), body
    except (OSError, ValueError, KeyError, TypeError, SafetensorError):
        return None
