"""``ctl.tl.gene_activity``: accessibility of the regions of a gene, as one number a cell."""

from __future__ import annotations

from pathlib import Path
from typing import Unpack

import numpy as np
import pandas as pd
import scipy.sparse as sp
from anndata import AnnData
from mudata import MuData

from chromatell._keys import (
    ATAC,
    ATAC_PRED,
    CHROM,
    DERIVED,
    END,
    GENE,
    GENE_ACTIVITY,
    PEARSON,
    PEARSON_MEASURED,
    RNA,
    SPLIT,
    START,
    TEST,
    UNS,
)
from chromatell._rows import matrix, read
from chromatell._settings import logger
from chromatell._unread import Readers, refuse_unread, usual
from chromatell._validate import ChromatellError, examples, in_range, one_of, store_key, warn
from chromatell._values import is_counts
from chromatell.data.chosen import Accessibility, accessibility, coordinates
from chromatell.data.named import Modalities, modalities
from chromatell.data.predictions import attach
from chromatell.evaluation.predictors import refuse_trained
from chromatell.genome.annotation import read_genes
from chromatell.genome.gene_bodies import read_gene_bodies
from chromatell.genome.overlaps import overlaps
from chromatell.models._support import check_dense
from chromatell.pp._link_genes import _distances, _match

METHODS = ("distance", "body")
_REACH = 10  # half distances, from which on a region counts nothing


