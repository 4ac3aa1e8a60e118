"""Bins along a genome, and which of them an interval lies in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from anndata import AnnData

from chromatell._keys import CHROM, END, START
from chromatell._validate import ChromatellError, examples
from chromatell.genome.builds import normalised
from chromatell.genome.chromosome_ends import Ends, within
from chromatell.genome.regions import normalise_chrom, region_table

UNKNOWN = 2**40  # the length of a chromosome that nobody gave: longer than any
_MAX_BINS = 50_000_000
ENDS_CURE = "Give the chrom_sizes of the build that they were made with."


@dataclass(frozen=True)
class GenomeBins:
    """Bins that do not overlap, in order of position, on one long axis: the chromosomes one after the other.

    Attributes
    ----------
    codes
        Chromosome, in the style ``chr1``, to its place in the arrays below.
    lengths, offsets
        int64 (chromosomes,): in bp, and where each begins on the axis.
    chrom
        int32 (bins,): code of the chromosome.
    start, end
        int64 (bins,): on the axis.
    table
        What the bins are called: `chrom`, `start`, `end`, in the order that was given; None for a grid.
    order
        int64 (bins,): row of `table`.
    """

    codes: Mapping[str, int]
    names: list[str]
    lengths: np.ndarray
    offsets: np.ndarray
    chrom: np.ndarray
    start: np.ndarray
    end: np.ndarray
    order: np.ndarray | None = None
    table: pd.DataFrame | None = None

    def __len__(self) -> int:
        return self.start.size

    @classmethod
    def grid(cls, sizes: Mapping[str, int], size: int) -> GenomeBins:
        """Bins of `size` bp from 0 of each chromosome; the last one of each is shorter."""
        codes, names, lengths, offsets = _axis(sizes)
        n = -(-lengths // size)
        if n.sum() > _MAX_BINS:
            raise ChromatellError(
                f"size={size} makes {n.sum():,} bins of the {len(names)} chromosomes; {_MAX_BINS:,} are allowed. Take "
                "a larger size, or fewer chromosomes."
            )
        chrom = np.repeat(np.arange(n.size, dtype=np.int32), n)
        start = (np.arange(chrom.size, dtype=np.int64) - np.repeat(np.cumsum(n) - n, n)) * size
        end = np.minimum(start + size, lengths[chrom])
        return cls(codes, names, lengths, offsets, chrom, start + offsets[chrom], end + offsets[chrom])

    @classmethod
    def of(cls, bins: Any, sizes: Mapping[str, int] | None) -> GenomeBins:
        """The bins of another data set; without `sizes`, nothing is known to lie off the end of a chromosome."""
        table = _table(bins)
        plain = normalise_chrom(table[CHROM]).to_numpy()
        if sizes is None:
            sizes = dict.fromkeys(pd.unique(plain), UNKNOWN)
        codes, names, lengths, offsets = _axis(sizes)
        chrom = pd.Series(plain).map(codes).fillna(-1).to_numpy(dtype=np.int64)
        if (chrom < 0).any():
            raise ChromatellError(
                f"{int((chrom < 0).sum())} of the {len(table)} bins lie on chromosomes that chrom_sizes lacks (such as "
                f"{examples(pd.unique(table[CHROM].to_numpy()[chrom < 0]))}; it has {examples(names, 4)}). Add them."
            )
        local = table[[START, END]].to_numpy(dtype=np.int64)
        if not check_ends(table, lengths[chrom], "bins", "their chromosomes are taken as longer").all():
            np.maximum.at(lengths, chrom, local[:, 1])
            offsets = np.cumsum(lengths) - lengths
        start, end = local[:, 0] + offsets[chrom], local[:, 1] + offsets[chrom]
        order = np.argsort(start, kind="stable")
        over = start[order][1:] < end[order][:-1]
        if over.any():
            at = order[int(np.argmax(over)) :][:2]
            raise ChromatellError(
                f"bins: {int(over.sum())} of the {len(table)} overlap the one before (such as "
                f"{examples(table.index[at])}); a fragment must lie in one of them. Merge them first."
            )
        chrom = chrom.astype(np.int32)[order]
        return cls(codes, names, lengths, offsets, chrom, start[order], end[order], order, table)

    def regions(self, kept: np.ndarray) -> pd.DataFrame:
        """Return `chrom`, `start`, `end` of some bins of a grid, indexed by ``chrom:start-end``."""
        chrom = self.chrom[kept]
        start, end = self.start[kept] - self.offsets[chrom], self.end[kept] - self.offsets[chrom]
        names = np.array(self.names, dtype=object)[chrom]
        index = [f"{c}:{s}-{e}" for c, s, e in zip(names, start.tolist(), end.tolist(), strict=True)]
        return pd.DataFrame({CHROM: names, START: start, END: end}, index=pd.Index(index, dtype=object))

    def code_of(self, chroms: pd.Series | pd.Index) -> np.ndarray:
        """Return the code of each chromosome's name, int64, -1 where it is not among these; `1` and `chr1` meet."""
        plain = normalise_chrom(chroms)
        return plain.map(self.codes).fillna(-1).to_numpy(dtype=np.int64)

    def assign(self, chrom: np.ndarray, start: np.ndarray, end: np.ndarray, how: str) -> tuple[np.ndarray, np.ndarray]:
        """Return (which interval, which bin), int64 each, a pair where one lies in the other.

        Parameters
        ----------
        chrom
            Codes.
        start, end
            In bp from the start of the chromosome.
        how
            ``'midpoint'``, ``'overlap'`` (a pair for each bin), or ``'cut_sites'`` (one for each end).
        """
        at = self.offsets[chrom]
        if how == "overlap":
            first = np.searchsorted(self.end, start + at, side="right")
            n = np.searchsorted(self.start, end + at, side="left") - first
            which = np.repeat(np.arange(n.size), n)
            return which, np.arange(which.size) - np.repeat(np.cumsum(n) - n, n) + first[which]
        if how == "midpoint":
            which, position = np.arange(start.size), (start + end) // 2 + at
        else:
            which = np.tile(np.arange(start.size), 2)
            position = np.concatenate([start + at, end - 1 + at])
        bins = np.searchsorted(self.start, position, side="right") - 1
        inside = (bins >= 0) & (position < self.end[bins])
        return which[inside], bins[inside]


