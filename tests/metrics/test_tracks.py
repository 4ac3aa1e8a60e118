"""Scores of tracks against scipy and scikit-learn, replicate by replicate."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import pearsonr, spearmanr
from sklearn.metrics import average_precision_score, f1_score, precision_score, recall_score

import chromatell as ctl
from chromatell.metrics.bootstrap import resample
from chromatell.metrics.tracks import coarsen, track_scores

SIZES = (4210, 1333)
BLOCK = 20_000  # 400 bins


@pytest.fixture
def data(rng):
    """Two chromosomes of correlated values with peaks, some bins masked, some NaN."""
    observed, predicted, usable = [], [], []
    for n in SIZES:
        x = np.repeat(rng.gamma(0.3, 2.0, -(-n // 9)), 9)[:n] * (rng.random(n) < 0.9)
        y = (x + rng.normal(0, 1, n)).astype(np.float32)
        y[rng.integers(0, n, 5)] = np.nan
        observed.append(x.astype(np.float32))
        predicted.append(y)
        usable.append(rng.random(n) < 0.8)
    return observed, predicted, usable


def value(scores, metric, resolution=50, column="value"):
    keep = (scores["metric"] == metric) & (scores["resolution"] == resolution)
    assert keep.sum() == 1
    return scores[column][keep][0]


def scored(data):
    """The oracle's bins: (observed, predicted, block) of all chromosomes."""
    x, y, where, first = [], [], [], 0
    for a, b, keep in zip(*data, strict=True):
        at = np.flatnonzero(keep & ~np.isnan(b))
        x.append(a[at])
        y.append(b[at])
        where.append(first + at * 50 // BLOCK)
        first += -(-a.size * 50 // BLOCK)
    return (np.concatenate(v).astype(float) for v in (x, y, where))


def test_scores_are_those_of_scipy_and_scikit_learn(data):
    scores = track_scores(*data, threshold=1.0, predicted_threshold=0.7, block=BLOCK, n_bootstrap=0)
    x, y, _ = scored(data)
    assert value(scores, "pearson") == pytest.approx(pearsonr(x, y)[0])
    assert value(scores, "spearman") == pytest.approx(spearmanr(x, y)[0])
    assert value(scores, "rmse") == pytest.approx(np.sqrt(np.mean((x - y) ** 2)))
    assert value(scores, "ap") == pytest.approx(average_precision_score(x > 1, y))
    assert value(scores, "prevalence") == pytest.approx((x > 1).mean())
    assert value(scores, "precision") == pytest.approx(precision_score(x > 1, y > 0.7))
    assert value(scores, "recall") == pytest.approx(recall_score(x > 1, y > 0.7))
    assert value(scores, "f1") == pytest.approx(f1_score(x > 1, y > 0.7))
    assert value(scores, "pearson", column="n") == x.size
    assert np.isnan(scores["ci_low"]).all()


def test_coarse_scores_are_of_means_over_usable_bins(data):
    scores = track_scores(*data, block=BLOCK, n_bootstrap=0)
    for resolution in (1000, 10_000):
        k = resolution // 50
        x, y = [], []
        for a, b, keep in zip(*data, strict=True):
            for start in range(0, a.size, k):
                at = np.arange(start, min(start + k, a.size))
                held = at[keep[at] & ~np.isnan(b[at])]
                if held.size * 2 >= at.size and held.size:
                    x.append(a[held].astype(float).mean())
                    y.append(b[held].astype(float).mean())
        assert value(scores, "pearson", resolution) == pytest.approx(pearsonr(x, y)[0])
        assert value(scores, "spearman", resolution) == pytest.approx(spearmanr(x, y)[0])
        assert value(scores, "rmse", resolution, "n") == len(x)
    assert value(scores, "pearson", 10_000) > value(scores, "pearson")


def test_intervals_are_those_of_replicates_scored_one_by_one(data):
    n_bootstrap = 150
    scores = track_scores(*data, threshold=1.0, block=BLOCK, n_bootstrap=n_bootstrap, seed=4)
    x, y, where = scored(data)
    where = where.astype(int)
    weights = resample(11 + 4, n_bootstrap, seed=4).astype(int)
    how = {
        "pearson": lambda a, b: pearsonr(a, b)[0],
        "rmse": lambda a, b: np.sqrt(np.mean((a - b) ** 2)),
        "ap": lambda a, b: average_precision_score(a > 1, b),
        "f1": lambda a, b: f1_score(a > 1, b > 1),
        "prevalence": lambda a, b: (a > 1).mean(),
    }
    for metric, score in how.items():
        found = np.array([score(np.repeat(x, w[where]), np.repeat(y, w[where])) for w in weights])
        centred = found - found.mean() + score(x, y)
        low, high = np.quantile(centred, [0.025, 0.975])
        tolerance = 2e-3 if metric == "ap" else 1e-6
        assert value(scores, metric, column="ci_low") == pytest.approx(low, abs=tolerance)
        assert value(scores, metric, column="ci_high") == pytest.approx(high, abs=tolerance)


def test_blocks_make_wider_intervals_than_single_bins(data):
    wide = track_scores(*data, resolutions=(50,), block=BLOCK, seed=0)
    narrow = track_scores(*data, resolutions=(50,), block=50, seed=0)

    def width(scores):
        return value(scores, "pearson", column="ci_high") - value(scores, "pearson", column="ci_low")

    assert width(wide) > 1.3 * width(narrow)


def test_what_is_not_defined_is_nan(data):
    observed, predicted, usable = data
    flat = [np.zeros_like(y) for y in predicted]
    scores = track_scores(observed, flat, usable, threshold=1e9, block=BLOCK, n_bootstrap=20)
    for metric in ("pearson", "spearman", "ap", "precision", "recall", "f1"):
        assert np.isnan(value(scores, metric))
    assert value(scores, "prevalence") == 0
    none = track_scores(observed, predicted, [~u & u for u in usable], threshold=1.0, block=BLOCK)
    assert np.isnan(none["value"]).all()
    assert set(none["n"].tolist()) == {0}


def test_large_values_lose_no_digits(rng):
    x = 1e6 + rng.random(1000)
    y = x + rng.random(1000)
    scores = track_scores([x], [y], [x > 0], resolutions=(50,), block=5000)
    assert value(scores, "pearson") == pytest.approx(pearsonr(x, y)[0], abs=1e-6)


def test_coarse_bins_need_half_their_bins():
    means, held = coarsen(np.array([1.0, 2, 3, 4, np.nan, 6]), np.array([1, 0, 0, 0, 1, 1], dtype=bool), 3)
    assert means.tolist() == [1.0, 6.0]
    assert held.tolist() == [False, False]


@pytest.mark.parametrize(
    ("change", "cure"),
    [
        ({"resolutions": (75,)}, r"\[75\] are not multiples of the bin size \(50 bp\)"),
        ({"resolutions": (50, 40_000)}, "that divide a block \\(20,000 bp\\)"),
        ({"block": 10}, "block=10 is out of range"),
        ({"n_bootstrap": -1}, "n_bootstrap=-1"),
        ({"predicted": [np.zeros(3)]}, "one array .* a chromosome, alike"),
        ({"observed": [], "predicted": [], "usable": []}, "one array"),
    ],
)
def test_wrong_arguments(data, change, cure):
    given = {**dict(zip(("observed", "predicted", "usable"), data, strict=True)), "block": BLOCK, **change}
    with pytest.raises(ctl.ChromatellError, match=cure):
        track_scores(given.pop("observed"), given.pop("predicted"), given.pop("usable"), **given)
