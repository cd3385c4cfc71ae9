"""Contrasts: the weights that average cells into a gain, a score or an English gap."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from runtime.analysis.estimate import Average
from runtime.analysis.grid import ENGLISH, Bools, Floats, Grid, Means


@dataclass(frozen=True, slots=True)
class Contrast:
    """A linear contrast over seed means at one size.

    ``weights`` (arm x target x language, the direct arm first) multiply the seed means. An arm that
    several contrasts use, as the direct arm under each intermediate, has one weight: it is counted
    once. ``share`` (target x language, sum 1) is the part of the average that each cell makes up.
    ``anchor`` is a language that every cell of its task is compared with, or None.
    ``languages_vary`` is False where the language is fixed by definition.
    """

    weights: Floats
    share: Floats
    anchor: int | None = None
    languages_vary: bool = True

    @property
    def empty(self) -> bool:
        """No cell is left."""
        return not bool(self.share.any())


def available(grid: Grid, means: Means, allowed: Bools) -> Bools:
    """Return the complete cases, intermediate arm x target x language.

    A case is complete when both of its arms have a score at every size: otherwise the mix of tasks
    and languages would change along the line (Simpson's paradox). ``allowed`` is arm x target.
    """
    if not grid.models:
        return np.zeros((len(grid.arms) - 1, *means.mean.shape[2:]), dtype=np.bool_)
    scored = means.count > 0
    both = scored[:, 1:] & scored[:, :1]
    return np.asarray(both.all(axis=0) & allowed[1:, :, None], dtype=np.bool_)


def spoken(grid: Grid, average: Average) -> Bools:
    """Return which languages an average is over: without English, with it, or English alone."""
    english = np.asarray([language == ENGLISH for language in grid.languages], dtype=np.bool_)
    if average == "xtreme":
        return np.ones_like(english)
    return english if average == "english" else ~english


def only(cases: Bools, arm: int) -> Bools:
    """Keep the cases of one intermediate arm, counted among the intermediate arms."""
    kept = np.zeros_like(cases)
    kept[arm] = cases[arm]
    return kept


def shares(cases: Bools) -> Floats:
    """Return equal weights over languages, then over the arms of a task, then over tasks."""
    languages = cases.sum(axis=2, keepdims=True)
    arms = (languages > 0).sum(axis=0, keepdims=True)
    tasks = int((arms > 0).sum())
    return np.where(cases, 1.0 / np.maximum(languages * arms * tasks, 1), 0.0)


def gain(cases: Bools, languages: Bools, *, languages_vary: bool = True) -> Contrast:
    """Return the average of arm minus direct over the cases in the given languages."""
    weights = shares(cases & languages)
    share = weights.sum(axis=0)
    return Contrast(np.concatenate([-share[None], weights]), share, None, languages_vary)


def score(cases: Bools, languages: Bools, *, direct: bool, languages_vary: bool) -> Contrast:
    """Return the average score of the arms, or of the direct arm over the very same cases.

    So the gain of an arm is its score minus the direct one of these two.
    """
    weights = shares(cases & languages)
    share = weights.sum(axis=0)
    parts = [share[None], 0.0 * weights] if direct else [0.0 * share[None], weights]
    return Contrast(np.concatenate(parts), share, None, languages_vary)


def english_gap(cases: Bools, languages: tuple[str, ...]) -> Contrast | None:
    """Return how an arm changes English minus the mean of the other languages.

    Only tasks with both English and another language count; None when there is no English.
    """
    if ENGLISH not in languages:
        return None
    english = languages.index(ENGLISH)
    others = cases & cases[:, :, english, None]
    others[:, :, english] = False
    part = shares(others)
    weights = -part
    weights[:, :, english] = part.sum(axis=2)
    return Contrast(
        np.concatenate([-weights.sum(axis=0)[None], weights]), part.sum(axis=0), english
    )


def contributions(contrast: Contrast, size: Floats, values: Floats) -> Floats:
    """Return what each target and language adds to the estimate; their sum is the estimate.

    ``size`` weighs the models: an indicator for the value at one size, OLS weights for a slope.
    The anchor language's part is spread over the cells that are compared with it.
    """
    cells = np.einsum("m,atl,matl->tl", size, contrast.weights, values, optimize=True)
    if contrast.anchor is None:
        return np.asarray(cells)
    anchored = cells[:, contrast.anchor].copy()
    cells[:, contrast.anchor] = 0.0
    tasks = contrast.share.sum(axis=1)
    spread = contrast.share / np.where(tasks > 0, tasks, 1.0)[:, None]
    return np.asarray(cells + spread * anchored[:, None])
