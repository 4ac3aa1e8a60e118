"""Bins of one size to a bigWig: blocks of values in the form that takes fewest bytes, zoom levels, indexes.

pybigtools writes intervals alone, of 12 bytes and one Python tuple each: three times the bytes of dense bins.

Kent et al., BigWig and BigBed: enabling browsing of large distributed datasets (Bioinformatics, 2010), supplement.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import BinaryIO

import numpy as np

from chromatell.io._bigwig_guard import INDEX, MAGIC, TREE

_RUNS, _RECORDS = 1024, 512  # of a block: of data, of a zoom level
_ZOOMS, _FIRST, _STEP = 10, 20, 4  # levels; the first in mean lengths of a run; and from one to the next
_NODE = 256  # entries of a node of an index
_INTERVALS, _STARTS, _STEPS = 1, 2, 3  # forms of a block
_INTERVAL = np.dtype([("start", "<u4"), ("end", "<u4"), ("value", "<f4")])
_START = np.dtype([("start", "<u4"), ("value", "<f4")])
_ZOOM = [("chrom", "<u4"), ("start", "<u4"), ("end", "<u4"), ("n", "<u4")]
_SUMS = ("min", "max", "sum", "squares")
_RECORD = np.dtype([*_ZOOM, *((name, "<f8") for name in _SUMS)])
_WRITTEN = np.dtype([*_ZOOM, *((name, "<f4") for name in _SUMS)])
_SPAN = [("c0", "<u4"), ("s0", "<u4"), ("c1", "<u4"), ("s1", "<u4"), ("at", "<u8")]
_LEAF, _INNER = np.dtype([*_SPAN, ("size", "<u8")]), np.dtype(_SPAN)


def run_starts(values: np.ndarray) -> np.ndarray:
    """Return where stretches of one value begin, int64; each NaN is one of its own."""
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
        Mean number of bins of a stretch of one value.
    pieces
        Gives a chromosome's values, float32, in pieces; NaN where there are none.

    Notes
    -----
    Peak memory: a few pieces, and 48 bytes for each ten runs of one value.
    """
    longest = max(sizes.values())
    widths = [max(2, int(_FIRST * mean_run)) * bin_size * _STEP**i for i in range(_ZOOMS)]
    widths = widths[: 1 + sum(width < longest for width in widths[1:])]
    summary_at = 64 + 24 * len(widths)
    with path.open("wb") as file:
        file.seek(summary_at + 40)
        _chrom_tree(file, sizes)
        data_at = file.tell()
        file.write(bytes(8))
        data, finest = _Blocks(file), []
        for i, (chrom, size) in enumerate(sizes.items()):
            low, parts = 0, [np.zeros(0, _RECORD)]
            for values in pieces(chrom):
                for span, block in _blocks_of(i, values, low, bin_size, size):
                    data.add(span, block)
                parts.append(_binned(i, values, low, bin_size, size, widths[0]))
                low += values.size
            finest.append(_coarser(np.concatenate(parts), widths[0], size))  # a record may stand in two pieces
        index_at = file.tell()
        _index(file, data, _RUNS)
        zooms, largest = b"", data.largest
        for width in widths:
            zoom_at = file.tell()
            levels = [_coarser(level, width, size) for level, size in zip(finest, sizes.values(), strict=True)]
            file.write(struct.pack("<I", sum(map(len, levels))))
            zoom = _Blocks(file)
            for level in levels:
                for k in range(0, len(level), _RECORDS):
                    part = level[k : k + _RECORDS]
                    chrom_of = int(part["chrom"][0])
                    zoom.add((chrom_of, part["start"][0], chrom_of, part["end"][-1]), part.astype(_WRITTEN).tobytes())
            zooms += struct.pack("<IIQQ", width, 0, zoom_at, file.tell())
            _index(file, zoom, _RECORDS)
            finest, largest = levels, max(largest, zoom.largest)
        file.write(struct.pack("<I", MAGIC))
        file.seek(data_at)
        file.write(struct.pack("<Q", len(data.spans)))
        file.seek(0)
        places = (summary_at + 40, data_at, index_at)
        file.write(struct.pack("<IHHQQQHHQQIQ", MAGIC, 4, len(widths), *places, 0, 0, 0, summary_at, largest, 0))
        file.write(zooms + _summary(np.concatenate(levels)))


class _Blocks:
    """Packed blocks of a file, one after the other, and the stretch of the genome that each is of."""

    def __init__(self, file: BinaryIO) -> None:
        self.file, self.largest = file, 0
        self.spans: list[tuple[int, ...]] = []  # as in _LEAF

    def add(self, span: tuple[int, int, int, int], block: bytes) -> None:
        packed = zlib.compress(block, 1)  # 6 saves no byte of a float and takes twice as long
        self.spans.append((*span, self.file.tell(), len(packed)))
        self.largest = max(self.largest, len(block))
        self.file.write(packed)


