"""BigWig in and out: ``ctl.io.bigwig``."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from functools import lru_cache
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from chromatell._arguments import arguments
from chromatell._errors import as_one_error
from chromatell._nearest import names_there
from chromatell._progress import progress
from chromatell._settings import file_name, logger
from chromatell._validate import ChromatellError, examples, in_range, one_of, warn
from chromatell.io._bigwig_bins import run_starts, write_bins
from chromatell.io._bigwig_file import check_lengths
from chromatell.io._bigwig_guard import check_bigwig
from chromatell.io._child import BIGWIG, known, open_in_child
from chromatell.io._replace import check_target
from chromatell.io._write import siblings

if TYPE_CHECKING:
    from anndata import AnnData

    from chromatell.data.tracks import BinnedTracks

Stat = Literal["mean", "mean_covered", "sum", "max"]
Missing = Literal["zero", "nan"]
STATS, MISSING = ("mean", "mean_covered", "sum", "max"), ("zero", "nan")
MAX_BIN = 10_000_000  # bp
_PIECE = 1 << 20  # bins read or written at a time
_SUFFIXES = (".bw", ".bigwig")
_KNOWN_SUFFIXES = (".bw", ".bigWig", ".bigwig")  # as pybigtools spells them; of .BW it knows nothing

__all__ = ["read", "write"]


@arguments
def read(
    path: str | os.PathLike[str],
    *,
    bin_size: int = 50,
    chroms: str | Sequence[str] | None = None,
    stat: Stat = "mean",
    missing: Missing = "zero",
) -> dict[str, np.ndarray]:
    """Values of one bigWig in bins, as the file has them: no sign is changed.

    Parameters
    ----------
    path
        The file.
    bin_size
        In bp. Bins start at 0 of each chromosome; the last one is shorter where the length is no multiple.
    chroms
        Which, by the file's own names; None is all of them.
    stat, missing
        As in :func:`chromatell.pp.bin_tracks`.

    Returns
    -------
    dict of str to numpy.ndarray
        Chromosome to float32 (bins,).

    Raises
    ------
    ChromatellError
        The file is no bigWig, is cut short or damaged, or lacks a chromosome; or pybigtools is not installed.

    Examples
    --------
    >>> import numpy as np
    >>> import chromatell as ctl
    >>> tracks = ctl.data.BinnedTracks({"chr1": np.array([[0, 1, 5]])}, ["signal"], chrom_sizes={"chr1": 120})
    >>> _ = ctl.io.bigwig.write(tracks, "signal.bw")
    >>> ctl.io.bigwig.read("signal.bw")["chr1"].tolist()
    [0.0, 1.0, 5.0]
    """
    bin_size = in_range(bin_size, 1, MAX_BIN, "bin_size")
    with BigWig(path) as file:
        wanted = list(file.sizes) if chroms is None else [chroms] if isinstance(chroms, str) else list(chroms)
        unknown = [c for c in wanted if c not in file.sizes]
        if unknown:
            raise ChromatellError(
                f"{file.name} has no chromosome {examples(unknown)}; there: {names_there(file.sizes, unknown[0], 8)}. "
                "Name those."
            )
        return {c: file.binned(c, bin_size, stat, missing) for c in wanted}


@arguments
def write(
    tracks: BinnedTracks | AnnData,
    path: str | os.PathLike[str],
    *,
    names: str | Sequence[str] | None = None,
    layer: str | None = None,
    zeros: bool = True,
    overwrite: bool = False,
) -> dict[str, Path]:
    """Write tracks as bigWig files, each of which is read again and compared.

    Parameters
    ----------
    tracks
        What to write.
    path
        A name that ends in ``.bw`` or ``.bigWig``, for one track; else a folder, which gets ``name.bw`` of each.
    names
        Which tracks; None takes the predictions, or all where there is none.
    layer
        Such as ``'raw'``; None writes the values themselves.
    zeros
        Write bins of value 0; else they stay without data, as readers of sparse signal expect.
    overwrite
        Replace bigWigs that are there. All files take their names together, at the end.

    Returns
    -------
    dict of str to pathlib.Path
        Name of each track to its file. Neighbouring bins of one value are one interval, unless bins take fewer bytes;
        chromosomes are in the order of their names and end where the genome's do; NaN is left out. Zoom levels for
        browsers are included.

    Raises
    ------
    ChromatellError
        No such track, several for one file, a file that exists, infinite values, nothing to write, or a file that does
        not read back as it was written.

    Examples
    --------
    >>> import numpy as np
    >>> import chromatell as ctl
    >>> tracks = ctl.data.BinnedTracks({"chr1": np.array([[0, 1, 5]])}, ["signal"], chrom_sizes={"chr1": 120})
    >>> ctl.io.bigwig.write(tracks, "folder")["signal"].name
    'signal.bw'
    """
    from chromatell.data.tracks import as_tracks

    tracks = as_tracks(tracks)
    if names is None:
        names = tracks.names_of(role="prediction") or tracks.names
    chosen = tracks.check_names(names)
    files = bigwig_files(path, chosen, overwrite=overwrite)
    import_pybigtools()  # which reads them again
    with siblings(list(files.values()), ".bw", overwrite=overwrite) as temporary:  # pybigtools goes by the suffix
        for name, file in files.items():
            _write_one(tracks, name, temporary[file], layer, zeros)
            known(temporary[file])  # ours: no child process need look at it, now or under its name
            _compare(tracks, name, temporary[file], layer, zeros)
            logger.info("Wrote %s, read it again, the same.", file_name(file))
    return files


def bigwig_files(path: str | os.PathLike[str], names: Sequence[str], *, overwrite: bool = False) -> dict[str, Path]:
    """Return the file that `write` makes of each track, or raise where it would not."""
    target = Path(path)
    if target.suffix.lower() in _SUFFIXES:
        if len(names) != 1:
            raise ChromatellError(
                f"{str(target)!r} is one file for {len(names)} tracks ({examples(names)}). Name one, names=..., or "
                "give a folder."
            )
        files = {names[0]: target}
    elif target.exists() and not target.is_dir():
        raise ChromatellError(f"{str(target)!r} is a file, and no bigWig. Name a folder, or a file that ends in .bw.")
    else:
        files = {name: target / f"{_file_name(name)}.bw" for name in names}
    if len(set(files.values())) < len(files):
        raise ChromatellError("Two tracks would have the same file name. Write them one by one, to path='name.bw'.")
    for file in files.values():
        check_target(file, "bigwig", overwrite=overwrite)
    return files


class BigWig:
    """A bigWig open for reading; use it in a ``with`` block.

    Attributes
    ----------
    name
        For messages.
    sizes
        Chromosome to length in bp, in the file's order.
    low
        Least value, as the header has it; NaN where there is none. Its largest value is not to be relied on: libBigWig,
        so pyBigWig, looks at no value for it that is less than all before.

    Raises
    ------
    ChromatellError
        The file is no bigWig, or cut short or damaged; or pybigtools is not installed.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self.name = repr(str(self.path))
        self._one = Lock()  # one of its readers works at a time
        pybigtools = import_pybigtools()
        header = check_bigwig(self.path)
        open_in_child(self.path, BIGWIG)
        # pybigtools tells the format of a path by its suffix, and of an open file by its content
        named = self.path.suffix in _KNOWN_SUFFIXES
        self._handle = None if named else self.path.open("rb")
        with self._translated():
            self._file = pybigtools.open(str(self.path) if named else self._handle)
            self.sizes: dict[str, int] = {str(c): int(n) for c, n in self._file.chroms().items()}
            summary = self._file.info()["summary"]
        covered = int(summary["basesCovered"])
        self.low = float(summary["min"]) if covered else float("nan")
        bad = [c for c, n in self.sizes.items() if n < 1 or not c.isprintable()]
        if not self.sizes or bad:
            raise ChromatellError(
                f"{self.name} has {'chromosomes of no length or name: ' + examples(bad) if bad else 'no chromosome'}. "
                "Make it again from its bedGraph or BAM."
            )
        if not header.ends_well:
            warn(
                f"{self.name} does not end with the signature of a bigWig. It was cut short behind its data, in the "
                "zoom levels (browsers will fail), or comes of an unusual writer. Its values are all there."
            )

    def __reduce__(self) -> tuple[Any, ...]:
        """Return what opens it in another process."""
        return _opened, (self.path.absolute(),)

    def __enter__(self) -> BigWig:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()
        if self._handle is not None:
            self._handle.close()

    def extremes(self, chroms: Iterable[str]) -> tuple[float, float]:
        """Return the least and the largest value on some chromosomes, read from the data; NaN where there is none."""
        extremes = np.full((2, 0), np.nan)
        for chrom in chroms:
            size = self.sizes[chrom]
            new = [self._summary(chrom, size, how, None)[0] for how in ("min", "max")]
            extremes = np.column_stack([extremes, new])
        if np.isnan(extremes).all():
            return float("nan"), float("nan")
        return float(np.nanmin(extremes[0])), float(np.nanmax(extremes[1]))

    def binned(
        self,
        chrom: str,
        bin_size: int,
        stat: str = "mean",
        missing: str = "zero",
        *,
        lowest: bool = False,
        bins: slice | None = None,
    ) -> np.ndarray:
        """Return a chromosome's values in bins, float32 (bins,); outside of `bins` it is not read, and is 0.

        With `lowest`, `stat='max'` is the least value.
        """
        one_of(stat, STATS, "stat")
        one_of(missing, MISSING, "missing")
        summary = "min" if lowest and stat == "max" else {"mean_covered": "mean"}.get(stat, stat)
        # uncovered=0 counts bases without data in the denominator; fillna=0 would only fill bins without any
        if bins is not None:
            start, stop = bins.start * bin_size, min(bins.stop * bin_size, self.sizes[chrom])
            whole = np.zeros(-(-self.sizes[chrom] // bin_size), dtype=np.float32)
            whole[bins] = self._checked(chrom, bin_size, stat, summary, missing, (start, stop))
            return whole
        return self._checked(chrom, bin_size, stat, summary, missing, (0, self.sizes[chrom]))

    def _checked(
        self, chrom: str, bin_size: int, stat: str, summary: str, missing: str, within: tuple[int, int]
    ) -> np.ndarray:
        values = self._summary(chrom, bin_size, summary, 0.0 if stat == "mean" else None, within)
        if missing == "nan":
            if stat == "mean":
                values[self._summary(chrom, bin_size, "bases_covered", None, within) == 0] = np.nan
        else:
            np.nan_to_num(values, copy=False, nan=0.0, posinf=np.inf, neginf=-np.inf)
        infinite = int(np.isinf(values).sum())
        if infinite:
            raise ChromatellError(
                f"{self.name} holds infinite values, or ones over 3e38, in {infinite} bins of {chrom}. Remove them "
                "from its bedGraph and make it again."
            )
        return values

    def _summary(
        self, chrom: str, bin_size: int, summary: str, uncovered: float | None, within: tuple[int, int] | None = None
    ) -> np.ndarray:
        start, size = within or (0, self.sizes[chrom])
        whole, rest = divmod(size - start, bin_size)
        values = np.empty(whole + (rest > 0), dtype=np.float32)
        how = {"summary": summary, "exact": True, "uncovered": uncovered, "fillna": None}
        with self._one, self._translated(), np.errstate(over="ignore"):
            # bins=n makes n equal bins of an interval, so intervals are whole bins and the last, shorter bin is one
            for first in range(0, whole, _PIECE):
                last = min(first + _PIECE, whole)
                values[first:last] = self._file.values(
                    chrom, start + first * bin_size, start + last * bin_size, bins=last - first, **how
                )
            if rest:
                values[whole:] = self._file.values(chrom, start + whole * bin_size, size, bins=1, **how)
        return values

    def _translated(self) -> AbstractContextManager[None]:
        """Turn whatever pybigtools raises on a damaged file, panics of Rust among it, into one kind of error."""

        def tell(error: BaseException) -> ChromatellError | None:
            if not isinstance(error, Exception) and type(error).__name__ != "PanicException":
                return None
            return ChromatellError(
                f"{self.name} cannot be read; it is cut short or damaged ({type(error).__name__}: {str(error)[:120]}). "
                "Copy or download it again."
            )

        return as_one_error(BaseException, tell)


@lru_cache(maxsize=64)
def _opened(path: Path) -> BigWig:
    known(path)  # who sent it has looked it over
    return BigWig(path)


def import_pybigtools() -> Any:
    """Return the library, or say how to get it."""
    try:
        import pybigtools
    except ImportError as error:
        none = "" if sys.version_info < (3, 14) else " There is none yet for Python 3.14: use 3.11, 3.12 or 3.13."
        raise ChromatellError(f"BigWig files need pybigtools: pip install 'chromatell[tracks]'.{none}") from error
    return pybigtools


def _file_name(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9_.+-]", "_", name).lstrip(".") or "track"


def _write_one(tracks: BinnedTracks, name: str, path: Path, layer: str | None, zeros: bool) -> None:
    sizes = {chrom: tracks.chrom_sizes[chrom] for chrom in sorted(tracks.chrom_sizes)}
    check_lengths(sizes)

    def pieces(chrom: str) -> Iterator[np.ndarray]:
        n = tracks.n_bins_of(chrom)
        for low in range(0, n, _PIECE):
            values = tracks.values(chrom, [name], bins=slice(low, min(low + _PIECE, n)), layer=layer)[0]
            yield values if zeros else np.where(values == 0, np.float32(np.nan), values)

    bins = runs = 0
    for chrom in sizes:
        for values in pieces(chrom):
            if np.isinf(values).any():
                raise ChromatellError(
                    f"Track {name!r} holds infinite values on {chrom}; a bigWig takes finite ones. Mend it."
                )
            held = ~np.isnan(values)
            bins += int(held.sum())
            runs += int(held[run_starts(values)].sum())
    if not bins:
        raise ChromatellError(
            f"Track {name!r} has no value to write (all are {'NaN' if zeros else 'NaN or 0'}). Leave it out: names=..."
        )
    with progress(f"Writing {name}", total=tracks.n_bins, unit="bins") as advance:

        def shown(chrom: str) -> Iterator[np.ndarray]:
            for values in pieces(chrom):
                yield values
                advance(values.size)

        write_bins(path, sizes, tracks.bin_size, bins / runs, shown)


def _compare(tracks: BinnedTracks, name: str, path: Path, layer: str | None, zeros: bool) -> None:
    with BigWig(path) as file:
        sizes: Mapping[str, int] = file.sizes
        for chrom in tracks.chrom_sizes:
            wanted = tracks.values(chrom, [name], layer=layer)[0]
            wanted = wanted if zeros else np.where(wanted == 0, np.float32(np.nan), wanted)
            if chrom not in sizes and np.isnan(wanted).all():
                continue
            read_back = file.binned(chrom, tracks.bin_size, "mean_covered", "nan") if chrom in sizes else wanted[:0]
            same = read_back.shape == wanted.shape and np.allclose(read_back, wanted, rtol=1e-6, atol=0, equal_nan=True)
            if not same or sizes[chrom] != tracks.chrom_sizes[chrom]:
                raise ChromatellError(f"{str(path)!r} does not read back as written, on {chrom}. Check the disk.")
