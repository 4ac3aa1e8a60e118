"""New cells, new regions, and both: which cells x regions there are."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from tests.tl.pairs.made import kinds_of, only_held_out, prediction, simulated, sub

import chromatell as ctl
from chromatell import ChromatellError, ChromatellWarning
from chromatell._settings import logger
from chromatell.evaluation.tasks import splits as module

KINDS = ["cross-cell", "cross-region", "cross-both"]


def test_which_pairs_there_are(plain):
    kwargs = {"baselines": None, "views": ["overall"], "n_bootstrap": 0, "copy": True}
    assert kinds_of(ctl.tl.evaluate(plain, split="train", **kwargs)) == ["cross-cell"]
    assert kinds_of(ctl.tl.evaluate(plain, pairs=["cross-both", "cross-cell"], **kwargs)) == [
        "cross-cell",
        "cross-both",
    ]
    no_cells = plain.copy()
    no_cells.obs["ctl_split"] = np.where(no_cells.obs["ctl_split"] == "test", "val", no_cells.obs["ctl_split"])
    assert kinds_of(ctl.tl.evaluate(no_cells, **kwargs)) == ["cross-region"]
    no_regions = plain.copy()
    no_regions["atac"].var["ctl_split"] = "train"
    assert kinds_of(ctl.tl.evaluate(no_regions, **kwargs)) == ["cross-cell"]
    for mdata, kind in ((no_cells, "cross-both"), (no_regions, "cross-region")):
        with pytest.raises(
            ChromatellError, match=f"pairs='{kind}' needs cells and regions that are not there.*split_reg"
        ):
            ctl.tl.evaluate(mdata, pairs=kind, **kwargs)
    with pytest.raises(ChromatellError, match="pairs='cross-peak' is not known"):
        ctl.tl.evaluate(plain, pairs="cross-peak", **kwargs)
    with pytest.raises(ChromatellError, match=r"pairs=\[\] names none"):
        ctl.tl.evaluate(plain, pairs=[], **kwargs)
    held = only_held_out(plain)
    assert kinds_of(ctl.tl.evaluate(held, **kwargs)) == ["cross-region", "cross-both"]
    with pytest.raises(ChromatellError, match="None of the .* predicted regions is a training region"):
        ctl.tl.evaluate(held, split="val", **kwargs)


def test_samples_are_named(plain):
    kwargs = {"baselines": None, "views": ["overall"], "n_bootstrap": 0, "copy": True}
    by_donor = simulated(300, 60, n_donors=8)
    ctl.pp.split_cells(by_donor, by="donor", fractions=(0.5, 0.2, 0.3), seed=1)
    assert kinds_of(ctl.tl.evaluate(by_donor, **kwargs)) == ["cross-sample", "cross-region", "cross-both"]
    for asked in ("cross-cell", "cross-sample"):
        assert kinds_of(ctl.tl.evaluate(by_donor, pairs=asked, **kwargs)) == ["cross-sample"]
    ctl.pp.split_cells(by_donor, holdout={"donor": ["donor_1", "donor_2"]}, fractions=(0.8, 0.2, 0), seed=1)
    assert kinds_of(ctl.tl.evaluate(by_donor, **kwargs))[0] == "cross-sample"
    ctl.pp.split_cells(by_donor, by="cell_type", holdout="type_1", seed=1)
    assert kinds_of(ctl.tl.evaluate(by_donor, **kwargs))[0] == "cross-cell"  # a type is not a sample
    with pytest.raises(ChromatellError, match="cells were not split in whole samples.*by='donor'"):
        ctl.tl.evaluate(plain, pairs="cross-sample", **kwargs)


def test_some_regions_are_training_regions(plain, evaluated):
    kwargs = {"baselines": ["region_mean"], "views": ["overall"], "n_bootstrap": 0, "copy": True}
    names = plain["atac"].var_names
    split = plain["atac"].var["ctl_split"].to_numpy()
    train = names[split == "train"]
    few = ctl.tl.evaluate(plain, regions=list(train[:20]), key_added="few", **kwargs)
    assert kinds_of(few, "few") == ["cross-cell"]
    assert few.uns["ctl"]["few"]["n"].max() == 20 * (plain.obs["ctl_split"] == "test").sum()
    with pytest.raises(ChromatellError, match="All regions asked for are held out.*pairs='cross-region'"):
        ctl.tl.evaluate(plain, regions=list(names[split == "test"]), **kwargs)
    with pytest.raises(ChromatellError, match="Leave one of the two out"):
        ctl.tl.evaluate(plain, regions=list(train[:20]), pairs="cross-both", **kwargs)
    mdata = evaluated.copy()
    before = mdata["atac_pred"].var.copy()
    kwargs = {**kwargs, "baselines": ["gc"], "copy": False}
    ctl.tl.evaluate(mdata, pairs="cross-region", key_added="regions", **kwargs)
    pd.testing.assert_frame_equal(mdata["atac_pred"].var, before)
    assert kinds_of(mdata, "regions") == ["cross-region"]


def test_training_cells_are_thinned_out_to_the_limit(plain, monkeypatch, caplog):
    monkeypatch.setattr(logger, "propagate", True)
    caplog.set_level("INFO")
    rows, cols, _ = sub(plain, "cross-region")
    kwargs = {"pairs": "cross-region", "baselines": ["gc"], "views": ["overall"], "n_bootstrap": 0, "copy": True}
    monkeypatch.setattr(ctl.settings, "dense_limit", 4 * 100 * cols.size)
    monkeypatch.setattr(module, "_MIN_CELLS", 50)
    t = ctl.tl.evaluate(plain, **kwargs).uns["ctl"]["evaluation"]
    assert t["n"].unique().tolist() == [100 * cols.size]
    assert f"scored in 100 of {rows.size} training cells" in caplog.text
    t = ctl.tl.evaluate(plain, max_regions=10, **kwargs).uns["ctl"]["evaluation"]
    assert t["n"].unique().tolist() == [10 * rows.size]
    monkeypatch.setattr(ctl.settings, "dense_limit", 4 * 20 * cols.size)
    t = ctl.tl.evaluate(plain, **kwargs).uns["ctl"]["evaluation"]
    assert t["n"].unique().tolist() == [50 * (20 * cols.size // 50)]


def test_pairs_of_which_none_is_open(plain):
    mdata = plain.copy()
    x = mdata["atac"].X.tolil()
    x[:, np.flatnonzero(mdata["atac"].var["ctl_split"] == "test")] = 0
    mdata["atac"].X = x.tocsr()
    with pytest.raises(ChromatellError, match=r"'train' cells no one of the .* is open \(pairs 'cross-region'\)"):
        ctl.tl.evaluate(mdata, pairs="cross-region")
    assert "evaluation" not in mdata.uns["ctl"]


def test_predictions_in_a_store_are_scored_like_those_in_memory(tmp_path, monkeypatch):
    mdata = simulated(300, 90)
    values = prediction(mdata, "noisy").copy()
    kwargs = {"baselines": ["gc"], "n_bootstrap": 10, "seed": 0}
    memory = ctl.tl.evaluate(mdata, "noisy", copy=True, **kwargs).uns["ctl"]["evaluation"]
    assert set(memory["pairs"]) == set(KINDS)
    monkeypatch.chdir(tmp_path)
    with ctl.io.PredictionWriter("p.zarr", mdata.obs_names, pd.DataFrame(index=mdata["atac"].var_names)) as writer:
        writer.write(slice(0, 300), slice(0, 90), values)
    del mdata.mod["atac_pred"]
    said = {"provenance": {"family": "external"}}  # another tool's: taken on trust
    mdata.uns["ctl"]["predictions"] = {"noisy": {**ctl.io.prediction_reference("p.zarr"), **said}}
    ctl.tl.evaluate(mdata, **kwargs)
    pd.testing.assert_frame_equal(mdata.uns["ctl"]["evaluation"], memory)
    del mdata.uns["ctl"]["predictions"]["noisy"]["provenance"]  # what is not declared counts as read
    with pytest.warns(ChromatellWarning, match="Nothing says what the prediction 'noisy' was trained on"):
        ctl.tl.evaluate(mdata, **kwargs)
    assert kinds_of(mdata) == ["cross-cell"]


def test_fisher_tabulates_the_training_regions(plain):
    ctl.tl.fisher(mdata := plain.copy(), "noisy", threshold=0.1, n_bootstrap=5)
    rows, cols, y = sub(plain, "cross-cell")
    called = prediction(plain, "noisy")[np.ix_(rows, cols)] >= np.float32(0.1)
    row = mdata.uns["ctl"]["fisher"].iloc[0]
    assert (row["tp"], row["fp"]) == ((called & y).sum(), (called & ~y).sum())
    assert not {"gc", "gc_cpg", "kmer_ridge"} & set(mdata.uns["ctl"]["fisher"]["model"])
    ctl.tl.add_prediction(mdata, prediction(plain, "true"), key="observed", uses_target_assay=True)
    ctl.tl.fisher(mdata, "observed", threshold=0.1, baselines=[], n_bootstrap=5)
    assert mdata.uns["ctl"]["fisher"]["uses_target_assay"].tolist() == [True]
    held = only_held_out(plain)
    with pytest.raises(ChromatellError, match="predicted regions are held out.*pairs='cross-both'"):
        ctl.tl.fisher(held)
