"""Scores of regions over cells, and their sampling error against fresh draws and a brute-force bootstrap."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp
from scipy import stats
from sklearn.metrics import average_precision_score, roc_auc_score

from chromatell._validate import ChromatellError
from chromatell.metrics import _comparing, delong
from chromatell.metrics.delong import paired_auroc_test, region_ap, region_areas, region_auroc


def _draw(rng, loadings, n, openness):
    """Cells with depth and context; a good and a worse score."""
    depth, context = rng.normal(0, 0.6, n), rng.normal(size=(n, loadings.shape[1]))
    signal = context @ loadings.T
    logit = np.log(openness) + depth[:, None] + signal
    y = rng.random(logit.shape) < 1 / (1 + np.exp(-logit))
    good = (logit + rng.normal(0, 0.7, logit.shape)).astype(np.float32)
    worse = (logit - 0.5 * signal + rng.normal(0, 0.7, logit.shape)).astype(np.float32)
    return y, good, worse, np.digitize(depth, np.quantile(depth, np.linspace(0, 1, 6))[1:-1])


@pytest.mark.parametrize("ties", [False, True])
def test_plain_and_stratified_equal_sklearn(rng, ties):
    y = rng.random((120, 30)) < rng.uniform(0.01, 0.4, 30)
    s = (rng.integers(0, 4, y.shape) if ties else rng.normal(size=y.shape)).astype(np.float32)
    strata = rng.integers(-1, 4, 120)
    plain, inside = np.full(30, np.nan), np.full(30, np.nan)
    for r in range(30):
        if 0 < y[:, r].sum() < 120:
            plain[r] = roc_auc_score(y[:, r], s[:, r])
        values = []
        for k in range(4):
            i = strata == k
            if 0 < y[i, r].sum() < i.sum():
                values.append(roc_auc_score(y[i, r], s[i, r]))
        if values:
            inside[r] = np.mean(values)
    for labels in (y, sp.csr_matrix(y)):
        np.testing.assert_allclose(region_auroc(labels, s).score, plain, atol=1e-12)
        got = region_auroc(labels, s, strata)
        np.testing.assert_allclose(got.score, inside, atol=1e-12)
        assert got.mean == pytest.approx(np.nanmean(inside))
        assert got.n == np.isfinite(inside).sum()
        assert (got.influence[strata == -1] == 0).all()
        np.testing.assert_array_equal(region_auroc(labels, s, strata, influence=False).score, got.score)


def test_strata_by_their_size_equal_mantel_and_haenszel(rng):
    y = rng.random((150, 20)) < rng.uniform(0.01, 0.4, 20)
    s = np.round(rng.normal(size=y.shape) + y, 1).astype(np.float32)
    strata = rng.integers(-1, 40, 150)  # more strata than fill one block
    expected = np.full(20, np.nan)
    for r in range(20):
        inside, weight = [], []
        for k in range(40):
            i = strata == k
            n_open, n = y[i, r].sum(), i.sum()
            if 0 < n_open < n:
                inside.append(roc_auc_score(y[i, r], s[i, r]))
                weight.append(n_open * (n - n_open) / n)
        if inside:
            expected[r] = np.average(inside, weights=weight)
    for labels in (y, sp.csr_matrix(y)):
        np.testing.assert_allclose(region_auroc(labels, s, strata, by_size=True).score, expected, atol=1e-12)


@pytest.mark.parametrize("by_size", [False, True])
@pytest.mark.parametrize("with_left_out", [False, True])
def test_comparing_equals_sorting(rng, monkeypatch, by_size, with_left_out):
    """Few open cells are compared with the others, many are sorted: scores and influence are the same."""
    y = rng.random((200, 30)) < rng.uniform(0.0, 0.1, 30)
    y[:, 0], y[:, 1] = False, np.arange(200) == 7
    s = np.round(rng.normal(size=y.shape) + y, 1).astype(np.float32)
    out = (rng.random(y.shape) < 0.1) & ~y if with_left_out else None
    monkeypatch.setattr(_comparing, "_REGIONS", 7)
    monkeypatch.setattr(_comparing, "_VALUES", 999)
    for strata in (None, rng.integers(-1, 30, 200)):
        how = {"by_size": by_size, "left_out": out}
        fast, slow = region_auroc(sp.csr_matrix(y), s, strata, **how), region_auroc(y, s, strata, **how)
        np.testing.assert_allclose(fast.score, slow.score, atol=1e-12)
        np.testing.assert_allclose(fast.influence, slow.influence, atol=1e-7)
    fast, slow = region_ap(sp.csr_matrix(y), s), region_ap(y, s)
    np.testing.assert_allclose(fast.score, slow.score, atol=1e-12)
    np.testing.assert_allclose(fast.influence, slow.influence, atol=1e-7)


@pytest.mark.parametrize("ties", [False, True])
def test_region_ap_equals_sklearn(rng, ties):
    y = rng.random((90, 25)) < 0.15
    y[:, 0] = False
    s = (rng.integers(0, 4, y.shape) if ties else rng.normal(size=y.shape)).astype(np.float32)
    expected = [np.nan] + [average_precision_score(y[:, r], s[:, r]) for r in range(1, 25)]
    np.testing.assert_allclose(region_ap(y, s).score, expected, atol=1e-12)


def test_pairs_that_are_left_out_are_not_compared(rng):
    y = rng.random((120, 15)) < 0.2
    out = (rng.random(y.shape) < 0.3) & ~y
    y[:, 0] = False
    out[:, 1] = ~y[:, 1]  # no closed cell is left
    s = np.round(rng.normal(size=y.shape) + y, 1).astype(np.float32)
    s[out] = 9  # would be above all others
    strata = rng.integers(0, 3, 120)

    def by_hand(r, cells):
        held = cells & ~out[:, r]
        labels = y[held, r]
        return roc_auc_score(labels, s[held, r]) if 0 < labels.sum() < labels.size else np.nan

    every = np.ones(120, dtype=bool)
    whole = [by_hand(r, every) for r in range(15)]
    assert np.isnan(whole[:2]).all()
    np.testing.assert_allclose(region_auroc(y, s, left_out=sp.csr_matrix(out)).score, whole, atol=1e-12)
    inside = [[by_hand(r, strata == k) for k in range(3)] for r in range(15)]
    expected = [np.nanmean(v) if np.isfinite(v).any() else np.nan for v in inside]
    np.testing.assert_allclose(region_auroc(y, s, strata, left_out=out).score, expected, atol=1e-12)
    none = region_auroc(y, s, strata, left_out=np.zeros_like(out))
    np.testing.assert_array_equal(none.influence, region_auroc(y, s, strata).influence)


def test_influence_where_pairs_are_left_out_is_the_derivative_too(rng):
    y = rng.random((400, 12)) < 0.4
    out = (rng.random(y.shape) < 0.2) & ~y
    s = np.round(rng.normal(size=y.shape) + y, 1).astype(np.float32)
    whole = region_auroc(y, s, left_out=out)
    cells = rng.integers(0, 400, 15)
    change = [
        region_auroc(*(np.vstack([a, a[[c]]]) for a in (y, s)), left_out=np.vstack([out, out[[c]]])).mean - whole.mean
        for c in cells
    ]
    np.testing.assert_allclose(change, whole.influence[cells], rtol=0.05, atol=3e-5)


@pytest.mark.parametrize("score", [region_auroc, region_ap])
def test_influence_is_the_derivative_in_the_weights(rng, score):
    """Many open cells, so that the small-class corrections vanish: a copy of a cell changes the mean as predicted."""
    n = 400
    y = rng.random((n, 12)) < 0.4
    s = (np.round(rng.normal(size=y.shape) + y, 1)).astype(np.float32)
    whole = score(y, s)
    cells = rng.integers(0, n, 15)
    change = [score(np.vstack([y, y[[c]]]), np.vstack([s, s[[c]]])).mean - whole.mean for c in cells]
    np.testing.assert_allclose(change, whole.influence[cells], rtol=0.05, atol=3e-5)
    assert abs(whole.influence.sum()) < 1e-3


@pytest.mark.parametrize(("openness", "n"), [(0.05, 400), (0.02, 300)])
def test_error_of_a_paired_difference_matches_fresh_draws_and_brute_force(openness, n):
    rng = np.random.default_rng(3)
    loadings = rng.normal(0, 0.6, (80, 4))
    kinds = {
        "auroc": lambda y, s, k: region_auroc(y, s),
        "stratified": region_auroc,
        "by size": lambda y, s, k: region_auroc(y, s, k, by_size=True),
        "ap": lambda y, s, k: region_ap(y, s),
    }
    differences, said, brute = ({k: [] for k in kinds} for _ in range(3))
    for draw in range(50):
        y, good, worse, strata = _draw(rng, loadings, n, openness)
        for kind, f in kinds.items():
            a, b = f(y, good, strata), f(y, worse, strata)
            differences[kind].append(a.mean - b.mean)
            said[kind].append(np.sqrt(((a.influence - b.influence) ** 2).sum()))
            if draw < 2:
                drawn = (rng.integers(0, n, n) for _ in range(30))
                brute[kind].append(
                    np.std([f(y[i], good[i], strata[i]).mean - f(y[i], worse[i], strata[i]).mean for i in drawn])
                )
    for kind in kinds:
        spread = np.std(differences[kind])
        assert 0.75 < np.mean(said[kind]) / spread < 1.4, kind
        assert 0.7 < np.mean(said[kind]) / np.mean(brute[kind]) < 1.4, kind
        covered = np.abs(np.array(differences[kind]) - np.mean(differences[kind])) < 1.96 * np.array(said[kind])
        assert covered.mean() > 0.85, kind


def test_paired_test_equals_delong_by_hand(rng):
    y = rng.random(80) < 0.3
    a, b = (y + rng.normal(size=80)).astype(np.float32), (0.5 * y + rng.normal(size=80)).astype(np.float32)
    kernel = [np.sign(s[y][:, None] - s[~y][None]) / 2 + 0.5 for s in (a, b)]
    off = kernel[0] - kernel[1]
    variance = off.mean(axis=1).var(ddof=1) / y.sum() + off.mean(axis=0).var(ddof=1) / (~y).sum()
    gain, p = paired_auroc_test(y[:, None], a[:, None], b[:, None])
    assert gain[0] == pytest.approx(roc_auc_score(y, a) - roc_auc_score(y, b))
    assert p[0] == pytest.approx(stats.t.sf(gain[0] / np.sqrt(variance), y.sum() - 1), rel=1e-6)


def test_paired_test_keeps_its_level(rng):
    y = rng.random((150, 600)) < 0.1
    a, b = (rng.random(y.shape, dtype=np.float32) for _ in range(2))
    gain, p = paired_auroc_test(y, a, b)
    assert np.isfinite(gain).all()
    assert 0.02 < (p < 0.05).mean() < 0.08
    rare = np.zeros((150, 1), dtype=bool)
    rare[:3] = True
    assert paired_auroc_test(rare, a[:, :1], b[:, :1])[1][0] == 1
    assert paired_auroc_test(y, a, a)[1].min() == 1  # no difference at all


def test_bad_input():
    with pytest.raises(ChromatellError, match="must be the same"):
        region_auroc(np.zeros((3, 2)), np.zeros((2, 3)))
    with pytest.raises(ChromatellError, match=r"one whole number a cell is needed: \(3,\)"):
        region_auroc(np.zeros((3, 2)), np.zeros((3, 2)), np.zeros(2, dtype=int))
    with pytest.raises(ChromatellError, match="NaN"):
        region_auroc(np.eye(2), np.full((2, 2), np.nan))


@pytest.mark.parametrize("ties", [False, True])
def test_listed_pairs_of_matched_cells_give_the_mean_of_mantel_and_haenszel(rng, ties):
    y = rng.random((90, 12)) < rng.uniform(0.05, 0.6, 12)
    y[:, 3] = False
    s = (rng.integers(0, 4, y.shape) if ties else rng.normal(size=y.shape)).astype(np.float32)
    strata = rng.integers(0, 15, 90)
    by_region = []
    for r in range(12):
        parts = [(y[strata == k, r], s[strata == k, r]) for k in range(15)]
        both = [(a, b) for a, b in parts if 0 < a.sum() < a.size]
        if both:
            weight = [a.sum() * (~a).sum() / a.size for a, _ in both]
            by_region.append(np.average([roc_auc_score(a, b) for a, b in both], weights=weight))
    labels = sp.csc_matrix(y.astype(np.float32))
    pairs = _comparing.MatchedPairs.fit(labels, strata, 10_000)
    assert pairs.auroc(s) == pytest.approx(np.mean(by_region), abs=1e-6)
    assert pairs.auroc(s) == pytest.approx(region_auroc(labels, s, strata, by_size=True).mean, abs=1e-6)
    assert _comparing.MatchedPairs.fit(labels, strata, len(pairs.weight) - 1) is None
    assert _comparing.MatchedPairs.fit(sp.csc_matrix(y.shape), strata, 10_000) is None  # nothing is open


@pytest.mark.parametrize("steps", [None, 4, 50])
@pytest.mark.parametrize("share", [0.02, 0.3, 0.9])
@pytest.mark.parametrize("sparse", [False, True])
def test_areas_of_one_sort_are_those_of_two(rng, monkeypatch, steps, share, sparse):
    monkeypatch.setattr(delong, "_IN_CACHE", 700)  # several blocks
    y = (rng.random((250, 12)) < share * rng.random(12)).astype(np.float32)
    y[:, 0], y[:, 1], y[:, 2] = 0, 1, np.arange(250) == 7  # no open cell, no closed one, one open
    s = rng.random((250, 12), dtype=np.float32) + 0.3 * y
    s = s if steps is None else np.round(s * steps) / steps
    expected = region_auroc(y, s), region_ap(y, s)
    for influence in (True, False):
        for got, known in zip(
            region_areas(sp.csc_matrix(y) if sparse else y, s, influence=influence), expected, strict=True
        ):
            np.testing.assert_allclose(got.score, known.score, atol=1e-13)
            if influence:
                np.testing.assert_allclose(got.influence, known.influence, atol=1e-15)
            else:
                assert got.influence is None


@pytest.mark.parametrize("sparse", [False, True])
@pytest.mark.parametrize("few", [False, True])
def test_some_regions_are_scored_as_among_all(rng, monkeypatch, sparse, few):
    monkeypatch.setattr(delong, "_COLUMNS", 4)
    monkeypatch.setattr(delong, "_IN_CACHE", 200)
    y = rng.random((120, 20)) < (0.02 if few else 0.3)
    s, strata = np.round(rng.normal(size=y.shape) + y, 1).astype(np.float32), rng.integers(-1, 5, 120)
    labels = sp.csc_matrix(y, dtype=np.float32) if sparse else y
    if sparse:
        labels.data[::7] = 0  # stored zeros are closed
        y = labels.toarray() != 0
    for regions in (np.array([1, 2, 3, 9, 14]), np.arange(6, 13)):
        got = region_auroc(labels, s, strata, regions=regions)
        alone = region_auroc(y[:, regions], s[:, regions], strata)
        np.testing.assert_allclose(got.score[regions], alone.score, atol=1e-12)
        assert np.isnan(np.delete(got.score, regions)).all()
        np.testing.assert_allclose(got.influence, alone.influence, atol=1e-7)
