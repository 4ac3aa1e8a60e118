"""A prediction into a store takes the memory of a block of cells, however many there are."""

from __future__ import annotations

import gc
import tracemalloc

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

import chromatell as ctl

GENES = 400
PER_CELL = 900  # bytes that a further cell may cost: its name, and checks of ten million values; its row takes 1,600


@pytest.fixture(scope="module")
def trained():
    mdata = ctl.datasets.simulate_multiome(200, GENES, 40, truth=False, seed=0)
    ctl.pp.split_cells(mdata, seed=0)
    ctl.models.Dense.setup_mudata(mdata)
    model = ctl.models.Dense(mdata, n_pcs=5)
    model.train(max_epochs=1, accelerator="cpu", seed=0)
    return mdata.mod["rna"], model


def query(rna: ad.AnnData, n: int, *, others: bool, dense: bool) -> ad.AnnData:
    """Return `n` cells, each a copy of a known one, with the model's genes, or with `others` before and after them."""
    x = sp.csr_matrix(rna.X)[np.arange(n) % rna.n_obs]
    names = rna.var_names
    if others:
        x = sp.csr_matrix(sp.hstack([np.ones((n, 1), dtype=np.float32), x[:, ::-1], x[:, :5]]))
        x.sum_duplicates()  # of unsorted entries a copy is made once, which would be all there is to see
        names = names[::-1].insert(0, "first").append(pd.Index([f"last{i}" for i in range(5)]))
    found = ad.AnnData(x.toarray() if dense else x, var=pd.DataFrame(index=names))
    found.obs_names = np.char.add("cell", np.arange(n).astype(str))
    return found


def peak(cells: ad.AnnData, model: ctl.models.Dense, path) -> int:
    """Return the most bytes that a prediction into a store takes beside what its caller holds."""
    gc.collect()
    tracemalloc.start()
    try:
        ctl.tl.predict(cells, model, out=path)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("dense", [True, False], ids=["dense", "sparse"])
@pytest.mark.parametrize(("n", "others"), [(1_000, False), (4_500, True)], ids=["same genes", "among others"])
def test_memory_does_not_grow_with_the_cells(trained, n, others, dense, tmp_path):
    rna, model = trained
    ctl.tl.predict(query(rna, 10, others=others, dense=dense), model, out=tmp_path / "warm.zarr")  # libraries load
    few, many = (peak(query(rna, m, others=others, dense=dense), model, tmp_path / f"{m}.zarr") for m in (n, 4 * n))
    assert many - few < 3 * n * PER_CELL


def test_many_cells_among_other_genes_are_predicted_as_alone(trained, tmp_path):
    """Columns are cut block by block there: against the same cells, 200 of them, whose columns are cut at once."""
    rna, model = trained
    alone = ctl.tl.predict(rna, model).mod["atac_pred"]
    ctl.tl.predict(query(rna, 4_500, others=True, dense=False), model, out=tmp_path / "p.zarr")
    stored = ctl.io.open_prediction(tmp_path / "p.zarr")
    np.testing.assert_allclose(stored.X.compute(), alone.X[np.arange(4_500) % rna.n_obs], atol=1e-6)
