"""What a study can be expected to find, from low to high noise, and which addition buys most."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import TYPE_CHECKING, Literal

from compiler.power import Design, Spread, variance

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Level = Literal["L1", "L2", "L3"]
LEVELS: tuple[Level, ...] = ("L1", "L2", "L3")
POWER = 0.8
GRID = 32
"""Steps of either chi-squared over which the power at L3 is averaged."""


@dataclass(frozen=True)
class Size:
    """A checkpoint of a ladder: log10 parameters, and what its runs cost.

    ``target_hours`` are the device hours of one target run, ``intermediate_hours`` those of one
    intermediate run.
    """

    log_parameters: float
    target_hours: float = 0.0
    intermediate_hours: float = 0.0


@dataclass(frozen=True)
class Ladder:
    """The counts of a study: sizes by family, intermediates, tasks, zero-shot languages, seeds."""

    families: tuple[tuple[Size, ...], ...]
    intermediates: int
    tasks: int
    languages: float
    seeds: int

    @property
    def hours(self) -> float:
        """Device hours: one checkpoint of each intermediate and seed serves every target."""
        sizes = [size for family in self.families for size in family]
        before = self.intermediates * sum(size.intermediate_hours for size in sizes)
        after = (self.intermediates + 1) * self.tasks * sum(size.target_hours for size in sizes)
        return self.seeds * (before + after)


@dataclass(frozen=True)
class Noise:
    """Standard deviations assumed beforehand; those of ``spread`` and two that L3 adds.

    ``checkpoint`` is what sets a checkpoint off its family's line, in points; ``family`` the
    spread of slopes between families, in points per tenfold. Neither has been estimated in public
    data; an earlier report of one's own is the better source for all of them.
    """

    spread: Spread = field(default_factory=Spread)
    checkpoint: float = 0.5
    family: float = 0.4


def band(base: Noise = Noise()) -> dict[str, Noise]:
    """Return the noise at half, at once and at twice every standard deviation.

    For a run of one arm that is 0.3 to 1.2 points, about what published scores show by task.
    """
    return {"low": _scaled(base, 0.5), "base": base, "high": _scaled(base, 2.0)}


def _scaled(noise: Noise, by: float) -> Noise:
    sds = {name: by * value for name, value in vars(noise.spread).items()}
    return Noise(Spread(**sds), by * noise.checkpoint, by * noise.family)


@dataclass(frozen=True)
class Parts:
    """The variance of the mean slope by its sources, in (points per tenfold) squared."""

    seeds: float
    tasks: float
    cells: float
    checkpoints: float
    families: float


def parts(ladder: Ladder, noise: Noise = Noise()) -> Parts | None:
    """Split the variance of the mean of the families' slopes; None where no family has a slope.

    Families of one size have no slope and do not count. Noise of tasks and languages, which all
    families share, is not averaged over them; that of runs, cells and checkpoints is.
    """
    designs = _designs(ladder)
    if not designs or ladder.tasks < 1 or ladder.languages <= 0.0 or ladder.seeds < 1:
        return None
    quiet = replace(noise.spread, run=0.0, language_noise=0.0, size_task=0.0, test_set=0.0)
    tasks = variance(designs[0], quiet)[1]
    both = [variance(design, noise.spread) for design in designs]
    count = len(designs)
    return Parts(
        seeds=sum(seeds for seeds, _ in both) / count**2,
        tasks=tasks,
        cells=sum(all_but - seeds - tasks for seeds, all_but in both) / count**2,
        checkpoints=sum(noise.checkpoint**2 / d.spread_of_sizes for d in designs) / count**2,
        families=noise.family**2 / count if count > 1 else 0.0,
    )


@lru_cache(maxsize=1024)
def detectable(ladder: Ladder, level: Level, noise: Noise = Noise()) -> float:
    """Return the true slope that a level finds in four of five studies: two-sided test at 5 %.

    L1 and L2 solve the noncentral t for its shift, on one degree of freedom for each gain's spare
    run, and on min(tasks, languages) - 1. At L3 the interval adds up two estimated variances, has
    Welch's degrees of freedom and the width of L2 at least, so its power is averaged over both
    estimates instead. Infinite where a level cannot be had: one seed, one task or language, and at
    L3 two sizes of a single family.
    """
    known = _known(ladder, level, noise)
    if known is None:
        return math.inf
    if level == "L3" and known.actual > 0.0:
        from scipy.special import ndtr

        half, sd = _half_widths(known, 0.975), math.sqrt(known.actual)

        def power(slope: float) -> float:
            return float((ndtr((slope - half) / sd) + ndtr((-slope - half) / sd)).mean())

        return _solve(power)
    from scipy.special import nctdtrinc, stdtrit

    shift = float(nctdtrinc(known.df, 1.0 - POWER, stdtrit(known.df, 0.975)))
    return shift * math.sqrt(known.first)


@lru_cache(maxsize=1024)
def smallest_margin(ladder: Ladder, level: Level, noise: Noise = Noise()) -> float:
    """Return the margin within which four of five studies with a slope of zero are equivalent.

    Both one-sided tests at 5 % must pass (Schuirmann 1987), so each misses in one of ten. Infinite
    where a level cannot be had.
    """
    known = _known(ladder, level, noise)
    if known is None:
        return math.inf
    if level == "L3" and known.actual > 0.0:
        from scipy.special import ndtr

        half, sd = _half_widths(known, 0.95), math.sqrt(known.actual)

        def power(margin: float) -> float:
            return float((2.0 * ndtr((margin - half) / sd) - 1.0).clip(min=0.0).mean())

        return _solve(power)
    from scipy.special import stdtrit

    quantiles = float(stdtrit(known.df, 0.95) + stdtrit(known.df, 0.5 + POWER / 2))
    return quantiles * math.sqrt(known.first)


def detectable_in_cell(run: float, seeds: int) -> float:
    """Return the gain of one task at one size that is found in four of five studies.

    ``run`` is the standard deviation of one run of one arm, in points; both arms have ``seeds``
    runs, and t has 2 (seeds - 1) degrees of freedom. The noise of the test set is not in it.
    """
    if seeds < 2:
        return math.inf
    from scipy.special import nctdtrinc, stdtrit

    df = 2 * (seeds - 1)
    return float(nctdtrinc(df, 1.0 - POWER, stdtrit(df, 0.975))) * run * math.sqrt(2.0 / seeds)


@dataclass(frozen=True)
class Addition:
    """A study with one thing more: its cost in device hours, and what it can detect.

    ``per_hour`` is by how much the detectable slope falls for each further hour: None when it was
    not finite before, infinite when it falls at no cost.
    """

    what: str
    ladder: Ladder
    hours: float
    detectable: float
    per_hour: float | None


def additions(
    ladder: Ladder,
    level: Level,
    noise: Noise = Noise(),
    *,
    sizes: Sequence[tuple[int, Size]] = (),
    families: Sequence[tuple[Size, ...]] = (),
) -> tuple[Addition, ...]:
    """Compare one more seed, task, language, size or family; what buys most comes first.

    A language costs no run, only scoring, which the hours leave out. ``sizes`` are checkpoints that
    could be had, each with the place of its family in the ladder, ``families`` whole ladders that
    could be added.
    """
    options = [
        ("seed", replace(ladder, seeds=ladder.seeds + 1)),
        ("task", replace(ladder, tasks=ladder.tasks + 1)),
        ("language", replace(ladder, languages=ladder.languages + 1)),
    ]
    for place, size in sizes:
        grown = list(ladder.families)
        grown[place] = (*grown[place], size)
        options.append((f"size of {_parameters(size)}", replace(ladder, families=tuple(grown))))
    for family in families:
        more = replace(ladder, families=(*ladder.families, family))
        options.append((f"family of {len(family)} sizes", more))
    before = detectable(ladder, level, noise)
    found = []
    for what, option in options:
        after, hours = detectable(option, level, noise), option.hours - ladder.hours
        per_hour = None
        if math.isfinite(before):
            fall = before - after
            free = math.inf if fall > 0.0 else 0.0
            per_hour = fall / hours if hours > 0.0 else free
        found.append(Addition(what, option, option.hours, after, per_hour))
    return tuple(sorted(found, key=lambda each: _worth(each, before), reverse=True))


def _parameters(size: Size) -> str:
    """Write a number of parameters in three digits: ``10.7B``."""
    count = 10.0**size.log_parameters
    for unit, letter in ((1e9, "B"), (1e6, "M"), (1e3, "k")):
        if count >= unit:
            return f"{count / unit:.3g}{letter} parameters"
    return f"{count:.0f} parameters"


def _worth(each: Addition, before: float) -> float:
    """Order additions; where nothing could be detected before, by what they allow and cost."""
    if each.per_hour is not None:
        return each.per_hour
    return -each.hours if math.isfinite(each.detectable) and math.isinf(before) else -math.inf


@dataclass(frozen=True)
class _Known:
    """What a level's interval is made of: one estimated variance, or at L3 two, with their df.

    ``actual`` is the true variance of the slope at L3, where the sum of the two counts the noise of
    runs and cells twice, on purpose.
    """

    first: float
    df: float
    second: float = 0.0
    second_df: float = 0.0
    actual: float = 0.0


def _known(ladder: Ladder, level: Level, noise: Noise) -> _Known | None:
    """Return the variances behind a level's interval, or None where it is not estimable."""
    by_source, designs = parts(ladder, noise), _designs(ladder)
    if by_source is None:
        return None
    if level == "L1":
        runs = sum(len(design.log_sizes) for design in designs) * ladder.tasks
        return _Known(by_source.seeds, runs * (ladder.seeds - 1)) if ladder.seeds > 1 else None
    second = by_source.seeds + by_source.tasks + by_source.cells
    df = min(ladder.tasks, math.floor(ladder.languages)) - 1
    if level == "L2":
        return _Known(second, df) if df > 0 else None
    third = by_source.checkpoints + by_source.families
    spare = len(designs) - 1 if len(designs) > 1 else len(designs[0].log_sizes) - 2
    if df < 1 or spare < 1:
        return None
    again = by_source.seeds + by_source.cells + third
    return _Known(second, df, again, spare, second + third)


