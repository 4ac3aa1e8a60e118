"""``tl.baseline``: what is written, where, and that nothing else is touched."""

from __future__ import annotations

import numpy as np
import pytest

import chromatell as ctl
from chromatell import ChromatellError
from chromatell.data.predictions import prediction_keys, read_prediction
from chromatell.models.baselines.cells import BaselineFitter
from chromatell.tl._baseline import baseline


@pytest.fixture
def mdata():
    mdata = ctl.datasets.simulate_multiome(120, 30, 40, n_types=2, truth=False, seed=1)
    ctl.pp.split_cells(mdata, fractions=(0.6, 0.2, 0.2), seed=0)
    return mdata


def test_writes_what_the_fitter_predicts(mdata):
    columns = list(mdata.obs.columns), list(mdata.mod["atac"].var.columns)
    assert baseline(mdata, "svd_ridge") is None
    expected = BaselineFitter(mdata, mdata.mod["atac"].var_names).predict("svd_ridge", np.arange(120))
    np.testing.assert_array_equal(mdata.mod["atac_pred"].X, expected)
    assert mdata.mod["atac_pred"].var["region"].tolist() == mdata.mod["atac"].var_names.tolist()
    provenance = mdata.mod["atac_pred"].uns["ctl"]["provenance"]["svd_ridge"]
    assert provenance["family"] == "baseline"
    assert provenance["kind"] == "svd_ridge"
    assert provenance["uses_target_assay"] is False
    assert provenance["svd_ridge_rank"] in (1, 2, 3, 5, 8, 12, 20, 30, 39)
    assert (list(mdata.obs.columns), list(mdata.mod["atac"].var.columns)) == columns


def test_baselines_stand_side_by_side_and_can_be_written_again(mdata):
    baseline(mdata, "region_mean")
    baseline(mdata, "knn", key_added="nearest")
    baseline(mdata, "region_mean_true_depth")
    baseline(mdata, "celltype_mean", labels="cell_type")
    keys = ["region_mean", "nearest", "region_mean_true_depth", "celltype_mean"]
    assert prediction_keys(mdata) == keys
    record = mdata.mod["atac_pred"].uns["ctl"]["provenance"]
    assert [record[k]["uses_target_assay"] for k in keys] == [False, False, True, False]
    assert record["celltype_mean"]["labels"] == "cell_type"
    first = read_prediction(mdata, "region_mean").copy()
    baseline(mdata, "region_mean")
    np.testing.assert_array_equal(read_prediction(mdata, "region_mean"), first)


def test_regions_are_those_selected_then_those_of_atac_pred(mdata):
    mdata.mod["atac"].var["ctl_selected"] = np.arange(40) % 2 == 0
    baseline(mdata, "region_mean")
    assert mdata.mod["atac_pred"].n_vars == 20
    mdata.mod["atac"].var["ctl_selected"] = np.arange(40) < 5
    baseline(mdata, "knn")
    assert mdata.mod["atac_pred"].layers["knn"].shape == (120, 20)


def test_copy_leaves_the_given_object_alone(mdata):
    new = baseline(mdata, "knn", copy=True)
    assert "atac_pred" not in mdata.mod
    assert new.mod["atac_pred"].shape == (120, 40)


def test_the_same_seed_gives_the_same(mdata):
    a, b = (baseline(mdata, "knn_atac", seed=4, copy=True).mod["atac_pred"].X for _ in range(2))
    np.testing.assert_array_equal(a, b)


def test_a_models_prediction_is_never_written_over(mdata):
    ctl.tl.add_prediction(mdata, np.full((120, 40), 0.5), key="mine")
    with pytest.raises(ChromatellError, match="already holds 'mine', of family 'external'"):
        baseline(mdata, "knn", key_added="mine")
    np.testing.assert_array_equal(read_prediction(mdata, "mine"), 0.5)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        ({"kind": "mean"}, "kind='mean' is not known"),
        ({"kind": "knn", "key_added": "a/b"}, "cannot be stored"),
        ({"kind": "celltype_mean", "labels": "nope"}, "labels='nope' is no column of mdata.obs"),
        ({"kind": "region_mean", "labels": "nope"}, "labels='nope' is no column of mdata.obs"),  # a slip, though unread
        ({"kind": "region_mean", "motifs": "x.meme"}, "motifs= is read by the baseline 'motif_ridge'"),
        ({"kind": "gene_activity"}, "link_genes"),
        ({"kind": "region_mean_true_depth", "depth_key": "nope"}, "Did not find"),
    ],
)
def test_bad_input_changes_nothing(mdata, call, message):
    with pytest.raises(ChromatellError, match=message):
        baseline(mdata, **call)
    assert sorted(mdata.mod) == ["atac", "rna"]


def test_needs_a_split_regions_and_memory(mdata, monkeypatch):
    monkeypatch.setattr(ctl.settings, "dense_limit", 1000)
    with pytest.raises(ChromatellError, match="120 cells x 40 regions.*dense_limit"):
        baseline(mdata, "knn")
    monkeypatch.undo()
    mdata.mod["atac"].var["ctl_selected"] = False
    with pytest.raises(ChromatellError, match="No region is selected"):
        baseline(mdata, "knn")
    del mdata.mod["atac"].var["ctl_selected"], mdata.obs["ctl_split"]
    with pytest.raises(ChromatellError, match="split_cells"):
        baseline(mdata, "knn")
    assert sorted(mdata.mod) == ["atac", "rna"]
