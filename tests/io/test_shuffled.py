"""Cells written once in a random order, and opened without reading them."""

from __future__ import annotations

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

import chromatell as ctl
from chromatell import ChromatellError
from chromatell._compat import layer_names
from chromatell._rows import DiskMatrix, matrix
from chromatell._values import kept_counts
from chromatell.io import _shuffled, open_cells, write_shuffled


@pytest.fixture
def cells():
    mdata = ctl.datasets.simulate_multiome(300, 20, 30, seed=0)
    ctl.pp.split_cells(mdata, seed=0)
    mdata["rna"].obsm["X_pca"] = np.random.default_rng(0).normal(size=(300, 3))
    return mdata


@pytest.mark.parametrize("source", ["memory", "backed"])
def test_all_that_belongs_to_a_cell_goes_with_it(cells, tmp_path, monkeypatch, source):
    monkeypatch.setattr(_shuffled, "_BUFFER", 128)
    monkeypatch.setattr(_shuffled, "_BLOCK", 8)
    data = cells
    if source == "backed":
        cells.write(tmp_path / "m.h5mu")
        data = open_cells(tmp_path / "m.h5mu")
        assert isinstance(matrix(data.mod["atac"]), DiskMatrix)
    path = write_shuffled(data, tmp_path / "s.zarr", seed=1)
    back = open_cells(path)
    where = cells.obs_names.get_indexer(back.obs_names)
    assert sorted(where) == list(range(300))
    assert (np.diff(where) == 1).mean() < 0.2
    for name in ("rna", "atac"):
        found = matrix(back.mod[name])
        assert isinstance(found, DiskMatrix)
        np.testing.assert_array_equal(found.read().toarray(), cells.mod[name].X.toarray()[where])
        assert list(back.mod[name].var_names) == list(cells.mod[name].var_names)
    np.testing.assert_array_equal(back.mod["rna"].obsm["X_pca"], cells["rna"].obsm["X_pca"][where])
    assert list(back.obs["ctl_split"]) == list(cells.obs["ctl_split"].iloc[where])
    assert back.uns["ctl"]["split"]["seed"] == 0
    again = write_shuffled(data, tmp_path / "t.zarr", seed=1)
    assert list(open_cells(again).obs_names) == list(back.obs_names)
    ctl.pp.select_features(back, n_genes=10, n_regions=20)  # and it is data like any other
    assert int(back.mod["rna"].var["ctl_selected"].sum()) == 10


def test_sorted_cells_are_mixed():
    """300 cells of one kind after the other: each interval of 64 then holds every kind."""
    order = _shuffled._drawn(100_000, 0)
    kind = order // 10_000
    assert all(len(np.unique(kind[i : i + 512])) == 10 for i in range(0, 90_000, 512))


def test_anndata_with_a_dense_matrix(tmp_path, rng):
    adata = ad.AnnData(rng.random((50, 4)).astype(np.float32))
    back = open_cells(write_shuffled(adata, tmp_path / "a.zarr", seed=0))
    where = adata.obs_names.get_indexer(back.obs_names)
    np.testing.assert_array_equal(matrix(back).read(), adata.X[where])


def test_what_is_there_stays(cells, tmp_path):
    (tmp_path / "s.zarr").mkdir()
    (tmp_path / "s.zarr" / "notes.txt").write_text("mine")
    with pytest.raises(ChromatellError):
        write_shuffled(cells, tmp_path / "s.zarr", overwrite=True)
    assert (tmp_path / "s.zarr" / "notes.txt").read_text() == "mine"


def test_a_write_that_fails_leaves_nothing(cells, tmp_path, monkeypatch):
    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(type(cells), "write_zarr", full)
    with pytest.raises(ChromatellError, match="no room left"):
        write_shuffled(cells, tmp_path / "s.zarr")
    assert list(tmp_path.iterdir()) == []


def test_other_cells_in_a_modality_are_named(cells, tmp_path):
    import mudata

    mdata = mudata.MuData({"rna": cells["rna"], "atac": cells["atac"][::-1].copy()})
    with pytest.raises(ChromatellError, match="not the 300 of mdata"):
        write_shuffled(mdata, tmp_path / "s.zarr")


