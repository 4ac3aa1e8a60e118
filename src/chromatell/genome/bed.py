"""Intervals from BED files and tables."""

from __future__ import annotations

import gzip
import io
import os
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import IO, Any

import numpy as np
import pandas as pd

from chromatell._keys import CHROM, END, START
from chromatell._validate import ChromatellError, examples
from chromatell.genome.column_meaning import is_bedpe
from chromatell.genome.odd_rows import find_column, keep_rows
from chromatell.genome.regions import WIDTHS, misplaced, one_based, parse_regions

_MAX_LINE = 65_536
_MAX_ROWS = 200_000_000
_HEADER = ("chrom", "chr", "chromosome", "#chrom", "#chr")
_CURE = "Needed: a BED (chrom, start, end, divided by tabs; plain text or gzip), or a table with these columns."

# class of ENCODE's candidate cis-regulatory elements (SCREEN, versions 2 to 4) -> classes of regions
CCRE_CLASSES: dict[str, tuple[str, ...]] = {
    "PLS": (),  # lies within 200 bp of a start site: the promoter window has it
    "pELS": ("enhancer",),
    "dELS": ("enhancer",),
    "CTCF-only": ("insulator", "CTCF"),
    "CA-CTCF": ("insulator", "CTCF"),
    "DNase-only": (),
    "DNase-H3K4me3": (),
    "Low-DNase": (),
    "CA": (),
    "CA-H3K4me3": (),
    "CA-TF": (),
    "TF": (),
    "Unclassified": (),
}
_CTCF_BOUND = "CTCF-bound"


def read_bed(source: str | Path | pd.DataFrame, what: str = "the BED", *, extra: bool = False) -> pd.DataFrame:
    r"""Intervals, one row each.

    Parameters
    ----------
    source
        BED with at least three columns, plain, gzip or bgzip, with or without a header; or a table with `chrom`,
        `start`, `end`.
    what
        What it is called in messages.
    extra
        Return the other columns too, as text.

    Returns
    -------
    pandas.DataFrame
        `chrom` (str), `start`, `end` (int64; 0-based, half-open), and with `extra` the others, named by the header or
        by their number from 0.

    Raises
    ------
    ChromatellError
        No such file, under three columns, positions that are no whole numbers, or an end that is not above its start.

    Examples
    --------
    >>> from pathlib import Path
    >>> from chromatell.genome.bed import read_bed
    >>> _ = Path("a.bed").write_text("chr1\t10\t20\tx\n")
    >>> read_bed("a.bed").to_dict("list")
    {'chrom': ['chr1'], 'start': [10], 'end': [20]}
    """
    if isinstance(source, pd.DataFrame):
        table, where = source.reset_index(drop=True), what
        lacking = [c for c in (CHROM, START, END) if c not in table]
        if lacking:
            raise ChromatellError(f"{what} lacks the columns {examples(lacking)}; it has {list(table)}. {_CURE}")
    else:
        path = Path(source)
        where = f"{what} {str(path)!r}"
        if not path.is_file():
            raise ChromatellError(f"{where} is not there. {_CURE}")
        try:
            table = _parse(path, where, extra)
        except (UnicodeDecodeError, EOFError, gzip.BadGzipFile, zlib.error, pd.errors.ParserError) as error:
            reason = f"{type(error).__name__}: {str(error).splitlines()[0]}"
            raise ChromatellError(f"{where} is not a whole table of text ({reason}). {_CURE}") from error
    if not len(table):
        raise ChromatellError(f"{where} holds no interval. {_CURE}")
    for column in (CHROM, START, END):
        find_column([str(c) for c in table.columns], (column,), where)
    start, end = (pd.to_numeric(table[c], errors="coerce") for c in (START, END))
    shift = one_based(table, start.to_numpy(dtype=np.float64), end.to_numpy(dtype=np.float64))
    start = start - shift
    bad = ~((start >= 0) & (end > start) & (end < 1e11) & (start % 1 == 0) & (end % 1 == 0))
    bad |= table[CHROM].astype(str).str.strip() == ""
    if bad.any():
        row = table.loc[bad.idxmax()]
        shown = f"'{row[CHROM]}:{row[START]}-{row[END]}'"
        keep = keep_rows(bad.to_numpy(), where, f"rows are no intervals (such as {shown})", _CURE)
        table, start, end = table[keep], start[keep], end[keep]
    others = {str(c): table[c].astype(str) for c in table.columns if c not in (CHROM, START, END)} if extra else {}
    columns = {CHROM: table[CHROM].astype(object), START: start.astype(np.int64), END: end.astype(np.int64), **others}
    return pd.DataFrame(columns).reset_index(drop=True)


