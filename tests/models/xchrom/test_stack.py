"""What stands beside the towers for known regions: members against scikit-learn, new regions, the record, depths."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from sklearn.linear_model import Ridge
from sklearn.metrics import average_precision_score
from tests.helpers import rows_of

import chromatell as ctl
from chromatell.models.stack._regressions import DEPTH, LOW_RANK, MEMBERS, NETWORK, RIDGE

XChrom = ctl.models.XChrom


@pytest.fixture(scope="module")
def stacked(fit, mdata):
    return fit(mdata, epochs=2, region_effect=True, stack=True)


def alone(model, member):
    """The same model, one member of which predicts; None is the network without a stack."""
    found = XChrom.from_record(model.to_record())
    found.fitted.stack = member and dataclasses.replace(model.fitted.stack, weights={member: 1.0})
    return found


def test_known_regions_take_the_weighted_mean_and_others_the_network(stacked, mdata):
    weights, seen = stacked.fitted.stack.weights, stacked.fitted.seen
    assert sum(weights.values()) == pytest.approx(1)
    assert set(weights) - {NETWORK}
    assert 0 < seen.sum() < seen.size
    network = alone(stacked, None).predict(mdata)
    v, w = stacked.cell_vectors(mdata).astype(np.float64), stacked.stored_vectors()
    np.testing.assert_allclose(network, 1 / (1 + np.exp(-(v @ w.T))), atol=1e-6)
    expected = sum(weight * alone(stacked, m).predict(mdata) for m, weight in weights.items())
    p = stacked.predict(mdata)
    np.testing.assert_allclose(p, expected, atol=1e-6)
    np.testing.assert_array_equal(p[:, ~seen], network[:, ~seen])
    assert np.abs(p - network)[:, seen].max() > 0.02
    some = [350, 3, 100, *np.flatnonzero(~seen)[:2]]  # in another order, known ones and others among each other
    np.testing.assert_allclose(stacked.predict(mdata, regions=list(stacked.regions[some])), p[:, some], atol=1e-6)
    tokens = mdata["atac"].varm["dna_code"][some]  # the same places as sequences: no region that it knows
    as_new = alone(stacked, None).predict(mdata, regions=tokens)
    np.testing.assert_array_equal(stacked.predict(mdata, regions=tokens), as_new)


def test_the_members_are_what_they_are_called(stacked, mdata):
    train, test = rows_of(mdata.obs, "train"), rows_of(mdata.obs, "test")
    seen = np.flatnonzero(stacked.fitted.seen)
    y = (mdata["atac"].X.toarray() > 0).astype(float)[:, seen]
    n = train.size
    mean = np.clip(y[train].mean(axis=0), 0.5 / (n + 1), 1 - 0.5 / (n + 1))
    simple = stacked.fitted.stack.simple
    z, sizes = stacked.fitted.embedding.transform(mdata["rna"])
    design = np.column_stack([z * stacked.fitted.embedding.sd / simple.scale, sizes[:, 0]])
    assert (design[train, :-1].std(axis=0).max()) == pytest.approx(1, rel=1e-3)  # the largest component
    depth = alone(stacked, DEPTH).predict(mdata)[:, seen]
    rate = np.log1p(-depth) / np.log1p(-mean)  # by cell alone
    np.testing.assert_allclose(rate, np.tile(rate[:, :1], (1, seen.size)), rtol=1e-3)
    assert np.corrcoef(rate[test, 0], y[test].sum(axis=1))[0, 1] > 0.3
    base = depth if RIDGE in simple.on_depth else np.broadcast_to(mean, y.shape)
    rest, p = y[train] - base[train], alone(stacked, RIDGE).predict(mdata)[:, seen]
    used = np.abs(simple.beta).sum(axis=1) > 0
    fits = [Ridge(a).fit(design[train][:, used], rest) for a in 10.0 ** np.arange(-2, 8)]
    found = [np.clip(base + f.predict(design[:, used]) - rest.mean(axis=0), 1e-6, 1 - 1e-6) for f in fits]
    assert min(np.abs(p[test] - other[test]).max() for other in found) < 1e-3
    base = depth if LOW_RANK in simple.on_depth else mean
    expected = np.clip(base + (design - simple.centre) @ simple.low @ simple.components, 1e-6, 1 - 1e-6)
    np.testing.assert_allclose(alone(stacked, LOW_RANK).predict(mdata)[:, seen], expected, atol=1e-4)


def test_where_the_towers_say_little_the_stack_says_more(fit, mdata):
    """One epoch, and no terms of regions: ridge tells the types, the tower does not yet."""
    model = fit(mdata, epochs=1, warm_epochs=0, stack=True)
    test, seen = rows_of(mdata.obs, "test"), model.fitted.seen
    y = (mdata["atac"].X.toarray() > 0)[test][:, seen].ravel()
    both = [m.predict(mdata)[test][:, seen].ravel() for m in (model, alone(model, None))]
    ap = [average_precision_score(y, p) for p in both]
    assert ap[0] > ap[1] + 0.05
    assert model.fitted.stack.network_weight < 0.3


@pytest.mark.parametrize("setup", [{}, {"embedding": "X_own"}], ids=["components", "given"])
def test_round_trip(fit, small, setup, tmp_path):
    mdata = small.copy()
    mdata["rna"].obsm["X_own"] = np.log1p(mdata["rna"].X[:, :6].toarray())
    model = fit(mdata, region_effect=True, stack=True, setup=setup)
    expected = model.predict(mdata)
    model.save(tmp_path / "model")
    for again in (ctl.models.load(model.to_record()), XChrom.load(tmp_path / "model")):
        np.testing.assert_allclose(again.predict(mdata["rna"]), expected, atol=1e-6)
        assert again.card["predicts"] == model.card["predicts"]
    said = model.card["predicts"]
    assert said.startswith("known regions by ")
    assert said.endswith("; other regions by the network alone")
    assert "squared error in 12 validation cells" in said


def test_false_and_no_validation_cells_give_the_network_alone(fit, small):
    without = small.copy()
    without.obs["ctl_split"] = np.where(small.obs["ctl_split"] == "val", "train", small.obs["ctl_split"].astype(str))
    for data, wanted, said in ((small, False, "the network alone"), (without, True, "no validation cells")):
        model = fit(data, epochs=1, stack=wanted)
        assert model.fitted.stack is None
        assert said in model.card["predicts"]
        assert not any(name.startswith("stack.") for name in model.to_record().arrays)


@pytest.mark.filterwarnings("ignore:.*uses the target assay")
def test_a_given_depth_moves_every_member(stacked, mdata):
    depth, seen = np.asarray(mdata["atac"].X.sum(axis=1)).ravel(), stacked.fitted.seen
    for member in MEMBERS:
        one = alone(stacked, member)
        p = [one.predict(mdata, depth=how)[:, seen].astype(float) for how in ("observed", "fixed")]
        rates = [-np.log1p(-np.minimum(x, 1 - 1e-7)) for x in p]
        ratio = np.median(rates[0] / rates[1], axis=1)
        assert np.corrcoef(ratio, depth)[0, 1] > 0.7, member
        if member != NETWORK:  # whose weight on depth is fitted
            np.testing.assert_allclose(ratio, depth / np.expm1(stacked.fitted.depth_model.mean), rtol=0.02)


def test_the_presets_choose(mdata):
    XChrom.setup_mudata(mdata := mdata.copy())
    assert XChrom(mdata).config["stack"]
    assert not XChrom(mdata, preset="xchrom", sequence_length=140, filters=(8, 8)).config["stack"]
    assert not XChrom(mdata, stack=False).config["stack"]
