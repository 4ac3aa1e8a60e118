"""The stack of 'transfer': a sample like that of training is predicted by more, any other as without it."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.stats import gmean, pearsonr
from sklearn.linear_model import Ridge
from sklearn.metrics import average_precision_score
from tests.models.nascent.made_run_on import TRAIN, made, tracks_of

import chromatell as ctl
from chromatell.io import Record
from chromatell.models.nascent import _evaluation
from chromatell.models.nascent._carry import Sample, assays_of
from chromatell.models.nascent._smoothing import PIECE
from chromatell.models.nascent._stack import SHARES, Held, Stack, fit_ridge, ridge_says, ridge_signal
from chromatell.models.nascent._trees import Trees

OPTIONS = {"window": 41, "min_child_weight": 5}  # the widest sum of 41 bins is over 21, and ranks reach beyond it


def split(tracks):
    ctl.pp.split_regions(tracks, by="blocks", block=10_000, width=2_050, fractions=(0.5, 0.25, 0.25), seed=0)
    return tracks


def trained(tracks, **options):
    model = ctl.models.Nascent(tracks, **OPTIONS, **options)
    model.train(**TRAIN)
    return model


@pytest.fixture(scope="module")
def tracks():
    return split(tracks_of(made(n=8000, width=9)))


@pytest.fixture(scope="module")
def model(tracks):
    return trained(tracks)


@pytest.fixture(scope="module")
def without(tracks):
    return trained(tracks, stack=False)


def no_trees(n_targets):
    empty = {"start": np.zeros(1, dtype=np.int64), "target": np.zeros(0, dtype=np.int32)}
    nodes = {k: np.zeros(0, dtype=np.int32) for k in ("feature", "left")}
    floats = {k: np.zeros(0, dtype=np.float32) for k in ("threshold", "leaf")}
    return Trees(**empty, **nodes, **floats, base=np.zeros(n_targets))


def stack_of(low, share):
    n = len(low)
    return Stack(no_trees(n), np.zeros((n, 2)), np.array(low), np.array(share, dtype=float), np.ones(n))


def test_ridge_is_that_of_scikit_learn_in_the_bins_where_a_target_is_known():
    values = made(1, n=3000)
    tracks = split(tracks_of(values))
    other = np.sqrt(np.cumsum(values[:1], axis=1))
    other[0, 100:900] = np.nan
    tracks.add({"chr1": other}, pd.DataFrame({"name": ["other"], "role": ["target"], "assay": ["other"]}))
    model = ctl.models.Nascent(tracks, **OPTIONS)
    model._fit_stats(tracks, 0)
    source, assays = model._source(tracks), assays_of(model.config["input_tracks"])
    found = fit_ridge(source, assays, np.random.SeedSequence(0))
    mean = model.fitted.sample.scale[0, 1] / 2  # of one strand
    sums = [np.pad(np.cumsum(np.pad(v / mean, 20)), (1, 0)) for v in values[:2]]
    signal = ridge_signal(values[:2], assays, model.fitted.sample, 41)
    x = np.concatenate(
        [[np.log1p(s[20 + b : 3020 + b] - s[20 + a : 3020 + a]) for a, b in signal.segments] for s in sums]
    )
    for weights, y in zip(found, source.y("chr1"), strict=True):
        bins = tracks.usable("chr1", "train") & np.isfinite(y)
        centre, spread = x[:, bins].mean(axis=1), x[:, bins].std(axis=1)
        expected = Ridge(alpha=0.01 * bins.sum()).fit(((x[:, bins].T - centre) / spread), y[bins])
        said = np.maximum(expected.predict((x.T - centre) / spread), -5)
        np.testing.assert_allclose(
            ridge_says(weights[np.newaxis], np.array([-5.0]), signal, slice(0, 3000))[0], said, atol=2e-3
        )
    assert tracks.usable("chr1", "train")[100:900].any()


def test_values_are_joined_by_their_geometric_mean_over_the_least_value():
    rng = np.random.default_rng(0)
    trees, ridge = rng.gamma(1, 1, (2, 3, 50)).astype(np.float32) + 0.01
    low = [-2.0, 0.0, 0.0]
    found = stack_of(low, [0.25, 0.75, 0]).joined(trees, ridge)
    for row, share in ((0, 0.25), (1, 0.75)):
        over = np.stack([trees[row], ridge[row]]) - low[row]
        expected = gmean(over, weights=np.array([1 - share, share])[:, np.newaxis] * np.ones(50)) + low[row]
        np.testing.assert_allclose(found[row], expected, rtol=1e-5)
    np.testing.assert_array_equal(found[2], trees[2])
    assert stack_of([0.0], [0.5]).joined(-np.ones((1, 1)), np.zeros((1, 1)))[0, 0] == pytest.approx(1e-3)


def held_of(y, value, trees, ridge, kinds):
    at = np.arange(y.shape[1]) + PIECE * kinds
    return Held(y, y > 0.5, at, kinds, value, trees, ridge)


def test_a_score_is_r_and_average_precision_of_each_sample():
    rng = np.random.default_rng(1)
    y, x = rng.gamma(0.3, 1, (1, 400)).astype(np.float32), rng.random((1, 400)).astype(np.float32)
    y[0, :20] = np.nan
    kinds = np.repeat([0, 2], 200)
    found = held_of(y, x, x, x, kinds).score(x[0], 0, 0.0)
    for score, kind in zip(found, (0, 2), strict=True):
        at = (kinds == kind) & np.isfinite(y[0])
        r, ap = pearsonr(x[0, at], y[0, at])[0], average_precision_score(y[0, at] > 0.5, x[0, at])
        assert score == pytest.approx(r + ap, abs=1e-5)


def test_validation_bins_choose_what_is_nearest_to_the_truth():
    """The truth of four targets is what ridge says, what trees say, what is said without a stack, and unknown."""
    rng = np.random.default_rng(2)
    y = rng.gamma(0.3, 1, (4, 1200)).astype(np.float32)
    kinds = np.repeat([0, 1, 2], 400)
    noise = [rng.gamma(0.3, 1, y.shape).astype(np.float32) for _ in range(3)]
    value, trees, ridge = noise
    ridge[0], trees[1], value[2] = y[0], y[1], y[2]
    y[3] = np.nan
    found = stack_of([0.0] * 4, [0] * 4).chosen(held_of(y, value, trees, ridge, kinds), np.zeros(4))
    assert found.used.tolist() == [1, 1, 0, 0]
    assert found.share[:2].tolist() == [1, 0]
    assert found.described(["a", "b", "c", "d"]) == {"a": 1.0, "b": 0.0, "c": None, "d": None}


def test_what_loses_in_the_sample_as_it_is_is_not_taken():
    rng = np.random.default_rng(3)
    y = rng.gamma(0.3, 1, (1, 1200)).astype(np.float32)
    kinds, other = np.repeat([0, 1, 2], 400), rng.gamma(0.3, 1, y.shape).astype(np.float32)
    value, own = np.where(kinds == 0, y + 0.1 * other, other), np.where(kinds == 0, y + 0.3 * other, y)
    stack = stack_of([0.0], [0])
    assert stack.chosen(held_of(y, value, own, own, kinds), np.zeros(1)).used.tolist() == [0]
    assert stack.chosen(held_of(y, own, value, value, kinds), np.zeros(1)).used.tolist() == [0]
    better = np.where(kinds == 0, y, own)
    assert stack.chosen(held_of(y, value, better, better, kinds), np.zeros(1)).used.tolist() == [1]


def test_the_sample_of_training_gains_where_the_truth_is_known(tracks, model, without):
    """Test blocks of a simulator: sites that are marked are known, bin by bin."""
    assert model.card["ridge_share"]["mark"] in SHARES
    assert without.card["ridge_share"] == {"mark": None}
    bins, scores = tracks.usable("chr1", "test"), {}
    mark = tracks.values("chr1", "mark")[0, bins]
    for name, one in (("with", model), ("without", without)):
        found = one.predict(tracks).values("chr1")[0, bins]
        scores[name] = average_precision_score(mark > 0, found), np.corrcoef(mark, found)[0, 1]
    assert scores["with"][0] > scores["without"][0]
    assert scores["with"][1] > scores["without"][1] + 0.02


def test_a_sample_unlike_that_of_training_is_predicted_as_without_a_stack(model, without):
    query = made(5, n=8000, width=9)
    alike = [m.predict(tracks_of(query)).values("chr1") for m in (model, without)]
    assert np.abs(alike[0] - alike[1]).max() > 1
    rng = np.random.default_rng(0)
    query[:2] = rng.binomial(query[:2].astype(int), 0.02)
    found = []
    for one in (model, without):
        with pytest.warns(UserWarning, match="times fewer reads"):
            found.append(one.predict(tracks_of(query)).values("chr1"))
    np.testing.assert_array_equal(*found)


def test_neither_storage_nor_blocks_nor_the_object_change_a_prediction(tracks, model, without, tmp_path, monkeypatch):
    query = tracks_of(made(2, n=3000))
    own, expected = (model.predict(t).values("chr1") for t in (tracks, query))
    model.save(tmp_path / "model")
    loaded = ctl.models.load(tmp_path / "model")
    assert loaded.content_hash == model.content_hash
    assert loaded.card["ridge_share"] == model.card["ridge_share"]
    np.testing.assert_array_equal(loaded.predict(tracks).values("chr1"), own)
    plain = without.predict(query).values("chr1")
    monkeypatch.setattr(_evaluation, "_BLOCK", 97)
    for one, whole in ((without, plain), (loaded, expected)):
        np.testing.assert_allclose(one.predict(query).values("chr1"), whole, rtol=1e-5, atol=1e-4)


def test_an_older_record_has_no_stack_and_a_broken_one_is_refused(tracks, model, without):
    record, query = model.to_record(), tracks_of(made(2, n=3000))
    arrays = {k: v for k, v in record.arrays.items() if not k.startswith("weights.stack.")}
    options = {k: v for k, v in record.config["options"].items() if k != "stack"}
    older = ctl.models.load(Record(record.family, 5, {**record.config, "options": options}, arrays, record.var_names))
    assert older.options.stack is False
    np.testing.assert_array_equal(*(m.predict(query).values("chr1") for m in (older, without)))
    changes = {
        "share": np.array([1.5]),
        "used": np.array([-1.0]),
        "low": np.array([0.5]),
        "ridge": np.zeros((1, 3)),
        "trees.base": np.zeros(2),
    }
    for name, value in changes.items():
        broken = {**record.arrays, f"weights.stack.{name}": value}
        with pytest.raises(ctl.ChromatellError, match="Ask for the file again"):
            ctl.models.load(Record(record.family, 6, record.config, broken, record.var_names))


@pytest.mark.parametrize("options", [{"task": "classification"}, {"cnn": True, "augment": False, "max_bins": 9000}])
def test_classes_and_a_cnn_have_one_too(options):
    tracks = split(tracks_of(made(n=24_000 if "cnn" in options else 8000, width=9)))
    model = ctl.models.Nascent(tracks, **OPTIONS, **options)
    model.train(max_epochs=8, seed=0)
    found = model.predict(tracks).values("chr1")[0]
    assert model.card["ridge_share"]["mark"] is not None
    assert (model.module.network is not None) == ("cnn" in options)
    assert found.min() >= 0
    assert "task" not in options or found.max() <= 1
    test, mark = tracks.usable("chr1", "test"), tracks.values("chr1", "mark")[0] > 0
    assert average_precision_score(mark[test], found[test]) > 0.5


def test_without_validation_bins_and_of_margins_there_is_none():
    hinge = {"task": "classification", "loss": "hinge"}
    for tracks, options in ((tracks_of(made()), {}), (split(tracks_of(made(n=8000))), hinge)):
        model = ctl.models.Nascent(tracks, **OPTIONS, **options)
        model.train(max_epochs=2, seed=0)
        assert model.card["ridge_share"] == {"mark": None}
        assert not [k for k in model.to_record().arrays if "stack" in k]


def test_a_sample_is_over_its_own_mean_whatever_the_unit():
    values, assays = made(4)[:2], assays_of([{"assay": "PRO", "strand": s} for s in "+-"])
    usable = np.ones(values.shape[1], dtype=bool)
    x = []
    for v in (values, values * 8):
        sample = Sample.of([(v, usable)], assays, 41, True)
        x.append(ridge_signal(v, assays, sample, 41).features(slice(0, 500)))
    np.testing.assert_allclose(*x, rtol=1e-5)
