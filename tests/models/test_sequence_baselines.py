"""Baselines that read sequence: counting by hand, regressions against scikit-learn, and no look at held-out regions."""

from __future__ import annotations

import anndata as ad
import mudata as md
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from sklearn.linear_model import LinearRegression, Ridge
from sklearn.metrics import roc_auc_score

from chromatell import ChromatellError
from chromatell.genome.region_covariates import gc_and_cpg
from chromatell.models.baselines.cells import BASELINES, SEQUENCE_BASELINES, UNSEEN, BaselineFitter, held_out_digest
from chromatell.models.baselines.sequence_rates import GRID

MOTIFS = {w: 0.97 * np.eye(4)[["ACGT".index(b) for b in w]] + 0.0075 for w in ("ACGAT", "TTGCAAG")}


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
    return BaselineFitter(mdata, mdata["atac"].var_names[places(mdata, "test")], motifs=MOTIFS)


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
    content = gc_and_cpg(atac.varm["dna_code"])
    log = np.log1p(np.abs(atac.var["tss_distance"].to_numpy(np.float64)))
    log[3] = log[train[train != 3]].mean()
    raw = np.column_stack([content, log])
    z = np.clip((raw - raw[train].mean(axis=0)) / raw[train].std(axis=0), -3, 3)
    z = np.column_stack([z, z[:, 0] ** 2])
    n = cells(new, "train").size
    n_open = np.asarray((atac.X[cells(new, "train")] > 0).sum(axis=0)).ravel()
    rate = np.log(-np.log1p(-(n_open + 0.5) / (n + 1)))
    fit = LinearRegression().fit(z[train], rate[train], 1 / (1 + 1 / (n_open[train] + 0.5)))
    assert np.corrcoef(fitter.baseline("gc_cpg_tss")._rate, fit.predict(z[test]))[0, 1] == pytest.approx(1, abs=1e-3)
    with pytest.raises(ChromatellError, match=r"tss_distance.*annotate_regions"):
        held_out(nowhere).predict("gc_cpg_tss", rows)


# ---- motifs


def test_motif_ridge_equals_scikit_learn_on_the_same_features(mdata):
    fitter, rows = held_out(mdata), cells(mdata, "test")
    p = fitter.predict("motif_ridge", rows)
    atac, train, val, test = mdata["atac"], *(places(mdata, part) for part in ("train", "val", "test"))
    tokens = atac.varm["dna_code"]
    odds = [np.log2((m + 0.001 * 0.25) / (1.001 * 0.25)).round(2) for m in MOTIFS.values()]
    onehot = np.eye(4)[tokens]
    hits, best = [], []
    for w in odds:
        places_of = np.lib.stride_tricks.sliding_window_view(onehot, len(w), axis=1)  # (regions, places, 4, length)
        both = [np.einsum("rpbl,lb->rp", places_of, x) for x in (w, w[::-1, ::-1])]
        every = np.indices([4] * len(w)).reshape(len(w), -1).T  # all words: the exact p-value
        scores = w[np.arange(len(w)), every].sum(axis=1)
        rare = [s for s in scores if (scores >= s - 1e-9).mean() <= 1e-4]
        least = min(rare, default=np.inf)
        score = np.maximum(*both)
        hits.append(np.log1p((score >= least - 1e-6).sum(axis=1)))
        best.append(score.max(axis=1))
    words = np.column_stack([*hits, *best])
    assert (words.std(axis=0) > 0).tolist() == [False, True, True, True]  # five bases are never so rare as 1e-4
    free = np.column_stack([gc_and_cpg(tokens), np.log1p(np.abs(atac.var["tss_distance"].to_numpy(np.float64)))])

    def scaled(x):
        sd = x[train].std(axis=0)
        return np.clip((x - x[train].mean(axis=0)) / np.where(sd > 1e-9, sd, np.inf), -3, 3)

    z, words = scaled(free), scaled(words)
    z = np.column_stack([z, z[:, 0] ** 2])
    n_open = np.asarray((atac.X[cells(mdata, "train")] > 0).sum(axis=0)).ravel()
    n = cells(mdata, "train").size
    rate, weight = np.log(-np.log1p(-(n_open + 0.5) / (n + 1))), 1 / (1 + 1 / (n_open + 0.5))

    def fit(alpha, at):  # by Frisch, Waugh and Lovell: ridge on what the free features leave over
        w = weight[at] / weight[at].mean()
        rest = [x[at] - LinearRegression().fit(z[at], x[at], w).predict(z[at]) for x in (words, rate)]
        beta = Ridge(alpha, fit_intercept=False).fit(*rest, w).coef_
        left = LinearRegression().fit(z[at], rate[at] - words[at] @ beta, w)
        return lambda to: left.predict(z[to]) + words[to] @ beta

    chosen = fitter.chosen()["motif_ridge_alpha"]
    found, expected = fitter.baseline("motif_ridge")._rate, fit(chosen, train)(test)
    assert np.corrcoef(found, expected)[0, 1] == pytest.approx(1, abs=1e-6)  # the map of both is one line
    error = {a: (weight[val] * (fit(a, train)(val) - rate[val]) ** 2).sum() for a in (chosen, 1e7)}
    assert error[chosen] <= error[1e7] * 1.05
    assert auroc(mdata, p, 0) > auroc(mdata, fitter.predict("gc_cpg_tss", rows), 0) + 0.03  # copies of ACGAT respond
    with pytest.raises(ChromatellError, match=r"needs motifs.*motifs='motifs.meme'"):
        BaselineFitter(mdata, atac.var_names).predict("motif_ridge", rows)
    assert "motif_ridge" not in BaselineFitter(mdata, atac.var_names).available(held_out=True)


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
    assert fitter.chosen()["kmer_ridge_alpha"] in GRID.values


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
    fitter, train = BaselineFitter(new, new["atac"].var_names, motifs=MOTIFS), cells(new, "train")
    assert [k for k in fitter.available() if k in SEQUENCE_BASELINES] == list(SEQUENCE_BASELINES)
    y = new["atac"].X[train].toarray() > 0
    for kind in SEQUENCE_BASELINES:
        p = fitter.predict(kind, train)
        assert p.mean() == pytest.approx(y.mean(), rel=0.03)
        top = p > np.quantile(p, 0.9)  # calibrated where it says most
        assert p[top].mean() == pytest.approx(y[top].mean(), rel=0.15 if kind.endswith("_ridge") else 0.05)
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
    whole = BaselineFitter(mdata, mdata["atac"].var_names, labels_key="cell_type", motifs=MOTIFS)
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
    fitter = BaselineFitter(new, new["atac"].var_names, motifs=MOTIFS)
    for kind in SEQUENCE_BASELINES:
        p = fitter.predict(kind, rows)
        assert np.isfinite(p).all()
        assert 0 <= p.min() < p.max() <= 1
        np.testing.assert_array_equal(p, BaselineFitter(new, new["atac"].var_names, motifs=MOTIFS).predict(kind, rows))
