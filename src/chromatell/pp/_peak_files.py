"""Lists of peaks, read as `bin_tracks` reads bigWigs: the share of each bin that peaks cover."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from chromatell._keys import CHROM, END, START
from chromatell._settings import logger
from chromatell._validate import ChromatellError, examples
from chromatell.genome.bed import read_bed
from chromatell.genome.chromosome_ends import Ends, within
from chromatell.genome.regions import normalise_chrom

SHARE = "share"  # what the table of tracks says of how they were binned
_SUFFIXES = (".bed", ".narrowpeak", ".broadpeak", ".gappedpeak")
_SUMMIT = "9"  # column of a narrowPeak: bp from the start, -1 where there is none


def is_peaks(path: str | os.PathLike[str]) -> bool:
    """Return whether a file is a list of peaks, by its name.

    Examples
    --------
    >>> is_peaks("K562_H3K27ac.bed.gz"), is_peaks("K562.narrowPeak"), is_peaks("K562.bw")
    (True, True, False)
    """
    name = os.fspath(path).lower()
    for end in (".gz", ".bgz"):
        name = name.removesuffix(end)
    return name.endswith(_SUFFIXES)


class PeakFile:
    """Peaks of one file, in memory; used like an open `BigWig`.

    Parameters
    ----------
    path
        BED, narrowPeak or broadPeak, plain or gzip.
    sizes
        Chromosome to length in bp; peaks on others are left out, `1` and `chr1` being the same.
    width
        In bp: longer peaks are cut to it, around the summit of a narrowPeak or else the middle. None cuts none.

    Attributes
    ----------
    name
        For messages.
    sizes
        Length in bp of each chromosome that has peaks, as the file names it.
    low
        The least value, 0.

    Raises
    ------
    ChromatellError
        No such file, no table of intervals, peaks of another build, or none on these chromosomes.
    """

    low = 0.0

    def __init__(self, path: str | os.PathLike[str], sizes: Mapping[str, int], width: int | None = None) -> None:
        self.path = Path(path)
        self.name = repr(str(self.path))
        table = read_bed(self.path, "the peaks", extra=True)
        known = dict(zip(normalise_chrom(sizes), sizes.values(), strict=True))
        length = normalise_chrom(table[CHROM]).map(known).to_numpy(dtype=np.float64)
        ends = Ends("peaks", "the tracks", sizes, "Give those of their build.")
        within(table, length, ends)
        ends.finish("they are cut there")
        here = np.isfinite(length)
        if not here.any():
            raise ChromatellError(
                f"{self.name}: none of its {len(table):,} peaks ({examples(table[CHROM].unique(), 4)}) is on a "
                f"chromosome of the tracks ({examples(sizes, 4)}). Give the peaks of their species and build."
            )
        table, length = table[here].reset_index(drop=True), length[here].astype(np.int64)
        start, end = table[START].to_numpy(), np.minimum(table[END].to_numpy(), length)
        if width is not None:
            start, end = _cut(table, start, end, width)
        self.sizes: dict[str, int] = {}
        self._peaks: dict[str, tuple[np.ndarray, np.ndarray]] = {}
        for chrom, rows in table.groupby(CHROM, sort=False).indices.items():
            self.sizes[str(chrom)] = int(length[rows[0]])
            self._peaks[str(chrom)] = start[rows], end[rows]
        wide = float(np.median(end - start))
        logger.info("%s: %s peaks, the middle one %s bp wide.", self.name, f"{len(table):,}", f"{wide:,.0f}")

    def __enter__(self) -> PeakFile:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def extremes(self, chroms: Iterable[str]) -> tuple[float, float]:
        """Return the least and the largest value on some chromosomes."""
        return 0.0, float(any(c in self._peaks for c in chroms))

    def binned(
        self,
        chrom: str,
        bin_size: int,
        stat: str = SHARE,
        missing: str = "zero",
        *,
        lowest: bool = False,
        bins: slice | None = None,
    ) -> np.ndarray:
        """Return the share of each bin that is covered, float32 (bins,); 0 outside of `bins`.

        A peak list says of every base whether it lies in a peak: `stat`, `missing` and `lowest` change nothing.
        """
        length = self.sizes[chrom]
        change = np.zeros(length + 1, dtype=np.int32)
        start, end = self._peaks[chrom]
        np.add.at(change, start, 1)
        np.add.at(change, end, -1)
        covered = np.cumsum(change[:-1]) > 0
        n = -(-length // bin_size)
        first = np.arange(n) * bin_size
        values = np.add.reduceat(covered, first, dtype=np.int64) / np.minimum(bin_size, length - first)
        share = np.zeros(n, dtype=np.float32)
        chosen = slice(None) if bins is None else bins
        share[chosen] = values[chosen]
        return share


def _cut(table: pd.DataFrame, start: np.ndarray, end: np.ndarray, width: int) -> tuple[np.ndarray, np.ndarray]:
    """Return peaks of at most `width` bp around their summits, or their middles."""
    centre = (start + end) // 2
    if _SUMMIT in table and len([c for c in table if c not in (CHROM, START, END)]) == 7:
        summit = pd.to_numeric(table[_SUMMIT], errors="coerce").fillna(-1).to_numpy()
        inside = (summit >= 0) & (start + summit < end)
        centre = np.where(inside, start + summit, centre).astype(np.int64)
    low = np.maximum(start, np.minimum(centre - width // 2, end - width))
    return low, np.minimum(end, low + width)