def _designs(ladder: Ladder) -> list[Design]:
    """Return one design for each family that has two different sizes."""
    designs = [
        Design(
            tuple(size.log_parameters for size in family),
            ladder.tasks, ladder.languages, ladder.seeds,
        )
        for family in ladder.families
    ]  # fmt: skip
    return [d for d in designs if len(d.log_sizes) > 1 and d.spread_of_sizes > 1e-9]


def _half_widths(known: _Known, quantile: float) -> NDArray[np.float64]:
    """Return the half-width of the L3 interval at a grid of equally likely pairs of estimates.

    Each estimated variance is its expectation times chi-squared over df. The half-width is that of
    the sum of both on Welch's degrees of freedom, or that of the first alone if it is wider.
    """
    import numpy as np
    from scipy.special import chdtri, stdtrit

    middles = (np.arange(GRID) + 0.5) / GRID
    first = (known.first * chdtri(known.df, middles) / known.df)[:, None]
    second = known.second * chdtri(known.second_df, middles) / known.second_df
    total = first + second
    df = total**2 / (first**2 / known.df + second**2 / known.second_df)
    alone = stdtrit(known.df, quantile) * np.sqrt(first)
    return np.asarray(np.maximum(stdtrit(df, quantile) * np.sqrt(total), alone)).ravel()


def _solve(power: Callable[[float], float]) -> float:
    """Return where a rising power reaches four of five, by bisection."""
    high = 1.0
    while power(high) < POWER:
        high *= 2.0
    low = 0.0
    for _ in range(40):
        middle = (low + high) / 2.0
        low, high = (middle, high) if power(middle) < POWER else (low, middle)
    return high
