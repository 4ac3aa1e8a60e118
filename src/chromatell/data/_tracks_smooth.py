"""A Gaussian along a chromosome, over the bins that are known."""

from __future__ import annotations

from typing import Any

import numpy as np

TRUNCATE = 3.0  # standard deviations: a bin's value depends on no bin further away


def smooth(values: np.ndarray, known: np.ndarray, sigma: float) -> np.ndarray:
    """Return values (bins,) under a Gaussian over the known bins, float32; NaN in the others.

    It ends at three standard deviations of `sigma` bins; beside unknown bins and the ends it is over the bins there.

    Examples
    --------
    >>> import numpy as np
    >>> smooth(np.array([1.0, 1.0, 5.0]), np.array([True, True, False]), 2.0).tolist()
    [1.0, 1.0, nan]
    """
    from scipy.ndimage import gaussian_filter1d

    known = known & ~np.isnan(values)
    kept = np.where(known, values, 0).astype(np.float64)
    if sigma > 0:
        how: dict[str, Any] = {"mode": "constant", "cval": 0.0, "truncate": TRUNCATE}
        weight = gaussian_filter1d(known.astype(np.float64), sigma, **how)
        kept = np.divide(gaussian_filter1d(kept, sigma, **how), weight, out=kept, where=known)
    return np.where(known, kept, np.nan).astype(np.float32)
