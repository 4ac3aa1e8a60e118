"""Neighbours of cells: the one search, what is kept of it for the next option, and sums over them."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import Any, Generic, Protocol, TypeVar

import numpy as np
import scipy.sparse as sp

_DISTANCES = 1 << 18  # distances of a block: 2 MB, which stay in the cache
_FEWEST_ROWS = 32  # of a block: the product with fewer reads the space too often
_KEPT = 32_000_000  # bytes of arrays that are kept for the next option
_KEPT_NEAR = 96_000_000  # of neighbours, for other numbers of them
_KEPT_SUMS = 110_000_000  # of sums over them, from which the next one goes on; a larger one is not kept
_FEWEST = 3  # of which so many are kept however large they are
_QUERIES = 32  # whose neighbours are summed at a time, from the cells that any of them has near
_PIVOTS, _LOOKED_AT = 16, 64  # queries that others are compared with, by so many neighbours
_SAMPLED, _FEW = 16, 4  # one distance in so many is a sample; a bound is looked for where it is below a fourth of them
NEIGHBOUR_PRIOR = 1.0  # training cells' worth of region mean: no probability is 0


class Sized(Protocol):
    """What says how many bytes it holds, as an array does."""

    @property
    def nbytes(self) -> int: ...  # noqa: D102


T = TypeVar("T", bound=Sized)


class Recent(Generic[T]):
    """What was made last, three things or more up to a number of bytes; a worker gets none of them."""

    def __init__(self, most: int = _KEPT) -> None:
        self._most = most
        self._held: dict[Hashable, T] = {}

    def get(self, key: Hashable, make: Callable[[], T], serves: Callable[[T], bool] = lambda held: True) -> T:
        """Return what is held under a key, if it serves, or make and hold it; the one asked longest ago is let go."""
        held = self._held.pop(key, None)
        value = held if held is not None and serves(held) else make()
        self._held[key] = value
        while len(self._held) > _FEWEST and sum(v.nbytes for v in self._held.values()) > self._most:
            del self._held[next(iter(self._held))]
        return value

    def __getstate__(self) -> dict[str, Any]:
        return {"_most": self._most, "_held": {}}


class LastColumns:
    """Columns of a matrix; those that were asked for last are kept, since every option and block asks for the same."""

    def __init__(self) -> None:
        self._last: tuple[sp.csr_matrix, np.ndarray, sp.csr_matrix] | None = None

    def __call__(self, matrix: sp.csr_matrix, cols: np.ndarray) -> sp.csr_matrix:
        """Return some columns of `matrix`, CSR."""
        if self._last is None or self._last[0] is not matrix or not np.array_equal(self._last[1], cols):
            self._last = matrix, cols, matrix[:, cols]
        return self._last[2]

    def __getstate__(self) -> dict[str, Any]:
        return {"_last": None}


class Neighbourhood:
    """Neighbours of some cells, nearest first, and the sum over the first few, from which the next sum goes on.

    Parameters
    ----------
    near
        int (cells, k): places of the neighbours.
    ordered
        Whether the nearest come first; if not, only the sum over all of them is one over the nearest.
    """

    def __init__(self, near: np.ndarray, *, ordered: bool = True) -> None:
        self._near, self._ordered, self._k = near, ordered, 0
        self._truth: sp.csr_matrix | None = None
        self._total: np.ndarray | None = None

    def holds(self, k: int) -> bool:
        """Return whether the `k` nearest are known."""
        n = self._near.shape[1]
        return n == k or (n > k and self._ordered)

    @property
    def nbytes(self) -> int:
        """Bytes of the neighbours."""
        return self._near.nbytes

    @property
    def sum_bytes(self) -> int:
        """Bytes of the sum that is kept."""
        return 0 if self._total is None else self._total.nbytes

    def clear(self) -> None:
        """Let the sum go."""
        self._truth = self._total = None

    def total(self, k: int, truth: sp.csr_matrix) -> tuple[np.ndarray, int]:
        """Return the sum of `truth`, of whole numbers, over the `k` nearest, and how many there are; not to be changed.

        The neighbours between the last number and this one are added to the last sum, or taken off, where they are
        fewer: sums of whole numbers are exact, so the way to them does not matter.
        """
        k = min(k, self._near.shape[1])
        if self._total is not None and self._truth is truth and abs(k - self._k) < k:
            if k > self._k:
                self._total += neighbour_sum(self._near[:, self._k : k], truth)
            elif k < self._k:
                self._total -= neighbour_sum(self._near[:, k : self._k], truth)
            self._k = k
            return self._total, k
        total = neighbour_sum(self._near[:, :k], truth)
        self._k, self._truth = k, truth
        self._total = total if total.nbytes <= _KEPT_SUMS else None
        return total, k


class NeighbourMeans:
    """Means of open regions over nearest training cells, for any number of neighbours.

    Parameters
    ----------
    among
        Positions of the training cells between which neighbours are sought.
    """

    def __init__(self, among: np.ndarray) -> None:
        self._among = among
        self._recent: Recent[Neighbourhood] = Recent(_KEPT_NEAR)
        self._summed: list[Neighbourhood] = []  # the last ones
        self._last: Any = (None, None, None)  # name of a space, its cells, and those that are searched

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "_summed": [], "_last": (None, None, None)}

    def mean(
        self,
        name: Hashable,
        space: Callable[[], np.ndarray],
        rows: np.ndarray,
        ks: Sequence[int],
        truth: sp.csr_matrix,
        mean: np.ndarray,
    ) -> np.ndarray:
        """Return the mean of `truth` over the nearest, with one cell's worth of the region mean: (rows, regions).

        Parameters
        ----------
        name, space
            What tells a space from others; and what returns it, float32 (cells, d): near is Euclidean distance.
        rows
            Positions of the cells that are predicted; none is its own neighbour.
        ks
            The number of neighbours, and those that will be asked for next: found at once and kept while they are
            recent, the next one costs its sum alone.
        truth
            CSR (among, regions), 1 where open; the same object each time, so that sums go on.
        mean
            float32 (regions,).
        """

        def search() -> Neighbourhood:
            if self._last[0] != name:
                cells = space()
                self._last = name, cells, Searched(cells[self._among])
            _, cells, searched = self._last
            place = np.full(len(cells), -1)
            place[self._among] = np.arange(self._among.size)
            ordered = len(set(ks)) > 1
            return Neighbourhood(nearest(searched, cells[rows], max(ks), place[rows], ordered=ordered), ordered=ordered)

        most = min(max(ks), self._among.size - 1)
        held = self._recent.get((name, rows.tobytes()), search, lambda near: near.holds(most))
        total, k = held.total(ks[0], truth)
        self._summed = [held, *(one for one in self._summed if one is not held)]
        while sum(one.sum_bytes for one in self._summed) > _KEPT_SUMS:
            self._summed.pop().clear()
        share = total + (NEIGHBOUR_PRIOR * mean).astype(np.float32)
        share /= k + NEIGHBOUR_PRIOR
        return share


class Searched:
    """Cells among which the nearest are sought, (n, d), as the other side of one product that gives all distances."""

    def __init__(self, space: np.ndarray) -> None:
        self.n = len(space)
        among = space.astype(np.float64)
        self._side = np.vstack([-2 * among.T, np.square(among).sum(axis=1), np.ones(self.n)])

    def distances(self, queries: np.ndarray) -> np.ndarray:
        """Return squared distances, float64 (queries, n)."""
        query = queries.astype(np.float64)
        norm = np.square(query).sum(axis=1)
        squared = np.column_stack([query, np.ones(len(query)), norm]) @ self._side
        # rounding may leave it below; the bits of what is positive are in order
        return np.maximum(squared, 0, out=squared)


def nearest(
    space: np.ndarray | Searched, queries: np.ndarray, k: int, own: np.ndarray, *, ordered: bool = True
) -> np.ndarray:
    """Return the `k` nearest rows of `space` to each query, near in Euclidean distance; never the query itself.

    Parameters
    ----------
    space, queries
        (n, d), or what was made of it for several calls, and (m, d).
    own
        Place of each query in `space`, -1 for one that is not in it.
    ordered
        Nearest first, so that the first few are the nearest few; else in any order, which takes two thirds of the time.

    Returns
    -------
    numpy.ndarray, uint16, or int32 where places need it (queries, <= k)
        Where rows are equally far away, the one of the lower place is nearer.
    """
    searched = space if isinstance(space, Searched) else Searched(space)
    n = searched.n
    k = min(k, max(n - int((own >= 0).any()), 1))
    # A distance is a float64 of 52 bits; its last ones hold the place, so that one array of whole numbers is sorted.
    last = np.uint64((1 << max((n - 1).bit_length(), 1)) - 1)
    places = np.empty((len(queries), k), dtype=np.uint16 if n <= 1 << 16 else np.int32)
    size = max(_FEWEST_ROWS, _DISTANCES // n)
    for rows in (slice(i, i + size) for i in range(0, len(queries), size)):
        distance = searched.distances(queries[rows])
        itself = np.flatnonzero(own[rows] >= 0)
        distance[itself, own[rows][itself]] = np.inf
        key = _candidates(distance, k, last)
        key.partition(k - 1, axis=1)
        near = key[:, :k]
        places[rows] = (np.sort(near, axis=1) if ordered else near) & last
    return places


def _candidates(distance: np.ndarray, k: int, last: np.uint64) -> np.ndarray:
    """Return what may be among the `k` nearest, uint64 (queries, >= k): leading bits of a distance, then its place.

    Where a few are sought among many, these are the distances below one that a sample of them says is large enough: one
    pass over all of them, in place of a partition. All of them where it was not.
    """
    m, n = distance.shape
    share = k / _SAMPLED
    at = int(share + 4 * np.sqrt(share) + 4)
    sample = distance[:, ::_SAMPLED].copy()
    if _FEW * at < sample.shape[1]:
        sample.partition(at, axis=1)
        bound = (sample[:, at].copy().view(np.uint64) | last).view(np.float64)  # with all that tie with it
        where = np.flatnonzero(distance <= bound[:, None])
        starts = np.searchsorted(where, np.arange(m + 1) * n)
        count = np.diff(starts)
        if count.min() >= k:
            row = np.repeat(np.arange(m), count)
            key = np.full((m, count.max()), np.iinfo(np.uint64).max)
            leading = distance.ravel()[where].view(np.uint64) & ~last
            key[row, np.arange(where.size) - starts[row]] = leading | (where - row * n).astype(np.uint64)
            return key
    key = distance.view(np.uint64)
    key &= ~last
    key |= np.arange(n, dtype=np.uint64)
    return key


def neighbour_sum(near: np.ndarray, truth: sp.csr_matrix, *, mean: bool = False) -> np.ndarray:
    """Return the sum of the rows of `truth`, CSR (cells, regions), over the neighbours of each query.

    Parameters
    ----------
    near
        int (queries, k): places of the neighbours among the cells, at most 65,535.
    truth
        1 where open, uint16 is fastest; with `mean` any values.
    mean
        Return the mean, whose terms are added in the order of the neighbours.

    Returns
    -------
    numpy.ndarray, (queries, regions)
        A sum is exact, uint16; a mean is of the type of `truth`.
    """
    n, k = truth.shape[0], near.shape[1]
    if mean:
        starts, weight = np.arange(0, near.size + 1, k), np.full(near.size, 1 / k, dtype=truth.dtype)
        return (sp.csr_matrix((weight, near.ravel().astype(np.int32), starts), shape=(len(near), n)) @ truth).toarray()
    # Short numbers: the product takes as long as the memory that it goes through.
    counted = truth if truth.dtype == np.uint16 else truth.astype(np.uint16)
    total = np.empty((len(near), truth.shape[1]), dtype=np.uint16)
    order, place = _alike(near, n), np.empty(n, dtype=np.int64)
    for some in (order[i : i + _QUERIES] for i in range(0, len(near), _QUERIES)):
        held = np.zeros(n, dtype=bool)
        held[near[some]] = True
        used = np.flatnonzero(held) if 3 * np.count_nonzero(held) < n else np.arange(n)
        place[used] = np.arange(used.size)
        weight = np.zeros((used.size, some.size), dtype=np.uint16)
        weight[place[near[some].T], np.arange(some.size)] = 1
        total[some] = ((counted if used.size == n else counted[used]).T @ weight).T
    return total


def _alike(near: np.ndarray, n: int) -> np.ndarray:
    """Return an order of the queries in which those stand together that share neighbours with the same few of them."""
    if len(near) <= _QUERIES:
        return np.arange(len(near))
    some = near[:: max(1, len(near) // _PIVOTS), :_LOOKED_AT]
    member = np.zeros((n, len(some)), dtype=np.uint8)
    member[some.T, np.arange(len(some))] = 1
    return np.argsort(member[near[:, :_LOOKED_AT]].sum(axis=1).argmax(axis=1), kind="stable")
