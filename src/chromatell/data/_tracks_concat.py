"""Several sets of tracks as one."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from chromatell._validate import ChromatellError, examples
from chromatell.data._tracks_info import NO_SPLIT
from chromatell.data._tracks_rows import unknown_row
from chromatell.data._tracks_table import ASSAY, NAME, ROLE, SAMPLE, SIGMA, STAT, STRAND
from chromatell.data.tracks import BinnedTracks


def concat_tracks(parts: Sequence[BinnedTracks], *, samples: Sequence[str] | None = None) -> BinnedTracks:
    """Several sets of tracks as one: more samples, more assays, or more chromosomes.

    Parameters
    ----------
    parts
        Tracks in bins of one size. A track that is in several parts is joined, if they hold it on different chromosomes
        and describe it alike.
    samples
        A name for each part: it goes into the table's `sample`, and before each track's name (``'name:track'``).

    Returns
    -------
    BinnedTracks
        All tracks on all chromosomes, NaN where a part lacks a chromosome that another has. Arrays are shared. Masks
        add up; a part without a split, where others have one, is in none.

    Raises
    ------
    ChromatellError
        Bin sizes or lengths of chromosomes differ, or a track is there twice.

    Examples
    --------
    >>> import numpy as np
    >>> import chromatell as ctl
    >>> one = ctl.data.BinnedTracks({"chr1": np.zeros((1, 4))}, ["plus"], chrom_sizes={"chr1": 200})
    >>> two = ctl.data.BinnedTracks({"chr1": np.ones((1, 4))}, ["plus"], chrom_sizes={"chr1": 200})
    >>> ctl.data.concat_tracks([one, two], samples=["a", "b"]).names
    ['a:plus', 'b:plus']
    """
    parts = list(parts)
    if not parts or not all(isinstance(p, BinnedTracks) for p in parts):
        kinds = sorted({type(p).__name__ for p in parts}) or "none"
        raise ChromatellError(
            f"parts must be a list of ctl.data.BinnedTracks, at least one; got {kinds}. Open stored ones: "
            "parts = [ctl.data.BinnedTracks.open(path) for path in parts]."
        )
    sizes = _sizes(parts)
    tables = _tables(parts, samples)
    joined = parts[0]._like(pd.concat(tables).loc[lambda t: ~t.index.duplicated()], sizes)
    joined.uns = {} if len(parts) > 1 else dict(parts[0].uns)
    for part, table in zip(parts, tables, strict=True):
        for old, new in zip(part.names, table.index, strict=True):
            rows = joined._rows.setdefault(new, {})
            shared = rows.keys() & part._rows[old].keys()
            described = [
                c for c in (ASSAY, STRAND, ROLE, SAMPLE, STAT, SIGMA) if joined.table.loc[new, c] != table.loc[new, c]
            ]
            if shared or described:
                what = f"on {examples(sorted(shared))}" if shared else f"described otherwise in {examples(described)}"
                raise ChromatellError(
                    f"Track {new!r} is in two of the parts, {what}. Tell them apart: samples=['first', 'second', ...]."
                )
            rows.update(part._rows[old])
            for layer, held in part._layers.items():
                if old in held:
                    joined._layers.setdefault(layer, {}).setdefault(new, {}).update(held[old])
    for rows in joined._rows.values():
        rows.update({c: unknown_row(joined.n_bins_of(c)) for c in sizes if c not in rows})
    for held in joined._layers.values():
        for name, rows in held.items():
            rows.update({c: joined._rows[name][c] for c in sizes if c not in rows})
    _join_bins(joined, parts)
    return joined


def _sizes(parts: Sequence[BinnedTracks]) -> dict[str, int]:
    bins = sorted({p.bin_size for p in parts})
    if len(bins) > 1:
        raise ChromatellError(
            f"The parts have bins of {bins} bp; bin them alike: ctl.pp.bin_tracks(files, bin_size={bins[0]})."
        )
    sizes: dict[str, int] = {}
    for part in parts:
        for chrom, size in part.chrom_sizes.items():
            if sizes.setdefault(chrom, size) != size:
                builds = " and ".join(sorted({p.build or "unknown" for p in parts}))
                raise ChromatellError(
                    f"{chrom} has {sizes[chrom]:,} bp in one part and {size:,} in another ({builds}). Bin files of one "
                    "build."
                )
    return sizes


def _tables(parts: Sequence[BinnedTracks], samples: Sequence[str] | None) -> list[pd.DataFrame]:
    if samples is None:
        return [p.table for p in parts]
    names = [str(s) for s in samples] if not isinstance(samples, str) else [samples]
    if len(names) != len(parts) or len(set(names)) < len(names) or not all(names):
        raise ChromatellError(f"samples={samples!r} must name each of the {len(parts)} parts, each differently.")
    tables = []
    for part, sample in zip(parts, names, strict=True):
        table = part.table.copy()
        table.index = pd.Index([f"{sample}:{n}" for n in table.index], name=NAME, dtype=object)
        table[SAMPLE] = sample
        tables.append(table)
    return tables


def _join_bins(joined: BinnedTracks, parts: Sequence[BinnedTracks]) -> None:
    """Add up masks; a bin keeps its part only where all that say one say the same."""
    for chrom in joined.chroms:
        masks = [p.masks[chrom] for p in parts if chrom in p.masks]
        if any(p.masks for p in parts):
            none = np.zeros(joined.n_bins_of(chrom), dtype=np.uint8)
            joined.masks[chrom] = np.bitwise_or.reduce([none, *masks])
        if any(p.splits for p in parts):
            codes = [p.splits[chrom] for p in parts if chrom in p.splits]
            nowhere = np.full(joined.n_bins_of(chrom), NO_SPLIT, dtype=np.int8)
            alike = np.all([c == codes[0] for c in codes], axis=0)
            joined.splits[chrom] = np.where(alike, codes[0], nowhere) if codes else nowhere
