"""What `ctl.get` hands to other tools, and takes back from them."""

from __future__ import annotations

import anndata as ad
import mudata
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

import chromatell as ctl
from chromatell import ChromatellError


@pytest.fixture
def mdata():
    mdata = ctl.datasets.simulate_multiome(90, 40, 50, seed=0)
    rng = np.random.default_rng(1)
    values = rng.random((90, 50)).astype(np.float32)
    ctl.pp.split_cells(mdata, seed=0)
    ctl.tl.add_prediction(mdata, values, key="first")
    ctl.tl.add_prediction(mdata, values / 2, key="second")
    mdata.uns["values"] = values
    return mdata


def test_a_prediction_has_the_names_of_the_regions_and_shares_its_matrix(mdata):
    found = ctl.get.prediction(mdata)
    assert found.var_names.equals(mdata.mod["atac"].var_names)
    assert np.shares_memory(found.X, mdata.mod["atac_pred"].X)
    assert found.obs["cell_type"].equals(mdata.obs["cell_type"])
    assert list(found.var["start"]) == list(mdata.mod["atac"].var["start"])
    assert "region" not in found.var
    np.testing.assert_array_equal(ctl.get.prediction(mdata, "second").X, mdata.uns["values"] / 2)
    joined = found[:, mdata.mod["atac"].var_names[[7, 3]]]
    np.testing.assert_array_equal(joined.X, mdata.uns["values"][:, [7, 3]])


def test_groups_are_means_as_pandas_takes_them(mdata):
    mdata.obs.loc[mdata.obs_names[:5], "donor"] = np.nan
    found = ctl.get.prediction(mdata, groupby="donor")
    names = mdata.mod["atac"].var_names
    wanted = pd.DataFrame(mdata.uns["values"], columns=names).groupby(mdata.obs["donor"].to_numpy()).mean()
    pd.testing.assert_frame_equal(found, wanted, check_names=False, check_dtype=False, rtol=1e-6)
    assert found.index.name == "donor"


