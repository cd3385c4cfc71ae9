"""The report in a real browser: it draws something, and the console stays silent."""

from __future__ import annotations

import shutil
import struct
import subprocess
import zlib
from pathlib import Path

import numpy as np
import pytest
from unit import synthetic

from runtime.analysis.analyse import analyse
from runtime.report.build import build_report, write_report

BROWSER = shutil.which("chromium")
FLAGS = (
    "--headless=new --no-sandbox --disable-gpu --disable-quic --no-first-run "
    "--disable-background-networking --disable-component-update --disable-sync "
    "--hide-scrollbars --enable-logging=stderr --virtual-time-budget=3000"
).split()

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(BROWSER is None, reason="chromium is not installed"),
]


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    plan = synthetic.plan()
    findings = analyse(synthetic.scores(plan), plan.study["analysis"])
    folder = tmp_path_factory.mktemp("report")
    write_report(build_report(plan, findings, synthetic.provenance(), title="A study"), folder)
    return folder / "report.html"


@pytest.mark.parametrize(("width", "height"), [(1280, 1600), (390, 1600)])
def test_report_renders(page: Path, tmp_path: Path, width: int, height: int) -> None:
    picture = tmp_path / "page.png"
    options = [f"--window-size={width},{height}", f"--screenshot={picture}"]
    log = browse(page, tmp_path / "profile", options)
    assert "CONSOLE" not in log
    grey = pixels(picture)
    assert grey.shape == (height, width)
    assert grey.std() > 5


def browse(page: Path, profile: Path, options: list[str]) -> str:
    """Open a page without a network where the system allows that; return what was logged."""
    command = [str(BROWSER), *FLAGS, f"--user-data-dir={profile}", *options, page.as_uri()]
    alone = ["unshare", "-n"]
    if subprocess.run([*alone, "true"], capture_output=True, check=False).returncode == 0:
        command = [*alone, *command]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    return done.stderr


def pixels(picture: Path) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    """Read the first channel of an 8-bit PNG, undoing the row filters."""
    data = picture.read_bytes()
    assert data.startswith(b"\x89PNG\r\n\x1a\n")
    at, body, header = 8, b"", b""
    while at < len(data):
        (length,) = struct.unpack(">I", data[at : at + 4])
        kind, chunk = data[at + 4 : at + 8], data[at + 8 : at + 8 + length]
        header = chunk if kind == b"IHDR" else header
        body += chunk if kind == b"IDAT" else b""
        at += 12 + length
    width, height, depth, colour = struct.unpack(">IIBB", header[:10])
    assert depth == 8
    channels = {2: 3, 6: 4}[colour]
    raw = np.frombuffer(zlib.decompress(body), np.uint8).reshape(height, 1 + width * channels)
    above = np.zeros(width * channels, np.uint8)
    rows = np.empty((height, width), np.uint8)
    for i, line in enumerate(raw):
        above = unfilter(int(line[0]), line[1:], above, channels)
        rows[i] = above[::channels]
    return rows


def unfilter(
    kind: int,
    line: np.ndarray[tuple[int, ...], np.dtype[np.uint8]],
    above: np.ndarray[tuple[int, ...], np.dtype[np.uint8]],
    channels: int,
) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    """Undo one PNG row filter."""
    if kind == 0:
        return line
    if kind == 2:
        return line + above
    if kind == 1:
        return np.cumsum(line.reshape(-1, channels), axis=0, dtype=np.uint8).reshape(-1)
    out, up = bytearray(line.tobytes()), above.tobytes()
    for i in range(len(out)):
        a = out[i - channels] if i >= channels else 0
        b, c = up[i], up[i - channels] if i >= channels else 0
        guess = (a + b) // 2 if kind == 3 else min((a, b, c), key=lambda v: abs(a + b - c - v))
        out[i] = (out[i] + guess) & 255
    return np.frombuffer(bytes(out), np.uint8)
