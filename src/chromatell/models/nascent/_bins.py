"""What training takes from tracks: which bins, and the scale of each target in them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from chromatell._keys import TRAIN
from chromatell._settings import logger
from chromatell._validate import ChromatellError, examples
from chromatell.data.tracks import BinnedTracks
from chromatell.models.nascent._signal import input_values


def target_scale(data: BinnedTracks, targets: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """Return standard deviation and least value (at most 0) of each target over training bins, float64 (targets,)."""
    if not any(data.usable(c, TRAIN).any() for c in data.chroms):
        raise ChromatellError("No usable bin is marked 'train'. Run ctl.pp.split_regions(tracks, by='blocks').")
    n, total, squares, low = (np.zeros(len(targets)) for _ in range(4))
    for chrom in data.chroms:
        values = data.values(chrom, targets)[:, data.usable(chrom, TRAIN)].astype(np.float64)
        known = np.isfinite(values)
        values[~known] = 0
        n += known.sum(axis=1)
        total += values.sum(axis=1)
        squares += (values**2).sum(axis=1)
        low = np.minimum(low, values.min(axis=1, initial=0))
    mean = total / np.maximum(n, 1)
    deviation = np.sqrt(np.maximum(squares / np.maximum(n, 1) - mean**2, 0))
    flat = [name for name, d, m in zip(targets, deviation, mean, strict=True) if not d > 1e-6 * abs(m)]
    if flat:
        raise ChromatellError(
            f"The targets {examples(flat)} do not vary in the training bins: there is nothing to learn. Leave them "
            "out, targets=[...], or split otherwise."
        )
    return deviation, low


def draw_bins(
    data: BinnedTracks, split: str, most: int, seed: np.random.SeedSequence
) -> tuple[dict[str, np.ndarray], int]:
    """Return usable bins of a part on each chromosome that has any, at most so many in all, and how many there are."""
    at = {c: np.flatnonzero(data.usable(c, split)) for c in data.chroms}
    n = sum(x.size for x in at.values())
    if n > most:
        logger.info("%s: %s of %s bins, drawn at random.", split, f"{most:,}", f"{n:,}")
        chosen = np.zeros(n, dtype=bool)
        chosen[np.random.default_rng(seed).choice(n, most, replace=False)] = True
        ends = np.cumsum([x.size for x in at.values()])
        at = {c: x[part] for (c, x), part in zip(at.items(), np.split(chosen, ends[:-1]), strict=True)}
    return {c: bins for c, bins in at.items() if bins.size}, n


def target_values(data: BinnedTracks, chrom: str, targets: Sequence[str], deviation: np.ndarray) -> np.ndarray:
    """Return targets in standard deviations, float32 (targets, bins)."""
    return (data.values(chrom, targets) / deviation[:, np.newaxis]).astype(np.float32)


def scaled_inputs(data: BinnedTracks, chrom: str, inputs: Sequence[str], scale: np.ndarray) -> np.ndarray:
    """Return inputs in units of their mean, float32 (inputs, bins)."""
    return input_values(data, chrom, inputs) / scale[:, np.newaxis].astype(np.float32)