@modalities
def gene_activity(
    mdata: MuData,
    annotation: str | Path | pd.DataFrame | None = None,
    *,
    key: str | None = None,
    method: str = "distance",
    half_distance: int = 10_000,
    upstream: int = 2_000,
    key_added: str = GENE_ACTIVITY,
    copy: bool = False,
    **more: Unpack[Modalities],
) -> MuData | None:
    r"""Activity of each gene in each cell, from predicted or measured regions.

    .. math:: a_{cg} = \sum_r w_{gr}\, p_{cr}

    with :math:`p_{cr}` the probability that region r is open in cell c (0 or 1 where measured). By 'distance',
    :math:`w_{gr} = 2^{-d / h}`, with d the bases between the region and the nearest start site of the gene, and h the
    `half_distance`; 0 from 10 h on. By 'body', :math:`w_{gr} = 1` for regions that touch the gene or the `upstream`
    bases before it.

    Parameters
    ----------
    mdata
        With `atac_pred` or `atac`, and `rna`, whose genes are taken.
    annotation
        GTF, BED or table, path or DataFrame, of the build of the regions. None reads `chrom` and `tss` from
        ``mdata.mod['rna'].var``.
    key
        Which prediction; 'atac' takes what was measured, None the latest prediction.
    method
        'distance' or 'body'.
    half_distance
        In bp, for 'distance'.
    upstream
        In bp, for 'body'.
    key_added
        Name of the new modality; one of that name that this function wrote is replaced.

    Returns
    -------
    None, or a new MuData with ``copy=True``. Written, ``mdata.mod[key_added]``:

    `X` : float32 (n_obs, genes)
        Weighted number of open regions. Genes without a region are left out. Normalise as you would counts.
    `var` : pandas.DataFrame
        Names are ``gene_activity:`` + the gene, unique across a MuData; `gene`, its own; `n_regions`; `ctl_pearson`,
        float64, the correlation of activity and measured expression over cells, both normalised to the same total and
        logged (NaN where either is constant); where `atac` has the same regions also `ctl_pearson_measured`, that of
        the activity from measured ATAC. Test cells alone where ``obs['ctl_split']`` has some.
    ``uns['ctl']`` : dict
        `derived_from`, `method`, `half_distance` or `upstream`, `correlated` ('test cells' or 'all cells').

    Raises
    ------
    ChromatellError
        No such prediction, no annotation, or no gene that meets a region.

    Notes
    -----
    A prediction from expression knows the expression: `ctl_pearson` tells how much of it comes through chromatin near
    the gene, not that chromatin was measured well. `ctl_pearson_measured` is low for single cells since ATAC is sparse.

    References
    ----------
    'distance': regulatory potential of MAESTRO (Wang et al., Genome Biology 2020). 'body': gene activity of Signac
    (Stuart et al., Nature Methods 2021).

    Examples
    --------
    >>> import chromatell as ctl
    >>> mdata = ctl.datasets.simulate_multiome(100, 20, 60, seed=0)
    >>> ctl.tl.gene_activity(mdata, key="atac")
    >>> mdata.mod["gene_activity"].var["gene"].iloc[0] in mdata.mod["rna"].var_names
    True
    """
    one_of(method, METHODS, "method")
    readers: Readers = [
        (["half_distance"], method == "distance", "method='distance'"),
        (["upstream"], method != "distance", "method='body'"),
    ]
    refuse_unread({"half_distance": half_distance, "upstream": upstream}, usual(gene_activity), readers)
    half_distance = in_range(half_distance, 1, 1_000_000, "half_distance")
    upstream = in_range(upstream, 0, 1_000_000, "upstream")
    source = accessibility(mdata, key)
    _check_target(mdata, key_added)
    regions = coordinates(mdata, source.regions)
    genes = _genes(mdata, annotation)
    if method == "distance":
        site, row = _match(mdata.mod[RNA], genes)
        weights = _by_distance(site, genes.iloc[row], regions, mdata.mod[RNA].n_vars, half_distance)
    else:
        weights = _by_body(mdata.mod[RNA], annotation, regions, upstream)
    has_region = np.diff(weights.indptr) > 0
    if not has_region.any():
        raise ChromatellError(
            f"No region meets any of the genes of mdata.mod['rna'] (such as {examples(mdata.mod[RNA].var_names)}). "
            f"Regions look like {examples(source.regions)}, the annotation lies on {examples(genes[CHROM].unique())}. "
            "Is it of another species or build?"
        )
    if not has_region.all():
        logger.info("%d of %d genes meet no region and are left out.", int((~has_region).sum()), has_region.size)
    weights = weights[has_region]
    names = mdata.mod[RNA].var_names[has_region].astype(str)
    check_dense(mdata.n_obs, len(names))
    values = _sums(source, weights)

    var = pd.DataFrame({GENE: names, "n_regions": np.diff(weights.indptr)}, index=f"{key_added}:" + names)
    cells, said = _scored_cells(mdata, source)
    var[PEARSON] = _correlation(mdata.mod[RNA], has_region, values, cells)
    if not source.measured and ATAC in mdata.mod and source.regions.isin(mdata.mod[ATAC].var_names).all():
        own = accessibility(mdata, ATAC)
        part = own.values[:, mdata.mod[ATAC].var_names.get_indexer(source.regions)]
        measured = _sums(Accessibility(part, source.regions, ATAC, True), weights)
        var[PEARSON_MEASURED] = _correlation(mdata.mod[RNA], has_region, measured, cells)
    about: dict[str, object] = {DERIVED: source.key, "method": method, "correlated": said}
    about |= {"half_distance": half_distance} if method == "distance" else {"upstream": upstream}
    target = mdata.copy() if copy else mdata
    attach(target, key_added, AnnData(values, obs=pd.DataFrame(index=mdata.obs_names), var=var, uns={UNS: about}))
    return target if copy else None


def _check_target(mdata: MuData, key: str) -> None:
    store_key(key)
    if RNA not in mdata.mod or not mdata.mod[RNA].obs_names.equals(mdata.obs_names):
        raise ChromatellError(
            "gene_activity takes the genes of mdata.mod['rna'], which must have the cells of mdata in their order; "
            f"modalities there: {sorted(mdata.mod)}. Add it, or mdata = mdata[mdata.mod['rna'].obs_names].copy()."
        )
    if key in mdata.mod and DERIVED not in mdata.mod[key].uns.get(UNS, {}):
        raise ChromatellError(
            f"mdata.mod[{key!r}] is there already, and not from this function. Choose another key_added=."
        )
    if key in (RNA, ATAC, ATAC_PRED):
        raise ChromatellError(f"key_added={key!r} is a modality that other verbs read; choose another.")


def _genes(mdata: MuData, annotation: str | Path | pd.DataFrame | None) -> pd.DataFrame:
    """Return start sites, as `read_genes` does."""
    if annotation is not None:
        return read_genes(annotation)
    var = mdata.mod[RNA].var
    if not {CHROM, "tss"} <= set(var):
        raise ChromatellError(
            "Where the genes lie is not known: mdata.mod['rna'].var has no columns 'chrom' and 'tss'. Name an "
            "annotation of the regions' build: ctl.tl.gene_activity(mdata, 'genes.gtf.gz')."
        )
    return read_genes(var.assign(name=var.index))


