"""What the baselines that read sequence count, and their regressions: in text, against scikit-learn and SciPy."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import minimize
from sklearn.linear_model import LinearRegression, Ridge

from chromatell.genome import kmers
from chromatell.genome.region_covariates import gc_and_cpg
from chromatell.models.baselines import sequence
from chromatell.models.baselines import sequence_rates as rates

COMPLEMENT = str.maketrans("ACGTN", "TGCAN")


def text(tokens: np.ndarray) -> str:
    return "".join("ACGTN"[t] for t in tokens)


def random_tokens(rng: np.random.Generator, n: int, width: int, unknown: float = 0.0) -> np.ndarray:
    tokens = rng.integers(0, 4, (n, width)).astype(np.int8)
    tokens[rng.random((n, width)) < unknown] = 4
    return tokens


# ---- features


def test_gc_and_cpg_equal_counting_in_text(rng):
    tokens = random_tokens(rng, 30, 80, unknown=0.1)
    for found, row in zip(gc_and_cpg(tokens), tokens, strict=True):
        s = text(row)
        known = len(s) - s.count("N")
        expected = s.count("CG") * known / (s.count("C") * s.count("G"))
        np.testing.assert_allclose(found, [(s.count("C") + s.count("G")) / known, expected])
    assert np.isnan(gc_and_cpg(np.full((1, 10), 4, dtype=np.int8))).all()


def test_kmers_equal_counting_in_text_on_both_strands(rng, monkeypatch):
    tokens = random_tokens(rng, 7, 60, unknown=0.05)
    shares = kmers.kmer_shares(tokens)
    names = [text(np.array([i // 4**j % 4 for j in (4, 3, 2, 1, 0)])) for i in range(1024)]
    pairs = sorted({min(k, k.translate(COMPLEMENT)[::-1]) for k in names})
    assert len(pairs) == 512
    for found, row in zip(shares, tokens, strict=True):
        s = text(row)
        seen = [s[i : i + 5] for i in range(len(s) - 4) if "N" not in s[i : i + 5]]
        canonical = [min(k, k.translate(COMPLEMENT)[::-1]) for k in seen]
        np.testing.assert_allclose(found, [canonical.count(p) / len(seen) for p in pairs], atol=1e-7)
    other_strand = np.where(tokens < 4, 3 - tokens, 4)[:, ::-1]
    np.testing.assert_allclose(kmers.kmer_shares(other_strand), shares)
    monkeypatch.setattr(kmers, "_BASES", 120)  # two sequences at a time
    np.testing.assert_array_equal(kmers.kmer_shares(tokens), shares)
    assert np.isnan(kmers.kmer_shares(np.full((1, 10), 4, dtype=np.int8))).all()


def test_features_are_standardised_with_training_regions_and_unknown_ones_are_average(rng):
    tokens = random_tokens(rng, 200, 90)
    found, (free, penalised) = rates.Features.fit(sequence.KmerRidge.reads, tokens)
    content, shares = gc_and_cpg(tokens), kmers.kmer_shares(tokens).astype(np.float64)
    z = np.clip((content - content.mean(axis=0)) / content.std(axis=0), -3, 3)
    np.testing.assert_allclose(free, np.column_stack([z, z[:, 0] ** 2]), atol=1e-9)
    z = np.clip((shares - shares.mean(axis=0)) / shares.std(axis=0), -3, 3)
    np.testing.assert_allclose(penalised, z, atol=1e-5)
    assert free.shape == (200, 3)
    assert penalised.shape == (200, 512)
    for part in found(np.full((2, 90), 4, dtype=np.int8)):
        np.testing.assert_array_equal(part, 0)
    assert rates.Features.fit(sequence.Gc.reads, tokens)[1][0].shape == (200, 2)
    constant = rates.Features.fit(sequence.GcCpg.reads, np.tile(tokens[:1], (20, 1)))[1][0]
    np.testing.assert_array_equal(constant, 0)


# ---- regression


@pytest.fixture(params=[12, 150], ids=["more rows", "more features"])
def regression(rng, request):
    free, penalised = rng.normal(size=(80, 2)), rng.normal(size=(80, request.param))
    target = penalised @ rng.normal(size=(request.param, 3)) + free @ rng.normal(size=(2, 3))
    target += rng.normal(size=(80, 3)) + 5
    return free, penalised, target, rng.uniform(0.2, 3, 80)


def sklearn_partial(free, penalised, target, weight, alpha):
    """By Frisch, Waugh and Lovell: ridge on what the free features leave over."""
    w = weight / weight.mean()
    rest_x = penalised - LinearRegression().fit(free, penalised, w).predict(free)
    rest_y = target - LinearRegression().fit(free, target, w).predict(free)
    beta = Ridge(alpha, fit_intercept=False).fit(rest_x, rest_y, w).coef_.T
    left = LinearRegression().fit(free, target - penalised @ beta, w)
    return lambda f, x: left.predict(f) + x @ beta


@pytest.mark.parametrize("alpha", [0.5, 30.0])
def test_partial_ridge_equals_sklearn(regression, rng, alpha):
    ridge = rates.PartialRidge(*regression)
    first, beta = ridge.at(np.full(3, alpha))
    new = rng.normal(size=(5, 2)), rng.normal(size=(5, regression[1].shape[1]))
    expected = sklearn_partial(*regression, alpha)(*new)
    np.testing.assert_allclose(first[0] + new[0] @ first[1:] + new[1] @ beta, expected, rtol=1e-6)
    each = ridge.at(np.array([1.0, alpha, np.inf]))
    np.testing.assert_allclose(each[1][:, 1], beta[:, 1])
    free, _, target, weight = regression
    plain = LinearRegression().fit(free, target[:, 2], weight)
    np.testing.assert_allclose(each[0][:, 2], [plain.intercept_, *plain.coef_])
    np.testing.assert_array_equal(each[1][:, 2], 0)


@pytest.mark.parametrize("alpha", [3.0, np.inf])
def test_left_out_predictions_equal_refits(regression, alpha):
    found = rates.PartialRidge(*regression).left_out(np.full(3, alpha))
    mean = regression[3].mean()  # a penalty is on the scale of weights whose mean over all rows is 1
    for i in (0, 17, 79):
        free, penalised, target, weight = (np.delete(x, i, axis=0) for x in regression)
        if np.isfinite(alpha):
            predict = sklearn_partial(free, penalised, target, weight, alpha * mean / weight.mean())
            expected = predict(regression[0][i : i + 1], regression[1][i : i + 1])
        else:
            expected = LinearRegression().fit(free, target, weight).predict(regression[0][i : i + 1])
        np.testing.assert_allclose(found[i], expected[0], rtol=1e-6)


def test_the_penalty_is_infinite_for_noise_and_finite_for_signal(rng):
    free, penalised = np.zeros((300, 0)), rng.normal(size=(300, 40))
    signal = penalised[:, :1] * 2 + rng.normal(size=(300, 1))
    target = np.column_stack([signal, rng.normal(size=300)])
    ridge = rates.PartialRidge(free, penalised, target, np.ones(300))
    for held in (None, ((free, penalised), target + rng.normal(size=target.shape), np.ones(300))):
        chosen = rates.choose("kmer_ridge", ridge, target, np.ones(300), held)
        assert chosen[0] < 1_000
        if held is None:
            assert chosen[1] == np.inf


def test_complementary_log_log_equals_scipy(rng):
    x = rng.normal(-2, 1, 150)
    share = rng.binomial(200, -np.expm1(-np.exp(-0.3 + 0.8 * x))) / 200

    def loss(w):
        p = np.clip(-np.expm1(-np.exp(w[0] + w[1] * x)), 1e-12, 1 - 1e-12)
        return -(share * np.log(p) + (1 - share) * np.log(1 - p)).mean()

    best = minimize(loss, [0.0, 1.0], method="Nelder-Mead", options={"xatol": 1e-8, "fatol": 1e-12, "maxiter": 5000}).x
    np.testing.assert_allclose(rates._complementary_log_log(x, share), best, atol=1e-4)
    flat = np.log(-np.log1p(-share.mean()))
    assert rates._complementary_log_log(-x, share) == (pytest.approx(flat), 0.0)  # the wrong way round
    assert rates._complementary_log_log(np.ones(150), share) == (pytest.approx(flat), 0.0)
    slope = rates._complementary_log_log(x, np.append(share[:-1], 1.0))
    assert np.isfinite(slope).all()


def test_cell_factors_say_nothing_of_depth(rng):
    design, ratio = rng.normal(size=(200, 6)), rng.lognormal(size=200)
    design[:, 0] += 3 * ratio
    train = np.arange(150)
    factors = rates.cell_factors(np.column_stack([design, design[:, 1]]), train, ratio)  # one column twice
    assert factors.shape == (200, 6)
    np.testing.assert_allclose(factors[train].T @ factors[train] / 150, np.eye(6), atol=1e-4)
    np.testing.assert_allclose(factors[train].T @ ratio[train], 0, atol=1e-2)
    other = design.copy()
    other[150:] = 0
    again = rates.cell_factors(np.column_stack([other, other[:, 1]]), train, ratio)
    np.testing.assert_allclose(np.abs(again[train]), np.abs(factors[train]), atol=1e-4)
