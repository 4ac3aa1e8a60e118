"""An interval of tracks as an AnnData (tracks x bins), and back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

import numpy as np
import pandas as pd
from anndata import AnnData

from chromatell._compat import layer_names
from chromatell._keys import CHROM, END, INTERVAL, MASK, SPLIT, SPLITS, START, UNS
from chromatell._validate import ChromatellError
from chromatell.data._tracks_info import NO_SPLIT, OUTSIDE
from chromatell.data._tracks_rows import Row, check_memory
from chromatell.data._tracks_table import track_table
from chromatell.data._tracks_values import TracksValues

_NAME_BYTES = 200  # bytes that a bin's name and coordinates take
Tracks = TypeVar("Tracks", bound=TracksValues)


def is_tracks(data: Any) -> bool:
    """Return whether something is tracks, or an AnnData of an interval of them."""
    own = data.uns.get(UNS, {}) if isinstance(data, AnnData) else {}
    return isinstance(data, TracksValues) or (isinstance(own, Mapping) and INTERVAL in own)


def to_anndata(tracks: TracksValues, region: str, names: Sequence[str]) -> AnnData:
    """Return an interval with its names, layers, mask and split; all of them copies."""
    chrom, bins = tracks.locate(region)
    n = bins.stop - bins.start
    check_memory(n * (_NAME_BYTES + 4 * len(names)), "Name a shorter interval.")
    start = np.arange(bins.start, bins.stop, dtype=np.int64) * tracks.bin_size
    end = np.minimum(start + tracks.bin_size, tracks.chrom_sizes[chrom])
    var = pd.DataFrame(
        {CHROM: chrom, START: start, END: end},
        index=pd.Index([f"{chrom}:{a}-{b}" for a, b in zip(start, end, strict=True)], dtype=object),
    )
    if tracks.masks:
        var[MASK] = tracks.masks[chrom][bins].copy()
    if tracks.splits:
        var[SPLIT] = pd.Categorical.from_codes(tracks.splits[chrom][bins], list(SPLITS))
    table = tracks.table.loc[list(names)].copy()
    table.index.name = None
    adata = AnnData(
        np.array(tracks.values(chrom, names, bins=bins)),
        obs=table,
        var=var,
        layers={k: np.array(tracks.values(chrom, names, bins=bins, layer=k)) for k in tracks.layers},
    )
    size = tracks.chrom_sizes[chrom]
    adata.uns[UNS] = {INTERVAL: {"bin_size": tracks.bin_size, CHROM: chrom, "chrom_size": size}}
    return adata


def from_anndata(cls: type[Tracks], adata: AnnData) -> Tracks:
    """Return tracks of one chromosome, known in the interval and masked outside of it."""
    chrom, size, bin_size, first = _place(adata)
    interval = slice(first, first + adata.n_vars)
    n = -(-size // bin_size)

    def whole(part: Any) -> np.ndarray:
        values = np.zeros((adata.n_obs, n), dtype=np.float32)
        values[:, interval] = part.toarray() if hasattr(part, "toarray") else part
        return values

    table = adata.obs.copy()
    table.index = table.index.astype(str)
    tracks = cls({chrom: whole(adata.X)}, track_table(table), bin_size=bin_size, chrom_sizes={chrom: size})
    for layer in layer_names(adata):
        values = whole(adata.layers[layer])
        tracks._layers[layer] = {name: {chrom: Row(values, i)} for i, name in enumerate(tracks.names)}
    if MASK in adata.var or adata.n_vars < n:
        mask = np.full(n, OUTSIDE, dtype=np.uint8)
        mask[interval] = adata.var[MASK].to_numpy(np.uint8) if MASK in adata.var else 0
        tracks.masks[chrom] = mask
    if SPLIT in adata.var:
        codes = np.full(n, NO_SPLIT, dtype=np.int8)
        codes[interval] = pd.Categorical(adata.var[SPLIT], categories=list(SPLITS)).codes
        tracks.splits[chrom] = codes
    return tracks


def update_anndata(adata: AnnData, tracks: TracksValues) -> None:
    """Write what was changed in tracks made by `from_anndata` back into the AnnData."""
    chrom, _, _, first = _place(adata)
    bins = slice(first, first + adata.n_vars)
    adata.X = np.array(tracks.values(chrom, bins=bins))
    for column in tracks.table:
        adata.obs[column] = tracks.table[column].to_numpy()
    for layer in tracks.layers:
        adata.layers[layer] = np.array(tracks.values(chrom, bins=bins, layer=layer))
    if tracks.masks:
        adata.var[MASK] = tracks.masks[chrom][bins].copy()
    if tracks.splits:
        adata.var[SPLIT] = pd.Categorical.from_codes(tracks.splits[chrom][bins], list(SPLITS))


def _place(adata: AnnData) -> tuple[str, int, int, int]:
    """Return chromosome, its length, the bin size and the first bin, which `var` must agree with."""
    own = adata.uns.get(UNS, {})
    how = own.get(INTERVAL) if isinstance(own, Mapping) else None
    if not isinstance(how, Mapping) or not {"bin_size", CHROM, "chrom_size"} <= set(how):
        raise ChromatellError(
            "This AnnData is not an interval of tracks: did not find .uns['ctl']['tracks']. Make one with "
            "tracks.to_anndata('chr21:35,000,000-36,000,000')."
        )
    chrom, size, bin_size = str(how[CHROM]), int(how["chrom_size"]), int(how["bin_size"])
    if START not in adata.var or adata.n_vars == 0 or bin_size < 1:
        raise ChromatellError("This AnnData of tracks has no bins, or no var['start']. Make it with tracks.to_anndata.")
    start = adata.var[START].to_numpy(np.int64)
    first = int(start[0]) // bin_size
    whole = (np.arange(adata.n_vars) + first) * bin_size
    if not np.array_equal(start, whole) or whole[-1] >= size:
        raise ChromatellError(
            f"The bins of this AnnData do not follow each other every {bin_size} bp on {chrom} ({size:,} bp). Take a "
            "whole interval: tracks.to_anndata(region)."
        )
    return chrom, size, bin_size, first
