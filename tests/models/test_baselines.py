"""Baselines against scikit-learn, against hand-worked cases, and against leaks of the target assay."""

from __future__ import annotations

import anndata as ad
import mudata as md
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from sklearn.decomposition import TruncatedSVD
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.metrics import average_precision_score, brier_score_loss, roc_auc_score
from sklearn.neighbors import KNeighborsRegressor

import chromatell as ctl
from chromatell.data.expression import Embedding, Expression
from chromatell.models.baselines import cell_data, neighbours, parts
from chromatell.models.baselines.cells import BASELINES, ORACLES, SEQUENCE_BASELINES, BaselineFitter
from chromatell.models.baselines.protocol import EVERY

READS_EACH_REGION = [kind for kind in BASELINES if kind not in SEQUENCE_BASELINES]  # the others have a file of theirs


def simulated(n_cells: int = 300, n_regions: int = 80, depth: float = 12.0) -> md.MuData:
    mdata = ctl.datasets.simulate_multiome(n_cells, 40, n_regions, n_types=3, depth=depth, truth=False, seed=3)
    ctl.pp.split_cells(mdata, fractions=(0.6, 0.2, 0.2), seed=0)
    return mdata


def tiny(expression: np.ndarray, counts: np.ndarray, split: list[str], names: list[str] | None = None) -> md.MuData:
    names = names or [f"chr{1 + i % 2}:{1000 * i}-{1000 * i + 500}" for i in range(counts.shape[1])]
    obs = pd.DataFrame(index=[f"c{i}" for i in range(len(counts))])
    rna = ad.AnnData(np.asarray(expression, dtype=np.float32), obs=obs.copy())
    atac = ad.AnnData(sp.csr_matrix(counts, dtype=np.float32), obs=obs.copy(), var=pd.DataFrame(index=names))
    mdata = md.MuData({"rna": rna, "atac": atac})
    mdata.obs["ctl_split"] = split
    return mdata


def parts_of(mdata: md.MuData) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    split = mdata.obs["ctl_split"].to_numpy()
    y = (mdata.mod["atac"].X.toarray() > 0).astype(float)
    return np.flatnonzero(split == "train"), np.flatnonzero(split == "val"), np.flatnonzero(split == "test"), y


