"""Scores of regions that are open in few cells: each open cell is compared with the cells of its stratum, unsorted."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse as sp

from chromatell.metrics.ranking import finite

_REGIONS = 4096  # at a time
_VALUES = 1 << 16  # compared at a time: they stay in the cache
_WORTH = 6.0  # comparisons that cost as much as sorting one value


@dataclass(frozen=True)
class MatchedPairs:
    """Pairs of an open and a closed cell of one stratum, in each region: listed once, for any number of scores.

    Attributes
    ----------
    opened, closed
        int32 (pairs,): places in the flattened (cells, regions).
    weight
        float32 (pairs,); they sum to 1: all regions with a pair weigh alike, strata as in Mantel and Haenszel.
    """

    opened: np.ndarray
    closed: np.ndarray
    weight: np.ndarray

    @classmethod
    def fit(cls, y: sp.csc_matrix, strata: np.ndarray, most: int) -> MatchedPairs | None:
        """Return the pairs of labels (cells, regions), sparse; None where there are more than `most`.

        `strata`, int (cells,): the stratum of each cell.
        """
        order = np.argsort(strata, kind="stable")
        truth = np.asarray(y.toarray()[order] != 0)
        starts = np.append(np.flatnonzero(np.diff(strata[order], prepend=-1)), len(order))
        n_open = np.add.reduceat(truth, starts[:-1], axis=0, dtype=np.int64) if len(order) else np.zeros((0, 0), int)
        n_closed = np.diff(starts)[:, None] - n_open
        if not 0 < (n_open * n_closed).sum() <= most:
            return None
        m = truth.shape[1]
        share = np.where(n_open * n_closed > 0, 1.0 / np.maximum(n_open + n_closed, 1), 0.0)  # the weight of one pair
        total = (share * n_open * n_closed).sum(axis=0)
        share /= np.where(total > 0, total, 1.0) * (total > 0).sum()
        opened, closed, weight = [], [], []
        for s, (a, b) in enumerate(zip(starts[:-1], starts[1:], strict=True)):
            part, cells = truth[a:b], order[a:b]
            region, high, low = np.nonzero(part.T[:, :, None] & ~part.T[:, None, :])
            opened.append(cells[high] * m + region)
            closed.append(cells[low] * m + region)
            weight.append(share[s, region])
        return cls(*(np.concatenate(x).astype(t) for x, t in ((opened, "i4"), (closed, "i4"), (weight, "f4"))))

    def auroc(self, score: np.ndarray) -> float:
        """Return the mean AUROC over regions, as ``region_auroc(y, score, strata, by_size=True).mean``."""
        flat = np.ascontiguousarray(score).ravel()
        high, low = flat[self.opened], flat[self.closed]
        won = (high > low).astype(np.float32)
        won += np.float32(0.5) * (high == low)
        return float(np.einsum("p,p->", won, self.weight, dtype=np.float64))


def few_open(y: Any, cells: np.ndarray, starts: np.ndarray, regions: Any) -> sp.csr_matrix | None:
    """Return the labels of these cells as CSR where so few are open that comparing is faster than sorting, else None.

    Parameters
    ----------
    y
        Labels, (cells, regions); only sparse ones are taken.
    cells, starts
        Places of the cells, sorted by stratum, and where each stratum starts (with the end).
    regions
        Places of the regions, or a slice.
    """
    if not sp.issparse(y) or not cells.size:
        return None
    opened = sp.csr_matrix(y[:, regions], dtype=np.float32)[cells]
    opened.sum_duplicates()
    opened.eliminate_zeros()
    sizes = np.diff(starts)
    work = float((sizes * np.diff(opened.indptr[starts])).sum())
    return opened if work < _WORTH * cells.size * opened.shape[1] else None


def compared_auroc(
    opened: sp.csr_matrix,
    score: np.ndarray,
    cells: np.ndarray,
    starts: np.ndarray,
    regions: np.ndarray,
    left_out: Any,
    *,
    by_size: bool,
    influence: bool,
) -> tuple[np.ndarray, np.ndarray | None]:
    """AUROC of each of some regions, float64 (regions,), and the summed influence of the cells in their sorted order.

    Parameters and result are those of :func:`chromatell.metrics.delong.region_auroc`; `opened` from :func:`few_open`.
    """
    gone = None if left_out is None else sp.csr_matrix(left_out)[:, regions][cells].astype(bool)
    n, m = opened.shape
    member = sp.csr_matrix((np.ones(n), np.arange(n), starts), shape=(starts.size - 1, n))
    stratum = np.repeat(np.arange(starts.size - 1), np.diff(starts))
    mean = np.full(m, np.nan)
    change, alone = np.zeros(n), np.zeros(n)
    for a in range(0, m, _REGIONS):
        cols = slice(a, min(a + _REGIONS, m))
        part = opened[:, cols].tocsr()
        out = None if gone is None else gone[:, cols].tocsr()
        k = (member @ part).toarray()  # (strata, regions)
        n_closed = np.diff(starts)[:, None] - k - (0 if out is None else (member @ out.astype(np.float64)).toarray())
        both = (k > 0) & (n_closed > 0)
        share = np.where(both, k * n_closed / np.maximum(k + n_closed, 1) if by_size else 1.0, 0.0)
        total = share.sum(axis=0)
        held = total > 0
        share /= np.where(held, total, 1.0)
        per_open, per_closed = share / np.maximum(k, 1), share / np.maximum(n_closed, 1)
        entry_region, entry_cell = part.indices, np.repeat(np.arange(n), np.diff(part.indptr))
        won = np.zeros(part.nnz)  # share of the closed cells of its stratum that lie below each open cell
        for s, at, where, higher in _wins(part, out, score, regions[cols], cells, starts, both):
            region = entry_region[at]
            won[at] = higher.sum(axis=1) / n_closed[s, region]
            if influence:
                change[where] += (per_closed[s, region] / k[s, region]).astype(np.float32) @ higher
        weight = per_open[stratum[entry_cell], entry_region]
        area = np.bincount(entry_region, weight * won, minlength=k.shape[1])
        mean[cols] = np.where(held, area, np.nan)
        if not influence:
            continue
        n_open = np.where(both, k, 0).sum(axis=0)
        lone = n_open == 1
        centre = np.where(lone | ~held, 0.0, area)
        weight = weight * np.sqrt(n_open / np.maximum(n_open - 1, 1))[entry_region]
        change += np.bincount(entry_cell, weight * (won - centre[entry_region]), minlength=n)
        change -= _over_closed(per_closed * centre, part, out, stratum)
        alone += np.bincount(entry_cell, weight * lone[entry_region], minlength=n)
        alone += _over_closed(per_closed * lone, part, out, stratum)
    if not influence:
        return mean, None
    known = np.isfinite(mean)
    return mean, change - (mean[known].mean() if known.any() else 0.0) * alone


def _wins(
    part: sp.csr_matrix,
    out: sp.csr_matrix | None,
    score: np.ndarray,
    regions: np.ndarray,
    cells: np.ndarray,
    starts: np.ndarray,
    both: np.ndarray,
) -> Iterator[tuple[int, np.ndarray, slice, np.ndarray]]:
    """Yield stratum, places of open entries, its cells, float32 (entries, cells): 1 where a closed cell lies below."""
    not_closed = [
        (x, np.repeat(np.arange(x.shape[0]), np.diff(x.indptr))) for x in (part, *(() if out is None else (out,)))
    ]
    for s, (first, last) in enumerate(zip(starts[:-1], starts[1:], strict=True)):
        entries = np.arange(part.indptr[first], part.indptr[last])
        entries = entries[both[s, part.indices[entries]]]
        if not entries.size:
            continue
        values = score[cells[first:last]]
        values = (values if regions.size == values.shape[1] else values[:, regions]).T
        values = finite(np.ascontiguousarray(values, dtype=np.float32))
        closed = np.ones(values.shape, dtype=bool)
        for one, row_of in not_closed:
            here = slice(one.indptr[first], one.indptr[last])
            closed[one.indices[here], row_of[here] - first] = False
        row = not_closed[0][1][entries] - first
        step = max(1, _VALUES // (last - first))
        for a in range(0, entries.size, step):
            at = entries[a : a + step]
            region = part.indices[at]
            own, others = values[region, row[a : a + step], None], values[region]
            higher = (others < own).astype(np.float32)
            higher += np.float32(0.5) * (others == own)
            higher *= closed[region]
            yield s, at, slice(first, last), higher


def _over_closed(weight: np.ndarray, part: sp.csr_matrix, out: sp.csr_matrix | None, stratum: np.ndarray) -> np.ndarray:
    """Return the sum of `weight` (strata, regions) over the regions that are compared and closed in each cell."""
    total = weight.sum(axis=1)[stratum]
    for not_closed in (part, out):
        if not_closed is not None:
            cell = np.repeat(np.arange(part.shape[0]), np.diff(not_closed.indptr))
            total -= np.bincount(cell, weight[stratum[cell], not_closed.indices], minlength=part.shape[0])
    return total
