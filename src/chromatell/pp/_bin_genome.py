"""``ctl.pp.bin_genome``: fragments, or peaks, to cells x bins."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
import scipy.sparse as sp
from anndata import AnnData
from mudata import MuData

from chromatell._arguments import arguments
from chromatell._dask import current_client
from chromatell._keys import ATAC, BINNED, CHROM, END, START, UNS
from chromatell._rows import matrix, pieces
from chromatell._settings import logger
from chromatell._unread import Readers, refuse_unread, usual
from chromatell._validate import ChromatellError, examples, in_range, one_of
from chromatell._values import nonnegative
from chromatell.genome.bed import read_regions
from chromatell.genome.builds import ChromSizes, chromosome_sizes
from chromatell.genome.regions import region_table
from chromatell.pp._bin_fragments import Counted, count_fragments, count_samples
from chromatell.pp._genome_bins import GenomeBins, check_ends
from chromatell.pp._region_data import kept_sizes, regions_of

MIN_FRAGMENTS = 1000


@arguments
def bin_genome(
    source: str | os.PathLike[str] | Mapping[str, str | os.PathLike[str]] | AnnData | MuData,
    *,
    size: int = 5000,
    chrom_sizes: ChromSizes | None = None,
    barcodes: Iterable[str] | None = None,
    min_fragments: int | None = None,
    count: Literal["fragments", "cut_sites"] = "fragments",
    assign: Literal["midpoint", "overlap"] = "midpoint",
    blacklist: Any = None,
    bins: AnnData | pd.DataFrame | Sequence[str] | pd.Index | None = None,
    drop_empty: bool = True,
    client: Any = None,
) -> AnnData:
    r"""Counts of cells x bins of the genome, from a fragments file or from peaks.

    Parameters
    ----------
    source
        - A fragments file (``chrom start end barcode``, then any further columns; plain text, gzip or bgzip), as Cell
          Ranger, chromap or sinto write it. It is read once from start to end: its lines may be in any order, and an
          index beside it is not used. A line is a fragment, whatever its number of read pairs.
        - Name of a sample to its fragments file, ``{'donor1': 'a.tsv.gz', 'donor2': 'b.tsv.gz'}``: each is read by
          itself, at the same time where there are workers or ``ctl.settings.n_jobs`` threads, and cells are named
          ``'donor1:AAAC-1'``, in `barcodes` too.
        - An AnnData of regions, or a MuData with modality `atac`: the counts of each peak go to its bin. `obs` and
          `obsm` are copied.
    size
        Size of a bin, in bp. Bins start at 0 of each chromosome; the last one holds the bases that remain.
    chrom_sizes
        The chromosomes to bin: a build (hg19, hg38, hs1, mm9, mm10, mm39; without the mitochondrion), a dict of name to
        length, or the path of a ``chrom.sizes`` file. What lies on others is left out and counted. `1` and `chr1` are
        the same; bins are named as here.
    barcodes
        The cells, in the order wanted, such as ``rna.obs_names``. None takes all barcodes of at least `min_fragments`,
        in alphabetical order; of an AnnData, all its cells.
    min_fragments
        On the chromosomes of `chrom_sizes`, where `barcodes` is None: 1,000 where this is None.
    count
        ``'fragments'``, or ``'cut_sites'``: both ends of each, so that most counts are even.
    assign
        The bin of a fragment or peak: ``'midpoint'``, the one of its middle; or ``'overlap'``, each that it overlaps,
        in which case totals grow. A cut site lies in one bin.
    blacklist
        Bins that overlap any of these regions are dropped: a BED file, a table, or names such as ``chr1:100-600``.
    bins
        Take these bins instead, in their order and under their names, all of them: those of another data set, as an
        AnnData or its `var`, or as names, ``chr1:5000-10000``: ``bins=model.regions`` are those that a trained model
        knows. They need not be of one size; `size`, `blacklist` and `drop_empty` do not apply. `chrom_sizes` is that of
        the AnnData where this function made it.
    drop_empty
        Leave out the bins that are open in none of the cells: the names of 600,000 bins take more memory than many a
        data set.
    client
        A `dask.distributed.Client`, whose workers read a file each of several, from a disk that all of them see. None
        takes the current client, if one was made. The counts are the same.

    Returns
    -------
    anndata.AnnData
        - ``X`` : counts, float32 CSR (cells, bins).
        - ``var`` : `chrom`, `start`, `end` (0-based, half-open), named ``chr1:0-5000``.
        - ``obs['n_fragments']`` : int64, of a fragments file: all on the chromosomes of `chrom_sizes`, in a bin that
          was kept or not; it is the cell's depth.
        - ``obs['sample']`` : categorical, of several files.
        - ``uns['ctl']['bin_genome']`` : dict of what was asked, `n_read` and `n_used` (fragments, or peaks).

    Raises
    ------
    ChromatellError
        A file that is absent, empty, cut short, or no fragments file, with the line that does not parse; fragments off
        the end of a chromosome, which are of another build; no fragment of the cells; barcodes or bins that repeat;
        bins that overlap; a size below 1.

    Notes
    -----
    Peak memory grows with the pairs of cell and bin that hold a fragment, some 30 bytes each, with the number of
    different barcodes (100 bytes) and of bins; not with the length of the file. Ten million fragments take about 12 s
    of one core.

    References
    ----------
    Fang et al., Comprehensive analysis of single cell ATAC-seq data with SnapATAC (Nature Communications, 2021), for
    5-kb bins. Martens et al., Modeling fragment counts improves single-cell ATAC-seq analysis (Nature Methods, 2024).

    Examples
    --------
    >>> from pathlib import Path
    >>> import chromatell as ctl
    >>> lines = ["chr1\t100\t300\tAAAC-1\t1", "chr1\t5200\t5400\tAAAC-1\t2", "chr2\t10\t90\tAAAG-1\t1"]
    >>> _ = Path("fragments.tsv").write_text("\n".join(lines) + "\n")
    >>> cells = ["AAAG-1", "AAAC-1"]
    >>> atac = ctl.pp.bin_genome("fragments.tsv", chrom_sizes={"chr1": 12000, "chr2": 9000}, barcodes=cells)
    >>> atac.to_df().astype(int)
            chr1:0-5000  chr1:5000-10000  chr2:0-5000
    AAAG-1            0                0            1
    AAAC-1            1                1            0
    """
    size = in_range(size, 1, 1_000_000_000, "size")
    one_of(count, ("fragments", "cut_sites"), "count")
    one_of(assign, ("midpoint", "overlap"), "assign")
    wanted = cells_wanted(barcodes)
    client = current_client(client)
    files = _files(source)
    is_file = bool(files)
    if not is_file and not isinstance(source, AnnData | MuData):
        raise ChromatellError(
            f"source is a {type(source).__name__}; the path of a fragments file, a dict of sample to path, an AnnData "
            "of peaks, or a MuData with modality 'atac' is needed."
        )
    for path in map(str, files.values()):
        if Path(path).suffix in (".h5ad", ".h5mu", ".zarr"):
            cure = f"ctl.pp.bin_genome(ctl.io.read({path!r}))"
            raise ChromatellError(f"{path!r} holds cells, not fragments. Read it first: {cure}.")
    if count == "cut_sites" and (assign == "overlap" or not is_file):
        raise ChromatellError(
            "count='cut_sites' is for a fragments file, without assign='overlap': an end of a fragment lies in one "
            f"bin. Leave {'assign' if is_file else 'count'}= out."
        )
    if min_fragments is not None and (wanted is not None or not is_file):
        raise ChromatellError(
            f"min_fragments={min_fragments!r} is for a fragments file without barcodes=, where the cells are not "
            "known. Leave it out."
        )
    readers: Readers = [(["size", "drop_empty"], bins is None, "bins that are made here, and bins= gives them")]
    refuse_unread({"size": size, "drop_empty": drop_empty}, usual(bin_genome), readers)
    sizes, places = _bins(bins, chrom_sizes, size, blacklist)
    dropped = _blacklisted(places, blacklist)
    how = {
        "source": ", ".join(path.name for path in files.values()) if is_file else type(source).__name__,
        "size": 0 if bins is not None else size,
        "count": count,
        "assign": assign,
        "chrom_sizes": json.dumps(sizes) if sizes else "",
    }
    if is_file:
        least = in_range(MIN_FRAGMENTS if min_fragments is None else min_fragments, 1, 10**9, "min_fragments")
        way = "cut_sites" if count == "cut_sites" else assign
        if isinstance(source, Mapping):
            counted = count_samples(files, places, sizes, wanted, least, way, client)
        else:
            counted = count_fragments(files[""], places, sizes, wanted, least, way)
    else:
        counted = _count_peaks(source, places, wanted, assign)
    x, var = _columns(counted.x, places, dropped, drop_empty)
    how |= {"n_read": counted.n_read, "n_used": counted.n_used}
    numbers = (f"{int(n):,}" for n in (*x.shape, x.sum(), counted.n_used, counted.n_read))
    what = "fragments are of these cells and chromosomes" if is_file else "peaks are used"
    logger.info("%s cells x %s bins hold %s counts; %s of %s %s.", *numbers, what)
    return AnnData(x, obs=counted.obs, var=var, obsm=counted.obsm, uns={UNS: {BINNED: how}})


def _files(source: Any) -> dict[str, Path]:
    """Return fragments files by the name of their sample, '' for one file; empty where there are none."""
    if isinstance(source, str | os.PathLike):
        return {"": Path(source)}
    if not isinstance(source, Mapping) or isinstance(source, MuData):
        return {}
    odd = [name for name in source if not isinstance(name, str) or not name or ":" in name]
    if odd or not source or not all(isinstance(path, str | os.PathLike) for path in source.values()):
        raise ChromatellError(
            f"source={{{examples(source)}: ...}} must be one or more names of samples, without ':', each with the path "
            "of its fragments file, such as {'donor1': 'fragments.tsv.gz'}."
        )
    return {name: Path(path) for name, path in source.items()}


def cells_wanted(barcodes: Iterable[str] | None) -> list[str] | None:
    """Return the barcodes asked for, checked; None takes all."""
    if barcodes is None:
        return None
    if isinstance(barcodes, str | os.PathLike | AnnData | MuData | pd.DataFrame):
        is_path = isinstance(barcodes, str | os.PathLike)
        cure = f"pd.read_csv({str(barcodes)!r}, header=None)[0]" if is_path else "rna.obs_names"
        raise ChromatellError(
            f"barcodes is a {type(barcodes).__name__}; it must be a list of one or more names, such as {cure}."
        )
    names = list(barcodes)
    if not names or not all(isinstance(n, str) for n in names):
        raise ChromatellError(
            f"barcodes={examples(names) or repr(barcodes)[:60]} must be a list of one or more names, such as "
            "rna.obs_names."
        )
    index = pd.Index(names)
    if not index.is_unique:
        repeated = index[index.duplicated()].unique()
        raise ChromatellError(
            f"barcodes names {len(repeated)} cells more than once (such as {examples(repeated)}). Give each once: "
            "pd.unique(barcodes), or add the sample to each name and bin one sample at a time."
        )
    return names


def _bins(bins: Any, chrom_sizes: Any, size: int, blacklist: Any) -> tuple[dict[str, int] | None, GenomeBins]:
    if bins is None:
        if chrom_sizes is None:
            raise ChromatellError(
                "chrom_sizes= is needed: the build that the file was made with ('hg38', 'mm10', ...), a chrom.sizes "
                "file, or a dict of chromosome to length."
            )
        sizes = chromosome_sizes(chrom_sizes)
        return sizes, GenomeBins.grid(sizes, size)
    if blacklist is not None:
        raise ChromatellError("blacklist does not go with bins=, which are all taken. Leave one of them out.")
    known = kept_sizes(bins) if chrom_sizes is None else chromosome_sizes(chrom_sizes)
    return known, GenomeBins.of(bins, known)


def _count_peaks(source: Any, places: GenomeBins, wanted: list[str] | None, assign: str) -> Counted:
    atac = regions_of(source)
    nonnegative(atac, ATAC if isinstance(source, MuData) else "")
    rows: Any = slice(None)
    if wanted is not None:
        rows = atac.obs_names.get_indexer(wanted)
        if (rows < 0).any():
            absent = [name for name, i in zip(wanted, rows, strict=True) if i < 0]
            raise ChromatellError(
                f"{len(absent)} of {len(wanted)} barcodes are not among the cells (such as {examples(absent)}; cells "
                f"look like {examples(atac.obs_names)}). Leave them out."
            )
    table = region_table(atac)
    code = places.code_of(table[CHROM])
    kept = np.flatnonzero(code >= 0)
    start, end = (table[c].to_numpy()[kept] for c in (START, END))
    if not kept.size:
        raise ChromatellError(
            f"None of the {len(table)} peaks ({examples(table.index)}) lies on the chromosomes to bin "
            f"({examples(places.names, 6)}). Are they of another species or build?"
        )
    length = places.lengths[code[kept]]
    check_ends(table.iloc[kept], length, "peaks", "they are cut there")
    end = np.minimum(end, length)
    kept, start, end = (x[start < length] for x in (kept, start, end))
    which, bins = places.assign(code[kept], start, end, assign)
    if kept.size < len(table):
        logger.info("Left out %d of %d peaks on other chromosomes.", len(table) - kept.size, len(table))
    one = np.ones(which.size, dtype=np.float32)
    link = sp.csr_matrix((one, (kept[which], bins)), shape=(len(table), len(places)))
    parts = [sp.csr_matrix(block, dtype=np.float32) @ link for block in pieces(matrix(atac)[rows])]
    x = sp.csr_matrix(sp.vstack(parts, format="csr"))
    x.sort_indices()
    x.eliminate_zeros()
    obsm = {key: value[rows] if isinstance(rows, slice) else _take(value, rows) for key, value in atac.obsm.items()}
    return Counted(x, atac.obs.iloc[rows].copy(), obsm, len(table), int(np.unique(which).size))


def _take(value: Any, rows: np.ndarray) -> Any:
    return value.iloc[rows] if isinstance(value, pd.DataFrame) else value[rows]


def _blacklisted(places: GenomeBins, blacklist: Any) -> np.ndarray | None:
    """Return which bins overlap the blacklist, bool (bins,); None without one."""
    if blacklist is None:
        return None
    table = read_regions(blacklist, "blacklist")
    code = places.code_of(table[CHROM])
    table, code = table[code >= 0], code[code >= 0]
    if table.empty:
        raise ChromatellError(
            f"blacklist: none of its regions is on a chromosome to bin ({examples(places.names, 4)}). Give that of the "
            "same species and build, or leave blacklist= out."
        )
    length = places.lengths[code]
    check_ends(table, length, "regions of blacklist", "they are cut there")
    start, end = (np.minimum(table[c].to_numpy(), length) for c in (START, END))
    dropped = np.zeros(len(places), dtype=bool)
    dropped[places.assign(code, start, end, "overlap")[1]] = True
    return dropped


def _columns(
    x: sp.csr_matrix, places: GenomeBins, dropped: np.ndarray | None, drop_empty: bool
) -> tuple[sp.csr_matrix, pd.DataFrame]:
    """Return the bins that are kept: all of a table, in its order."""
    if places.table is not None and places.order is not None:
        back = np.empty_like(places.order)
        back[places.order] = np.arange(back.size)
        if not np.array_equal(back, np.arange(back.size)):
            x = x[:, back]
            x.sort_indices()
        return x, places.table
    kept = np.ones(len(places), dtype=bool) if dropped is None else ~dropped
    if drop_empty:
        kept &= np.bincount(x.indices, minlength=len(places)) > 0
    if not kept.any():
        raise ChromatellError(
            "No bin is left: those that hold a fragment of the cells are all on the blacklist. Check the blacklist's "
            "build, or pass drop_empty=False."
        )
    columns = np.flatnonzero(kept)
    return x[:, columns] if columns.size < kept.size else x, places.regions(columns)
