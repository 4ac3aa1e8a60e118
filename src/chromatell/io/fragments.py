"""Fragments files: a line a fragment, with its chromosome, start, end and the barcode of its cell."""

from __future__ import annotations

import csv
import gzip
import io
import os
import re
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from chromatell._keys import CHROM, END, START
from chromatell._progress import progress
from chromatell._validate import ChromatellError, warn
from chromatell.genome.column_meaning import not_barcodes
from chromatell.genome.odd_rows import ODD_SHARE
from chromatell.io._fragment_lines import parse_lines

try:  # unpacks three times as fast
    from isal import igzip as gunzip
    from isal.isal_zlib import error as _IsalError
except ImportError:
    gunzip, _IsalError = gzip, zlib.error

BARCODE = "barcode"
_COLUMNS = [CHROM, START, END, BARCODE]
_BLOCK = 16 * 1024**2  # bytes of text that are read at a time: some 400,000 fragments
_MAX_LINE = 65_536
_HEAD = 65_536  # bytes in which comment lines are looked for
_MAX_POSITION = 10**15
_HOPELESS = 100_000  # odd lines after which a file is judged before its end
_CUT = "the file ends within the line, it is cut short"
_INTEGER = rb"\s*[+-]?\d{1,18}(\.0*)?\s*|\d(\.\d{1,14})?[eE]\+?\d{1,2}"  # R writes 1e+05
_BGZF_END = bytes.fromhex("1f8b08040000000000ff0600424302001b0003000000000000000000")  # an empty block
_BINARY = {b"BAM\x01": "a BAM", b"TBI\x01": "a tabix index", b"CRAM": "a CRAM", b"\x89HDF": "an HDF5 file"}
_NEEDED = (
    "Needed: a fragments file (chrom, start, end, barcode and any further columns, divided by tabs; plain, gzip or "
    "bgzip), as Cell Ranger, chromap or sinto write it."
)


def fragment_header(path: str | os.PathLike[str]) -> list[str]:
    r"""Return the comment lines that a fragments file begins with, without their ``#``.

    Parameters
    ----------
    path
        Plain text, gzip or bgzip, told by content and not by suffix.

    Raises
    ------
    ChromatellError
        The file is absent, empty, cut short, or no text.

    Examples
    --------
    >>> from pathlib import Path
    >>> from chromatell.io.fragments import fragment_header
    >>> _ = Path("f.tsv").write_text("# id=pbmc\nchr1\t10\t90\tAAAC-1\t2\n")
    >>> fragment_header("f.tsv")
    ['id=pbmc']
    """
    path = Path(path)
    with _reading(path), path.open("rb") as raw:
        head = _unpacked(raw).read(_HEAD)
    lines = head.decode("utf-8", errors="replace").splitlines()
    n = next((i for i, line in enumerate(lines) if not line.startswith("#")), len(lines))
    return [line.lstrip("# ").rstrip() for line in lines[:n]]


def fragment_blocks(path: str | os.PathLike[str], *, block_bytes: int = _BLOCK) -> Iterator[pd.DataFrame]:
    r"""Yield the fragments of a file, a block of lines at a time.

    Parameters
    ----------
    path
        As in :func:`fragment_header`. The lines may be in any order; comment lines are skipped.
    block_bytes
        Bytes of a block of text, unpacked.

    Yields
    ------
    pandas.DataFrame
        `chrom`, `barcode` (categorical, str), `start`, `end` (int64; 0-based, half-open), a row a line. A fifth
        column, of read pairs, and further ones are not read.

    Raises
    ------
    ChromatellError
        The file is absent, empty, cut short or no text; its fourth column holds no barcodes (BEDPE, bedGraph, reads
        without cells); or over 1% of its lines do not parse, of which the first is named by its number.

    Warns
    -----
    ChromatellWarning
        Lines that do not parse were left out; fragments that began before base 0, by the shift of Tn5, begin there.

    Notes
    -----
    Peak memory: some 10 times `block_bytes`, whatever the size of the file. A progress bar shows the bytes read. Where
    isal is installed it unpacks gzip and bgzip.

    Examples
    --------
    >>> from pathlib import Path
    >>> from chromatell.io.fragments import fragment_blocks
    >>> _ = Path("f.tsv").write_text("chr1\t10\t90\tAAAC-1\t2\n")
    >>> next(fragment_blocks("f.tsv")).to_dict("records")
    [{'chrom': 'chr1', 'start': 10, 'end': 90, 'barcode': 'AAAC-1'}]
    """
    path = Path(path)
    n, rows = 0, _Rows(path)
    for text, number in _text_blocks(path, block_bytes):
        table = rows.parsed(text, number)
        if len(table):
            n += len(table)
            yield table
    rows.finish(n)
    if n == 0:
        raise ChromatellError(f"{str(path)!r} holds no fragment, only comments or empty lines. {_NEEDED}")


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    """Check that a file is whole, and turn what gzip raises on a damaged one into the package's error."""
    if not path.is_file():
        raise ChromatellError(f"No fragments file at {str(path)!r}. {_NEEDED}")
    with path.open("rb") as raw:
        start = raw.read(18)
        raw.seek(max(0, path.stat().st_size - len(_BGZF_END)))
        if start[:2] == b"\x1f\x8b" and start[12:14] == b"BC" and raw.read() != _BGZF_END:
            raise ChromatellError(
                f"{str(path)!r} is cut short: a bgzip file ends with an empty block, this one does not. Copy or "
                "download it again."
            )
    try:
        yield
    except (EOFError, gzip.BadGzipFile, zlib.error, _IsalError) as error:
        raise ChromatellError(
            f"{str(path)!r} is cut short or damaged ({type(error).__name__}: {error}). Copy or download it again."
        ) from error


