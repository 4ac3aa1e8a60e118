"""The leaderboard on simulated cells with known truth: who wins, by how much, and what is written."""

from __future__ import annotations

import mudata
import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import average_precision_score, roc_auc_score
from tests.tl.made_cells import predicted_cells

from chromatell._settings import settings
from chromatell._validate import ChromatellError, ChromatellWarning
from chromatell.data.predictions import write_prediction
from chromatell.datasets._simulate_multiome import simulate_multiome
from chromatell.evaluation import run
from chromatell.evaluation.tables import EVALUATION_COLUMNS, GAIN_COLUMNS
from chromatell.evaluation.tasks import cells
from chromatell.evaluation.views import view_names
from chromatell.metrics.bootstrap import metric_range
from chromatell.pp._split_cells import split_cells
from chromatell.tl._baseline import baseline
from chromatell.tl._evaluate import evaluate

VIEWS = view_names("pairs")

FEW = ["region_mean", "celltype_mean", "region_mean_true_depth"]


@pytest.fixture(scope="module")
def simulated() -> mudata.MuData:
    return predicted_cells()


@pytest.fixture(scope="module")
def evaluated(simulated) -> mudata.MuData:
    return evaluate(simulated, baselines=FEW, seed=0, copy=True)


def _value(mdata, model, view, metric, column="value", key="evaluation"):
    t = mdata.uns["ctl"][key]
    row = t[(t["model"] == model) & (t["view"] == view) & (t["metric"] == metric)]
    assert len(row) == 1
    return row[column].item()


def test_tables_have_their_shape(evaluated, simulated):
    table, gains = evaluated.uns["ctl"]["evaluation"], evaluated.uns["ctl"]["gains"]
    assert tuple(table.columns) == EVALUATION_COLUMNS
    assert tuple(gains.columns) == GAIN_COLUMNS
    assert set(table["view"]) == set(VIEWS)
    assert set(table["model"]) == {"true", "noisy", *FEW}
    assert set(table.loc[table["is_baseline"], "model"]) == set(FEW)
    assert set(gains["model"]) == {"true", "noisy"}
    assert "region_mean_true_depth" not in set(gains["baseline"])  # a reference is shown, never the one to beat
    assert (table["split"] == "test").all()
    assert "evaluation" not in simulated.uns["ctl"]  # copy=True leaves the object alone
    assert "ctl_auroc" not in simulated["atac_pred"].var


def test_values_equal_sklearn(evaluated):
    test = (evaluated.obs["ctl_split"] == "test").to_numpy()
    y = evaluated["atac"].X[test].toarray() > 0
    p = evaluated["atac_pred"].layers["noisy"][test]
    assert _value(evaluated, "noisy", "overall", "auroc") == pytest.approx(
        roc_auc_score(y.ravel(), p.ravel()), abs=1e-9
    )
    ap = average_precision_score(y.ravel(), p.ravel())
    assert _value(evaluated, "noisy", "overall", "ap") == pytest.approx(ap, abs=1e-9)
    assert _value(evaluated, "noisy", "overall", "normalised_ap") == pytest.approx((ap - y.mean()) / (1 - y.mean()))
    assert evaluated.uns["ctl"]["curves"]["cross-cell"]["_prevalence"] == pytest.approx(y.mean())
    regions = [roc_auc_score(y[:, r], p[:, r]) for r in range(y.shape[1]) if 0 < y[:, r].sum() < len(y)]
    assert _value(evaluated, "noisy", "per_region", "auroc") == pytest.approx(np.mean(regions))
    assert _value(evaluated, "noisy", "per_region", "auroc", "n") == len(regions)
    cells = [average_precision_score(a, b) for a, b in zip(y, p, strict=True) if 0 < a.sum() < a.size]
    assert _value(evaluated, "noisy", "per_cell", "ap") == pytest.approx(np.mean(cells))
    assert _value(evaluated, "noisy", "calibration", "brier") == pytest.approx(((p - y) ** 2).mean(), rel=1e-5)
    assert _value(evaluated, "region_mean", "per_region", "auroc") == pytest.approx(0.5)


