"""Time of `stiltscale --help` and `plan` against an empty Python and an import of torch."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time


def seconds(*words: str, times: int = 7) -> float:
    """Return the median wall time of a command."""
    taken = []
    for _ in range(times):
        start = time.perf_counter()
        subprocess.run([sys.executable, *words], check=True, capture_output=True)
        taken.append(time.perf_counter() - start)
    return statistics.median(taken)


def main() -> None:
    """Print a table of medians and ratios."""
    empty = seconds("-c", "pass")
    rows = {
        "empty Python": empty,
        "import torch": seconds("-c", "import torch", times=3),
        "stiltscale --help": seconds("-m", "runtime.cli", "--help"),
        "stiltscale plan quickstart": seconds(
            "-m", "runtime.cli", "plan", "specs/studies/quickstart.yaml"
        ),
    }
    print("| command | seconds | ratio to an empty Python |")
    print("|---|---|---|")
    for name, value in rows.items():
        print(f"| {name} | {value:.3f} | {value / empty:.1f} |")


if __name__ == "__main__":
    main()
