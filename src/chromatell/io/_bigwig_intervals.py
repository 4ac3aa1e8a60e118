"""Intervals that do not overlap, such as regions, to a bigWig."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

from chromatell.io._bigwig_file import FIRST, RECORD, RUNS, STEP, Piece, rows, runs_block, write_file


def write_intervals(
    path: Path,
    sizes: Mapping[str, int],
    starts: Mapping[str, np.ndarray],
    ends: Mapping[str, np.ndarray],
    values: Mapping[str, np.ndarray],
) -> None:
    """Write one track.

    Parameters
    ----------
    sizes
        Chromosome to length in bp, in the order of their names, which is that of the file.
    starts, ends, values
        Chromosome to (intervals,): 0-based half-open and sorted, none empty, one at least in all; finite values.
    """
    lengths = {chrom: ends[chrom].astype(np.int64) - starts[chrom] for chrom in starts}
    n = sum(map(len, lengths.values()))
    width = max(2, int(FIRST * sum(int(of.sum()) for of in lengths.values()) / n))
    while width < max(sizes.values()) and 2 * sum(_n_records(starts[c], ends[c], width) for c in starts) > n:
        width *= STEP  # a level that is half as long as the data, or longer, saves a browser nothing

    def pieces(i: int, chrom: str, size: int) -> Iterator[Piece]:
        if len(starts.get(chrom, ())):
            begin, end, value = starts[chrom], ends[chrom], values[chrom].astype(np.float32)
            blocks = (
                runs_block(i, begin[at : at + RUNS], end[at : at + RUNS], value[at : at + RUNS])
                for at in range(0, len(begin), RUNS)
            )
            yield blocks, _records(i, begin, end, value.astype(np.float64), size, width)

    write_file(path, sizes, width, pieces)


def _n_records(start: np.ndarray, end: np.ndarray, width: int) -> int:
    first, last = start // width, (end - 1) // width
    shared = int(np.count_nonzero(first[1:] == last[:-1]))
    return int((last - first + 1).sum()) - shared


def _records(chrom: int, start: np.ndarray, end: np.ndarray, value: np.ndarray, size: int, width: int) -> np.ndarray:
    """Return a record for each part of an interval that lies in one interval of `width`."""
    first = start // width
    n = (end - 1) // width - first + 1
    of = np.repeat(np.arange(len(start)), n)
    interval = first[of] + np.arange(len(of)) - (np.cumsum(n) - n)[of]
    low, high = interval * width, np.minimum((interval + 1) * width, size)
    bases = np.minimum(end[of], high) - np.maximum(start[of], low)
    value = value[of]
    return rows(
        RECORD, chrom=np.full(len(of), chrom), start=low, end=high, n=bases,
        min=value, max=value, sum=value * bases, squares=value**2 * bases,
    )  # fmt: skip
