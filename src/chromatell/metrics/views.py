"""What depth cannot buy: strata of equal depth, cell types, pseudobulk profiles. Pure arrays in, arrays out."""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.sparse as sp

from chromatell._validate import ChromatellError
from chromatell.metrics._sorting import ordered_ranks, rank_rows
from chromatell.metrics.delong import RegionScores, region_auroc

WITHIN = 0.03  # share by which the depths of matched cells may differ: depth alone then scores .500 to .505
MIN_PROFILE_CELLS = 20  # a label with fewer cells has no profile
_TOGETHER = 1 << 16  # pseudobulk values compared at a time
PROFILE_METRICS = ("pearson", "spearman", "deviation_pearson", "deviation_spearman")


def depth_strata(depth: np.ndarray, within: float = WITHIN) -> np.ndarray:
    """Strata of cells of about the same depth: the depths of two cells of a stratum differ by at most a few percent.

    Parameters
    ----------
    depth
        (n,) depth of each cell, finite, 0 or more.
    within
        0.03: the deepest cell of a stratum has at most 3% more than the least deep.

    Returns
    -------
    numpy.ndarray, int64 (n,)
        From 0 in the order of depth. A stratum begins at the least depth that the one before does not reach.

    Examples
    --------
    >>> import numpy as np
    >>> depth_strata(np.array([100, 103, 104, 250, 0, 100])).tolist()
    [1, 1, 2, 3, 0, 1]
    """
    depth = np.asarray(depth, dtype=np.float64)
    if not np.isfinite(depth).all() or (depth < 0).any():
        raise ChromatellError(
            "depth holds NaN, infinite or negative values. Name another column, depth_key=..., or None to count over "
            "all regions."
        )
    values, place = np.unique(depth, return_inverse=True)
    starts, at = [], 0
    while at < values.size:
        starts.append(at)
        at = int(np.searchsorted(values, values[at] * (1 + within + 1e-12), side="right"))
    stratum = np.zeros(values.size, dtype=np.int64)
    stratum[starts[1:]] = 1
    return np.cumsum(stratum)[place] if values.size else np.zeros(0, dtype=np.int64)


def type_strata(
    labels: np.ndarray, depth: np.ndarray | None = None, *, min_cells: int = 50, within: float = WITHIN
) -> np.ndarray:
    """Strata of cells of one label, or of one label and about one depth.

    Parameters
    ----------
    labels
        (n,) labels; missing ones are left out.
    depth
        (n,) depth of each cell; None makes one stratum a label.
    min_cells
        Labels with fewer cells are left out.
    within
        As in :func:`depth_strata`.

    Returns
    -------
    numpy.ndarray, int64 (n,)
        From 0, -1 for cells that are left out.

    Examples
    --------
    >>> import numpy as np
    >>> type_strata(np.array(["a", "b", "a"]), min_cells=2).tolist()
    [0, -1, 0]
    """
    code, _, _ = label_codes(labels)
    strata = np.full(code.size, -1, dtype=np.int64)
    used = 0
    for label in range(code.max(initial=-1) + 1):
        cells = np.flatnonzero(code == label)
        if cells.size < min_cells:
            continue
        strata[cells] = used + (0 if depth is None else depth_strata(np.asarray(depth)[cells], within))
        used = int(strata[cells].max()) + 1
    return strata


