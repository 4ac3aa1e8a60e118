"""Neighbours of cells: the one search, what is kept of it for the next option, and sums over them."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import Any, Generic, Protocol, TypeVar

import numpy as np
import scipy.sparse as sp

from chromatell.data.cells import row_blocks

_DISTANCES = 1 << 18  # distances of a block: 2 MB, which stay in the cache
_FEWEST_ROWS = 32  # of a block: the product with fewer reads the space too often
_KEPT = 32_000_000  # bytes of arrays that are kept for the next option
_KEPT_NEAR = 96_000_000  # of neighbours, for other numbers of them
_KEPT_SUMS = 110_000_000  # of sums over them, from which the next one goes on; a larger one is not kept
_FEWEST = 3  # of which so many are kept however large they are
_IN_CACHE = 1 << 16  # bytes of the bits of so many queries: a sum that is begun holds some twenty of these
_PACKED = 1 << 24  # cells x regions that are packed at a time
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


class Packed:
    """Which regions are open in each cell, a bit each.

    Parameters
    ----------
    shape
        Cells and regions.
    read
        Returns some of the cells, bool (cells, regions).
    """

    def __init__(self, shape: tuple[int, int], read: Callable[[slice], np.ndarray]) -> None:
        self.shape = shape
        self.bits = np.zeros((shape[0], -(-shape[1] // 64)), dtype=np.uint64)
        for rows in row_blocks(shape[0], max(1, _PACKED // max(shape[1], 1))):
            found = np.packbits(read(rows), axis=1)
            self.bits.view(np.uint8)[rows, : found.shape[1]] = found

    @classmethod
    def of(cls, truth: sp.csr_matrix) -> Packed:
        """Return it of a matrix that is not 0 where a region is open."""
        return cls(truth.shape, lambda rows: truth[rows].toarray() != 0)

    def unpacked(self, bits: np.ndarray) -> np.ndarray:
        """Return bits of some cells, uint8 (cells, regions)."""
        return np.unpackbits(bits.view(np.uint8), axis=1, count=self.shape[1])

    def columns(self, cols: np.ndarray) -> Packed:
        """Return some of the regions."""
        return Packed((self.shape[0], cols.size), lambda rows: self.unpacked(self.bits[rows])[:, cols])


class LastColumns:
    """Some of the regions; those that were asked for last are kept, since every option and block asks for the same."""

    def __init__(self) -> None:
        self._last: tuple[Packed, np.ndarray, Packed] | None = None

    def __call__(self, truth: Packed, cols: np.ndarray) -> Packed:
        """Return some regions of `truth`."""
        if self._last is None or self._last[0] is not truth or not np.array_equal(self._last[1], cols):
            self._last = truth, cols, truth.columns(cols)
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
        self._truth: Packed | None = None
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

    def forget(self) -> None:
        """Let the sum go."""
        self._truth = self._total = None

    def total(self, k: int, truth: Packed) -> tuple[np.ndarray, int]:
        """Return the sum of `truth` over the `k` nearest, and how many there are; not to be changed.

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
        truth: Packed,
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
            (among, regions); the same object each time, so that sums go on.
        mean
            float32 (regions,).
        """

        def found() -> Neighbourhood:
            if self._last[0] != name:
                cells = space()
                self._last = name, cells, Searched(cells[self._among])
            _, cells, searched = self._last
            place = np.full(len(cells), -1)
            place[self._among] = np.arange(self._among.size)
            ordered = len(set(ks)) > 1
            return Neighbourhood(nearest(searched, cells[rows], max(ks), place[rows], ordered=ordered), ordered=ordered)

        most = min(max(ks), self._among.size - 1)
        held = self._recent.get((name, rows.tobytes()), found, lambda near: near.holds(most))
        total, k = held.total(ks[0], truth)
        self._summed = [held, *(one for one in self._summed if one is not held)]
        while sum(one.sum_bytes for one in self._summed) > _KEPT_SUMS:
            self._summed.pop().forget()
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
        found = np.column_stack([query, np.ones(len(query)), norm]) @ self._side
        return np.maximum(found, 0, out=found)  # rounding may leave it below; the bits of what is positive are in order


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
        Of rows equally far away that of the lower place is nearer.
    """
    searched = space if isinstance(space, Searched) else Searched(space)
    n = searched.n
    k = min(k, max(n - int((own >= 0).any()), 1))
    # A distance is a float64 of 52 bits; its last ones hold the place, so that one array of whole numbers is sorted.
    last = np.uint64((1 << max((n - 1).bit_length(), 1)) - 1)
    found = np.empty((len(queries), k), dtype=np.uint16 if n <= 1 << 16 else np.int32)
    size = max(_FEWEST_ROWS, _DISTANCES // n)
    for rows in (slice(i, i + size) for i in range(0, len(queries), size)):
        distance = searched.distances(queries[rows])
        itself = np.flatnonzero(own[rows] >= 0)
        distance[itself, own[rows][itself]] = np.inf
        key = _candidates(distance, k, last)
        key.partition(k - 1, axis=1)
        near = key[:, :k]
        found[rows] = (np.sort(near, axis=1) if ordered else near) & last
    return found


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


def neighbour_sum(near: np.ndarray, truth: Packed) -> np.ndarray:
    """Return in how many neighbours of each query each region is open, uint16 (queries, regions).

    `near`, int (queries, k), are places of the neighbours among the cells, at most 65,535 each. Bits are added as an
    adder does, 64 regions in one operation: three of the same power of two leave one, and one of the next power.
    """
    total = np.empty((len(near), truth.shape[1]), dtype=np.uint16)
    counted = np.min_scalar_type(near.shape[1])
    for rows in row_blocks(len(near), max(16, _IN_CACHE // max(truth.bits[:1].nbytes, 1))):
        powers: list[list[np.ndarray]] = []  # one or two of each power
        for places in near[rows].T:
            carry = truth.bits.take(places, axis=0)
            for held in powers:
                held.append(carry)
                if len(held) < 3:
                    break
                a, b, c = held
                either = a ^ b
                np.bitwise_and(a, b, out=a)
                np.bitwise_and(either, c, out=b)
                carry = np.bitwise_or(a, b, out=a)
                held[:] = [np.bitwise_xor(either, c, out=c)]
            else:
                powers.append([carry])
        found = np.zeros(total[rows].shape, dtype=counted)
        for power, held in enumerate(powers):
            for bits in held:
                found += np.left_shift(truth.unpacked(bits), power, dtype=counted)
        total[rows] = found
    return total


def neighbour_mean(near: np.ndarray, values: sp.csr_matrix) -> np.ndarray:
    """Return the mean of the rows of `values` over the neighbours of each query, (queries, k), in their order."""
    n, k = near.shape
    starts, weight = np.arange(0, near.size + 1, k), np.full(near.size, 1 / k, dtype=values.dtype)
    chosen = sp.csr_matrix((weight, near.ravel().astype(np.int32), starts), shape=(n, values.shape[0]))
    return (chosen @ values).toarray()
