"""Calibration against scikit-learn and hand-worked cases."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp
from sklearn.calibration import calibration_curve
from sklearn.metrics import brier_score_loss

from chromatell._validate import ChromatellError
from chromatell.metrics.calibration import brier_score, expected_calibration_error, reliability_curve


@pytest.mark.parametrize(("ours", "theirs"), [("mass", "quantile"), ("width", "uniform")])
def test_curve_equals_sklearns(rng, ours, theirs):
    p = rng.beta(1, 5, 5000)
    y = rng.random(5000) < p
    curve = reliability_curve(y, p, n_bins=10, strategy=ours)
    observed, predicted = calibration_curve(y, p, n_bins=10, strategy=theirs)
    np.testing.assert_allclose(curve[0], predicted, atol=1e-3)
    np.testing.assert_allclose(curve[1], observed, atol=1e-3)
    assert curve[2].sum() == 5000


def test_error_by_hand():
    y, p = np.array([0, 0, 1, 1, 1, 1]), np.array([0.2, 0.2, 0.2, 0.8, 0.8, 0.8])
    # low bin: 0.2 said, 1/3 seen; high bin: 0.8 said, 1 seen; three pairs each
    expected = (abs(0.2 - 1 / 3) + abs(0.8 - 1)) / 2
    for strategy in ("mass", "width"):
        assert expected_calibration_error(y, p, n_bins=2, strategy=strategy) == pytest.approx(expected)


def test_true_probabilities_are_calibrated_and_stretched_ones_are_not(rng):
    p = rng.beta(1, 20, (500, 400)).astype(np.float32)
    y = sp.csr_matrix(rng.random(p.shape) < p)
    assert expected_calibration_error(y, p) < 0.003
    assert expected_calibration_error(y, np.minimum(p * 3, 1)) > 0.05


def test_constant_prediction_makes_one_bin():
    curve = reliability_curve(np.array([0, 1, 0, 0]), np.full(4, 0.25))
    np.testing.assert_allclose(curve, [[0.25], [0.25], [4]])


@pytest.mark.parametrize("axis", [None, 0, 1])
def test_brier(rng, axis):
    p = rng.random((30, 20))
    y = rng.random(p.shape) < 0.2
    square = (p - y) ** 2
    for labels in (y, sp.csc_matrix(y)):
        np.testing.assert_allclose(brier_score(labels, p, axis), square.mean(axis=axis))
    assert brier_score(y, p) == pytest.approx(brier_score_loss(y.ravel(), p.ravel()))


def test_bad_input():
    with pytest.raises(ChromatellError, match="from -0.5 to 0.2"):
        brier_score(np.array([0, 1]), np.array([-0.5, 0.2]))
    with pytest.raises(ChromatellError, match="within 0 to 1"):
        brier_score(np.array([0, 1]), np.array([np.nan, 0.2]))
    with pytest.raises(ChromatellError, match="shape"):
        brier_score(np.array([0, 1, 1]), np.array([0.1, 0.2]))
    with pytest.raises(ChromatellError, match="strategy='odd'"):
        reliability_curve(np.array([0, 1]), np.array([0.1, 0.2]), strategy="odd")
