"""Baselines that read sequence: counting by hand, regressions against scikit-learn, and no look at held-out regions."""

from __future__ import annotations

import anndata as ad
import mudata as md
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from scipy.optimize import minimize
from sklearn.linear_model import LinearRegression, Ridge
from sklearn.metrics import roc_auc_score

from chromatell import ChromatellError
from chromatell.genome import kmers
from chromatell.models.baselines import sequence
from chromatell.models.baselines import sequence_features as features
from chromatell.models.baselines.fitter import BaselineFitter
from chromatell.models.baselines.kinds import BASELINES, SEQUENCE_BASELINES, UNSEEN, held_out_digest

COMPLEMENT = str.maketrans("ACGTN", "TGCAN")


def text(tokens: np.ndarray) -> str:
    return "".join("ACGTN"[t] for t in tokens)


def random_tokens(rng: np.random.Generator, n: int, width: int, unknown: float = 0.0) -> np.ndarray:
    tokens = rng.integers(0, 4, (n, width)).astype(np.int8)
    tokens[rng.random((n, width)) < unknown] = 4
    return tokens


def planted(n_cells: int = 400, n_regions: int = 600, width: int = 120) -> md.MuData:
    """GC content sets a region's mean, and copies of ACGAT by how much more it is open in cells of one kind."""
    rng = np.random.default_rng(0)
    gc, copies = rng.uniform(0.3, 0.7, n_regions), rng.integers(0, 9, n_regions)
    strong = rng.random((n_regions, width)) < gc[:, None]
    tokens = np.where(strong, rng.integers(1, 3, strong.shape), 3 * rng.integers(0, 2, strong.shape)).astype(np.int8)
    for r, k in enumerate(copies):
        for at in rng.permutation(np.arange(0, width - 5, 6))[:k]:
            tokens[r, at : at + 5] = (
                [0, 1, 2, 0, 3] if rng.random() < 0.5 else [0, 3, 1, 2, 3]
            )  # or on the other strand
    kind, depth = rng.integers(0, 2, n_cells), rng.lognormal(0, 0.4, n_cells)
    log_rate = 4 * (gc - 0.5) - 2.5 + np.outer(kind - 0.5, (copies - 4) / 2.6) + rng.normal(0, 0.3, n_regions)
    names = [f"chr{1 + i * 5 // n_regions}:{1000 * i}-{1000 * i + 500}" for i in range(n_regions)]
    obs = pd.DataFrame({"cell_type": np.where(kind, "a", "b")}, index=[f"c{i}" for i in range(n_cells)])
    counts = rng.poisson(depth[:, None] * np.exp(log_rate))
    rna = rng.poisson(depth[:, None] * rng.gamma(2, 2, (2, 30))[kind])
    mdata = md.MuData(
        {
            "rna": ad.AnnData(sp.csr_matrix(rna, dtype=np.float32), obs=obs.copy()),
            "atac": ad.AnnData(sp.csr_matrix(counts, dtype=np.float32), obs=obs.copy(), var=pd.DataFrame(index=names)),
        }
    )
    mdata.obs["ctl_split"] = rng.choice(["train", "val", "test"], n_cells, p=[0.6, 0.2, 0.2])
    atac = mdata["atac"]
    atac.varm["dna_code"] = tokens
    atac.var["tss_distance"] = np.random.default_rng(1).integers(-100_000, 100_000, n_regions)
    atac.var["ctl_split"] = rng.choice(["train", "val", "test"], n_regions, p=[0.6, 0.2, 0.2])
    atac.obs["n_fragments"] = counts.sum(axis=1)
    return mdata


@pytest.fixture(scope="module")
def mdata() -> md.MuData:
    return planted()


def places(mdata, part):
    return np.flatnonzero(mdata["atac"].var["ctl_split"] == part)


def cells(mdata, part):
    return np.flatnonzero(mdata.obs["ctl_split"] == part)


def held_out(mdata) -> BaselineFitter:
    return BaselineFitter(mdata, mdata["atac"].var_names[places(mdata, "test")])


# ---- distance to the nearest gene


