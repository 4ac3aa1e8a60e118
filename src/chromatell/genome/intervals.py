"""Sets of intervals on all chromosomes at once: sorted, merged, and asked for many places at a time."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd

from chromatell._keys import CHROM, END, START


class Axis:
    """Chromosomes laid end to end, with a base between them, so that one sorted array holds the places of all.

    Parameters
    ----------
    chroms
        Names of the chromosomes.
    tables
        Intervals, `chrom` and `end`: a chromosome is as long as the furthest of them.

    Examples
    --------
    >>> import pandas as pd
    >>> from chromatell.genome.intervals import Axis
    >>> table = pd.DataFrame({"chrom": ["chr1", "chr2"], "start": [5, 5], "end": [10, 10]})
    >>> start, end = Axis(["chr1", "chr2"], [table]).place(table)
    >>> start.tolist(), end.tolist()
    ([5, 16], [10, 21])
    """

    def __init__(self, chroms: Iterable[str], tables: Iterable[pd.DataFrame]) -> None:
        self.chroms = pd.Index(list(chroms), dtype=object)
        self.length = np.zeros(len(self.chroms), dtype=np.int64)
        for table in tables:
            code = self.codes(table[CHROM])
            np.maximum.at(self.length, code[code >= 0], table[END].to_numpy()[code >= 0])
        self.offset = np.cumsum(self.length + 1) - (self.length + 1)

    def codes(self, chrom: pd.Series) -> np.ndarray:
        """Return the position of each chromosome, int64; -1 where it is another."""
        codes, names = pd.factorize(chrom.astype(object))
        return self.chroms.get_indexer(pd.Index(names, dtype=object))[codes]

    def place(self, table: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
        """Return start and end on the axis, int64, of the intervals whose chromosome is one of its own."""
        code = self.codes(table[CHROM])
        known = code >= 0
        offset = self.offset[code[known]]
        return offset + table[START].to_numpy()[known], offset + table[END].to_numpy()[known]

    def set_of(self, table: pd.DataFrame) -> IntervalSet:
        """Return the bases that the intervals cover."""
        return IntervalSet.of(*self.place(table))

    def whole(self, chroms: Iterable[str]) -> IntervalSet:
        """Return all bases of some chromosomes."""
        code = self.chroms.get_indexer(pd.Index(list(chroms), dtype=object))
        code = code[code >= 0]
        return IntervalSet.of(self.offset[code], self.offset[code] + self.length[code])


@dataclass(frozen=True)
class IntervalSet:
    """Disjoint half-open intervals in ascending order, none of which touches the next.

    Examples
    --------
    >>> import numpy as np
    >>> from chromatell.genome.intervals import IntervalSet
    >>> genes = IntervalSet.of(np.array([0, 5, 40]), np.array([10, 20, 50]))
    >>> genes.start.tolist(), genes.end.tolist()
    ([0, 40], [20, 50])
    >>> genes.covered(np.array([15]), np.array([45])).tolist(), genes.contains(np.array([20, 40])).tolist()
    ([10], [False, True])
    """

    start: np.ndarray
    end: np.ndarray

    @classmethod
    def of(cls, start: np.ndarray, end: np.ndarray) -> IntervalSet:
        """Return the union of intervals in any order; empty ones are left out."""
        keep = end > start
        order = np.argsort(start[keep], kind="stable")
        start, end = start[keep][order], end[keep][order]
        if not start.size:
            return cls(start, end)
        furthest = np.maximum.accumulate(end)
        first = np.concatenate([[True], start[1:] > furthest[:-1]])
        return cls(start[first], furthest[np.append(np.flatnonzero(first)[1:] - 1, start.size - 1)])

    def __len__(self) -> int:
        return self.start.size

    @cached_property
    def _before(self) -> np.ndarray:
        """Bases covered before each interval, and all of them at the end."""
        return np.concatenate([[0], np.cumsum(self.end - self.start)])

    @property
    def n_bases(self) -> int:
        """Bases covered."""
        return int(self._before[-1])

    def _upto(self, at: np.ndarray) -> np.ndarray:
        """Return how many bases below each place are covered."""
        if not len(self):
            return np.zeros(len(at), dtype=np.int64)
        n = np.searchsorted(self.start, at, side="right")  # intervals that begin at or before
        return self._before[n] - np.where(n > 0, np.maximum(self.end[n - 1] - at, 0), 0)

    def covered(self, start: np.ndarray, end: np.ndarray) -> np.ndarray:
        """Return how many bases of each interval are covered, int64."""
        return self._upto(end) - self._upto(start)

    def contains(self, at: np.ndarray) -> np.ndarray:
        """Return whether each base is covered."""
        if not len(self):
            return np.zeros(len(at), dtype=bool)
        n = np.searchsorted(self.start, at, side="right")
        return (n > 0) & (at < self.end[n - 1])

    def union(self, other: IntervalSet) -> IntervalSet:
        """Return the bases of either."""
        return self.of(np.concatenate([self.start, other.start]), np.concatenate([self.end, other.end]))

    def minus(self, other: IntervalSet) -> IntervalSet:
        """Return the bases of this one that the other has not."""
        edges = np.unique(np.concatenate([self.start, self.end, other.start, other.end]))
        keep = self.contains(edges[:-1]) & ~other.contains(edges[:-1])  # a set does not change between two edges
        return self.of(edges[:-1][keep], edges[1:][keep])
