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
    depth = np.array([100, 101, 102, 103, 200, 201, 202, 206.0])  # two strata: the first four cells and the last four
    y = np.array([[0, 1, 0, 0, 1, 1, 0, 1], [0, 0, 0, 0, 0, 1, 0, 1], [0, 0, 0, 0, 0, 0, 0, 0]]).T
    s = np.array([[1, 2, 3, 0, 5, 4, 4, 9], [1, 2, 3, 4, 5, 6, 7, 8], [1, 2, 3, 4, 5, 6, 7, 8]], dtype=np.float32).T
    # region 0: stratum 1 has 2 above {1, 0} of {1, 3, 0}: 2/3; stratum 2 has {5, 4, 9} against {4}: 2.5 / 3;
    # both weigh 1 x 3 / 4. Region 1: stratum 1 holds no positive; in 2 {6, 8} against {5, 7}: 3/4; 2: never open
    expected = [(2 / 3 + 2.5 / 3) / 2, 0.75, np.nan]
    got = depth_matched_auroc(y, s, depth, top=None)
    np.testing.assert_allclose(got.score, expected)
    assert got.mean == pytest.approx(np.nanmean(expected))
    top = depth_matched_auroc(sp.csr_matrix(y), s, depth, top=1)
    np.testing.assert_allclose(top.score, [expected[0], np.nan, np.nan])
    assert np.isnan(depth_matched_auroc(y, s, depth, within=0.0).score).all()  # no two cells of one depth


@pytest.mark.parametrize(("spread", "most"), [(0.4, 0.3), (0.9, 0.3), (0.7, 0.7)])
def test_depth_buys_the_overall_score_and_nothing_when_matched(rng, spread, most):
    n, m = 3000, 150
    depth = np.exp(rng.normal(0, spread, n))
    p = 1 - np.exp(-np.outer(depth, rng.uniform(0.02, most, m)))
    y = rng.random(p.shape) < p
    only_depth = np.repeat(depth[:, None], m, axis=1).astype(np.float32)
    assert auroc(y, only_depth) > 0.58
    assert region_auroc(y, only_depth).mean > 0.6
    assert depth_matched_auroc(y, only_depth, depth).mean == pytest.approx(0.5, abs=0.005)


def test_depth_matched_keeps_what_is_not_depth(rng):
    """A score that knows the cell's state, not its depth, ranks matched cells as well as cells of one depth."""
    n, m = 4000, 60
    depth, state = np.exp(rng.normal(0, 0.7, n)), rng.normal(size=n)
    p = 1 - np.exp(-np.outer(depth * np.exp(0.7 * state), rng.uniform(0.05, 0.3, m)))
    y = rng.random(p.shape) < p
    s = np.repeat(state[:, None], m, axis=1).astype(np.float32)
    alike = 1 - np.exp(-np.outer(np.exp(0.7 * state), rng.uniform(0.05, 0.3, m)))
    expected = region_auroc(rng.random(alike.shape) < alike, s).mean
    assert depth_matched_auroc(y, s, depth).mean == pytest.approx(expected, abs=0.015)


def test_depth_strata(rng):
    assert depth_strata(np.ones(7)).tolist() == [0] * 7
    assert depth_strata(np.array([0, 100, 103, 104, 0, 100.0])).tolist() == [0, 1, 1, 2, 0, 1]
    assert depth_strata(np.zeros(0)).size == 0
    depth = rng.integers(20, 3000, 500).astype(float)
    strata = depth_strata(depth)
    assert set(strata) == set(range(strata.max() + 1))
    for k in range(strata.max() + 1):
        assert depth[strata == k].max() <= 1.03 * depth[strata == k].min() * (1 + 1e-9)
    for bad in (np.nan, -1.0):
        with pytest.raises(ChromatellError, match="depth_key"):
            depth_strata(np.array([1, bad]))


def test_type_strata():
    labels = np.array(["a"] * 60 + ["b"] * 10 + [None] * 5, dtype=object)
    plain = type_strata(labels, min_cells=50)
    assert plain.tolist() == [0] * 60 + [-1] * 15
    deep = type_strata(labels, np.repeat([10.0, 20.0, 30.0], 25), min_cells=10)
    assert np.bincount(deep[:60]).tolist() == [25, 25, 10]
    assert deep[60:70].tolist() == [3] * 10  # the depth of a stratum of 'a', another label
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


def test_replicates_are_the_same_together_and_alone_also_without_a_type(rng, monkeypatch):
    truth, predicted = rng.random((2, 5, 3, 40)).astype(np.float32)
    truth[1, 2] = predicted[1, 2] = np.nan  # no cell of the type was drawn
    predicted[3, 0] = 0.25  # does not vary
    together = profile_correlation(truth, predicted)
    monkeypatch.setattr(views, "_TOGETHER", 1)
    np.testing.assert_array_equal(profile_correlation(truth, predicted), together)
    assert together[1, 1] == pytest.approx(
        np.mean([stats.spearmanr(truth[1, t], predicted[1, t])[0] for t in (0, 1)]), abs=1e-9
    )
    deviation = [x[1, :2] - x[1, :2].mean(axis=0) for x in (truth.astype(float), predicted.astype(float))]
    expected = np.mean([stats.pearsonr(a, b)[0] for a, b in zip(*deviation, strict=True)])
    assert together[1, 2] == pytest.approx(expected, abs=1e-6)
    assert together[3, 0] == pytest.approx(
        np.mean([stats.pearsonr(truth[3, t], predicted[3, t])[0] for t in (1, 2)]), abs=1e-6
    )


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