def test_distance_to_the_nearest_tss_is_one_more_feature_and_equals_scikit_learn(mdata):
    new = mdata.copy()
    atac, rng = new["atac"], np.random.default_rng(4)
    share = np.asarray((atac.X > 0).mean(axis=0)).ravel()
    distance = np.exp(12 - 8 * share / share.max() + rng.normal(0, 0.5, share.size)).astype(np.int64)
    atac.var["tss_distance"] = np.where(rng.random(share.size) < 0.5, distance, -distance)
    atac.var.iloc[3, atac.var.columns.get_loc("tss_distance")] = np.iinfo(np.int64).max  # no gene on its chromosome
    nowhere = mdata.copy()
    del nowhere["atac"].var["tss_distance"]
    assert "gc_cpg_tss" not in held_out(nowhere).available(held_out=True)
    fitter, test = held_out(new), places(new, "test")
    assert "gc_cpg_tss" in fitter.available(held_out=True)
    rows = cells(new, "test")
    found, without = (fitter.predict(k, rows).mean(axis=0) for k in ("gc_cpg_tss", "gc_cpg"))
    truth = np.asarray((atac.X[:, test] > 0).mean(axis=0)).ravel()
    assert np.corrcoef(found, truth)[0, 1] > np.corrcoef(without, truth)[0, 1] + 0.1
    train = places(new, "train")
    content = features.gc_and_cpg(atac.varm["dna_code"])
    log = np.log1p(np.abs(atac.var["tss_distance"].to_numpy(np.float64)))
    log[3] = log[train[train != 3]].mean()
    raw = np.column_stack([content, log])
    z = np.clip((raw - raw[train].mean(axis=0)) / raw[train].std(axis=0), -3, 3)
    z = np.column_stack([z, z[:, 0] ** 2])
    n = cells(new, "train").size
    n_open = np.asarray((atac.X[cells(new, "train")] > 0).sum(axis=0)).ravel()
    rate = np.log(-np.log1p(-(n_open + 0.5) / (n + 1)))
    fit = LinearRegression().fit(z[train], rate[train], 1 / (1 + 1 / (n_open[train] + 0.5)))
    mean = (
        fitter._baseline("gc_cpg_tss")
        ._shared.fitted["gc_cpg_tss"]
        .predict(atac.varm["dna_code"][test], atac.var["tss_distance"].to_numpy(np.float64)[test])[0]
    )
    assert np.corrcoef(mean, fit.predict(z[test]))[0, 1] == pytest.approx(1, abs=1e-3)
    with pytest.raises(ChromatellError, match=r"tss_distance.*annotate_regions"):
        held_out(nowhere).predict("gc_cpg_tss", rows)


# ---- features


def test_gc_and_cpg_equal_counting_in_text(rng):
    tokens = random_tokens(rng, 30, 80, unknown=0.1)
    for found, row in zip(features.gc_and_cpg(tokens), tokens, strict=True):
        s = text(row)
        known = len(s) - s.count("N")
        expected = s.count("CG") * known / (s.count("C") * s.count("G"))
        np.testing.assert_allclose(found, [(s.count("C") + s.count("G")) / known, expected])
    assert np.isnan(features.gc_and_cpg(np.full((1, 10), 4, dtype=np.int8))).all()


