"""``tl.fisher`` against SciPy, brute force and hand-worked tables."""

from __future__ import annotations

import mudata as md
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from scipy.stats import fisher_exact, hypergeom
from sklearn.metrics import f1_score

import chromatell as ctl
from chromatell import ChromatellError
from chromatell._settings import logger
from chromatell.data.predictions import read_prediction
from chromatell.models.baselines.cells import BaselineFitter
from chromatell.tl import _fisher as module
from chromatell.tl._fisher import fisher, log_odds

COLUMNS = [
    "model",
    "threshold",
    "split",
    "tp",
    "fp",
    "fn",
    "tn",
    "share_positive",
    "precision",
    "recall",
    "odds_ratio",
    "log_odds_ratio",
    "ci_low",
    "ci_high",
    "p_value",
    "log10_p",
    "is_baseline",
    "uses_target_assay",
]


@pytest.fixture(scope="module")
def scored() -> md.MuData:
    mdata = ctl.datasets.simulate_multiome(300, 40, 60, n_types=3, depth=10.0, truth=True, seed=2)
    ctl.pp.split_cells(mdata, fractions=(0.6, 0.2, 0.2), seed=0)
    ctl.tl.add_prediction(mdata, mdata.mod["atac"].layers["truth"], key="oracle")
    return mdata


@pytest.fixture
def mdata(scored) -> md.MuData:
    return scored.copy()


def cells(mdata, split: str) -> tuple[np.ndarray, np.ndarray]:
    rows = np.flatnonzero(mdata.obs["ctl_split"].to_numpy() == split)
    return rows, (mdata.mod["atac"].X[rows].toarray() > 0)


def test_table_equals_brute_force_and_scipy(mdata):
    assert fisher(mdata, seed=0) is None
    table = mdata.uns["ctl"]["fisher"]
    assert list(table.columns) == COLUMNS
    row = table.iloc[0]
    p = read_prediction(mdata, "oracle")
    val, y_val = cells(mdata, "val")
    f1 = {t: f1_score(y_val.ravel(), p[val].ravel() >= t) for t in np.unique(p[val])[::5]}
    assert f1_score(y_val.ravel(), p[val].ravel() >= np.float32(row["threshold"])) >= max(f1.values())
    test, y = cells(mdata, "test")
    called = p[test] >= np.float32(row["threshold"])
    counts = [(called & y).sum(), (called & ~y).sum(), (~called & y).sum(), (~called & ~y).sum()]
    assert [row[c] for c in ("tp", "fp", "fn", "tn")] == counts
    tp, fp, fn, tn = counts
    expected = fisher_exact([[tp, fp], [fn, tn]])
    np.testing.assert_allclose(row["odds_ratio"], expected.statistic)
    np.testing.assert_allclose(row["p_value"], expected.pvalue)
    np.testing.assert_allclose(row["log10_p"], np.log10(expected.pvalue))
    np.testing.assert_allclose(row["log_odds_ratio"], np.log(tp * tn / fp / fn))
    np.testing.assert_allclose(row[["share_positive", "precision", "recall"]].astype(float),
                               [called.mean(), tp / called.sum(), tp / y.sum()])  # fmt: skip
    assert row["split"] == "test"


def test_the_f1_threshold_is_the_best_of_all(rng):
    for _ in range(20):
        values = rng.integers(0, 12, (15, 8)).astype(np.float32) / 12
        y = rng.random((15, 8)) < values
        rows = np.sort(rng.choice(15, 10, replace=False))
        best = module.best_f1_threshold(values, rows, sp.csr_matrix(y[rows].astype(float)))
        brute = {t: f1_score(y[rows].ravel(), values[rows].ravel() >= t) for t in np.unique(values[rows])}
        np.testing.assert_allclose(brute[np.float32(best)], max(brute.values()))


