"""Cells that are none of those trained on are told from validation cells, which are out of range in 5% of cases."""

from __future__ import annotations

import anndata as ad
import numpy as np
import pytest
import scipy.sparse as sp
from scipy.special import logsumexp
from scipy.stats import multivariate_normal

import chromatell as ctl
from chromatell import ChromatellWarning
from chromatell.data.out_of_range import _deviance

OUT = "ctl_out_of_range"
pytestmark = pytest.mark.filterwarnings("ignore::chromatell.ChromatellWarning")  # beside the one that a test expects


@pytest.fixture(scope="module")
def trained():
    mdata = ctl.datasets.simulate_multiome(900, 500, 60, n_types=6, seed=3)
    ctl.pp.split_cells(mdata, seed=0, fractions=(0.5, 0.3, 0.2))
    ctl.tl.dense(mdata, seed=0, train_kwargs={"max_epochs": 1})
    return mdata, ctl.models.load(mdata)


def cells(mdata, part):
    return mdata.mod["rna"][(mdata.obs["ctl_split"] == part).to_numpy()].copy()


def test_of_validation_cells_5_percent_and_of_test_cells_about_as_many(trained):
    mdata, model = trained
    val = model.out_of_range(cells(mdata, "val"))
    assert val.dtype == np.float32
    assert (val > 1).mean() == pytest.approx(0.05, abs=0.005)
    assert (model.out_of_range(cells(mdata, "test")) > 1).mean() < 0.12
    column = mdata.mod["atac_pred"].obs[OUT][(mdata.obs["ctl_split"] == "val").to_numpy()]
    np.testing.assert_allclose(column, val, rtol=1e-5)


@pytest.mark.parametrize("what", ["mean of each gene", "one mean", "x 100", "another species"])
def test_what_is_no_cell_of_training_is_told(trained, rng, what):
    mdata, model = trained
    query = cells(mdata, "test")
    x = query.X.toarray()
    mean = np.asarray(cells(mdata, "train").X.mean(axis=0)).ravel()
    new = {
        "mean of each gene": lambda: rng.poisson(np.tile(mean, (len(x), 1))),
        "one mean": lambda: rng.poisson(mean.mean(), x.shape),
        "x 100": lambda: 100 * x,
        "another species": lambda: x[:, rng.permutation(x.shape[1])],
    }[what]()
    other = ad.AnnData(sp.csr_matrix(new.astype(np.float32)), var=query.var[[]])
    with pytest.warns(ChromatellWarning, match=r"% of the 180 cells are out of the range of the training cells"):
        pred = ctl.tl.predict(other, mdata).mod["atac_pred"]
    assert (pred.obs[OUT] > 1).mean() > 0.95


def test_the_distance_is_that_of_the_mixture(trained):
    """Against SciPy's normal distributions with the stored means and precision."""
    mdata, model = trained
    query = cells(mdata, "test")
    known = model.fitted.expression.range
    x, _ = model.fitted.expression.align(query)
    z, library = model.fitted.expression.transform(x)
    loadings = model.fitted.expression.loadings[:, : known.means.shape[1] - 3]
    scores = z @ (loadings / np.linalg.norm(loadings, axis=0))
    left = np.log((z**2).mean(axis=1) - (scores**2).sum(axis=1) / z.shape[1] + 0.05**2)
    features = np.column_stack([scores, library, model.fitted.expression.detected(x), left])
    covariance = np.linalg.inv(known.factor @ known.factor.T)
    flat = multivariate_normal(np.zeros(features.shape[1]), covariance).logpdf(np.zeros(features.shape[1]))
    each = [multivariate_normal(m, covariance).logpdf(features) - flat for m in known.means]
    want = np.sqrt(-2 * logsumexp(known.log_weights + np.stack(each, axis=1), axis=1))
    np.testing.assert_allclose(known._parts(model.fitted.expression, x, None)[:, 0], want, rtol=1e-3)


def test_deviance_by_hand():
    got = _deviance(np.array([[2.0, 2.0, 0.0]]), np.array([0.25, 0.25, 0.5]))
    np.testing.assert_allclose(got, [2 * (2 * np.log(2 / 1) + 2 * np.log(2 / 1))])


def test_it_travels_and_the_card_names_it(trained, tmp_path):
    mdata, model = trained
    query = cells(mdata, "test")[:, :400].copy()
    with pytest.warns(ChromatellWarning, match="estimated from the others"):
        want = ctl.tl.predict(query, model).mod["atac_pred"].obs[OUT]
    ctl.io.export_model(mdata, "dense", tmp_path / "shared")
    again = ctl.models.load(tmp_path / "shared")
    np.testing.assert_array_equal(again.out_of_range(query), want)
    assert again.card["out_of_range"]["share_of_validation_cells_above"] == 0.05
    assert "deviance of counts" in again.card["out_of_range"]["reads"]


def test_a_context_of_expression_tells_it_too_and_an_embedding_does_not(trained):
    mdata = trained[0].copy()
    del mdata.mod["atac_pred"]
    mdata.update()
    mdata.mod["atac"].var_names = [f"chr1:{500 * i}-{500 * i + 500}" for i in range(mdata.mod["atac"].n_vars)]
    mdata.update()
    small = {"d": 16, "n_hidden": 16, "n_layers": 1, "train_kwargs": {"max_epochs": 1}, "seed": 0}
    ctl.tl.atacformer(mdata, context="X_pca", **small)
    val = mdata.mod["atac_pred"].obs[OUT][(mdata.obs["ctl_split"] == "val").to_numpy()]
    assert (val > 1).mean() == pytest.approx(0.05, abs=0.005)
    mdata.mod["rna"].obsm["mine"] = np.asarray(mdata.mod["rna"].X[:, :5].todense())
    ctl.tl.atacformer(mdata, context="mine", key_added="other", **small)
    assert ctl.models.load(mdata, key="other").out_of_range(mdata) is None
