"""Token embeddings to start from: words that occur in translations of each other begin alike.

The tokens of all languages of a parallel row are counted together. In a truncated singular value
decomposition of these counts, tokens that occur in the same rows have like vectors whatever their
language: cross-lingual latent semantic indexing (Dumais et al. 1997), with the counts weighted by
positive pointwise mutual information (Bullinaria and Levy 2007).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import sparse
from scipy.sparse.linalg import svds
from torch import Tensor, nn

from runtime.invalid import DataInvalid
from runtime.pretraining.texts import Texts

Floats = NDArray[np.float64]


def counts(texts: Texts, vocabulary: int) -> Any:
    """Return how often each token occurs in each parallel row, as a sparse (tokens, rows)."""
    tokens, columns = [], []
    number = 0
    for documents in texts.documents.values():
        for rows in documents.values():
            if len(rows) < 2:
                continue
            for row in rows.values():
                inner = texts.inner(row)
                tokens.append(inner)
                columns.append(np.full(len(inner), number))
            number += 1
    if number < 2:
        raise DataInvalid("`initialisation: aligned` needs two rows with a translation")
    found = np.concatenate(tokens), np.concatenate(columns)
    ones = np.ones(len(found[0]))
    return sparse.csr_array((ones, found), shape=(vocabulary, number))


def weighted(matrix: Any, how: str) -> Any:
    """Weight counts: ``log`` is log(1 + n); ``ppmi`` how much oftener than by chance, or 0."""
    if how == "log":
        return matrix.log1p()
    if how != "ppmi":
        raise ValueError(f"not a weighting of counts: {how}")
    found = matrix.tocoo()
    rows, columns = (np.asarray(matrix.sum(axis=axis)).ravel() for axis in (1, 0))
    expected = rows[found.row] * columns[found.col] / found.data.sum()
    values = np.maximum(0.0, np.log(found.data / expected))
    return sparse.csr_array((values, (found.row, found.col)), shape=matrix.shape)


def vectors(matrix: Any, width: int, power: float) -> Floats:
    """Return left singular vectors times a power of their values: (tokens, width) or narrower.

    The start of the iteration is fixed and so are the signs, which a decomposition leaves open:
    the same counts give the same vectors.
    """
    size = min(matrix.shape)
    start = np.random.default_rng(0).standard_normal(size)
    left, values, _ = svds(matrix, k=min(width, size - 1), v0=start, solver="arpack")
    order = np.argsort(-values, kind="stable")
    left, values = left[:, order], values[order]
    left = left * np.sign(left[np.abs(left).argmax(axis=0), np.arange(left.shape[1])])
    found: Floats = left * values**power
    return found


def align(backbone: nn.Module, texts: Texts, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Put decomposed counts in the place of random token embeddings; say how many tokens got some.

    They are scaled to the spread of the random ones. Tokens in no parallel row keep theirs, and so
    do the columns for which there are too few rows.
    """
    table: Tensor = backbone.get_input_embeddings().weight  # type: ignore[operator]
    matrix = weighted(counts(texts, len(table)), str(settings["weighting"]))
    found = vectors(matrix, table.shape[1], float(settings["power"]))
    seen = np.flatnonzero(np.asarray(matrix.sum(axis=1)).ravel() > 0)
    usual = getattr(backbone.config, "initializer_range", None) or float(table.std())
    known = torch.from_numpy(found[seen] * usual / found[seen].std()).to(table.dtype)
    with torch.no_grad():
        table[torch.from_numpy(seen), : found.shape[1]] = known.to(table.device)
    return {"tokens": len(seen), "rows": matrix.shape[1], "columns": found.shape[1]}
