"""``ctl.pp.mask_bins``: bins that neither train nor score."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from anndata import AnnData

from chromatell._arguments import arguments
from chromatell._docs import documented
from chromatell._keys import CHROM, END, RAW, START
from chromatell._settings import logger
from chromatell._validate import ChromatellError, examples, in_range
from chromatell.data._tracks_anndata import update_anndata
from chromatell.data._tracks_info import BLACKLIST, GAP, OUTSIDE, REASONS, ZERO
from chromatell.data.tracks import BinnedTracks, as_tracks
from chromatell.genome.bed import read_regions
from chromatell.genome.chromosome_ends import Ends, within
from chromatell.genome.regions import normalise_chrom


@arguments
@documented("tracks")
def mask_bins(
    tracks: BinnedTracks | AnnData,
    *,
    blacklist: str | os.PathLike[str] | pd.DataFrame | Sequence[str] | None = None,
    gaps: str | os.PathLike[str] | pd.DataFrame | Sequence[str] | None = None,
    all_zero: int | None = 100_000,
    copy: bool = False,
) -> BinnedTracks | AnnData | None:
    """Mark bins that would teach nothing and flatter every score: artefacts, assembly gaps, and silent intervals.

    Parameters
    ----------
    blacklist
        Regions whose signal is an artefact: the path of a BED, a table with `chrom`, `start`, `end` (0-based,
        half-open), or names. A bin of which one base is in a region is masked. `1` and `chr1` are the same.
    gaps
        Regions without sequence, such as UCSC's `gap` table as BED.
    all_zero
        In bp: mask a bin if no input and no target has any signal from this far before it to this far behind it, signal
        in blacklisted bins left aside. Unsmoothed values are looked at where they were kept. None masks no such bin.

    Returns
    -------
    None, or with ``copy=True`` new tracks. Written into them, in place of former masks:

    ``masks`` : dict of str to uint8 (bins,)
        0 is usable; else the sum of 1 (blacklist), 2 (gap), 4 (no signal around) and 8 (outside of an AnnData's
        interval). In an AnnData: ``var['ctl_mask']``.

    Raises
    ------
    ChromatellError
        Regions that do not parse or lie off their chromosome, or nothing is left.

    Notes
    -----
    A masked bin is still read: it is in the windows of its neighbours. Targets count among the signal, since a bin
    whose target is there and whose input is silent is a real test. Peak memory: a few bytes a bin of one chromosome.

    References
    ----------
    Amemiya, Kundaje and Boyle, The ENCODE blacklist (Scientific Reports, 2019).

    Examples
    --------
    >>> import numpy as np
    >>> import chromatell as ctl
    >>> values = np.zeros((1, 8), dtype="float32")
    >>> values[0, 2] = 1
    >>> tracks = ctl.data.BinnedTracks({"chr1": values}, ["plus"], chrom_sizes={"chr1": 400})
    >>> ctl.pp.mask_bins(tracks, blacklist=["chr1:0-60"], all_zero=100)
    >>> tracks.masks["chr1"].tolist()
    [1, 1, 0, 0, 0, 4, 4, 4]
    """
    reach = None if all_zero is None else in_range(all_zero, 0, 1_000_000_000, "all_zero")
    target = (tracks.copy() if copy else tracks) if isinstance(tracks, BinnedTracks) else as_tracks(tracks)
    masks = {c: np.zeros(target.n_bins_of(c), dtype=np.uint8) for c in target.chroms}
    for regions, code, argument in ((blacklist, BLACKLIST, "blacklist"), (gaps, GAP, "gaps")):
        if regions is not None:
            mark_regions(masks, target, regions, code, argument)
    for chrom, mask in masks.items():
        if chrom in target.masks:
            mask |= target.masks[chrom] & OUTSIDE
        if reach is not None:
            mask[_silent(target, chrom, (mask & BLACKLIST) > 0, reach)] |= ZERO
    n, usable = target.n_bins, sum(int((m == 0).sum()) for m in masks.values())
    if usable == 0:
        raise ChromatellError(
            f"All {n:,} bins would be masked ({_shares(masks, n)}). Check the regions and the files, or pass "
            "all_zero=None."
        )
    target.masks = masks
    logger.info("Masked %.1f%% of %s bins: %s.", 100 * (1 - usable / n), f"{n:,}", _shares(masks, n))
    if isinstance(tracks, AnnData):
        masked = tracks.copy() if copy else tracks
        update_anndata(masked, target)
        return masked if copy else None
    return target if copy else None


def mark_regions(masks: dict[str, np.ndarray], tracks: BinnedTracks, regions: Any, code: int, argument: str) -> None:
    """Add a code to the bins that regions touch: a BED file, a table or names like 'chr1:100-600'."""
    table = read_regions(regions, argument)
    own = dict(zip(normalise_chrom(tracks.chroms), tracks.chroms, strict=True))
    marked = 0
    known = {plain: tracks.chrom_sizes[chrom] for plain, chrom in own.items()}
    cure = f"Give that of {tracks.build or 'the build of the tracks'}."
    length = normalise_chrom(table[CHROM]).map(known).to_numpy(dtype=np.float64)
    ends = Ends(f"regions of {argument}", "the tracks", tracks.chrom_sizes, cure)
    within(table, length, ends)
    ends.finish("they are cut there")
    for plain, part in table.groupby(normalise_chrom(table[CHROM]).to_numpy()):
        if plain not in own:
            continue
        chrom = own[plain]
        part = part.assign(**{c: part[c].clip(upper=tracks.chrom_sizes[chrom]) for c in (START, END)})
        change = np.zeros(masks[chrom].size + 1, dtype=np.int32)
        np.add.at(change, part[START].to_numpy() // tracks.bin_size, 1)
        np.add.at(change, -(-part[END].to_numpy() // tracks.bin_size), -1)
        masks[chrom][np.cumsum(change[:-1]) > 0] |= code
        marked += len(part)
    if marked == 0:
        raise ChromatellError(
            f"{argument}: none of its {len(table)} regions ({examples(table[CHROM].unique(), 4)}) is on a chromosome "
            f"of the tracks ({examples(tracks.chroms, 4)}). Give that of their species and build, or leave {argument}= "
            "out."
        )


def _silent(tracks: BinnedTracks, chrom: str, aside: np.ndarray, reach: int) -> np.ndarray:
    """Return the bins without any signal up to `reach` bp around them, bool (bins,)."""
    n = aside.size
    names = [*tracks.names_of(role="input"), *tracks.names_of(role="target")] or tracks.names
    layer = RAW if RAW in tracks.layers else None
    signal = np.zeros(n, dtype=bool)
    for name in names:
        signal |= np.nan_to_num(tracks.values(chrom, [name], layer=layer)[0]) != 0
    signal &= ~aside
    upto = np.concatenate([[0], np.cumsum(signal, dtype=np.int64)])
    bins = -(-reach // tracks.bin_size)
    at = np.arange(n)
    return upto[np.minimum(at + bins + 1, n)] == upto[np.maximum(at - bins, 0)]


def _shares(masks: dict[str, np.ndarray], n: int) -> str:
    shares = {name: sum(int(((m & code) > 0).sum()) for m in masks.values()) / n for name, code in REASONS.items()}
    return ", ".join(f"{name} {share:.1%}" for name, share in shares.items() if share) or "none"
