"""Paired intervals: the same resampled cells or regions for every prediction, and what each score does under them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp

from chromatell.metrics._sorting import ordered_bits, sort_rows

N_BINS = 2048
_SHIFT = 14  # 18 leading bits of a float32: 512 steps for each doubling of the score
_MIN_PERCENTILE = 100
_HELD = 1 << 20  # values looked at at a time
_SHARES = (
    "auroc", "ap", "prevalence", "precision", "recall", "f1", "macro_f1", "accuracy", "knn_label", "ece", "brier"
)  # fmt: skip
_CORRELATIONS = ("pearson", "spearman", "deviation_pearson", "deviation_spearman")
_RANGES = {
    **dict.fromkeys(_SHARES, (0.0, 1.0)),
    **dict.fromkeys(_CORRELATIONS, (-1.0, 1.0)),
    "normalised_ap": (-np.inf, 1.0),  # below 0 where it is worse than chance
    "rmse": (0.0, np.inf),
}


def resample(
    n: int,
    n_bootstrap: int,
    *,
    groups: np.ndarray | None = None,
    seed: int | np.random.SeedSequence | np.random.Generator = 0,
) -> np.ndarray:
    """How often each cell, or each region, is drawn in each bootstrap replicate.

    Parameters
    ----------
    n
        Number of cells or regions.
    n_bootstrap
        Number of replicates.
    groups
        (n,) labels such as donors, or windows of a chromosome: whole groups are drawn, since cells of a donor, or
        regions beside each other, are not independent. None draws them singly.
    seed
        Seed of the generator.

    Returns
    -------
    numpy.ndarray, float32 (n_bootstrap, n)

    Notes
    -----
    Efron, Annals of Statistics 7 (1979); for groups the cluster bootstrap of Davison & Hinkley (1997), chapter 3.

    Examples
    --------
    >>> resample(5, 2).sum(axis=1).tolist()
    [5.0, 5.0]
    """
    rng = np.random.default_rng(seed)
    if groups is None:
        units, code = n, np.arange(n)
    else:
        names, code = np.unique(np.asarray(groups).astype(str), return_inverse=True)
        units = names.size
    drawn = rng.multinomial(units, np.full(units, 1 / units), size=n_bootstrap)
    return drawn[:, code].astype(np.float32)


def metric_range(metric: str) -> tuple[float, float]:
    """Least and greatest value that a metric can take; without bounds where it is not known.

    Examples
    --------
    >>> metric_range("spearman"), metric_range("rmse")
    ((-1.0, 1.0), (0.0, inf))
    """
    return _RANGES.get(metric, (-np.inf, np.inf))


def interval(
    point: float, change: np.ndarray, *, level: float = 0.95, within: tuple[float, float] = (-np.inf, np.inf)
) -> tuple[float, float]:
    """Bootstrap interval of a score from its changes under resampling.

    Parameters
    ----------
    point
        The score itself.
    change
        (replicates,) score of each replicate minus the score; NaN are left out.
    level
        Share of replicates inside.
    within
        What the score can be, see `metric_range`: the interval ends there.

    Returns
    -------
    tuple of two floats
        Percentiles from 100 replicates on, else the normal interval with the replicates' standard deviation; NaN
        where there are fewer than 2. Replicates are centred at the score: drawing cells with repeats adds noise to the
        truth a second time, which pulls correlations down and calibration errors up.

    Examples
    --------
    >>> import numpy as np
    >>> low, high = interval(0.5, np.linspace(-0.1, 0.1, 201))
    >>> round(low, 3), round(high, 3)
    (0.405, 0.595)
    >>> interval(0.95, np.linspace(-0.1, 0.1, 201), within=metric_range("ap"))[1]
    1.0
    """
    held = change[np.isfinite(change)]
    if held.size < 2 or not np.isfinite(point):
        return float("nan"), float("nan")
    held = held - held.mean()
    if held.size >= _MIN_PERCENTILE:
        low, high = np.quantile(held, [(1 - level) / 2, (1 + level) / 2])
    else:
        from scipy.stats import norm

        high = norm.ppf((1 + level) / 2) * held.std(ddof=1)
        low = -high
    return float(max(point + low, within[0])), float(min(point + high, within[1]))


def mean_change(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Change of the mean of one value a cell or region (NaN left out) in each replicate: (replicates,)."""
    held = np.isfinite(values)
    if not held.any():
        return np.full(weights.shape[0], np.nan)
    w = weights[:, held].astype(np.float64)
    total = w.sum(axis=1)
    replicate = np.divide(w @ values[held], total, out=np.full(total.shape, np.nan), where=total > 0)
    return replicate - values[held].mean()


