"""The genes and regions in use."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal, Unpack

import numpy as np
import scipy.sparse as sp
from anndata import AnnData
from mudata import MuData

from chromatell._compat import text_of
from chromatell._dask import current_client, over_rows
from chromatell._docs import documented
from chromatell._keys import ATAC, LINKS, RNA, SCORE, SELECTED, UNS
from chromatell._rows import matrix, read
from chromatell._settings import logger, settings
from chromatell._validate import ChromatellError, check_tables, one_of, paired, split_of
from chromatell._values import is_counts, nonnegative
from chromatell.data.named import Modalities, modalities

Method = Literal["variance", "lasso", "random_forest", "proximity"]
_BLOCK = 2048  # cells read at a time
_MAX_CELLS = 5000  # training cells that lasso and random_forest read
_MAX_GENES = 3000  # genes that they score; the others follow in order of variance
_COMPONENTS = 10  # components of the regions, which genes predict
_DECAY = 10_000  # bp, over which a linked region counts 1/e (proximity)


@modalities
@documented("workers")
def select_features(
    mdata: MuData,
    *,
    n_genes: int | None = None,
    n_regions: int | None = None,
    method: Method = "variance",
    min_open: float = 0.0,
    seed: int | None = None,
    client: Any = None,
    copy: bool = False,
    **more: Unpack[Modalities],
) -> MuData | None:
    r"""The genes and regions that models read and predict, chosen on training cells alone.

    Regions are always ranked by the variance of open or closed, :math:`p (1 - p)` with :math:`p` the share of training
    cells in which the region is open. A region that is open in no training cell is never selected. Genes are ranked by
    `method`. Memory grows with the number of stored values: neither matrix is made dense.

    Parameters
    ----------
    mdata
        With ``obs['ctl_split']``.
    n_genes
        Number of genes; None takes all (with ``method='proximity'``: all that are linked to a selected region).
    n_regions
        Number of regions; None takes all that are open in a training cell and in the share `min_open` of them.
    method
        - ``'variance'``: plain variance of the log-normalised expression over training cells (counts are divided by the
          cell's total, multiplied by the median total, and log1p-transformed; normalised values are taken as they are).
        - ``'lasso'``: sum over the leading components of the selected regions of the absolute coefficients with which
          the gene predicts them, weighted by the component's share.
        - ``'random_forest'``: the gene's importance in a forest that predicts the same components.
        - ``'proximity'``: :math:`\sum_r e^{-d_r / 10\,\mathrm{kb}}` over the selected regions linked to the gene at
          distance :math:`d_r`. Needs :func:`link_genes`.

        Lasso and forest read at most 5,000 training cells and score the 3,000 most variable genes; the other genes
        follow them in order of variance, with score 0. The components are 10 singular vectors of the
        cells' TF-IDF, each cell of length 1.
    min_open
        Share of training cells in which a region must be open, from 0 to 1.
    seed
        Seed of the cells drawn, the components and the forest. None follows ``ctl.settings.seed``.

    Returns
    -------
    None, or with ``copy=True`` a new MuData. Written into `var` of both modalities:

    ``var['ctl_selected']`` : bool
        Whether the feature is in use.
    ``var['ctl_score']`` : float32
        What the features were ranked by.

    Raises
    ------
    ChromatellError
        No ``obs['ctl_split']``; more features wanted than there are; no links where they are needed; NaN or negative
        values.

    Examples
    --------
    >>> import chromatell as ctl
    >>> mdata = ctl.datasets.simulate_multiome(200, 50, 100, seed=0)
    >>> ctl.pp.split_cells(mdata, seed=0)
    >>> ctl.pp.select_features(mdata, n_genes=20, n_regions=40)
    >>> int(mdata.mod["atac"].var["ctl_selected"].sum())
    40

    References
    ----------
    Ranking genes and regions by variance follows the published expression-to-accessibility recipe (Wizel et al., 2025).
    """
    check_tables(mdata)
    one_of(method, ("variance", "lasso", "random_forest", "proximity"), "method")
    if not 0 <= min_open < 1:
        raise ChromatellError(f"min_open={min_open!r} must be a share of cells, from 0 to below 1, such as 0.005.")
    client = current_client(client)
    expression, opened = paired(mdata)
    train = np.flatnonzero(split_of(mdata) == "train")
    nonnegative(expression, RNA, smoothed=True)
    nonnegative(opened, ATAC)
    n_open = over_rows(client, _open_cells, _as_csr(matrix(opened)), _BLOCK, rows=train)
    share = sum(n_open, np.zeros(opened.n_vars)) / train.size
    if 0 < share.max(initial=0) < min_open:
        raise ChromatellError(
            f"min_open={min_open:g}: no region is open in so many of the training cells; the most open one is in "
            f"{share.max():.3g} of them. Take a smaller share, such as min_open={share.max() / 2:.2g}."
        )
    region_score = share * (1 - share)
    kept = _take(region_score, (share > 0) & (share >= min_open), n_regions, "regions", _what(min_open))
    variance = _log_variance(matrix(expression), train, client)
    seeds = np.random.SeedSequence(settings.resolve_seed(seed)).generate_state(3)
    if method == "variance":
        gene_score, genes = (
            variance,
            _take(variance, _varies(variance, n_genes), n_genes, "genes", "that vary in training"),
        )
    elif method == "proximity":
        gene_score = _near(mdata, expression, opened, kept)
        genes = _take(gene_score, gene_score > 0, n_genes, "genes", "that are linked to a selected region")
    else:
        gene_score = _predictive(expression, opened, train, kept, variance, method, seeds)
        genes = _take(gene_score, _varies(variance, n_genes), n_genes, "genes", "that vary in training", ties=variance)

    target = mdata.copy() if copy else mdata
    for name, mask, score in ((RNA, genes, gene_score), (ATAC, kept, region_score)):
        var = target.mod[name].var
        var[SELECTED] = mask
        var[SCORE] = score.astype(np.float32)
    logger.info(
        "Selected %d of %d genes (%s) and %d of %d regions (variance) on %d training cells.",
        int(genes.sum()), expression.n_vars, method, int(kept.sum()), opened.n_vars, train.size,
    )  # fmt: skip
    return target if copy else None


def _what(min_open: float) -> str:
    return "that are open in training" + (f" (in at least {min_open:g} of the cells)" if min_open else "")


def _varies(variance: np.ndarray, n_genes: int | None) -> np.ndarray:
    return np.ones(variance.size, dtype=bool) if n_genes is None else variance > 0


def _take(
    score: np.ndarray, eligible: np.ndarray, n: int | None, name: str, what: str, *, ties: np.ndarray | None = None
) -> np.ndarray:
    """Return a mask of the `n` best of the eligible, the first of equals; all where `n` is None."""
    n_eligible = int(eligible.sum())
    if n is not None and (not isinstance(n, int | np.integer) or isinstance(n, bool) or n < 1):
        raise ChromatellError(f"n_{name}={n!r} must be a positive whole number, or None for all.")
    if n_eligible == 0:
        raise ChromatellError(
            f"None of the {score.size} {name} is one of those {what}: nothing can be selected. Look at the matrix, and "
            "split again with more training cells: ctl.pp.split_cells(mdata, fractions=(0.8, 0.1, 0.1))."
        )
    if n is not None and n > n_eligible:
        raise ChromatellError(
            f"n_{name}={n} is above the {n_eligible} of {score.size} {name} {what}. Use n_{name}={n_eligible} or "
            "fewer, or None."
        )
    if n is None:
        return eligible
    position = np.flatnonzero(eligible)
    second = np.zeros(score.size) if ties is None else ties
    order = np.lexsort((position, -second[position], -score[position]))
    mask = np.zeros(score.size, dtype=bool)
    mask[position[order[:n]]] = True
    return mask


def _as_csr(x: Any) -> Any:
    """Return a sparse matrix in memory as CSR, once: rows of a CSC are slow to read. Others stay."""
    return sp.csr_matrix(x) if sp.issparse(x) and x.format != "csr" else x


def _blocks(x: Any, rows: np.ndarray) -> Iterator[Any]:
    """Yield the given rows, 2,048 at a time, CSR or dense."""
    x = _as_csr(x)
    for i in range(0, rows.size, _BLOCK):
        yield read(x[rows[i : i + _BLOCK]])


def _open_cells(block: Any) -> np.ndarray:
    """Return in how many of the rows each column is above zero, int64."""
    if sp.issparse(block):
        return np.bincount(block.indices[block.data > 0], minlength=block.shape[1])
    return (np.asarray(block) > 0).sum(axis=0)


def _log_variance(x: Any, rows: np.ndarray, client: Any) -> np.ndarray:
    """Return the variance over the rows of each column, log-normalised as `data.expression` does but never dense."""
    x, target_sum = _as_csr(x), None
    if is_counts(x):
        total = np.concatenate(list(over_rows(client, _row_totals, x, _BLOCK, rows=rows)))
        target_sum = float(np.median(total[total > 0])) if (total > 0).any() else 1.0
    s1, s2 = np.zeros(x.shape[1]), np.zeros(x.shape[1])
    for first, second in over_rows(client, _log_sums, x, _BLOCK, target_sum, rows=rows):
        s1, s2 = s1 + first, s2 + second
    mean = s1 / rows.size
    variance = s2 / rows.size - mean**2
    return np.where(variance > 1e-12 * np.maximum(mean**2, 1e-12), variance, 0.0)  # rounding of a constant gene


def _row_totals(block: Any) -> np.ndarray:
    return np.asarray(block.sum(axis=1), dtype=np.float64).ravel()


def _log_sums(block: Any, target_sum: float | None) -> tuple[np.ndarray, np.ndarray]:
    """Return sums and sums of squares of each column, of log1p of the values at this total; of values as they are."""
    m = block.shape[1]
    size = None if target_sum is None else target_sum / np.maximum(_row_totals(block), 1.0)
    if sp.issparse(block):
        value = block.data.astype(np.float64)
        if size is not None:
            value = np.log1p(value * np.repeat(size, np.diff(block.indptr)))
        return np.bincount(block.indices, value, minlength=m), np.bincount(block.indices, value**2, minlength=m)
    value = np.asarray(block, dtype=np.float64)
    value = value if size is None else np.log1p(value * size[:, None])
    return value.sum(axis=0), (value**2).sum(axis=0)


def _near(mdata: MuData, rna: AnnData, atac: AnnData, kept: np.ndarray) -> np.ndarray:
    links = mdata.uns.get(UNS, {}).get(LINKS)
    if links is None:
        raise ChromatellError(
            "Did not find mdata.uns['ctl']['links']. "
            "Run ctl.pp.link_genes(mdata, annotation) before method='proximity'."
        )
    row, col = (a.var_names.get_indexer(text_of(links[of])) for a, of in ((rna, "gene"), (atac, "region")))
    distance = sp.coo_matrix(links["distance"])
    gene, region = row[distance.row], col[distance.col]
    present = (gene >= 0) & (region >= 0)
    present[present] &= kept[region[present]]
    weight = np.exp(-(distance.data[present].astype(np.float64) - 1) / _DECAY)  # stored plus one
    return np.bincount(gene[present], weights=weight, minlength=rna.n_vars)


def _predictive(
    rna: AnnData,
    atac: AnnData,
    train: np.ndarray,
    kept: np.ndarray,
    variance: np.ndarray,
    method: str,
    seeds: np.ndarray,
) -> np.ndarray:
    """Return how well each gene predicts the regions' leading components, float64 (n_genes,)."""
    rng = np.random.default_rng(seeds[0])
    cells = np.sort(rng.choice(train, _MAX_CELLS, replace=False)) if train.size > _MAX_CELLS else train
    candidates = np.sort(np.argsort(-variance, kind="stable")[:_MAX_GENES])
    candidates = candidates[variance[candidates] > 0]
    components, weight = _components(matrix(atac), cells, kept, int(seeds[1]))
    z = _z_scores(matrix(rna), cells, candidates)
    score = np.zeros(rna.n_vars)
    score[candidates] = (
        _lasso(z, components, weight) if method == "lasso" else _forest(z, components * weight, seeds[2])
    )
    return score


def _components(x: Any, cells: np.ndarray, kept: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return standardised scores (cells, k) of the TF-IDF of open regions, and their shares of variance (k,)."""
    from sklearn.decomposition import TruncatedSVD
    from sklearn.preprocessing import normalize

    opened = sp.vstack([sp.csr_matrix(block) for block in _blocks(x, cells)], format="csr")[:, np.flatnonzero(kept)]
    opened.eliminate_zeros()
    opened.data = np.ones_like(opened.data, dtype=np.float32)
    idf = np.log1p(cells.size / np.maximum(np.asarray(opened.sum(axis=0)).ravel(), 1))
    # rows of length 1, so that depth does not lead; of six ways tried, cell types show most in these components
    tfidf = normalize(opened @ sp.diags(idf))
    k = max(1, min(_COMPONENTS, *(s - 1 for s in tfidf.shape)))
    with np.errstate(divide="ignore", invalid="ignore"):  # shares of a variance that is 0 where all are open
        scores = TruncatedSVD(k, random_state=seed).fit_transform(tfidf)
    scores = scores - scores.mean(axis=0)
    sd = scores.std(axis=0)
    return scores / np.maximum(sd, 1e-12), sd**2 / max(float((sd**2).sum()), 1e-12)


def _z_scores(x: Any, cells: np.ndarray, genes: np.ndarray) -> np.ndarray:
    counts = is_counts(x)
    total = np.asarray(x.sum(axis=1), dtype=np.float64).ravel()[cells]
    median = float(np.median(total[total > 0])) if (total > 0).any() else 1.0
    parts = [b[:, genes] for b in _blocks(x, cells)]
    z = np.concatenate([np.asarray(p.todense() if sp.issparse(p) else p, dtype=np.float32) for p in parts])
    if counts:
        z = np.log1p(z * (median / np.maximum(total, 1.0)).astype(np.float32)[:, None])
    z -= z.mean(axis=0)
    return z / np.maximum(z.std(axis=0), 1e-6)


def _lasso(z: np.ndarray, components: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Return summed absolute coefficients at a tenth of each component's smallest penalty that leaves none."""
    from sklearn.linear_model import lasso_path

    z, n = z.astype(np.float64), z.shape[0]
    gram, xy = z.T @ z, z.T @ components
    score = np.zeros(z.shape[1])
    for k in range(components.shape[1]):
        top = np.abs(xy[:, k]).max() / n
        if top <= 0:
            continue
        alphas = top * np.array([0.5, 0.25, 0.1])  # a path: each starts from the one before
        _, coef, _ = lasso_path(z, components[:, k], alphas=alphas, precompute=gram, Xy=xy[:, k], tol=1e-2)
        score += weight[k] * np.abs(coef[:, -1])
    return score


def _forest(z: np.ndarray, target: np.ndarray, seed: int) -> np.ndarray:
    from sklearn.ensemble import RandomForestRegressor

    forest = RandomForestRegressor(
        100, max_features="sqrt", max_depth=12, min_samples_leaf=5, n_jobs=settings.n_jobs, random_state=int(seed)
    )
    return forest.fit(z, target).feature_importances_