def test_truth_beats_noise_and_baselines_with_intervals_above_zero(evaluated, simulated):
    ranked = [("overall", "auroc"), ("overall", "ap"), ("per_cell", "auroc"), ("per_region", "auroc")]
    for view, metric in [*ranked, ("calibration", "brier")]:
        gain, low, high = (_value(evaluated, "true", view, metric, c, "gains") for c in ("gain", "ci_low", "ci_high"))
        assert 0 < low < gain < high, (view, metric)
        assert _value(evaluated, "noisy", view, metric, "gain", "gains") < gain
    # label means come near the truth among cells of one depth, so there the truth is held against the region mean
    flat = evaluate(simulated, baselines=["region_mean"], views=["depth_matched"], copy=True)
    low, value = (_value(flat, "true", "depth_matched", "auroc", c, "gains") for c in ("ci_low", "gain"))
    assert 0.02 < low < value
    assert _value(flat, "noisy", "depth_matched", "auroc", "gain", "gains") < value
    value, low, high = (_value(evaluated, "true", "overall", "ap", c) for c in ("value", "ci_low", "ci_high"))
    assert low < value < high
    assert (
        _value(evaluated, "noisy", "calibration", "ece", "gain", "gains") < 0
    )  # lower is better, gains are turned round


def test_depth_alone_is_high_overall_and_chance_when_matched(evaluated):
    depth = "region_mean_true_depth"
    assert _value(evaluated, depth, "per_region", "auroc") > 0.58
    assert abs(_value(evaluated, depth, "depth_matched", "auroc") - 0.5) < 0.04
    assert _value(evaluated, depth, "per_cell", "auroc") == pytest.approx(
        _value(evaluated, "region_mean", "per_cell", "auroc"), abs=0.01
    )


def test_self_expected_is_the_score_where_the_probabilities_are_true(evaluated):
    expected = _value(evaluated, "true", "self_expected", "overall_auroc")
    assert expected == pytest.approx(_value(evaluated, "true", "overall", "auroc"), abs=0.02)
    assert (
        _value(evaluated, "noisy", "self_expected", "overall_auroc")
        > _value(evaluated, "noisy", "overall", "auroc") + 0.05
    )


def test_overall_interval_has_the_width_of_a_brute_force_bootstrap(evaluated):
    rng = np.random.default_rng(0)
    rows = np.flatnonzero((evaluated.obs["ctl_split"] == "test").to_numpy())
    y, p = evaluated["atac"].X[rows].toarray() > 0, evaluated["atac_pred"].X[rows]
    brute = []
    for _ in range(60):
        i = rng.integers(0, rows.size, rows.size)
        brute.append(average_precision_score(y[i].ravel(), p[i].ravel()))
    width = _value(evaluated, "true", "overall", "ap", "ci_high") - _value(evaluated, "true", "overall", "ap", "ci_low")
    assert width == pytest.approx(3.92 * np.std(brute), rel=0.35)


def test_columns_and_curves(evaluated):
    pred, curves = evaluated["atac_pred"], evaluated.uns["ctl"]["curves"]["cross-cell"]
    test = (evaluated.obs["ctl_split"] == "test").to_numpy()
    assert set(curves) == {"true", "noisy", *FEW, "_prevalence"}
    for name in ("true", "region_mean"):
        c = curves[name]
        assert all(a.dtype == np.float32 for a in c.values())
        assert c["pr"].shape[0] == 2
        assert c["pr"].shape[1] <= 200
        assert c["reliability"].shape[0] == 3
        assert c["reliability"][2].sum() == test.sum() * 200
        assert c["per_cell"].shape == (test.sum(),)
        assert c["per_region"].shape == (200,)
    np.testing.assert_allclose(pred.obs["ctl_auroc"].to_numpy()[test], curves["true"]["per_cell"])
    assert pred.obs["ctl_auroc"][~test].isna().all()
    np.testing.assert_allclose(pred.var["ctl_auroc"], curves["true"]["per_region"])
    assert pred.var["ctl_auroc_depth_matched"].mean() == pytest.approx(
        _value(evaluated, "true", "depth_matched", "auroc")
    )
    assert pred.var["ctl_predictable"].dtype == bool
    found = pred.var["ctl_predictable"]
    assert 10 < found.sum() < 200
    assert (pred.var.loc[found, "ctl_gain"] > 0).all()


