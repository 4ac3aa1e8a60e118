"""Signal in pieces that changed places, and smoothing along a chromosome: what regions are called against."""

from __future__ import annotations

from typing import Any

import numpy as np

from chromatell.data.tracks import BinnedTracks
from chromatell.models.nascent._signal import find_inputs
from chromatell.pp._smooth_tracks import TRUNCATE


def shuffled_inputs(tracks: BinnedTracks, model: Any, piece: int, seed: np.random.SeedSequence) -> BinnedTracks:
    """Return the inputs of a model of which pieces of `piece` usable bins changed places, all inputs together."""
    names = find_inputs(tracks, model.inputs, model.config["input_tracks"])
    values = {}
    for chrom, stream in zip(tracks.chroms, seed.spawn(len(tracks.chroms)), strict=True):
        at = np.flatnonzero(tracks.usable(chrom))
        whole = at[: at.size // piece * piece].reshape(-1, piece)
        moved = tracks.values(chrom, names).copy()
        order = np.random.default_rng(stream).permutation(len(whole))
        moved[:, whole.ravel()] = moved[:, whole[order].ravel()]
        values[chrom] = moved
    found = BinnedTracks(values, tracks.table.loc[names], bin_size=tracks.bin_size, chrom_sizes=tracks.chrom_sizes)
    found.masks = tracks.masks
    return found


def smooth(values: np.ndarray, usable: np.ndarray, sigma: float) -> np.ndarray:
    """Return values under a Gaussian over the usable and known bins, float32 (bins,); NaN in the others.

    Examples
    --------
    >>> import numpy as np
    >>> smooth(np.array([1.0, 1.0, 5.0]), np.array([True, True, False]), 2.0).tolist()
    [1.0, 1.0, nan]
    """
    from scipy.ndimage import gaussian_filter1d

    known = usable & np.isfinite(values)
    kept = np.where(known, values, 0).astype(np.float64)
    if sigma > 0:
        how: dict[str, Any] = {"mode": "constant", "cval": 0.0, "truncate": TRUNCATE}
        weight = gaussian_filter1d(known.astype(np.float64), sigma, **how)
        kept = np.divide(gaussian_filter1d(kept, sigma, **how), weight, out=kept, where=known)
    return np.where(known, kept, np.nan).astype(np.float32)
