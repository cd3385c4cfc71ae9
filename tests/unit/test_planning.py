"""What a study can be expected to find: reference tables, simulation and what must hold."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import nctdtrinc, stdtrit

from compiler import power
from compiler.planning import (
    LEVELS,
    Ladder,
    Level,
    Noise,
    Size,
    additions,
    band,
    detectable,
    detectable_in_cell,
    parts,
    smallest_margin,
)

# XLM-R's four sizes; the fifth of the reference table is not named, and lies near the middle.
SIZES = (270e6, 550e6, 3.5e9, 10.7e9, 1.7e9)
HOURS = (0.4, 1.0, 6.0, 18.0, 3.0)


def ladder(sizes: int, tasks: int, languages: float, seeds: int, arms: int = 1) -> Ladder:
    family = tuple(
        Size(math.log10(p), h, 4 * h) for p, h in zip(SIZES[:sizes], HOURS[:sizes], strict=True)
    )
    return Ladder((family,), arms, tasks, languages, seeds)


# --- reference tables: what four of five studies find, in points per tenfold ------------------

TABLE = {
    # sizes, tasks, languages: L1 at 2, 3, 5 seeds; L2 at 1, 2, 3, 5, 10; L3 at 3, checkpoint sd
    (3, 5, 10): ((1.03, 0.81, 0.62), (2.53, 2.17, 2.04, 1.93, 1.85), (2.5, 4.2)),
    (3, 7, 10): ((0.85, 0.68, 0.52), (1.92, 1.65, 1.56, 1.47, 1.41), (2.2, 4.4)),
    (4, 5, 10): ((0.65, 0.51, 0.39), (1.94, 1.76, 1.69, 1.64, 1.60), (1.7, 2.1)),
    (4, 7, 10): ((0.54, 0.43, 0.33), (1.48, 1.34, 1.29, 1.25, 1.22), (1.4, 1.9)),
    (4, 9, 15): ((0.47, 0.37, 0.29), (1.23, 1.12, 1.08, 1.04, 1.02), (1.2, 1.9)),
    (5, 9, 15): ((0.46, 0.37, 0.29), (1.23, 1.11, 1.07, 1.04, 1.02), (1.2, 1.7)),
}  # fmt: skip


@pytest.mark.parametrize("design", TABLE)
def test_the_first_two_levels_of_the_table(design: tuple[int, int, int]) -> None:
    one, two, _ = TABLE[design]
    # The table is rounded to two places; of its fifth size only the middle place is known.
    near = 0.0061 if design[0] < 5 else 0.011
    found = [detectable(ladder(*design, seeds), "L1") for seeds in (2, 3, 5)]
    assert found == pytest.approx(one, abs=near)
    found = [detectable(ladder(*design, seeds), "L2") for seeds in (1, 2, 3, 5, 10)]
    assert found == pytest.approx(two, abs=near)


@pytest.mark.parametrize("design", TABLE)
def test_the_third_level_of_the_table_and_why_ours_is_larger(design: tuple[int, int, int]) -> None:
    """The table takes the true variance and Welch's df for a noncentral t.

    But the interval adds up two estimates, which count the noise of runs and cells twice, and is as
    wide as that of L2 at least: at the slopes of the table 63 to 73 % of studies find them, and not
    80 (the simulation below).
    """
    for checkpoint, points in zip((0.25, 0.5), TABLE[design][2], strict=True):
        here, noise = ladder(*design, 3), Noise(checkpoint=checkpoint)
        p = parts(here, noise)
        assert p is not None
        second = p.seeds + p.tasks + p.cells
        again = p.seeds + p.cells + p.checkpoints
        df = (second + again) ** 2 / (second**2 / (design[1] - 1) + again**2 / (design[0] - 2))
        shift = float(nctdtrinc(df, 0.2, stdtrit(df, 0.975)))
        quick = shift * math.sqrt(second + p.checkpoints)
        assert quick == pytest.approx(points, abs=0.06)
        assert quick < detectable(here, "L3", noise) < 1.5 * quick


@pytest.mark.parametrize(
    ("tasks", "languages", "points"), [(5, 10, 1.6), (7, 10, 1.3), (9, 15, 1.1)]
)
def test_the_smallest_margins(tasks: int, languages: int, points: float) -> None:
    here = ladder(4, tasks, languages, 3)
    assert smallest_margin(here, "L2") == pytest.approx(points, abs=0.06)


def test_one_cell() -> None:
    table = {2: (1.7, 3.4, 5.7, 8.5), 3: (0.9, 1.8, 3.1, 4.6), 5: (0.6, 1.2, 2.0, 3.0),
             10: (0.4, 0.8, 1.3, 2.0)}  # fmt: skip
    for seeds, points in table.items():
        found = [detectable_in_cell(run, seeds) for run in (0.3, 0.6, 1.0, 1.5)]
        assert found == pytest.approx(points, abs=0.051)
    assert detectable_in_cell(0.6, 1) == math.inf


def test_where_the_variance_comes_from() -> None:
    # Seven tasks, ten languages, three seeds, four sizes: seeds 8 %, tasks 30 %, checkpoints 51 %.
    p = parts(ladder(4, 7, 10, 3))
    assert p is not None
    total = p.seeds + p.tasks + p.cells + p.checkpoints + p.families
    assert p.seeds / total == pytest.approx(0.08, abs=0.005)
    assert 0.8**2 / 7 / total == pytest.approx(0.30, abs=0.005)
    assert p.checkpoints / total == pytest.approx(0.51, abs=0.005)


def test_the_quick_answer_for_one_family_is_the_same() -> None:
    here = ladder(4, 7, 10, 3)
    design = power.Design(tuple(s.log_parameters for s in here.families[0]), 7, 10, 3)
    one, two = power.variance(design)
    p = parts(here)
    assert p is not None
    assert (p.seeds, p.seeds + p.tasks + p.cells) == pytest.approx((one, two))
    assert detectable(here, "L2") == pytest.approx(power.detectable(design))
    assert smallest_margin(here, "L2") == pytest.approx(power.smallest_margin(design))


# --- simulation of the estimators -------------------------------------------------------------


def simulate(here: Ladder, noise: Noise, slope: float, studies: int) -> tuple[float, float, float]:
    """Return how often the intervals of L2 and L3 exclude zero, and how often L3 is equivalent."""
    rng = np.random.default_rng(20)
    x = np.asarray([size.log_parameters for size in here.families[0]])
    x = x - x.mean()
    sizes, tasks, languages, seeds = len(x), here.tasks, int(here.languages), here.seeds
    sxx, sd = float(x @ x), noise.spread
    margin = smallest_margin(here, "L3", noise)
    hits = np.zeros(3)

    def draw(deviation: float, *shape: int) -> np.ndarray:
        return rng.normal(0.0, deviation, shape)

    for _ in range(studies):
        lines = (
            slope + draw(sd.task_slope, tasks, 1) + draw(sd.language_slope, 1, languages)
            + draw(sd.task_language_slope, tasks, languages)
        )  # fmt: skip
        y = (
            lines * x[:, None, None]
            + draw(noise.checkpoint, sizes, 1, 1) + draw(sd.size_task, sizes, tasks, 1)
            + draw(sd.test_set, sizes, tasks, languages)
            + draw(sd.run / math.sqrt(seeds), sizes, tasks, 1)
            + draw(sd.language_noise / math.sqrt(seeds), sizes, tasks, languages)
        )  # fmt: skip
        cells = np.einsum("s,stl->tl", x, y) / sxx
        b = float(cells.mean())
        d = (cells - b) / cells.size
        by_task, by_language = d.sum(axis=1), d.sum(axis=0)
        v_task = tasks / (tasks - 1) * float(by_task @ by_task)
        v_language = languages / (languages - 1) * float(by_language @ by_language)
        v_cell = d.size / (d.size - 1) * float((d**2).sum())
        two, df2 = max(v_task + v_language - v_cell, v_task, v_language), min(tasks, languages) - 1
        means = y.mean(axis=(1, 2))
        rest = means - means.mean() - b * x
        r = float(rest @ rest) / (sizes - 2) / sxx
        df3 = (two + r) ** 2 / (two**2 / df2 + r**2 / (sizes - 2))
        half2, half3 = (
            [float(stdtrit(df, q)) * math.sqrt(v) for q in (0.975, 0.95)]
            for v, df in ((two, df2), (two + r, df3))
        )
        wide, narrow = (max(pair) for pair in zip(half2, half3, strict=True))
        hits += [abs(b) > half2[0], abs(b) > wide, abs(b) + narrow < margin]
    return tuple(hits / studies)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("design", "checkpoint"),
    [((3, 5, 10), 0.25), ((4, 7, 10), 0.5), ((4, 5, 10), 0.25), ((4, 9, 15), 0.5)],
)
def test_four_of_five_studies_find_what_is_said(
    design: tuple[int, int, int], checkpoint: float
) -> None:
    here, noise = ladder(*design, 3), Noise(checkpoint=checkpoint)
    quiet = Noise(checkpoint=0.0)
    at = {level: detectable(here, level, noise) for level in LEVELS}
    # 3000 studies: three Monte Carlo errors are 2.2 points; L2's df is a little cautious.
    assert 0.775 <= simulate(here, noise, at["L3"], 3000)[1] <= 0.83
    table = TABLE[design][2][0 if checkpoint == 0.25 else 1]
    assert simulate(here, noise, table, 3000)[1] <= 0.76
    assert 0.775 <= simulate(here, quiet, at["L2"], 3000)[0] <= 0.85
    assert 0.775 <= simulate(here, noise, 0.0, 3000)[2] <= 0.83


# --- what must hold ---------------------------------------------------------------------------

ladders = st.builds(
    ladder, st.integers(3, 5), st.integers(2, 9), st.integers(2, 30), st.integers(2, 6)
)
levels = st.sampled_from(LEVELS)


@settings(max_examples=15, deadline=None)
@given(ladders, st.floats(0.1, 10), levels)
def test_noisier_scores_scale_what_can_be_found(here: Ladder, by: float, level: Level) -> None:
    sds = {name: by * sd for name, sd in vars(power.Spread()).items()}
    noise = Noise(power.Spread(**sds), by * 0.5, by * 0.4)
    assert detectable(here, level, noise) == pytest.approx(by * detectable(here, level), rel=1e-6)
    assert smallest_margin(here, level, noise) == pytest.approx(
        by * smallest_margin(here, level), rel=1e-6
    )


@settings(max_examples=15, deadline=None)
@given(ladders, levels)
def test_more_seeds_tasks_and_languages_never_hurt(here: Ladder, level: Level) -> None:
    now = detectable(here, level)
    for more in (
        replace(here, seeds=here.seeds + 1),
        replace(here, tasks=here.tasks + 1),
        replace(here, languages=here.languages + 1),
    ):
        # At L3 less noise of tasks leaves more weight, and so fewer df, to that of checkpoints.
        assert detectable(more, level) <= now * (1.0 if level != "L3" else 1.04)
    assert detectable(here, "L2") <= detectable(here, "L3") < math.inf


def test_without_noise_everything_is_found() -> None:
    quiet = Noise(power.Spread(*[0.0] * 7), 0.0, 0.0)
    for level in LEVELS:
        assert detectable(ladder(4, 7, 10, 3), level, quiet) == 0.0
        assert smallest_margin(ladder(4, 7, 10, 3), level, quiet) == 0.0
    assert math.isfinite(detectable(ladder(5, 900, 10, 12), "L1"))


def test_the_band_brackets_the_base() -> None:
    here = ladder(4, 7, 10, 3)
    for level in LEVELS:
        low, base, high = (detectable(here, level, noise) for noise in band().values())
        assert (low, high) == pytest.approx((base / 2, base * 2))
    assert list(band()) == ["low", "base", "high"]
    assert band()["high"].checkpoint == 1.0


@pytest.mark.parametrize(
    ("here", "level"),
    [
        (ladder(4, 7, 10, 1), "L1"), (ladder(1, 7, 10, 3), "L1"), (ladder(4, 1, 10, 3), "L2"),
        (ladder(4, 7, 1, 3), "L2"), (ladder(1, 7, 10, 3), "L2"), (ladder(2, 7, 10, 3), "L3"),
        (ladder(4, 1, 10, 3), "L3"), (ladder(4, 0, 10, 3), "L2"), (ladder(4, 7, 0, 3), "L2"),
        (Ladder((), 1, 7, 10, 3), "L3"),
        (Ladder(((Size(9.0), Size(9.0)),), 1, 7, 10, 3), "L2"),
    ],
)  # fmt: skip
def test_levels_that_cannot_be_had(here: Ladder, level: Level) -> None:
    assert detectable(here, level) == math.inf
    assert smallest_margin(here, level) == math.inf


# --- families ---------------------------------------------------------------------------------


def test_families_by_hand() -> None:
    family = (Size(8.0), Size(9.0))  # Sxx = 1/2
    here = Ladder((family, family, (Size(8.5),)), 1, 4, 5, 2)
    noise = Noise(power.Spread(1.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0), checkpoint=0.5, family=0.4)
    p = parts(here, noise)
    assert p is not None
    assert p.seeds == pytest.approx(1 / 2 / (4 * 0.5) / 2)
    assert p.tasks == pytest.approx(1 / 4)
    assert p.cells == pytest.approx(0.0)
    assert p.checkpoints == pytest.approx(0.25 / 0.5 / 2)
    assert p.families == pytest.approx(0.16 / 2)
    assert math.isfinite(detectable(here, "L3", noise))  # two families of two sizes are enough


def test_a_second_and_third_family_buy_more_than_seeds() -> None:
    here = ladder(3, 7, 10, 3)
    now = detectable(here, "L3")
    seeds = detectable(replace(here, seeds=30), "L3")
    family = here.families[0]
    two, three = (detectable(replace(here, families=(family,) * n), "L3") for n in (2, 3))
    assert three < two < now
    assert now - three > 5 * abs(now - seeds)


# --- what buys most ---------------------------------------------------------------------------


def test_the_hours_by_hand() -> None:
    # Three sizes 7.4 h a target run, 29.6 h an intermediate one; two arms beside direct, 5 tasks.
    here = ladder(3, 5, 10, 2, arms=2)
    assert here.hours == pytest.approx(2 * (2 * 29.6 + 3 * 5 * 7.4))


def test_additions_are_ordered_by_what_an_hour_buys() -> None:
    here = ladder(3, 5, 10, 3)
    fourth = Size(math.log10(SIZES[3]), HOURS[3], 4 * HOURS[3])
    found = additions(here, "L3", sizes=[(0, fourth)], families=[here.families[0]])
    names = [each.what for each in found]
    assert set(names) == {
        "language",
        "seed",
        "task",
        "size of 10.7B parameters",
        "family of 3 sizes",
    }
    worth = [each.per_hour for each in found]
    assert worth == sorted(worth, reverse=True)  # type: ignore[type-var]
    assert names[0] == "size of 10.7B parameters"
    by_name = {each.what: each for each in found}
    size = by_name["size of 10.7B parameters"]
    assert size.hours == pytest.approx(here.hours + 3 * (4 * 18 + 2 * 5 * 18))
    assert size.detectable == pytest.approx(detectable(ladder(4, 5, 10, 3), "L3"))
    assert size.per_hour == pytest.approx(
        (detectable(here, "L3") - size.detectable) / (size.hours - here.hours)
    )
    # The reference says it: sizes and families, not seeds, where checkpoints are few.
    assert (by_name["family of 3 sizes"].per_hour or 0) > (by_name["seed"].per_hour or 0)


def test_a_language_costs_no_run() -> None:
    found = additions(ladder(4, 7, 10, 3), "L2")
    assert [each.what for each in found] == ["language", "task", "seed"]
    assert found[0].per_hour == math.inf
    quiet = Noise(power.Spread(0.85, 0.0, 0.8, 0.0, 0.0, 0.5, 0.0))
    (nothing,) = [a for a in additions(ladder(4, 7, 10, 3), "L2", quiet) if a.what == "language"]
    assert nothing.per_hour == 0.0


def test_additions_where_nothing_could_be_found() -> None:
    here = ladder(2, 5, 10, 3)
    third, other = Size(9.54, 6.0, 24.0), (Size(8.4, 0.1, 0.4), Size(8.7, 0.1, 0.4))
    found = additions(here, "L3", sizes=[(0, third)], families=[other])
    assert [each.what for each in found[:2]] == ["family of 2 sizes", "size of 3.47B parameters"]
    assert [each.per_hour for each in found] == [None] * 5
    assert [math.isfinite(each.detectable) for each in found] == [True, True, False, False, False]
