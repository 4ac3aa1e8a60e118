"""The layout of a bigWig: blocks of values in the form that takes fewest bytes, zoom levels, indexes.

What is written comes as pieces of a chromosome; `_bigwig_bins` and `_bigwig_intervals` make them. pybigtools writes
intervals alone, of 12 bytes and one Python tuple each (three times the bytes of dense bins), and takes seconds for a
few of them on long chromosomes.

Kent et al., BigWig and BigBed: enabling browsing of large distributed datasets (Bioinformatics, 2010), supplement.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import BinaryIO

import numpy as np

from chromatell._validate import ChromatellError
from chromatell.io._bigwig_guard import INDEX, MAGIC, TREE

RUNS = 1024  # runs of a block of data
STEP = 4  # from one zoom level to the next
FIRST = 20  # width of the first zoom level, in mean lengths of a run
_RECORDS = 512  # records of a block of a zoom level
_ZOOMS = 10  # levels
_NODE = 256  # entries of a node of an index
_INTERVALS, _STARTS, _STEPS = 1, 2, 3  # forms of a block
_INTERVAL = np.dtype([("start", "<u4"), ("end", "<u4"), ("value", "<f4")])
_START = np.dtype([("start", "<u4"), ("value", "<f4")])
_ZOOM = [("chrom", "<u4"), ("start", "<u4"), ("end", "<u4"), ("n", "<u4")]
_SUMS = ("min", "max", "sum", "squares")
RECORD = np.dtype([*_ZOOM, *((name, "<f8") for name in _SUMS)])
_WRITTEN = np.dtype([*_ZOOM, *((name, "<f4") for name in _SUMS)])
_SPAN = [("c0", "<u4"), ("s0", "<u4"), ("c1", "<u4"), ("s1", "<u4"), ("at", "<u8")]
_LEAF, _INNER = np.dtype([*_SPAN, ("size", "<u8")]), np.dtype(_SPAN)

Block = tuple[tuple[int, int, int, int], bytes]  # the interval of the genome, as in _LEAF, and the bytes
Piece = tuple[
    Iterable[Block], np.ndarray
]  # blocks of data in order, and the finest records (RECORD) of the same values


def check_lengths(sizes: Mapping[str, int]) -> None:
    """Raise where a chromosome is longer than a bigWig can say."""
    if max(sizes.values()) >= 1 << 32:
        raise ChromatellError("A bigWig holds positions below 4,294,967,296; a chromosome is longer. Cut it in two.")


def write_file(
    path: Path, sizes: Mapping[str, int], width: int, pieces: Callable[[int, str, int], Iterator[Piece]]
) -> None:
    """Write one track.

    Parameters
    ----------
    sizes
        Chromosome to length in bp, in the order of their names, which is that of the file.
    width
        Width of the finest zoom level, in bp.
    pieces
        Gives what is written of a chromosome, from its number, name and length. A record may stand in two pieces.

    Notes
    -----
    Peak memory: a few pieces, and 48 bytes for each record of the finest level.
    """
    longest = max(sizes.values())
    widths = [width * STEP**i for i in range(_ZOOMS)]
    widths = widths[: 1 + sum(width < longest for width in widths[1:])]
    summary_at = 64 + 24 * len(widths)
    with path.open("wb") as file:
        file.seek(summary_at + 40)
        _chrom_tree(file, sizes)
        data_at = file.tell()
        file.write(bytes(8))
        data, finest = _Blocks(file), []
        for i, (chrom, size) in enumerate(sizes.items()):
            parts = [np.zeros(0, RECORD)]
            for blocks, records in pieces(i, chrom, size):
                for span, block in blocks:
                    data.add(span, block)
                parts.append(records)
            finest.append(_coarser(np.concatenate(parts), width, size))
        index_at = file.tell()
        _index(file, data, RUNS)
        zooms, largest = b"", data.largest
        for wide in widths:
            zoom_at = file.tell()
            levels = [_coarser(level, wide, size) for level, size in zip(finest, sizes.values(), strict=True)]
            file.write(struct.pack("<I", sum(map(len, levels))))
            zoom = _Blocks(file)
            for level in levels:
                for k in range(0, len(level), _RECORDS):
                    part = level[k : k + _RECORDS]
                    chrom_of = int(part["chrom"][0])
                    zoom.add((chrom_of, part["start"][0], chrom_of, part["end"][-1]), part.astype(_WRITTEN).tobytes())
            zooms += struct.pack("<IIQQ", wide, 0, zoom_at, file.tell())
            _index(file, zoom, _RECORDS)
            finest, largest = levels, max(largest, zoom.largest)
        file.write(struct.pack("<I", MAGIC))
        file.seek(data_at)
        file.write(struct.pack("<Q", len(data.spans)))
        file.seek(0)
        places = (summary_at + 40, data_at, index_at)
        file.write(struct.pack("<IHHQQQHHQQIQ", MAGIC, 4, len(widths), *places, 0, 0, 0, summary_at, largest, 0))
        file.write(zooms + _summary(np.concatenate(levels)))


def runs_block(chrom: int, begin: np.ndarray, end: np.ndarray, value: np.ndarray) -> Block:
    """Return a block of at most `RUNS` intervals of one value each, without their ends where all are equally long."""
    length = int(end[0]) - int(begin[0])
    if (end - begin == length).all():
        return _block(chrom, begin[0], end[-1], _STARTS, 0, length, rows(_START, start=begin, value=value))
    return _block(chrom, begin[0], end[-1], _INTERVALS, 0, 0, rows(_INTERVAL, start=begin, end=end, value=value))


def steps_block(chrom: int, start: int, bin_size: int, values: np.ndarray) -> Block:
    """Return a block of the values of bins, one after the other and none left out."""
    return _block(chrom, start, start + values.size * bin_size, _STEPS, bin_size, bin_size, values.astype("<f4"))


def _block(chrom: int, start: int, end: int, form: int, step: int, span: int, items: np.ndarray) -> Block:
    head = struct.pack("<IIIIIBBH", chrom, start, end, step, span, form, 0, len(items))
    return (chrom, int(start), chrom, int(end)), head + items.tobytes()


def rows(dtype: np.dtype, **columns: np.ndarray) -> np.ndarray:
    """Return a structured array of columns."""
    array = np.empty(len(next(iter(columns.values()))), dtype)
    for name, column in columns.items():
        array[name] = column
    return array


class _Blocks:
    """Packed blocks of a file, one after the other, and the interval of the genome that each is of."""

    def __init__(self, file: BinaryIO) -> None:
        self.file, self.largest = file, 0
        self.spans: list[tuple[int, ...]] = []  # as in _LEAF

    def add(self, span: tuple[int, int, int, int], block: bytes) -> None:
        packed = zlib.compress(block, 1)  # 6 saves no byte of a float and takes twice as long
        self.spans.append((*span, self.file.tell(), len(packed)))
        self.largest = max(self.largest, len(block))
        self.file.write(packed)


def _coarser(level: np.ndarray, width: int, size: int) -> np.ndarray:
    """Return the records of a chromosome, gathered in intervals of `width`."""
    interval = level["start"] // width
    edges = np.flatnonzero(np.diff(interval, prepend=-1))
    if edges.size == len(level):
        return level
    records = level[edges].copy()
    records["start"] = interval[edges] * width
    records["end"] = np.minimum(records["start"].astype(np.int64) + width, size)
    for name, gather in (("min", np.minimum), ("max", np.maximum), ("n", np.add), ("sum", np.add), ("squares", np.add)):
        records[name] = gather.reduceat(level[name], edges)
    return records


def _summary(level: np.ndarray) -> bytes:
    held = (int(level["n"].sum()), level["min"].min(), level["max"].max(), level["sum"].sum(), level["squares"].sum())
    return struct.pack("<Qdddd", *held)


def _index(file: BinaryIO, blocks: _Blocks, items: int) -> None:
    """Write the R tree over blocks, which are in the order of the genome."""
    leaves = np.array(blocks.spans, dtype=_LEAF)
    span = (leaves["c0"][0], leaves["s0"][0], leaves["c1"][-1], leaves["s1"][-1])
    file.write(struct.pack("<IIQIIIIQII", INDEX, _NODE, len(leaves), *span, file.tell(), items, 0))

    def above(first: np.ndarray, last: np.ndarray) -> np.ndarray:
        return rows(_INNER, c0=first["c0"], s0=first["s0"], c1=last["c1"], s1=last["s1"])

    _nodes(file, leaves, above)


def _chrom_tree(file: BinaryIO, sizes: Mapping[str, int]) -> None:
    names = [name.encode() for name in sizes]
    key = max(map(len, names))
    leaves = rows(np.dtype([("key", f"S{key}"), ("id", "<u4"), ("size", "<u4")]),
                   key=np.array(names), id=np.arange(len(names)), size=np.array([*sizes.values()]))  # fmt: skip
    file.write(struct.pack("<IIIIQQ", TREE, _NODE, key, 8, len(names), 0))
    inner = np.dtype([("key", f"S{key}"), ("at", "<u8")])
    _nodes(file, leaves, lambda first, last: rows(inner, key=first["key"]))


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
