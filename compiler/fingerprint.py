"""Fingerprints of local files, so that a key depends on what a file holds, not on where it is."""

from __future__ import annotations

import hashlib
from pathlib import Path

from compiler.errors import Diagnostic, Span, StudyInvalid

TOKENIZER_FILES = ("*token*.json", "vocab*", "merges.txt", "*.model", "*.tiktoken")
MODEL_FILES = ("*.json", "*.safetensors", *TOKENIZER_FILES[1:])


def file_sha256(path: Path) -> str:
    """Return the hex SHA-256 of a file; raises StudyInvalid (C303) when it cannot be read."""
    try:
        with path.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        raise StudyInvalid(
            [
                Diagnostic(
                    "C303",
                    "error",
                    f"a file that the study needs cannot be read: {error.strerror}",
                    "check the path in the catalog; it is relative to its own YAML file",
                    Span(str(path), 0, 0),
                )
            ]
        ) from None


def folder_sha256(folder: Path, patterns: tuple[str, ...]) -> str:
    """Return one hash over the files of a model folder that match, by their names and contents.

    Pickled weights are not among ``MODEL_FILES``, since they are never loaded.
    """
    files = sorted({f for pattern in patterns for f in folder.glob(pattern)})
    total = hashlib.sha256()
    if not (folder / "config.json").is_file():
        return file_sha256(folder / "config.json")
    for path in files:
        total.update(f"{path.name}:{file_sha256(path)}\n".encode())
    return total.hexdigest()
