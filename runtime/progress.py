"""Shows a running study: a live view in a terminal, plain lines elsewhere."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from runtime.scheduler import Progress

QUIET = 300.0
"""Seconds between two lines about what is running, where there is no terminal."""

WIDE = 120
"""Columns from which a running stage has one line, with a bar; below it has two, without."""

ROWS = 12
"""Running stages that are shown; of more there is a count."""


@contextlib.contextmanager
def view(console: Console) -> Iterator[Callable[[Progress], None]]:
    """Yield what to tell each state of the run to."""
    if not console.is_terminal:
        yield Lines(console).tell
        return
    with Live(console=console, refresh_per_second=4, transient=True) as live:
        yield lambda progress: live.update(screen(progress, console.width))


def clock(seconds: float) -> str:
    """Write a duration as m:ss or h:mm:ss."""
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


def short(number: float) -> str:
    """Write a number with three digits: 87, 5.23k, 118k, 1.20M."""
    for unit in ("", "k", "M", "G"):
        if number < 999.5 or unit == "G":
            break
        number /= 1000
    places = 0 if not unit or number >= 99.95 else 1 if number >= 9.995 else 2
    return f"{number:.{places}f}{unit}"


def words(told: Mapping[str, Any]) -> dict[str, str]:
    """Write what a running stage tells of itself; what it does not know is left out."""
    found = {}
    if "step" in told:
        found["step"] = f"step {told['step']}/{told['steps']}"
    elif "part" in told:
        found["step"] = str(told["part"])
    if "loss" in told:
        found["loss"] = f"loss {told['loss']:.3f}"
    if "tokens_per_second" in told:
        found["speed"] = f"{short(told['tokens_per_second'])} tok/s"
    if "mfu" in told:
        found["mfu"] = f"MFU {told['mfu']:.0%}"
    if "seconds_left" in told:
        found["left"] = f"{clock(told['seconds_left'])} left"
    return found


class Lines:
    """Prints a line for each stage that is done and each job that failed.

    What is running is said every few minutes only: most logs are read afterwards.
    """

    def __init__(self, console: Console) -> None:
        self.console = console
        self.said = 0.0
        self.begun = False
        self.failed: set[str] = set()

    def tell(self, progress: Progress) -> None:
        """Print what is new."""
        if not self.begun and progress.jobs:  # else nothing is said until a stage is done
            self.begun = True
            names = ", ".join(sorted(progress.jobs))
            self.line(progress, f"started {names}; a line follows for each stage that is done")
        first = progress.done - len(progress.fresh)
        for number, key in enumerate(progress.fresh, first + 1):
            self.line(progress, f"{number:>4}/{progress.total}  done  {key}")
        for name in sorted(set(progress.failed) - self.failed):
            self.line(progress, f"job {name} did not do all its stages; its log says why")
        self.failed |= set(progress.failed)
        if progress.seconds - self.said < QUIET:
            return
        self.said = progress.seconds
        left = "" if progress.left is None else f", about {clock(progress.left)} left"
        self.line(progress, f"{progress.done}/{progress.total} stages{left}")
        for key, lease in progress.running.items():
            said = "  ".join(words(lease.get("progress", {})).values())
            self.line(progress, f"  running  {key}  {said}".rstrip())

    def line(self, progress: Progress, text: str) -> None:
        """Print one line with the time since the start."""
        said = f"{clock(progress.seconds):>7}  {text}"
        self.console.print(said, soft_wrap=True, highlight=False, markup=False)


def screen(progress: Progress, width: int) -> Group:
    """Return what a terminal of so many columns shows."""
    head = Table.grid(padding=(0, 1))
    times = f"{clock(progress.seconds)} elapsed"
    if progress.left is not None and progress.done < progress.total:
        times += f", about {clock(progress.left)} left"
    head.add_row(
        Text(f"{progress.done}/{progress.total} stages"),
        ProgressBar(total=max(1, progress.total), completed=progress.done, width=24),
        Text(times, style="dim"),
    )
    shown = dict(list(progress.running.items())[:ROWS])
    told = {key: lease.get("progress", {}) for key, lease in shown.items()}
    lines: list[Any] = [head, *(_table(told) if width >= WIDE else _pairs(told))]
    if len(progress.running) > ROWS:
        lines.append(Text(f"  and {len(progress.running) - ROWS} more are running", style="dim"))
    if not told and progress.jobs:
        names = ", ".join(sorted(progress.jobs))
        lines.append(Text(f"  starting {names}", style="dim", no_wrap=True, overflow="ellipsis"))
    if progress.failed:
        names = ", ".join(progress.failed)
        failed = f"  not all done, see the logs: {names}"
        lines.append(Text(failed, style="red", no_wrap=True, overflow="ellipsis"))
    return Group(*lines)


_COLUMNS = ("step", "loss", "speed", "mfu", "left")


def _table(told: Mapping[str, Mapping[str, Any]]) -> list[Table]:
    """Return a row for each stage, with a bar where it counts steps."""
    said = {key: words(one) for key, one in told.items()}
    columns = [name for name in _COLUMNS if any(name in one for one in said.values())]
    table = Table.grid(padding=(0, 2), expand=True)
    table.add_column(ratio=1, no_wrap=True, overflow="ellipsis")
    table.add_column(width=20)
    for name in columns:
        table.add_column(no_wrap=True, justify="left" if name == "step" else "right")
    for key, one in said.items():
        bar = _bar(told[key])
        table.add_row(Text(f"  {key}", style="cyan"), bar, *(one.get(c, "") for c in columns))
    return [table] if said else []


def _pairs(told: Mapping[str, Mapping[str, Any]]) -> list[Text]:
    """Return two lines for each stage: its name, and what it tells."""
    lines = []
    for key, one in told.items():
        lines.append(Text(f"  {key}", style="cyan", no_wrap=True, overflow="ellipsis"))
        if said := words(one):
            text = f"    {'  '.join(said.values())}"
            lines.append(Text(text, no_wrap=True, overflow="ellipsis"))
    return lines


def _bar(told: Mapping[str, Any]) -> ProgressBar | Text:
    if "steps" not in told:
        return Text("")
    return ProgressBar(total=max(1, told["steps"]), completed=told["step"])
