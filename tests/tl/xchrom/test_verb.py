"""``tl.xchrom`` as a user calls it: what it writes, and what it learns."""

from __future__ import annotations

import mudata as md
import numpy as np
import pytest
from sklearn.metrics import roc_auc_score
from tests.helpers import assert_same, rows_of, snapshot
from tests.tl.xchrom.made import QUICK, TINY, simulated

import chromatell as ctl
from chromatell._compat import no_pull


def test_writes_prediction_model_and_embeddings_and_nothing_else(mdata):
    mdata.obs["number"] = np.arange(mdata.n_obs)
    before = snapshot(mdata)
    assert ctl.tl.xchrom(mdata, **QUICK) is None
    more = (("rna", "obsm", "X_xchrom"), ("atac", "varm", "X_xchrom"))
    assert_same(before, snapshot(mdata), predicted=True, more=more)
    assert sorted(mdata.mod) == ["atac", "atac_pred", "rna"]
    assert sorted(mdata.uns) == before["uns"]  # 'ctl' was there
    pred = mdata.mod["atac_pred"]
    assert pred.shape == (120, 130)
    assert pred.X.dtype == np.float32
    assert list(pred.var["region"]) == list(mdata["atac"].var_names)
    assert (pred.obs["ctl_split"] == mdata.obs["ctl_split"]).all()
    assert (pred.var["ctl_split"].to_numpy() == mdata["atac"].var["ctl_split"].to_numpy()).all()
    provenance = pred.uns["ctl"]["provenance"]["xchrom"]
    assert (provenance["family"], provenance["depth"]) == ("xchrom", "predicted")
    assert provenance["hash"] == mdata.uns["ctl"]["models"]["xchrom"]["hash"].tobytes().decode()
    assert not provenance["uses_target_assay"]
    model = ctl.models.load(mdata)
    of_regions, of_cells = mdata["atac"].varm["X_xchrom"], mdata["rna"].obsm["X_xchrom"]
    assert (of_regions.shape, of_regions.dtype) == ((130, 6), np.float32)
    assert (of_cells.shape, of_cells.dtype) == ((120, 6), np.float32)
    np.testing.assert_array_equal(of_regions, model.stored_vectors()[:, :6])
    np.testing.assert_allclose(of_cells, model.cell_vectors(mdata)[:, :6], atol=1e-6)
    # the prediction of a held-out region is their product, with bias and depth; known ones have a stack beside it
    w, v = model.stored_vectors(), model.cell_vectors(mdata)
    logit = of_cells @ of_regions.T + w[:, 6] + np.outer(v[:, 7], w[:, 7])
    new = ~model.fitted.seen
    assert 0 < new.sum() < 130
    np.testing.assert_allclose(pred.X[:, new], 1 / (1 + np.exp(-logit[:, new])), atol=1e-5)
    model.fitted.stack = None
    np.testing.assert_allclose(model.predict(mdata), 1 / (1 + np.exp(-logit)), atol=1e-5)


def test_copy_returns_and_leaves_the_given_alone(mdata):
    before = snapshot(mdata)
    new = ctl.tl.xchrom(mdata, copy=True, **QUICK)
    assert_same(before, snapshot(mdata))
    assert before["mods"] == sorted(mdata.mod)
    assert before["uns"] == sorted(mdata.uns)
    assert "models" not in mdata.uns["ctl"]
    assert new["atac_pred"].shape == (120, 130)
    assert new["rna"].obsm["X_xchrom"].shape == (120, 6)


def test_same_seed_same_file(mdata):
    # not `done`: once numba has run (scanpy's normalize_total) threads round otherwise, in the last bit
    ctl.tl.xchrom(mdata, key_added="one", **QUICK)
    ctl.tl.xchrom(mdata, key_added="two", **QUICK)
    np.testing.assert_array_equal(mdata["atac_pred"].layers["one"], mdata["atac_pred"].X)
    models = mdata.uns["ctl"]["models"]
    assert models["one"]["hash"].tolist() == models["two"]["hash"].tolist()


def test_selected_regions_are_used(mdata):
    mdata["atac"].var["ctl_selected"] = np.arange(130) % 2 == 0
    ctl.tl.xchrom(mdata, key_added="half", **QUICK)
    assert mdata["atac_pred"].n_vars == 65
    of_regions = mdata["atac"].varm["X_half"]
    assert np.isnan(of_regions[1::2]).all()
    assert np.isfinite(of_regions[::2]).all()
    assert "X_half" in mdata["rna"].obsm
    assert "X_xchrom" not in mdata["rna"].obsm
    assert ctl.io.model_keys(mdata) == ["half"]


