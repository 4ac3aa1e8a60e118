"""Sorted text as BGZF with a tabix index, so that other tools can look up an interval (Li, Bioinformatics 2011)."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

_BLOCK = 65_280  # bytes of text in a block
_HEAD = b"\x1f\x8b\x08\x04\x00\x00\x00\x00\x00\xff\x06\x00BC\x02\x00"
_END = bytes.fromhex("1f8b08040000000000ff0600424302001b0003000000000000000000")
_LINEAR = 14  # log2 of the interval of an entry of the linear index
_UCSC = 0x10000  # 0-based, half-open, as BED


def write_bgzf(path: Path, text: bytes) -> np.ndarray:
    """Write text as BGZF and return the place of each block in the file, int64 (blocks + 1,)."""
    places = [0]
    with path.open("wb") as file:
        for start in range(0, len(text), _BLOCK):
            piece = text[start : start + _BLOCK]
            packer = zlib.compressobj(6, zlib.DEFLATED, -15)
            packed = packer.compress(piece) + packer.flush()
            size = len(_HEAD) + 2 + len(packed) + 8
            file.write(_HEAD + struct.pack("<H", size - 1) + packed + struct.pack("<II", zlib.crc32(piece), len(piece)))
            places.append(places[-1] + size)
        file.write(_END)
    return np.array(places, dtype=np.int64)


def write_index(
    path: Path,
    blocks: np.ndarray,
    lines: np.ndarray,
    chroms: Sequence[str],
    chrom: np.ndarray,
    start: np.ndarray,
    end: np.ndarray,
) -> None:
    """Write the tabix index of lines that are sorted by chromosome and start.

    Parameters
    ----------
    path
        The `.tbi`.
    blocks
        What `write_bgzf` returned.
    lines
        int64 (n + 1,): where each line starts in the text, and where the last ends.
    chroms
        Their names, in the order of the file.
    chrom, start, end
        int64 (n,): number of the chromosome, and the 0-based, half-open interval.
    """
    virtual = (blocks[lines // _BLOCK] << 16) | (lines % _BLOCK)
    names = b"".join(name.encode() + b"\0" for name in chroms)
    out = [b"TBI\x01", struct.pack("<8i", len(chroms), _UCSC, 1, 2, 3, ord("#"), 0, len(names)), names]
    for c in range(len(chroms)):
        first, last = np.searchsorted(chrom, [c, c + 1])
        out += _of_chromosome(virtual[first : last + 1], start[first:last], end[first:last])
    write_bgzf(path, b"".join(out))


def _of_chromosome(virtual: np.ndarray, start: np.ndarray, end: np.ndarray) -> Iterator[bytes]:
    bins = _bin(start, end)
    order = np.argsort(bins, kind="stable")
    cuts = np.flatnonzero(np.diff(bins[order])) + 1
    groups = np.split(order, cuts) if order.size else []
    yield struct.pack("<i", len(groups))
    for group in groups:
        runs = np.split(group, np.flatnonzero(np.diff(group) > 1) + 1)  # neighbouring lines are one part of the file
        yield struct.pack("<Ii", int(bins[group[0]]), len(runs))
        for run in runs:
            yield struct.pack("<QQ", int(virtual[run[0]]), int(virtual[run[-1] + 1]))
    n = int((end.max() - 1) >> _LINEAR) + 1 if end.size else 0
    linear = np.full(n, virtual[-1] if virtual.size else 0, dtype=np.int64)
    for i in range(start.size - 1, -1, -1):
        linear[start[i] >> _LINEAR : ((end[i] - 1) >> _LINEAR) + 1] = virtual[i]
    for w in range(n - 2, -1, -1):
        linear[w] = min(linear[w], linear[w + 1])
    yield struct.pack("<i", n)
    yield linear.astype("<u8").tobytes()


def _bin(start: np.ndarray, end: np.ndarray) -> np.ndarray:
    """Return the smallest bin of the UCSC scheme that holds each interval."""
    last = end - 1
    out = np.zeros(start.size, dtype=np.int64)
    for shift, offset in ((26, 1), (23, 9), (20, 73), (17, 585), (14, 4681)):
        same = (start >> shift) == (last >> shift)
        out[same] = offset + (start[same] >> shift)
    return out
