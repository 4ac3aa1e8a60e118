"""What stands beside the network: members against scikit-learn, weights against SciPy, the record, depths."""

from __future__ import annotations

import dataclasses

import mudata as md
import numpy as np
import pytest
import scipy.sparse as sp
from scipy.optimize import minimize
from sklearn.linear_model import Ridge

import chromatell as ctl
from chromatell import ChromatellError
from chromatell.io import Record
from chromatell.models.stack._regressions import (
    DEPTH,
    LOW_RANK,
    MEMBERS,
    NETWORK,
    RIDGE,
    Cells,
    Regressions,
    fit_regressions,
)
from chromatell.models.stack._weights import ERRORS, SHAPE, Moments, Stack, choose_weights


@pytest.fixture(scope="module")
def trained() -> tuple[md.MuData, ctl.models.Dense]:
    mdata = ctl.datasets.simulate_multiome(400, 30, 60, n_types=3, depth=15.0, seed=1)
    ctl.pp.split_cells(mdata, seed=0)
    ctl.models.Dense.setup_mudata(mdata)
    model = ctl.models.Dense(mdata, n_hidden=8, n_latent=4)
    model.train(max_epochs=1, seed=0)
    return mdata, model


def test_a_network_that_did_not_learn_is_told(log, monkeypatch):
    """A rate of 100 ends above the region's mean x the predicted depth, by 3 to 8%; the usual one does not."""
    monkeypatch.setattr("chromatell.models.stack._fit.FAILED", 1.02)
    mdata = ctl.datasets.simulate_multiome(300, 20, 40, seed=0)
    ctl.pp.split_cells(mdata, fractions=(0.6, 0.3, 0.1), seed=0)
    for lr, told in ((100.0, True), (2e-3, False)):
        log.clear()
        ctl.tl.dense(mdata, seed=0, train_kwargs={"max_epochs": 2, "lr": lr})
        said = [line for line in log if line.startswith("The network did not learn: alone")]
        assert bool(said) == told
        assert all("lower learning rate" in line and "90 validation cells" in line for line in said)


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
    depth = alone(model, DEPTH).predict(mdata)
    base = depth if RIDGE in simple.on_depth else np.broadcast_to(mean, y.shape)
    rest = y[train] - base[train]
    fits = [Ridge(a).fit(design[train][:, used], rest) for a in 10.0 ** np.arange(-2, 8)]
    found = [np.clip(base + f.predict(design[:, used]) - rest.mean(axis=0), 1e-6, 1 - 1e-6) for f in fits]
    assert min(np.abs(p[test] - other[test]).max() for other in found) < 1e-4
    rate = np.log1p(-depth) / np.log1p(-mean)  # by cell alone
    np.testing.assert_allclose(rate, np.tile(rate[:, :1], (1, 60)), rtol=1e-3)
    assert np.corrcoef(rate[test, 0], y[test].sum(axis=1))[0, 1] > 0.3
    base = depth if LOW_RANK in simple.on_depth else mean
    expected = base + (design - simple.centre) @ simple.low @ simple.components
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


