"""Resampling, intervals and the binned scores against exact ones."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp

from chromatell.metrics.bootstrap import Histograms, interval, linear_change, mean_change, resample
from chromatell.metrics.calibration import expected_calibration_error
from chromatell.metrics.ranking import auroc_and_ap


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
    hist = Histograms.fit(sp.csr_matrix(y.astype(np.float32)), p)
    assert hist.pairs.sum() == n * m
    assert hist.positive.sum() == y.sum()
    assert hist.pairs.shape[1] <= 2048
    d_auroc, d_ap, d_prevalence = hist.ranking_change(weights)
    d_ece = hist.calibration_change(weights)
    base, base_ece = auroc_and_ap(y, p), expected_calibration_error(y, p)
    for i, w in enumerate(weights.astype(int)):
        yy, pp = np.repeat(y, w, axis=0), np.repeat(p, w, axis=0)
        area, ap = auroc_and_ap(yy, pp)
        assert d_auroc[i] == pytest.approx(area - base[0], abs=3e-4)
        assert d_ap[i] == pytest.approx(ap - base[1], abs=2e-3)
        assert d_prevalence[i] == pytest.approx(yy.mean() - y.mean(), abs=1e-6)
        assert d_ece[i] == pytest.approx(expected_calibration_error(yy, pp) - base_ece, abs=3e-3)


def test_binned_scores_of_a_constant_prediction(rng):
    y = sp.csr_matrix((rng.random((20, 30)) < 0.2).astype(np.float32))
    area, ap, _ = Histograms.fit(y, np.full((20, 30), 0.2, dtype=np.float32)).ranking_change(resample(20, 5))
    np.testing.assert_allclose(area, 0, atol=1e-9)
    assert np.isfinite(ap).all()