def test_kmers_equal_counting_in_text_on_both_strands(rng, monkeypatch):
    tokens = random_tokens(rng, 7, 60, unknown=0.05)
    shares = features.kmer_shares(tokens)
    names = [text(np.array([i // 4**j % 4 for j in (4, 3, 2, 1, 0)])) for i in range(1024)]
    pairs = sorted({min(k, k.translate(COMPLEMENT)[::-1]) for k in names})
    assert len(pairs) == 512
    for found, row in zip(shares, tokens, strict=True):
        s = text(row)
        seen = [s[i : i + 5] for i in range(len(s) - 4) if "N" not in s[i : i + 5]]
        canonical = [min(k, k.translate(COMPLEMENT)[::-1]) for k in seen]
        np.testing.assert_allclose(found, [canonical.count(p) / len(seen) for p in pairs], atol=1e-7)
    other_strand = np.where(tokens < 4, 3 - tokens, 4)[:, ::-1]
    np.testing.assert_allclose(features.kmer_shares(other_strand), shares)
    monkeypatch.setattr(kmers, "_BASES", 120)  # two sequences at a time
    np.testing.assert_array_equal(features.kmer_shares(tokens), shares)
    assert np.isnan(features.kmer_shares(np.full((1, 10), 4, dtype=np.int8))).all()


def test_features_are_standardised_with_training_regions_and_unknown_ones_are_average(rng):
    tokens = random_tokens(rng, 200, 90)
    found, (free, penalised) = features.Features.fit("kmer_ridge", tokens)
    content, shares = features.gc_and_cpg(tokens), features.kmer_shares(tokens).astype(np.float64)
    z = np.clip((content - content.mean(axis=0)) / content.std(axis=0), -3, 3)
    np.testing.assert_allclose(free, np.column_stack([z, z[:, 0] ** 2]), atol=1e-9)
    z = np.clip((shares - shares.mean(axis=0)) / shares.std(axis=0), -3, 3)
    np.testing.assert_allclose(penalised, z, atol=1e-5)
    assert free.shape == (200, 3)
    assert penalised.shape == (200, 512)
    for part in found(np.full((2, 90), 4, dtype=np.int8)):
        np.testing.assert_array_equal(part, 0)
    assert features.Features.fit("gc", tokens)[1][0].shape == (200, 2)
    constant = features.Features.fit("gc_cpg", np.tile(tokens[:1], (20, 1)))[1][0]
    np.testing.assert_array_equal(constant, 0)


# ---- regression


@pytest.fixture
def regression(rng):
    free, penalised = rng.normal(size=(80, 2)), rng.normal(size=(80, 12))
    target = penalised @ rng.normal(size=(12, 3)) + free @ rng.normal(size=(2, 3)) + rng.normal(size=(80, 3)) + 5
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
    ridge = features.PartialRidge(*regression)
    first, beta = ridge.at(np.full(3, alpha))
    new = rng.normal(size=(5, 2)), rng.normal(size=(5, 12))
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
    found = features.PartialRidge(*regression).left_out(np.full(3, alpha))
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
    ridge = features.PartialRidge(free, penalised, target, np.ones(300))
    for held in (None, ((free, penalised), target + rng.normal(size=target.shape), np.ones(300))):
        chosen = sequence.choose(ridge, target, np.ones(300), held)
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
    np.testing.assert_allclose(sequence._complementary_log_log(x, share), best, atol=1e-4)
    flat = np.log(-np.log1p(-share.mean()))
    assert sequence._complementary_log_log(-x, share) == (pytest.approx(flat), 0.0)  # the wrong way round
    assert sequence._complementary_log_log(np.ones(150), share) == (pytest.approx(flat), 0.0)
    slope = sequence._complementary_log_log(x, np.append(share[:-1], 1.0))
    assert np.isfinite(slope).all()


def test_cell_factors_say_nothing_of_depth(rng):
    design, ratio = rng.normal(size=(200, 6)), rng.lognormal(size=200)
    design[:, 0] += 3 * ratio
    train = np.arange(150)
    factors = sequence.cell_factors(np.column_stack([design, design[:, 1]]), train, ratio)  # one column twice
    assert factors.shape == (200, 6)
    np.testing.assert_allclose(factors[train].T @ factors[train] / 150, np.eye(6), atol=1e-4)
    np.testing.assert_allclose(factors[train].T @ ratio[train], 0, atol=1e-2)
    other = design.copy()
    other[150:] = 0
    again = sequence.cell_factors(np.column_stack([other, other[:, 1]]), train, ratio)
    np.testing.assert_allclose(np.abs(again[train]), np.abs(factors[train]), atol=1e-4)


# ---- the baselines


def auroc(mdata, p, axis):
    rows, cols = cells(mdata, "test"), places(mdata, "test")
    y = mdata["atac"].X[rows][:, cols].toarray() > 0
    if axis == 0:
        y, p = y.T, p.T
    return np.mean([roc_auc_score(a, b) for a, b in zip(y, p, strict=True) if 0 < a.sum() < a.size])


def test_they_find_what_was_planted_in_unseen_regions_and_cells(mdata):
    fitter, rows = held_out(mdata), cells(mdata, "test")
    p = {kind: fitter.predict(kind, rows) for kind in UNSEEN}
    for kind in SEQUENCE_BASELINES:
        assert p[kind].dtype == np.float32
        assert p[kind].shape == (rows.size, places(mdata, "test").size)
        assert auroc(mdata, p[kind], 1) > 0.58, kind  # regions within a cell: GC
    within = {kind: auroc(mdata, p[kind], 0) for kind in SEQUENCE_BASELINES}  # cells within a region
    assert within["gc"] == pytest.approx(within["gc_cpg"], abs=0.01)  # predicted depth and nothing else
    assert within["kmer_ridge"] > within["gc"] + 0.03
    assert fitter.chosen()["kmer_ridge_alpha"] in sequence.PENALTIES


def test_they_predict_a_constant_where_sequence_says_nothing(mdata):
    mdata = mdata.copy()
    mdata["atac"].varm["dna_code"] = random_tokens(np.random.default_rng(3), 600, 120)
    p = held_out(mdata).predict("kmer_ridge", cells(mdata, "test"))
    assert abs(auroc(mdata, p, 1) - 0.5) < 0.06


def with_other_atac(mdata, rows, cols):
    new = mdata.copy()
    x = new["atac"].X.toarray()
    x[np.ix_(rows, cols)] = np.random.default_rng(9).poisson(0.6, (len(rows), len(cols)))
    new["atac"].X = sp.csr_matrix(x)
    return new


def test_they_read_training_cells_in_training_regions_alone(mdata):
    every, rows = np.arange(mdata.n_obs), cells(mdata, "test")
    test, new = places(mdata, "test"), np.r_[cells(mdata, "val"), rows]
    fitter = held_out(mdata)
    for other in (with_other_atac(mdata, every, test), with_other_atac(mdata, new, np.arange(600))):
        again = held_out(other)
        for kind in SEQUENCE_BASELINES:
            np.testing.assert_array_equal(fitter.predict(kind, rows), again.predict(kind, rows), err_msg=kind)
    changed = held_out(with_other_atac(mdata, cells(mdata, "train"), places(mdata, "train")))
    assert np.abs(fitter.predict("gc", rows) - changed.predict("gc", rows)).max() > 0.01
    reference = held_out(with_other_atac(mdata, every, test)).predict("region_mean_true_depth", rows)
    assert np.abs(reference - fitter.predict("region_mean_true_depth", rows)).max() > 0.01


def test_expression_of_test_cells_and_sequence_of_test_regions_do_not_move_the_fit(mdata):
    rows, cols = cells(mdata, "test"), places(mdata, "test")
    other = mdata.copy()
    x = other["rna"].X.toarray()
    x[rows[1:]] = np.random.default_rng(1).poisson(3.0, x[rows[1:]].shape)
    other["rna"].X = sp.csr_matrix(x)
    other["atac"].varm["dna_code"][cols[1:]] = 0
    for kind in SEQUENCE_BASELINES:
        a, b = (held_out(m).predict(kind, rows[:1])[0, 0] for m in (mdata, other))
        assert a == pytest.approx(b, rel=1e-5), kind


def test_validation_regions_help_to_choose_the_penalty_and_nothing_else(mdata):
    rows, val = cells(mdata, "test"), places(mdata, "val")
    other = with_other_atac(mdata, np.arange(mdata.n_obs), val)
    for kind in ("gc", "gc_cpg"):  # which have none to choose
        np.testing.assert_array_equal(held_out(mdata).predict(kind, rows), held_out(other).predict(kind, rows))
    none = mdata.copy()
    none["atac"].var.loc[none["atac"].var_names[val], "ctl_split"] = "test"
    fitter = BaselineFitter(none, none["atac"].var_names[places(mdata, "test")])
    assert auroc(mdata, fitter.predict("kmer_ridge", rows), 0) > auroc(mdata, fitter.predict("gc", rows), 0) + 0.03


def test_without_a_split_of_regions_all_are_training_regions(mdata):
    new = mdata.copy()
    del new["atac"].var["ctl_split"]
    fitter, train = BaselineFitter(new, new["atac"].var_names), cells(new, "train")
    assert [k for k in fitter.available() if k in SEQUENCE_BASELINES] == list(SEQUENCE_BASELINES)
    y = new["atac"].X[train].toarray() > 0
    for kind in SEQUENCE_BASELINES:
        p = fitter.predict(kind, train)
        assert p.mean() == pytest.approx(y.mean(), rel=0.03)
        top = p > np.quantile(p, 0.9)  # calibrated where it says most
        assert p[top].mean() == pytest.approx(y[top].mean(), rel=0.15 if kind == "kmer_ridge" else 0.05)
    assert held_out_digest(new["atac"]) == ""
    assert len(held_out_digest(mdata["atac"])) == 16


def test_held_out_regions_get_the_mean_of_the_training_regions_from_the_other_baselines(mdata):
    names, test, rows = mdata["atac"].var_names, places(mdata, "test"), cells(mdata, "test")
    train = places(mdata, "train")
    mixed = BaselineFitter(mdata, names, labels_key="cell_type")
    alone = BaselineFitter(mdata, names[train], labels_key="cell_type")
    for kind in ("region_mean", "region_mean_depth", "celltype_mean", "knn", "svd_ridge", "knn_atac"):
        p, q = mixed.predict(kind, rows), alone.predict(kind, rows)
        np.testing.assert_array_equal(p[:, train], q, err_msg=kind)
        np.testing.assert_allclose(p[:, test], np.tile(q.mean(axis=1, keepdims=True), test.size), rtol=1e-5)
    other = BaselineFitter(with_other_atac(mdata, np.arange(mdata.n_obs), test), names)
    for kind in ("region_mean", "knn", "svd_ridge"):
        np.testing.assert_array_equal(mixed.predict(kind, rows), other.predict(kind, rows), err_msg=kind)
    for kind in ("region_mean", "kmer_ridge", "region_mean_true_depth"):
        cols = np.array([5, 2, 300])
        np.testing.assert_allclose(mixed.predict(kind, rows, cols), mixed.predict(kind, rows)[:, cols], rtol=1e-6)


def test_what_is_available(mdata):
    fitter = held_out(mdata)
    assert fitter.available() == list(UNSEEN)
    assert fitter.available(held_out=True) == list(UNSEEN)
    whole = BaselineFitter(mdata, mdata["atac"].var_names, labels_key="cell_type")
    assert whole.available() == [k for k in BASELINES if k != "gene_activity"]
    assert whole.available(held_out=True) == list(UNSEEN)
    with pytest.raises(ChromatellError, match="all .* regions asked for are held out. Use one that reads sequence: gc"):
        fitter.predict("region_mean", cells(mdata, "test"))
    no_sequence = mdata.copy()
    del no_sequence["atac"].varm["dna_code"]
    fitter = held_out(no_sequence)
    assert fitter.available() == ["region_mean_true_depth"]
    with pytest.raises(ChromatellError, match=r"varm\['dna_code'\].*ctl.pp.add_sequence"):
        fitter.predict("gc", cells(mdata, "test"))


@pytest.mark.parametrize(
    "tokens", [np.zeros((600, 120), dtype=np.float32), np.full((600, 120), 5, dtype=np.int8), np.zeros((600, 0), "i1")]
)
def test_tokens_that_are_none_are_refused(mdata, tokens):
    new = mdata.copy()
    new["atac"].varm["dna_code"] = tokens
    with pytest.raises(ChromatellError, match="whole numbers 0 to 4.*ctl.pp.add_sequence"):
        held_out(new).predict("gc", cells(mdata, "test"))


def test_too_few_training_regions(mdata):
    new = mdata.copy()
    split = np.where(np.arange(600) < 15, "train", "test")
    new["atac"].var["ctl_split"] = split
    fitter = held_out(new)
    assert fitter.available() == ["region_mean_true_depth"]
    with pytest.raises(ChromatellError, match="15 training regions have a sequence.*ctl.pp.split_regions"):
        fitter.predict("kmer_ridge", cells(mdata, "test"))


def test_unknown_windows_and_the_same_seed(mdata):
    new = mdata.copy()
    new["atac"].varm["dna_code"][:30] = 4
    rows = cells(new, "test")
    fitter = BaselineFitter(new, new["atac"].var_names)
    for kind in SEQUENCE_BASELINES:
        p = fitter.predict(kind, rows)
        assert np.isfinite(p).all()
        assert 0 <= p.min() < p.max() <= 1
        np.testing.assert_array_equal(p, BaselineFitter(new, new["atac"].var_names).predict(kind, rows))
