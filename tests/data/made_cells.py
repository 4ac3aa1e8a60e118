"""Counts of three cell types, a cell side fitted on some, and z-scores by hand."""

from __future__ import annotations

import anndata as ad
import numpy as np

from chromatell.data.cell_embedding import CellEmbedding

N_CELLS, N_GENES = 200, 60
TRAIN = np.arange(120)


def counts(seed=0):
    """Three cell types, library sizes that differ, some genes that most cells do not express."""
    rng = np.random.default_rng(seed)
    rate = rng.gamma(0.7, 1.5, (3, N_GENES)) + 0.05
    x = rng.poisson(rate[rng.integers(0, 3, N_CELLS)] * rng.gamma(4, 0.5, N_CELLS)[:, None])
    x[:, 0] += 1
    return x.astype(np.float32)


def fit(rna, key=None, n_pcs=6, rows=TRAIN):
    return CellEmbedding.fit(rna, rows, key=key, n_pcs=n_pcs, seed=0)


def bare(rna):
    """Expression alone, as a query has it."""
    return ad.AnnData(rna.X.copy(), obs=rna.obs[[]].copy(), var=rna.var[[]].copy())


def z_by_hand(x, train):
    total = x.sum(1, keepdims=True)
    v = np.log1p(x / total * np.median(total[train]))
    return (v - v[train].mean(0)) / np.where(v[train].std(0) > 0, v[train].std(0), 1), total.ravel()
