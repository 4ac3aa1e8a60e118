"""``ctl.tl.atacformer`` and ``ctl.tl.predict`` with it: what is written, where, and nothing else."""

from __future__ import annotations

import anndata
import mudata
import numpy as np
import pandas as pd
import pytest

import chromatell as ctl
from chromatell import ChromatellError

TINY = {"d": 16, "k": 8, "n_hidden": 32, "n_layers": 1, "n_heads": 2, "train_kwargs": {"max_epochs": 2}, "seed": 0}


@pytest.fixture(scope="module")
def multiome():
    mdata = ctl.datasets.simulate_multiome(240, 40, 60, n_types=3, seed=1)
    ctl.pp.split_cells(mdata, seed=0)
    return mdata


@pytest.fixture(scope="module")
def bins(multiome):
    adata = multiome["atac"].copy()
    adata.obs["ctl_split"] = multiome.obs["ctl_split"]
    return adata


def same(first, second):
    pd.testing.assert_frame_equal(first.obs, second.obs)
    pd.testing.assert_frame_equal(first.var, second.var)
    assert list(first.obsm) == list(second.obsm)
    assert list(first.uns) == list(second.uns)
    np.testing.assert_array_equal(first.X.toarray(), second.X.toarray())


def test_what_is_written_into_an_anndata(bins, tmp_path):
    before = bins.copy()
    done = ctl.tl.atacformer(bins, labels=["cell_type", "donor"], copy=True, **TINY)
    same(bins, before)  # the one that was given stays as it is
    assert set(done.obs) - set(bins.obs) == {"cell_type_atacformer", "donor_atacformer"}
    assert set(done.obsm) == {"X_atacformer", "cell_type_atacformer", "donor_atacformer"}
    pd.testing.assert_frame_equal(done.var, before.var)
    model = ctl.models.load(done)
    np.testing.assert_allclose(done.obsm["X_atacformer"], model.embed(bins), atol=1e-6)
    tables = model.predict_labels(bins)
    for key in ("cell_type", "donor"):
        p, said = done.obsm[f"{key}_atacformer"], done.obs[f"{key}_atacformer"]
        np.testing.assert_allclose(p, tables[key], atol=1e-6)
        assert list(said.cat.categories) == list(tables[key].columns)
        np.testing.assert_array_equal(said.cat.codes, p.argmax(axis=1))
    done.write(tmp_path / "done.h5ad")
    again = anndata.read_h5ad(tmp_path / "done.h5ad")
    np.testing.assert_allclose(ctl.models.load(again).embed(bins), done.obsm["X_atacformer"], atol=1e-6)


def test_trained_again_the_labels_of_the_old_model_go_with_it(bins, multiome):
    mine = np.arange(240)
    for given in (bins, multiome):
        data = given.copy()
        cells = data if given is bins else data.mod["atac"]
        cells.obs["donor_other"] = mine
        ctl.tl.atacformer(data, labels=["cell_type", "donor"], **TINY)
        ctl.tl.atacformer(data, labels="donor", key_added="other_atacformer", **TINY)
        ctl.tl.atacformer(data, labels="cell_type", **TINY)
        kept = {"cell_type_atacformer", "donor_other_atacformer"}
        assert {c for c in cells.obs if c.endswith("atacformer")} == kept
        assert set(cells.obsm) == kept | {"X_atacformer", "X_other_atacformer"}
        np.testing.assert_array_equal(cells.obs["donor_other"], mine)


def test_bins_are_found_by_coordinates_where_names_differ(bins, caplog, monkeypatch):
    monkeypatch.setattr(ctl._settings.logger, "propagate", True)
    model = ctl.models.load(ctl.tl.atacformer(bins, copy=True, **TINY))
    wanted = model.embed(bins)
    renamed = (lambda n: n.replace(":", "-"), lambda n: n.removeprefix("chr"), lambda n: f"peak of {n}")
    for rename in renamed:
        query = bins[:, ::-1].copy()
        query.var_names = [rename(n) for n in query.var_names]
        for var in (query.var, query.var.iloc[:, :0])[: 1 if rename is renamed[2] else 2]:
            other = anndata.AnnData(query.X, obs=query.obs, var=var)
            caplog.clear()
            np.testing.assert_allclose(model.embed(other), wanted, atol=1e-6)
            assert "found by their coordinates" in caplog.text


def test_what_is_written_into_a_mudata_without_context(multiome):
    mdata = multiome.copy()
    assert ctl.tl.atacformer(mdata, key_added="mine", **TINY) is None
    assert "atac_pred" not in mdata.mod
    assert set(mdata["atac"].obsm) == {"X_mine"}
    pd.testing.assert_frame_equal(mdata["rna"].obs, multiome["rna"].obs)
    assert ctl.io.model_keys(mdata) == ["mine"]
    alone = mudata.MuData({"atac": multiome["atac"].copy()})
    alone.obs["ctl_split"] = multiome.obs["ctl_split"]
    ctl.tl.atacformer(alone, **TINY)
    np.testing.assert_allclose(alone["atac"].obsm["X_atacformer"], mdata["atac"].obsm["X_mine"], atol=1e-6)


