"""Writes the sentence under each figure: what it shows, in the numbers that the tables print."""

from __future__ import annotations

from runtime.analysis.estimate import LARGER, NOT_ESTIMABLE, SMALLER, Findings
from runtime.report import curve, figures, heat, views
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
        f"diamonds all tasks at each level.{_tau(findings)}"
    )


def _tau(findings: Findings) -> str:
    """Say how far true task slopes differ, and where one more task would lie."""
    spread = next(iter(views.select(findings, estimand="tau", variant="meta_reml")), None)
    if spread is None or spread.estimate is None:
        return ""
    text = f" True slopes of tasks differ by a standard deviation (tau) of {spread.estimate:.2f}"
    ahead = next(iter(views.select(findings, estimand="prediction")), None)
    if ahead is None or not views.estimable(ahead):
        return f"{text}."
    return (
        f"{text}; one more task would lie in {interval(ahead.lo, ahead.hi)} (square; a bar that "
        "reaches the frame goes on beyond it)."
    )


def curve_caption(findings: Findings, names: Names) -> str:
    """Say how many choices agree with the headline's sign, and how many are certain of one."""
    found = curve.specifications(findings)
    known = [e for e in found if e.estimate is not None]
    if not known or findings.headline.estimate is None:
        return "The slope is not estimable by any choice."
    head = findings.headline.estimate
    same = sum(e.estimate * head > 0 for e in known if e.estimate is not None)
    sure = sum(e.verdict in (LARGER, SMALLER) for e in known)
    values = [e.estimate for e in known if e.estimate is not None]
    low, high = min(values), max(values)
    return (
        f"By {counted(len(known), 'choice')} the slope lies between {number(low)} and "
        f"{number(high)} points per tenfold parameters; {same} of {len(known)} have the sign of "
        f"the headline, and for {sure} the 95 % interval leaves out zero. Bars are L2 intervals; "
        "the headline is black. A point without a bar has no interval; what lies beyond the frame "
        "is cut, and in the table."
    )


def pair_caption(findings: Findings, names: Names) -> str:
    """Name the largest and the smallest included gain of an intermediate on a task."""
    rows = [r for r in heat.pair_gains(findings, names) if r["included"]]
    if not rows:
        return "No pair of an intermediate and a task has an included run."
    top, low = (choose(rows, key=lambda r: r["gain"]) for choose in (max, min))
    return (
        f"Over sizes and zero-shot languages, {top['arm']} on {top['task']} gains most "
        f"({number(top['gain'])} points), {low['arm']} on {low['task']} least "
        f"({number(low['gain'])}). Orange is a gain, blue a loss; a value in brackets with a "
        "broken border is a self-pair or otherwise not in the primary analysis; blank: no run."
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
