"""Ridge regression in closed form, from products that were summed over rows."""

from __future__ import annotations

import numpy as np


def least_squares(moments: np.ndarray, n_targets: int, penalty: float) -> np.ndarray:
    """Return intercept and weights, float64 (targets, 1 + features); features are standardised first.

    Parameters
    ----------
    moments
        (1 + features + targets,) * 2: products of (1, features, targets) with themselves, summed over rows.
    penalty
        As a share of the mean over rows: 0 is least squares.
    """
    n, last = moments[0, 0], len(moments) - n_targets
    mean = moments[0, 1:] / n
    cov = moments[1:, 1:] / n - np.outer(mean, mean)
    k = last - 1
    spread = np.sqrt(np.maximum(np.diag(cov)[:k], 0))
    held = spread > 1e-6 * (1 + np.abs(mean[:k]))  # one that does not vary has no weight
    scale = spread[held]
    inner = cov[:k, :k][np.ix_(held, held)] / np.outer(scale, scale) + penalty * np.eye(int(held.sum()))
    coefficients = np.zeros((n_targets, last))
    if held.any():
        coefficients[:, 1:][:, held] = (np.linalg.solve(inner, cov[:k, k:][held] / scale[:, np.newaxis]).T) / scale
    coefficients[:, 0] = mean[k:] - coefficients[:, 1:] @ mean[:k]
    return coefficients
