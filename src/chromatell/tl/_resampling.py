"""Differences between groups of cells with intervals: cells or donors resampled, and what the model is unsure of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse as sp
from scipy import stats

from chromatell._progress import progress

PSEUDO = 1e-3  # added to a probability before its logarithm
_BYTES = 64_000_000  # bytes of a block of cells x regions


@dataclass(frozen=True)
class Effects:
    """Effects of each group against the others, float64 (groups, regions).

    Attributes
    ----------
    effect
        log2 of the ratio of `inside` to `outside`, `PSEUDO` added to both.
    error
        Its standard error over the replicates.
    inside, outside
        Mean accessibility at the mean depth.
    df
        Degrees of freedom of the interval: donors - 1, or infinite where cells were resampled.
    """

    effect: np.ndarray
    error: np.ndarray
    inside: np.ndarray
    outside: np.ndarray
    df: float

    def interval(self, level: float) -> tuple[np.ndarray, np.ndarray]:
        """Return the lower and upper bound at a level such as 0.95."""
        half = stats.t.ppf(0.5 + level / 2, self.df) * self.error
        return self.effect - half, self.effect + half


def cell_weights(
    codes: np.ndarray, n_groups: int, samples: np.ndarray | None, n: int, rng: np.random.Generator
) -> np.ndarray:
    """Return how often each replicate draws each cell, float32 (n, cells): within groups, or by whole samples."""
    if samples is not None:
        n_samples = int(samples.max()) + 1
        drawn = rng.multinomial(n_samples, np.full(n_samples, 1 / n_samples), size=n)
        return np.where(samples >= 0, drawn[:, samples], 0).astype(np.float32)
    out = np.zeros((n, codes.size), dtype=np.float32)
    for g in range(n_groups):
        cells = np.flatnonzero(codes == g)
        out[:, cells] = rng.multinomial(cells.size, np.full(cells.size, 1 / cells.size), size=n)
    return out


def group_effects(
    values: Any,
    codes: np.ndarray,
    n_groups: int,
    *,
    weights: np.ndarray,
    reference: int | None,
    n_samples: int | None = None,
    wobble: np.ndarray | None = None,
    picks: np.ndarray | None = None,
) -> Effects:
    """Return the effects of all groups, of columns in blocks.

    Parameters
    ----------
    values
        (cells, regions), dense, sparse or read when used.
    codes
        Group of each cell, -1 for none.
    weights
        From `cell_weights`; of no replicates, for the effects alone.
    reference
        The group that the others are compared with; None compares each with all others.
    n_samples
        Number of donors, None where cells were resampled.
    wobble, picks
        log of each draw's group means over their mean, (draws, groups, regions), and the draw of each replicate.
    """
    order = np.flatnonzero(codes >= 0)
    order = order[np.argsort(codes[order], kind="stable")]
    edges = np.searchsorted(codes[order], np.arange(n_groups + 1))
    every = np.concatenate([np.ones((1, codes.size), dtype=np.float32), weights])[:, order]  # the data are the first
    n_regions = values.shape[1]
    total, blocks = np.zeros((every.shape[0], n_groups)), []
    step = max(1, min(n_regions, _BYTES // (4 * max(order.size, 1)), _BYTES // (8 * every.shape[0] * n_groups)))
    starts = range(0, n_regions, step)
    with progress("Resampling", 2 * len(starts), "blocks") as advance:
        for start in starts:  # the depth of each replicate's groups, over all regions
            block = _block(values, order, slice(start, start + step))
            rows = np.asarray(block.sum(axis=1), dtype=np.float64).ravel()
            total += _sums(every, rows[:, None], edges)[:, :, 0]
            advance(1)
        depth = total[0].sum() / order.size / n_regions
        for start in starts:
            cols = slice(start, min(start + step, n_regions))
            sums = _sums(every, _block(values, order, cols), edges)
            if wobble is not None and picks is not None:
                sums[1:] *= np.exp(wobble[picks][:, :, cols])
            blocks.append(_compare(sums, total, depth * n_regions, reference))
            advance(1)
    effect, error, inside, outside = (np.concatenate(parts, axis=1) for parts in zip(*blocks, strict=True))
    if n_samples is not None:
        error = error * np.sqrt(n_samples / (n_samples - 1))
    return Effects(effect, error, inside, outside, np.inf if n_samples is None else n_samples - 1)


def _block(values: Any, order: np.ndarray, cols: slice) -> Any:
    if sp.issparse(values):
        return sp.csr_matrix(values[:, cols])[order]
    return np.asarray(values[:, cols], dtype=np.float32)[order]


def _sums(weights: np.ndarray, block: Any, edges: np.ndarray) -> np.ndarray:
    """Return the weighted sum of each group's cells, (replicates, groups, columns); rows are sorted by group."""
    parts = [weights[:, a:b] @ block[a:b] for a, b in zip(edges[:-1], edges[1:], strict=True)]
    return np.stack([np.asarray(part, dtype=np.float64) for part in parts], axis=1)


def _compare(
    sums: np.ndarray, total: np.ndarray, per_cell: float, reference: int | None
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return effect, standard error, and means inside and outside at the mean depth, each (groups, columns)."""
    with np.errstate(divide="ignore", invalid="ignore"):
        inside = sums / total[:, :, None] * per_cell
        if reference is None:
            outside = (sums.sum(axis=1, keepdims=True) - sums) / (total.sum(axis=1, keepdims=True) - total)[:, :, None]
            outside = outside * per_cell
        else:
            outside = np.broadcast_to(inside[:, [reference]], inside.shape)
        effect = np.log2((inside + PSEUDO) / (outside + PSEUDO))
    finite = np.isfinite(effect[1:])  # a replicate may hold no cell of a group
    n = finite.sum(axis=0)
    replicates = np.where(finite, effect[1:], 0.0)
    mean = replicates.sum(axis=0) / np.maximum(n, 1)
    spread = np.where(finite, (replicates - mean) ** 2, 0.0).sum(axis=0) / np.maximum(n - 1, 1)
    return effect[0], np.where(n > 1, np.sqrt(spread), np.nan), inside[0], outside[0]
