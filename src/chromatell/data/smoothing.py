"""Targets averaged over neighbours in the training cells: less noise where ATAC is sparse."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse as sp

from chromatell._rows import DiskMatrix, pieces, read
from chromatell.data.lsi import Lsi

_EXACT_LIMIT = 50_000  # above this, neighbours are approximate
_MOST_ENTRIES = 40_000_000  # targets kept in memory for neighbours: 320 MB
_FEWEST = 2000  # cells among which neighbours are sought at least
_DISTANCES = 128  # MB of distances at a time; scikit-learn's own default is a GB
_LSI = 30  # components of ATAC in which neighbours are found


@dataclass(frozen=True)
class Smoothing:
    """``(1 - mix) * own target + mix * neighbours' mean``.

    Attributes
    ----------
    neighbors
        float32 CSR (cells, cells among which neighbours were sought): rows sum to one.
    reference
        float32 CSR, the targets of those.
    """

    neighbors: sp.csr_matrix
    reference: sp.csr_matrix
    mix: float

    def size(self, targets: sp.csr_matrix) -> int:
        """Return how many bytes the smoothed targets of all cells take at most."""
        theirs = (self.neighbors != 0).astype(np.int64).dot(np.diff(self.reference.indptr)).sum()
        return (int(theirs) + (targets.nnz if self.reference is not targets else 0)) * 8

    def __call__(self, targets: sp.csr_matrix, rows: np.ndarray) -> sp.csr_matrix:
        """Return the smoothed targets of some cells, CSR (len(rows), regions)."""
        return self.mixed(targets[rows], rows)

    def mixed(self, own: sp.csr_matrix, rows: np.ndarray) -> sp.csr_matrix:
        """Return the smoothed targets of the cells at `rows`, whose own targets are given."""
        theirs = (self.neighbors[rows] * np.float32(self.mix)) @ self.reference
        return (own * np.float32(1 - self.mix) + theirs).tocsr()


def neighbor_graph(space: np.ndarray, k: int, seed: int, among: np.ndarray | None = None) -> sp.csr_matrix:
    """Return the mean over the `k` nearest cells (self included) as a CSR operator, float32 (cells, cells).

    With `among`, neighbours are sought among the cells at these positions only: float32 (cells, len(among)).
    """
    from sklearn import config_context
    from sklearn.neighbors import NearestNeighbors

    n = space.shape[0]
    if among is not None:
        k = min(k, len(among))
        search = NearestNeighbors(n_neighbors=k, algorithm="brute").fit(space[among])
        with config_context(working_memory=_DISTANCES):
            index = search.kneighbors(space, return_distance=False)
        data = np.full(index.size, 1 / k, dtype=np.float32)
        return sp.csr_matrix((data, index.ravel(), np.arange(0, index.size + 1, k)), shape=(n, len(among)))
    k = min(k, n)
    if n <= _EXACT_LIMIT:
        index = NearestNeighbors(n_neighbors=k, algorithm="brute").fit(space).kneighbors(space, return_distance=False)
    else:
        from pynndescent import NNDescent

        index = NNDescent(space, n_neighbors=k, random_state=seed).neighbor_graph[0]
    data = np.full(index.size, 1 / k, dtype=np.float32)
    return sp.csr_matrix((data, index.ravel(), np.arange(0, index.size + 1, k)), shape=(n, n))


def fit_smoothing(
    scores: np.ndarray, targets: Any, *, space: str, k: int, mix: float, seed: int, n_entries: float = 0
) -> Smoothing:
    """Find neighbours among training cells.

    Parameters
    ----------
    scores
        float32 (cells, pcs): the cells' expression, in principal components.
    targets
        float32 (cells, regions), CSR or on disk.
    n_entries
        Sum of all targets. Above 40 million, neighbours are sought among as many cells, drawn at random, as hold so
        many: their targets are kept in memory, and LSI is fitted on them.
    space
        'rna' (expression only) or 'joint' (expression and the cells' own ATAC, each scaled to the same total variance):
        both are known for training cells, and nothing of a validation or test cell is read.
    """
    scale = np.sqrt((scores**2).sum(axis=1).mean())
    parts = [scores / max(float(scale), 1e-6)]
    among, reference = None, targets
    if n_entries > _MOST_ENTRIES:
        n = scores.shape[0]
        size = min(n, max(_FEWEST, int(n * (_MOST_ENTRIES / n_entries))))
        among = np.sort(np.random.default_rng([seed, 1]).choice(n, size, replace=False))
        reference = targets[among]
    reference = read(reference)
    if space == "joint":
        lsi = Lsi.fit(reference, _LSI, seed=seed)
        on_disk = isinstance(targets, DiskMatrix)
        blocks = pieces(targets) if on_disk else [targets]
        parts.append(np.concatenate([lsi.transform(block) for block in blocks]))
    return Smoothing(neighbor_graph(np.hstack(parts).astype(np.float32), k, seed, among), reference, mix)
