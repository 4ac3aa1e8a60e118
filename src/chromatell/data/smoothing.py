"""Targets averaged over neighbours in the training cells: less noise where ATAC is sparse."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
from sklearn.neighbors import NearestNeighbors

from chromatell.data.lsi import Lsi

_EXACT_LIMIT = 50_000  # above this, neighbours are approximate
_LSI = 30  # components of ATAC in which neighbours are found


@dataclass(frozen=True)
class Smoothing:
    """``(1 - mix) * own target + mix * neighbours' mean``.

    Attributes
    ----------
    neighbors
        float32 CSR (cells, cells): rows sum to one.
    """

    neighbors: sp.csr_matrix
    mix: float

    def size(self, targets: sp.csr_matrix) -> int:
        """Return how many bytes the smoothed targets of all cells take at most."""
        return int((self.neighbors != 0).astype(np.int64).dot(np.diff(targets.indptr)).sum()) * 8

    def __call__(self, targets: sp.csr_matrix, rows: np.ndarray) -> sp.csr_matrix:
        """Return the smoothed targets of some cells, CSR (len(rows), regions)."""
        own = targets[rows] * np.float32(1 - self.mix)
        return (own + (self.neighbors[rows] * np.float32(self.mix)) @ targets).tocsr()


def neighbor_graph(space: np.ndarray, k: int, seed: int) -> sp.csr_matrix:
    """Return the mean over the `k` nearest cells (self included) as a CSR operator, float32 (cells, cells)."""
    n = space.shape[0]
    k = min(k, n)
    if n <= _EXACT_LIMIT:
        index = NearestNeighbors(n_neighbors=k, algorithm="brute").fit(space).kneighbors(space, return_distance=False)
    else:
        from pynndescent import NNDescent

        index = NNDescent(space, n_neighbors=k, random_state=seed).neighbor_graph[0]
    data = np.full(index.size, 1 / k, dtype=np.float32)
    return sp.csr_matrix((data, index.ravel(), np.arange(0, index.size + 1, k)), shape=(n, n))


def fit_smoothing(
    scores: np.ndarray, targets: sp.csr_matrix, *, space: str, k: int, mix: float, seed: int
) -> Smoothing:
    """Find neighbours among training cells.

    Parameters
    ----------
    scores
        float32 (cells, pcs): the cells' expression, in principal components.
    targets
        float32 CSR (cells, regions).
    space
        'rna' (expression only) or 'joint' (expression and the cells' own ATAC, each scaled to the same total variance):
        both are known for training cells, and nothing of a validation or test cell is read.
    """
    scale = np.sqrt((scores**2).sum(axis=1).mean())
    parts = [scores / max(float(scale), 1e-6)]
    if space == "joint":
        parts.append(Lsi.fit(targets, _LSI, seed=seed).transform(targets))
    return Smoothing(neighbor_graph(np.hstack(parts).astype(np.float32), k, seed), mix)