def linear_change(influence: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Change of a score in each replicate, to first order, from each unit's influence on it: (replicates,)."""
    return (weights.astype(np.float64) - 1.0) @ influence


@dataclass(frozen=True)
class Histograms:
    """Pairs counted in common bins of the score, in the data and in each replicate.

    Attributes
    ----------
    positive, pairs
        float64 (1 + replicates, bins), open pairs and all pairs, of the data in row 0; bins in ascending order of the
        score.
    mean
        float64 (bins,), mean score of the pairs in a bin.
    """

    positive: np.ndarray
    pairs: np.ndarray
    mean: np.ndarray

    @classmethod
    def fit(
        cls,
        y: sp.csr_matrix,
        score: np.ndarray,
        weights: np.ndarray,
        n_bins: int = N_BINS,
        *,
        left_out: sp.csr_matrix | None = None,
    ) -> Histograms:
        """Bin `score`, float32 (units, m), into bins of about equal mass.

        A unit is a cell or a region: `y` is CSR of the same shape, `weights` (replicates, units) from
        :func:`resample`. Bins follow the leading 18 bits of the score, which makes the look-up a table; scores closer
        than 0.2% may share a bin. Units are taken in blocks, so that memory does not grow with units x bins. Pairs that
        `left_out`, CSR of the same shape, marks are not counted; none of them is open in `y`.
        """
        n, m = score.shape
        step = max(1, _HELD // max(m, n_bins))
        parts = [slice(a, a + step) for a in range(0, n, step)]
        count = np.zeros(1 << (32 - _SHIFT), dtype=np.int64)
        for part in parts:
            prefix = _prefix(score[part])
            count += np.bincount(prefix.ravel(), minlength=count.size)
            if left_out is not None:
                gone = left_out[part].tocoo()
                count -= np.bincount(prefix[gone.row, gone.col], minlength=count.size)
        table = ((np.cumsum(count) - count) * n_bins // max(count.sum(), 1)).astype(np.int64)
        used = np.unique(table[count > 0])
        table = np.searchsorted(used, table).clip(max=used.size - 1)
        positive, pairs = (np.zeros((1 + len(weights), used.size)) for _ in range(2))
        total = np.zeros(used.size)
        for part in parts:
            values, w = score[part], weights[:, part]
            bins = table[prefix if len(parts) == 1 else _prefix(values)]
            total += np.bincount(bins.ravel(), values.ravel(), minlength=used.size)
            every = (np.arange(len(values))[:, None] * used.size + bins).ravel()
            counted = np.bincount(every, minlength=len(values) * used.size).reshape(len(values), -1)
            if left_out is not None:
                gone = left_out[part].tocoo()
                at = bins[gone.row, gone.col]
                total -= np.bincount(at, values[gone.row, gone.col], minlength=used.size)
                counted -= np.bincount(gone.row.astype(np.int64) * used.size + at, minlength=counted.size).reshape(
                    counted.shape
                )
            pairs[0] += counted.sum(axis=0)
            pairs[1:] += w @ counted.astype(np.float32)
            labels = y[part].tocoo()
            at = bins[labels.row, labels.col]
            positive[0] += np.bincount(at, minlength=used.size)
            opened = sp.csr_matrix((np.ones(at.size, dtype=np.float32), (labels.row, at)), counted.shape)
            positive[1:] += (opened.T @ np.ascontiguousarray(w.T, dtype=np.float32)).T  # few are open
        return cls(positive, pairs, total / np.maximum(pairs[0], 1))

    def ranking_change(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Change of overall AUROC, AP and prevalence in each replicate, each (replicates,)."""
        area, ap, prevalence = _binned(self.positive, self.pairs)
        return area[1:] - area[0], ap[1:] - ap[0], prevalence[1:] - prevalence[0]

    def calibration_change(self, n_bins: int = 15) -> np.ndarray:
        """Change of the expected calibration error, in `n_bins` bins of equal mass: (replicates,)."""
        mass = np.cumsum(self.pairs[0])
        bin_of = np.minimum((mass - np.diff(mass, prepend=0) / 2) * n_bins // mass[-1], n_bins - 1).astype(np.int64)
        starts = np.flatnonzero(np.diff(bin_of, prepend=-1))
        off = np.add.reduceat(self.pairs * self.mean - self.positive, starts, axis=1)
        error = np.abs(off).sum(axis=1) / self.pairs.sum(axis=1)
        return error[1:] - error[0]


def profile_resampled(
    truth: np.ndarray, predicted: np.ndarray, weights: np.ndarray, *, ranks: bool = True
) -> np.ndarray:
    """Correlation over resampled regions of pseudobulk profiles, and of their deviations from the mean over types.

    Parameters
    ----------
    truth, predicted
        (types, regions), one replicate of :func:`chromatell.metrics.views.pseudobulk`.
    weights
        (replicates, regions): how often each region counts.
    ranks
        Compute Spearman too; NaN otherwise. Ranks are those among the regions drawn.

    Returns
    -------
    numpy.ndarray, float64 (replicates, 4)
        As :func:`chromatell.metrics.views.profile_correlation`.

    Examples
    --------
    >>> import numpy as np
    >>> t = np.array([[0.0, 1.0, 3.0, 2.0], [2.0, 1.0, 0.0, 5.0]])
    >>> profile_resampled(t, 2 * t + 1, np.array([[1, 1, 1, 1], [0, 2, 1, 1]])).round(6).tolist()
    [[1.0, 1.0, 1.0, 1.0], [1.0, 1.0, 1.0, 1.0]]
    """
    result = np.full((len(weights), 4), np.nan)
    step = max(1, _HELD // max(truth.shape[1], 1))
    deviates = len(truth) > 1
    floor = 1e-5 * max(float(np.abs(truth).max(initial=0)), float(np.abs(predicted).max(initial=0)))
    for column, low in ((0, 0.0), (2, floor**2))[: 1 + deviates]:
        t, p = (x - x.mean(axis=0) if column else x for x in (truth, predicted))
        varies = (t.var(axis=1) > low) & (p.var(axis=1) > low)
        if not varies.any():
            continue
        t, p = t[varies].astype(np.float32), p[varies].astype(np.float32)
        for a in range(0, len(weights), step):
            w = weights[a : a + step].astype(np.float64)
            result[a : a + step, column] = _mean_weighted(w, zip(t, p, strict=True))
            if ranks:
                both = zip(_weighted_ranks(t, w), _weighted_ranks(p, w), strict=True)
                result[a : a + step, column + 1] = _mean_weighted(w, both)
    return result


def _mean_weighted(w: np.ndarray, pairs: Iterable[tuple[np.ndarray, np.ndarray]]) -> np.ndarray:
    """Weighted Pearson correlation of each pair (regions,) or (replicates, regions), mean over pairs: (replicates,)."""
    total = w.sum(axis=1, keepdims=True)
    correlations = []
    for x, y in pairs:
        x, y = np.broadcast_to(x, w.shape), np.broadcast_to(y, w.shape)
        x = x - (w * x).sum(axis=1, keepdims=True) / total
        y = y - (w * y).sum(axis=1, keepdims=True) / total
        xy, xx, yy = ((w * u * v).sum(axis=1) for u, v in ((x, y), (x, x), (y, y)))
        held = (xx > 1e-12) & (yy > 1e-12)
        correlations.append(np.divide(xy, np.sqrt(xx * yy), out=np.full(len(w), np.nan), where=held))
    table = np.stack(correlations)
    held = np.isfinite(table)
    n = held.sum(axis=0)
    return np.where(n > 0, np.where(held, table, 0).sum(axis=0) / np.maximum(n, 1), np.nan)


def _weighted_ranks(values: np.ndarray, w: np.ndarray) -> Iterator[np.ndarray]:
    """Yield for each row of `values` its ranks (replicates, regions) where region i is there ``w[:, i]`` times."""
    order, first, last = sort_rows(values)
    for i in range(len(values)):
        below = np.zeros((len(w), values.shape[1] + 1))
        np.cumsum(w[:, order[i]], axis=1, out=below[:, 1:])
        ranks = np.empty(w.shape)
        ranks[:, order[i]] = (below[:, first[i]] + below[:, last[i] + 1]) / 2
        yield ranks


def _prefix(score: np.ndarray) -> np.ndarray:
    if score.min(initial=0) < 0:
        return (ordered_bits(score) >> np.uint32(_SHIFT)).astype(np.int64)
    bits = (score + np.float32(0)).view(np.uint32)  # the same, in fewer passes: a sign bit is all that differs
    bits >>= np.uint32(_SHIFT)
    bits |= np.uint32(1 << (31 - _SHIFT))
    return bits.astype(np.int64)


def _binned(positive: np.ndarray, pairs: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """AUROC, AP and prevalence of counts in bins of ascending score, each (replicates,); a bin is a run of ties."""
    negative = pairs - positive
    k, n = positive.sum(axis=1), negative.sum(axis=1)
    below = np.cumsum(negative, axis=1) - negative / 2
    hits = np.cumsum(positive[:, ::-1], axis=1)[:, ::-1]
    above = np.cumsum(pairs[:, ::-1], axis=1)[:, ::-1]
    with np.errstate(divide="ignore", invalid="ignore"):
        area = (positive * below).sum(axis=1) / (k * n)
        precision = np.where(above > 0, hits / np.maximum(above, 1e-12), 0.0)
        ap = (positive * precision).sum(axis=1) / k
        return area, ap, k / (k + n)
