"""``ctl.pp.smooth_tracks``: a Gaussian along the genome."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from anndata import AnnData

from chromatell._arguments import arguments
from chromatell._docs import documented
from chromatell._keys import RAW
from chromatell._progress import progress
from chromatell._settings import logger
from chromatell._validate import in_range
from chromatell.data._tracks_anndata import update_anndata
from chromatell.data._tracks_rows import check_memory
from chromatell.data._tracks_smooth import smooth
from chromatell.data._tracks_store import TracksWriter
from chromatell.data._tracks_table import SIGMA
from chromatell.data.tracks import BinnedTracks, as_tracks

_MAX_SIGMA = 100_000  # bins


@arguments
@documented("tracks")
def smooth_tracks(
    tracks: BinnedTracks | AnnData,
    *,
    sigma: float = 10,
    role: str = "target",
    names: str | Sequence[str] | None = None,
    out: str | os.PathLike[str] | None = None,
    overwrite: bool = False,
    copy: bool = False,
) -> BinnedTracks | AnnData | None:
    """Smooth tracks along each chromosome; the raw values stay in layer 'raw'.

    Parameters
    ----------
    sigma
        Standard deviation of the Gaussian, in bins: 10 bins of 50 bp are 500 bp. It ends at 3 standard deviations.
        Tracks that are smooth already are smoothed from their raw values, so the last call counts.
    role
        Which tracks: 'target', 'input' or 'prediction'.
    names
        Which tracks, in place of a role.
    out
        A Zarr folder for the smoothed values, where they do not fit in memory.
    overwrite
        Replace what is at `out`.

    Returns
    -------
    None, or with ``copy=True`` new tracks. Written into them:

    ``values`` : float32 (tracks, bins)
        Smoothed. Near a chromosome's end, and beside NaN, the Gaussian is over the bins that are known.
    ``layers['raw']``
        The values before.
    ``table['sigma']`` : float64
        `sigma`.

    Raises
    ------
    ChromatellError
        No such tracks, or a sigma that is not above 0.

    Notes
    -----
    Peak memory: 4 bytes a bin and track for the smoothed values beside the raw ones; with `out` one chromosome's.

    Examples
    --------
    >>> import numpy as np
    >>> import chromatell as ctl
    >>> values = np.zeros((1, 101), dtype="float32")
    >>> values[0, 50] = 1
    >>> tracks = ctl.data.BinnedTracks({"chr1": values}, ["H3K4me3"], chrom_sizes={"chr1": 5050})
    >>> ctl.pp.smooth_tracks(tracks, sigma=2)
    >>> [round(float(v), 3) for v in tracks.values("chr1")[0, 49:52]]
    [0.176, 0.2, 0.176]
    >>> float(tracks.values("chr1", layer="raw").max())
    1.0
    """
    width = in_range(sigma, 1e-3, _MAX_SIGMA, "sigma", whole=False)
    target = (tracks.copy() if copy else tracks) if isinstance(tracks, BinnedTracks) else as_tracks(tracks)
    chosen = target.check_names(names, role)
    with progress("Smoothing", total=len(target.chroms), unit="chromosomes") as advance:
        if out is None:
            check_memory(4 * len(chosen) * target.n_bins, "Name a Zarr folder: out='smoothed.zarr'.")
            values: dict[str, Any] = {}
            for chrom in target.chroms:
                values[chrom] = np.stack([_smooth(target, chrom, name, width) for name in chosen])
                advance(1)
        else:
            table = target.table.loc[chosen].assign(**{SIGMA: width})
            with TracksWriter(
                Path(out), table, chrom_sizes=target.chrom_sizes, bin_size=target.bin_size, overwrite=overwrite
            ) as writer:
                for chrom in target.chroms:
                    for i, name in enumerate(chosen):
                        writer.write(chrom, _smooth(target, chrom, name, width)[np.newaxis], first=i)
                    advance(1)
            values = BinnedTracks.open(out).arrays()
    target.replace(values, chosen)
    target.table.loc[chosen, SIGMA] = width
    logger.info("Smoothed %d tracks over %g bins (%g bp).", len(chosen), width, width * target.bin_size)
    if isinstance(tracks, AnnData):
        smoothed = tracks.copy() if copy else tracks
        update_anndata(smoothed, target)
        return smoothed if copy else None
    return target if copy else None


def _smooth(tracks: BinnedTracks, chrom: str, name: str, sigma: float) -> np.ndarray:
    """Return one track smoothed, float32 (bins,), from its raw values where those were kept."""
    raw = tracks.values(chrom, [name], layer=RAW if RAW in tracks.layers else None)[0]
    return smooth(raw, np.ones(raw.size, dtype=bool), sigma)