def test_baselines_call_the_same_share(mdata):
    fisher(mdata, "oracle", threshold=0.2, seed=0)
    table = mdata.uns["ctl"]["fisher"].set_index("model")
    assert table.loc["oracle", "threshold"] == 0.2
    assert table["share_positive"].nunique() == 1
    kinds = [
        "region_mean",
        "region_mean_depth",
        "celltype_mean",
        "knn",
        "ridge",
        "svd_ridge",
        "region_mean_true_depth",
        "knn_atac",
    ]
    assert list(table.index) == ["oracle", *kinds]
    assert table["is_baseline"].tolist() == [False] + [True] * 8
    assert table.index[table["uses_target_assay"]].tolist() == ["region_mean_true_depth", "knn_atac"]
    test, y = cells(mdata, "test")
    fitter = BaselineFitter(mdata, mdata.mod["atac"].var_names, labels_key="cell_type")
    n_called = int(table.loc["oracle", ["tp", "fp"]].sum())
    p = fitter.predict("svd_ridge", test)  # no two values are the same: the n largest
    cut = np.sort(p.ravel())[-n_called]
    assert table.loc["svd_ridge", "tp"] == (y & (p >= cut)).sum()
    np.testing.assert_allclose(table.loc["svd_ridge", "threshold"], cut)
    assert table.loc["oracle", "log_odds_ratio"] == table["log_odds_ratio"].max()


def test_ties_count_in_part():
    values = np.array([[0.9, 0.5, 0.5], [0.5, 0.5, 0.1]], dtype=np.float32)
    truth = sp.csr_matrix(np.array([[1, 1, 0], [0, 0, 1]]))
    cut, counts = module.same_share(values, truth, 3)  # the first, and two of the four at 0.5
    assert cut == 0.5
    np.testing.assert_allclose(counts, [[1.5, 0.5, 0.5, 0.5], [0, 1, 1, 1]])
    cut, counts = module.same_share(values, truth, 0)
    assert cut > 0.9
    np.testing.assert_allclose(counts, [[0, 0, 2, 1], [0, 0, 1, 2]])
    cut, counts = module.same_share(values, truth, 6)
    np.testing.assert_allclose(counts.sum(axis=0), [3, 3, 0, 0])


def test_nth_largest_equals_sorting(rng):
    values = rng.random((40, 30)).astype(np.float32) ** 6
    values[:5] = 0
    ordered = np.sort(values.ravel())[::-1]
    for n in (1, 2, 17, 600, 1049, 1051, 1200):
        assert module._nth_largest(values, n) == ordered[n - 1]


def test_the_interval_resamples_cells(mdata):
    fisher(mdata, "oracle", n_bootstrap=500, seed=1)
    row = mdata.uns["ctl"]["fisher"].iloc[0]
    test, y = cells(mdata, "test")
    called = read_prediction(mdata, "oracle")[test] >= np.float32(row["threshold"])
    rng = np.random.default_rng(5)
    draws = []
    for _ in range(500):
        i = rng.integers(test.size, size=test.size)
        a, b = called[i], y[i]
        draws.append(np.log((a & b).sum() * (~a & ~b).sum() / (a & ~b).sum() / (~a & b).sum()))
    low, high = np.quantile(draws, [0.025, 0.975])
    assert abs(row["ci_low"] - low) < 0.25 * (high - low)
    assert abs(row["ci_high"] - high) < 0.25 * (high - low)
    assert row["ci_low"] < row["log_odds_ratio"] < row["ci_high"]
    again = mdata.uns["ctl"]["fisher"]
    fisher(mdata, "oracle", n_bootstrap=500, seed=1)
    pd.testing.assert_frame_equal(mdata.uns["ctl"]["fisher"], again)


def test_where_cells_were_split_by_donor_donors_are_resampled(mdata):
    donors = np.repeat([f"d{i}" for i in range(20)], 15)
    mdata.obs["person"] = donors
    ctl.pp.split_cells(mdata, by="person", seed=0)
    fisher(mdata, "oracle", threshold=0.3, n_bootstrap=2_000, seed=1, baselines=[])
    row = mdata.uns["ctl"]["fisher"].iloc[0]
    test, y = cells(mdata, "test")
    called = read_prediction(mdata, "oracle")[test] >= np.float32(0.3)
    held = np.unique(donors[test])
    counts = np.array([  # of each donor
        [(a & b).sum(), (a & ~b).sum(), (~a & b).sum(), (~a & ~b).sum()]
        for a, b in ((called[donors[test] == d], y[donors[test] == d]) for d in held)
    ])  # fmt: skip
    draws = np.random.default_rng(5).multinomial(len(held), np.full(len(held), 1 / len(held)), size=2_000) @ counts
    low, high = np.quantile(np.log(draws[:, 0] * draws[:, 3] / draws[:, 1] / draws[:, 2]), [0.025, 0.975])
    assert row["ci_low"] == pytest.approx(low, abs=0.1 * (high - low))
    assert row["ci_high"] == pytest.approx(high, abs=0.1 * (high - low))


