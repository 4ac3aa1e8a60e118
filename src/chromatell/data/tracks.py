"""Tracks: one value per bin along the genome, several of them together, whole chromosomes at a time."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from anndata import AnnData

from chromatell._arguments import arguments
from chromatell._validate import ChromatellError
from chromatell.data._tracks_anndata import from_anndata, to_anndata
from chromatell.data._tracks_store import open_store, write_store
from chromatell.data._tracks_values import TracksValues

if TYPE_CHECKING:
    from typing import Self


class BinnedTracks(TracksValues):
    """Tracks in bins along the genome.

    Parameters
    ----------
    values
        Chromosome to an array (tracks, bins), float32: NumPy (memory-mapped too), or Zarr, which is read when used.
        Bins start at 0; the last one is shorter where the length is no multiple of `bin_size`. NaN is unknown.
    table
        Names of the tracks, or a table with them as its index (or column `name`) and any of `assay` (default: the
        name without the sample), `strand` ('+', '-', '.'), `role` ('input', 'target', 'prediction'), `sample` (default
        ``''``).
    bin_size
        In bp.
    chrom_sizes
        Length of each chromosome in bp. More than those of `values` are left out.

    Attributes
    ----------
    table : pandas.DataFrame
        One row a track: the columns above, and `stat` (how it was binned) and `sigma` (of its smoothing, in bins).
    chrom_sizes : dict
        Chromosome to length in bp, in order.
    masks : dict
        Chromosome to uint8 (bins,): 0 is usable, else why not: 1 blacklist, 2 assembly gap, 4 no signal around, 8
        outside of what is known. Written by :func:`chromatell.pp.mask_bins`; without it all are usable.
    splits : dict
        Chromosome to int8 (bins,): 0 train, 1 val, 2 test, -1 none. Written by :func:`chromatell.pp.split_regions`.
    uns : dict
        How they were made: strings, numbers, lists and dicts.

    Raises
    ------
    ChromatellError
        Arrays that do not fit each other, the table or the chromosomes; names that repeat; unknown roles or strands.

    Notes
    -----
    Selecting, adding and joining tracks share arrays and copy none. Memory: 4 bytes a bin and track, so 250 MB a track
    for the human genome in bins of 50 bp; nothing where it lies in a Zarr store, of which :meth:`values` reads what is
    asked for. A prediction is a track of role 'prediction' with its target's `assay` and `sample`.

    Examples
    --------
    >>> import numpy as np
    >>> import chromatell as ctl
    >>> values = {"chr1": np.arange(8, dtype="float32").reshape(2, 4)}
    >>> tracks = ctl.data.BinnedTracks(values, ["a", "b"], bin_size=50, chrom_sizes={"chr1": 190})
    >>> tracks.values("chr1", ["b"]).tolist()
    [[4.0, 5.0, 6.0, 7.0]]
    >>> tracks.to_anndata("chr1:60-160").shape
    (2, 3)
    """

    @arguments
    def to_anndata(
        self,
        region: str,
        names: str | Sequence[str] | None = None,
        *,
        role: str | None = None,
    ) -> AnnData:
        """An interval as an AnnData, tracks x bins.

        Parameters
        ----------
        region
            Such as ``'chr21:35,000,000-36,000,000'`` (0-based, half-open), or a chromosome's name.
        names, role
            Which tracks; all where both are None.

        Returns
        -------
        AnnData
            ``X`` : float32 (tracks, bins); ``obs`` is the table, ``layers`` those of the tracks; ``var`` has `chrom`,
            `start`, `end`, `ctl_mask` (uint8) and, after a split, `ctl_split`; ``uns['ctl']['tracks']`` what it takes
            to come back with :meth:`from_anndata`. All are copies.
        """
        return to_anndata(self, region, self.check_names(names, role))

    @classmethod
    @arguments
    def from_anndata(cls, adata: AnnData) -> Self:
        """Return the tracks of an AnnData as :meth:`to_anndata` makes them; outside of it 0, and masked."""
        return from_anndata(cls, adata)

    @arguments
    def save(self, path: str | os.PathLike[str], *, overwrite: bool = False) -> None:
        """Write a Zarr store (a folder, such as ``'tracks.zarr'``), compressed, chromosome by chromosome; no pickle."""
        write_store(self, Path(path), overwrite)

    @classmethod
    @arguments
    def open(cls, path: str | os.PathLike[str], *, load: bool = False) -> Self:
        """Return tracks from a store that :meth:`save` wrote, checked as a stranger's before anything is read.

        Values stay on disk and are read when they are used; with `load` all come into memory.
        """
        tracks = open_store(cls, Path(path))
        return tracks.load() if load else tracks


def as_tracks(data: BinnedTracks | AnnData) -> BinnedTracks:
    """Return tracks, from an AnnData of an interval too."""
    if isinstance(data, BinnedTracks):
        return data
    if isinstance(data, AnnData):
        return BinnedTracks.from_anndata(data)
    raise ChromatellError(
        f"Expected ctl.data.BinnedTracks, got {type(data).__name__}. Make them with ctl.pp.bin_tracks(files), or open "
        "stored ones with ctl.data.BinnedTracks.open(path)."
    )