def _by_distance(
    gene: np.ndarray, sites: pd.DataFrame, regions: pd.DataFrame, n_genes: int, half: int
) -> sp.csr_matrix:
    """Return the weight of each region for each gene, float32 CSR (n_genes, regions)."""
    weights = _distances(gene, sites, regions, (n_genes, len(regions)), _REACH * half - 1)
    weights.data = np.exp2(-(weights.data - 1) / half).astype(np.float32)  # stored plus one
    return weights


def _by_body(
    rna: AnnData, annotation: str | Path | pd.DataFrame | None, regions: pd.DataFrame, upstream: int
) -> sp.csr_matrix:
    if annotation is None:
        raise ChromatellError(
            "method='body' needs the ends of genes. Name an annotation: ctl.tl.gene_activity(mdata, 'genes.gtf.gz', "
            "method='body'), or take method='distance'."
        )
    bodies = read_gene_bodies(annotation)
    forward, backward = (bodies["strand"] == s for s in "+-")
    bodies[START] = (bodies[START] - upstream * forward).clip(lower=0)
    bodies[END] = bodies[END] + upstream * backward
    gene, body = _match(rna, bodies.rename(columns={"name": "gene"}))
    row, region, _ = overlaps(bodies.iloc[body], regions)
    pairs = (gene[row], region)
    weights = sp.csr_matrix((np.ones(row.size, np.float32), pairs), shape=(rna.n_vars, len(regions)))
    weights.sum_duplicates()
    weights.data[:] = 1.0  # a region counts once where several bodies have one name
    return weights


def _sums(source: Accessibility, weights: sp.csr_matrix) -> np.ndarray:
    """Return the weighted sums, float32 (cells, genes)."""
    out = np.empty((source.values.shape[0], weights.shape[0]), dtype=np.float32)
    by_region = sp.csc_matrix(weights.T)
    for rows, block in source.blocks():
        part = block @ by_region
        out[rows] = part.toarray() if sp.issparse(part) else part
    return out


def _scored_cells(mdata: MuData, source: Accessibility) -> tuple[np.ndarray, str]:
    """Return test cells, where there are some that the model has not seen, else all."""
    if SPLIT in mdata.obs and (mdata.obs[SPLIT] == TEST).any():
        cells = np.flatnonzero(mdata.obs[SPLIT] == TEST)
        try:
            if not source.measured:
                refuse_trained(mdata, source.key, mdata.obs_names[cells], TEST)
        except ChromatellError as error:
            warn(f"ctl_pearson is over all cells, those of training too: {error}")
        else:
            return cells, "test cells"
    return np.arange(mdata.n_obs), "all cells"


def _normalised(x: np.ndarray, total: np.ndarray) -> np.ndarray:
    scale = np.median(total[total > 0]) / np.where(total > 0, total, np.inf) if (total > 0).any() else total
    return np.log1p(x * scale[:, None])


def _correlation(rna: AnnData, genes: np.ndarray, activity: np.ndarray, cells: np.ndarray) -> np.ndarray:
    """Return Pearson's r of expression and activity of each gene over cells, float64 (genes,)."""
    whole = matrix(rna)
    part = read(whole[cells])
    x = np.asarray((part[:, genes].toarray() if sp.issparse(part) else part[:, genes]), dtype=np.float64)
    if is_counts(whole):
        x = _normalised(x, np.asarray(part.sum(axis=1), dtype=np.float64).ravel())
    elif np.nanmin(x, initial=0) < -5:
        warn("mdata.mod['rna'].X looks scaled: ctl_pearson is with these values, not with log-normalised expression.")
    own = activity[cells].astype(np.float64)
    y = _normalised(own, own.sum(axis=1))
    x -= x.mean(axis=0)
    y -= y.mean(axis=0)
    size = np.sqrt((x**2).sum(axis=0) * (y**2).sum(axis=0))
    flat = size <= 1e-12 * len(cells)
    return np.where(flat, np.nan, (x * y).sum(axis=0) / np.where(flat, 1.0, size))