def test_noise_makes_no_region_predictable(simulated):
    mdata = simulated.copy()
    values = np.random.default_rng(0).random((900, 200), dtype=np.float32)
    write_prediction(mdata, "chance", values, mdata["atac"].var_names, {"family": "external"})
    evaluate(mdata, "chance", baselines=["region_mean"], views=["per_region"], n_bootstrap=0)
    assert mdata["atac_pred"].var["ctl_predictable"].sum() <= 1
    table = mdata.uns["ctl"]["evaluation"]
    assert set(table["view"]) == {"per_region"}
    assert table["ci_low"].isna().all()


def test_the_best_baseline_is_chosen_on_some_validation_cells_and_regions_are_tested_on_all(simulated, monkeypatch):
    def found():
        mdata, chosen_on = simulated.copy(), []
        compare = run.compare

        def noted(comparison, *args):
            chosen_on.append(comparison.validation.rows)
            return compare(comparison, *args)

        with monkeypatch.context() as patched:
            patched.setattr(run, "compare", noted)
            evaluate(mdata, baselines=["region_mean", "celltype_mean"], n_bootstrap=0, seed=3)
        return mdata, chosen_on[0]

    whole, every = found()
    monkeypatch.setattr(cells, "_CHOSEN_ON", 90)
    part, some = found()
    again = found()[1]
    val = np.flatnonzero(whole.obs["ctl_split"] == "val")
    np.testing.assert_array_equal(every, val)
    assert some.size == 90
    assert set(some) < set(val)
    np.testing.assert_array_equal(some, again)
    for column in ("ctl_gain", "ctl_predictable"):
        np.testing.assert_array_equal(part["atac_pred"].var[column], whole["atac_pred"].var[column])
    pd.testing.assert_frame_equal(part.uns["ctl"]["evaluation"], whole.uns["ctl"]["evaluation"])


@pytest.mark.parametrize("suffix", ["h5mu", "zarr"])
def test_round_trip(evaluated, tmp_path, suffix):
    path = tmp_path / f"e.{suffix}"
    evaluated.write(path) if suffix == "h5mu" else evaluated.write_zarr(path)
    back = mudata.read_h5mu(path) if suffix == "h5mu" else mudata.read_zarr(path)
    for key in ("evaluation", "gains"):
        a, b = evaluated.uns["ctl"][key], back.uns["ctl"][key]
        pd.testing.assert_frame_equal(
            a, b[list(a.columns)], check_index_type=False, check_names=False, check_dtype=False
        )
        assert b.get("is_baseline", pd.Series(dtype=bool)).dtype == bool
        assert b["n"].dtype == np.int64
    for name, curve in evaluated.uns["ctl"]["curves"]["cross-cell"].items():
        got = back.uns["ctl"]["curves"]["cross-cell"][name]
        if name == "_prevalence":
            assert float(got) == pytest.approx(curve)
            continue
        for part in curve:
            np.testing.assert_array_equal(got[part], curve[part])
    assert back["atac_pred"].var["ctl_predictable"].dtype == bool


def test_all_baselines_same_seed_same_table(simulated):
    a = evaluate(simulated, "true", views=["overall", "depth_matched"], n_bootstrap=20, seed=3, copy=True)
    b = evaluate(simulated, "true", views=["overall", "depth_matched"], n_bootstrap=20, seed=3, copy=True)
    pd.testing.assert_frame_equal(a.uns["ctl"]["evaluation"], b.uns["ctl"]["evaluation"])
    names = set(a.uns["ctl"]["evaluation"]["model"])
    assert {"true", "region_mean", "region_mean_depth", "celltype_mean", "knn", "svd_ridge"} <= names
    assert "noisy" not in names


