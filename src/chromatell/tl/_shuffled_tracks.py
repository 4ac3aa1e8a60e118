"""Signal in pieces that changed places: what regions are called against."""

from __future__ import annotations

from typing import Any

import numpy as np

from chromatell.data.tracks import BinnedTracks
from chromatell.models.nascent._signal import find_inputs


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
    inputs = BinnedTracks(values, tracks.table.loc[names], bin_size=tracks.bin_size, chrom_sizes=tracks.chrom_sizes)
    inputs.masks = tracks.masks
    return inputs
