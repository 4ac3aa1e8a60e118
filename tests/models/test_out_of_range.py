"""Cells that are none of those trained on are told from validation cells, which are out of range in 5% of cases."""

from __future__ import annotations

import anndata as ad
import numpy as np
import pytest
import scipy.sparse as sp
from scipy.special import logsumexp, rel_entr
from scipy.stats import multivariate_normal

import chromatell as ctl
from chromatell import ChromatellError, ChromatellWarning
from chromatell.data.expression import Embedding, Expression
from chromatell.data.out_of_range import TrainingRange, _deviance

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


def features_of(expression, x, k):
    """Return what the range reads of cells with all genes, by another way: dense, one cell after the other."""
    z, library = expression.transform(x)
    loadings = expression.loadings[:, :k]
    scores = z @ (loadings / np.linalg.norm(loadings, axis=0))
    left = np.log((z**2).mean(axis=1) - (scores**2).sum(axis=1) / z.shape[1] + 0.05**2)
    share = expression.share.astype(float) + 1e-8
    counts = x.toarray().astype(float)
    deviance = [2 * rel_entr(c, c.sum() * share / share.sum()).sum() for c in counts]
    return np.column_stack([library, expression.detected(x), left, np.log(deviance), scores])


def log_mixture(features, means, weights, covariance):
    each = [multivariate_normal(m, covariance).logpdf(features) for m in means]
    return logsumexp(weights + np.stack(each, axis=1), axis=1)


def test_distance_and_odds_are_those_of_the_normal_distributions(trained):
    """Against SciPy's normal distributions with the stored means and precisions."""
    mdata, model = trained
    expression = model.fitted.expression
    known = expression.range
    x, _ = expression.align(cells(mdata, "test"))
    features = features_of(expression, x, known.means.shape[1] - 4)
    covariance = np.linalg.inv(known.factor @ known.factor.T)
    highest = multivariate_normal(np.zeros(len(covariance)), covariance).logpdf(np.zeros(len(covariance)))
    far = np.sqrt(-2 * (log_mixture(features, known.means, known.log_weights, covariance) - highest))
    first = slice(0, 4 + 8)
    of_noise = np.linalg.inv(known.noise_factor @ known.noise_factor.T)[first, first]
    odds = multivariate_normal(known.noise_mean[first], of_noise).logpdf(features[:, first])
    odds -= log_mixture(features[:, first], known.means[:, first], known.log_weights, covariance[first, first])
    got = known._parts(expression, x, None)
    np.testing.assert_allclose(got[:, 0], far, rtol=1e-3)
    np.testing.assert_allclose(got[:, 1], odds, rtol=1e-3, atol=1e-2)
    scale, median, threshold, last = known.units
    want = np.maximum(far / scale, 1 + (odds - threshold) / (threshold - median)) / last
    np.testing.assert_allclose(known.distance(expression, x), want, rtol=1e-3, atol=1e-3)


def test_noise_is_told_from_shallow_cells_of_which_some_are_like_it(rng):
    """One in a hundred of 1,500 cells, with 250 counts each, is as near to the mean profile as noise is."""
    gene = rng.gamma(0.3, size=300)
    types = gene * np.exp(rng.normal(0, 1.0, (3, 300)))
    types /= types.sum(axis=1, keepdims=True)
    kind = rng.choice(4, 1500, p=[0.33, 0.33, 0.33, 0.01])
    profile = np.vstack([types, types.mean(axis=0)])[kind]
    depth = rng.lognormal(np.log(250), 0.5, 1500)
    x = sp.csr_matrix(rng.poisson(depth[:, None] * profile).astype(np.float32))
    expression = Expression.fit(x[:1000], [f"g{i}" for i in range(300)])
    embedding = Embedding.fit(expression, x[:1000], 30, seed=0)
    expression = expression.filled_by(embedding).with_range(x[:1000], x[1000:], 0)
    mean = np.asarray(x[:1000].mean(axis=0)).ravel()
    noise = sp.csr_matrix(rng.poisson(np.tile(mean, (500, 1))).astype(np.float32))
    far, real = (expression.range.distance(expression, q) for q in (noise, x[1000:][kind[1000:] < 3]))
    assert (far > 1).mean() > 0.95
    assert (real > 1).mean() < 0.06


def test_an_older_record_keeps_its_distances(trained):
    """Its numbers in the old order, with a parabola of the deviance instead of the noise: worked out here."""
    mdata, model = trained
    expression = model.fitted.expression
    x, _ = expression.align(cells(mdata, "test"))
    features = features_of(expression, x, 5)
    old = np.column_stack([features[:, 4:], features[:, :3]])
    factor = np.triu(np.full((8, 8), 0.1), 1) + np.eye(8)
    curve = np.array([0.01, 0.2, 5.0, 0.3, -1.0, 1.0])
    arrays = {"means": old[:2], "factor": factor, "log_weights": np.log([0.4, 0.6]), "curve": curve}
    arrays |= {"units": np.array([3.0, 1.5, 0.9])}
    stored = {f"scaling.range_{name}": value for name, value in arrays.items()}
    square = [((old - m) @ factor) ** 2 for m in old[:2]]
    far = np.sqrt(-2 * logsumexp(np.log([0.4, 0.6]) - np.stack([s.sum(axis=1) for s in square], axis=1) / 2, axis=1))
    plain = (np.polyval(curve[:3], np.clip(features[:, 0], -1, 1)) - features[:, 3]) / 0.3
    known = TrainingRange.from_arrays(50, stored, counts=True)
    want = np.maximum(far / 3.0, plain / 1.5) / 0.9
    np.testing.assert_allclose(known.distance(expression, x), want, rtol=1e-3, atol=1e-3)
    again = known.arrays()
    assert set(again) == set(stored)
    for name, value in stored.items():
        np.testing.assert_array_equal(again[name], value)
    stored["scaling.range_factor"] = np.ones((8, 8))
    with pytest.raises(ChromatellError, match="is no Cholesky factor"):
        TrainingRange.from_arrays(50, stored, counts=True)
    del stored["scaling.range_curve"]
    with pytest.raises(ChromatellError, match="lacks 'scaling.range_noise_mean'"):
        TrainingRange.from_arrays(50, stored, counts=True)
    with pytest.raises(ChromatellError, match="reads 5 components of a cell, of 4"):
        TrainingRange.from_arrays(4, stored, counts=False)


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