def check_ends(table: pd.DataFrame, length: np.ndarray, what: str, done: str) -> np.ndarray:
    """Return which intervals lie within their chromosomes, of `length` each; raise where many do not."""
    sizes = dict(zip(table[CHROM].astype(str), length.tolist(), strict=True))
    ends = Ends(what, "chrom_sizes", sizes, ENDS_CURE)
    inside = within(table, length.astype(np.float64), ends)
    ends.finish(done)
    return inside


def _axis(sizes: Mapping[str, int]) -> tuple[dict[str, int], list[str], np.ndarray, np.ndarray]:
    plain = normalised(sizes)
    if not sizes or len(plain) < len(sizes):
        raise ChromatellError(f"chrom_sizes must name chromosomes, each once; found {examples(sizes, 6) or 'none'}.")
    lengths = np.array(list(plain.values()), dtype=np.int64)
    if (lengths < 1).any():
        raise ChromatellError(f"chrom_sizes: {list(sizes)[int(np.argmin(lengths))]!r} has no length. Mend it.")
    return {c: i for i, c in enumerate(plain)}, [str(c) for c in sizes], lengths, np.cumsum(lengths) - lengths


def _table(bins: Any) -> pd.DataFrame:
    if isinstance(bins, AnnData):
        table = region_table(bins)
    elif isinstance(bins, pd.DataFrame):
        lacking = [c for c in (CHROM, START, END) if c not in bins]
        if lacking:
            raise ChromatellError(f"bins lacks the columns {examples(lacking)}. Give the var of an AnnData of bins.")
        named = bins[[CHROM, START, END]]
        if isinstance(named.index, pd.RangeIndex):  # no names: what is read from a BED
            places = named[CHROM].astype(str) + ":" + named[START].astype(str) + "-" + named[END].astype(str)
            named = named.set_axis(pd.Index(places, dtype=object))
        table = region_table(AnnData(obs=pd.DataFrame(index=["cell"]), var=named))
    elif isinstance(bins, pd.Index | pd.Series | np.ndarray | list | tuple):
        table = region_table(AnnData(obs=pd.DataFrame(index=["cell"]), var=pd.DataFrame(index=[str(b) for b in bins])))
    else:
        raise ChromatellError(
            f"bins is a {type(bins).__name__}; the AnnData whose bins to take, its var, or the names of a model's, "
            "bins=model.regions, is needed: bins=binned."
        )
    if table.empty:
        raise ChromatellError("bins is empty; at least one bin is needed, such as those of a model: model.regions.")
    if not table.index.is_unique:
        raise ChromatellError(
            f"bins names {examples(table.index[table.index.duplicated()])} more than once; each bin needs a name of "
            "its own: var_names_make_unique()."
        )
    return table