def read_regions(source: Any, what: str) -> pd.DataFrame:
    """Return `chrom`, `start`, `end` of a BED, a table, or names such as 'chr21:9,820,000-9,840,000'."""
    if isinstance(source, str | os.PathLike | pd.DataFrame):
        return read_bed(Path(source) if isinstance(source, os.PathLike) else source, what)
    if not isinstance(source, Iterable) or isinstance(source, bytes):
        raise ChromatellError(
            f"{what} is of type {type(source).__name__}; needed: a BED, a table with chrom, start and end, or names "
            "like 'chr21:9,820,000-9,840,000'."
        )
    names = [str(name) for name in source]
    table = parse_regions(names).reset_index(drop=True)[[CHROM, START, END]]
    bad = misplaced(table)
    if bad.any() or not names:
        fault = (
            f"{int(bad.sum())} of {len(names)} are no regions, such as {names[int(np.argmax(bad))]!r}"
            if names
            else "it is empty"
        )
        raise ChromatellError(f"{what}: {fault}. Needed: names like 'chr21:9,820,000-9,840,000', a table, or a BED.")
    return table


def ccre_intervals(source: str | Path | pd.DataFrame, what: str = "the cCRE file") -> dict[str, pd.DataFrame]:
    """Enhancers, insulators and CTCF sites among ENCODE's candidate cis-regulatory elements.

    Parameters
    ----------
    source
        BED or table in which some column holds the class: PLS, pELS, dELS, CTCF-only and so on, with or without
        ``,CTCF-bound``.
    what
        What it is called in messages.

    Returns
    -------
    dict of str to pandas.DataFrame
        `enhancer` (pELS, dELS), `insulator` (CTCF-only, CA-CTCF), `CTCF` (these, and all that are CTCF-bound). The
        others, such as Low-DNase, are in none.

    Raises
    ------
    ChromatellError
        As `read_bed`; no column of classes; a class that is not known.

    Examples
    --------
    >>> import pandas as pd
    >>> from chromatell.genome.bed import ccre_intervals
    >>> table = pd.DataFrame({"chrom": ["chr1"], "start": [5], "end": [9], "class": ["dELS,CTCF-bound"]})
    >>> {name: len(part) for name, part in ccre_intervals(table).items()}
    {'enhancer': 1, 'insulator': 0, 'CTCF': 1}
    """
    table = read_bed(source, what, extra=True)
    where = what if isinstance(source, pd.DataFrame) else f"{what} {str(source)!r}"
    column = ccre_column(table)
    if column is None:
        raise ChromatellError(
            f"{where} has no column with the classes of cCREs ({', '.join(list(CCRE_CLASSES)[:4])}, ...). Where all "
            "its elements are of one class, name that: annotation={'enhancer': path}."
        )
    parts = table[column].str.split(",")
    name = parts.str[0].str.strip()
    unknown = sorted(set(name.unique()) - set(CCRE_CLASSES))
    if unknown:
        raise ChromatellError(
            f"{where} has classes that are not known: {examples(unknown)}. Known: {list(CCRE_CLASSES)}."
        )
    bound = table[column].str.contains(_CTCF_BOUND, regex=False)
    intervals = {}
    for region_class in ("enhancer", "insulator", "CTCF"):
        names = [c for c, given in CCRE_CLASSES.items() if region_class in given]
        keep = name.isin(names) | (bound & (region_class == "CTCF"))
        intervals[region_class] = table.loc[keep, [CHROM, START, END]].reset_index(drop=True)
    return intervals