@pytest.fixture
def kept(cells, tmp_path):
    """Cells with two predictions, counts and genes beside X, neighbours; as a store and as a file."""
    rng = np.random.default_rng(1)
    for key in ("one", "two"):
        ctl.tl.add_prediction(cells, rng.random(cells["atac"].shape).astype(np.float32), key=key)
    rna = cells["rna"]
    rna.layers["counts"] = rna.X.copy()
    rna.raw = rna.copy()
    rna.obsp["near"] = sp.random(300, 300, 0.01, format="csr", rng=rng)
    cells["atac"].varp["near"] = sp.eye(30).tocsr()
    cells.obsm["joint"] = rng.normal(size=(300, 2))
    rna.X = np.log1p(rna.X)
    ctl.io.write(cells, tmp_path / "kept.zarr")
    ctl.io.write(cells, tmp_path / "kept.h5mu")
    return cells


def dense(x):
    x = x.to_memory() if hasattr(x, "to_memory") else x[:] if not isinstance(x, np.ndarray) else x
    return x.toarray() if sp.issparse(x) else np.asarray(x)


@pytest.mark.parametrize("name", ["kept.zarr", "kept.h5mu", "again.zarr"])
def test_what_stands_beside_x_is_opened_with_it(kept, tmp_path, name):
    if name == "again.zarr":  # what was opened is written whole
        ctl.io.write(open_cells(tmp_path / "kept.zarr"), tmp_path / name)
    back = open_cells(tmp_path / name)
    for mod, wanted in kept.mod.items():
        found = back.mod[mod]
        for layer in layer_names(wanted):
            np.testing.assert_array_equal(dense(found.layers[layer]), dense(wanted.layers[layer]))
        assert sorted(layer_names(found)) == sorted(layer_names(wanted))
        assert sorted(found.obsp) == sorted(wanted.obsp)
        assert sorted(found.varp) == sorted(wanted.varp)
    np.testing.assert_array_equal(dense(back["rna"].raw.X), dense(kept["rna"].raw.X))
    assert back["rna"].raw.var_names.equals(kept["rna"].raw.var_names)
    assert (back["rna"].obsp["near"] != kept["rna"].obsp["near"]).nnz == 0
    np.testing.assert_array_equal(back.obsm["joint"], kept.obsm["joint"])
    if name.endswith(".zarr"):
        assert not isinstance(back["atac_pred"].layers["two"], np.ndarray)  # not read
        assert not sp.issparse(back["rna"].layers["counts"])
    options = {"baselines": ["region_mean"], "n_bootstrap": 0}
    ctl.tl.evaluate(back, **options)
    ctl.tl.evaluate(kept, **options)
    tables = [m.uns["ctl"]["evaluation"].drop(columns=["ci_low", "ci_high"]) for m in (back, kept)]
    assert set(tables[0]["model"]) == {"one", "two", "region_mean"}
    pd.testing.assert_frame_equal(*tables)


def test_a_layer_of_a_store_is_read_in_place_of_x_and_the_line_that_puts_it_there_runs(kept, tmp_path):
    found = []
    for data in (kept, open_cells(tmp_path / "kept.zarr")):
        ctl.pp.select_features(data, n_genes=10, layer={"rna": "counts"})
        found.append(data["rna"].var["ctl_selected"].to_numpy())
    np.testing.assert_array_equal(*found)
    back = open_cells(tmp_path / "kept.zarr")
    exec(kept_counts(back["rna"], "rna"), {"rna": back["rna"]})
    np.testing.assert_array_equal(dense(back["rna"].X), dense(kept["rna"].layers["counts"]))


def test_what_goes_with_shuffled_cells_and_what_is_left_out_is_said(kept, tmp_path, caplog):
    kept["rna"].obsm["few"] = sp.random(300, 5, 0.3, format="csr", rng=np.random.default_rng(2))
    with caplog.at_level("INFO", logger="chromatell"):
        back = open_cells(write_shuffled(kept, tmp_path / "s.zarr", seed=1))
    where = kept.obs_names.get_indexer(back.obs_names)
    np.testing.assert_array_equal(back.obsm["joint"], kept.obsm["joint"][where])
    np.testing.assert_array_equal(back["rna"].obsm["few"].toarray(), kept["rna"].obsm["few"].toarray()[where])
    assert caplog.messages == [
        "Left out of the store: \"rna.layers['counts']\", \"rna.obsp['near']\", 'rna.raw', \"atac.layers['truth']\", "
        "\"atac.varp['near']\", \"atac_pred.layers['two']\"."
    ]