@pytest.mark.parametrize("on_depth", [(), (RIDGE,), (RIDGE, LOW_RANK)])
@pytest.mark.parametrize("weights", [(0.1, 0.4, 0.3, 0.2), (0.0, 0.5, 0.5, 0.0)])
def test_members_that_start_from_one_depth_share_it(rng, on_depth, weights):
    mean, ratio = rng.uniform(0.01, 0.3, 30).astype(np.float32), rng.uniform(0.5, 2, 6)
    design = rng.normal(size=(6, 5)).astype(np.float32)
    beta, low, components = (0.02 * rng.normal(size=s).astype(np.float32) for s in ((5, 30), (5, 3), (3, 30)))
    simple = Regressions(
        np.zeros((4, 4), "f4"), 1.0, np.zeros(5), mean, 1.0, beta, low, components, on_depth=frozenset(on_depth)
    )
    held = {m: w for m, w in zip(MEMBERS, weights, strict=True) if w}
    network, cols = rng.random((6, 20), dtype=np.float32), np.arange(5, 25)
    depth = 1 - (1 - mean[cols]) ** ratio[:, None]
    base = {m: depth if m in on_depth else mean[cols] for m in (RIDGE, LOW_RANK)}
    said = {
        DEPTH: depth,
        RIDGE: np.clip(base[RIDGE] + design @ beta[:, cols], 1e-6, 1 - 1e-6),
        LOW_RANK: np.clip(base[LOW_RANK] + design @ low @ components[:, cols], 1e-6, 1 - 1e-6),
        NETWORK: network,
    }
    given = network.copy() if NETWORK in held else None
    found = Stack(held, simple, {}, 0).combine(given, design, ratio, cols, None)
    assert given is None or found is given  # nothing is made anew
    np.testing.assert_allclose(found, sum(w * said[m] for m, w in held.items()), atol=1e-6)


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
    simple, network = [q.astype(float) for q in members[:-1]], members[-1].astype(float)

    def weighed(e: np.ndarray) -> np.ndarray:
        """The part of an error that is a multiple of the means once, the rest twice, in squares."""
        level = (e @ (unit * mean))[:, None] / (unit * mean**2).sum() * mean
        return level + np.sqrt(SHAPE) * (e - level)

    def error(v: np.ndarray) -> np.ndarray:
        return weighed(sum(vi * q for vi, q in zip(v, simple, strict=True)) - truth)

    best = minimize(lambda v: float((unit * error(v) ** 2).sum()), np.full(3, 1 / 3), bounds=[(0, 1)] * 3,
                    constraints={"type": "eq", "fun": lambda v: v.sum() - 1}, options={"ftol": 1e-12})  # fmt: skip
    # the network's share: least squares through 0 over cells, less its standard error
    left, step = -error(best.x), weighed(network - truth) - error(best.x)
    gain, apart = (unit * left * step).sum(axis=1), (unit * step**2).sum(axis=1)
    share = gain.sum() / apart.sum()
    se = np.std(gain - share * apart, ddof=1) * np.sqrt(n) / apart.sum()
    share = np.clip(share - ERRORS * se, 0, 1)
    np.testing.assert_allclose(w, [*(1 - share) * best.x, share], atol=2e-3)
    assert 0.05 < share < 0.95
    for name, q in zip(MEMBERS, members, strict=True):
        assert loss[name] == pytest.approx(float((unit * weighed(q - truth) ** 2).sum() / n), rel=1e-4)


def test_what_tells_cells_of_one_depth_apart_is_not_given_up_for_the_level(rng):
    n, m = 400, 50
    mean = np.linspace(0.05, 0.4, m).astype("f4")
    profile = (rng.normal(0, 1, (n, 1)) * np.where(np.arange(m) % 2, 0.3, -0.3)).astype("f4")
    depth = np.exp(rng.normal(0, 0.5, (n, 1)))
    truth = (rng.random((n, m)) < np.clip(mean * depth * (1 + profile), 0, 1)).astype("f4")
    level, shape = (mean * depth).astype("f4"), mean * (1 + profile)
    moments = Moments(n, mean)
    moments.add(slice(0, n), slice(0, m), [level, shape, level, level], truth)
    even = moments._inner[:, :2, :2].sum(axis=0), moments._cross[:, :2].sum(axis=0)
    (a, b), (c, d) = even[0]
    plain = (even[1][1] - even[1][0] + a - b) / (a - b - c + d)  # least squares of one share
    weights = choose_weights(moments)[0]
    assert weights[LOW_RANK] > plain + 0.05
    assert 0.1 < plain < 0.9


def test_cells_of_which_the_network_is_not_known_weigh_the_others(rng):
    mean = np.full(50, 0.2, dtype="f4")
    moments = Moments(300, mean, 4)
    p = np.clip(0.2 + rng.normal(0, 0.1, (300, 50)), 0.01, 0.99).astype("f4")
    truth = (rng.random(p.shape) < p).astype("f4")
    noise = [np.clip(p + rng.normal(0, 0.3, p.shape), 0, 1).astype("f4") for _ in range(2)]
    moments.add(slice(0, 4), slice(0, 50), [noise[0][:4], p[:4], noise[1][:4], noise[1][:4]], truth[:4])
    moments.add(np.arange(4, 300), np.arange(25), [q[4:, :25] for q in (noise[0], p, noise[1])], truth[4:, :25], 2.0)
    weights, loss = choose_weights(moments)
    assert weights[LOW_RANK] > 0.9
    assert loss[LOW_RANK] == pytest.approx(moments.loss(np.eye(4)[1]).mean())
    assert moments.loss(np.eye(4)[1]).shape == (4,)


def test_few_cells_leave_out_the_network_and_many_find_it(rng):
    mean = np.full(50, 0.2, dtype="f4")

    def share(n, better):
        p = np.clip(0.2 + rng.normal(0, 0.1, (n, 50)), 0.01, 0.99).astype("f4")
        truth = (rng.random((n, 50)) < p).astype("f4")
        moments = Moments(n, mean)
        noise = [np.clip(p + rng.normal(0, s, p.shape), 0, 1).astype("f4") for s in (0.2, 0.2, 0.2, 0.2 - better)]
        moments.add(slice(0, n), slice(0, 50), noise, truth)
        return choose_weights(moments)[0].get(NETWORK, 0.0)

    few = np.array([share(5, 0.0) for _ in range(20)])
    assert np.median(few) < 0.1  # as good as each other: a quarter with many cells
    assert share(5000, 0.2) > 0.9
    assert share(5000, 0.0) == pytest.approx(0.25, abs=0.05)


