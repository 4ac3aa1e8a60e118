"""FASTA files, plain or bgzip, read through pyfaidx with bounds on what they may hold."""

from __future__ import annotations

import struct
import tempfile
import zlib
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import numpy as np

from chromatell._errors import as_one_error
from chromatell._validate import ChromatellError
from chromatell.genome.sequence import ENCODE, INVALID

_CHUNK = 1 << 20  # bases read at a time
_HEAD = 1 << 16
_MAX_NAME = 512  # characters of a sequence's name
_MAX_DEFLINE = 1 << 20  # bytes of the whole line
_MAX_SEQUENCES = 5_000_000
_AMINO = b"EFILPQZJefilpqzj"  # letters of proteins that no code of nucleotides uses
_MAX_AMINO = 0.02  # share of a sequence
_NEEDED = "Needed: a FASTA, plain or bgzip (.gz or .bgz), lines of one length in a sequence, such as UCSC's hg38.fa."


class MisfitError(ChromatellError):
    """The file is not as its index describes it."""


def given_index(path: Path) -> tuple[Path, Path] | None:
    """Return the (.fai, .gzi) beside a FASTA if they are there and as new as it is; plain files have no .gzi."""
    pair = path.with_name(path.name + ".fai"), path.with_name(path.name + ".gzi")
    needed = pair if _is_compressed(path) else pair[:1]
    try:
        fresh = all(index.stat().st_mtime_ns >= path.stat().st_mtime_ns for index in needed)
    except OSError:
        return None
    return pair if fresh else None


def indexed_sizes(path: Path) -> dict[str, int] | None:
    """Return names and lengths as the index beside a FASTA has them; None where there is none as new as the FASTA."""
    index = given_index(path)
    if index is None:
        return None
    try:
        rows = [line.split("\t") for line in index[0].read_text("utf-8").splitlines()]
        return {row[0]: int(row[1]) for row in rows}
    except (OSError, ValueError, IndexError):
        return None


class FastaReader:
    """The sequences of a FASTA as tokens.

    Nothing is written beside the file: without `index`, one is made in a temporary folder. Use it in a ``with`` block.

    Parameters
    ----------
    path
        The FASTA.
    index
        A `.fai`, and a `.gzi` for bgzip.

    Attributes
    ----------
    sizes
        Name to length in bp, in the file's order.

    Raises
    ------
    MisfitError
        The index is not that of the file, or the file is cut short or holds other things than letters.
    ChromatellError
        It is no FASTA, or names are past their bounds, or pyfaidx is not installed.
    """

    def __init__(self, path: Path, index: tuple[Path, Path] | None = None) -> None:
        pyfaidx = _import_pyfaidx()
        self._path, self._given = path, index is not None
        self._wrong = (
            pyfaidx.FastaIndexingError, pyfaidx.UnsupportedCompressionFormat, pyfaidx.FetchError, pyfaidx.RegionError,
            pyfaidx.IndexNotFoundError, ValueError, OSError, EOFError, LookupError,
            RuntimeError, zlib.error, struct.error,
        )  # fmt: skip
        with self._translated():
            _check_head(path)
            with tempfile.TemporaryDirectory(prefix="chromatell-") as scratch:
                fai, gzi = index or (Path(scratch) / "index.fai", Path(scratch) / "index.gzi")
                self._faidx = _open(pyfaidx, path, fai, gzi)
            try:
                _check_index(self._faidx)
            except BaseException:
                self._faidx.close()
                raise
        self.sizes = {str(name): int(record.rlen) for name, record in self._faidx.index.items()}

    def __enter__(self) -> FastaReader:
        return self

    def __exit__(self, *_: object) -> None:
        self._faidx.close()

    def tokens(self, name: str) -> Iterator[np.ndarray]:
        """Yield the tokens of one sequence, uint8, in pieces of 1 Mb."""
        length = self.sizes[name]
        where = f"{str(self._path)!r}, sequence {name!r}"
        amino = 0
        for start in range(0, length, _CHUNK):
            end = min(start + _CHUNK, length)
            with self._translated():
                raw = self._faidx.fetch(name, start + 1, end).encode()  # pyfaidx counts from 1, closed
            if len(raw) < end - start:
                at = start + len(raw)
                raise MisfitError(f"{where} ends after {at} of {length} bases: it is cut short or was changed.")
            tokens = np.frombuffer(raw.translate(ENCODE), dtype=np.uint8)
            if (tokens == INVALID).any():
                at = int(np.argmax(tokens == INVALID))
                raise MisfitError(
                    f"{where} holds {chr(raw[at])!r} at base {start + at + 1}, which is no letter. {_NEEDED}"
                )
            amino += len(raw) - len(raw.translate(None, _AMINO))
            yield tokens
        if amino > _MAX_AMINO * length:
            raise ChromatellError(
                f"{where} looks like a protein: {amino} of its {length} letters stand for no nucleotide. {_NEEDED}"
            )

    def check_end(self) -> None:
        """Raise where text follows the last sequence, just read: the index lacks some."""
        with self._translated():
            if self._faidx.file.read(_HEAD).strip():
                raise MisfitError(
                    f"{str(self._path)!r} goes on after the last sequence of its index. Remove that (.fai): it is made "
                    "again."
                )

    def _translated(self) -> AbstractContextManager[None]:
        """Turn whatever pyfaidx and bgzf raise on a bad file into one kind of error."""
        kind, name = MisfitError if self._given else ChromatellError, repr(str(self._path))
        return as_one_error(
            self._wrong, lambda e: kind(f"{name} cannot be read as FASTA ({type(e).__name__}: {e}). {_NEEDED}")
        )


