"""Paired intervals: the same resampled cells for every prediction, and what each score does under them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp

from chromatell.metrics._sorting import ordered_bits

N_BINS = 2048
_SHIFT = 14  # 18 leading bits of a float32: 512 steps for each doubling of the score
_MIN_PERCENTILE = 100


def resample(
    n: int,
    n_bootstrap: int,
    *,
    groups: np.ndarray | None = None,
    seed: int | np.random.SeedSequence | np.random.Generator = 0,
) -> np.ndarray:
    """How often each cell is drawn in each bootstrap replicate.

    Parameters
    ----------
    n
        Number of cells.
    n_bootstrap
        Number of replicates.
    groups
        (n,) labels such as donors: whole groups are drawn, since cells of a donor are not independent. None draws
        cells.
    seed
        Of the generator.

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


def interval(point: float, change: np.ndarray, *, level: float = 0.95) -> tuple[float, float]:
    """Bootstrap interval of a score from its changes under resampling.

    Parameters
    ----------
    point
        The score itself.
    change
        (replicates,) score of each replicate minus the score; NaN are left out.
    level
        Share of replicates inside.

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
    """
    held = change[np.isfinite(change)]
    if held.size < 2 or not np.isfinite(point):
        return float("nan"), float("nan")
    held = held - held.mean()
    if held.size >= _MIN_PERCENTILE:
        low, high = np.quantile(held, [(1 - level) / 2, (1 + level) / 2])
        return float(point + low), float(point + high)
    from scipy.stats import norm

    half = float(norm.ppf((1 + level) / 2)) * float(held.std(ddof=1))
    return point - half, point + half


def mean_change(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Change of the mean of one value a cell (NaN left out) in each replicate: (replicates,)."""
    held = np.isfinite(values)
    if not held.any():
        return np.full(weights.shape[0], np.nan)
    w = weights[:, held].astype(np.float64)
    total = w.sum(axis=1)
    replicate = np.divide(w @ values[held], total, out=np.full(total.shape, np.nan), where=total > 0)
    return replicate - values[held].mean()


def linear_change(influence: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Change of a score in each replicate, to first order, from each cell's influence on it: (replicates,)."""
    return (weights.astype(np.float64) - 1.0) @ influence


@dataclass(frozen=True)
class Histograms:
    """Every cell's scores in common bins, so that a replicate costs one product of matrices.

    Attributes
    ----------
    positive, pairs
        float32 (cells, bins), open pairs and all pairs; bins in ascending order of the score.
    mean
        float64 (bins,), mean score of the pairs in a bin.
    """

    positive: np.ndarray
    pairs: np.ndarray
    mean: np.ndarray

    @classmethod
    def fit(cls, y: sp.csr_matrix, score: np.ndarray, n_bins: int = N_BINS) -> Histograms:
        """Bin `score`, float32 (cells, regions), into bins of about equal mass; `y` is CSR of the same shape.

        Bins follow the leading 18 bits of the score, which makes the look-up a table; scores closer than 0.2% may
        share a bin.
        """
        n, m = score.shape
        step = max(1, (1 << 21) // max(m, 1))
        count = np.zeros(1 << (32 - _SHIFT), dtype=np.int64)
        for a in range(0, n, step):
            count += np.bincount(_prefix(score[a : a + step]).ravel(), minlength=count.size)
        table = ((np.cumsum(count) - count) * n_bins // max(count.sum(), 1)).astype(np.int64)
        used = np.unique(table[count > 0])
        table = np.searchsorted(used, table).clip(max=used.size - 1)
        positive = np.zeros((n, used.size), dtype=np.float32)
        pairs = np.zeros((n, used.size), dtype=np.float32)
        total = np.zeros(used.size)
        for a in range(0, n, step):
            part = score[a : a + step]
            bins = table[_prefix(part)]
            total += np.bincount(bins.ravel(), part.ravel(), minlength=used.size)
            row = np.arange(len(part))[:, None] * used.size
            pairs[a : a + step] = np.bincount((row + bins).ravel(), minlength=len(part) * used.size).reshape(
                len(part), -1
            )
            labels = y[a : a + step].tocoo()
            where = labels.row.astype(np.int64) * used.size + bins[labels.row, labels.col]
            positive[a : a + step] = np.bincount(where, minlength=len(part) * used.size).reshape(len(part), -1)
        return cls(positive, pairs, total / np.maximum(pairs.sum(axis=0, dtype=np.float64), 1))

    def totals(self, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return open and all pairs of each replicate, float64 (replicates, bins)."""
        return (weights @ self.positive).astype(np.float64), (weights @ self.pairs).astype(np.float64)

    def ranking_change(self, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Change of overall AUROC, AP and prevalence in each replicate, each (replicates,)."""
        base = _binned(*self.totals(np.ones((1, len(self.pairs)), dtype=np.float32)))
        rep = _binned(*self.totals(weights))
        return rep[0] - base[0], rep[1] - base[1], rep[2] - base[2]

    def calibration_change(self, weights: np.ndarray, n_bins: int = 15) -> np.ndarray:
        """Change of the expected calibration error, in `n_bins` bins of equal mass: (replicates,)."""
        one = np.ones((1, len(self.pairs)), dtype=np.float32)
        mass = np.cumsum(self.totals(one)[1][0])
        bin_of = np.minimum((mass - np.diff(mass, prepend=0) / 2) * n_bins // mass[-1], n_bins - 1).astype(np.int64)
        starts = np.flatnonzero(np.diff(bin_of, prepend=-1))

        def error(w: np.ndarray) -> np.ndarray:
            positive, pairs = self.totals(w)
            off = np.add.reduceat(pairs * self.mean - positive, starts, axis=1)
            return np.abs(off).sum(axis=1) / pairs.sum(axis=1)

        return error(weights) - error(one)


def _prefix(score: np.ndarray) -> np.ndarray:
    return (ordered_bits(score) >> np.uint32(_SHIFT)).astype(np.int64)


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
