"""The headline: the verdict as one paragraph that carries its level, numbers and reservations."""

from __future__ import annotations

from runtime.analysis.estimate import LARGER, LEVELS, NOT_ESTIMABLE, SMALLER, Estimate, Findings

SUBJECT = "the zero-shot gain from English intermediate training"


def headline_sentence(findings: Findings) -> str:
    """Say the verdict on the pooled slope with level, estimate, interval, margin and numbers.

    Two warnings are added where they hold: the sign depends on the scale (points against relative
    error reduction), or on runs that collapsed.
    """
    head = findings.headline
    if head.estimate is None:
        return f"Whether {SUBJECT} changes with size is not estimable: {head.reason}."
    parts = [_verdict(head), _numbers(findings)]
    other = _same(findings, level="L3")
    if other is not None and other.verdict != head.verdict:
        reason = f" ({other.reason})" if other.verdict == NOT_ESTIMABLE else ""
        parts.append(f"At L3 ({LEVELS['L3']}) it is {other.verdict}{reason}.")
    ratio = _same(findings, scale="log_error_ratio")
    if ratio is not None and _opposed(head, ratio):
        parts.append(
            "The verdict is scale-dependent: on the log error ratio (relative error reduction, "
            f"positive helps) the slope is {_signed(ratio.estimate, 3)}{_interval(ratio, 3)}, "
            f"{ratio.verdict}."
        )
    for variant, runs in (("all_runs", "all runs"), ("healthy_runs", "healthy runs only")):
        rest = _same(findings, variant=variant)
        if rest is not None and _opposed(head, rest):
            parts.append(
                f"The verdict depends on collapsed runs: with {runs} the slope is "
                f"{_signed(rest.estimate)}{_interval(rest)}, {rest.verdict}."
            )
    return " ".join(parts)


def _verdict(head: Estimate) -> str:
    axis = head.axis.replace("_", "-")
    slope = f"slope {_signed(head.estimate)} points per tenfold {axis} parameters{_interval(head)}"
    start = f"At {head.level} ({LEVELS[head.level]}), {SUBJECT}"
    if head.verdict in (LARGER, SMALLER):
        return f"{start} is {head.verdict}: {slope}{_margin(head)}."
    if head.verdict == NOT_ESTIMABLE:
        return f"{start}: change with size is not estimable ({head.reason}); {slope}."
    if head.verdict == "inconclusive":
        return (
            f"{start}: the study is inconclusive about a change with size; {slope}{_margin(head)}."
        )
    return f"{start} is the same at every size, {head.verdict}: {slope}{_margin(head)}."


def _margin(head: Estimate) -> str:
    if head.margin is None:
        return "; no margin was declared"
    note = ", and the change is within it" if "within the margin" in head.reason else ""
    return f"; the margin declared beforehand is {head.margin:g}{note}"


def _numbers(findings: Findings) -> str:
    head = findings.headline
    arms = {arm for arm in findings.cells.filter("included")["arm"].unique() if arm != "none"}
    parts = (
        _count(head.n_sizes, "size"),
        "of " + _count(findings.counts.get("families", 1), "family", "families"),
        _count(len(arms), "intermediate"),
        _count(head.n_tasks, "task"),
        _count(head.n_languages, "language"),
        _seeds(findings),
    )
    return f"It rests on {parts[0]} {parts[1]}, {', '.join(parts[2:-1])} and {parts[-1]}."


def _seeds(findings: Findings) -> str:
    """Count the seeds; a published value without any told may be of one run or of many."""
    if "source" in findings.scores.columns and findings.headline.n_seeds < 2:
        return "one published value of each score, without seeds"
    return _count(findings.headline.n_seeds, "seed")


def _count(number: int, word: str, plural: str = "") -> str:
    return f"{number} {word if number == 1 else plural or word + 's'}"


def _same(findings: Findings, **other: str) -> Estimate | None:
    """Return the estimate that differs from the headline in the named fields alone."""
    key = ("estimand", "level", "scale", "average", "panel", "arm", "model", "target", "variant")
    wanted = {name: getattr(findings.headline, name) for name in key} | other
    return next(iter(findings.select(**wanted)), None)


def _opposed(one: Estimate, other: Estimate) -> bool:
    """Either verdict has a direction, and the two slopes do not have the same sign."""
    if one.estimate is None or other.estimate is None:
        return False
    directed = {one.verdict, other.verdict} & {LARGER, SMALLER}
    return bool(directed) and not one.estimate * other.estimate > 0


def _signed(value: float | None, digits: int = 2) -> str:
    text = f"{value or 0.0:+.{digits}f}"
    if float(text) == 0:
        return text[1:]
    return text.replace("-", "\N{MINUS SIGN}")


def _interval(e: Estimate, digits: int = 2) -> str:
    if e.lo is None or e.df is None:
        return ""
    low, high = _signed(e.lo, digits), _signed(e.hi, digits)
    return f" (95 % interval {low} to {high}, t with {e.df:.3g} df)"