def test_stored_baselines_count_as_baselines_and_no_baselines_means_no_gains(simulated, tmp_path):
    mdata = simulated.copy()
    baseline(mdata, "knn", key_added="my_knn")
    evaluate(mdata, baselines=None, views=["overall"], n_bootstrap=0)
    table = mdata.uns["ctl"]["evaluation"]
    assert table.groupby("model")["is_baseline"].first().to_dict() == {"true": False, "noisy": False, "my_knn": True}
    assert set(mdata.uns["ctl"]["gains"]["baseline"]) == {"my_knn"}
    evaluate(mdata, ["true"], baselines=None, views=["overall"], n_bootstrap=0)
    assert len(mdata.uns["ctl"]["gains"]) == 0
    assert "ctl_predictable" not in mdata["atac_pred"].var  # not left over from before
    mdata.write(tmp_path / "empty.h5mu")
    back = mudata.read_h5mu(tmp_path / "empty.h5mu").uns["ctl"]["gains"]
    assert list(back.columns) == list(GAIN_COLUMNS)


@pytest.mark.filterwarnings("ignore:There is no validation cell")
def test_test_cells_alone_have_their_scores_and_no_baselines(simulated):
    evaluate(simulated, "noisy", baselines=None, views=["overall", "per_cell"], n_bootstrap=0)
    want = simulated.uns["ctl"]["evaluation"]
    alone = simulated[simulated.obs["ctl_split"] == "test"].copy()
    for none in (None, []):
        evaluate(alone, "noisy", baselines=none, views=["overall", "per_cell"], n_bootstrap=0)
        pd.testing.assert_frame_equal(alone.uns["ctl"]["evaluation"], want)
    with pytest.raises(ChromatellError, match=r"holds no 'train' cell.*evaluate\(mdata, baselines=None\)"):
        evaluate(alone, "noisy", n_bootstrap=0)


def test_scores_of_a_prediction_go_with_it(evaluated):
    mdata = evaluated.copy()
    pred = mdata.mod["atac_pred"]
    columns = {"ctl_auroc", "ctl_auroc_depth_matched", "ctl_gain", "ctl_predictable"}
    assert columns <= set(pred.var)
    values = np.full(pred.shape, 0.5, np.float32)
    write_prediction(mdata, "beside", values, pd.Index(pred.var["region"]), {"family": "x"}, main=False)
    assert columns <= set(pred.var)
    write_prediction(mdata, "new", values, pd.Index(pred.var["region"]), {"family": "x"})
    assert not columns & set(pred.var)
    assert "ctl_auroc" not in pred.obs


def test_key_added_keeps_the_others(simulated):
    mdata = simulated.copy()
    evaluate(mdata, "true", baselines=None, views=["overall"], n_bootstrap=0)
    before = mdata.uns["ctl"]["evaluation"].copy()
    evaluate(mdata, "noisy", baselines=None, views=["overall"], n_bootstrap=0, split="val", key_added="on_val")
    pd.testing.assert_frame_equal(mdata.uns["ctl"]["evaluation"], before)
    assert {"on_val", "on_val_gains", "on_val_curves"} <= set(mdata.uns["ctl"])
    assert set(mdata.uns["ctl"]["on_val"]["split"]) == {"val"}


def test_without_labels_their_views_are_left_out(simulated):
    mdata = simulated.copy()
    for part in (mdata, *mdata.mod.values()):
        part.obs = part.obs.drop(columns=[c for c in part.obs if "cell_type" in c])
    evaluate(mdata, "true", baselines=["region_mean"], n_bootstrap=0)
    assert set(mdata.uns["ctl"]["evaluation"]["view"]) == set(VIEWS) - {
        "within_type",
        "within_type_depth_matched",
        "profile",
    }


def test_groups_are_resampled_whole():
    mdata = simulate_multiome(600, 30, 80, n_donors=12, seed=0)
    split_cells(mdata, by="donor", fractions=(0.5, 0.2, 0.3), seed=0)
    write_prediction(mdata, "m", mdata["atac"].layers["truth"], mdata["atac"].var_names, {"family": "external"})
    by_donor = evaluate(mdata, baselines=["region_mean"], views=["per_cell"], copy=True)
    test = mdata.obs["ctl_split"] == "test"
    means = (
        pd.Series(by_donor.uns["ctl"]["curves"]["cross-sample"]["m"]["per_cell"])
        .groupby(mdata.obs.loc[test, "donor"].astype(str).to_numpy())
        .agg(["sum", "count"])
    )
    rng = np.random.default_rng(0)
    drawn = [means.iloc[rng.integers(0, len(means), len(means))].sum() for _ in range(2000)]
    spread = np.std([d["sum"] / d["count"] for d in drawn])
    width = _value(by_donor, "m", "per_cell", "auroc", "ci_high") - _value(by_donor, "m", "per_cell", "auroc", "ci_low")
    assert width == pytest.approx(3.92 * spread, rel=0.3)
    few = mdata.copy()
    few.obs["donor"] = np.where(test, "one", "other")
    with pytest.warns(ChromatellWarning, match="holds 1 of its groups"):
        evaluate(few, baselines=None, views=["per_cell"])


