"""Groups of tasks: does the slope differ between tasks of one kind and of the others?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

from runtime.analysis import contrasts
from runtime.analysis.estimands import View, by_cell, filled, label
from runtime.analysis.estimate import Estimate
from runtime.analysis.interactions import between_tasks


def by_kind(view: View, kinds: Mapping[str, str]) -> Iterator[Estimate]:
    """Yield the interaction of size with kinds of tasks: a kind's mean slope minus the others'.

    ``kinds`` says of each target what it is, such as classification or tagging. Two kinds have one
    difference, more have one each against all the rest. That one kind's slope is significant and
    another's is not is no interaction test; this is.
    """
    gain = contrasts.gain(view.counted, contrasts.spoken(view.grid, "zero_shot"))
    if view.line is None or gain.empty:
        return
    cells = by_cell(view, gain, view.line.weights)
    groups = [kinds.get(target) for target in view.grid.targets]
    there: list[bool] = gain.share.any(axis=1).tolist()  # type: ignore[assignment]
    names = sorted({g for g, used in zip(groups, there, strict=True) if g and used})
    if len(names) < 2:
        return
    for name in names[:1] if len(names) == 2 else names:
        found = between_tasks(cells, [group == name for group in groups])
        other = names[1] if len(names) == 2 else "others"
        yield filled(
            replace(
                label(view, "group_difference", "points", "zero_shot", "*"),
                level="L2", variant="kinds_of_tasks", subset=f"tasks: {name} - {other}",
            ),
            found.estimate, found.spread,
            n_tasks=sum(found.tasks), n_languages=max(found.languages, default=0),
        )  # fmt: skip
