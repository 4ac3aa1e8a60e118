"""A block of regions whose cells are sorted once, stratum by stratum: AUROC, average precision and their influence."""

from __future__ import annotations

import numpy as np

from chromatell.metrics._sorting import ordered_bits


class RankedRegions:
    """Regions whose cells are sorted by score within each stratum.

    Few cells are open: all is computed of them and of the runs of equal scores in which they stand, between which what
    closed cells have is one number.

    Places are those in the flattened (regions, cells), sorted; a segment is a stratum of a region. Each segment starts
    with a run of the pairs that are left out, mostly empty.

    Parameters
    ----------
    labels, values
        bool and float32 (m, n): regions x cells, the cells sorted by stratum.
    starts
        Where each stratum starts, with the end.
    left_out
        bool (m, n), pairs that are not compared; none is open.

    Attributes
    ----------
    n_open, n_closed
        int64 (m, strata).
    both
        bool (m, strata): segments that hold both classes.
    area
        float64 (m, strata): AUROC; 0 where a class is absent.
    """

    def __init__(
        self, labels: np.ndarray, values: np.ndarray, starts: np.ndarray, left_out: np.ndarray | None = None
    ) -> None:
        m, n = labels.shape
        self._labels, self._starts, self._left_out = labels, starts, left_out
        sizes = np.diff(starts)
        self.n_open = np.add.reduceat(labels, starts[:-1], axis=1, dtype=np.int64)
        n_out = np.zeros_like(self.n_open)
        bits = ordered_bits(values)
        if left_out is not None:  # below all others, whose ranks are then too high by their number
            bits[left_out] = 0
            n_out = np.add.reduceat(left_out, starts[:-1], axis=1, dtype=np.int64)
        self.n_closed = sizes - self.n_open - n_out
        self.both = (self.n_open > 0) & (self.n_closed > 0)
        self._opened, first, end, hits = self._sorted(bits)

        k = self.n_open.ravel()
        start = (np.arange(m)[:, None] * n + starts[:-1]).ravel()
        segment = np.repeat(np.arange(k.size), k)
        before = np.cumsum(hits) - hits  # open ones before each run
        of_run = segment[before]
        at = np.searchsorted(of_run, np.arange(k.size))  # a segment's first run
        self._segment = np.insert(of_run, at, np.arange(k.size))  # of each run
        self._first, self._end = np.insert(first, at, start), np.insert(end, at, start + n_out.ravel())
        hits = np.insert(hits, at, 0)
        self._upto = np.cumsum(hits) - (np.cumsum(k) - k)[self._segment]  # open ones of the segment up to a run's end
        self._middle = self._upto - hits / 2  # open ones below, ties by half
        self._run = np.repeat(np.arange(hits.size), hits)  # of each open one
        self._of, self._n_out = segment, n_out.ravel()
        self._at_start = at + np.arange(k.size)  # the run of what is left out
        rank = (self._first + self._end) / 2 - (start + self._n_out)[self._segment]
        won = (rank - self._middle)[self._run] / np.maximum(self.n_closed, 1).ravel()[segment]
        self._won = won  # share of the closed cells below
        area = np.bincount(segment, won, minlength=k.size).reshape(self.n_open.shape)
        self.area = np.where(self.both, area / np.maximum(self.n_open, 1), 0.0)

    def _sorted(self, bits: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Sort; return the places of the open cells, and of the runs that hold one: start, end, how many open ones."""
        n = bits.shape[1]
        key = bits.astype(np.uint64)
        key <<= np.uint64(32)
        key |= np.arange(n, dtype=np.uint64) << np.uint64(1)
        key |= self._labels.view(np.uint8)
        for a, b in zip(self._starts[:-1], self._starts[1:], strict=True):
            key[:, a:b].sort(axis=1)  # value, place and label as one number: several times faster than argsort
        flat = key.ravel()
        self._order = ((flat & np.uint64(0xFFFFFFFF)) >> np.uint64(1)).view(np.int64)  # the cell at each place
        opened = np.flatnonzero((flat & np.uint64(1)).astype(bool))
        flat >>= np.uint64(32)
        new = np.ones(key.shape, dtype=bool)
        np.not_equal(flat[1:], flat[:-1], out=new.ravel()[1:])
        new[:, self._starts[:-1]] = True
        if new.all():
            return opened, opened, opened + 1, np.ones(opened.size, dtype=np.int64)
        first = np.append(np.flatnonzero(new), flat.size)
        run = np.searchsorted(first, opened, side="right") - 1
        at = np.flatnonzero(np.diff(run, prepend=-1))
        return opened, first[run[at]], first[run[at] + 1], np.diff(at, append=run.size)

    def _placed(self, tied: np.ndarray, after: np.ndarray, opened: np.ndarray) -> np.ndarray:
        """Return float64 (m * n,), sorted, from what closed cells have within each run and after it, and open ones."""
        values = np.stack([tied, after], axis=1)
        values[self._at_start, 0] = 0.0
        bounds = np.append(np.stack([self._first, self._end], axis=1), self._labels.size)
        placed = np.repeat(values.ravel(), np.diff(bounds))
        placed[self._opened] = opened
        return placed

    def _by_cell(self, change: np.ndarray) -> np.ndarray:
        return np.bincount(self._order, change, minlength=self._labels.shape[1])

    def components(self) -> np.ndarray:
        """Return DeLong's structural components, float64 (m, n).

        For an open cell the share of closed ones below it, for a closed cell that of open ones above it; 0 where a
        class is absent.
        """
        m, n = self._labels.shape
        k, both = np.maximum(self.n_open, 1).ravel()[self._segment], self.both.ravel()
        held = both[self._segment]
        value = self._placed((1 - self._middle / k) * held, (1 - self._upto / k) * held, self._won * both[self._of])
        components = np.empty((m, n))
        components.reshape(-1)[self._order + np.repeat(np.arange(m) * n, n)] = value
        return components

    def auroc(self, *, by_size: bool, influence: bool) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return AUROC (m,), the cells' summed influence (n,), and their weight in regions of one open cell (n,).

        Means over strata; NaN where none holds both classes. Parameters as in
        :func:`~chromatell.metrics.delong.region_auroc`.
        """
        k, n_closed, both = self.n_open, self.n_closed, self.both
        share = np.where(both, k * n_closed / np.maximum(k + n_closed, 1) if by_size else 1.0, 0.0)
        total = share.sum(axis=1)
        held = total > 0
        share /= np.where(held, total, 1.0)[:, None]
        mean = np.where(held, (share * self.area).sum(axis=1), np.nan)
        if not influence:
            return mean, np.zeros(0), np.zeros(0)
        n_open = np.where(both, k, 0).sum(axis=1)
        lone = n_open == 1
        centre = np.repeat(np.where(lone | ~held, 0.0, mean), k.shape[1])
        of_open = share / np.maximum(k, 1) * np.sqrt(n_open / np.maximum(n_open - 1, 1))[:, None]
        of_closed = share / np.maximum(n_closed, 1)
        won = (self._won - centre[self._of]) * of_open.ravel()[self._of]
        slope = (of_closed / np.maximum(k, 1)).ravel()[self._segment]
        constant = (of_closed.ravel() * (1 - centre))[self._segment]
        change = self._placed(constant - slope * self._middle, constant - slope * self._upto, won)
        sizes = np.diff(self._starts)
        alone = np.where(self._labels[lone], *(np.repeat(x[lone], sizes, axis=1) for x in (of_open, of_closed)))
        if self._left_out is not None:
            alone[self._left_out[lone]] = 0.0
        return mean, self._by_cell(change), alone.sum(axis=0)

    def ap(self, *, influence: bool) -> tuple[np.ndarray, np.ndarray]:
        """Return average precision (m,), NaN where a class is absent, and the cells' summed influence; no strata."""
        row, k, both = self._of, self.n_open.ravel(), self.both.ravel()
        end = (np.arange(k.size) + 1) * self._labels.shape[1]
        above = end[row] - self._first[self._run]  # cells at or above
        upto, hits = self._upto[self._run], 2 * (self._upto - self._middle)[self._run]
        precision = (k[row] - (upto - hits)) / above
        ap = np.bincount(row, precision, minlength=k.size) / np.maximum(k, 1)
        if not influence:
            return np.where(both, ap, np.nan), np.zeros(0)
        unit = np.where(both, np.sqrt(k / np.maximum(k - 1, 1)) / np.maximum(k, 1), 0.0)
        base = np.cumsum(k) - k
        gain, loss = (  # of the open ones of a region up to each run's end
            (total[self._upto + base[self._segment]] - total[base][self._segment])
            for total in (np.concatenate([[0.0], np.cumsum(x)]) for x in (1 / above, precision / above))
        )
        opened = (precision - ap[row] + gain[self._run] - loss[self._run]) * unit[row]
        change = -loss * unit[self._segment]
        return np.where(both, ap, np.nan), self._by_cell(self._placed(change, change, opened))
