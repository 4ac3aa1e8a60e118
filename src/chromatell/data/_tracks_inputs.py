"""Input tracks as models read them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from chromatell._validate import ChromatellError
from chromatell.data._tracks_info import BLACKLIST

if TYPE_CHECKING:
    from chromatell.data.tracks import BinnedTracks


def input_values(tracks: BinnedTracks, chrom: str, names: Sequence[str]) -> np.ndarray:
    """Return input tracks of a chromosome, a copy, float32 (tracks, bins): 0 where unknown or blacklisted."""
    values = np.nan_to_num(tracks.values(chrom, names), nan=0.0, posinf=0.0, neginf=0.0, copy=True)
    if values.size and values.min() < 0:
        raise ChromatellError(
            f"An input of {list(names)} is negative on {chrom} ({values.min():g}); models read counts or coverage. "
            "ctl.pp.bin_tracks(files) takes the absolute values of a minus strand."
        )
    if chrom in tracks.masks:
        values[:, (tracks.masks[chrom] & BLACKLIST) > 0] = 0
    return values
