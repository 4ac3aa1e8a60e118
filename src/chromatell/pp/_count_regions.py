"""``ctl.pp.count_regions``: fragments, or files of reads, to cells x regions."""

from __future__ import annotations

import heapq
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
from anndata import AnnData

from chromatell._arguments import arguments
from chromatell._keys import CHROM, COUNTED, END, START, UNS
from chromatell._progress import progress
from chromatell._settings import logger
from chromatell._validate import ChromatellError, examples, in_range, one_of
from chromatell.genome.bed import read_bed, read_regions
from chromatell.genome.builds import ChromSizes, chromosome_sizes
from chromatell.genome.chromosome_ends import Ends
from chromatell.genome.regions import region_table
from chromatell.pp._bin_fragments import N_FRAGMENTS, Counted, PairCounts, count_fragments
from chromatell.pp._bin_genome import MIN_FRAGMENTS, cells_wanted
from chromatell.pp._genome_bins import ENDS_CURE, UNKNOWN, GenomeBins

_MOST_LAYERS = 1000  # regions over one place
_WAYS = {"fragments": "overlap", "cut_sites": "cut_sites"}


@arguments
def count_regions(
    source: str | os.PathLike[str] | Sequence[str | os.PathLike[str]] | Mapping[str, str | os.PathLike[str]],
    regions: Any,
    *,
    barcodes: Iterable[str] | None = None,
    min_fragments: int | None = None,
    count: Literal["fragments", "cut_sites"] = "fragments",
    chrom_sizes: ChromSizes | None = None,
) -> AnnData:
    r"""Counts of cells x any regions: peaks, enhancers whose RNA was sequenced, sites of a motif.

    Parameters
    ----------
    source
        - A fragments file, as ``ctl.pp.bin_genome`` reads it.
        - Files of reads, BED with three columns or more, one a cell or a sample: a list of paths, or name to path. In
          a list, a file's name up to the first dot is that of its cell. A line is a read; its strand is not looked at.
    regions
        A BED file, a table with `chrom`, `start`, `end`, names such as ``chr1:100-600``, or an AnnData of regions,
        whose names are kept. Regions may overlap, and lie in any order.
    barcodes
        The cells, in the order wanted, such as ``rna.obs_names``. None takes all barcodes of at least `min_fragments`,
        in alphabetical order, or all files.
    min_fragments
        On the chromosomes of the regions, of a fragments file without `barcodes`: 1,000 where this is None.
    count
        ``'fragments'``: a fragment, or read, counts once in each region that it overlaps, by however few bases; or
        ``'cut_sites'``: each of its ends counts in each region that it lies in, so that one inside counts 2.
    chrom_sizes
        As for ``ctl.pp.bin_genome``: what ends beyond them is of another build, and refused. None looks at no ends.

    Returns
    -------
    anndata.AnnData
        - ``X`` : counts, float32 CSR (cells, regions), all regions in the order given.
        - ``var`` : `chrom`, `start`, `end` (0-based, half-open), named ``chr1:100-600``.
        - ``obs['n_fragments']`` : int64, on the chromosomes of the regions, in a region or not.
        - ``uns['ctl']['count_regions']`` : dict of what was asked, `n_read` and `n_used` (fragments or reads).

    Raises
    ------
    ChromatellError
        A file that cannot be read, regions that repeat, no fragment of the cells, or none on the regions' chromosomes.

    Notes
    -----
    ``ctl.pp.bin_genome`` takes the middle of a fragment, since bins meet and a fragment shall count once. Regions lie
    apart: here one that reaches over an edge counts. Put what comes back beside expression, ``mdata.mod['erna'] =
    counts``, and a model reads it, ``ctl.tl.dense(mdata, inputs=('rna', 'erna'))``. Peak memory grows with the pairs of
    cell and region that hold a fragment, some 30 bytes each; of files of reads with the largest file too.

    References
    ----------
    Andersson et al., An atlas of active enhancers across human cell types and tissues (Nature, 2014), for the RNA of
    enhancers.

    Examples
    --------
    >>> from pathlib import Path
    >>> import chromatell as ctl
    >>> lines = ["chr1\t100\t300\tAAAC-1\t1", "chr1\t590\t700\tAAAC-1\t2", "chr1\t150\t180\tAAAG-1\t1"]
    >>> _ = Path("fragments.tsv").write_text("\n".join(lines) + "\n")
    >>> cells = ["AAAG-1", "AAAC-1"]
    >>> ctl.pp.count_regions("fragments.tsv", ["chr1:100-600", "chr1:250-400"], barcodes=cells).to_df().astype(int)
            chr1:100-600  chr1:250-400
    AAAG-1             1             0
    AAAC-1             2             1
    """
    way = _WAYS[one_of(count, _WAYS, "count")]
    wanted = cells_wanted(barcodes)
    files = _files(source, wanted)
    if min_fragments is not None and (wanted is not None or files is not None):
        raise ChromatellError(
            f"min_fragments={min_fragments!r} is for a fragments file without barcodes=: leave it out."
        )
    table = _table(regions)
    sizes = None if chrom_sizes is None else chromosome_sizes(chrom_sizes)
    places = _Layers(table, sizes)
    if files is None:
        assert isinstance(source, str | os.PathLike)  # else there are files
        least = in_range(MIN_FRAGMENTS if min_fragments is None else min_fragments, 1, 10**9, "min_fragments")
        counted = count_fragments(Path(source), places, sizes, wanted, least, way)
    else:
        counted = _count_files(files, places, sizes, way)
    how = {
        "source": Path(source).name if isinstance(source, str | os.PathLike) else f"{len(files or ())} files",
        "count": count,
        "n_read": counted.n_read,
        "n_used": counted.n_used,
    }
    logger.info("%s cells x %s regions; %s of %s fragments are of these cells.",
                *(f"{n:,}" for n in (*counted.x.shape, counted.n_used, counted.n_read)))  # fmt: skip
    return AnnData(counted.x, obs=counted.obs, var=table, uns={UNS: {COUNTED: how}})


