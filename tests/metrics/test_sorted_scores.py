"""What is read of scores that are sorted once, against the functions that each sort for themselves, and scipy."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp
from scipy import stats
from sklearn.metrics import average_precision_score, roc_auc_score

from chromatell.metrics import calibration, ranking
from chromatell.metrics._sorted_scores import binned_ap
from chromatell.metrics._sorting import ordered_ranks, rank_rows


@pytest.mark.parametrize("steps", [None, 7])
def test_all_pairs_sorted_once_give_what_each_metric_gives(rng, steps):
    p = rng.random((40, 30), dtype=np.float32)
    p = p if steps is None else (np.round(p * steps) / steps).astype(np.float32)
    y = sp.csr_matrix(rng.random(p.shape) < 0.5 * p, dtype=np.float32)
    found = ranking.sorted_scores(y, p)
    flat = y.toarray().ravel()
    assert found.areas() == pytest.approx((roc_auc_score(flat, p.ravel()), average_precision_score(flat, p.ravel())))
    edges = calibration.mass_edges(p, 15, found.ranked)
    np.testing.assert_array_equal(edges, calibration.mass_edges(p, 15))
    inner = np.digitize(p.ravel(), edges)
    table = [(p.ravel()[inner == b].mean(), flat[inner == b].mean(), (inner == b).sum()) for b in np.unique(inner)]
    np.testing.assert_allclose(found.reliability(edges), np.transpose(table), rtol=1e-6)
    np.testing.assert_allclose(found.reliability(edges), calibration.reliability_curve(y, p), rtol=1e-13)


def test_quantiles_of_many_pairs_are_those_of_a_part(monkeypatch, rng):
    p = rng.random(5000, dtype=np.float32)
    monkeypatch.setattr(calibration._spread, "__defaults__", (1000,))
    np.testing.assert_array_equal(calibration.mass_edges(p, 4, np.sort(p)), np.quantile(p[::5], [0.25, 0.5, 0.75]))


def test_ranks_in_order_are_scipys(rng):
    values = rng.normal(size=(6, 50)).astype(np.float32)
    values[1:3] = np.round(values[1:3])
    values[3] = 0.5
    order, ranks = ordered_ranks(values)
    found = np.empty(values.size)
    found[order] = ranks
    expected = np.stack([stats.rankdata(row) - 1 for row in values])
    np.testing.assert_array_equal(found.reshape(6, 50), expected)
    np.testing.assert_array_equal(rank_rows(values), expected.astype(np.float32))
    assert (np.diff(values.ravel()[order], axis=1) >= 0).all()


def test_counted_average_precision_is_sklearns_of_scores_in_steps(rng):
    p = (rng.lognormal(-4, 1, (60, 50)) * rng.choice([1, -1], (60, 50), p=[0.9, 0.1])).astype(np.float32)
    p[3], p[4, :9] = 0.25, 0
    y = rng.random(p.shape) < np.clip(5 * p, 0.02, 1)
    where = np.flatnonzero(y)
    stepped = (p.view(np.uint32) & np.uint32(0xFFFFF800)).view(np.float32)  # 12 bits behind the leading one
    assert binned_ap(where, p) == pytest.approx(average_precision_score(y.ravel(), stepped.ravel()), abs=1e-12)
    assert binned_ap(where, p) == pytest.approx(average_precision_score(y.ravel(), p.ravel()), abs=2e-4)
    assert np.isnan(binned_ap(where[:0], p))
    assert np.isnan(binned_ap(np.arange(p.size), p))
