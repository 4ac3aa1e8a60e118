"""Genes and the regions near their start sites."""

from __future__ import annotations

from pathlib import Path
from typing import Unpack

import numpy as np
import pandas as pd
import scipy.sparse as sp
from anndata import AnnData
from mudata import MuData

from chromatell._keys import ATAC, CHROM, END, LINKS, RNA, START, UNS
from chromatell._settings import logger
from chromatell._validate import ChromatellError, examples, modality
from chromatell.data.named import Modalities, modalities
from chromatell.genome.annotation import read_genes, strip_version
from chromatell.genome.regions import normalise_chrom, region_table, same_names
from chromatell.pp._region_data import check_uns

_ID_COLUMNS = ("gene_ids", "gene_id")
_FLOAT32_WHOLE = 2**24  # whole numbers up to here are exact in float32


@modalities
def link_genes(
    mdata: MuData,
    annotation: str | Path | pd.DataFrame,
    *,
    max_distance: int = 100_000,
    copy: bool = False,
    **more: Unpack[Modalities],
) -> MuData | None:
    """Gene-to-region links by the distance from a start site to the region.

    A gene finds its start sites by its Ensembl id (``rna.var['gene_ids']``, ``rna.var['gene_id']``, or its own name,
    versions aside), else by its name. The distance is 0 inside a region, else the bases to its nearest base; of several
    start sites the nearest counts. Chromosomes `1` and `chr1` are the same.

    Parameters
    ----------
    mdata
        With `rna`, and `atac` whose regions have coordinates.
    annotation
        GTF, BED or table, path or DataFrame, of the build of the regions:
        see :func:`chromatell.genome.annotation.read_genes`.
    max_distance
        In bp, up to which a region is linked.

    Returns
    -------
    None, or with ``copy=True`` a new MuData. Written into ``uns['ctl']['links']``:

    `distance` : scipy.sparse.csr_matrix (n_genes, n_regions), float32
        Distance in bp **plus one**, so that a region at the start site is stored; 0 is no link.
    `gene` : numpy.ndarray (n_genes,)
        ``rna.var_names``.
    `region` : numpy.ndarray (n_regions,)
        ``atac.var_names``.
    `max_distance` : int
        As given.

    Raises
    ------
    ChromatellError
        The annotation cannot be read, a region has no coordinates, or no gene meets any region.

    Examples
    --------
    >>> import chromatell as ctl
    >>> mdata = ctl.datasets.simulate_multiome(50, 20, 100, seed=0)
    >>> ctl.pp.link_genes(mdata, mdata.mod["rna"].var, max_distance=50_000)
    >>> mdata.uns["ctl"]["links"]["distance"].shape
    (20, 100)
    """
    if not 0 <= max_distance < _FLOAT32_WHOLE - 1:
        raise ChromatellError(
            f"max_distance={max_distance!r} must be from 0 to {_FLOAT32_WHOLE - 2} bp, such as 100_000."
        )
    expression, opened = modality(mdata, RNA), modality(mdata, ATAC)
    check_uns(mdata)
    regions = region_table(opened)
    annotated = read_genes(annotation)
    gene, row = _match(expression, annotated)
    if not gene.size:
        raise ChromatellError(
            f"None of the {expression.n_vars} genes is in the annotation. Genes look like "
            f"{examples(expression.var_names)}, the annotation's like {examples(annotated['gene'])} and "
            f"{examples(annotated['gene_id'])}. Is it of another species?"
        )
    same_names(annotated[CHROM].unique(), regions[CHROM].unique(), "the annotation")  # says so
    distance = _distances(gene, annotated.iloc[row], regions, (expression.n_vars, opened.n_vars), int(max_distance))
    if distance.nnz == 0:
        raise ChromatellError(
            f"No region lies within {max_distance} bp of a start site of the {np.unique(gene).size} genes found. "
            f"Regions look like {examples(opened.var_names)} on chromosomes {examples(regions[CHROM].unique())}, "
            f"the annotation has {examples(annotated[CHROM].unique())}. "
            "Is it of another build, or max_distance too small?"
        )
    target = mdata.copy() if copy else mdata
    links = {
        "distance": distance,
        "gene": expression.var_names.to_numpy(dtype=object).copy(),
        "region": opened.var_names.to_numpy(dtype=object).copy(),
        "max_distance": int(max_distance),
    }
    target.uns[UNS] = {**target.uns.get(UNS, {}), LINKS: links}
    logger.info(
        "Links within %d bp: %d of %d genes (%d in the annotation), %d of %d regions, %d pairs.",
        max_distance,
        int((np.diff(distance.indptr) > 0).sum()),
        expression.n_vars,
        np.unique(gene).size,
        np.unique(distance.indices).size,
        opened.n_vars,
        distance.nnz,
    )
    return target if copy else None


