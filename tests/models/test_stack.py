"""What stands beside the network: members against scikit-learn, weights against SciPy, the record, depths."""

from __future__ import annotations

import dataclasses

import mudata as md
import numpy as np
import pytest
from scipy.optimize import minimize
from sklearn.linear_model import Ridge

import chromatell as ctl
from chromatell import ChromatellError
from chromatell.io import Record
from chromatell.models.dense._stack import DEPTH, LOW_RANK, MEMBERS, NETWORK, PRIOR, RIDGE, Moments, choose_weights


@pytest.fixture(scope="module")
def trained() -> tuple[md.MuData, ctl.models.Dense]:
    mdata = ctl.datasets.simulate_multiome(400, 30, 60, n_types=3, depth=15.0, seed=1)
    ctl.pp.split_cells(mdata, seed=0)
    ctl.models.Dense.setup_mudata(mdata)
    model = ctl.models.Dense(mdata, n_hidden=8, n_latent=4)
    model.train(max_epochs=1, seed=0)
    return mdata, model


HOW = ("observed", "fixed")


def alone(model, member):
    """The same model, one member of which predicts."""
    found = ctl.models.Dense.from_record(model.to_record())
    found.fitted.stack = dataclasses.replace(model.fitted.stack, weights={member: 1.0})
    return found


def test_the_members_are_what_they_are_called(trained):
    mdata, model = trained
    split = mdata.obs["ctl_split"].to_numpy()
    train, test = split == "train", split == "test"
    y = (mdata["atac"].X.toarray() > 0).astype(float)
    mean = np.clip(y[train].mean(axis=0), 0.5 / (train.sum() + 1), 1)
    simple = model.fitted.stack.simple
    z, library = model.fitted.expression.transform(mdata["rna"].X)
    design = np.column_stack([z @ simple.projection / simple.scale, library])
    used = np.abs(simple.beta).sum(axis=1) > 0
    p = alone(model, RIDGE).predict(mdata)
    fits = [Ridge(a).fit(design[train][:, used], y[train]) for a in 10.0 ** np.arange(-2, 8)]
    found = [np.clip(mean + f.predict(design[:, used]) - y[train].mean(axis=0), 1e-6, 1 - 1e-6) for f in fits]
    off = [np.abs(p[test] - other[test]).max() for other in found]
    assert min(off) < 1e-4
    brier = [np.mean((other[split == "val"] - y[split == "val"]) ** 2) for other in found]
    assert brier[int(np.argmin(off))] <= min(brier) * 1.001
    depth = alone(model, DEPTH).predict(mdata)
    rate = np.log1p(-depth) / np.log1p(-mean)  # by cell alone
    np.testing.assert_allclose(rate, np.tile(rate[:, :1], (1, 60)), rtol=1e-3)
    assert np.corrcoef(rate[test, 0], y[test].sum(axis=1))[0, 1] > 0.3
    expected = mean + (design - simple.centre) @ simple.low @ simple.components
    np.testing.assert_allclose(alone(model, LOW_RANK).predict(mdata), np.clip(expected, 1e-6, 1 - 1e-6), atol=1e-5)


def test_the_prediction_is_the_weighted_mean(trained):
    mdata, model = trained
    weights = model.fitted.stack.weights
    assert sum(weights.values()) == pytest.approx(1)
    assert min(weights.values()) > 0
    parts = {member: alone(model, member).predict(mdata) for member in weights}
    expected = sum(w * parts[m] for m, w in weights.items())
    np.testing.assert_allclose(model.predict(mdata), expected, atol=1e-6)
    some = list(model.regions[[7, 3, 40]])
    np.testing.assert_allclose(model.predict(mdata, regions=some), expected[:, [7, 3, 40]], atol=1e-6)


def test_weights_are_those_of_a_constrained_regression(rng):
    n, m = 60, 40
    mean = rng.uniform(0.05, 0.4, m).astype("f4")
    p = np.clip(mean + rng.normal(0, 0.1, (n, m)), 0.01, 0.99)
    truth = (rng.random((n, m)) < p).astype("f4")
    members = [np.broadcast_to(mean, (n, m)).astype("f4"), *(np.clip(p + rng.normal(0, s, p.shape), 0, 1).astype("f4")
               for s in (0.3, 0.1, 0.05))]  # fmt: skip
    moments = Moments(n, mean)
    for rows in (slice(0, 25), slice(25, n)):
        for cols in (slice(0, 10), slice(10, m)):
            moments.add(rows, cols, [q[rows, cols] for q in members], truth[rows, cols])
    weights, loss = choose_weights(moments)
    w = np.array([weights.get(name, 0.0) for name in MEMBERS])
    variance = mean.astype(float) * (1 - mean)
    unit = 1 / (variance + variance.mean()) / m
    apart = np.mean([(unit * (a.astype(float) - b) ** 2).sum(axis=1).mean() for a in members for b in members]) * 4 / 3

    def objective(v: np.ndarray) -> float:
        error = sum(vi * q.astype(float) for vi, q in zip(v, members, strict=True)) - truth
        return float((unit * error**2).sum() + 200 * apart / 2 * ((v - PRIOR) ** 2).sum())

    best = minimize(objective, PRIOR, bounds=[(0, 1)] * 4,
                    constraints={"type": "eq", "fun": lambda v: v.sum() - 1}, options={"ftol": 1e-12})  # fmt: skip
    np.testing.assert_allclose(w, best.x, atol=2e-3)
    for name, q in zip(MEMBERS, members, strict=True):
        assert loss[name] == pytest.approx(float((unit * (q - truth) ** 2).sum() / n), rel=1e-4)


