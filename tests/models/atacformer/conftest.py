"""Cells of two types that open different bins, and one model trained on them."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from anndata import AnnData
from mudata import MuData
from tests.models.atacformer.tiny_module import TINY

import chromatell as ctl

FAST = {"max_epochs": 12, "lr": 1e-2, "seed": 0}


def make_cells(n_cells=300, n_bins=90, seed=0):
    """Two types: each opens a third of the bins with probability 0.5, the rest with 0.05. The truth is a layer."""
    rng = np.random.default_rng(seed)
    kind = rng.integers(0, 2, n_cells)
    p = np.full((2, n_bins), 0.05)
    p[0, : n_bins // 3], p[1, n_bins // 3 : 2 * n_bins // 3] = 0.5, 0.5
    order = rng.permutation(n_bins)  # the groups are spread over the chromosomes
    p = p[:, order]
    x = sp.csr_matrix((rng.random((n_cells, n_bins)) < p[kind]).astype(np.float32))
    per = n_bins // 3
    var = pd.DataFrame(
        {
            "chrom": np.repeat(["chr1", "chr2", "chrX"], per),
            "start": np.tile(np.arange(per) * 5000, 3),
            "end": np.tile(np.arange(per) * 5000 + 5000, 3),
        }
    )
    var.index = [f"{c}:{s}-{e}" for c, s, e in zip(var.chrom, var.start, var.end, strict=True)]
    obs = pd.DataFrame({"kind": np.array(["a", "b"])[kind]}, index=[f"cell_{i}" for i in range(n_cells)])
    adata = AnnData(x, obs=obs, var=var, layers={"truth": p[kind]})
    ctl.pp.split_cells(adata, seed=seed)
    return adata


@pytest.fixture(scope="session")
def cells():
    return make_cells()


@pytest.fixture(scope="session")
def paired_cells(cells):
    """The same cells with an embedding of expression that tells their type, and little expression of their own."""
    rng = np.random.default_rng(1)
    kind = (cells.obs["kind"] == "b").to_numpy()
    rna = AnnData(rng.poisson(2, (cells.n_obs, 12)).astype(np.float32) + 1, obs=cells.obs[[]].copy())
    rna.X[:, :4] += 4 * kind[:, None]
    rna.obsm["X_own"] = np.column_stack([kind * 3.0, rng.normal(size=cells.n_obs)]).astype(np.float32)
    mdata = MuData({"rna": rna, "atac": cells.copy()})
    mdata.obs["ctl_split"] = cells.obs["ctl_split"]
    return mdata


def train_tiny(data, *, train=None, setup=None, **options):
    data = data.copy()
    family = ctl.models.AtacFormer
    (family.setup_mudata if isinstance(data, MuData) else family.setup_anndata)(data, **(setup or {}))
    model = family(data, **{**({} if "pretrained" in options else TINY), **options})
    model.train(**{**FAST, **(train or {})})
    return model


@pytest.fixture(scope="session")
def fit():
    """Train a tiny model: ``fit(data, setup={}, train={}, **options)``."""
    return train_tiny


@pytest.fixture(scope="session")
def trained(cells):
    return train_tiny(cells, setup={"labels": "kind"})


@pytest.fixture(scope="session")
def in_context(paired_cells):
    return train_tiny(paired_cells, setup={"context": "X_own", "labels": ["kind"]})
