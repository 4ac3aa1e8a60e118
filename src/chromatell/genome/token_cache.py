"""A genome's tokens in one file, one byte a base, mapped into memory and checked as it is read.

Layout: 32 bytes (magic, length and CRC-32 of the header, CRC-32 of the sums, number of bases), the header (JSON: the
FASTA's size, time and sequence names with lengths), zeros up to a multiple of 4,096, the tokens, then the sums: a
CRC-32 of each 256 kB of tokens, uint32.
"""

from __future__ import annotations

import json
import os
import struct
import uuid
import zlib
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from chromatell._progress import progress
from chromatell._settings import file_name, logger
from chromatell._validate import ChromatellError
from chromatell.genome.fasta import FastaReader, MisfitError, given_index, indexed_sizes
from chromatell.genome.sequence import UNKNOWN

_MAGIC = b"CTLTOK01"
_FIXED = struct.Struct("<8sQIIQ")
_PAGE = 4096
_BLOCK = 1 << 18  # bases under one sum
_MAX_HEADER = 1 << 30


class TokenCache:
    """Tokens of all sequences of a FASTA, end to end, from a cache file.

    Attributes
    ----------
    path
        The file.
    sizes
        Name to length in bp, in the FASTA's order.
    tokens
        int8 (bases,), read-only map of the file.
    """

    def __init__(self, path: Path, sizes: dict[str, int], tokens: np.ndarray, sums: np.ndarray) -> None:
        self.path = path
        self.sizes = sizes
        self.tokens = tokens
        self._sums = sums
        self._checked = np.zeros(sums.size, dtype=bool)

    def intact(self, first: np.ndarray, last: np.ndarray) -> bool:
        """Return whether the blocks that hold the bases from `first` to `last` (both included) are as written.

        Each block is read once for its sum; later calls cost nothing.
        """
        if self._checked.all():
            return True
        change = np.zeros(self._sums.size + 1, dtype=np.int64)
        np.add.at(change, first // _BLOCK, 1)
        np.add.at(change, last // _BLOCK + 1, -1)
        wanted = np.cumsum(change[:-1]) > 0
        for i in np.flatnonzero(wanted & ~self._checked):
            block = self.tokens[i * _BLOCK : (i + 1) * _BLOCK]
            if zlib.crc32(block.data) != self._sums[i] or block.view(np.uint8).max() > UNKNOWN:
                return False
            self._checked[i] = True
        return True


def fasta_key(fasta: Path) -> dict[str, int]:
    """Return what tells one state of a FASTA from another: its size in bytes and time of change in ns."""
    state = fasta.stat()
    return {"size": int(state.st_size), "mtime_ns": int(state.st_mtime_ns)}


def open_cache(path: Path, fasta: Path) -> TokenCache | None:
    """Return the cache if it is there, whole, and of this FASTA as it is now; else None, and the log says why."""
    try:
        with path.open("rb") as handle:
            cache, reason = _read(handle, path, fasta)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, LookupError, TypeError, AttributeError, struct.error) as error:
        cache, reason = None, f"is damaged ({error})"
    if cache is None:
        logger.info("The token cache %s %s; the FASTA is encoded anew.", file_name(path), reason)
    return cache


def _read(handle: BinaryIO, path: Path, fasta: Path) -> tuple[TokenCache | None, str]:
    size = os.fstat(handle.fileno()).st_size
    magic, n_header, crc_header, crc_sums, n = _FIXED.unpack(handle.read(_FIXED.size))
    if magic != _MAGIC or n_header > min(size, _MAX_HEADER):
        return None, "is damaged or of another version"
    start = _aligned(_FIXED.size + n_header)
    n_blocks = -(-n // _BLOCK)
    if size != start + n + 4 * n_blocks:
        return None, f"is damaged ({size} bytes where {start + n + 4 * n_blocks} are needed)"
    text = handle.read(n_header)
    handle.seek(start + n)
    raw = handle.read(4 * n_blocks)
    if zlib.crc32(text) != crc_header or zlib.crc32(raw) != crc_sums:
        return None, "is damaged (its header or sums)"
    header = json.loads(text)
    key = fasta_key(fasta)
    if {k: header[k] for k in key} != key:
        return None, "is of an earlier state of the FASTA"
    sizes = {str(name): int(length) for name, length in header["sequences"]}
    index = given_index(fasta)
    if index is not None and fasta_key(index[0]) != header["refused_index"] and indexed_sizes(fasta) != sizes:
        return None, "has other sequence names than the FASTA's index"
    tokens = np.asarray(np.memmap(handle, dtype=np.int8, mode="r", offset=start, shape=(n,)))
    return TokenCache(path, sizes, tokens, np.frombuffer(raw, dtype="<u4")), ""


def write_cache(path: Path, fasta: Path) -> None:
    """Encode a FASTA into `path`: written beside and renamed, so that no process ever sees a part of it.

    Raises
    ------
    ChromatellError
        The FASTA cannot be read, holds no base, or changed meanwhile.
    OSError
        The folder cannot be written to.
    """
    part = path.with_name(f".{path.name}.{uuid.uuid4().hex}.part")
    index = given_index(fasta)
    try:
        with part.open("xb") as handle:
            key: dict[str, Any] = fasta_key(fasta)
            try:
                _write(handle, fasta, index, {**key, "refused_index": {}})
            except MisfitError as error:
                if index is None:
                    raise
                logger.warning("%s: %s An index is made in place of %s.", fasta.name, error, index[0].name)
                _write(handle, fasta, None, {**key, "refused_index": fasta_key(index[0])})
            handle.flush()
            os.fsync(handle.fileno())
        if fasta_key(fasta) != key:
            raise ChromatellError(f"{str(fasta)!r} changed while it was read. Run this again once it is complete.")
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def _write(handle: BinaryIO, fasta: Path, index: tuple[Path, Path] | None, key: dict[str, Any]) -> None:
    handle.seek(0)
    handle.truncate()
    with FastaReader(fasta, index) as reader:
        total = sum(reader.sizes.values())
        header = json.dumps({**key, "sequences": list(reader.sizes.items())}).encode()
        handle.seek(_aligned(_FIXED.size + len(header)))
        sums: list[int] = []
        filled = crc = known = 0
        with progress(f"Encoding {fasta.name}", total, "bp") as advance:
            for name in reader.sizes:
                for tokens in reader.tokens(name):
                    handle.write(tokens.data)
                    known += int((tokens < UNKNOWN).sum())
                    for piece in _to_block_ends(tokens, filled % _BLOCK):
                        crc = zlib.crc32(piece.data, crc)
                        filled += piece.size
                        if filled % _BLOCK == 0:
                            sums.append(crc)
                            crc = 0
                    advance(tokens.size)
        if list(reader.sizes.values())[-1]:
            reader.check_end()
    if not known:
        raise ChromatellError(f"{str(fasta)!r} holds no A, C, G or T in {total} bases. Give the sequence of a genome.")
    if filled % _BLOCK:
        sums.append(crc)
    raw = np.array(sums, dtype="<u4").tobytes()
    handle.write(raw)
    handle.seek(0)
    handle.write(_FIXED.pack(_MAGIC, len(header), zlib.crc32(header), zlib.crc32(raw), total) + header)


def _to_block_ends(tokens: np.ndarray, used: int) -> list[np.ndarray]:
    """Return the tokens cut where a block, `used` bases of which are there already, is full."""
    return np.split(tokens, np.arange(_BLOCK - used, tokens.size, _BLOCK))


def _aligned(n: int) -> int:
    return -(-n // _PAGE) * _PAGE