def _blocks_of(
    chrom: int, values: np.ndarray, low: int, bin_size: int, size: int
) -> Iterator[tuple[tuple[int, int, int, int], bytes]]:
    """Yield the blocks of values that begin at bin `low`: runs of one value, or bins where these take fewer bytes."""
    first = run_starts(values)
    after = np.append(first[1:], values.size)
    there = ~np.isnan(values[first])
    first, after = first[there], after[there]
    if not first.size:
        return
    run = after - first
    begin, value = (first + low) * bin_size, values[first]
    end = np.minimum((after + low) * bin_size, size)
    edges = np.arange(0, first.size, _RUNS)
    last = np.minimum(edges + _RUNS, first.size) - 1
    n_bins = np.add.reduceat(run, edges)
    even = np.minimum.reduceat(run, edges) == np.maximum.reduceat(run, edges)
    even &= (after[last] + low) * bin_size <= size  # the last bin of a chromosome may be a shorter one
    whole = (after[last] - first[edges] == n_bins) & ((after[last] + low) * bin_size <= size)
    for k, (a, z) in enumerate(zip(edges.tolist(), (last + 1).tolist(), strict=True)):
        start, stop = int(begin[a]), int(end[z - 1])
        form, step, span = _INTERVALS, 0, 0
        if whole[k] and 4 * n_bins[k] <= (8 if even[k] else 12) * (z - a):
            form, step, span, n = _STEPS, bin_size, bin_size, int(n_bins[k])
            items = values[first[a] : after[z - 1]].astype("<f4").tobytes()
        elif even[k]:
            form, span, n = _STARTS, int(run[a]) * bin_size, z - a
            items = _rows(_START, start=begin[a:z], value=value[a:z]).tobytes()
        else:
            n = z - a
            items = _rows(_INTERVAL, start=begin[a:z], end=end[a:z], value=value[a:z]).tobytes()
        head = struct.pack("<IIIIIBBH", chrom, start, stop, step, span, form, 0, n)
        yield (chrom, start, chrom, stop), head + items


def _rows(dtype: np.dtype, **columns: np.ndarray) -> np.ndarray:
    found = np.empty(len(next(iter(columns.values()))), dtype)
    for name, column in columns.items():
        found[name] = column
    return found


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
    found = _rows(
        _RECORD,
        chrom=np.full(starts.size, chrom),
        start=starts,
        end=np.minimum(starts + width, size),
        n=bases.reshape(shape).sum(axis=1),
        min=np.where(none, np.inf, whole).reshape(shape).min(axis=1),
        max=np.where(none, -np.inf, whole).reshape(shape).max(axis=1),
        sum=(zero * bases).reshape(shape).sum(axis=1),
        squares=(zero**2 * bases).reshape(shape).sum(axis=1),
    )
    return found[found["n"] > 0]


def _coarser(level: np.ndarray, width: int, size: int) -> np.ndarray:
    """Return the records of a chromosome, gathered in stretches of `width`."""
    stretch = level["start"] // width
    edges = np.flatnonzero(np.diff(stretch, prepend=-1))
    if edges.size == len(level):
        return level
    found = level[edges].copy()
    found["start"] = stretch[edges] * width
    found["end"] = np.minimum(found["start"].astype(np.int64) + width, size)
    for name, gather in (("min", np.minimum), ("max", np.maximum), ("n", np.add), ("sum", np.add), ("squares", np.add)):
        found[name] = gather.reduceat(level[name], edges)
    return found


def _summary(level: np.ndarray) -> bytes:
    held = (int(level["n"].sum()), level["min"].min(), level["max"].max(), level["sum"].sum(), level["squares"].sum())
    return struct.pack("<Qdddd", *held)


def _index(file: BinaryIO, blocks: _Blocks, items: int) -> None:
    """Write the R tree over blocks, which are in the order of the genome."""
    leaves = np.array(blocks.spans, dtype=_LEAF)
    span = (leaves["c0"][0], leaves["s0"][0], leaves["c1"][-1], leaves["s1"][-1])
    file.write(struct.pack("<IIQIIIIQII", INDEX, _NODE, len(leaves), *span, file.tell(), items, 0))

    def above(first: np.ndarray, last: np.ndarray) -> np.ndarray:
        return _rows(_INNER, c0=first["c0"], s0=first["s0"], c1=last["c1"], s1=last["s1"])

    _nodes(file, leaves, above)


def _chrom_tree(file: BinaryIO, sizes: Mapping[str, int]) -> None:
    names = [name.encode() for name in sizes]
    key = max(map(len, names))
    leaves = _rows(np.dtype([("key", f"S{key}"), ("id", "<u4"), ("size", "<u4")]),
                   key=np.array(names), id=np.arange(len(names)), size=np.array([*sizes.values()]))  # fmt: skip
    file.write(struct.pack("<IIIIQQ", TREE, _NODE, key, 8, len(names), 0))
    inner = np.dtype([("key", f"S{key}"), ("at", "<u8")])
    _nodes(file, leaves, lambda first, last: _rows(inner, key=first["key"]))


def _nodes(file: BinaryIO, leaves: np.ndarray, above: Callable[[np.ndarray, np.ndarray], np.ndarray]) -> None:
    """Write a tree, its root first; `above` makes entries of the first and the last entries of nodes."""
    levels: Sequence[np.ndarray] = [leaves]
    while len(levels[0]) > _NODE:
        edges = np.arange(0, len(levels[0]), _NODE)
        last = np.minimum(edges + _NODE, len(levels[0])) - 1
        levels = [above(levels[0][edges], levels[0][last]), *levels]
    at = file.tell()
    for level, below in zip(levels, [*levels[1:], None], strict=True):
        at += 4 * -(-len(level) // _NODE) + level.nbytes
        if below is not None:
            level["at"] = at + np.arange(len(level)) * (4 + _NODE * below.itemsize)
        for k in range(0, len(level), _NODE):
            part = level[k : k + _NODE]
            file.write(struct.pack("<BBH", below is None, 0, len(part)) + part.tobytes())
