"""A genome's sequence as tokens, by position."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
from anndata import AnnData

from chromatell._keys import CHROM, END, START
from chromatell._settings import cache_folder, file_name, logger
from chromatell._validate import ChromatellError, examples
from chromatell.genome.builds import identify
from chromatell.genome.regions import normalise_chrom, parse_regions, plain_chrom, region_table
from chromatell.genome.sequence import UNKNOWN, count_unknown
from chromatell.genome.token_cache import TokenCache, open_cache, write_cache

_SUFFIX = ".ctl_tokens"
_ROWS = 4096  # windows read at a time


class Genome:
    r"""A FASTA as int8 tokens: A, C, G, T, N = 0, 1, 2, 3, 4.

    The first time, the FASTA is read once (a human genome takes about a minute) and its tokens are kept, one byte a
    base: in the user's cache folder (or that of the variable ``CHROMATELL_CACHE``), or beside the FASTA where the cache
    cannot be written to or an earlier release left them. Later, and in other processes at the same time, that file is
    mapped into memory. It is made anew when the FASTA's size, time of change or sequence names are others, or when it
    is damaged. The log says how large it is.

    Parameters
    ----------
    fasta
        Plain or bgzip FASTA. A `.fai` (for bgzip a `.gzi` too) beside it is used if it is as new; none is written.
        Lower case (soft-masked) is read as upper, letters other than A, C, G and T as N.
    cache_dir
        Folder for the tokens; made if it is not there. None chooses as above.

    Attributes
    ----------
    path : pathlib.Path
        The FASTA.
    chromosomes : dict
        Name to length in bp, as the FASTA has them.
    build : str
        'hg19', 'hg38', 'hs1', 'mm9', 'mm10' or 'mm39' if the lengths are those of that build, else ``''``.

    Raises
    ------
    ChromatellError
        There is no FASTA, it cannot be read, its names have over 512 characters, it holds proteins or nothing but N,
        or no folder can be written to.

    Notes
    -----
    Positions are 0-based and half-open, on the + strand. Chromosome names may be ``1`` or ``chr1``, ``MT`` or ``chrM``:
    the FASTA's own name is tried first. Memory: that of what is returned; the map is the system's to keep or drop.

    References
    ----------
    Sequences are read with pyfaidx (Shirley et al., 2015, PeerJ PrePrints 3:e970v1).

    Examples
    --------
    >>> from pathlib import Path
    >>> import chromatell as ctl
    >>> _ = Path("tiny.fa").write_text(">chr1\nACGTACGTAC\nGGnn\n")
    >>> genome = ctl.genome.Genome("tiny.fa")
    >>> genome.chromosomes
    {'chr1': 14}
    >>> ctl.genome.decode(genome.fetch("1", 8, 16))
    'ACGGNNNN'
    >>> tokens, n_padded = genome.windows(["chr1:4-6", "chr1:10-14"], 6)
    >>> ctl.genome.decode(tokens), n_padded.tolist()
    (['GTACGT', 'CGGNNN'], [0, 3])
    """

    def __init__(self, fasta: str | Path, *, cache_dir: str | Path | None = None) -> None:
        if not isinstance(fasta, str | os.PathLike):
            raise ChromatellError(f"fasta={fasta!r} is of type {type(fasta).__name__}; the path of a FASTA is needed.")
        self.path = Path(fasta).expanduser().absolute()
        if not self.path.is_file():
            what = "is a folder" if self.path.is_dir() else "is not there"
            raise ChromatellError(
                f"The FASTA {str(self.path)!r} {what}. Give the path of one, such as 'hg38.fa', which "
                "ctl.datasets.fetch('hg38') downloads (also 'hg19', 'mm10', 'mm39')."
            )
        self._cache_dir = None if cache_dir is None else Path(cache_dir).expanduser().absolute()
        self._use(self._open() or self._encode())

    def __repr__(self) -> str:
        bases = sum(self.chromosomes.values())
        names = examples(self.chromosomes)
        build = f"{self.build}, " if self.build else ""
        return f"Genome({self.path.name!r}: {build}{len(self.chromosomes)} sequences ({names}), {bases:,} bp)"

    def __contains__(self, chrom: object) -> bool:
        return self.name_of(str(chrom)) is not None

    def __reduce__(self) -> Any:
        # a process that is handed a genome opens the file itself: a map would be copied as a whole
        return partial(Genome, cache_dir=self._cache_dir), (self.path,)

    def name_of(self, chrom: str) -> str | None:
        """Return the FASTA's own name of a chromosome, ``1`` for ``chr1`` or the other way; None if it is not there."""
        if chrom in self.chromosomes:
            return chrom
        return self._by_style.get(plain_chrom(chrom))

    def length_said(self, chrom: str) -> str:
        """Return how long a chromosome is, for a message about a place that it does not have; '' where it is absent."""
        name = self.name_of(chrom)
        return "" if name is None else f"; {name} ends at {self.chromosomes[name]:,}"

    def fetch(self, chrom: str, start: int, end: int) -> np.ndarray:
        """Tokens of one interval.

        Parameters
        ----------
        chrom
            Name in either style.
        start, end
            0-based, half-open. Positions off either end of the chromosome are 4.

        Returns
        -------
        numpy.ndarray, int8, (end - start,)

        Raises
        ------
        ChromatellError
            The FASTA has no such chromosome, or `start` is not below `end`.
        """
        name = self.name_of(str(chrom))
        if name is None:
            raise ChromatellError(f"{self.path.name} has no chromosome {str(chrom)!r}; it has {self._names()}.")
        if not start < end:
            raise ChromatellError(f"{chrom}:{start}-{end} is empty: start must be below end (0-based, half-open).")
        return self._gather(np.array([self._number[name]]), np.array([start], dtype=np.int64), int(end) - int(start))[0]

    def windows(
        self, regions: pd.DataFrame | AnnData | Sequence[str], width: int = 1344, *, allow_absent: bool = False
    ) -> tuple[np.ndarray, np.ndarray]:
        """Tokens of a window around the middle of each region.

        With ``mid = (start + end) // 2`` the window is ``[mid - width // 2, mid - width // 2 + width)``: for an odd
        width the base at `mid` is its centre, for an even one the base right of it.

        Parameters
        ----------
        regions
            A table with `chrom`, `start`, `end` (0-based, half-open), an AnnData of regions, or names such as
            ``chr1:100-600``.
        width
            In bp.
        allow_absent
            Chromosomes that the FASTA does not have are an error; if True, their windows are all 4.

        Returns
        -------
        tokens : numpy.ndarray, int8, (n_regions, width)
            Positions off an end of the chromosome, and N, are 4.
        n_padded : numpy.ndarray, int64, (n_regions,)
            How many of them.

        Raises
        ------
        ChromatellError
            Regions without coordinates, a width below 1, a chromosome that is not there.
        """
        if isinstance(width, bool) or not isinstance(width, (int, np.integer)) or width < 1:
            raise ChromatellError(f"width={width!r} must be a whole number of bp, such as 1344.")
        table = as_regions(regions)
        number = self.find(table[CHROM])
        if (number < 0).any() and not allow_absent:
            lacking = table[CHROM][number < 0].unique()
            raise ChromatellError(
                f"{int((number < 0).sum())} of {len(table)} regions lie on chromosomes that {self.path.name} does not "
                f"have ({examples(lacking)}); it has {self._names()}. Give the FASTA of their build, or leave them out."
            )
        low = (table[START].to_numpy() + table[END].to_numpy()) // 2 - width // 2
        tokens = self._gather(number, low, int(width))
        n_padded = np.empty(len(table), dtype=np.int64)
        for i in range(0, len(table), _ROWS):
            n_padded[i : i + _ROWS] = count_unknown(tokens[i : i + _ROWS])
        return tokens, n_padded

    def find(self, chrom: pd.Series) -> np.ndarray:
        """Return each name's position in `chromosomes`, int64; -1 where the FASTA does not have it."""
        codes, names = pd.factorize(chrom.astype(str))
        known = [self.name_of(name) for name in names]
        numbers = np.array([-1 if name is None else self._number[name] for name in known], dtype=np.int64)
        return numbers[codes]

    def _use(self, cache: TokenCache) -> None:
        self._cache = cache
        self.chromosomes: dict[str, int] = dict(cache.sizes)
        self.build = identify(self.chromosomes)
        lengths = np.array(list(self.chromosomes.values()), dtype=np.int64)
        self._lengths, self._offsets = lengths, np.cumsum(lengths) - lengths
        self._number = {name: i for i, name in enumerate(self.chromosomes)}
        styles = normalise_chrom(self.chromosomes)
        self._by_style = dict(zip(reversed(styles.tolist()), reversed(list(self.chromosomes)), strict=True))

    def _names(self) -> str:
        return examples(self.chromosomes, 6)

    def _gather(self, number: np.ndarray, low: np.ndarray, width: int) -> np.ndarray:
        """Return tokens (n, width) from `low` on of each chromosome, by its position in `chromosomes`; -1 is all 4."""
        length = np.where(number < 0, 0, self._lengths[number])
        offset = self._offsets[number]
        at, first, last = offset + low, offset + np.maximum(low, 0), offset + np.minimum(low + width, length)
        known = last > first  # first to last is what there is of the window
        self._check(first[known], last[known] - 1)
        inside = known & (last - first == width)
        tokens = np.empty((len(low), width), dtype=np.int8)
        if inside.any():
            every = np.lib.stride_tricks.sliding_window_view(self._cache.tokens, width)
            for i in range(0, len(low), _ROWS):
                rows = slice(i, i + _ROWS)
                if inside[rows].all():
                    tokens[rows] = every[at[rows]]
                else:
                    tokens[rows][inside[rows]] = every[at[rows][inside[rows]]]
        tokens[~inside] = UNKNOWN
        for row in np.flatnonzero(known & ~inside):
            tokens[row, first[row] - at[row] : last[row] - at[row]] = self._cache.tokens[first[row] : last[row]]
        return tokens

    def _check(self, first: np.ndarray, last: np.ndarray) -> None:
        """Encode the FASTA anew where what is about to be read is not as it was written."""
        if self._cache.intact(first, last):
            return
        logger.warning("The token cache %s is damaged; the FASTA is encoded anew.", file_name(self._cache.path))
        sizes = self._cache.sizes
        cache = self._encode()
        if cache.sizes != sizes:
            raise ChromatellError(
                f"{str(self.path)!r} changed since it was opened. Open it again: ctl.genome.Genome(...)."
            )
        self._use(cache)
        if not cache.intact(first, last):
            raise ChromatellError(
                f"{str(cache.path)!r} does not hold what was written to it: the disk is failing. Give another folder: "
                "ctl.genome.Genome(fasta, cache_dir=...)."
            )

    def _files(self) -> list[Path]:
        """Return where the tokens may lie, best first."""
        digest = hashlib.sha256(str(self.path.resolve()).encode()).hexdigest()[:12]
        elsewhere = f"{self.path.name}-{digest}{_SUFFIX}"  # two genomes of one name
        if self._cache_dir is not None:
            return [self._cache_dir / elsewhere]
        beside = self.path.with_name(self.path.name + _SUFFIX)  # where earlier releases kept them
        return [cache_folder() / "genomes" / elsewhere, beside]

    def _open(self) -> TokenCache | None:
        return next((cache for file in self._files() if (cache := open_cache(file, self.path))), None)

    def _encode(self) -> TokenCache:
        reasons = []
        for file in self._files():
            if file.parent == self.path.parent and not _writable(file.parent):
                continue
            try:
                file.parent.mkdir(parents=True, exist_ok=True)
                write_cache(file, self.path)
            except OSError as error:
                reasons.append(f"{file.parent}: {error.strerror or error}")
                continue
            cache = open_cache(file, self.path)
            if cache is not None:
                where = "beside it" if file.parent == self.path.parent else "in the cache folder"
                done = (self.path.name, file_name(file), where if self._cache_dir is None else "in cache_dir")
                logger.info("Encoded %s once; %s, %s, holds its tokens: %.3g MB.", *done, file.stat().st_size / 1e6)
                logger.debug("The tokens are in %s.", file)
                return cache
            reasons.append(f"{file.parent}: what was written could not be read")
        raise ChromatellError(
            f"The tokens of {self.path.name} could not be kept ({'; '.join(reasons)}); they take one byte a base. "
            "Give a folder: ctl.genome.Genome(fasta, cache_dir=...)."
        )


def as_regions(regions: pd.DataFrame | AnnData | Sequence[str]) -> pd.DataFrame:
    """Return `chrom`, `start`, `end` of regions given as a table, an AnnData or names."""
    if isinstance(regions, (pd.DataFrame, AnnData)):
        source: Any = regions
        if isinstance(regions, pd.DataFrame):
            source = SimpleNamespace(var=regions, var_names=regions.index.astype(str))
        return region_table(source)
    if isinstance(regions, str) or not all(isinstance(name, str) for name in regions):
        raise ChromatellError(
            f"Regions were given as {type(regions).__name__}; needed is a table with chrom, start and end, an "
            "AnnData of regions, or a list of names such as 'chr1:100-600'."
        )
    names = pd.Index(list(regions), dtype=object)
    return region_table(SimpleNamespace(var=parse_regions(names), var_names=names))


def _writable(folder: Path) -> bool:
    """Return whether the folder is ours to write in; one that is marked read-only is not, not even for root."""
    return bool(folder.stat().st_mode & 0o222) and os.access(folder, os.W_OK)
