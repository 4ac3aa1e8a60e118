"""Targets averaged over neighbours in the training cells: less noise where ATAC is sparse."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
from sklearn.neighbors import NearestNeighbors
from sklearn.utils.extmath import randomized_svd

_EXACT_LIMIT = 50_000  # above this, neighbours are approximate


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


def lsi(targets: sp.csr_matrix, n_components: int, seed: int) -> np.ndarray:
    """Return the LSI embedding of cells, float32 (cells, n_components): log TF-IDF, SVD, unit length.

    The first component, which follows depth, is dropped. Cells with no open region lie at the origin (Cusanovich et al.
    2018; log variant as in Signac).
    """
    total = np.asarray(targets.sum(axis=1)).ravel()
    open_in = np.asarray((targets > 0).sum(axis=0)).ravel()
    idf = np.log1p(targets.shape[0] / (open_in + 1.0))
    x = sp.diags(1e4 / np.maximum(total, 1)) @ targets @ sp.diags(idf)
    x.data = np.log1p(x.data)
    k = min(n_components + 1, min(x.shape) - 1)
    u, s, _ = randomized_svd(x.astype(np.float32), k, n_iter=4, random_state=seed)
    z = (u * s)[:, 1:]
    z = z / np.maximum(np.linalg.norm(z, axis=1, keepdims=True), 1e-6)
    z[total == 0] = 0  # rounding leaves a direction there
    return z.astype(np.float32)


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
        both are
        known for training cells, and nothing of a validation or test cell is read.
    """
    scale = np.sqrt((scores**2).sum(axis=1).mean())
    parts = [scores / max(float(scale), 1e-6)]
    if space == "joint":
        parts.append(lsi(targets, 30, seed))
    return Smoothing(neighbor_graph(np.hstack(parts).astype(np.float32), k, seed), mix)