def _match(rna: AnnData, annotated: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """Return pairs (position of a gene in `rna`, row of a start site): by id, and by name where no id is found."""
    names = pd.Series(rna.var_names.astype(str))
    id_column = next((c for c in _ID_COLUMNS if c in rna.var), None)
    ids = pd.Series(rna.var[id_column].astype(str).to_numpy()) if id_column else names
    by_id = _join(strip_version(ids), strip_version(annotated["gene_id"]))
    rest = names.where(~names.index.isin(by_id[0]), "")
    by_name = _join(rest, annotated["gene"])
    return np.concatenate([by_id[0], by_name[0]]), np.concatenate([by_id[1], by_name[1]])


def _join(left: pd.Series, right: pd.Series) -> tuple[np.ndarray, np.ndarray]:
    a = pd.DataFrame({"key": left.to_numpy(dtype=object), "left": np.arange(len(left))})
    b = pd.DataFrame({"key": right.to_numpy(dtype=object), "right": np.arange(len(right))})
    pairs = a[a["key"] != ""].merge(b[b["key"] != ""], on="key")
    return pairs["left"].to_numpy(), pairs["right"].to_numpy()


def _distances(
    gene: np.ndarray, sites: pd.DataFrame, regions: pd.DataFrame, shape: tuple[int, int], max_distance: int
) -> sp.csr_matrix:
    """Return distance + 1, CSR; `sites` holds a start site for each entry of `gene`."""
    site_chrom = normalise_chrom(sites[CHROM]).to_numpy()
    region_chrom = normalise_chrom(regions[CHROM]).to_numpy()
    tss, start, end = sites["tss"].to_numpy(), regions[START].to_numpy(), regions[END].to_numpy()
    pairs = []
    for chrom in np.intersect1d(pd.unique(site_chrom), pd.unique(region_chrom)):
        here = np.flatnonzero(region_chrom == chrom)
        here = here[np.argsort(start[here], kind="stable")]
        site = np.flatnonzero(site_chrom == chrom)
        widest = int((end[here] - start[here]).max())
        low = np.searchsorted(start[here], tss[site] - max_distance - widest, side="left")
        high = np.searchsorted(start[here], tss[site] + max_distance, side="right")
        n = high - low
        which = np.repeat(np.arange(site.size), n)
        candidate = here[np.arange(n.sum()) - np.repeat(np.cumsum(n) - n, n) + np.repeat(low, n)]
        t = tss[site][which]
        away = np.maximum(np.maximum(start[candidate] - t, t - end[candidate] + 1), 0)
        near = away <= max_distance
        pairs.append((gene[site[which[near]]], candidate[near], away[near]))
    if not pairs:
        return sp.csr_matrix(shape, dtype=np.float32)
    rows, cols, away = (np.concatenate(part) for part in zip(*pairs, strict=True))
    order = np.lexsort((away, cols, rows))
    rows, cols, away = rows[order], cols[order], away[order]
    nearest = np.ones(rows.size, dtype=bool)  # one of several start sites
    nearest[1:] = (rows[1:] != rows[:-1]) | (cols[1:] != cols[:-1])
    value = (away[nearest] + 1).astype(np.float32)
    return sp.csr_matrix((value, (rows[nearest], cols[nearest])), shape=shape)
