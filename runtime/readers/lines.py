"""Reads the lines of a UTF-8 text, packed or not, and knows where it is damaged."""

from __future__ import annotations

import contextlib
import gzip
import tarfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, cast

from runtime.invalid import DataInvalid, damaged


def lines(path: Path) -> Iterator[tuple[int, str]]:
    """Yield the number, from 1, and the text of every line; ``.gz`` and ``.tar.gz`` are unpacked.

    Only a line feed ends a line: other separators of Unicode occur inside sentences. The members of
    an archive follow each other. Raises DataInvalid when the file is not there, is cut off, or is
    not UTF-8.
    """
    number = 0
    try:
        for stream in _streams(path):
            for line in stream:
                number += 1
                text = _decoded(line, path, number)
                yield number, text.removeprefix("\ufeff") if number == 1 else text
    except (EOFError, gzip.BadGzipFile, tarfile.TarError, zlib.error) as error:
        raise damaged(
            path, number + 1, f"the packed file is damaged or cut off: {error}"
        ) from error
    except OSError as error:
        raise DataInvalid(f"{path} cannot be read: {error.strerror or error}") from error


def text_of(path: Path) -> str:
    """Return a whole text; raises DataInvalid like ``lines``."""
    return "\n".join(text for _, text in lines(path))


def _streams(path: Path) -> Iterator[IO[bytes]]:
    name = path.name.lower()
    with contextlib.ExitStack() as stack:
        if name.endswith((".tar.gz", ".tgz")):
            archive = stack.enter_context(tarfile.open(path, "r|gz"))
            for member in archive:
                content = archive.extractfile(member) if member.isfile() else None
                if content is not None:
                    yield content
        elif name.endswith(".gz"):
            packed = gzip.open(path, "rb")
            stack.callback(packed.close)
            yield cast(IO[bytes], packed)
        else:
            yield stack.enter_context(path.open("rb"))


def _decoded(line: bytes, path: Path, number: int) -> str:
    try:
        return line.decode("utf-8").rstrip("\r\n")
    except UnicodeDecodeError as error:
        what = f"not UTF-8: the byte {line[error.start]:#04x} at column {error.start + 1}"
        raise damaged(path, number, what) from error