class _Layers:
    """Regions that may overlap, as sets of bins that do not; a bin's number is the region's place in the table."""

    def __init__(self, table: pd.DataFrame, sizes: Mapping[str, int] | None) -> None:
        if sizes is None:
            sizes = dict.fromkeys(pd.unique(table[CHROM]).tolist(), UNKNOWN)
        self._n = len(table)
        layer = _layer_of(table)
        self._rows = [np.flatnonzero(layer == i) for i in range(int(layer.max()) + 1)]
        self._bins = [GenomeBins.of(table.iloc[rows], sizes) for rows in self._rows]
        first = self._bins[0]
        self.names, self.lengths, self.code_of = first.names, first.lengths, first.code_of

    def __len__(self) -> int:
        return self._n

    def assign(self, chrom: np.ndarray, start: np.ndarray, end: np.ndarray, how: str) -> tuple[np.ndarray, np.ndarray]:
        """Return (which interval, which region), a pair where one lies in the other, as `GenomeBins` does."""
        pairs = []
        for rows, bins in zip(self._rows, self._bins, strict=True):
            which, at = bins.assign(chrom, start, end, how)
            assert bins.order is not None  # bins of a table
            pairs.append((which, rows[bins.order[at]]))
        which, region = (np.concatenate(parts) for parts in zip(*pairs, strict=True))
        return which, region


def _layer_of(table: pd.DataFrame) -> np.ndarray:
    """Return for each region the first layer in which it overlaps none before it, int64 (regions,)."""
    layer = np.zeros(len(table), dtype=np.int64)
    start, end = (table[c].to_numpy() for c in (START, END))
    for rows in table.groupby(CHROM, observed=True, sort=False).indices.values():
        order = rows[np.argsort(start[rows], kind="stable")]
        if not (start[order][1:] < np.maximum.accumulate(end[order])[:-1]).any():
            continue
        busy: list[tuple[int, int]] = []  # end, layer
        free: list[int] = [0]
        for row in order:
            while busy and busy[0][0] <= start[row]:
                heapq.heappush(free, heapq.heappop(busy)[1])
            if not free:
                free.append(len(busy))
            layer[row] = heapq.heappop(free)
            heapq.heappush(busy, (int(end[row]), int(layer[row])))
    if layer.max(initial=0) >= _MOST_LAYERS:
        at = table.index[int(layer.argmax())]
        raise ChromatellError(f"regions: over {_MOST_LAYERS} of them lie over the start of {at!r}. Merge them first.")
    return layer


