"""How near predicted tracks come to observed ones: pure arrays, at several resolutions, with intervals over blocks.

Neighbouring bins tell nearly the same, so intervals resample whole windows of a chromosome.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from chromatell._validate import ChromatellError, in_range
from chromatell.metrics.bootstrap import _binned, interval, metric_range, resample

RESOLUTIONS = (50, 1000, 10_000)  # bp
_LEAST = 0.5  # share of a coarse bin's bins that must be usable
_BINS = 4096  # steps of the predicted value in which peaks are counted for intervals
FEWEST = 5  # blocks for an interval
Scores = dict[str, np.ndarray]
Changes = dict[str, tuple[float, np.ndarray]]  # metric to score, and its change in each replicate


def coarsen(values: np.ndarray, usable: np.ndarray, factor: int) -> tuple[np.ndarray, np.ndarray]:
    """Mean over each `factor` bins of a chromosome, of those that are usable and not NaN.

    Parameters
    ----------
    values
        (bins,) of one chromosome.
    usable
        bool (bins,).
    factor
        Bins of a coarse bin; the last one may hold fewer.

    Returns
    -------
    means : numpy.ndarray, float64 (coarse bins,)
        NaN where no bin is usable.
    usable : numpy.ndarray, bool (coarse bins,)
        Where at least half of the bins are.

    Examples
    --------
    >>> import numpy as np
    >>> means, held = coarsen(np.array([1.0, 3.0, 5.0, 9.0, 2.0]), np.array([1, 1, 0, 1, 1], dtype=bool), 2)
    >>> means.tolist(), held.tolist()
    ([2.0, 9.0, 2.0], [True, True, True])
    """
    held = np.asarray(usable, dtype=bool) & np.isfinite(values)
    starts = np.arange(0, values.size, factor)
    count = np.add.reduceat(held, starts, dtype=np.float64)
    total = np.add.reduceat(np.where(held, values, 0), starts, dtype=np.float64)
    size = np.diff(np.append(starts, values.size))
    means = np.divide(total, count, out=np.full(starts.size, np.nan), where=count > 0)
    return means, count >= np.maximum(_LEAST * size, 1)


def track_scores(
    observed: Sequence[np.ndarray],
    predicted: Sequence[np.ndarray],
    usable: Sequence[np.ndarray],
    *,
    bin_size: int = 50,
    resolutions: Sequence[int] = RESOLUTIONS,
    threshold: float | None = None,
    predicted_threshold: float | None = None,
    block: int = 1_000_000,
    n_bootstrap: int = 200,
    seed: int | np.random.SeedSequence = 0,
) -> Scores:
    """Scores of one predicted track, each with its interval.

    Parameters
    ----------
    observed, predicted
        One array (bins,) a chromosome.
    usable
        bool (bins,) a chromosome: which bins are scored; those with NaN in either track are left out.
    bin_size
        In bp.
    resolutions
        In bp, multiples of `bin_size` that divide `block`: values are first averaged over as many usable bins.
    threshold
        A bin is a peak where it is observed above this; None scores no peaks.
    predicted_threshold
        A bin is called where it is predicted above this; None takes `threshold`.
    block
        In bp, of the windows that are resampled.
    n_bootstrap
        Replicates; 0 gives no intervals.
    seed
        Seed of the generator.

    Returns
    -------
    dict of str to numpy.ndarray
        A table, one row a score: `metric` ('pearson', 'spearman', 'rmse'; with a threshold, at the finest resolution,
        'ap', 'prevalence', 'precision', 'recall', 'f1'), `resolution` (bp), `value`, `ci_low`, `ci_high` (95%), `n`
        (bins scored). A score is NaN where it is not defined: a track that does not vary, no peak.

    Raises
    ------
    ChromatellError
        Arrays that do not fit, or a resolution that is no multiple of the bin size.

    Notes
    -----
    Pearson, RMSE, precision, recall and F1 of a replicate are exact. Ranks, for Spearman, are those among all bins; AP
    of a replicate is counted in 4,096 bins of the predicted value. Only blocks with scored bins are drawn, and fewer
    than five of them give no interval. Peak memory: about 60 bytes a bin.

    References
    ----------
    The block bootstrap: Kuensch (Annals of Statistics, 1989); here blocks do not overlap.

    Examples
    --------
    >>> import numpy as np
    >>> x = np.arange(40.0)
    >>> scores = track_scores([x], [2 * x], [x >= 0], resolutions=(50, 100), block=200)
    >>> scores["metric"].tolist()
    ['pearson', 'spearman', 'rmse', 'pearson', 'spearman', 'rmse']
    >>> scores["value"].round(2).tolist()
    [1.0, 1.0, 22.66, 1.0, 1.0, 22.66]
    """
    _check(observed, predicted, usable)
    block = in_range(block, bin_size, 1_000_000_000, "block")
    n_bootstrap = in_range(n_bootstrap, 0, 1_000_000, "n_bootstrap")
    wrong = [r for r in resolutions if r < bin_size or r % bin_size or block % r]
    if wrong:
        raise ChromatellError(
            f"resolutions={tuple(resolutions)}: {wrong} are not multiples of the bin size ({bin_size} bp) that divide "
            f"a block ({block:,} bp). Try resolutions={(bin_size, 20 * bin_size, 200 * bin_size)} and "
            f"block={20_000 * bin_size}."
        )
    held = [
        np.asarray(u, dtype=bool) & np.isfinite(x) & np.isfinite(y)
        for x, y, u in zip(observed, predicted, usable, strict=True)
    ]
    weights = block_weights(held, block // bin_size, n_bootstrap, seed)
    rows: list[tuple[str, int, float, float, float, int]] = []
    for resolution in resolutions:
        bins = ScoredBins(held, resolution // bin_size, block // resolution)
        x, y = bins.pool(observed), bins.pool(predicted)
        scores = Observed(x, bins.where, weights).compare(y)
        if threshold is not None and resolution == min(resolutions):
            above = threshold if predicted_threshold is None else predicted_threshold
            scores |= peak_scores(x > threshold, y, above, bins.where, weights)
        for name, (point, change) in scores.items():
            rows.append((name, resolution, point, *interval(point, change, within=metric_range(name)), x.size))
    names = ("metric", "resolution", "value", "ci_low", "ci_high", "n")
    return {name: np.array(column) for name, column in zip(names, zip(*rows, strict=True), strict=True)}


def block_weights(
    usable: Sequence[np.ndarray], per_block: int, n_bootstrap: int, seed: int | np.random.SeedSequence
) -> np.ndarray:
    """Return how often each block is drawn, float64 (replicates, blocks of all chromosomes).

    `usable` are the scored bins of each chromosome, of which `per_block` are a block. Those without any are not drawn;
    there is no replicate where fewer than five have some.
    """
    held = blocks_held(usable, per_block)
    n = int(held.sum())
    weights = np.zeros((n_bootstrap if n >= FEWEST else 0, held.size))
    weights[:, held] = resample(n, len(weights), seed=seed) if n else 0
    return weights


def blocks_held(usable: Sequence[np.ndarray], per_block: int) -> np.ndarray:
    """Return which blocks hold a scored bin, bool (blocks of all chromosomes,); under `FEWEST` give no interval."""
    return np.concatenate([np.logical_or.reduceat(u, np.arange(0, u.size, per_block)) for u in usable])


class ScoredBins:
    """The scored bins of some chromosomes, one chromosome after another, averaged to one resolution.

    Parameters
    ----------
    usable
        bool (bins,) a chromosome: which are scored.
    factor
        Bins of a coarse bin.
    per_block
        Coarse bins of a block.

    Attributes
    ----------
    where : numpy.ndarray, int64 (scored bins,)
        The block of each.
    bounds : numpy.ndarray, int64 (chromosomes + 1,)
        Where the bins of each chromosome begin, and those of the last end.
    """

    def __init__(self, usable: Sequence[np.ndarray], factor: int, per_block: int) -> None:
        self.factor, self.usable = factor, usable
        self._at = [np.flatnonzero(coarsen(u, u, factor)[1] if factor > 1 else u) for u in usable]
        n_blocks = [-(-u.size // (factor * per_block)) for u in usable]
        first = np.cumsum([0, *n_blocks[:-1]])
        self.where = np.concatenate([f + at // per_block for f, at in zip(first, self._at, strict=True)])
        self.bounds = np.cumsum([0, *(at.size for at in self._at)])

    def pool(self, values: Sequence[np.ndarray]) -> np.ndarray:
        """Return the values of all chromosomes in these bins, float64 (scored bins,)."""
        parts = []
        for x, u, at in zip(values, self.usable, self._at, strict=True):
            parts.append((coarsen(x, u, self.factor)[0] if self.factor > 1 else np.asarray(x))[at].astype(np.float64))
        return np.concatenate(parts)


@dataclass(frozen=True)
class Observed:
    """Observed values in scored bins, with which any number of predictions are compared.

    Parameters
    ----------
    x
        float64 (bins,).
    where
        int64 (bins,): the block of each.
    weights
        float64 (replicates, blocks), see `block_weights`.
    """

    x: np.ndarray
    where: np.ndarray
    weights: np.ndarray

    @cached_property
    def _ranks(self) -> np.ndarray:
        return _ranks(self.x)

    def compare(self, y: np.ndarray) -> Changes:
        """Return Pearson, Spearman and RMSE of predicted values (bins,)."""
        scores = {}
        n = self.weights.shape[1]
        for name, a, b in (("pearson", self.x, y), ("spearman", self._ranks, _ranks(y))):
            point, replicate = _replicates(_pearson, _moments(a, b, self.where, n), self.weights)
            scores[name] = point, replicate - point
        squares = np.bincount(self.where, (self.x - y) ** 2, n)
        sums = np.stack([np.bincount(self.where, minlength=n), squares])
        point, replicate = _replicates(_rmse, sums, self.weights)
        scores["rmse"] = point, replicate - point
        return scores


def best_threshold(peak: np.ndarray, y: np.ndarray) -> float:
    """Return the value above which calling bins gives the best F1; NaN where there is no peak.

    Examples
    --------
    >>> import numpy as np
    >>> best_threshold(np.array([False, True, False, True]), np.array([1.0, 3.0, 2.0, 4.0]))
    2.0
    """
    if not peak.any():
        return float("nan")
    order = np.argsort(-y, kind="stable")
    values, hits = y[order], np.cumsum(peak[order])
    last = np.flatnonzero(np.append(values[1:] < values[:-1], True))  # the end of each run of ties
    best = int(np.argmax(2 * hits[last] / (last + 1 + hits[-1])))
    below = values[last[best] + 1] if best + 1 < last.size else np.nextafter(values[-1], -np.inf)
    return float(below)


def _check(observed: Sequence[np.ndarray], predicted: Sequence[np.ndarray], usable: Sequence[np.ndarray]) -> None:
    sizes = [[np.shape(x) for x in arrays] for arrays in (observed, predicted, usable)]
    if not sizes[0] or sizes[0] != sizes[1] or sizes[0] != sizes[2] or any(len(s) != 1 for s in sizes[0]):
        raise ChromatellError(
            f"observed, predicted and usable must be one array (bins,) a chromosome, alike; their shapes are {sizes}. "
            "Take each by tracks.values(chrom, name)[0] and tracks.usable(chrom, 'test')."
        )


def _ranks(values: np.ndarray) -> np.ndarray:
    from scipy.stats import rankdata

    return rankdata(values) if values.size else values


def _moments(a: np.ndarray, b: np.ndarray, where: np.ndarray, n: int) -> np.ndarray:
    """Return count, sums, squares and product in each block, about the mean: (6, blocks)."""
    a, b = (v - v.mean() if v.size else v for v in (a, b))
    each = (np.ones(a.size), a, b, a * a, b * b, a * b)
    return np.stack([np.bincount(where, v, n) for v in each])


def _replicates(
    score: Callable[[np.ndarray], np.ndarray], sums: np.ndarray, weights: np.ndarray
) -> tuple[float, np.ndarray]:
    """Return a score of sums over blocks: of all blocks once, and of each replicate."""
    return float(score(sums.sum(axis=1)[:, np.newaxis])[0]), score(sums @ weights.T)


def _pearson(s: np.ndarray) -> np.ndarray:
    n = np.maximum(s[0], 1)
    xx, yy, xy = s[3] - s[1] ** 2 / n, s[4] - s[2] ** 2 / n, s[5] - s[1] * s[2] / n
    varies = (s[0] > 1) & (xx > 1e-12 * np.abs(s[3])) & (yy > 1e-12 * np.abs(s[4]))
    return np.divide(xy, np.sqrt(np.maximum(xx * yy, 0)), out=np.full(xx.shape, np.nan), where=varies)


def _rmse(s: np.ndarray) -> np.ndarray:
    return np.sqrt(np.divide(s[1], s[0], out=np.full(s[0].shape, np.nan), where=s[0] > 0))


def peak_scores(peak: np.ndarray, y: np.ndarray, threshold: float, where: np.ndarray, weights: np.ndarray) -> Changes:
    """Return the scores of calling bins above a threshold, and AP; `peak` is bool (bins,). NaN makes most NaN."""
    from chromatell.metrics.ranking import average_precision

    n = weights.shape[1]
    called = y > threshold
    sums = np.stack([np.bincount(where, v, n) for v in (peak & called, called, peak, np.ones(peak.size))])
    scores = {}
    for name, above, below in (
        ("prevalence", (0, 0, 1, 0), (0, 0, 0, 1)),
        ("precision", (1, 0, 0, 0), (0, 1, 0, 0)),
        ("recall", (1, 0, 0, 0), (0, 0, 1, 0)),
        ("f1", (2, 0, 0, 0), (0, 1, 1, 0)),
    ):
        top, bottom = (
            np.array(k, dtype=float) @ np.column_stack([sums.sum(axis=1), sums @ weights.T]) for k in (above, below)
        )
        known = (bottom > 0) & (name == "prevalence" or not np.isnan(threshold))
        value = np.divide(top, bottom, out=np.full(top.shape, np.nan), where=known)
        scores[name] = float(value[0]), value[1:] - value[0]
    ap = float(average_precision(peak, y)) if peak.any() else float("nan")
    edges = np.unique(np.quantile(y, np.linspace(0, 1, _BINS))) if y.size else np.zeros(1)
    bins = np.searchsorted(edges, y)
    size = edges.size + 1
    counts = [np.bincount(where[k] * size + bins[k], minlength=n * size).reshape(n, size) for k in (peak, ~peak)]
    every = np.vstack([np.ones(n), weights])
    positive = every @ counts[0].astype(np.float32)
    _, replicate, _ = _binned(positive, positive + every @ counts[1].astype(np.float32))
    scores["ap"] = ap, replicate[1:] - replicate[0]
    return scores