def test_models_stand_side_by_side(done):
    mdata = done.copy()
    first = mdata["atac_pred"].X.copy()
    ctl.tl.dense(mdata, train_kwargs={"max_epochs": 1}, seed=0)
    np.testing.assert_array_equal(mdata["atac_pred"].layers["xchrom"], first)
    assert sorted(ctl.io.model_keys(mdata)) == ["dense", "xchrom"]
    got = ctl.tl.predict(mdata["rna"], model=mdata, key="xchrom")
    np.testing.assert_allclose(got["atac_pred"].X, first, atol=1e-6)


def test_depth_key_is_read(mdata):
    mdata["atac"].obs["mine"] = mdata["atac"].obs["expected_fragments"]
    ctl.tl.xchrom(mdata, depth_key="mine", **QUICK)
    model = ctl.models.load(mdata)
    log = np.log1p(mdata["atac"].obs["mine"].to_numpy()[rows_of(mdata.obs, "train")])
    assert model.fitted.depth_model.mean == pytest.approx(log.mean())
    assert model.fitted.depth_model.sd == pytest.approx(log.std())


@pytest.fixture(scope="module")
def learned(tmp_path_factory):
    mdata = simulated(tmp_path_factory.mktemp("genome") / "g.fa", 400, 600)
    options = {**TINY, "stem_filters": 20, "n_hidden": 32, "n_embed": 8}
    ctl.tl.xchrom(mdata, **options, seed=0, train_kwargs={"max_epochs": 8, "full_rate_at": 0})
    return mdata, ctl.models.load(mdata)


@pytest.mark.parametrize(("cells", "regions"), [("test", "train"), ("train", "test"), ("test", "test")])
def test_tells_cells_apart_in_regions_by_their_state(learned, cells, regions):
    """Per region over cells, at one depth for all, so that the state of a cell is all that can tell."""
    mdata, model = learned
    pair = np.ix_(rows_of(mdata.obs, cells), rows_of(mdata["atac"].var, regions))
    y, p = mdata["atac"].X.toarray()[pair] > 0, model.denoise(mdata)[pair]
    both = np.flatnonzero(y.any(0) & ~y.all(0))
    scores = np.array([roc_auc_score(y[:, j], p[:, j]) for j in both])
    assert scores.mean() - 0.5 > 2.5 * scores.std() / np.sqrt(len(scores))
    assert scores.mean() > 0.53


def test_tells_regions_apart_by_their_sequence(learned):
    """Held-out regions in held-out cells, all pairs together; and which types a region is open in."""
    mdata, model = learned
    cells, regions = rows_of(mdata.obs, "test"), rows_of(mdata["atac"].var, "test")
    y = mdata["atac"].X.toarray()[np.ix_(cells, regions)] > 0
    assert roc_auc_score(y.ravel(), mdata["atac_pred"].X[np.ix_(cells, regions)].ravel()) > 0.7
    logit = model.cell_vectors(mdata, depth="fixed") @ model.stored_vectors()[regions].T
    truth = np.log(mdata["atac"].layers["truth"][:, regions])
    types = mdata.obs["cell_type"].to_numpy()
    mean = [[x[types == t].mean(0) for t in np.unique(types)] for x in (logit, truth)]
    ours, true = (np.array(m) - np.mean(m, axis=0) for m in mean)
    assert np.corrcoef(ours.ravel(), true.ravel())[0, 1] > 0.4


def test_empty_cells_and_regions_are_kept(mdata):
    x = mdata["atac"].X.tolil()
    closed = rows_of(mdata["atac"].var, "train")[0]
    x[5], x[:, closed] = 0, 0
    mdata["atac"].X = x.tocsr()
    ctl.tl.xchrom(mdata, **QUICK)
    p = mdata["atac_pred"].X
    assert np.isfinite(p).all()
    assert p[:, closed].max() < np.median(p)


def test_the_references_own_example(data_dir, tmp_path):
    """91 cells of mouse brain with sequence in the file and components of their own: train, write, read, predict."""
    mdata = ctl.io.read(data_dir / "xchrom" / "mouse_brain_100cells.h5mu")
    cells = mdata["rna"].obs_names.intersection(mdata["atac"].obs_names)
    with no_pull():
        mdata = md.MuData({name: mdata[name][cells].copy() for name in ("rna", "atac")})
    ctl.pp.split_cells(mdata, seed=0)
    ctl.pp.split_regions(mdata, by="random", seed=0)
    ctl.tl.xchrom(mdata, **{**QUICK, "stem_filters": 4})
    model = ctl.models.load(mdata)
    assert model.fitted.embedding.key == "X_pca"
    assert mdata["atac_pred"].shape == (91, 901)
    assert np.isfinite(mdata["atac_pred"].X).all()
    with no_pull():
        mdata.write(tmp_path / "shared.h5mu")
    got = ctl.tl.predict(mdata["rna"], model=tmp_path / "shared.h5mu")
    np.testing.assert_allclose(got["atac_pred"].X, mdata["atac_pred"].X, atol=1e-6)
