"""Tracks of two strands whose log sums make peaks, with a prediction of them."""

from __future__ import annotations

import numpy as np
import pandas as pd

import chromatell as ctl

N = {"chr1": 9000, "chr2": 6000}
BLOCK = 5_000  # bp
NO_VAL = "ignore:There is no validation bin:chromatell._validate.ChromatellWarning"


def make(seed=0, fractions=(0.5, 0.2, 0.3), targets=2):
    """Two strands whose log sums make peaks; a prediction, 'good', that is the smoothed peaks and noise."""
    rng = np.random.default_rng(seed)
    values = {}
    for chrom, n in N.items():
        rate = np.repeat(rng.gamma(0.2, 4.0, n // 20), 20)
        plus, minus = rng.poisson(rate), rng.poisson(rate)
        wide = np.convolve(rate, np.ones(9), mode="same")
        peak = np.where(wide > np.quantile(wide, 0.85), np.floor(10 * np.log1p(wide)), 0)
        other = np.where(rng.random(n) < 0.02, 5.0, 0.0)
        values[chrom] = np.stack([plus, minus, peak, other][: 2 + targets]).astype(np.float32)
    table = pd.DataFrame(
        {
            "name": ["plus", "minus", "H3K4me3", "noise"],
            "assay": ["PRO", "PRO", "H3K4me3", "noise"],
            "strand": ["+", "-", ".", "."],
            "role": ["input", "input", "target", "target"],
        }
    ).iloc[: 2 + targets]
    tracks = ctl.data.BinnedTracks(values, table, chrom_sizes={c: 50 * n - 20 for c, n in N.items()})
    tracks.masks = {c: np.where(rng.random(n) < 0.1, 4, 0).astype(np.uint8) for c, n in N.items()}
    ctl.pp.smooth_tracks(tracks, sigma=3)
    ctl.pp.split_regions(tracks, by="blocks", fractions=fractions, block=25_000, width=41 * 50, seed=0)
    predicted = {c: tracks.values(c, "H3K4me3") + rng.normal(0, 6, n).astype(np.float32) for c, n in N.items()}
    tracks.add(predicted, pd.DataFrame({"name": ["H3K4me3_good"], "assay": "H3K4me3", "role": "prediction"}))
    return tracks


def bins(tracks, name, split="test", layer=None, chroms=tuple(N)):
    return np.concatenate([tracks.values(c, name, layer=layer)[0][tracks.usable(c, split)] for c in chroms]).astype(
        float
    )