def embedded(mdata: md.MuData, train: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    x = mdata.mod["rna"].X
    expression = Expression.fit(x[train], mdata.mod["rna"].var_names)
    z, library = expression.transform(x)
    return Embedding.fit(expression, x[train], seed=0).transform(z), library


@pytest.fixture(scope="module")
def mdata() -> md.MuData:
    return simulated()


@pytest.fixture(scope="module")
def fitter(mdata: md.MuData) -> BaselineFitter:
    return BaselineFitter(mdata, mdata.mod["atac"].var_names, labels_key="cell_type")


def test_region_mean_is_the_share_of_training_cells(mdata, fitter):
    train, _, test, y = parts_of(mdata)
    expected = np.clip(y[train].mean(axis=0), 0.5 / (train.size + 1), 1 - 0.5 / (train.size + 1))
    p = fitter.predict("region_mean", test)
    assert p.dtype == np.float32
    assert p.shape == (test.size, y.shape[1])
    np.testing.assert_allclose(p, np.tile(expected, (test.size, 1)), rtol=1e-6)


def test_celltype_mean_hand_worked():
    counts = np.array([[1, 0], [3, 0], [0, 1], [0, 0], [0, 0], [0, 0], [0, 0]])
    mdata = tiny(np.ones((7, 3)), counts, ["train"] * 4 + ["test"] * 3)
    mdata.obs["kind"] = ["a", "a", "b", "b", "a", "unseen", None]
    p = BaselineFitter(mdata, mdata.mod["atac"].var_names, labels_key="kind").predict("celltype_mean", np.arange(4, 7))
    mean = np.array([0.5, 0.25])
    of_a = (np.array([2, 0]) + 5 * mean) / (2 + 5)
    np.testing.assert_allclose(p, [of_a, mean, mean], rtol=1e-6)


def with_library(mdata: md.MuData, train: np.ndarray) -> np.ndarray:
    """Components of one scale, log library size last."""
    space, library = embedded(mdata, train)
    return np.column_stack([space / space[train].std(axis=0).max(), library])


def test_knn_equals_sklearn(mdata, fitter):
    train, val, test, y = parts_of(mdata)
    design = with_library(mdata, train)
    mean = np.clip(y[train].mean(axis=0), 0.5 / (train.size + 1), 1)

    def sklearn(rows: np.ndarray, k: int, library: float) -> np.ndarray:
        space = design * np.append(np.ones(design.shape[1] - 1), library)
        found = KNeighborsRegressor(k).fit(space[train], y[train]).predict(space[rows])
        return (k * found + mean) / (k + 1)

    brier = {
        (k, w): np.mean((sklearn(val, k, w) - y[val]) ** 2)
        for k in (20, 30, 50, 100, 150, 179)  # 179 are all but the cell itself
        for w in (0.0, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0)
    }
    p = fitter.predict("knn", test)
    k, library = int(fitter.chosen()["knn_k"]), fitter.chosen()["knn_library"]
    assert brier[k, library] <= 1.001 * min(brier.values())
    assert brier[k, library] <= brier[50, 1.0]
    np.testing.assert_allclose(p, sklearn(test, k, library), atol=1e-5)


def test_each_view_has_the_option_that_is_best_in_it(mdata, fitter):
    """On the validation cells no neighbour of the chosen number does better, by scikit-learn's own scores."""
    train, val, _, y = parts_of(mdata)
    best, k = {}, {}
    for view, score in (("overall", average_precision_score), ("per_cell", None), ("calibration", brier_score_loss)):
        fitter.predict("knn", val[:1], view=view)
        k[view] = fitter.option("knn", view)
        by_option = {}
        for n in (20, 30, 50, 100, 150, 179):
            p = fitter.baseline("knn").predict(val, EVERY, (n, k[view][1]))
            if score is None:
                both = [i for i, row in enumerate(y[val]) if 0 < row.sum() < row.size]
                by_option[n] = np.mean([roc_auc_score(y[val][i], p[i]) for i in both])
            else:
                by_option[n] = score(y[val].ravel(), p.ravel()) * (-1 if view == "calibration" else 1)
        best[view] = by_option
    for view, by_option in best.items():
        assert by_option[k[view][0]] >= max(by_option.values()) - 2e-3, view
    assert fitter.option("knn", "within_type") == fitter.option("knn", "depth_matched")


def test_expression_that_is_read_by_blocks_is_the_same(mdata, fitter, monkeypatch):
    monkeypatch.setattr(cell_data, "BLOCK", 10)
    by_blocks = BaselineFitter(mdata, mdata.mod["atac"].var_names)
    for one, other in zip(by_blocks.expression, fitter.expression, strict=True):
        np.testing.assert_array_equal(one, other)


def test_views_that_are_not_asked_for_are_not_tuned(mdata, fitter):
    few = BaselineFitter(mdata, mdata.mod["atac"].var_names, labels_key="cell_type", views=["per_cell", "within_type"])
    for kind in ("knn", "svd_ridge"):
        for view in ("calibration", "per_cell", "depth_matched"):
            assert few.option(kind, view) == fitter.option(kind, view)
        assert list(few.baseline(kind).chosen) == ["calibration", "per_cell", "depth_matched"]
        assert few.option(kind, "overall") == few.option(kind, "calibration")


def test_a_training_cell_is_not_its_own_neighbour():
    space = np.arange(6, dtype=np.float32)[:, None] ** 1.5
    truth = sp.csr_matrix(np.eye(6, dtype=np.float32))
    means = neighbours.NeighbourMeans(np.arange(6))
    p = means.mean("space", lambda: space, np.arange(6), (2, 1, 3), truth, np.zeros(6, dtype=np.float32))
    assert np.all(np.diag(p) == 0)
    np.testing.assert_allclose(p.sum(axis=1), 2 / 3)  # two neighbours and one cell's worth of the mean, which is 0
    assert p[0, 1] > 0
    assert p[0, 2] > 0


def test_ridge_equals_sklearn(mdata, fitter):
    train, val, test, y = parts_of(mdata)
    design = with_library(mdata, train)
    mean = np.clip(y[train].mean(axis=0), 0.5 / (train.size + 1), 1)

    def sklearn(rows: np.ndarray, components: int, alpha: float) -> np.ndarray:
        held = np.append(np.arange(components), design.shape[1] - 1)
        ridge = Ridge(alpha).fit(design[train][:, held], y[train])
        return np.clip(mean + ridge.predict(design[rows][:, held]) - y[train].mean(axis=0), 1e-6, 1 - 1e-6)

    p = fitter.predict("ridge", test)
    components, alpha = int(fitter.chosen()["ridge_components"]), fitter.chosen()["ridge_alpha"]
    brier = {
        (c, a): np.mean((sklearn(val, c, a) - y[val]) ** 2)
        for c in (1, 2, 5, 10, 20, 30, 39)
        for a in 10.0 ** np.arange(-2, 8)
    }
    assert brier[components, alpha] <= 1.001 * min(brier.values())
    np.testing.assert_allclose(p, sklearn(test, components, alpha), atol=1e-5)


def test_svd_ridge_equals_sklearn(mdata, fitter):
    train, _, test, y = parts_of(mdata)
    design = with_library(mdata, train)
    svd = TruncatedSVD(50, random_state=0).fit(sp.csr_matrix(y[train]))
    scores = y[train] @ svd.components_.T
    mean = np.clip(y[train].mean(axis=0), 0.5 / (train.size + 1), 1)
    p = fitter.predict("svd_ridge", test)
    rank, alpha, components = (fitter.chosen()[f"svd_ridge_{name}"] for name in ("rank", "alpha", "components"))
    held = np.append(np.arange(int(components)), design.shape[1] - 1)
    ridge = Ridge(alpha).fit(design[train][:, held], scores[:, : int(rank)])
    change = ridge.predict(design[test][:, held]) - scores[:, : int(rank)].mean(axis=0)
    expected = np.clip(mean + change @ svd.components_[: int(rank)], 1e-6, 1 - 1e-6)
    np.testing.assert_allclose(p, expected, atol=1e-4)


def test_true_depth_scales_the_rate():
    counts = np.array([[2, 0, 1], [0, 1, 1], [0, 0, 0], [4, 2, 0]])
    mdata = tiny(np.ones((4, 2)), counts, ["train", "train", "test", "test"])
    p = BaselineFitter(mdata, mdata.mod["atac"].var_names[:2]).predict("region_mean_true_depth", np.array([2, 3]))
    depth, mean_depth = np.array([0, 6]), 2.5  # over all three regions, not only those that are predicted
    np.testing.assert_allclose(p, 1 - (1 - 0.5) ** (np.outer(depth, [1, 1]) / mean_depth), rtol=1e-6)
    mdata.mod["atac"].obs["n_fragments"] = [1.0, 3.0, 2.0, 4.0]
    p = BaselineFitter(mdata, mdata.mod["atac"].var_names[:2]).predict("region_mean_true_depth", np.array([2, 3]))
    np.testing.assert_allclose(p, [[0.5, 0.5], [0.75, 0.75]], rtol=1e-6)


def test_predicted_depth_follows_expression():
    rng = np.random.default_rng(0)
    depth = rng.lognormal(0, 0.5, 400)
    rna = rng.poisson(depth[:, None] * rng.gamma(2, 4, 30))
    atac = rng.poisson(depth[:, None] * 0.3, (400, 40))
    mdata = tiny(rna, atac, ["train"] * 300 + ["val"] * 20 + ["test"] * 80)
    p = BaselineFitter(mdata, mdata.mod["atac"].var_names).predict("region_mean_depth", np.arange(320, 400))
    assert np.corrcoef(p.mean(axis=1), depth[320:])[0, 1] > 0.8
    assert abs(p.mean() - (atac[320:] > 0).mean()) < 0.03


def test_predicted_depth_reads_how_many_genes_are_detected():
    """Cells of one total, of which the deeper ones spread it over more genes; components see no gene twice."""
    rng = np.random.default_rng(0)
    n = rng.integers(20, 120, 400)
    rna = np.zeros((400, 600))
    for cell, genes in zip(rna, n, strict=True):
        np.add.at(cell, rng.choice(rng.choice(600, genes, replace=False), 240), 1)
    atac = rng.poisson(n[:, None] * 0.004, (400, 40))
    mdata = tiny(rna, atac, ["train"] * 280 + ["val"] * 40 + ["test"] * 80)
    p = BaselineFitter(mdata, mdata.mod["atac"].var_names).predict("region_mean_depth", np.arange(320, 400))
    assert np.corrcoef(p.mean(axis=1), n[320:])[0, 1] > 0.9


def linked(mdata: md.MuData) -> md.MuData:
    mdata = mdata.copy()
    ctl.pp.link_genes(mdata, mdata.mod["rna"].var, max_distance=50_000)
    return mdata


def test_gene_activity_equals_sklearn(mdata):
    mdata = linked(mdata)
    train, _, test, y = parts_of(mdata)
    distance = mdata.uns["ctl"]["links"]["distance"].toarray()
    weight = np.where(distance > 0, np.exp(-(distance - 1) / 5000) + np.exp(-1), 0)
    x = mdata.mod["rna"].X.toarray()
    x = np.log1p(x / x.sum(axis=1, keepdims=True) * np.median(x[train].sum(axis=1)))
    activity = x @ weight
    mean, sd = activity[train].mean(axis=0), activity[train].std(axis=0)
    has = sd > 1e-5
    z = np.divide(activity - mean, sd, where=has, out=np.zeros_like(activity))
    p = np.clip(y[train].mean(axis=0), 0.5 / (train.size + 1), 1)
    offset = np.tile(np.log(p / (1 - p)), (len(y), 1))

    def features(rows: np.ndarray) -> np.ndarray:
        return np.column_stack([offset[rows][:, has].ravel(), z[rows][:, has].ravel()])

    sklearn = LogisticRegression(C=np.inf, tol=1e-10, max_iter=1000).fit(features(train), y[train][:, has].ravel())
    found = BaselineFitter(mdata, mdata.mod["atac"].var_names).predict("gene_activity", test)
    assert 0 < has.sum() < has.size
    np.testing.assert_allclose(found[:, has].ravel(), sklearn.predict_proba(features(test))[:, 1], atol=2e-4)
    np.testing.assert_allclose(found[:, ~has], np.tile(p[~has], (test.size, 1)), rtol=1e-5)


def test_more_expression_never_means_less_accessibility():
    rng = np.random.default_rng(0)
    activity, y = rng.normal(size=4000), np.zeros(4000)
    y[(activity < 0) & (rng.random(4000) < 0.5)] = 1  # the wrong way round
    offset = np.full(4000, -1.0) + rng.normal(scale=0.1, size=4000)
    np.testing.assert_array_equal(parts.logistic(np.column_stack([offset, activity]), y), [0.0, 1.0, 0.0])


def shuffled_atac(mdata: md.MuData, rows: np.ndarray, cols: np.ndarray | None = None) -> md.MuData:
    """The same object with other ATAC in some cells (and regions)."""
    new = mdata.copy()
    x = new.mod["atac"].X.toarray()
    cols = np.arange(x.shape[1]) if cols is None else cols
    x[np.ix_(rows, cols)] = np.random.default_rng(9).poisson(0.6, (rows.size, cols.size))
    new.mod["atac"].X = sp.csr_matrix(x)
    return new


def test_only_references_read_the_atac_of_the_cells_they_predict(mdata):
    mdata = linked(mdata)
    _, _, test, _ = parts_of(mdata)
    names = mdata.mod["atac"].var_names
    before = BaselineFitter(mdata, names, labels_key="cell_type")
    after = BaselineFitter(shuffled_atac(mdata, test), names, labels_key="cell_type")
    assert before.available() == READS_EACH_REGION
    for kind in READS_EACH_REGION:
        same = np.array_equal(before.predict(kind, test), after.predict(kind, test))
        assert same == (kind not in ORACLES), kind


def test_knn_atac_never_reads_the_chromosomes_it_predicts(mdata, fitter):
    _, _, test, _ = parts_of(mdata)
    half = parts.chromosome_halves(mdata.mod["atac"])
    chrom = mdata.mod["atac"].var["chrom"].to_numpy()
    assert set(half) == {0, 1}
    assert not set(chrom[half == 0]) & set(chrom[half == 1])
    other = BaselineFitter(shuffled_atac(mdata, test, np.flatnonzero(half == 0)), mdata.mod["atac"].var_names)
    before, after = fitter.predict("knn_atac", test), other.predict("knn_atac", test)
    np.testing.assert_array_equal(before[:, half == 0], after[:, half == 0])
    assert np.abs(before[:, half == 1] - after[:, half == 1]).max() > 0.004


def test_the_test_cells_expression_does_not_move_the_fit(mdata, fitter):
    _, val, test, _ = parts_of(mdata)
    changed = mdata.copy()
    x = changed.mod["rna"].X.toarray()
    x[test] = np.random.default_rng(1).poisson(5.0, x[test].shape)
    changed.mod["rna"].X = sp.csr_matrix(x)
    other = BaselineFitter(changed, mdata.mod["atac"].var_names, labels_key="cell_type")
    for kind in ("region_mean_depth", "knn", "ridge", "svd_ridge"):
        np.testing.assert_array_equal(fitter.predict(kind, val), other.predict(kind, val), err_msg=kind)


def test_the_number_of_cells_asked_for_changes_nothing(mdata, monkeypatch):
    mdata = linked(mdata)
    rows = np.arange(30)
    fitter = BaselineFitter(mdata, mdata.mod["atac"].var_names, labels_key="cell_type")
    whole = {kind: fitter.predict(kind, rows) for kind in fitter.available()}
    monkeypatch.setattr(parts, "ROWS", 7)
    for kind, p in whole.items():
        np.testing.assert_allclose(fitter.predict(kind, rows), p, atol=1e-6, err_msg=kind)
        mask = np.zeros(mdata.n_obs, dtype=bool)
        mask[[3, 8]] = True
        np.testing.assert_allclose(fitter.predict(kind, mask), p[[3, 8]], atol=1e-6, err_msg=kind)
        assert fitter.predict(kind, np.array([], dtype=int)).shape == (0, mdata.mod["atac"].n_vars)


def test_expression_baselines_find_the_simulated_signal():
    mdata = linked(simulated(800, 100, depth=30.0))
    _, _, test, y = parts_of(mdata)
    fitter = BaselineFitter(mdata, mdata.mod["atac"].var_names, labels_key="cell_type")

    def per_region(kind: str) -> float:
        p = fitter.predict(kind, test)
        both = [j for j in range(y.shape[1]) if 0 < y[test, j].sum() < test.size]
        return float(np.mean([roc_auc_score(y[test, j], p[:, j]) for j in both]))

    found = {kind: per_region(kind) for kind in fitter.available()}
    assert found["region_mean"] == 0.5
    assert min(found[k] for k in ("knn", "ridge", "svd_ridge")) > 0.54
    assert min(found[k] for k in ("celltype_mean", "gene_activity")) > 0.52


def test_empty_cells_and_regions_and_constant_genes_give_no_nan():
    rng = np.random.default_rng(0)
    counts = rng.poisson(0.3, (60, 10))
    counts[[0, 40, 59]] = 0  # cells with no open region, one in each split
    counts[:, 2] = 0  # open nowhere
    counts[:40, 3] = 0  # open in no training cell
    counts[:, 4] = 1  # open everywhere
    expression = rng.poisson(2.0, (60, 6)) + np.eye(6)[rng.integers(6, size=60)]
    expression[:, 1] = 0
    mdata = tiny(expression, counts, ["train"] * 40 + ["val"] * 10 + ["test"] * 10)
    mdata.uns["ctl"] = {
        "links": {
            "distance": sp.csr_matrix(np.eye(6, 10) * 101),
            "gene": mdata.mod["rna"].var_names.to_numpy(),
            "region": mdata.mod["atac"].var_names.to_numpy(),
        }
    }
    mdata.obs["cell_type"] = ["a", "b"] * 30
    fitter = BaselineFitter(mdata, mdata.mod["atac"].var_names, labels_key="cell_type")
    assert fitter.available() == READS_EACH_REGION
    for kind in READS_EACH_REGION:
        p = fitter.predict(kind, np.arange(60))
        assert np.isfinite(p).all(), kind
        assert p.min() >= 0, kind
        assert p.max() <= 1, kind


def test_without_validation_cells_defaults_are_used(mdata):
    new = mdata.copy()
    new.obs["ctl_split"] = np.where(np.arange(new.n_obs) < 200, "train", "test")
    fitter = BaselineFitter(new, new.mod["atac"].var_names)
    for kind in ("knn", "ridge", "svd_ridge", "knn_atac"):
        assert np.isfinite(fitter.predict(kind, np.arange(200, 210))).all()
    expected = {"knn_k": 50.0, "knn_library": 1.0, "ridge_components": 20.0, "ridge_alpha": 100.0, "knn_atac_k": 50.0}
    expected |= {"svd_ridge_rank": 12.0, "svd_ridge_alpha": 100.0, "svd_ridge_components": 20.0}
    assert fitter.chosen() == expected


def test_the_same_seed_gives_the_same(mdata, fitter):
    again = BaselineFitter(mdata, mdata.mod["atac"].var_names, labels_key="cell_type")
    for kind in fitter.available():
        np.testing.assert_array_equal(fitter.predict(kind, np.arange(20)), again.predict(kind, np.arange(20)))


def test_a_part_of_the_regions_in_another_order(mdata, fitter):
    names = mdata.mod["atac"].var_names[[7, 3, 11]]
    part = BaselineFitter(mdata, names, labels_key="cell_type")
    rows = np.arange(5)
    for kind in ("region_mean", "celltype_mean", "region_mean_true_depth"):
        np.testing.assert_allclose(part.predict(kind, rows), fitter.predict(kind, rows)[:, [7, 3, 11]], rtol=1e-6)