def _import_pyfaidx() -> Any:
    try:
        import pyfaidx
    except ImportError as error:
        raise ChromatellError(
            "Reading a FASTA needs pyfaidx (and biopython for bgzip): pip install 'chromatell[sequence]'."
        ) from error
    return pyfaidx


def _is_compressed(path: Path) -> bool:
    return path.name.lower().endswith((".gz", ".bgz"))  # as pyfaidx tells it


def _check_head(path: Path) -> None:
    with path.open("rb") as handle:
        head = handle.read(_HEAD)
    if head[:2] == b"\x1f\x8b":
        if not _is_compressed(path):
            raise ChromatellError(
                f"{str(path)!r} is compressed: name it .gz if it is bgzip, else unpack it with gunzip."
            )
        if not (len(head) > 16 and head[3] & 4 and head[12:14] == b"BC"):
            raise ChromatellError(
                f"{str(path)!r} is plain gzip, which cannot be read by position. "
                f"Unpack it (gunzip -k {path.name}) or pack it again with bgzip."
            )
    elif _is_compressed(path):
        raise ChromatellError(f"{str(path)!r} is named as bgzip but is not packed. Rename it, or run bgzip.")
    elif head.lstrip()[:1] not in (b">", b";"):
        fault = f"it begins {head[:40].decode('latin-1')!r}, not '>'" if head else "it is empty"
        raise ChromatellError(f"{str(path)!r} is not a FASTA: {fault}. {_NEEDED}")


def _open(pyfaidx: Any, path: Path, fai: Path, gzi: Path) -> Any:
    try:
        return pyfaidx.Faidx(str(path), indexname=str(fai), gzi_indexname=str(gzi), as_raw=True, rebuild=False)
    except ImportError as error:
        raise ChromatellError(
            f"Reading {path.name}, a bgzip FASTA, needs biopython: pip install 'chromatell[sequence]'."
        ) from error


def _check_index(faidx: Any) -> None:
    """Raise where a record is not where the index says, or names are past their bounds."""
    n = len(faidx.index)
    if n == 0:
        raise MisfitError(f"{faidx.filename!r} holds no sequence by its index. {_NEEDED}")
    if n > _MAX_SEQUENCES:
        raise ChromatellError(f"{faidx.filename!r} holds {n} sequences; up to {_MAX_SEQUENCES} can be read. {_NEEDED}")
    for name, record in faidx.index.items():
        if len(name) > _MAX_NAME or not name.isprintable():
            raise ChromatellError(
                f"{faidx.filename!r}: the name {name[:40]!r} has {len(name)} characters; up to {_MAX_NAME} printable "
                "ones can be read. Rename the sequence."
            )
        if min(record.rlen, record.lenc) < 0 or not 2 <= record.offset - record.prev_bend <= _MAX_DEFLINE:
            raise MisfitError(f"{faidx.filename!r}: no header of {name!r} where the index has it.")
        line = faidx.get_long_name(name).split("\n")[-1].lstrip(">")
        if line.split()[:1] != [name]:
            raise MisfitError(f"{faidx.filename!r} holds {line[:40]!r} where the index has {name!r}.")
