"""The leaderboard of predictions that read the target assay, are ranks, stand in a store, or of some regions."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

import chromatell as ctl
from chromatell import ChromatellError


def test_what_reads_the_target_assay_says_so_and_ranks_have_no_calibration():
    mdata = ctl.datasets.simulate_multiome(300, 30, 40, seed=2)
    ctl.pp.split_cells(mdata, seed=0)
    truth = np.asarray(mdata["atac"].layers["truth"])
    ctl.tl.add_prediction(mdata, truth, key="upper", uses_target_assay=True)
    ctl.tl.add_prediction(mdata, truth * 7, key="ranked", transform="rank")
    ctl.tl.evaluate(mdata, baselines=["region_mean"], n_bootstrap=0)
    table = mdata.uns["ctl"]["evaluation"]
    marked = table.groupby("model")["uses_target_assay"].first().to_dict()
    assert marked == {"upper": True, "ranked": False, "region_mean": False}
    assert "calibration" in set(table.loc[table["model"] == "upper", "view"])
    assert not {"calibration", "self_expected"} & set(table.loc[table["model"] == "ranked", "view"])


def test_predictions_in_a_store_are_evaluated_like_those_in_memory(tmp_path, monkeypatch):
    mdata = ctl.datasets.simulate_multiome(300, 30, 40, seed=2)
    ctl.pp.split_cells(mdata, seed=0)
    kwargs = {"seed": 0, "train_kwargs": {"max_epochs": 2}}
    memory = ctl.tl.dense(mdata, copy=True, **kwargs)
    monkeypatch.chdir(tmp_path)
    ctl.tl.dense(mdata, out="pred.zarr", **kwargs)
    for each in (memory, mdata):
        ctl.tl.evaluate(each, baselines=["region_mean"], n_bootstrap=20, seed=0)
    pd.testing.assert_frame_equal(memory.uns["ctl"]["evaluation"], mdata.uns["ctl"]["evaluation"])


def test_some_regions_alone_score_as_if_the_others_were_not_there():
    mdata = ctl.datasets.simulate_multiome(400, 30, 60, seed=4)
    ctl.pp.split_cells(mdata, seed=0)
    truth = np.asarray(mdata["atac"].layers["truth"])
    ctl.tl.add_prediction(mdata, truth, key="truth")
    with pytest.raises(ChromatellError, match="Run ctl.tl.evaluate"):
        ctl.tl.evaluate(mdata, regions="predictable")
    ctl.tl.evaluate(mdata, baselines=["region_mean"], n_bootstrap=0)
    columns = list(mdata["atac_pred"].var)
    mdata["atac_pred"].var["ctl_predictable"] = np.arange(60) % 3 == 0
    ctl.tl.evaluate(mdata, baselines=["region_mean"], n_bootstrap=0, regions="predictable", key_added="few")
    rows = (mdata.obs["ctl_split"] == "test").to_numpy()
    y = (mdata["atac"].X[rows][:, ::3] > 0).toarray()
    table = mdata.uns["ctl"]["few"]
    got = table.query("model == 'truth' and view == 'overall' and metric == 'auroc'")["value"].item()
    assert got == pytest.approx(roc_auc_score(y.ravel(), truth[rows][:, ::3].ravel()), abs=1e-6)
    assert list(mdata["atac_pred"].var) == columns
    assert mdata["atac_pred"].var["ctl_predictable"].sum() == 20
    with pytest.raises(ChromatellError, match="1 of the 1 regions asked for are not predicted"):
        ctl.tl.evaluate(mdata, regions=["chr1:1-2"])
    mdata["atac_pred"].var["ctl_predictable"] = False
    with pytest.raises(ChromatellError, match="None of the 60 regions is predictable"):
        ctl.tl.evaluate(mdata, regions="predictable")
