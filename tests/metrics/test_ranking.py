"""AUROC and average precision against scikit-learn, column by column."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import scipy.sparse as sp
from sklearn.metrics import average_precision_score, precision_recall_curve, roc_auc_score

from chromatell._validate import ChromatellError
from chromatell.metrics import ranking
from chromatell.metrics.ranking import auroc, auroc_and_ap, average_precision, normalised_ap, pr_curve

SCORES = {
    "continuous": lambda rng, shape: rng.normal(size=shape),
    "tied": lambda rng, shape: rng.integers(0, 4, shape) / 3,
    "constant": lambda rng, shape: np.zeros(shape),
    "signed zeros": lambda rng, shape: np.where(rng.random(shape) < 0.5, -0.0, 0.0) + rng.integers(0, 2, shape),
}


def _oracle(y, s, f):
    out = []
    for a, b in zip(y, s, strict=True):
        out.append(f(a, b) if 0 < a.sum() < a.size else np.nan)
    return np.array(out)


@pytest.mark.parametrize("kind", SCORES)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("sparse", [False, True])
@pytest.mark.parametrize("axis", [0, 1, None])
def test_equals_sklearn(rng, kind, dtype, sparse, axis):
    y = rng.random((70, 40)) < rng.uniform(0.02, 0.6, 40)
    y[:, 0], y[:, 1] = False, True  # columns without one class
    y[3], y[4] = False, True
    s = SCORES[kind](rng, y.shape).astype(dtype)
    given = sp.csr_matrix(y.astype(np.float32)) if sparse else y
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        a, p = auroc(given, s, axis=axis), average_precision(given, s, axis=axis)
    rows = {0: (y.T, s.T), 1: (y, s), None: (y.reshape(1, -1), s.reshape(1, -1))}[axis]
    np.testing.assert_allclose(np.atleast_1d(a), _oracle(*rows, roc_auc_score), atol=1e-12)
    np.testing.assert_allclose(np.atleast_1d(p), _oracle(*rows, average_precision_score), atol=1e-12)


def test_more_columns_than_one_block(rng):
    y, s = rng.random((2000, 300)) < 0.1, rng.random((2000, 300), dtype=np.float32)
    got = auroc(sp.csc_matrix(y), s, axis=0)
    np.testing.assert_allclose(got, _oracle(y.T, s.T, roc_auc_score), atol=1e-12)


def test_explicit_zeros_and_duplicates_in_sparse_labels():
    y = sp.coo_matrix(([1.0, 1.0, 0.0, 1.0], ([0, 0, 1, 2], [0, 0, 0, 0])), shape=(4, 1)).tocsr()
    s = np.array([[0.9], [0.8], [0.3], [0.1]])
    expected = roc_auc_score([1, 0, 1, 0], s.ravel())
    assert auroc(y, s) == pytest.approx(expected)
    assert auroc(y, s, axis=0)[0] == pytest.approx(expected)
    assert auroc(y, s, axis=1).shape == (4,)


def test_256_repeated_entries_are_one_positive():
    reads = np.zeros(256, dtype=int)  # as uint8 their sum is 0
    y = sp.csr_matrix((np.ones(256, np.uint8), reads, [0, 256, 256, 256]), shape=(3, 1))
    assert auroc(y, np.array([[0.5], [0.9], [0.1]])) == 0.5


def test_one_dimension_and_integers():
    assert auroc(np.array([0, 1, 1, 0]), np.array([1, 2, 3, 2])) == pytest.approx(
        roc_auc_score([0, 1, 1, 0], [1, 2, 3, 2])
    )


def test_absent_class_is_nan():
    a, p = auroc_and_ap(np.zeros((3, 2)), np.ones((3, 2)), 0)
    assert np.isnan(a).all()
    assert np.isnan(p).all()
    assert np.isnan(auroc(np.ones(3), np.arange(3.0)))


def test_normalised_ap():
    np.testing.assert_allclose(normalised_ap([0.1, 1.0, 0.55], [0.1, 0.1, 0.1]), [0, 1, 0.5])
    assert np.isnan(normalised_ap(1.0, 1.0))


def test_pr_curve_lies_on_sklearns(rng):
    y, s = rng.random(3000) < 0.1, np.round(rng.random(3000), 2)
    curve = pr_curve(y, s)
    precision, recall, _ = precision_recall_curve(y, s)
    known = {(round(r, 5), round(q, 5)) for r, q in zip(recall, precision, strict=True)}
    assert curve.dtype == np.float32
    assert curve.shape[1] <= 200
    assert all((round(float(r), 5), round(float(q), 5)) in known for r, q in curve.T)
    assert (np.diff(curve[0]) > 0).all()
    assert curve[0, -1] == 1
    assert pr_curve(rng.random(9999) < 0.5, rng.random(9999)).shape[1] <= 200
    assert pr_curve(np.zeros(3), np.ones(3)).shape == (2, 0)


def test_bad_input():
    with pytest.raises(ChromatellError, match=r"y has shape \(2,\) and score \(3,\)"):
        auroc(np.array([0, 1]), np.zeros(3))
    with pytest.raises(ChromatellError, match="1 scores are NaN"):
        auroc(np.array([0, 1]), np.array([0.0, np.nan]))
    with pytest.raises(ChromatellError, match="axis=2"):
        auroc(np.zeros((2, 2)), np.zeros((2, 2)), axis=2)


@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize("share", [0.0, 0.01, 0.3, 1.0])
def test_rows_looked_up_together_are_those_looked_up_alone(axis, share, monkeypatch):
    rng = np.random.default_rng(3)
    score = rng.normal(size=(70, 90)).astype(np.float32)
    score[:, ::4] = np.round(score[:, ::4])  # ties, and zeros of both signs
    y = sp.csr_matrix(rng.random(score.shape) < share)
    together = ranking.auroc_and_ap(y, score, axis)
    monkeypatch.setattr(ranking, "_SHORT", 0)
    alone = ranking.auroc_and_ap(y, score, axis)
    np.testing.assert_array_equal(together[0], alone[0])
    np.testing.assert_allclose(together[1], alone[1], rtol=1e-13)
    assert np.isnan(together[0]).sum() == np.isnan(alone[1]).sum()