def cells_of(rng, n, weight):
    """Cells whose depth follows their first score, and regions whose chance is a mean x depth, or a score's."""
    scores = np.column_stack([rng.normal(0, 3, n), rng.normal(0, 1, (n, 4))]).astype("f4")
    depth = np.exp(0.25 * scores[:, 0])
    mean = np.linspace(0.05, 0.5, 60)
    p = -np.expm1(np.outer(depth, np.log1p(-mean))) if weight == 0 else np.clip(mean + weight * scores[:, 1:2], 0, 1)
    truth = sp.csr_matrix((rng.random(p.shape) < p).astype("f4"))
    more, sizes = np.zeros((n, 0), "f4"), rng.normal(0, 1, (n, 2)).astype("f4")
    return Cells(scores, more, sizes, 1000 * depth, depth / depth.mean(), truth), p


@pytest.mark.parametrize("weight", [0, 0.1])
def test_the_low_rank_starts_from_the_depth_where_that_is_what_is_to_be_known(rng, weight):
    train, val, (new, p) = cells_of(rng, 90, weight)[0], cells_of(rng, 12, weight)[0], cells_of(rng, 400, weight)
    asked = []

    def embed(fitted, of):
        asked.append((fitted, of))
        return train.scores[of]

    simple, apart = fit_regressions(
        train, val, components=np.eye(5, dtype="f4"), depth_mean=1000.0, embed=embed, seed=0
    )
    assert simple.on_depth == ({LOW_RANK} if weight == 0 else set())
    parts = list(apart)
    np.testing.assert_array_equal(np.sort(np.concatenate([one.rows for one in parts])), np.arange(90))
    for fitted, of in asked:
        assert np.isin(of, fitted).all() or not np.isin(of, fitted).any()
    for one in parts:  # the truth of the very cells, and what the others say of them
        np.testing.assert_array_equal(one.truth, train.truth[one.rows][:, one.cols].toarray())
        rest = np.setdiff1d(np.arange(90), one.rows)
        mean = np.asarray(train.truth[rest].mean(axis=0)).ravel()
        depth = np.log1p(-one.members[0]) / np.log1p(-np.clip(mean, 0.5 / (rest.size + 1), 1))[one.cols]
        np.testing.assert_allclose(depth, np.tile(depth[:, :1], (1, 60)), rtol=1e-3)
        assert np.corrcoef(depth[:, 0], train.depth[one.rows])[0, 1] > 0.95
    design = simple.design(new.scores, new.sizes[:, 0], np.zeros((400, 0), "f4"))
    error = {m: np.mean((simple.predict(m, design, new.ratio, slice(None)) - p) ** 2) for m in MEMBERS[:-1]}
    mean = np.asarray(train.truth.mean(axis=0)).ravel()
    assert error[RIDGE] < 0.8 * np.mean((mean - p) ** 2)
    assert error[LOW_RANK] < 0.8 * np.mean((mean - p) ** 2)


def test_many_validation_cells_choose_alone(rng):
    train, val = cells_of(rng, 60, 0.1)[0], cells_of(rng, 300, 0.1)[0]
    _, apart = fit_regressions(train, val, components=np.eye(5, dtype="f4"), depth_mean=1.0, embed=None, seed=0)
    assert not list(apart)


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
    assert "squared error in" in again.card["predicts"]


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


@pytest.mark.parametrize("depth", ["predicted", "fixed"])
def test_a_network_without_weight_is_not_asked(trained, depth, monkeypatch):
    """Against the members by themselves, and the network's own code, which may not run."""
    mdata, model = trained
    found = alone(model, DEPTH)
    weights = {DEPTH: 0.5, LOW_RANK: 0.2, RIDGE: 0.3}
    expected = sum(w * alone(model, m).predict(mdata, depth=depth) for m, w in weights.items())
    found.fitted.stack = dataclasses.replace(found.fitted.stack, weights=weights)

    def refuse(*_: object) -> None:
        raise AssertionError("the network was asked")

    monkeypatch.setattr(found.module, "probability", refuse)
    np.testing.assert_allclose(found.predict(mdata, depth=depth), expected, atol=1e-6)
    some = list(model.regions[[7, 3, 40]])
    np.testing.assert_allclose(found.predict(mdata, depth=depth, regions=some), expected[:, [7, 3, 40]], atol=1e-6)
    found.fitted.stack = dataclasses.replace(found.fitted.stack, weights={DEPTH: 0.5, NETWORK: 0.5})
    with pytest.raises(AssertionError, match="the network was asked"):
        found.predict(mdata, depth=depth)
