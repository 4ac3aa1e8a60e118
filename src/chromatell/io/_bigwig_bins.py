"""Bins of one size to a bigWig: runs of one value, or bins where these take fewer bytes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import numpy as np

from chromatell.io._bigwig_file import FIRST, RECORD, RUNS, Block, Piece, rows, runs_block, steps_block, write_file


def run_starts(values: np.ndarray) -> np.ndarray:
    """Return where intervals of one value begin, int64; each NaN is one of its own."""
    return np.flatnonzero(np.diff(values, prepend=np.nan) != 0)  # NaN differs from everything, itself too


def write_bins(
    path: Path, sizes: Mapping[str, int], bin_size: int, mean_run: float, pieces: Callable[[str], Iterator[np.ndarray]]
) -> None:
    """Write one track.

    Parameters
    ----------
    sizes
        Chromosome to length in bp, in the order of their names, which is that of the file.
    mean_run
        Mean number of bins of an interval of one value.
    pieces
        Gives a chromosome's values, float32, in pieces; NaN where there are none.

    Notes
    -----
    Peak memory: a few pieces, and 48 bytes for each ten runs of one value.
    """
    width = max(2, int(FIRST * mean_run)) * bin_size

    def of(i: int, chrom: str, size: int) -> Iterator[Piece]:
        low = 0
        for values in pieces(chrom):
            yield _blocks_of(i, values, low, bin_size, size), _binned(i, values, low, bin_size, size, width)
            low += values.size

    write_file(path, sizes, width, of)


def _blocks_of(chrom: int, values: np.ndarray, low: int, bin_size: int, size: int) -> Iterator[Block]:
    """Yield the blocks of values that begin at bin `low`: runs of one value, or bins where these take fewer bytes."""
    first = run_starts(values)
    after = np.append(first[1:], values.size)
    known = ~np.isnan(values[first])
    first, after = first[known], after[known]
    if not first.size:
        return
    run = after - first
    begin, value = (first + low) * bin_size, values[first]
    end = np.minimum((after + low) * bin_size, size)
    edges = np.arange(0, first.size, RUNS)
    last = np.minimum(edges + RUNS, first.size) - 1
    n_bins = np.add.reduceat(run, edges)
    even = np.minimum.reduceat(run, edges) == np.maximum.reduceat(run, edges)
    even &= (after[last] + low) * bin_size <= size  # the last bin of a chromosome may be a shorter one
    whole = (after[last] - first[edges] == n_bins) & ((after[last] + low) * bin_size <= size)
    for k, (a, z) in enumerate(zip(edges.tolist(), (last + 1).tolist(), strict=True)):
        if whole[k] and 4 * n_bins[k] <= (8 if even[k] else 12) * (z - a):
            yield steps_block(chrom, int(begin[a]), bin_size, values[first[a] : after[z - 1]])
        else:
            yield runs_block(chrom, begin[a:z], end[a:z], value[a:z])


def _binned(chrom: int, values: np.ndarray, low: int, bin_size: int, size: int, width: int) -> np.ndarray:
    """Return the finest records, those with data, of values that begin at bin `low`."""
    per = width // bin_size
    before, n = low % per, low % per + values.size
    whole = np.full(-(-n // per) * per, np.nan)
    whole[before:n] = values
    bases = np.full(whole.size, bin_size)
    bases[n - 1] = min(bin_size, size - (low + values.size - 1) * bin_size)
    none = np.isnan(whole)
    bases[none] = 0
    zero = np.where(none, 0, whole)
    shape = (-1, per)
    starts = (low // per + np.arange(whole.size // per)) * width
    records = rows(
        RECORD,
        chrom=np.full(starts.size, chrom),
        start=starts,
        end=np.minimum(starts + width, size),
        n=bases.reshape(shape).sum(axis=1),
        min=np.where(none, np.inf, whole).reshape(shape).min(axis=1),
        max=np.where(none, -np.inf, whole).reshape(shape).max(axis=1),
        sum=(zero * bases).reshape(shape).sum(axis=1),
        squares=(zero**2 * bases).reshape(shape).sum(axis=1),
    )
    return records[records["n"] > 0]
