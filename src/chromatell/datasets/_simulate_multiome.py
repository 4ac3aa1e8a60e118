"""Paired RNA and ATAC counts of cells whose truth is known."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
import scipy.sparse as sp
from anndata import AnnData
from mudata import MuData

from chromatell._arguments import arguments
from chromatell._compat import no_pull
from chromatell._docs import documented
from chromatell._keys import ATAC, CHROM, END, RNA, START
from chromatell._settings import check_fits, settings
from chromatell._validate import ChromatellError

_BLOCK = 2048  # cells drawn at a time
_SLOT = 1000  # regions start on this grid, so that none overlap
_WIDTH = 500
_REACH = 50_000  # a region this near to a TSS follows that gene
_SHARED = 3  # programmes beside one for each type: housekeeping, and the two ends of the continuous factor


@arguments
@documented("simulated")
def simulate_multiome(
    n_cells: int = 1000,
    n_genes: int = 200,
    n_regions: int = 500,
    *,
    n_types: int = 4,
    n_donors: int = 4,
    depth: float | None = None,
    truth: bool = True,
    seed: int | None = None,
) -> MuData:
    r"""Paired expression and accessibility counts with known probabilities.

    Each cell is a mixture :math:`\theta_c` of programmes: housekeeping, one for each cell type, and the two ends of a
    continuous factor. A programme is a distribution over genes and another one over regions, and a region within 50 kb
    of a gene's TSS follows that gene across programmes. With :math:`d_c` the cell's depth,

    .. math:: y_{cr} \sim \mathrm{Poisson}(d_c \textstyle\sum_k \theta_{ck} \beta_{kr}), \qquad
              P(\text{open}) = 1 - e^{-d_c \sum_k \theta_{ck} \beta_{kr}}.

    Depth and library size are log-normal (sd 0.5 and 0.4) with correlation 0.5 of their logs. Time and memory grow with
    the number of fragments, not with cells x regions, unless `truth` is asked for.

    Parameters
    ----------
    n_cells, n_genes, n_regions
        Size of the data.
    truth
        Keep the true probabilities, a dense float32 layer of n_cells x n_regions. Give False for large data.

    Returns
    -------
    mudata.MuData
        - ``mod['rna'].X``: counts, float32 CSR; `var`: `gene_id`, `chrom`, `tss` (0-based), `strand`.
        - ``mod['atac'].X``: fragment counts, float32 CSR; `var`: `chrom`, `start`, `end` (0-based, half-open),
          `linked_gene` (``''`` where there is none).
        - ``mod['atac'].layers['truth']``: P(open) given the cell's state and its depth, float32 (n_cells, n_regions).
        - ``mod['atac'].obs['expected_fragments']``: the depth :math:`d_c`, float64.
        - ``obs`` (also of both modalities): `cell_type`, `donor` (categorical), `factor` (float64, 0 to 1).

    Raises
    ------
    ChromatellError
        A size is not a positive whole number, or the truth would pass ``ctl.settings.dense_limit``.

    Examples
    --------
    >>> from chromatell.datasets import simulate_multiome
    >>> mdata = simulate_multiome(100, 20, 50, seed=0)
    >>> mdata.mod["atac"].layers["truth"].shape
    (100, 50)

    References
    ----------
    The mixture of programmes is the topic model of cisTopic (Bravo González-Blas et al., Nature Methods 2019).
    """
    depth = 0.04 * n_regions if depth is None else float(depth)
    sizes = {"n_cells": n_cells, "n_genes": n_genes, "n_regions": n_regions, "n_types": n_types, "n_donors": n_donors}
    _check(sizes, depth, truth)
    seeds = np.random.SeedSequence(settings.resolve_seed(seed)).spawn(5)
    cells = _cells(
        np.random.default_rng(seeds[0]),
        n_cells,
        n_types,
        n_donors,
        depth,
        library=float(np.clip(2 * n_genes, 100, 8000)),
    )
    genes, regions = _places(np.random.default_rng(seeds[1]), n_genes, n_regions)
    gene_prog, region_prog = _programmes(np.random.default_rng(seeds[2]), genes, regions, n_types + _SHARED)

    rna = AnnData(_draw(seeds[3], cells.theta * cells.library[:, None], gene_prog), obs=cells.obs.copy(), var=genes)
    atac_var = regions.assign(linked_gene=np.append(genes.index.to_numpy(dtype=object), "")[regions["linked_gene"]])
    atac = AnnData(_draw(seeds[4], cells.theta * cells.depth[:, None], region_prog), obs=cells.obs.copy(), var=atac_var)
    atac.obs["expected_fragments"] = cells.depth
    if truth:
        atac.layers["truth"] = _truth(cells.theta * cells.depth[:, None], region_prog)
    with no_pull():
        mdata = MuData({RNA: rna, ATAC: atac})
    for name in cells.obs:
        mdata.obs[name] = cells.obs[name]
    return mdata


@dataclass
class _Cells:
    obs: pd.DataFrame
    theta: np.ndarray  # (cells, programmes), rows sum to 1
    library: np.ndarray  # (cells,), expected RNA counts
    depth: np.ndarray  # (cells,), expected fragments


def _check(sizes: dict[str, int], depth: float, truth: bool) -> None:
    for name, value in sizes.items():
        if not isinstance(value, int | np.integer) or value < 1:
            raise ChromatellError(f"{name}={value!r} must be a positive whole number.")
    if not (np.isfinite(depth) and depth > 0):
        raise ChromatellError(f"depth={depth!r} must be positive: the mean number of fragments a cell.")
    check_fits(
        4 * sizes["n_cells"] * sizes["n_regions"] * truth,
        f"The true probabilities of {sizes['n_cells']} x {sizes['n_regions']} need",
        "Leave them out with truth=False.",
    )


def _cells(rng: np.random.Generator, n: int, n_types: int, n_donors: int, depth: float, *, library: float) -> _Cells:
    donor = rng.integers(n_donors, size=n)
    shares = rng.dirichlet(np.full(n_types, 8.0), size=n_donors)
    kind = (rng.random(n)[:, None] > np.cumsum(shares, axis=1)[donor][:, :-1]).sum(axis=1)
    factor = rng.beta(1.2, 1.2, size=n)
    mean = np.full((n, n_types + _SHARED), 0.01)
    mean[:, 0] += 0.30
    mean[:, 1] += 0.30 * factor
    mean[:, 2] += 0.30 * (1 - factor)
    mean[np.arange(n), _SHARED + kind] += 0.40
    weights = rng.standard_gamma(40.0 * mean)  # normalised, a Dirichlet around the mean
    theta = weights / weights.sum(axis=1, keepdims=True)
    common, own = rng.standard_normal((2, n))
    log_library, log_depth = 0.4 * common, 0.5 * (0.5 * common + np.sqrt(0.75) * own)
    obs = pd.DataFrame(
        {
            "cell_type": pd.Categorical.from_codes(kind, [f"type_{i + 1}" for i in range(n_types)]),
            "donor": pd.Categorical.from_codes(donor, [f"donor_{i + 1}" for i in range(n_donors)]),
            "factor": factor,
        },
        index=pd.Index([f"cell_{i}" for i in range(n)]),
    )
    return _Cells(obs, theta, library * np.exp(log_library - 0.4**2 / 2), depth * np.exp(log_depth - 0.5**2 / 2))


def _places(rng: np.random.Generator, n_genes: int, n_regions: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return gene and region tables; ``linked_gene`` is the position of the nearest gene within 50 kb, else n_genes."""
    n_chrom = int(min(5, n_genes))
    slots = int(max(200 * n_genes, 5 * n_regions, 1000 * n_chrom) // n_chrom + 1)  # a chromosome's length in kb
    total = slots * n_chrom
    gene_slot = np.sort(rng.choice(total, n_genes, replace=False))
    near = gene_slot[rng.integers(n_genes, size=n_regions)] + np.rint(rng.laplace(0, 15, size=n_regions)).astype(
        np.int64
    )
    near = near[rng.random(n_regions) < 0.6]  # the rest lies anywhere
    taken = np.unique(near[(near >= 0) & (near < total)])
    free = np.setdiff1d(np.arange(total), taken, assume_unique=True)
    region_slot = np.sort(np.append(taken, rng.choice(free, n_regions - taken.size, replace=False)))

    tss = gene_slot * _SLOT + rng.integers(_SLOT, size=n_genes)
    middle = region_slot * _SLOT + _WIDTH // 2
    right = np.searchsorted(tss, middle)
    pair = np.stack([np.maximum(right - 1, 0), np.minimum(right, n_genes - 1)])
    distance = np.where(tss[pair] // (slots * _SLOT) == middle // (slots * _SLOT), np.abs(tss[pair] - middle), np.inf)
    nearest = pair[np.argmin(distance, axis=0), np.arange(n_regions)]
    linked = np.where(distance.min(axis=0) <= _REACH, nearest, n_genes)

    genes = pd.DataFrame(
        {
            "gene_id": [f"SIMG{i + 1:08d}" for i in range(n_genes)],
            CHROM: [f"chr{c + 1}" for c in gene_slot // slots],
            "tss": tss - gene_slot // slots * (slots * _SLOT),
            "strand": rng.choice(np.array(["+", "-"], dtype=object), n_genes),
        },
        index=pd.Index([f"gene_{i + 1}" for i in range(n_genes)]),
    )
    start = region_slot % slots * _SLOT
    chrom = np.array([f"chr{c + 1}" for c in range(n_chrom)], dtype=object)[region_slot // slots]
    names = pd.Index([f"{c}:{s}-{s + _WIDTH}" for c, s in zip(chrom, start, strict=True)])
    regions = pd.DataFrame({CHROM: chrom, START: start, END: start + _WIDTH, "linked_gene": linked}, index=names)
    return genes, regions


def _programmes(
    rng: np.random.Generator, genes: pd.DataFrame, regions: pd.DataFrame, k: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return (k, genes) and (k, regions): each programme's distribution, rows sum to 1."""
    n_genes, n_regions = len(genes), len(regions)

    def log_fold(n: int) -> np.ndarray:
        fold = np.where(rng.random((k, n)) < 0.25, rng.normal(1.8, 0.6, (k, n)), 0.0)
        fold[0] = 0.0  # housekeeping
        return fold

    gene_fold = log_fold(n_genes)
    own = log_fold(n_regions)
    linked = regions["linked_gene"].to_numpy()
    follows = linked < n_genes
    region_fold = own
    region_fold[:, follows] = gene_fold[:, linked[follows]] + rng.normal(0, 0.2, (k, int(follows.sum())))
    gene_weight = np.exp(gene_fold + rng.normal(0, 1.2, n_genes))
    region_weight = np.exp(region_fold + rng.normal(0, 0.9, n_regions))
    return gene_weight / gene_weight.sum(axis=1, keepdims=True), region_weight / region_weight.sum(
        axis=1, keepdims=True
    )


def _draw(seed: np.random.SeedSequence, rate: np.ndarray, programmes: np.ndarray) -> sp.csr_matrix:
    """Return Poisson counts with mean ``rate @ programmes``, float32 CSR, without ever forming that product.

    A Poisson count of each programme is drawn for each cell, then these molecules are spread over the variables by the
    programme's distribution (a multinomial in random order): the same distribution as independent Poisson counts.
    """
    starts = range(0, rate.shape[0], _BLOCK)
    n_var = programmes.shape[1]
    variables = np.arange(n_var, dtype=np.int32)
    blocks = []
    for start, child in zip(starts, seed.spawn(len(starts)), strict=True):
        rng = np.random.default_rng(child)
        number = rng.poisson(rate[start : start + _BLOCK])  # (cells, programmes)
        cells = np.arange(len(number), dtype=np.int64)
        place = []  # cell * n_var + variable of each molecule
        for k, programme in enumerate(programmes):
            row = np.repeat(cells, number[:, k])
            col = rng.permutation(np.repeat(variables, rng.multinomial(row.size, programme)))
            place.append(row * n_var + col)
        at, count = np.unique(
            np.concatenate(place), return_counts=True
        )  # one sort; scipy's sum_duplicates takes 3x longer
        indptr = np.searchsorted(at, np.arange(len(number) + 1) * n_var)
        blocks.append(
            sp.csr_matrix((count.astype(np.float32), (at % n_var).astype(np.int32), indptr), shape=(len(number), n_var))
        )
    return sp.vstack(blocks, format="csr", dtype=np.float32)


def _truth(rate: np.ndarray, programmes: np.ndarray) -> np.ndarray:
    out = np.empty((rate.shape[0], programmes.shape[1]), dtype=np.float32)
    for start in range(0, rate.shape[0], _BLOCK):
        rows = slice(start, start + _BLOCK)
        out[rows] = -np.expm1(-(rate[rows] @ programmes))
    return out
