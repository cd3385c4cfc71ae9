"""Time and memory of the report on score tables of growing size, each in a process of its own."""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import suppress
from pathlib import Path

import numpy as np
import polars as pl

SHAPES = {
    10_000: (4, 4, 10, 10, 5),
    100_000: (5, 4, 20, 40, 5),
    1_000_000: (5, 9, 40, 100, 5),
}
"""Sizes, intermediates, targets, languages and seeds of the tables, by their number of scores."""

FLOOR = 0.6
"""Points by which two runs of one size, arm and task differ (standard deviation)."""


def scores(shape: tuple[int, ...]) -> pl.DataFrame:
    """Return a made-up tidy table: a trend in size, and noise of tasks, languages and runs."""
    models, arms, targets, languages, seeds = shape
    rng = np.random.default_rng(7)
    index = np.indices((models, arms + 1, targets, languages, seeds)).reshape(5, -1)
    m, a, t, x, k = index
    size = np.linspace(8.0, 10.0, models)
    gain = rng.normal(2.0, 1.5, (arms + 1, targets)) - 0.6 * (size[:, None, None] - 9.0)
    gain[:, 0] = 0.0
    run = rng.normal(0.0, FLOOR, (models, arms + 1, targets, seeds))
    value = 60.0 + 5.0 * (size[m] - 9.0) + rng.normal(0.0, 5.0, targets)[t] + gain[m, a, t]
    value += rng.normal(0.0, 3.0, languages)[x] + run[m, a, t, k] + rng.normal(0.0, 0.7, m.size)

    def named(word: str, which: np.ndarray, count: int) -> pl.Series:
        return pl.Series([f"{word}{i:03d}" for i in range(count)]).gather(which)

    codes = pl.Series(["en", *(f"x{i:03d}" for i in range(1, languages))])
    intermediates = pl.Series(["none", *(f"arm{i:02d}" for i in range(arms))])
    return pl.DataFrame(
        {
            "model": named("model", m, models),
            "params": (10.0 ** size[m] * 2).astype(np.int64),
            "params_nonembedding": (10.0 ** size[m]).astype(np.int64),
            "intermediate": intermediates.gather(a),
            "target": named("task", t, targets),
            "language": codes.gather(x),
            "seed": k + 1,
            "metric": pl.repeat("accuracy", m.size, eager=True),
            "value": value.clip(1.0, 99.0),
            "chance": pl.repeat(33.3, m.size, eager=True),
        }
    )


def watch(together: list[float]) -> None:
    """Note the largest MiB of this process and its children together, fifty times a second.

    Linux counts a child's peak from before it became another program, when it was a copy of this
    one, so that its own account of the children's memory says nothing.
    """
    while True:
        pids = ["self"]
        for task in Path("/proc/self/task").iterdir():
            with suppress(OSError):
                pids += (task / "children").read_text().split()
        pages = 0
        for pid in dict.fromkeys(pids):
            with suppress(OSError):
                pages += int(Path(f"/proc/{pid}/statm").read_text().split()[1])
        together[0] = max(together[0], pages * resource.getpagesize() / 2**20)
        time.sleep(0.02)


def child(table: Path, folder: Path) -> None:
    """Write the report of a table, and print its seconds, those of computing, and peak memory.

    The process that draws the figures of a long table counts in both.
    """
    together = [0.0]
    threading.Thread(target=watch, args=(together,), daemon=True).start()
    start = time.perf_counter()
    from runtime.publish import publish_table
    from runtime.tidy import Block

    publish_table(table, Block(margin=1.0, margin_reason="a point"), folder, "bench")
    taken = time.perf_counter() - start
    both = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    cpu = sum(used.ru_utime + used.ru_stime for used in both)
    peak = max(both[0].ru_maxrss / 1024, *together)
    sys.stdout.write(json.dumps({"seconds": taken, "cpu": cpu, "peak": peak}))


def main() -> None:
    """Print a line for each number of scores, and what a score costs against the smallest table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scores", type=int, nargs="*", choices=SHAPES, default=list(SHAPES))
    parser.add_argument("--child", type=Path, nargs=2)
    options = parser.parse_args()
    if options.child:
        child(*options.child)
        return
    print("| scores | seconds | CPU seconds | growth in scores | growth in time | peak MiB | MB |")
    print("|---|---|---|---|---|---|---|", flush=True)
    first: tuple[int, float] | None = None
    with tempfile.TemporaryDirectory() as name:
        for many in options.scores:
            table = Path(name) / f"scores{many}.parquet"
            scores(SHAPES[many]).write_parquet(table)
            command = [sys.executable, __file__, "--child", str(table), name]
            said = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)
            size = sum(p.stat().st_size for p in (Path(name) / table.stem).rglob("*.*")) / 1e6
            first = first or (many, said["seconds"])
            print(
                f"| {many:,} | {said['seconds']:.2f} | {said['cpu']:.2f} | {many / first[0]:.0f} "
                f"| {said['seconds'] / first[1]:.1f} | {said['peak']:.0f} | {size:.1f} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
