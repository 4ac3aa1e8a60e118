"""Do predicted probabilities mean what they say? Reliability curve, expected calibration error, Brier score."""

from __future__ import annotations

from typing import Any

import numpy as np

from chromatell._validate import ChromatellError, one_of
from chromatell.metrics.ranking import aligned, flat_positives

_BLOCK = 4_000_000  # values looked at at a time
_IN_CACHE = 1 << 16


def reliability_curve(y: Any, probability: np.ndarray, *, n_bins: int = 15, strategy: str = "mass") -> np.ndarray:
    """Mean predicted probability beside the observed share of positives, in bins of the prediction.

    Parameters
    ----------
    y
        Labels, bool or 0/1; (n,) or (n, m), dense or scipy sparse.
    probability
        Predicted probabilities of the same shape, within 0 to 1.
    n_bins
        At most so many bins; those without a pair are dropped.
    strategy
        ``'mass'``: bins of equal numbers of pairs (quantiles of the prediction, duplicates dropped); ``'width'``:
        bins of equal width in 0 to 1. Accessibility is rare, so that with equal widths nearly all pairs share one
        bin.

    Returns
    -------
    numpy.ndarray, float64 (3, bins)
        Rows: mean predicted, observed share, number of pairs.

    Raises
    ------
    ChromatellError
        The shapes differ, or a probability is NaN or outside 0 to 1.

    Examples
    --------
    >>> import numpy as np
    >>> reliability_curve(np.array([0, 0, 1, 1]), np.array([0.1, 0.1, 0.9, 0.9]), n_bins=2).tolist()
    [[0.1, 0.9], [0.0, 1.0], [2.0, 2.0]]
    """
    one_of(strategy, ("mass", "width"), "strategy")
    p = _check(y, probability)
    edges = np.linspace(0, 1, n_bins + 1)[1:-1] if strategy == "width" else mass_edges(p, n_bins)
    count = np.zeros(edges.size + 1)
    total, positive = count.copy(), count.copy()
    flat, where = p.reshape(-1), flat_positives(y)
    for start in range(0, flat.size, _BLOCK):
        values = flat[start : start + _BLOCK]
        bins = np.searchsorted(edges, values, side="right")
        count += np.bincount(bins, minlength=count.size)
        total += np.bincount(bins, values, minlength=count.size)
        here = where[np.searchsorted(where, start) : np.searchsorted(where, start + _BLOCK)] - start
        positive += np.bincount(bins[here], minlength=count.size)
    held = count > 0
    return np.stack([total[held] / count[held], positive[held] / count[held], count[held]])


def mass_edges(probability: np.ndarray, n_bins: int, ranked: np.ndarray | None = None) -> np.ndarray:
    """Return what lies between bins of about equal numbers of pairs: (n_bins - 1,) or fewer, ascending.

    `ranked`, the same probabilities in order, saves the search for quantiles where none of them is left out of it.
    """
    values = _spread(probability)
    if ranked is not None and values.size == ranked.size:
        values = ranked
    return np.unique(np.quantile(values, np.linspace(0, 1, n_bins + 1)[1:-1]).astype(probability.dtype))


def expected_calibration_error(y: Any, probability: np.ndarray, *, n_bins: int = 15, strategy: str = "mass") -> float:
    """Mean distance between predicted probability and observed share over the bins, weighted by their pairs.

    Parameters
    ----------
    y, probability, n_bins, strategy
        As in :func:`reliability_curve`; the default bins hold equal numbers of pairs.

    Returns
    -------
    float
        0 is calibrated. On the scale of a probability, so compare it with the prevalence.

    Notes
    -----
    Naeini, Cooper & Hauskrecht, AAAI 2015.

    Examples
    --------
    >>> import numpy as np
    >>> round(expected_calibration_error(np.array([0, 0, 1, 1]), np.array([0.1, 0.1, 0.9, 0.9]), n_bins=2), 6)
    0.1
    """
    return curve_error(reliability_curve(y, probability, n_bins=n_bins, strategy=strategy))


def curve_error(curve: np.ndarray) -> float:
    """Return the expected calibration error of a reliability curve (3, bins)."""
    predicted, observed, count = curve
    return float((np.abs(predicted - observed) * count).sum() / max(count.sum(), 1))


def brier_score(y: Any, probability: np.ndarray, axis: int | None = None) -> Any:
    """Mean squared distance between predicted probability and label, over all pairs, each column or each row.

    Parameters
    ----------
    y, probability
        As in :func:`reliability_curve`.
    axis
        None for one number, 0 for one a column, 1 for one a row.

    Returns
    -------
    float, or numpy.ndarray float64

    Notes
    -----
    Brier, Monthly Weather Review 78 (1950).

    Examples
    --------
    >>> import numpy as np
    >>> round(float(brier_score(np.array([0, 1]), np.array([0.1, 0.8]))), 6)
    0.025
    """
    p = _check(y, probability)
    if axis is None:
        p = p.reshape(1, -1)
        col = flat_positives(y)
        row = np.zeros_like(col)
    else:
        row, col = np.divmod(flat_positives(y), p.shape[1])
        if axis == 0:
            p, row, col = p.T, col, row
    step = max(1, _IN_CACHE // max(p.shape[1], 1))
    parts = (np.ascontiguousarray(p[a : a + step], dtype=np.float64) for a in range(0, len(p), step))
    squares = np.concatenate([np.zeros(0), *(np.einsum("ij,ij->i", x, x) for x in parts)])
    hits = np.bincount(row, 1.0 - 2.0 * p[row, col].astype(np.float64), minlength=p.shape[0])
    score = (squares + hits) / p.shape[1]
    return float(score[0]) if axis is None else score


def _spread(p: np.ndarray, size: int = 1_000_000) -> np.ndarray:
    """Return about a million values, evenly spaced: enough for quantiles."""
    flat = p.reshape(-1)
    return flat[:: max(1, flat.size // size) | 1]  # an odd step, so that it does not fall in with the rows


def _check(y: Any, probability: np.ndarray) -> np.ndarray:
    p = aligned(y, probability, "probability")
    if p.size and not (p.min() >= 0 and p.max() <= 1):  # a NaN fails both
        raise ChromatellError(
            f"Probabilities run from {float(p.min()):.3g} to {float(p.max()):.3g}; each must lie within 0 to 1. "
            "Map the scores first, e.g. 1 / (1 + np.exp(-score))."
        )
    return p
