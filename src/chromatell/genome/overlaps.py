"""Which intervals of two tables overlap, and in how many bases."""

from __future__ import annotations

import numpy as np
import pandas as pd

from chromatell._keys import CHROM, END, START
from chromatell.genome.regions import normalise_chrom


def overlaps(left: pd.DataFrame, right: pd.DataFrame) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return every pair of intervals that share a base.

    Parameters
    ----------
    left, right
        `chrom`, `start`, `end` (0-based, half-open), in any order; ``1`` and ``chr1`` are the same chromosome.

    Returns
    -------
    (numpy.ndarray, numpy.ndarray, numpy.ndarray)
        int64: row of `left`, row of `right`, shared bases; by row of `left`, then of `right`.

    Examples
    --------
    >>> import pandas as pd
    >>> from chromatell.genome.overlaps import overlaps
    >>> a = pd.DataFrame({"chrom": ["chr1"], "start": [100], "end": [200]})
    >>> b = pd.DataFrame({"chrom": ["1", "1"], "start": [150, 200], "end": [400, 300]})
    >>> [part.tolist() for part in overlaps(a, b)]
    [[0], [0], [50]]
    """
    chrom_left, chrom_right = (normalise_chrom(t[CHROM]).to_numpy() for t in (left, right))
    start_left, end_left = left[START].to_numpy(np.int64), left[END].to_numpy(np.int64)
    start_right, end_right = right[START].to_numpy(np.int64), right[END].to_numpy(np.int64)
    pairs = []
    for chrom in np.intersect1d(pd.unique(chrom_left), pd.unique(chrom_right)):
        a, b = np.flatnonzero(chrom_left == chrom), np.flatnonzero(chrom_right == chrom)
        b = b[np.argsort(start_right[b], kind="stable")]
        furthest = np.maximum.accumulate(end_right[b])  # the furthest end up to here, so that none is passed over
        low = np.searchsorted(furthest, start_left[a], side="right")
        high = np.searchsorted(start_right[b], end_left[a], side="left")
        n = np.maximum(high - low, 0)
        i = np.repeat(a, n)
        j = b[np.arange(n.sum()) - np.repeat(np.cumsum(n) - n, n) + np.repeat(low, n)]
        shared = np.minimum(end_left[i], end_right[j]) - np.maximum(start_left[i], start_right[j])
        pairs.append(np.stack([i, j, shared])[:, shared > 0])
    if not pairs:
        return np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0, np.int64)
    i, j, shared = np.concatenate(pairs, axis=1)
    order = np.lexsort((j, i))
    return i[order], j[order], shared[order]
