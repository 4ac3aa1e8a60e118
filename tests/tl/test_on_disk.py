"""Cells on disk: every verb that reads cells gives what it gives in memory."""

from __future__ import annotations

import anndata as ad
import dask.array as da
import mudata as md
import numpy as np
import pytest
import scipy.sparse as sp
import zarr

import chromatell as ctl
from chromatell.models import load

KINDS = ("h5mu", "dask sparse", "dask dense", "zarr", "lazy")


@pytest.fixture(scope="module")
def cells():
    mdata = ctl.datasets.simulate_multiome(240, 30, 40, seed=0)
    ctl.pp.split_cells(mdata, seed=0)
    ctl.pp.link_genes(mdata, mdata.mod["rna"].var)
    return mdata


def stored(mdata, kind, folder):
    """Return the same cells with both matrices on disk."""
    if kind == "h5mu":
        mdata.write(folder / "m.h5mu")
        return md.read_h5mu(folder / "m.h5mu", backed="r")
    mods = {}
    for name, adata in mdata.mod.items():
        x = sp.csr_matrix(adata.X)
        if kind.startswith("dask"):
            matrix = da.from_array(x.toarray() if kind == "dask dense" else x, chunks=(70, adata.n_vars))
        else:
            path = folder / f"{name}.zarr"
            adata.write_zarr(path)
            if kind == "lazy":
                matrix = ad.experimental.read_lazy(path).X
            else:
                matrix = ad.io.sparse_dataset(zarr.open_group(str(path), mode="r")["X"])
        mods[name] = ad.AnnData(matrix, obs=adata.obs.copy(), var=adata.var.copy())
    out = md.MuData(mods)
    out.obs["ctl_split"] = mdata.obs["ctl_split"].to_numpy()
    out.uns["ctl"] = dict(mdata.uns["ctl"])
    return out


def run(mdata):
    ctl.pp.select_features(mdata, n_genes=20, n_regions=30)
    ctl.tl.dense(mdata, n_pcs=5, seed=0, train_kwargs={"max_epochs": 2, "order": "blocks"})
    ctl.tl.baseline(mdata, "svd_ridge")
    return mdata


@pytest.fixture(scope="module")
def in_memory(cells):
    return run(cells.copy())


@pytest.mark.parametrize("kind", KINDS)
def test_training_and_prediction_equal_those_in_memory(cells, in_memory, kind, tmp_path, monkeypatch):
    monkeypatch.setattr("chromatell.data.cells._CACHE_BYTES", 0)  # as of data too large to be held
    mdata = run(stored(cells, kind, tmp_path))
    assert not isinstance(mdata.mod["atac"].X, np.ndarray | sp.spmatrix)  # nothing of the user's was read into memory
    for name in ("rna", "atac"):
        found, wanted = mdata.mod[name].var, in_memory.mod[name].var
        np.testing.assert_array_equal(found["ctl_selected"], wanted["ctl_selected"])
        np.testing.assert_allclose(found["ctl_score"], wanted["ctl_score"], rtol=1e-6)
    arrays, expected = (load(m, key="dense").to_record().arrays for m in (mdata, in_memory))
    for name in ("scaling.gene_mean", "scaling.gene_sd", "scaling.gene_share", "scaling.expression"):
        np.testing.assert_allclose(arrays[name], expected[name], rtol=1e-6)
    np.testing.assert_allclose(arrays["weights.weight"], expected["weights.weight"], atol=1e-4)
    for key in ("dense", "svd_ridge"):
        found, wanted = (ctl.data.predictions.read_prediction(m, key) for m in (mdata, in_memory))
        np.testing.assert_allclose(found, wanted, atol=1e-4)


def test_few_cells_on_disk_are_drawn_as_in_memory(cells, tmp_path):
    """What is small is held: the same order of cells, so the same weights, to the last bit."""
    weights = []
    for mdata in (cells.copy(), stored(cells, "h5mu", tmp_path)):
        ctl.tl.dense(mdata, n_pcs=5, seed=0, train_kwargs={"max_epochs": 2}, stack=False)
        weights.append(load(mdata, key="dense").to_record().arrays["weights.weight"])
    np.testing.assert_array_equal(*weights)


def test_evaluation_of_cells_on_disk(cells, in_memory, tmp_path):
    tables = []
    for mdata in (in_memory.copy(), run(stored(cells, "dask sparse", tmp_path))):
        ctl.tl.evaluate(mdata, baselines=["region_mean_depth"], n_bootstrap=20, seed=0)
        tables.append(mdata.uns["ctl"]["evaluation"])
    found, wanted = (t.set_index(["model", "split", "view", "metric"])["value"] for t in tables)
    np.testing.assert_allclose(found.loc[wanted.index], wanted, atol=2e-3)


def test_query_on_disk(cells, in_memory, tmp_path):
    rna = in_memory.mod["rna"]
    expected = ctl.tl.predict(rna, in_memory, key="dense").mod["atac_pred"].X
    cells.mod["rna"].write_h5ad(tmp_path / "q.h5ad")
    for query in (
        ad.read_h5ad(tmp_path / "q.h5ad", backed="r"),
        ad.experimental.read_lazy(tmp_path / "q.h5ad"),
        ad.read_h5ad(tmp_path / "q.h5ad", backed="r")[50:90],
    ):
        found = ctl.tl.predict(query, in_memory, key="dense").mod["atac_pred"]
        rows = rna.obs_names.get_indexer(found.obs_names)
        np.testing.assert_allclose(found.X, expected[rows], atol=1e-6)