def test_baselines_read_the_inputs_that_the_model_reads(mdata):
    rng = np.random.default_rng(0)
    prot = mdata["rna"].copy()
    prot.var_names = [f"p{i}" for i in range(prot.n_vars)]
    mdata.mod["prot"] = prot
    noise = rng.poisson(1.0, mdata["rna"].shape).astype(np.float32) + 1
    mdata.mod["rna"].X = noise
    ctl.tl.dense(mdata, inputs=("rna", "prot"), stack=False, seed=0, train_kwargs={"max_epochs": 1})
    fisher(mdata, "dense", baselines=["ridge"], threshold=0.1, n_bootstrap=10, seed=0)
    found = mdata.uns["ctl"]["fisher"].set_index("model")
    test, y = cells(mdata, "test")
    fitter = BaselineFitter(mdata, mdata["atac"].var_names, seed=0, inputs=["rna", "prot"], views=())
    cut = np.sort(fitter.predict("ridge", test).ravel())[-int(found.loc["ridge", ["tp", "fp"]].sum())]
    called = fitter.predict("ridge", test) >= cut
    assert found.loc["ridge", "tp"] == (called & y).sum()


@pytest.mark.parametrize("counts", [(30, 70, 20, 180), (1, 9, 11, 3), (0, 5, 7, 9), (40, 10, 10, 40), (3, 40, 40, 900)])
def test_p_value_equals_scipy_and_so_does_its_log(counts):
    tp, fp, fn, tn = counts
    expected = fisher_exact([[tp, fp], [fn, tn]])
    odds, p, log10_p = module.fisher_test(*counts)
    assert odds == expected.statistic
    assert p == expected.pvalue
    np.testing.assert_allclose(log10_p, np.log10(expected.pvalue), atol=1e-9)
    np.testing.assert_allclose(module._log10_p(*counts), np.log10(expected.pvalue), atol=1e-6)


def test_log10_p_where_p_underflows():
    counts = (5_000, 20_000, 20_000, 800_000)
    _, p, log10_p = module.fisher_test(*counts)
    assert p == 0
    right_tail = hypergeom.logsf(4_999, 845_000, 25_000, 25_000) / np.log(10)  # the left one is 0 beside it
    np.testing.assert_allclose(log10_p, right_tail, rtol=1e-6)


@pytest.mark.parametrize("suffix", [".h5mu", ".zarr"])
def test_survives_in_files(mdata, tmp_path, suffix):
    fisher(mdata, seed=0, n_bootstrap=10)
    path = tmp_path / f"x{suffix}"
    mdata.write(path) if suffix == ".h5mu" else mdata.write_zarr(path)
    again = md.read_h5mu(path) if suffix == ".h5mu" else md.read_zarr(path)
    found = again.uns["ctl"]["fisher"]
    expected = mdata.uns["ctl"]["fisher"]
    assert list(found.columns) == COLUMNS
    for name in COLUMNS:
        assert found[name].tolist() == expected[name].tolist()


def test_degenerate_tables(mdata):
    fisher(mdata, "oracle", threshold=1.0, baselines=["region_mean"], n_bootstrap=5)
    table = mdata.uns["ctl"]["fisher"]
    assert table["tp"].tolist() == [0, 0]
    assert table["p_value"].tolist() == [1, 1]
    assert np.isnan(table["precision"]).all()
    said_nothing = ["odds_ratio", "log_odds_ratio", "ci_low", "ci_high"]
    assert table[said_nothing].isna().all(axis=None)
    fisher(mdata, "oracle", threshold=0.0, baselines=[], n_bootstrap=5)
    table = mdata.uns["ctl"]["fisher"]
    assert len(table) == 1
    assert table["recall"].iloc[0] == 1
    assert table[said_nothing].isna().all(axis=None)


