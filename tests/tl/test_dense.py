"""``tl.dense`` and ``tl.predict`` as a user calls them."""

from __future__ import annotations

from functools import partial

import anndata as ad
import mudata as md
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from tests.helpers import assert_same, check_prediction_in_a_store, in_halves, joined, snapshot, split_multiome, spoiled

import chromatell as ctl
from chromatell import ChromatellError, ChromatellWarning
from chromatell._compat import no_pull

QUICK = {"train_kwargs": {"max_epochs": 2}, "seed": 0}


@pytest.fixture(scope="module")
def base():
    return split_multiome(300, 60, 80, seed=1)


@pytest.fixture
def mdata(base):
    return base.copy()


@pytest.fixture(scope="module")
def done(base):
    mdata = base.copy()
    ctl.tl.dense(mdata, **QUICK)
    return mdata


def test_entries_that_are_there_twice_train_and_score_as_their_sums(done, base, log):
    mdata = base.copy()
    for name in ("rna", "atac"):
        mdata.mod[name].X = in_halves(mdata.mod[name].X)
    ctl.tl.dense(mdata, **QUICK)
    np.testing.assert_array_equal(mdata.mod["atac_pred"].X, done.mod["atac_pred"].X)
    n = base.mod["rna"].X.nnz
    assert f"mdata.mod['rna'].X holds {n} entries twice: they are added up, as SciPy does." in log
    scores = []
    for data in (mdata, done.copy()):
        ctl.tl.evaluate(data, baselines=["region_mean", "knn"], n_bootstrap=0, seed=0)
        scores.append(data.uns["ctl"]["evaluation"])
    pd.testing.assert_frame_equal(*scores)


def test_writes_the_prediction_and_the_model_and_nothing_else(mdata):
    mdata.var["mine"] = np.arange(mdata.n_vars)
    mdata.obs["number"] = np.arange(mdata.n_obs)
    before = snapshot(mdata)
    assert ctl.tl.dense(mdata, **QUICK) is None
    assert_same(before, snapshot(mdata), predicted=True)
    pred = mdata.mod["atac_pred"]
    assert pred.shape == (300, 80)
    assert pred.X.dtype == np.float32
    assert list(pred.var["region"]) == list(mdata["atac"].var_names)
    assert list(pred.var_names) == ["atac_pred:" + r for r in mdata["atac"].var_names]
    assert (pred.obs["ctl_split"] == mdata.obs["ctl_split"]).all()
    provenance = pred.uns["ctl"]["provenance"]["dense"]
    assert provenance["depth"] == "predicted"
    assert provenance["hash"] == mdata.uns["ctl"]["models"]["dense"]["hash"].tobytes().decode()
    assert list(mdata.var["mine"][:140]) == list(range(140))  # kept; without NaN turning it into float
    assert pd.api.types.is_integer_dtype(mdata.var["mine"])
    assert pd.api.types.is_integer_dtype(mdata.obs["number"])


def test_copy_returns_and_leaves_the_given_alone(mdata):
    before = snapshot(mdata)
    new = ctl.tl.dense(mdata, copy=True, **QUICK)
    assert_same(before, snapshot(mdata))
    assert "atac_pred" not in mdata.mod
    assert new["atac_pred"].shape == (300, 80)


def test_selected_features_are_used(mdata):
    ctl.pp.select_features(mdata, n_genes=40, n_regions=30)
    ctl.tl.dense(mdata, **QUICK)
    assert mdata["atac_pred"].n_vars == 30
    assert set(mdata["atac_pred"].var["region"]) == set(mdata["atac"].var_names[mdata["atac"].var["ctl_selected"]])
    assert len(ctl.models.load(mdata).var_names["rna"]) == 40


def test_several_models_stand_side_by_side(mdata):
    ctl.tl.dense(mdata, **QUICK)
    first = mdata["atac_pred"].X.copy()
    ctl.tl.dense(mdata, key_added="focal", loss="focal", **QUICK)
    np.testing.assert_array_equal(mdata["atac_pred"].layers["dense"], first)
    assert sorted(ctl.io.model_keys(mdata)) == ["dense", "focal"]
    with pytest.raises(ChromatellError, match="dense.*focal"):
        ctl.tl.predict(mdata["rna"], model=mdata)
    got = ctl.tl.predict(mdata["rna"], model=mdata, key="dense")
    np.testing.assert_allclose(got["atac_pred"].X, first, atol=1e-6)


@pytest.mark.parametrize("suffix", [".h5mu", ".zarr"])
def test_the_file_is_a_working_predictor(done, tmp_path, suffix):
    path = tmp_path / f"shared{suffix}"
    with no_pull():
        done.write(path) if suffix == ".h5mu" else done.write_zarr(path)
    query = done["rna"][::-1].copy()  # a collaborator's cells, in another order, without ATAC
    got = ctl.tl.predict(query, model=path)
    assert sorted(got.mod) == ["atac_pred", "rna"]
    np.testing.assert_allclose(got["atac_pred"].X[::-1], done["atac_pred"].X, atol=1e-6)
    again = ctl.io.read(path)
    np.testing.assert_allclose(ctl.tl.predict(query, model=again)["atac_pred"].X, got["atac_pred"].X, atol=1e-6)