def label_codes(labels: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return whole numbers for labels (-1 where missing), the sorted names, and the number of cells of each."""
    labels = np.asarray(labels, dtype=object)
    missing = np.array([v is None or v != v for v in labels], dtype=bool)  # NaN differs from itself
    names, inverse, count = np.unique(labels[~missing].astype(str), return_inverse=True, return_counts=True)
    code = np.full(labels.size, -1, dtype=np.int64)
    code[~missing] = inverse
    return code, names, count


def frequent_codes(labels: np.ndarray) -> tuple[np.ndarray, int]:
    """Return whole numbers for the labels that at least 20 cells have, -1 for other cells, and how many labels."""
    code, _, count = label_codes(labels)
    enough = np.flatnonzero(count >= MIN_PROFILE_CELLS)
    renamed = np.full(count.size + 1, -1)  # the last entry serves cells without a label, whose code is -1
    renamed[enough] = np.arange(enough.size)
    return renamed[code], enough.size


def most_open(y: Any, top: int | None) -> np.ndarray:
    """Return the places of the `top` regions that are open in most cells, ascending; all where `top` is None.

    Examples
    --------
    >>> import numpy as np
    >>> most_open(np.array([[1, 0, 1], [1, 0, 0]]), 2).tolist()
    [0, 2]
    """
    m = np.shape(y)[1]
    if top is None or top >= m:
        return np.arange(m)
    share = np.asarray((y != 0).sum(axis=0)).ravel()
    return np.sort(np.argsort(-share, kind="stable")[:top])


def depth_matched_auroc(
    y: Any,
    score: np.ndarray,
    depth: np.ndarray,
    *,
    within: float = WITHIN,
    top: int | None = 2000,
    influence: bool = True,
) -> RegionScores:
    """AUROC of each region over pairs of cells of about the same depth, so that knowing a cell's depth buys nothing.

    Parameters
    ----------
    y
        Labels, (cells, regions), dense or scipy sparse.
    score
        float32 (cells, regions).
    depth
        (cells,) true depth.
    within
        Cells are compared where their depths differ by at most this share, see :func:`depth_strata`.
    top
        Only the regions that are open in most of these cells; None takes all.
    influence
        Compute each cell's influence on the mean.

    Returns
    -------
    RegionScores
        Mean over the strata of depth that hold both classes, in float64 (regions,), each of k open and n closed cells
        weighted by ``k n / (k + n)``; NaN outside `top`.

    Notes
    -----
    Deciles of depth, which are wide where cells are few, let a score that is depth and nothing else reach .53. Within
    3% it reaches .502 for rare regions and .504 where half of the cells are open, since the deeper one of a pair is
    still the open one a little more often.

    Examples
    --------
    >>> import numpy as np
    >>> y = np.array([[0], [1], [0], [1]])
    >>> depth = np.array([1.0, 1.0, 5.0, 5.0])
    >>> s = np.array([[0.1], [0.1], [0.9], [0.9]])  # depth and nothing else
    >>> float(region_auroc(y, s).mean), float(depth_matched_auroc(y, s, depth).mean)
    (0.5, 0.5)
    """
    strata = depth_strata(depth, within)
    return region_auroc(y, score, strata, by_size=True, regions=most_open(y, top), influence=influence)


def explained_by(labels: np.ndarray, values: np.ndarray) -> float:
    """Return the share of the variance of `values` that lies between labels (eta squared), 0 where there is none.

    Examples
    --------
    >>> import numpy as np
    >>> explained_by(np.array(["a", "a", "b", "b"]), np.array([0.0, 0.0, 1.0, 1.0]))
    1.0
    """
    code, _, count = label_codes(labels)
    held = code >= 0
    if not held.any():
        return 0.0
    v, c = np.asarray(values, dtype=np.float64)[held], code[held]
    total = ((v - v.mean()) ** 2).sum()
    means = np.bincount(c, v) / count
    return float((count * (means - v.mean()) ** 2).sum() / total) if total > 0 else 0.0


def pseudobulk(x: Any, code: np.ndarray, weights: np.ndarray, n_types: int) -> np.ndarray:
    """Mean over the cells of each type, in each replicate.

    Parameters
    ----------
    x
        (cells, regions), dense or CSR.
    code
        int (cells,): type of each cell from 0 to ``n_types - 1``; others are left out.
    weights
        (replicates, cells): how often each cell counts.
    n_types
        Number of types.

    Returns
    -------
    numpy.ndarray, float32 (replicates, n_types, regions)
        NaN where a type has no cell in a replicate.

    Examples
    --------
    >>> import numpy as np
    >>> pseudobulk(np.array([[1.0], [0.0], [1.0]]), np.array([0, 0, 1]), np.ones((1, 3)), 2)[0, :, 0].tolist()
    [0.5, 1.0]
    """
    result = np.empty((len(weights), n_types, x.shape[1]), dtype=np.float32)
    for t in range(n_types):
        cells = np.flatnonzero(code == t)
        w = weights[:, cells].astype(np.float32)
        total = w.sum(axis=1, keepdims=True)
        summed = (x[cells].T @ w.T).T if sp.issparse(x) else w @ x[cells]
        result[:, t] = np.divide(summed, total, out=np.full(summed.shape, np.nan, dtype=np.float32), where=total > 0)
    return result


def profile_ranks(truth: np.ndarray) -> np.ndarray:
    """Ranks over regions of pseudobulk profiles and of their deviations, to compare with any number of predictions.

    Parameters
    ----------
    truth
        (replicates, types, regions), from :func:`pseudobulk`.

    Returns
    -------
    numpy.ndarray, float32 (replicates, 2, types, regions)
        Replicates of the profiles, and of their deviations from the mean over types.

    Examples
    --------
    >>> import numpy as np
    >>> profile_ranks(np.array([[[0.0, 1.0, 3.0], [2.0, 1.0, 0.0]]], dtype=np.float32))[0, :, 0].tolist()
    [[0.0, 1.0, 2.0], [0.0, 1.0, 2.0]]
    """
    ranks = np.empty((len(truth), 2, *truth.shape[1:]), dtype=np.float32)
    for i, t in enumerate(truth):
        ranks[i] = rank_rows(t), rank_rows(t - np.nanmean(t, axis=0) if len(t) > 1 else t)
    return ranks


def profile_correlation(
    truth: np.ndarray, predicted: np.ndarray, *, ranks: bool = True, truth_ranks: np.ndarray | None = None
) -> np.ndarray:
    """Correlation over regions of pseudobulk profiles, and of their deviations from the mean over types.

    Parameters
    ----------
    truth, predicted
        (replicates, types, regions), from :func:`pseudobulk`.
    ranks
        Compute Spearman too; NaN otherwise.
    truth_ranks
        From :func:`profile_ranks`, where several predictions are compared with one truth; None computes them.

    Returns
    -------
    numpy.ndarray, float64 (replicates, 4)
        ``pearson``, ``spearman``, ``deviation_pearson``, ``deviation_spearman``, each the mean over types; NaN where
        nothing varies.

    Examples
    --------
    >>> import numpy as np
    >>> t = np.array([[[0.0, 1.0, 3.0], [2.0, 1.0, 0.0]]])
    >>> profile_correlation(t, 2 * t + 1).round(6).tolist()
    [[1.0, 1.0, 1.0, 1.0]]
    """
    n, types, m = truth.shape
    result = np.full((n, len(PROFILE_METRICS)), np.nan)
    step = max(1, _TOGETHER // max(types * m, 1))  # so many replicates stay in the cache
    for part in (slice(a, a + step) for a in range(0, n, step)):
        t, p = truth[part], predicted[part]
        known = (None, None) if truth_ranks is None else (truth_ranks[part, 0], truth_ranks[part, 1])
        result[part, :2] = _correlations(t, p, ranks, 0.0, known[0])
        if types > 1:
            # What is left of equal profiles is rounding, not a deviation.
            most = np.fmax(*(np.fmax.reduce(np.abs(x), axis=(1, 2), initial=0) for x in (t, p)))
            floor = (1e-5 * most.astype(np.float64)[:, None]) ** 2
            result[part, 2:] = _correlations(_deviation(t), _deviation(p), ranks, floor, known[1])
    return result


def _deviation(profiles: np.ndarray) -> np.ndarray:
    """Return what (replicates, types, regions) have over the mean of the types, of which some may be NaN."""
    mean = np.nanmean if np.isnan(profiles[:, :, 0]).any() else np.mean
    return profiles - mean(profiles, axis=1, keepdims=True)


def _correlations(a: np.ndarray, b: np.ndarray, ranks: bool, floor: Any, a_ranks: np.ndarray | None) -> np.ndarray:
    """Pearson and Spearman over the last axis of (replicates, types, regions), the mean over types in which both vary.

    Returns
    -------
    numpy.ndarray, float64 (replicates, 2)
    """
    m = a.shape[2]
    held = np.isfinite(a[:, :, 0]) & np.isfinite(b[:, :, 0])
    x, y = ((v - v.mean(axis=2, keepdims=True, dtype=np.float64).astype(v.dtype)).astype(np.float64) for v in (a, b))
    ab, aa, bb = (np.einsum("rtm,rtm->rt", u, v) for u, v in ((x, y), (x, x), (y, y)))
    held &= (aa > floor * m) & (bb > floor * m)
    correlations = np.full((len(a), 2), np.nan)
    correlations[:, 0] = _mean_correlation(ab, aa, bb, held)
    if ranks:
        order, of_b = ordered_ranks(b.reshape(-1, m))
        of_a = (rank_rows(a.reshape(-1, m)) if a_ranks is None else a_ranks.reshape(-1, m)).astype(np.float64)
        centre = m * ((m - 1) / 2) ** 2
        ab, aa, bb = (
            (np.einsum("im,im->i", u, v) - centre).reshape(held.shape)
            for u, v in ((of_a.reshape(-1)[order], of_b), (of_a, of_a), (of_b, of_b))
        )
        correlations[:, 1] = _mean_correlation(ab, aa, bb, held)
    return correlations


def _mean_correlation(ab: np.ndarray, aa: np.ndarray, bb: np.ndarray, held: np.ndarray) -> np.ndarray:
    """Return the mean over types, those held in which both vary, of (replicates, types); NaN where there is none."""
    varies = held & (aa > 1e-12) & (bb > 1e-12)
    each = np.divide(ab, np.sqrt(np.where(varies, aa * bb, 1.0)), out=np.zeros_like(ab), where=varies)
    n = varies.sum(axis=1)
    return np.where(n > 0, each.sum(axis=1) / np.maximum(n, 1), np.nan)
