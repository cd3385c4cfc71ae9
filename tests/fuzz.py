"""Feeds damaged study files to the checker: by hand ``python tests/fuzz.py [SECONDS [SEED]]``.

Every file must be accepted, or be refused with findings that can be shown. Anything else that is
raised, and a file that takes longer than ten seconds, ends the run with the file that did it.
"""

from __future__ import annotations

import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from compiler import catalog
from compiler.check import check
from compiler.display import diagnostic_text, findings_github, findings_json
from compiler.errors import StiltscaleError, StudyInvalid
from compiler.expand import expand

ROOT = Path(__file__).parents[1]
PIECES = (
    b"\x00", b"\t", b"\r", b"\xff\xfe", b"\xef\xbb\xbf", b"\xed\xa0\x80", b"\xe2\x80\xa8",
    b"&a [*a]", b"*a", b"<<: ", b"!!python/object:os.system ", b"!!binary ", b"? ", b"---\n",
    b"...\n", b"%YAML 1.1\n", b"{", b"}", b"[", b"]", b"|", b">", b"'", b'"', b"\\u0000",
    b"\\ud800", b"1e400", b".inf", b".nan", b"-0", b"0x1F", b"1_000", b"12:30:45", b"2026-11-22",
    b"no", b"null", b"~", b"9" * 400, b"a" * 5000, b"../" * 20, b"$(x)", b"<b>", b"{{ x }}",
    b"\xf0\x9f\x98\x80", b"extends: study.yaml\n", b"catalog: .\n", b"none", b"study", b": ",
    b"- ", b"#", b"\n" * 50, b"  " * 200,
)  # fmt: skip


def cut(text: bytes, draw: random.Random) -> bytes:
    """Take out a part."""
    start = draw.randrange(len(text) + 1)
    return text[:start] + text[start + draw.choice((1, 2, 8, 64, 512)) :]


def add(text: bytes, draw: random.Random) -> bytes:
    """Put a piece of trouble somewhere."""
    place = draw.randrange(len(text) + 1)
    return text[:place] + draw.choice(PIECES) + text[place:]


def flip(text: bytes, draw: random.Random) -> bytes:
    """Change one byte."""
    if not text:
        return text
    place = draw.randrange(len(text))
    return text[:place] + bytes([draw.randrange(256)]) + text[place + 1 :]


def move(text: bytes, draw: random.Random) -> bytes:
    """Change the order or the indentation of lines, or repeat one."""
    lines = text.split(b"\n")
    first, second = draw.randrange(len(lines)), draw.randrange(len(lines))
    kind = draw.randrange(3)
    if kind == 0:
        lines[first], lines[second] = lines[second], lines[first]
    elif kind == 1:
        lines.insert(second, lines[first])
    else:
        lines[first] = b" " * draw.randrange(9) + lines[first].lstrip()
    return b"\n".join(lines)


def swap(text: bytes, draw: random.Random) -> bytes:
    """Replace a word by another of the same file."""
    words = text.split(b" ")
    words[draw.randrange(len(words))] = draw.choice(words)
    return b" ".join(words)


CHANGES: tuple[Callable[[bytes, random.Random], bytes], ...] = (cut, add, flip, move, swap)


def seeds() -> list[bytes]:
    """Return the shipped studies, and the bad ones of the tests."""
    files = [*(ROOT / "specs" / "studies").glob("*.yaml"), *(ROOT / "tests/errors").glob("*.yaml")]
    return [path.read_bytes()[:20_000] for path in sorted(files) if path.is_file()]


def fuzz(seconds: float, seed: int) -> Counter[str]:
    """Check damaged files for some time; return how often each code was found, and ``accepted``."""
    draw, known, found = random.Random(seed), seeds(), Counter[str]()
    load, kept = catalog.load, catalog.load()
    # Our own catalogs are read once: what is tried here is the study file.
    catalog.load = lambda own=None, **words: kept if own is None else load(own, **words)
    end = time.monotonic() + seconds
    try:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "study.yaml"
            while time.monotonic() < end:
                text = draw.choice(known)
                for _ in range(draw.choice((1, 1, 2, 4, 16))):
                    text = draw.choice(CHANGES)(text, draw)
                path.write_bytes(text)
                started = time.monotonic()
                try:
                    try_one(path, found)
                except Exception as error:
                    raise AssertionError(f"{error!r} from {text!r}") from error
                assert time.monotonic() - started < 10, f"too slow: {text!r}"
                found["files"] += 1
    finally:
        catalog.load = load
    return found


def try_one(path: Path, found: Counter[str]) -> None:
    """Check a file, and expand it when it is small; its findings must be such as can be shown."""
    try:
        resolved = check(path, installed=False)
    except StudyInvalid as error:
        found.update(shown(error))
    except StiltscaleError as error:
        str(error).encode()
        found[error.code] += 1
    else:
        found["accepted"] += 1
        if len(resolved.goals) * len(resolved.arms) * len(resolved.study.seeds) < 40:
            expand(resolved).to_json().encode()


def shown(error: StudyInvalid) -> list[str]:
    """Return the codes of findings, after each was written in every format."""
    assert error.diagnostics
    for diagnostic in error.diagnostics:
        assert diagnostic_text(diagnostic).replace("\n", "").isprintable()
    findings_json(error.diagnostics).encode()
    findings_github(error.diagnostics).encode()
    return [diagnostic.code for diagnostic in error.diagnostics]


if __name__ == "__main__":
    budget = float(sys.argv[1]) if len(sys.argv) > 1 else 300
    counts = fuzz(budget, int(sys.argv[2]) if len(sys.argv) > 2 else time.time_ns())
    print(", ".join(f"{name} {count}" for name, count in counts.most_common()))