def test_query_genes_are_matched_by_name(done):
    want = ctl.tl.predict(done["rna"], model=done)["atac_pred"].X
    order = np.random.default_rng(0).permutation(done["rna"].n_vars)
    extra = ad.AnnData(sp.csr_matrix(np.ones((300, 3), dtype=np.float32)), obs=done["rna"].obs[[]].copy())
    extra.var_names = ["x1", "x2", "x3"]
    query = ad.concat([done["rna"][:, order].copy(), extra], axis=1)
    np.testing.assert_allclose(ctl.tl.predict(query, model=done)["atac_pred"].X, want, atol=1e-6)
    with pytest.warns(ChromatellWarning, match="6 of the model's 60 genes are not in the query"):
        got = ctl.tl.predict(done["rna"][:, 6:].copy(), model=done)["atac_pred"].X
    assert np.corrcoef(got.ravel(), want.ravel())[0, 1] > 0.95
    with pytest.raises(ChromatellError, match="at least 50% are needed"):
        ctl.tl.predict(done["rna"][:, 40:].copy(), model=done)


def test_query_is_not_changed_and_may_be_a_path(done, tmp_path):
    query = done["rna"].copy()
    query.write_h5ad(tmp_path / "query.h5ad")
    columns = list(query.obs), list(query.var), list(query.uns)
    one = ctl.tl.predict(query, model=done)
    assert columns == (list(query.obs), list(query.var), list(query.uns))
    two = ctl.tl.predict(tmp_path / "query.h5ad", model=done, regions=list(done["atac"].var_names[:7]))
    np.testing.assert_allclose(two["atac_pred"].X, one["atac_pred"].X[:, :7], atol=1e-6)


def test_predictions_above_the_limit_go_to_a_store(mdata, tmp_path, monkeypatch):
    check_prediction_in_a_store(mdata, partial(ctl.tl.dense, **QUICK), tmp_path, monkeypatch)


def test_empty_cells_and_regions_are_kept(mdata):
    """Both real sets have cells with no open region and regions open nowhere."""
    x = mdata["atac"].X.tolil()
    x[5], x[:, 7] = 0, 0
    mdata["atac"].X = x.tocsr()
    ctl.tl.dense(mdata, **QUICK)
    p = mdata["atac_pred"].X
    assert np.isfinite(p).all()
    assert p[:, 7].max() < 0.02


def broken(mdata, what):
    """Return a MuData with one thing wrong."""
    rna, atac = spoiled(mdata, what)
    if what == "repeat":
        names = list(rna.obs_names)
        names[1] = names[0]
        rna.obs_names = names
        atac.obs_names = names
    elif what == "empty":
        atac = atac[:, :0].copy()
    return joined(mdata, rna, atac, what)


@pytest.mark.parametrize(
    ("what", "message"),
    [
        ("barcodes", "300 and 300 barcodes, 0 shared"),
        ("order", "the same barcodes in a different order"),
        ("repeat", "1 repeated barcodes .*obs_names_make_unique"),
        ("nan", "1 NaN or infinite values"),
        ("negative", "1 negative values"),
        ("unexpressed", "2 of 300 cells have no expression at all"),
        ("empty", r"is empty \(300 cells x 0 variables\)"),
        ("no atac", "no modality 'atac'; it has"),
        ("no split", "Run ctl.pp.split_cells"),
        ("closed", "No selected region is open in any training cell"),
    ],
)
@pytest.mark.filterwarnings("ignore:Observation names are not unique")
def test_bad_input_names_the_cure_and_changes_nothing(mdata, what, message):
    bad = broken(mdata, what)
    columns = {name: (list(a.obs), list(a.var), list(a.uns)) for name, a in bad.mod.items()}
    uns = sorted(bad.uns)
    with pytest.raises(ChromatellError, match=message):
        ctl.tl.dense(bad, **QUICK)
    assert columns == {name: (list(a.obs), list(a.var), list(a.uns)) for name, a in bad.mod.items()}
    assert uns == sorted(bad.uns)


def test_other_wrong_calls(mdata, done):
    with pytest.raises(ChromatellError, match="Expected a MuData"):
        ctl.tl.dense(mdata["rna"], **QUICK)
    with pytest.raises(ChromatellError, match="key 'a/b' cannot be stored"):
        ctl.tl.dense(mdata, key_added="a/b", **QUICK)
    with pytest.raises(ChromatellError, match="'nothing'.*dense"):
        ctl.tl.predict(done["rna"], model=done, key="nothing")
    with no_pull():
        atac_only = md.MuData({"atac": done["atac"].copy()})
    with pytest.raises(ChromatellError, match="no modality 'rna'"):
        ctl.tl.predict(atac_only, model=done)
    with pytest.raises(ChromatellError, match="takes an AnnData of expression"):
        ctl.tl.predict(np.ones(3), model=done)
    other = done.copy()
    other["atac"].var["ctl_selected"] = np.arange(80) < 20
    with pytest.raises(ChromatellError, match="del mdata.mod"):
        ctl.tl.dense(other, **QUICK)


def test_a_stored_model_that_was_altered_is_refused(done):
    other = done.copy()
    weights = other.uns["ctl"]["models"]["dense"]["weights"]
    weights["bias"] = weights["bias"] + 1
    with pytest.raises(ChromatellError, match="hash"):
        ctl.tl.predict(done["rna"], model=other)


def test_real_counts_round_trip(data_dir, tmp_path):
    """Bone marrow, real counts: train, write, read, predict for cells that have expression only."""
    mdata = ctl.io.read(data_dir / "multiome" / "bmmc_500cells.h5mu")
    ctl.pp.split_cells(mdata, seed=0)
    ctl.tl.dense(mdata, batch_key="batch", **QUICK)
    with no_pull():
        mdata.write(tmp_path / "shared.h5mu")
    got = ctl.tl.predict(mdata["rna"], model=tmp_path / "shared.h5mu")
    np.testing.assert_allclose(got["atac_pred"].X, mdata["atac_pred"].X, atol=1e-6)
