"""What the columns of a file of intervals hold, told by their first rows: formats that look like another."""

from __future__ import annotations

import re
from collections.abc import Sequence

_ENOUGH = 20  # rows from which an order or a single name tells something
_CHROM = re.compile(r"chr[0-9A-Za-z]{1,3}", re.IGNORECASE)
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")


def is_bedpe(rows: Sequence[Sequence[str]]) -> bool:
    """Return whether rows are pairs of intervals: `chrom start end chrom start end`, as bedtools' BEDPE.

    Examples
    --------
    >>> from chromatell.genome.column_meaning import is_bedpe
    >>> is_bedpe([["chr1", "5", "9", "chr1", "20", "30"]]), is_bedpe([["chr1", "5", "9", "AAAC-1", "2"]])
    (True, False)
    """
    pairs = [r for r in rows if len(r) >= 6 and _position(r[4]) and _position(r[5])]
    if not rows or len(pairs) < len(rows):
        return False
    chroms = {r[0] for r in rows}
    return all(r[3] in chroms or r[3] == "." or _CHROM.fullmatch(r[3]) for r in rows)


def not_barcodes(rows: Sequence[Sequence[str]]) -> str:
    """Return what the fourth column of a file holds where it is not barcodes of cells; ``''`` where it may be.

    Parameters
    ----------
    rows
        The fields of its first lines.

    Examples
    --------
    >>> from chromatell.genome.column_meaning import not_barcodes
    >>> not_barcodes([["chr1", "5", "9", "+"], ["chr1", "8", "9", "-"]])
    'strands: this is a BED of reads without cells'
    """
    rows = [r for r in rows if len(r) >= 4]
    if not rows:
        return ""
    if is_bedpe(rows):
        return "names of chromosomes: this is a BEDPE of read pairs, whose column 7 may be the barcode"
    names = {r[3] for r in rows}
    chroms = {r[0] for r in rows}
    if names <= chroms and len(rows) >= _ENOUGH:
        return "names of chromosomes"
    if names <= {"+", "-", "."}:
        return "strands: this is a BED of reads without cells"
    if names == {"N"} and all(len(r) >= 6 and r[5] in "+-." for r in rows):
        return "'N' in each row: this is a tagAlign of reads without cells"
    if len(rows) < _ENOUGH or not all(_NUMBER.fullmatch(name) for name in names):
        return ""
    if all(int(r[2]) - int(r[1]) + 1 - float(r[3]) in (0, 1) for r in rows):
        return "widths: this is a table of regions, as R writes it"
    if any("." in name or "e" in name.lower() for name in names) or _in_order(rows):
        return "numbers: this is a bedGraph of a signal"
    return ""


def _in_order(rows: Sequence[Sequence[str]]) -> bool:
    """Return whether no interval begins before the end of the one above it, as in a bedGraph."""
    pairs = [(a, b) for a, b in zip(rows, rows[1:], strict=False) if a[0] == b[0]]
    return bool(pairs) and all(int(b[1]) >= int(a[2]) for a, b in pairs)


def _position(text: str) -> bool:
    return text.strip().isascii() and text.strip().lstrip("-").isdigit() and len(text) < 15