def _table(regions: Any) -> pd.DataFrame:
    """Return `chrom`, `start`, `end` of the regions, by name."""
    if isinstance(regions, AnnData):
        table = region_table(regions)[[CHROM, START, END]].copy()
    else:
        table = read_regions(regions, "regions")
        names = [f"{c}:{s}-{e}" for c, s, e in table.itertuples(index=False)]
        table.index = pd.Index(names, dtype=object)
    if table.empty or not table.index.is_unique:
        repeated = table.index[table.index.duplicated()].unique()
        raise ChromatellError(
            f"regions: {f'{len(repeated)} are there twice, such as {examples(repeated)}' if len(table) else 'none'}. "
            "Give each once: table.drop_duplicates(['chrom', 'start', 'end'])."
        )
    return table


def _files(source: Any, wanted: list[str] | None) -> dict[str, Path] | None:
    """Return the files of reads by the name of their cell; None of a fragments file."""
    if isinstance(source, str | os.PathLike):
        return None
    if isinstance(source, Mapping):
        files = {str(name): Path(path) for name, path in source.items()}
    elif isinstance(source, Sequence) and all(isinstance(p, str | os.PathLike) for p in source):
        paths = [Path(p) for p in source]
        files = {p.name.split(".")[0]: p for p in paths}
        if len(files) < len(paths):
            raise ChromatellError(
                "source: two files have the same name up to the first dot. Name the cells: source={'cell': path, ...}."
            )
    else:
        raise ChromatellError(
            f"source is a {type(source).__name__}; the path of a fragments file, or a list of files of reads, is "
            "needed."
        )
    if not files:
        raise ChromatellError("source is empty: no file of reads. Give a path, or some.")
    missing = [name for name in wanted or () if name not in files]
    if missing:
        raise ChromatellError(
            f"{len(missing)} of the {len(wanted or ())} barcodes have no file (such as {examples(missing)}); the files "
            f"are of {examples(files)}. Name them as the cells: source={{'cell': path, ...}}."
        )
    return files if wanted is None else {name: files[name] for name in wanted}


def _count_files(files: Mapping[str, Path], places: _Layers, sizes: Mapping[str, int] | None, way: str) -> Counted:
    """Return counts, a row a file."""
    pairs, used, n_read = PairCounts(len(places)), np.zeros(len(files), dtype=np.int64), 0
    lengths = places.lengths.astype(np.float64)
    with progress("Reading reads", len(files), "files") as advance:
        for i, path in enumerate(files.values()):
            table = read_bed(path, "source")
            n_read += len(table)
            code = places.code_of(table[CHROM])
            start, end = (table[c].to_numpy() for c in (START, END))
            kept = np.flatnonzero(code >= 0)
            ends = Ends("reads", "chrom_sizes", sizes or {}, ENDS_CURE)
            kept = kept[ends.add(places.names, code[kept], start[kept], end[kept], lengths)]
            ends.finish("they are left out")
            used[i] = kept.size
            which, region = places.assign(code[kept], start[kept], end[kept], way)
            pairs.add(np.full(which.size, i), region)
            advance(1)
    if not used.any():
        raise ChromatellError(
            f"None of the {n_read:,} reads lies on the chromosomes of the regions ({examples(places.names, 6)}). Are "
            "they of another species or build?"
        )
    obs = pd.DataFrame({N_FRAGMENTS: used}, index=pd.Index(list(files), dtype=object))
    return Counted(pairs.result(len(files)), obs, {}, n_read, int(used.sum()))
