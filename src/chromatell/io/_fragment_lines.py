"""Fragments whose lines are all alike, parsed by columns: 8 bytes of every line at a time, and no Python object a line.

A parser of tables looks at each character of each field; here a whole block is looked at for tabs and ends of lines,
and each field is read as words of 8 bytes.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from chromatell._keys import CHROM, END, START

_WORD = 8  # bytes
_LONGEST = 32  # bytes of a name
_DIGITS = 16
_ZEROS, _NOT_DIGIT, _HIGH = (np.uint64(int(byte * 8, 16)) for byte in ("30", "76", "80"))
# of 8 digits, first in the lowest byte, to a number: neighbours are joined to pairs, fours, and all (Lemire, 2021)
_JOIN = ((0x0F0F0F0F0F0F0F0F, 2561, 8), (0x00FF00FF00FF00FF, 6553601, 16), (0x0000FFFF0000FFFF, 42949672960001, 32))
# which bytes of each word belong to a field of n bytes: its last words, and its first
_LAST, _FIRST = (
    [np.array([whole(min(max(n - 8 * k, 0), 8)) for n in range(33)], dtype=np.uint64) for k in range(4)]
    for whole in (lambda m: (2 ** (8 * m) - 1) << (64 - 8 * m), lambda m: 2 ** (8 * m) - 1)
)
_MIX = np.array([0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9, 0xD6E8FEB86659FD93], dtype=np.uint64)


def parse_lines(text: bytes, barcode: str) -> pd.DataFrame | None:
    """Return the fragments of whole lines, or None where a line is not of the common form; then look at each.

    The common form: as many columns in each line, 4 or more; start and end of digits alone, the end above the start;
    names of 1 to 32 bytes; no comment, empty line, carriage return or other control character.

    Parameters
    ----------
    text
        Ends with the end of a line.
    barcode
        Name of its column.
    """
    padded = bytes(_DIGITS) + text + bytes(_LONGEST)
    at = np.frombuffer(text, dtype=np.uint8)
    ends = np.flatnonzero(at < 32)
    columns = text.count(b"\t", 0, text.find(b"\n") + 1) + 1
    if columns < 4 or ends.size % columns or text[-1:] != b"\n" or text[:1] == b"#" or b"\n#" in text:
        return None
    kinds = at[ends].reshape(-1, columns)
    if (kinds[:, :-1] != 9).any() or (kinds[:, -1] != 10).any():
        return None
    ends = np.ascontiguousarray(ends.reshape(-1, columns).T) + _DIGITS  # in `padded`
    words = np.ndarray(len(padded) - _WORD + 1, dtype="<u8", buffer=padded, strides=(1,))  # at every byte
    begin = np.concatenate([[_DIGITS], ends[-1, :-1] + 1])
    start, end = (_numbers(words, ends[i - 1] + 1, ends[i]) for i in (1, 2))
    if start is None or end is None or not (end > start).all():
        return None
    text_columns = {}
    for name, low, high in ((CHROM, begin, ends[0]), (barcode, ends[2] + 1, ends[3])):
        column = _names(words, low, high)
        if column is None:
            return None
        text_columns[name] = column
    return pd.DataFrame({CHROM: text_columns[CHROM], START: start, END: end, barcode: text_columns[barcode]})


def _numbers(words: np.ndarray, low: np.ndarray, high: np.ndarray) -> np.ndarray | None:
    """Return the numbers that stand between bytes, int64; None where one is not of 1 to 16 digits."""
    n = high - low
    if n.min() < 1 or n.max() > _DIGITS:
        return None
    total: Any = 0
    for first in range(0, int(n.max()), _WORD):
        digits = (words[high - (first + _WORD)] ^ _ZEROS) & _LAST[first // _WORD][n]
        if ((digits | (digits + _NOT_DIGIT)) & _HIGH).any():
            return None
        for mask, factor, shift in _JOIN:
            digits = ((digits & np.uint64(mask)) * np.uint64(factor)) >> np.uint64(shift)
        total = digits * np.uint64(10**first) + total if first else digits
    return total.astype(np.int64)


def _names(words: np.ndarray, low: np.ndarray, high: np.ndarray) -> pd.Categorical | None:
    """Return names as categories, in order of appearance; None where one is empty, long, or not ASCII."""
    n = high - low
    if n.min() < 1 or n.max() > _LONGEST:
        return None
    parts = [words[low + first] & _FIRST[first // _WORD][n] for first in range(0, int(n.max()), _WORD)]
    mixed = parts[0] * _MIX[0]
    for part, factor in zip(parts[1:], _MIX[1:], strict=False):
        mixed ^= mixed >> np.uint64(29)
        mixed += part * factor
    code, different = pd.factorize(mixed)
    first_of = np.empty(len(different), dtype=np.int64)
    first_of[code[::-1]] = np.arange(code.size)[::-1]
    if any((part != part[first_of][code]).any() for part in parts):  # two names that mix to one number
        return None
    raw = np.column_stack([part[first_of] for part in parts]).view(f"S{_WORD * len(parts)}").ravel()
    try:
        names = raw.astype(str).astype(object)
    except UnicodeDecodeError:
        return None
    return pd.Categorical.from_codes(code, pd.Index(names, dtype=str))
