"""The CR2 sandwich: regression whose errors go together in clusters, for few clusters."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from runtime.analysis.grid import Floats
from runtime.analysis.intervals import Spread

METHOD = "CR2 clusters, Satterthwaite t"


@dataclass(frozen=True, slots=True)
class Term:
    """One coefficient with its spread; both None, with the reason in ``spread``, if unknown."""

    name: str
    estimate: float | None
    spread: Spread


def cluster_regression(
    values: ArrayLike, moderators: ArrayLike, names: Sequence[str], clusters: Sequence[Hashable]
) -> tuple[Term, ...]:
    """Regress values (one per language) on an intercept and moderators, by least squares.

    Languages of one family are no independent witnesses. The residuals of each cluster g are
    inflated by (I - H_gg)^(-1/2), which makes the variance unbiased when all errors are independent
    and equal, and the degrees of freedom are those of Satterthwaite under that same assumption
    (Bell and McCaffrey 2002, Survey Methodology 28, 169-181; Pustejovsky and Tipton 2018, Journal
    of Business and Economic Statistics 36, 672-683). Few or unequal clusters leave very few: below
    four, p-values are not to be trusted (Tipton 2015, Psychological Methods 20, 375-393).
    """
    y = np.asarray(values, dtype=np.float64)
    columns = np.asarray(moderators, dtype=np.float64).reshape(len(y), len(names))
    labels = ("intercept", *names)
    known = ~(np.isnan(y) | np.isnan(columns).any(axis=1))
    y, columns = y[known], columns[known]
    x = np.column_stack([np.ones(len(y)), columns])
    groups: dict[Hashable, list[int]] = {}
    for row, cluster in enumerate(c for c, k in zip(clusters, known, strict=True) if k):
        groups.setdefault(cluster, []).append(row)
    reason = _refusal(x, len(groups))
    if reason:
        return tuple(Term(name, None, Spread(None, None, METHOD, reason)) for name in labels)
    q, r = np.linalg.qr(x)
    bread = np.linalg.solve(r, q.T)  # coefficient x row: (X'X)^-1 X'
    b = bread @ y
    residual, rest = y - x @ b, np.eye(len(y)) - q @ q.T
    terms = []
    adjusted = [(rows, _inverse_root(rest[np.ix_(rows, rows)])) for rows in groups.values()]
    for i, name in enumerate(labels):
        # What the adjusted residuals of each cluster add to the coefficient, as weights on y.
        pulls = [bread[i, rows] @ a for rows, a in adjusted]
        sums = np.asarray(
            [pull @ residual[rows] for pull, (rows, _) in zip(pulls, adjusted, strict=True)]
        )
        p = np.asarray([pull @ rest[rows] for pull, (rows, _) in zip(pulls, adjusted, strict=True)])
        gram = p @ p.T
        top = float(np.trace(gram))
        if top <= 1e-12 * float(bread[i] @ bread[i]):
            spread = Spread(None, None, METHOD, f"one cluster alone decides {name}")
        else:
            spread = Spread(float(sums @ sums), top**2 / float((gram**2).sum()), METHOD)
        terms.append(Term(name, float(b[i]), spread))
    return tuple(terms)


def _refusal(x: Floats, clusters: int) -> str:
    if clusters < 2:
        return "one cluster says nothing about new clusters" if clusters else "there are no values"
    norms = np.linalg.norm(x, axis=0)
    if (norms == 0.0).any() or np.linalg.matrix_rank(x / norms, tol=1e-9) < x.shape[1]:
        return "the moderators are collinear"
    if len(x) <= x.shape[1]:
        return f"{len(x)} values cannot carry {x.shape[1]} coefficients"
    return ""


def _inverse_root(block: Floats) -> Floats:
    """Return the symmetric inverse root, zero where the design has taken all of the residual."""
    values, vectors = np.linalg.eigh(block)
    scale = np.where(values > 1e-9, 1.0 / np.sqrt(np.where(values > 1e-9, values, 1.0)), 0.0)
    return np.asarray((vectors * scale) @ vectors.T)
