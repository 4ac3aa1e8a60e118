"""Resampling, intervals and the binned scores against exact ones."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp
from scipy.stats import pearsonr, spearmanr
from sklearn.metrics import average_precision_score, roc_auc_score

from chromatell.metrics import bootstrap
from chromatell.metrics.bootstrap import (
    Histograms,
    interval,
    linear_change,
    mean_change,
    metric_range,
    profile_resampled,
    resample,
)
from chromatell.metrics.calibration import expected_calibration_error
from chromatell.metrics.ranking import auroc_and_ap
from chromatell.metrics.views import profile_correlation


def test_resample_draws_cells_or_whole_groups():
    w = resample(50, 30, seed=1)
    assert w.shape == (30, 50)
    assert (w.sum(axis=1) == 50).all()
    np.testing.assert_array_equal(w, resample(50, 30, seed=1))
    groups = np.repeat(["a", "b", "c"], [10, 5, 35])
    g = resample(50, 200, groups=groups, seed=1)
    for name in "abc":
        assert (g[:, groups == name].std(axis=1) == 0).all()
    assert (g[:, [0, 10, 15]].sum(axis=1) == 3).all()
    assert g.mean() == pytest.approx(1, abs=0.15)


def test_interval():
    change = np.random.default_rng(0).normal(0.3, 0.1, 20_000)  # a bias of the replicates does not move the interval
    low, high = interval(1.0, change)
    assert low == pytest.approx(1 - 0.196, abs=0.005)
    assert high == pytest.approx(1 + 0.196, abs=0.005)
    few = interval(1.0, np.append(change[:60], np.nan))
    assert few[0] == pytest.approx(1 - 1.96 * change[:60].std(ddof=1), rel=1e-4)
    assert np.isnan(interval(1.0, np.array([np.nan, 0.1]))).all()
    assert np.isnan(interval(np.nan, change)).all()


def test_an_interval_ends_where_the_score_does():
    change = np.linspace(-0.1, 0.1, 201)  # the middle 95% are +-0.095
    for of in (change, np.array([-0.1, 0.1])):  # and 1.96 standard deviations of two +-0.277
        half = 0.095 if of.size > 2 else 1.959964 * of.std(ddof=1)
        assert interval(0.97, of, within=metric_range("precision")) == pytest.approx((0.97 - half, 1))
        assert interval(0.01, of, within=metric_range("rmse")) == pytest.approx((0, 0.01 + half))
        assert interval(-0.98, of, within=metric_range("deviation_pearson")) == pytest.approx((-1, -0.98 + half))
        assert interval(0.01, of, within=metric_range("normalised_ap"))[0] == pytest.approx(0.01 - half)
        assert interval(2.0, of, within=metric_range("one of the user's")) == pytest.approx((2 - half, 2 + half))


def test_changes_by_hand():
    w = np.array([[2.0, 0.0, 1.0], [0.0, 0.0, 3.0]], dtype=np.float32)
    np.testing.assert_allclose(mean_change(np.array([1.0, 4.0, 4.0]), w), [-1.0, 1.0])
    np.testing.assert_allclose(mean_change(np.array([1.0, np.nan, 4.0]), w), [2 - 2.5, 4 - 2.5])
    assert np.isnan(mean_change(np.full(3, np.nan), w)).all()
    np.testing.assert_allclose(linear_change(np.array([0.1, -0.1, 0.0]), w), [0.2, 0.0])


def test_binned_replicates_follow_exact_ones(rng):
    n, m = 120, 400
    p = (rng.beta(1, 12, (n, m)) * np.exp(rng.normal(0, 0.3, (n, 1)))).clip(0, 1).astype(np.float32)
    y = rng.random(p.shape) < p
    weights = resample(n, 25, seed=2)
    hist = Histograms.fit(sp.csr_matrix(y.astype(np.float32)), p, weights)
    assert hist.pairs[0].sum() == n * m
    assert hist.positive[0].sum() == y.sum()
    assert hist.pairs.shape[1] <= 2048
    np.testing.assert_array_equal(hist.pairs.sum(axis=1), n * m)
    d_auroc, d_ap, d_prevalence = hist.ranking_change()
    d_ece = hist.calibration_change()
    base, base_ece = auroc_and_ap(y, p), expected_calibration_error(y, p)
    for i, w in enumerate(weights.astype(int)):
        yy, pp = np.repeat(y, w, axis=0), np.repeat(p, w, axis=0)
        area, ap = auroc_and_ap(yy, pp)
        assert d_auroc[i] == pytest.approx(area - base[0], abs=3e-4)
        assert d_ap[i] == pytest.approx(ap - base[1], abs=2e-3)
        assert d_prevalence[i] == pytest.approx(yy.mean() - y.mean(), abs=1e-6)
        assert d_ece[i] == pytest.approx(expected_calibration_error(yy, pp) - base_ece, abs=3e-3)


def test_pairs_that_are_left_out_are_not_counted(rng):
    y = rng.random((60, 80)) < 0.1
    out = (rng.random(y.shape) < 0.2) & ~y
    p = np.round(rng.random(y.shape) * 0.5 + 0.3 * y, 2).astype(np.float32)
    p[out] = 0.99
    weights = resample(60, 20, seed=1)
    found = Histograms.fit(*(sp.csr_matrix(y.astype("f4")), p, weights), left_out=sp.csr_matrix(out.astype("f4")))
    assert found.pairs[0].sum() == (~out).sum()
    assert (found.pairs >= 0).all()
    area, ap, _ = found.ranking_change()
    for i in (0, 7):
        counts = weights[i].repeat(80).reshape(y.shape)[~out]
        exact = [
            f(y[~out], p[~out], sample_weight=counts) - f(y[~out], p[~out])
            for f in (roc_auc_score, average_precision_score)
        ]
        np.testing.assert_allclose([area[i], ap[i]], exact, atol=1e-9)  # as many bins as scores


def test_binned_scores_of_a_constant_prediction(rng):
    y = sp.csr_matrix((rng.random((20, 30)) < 0.2).astype(np.float32))
    area, ap, _ = Histograms.fit(y, np.full((20, 30), 0.2, dtype=np.float32), resample(20, 5)).ranking_change()
    np.testing.assert_allclose(area, 0, atol=1e-9)
    assert np.isfinite(ap).all()


def test_regions_are_resampled_as_cells_are(rng):
    p = rng.beta(1, 6, (60, 90)).astype(np.float32)
    y = sp.csc_matrix((rng.random(p.shape) < p).astype(np.float32))
    weights = resample(90, 10, seed=4)
    found = Histograms.fit(y.T, p.T, weights)
    other = Histograms.fit(sp.csr_matrix(y.toarray().T), np.ascontiguousarray(p.T), weights)
    np.testing.assert_array_equal(found.positive, other.positive)
    np.testing.assert_array_equal(found.pairs, other.pairs)
    d_auroc, d_ap, _ = found.ranking_change()
    base = auroc_and_ap(y, p)
    for i, w in enumerate(weights.astype(int)):
        area, ap = auroc_and_ap(np.repeat(y.toarray(), w, axis=1), np.repeat(p, w, axis=1))
        assert d_auroc[i] == pytest.approx(area - base[0], abs=5e-4)
        assert d_ap[i] == pytest.approx(ap - base[1], abs=2e-3)


def test_blocks_change_nothing(rng, monkeypatch):
    p = rng.beta(1, 6, (50, 40)).astype(np.float32)
    y = sp.csr_matrix((rng.random(p.shape) < p).astype(np.float32))
    weights = resample(50, 10, seed=4)
    whole = Histograms.fit(y, p, weights)
    truth, predicted = rng.random((3, 40)), rng.random((3, 40))
    profiles = profile_resampled(truth, predicted, resample(40, 10))
    monkeypatch.setattr(bootstrap, "_HELD", 130)
    blocks = Histograms.fit(y, p, weights)
    np.testing.assert_array_equal(whole.positive, blocks.positive)
    np.testing.assert_allclose(whole.mean, blocks.mean)
    np.testing.assert_allclose(profiles, profile_resampled(truth, predicted, resample(40, 10)))


def test_profiles_over_resampled_regions_equal_scipy(rng):
    truth = np.round(rng.gamma(1, 1, (3, 60)), 1)  # with ties
    predicted = truth + rng.normal(0, 1, truth.shape)
    weights = resample(60, 8, seed=1)
    found = profile_resampled(truth, predicted, weights)
    for got, w in zip(found, weights.astype(int), strict=True):
        t, p = np.repeat(truth, w, axis=1), np.repeat(predicted, w, axis=1)
        dt, dp = (np.repeat((x - x.mean(axis=0)).astype("f4"), w, axis=1) for x in (truth, predicted))
        expected = [
            np.mean([f(a, b).statistic for a, b in zip(x, y, strict=True)])
            for x, y in ((t, p), (dt, dp))
            for f in (pearsonr, spearmanr)
        ]
        np.testing.assert_allclose(got, expected, atol=1e-5)
    np.testing.assert_allclose(
        profile_resampled(truth, predicted, np.ones((1, 60))),
        profile_correlation(truth[None], predicted[None]),
        atol=1e-6,
    )
    assert np.isnan(profile_resampled(truth, predicted, weights, ranks=False)[:, [1, 3]]).all()
    one = profile_resampled(truth[:1], predicted[:1], weights)
    assert np.isfinite(one[:, :2]).all()
    assert np.isnan(one[:, 2:]).all()  # one type has no mean to deviate from
    assert np.isnan(profile_resampled(np.ones((2, 60)), predicted[:2], weights)).all()


def test_bins_of_scores_do_not_hang_on_the_signs_of_a_block(rng, monkeypatch):
    score = rng.normal(size=(40, 30)).astype(np.float32)
    score[:20] = np.abs(score[:20])
    score[3, 4] = -0.0
    y, weights = sp.csr_matrix(rng.random(score.shape) < 0.2, dtype=np.float32), bootstrap.resample(40, 5)
    whole = bootstrap.Histograms.fit(y, score, weights, 64)
    monkeypatch.setattr(bootstrap, "_HELD", 640)  # blocks of ten cells, two of which have no score below 0
    parts = bootstrap.Histograms.fit(y, score, weights, 64)
    np.testing.assert_array_equal(parts.pairs, whole.pairs)
    np.testing.assert_array_equal(parts.positive, whole.positive)
