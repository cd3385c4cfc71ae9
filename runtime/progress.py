"""Shows a running study: a live view in a terminal, plain lines elsewhere."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from runtime.scheduler import Progress


@contextlib.contextmanager
def view(console: Console) -> Iterator[Callable[[Progress], None]]:
    """Yield what to tell each state of the run to."""
    if not console.is_terminal:
        yield lambda progress: _lines(console, progress)
        return
    with Live(console=console, refresh_per_second=4, transient=True) as live:
        yield lambda progress: live.update(_screen(progress))


def clock(seconds: float) -> str:
    """Write a duration as m:ss or h:mm:ss."""
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


def _lines(console: Console, progress: Progress) -> None:
    first = progress.done - len(progress.fresh)
    for number, key in enumerate(progress.fresh, first + 1):
        console.print(
            f"{clock(progress.seconds):>7}  {number:>4}/{progress.total}  done  {key}",
            soft_wrap=True,
            highlight=False,
        )


def _screen(progress: Progress) -> Group:
    head = Table.grid(padding=(0, 1))
    head.add_row(
        Text(f"{progress.done}/{progress.total} stages"),
        ProgressBar(total=max(1, progress.total), completed=progress.done, width=30),
        Text(f"{clock(progress.seconds)} elapsed", style="dim"),
    )
    rows = Table.grid(padding=(0, 2))
    for key, lease in progress.running.items():
        told = lease.get("progress", {})
        share = f"step {told['step']}/{told['steps']}" if "step" in told else told.get("part", "")
        loss = f"loss {told['loss']:.3f}" if "loss" in told else ""
        rows.add_row(Text("  running", style="cyan"), Text(key, overflow="ellipsis"), share, loss)
    if not progress.running and progress.jobs:
        rows.add_row(Text("  starting", style="dim"), ", ".join(sorted(progress.jobs)))
    return Group(head, rows)
