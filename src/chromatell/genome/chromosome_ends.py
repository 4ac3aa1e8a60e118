"""Intervals past the ends of their chromosomes: few are those of aligners and peak callers, many tell another build.

One that runs over an end is odd; one that lies mostly behind it is proof of another sequence, unless it stands alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from chromatell._keys import CHROM, END, START
from chromatell._validate import ChromatellError, warn
from chromatell.genome.builds import builds_that_fit, identify
from chromatell.genome.odd_rows import ODD_SHARE

FEW = 3  # intervals past an end that tell nothing, of however few
_TELLING = 2  # builds that fit: more of them say no more than that the intervals lie near the starts


class Ends:
    """What is known of intervals and the ends of chromosomes, added up over blocks of a file.

    Parameters
    ----------
    what
        The intervals, for messages: ``'fragments'``.
    where
        What the lengths are of: ``'chrom_sizes'``, or the name of a FASTA.
    sizes
        Chromosome to length, to tell the build of.
    cure
        What mends a wrong build.
    strict
        Raise where many lie past an end; else ask `wrong`.

    Examples
    --------
    >>> import numpy as np
    >>> from chromatell.genome.chromosome_ends import Ends
    >>> ends = Ends("peaks", "chrom_sizes", {"chr1": 205}, "Give theirs.")
    >>> start = np.arange(200)
    >>> int(ends.add(["chr1"], np.zeros(200, dtype=int), start, start + 7, np.array([205.0])).sum())
    199
    """

    def __init__(self, what: str, where: str, sizes: Mapping[str, int], cure: str = "", *, strict: bool = True) -> None:
        self.what, self.where, self.cure, self.strict = what, where, cure, strict
        self.build = identify(sizes)
        self.n = self.over = self.beyond = 0
        self.of_chrom: dict[str, np.ndarray] = {}  # all, past the end
        self.furthest: dict[str, int] = {}
        self.worst: tuple[int, str, int, int] = (0, "", 0, 0)  # by how much, and where

    def add(
        self, chroms: Sequence[str], code: np.ndarray, start: np.ndarray, end: np.ndarray, length: np.ndarray
    ) -> np.ndarray:
        """Count a block of intervals and return which lie within their chromosomes, bool; raise where many do not.

        Parameters
        ----------
        chroms
            Names.
        code
            Place in `chroms` of each interval's chromosome.
        start, end
            0-based, half-open.
        length
            Length of each of `chroms`, in bp; float, NaN where it is not known.
        """
        its = length[code]
        over = end > its  # not where the length is NaN
        self.n += code.size
        counts = np.bincount(code, minlength=len(chroms))
        past = np.bincount(code[over], minlength=len(chroms))
        furthest = np.zeros(len(chroms), dtype=np.int64)
        np.maximum.at(furthest, code, end)
        for i in np.flatnonzero(counts).tolist():
            name = str(chroms[i])
            self.of_chrom[name] = self.of_chrom.get(name, np.zeros(2, dtype=np.int64)) + (counts[i], past[i])
            self.furthest[name] = max(self.furthest.get(name, 0), int(furthest[i]))
        if over.any():
            self.over += int(over.sum())
            self.beyond += int((over & (start + end > 2 * its)).sum())
            at = int(np.argmax(np.where(over, end - its, -1)))
            new = (int(end[at] - its[at]), str(chroms[int(code[at])]), int(end[at]), int(its[at]))
            self.worst = max(self.worst, new)
            if self.strict:
                self._judge()
        return ~over

    def finish(self, done: str) -> None:
        """Warn of those past an end, if there are any: `done` tells what became of them."""
        if self.over:
            _, chrom, end, length = self.worst
            fits = self._fits() if self.beyond else []
            warn(
                f"{self.over:,} of {self.n:,} {self.what} run past the end of their chromosome (one to {end:,} of "
                f"{chrom}, which has {length:,} bp by {self.where}); {done}."
                f"{f' {listed(fits)} would hold them all: are they of that build?' if fits else ''}"
            )

    def wrong(self) -> str:
        """Return what tells of another build; ``''`` where the few past an end may be odd ones."""
        if not self.over:
            return ""
        fits = self._fits()
        whole = next((c for c, (n, past) in self.of_chrom.items() if past == n > FEW), "")
        many = self.over > max(FEW, ODD_SHARE * self.n) or 2 * self.over > self.n
        if not (whole or many or self.beyond > ODD_SHARE * self.n or (fits and self.beyond >= FEW)):
            return ""
        if fits:
            return f"They are of another build: {listed(fits)} holds them all"
        return f"All of those on {whole} do" if whole else "They are of another build, or their positions are damaged"

    def _judge(self) -> None:
        why = self.wrong()
        if why:
            _, chrom, end, length = self.worst
            raise ChromatellError(
                f"{self.over:,} of {self.n:,} {self.what} lie off the end of their chromosome: one ends at {end:,} of "
                f"{chrom}, which has {length:,} bp by {self.where}{f' ({self.build})' if self.build else ''}. {why}. "
                f"{self.cure}"
            )

    def _fits(self) -> list[str]:
        """Return the builds that hold all of the intervals; none where that says nothing."""
        table = pd.DataFrame({CHROM: list(self.furthest), END: list(self.furthest.values())})
        fits = [b for b in builds_that_fit(table) if b != self.build]
        return fits if len(fits) <= _TELLING else []


def within(table: pd.DataFrame, length: np.ndarray, ends: Ends) -> np.ndarray:
    """Count the rows of a table, and return which lie within their chromosomes, bool.

    Parameters
    ----------
    table
        `chrom`, `end`, and `start` if it is known.
    length
        Length of each row's chromosome, NaN where it is not known.
    """
    code, chroms = pd.factorize(table[CHROM].astype(object))
    of_chrom = np.full(len(chroms), np.nan)
    of_chrom[code] = length
    start = table[START] if START in table else table[END] - 1
    return ends.add(list(chroms), code, start.to_numpy(), table[END].to_numpy(), of_chrom)


def listed(builds: Sequence[str]) -> str:
    """Return the builds that fit, for a message; many of them say nothing."""
    return " or ".join(builds) if 0 < len(builds) <= _TELLING else "no one build that is known"
