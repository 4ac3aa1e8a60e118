"""Rows of a file that do not fit: a few are left out and counted, many condemn it."""

from __future__ import annotations

import csv
from collections.abc import Mapping

import numpy as np
import pandas as pd

from chromatell._validate import ChromatellError, examples, warn

ODD_SHARE = 0.01  # share of a file's rows that may be odd
_MAX_POSITION = 10**11


def keep_rows(bad: np.ndarray, where: str, fault: str, cure: str) -> np.ndarray:
    """Return which rows to keep: all but a few bad ones, which are counted in a warning.

    Parameters
    ----------
    bad
        bool (rows,).
    where
        The file, for messages.
    fault
        What the bad rows are, with an example: ``"rows are no intervals (such as '5-5')"``.
    cure
        What mends a file of many such rows.

    Raises
    ------
    ChromatellError
        Over 1% of the rows are bad.

    Examples
    --------
    >>> import numpy as np
    >>> from chromatell.genome.odd_rows import keep_rows
    >>> keep_rows(np.array([False, False]), "a.bed", "no intervals", "Mend it.").tolist()
    [True, True]
    """
    n = int(bad.sum())
    if n > ODD_SHARE * bad.size:
        raise ChromatellError(f"{where}: {n} of {bad.size} {fault}. {cure}")
    if n:
        warn(f"{where}: {n} of {bad.size} {fault}; they are left out.")
    return ~bad


class OddLines:
    """Lines of a file that cannot be used, counted while it is read.

    Parameters
    ----------
    where
        The file, for messages.
    """

    def __init__(self, where: str) -> None:
        self.where, self.n, self.first = where, 0, ""

    def add(self, line: str) -> None:
        """Count one line."""
        self.n += 1
        self.first = self.first or line

    def finish(self, good: int, fault: str, cure: str) -> None:
        """Warn of a few such lines beside `good` ones; raise where they are over 1% of all.

        Raises
        ------
        ChromatellError
            Over 1% of the lines are odd.
        """
        if self.n > ODD_SHARE * (good + self.n):
            raise ChromatellError(f"{self.where}: {fault}: {self.first[:120]!r}. {cure}")
        if self.n:
            warn(f"{self.where}: {self.n} of {good + self.n} lines are left out, {fault}: {self.first[:120]!r}.")


def split_row(line: str, separator: str) -> list[str]:
    """Return the fields of a line; a comma within quotes divides none."""
    if separator == ",":
        return next(csv.reader([line]), [])
    return [f[1:-1] if len(f) > 1 and f[0] == f[-1] == '"' else f for f in line.split(separator)]


def find_column(names: list[str], aliases: tuple[str, ...], where: str = "The table") -> int | None:
    """Return the place of the first of some names among those of a table; None where it has none of them.

    Raises
    ------
    ChromatellError
        The table names it twice.
    """
    name = next((a for a in aliases if a in names), None)
    if name is None:
        return None
    if names.count(name) > 1:
        raise ChromatellError(f"{where} names the column {name!r} {names.count(name)} times. Leave one of them.")
    return names.index(name)


def positions(
    columns: Mapping[str, pd.Series], where: str, *, interval: tuple[str, str] | None = None
) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Return 0-based positions, int64, and which rows to keep; of those that are left out, positions are 0.

    Parameters
    ----------
    columns
        What they are called, and their values.
    interval
        The names of the two that are start and end: the end must be above the start.

    Raises
    ------
    ChromatellError
        Over 1% of the rows hold no positions.
    """
    place, bad = {}, np.zeros(len(next(iter(columns.values()))), dtype=bool)
    what = ""
    for name, column in columns.items():
        number = pd.to_numeric(column, errors="coerce").to_numpy(dtype=np.float64)
        wrong = ~((number >= 0) & (number < _MAX_POSITION) & (number % 1 == 0))
        if wrong.any() and not what:
            what = f"{int(wrong.sum())} values of {name} are not positions (such as {examples(column[wrong])})"
        bad |= wrong
        place[name] = np.where(wrong, 0, number).astype(np.int64)
    if interval is not None:
        empty = ~bad & (place[interval[1]] <= place[interval[0]])
        if empty.any() and not what:
            start, end = (int(place[name][int(np.argmax(empty))]) for name in interval)
            what = f"{int(empty.sum())} genes end before they start (such as {start}-{end})"
        bad |= empty
    n = int(bad.sum())
    if n > ODD_SHARE * bad.size:
        raise ChromatellError(f"{where}: {what}; 0-based whole numbers are needed. Mend the table.")
    if n:
        warn(f"{where}: {n} of {bad.size} rows are left out: {what}.")
    return place, ~bad