def ccre_column(table: pd.DataFrame) -> str | None:
    """Return the column that holds classes of cCREs, told by its first rows; None if there is none."""
    head = table.head(200)
    for column in [c for c in head.columns if c not in (CHROM, START, END)]:
        if head[column].astype(str).str.split(",").str[0].str.strip().isin(list(CCRE_CLASSES)).mean() > 0.5:
            return str(column)
    return None


def _parse(path: Path, where: str, extra: bool) -> pd.DataFrame:
    with path.open("rb") as raw:
        compressed = raw.read(2) == b"\x1f\x8b"
        raw.seek(0)
        if not compressed:
            return _parse_text(raw, where, extra)
        with gzip.open(raw) as text:
            return _parse_text(text, where, extra)


def _parse_text(handle: IO[bytes] | gzip.GzipFile, where: str, extra: bool) -> pd.DataFrame:
    skip, first, fields = 0, "", [""]
    while line := handle.readline(_MAX_LINE + 1):
        first = line.decode("utf-8").rstrip("\r\n")
        if len(line) > _MAX_LINE or "\x00" in first:
            raise ChromatellError(f"{where} is no text file of intervals. {_CURE}")
        fields = first.split("\t")
        if _is_header(fields) or (first.strip() and not first.startswith(("#", "track ", "browser "))):
            break
        skip, first, fields = skip + 1, "", [""]
    if len(fields) < 3:
        raise ChromatellError(f"{where} has {len(fields) if first else 0} columns, {first[:60]!r}. {_CURE}")
    named = _is_header(fields)
    if not named and is_bedpe([fields]):
        raise ChromatellError(
            f"{where} is a BEDPE of pairs of intervals ({first[:60]!r}), and intervals are needed. Take its columns "
            "1 to 3, or 4 to 6, or the span of both."
        )
    names = _names(fields) if named else [CHROM, START, END, *(str(i) for i in range(3, len(fields)))]
    twice = [name for name in names if names.count(name) > 1]
    if twice:
        raise ChromatellError(f"{where} names the column {twice[0]!r} more than once. Leave one of them.")
    wanted = [CHROM, START, END, *(n for n in names if n in WIDTHS)]
    handle.seek(0)
    table = pd.read_csv(
        io.BufferedReader(_WithoutNull(handle, where), 1 << 20),
        sep="\t",
        header=None,
        names=names,
        usecols=None if extra else wanted,
        skiprows=skip + named,
        nrows=_MAX_ROWS,
        index_col=False,
        quoting=3,
        na_filter=False,
        dtype={name: str for name in names if name not in (START, END)},
    )
    return table[~table[CHROM].str.match(r"#|track\s|browser\s|track$")]


class _WithoutNull(io.RawIOBase):
    """Bytes of a text file; pandas would leave out what follows a null character in a field without a word."""

    def __init__(self, handle: IO[bytes] | gzip.GzipFile, where: str) -> None:
        self._handle, self._where = handle, where

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        raw = self._handle.read(len(buffer))
        if b"\x00" in raw:
            raise ChromatellError(f"{self._where} holds null characters: it is damaged, or no text. {_CURE}")
        buffer[: len(raw)] = raw
        return len(raw)


def _names(fields: list[str]) -> list[str]:
    """Return the names of a header, the first three as a BED's are called."""
    rest = [f.strip() for f in fields[3:]]
    return [CHROM, START, END, *(f if f and rest.count(f) == 1 else f"{i + 3}" for i, f in enumerate(rest))]


def _is_header(fields: list[str]) -> bool:
    return len(fields) >= 3 and fields[0].strip().lower() in _HEADER and not fields[1].strip().isdigit()
