"""Time and memory of expanding studies of growing size, per cell, in one run."""

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
    """Print cells, seconds, and microseconds a cell; a linear expansion keeps the last constant."""
    resolved = check(Path("specs/studies/e5-depth.yaml"), installed=False)
    print("| cells | stages | seconds | microseconds a cell | peak MiB |")
    print("|---|---|---|---|---|")
    for seeds in (5, 10, 50, 250, 775):
        start = time.perf_counter()
        plan = expand(grown(resolved, seeds))
        taken = time.perf_counter() - start
        cells = sum(len(run.languages) for run in plan.runs)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(
            f"| {cells:,} | {len(plan.stages):,} | {taken:.2f} | {1e6 * taken / cells:.1f} "
            f"| {peak:.0f} |"
        )


if __name__ == "__main__":
    main()
