"""Multiplicity: p-values adjusted for the family of tests that they stand in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from runtime.analysis.grid import Floats


@dataclass(frozen=True, slots=True)
class Adjusted:
    """Adjusted p-values in the order given, with the size of the family to be printed with them.

    A test that was not estimable has None. It is counted in ``family`` only when the caller says
    that the family was larger.
    """

    p: tuple[float | None, ...]
    family: int
    method: str


def holm(p: Sequence[float | None], family: int | None = None) -> Adjusted:
    """Adjust for the chance of any false rejection in the family: for few declared tests.

    The i-th smallest of m becomes the largest so far of (m - i + 1) p (Holm 1979, Scandinavian
    Journal of Statistics 6, 65-70); valid under any dependence. ``family`` is m where tests that
    are not given belong to it; it defaults to the number of p-values.
    """
    known, size = _known(p, family)
    order = np.argsort(known, kind="stable")
    scaled = (size - np.arange(len(known))) * known[order]
    return _placed(p, order, np.maximum.accumulate(scaled), size, "Holm")


def benjamini_hochberg(p: Sequence[float | None], family: int | None = None) -> Adjusted:
    """Return q-values that bound the expected share of false rejections: for exploration.

    The i-th smallest of m becomes the smallest from there on of m p / i (Benjamini and Hochberg
    1995, Journal of the Royal Statistical Society B 57, 289-300); valid for independent or
    positively dependent tests (Benjamini and Yekutieli 2001, Annals of Statistics 29, 1165-1188).
    """
    known, size = _known(p, family)
    order = np.argsort(known, kind="stable")
    scaled = size * known[order] / np.arange(1, len(known) + 1)
    smallest = np.minimum.accumulate(scaled[::-1])[::-1]
    return _placed(p, order, smallest, size, "Benjamini-Hochberg")


def _known(p: Sequence[float | None], family: int | None) -> tuple[Floats, int]:
    known = np.asarray([each for each in p if each is not None], dtype=np.float64)
    if not ((known >= 0.0) & (known <= 1.0)).all():
        raise ValueError("a p-value lies outside 0 to 1")
    size = len(known) if family is None else family
    if size < len(known):
        raise ValueError(f"a family of {size} cannot hold {len(known)} tests")
    return known, size


def _placed(
    p: Sequence[float | None],
    order: np.ndarray[tuple[int], np.dtype[np.intp]],
    adjusted: Floats,
    size: int,
    method: str,
) -> Adjusted:
    back = np.empty(len(order))
    back[order] = np.minimum(adjusted, 1.0)
    rest = iter(back.tolist())
    return Adjusted(tuple(None if each is None else next(rest) for each in p), size, method)