def test_warns_where_cell_type_explains_depth(simulated):
    mdata = simulated.copy()
    code = mdata.obs["cell_type"].astype("category").cat.codes.to_numpy()
    mdata["atac"].obs["n_fragments"] = np.exp(code + np.random.default_rng(0).normal(0, 0.5, 900))
    with pytest.warns(ChromatellWarning, match="of the variance of log depth.* beside 'within_type'"):
        evaluate(mdata, "true", baselines=None, views=["depth_matched", "within_type"], n_bootstrap=0)
    keep = np.flatnonzero(mdata.obs["ctl_split"] == "test")[::5]  # 45 cells: no type of 50
    few = mdata[np.union1d(keep, np.flatnonzero(mdata.obs["ctl_split"] != "test"))].copy()
    most = few.obs["cell_type"][few.obs["ctl_split"] == "test"].value_counts().iloc[0]
    empty = f"beside 'profile', since 'within_type' needs a type of 50 scored cells and the largest has {most}"
    with pytest.warns(ChromatellWarning, match=empty):
        evaluate(few, "true", baselines=None, views=["depth_matched", "within_type"], n_bootstrap=0)


def test_no_validation_cells_chooses_on_the_scored_ones(simulated):
    mdata = simulated.copy()
    split_cells(mdata, fractions=(0.7, 0.0, 0.3), seed=0)
    with pytest.warns(ChromatellWarning, match="no validation cell"):
        evaluate(mdata, "true", baselines=["region_mean", "celltype_mean"], views=["per_region"], n_bootstrap=0)
    assert set(mdata.uns["ctl"]["gains"]["baseline"]) == {"celltype_mean"}
    assert "ctl_predictable" not in mdata["atac_pred"].var


def test_subset_of_regions(simulated, monkeypatch):
    mdata = simulated.copy()
    evaluate(mdata, "true", baselines=["region_mean"], views=["per_region"], n_bootstrap=0, max_regions=50)
    assert mdata.uns["ctl"]["curves"]["cross-cell"]["true"]["per_region"].shape == (50,)
    assert mdata["atac_pred"].var["ctl_auroc"].notna().sum() <= 50
    monkeypatch.setattr(settings, "dense_limit", 4 * 225 * 30)
    evaluate(mdata, "true", baselines=None, views=["overall"], n_bootstrap=0)
    assert _value(mdata, "true", "overall", "auroc", "n") == 225 * 30


def test_silent_cells_regions_and_missing_labels(simulated):
    mdata = simulated.copy()
    x = mdata["atac"].X.tolil()
    test = np.flatnonzero((mdata.obs["ctl_split"] == "test").to_numpy())
    x[test[:5]] = 0
    x[:, :3] = 0
    mdata["atac"].X = x.tocsr()
    labels = mdata.obs["cell_type"].astype(object)
    labels.iloc[test[5:9]] = None
    mdata.obs["cell_type"] = labels
    evaluate(mdata, "true", baselines=["region_mean", "celltype_mean"], n_bootstrap=10)
    assert _value(mdata, "true", "per_cell", "auroc", "n") == 225 - 5
    assert _value(mdata, "true", "per_region", "auroc", "n") <= 197
    assert np.isfinite(mdata.uns["ctl"]["gains"]["gain"]).all()


def test_intervals_end_where_each_score_does(evaluated):
    table = evaluated.uns["ctl"]["evaluation"]
    known = table[table["view"] != "self_expected"]  # without intervals
    for metric, own in known.groupby("metric"):
        low, high = metric_range(metric)
        assert np.isfinite(high), metric
        assert not (own["ci_low"] < low).any()
        assert not (own["ci_high"] > high).any()
