"""Neighbours for many numbers of them: found once, kept for the next option, and summed by the faster product."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import Any

import numpy as np
import scipy.sparse as sp

_DISTANCES = 1_000_000  # distances of a block: 8 MB, and as much for their order
_KEPT = 16_000_000  # bytes of arrays that are kept for the next option
_FEWEST = 3  # of which so many are kept however large they are
_DENSE = 30  # from a share of one in so many of the cells on, the product with dense weights is faster
_QUERIES = 64  # rows of dense weights at a time


class Recent:
    """The arrays that were made last, three or more up to a number of bytes; a worker gets none of them."""

    def __init__(self, most: int = _KEPT) -> None:
        self._most = most
        self._held: dict[Hashable, np.ndarray] = {}

    def get(self, key: Hashable, make: Callable[[], np.ndarray]) -> np.ndarray:
        """Return what is held under a key, or make and hold it; what was asked for longest ago is let go."""
        value = self._held.pop(key) if key in self._held else make()
        self._held[key] = value
        while len(self._held) > _FEWEST and sum(v.nbytes for v in self._held.values()) > self._most:
            del self._held[next(iter(self._held))]
        return value

    def __getstate__(self) -> dict[str, Any]:
        return {"_most": self._most, "_held": {}}


def nearest_nested(space: np.ndarray, queries: np.ndarray, ks: Sequence[int], own: np.ndarray) -> np.ndarray:
    """Return neighbours of each query, of which the first `k` are the `k` nearest, in any order, for each k of `ks`.

    Parameters
    ----------
    space, queries, own
        As in :func:`~chromatell.models.baselines.protocol.nearest`.
    ks
        Numbers of neighbours, ascending; each at most those that there are.

    Returns
    -------
    numpy.ndarray, uint16, or int32 where places need it (queries, <= the last k)
        Never the query itself.
    """
    n = min(ks[-1], max(len(space) - int((own >= 0).any()), 1))
    places = sorted({min(k, n) - 1 for k in ks})
    among = space.astype(np.float64)
    norm = np.square(among).sum(axis=1)
    found = np.empty((len(queries), n), dtype=np.uint16 if len(space) <= 1 << 16 else np.int32)
    size = max(1, _DISTANCES // len(among))
    for rows in (slice(i, i + size) for i in range(0, len(queries), size)):
        distance = norm - 2 * (queries[rows].astype(np.float64) @ among.T)  # but for what is the same for all
        itself = np.flatnonzero(own[rows] >= 0)
        distance[itself, own[rows][itself]] = np.inf
        found[rows] = np.argpartition(distance, places, axis=1)[:, :n]
    return found


def neighbour_sum(near: np.ndarray, truth: sp.csr_matrix) -> np.ndarray:
    """Return the sum of the rows of `truth`, CSR (cells, regions), over the neighbours of each query.

    Parameters
    ----------
    near
        int (queries, k): places of the neighbours among the cells.

    Returns
    -------
    numpy.ndarray, of the type of `truth`, (queries, regions)
        Of whole numbers it is exact, by either product.
    """
    n, k = truth.shape[0], near.shape[1]
    if k * _DENSE < n:
        starts = np.arange(0, near.size + 1, k)
        ones = np.ones(near.size, dtype=truth.dtype)
        return (sp.csr_matrix((ones, near.ravel().astype(np.int32), starts), shape=(len(near), n)) @ truth).toarray()
    total = np.empty((len(near), truth.shape[1]), dtype=truth.dtype)
    for rows in (slice(i, i + _QUERIES) for i in range(0, len(near), _QUERIES)):
        weight = np.zeros((len(near[rows]), n), dtype=truth.dtype)
        np.put_along_axis(weight, near[rows].astype(np.int64), 1, axis=1)
        total[rows] = (truth.T @ np.ascontiguousarray(weight.T)).T
    return total
