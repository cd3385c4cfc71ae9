"""What a design can show before it is run: standard errors of the size slope from its counts."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Spread:
    """Standard deviations in points (per tenfold parameters for the slopes), assumed beforehand.

    The defaults are those of a plausible study, not estimates: published scores have seeds of one
    cell between 0.3 and 1.5 points by task, and no public set crosses seeds, sizes and
    intermediate tasks. The first runs of a study are a better source.
    """

    run: float = 0.85  # of a gain, shared by its languages: two arms of 0.6
    language_noise: float = 0.7
    task_slope: float = 0.8
    language_slope: float = 0.3
    task_language_slope: float = 0.3
    size_task: float = 0.5
    test_set: float = 0.3


@dataclass(frozen=True)
class Design:
    """The counts that decide what a study can show."""

    log_sizes: tuple[float, ...]
    tasks: int
    languages: float
    seeds: int

    @property
    def spread_of_sizes(self) -> float:
        """Sum of squared distances of log10 parameters from their mean."""
        mean = sum(self.log_sizes) / len(self.log_sizes)
        return sum((x - mean) ** 2 for x in self.log_sizes)


def variance(design: Design, spread: Spread = Spread()) -> tuple[float, float]:
    """Return the variance of the mean size slope over new seeds (L1), and tasks and languages (L2).

    The slope is that of the gain on log10 parameters, in points per tenfold, with equal weights of
    tasks. Each source of noise is divided by how often the design draws it.
    """
    tasks, languages, sizes = design.tasks, design.languages, design.spread_of_sizes
    noise = spread.run**2 / design.seeds + spread.language_noise**2 / (design.seeds * languages)
    seeds = noise / (tasks * sizes)
    slopes = (
        spread.task_slope**2 / tasks
        + spread.language_slope**2 / languages
        + spread.task_language_slope**2 / (tasks * languages)
    )
    cells = (spread.size_task**2 + spread.test_set**2 / languages) / (tasks * sizes)
    return seeds, seeds + slopes + cells


def smallest_margin(design: Design, spread: Spread = Spread()) -> float:
    """Return the margin at which L2 says `equivalent` in four of five studies whose slope is zero.

    Two one-sided tests at 5 % on t with (tasks - 1) degrees of freedom (Schuirmann 1987). Infinite
    with fewer than two tasks or sizes.
    """
    if design.tasks < 2 or design.spread_of_sizes == 0:
        return math.inf
    from scipy.special import stdtrit

    # At a slope of zero both tests must pass: 80 % in all leaves 10 % to either side.
    df = design.tasks - 1
    quantiles = float(stdtrit(df, 0.95) + stdtrit(df, 0.90))
    return quantiles * math.sqrt(variance(design, spread)[1])


def detectable(design: Design, spread: Spread = Spread()) -> float:
    """Return the true slope that L2 finds in four of five studies: two-sided test at 5 %.

    Solves the noncentral t for its shift, with (tasks - 1) degrees of freedom. Infinite with fewer
    than two tasks or sizes.
    """
    if design.tasks < 2 or design.spread_of_sizes == 0:
        return math.inf
    from scipy.special import nctdtrinc, stdtrit

    df = design.tasks - 1
    shift = float(nctdtrinc(df, 0.2, stdtrit(df, 0.975)))
    return shift * math.sqrt(variance(design, spread)[1])


def design_of(parameters: Sequence[int], languages: Sequence[int], seeds: int) -> Design:
    """Return the design of a study: parameters by size, zero-shot languages by target, seeds."""
    return Design(
        tuple(math.log10(count) for count in parameters),
        len(languages),
        sum(languages) / len(languages) if languages else 0.0,
        seeds,
    )
