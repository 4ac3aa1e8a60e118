"""Four tracks on two chromosomes, and the same with all that tracks may carry."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from tests.data.made_tracks import BINS, SIZES

import chromatell as ctl


@pytest.fixture
def values(rng):
    return {c: rng.random((4, n)).astype(np.float32) for c, n in BINS.items()}


@pytest.fixture
def table():
    return pd.DataFrame(
        {
            "name": ["plus", "minus", "me3", "me3_pred"],
            "assay": ["PRO-seq", "PRO-seq", "H3K4me3", "H3K4me3"],
            "strand": ["+", "-", ".", "."],
            "role": ["input", "input", "target", "prediction"],
        }
    )


@pytest.fixture
def tracks(values, table):
    return ctl.data.BinnedTracks(values, table, chrom_sizes=SIZES)


@pytest.fixture
def full(tracks, values):
    """Tracks with a layer, a mask, a split, `uns`, and a column of the user's own."""
    tracks.replace({c: v[2:3] * 2 for c, v in values.items()}, ["me3"])
    tracks.masks = {c: np.arange(n).astype(np.uint8) for c, n in BINS.items()}
    tracks.splits = {c: np.arange(n).astype(np.int8) % 3 - 1 for c, n in BINS.items()}
    tracks.uns = {"bin_tracks": {"stat": "mean", "files": ["a.bw"]}}
    tracks.table["lab"] = ["x", "y", "z", "ü"]
    return tracks
