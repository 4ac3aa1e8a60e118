"""Second, plain parsers of text formats: what a reader must give, or refuse, of an altered table.

Each returns the rows that are valid by the format, as tuples, and whether a row is not. They share no code with the
package.
"""

from __future__ import annotations

import re

Rows = tuple[list[tuple], bool]
_WHOLE, _SIGNED = re.compile(r"[0-9]+"), re.compile(r"-?[0-9]+")


def whole(text: str) -> int | None:
    """Return a whole number from 0, as R may write it too (``1e+05``); None for any other text."""
    if _WHOLE.fullmatch(text):
        return int(text)
    number = float(text) if re.fullmatch(r"[0-9]+(\.[0-9]*)?(e\+?[0-9]{1,2})?", text, re.I) else -1.0
    return int(number) if number >= 0 and number % 1 == 0 else None


def lines_of(text: str) -> list[str]:
    return re.split(r"\r\n|\n|\r", text)


def bed(text: str) -> Rows:
    """``chrom start end``: whole numbers, 0 <= start < end."""
    rows, odd = [], False
    for line in lines_of(text):
        if not line.strip() or line.startswith(("#", "track", "browser")):
            continue
        fields = line.split("\t")
        start, end = (whole(f) for f in fields[1:3]) if len(fields) >= 3 else (None, None)
        if start is not None and end is not None and fields[0] and start < end < 10**11:
            rows.append((fields[0], start, end))
            continue
        odd = True
    return rows, odd


def fragments(text: str) -> Rows:
    """``chrom start end barcode``."""
    rows, odd = [], False
    for line in lines_of(text):
        if not line.strip() or line.startswith("#"):
            continue
        fields = line.split("\t")
        if len(fields) >= 4 and all(_SIGNED.fullmatch(f) for f in fields[1:3]) and fields[0] and fields[3]:
            start, end = max(int(fields[1]), 0), int(fields[2])  # the shift of Tn5 makes starts below 0
            odd = odd or int(fields[1]) < 0
            if start < end < 2**63:
                rows.append((fields[0], start, end, fields[3]))
                continue
        odd = True
    return rows, odd


def sizes(text: str) -> Rows:
    """``chrom length``."""
    rows, odd = [], False
    for line in lines_of(text):
        if not line.strip() or line.startswith("#"):
            continue
        fields = line.split("\t")
        if len(fields) >= 2 and _WHOLE.fullmatch(fields[1]) and fields[0] and 0 < int(fields[1]) < 10**11:
            row = (fields[0], int(fields[1]))
            odd = odd or row in rows  # the same line twice counts once
            rows += [row] if row not in rows else []
        else:
            odd = True
    return rows, odd


def vcf(text: str) -> Rows:
    """One row an alternative allele of plain bases that differ from REF."""
    rows, odd, header = [], False, False
    for line in lines_of(text):
        if line.startswith("#CHROM"):
            header = line.split("\t")[:5] == ["#CHROM", "POS", "ID", "REF", "ALT"]
        if not line.strip() or line.startswith("#"):
            continue
        fields = line.split("\t")
        ok = header and len(fields) >= 5 and (whole(fields[1]) or 0) > 0 and fields[0].strip(' ".')
        ok = ok and re.fullmatch(r"[ACGTacgt]+", fields[3])
        if not ok:
            odd = True
            continue
        for alt in fields[4].split(","):
            if re.fullmatch(r"[ACGTacgt]+", alt) and alt.upper() != fields[3].upper():
                rows.append((fields[0], whole(fields[1]), fields[3].upper(), alt.upper()))
            else:
                odd = True
    return rows, odd


def fasta(text: str) -> Rows:
    """Name and sequence of each record."""
    rows, name, parts, odd = [], None, [], False
    for line in [*lines_of(text), ">"]:
        if line.startswith(">"):
            if name is not None:
                rows.append((name, "".join(parts).upper()))
            name, parts = (line[1:].split() or [""])[0], []
        elif name is None:
            odd = odd or bool(line.strip())
        else:
            parts.append(line.strip())
    return rows, odd
