"""``ctl.pp.bin_tracks``: bigWig files and lists of peaks to tracks."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from chromatell._arguments import arguments
from chromatell._dask import current_client, in_order, shared
from chromatell._docs import documented
from chromatell._progress import progress
from chromatell._settings import settings
from chromatell._unread import Readers, refuse_unread, usual
from chromatell._validate import ChromatellError, examples, in_range, one_of
from chromatell.data._tracks_info import OUTSIDE
from chromatell.data._tracks_rows import check_memory
from chromatell.data._tracks_store import TracksWriter
from chromatell.data._tracks_table import ROLE, STAT, STRAND
from chromatell.data.tracks import BinnedTracks
from chromatell.genome.builds import ChromSizes
from chromatell.io.bigwig import MAX_BIN, MISSING, STATS, BigWig, Missing, Stat
from chromatell.pp._peak_files import SHARE, PeakFile, is_peaks
from chromatell.pp._strand_check import StrandCheck
from chromatell.pp._track_files import (
    PATH,
    bins_of,
    check_pairs,
    check_signs,
    file_table,
    intervals,
    open_files,
    shared_chroms,
    sign_of,
)


@arguments
@documented("workers")
def bin_tracks(
    files: Mapping[str, Any] | Sequence[Mapping[str, Any]] | pd.DataFrame,
    *,
    bin_size: int = 50,
    chroms: str | Iterable[str] | None = None,
    stat: Stat = "mean",
    missing: Missing = "zero",
    allow_negative: bool = False,
    annotation: str | os.PathLike[str] | pd.DataFrame | None = None,
    chrom_sizes: ChromSizes | None = None,
    peak_width: int | None = None,
    n_jobs: int | None = None,
    out: str | os.PathLike[str] | None = None,
    overwrite: bool = False,
    client: Any = None,
) -> BinnedTracks:
    r"""Read bigWig files and lists of peaks into bins along whole chromosomes.

    Parameters
    ----------
    files
        Name to path; or a table (list of dicts, DataFrame) with `name` and `path`, and any of `strand` ('+', '-',
        '.'), `role` ('input', 'target'), `assay`, `sample`. Where they are not said, a name with the word plus, pos,
        fwd or forward (minus, neg, rev or reverse) tells the strand, a stranded track is an input and any other a
        target; the assay is the name without the sample, of two strands what their names share, or 'signal'. A path
        that ends in ``.bed``, ``.narrowPeak`` or ``.broadPeak`` (``.gz`` or not) is a list of peaks or of other
        elements, and a target: its value is the share of a bin's bases that is covered, whatever `stat` says.
    bin_size
        In bp. Bins start at 0 of each chromosome; the last one holds the bases that remain, and its mean is over those.
    chroms
        Which, `1` and `chr1` being the same; None takes those that all files have, without scaffolds and the
        mitochondrion. They are named as in the first file. From ``'chr21:30,000,000-35,000,000'`` that part alone is
        read; the rest of the chromosome is 0 and masked (8).
    stat
        - ``'mean'``: over all bases of the bin, a base without data counting as 0.
        - ``'mean_covered'``: over the bases that have data, as ``pyBigWig.stats(exact=True)`` gives it; without
          ``exact=True`` that reads zoom levels where there are some, and differs. For sparse files, such as one base a
          read, it is far larger and does not grow with the number of reads in a bin.
        - ``'sum'``, ``'max'``: over the bases that have data.
    missing
        What a bin without any data is: ``'zero'``, or ``'nan'``.
    allow_negative
        Let targets be negative (log ratios). A minus strand that is stored as negative values needs no leave: absolute
        values are taken, and it is said.
    annotation
        Genes (GTF, BED, table; see :func:`chromatell.pl.tracks`): inputs of two strands must follow the genes' strands,
        which tells files that were swapped even where both are positive.
    chrom_sizes
        For peaks without a bigWig beside them: a build such as 'hg38', or chromosome to length in bp.
    peak_width
        In bp: cut longer peaks to this length around the summit of a narrowPeak, or else the middle. Wide peaks call
        bins positive that carry little of the mark: with narrow ones models learn better. None cuts none.
    n_jobs
        Threads. None follows ``ctl.settings.n_jobs``.
    out
        A Zarr folder to write to, for more than fits in memory; the tracks returned read from it.
    overwrite
        Replace what is at `out`.
    client
        A `dask.distributed.Client`, whose workers read, a chromosome of a file each: files lie on a disk that all of
        them see. None takes the current client, if one was made, else `n_jobs` threads. The tracks are the same.

    Returns
    -------
    BinnedTracks
        float32. ``table`` says `stat`, of peaks 'share'; ``uns['bin_tracks']`` the options.

    Raises
    ------
    ChromatellError
        A file that is no bigWig, is cut short or empty; files of different builds or without a shared chromosome;
        strands swapped; negative values where there can be none; a file without data on the chromosomes asked for;
        peaks of another build, or as an input.

    Notes
    -----
    Peak memory: 4 bytes a bin and track (0.5 GB for two strands of the human genome), with `out` those of one
    chromosome; and 30 MB a thread. Files are read at once, their chromosomes one after the other. A chromosome
    without any peak in a list is one that the list lacks: not to be told from one that nobody looked at.

    References
    ----------
    Kent et al., BigWig and BigBed (Bioinformatics, 2010). Huey and Abdennur, Bigtools (Bioinformatics, 2024).

    Examples
    --------
    >>> import numpy as np
    >>> import chromatell as ctl
    >>> signal = ctl.data.BinnedTracks({"chr1": np.array([[0, 2, 4, 4]])}, ["signal"], chrom_sizes={"chr1": 190})
    >>> paths = ctl.io.bigwig.write(signal, "bigwig")
    >>> tracks = ctl.pp.bin_tracks({"H3K4me3": paths["signal"]}, bin_size=100)
    >>> tracks.values("chr1").tolist()
    [[1.0, 4.0]]

    Peaks of a BED, here without a signal beside them:

    >>> from pathlib import Path
    >>> _ = Path("peaks.bed").write_text("chr1\t25\t125\n")
    >>> tracks = ctl.pp.bin_tracks({"H3K27ac": "peaks.bed"}, chrom_sizes={"chr1": 190})
    >>> tracks.values("chr1").tolist()
    [[0.5, 1.0, 0.5, 0.0]]
    """
    bin_size = in_range(bin_size, 1, MAX_BIN, "bin_size")
    one_of(stat, STATS, "stat")
    one_of(missing, MISSING, "missing")
    peak_width = None if peak_width is None else in_range(peak_width, 1, 1_000_000_000, "peak_width")
    client = current_client(client)
    jobs = in_range(settings.n_jobs if n_jobs is None else n_jobs, 1, 256, "n_jobs")
    table = file_table(files)
    check_pairs(table)
    paths = [str(p) for p in table.pop(PATH)]
    of_peaks: Readers = [(["peak_width"], any(map(is_peaks, paths)), "lists of peaks, .bed or .narrowPeak")]
    refuse_unread({"peak_width": peak_width}, usual(bin_tracks), of_peaks)
    table[STAT] = [SHARE if is_peaks(p) else stat for p in paths]
    with ExitStack() as stack:
        handles = open_files(table.assign(**{PATH: paths}), stack, chrom_sizes, peak_width)
        whole, parts = intervals(chroms)
        chosen = shared_chroms(handles, whole)
        signs = [
            sign_of(
                name, file, table.loc[name, STRAND], table.loc[name, ROLE], allow_negative,
                [own[name] for own in chosen.values()],
            )
            for name, file in handles.items()
        ]  # fmt: skip
        first = handles[table.index[0]]
        sizes = {chrom: first.sizes[chrom] for chrom in chosen}
        if out is None:
            needed = sum(-(-n // bin_size) for n in sizes.values()) * 4 * len(table)
            check_memory(needed, "Name a Zarr folder to write to: out='tracks.zarr'.")
        of_parts = bins_of(parts, sizes, bin_size)
        masks = {}
        if of_parts:
            masks = {c: _outside(-(-n // bin_size), of_parts.get(c, slice(None))) for c, n in sizes.items()}
        check = StrandCheck(table, bin_size, annotation)
        one = partial(_values, bin_size=bin_size, stat=stat, missing=missing)
        roles = [(str(name), str(role), allow_negative) for name, role in zip(table.index, table[ROLE], strict=True)]
        read = _reader(list(handles.values()), signs, roles, chosen, bin_size, one, of_parts, jobs, check, client)
        how = {"bin_tracks": {"stat": stat, "missing": missing, "files": [Path(p).name for p in paths]}}
        if peak_width is not None:
            how["bin_tracks"]["peak_width"] = peak_width
        if out is not None:
            with TracksWriter(
                Path(out), table, chrom_sizes=sizes, bin_size=bin_size, uns=how, overwrite=overwrite
            ) as writer:
                for chrom, values in read:
                    writer.write(chrom, values)
                for chrom, mask in masks.items():
                    writer.write_bins(chrom, mask, "masks")
            return BinnedTracks.open(out)
        tracks = BinnedTracks(dict(read), table, bin_size=bin_size, chrom_sizes=sizes)
        tracks.uns.update(how)
        tracks.masks.update(masks)
        return tracks


def _outside(n: int, bins: slice) -> np.ndarray:
    """Return a mask, uint8 (n,): bins that were not read are outside of what is known."""
    mask = np.full(n, OUTSIDE, dtype=np.uint8)
    mask[bins] = 0
    return mask


def _reader(
    files: list[BigWig | PeakFile],
    signs: list[int],
    roles: list[tuple[str, str, bool]],
    chosen: Mapping[str, Mapping[str, str]],
    bin_size: int,
    one: Callable[..., np.ndarray],
    parts: Mapping[str, slice],
    jobs: int,
    check: StrandCheck,
    client: Any,
) -> Iterator[tuple[str, np.ndarray]]:
    """Yield each chromosome with its values, float32 (tracks, bins), several tracks being read at the same time."""
    any_value = np.zeros(len(files), dtype=bool)
    held = [shared(client, file) for file in files]
    work = (
        (file, name, sign, role, parts.get(chrom))
        for chrom, own in chosen.items()
        for file, name, sign, role in zip(held, own.values(), signs, roles, strict=True)
    )
    binned = in_order(client, one, work, jobs)
    with progress("Binning", total=len(chosen) * len(files), unit="chromosomes") as advance, closing(binned):
        for chrom in chosen:
            values = np.empty((len(files), -(-files[0].sizes[chrom] // bin_size)), dtype=np.float32)
            for row in values:
                row[:] = next(binned)
                advance(1)
            any_value |= (np.nan_to_num(values) != 0).any(axis=1)
            check.add(chrom, values)
            yield chrom, values
    if not any_value.all():
        raise ChromatellError(
            f"{examples([f.path for f, has_value in zip(files, any_value, strict=True) if not has_value])} hold no "
            f"value other than 0 on {examples(chosen, 8)}. Leave them out, or choose other chromosomes."
        )
    check.finish()


def _values(
    file: BigWig | PeakFile,
    chrom: str,
    sign: int,
    role: tuple[str, str, bool],
    bins: slice | None,
    *,
    bin_size: int,
    stat: str,
    missing: str,
) -> np.ndarray:
    values = file.binned(chrom, bin_size, stat, missing, lowest=sign < 0, bins=bins)
    if sign < 0:
        values = np.float32(0) - values  # and not -0
    elif file.low >= 0 and float(np.nanmin(values, initial=0)) < 0:  # the header says that there are none
        check_signs(role[0], file, *file.extremes([chrom]), *role[1:])
    return values
