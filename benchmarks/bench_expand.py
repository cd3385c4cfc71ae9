"""Time and memory of expanding studies of growing size, and of writing their plan, per cell."""

from __future__ import annotations

import resource
import time
from dataclasses import replace
from pathlib import Path

from compiler.check import check
from compiler.expand import expand
from compiler.resolve import Resolved


def grown(resolved: Resolved, seeds: int) -> Resolved:
    """Return the study with another number of seeds."""
    study = resolved.study.model_copy(update={"seeds": tuple(range(seeds))})
    return replace(resolved, study=study)


def main() -> None:
    """Print cells, seconds, and microseconds a cell: those of a linear expansion stay the same."""
    resolved = check(Path("specs/studies/e5-depth.yaml"), installed=False)
    print("| cells | stages | expand, s | us a cell | plan.json, s | us a cell | MB | peak MiB |")
    print("|---|---|---|---|---|---|---|---|")
    for seeds in (5, 10, 50, 250, 775):
        start = time.perf_counter()
        plan = expand(grown(resolved, seeds))
        taken = time.perf_counter() - start
        cells = sum(len(run.languages) for run in plan.runs)
        start = time.perf_counter()
        size = len(plan.to_json().encode())
        written = time.perf_counter() - start
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(
            f"| {cells:,} | {len(plan.stages):,} | {taken:.2f} | {1e6 * taken / cells:.1f} "
            f"| {written:.2f} | {1e6 * written / cells:.1f} | {size / 1e6:.0f} | {peak:.0f} |"
        )


if __name__ == "__main__":
    main()