def _unpacked(raw: Any) -> Any:
    packed = raw.read(2) == b"\x1f\x8b"
    raw.seek(0)
    return gunzip.GzipFile(fileobj=raw) if packed else raw


def _text_blocks(path: Path, size: int) -> Iterator[tuple[bytes, int]]:
    """Yield whole lines, and the number of the first of them."""
    with (
        _reading(path),
        path.open("rb") as raw,
        progress("Reading fragments", total=max(1, path.stat().st_size >> 20), unit="MB") as advance,
    ):
        handle, rest, number, shown = _unpacked(raw), b"", 1, 0
        while True:
            new = handle.read(size)
            text = rest + new
            if number == 1 and not rest:
                _check_head(text, path)
            cut = text.rfind(b"\n") + 1 if new else len(text)
            if len(text) - cut > _MAX_LINE:
                raise ChromatellError(f"{str(path)!r}, line {number}: over {_MAX_LINE} characters. {_NEEDED}")
            if cut:
                yield text[:cut], number
            if not new:
                return
            number += text.count(b"\n", 0, cut)
            rest = text[cut:]
            advance((raw.tell() >> 20) - shown)
            shown = raw.tell() >> 20


def _check_head(text: bytes, path: Path) -> None:
    head = text[:4096]
    if not head:
        raise ChromatellError(f"{str(path)!r} is empty. {_NEEDED}")
    kind = next((name for magic, name in _BINARY.items() if head.startswith(magic)), "")
    if kind or b"\x00" in head:
        raise ChromatellError(f"{str(path)!r} is {kind or 'a binary file'}, not text. {_NEEDED}")
    if head.lstrip()[:1] == b"<":
        raise ChromatellError(
            f"{str(path)!r} is a web page or XML, it begins {head.lstrip()[:40].decode('latin-1')!r}: the download "
            f"went wrong. {_NEEDED}"
        )


