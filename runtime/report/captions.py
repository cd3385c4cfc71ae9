"""Writes the sentence under each figure: what it shows, in the numbers that the tables print."""

from __future__ import annotations

from runtime.analysis.estimate import NOT_ESTIMABLE, Findings
from runtime.report import figures, views
from runtime.report.views import Names
from runtime.report.wording import counted, interval, number


def gain_caption(findings: Findings, names: Names) -> str:
    """Say how the mean gain goes from the smallest to the largest size."""
    known = [
        (model, e)
        for model in names.sizes
        if (e := figures.best_gain(findings, model)) is not None and e.estimate is not None
    ]
    if not known:
        return "No gain could be computed at any size."
    (small, first), (large, last) = known[0], known[-1]
    text = f"The mean zero-shot gain is {number(first.estimate)} points at {names.model(small)}"
    if len(known) > 1:
        gains = views.task_gains(findings)
        pairs = [(gains.get((t, small)), gains.get((t, large))) for t in names.tasks]
        both = [(a, b) for a, b in pairs if a is not None and b is not None]
        less = sum(b < a for a, b in both)
        text += (
            f" and {number(last.estimate)} points at {names.model(large)}; "
            f"{less} of {counted(len(both), 'task')} gain less at the largest size."
        )
    else:
        text += "."
    levels = {e.level for _, e in known if views.estimable(e)}
    bars = {
        frozenset({"L2"}): "Grey bars are 95 % intervals at level L2 (new tasks and languages).",
        frozenset({"L1"}): "Grey bars are 95 % intervals at level L1 (new seeds only): "
        "L2 is not estimable here.",
        frozenset(
            {"L1", "L2"}
        ): "Grey bars are 95 % intervals at level L2 (new tasks and languages), "
        "or L1 (new seeds only) where L2 is not estimable: the table says which.",
    }.get(frozenset(levels), "No interval is estimable.")
    return (
        f"{text} {bars} Thin lines are tasks; faint rings are single seeds of each intermediate "
        "against the mean of the direct seeds."
    )


def forest_caption(findings: Findings, names: Names) -> str:
    """Say how many tasks agree, and what the pooled slope is."""
    slopes = [e for e in figures.task_slopes(findings, names) if e.estimate is not None]
    if not slopes:
        return "No task has an estimable slope."
    falling = sum(e.estimate < 0 for e in slopes if e.estimate is not None)
    clear = sum(e.lo > 0 or e.hi < 0 for e in slopes if e.lo is not None and e.hi is not None)
    pooled = views.pooled_slope(findings, "L2")
    mean = (
        f"their mean is {number(pooled.estimate)} points per tenfold parameters, L2 interval "
        f"{interval(pooled.lo, pooled.hi)}"
        if pooled is not None and pooled.estimate is not None
        else f"the pooled slope is {NOT_ESTIMABLE}"
    )
    return (
        f"The gain falls with size in {falling} of {counted(len(slopes), 'task')}; for {clear} of "
        f"them the L1 interval leaves out zero; {mean}. Circles are tasks with L1 intervals, "
        "diamonds all tasks at each level."
    )


def heat_caption(findings: Findings, names: Names) -> str:
    """Name the largest and the smallest gain, and count the blanks."""
    gains = views.language_gains(findings)
    blank = len(names.languages) * len(names.sizes) - len(gains)
    if not gains:
        return "No cell has an included run."
    (top, most), (low, least) = (
        choose(gains.items(), key=lambda item: item[1][0]) for choose in (max, min)
    )
    return (
        f"The largest mean gain is {number(most[0])} points ({top[0]} at {names.model(top[1])}), "
        f"the smallest {number(least[0])} ({low[0]} at {names.model(low[1])}). Orange is a gain, "
        f"blue a loss; {counted(blank, 'cell')} of {len(names.languages) * len(names.sizes)} "
        f"{'is' if blank == 1 else 'are'} blank for want of an included run. "
        "Columns compare the same tasks only where the table below gives the same count."
    )