def test_few_cells_leave_the_prior_and_many_find_the_best(rng):
    mean = np.full(50, 0.2, dtype="f4")

    def chosen(n):
        p = np.clip(0.2 + rng.normal(0, 0.1, (n, 50)), 0.01, 0.99).astype("f4")
        truth = (rng.random((n, 50)) < p).astype("f4")
        moments = Moments(n, mean)
        noise = [np.clip(p + rng.normal(0, 0.2, p.shape), 0, 1).astype("f4") for _ in range(3)]
        moments.add(slice(0, n), slice(0, 50), [*noise, p], truth)
        return choose_weights(moments)[0]

    assert max(abs(w - p) for w, p in zip(chosen(5).values(), PRIOR, strict=True)) < 0.1
    assert chosen(5000)[NETWORK] > 0.9


@pytest.mark.parametrize("suffix", ["h5mu", "zarr", "folder", "record"])
def test_round_trip(trained, tmp_path, suffix):
    mdata, model = trained
    expected = model.predict(mdata)
    if suffix == "record":
        again = ctl.models.load(model.to_record())
    elif suffix == "folder":
        model.save(tmp_path / "model")
        again = ctl.models.load(tmp_path / "model")
    else:
        whole = mdata.copy()
        ctl.tl.dense(whole, n_hidden=8, n_latent=4, train_kwargs={"max_epochs": 1}, seed=0)
        np.testing.assert_allclose(whole["atac_pred"].X, expected, atol=1e-6)
        path = tmp_path / f"whole.{suffix}"
        whole.write_h5mu(path) if suffix == "h5mu" else ctl.io.write(whole, path)
        again = ctl.models.load(path)
    np.testing.assert_allclose(again.predict(mdata), expected, atol=1e-6)
    assert again.card["predicts"] == model.card["predicts"]
    assert "loss in" in again.card["predicts"]


def test_an_older_record_predicts_with_its_network_alone(trained):
    mdata, model = trained
    record = model.to_record()
    arrays = {k: v for k, v in record.arrays.items() if not k.startswith("stack.")}
    config = {k: v for k, v in record.config.items() if k != "stack"}
    old = ctl.models.load(Record(record.family, 2, config, arrays, record.var_names))
    np.testing.assert_allclose(old.predict(mdata), alone(model, NETWORK).predict(mdata), atol=1e-6)
    bad = {**record.arrays, "stack.weights": np.array([0.5, 0.5, 0.5, -0.5])}
    with pytest.raises(ChromatellError, match=r"stack.weights.*sum to 1"):
        ctl.models.load(Record(record.family, 3, record.config, bad, record.var_names))


def test_false_and_no_validation_cells_give_the_network_alone(trained):
    mdata, _ = trained
    without = mdata.copy()
    without.obs["ctl_split"] = np.where(mdata.obs["ctl_split"] == "val", "train", mdata.obs["ctl_split"].astype(str))
    for data, how, said in ((mdata, {"stack": False}, "alone"), (without, {}, "no validation cells")):
        ctl.models.Dense.setup_mudata(data)
        model = ctl.models.Dense(data, n_hidden=8, n_latent=4, **how)
        model.train(max_epochs=1, seed=0)
        assert model.fitted.stack is None
        assert said in model.card["predicts"]
        assert not any(name.startswith("stack.") for name in model.to_record().arrays)


@pytest.mark.filterwarnings("ignore:.*uses the target assay")
def test_a_given_depth_moves_every_member(trained):
    mdata, model = trained
    depth = np.asarray(mdata["atac"].X.sum(axis=1)).ravel()
    fixed, observed = model.predict(mdata, depth="fixed"), model.predict(mdata, depth="observed")
    for member in MEMBERS:
        one = alone(model, member)
        rates = [-np.log1p(-np.minimum(one.predict(mdata, depth=how).astype(float), 1 - 1e-7)) for how in HOW]
        ratio = np.median(rates[0] / rates[1], axis=1)
        assert np.corrcoef(ratio, depth)[0, 1] > 0.7, member
        if member != NETWORK:  # whose weight on depth is fitted
            np.testing.assert_allclose(ratio, depth / np.expm1(model.fitted.depth_model.mean), rtol=0.02)
    assert np.corrcoef(observed.mean(axis=1) / fixed.mean(axis=1), depth)[0, 1] > 0.7
