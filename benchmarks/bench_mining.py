"""Time and memory of margin mining against the double loop of XTREME's script, in one run."""

from __future__ import annotations

import resource
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
import typer
from numpy.typing import NDArray

from runtime.mining import Writer, load, margins, mine, neighbours

Array = NDArray[np.float32]
Result = TypeVar("Result")

K = 4
BLOCK = 1000
"""Queries whose similarities to the whole other side the baseline holds at once."""


def timed(work: Callable[[], Result]) -> tuple[float, Result]:
    """Return seconds and result."""
    start = time.perf_counter()
    found = work()
    return time.perf_counter() - start, found


def sides(rows: int, width: int) -> tuple[Array, Array]:
    """Return vectors of two sides whose rows belong together; like sentences, all lean one way."""
    rng = np.random.default_rng(0)
    shared = rng.standard_normal((rows, width), dtype=np.float32) + 1.0
    source = shared + rng.standard_normal((rows, width), dtype=np.float32)
    target = shared + rng.standard_normal((rows, width), dtype=np.float32)
    return source, target


def unit(rows: Array) -> Array:
    """Return rows of length 1."""
    found: Array = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    return found


def search(queries: Array, pool: Array) -> tuple[Array, NDArray[np.int64]]:
    """Return similarities and rows of the K nearest, query by query."""
    similar = np.empty((len(queries), K), dtype=np.float32)
    rows = np.empty((len(queries), K), dtype=np.int64)
    for start in range(0, len(queries), BLOCK):
        for i, row in enumerate(queries[start : start + BLOCK] @ pool.T, start):
            best = np.argpartition(row, -K)[-K:]
            rows[i] = best[np.argsort(-row[best], kind="stable")]
            similar[i] = row[rows[i]]
    return similar, rows


def double_loop(
    queries: Array, pool: Array, rows: NDArray[np.int64], here: Array, there: Array
) -> Array:
    """Return the ratio margin of each neighbour, each from a dot product of its own."""
    scores = np.zeros(rows.shape, dtype=np.float32)
    for i in range(len(rows)):
        for j in range(rows.shape[1]):
            other = rows[i, j]
            scores[i, j] = queries[i].dot(pool[other]) / ((here[i] + there[other]) / 2)
    return scores


def pick(
    forward: tuple[Array, NDArray[np.int64]], backward: tuple[Array, NDArray[np.int64]]
) -> list[tuple[int, int]]:
    """Return the pairs of (scores, rows) both ways, matched greedily by falling score."""
    best, back = (
        rows[np.arange(len(rows)), scores.argmax(axis=1)] for scores, rows in (forward, backward)
    )
    pairs = list(zip(range(len(best)), best.tolist(), strict=True))
    pairs += zip(back.tolist(), range(len(back)), strict=True)
    scores = np.concatenate([forward[0].max(axis=1), backward[0].max(axis=1)])
    seen: tuple[set[int], set[int]] = (set(), set())
    kept = []
    for candidate in np.argsort(-scores, kind="stable"):
        source, target = pairs[candidate]
        if source not in seen[0] and target not in seen[1]:
            seen[0].add(source)
            seen[1].add(target)
            kept.append((source, target))
    return kept


def compare(rows: int, width: int) -> None:
    """Print the seconds of either way by step, their ratio, and whether they agree."""
    source, target = sides(rows, width)
    ours: list[tuple[str, float]] = []
    theirs: list[tuple[str, float]] = []

    def step(into: list[tuple[str, float]], name: str, work: Callable[[], Result]) -> Result:
        seconds, found = timed(work)
        into.append((name, seconds))
        return found

    found = step(ours, "search", lambda: neighbours(source, target, K))
    step(ours, "margins", lambda: margins(found))
    pairs = step(ours, "margins and matching", lambda: mine(found))

    def both() -> tuple[Any, ...]:
        x, y = unit(source), unit(target)
        return x, y, search(x, y), search(y, x)

    x, y, forward, backward = step(theirs, "search", both)

    def loops() -> tuple[Array, Array]:
        here, there = forward[0].mean(axis=1), backward[0].mean(axis=1)
        return (
            double_loop(x, y, forward[1], here, there),
            double_loop(y, x, backward[1], there, here),
        )

    scores = step(theirs, "margins", loops)
    kept = step(theirs, "matching", lambda: pick((scores[0], forward[1]), (scores[1], backward[1])))
    theirs[2] = ("margins and matching", theirs[1][1] + theirs[2][1])
    # The last step of either holds the margins already.
    ours.append(("all", ours[0][1] + ours[2][1]))
    theirs.append(("all", theirs[0][1] + theirs[2][1]))
    print(f"\n{rows:,} x {rows:,} x {width:,}, k = {K}, {torch.get_num_threads()} threads\n")
    print("| step | double loop, seconds | in tiles, seconds | ratio |")
    print("|---|---|---|---|")
    for (name, slow), (_, fast) in zip(theirs, ours, strict=True):
        print(f"| {name} | {slow:.3f} | {fast:.3f} | {slow / fast:.1f} |")
    mined = set(zip(pairs.source.tolist(), pairs.target.tolist(), strict=True))
    same = "the same pairs" if mined == set(kept) else f"{len(mined ^ set(kept))} PAIRS DIFFER"
    print(f"\n{len(mined):,} pairs against {len(kept):,}: {same}.")


def stream(rows: int, width: int) -> None:
    """Print seconds and peak memory of mining from files in half precision."""
    with tempfile.TemporaryDirectory() as folder:
        draws = [torch.Generator().manual_seed(seed) for seed in (0, 1, 2)]
        files = [Writer(Path(folder) / name, rows, width) for name in ("x.npy", "y.npy")]
        for start in range(0, rows, 10_000):
            size = min(10_000, rows - start)
            shared, *noise = (torch.randn(size, width, generator=draw) for draw in draws)
            for file, part in zip(files, noise, strict=True):
                file.put(range(start, start + size), shared + 0.3 * part)
        for file in files:
            file.close()
        before = _peak()
        source, target = (load(file.path) for file in files)
        searched, found = timed(lambda: neighbours(source, target, K))
        matched, pairs = timed(lambda: mine(found))
        right = float((pairs.source == pairs.target).mean())
    print(f"\n{rows:,} x {rows:,} x {width:,} from files, {torch.get_num_threads()} threads\n")
    print(
        "| search, seconds | ns a similarity | margins and matching, seconds | peak MiB | before |"
    )
    print("|---|---|---|---|---|")
    print(
        f"| {searched:.1f} | {1e9 * searched / rows**2:.2f} | {matched:.2f} | {_peak():.0f} "
        f"| {before:.0f} |"
    )
    print(f"\n{len(pairs.score):,} pairs, {100 * right:.2f} % of them right.")


def _peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main(rows: int = 10_000, width: int = 1024, streamed: int = 50_000) -> None:
    """Mine ``streamed`` rows of 64 numbers from files, then compare at ``rows`` of ``width``."""
    stream(streamed, 64)
    compare(rows, width)


if __name__ == "__main__":
    typer.run(main)