class _Rows:
    """The rows of a file, block by block, and what is odd among them."""

    def __init__(self, path: Path) -> None:
        self.path, self.odd, self.shifted, self.first, self.looked = path, 0, 0, "", False

    def parsed(self, text: bytes, number: int) -> pd.DataFrame:
        """Return the fragments of whole lines, of which the first has this number."""
        whole = text
        if text.startswith(b"#") or b"\n#" in text:
            text = re.sub(rb"(?m)^#[^\n]*\n?", b"", text)
        if not text or text.isspace():
            return pd.DataFrame(columns=_COLUMNS)
        if b"\x00" in text:  # pandas would leave out what follows it in a field
            raise ChromatellError(
                f"{str(self.path)!r} holds null characters near line {number}: it is damaged. {_NEEDED}"
            )
        if not self.looked:
            self.looked = True
            self._look(text)
        fast = parse_lines(text, BARCODE)
        if fast is not None:
            return fast
        try:
            table = _table(text)
        except (ValueError, OverflowError):  # pandas' ParserError and UnicodeDecodeError are kinds of them
            return self._one_by_one(text, whole, number)
        start, end = table[START].to_numpy(), table[END].to_numpy()
        bad = end <= np.maximum(start, 0)
        for name in (CHROM, BARCODE):
            if "" in table[name].cat.categories:
                bad |= (table[name] == "").to_numpy()
        return self._kept(table, start, bad, whole, number)

    def finish(self, n: int) -> None:
        """Raise where over 1% of the lines were odd; warn of fewer."""
        if self.odd > ODD_SHARE * (n + self.odd):
            raise ChromatellError(f"{str(self.path)!r}, {self.first}. {_NEEDED}")
        if self.odd:
            warn(f"{str(self.path)!r}: {self.odd:,} of {n + self.odd:,} lines are left out; the first, {self.first}.")
        if self.shifted:
            warn(
                f"{str(self.path)!r}: {self.shifted:,} of {n:,} fragments began before base 0 of their chromosome, as "
                "the shift of Tn5 makes them: they begin at 0."
            )

    def _look(self, text: bytes) -> None:
        rows = [line.rstrip("\r").split("\t") for line in text[:_HEAD].decode("utf-8", "replace").split("\n")[:1000]]
        contents = not_barcodes([r for r in rows[: -1 or None] if len(r) >= 4 and r[1].isdigit() and r[2].isdigit()])
        if contents:
            raise ChromatellError(f"{str(self.path)!r}: its column 4, of barcodes, holds {contents}. {_NEEDED}")

    def _one_by_one(self, text: bytes, whole: bytes, number: int) -> pd.DataFrame:
        """Return the fragments of a block in which some line does not parse."""
        # pandas ends a line at a bare carriage return too
        text, whole = (t.replace(b"\r\n", b"\n").replace(b"\r", b"\n") for t in (text, whole))
        good = [line for line in text.split(b"\n") if line.strip() and not _wrong(line, shifted=True)]
        n_odd = sum(1 for line in text.split(b"\n") if line.strip()) - len(good)
        problem = _first_bad_line(whole, number)
        if not n_odd or _CUT in problem:
            raise ChromatellError(f"{str(self.path)!r}, {problem or 'a line does not parse'}. {_NEEDED}")
        self.odd += n_odd
        self.first = self.first or problem
        if not good or self.odd > _HOPELESS:
            self.finish(len(good))
        if not good:
            return pd.DataFrame(columns=_COLUMNS)
        # what follows the barcode is not read, and need not be text
        table = _table(b"\n".join(b"\t".join(line.split(b"\t", 4)[:4]) for line in good) + b"\n")
        return self._kept(table, table[START].to_numpy(), np.zeros(len(table), dtype=bool), whole, number)

    def _kept(self, table: pd.DataFrame, start: np.ndarray, bad: np.ndarray, whole: bytes, number: int) -> pd.DataFrame:
        before = (start < 0) & ~bad
        if before.any():
            self.shifted += int(before.sum())
            table[START] = np.maximum(start, 0)
        if bad.any():
            problem = _first_bad_line(whole, number)
            if _CUT in problem:
                raise ChromatellError(f"{str(self.path)!r}, {problem}. {_NEEDED}")
            self.odd += int(bad.sum())
            self.first = self.first or problem
            table = table[~bad].reset_index(drop=True)
        return table


def _table(text: bytes) -> pd.DataFrame:
    with np.errstate(invalid="ignore"):  # 1e30 is no position, and raises
        table = pd.read_csv(
            io.BytesIO(text),
            sep="\t",
            header=None,
            names=_COLUMNS,
            usecols=[0, 1, 2, 3],
            index_col=False,
            dtype={CHROM: str, START: np.int64, END: np.int64, BARCODE: str},
            quoting=csv.QUOTE_NONE,
            na_filter=False,
            low_memory=False,
        )
    for name in (CHROM, BARCODE):  # read as categories, pandas 3 makes numbers of the names: 01 is 1
        code, names = pd.factorize(table[name].to_numpy(dtype=object))
        table[name] = pd.Categorical.from_codes(code, pd.Index(names, dtype=str))
    return table


def _first_bad_line(text: bytes, number: int) -> str:
    """Return what is wrong with the first line that is no fragment, and its number; '' if all are."""
    for i, line in enumerate(text.split(b"\n"), number):
        if line.startswith(b"#") or not line.strip():
            continue
        problem = _wrong(line.rstrip(b"\r"), shifted=True)
        if problem and i == number + text.count(b"\n"):
            problem = f"{_CUT} ({problem})"
        if problem:
            return f"line {i}, {line[:60].decode('utf-8', errors='replace')!r}: {problem}"
    return ""


def _wrong(line: bytes, *, shifted: bool = False) -> str:
    """Return what is wrong with a line; with `shifted`, a start before base 0 is not."""
    fields = line.split(b"\t")
    if len(fields) < 4:
        lacking = "no barcode in column 4, as in a BED of regions" if len(fields) == 3 else "4 or more are needed"
        return f"{len(fields)} column{'s' if len(fields) > 1 else ''} divided by tabs; {lacking}"
    try:
        chrom, barcode = fields[0].decode("utf-8"), fields[3].decode("utf-8")
    except UnicodeDecodeError:
        return "not UTF-8 text"
    if not chrom or not barcode:
        return "the chromosome or the barcode is empty"
    for name, value in zip((START, END), fields[1:3], strict=True):
        if not re.fullmatch(_INTEGER, value) or float(value) % 1 or abs(float(value)) > _MAX_POSITION:
            return f"{name} {value[:30].decode('latin-1')!r} is no whole number"
    start, end = (int(float(v)) if re.search(rb"[.eE]", v) else int(v) for v in fields[1:3])
    if start < 0 and (not shifted or end <= 0):
        return f"start {start} is negative"
    return f"end {end} is not above start {start}" if end <= start else ""