def test_a_half_is_added_where_one_count_is_0_and_nothing_said_where_a_margin_is():
    tables = [[8, 2, 3, 7], [8, 0, 3, 7], [0, 0, 3, 7], [8, 2, 0, 0], [8, 0, 3, 0], [0, 2, 0, 7]]
    wanted = [np.log(8 * 7 / 6), np.log(8.5 * 7.5 / (0.5 * 3.5)), *[np.nan] * 4]
    np.testing.assert_allclose(log_odds(np.array(tables)), wanted)


def test_a_threshold_out_of_a_float32_prediction_is_taken(mdata):
    value = np.float32(mdata.mod["atac_pred"].X.mean())
    tables = [fisher(mdata, threshold=t, baselines=[], n_bootstrap=5, copy=True) for t in (value, float(value))]
    pd.testing.assert_frame_equal(*(t.uns["ctl"]["fisher"] for t in tables))


def test_only_the_table_is_written_and_the_warning_is_logged(mdata, caplog, monkeypatch):
    monkeypatch.setattr(logger, "propagate", True)
    mdata.uns["ctl"]["other"] = 1
    before = dict(mdata.uns["ctl"])
    new = fisher(mdata, baselines=["knn"], n_bootstrap=5, copy=True)
    assert mdata.uns["ctl"] == before
    assert set(new.uns["ctl"]) == {*before, "fisher"}
    assert "not independent" in caplog.text
    assert "not independent" in fisher.__doc__


def test_labels_that_are_not_there_leave_one_baseline_out(mdata):
    with pytest.raises(ChromatellError, match="labels='nope' is no column of mdata.obs; columns there: 'cell_type'"):
        fisher(mdata, labels="nope")
    for data in (mdata, *mdata.mod.values()):
        data.obs = data.obs.drop(columns=[c for c in data.obs if c.endswith("cell_type")])
    fisher(mdata, n_bootstrap=5)
    assert "celltype_mean" not in set(mdata.uns["ctl"]["fisher"]["model"])
    with pytest.raises(ChromatellError, match="Did not find mdata.obs\\['cell_type'\\]"):
        fisher(mdata, baselines=["celltype_mean"])


def closed(mdata):
    mdata.mod["atac"].X = sp.csr_matrix(mdata.mod["atac"].shape, dtype=np.float32)


def no_validation(mdata):
    mdata.obs["ctl_split"] = np.where(mdata.obs["ctl_split"] == "test", "test", "train")


@pytest.mark.parametrize(
    ("change", "call", "message"),
    [
        (None, {"model": "nope"}, "No prediction 'nope'"),
        (None, {"threshold": "best"}, "threshold='best' is not known"),
        (None, {"threshold": 1.5}, "threshold=1.5 is out of range"),
        (None, {"threshold": True}, "threshold=True"),
        (None, {"split": "held"}, "split='held' is not known"),
        (None, {"n_bootstrap": 0}, "n_bootstrap=0"),
        (None, {"baselines": ["nope"]}, "baselines='nope' is not known"),
        (None, {"baselines": "some"}, "baselines='some'"),
        (closed, {}, "No region is open in any of the"),
        (no_validation, {}, "holds no 'val' cell. Name the threshold that was chosen on all cells, threshold=0.5"),
        (lambda m: m.mod.pop("atac_pred"), {}, "Did not find mdata.mod\\['atac_pred'\\]"),
    ],
)
def test_bad_input_changes_nothing(mdata, change, call, message):
    if change:
        change(mdata)
    before = dict(mdata.uns.get("ctl", {}))
    with pytest.raises(ChromatellError, match=message):
        fisher(mdata, **call)
    assert dict(mdata.uns.get("ctl", {})) == before


def test_a_stored_baseline_is_not_listed_twice(mdata):
    ctl.tl.baseline(mdata, "knn")
    fisher(mdata, "knn", baselines=["region_mean", "knn"], n_bootstrap=5)
    assert mdata.uns["ctl"]["fisher"]["model"].tolist() == ["knn", "region_mean"]