def test_context_predicts_from_expression_alone(multiome, tmp_path):
    mdata = ctl.tl.atacformer(multiome, context="X_pca", labels="cell_type", copy=True, **TINY)
    pred = mdata["atac_pred"]
    assert pred.shape == multiome["atac"].shape
    assert pred.X.dtype == np.float32
    origin = pred.uns["ctl"]["provenance"]["atacformer"]
    assert origin["uses_target_assay"] is False
    assert origin["family"] == "atacformer"
    mdata.write(tmp_path / "shared.h5mu")
    query = ctl.tl.predict(multiome["rna"], model=tmp_path / "shared.h5mu")
    np.testing.assert_allclose(query["atac_pred"].X, pred.X, atol=1e-5)
    assert "cell_type_atacformer" in query["atac_pred"].obs  # from expression too
    assert "X_atacformer" in query["atac_pred"].obsm
    assert "X_atacformer" not in multiome["rna"].obsm
    other = mdata.copy()
    other.mod["atac"].var["ctl_selected"] = np.arange(60) > 0
    with pytest.raises(ChromatellError, match="hold.*regions that are not the 59"):
        ctl.tl.atacformer(other, context="X_pca", **TINY)


def test_predictions_in_a_store(multiome, tmp_path):
    mdata = multiome.copy()
    ctl.tl.atacformer(mdata, context="X_pca", out=tmp_path / "p.zarr", **TINY)
    assert "atac_pred" not in mdata.mod
    assert ctl.io.open_prediction(tmp_path / "p.zarr").shape == (240, 60)


def test_a_stored_model_reads_other_cells(bins, tmp_path):
    done = ctl.tl.atacformer(bins, labels="cell_type", copy=True, **TINY)
    done.write(tmp_path / "model.h5ad")
    part = bins[:50, 10:].copy()
    before = part.copy()
    query = ctl.tl.predict(part, model=tmp_path / "model.h5ad")
    same(part, before)
    assert query["atac_pred"].shape == (50, 60)
    assert query["atac_pred"].uns["ctl"]["provenance"]["atacformer"]["uses_target_assay"] is True
    model = ctl.models.load(done)
    np.testing.assert_allclose(query["atac_pred"].X, model.predict(part), atol=1e-6)
    np.testing.assert_allclose(query["atac_pred"].obsm["X_atacformer"], model.embed(part), atol=1e-6)
    other = part.copy()
    other.var_names = [f"chr9:{i}-{i + 1}" for i in range(50)]
    with pytest.raises(ChromatellError, match="holds 0 of the model's 60 bins"):
        ctl.tl.predict(other, model=model)


def test_going_on_from_a_stored_model(bins, tmp_path):
    ctl.tl.atacformer(bins, copy=True, **TINY).write(tmp_path / "model.h5ad")
    options = {k: v for k, v in TINY.items() if k in ("train_kwargs", "seed")}
    done = ctl.tl.atacformer(bins[:, 5:].copy(), pretrained=tmp_path / "model.h5ad", copy=True, **options)
    assert done.obsm["X_atacformer"].shape == (240, 16)


def test_bad_input_names_the_cure_and_changes_nothing(bins, multiome):
    genes = multiome["rna"].copy()
    genes.obs["ctl_split"] = multiome.obs["ctl_split"]
    for data, options, message in (
        (bins, {"labels": "none"}, "did not find 'none' in obs"),
        (bins, {"context": "X_none"}, r"did not find adata.obsm\['X_none'\]"),
        (bins, {"out": "x.zarr"}, "out='x.zarr' would be read by nothing: it is for predictions from context="),
        (multiome, {"depth": "observed"}, "depth='observed' would be read by nothing"),
        (bins, {"key_added": "a/b"}, "cannot be stored"),
        (bins, {"max_length": 3}, "leaves no room for bins"),
        (genes, {}, "have no coordinates"),
        (multiome, {"context": "X_none"}, r"did not find rna.obsm\['X_none'\]"),
        ("x.h5ad", {}, "is a path; an open MuData or AnnData is needed"),
    ):
        keys = None if isinstance(data, str) else (list(data.uns), list(data.obsm), list(data.obs))
        with pytest.raises(ChromatellError, match=message):
            ctl.tl.atacformer(data, **{**TINY, **options})
        if keys is not None:
            assert keys == (list(data.uns), list(data.obsm), list(data.obs))
