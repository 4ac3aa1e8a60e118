"""How large a chunk of a Zarr array gets when it is decompressed, told from its first bytes."""

from __future__ import annotations

import os
from math import prod
from pathlib import Path
from typing import BinaryIO

from chromatell._errors import ChromatellError
from chromatell.io._limits import REFUSED
from chromatell.io._record import MAX_JSON
from chromatell.io._zarr_layout import Layout

_MAX_TEXT = MAX_JSON + 64 * 1024
_BOUNDED = frozenset({"", "zstd", "blosc", "lz4"})  # a chunk says how large it gets
_MAX_DEFLATED = 4 * 1024**2  # one that does not say: 1032-fold at most
_HEAD = 18  # bytes: the longest header, of zstd
_ABSENT = b"\xff" * 16  # the index entry of a chunk that is not stored


def inflated(path: Path, size: int, layout: Layout, model: bool) -> int:
    """Return the bytes in memory that a chunk's file says it takes; a model's may be no more than the array's own.

    In data, a compressor that does not tell counts as nothing; in a model it is refused.
    """
    if not model and layout.packed not in _BOUNDED:
        return 0
    with path.open("rb") as handle:
        if layout.inner is None:
            limit = prod(layout.chunks) * layout.itemsize if layout.itemsize else _MAX_TEXT
            return _said(handle.read(_HEAD), path, size, layout.packed, limit if model else None)
        limit = prod(layout.inner) * layout.itemsize if layout.itemsize else _MAX_TEXT
        total = 0
        for start, length in _shard_index(handle, path, size, layout):
            handle.seek(start)
            total += _said(handle.read(min(_HEAD, length)), path, length, layout.packed, limit if model else None)
        return total


def _shard_index(handle: BinaryIO, path: Path, size: int, layout: Layout) -> list[tuple[int, int]]:
    """Return (start, length) of the chunks in a shard, from the index at its end (Zarr's sharding codec, version 1)."""
    inner = layout.inner or layout.chunks
    n = prod(-(-outer // max(one, 1)) for outer, one in zip(layout.chunks, inner, strict=True))
    if size < 16 * n + 4:
        raise ChromatellError(f"{path} is a shard cut short: {size} bytes, {n} chunks. Copy it again.")
    handle.seek(-(16 * n + 4), os.SEEK_END)
    index = handle.read(16 * n)
    entries = [index[i : i + 16] for i in range(0, 16 * n, 16)]
    spans = [(int.from_bytes(e[:8], "little"), int.from_bytes(e[8:], "little")) for e in entries if e != _ABSENT]
    if any(start + length > size for start, length in spans):
        raise ChromatellError(f"{path} is a shard whose chunks lie outside of it. {REFUSED}")
    return spans


def _said(head: bytes, path: Path, size: int, packed: str, limit: int | None) -> int:
    """Return the size that a chunk says it has when decompressed."""
    if packed == "":
        said = size
    elif packed == "blosc":
        said = int.from_bytes(head[4:8], "little")
    elif packed == "lz4":
        said = int.from_bytes(head[:4], "little")
    elif packed == "zstd":
        said = _zstd_size(head, path)
    elif packed in ("gzip", "zlib") and size <= _MAX_DEFLATED:
        said = 0
    else:
        raise ChromatellError(
            f"{path} is a chunk of a model, compressed by {packed!r}, whose size in memory cannot be told before it is "
            "read. Write the store again with the default codecs, ctl.io.write(mdata, 'new.zarr'), or use .h5mu."
        )
    # Codecs pad a little: a chunk may say slightly more than the array's own bytes, but never a multiple of it.
    if limit is not None and said > limit + 1024:
        raise ChromatellError(f"{path} is a chunk of at most {limit} bytes that would inflate to {said}. {REFUSED}")
    return said


def _zstd_size(head: bytes, path: Path) -> int:
    """Return the content size in a zstd frame's header (RFC 8878, section 3.1.1)."""
    if head[:4] != b"\x28\xb5\x2f\xfd" or len(head) < 6:
        raise ChromatellError(f"{path} is not a zstd chunk, though its metadata says so; it is damaged. {REFUSED}")
    descriptor = head[4]
    single = bool(descriptor & 0x20)
    width = (1 if single else 0, 2, 4, 8)[descriptor >> 6]
    if width == 0:
        raise ChromatellError(f"{path} is a zstd chunk that does not say how large it gets. {REFUSED}")
    start = 5 + (0 if single else 1) + (0, 1, 2, 4)[descriptor & 3]
    return int.from_bytes(head[start : start + width], "little") + (256 if width == 2 else 0)
