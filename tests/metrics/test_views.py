"""Views that depth cannot buy: hand-worked cases and a predictor that knows depth and nothing else."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp
from scipy import stats

from chromatell._validate import ChromatellError
from chromatell.metrics import views
from chromatell.metrics.delong import region_auroc
from chromatell.metrics.ranking import auroc
from chromatell.metrics.views import (
    depth_matched_auroc,
    depth_strata,
    explained_by,
    label_codes,
    most_open,
    profile_correlation,
    pseudobulk,
    type_strata,
)


def test_depth_matched_by_hand():
    depth = np.array([1, 2, 3, 4, 10, 11, 12, 13.0])  # two bins: the first four cells and the last four
    y = np.array([[0, 1, 0, 0, 1, 1, 0, 1], [0, 0, 0, 0, 0, 1, 0, 1], [0, 0, 0, 0, 0, 0, 0, 0]]).T
    s = np.array([[1, 2, 3, 0, 5, 4, 4, 9], [1, 2, 3, 4, 5, 6, 7, 8], [1, 2, 3, 4, 5, 6, 7, 8]], dtype=np.float32).T
    # region 0: bin 1 positive 2 above {1, 0} of {1, 3, 0}: 2/3; bin 2 positives {5, 4, 9} against {4}: 2.5 / 3
    # region 1: bin 1 holds no positive; bin 2 positives {6, 8} against {5, 7}: 3/4; region 2: never open
    expected = [(2 / 3 + 2.5 / 3) / 2, 0.75, np.nan]
    got = depth_matched_auroc(y, s, depth, n_bins=2, top=None)
    np.testing.assert_allclose(got.score, expected)
    assert got.mean == pytest.approx(np.nanmean(expected))
    top = depth_matched_auroc(sp.csr_matrix(y), s, depth, n_bins=2, top=1)
    np.testing.assert_allclose(top.score, [expected[0], np.nan, np.nan])


def test_depth_buys_the_overall_score_and_nothing_when_matched(rng):
    n, m = 1500, 150
    depth = np.exp(rng.normal(0, 0.7, n))
    p = 1 - np.exp(-np.outer(depth, rng.uniform(0.02, 0.3, m)))
    y = rng.random(p.shape) < p
    only_depth = np.repeat(depth[:, None], m, axis=1).astype(np.float32)
    assert auroc(y, only_depth) > 0.64
    assert region_auroc(y, only_depth).mean > 0.64
    matched = depth_matched_auroc(y, only_depth, depth)
    # the outer deciles are wide, so a little depth is left inside them
    assert 0.5 < matched.mean < 0.545


def test_depth_strata():
    assert np.bincount(depth_strata(np.arange(100))).tolist() == [10] * 10
    assert depth_strata(np.ones(7)).tolist() == [0] * 7  # every edge is the same
    heavy = np.append(np.zeros(50), np.arange(1, 51))
    strata = depth_strata(heavy)
    assert strata[:50].max() == 0
    assert set(strata) == set(range(strata.max() + 1))
    with pytest.raises(ChromatellError, match="depth_key"):
        depth_strata(np.array([1, np.nan]))


def test_type_strata():
    labels = np.array(["a"] * 60 + ["b"] * 10 + [None] * 5, dtype=object)
    plain = type_strata(labels, min_cells=50)
    assert plain.tolist() == [0] * 60 + [-1] * 15
    deep = type_strata(labels, np.arange(75.0), min_cells=10, min_bin=20)
    assert np.bincount(deep[:60]).tolist() == [20, 20, 20]  # 60 cells make three bins of 20
    assert deep[60:70].tolist() == [3] * 10
    assert (deep[70:] == -1).all()


def test_label_codes_and_missing():
    code, names, count = label_codes(np.array(["b", np.nan, "a", None, "b"], dtype=object))
    assert code.tolist() == [1, -1, 0, -1, 1]
    assert names.tolist() == ["a", "b"]
    assert count.tolist() == [1, 2]


def test_most_open():
    y = sp.csr_matrix(np.array([[1, 1, 0, 1], [1, 0, 0, 1], [0, 0, 0, 1]]))
    assert most_open(y, 2).tolist() == [0, 3]
    assert most_open(y.toarray(), None).tolist() == [0, 1, 2, 3]


def test_explained_by(rng):
    labels = np.repeat(["a", "b"], 500).astype(object)
    values = np.repeat([0.0, 1.0], 500) + rng.normal(0, 0.5, 1000)
    group = [values[:500], values[500:]]
    f = stats.f_oneway(*group).statistic
    assert explained_by(labels, values) == pytest.approx(f / (f + 998))
    assert explained_by(np.full(3, None, dtype=object), np.arange(3)) == 0
    assert explained_by(labels, np.ones(1000)) == 0


def test_pseudobulk_equals_repeated_cells(rng):
    x = (rng.random((40, 9)) < 0.3).astype(np.float32)
    code = rng.integers(-1, 3, 40)
    w = rng.poisson(1.0, (5, 40)).astype(np.float32)
    w[0, code == 2] = 0
    for given in (x, sp.csr_matrix(x)):
        got = pseudobulk(given, code, w, 3)
        assert np.isnan(got[0, 2]).all()
        for r in range(1, 5):
            for t in range(3):
                cells = np.repeat(np.flatnonzero(code == t), w[r, code == t].astype(int))
                np.testing.assert_allclose(got[r, t], x[cells].mean(axis=0), atol=1e-6)


def test_profile_correlation_equals_scipy(rng):
    truth, predicted = np.round(rng.random((2, 3, 4, 60)), 2).astype(np.float32)
    got = profile_correlation(truth, predicted)
    for r in range(3):
        t, p = truth[r].astype(float), predicted[r].astype(float)
        dt, dp = t - t.mean(axis=0), p - p.mean(axis=0)
        expected = [
            np.mean([stats.pearsonr(a, b)[0] for a, b in zip(t, p, strict=True)]),
            np.mean([stats.spearmanr(a, b)[0] for a, b in zip(t, p, strict=True)]),
            np.mean([stats.pearsonr(a, b)[0] for a, b in zip(dt, dp, strict=True)]),
        ]
        np.testing.assert_allclose(got[r, :3], expected, atol=1e-5)
        # in float32 deviations that are equal may differ in the last bit, so ranks differ a little
        assert got[r, 3] == pytest.approx(
            np.mean([stats.spearmanr(a, b)[0] for a, b in zip(dt, dp, strict=True)]), abs=0.01
        )
    assert np.isnan(profile_correlation(truth, predicted, ranks=False)[:, [1, 3]]).all()


def test_equal_profiles_have_no_deviation(rng):
    truth = rng.random((1, 5, 200)).astype(np.float32)
    same = np.repeat(rng.random((1, 1, 200)), 5, axis=1).astype(np.float32) * (
        1 + rng.uniform(-1e-7, 1e-7, (1, 5, 200))
    )
    got = profile_correlation(truth, same.astype(np.float32))[0]
    assert np.isfinite(got[:2]).all()
    assert np.isnan(got[2:]).all()
    assert np.isnan(profile_correlation(truth[:, :1], truth[:, :1])[0, 2:]).all()  # one type has no deviation


def test_ranks_of_the_truth_that_were_computed_before_change_nothing():
    rng = np.random.default_rng(0)
    truth, predicted = (rng.integers(0, 9, (3, 4, 50)).astype(np.float32) for _ in range(2))
    truth[:, 1] = 2.0  # a type that does not vary
    known = views.profile_ranks(truth)
    assert known.shape == (3, 2, 4, 50)
    again = views.profile_correlation(truth, predicted, truth_ranks=known)
    np.testing.assert_array_equal(again, views.profile_correlation(truth, predicted))
    one = views.profile_correlation(truth[:, :1], predicted[:, :1], truth_ranks=views.profile_ranks(truth[:, :1]))
    assert np.isnan(one[:, 2:]).all()  # of one type there is no deviation
    expected = np.mean([stats.spearmanr(truth[0, t], predicted[0, t])[0] for t in (0, 2, 3)])
    assert again[0, 1] == pytest.approx(expected, abs=1e-6)