def test_a_prediction_in_a_store_is_read_when_it_is_used(mdata, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # a store is looked for beside the data
    model = _trained(mdata)
    query = ctl.tl.predict(mdata.mod["rna"], model, key="big", out="p.zarr")
    query.obs["half"] = np.where(np.arange(90) < 45, "a", "b")
    found = ctl.get.prediction(query, "big", groupby="half")
    direct = model.predict(mdata)
    np.testing.assert_allclose(found.loc["b"], direct[45:].mean(axis=0), rtol=1e-5)
    assert ctl.get.prediction(query).shape == (90, 50)


def _trained(mdata):
    inner = mudata.MuData({name: mdata.mod[name].copy() for name in ("rna", "atac")})
    inner.obs["ctl_split"] = mdata.obs["ctl_split"]
    ctl.models.Dense.setup_mudata(inner)
    model = ctl.models.Dense(inner)
    model.train(max_epochs=1, seed=0)
    return model


def test_measured_leaves_the_predictions_out_and_shares_matrices(mdata):
    mdata.obsm["X_both"] = np.arange(180.0).reshape(90, 2)
    mdata.mod["rna"].layers["counts"] = mdata.mod["rna"].X
    measured = ctl.get.measured(mdata)
    assert list(measured.mod) == ["rna", "atac"]
    for name in ("rna", "atac"):
        assert np.shares_memory(measured.mod[name].X.data, mdata.mod[name].X.data)
    assert np.shares_memory(measured.mod["rna"].layers["counts"].data, mdata.mod["rna"].X.data)
    assert measured.obs.equals(mdata.obs)
    np.testing.assert_array_equal(measured.obsm["X_both"], mdata.obsm["X_both"])
    measured.obs["new"] = 1
    measured.mod["rna"].uns["new"] = 1
    measured.mod["rna"].obs["new"] = 1
    assert "new" not in mdata.obs
    assert "new" not in mdata.mod["rna"].obs
    assert "new" not in mdata.mod["rna"].uns


def test_what_tools_write_on_all_modalities_comes_home(mdata):
    before = mdata.mod["atac_pred"].copy()
    columns = list(mdata.var.columns)
    measured = ctl.get.measured(mdata)
    for name in ("rna", "atac"):
        measured.mod[name].obsm["X_pca"] = np.asarray(measured.mod[name].X[:, :5].toarray())
        measured.mod[name].uns["neighbors"] = {"connectivities_key": "connectivities"}
    # as muon.pp.neighbors, muon.tl.umap and muon.tl.mofa write
    measured.obsp["connectivities"] = sp.random(90, 90, 0.1, format="csr", random_state=0)
    measured.uns["neighbors"] = {"connectivities_key": "connectivities", "params": {"n_neighbors": 6}}
    measured.obsm["X_umap"] = np.arange(180.0).reshape(90, 2)
    measured.varm["factors"] = np.arange(90.0).reshape(90, 1)  # of 40 genes and 50 regions
    ctl.get.merge_results(mdata, measured)

    joint = mdata.obsp[mdata.uns["neighbors"]["connectivities_key"]]
    assert (joint != measured.obsp["connectivities"]).nnz == 0
    np.testing.assert_array_equal(mdata.mod["rna"].obsm["X_pca"], measured.mod["rna"].obsm["X_pca"])
    assert "neighbors" in mdata.mod["atac"].uns
    np.testing.assert_array_equal(mdata.varm["factors"][:90, 0], np.arange(90.0))
    assert np.isnan(mdata.varm["factors"][90:]).all()
    after = mdata.mod["atac_pred"]
    assert after.obsm.keys() == before.obsm.keys()
    np.testing.assert_array_equal(after.X, before.X)
    assert list(mdata.var.columns) == columns
    assert mdata.uns["ctl"]["split"]


@pytest.mark.usefixtures("x_among_layers")
def test_what_another_tool_did_to_its_counts_does_not_come_back(mdata):
    """Since anndata 0.13 the layers of an AnnData have a key None, which is `X`."""
    before = mdata.mod["atac"].X.toarray()
    measured = ctl.get.measured(mdata).copy()
    measured.mod["atac"].layers["tfidf"] = measured.mod["atac"].X * 3
    measured.mod["atac"].X = measured.mod["atac"].X * 2
    ctl.get.merge_results(mdata, measured)
    np.testing.assert_array_equal(mdata.mod["atac"].X.toarray(), before)
    np.testing.assert_array_equal(mdata.mod["atac"].layers["tfidf"].toarray(), before * 3)


@pytest.mark.filterwarnings("ignore:.*var_names are not unique")
def test_a_name_that_two_modalities_share_keeps_the_values_of_each(mdata):
    """CITE-seq: a gene and its protein are called the same."""
    prot = ad.AnnData(np.ones((90, 3), dtype=np.float32), obs=pd.DataFrame(index=mdata.obs_names))
    prot.var_names = [mdata.mod["rna"].var_names[7], mdata.mod["atac"].var_names[2], "CD3"]
    whole = mudata.MuData({"prot": prot, **mdata.mod})
    whole.var["place"] = np.arange(whole.n_vars)  # of the 3 proteins, 40 genes, 50 regions and 50 predicted ones
    measured = ctl.get.measured(whole)
    assert measured.var["place"].tolist() == list(range(93))
    assert measured.var["place"].dtype == np.int64
    measured.var["loading"] = np.arange(93) / 2
    measured.varm["LFs"] = np.arange(186.0).reshape(93, 2)
    ctl.get.merge_results(whole, measured)
    wanted = np.append(np.arange(93) / 2, np.full(50, np.nan))
    np.testing.assert_array_equal(whole.var["loading"], wanted)
    np.testing.assert_array_equal(whole.varm["LFs"][:, 0], 2 * np.append(np.arange(93.0), np.full(50, np.nan)))
    del whole.mod["atac_pred"]  # and no update
    with pytest.raises(ChromatellError, match="Call mdata.update"):
        ctl.get.measured(whole)
    whole.update()
    assert ctl.get.measured(whole).var["place"].tolist() == list(range(93))


def test_cells_that_were_filtered_meanwhile_are_named_and_the_cure_works(mdata):
    measured = ctl.get.measured(mdata)[:70].copy()
    measured.obsm["X_new"] = np.ones((70, 2))
    keys = set(mdata.obsm)
    with pytest.raises(ctl.ChromatellError, match=r"mdata has 90 cells, and what was measured 70, 70 of them shared"):
        ctl.get.merge_results(mdata, measured)
    assert set(mdata.obsm) == keys
    mdata = mdata[measured.obs_names].copy()
    ctl.get.merge_results(mdata, measured)
    assert mdata.obsm["X_new"].shape == (70, 2)


def test_genes_that_were_filtered_meanwhile_leave_what_is_of_cells(mdata):
    measured = ctl.get.measured(mdata)
    measured.mod["rna"] = measured.mod["rna"][:, :10].copy()
    measured.mod["rna"].obsm["X_pca"] = np.ones((90, 2))
    measured.mod["rna"].var["score"] = 1.0
    ctl.get.merge_results(mdata, measured)
    assert mdata.mod["rna"].obsm["X_pca"].shape == (90, 2)
    assert "score" not in mdata.mod["rna"].var


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda m: ctl.get.prediction(m, "none"), r"No prediction 'none'.*there: 'first', 'second'"),
        (lambda m: ctl.get.prediction(m, groupby="kind"), r"Did not find mdata.obs\['kind'\]"),
        (lambda m: ctl.get.prediction(ctl.get.measured(m)), r"Did not find mdata.mod\['atac_pred'\]"),
        (lambda m: ctl.get.measured(m.mod["rna"]), "Expected a MuData, got AnnData"),
        (lambda m: ctl.get.measured(mudata.MuData({"atac_pred": m.mod["atac_pred"]})), "Nothing in this MuData"),
        (lambda m: ctl.get.merge_results(ctl.get.measured(m), m), r"'atac_pred'.* that mdata did not measure"),
        (lambda m: ctl.get.merge_results(m, ad.AnnData(np.ones((2, 2)))), "got AnnData"),
    ],
)
def test_what_cannot_be_had_is_said(mdata, call, message):
    with pytest.raises(ctl.ChromatellError, match=message):
        call(mdata)
