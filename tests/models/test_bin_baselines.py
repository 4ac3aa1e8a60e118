"""Baselines of models that read a cell's own bins: each against numpy or scikit-learn, written out."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score, f1_score

from chromatell._validate import ChromatellError
from chromatell.metrics.ranking import closed_pairs
from chromatell.models.baselines import bins as _bin_baselines
from chromatell.models.baselines.bins import COMPLETIONS, BinBaselines, LabelBaselines, truncated
from chromatell.models.baselines.protocol import RANKS


@pytest.fixture(scope="module")
def cells():
    """Training, validation and test cells of three groups, each with bins of its own; (opened, group)."""
    rng = np.random.default_rng(0)
    group = np.repeat(np.arange(3), 60)[rng.permutation(180)]
    p = np.full((3, 60), 0.08)
    for g in range(3):
        p[g, 20 * g : 20 * g + 20] = 0.5
    binarized = sp.csr_matrix(rng.random((180, 60)) < p[group], dtype=np.float32)
    return binarized, group


@pytest.fixture(scope="module")
def halves(cells):
    binarized, _ = cells
    gone = np.random.default_rng(1).random((180, 60)) < 0.3
    x = binarized.toarray()
    return sp.csr_matrix(x * ~gone), sp.csr_matrix(x * gone)


def test_pairs_that_were_not_seen():
    seen, removed = sp.csr_matrix([[1, 0, 0, 0], [0, 0, 1, 1]]), sp.csr_matrix([[0, 1, 0, 0], [0, 0, 0, 0]])
    truth, score = closed_pairs(np.arange(8.0).reshape(2, 4), seen, removed)
    assert truth.tolist() == [True, False, False, False, False]
    assert score.tolist() == [1, 2, 3, 4, 5]


def test_frequency_times_depth_by_hand(cells, halves):
    train, seen = cells[0][:100], halves[0][100:]
    expected = train.toarray().mean(axis=0) * seen.toarray().sum(axis=1, keepdims=True)
    found = BinBaselines(train).predict("bin_frequency_depth", seen)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_projection_equals_a_full_decomposition(cells, halves, monkeypatch):
    monkeypatch.setattr(_bin_baselines, "RANKS", (3,))
    train, seen = cells[0][:100], halves[0][100:]
    v = np.linalg.svd(train.toarray().astype(np.float64))[2][:3].T
    np.testing.assert_allclose(
        BinBaselines(train).predict("svd", seen), seen.toarray() @ v @ v.T, atol=1e-3
    )  # the randomised one is close, not equal


def test_neighbours_by_hand(cells, halves, monkeypatch):
    monkeypatch.setattr(_bin_baselines, "NEIGHBOURS", (7,))
    monkeypatch.setattr(_bin_baselines, "DIMENSIONS", (5,))
    train, seen = cells[0][:100], halves[0][100:120]
    baselines = BinBaselines(train, (halves[0][120:140], halves[1][120:140]))
    found = baselines.predict("lsi_knn", seen)
    assert baselines.baseline("lsi_knn").chosen == {"ap": (7, 5)}
    among, query = (truncated(baselines.lsi.transform(x, unit_length=False), 5) for x in (train, seen))
    share = train.toarray() / train.toarray().sum(axis=1, keepdims=True)
    for i in range(20):
        near = np.argsort(((among - query[i]) ** 2).sum(axis=1))[:7]
        expected = (share[near].mean(axis=0) + 0.05 * share.mean(axis=0)) * seen[i].sum()
        np.testing.assert_allclose(found[i], expected, rtol=1e-4)


def test_a_training_cell_is_not_its_own_neighbour(cells, monkeypatch):
    monkeypatch.setattr(_bin_baselines, "NEIGHBOURS", (1,))
    train = sp.csr_matrix(np.vstack([cells[0][:40].toarray(), np.eye(60, dtype=np.float32)[:1]]))
    baselines = BinBaselines(train, (cells[0][40:60], cells[0][40:60]))
    own = baselines.predict("lsi_knn", train[:10], own=np.arange(10))
    others = baselines.predict("lsi_knn", train[:10])
    depth = train[:10].toarray().sum(axis=1)
    mean = 0.05 * (train.toarray() / train.toarray().sum(axis=1, keepdims=True)).mean(axis=0)
    np.testing.assert_allclose(others, (train[:10].toarray() / depth[:, None] + mean) * depth[:, None], rtol=1e-4)
    assert all((own[i][train[i].indices] < others[i][train[i].indices]).any() for i in range(10))


@pytest.mark.parametrize("kind", ["lsi_knn", "svd"])
def test_sizes_are_those_with_the_best_average_precision_on_validation_cells(cells, halves, kind, monkeypatch):
    train, seen, removed = cells[0][:100], halves[0][100:140], halves[1][100:140]
    baselines = BinBaselines(train, (seen, removed))
    baselines.predict(kind, seen)
    closed = seen.toarray() == 0
    worth = {}
    options = [(r,) for r in RANKS] if kind == "svd" else [(k, d) for k in (30, 50, 99) for d in (10, 20, 30, 50)]
    for size in options:
        score = baselines.baseline(kind).predict((seen, np.full(40, -1)), slice(None), size)
        worth[size] = average_precision_score(removed.toarray()[closed] > 0, score[closed])
    made = baselines.baseline(kind)
    score = made.predict((seen, np.full(40, -1)), slice(None), made.chosen["ap"])
    assert average_precision_score(removed.toarray()[closed] > 0, score[closed]) >= 0.995 * max(worth.values())
    assert BinBaselines(train).baseline(kind).ready() in ((5,), (99, 20))  # without validation cells: the usual


@pytest.mark.parametrize("kind", COMPLETIONS)
def test_some_bins_are_columns_of_all_and_blocks_change_nothing(cells, halves, kind, monkeypatch):
    baselines = BinBaselines(cells[0][:100], seed=3)
    cols = np.array([4, 9, 50])
    whole = baselines.predict(kind, halves[0])
    np.testing.assert_allclose(baselines.predict(kind, halves[0], cols), whole[:, cols], rtol=1e-5)
    monkeypatch.setattr("chromatell.models.baselines.parts.ROWS", 7)
    np.testing.assert_allclose(baselines.predict(kind, halves[0]), whole, rtol=1e-5, atol=1e-6)
    again = BinBaselines(cells[0][:100], seed=3).predict(kind, halves[0])
    np.testing.assert_array_equal(again, baselines.predict(kind, halves[0]))


def test_groups_are_told_apart_where_frequency_cannot(cells, halves):
    baselines = BinBaselines(cells[0][:100], (halves[0][100:140], halves[1][100:140]))
    seen, removed = halves[0][140:], halves[1][140:]
    ap = {k: average_precision_score(*closed_pairs(baselines.predict(k, seen), seen, removed)) for k in COMPLETIONS}
    assert ap["lsi_knn"] > ap["bin_frequency_depth"] + 0.05
    assert ap["svd"] > ap["bin_frequency_depth"] + 0.05


@pytest.mark.parametrize("kind", COMPLETIONS)
def test_cells_without_an_open_bin_and_tiny_data(kind):
    train = sp.csr_matrix(np.eye(3, 4, dtype=np.float32))
    empty = sp.csr_matrix((2, 4), dtype=np.float32)
    assert (BinBaselines(train).predict(kind, empty) == 0).all()
    assert np.isfinite(BinBaselines(train, (train, train)).predict(kind, train)).all()


def test_regression_on_lsi_equals_scikit_learn(cells):
    binarized, group = cells
    names = np.array(["a", "b", "c"])[group]
    names[:8] = "rare"
    lsi = BinBaselines(binarized[:100]).lsi
    z = lsi.transform(binarized)
    z = (z - z[:100].mean(axis=0)) / z[:100].std(axis=0)
    parts = [(binarized[a:b], names[a:b]) for a, b in ((0, 100), (100, 140))]
    scores = {}
    for c in (0.01, 0.1, 1.0):
        for weight in (None, "balanced"):
            model = LogisticRegression(C=c, class_weight=weight, max_iter=2000).fit(z[:100], names[:100])
            scores[f1_score(names[100:140], model.predict(z[100:140]), average="macro")] = model
    best = scores[max(scores)]
    found = LabelBaselines(lsi, *parts).predict("lsi_logistic", binarized[140:])
    assert (found == best.predict(z[140:])).mean() > 0.97
    usual = LogisticRegression(C=0.1, max_iter=2000).fit(z[:100], names[:100])
    assert (LabelBaselines(lsi, parts[0]).predict("lsi_logistic", binarized[140:]) == usual.predict(z[140:])).all()


def test_majority():
    x = sp.csr_matrix(np.eye(5, dtype=np.float32))
    baselines = LabelBaselines(BinBaselines(x).lsi, (x, np.array(["b", "a", "b", "c", "b"])))
    assert baselines.predict("majority", x[:2]).tolist() == ["b", "b"]


def test_unknown_names(cells):
    with pytest.raises(ChromatellError, match="kind='mean' is not known"):
        BinBaselines(cells[0]).predict("mean", cells[0])
    with pytest.raises(ChromatellError, match="kind='svm' is not known"):
        LabelBaselines(BinBaselines(cells[0]).lsi, (cells[0], np.array(["a"] * 180))).predict("svm", cells[0])
