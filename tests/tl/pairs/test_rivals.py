"""New cells, new regions, and both: which baselines and which models may stand on the board."""

from __future__ import annotations

import numpy as np
import pytest
from tests.tl.pairs.made import kinds_of, prediction, sub, value

import chromatell as ctl
from chromatell import ChromatellError
from chromatell._settings import logger
from chromatell._validate import ChromatellWarning
from chromatell.models.baselines.cells import UNSEEN

KINDS = ["cross-cell", "cross-region", "cross-both"]


def test_baselines_that_know_a_region_by_its_atac_are_not_there_for_unseen_ones(evaluated):
    t = evaluated.uns["ctl"]["evaluation"]
    board = {kind: set(t.loc[(t["pairs"] == kind) & t["is_baseline"], "model"]) for kind in KINDS}
    assert board["cross-region"] == board["cross-both"] == set(UNSEEN) - {"gc_cpg_tss", "motif_ridge"}
    assert {"region_mean", "svd_ridge", "knn", "celltype_mean", "knn_atac"} <= board["cross-cell"]
    assert not {"gc", "gc_cpg", "kmer_ridge"} & board["cross-cell"]
    reference = t.groupby("model")["uses_target_assay"].first()
    assert reference[reference].index.tolist() == ["knn_atac", "region_mean_true_depth"]
    assert value(evaluated, "cross-both", "gc", "per_cell", "auroc") > 0.55
    assert value(evaluated, "cross-both", "true", "per_cell", "auroc", "gain", "gains") > 0


def test_the_best_baseline_is_chosen_on_the_same_kind_of_validation_pairs(plain, evaluated):
    on_val = ctl.tl.evaluate(plain, split="val", seed=0, n_bootstrap=0, copy=True)
    t, gains = on_val.uns["ctl"]["evaluation"], evaluated.uns["ctl"]["gains"]
    assert kinds_of(on_val) == KINDS
    candidates = t[t["is_baseline"] & ~t["uses_target_assay"]]
    for row in gains.itertuples():
        own = candidates[
            (candidates["pairs"] == row.pairs) & (candidates["view"] == row.view) & (candidates["metric"] == row.metric)
        ].set_index("model")["value"]
        best = own.min() if row.metric in ("ece", "brier") else own.max()
        assert own[row.baseline] == pytest.approx(best), row


def test_baselines_by_name(plain):
    ctl_kwargs = {"views": ["per_cell"], "n_bootstrap": 0, "copy": True}
    some = ctl.tl.evaluate(plain, baselines=["region_mean", "gc"], **ctl_kwargs).uns["ctl"]["evaluation"]
    board = some[some["is_baseline"]].groupby("pairs")["model"].unique().map(list).to_dict()
    assert board == {"cross-cell": ["region_mean", "gc"], "cross-region": ["gc"], "cross-both": ["gc"]}
    none = ctl.tl.evaluate(plain, baselines=None, **ctl_kwargs).uns["ctl"]
    assert not none["evaluation"]["is_baseline"].any()
    assert len(none["gains"]) == 0
    with pytest.raises(
        ChromatellError, match=r"baselines='region_mean' knows a region by its ATAC.*Choose among gc, gc"
    ):
        ctl.tl.evaluate(plain, baselines=["region_mean"], pairs="cross-region")
    without = plain.copy()
    del without["atac"].varm["dna_code"]
    t = ctl.tl.evaluate(without, **ctl_kwargs).uns["ctl"]["evaluation"]
    assert set(t.loc[(t["pairs"] == "cross-both") & t["is_baseline"], "model"]) == {"region_mean_true_depth"}
    with pytest.raises(ChromatellError, match=r"dna_code.*ctl.pp.add_sequence"):
        ctl.tl.evaluate(without, baselines=["kmer_ridge"], **ctl_kwargs)


def test_stored_baselines_are_scored_where_they_were_honest(plain):
    mdata = plain.copy()
    split = mdata["atac"].var.pop("ctl_split")
    ctl.tl.baseline(mdata, "knn", key_added="before")  # has read every region
    mdata["atac"].var["ctl_split"] = split
    ctl.tl.baseline(mdata, "knn", key_added="after")
    ctl.tl.baseline(mdata, "kmer_ridge")
    ctl.tl.evaluate(mdata, baselines=None, views=["per_region"], n_bootstrap=0)
    t = mdata.uns["ctl"]["evaluation"]
    board = t.groupby("pairs")["model"].unique().map(set).to_dict()
    assert board["cross-cell"] == {"noisy", "true", "before", "after", "kmer_ridge"}
    assert board["cross-region"] == {"noisy", "true", "after", "kmer_ridge"}
    assert value(mdata, "cross-cell", "after", "per_region", "auroc") > 0.52
    rows, cols, y = sub(mdata, "cross-region")
    p = prediction(mdata, "after")[np.ix_(rows, cols)]
    assert np.ptp(p, axis=1).max() < 1e-6  # of an unseen region it knows what the mean one does in this cell
    record = mdata["atac_pred"].uns["ctl"]["provenance"]
    assert record["after"]["held_out"] != record["before"]["held_out"] == ""
    assert record["kmer_ridge"]["kmer_ridge_alpha"] > 0


def test_motifs_that_are_given_make_one_more_baseline_of_held_out_regions(plain):
    motifs = {"gc": np.tile([0.05, 0.45, 0.45, 0.05], (8, 1))}
    kwargs = {"pairs": "cross-both", "views": ["per_cell"], "n_bootstrap": 0}
    t = ctl.tl.evaluate(plain, baselines="all", motifs=motifs, copy=True, **kwargs).uns["ctl"]["evaluation"]
    scores = t[t["metric"] == "auroc"].set_index("model")["value"]
    assert scores["motif_ridge"] > 0.55  # GC was planted
    with pytest.raises(ChromatellError, match=r"motifs='motifs.meme'"):
        ctl.tl.evaluate(plain, baselines=["motif_ridge"], **kwargs)
    with pytest.raises(ChromatellError, match="no.meme"):
        ctl.tl.evaluate(plain, motifs="no.meme", **kwargs)


def test_a_model_that_has_read_the_held_out_regions_is_left_out(plain, monkeypatch, caplog):
    monkeypatch.setattr(logger, "propagate", True)
    mdata = plain.copy()
    mdata["atac_pred"].uns["ctl"]["provenance"]["noisy"] = {"family": "dense"}
    kwargs = {"baselines": ["gc"], "views": ["per_cell"], "n_bootstrap": 0}
    t = ctl.tl.evaluate(mdata, copy=True, **kwargs).uns["ctl"]["evaluation"]
    assert set(t.loc[t["pairs"] == "cross-both", "model"]) == {"true", "gc"}
    assert "not scored in cross-region, cross-both: noisy" in caplog.text
    t = ctl.tl.evaluate(mdata, "noisy", copy=True, **kwargs).uns["ctl"]["evaluation"]
    assert set(t["pairs"]) == {"cross-cell"}
    assert "No prediction was made without the held-out regions' ATAC" in caplog.text
    with pytest.raises(
        ChromatellError,
        match="'noisy' has, or was made with another split, or does not say. Train one with ctl.tl.xchrom",
    ):
        ctl.tl.evaluate(mdata, "noisy", pairs="cross-both", **kwargs)
    mdata["atac_pred"].uns["ctl"]["provenance"]["noisy"] = {"family": "xchrom", "held_out": "of another split"}
    with pytest.raises(ChromatellError, match="pairs='cross-region' needs a prediction that has not read"):
        ctl.tl.evaluate(mdata, "noisy", pairs=["cross-cell", "cross-region"], **kwargs)


def test_what_reads_the_target_assay_is_marked_on_every_board(plain):
    mdata = plain.copy()
    ctl.tl.add_prediction(mdata, prediction(mdata, "true"), key="observed", uses_target_assay=True)
    ctl.tl.evaluate(mdata, baselines=["gc"], views=["per_cell"], n_bootstrap=0)
    t = mdata.uns["ctl"]["evaluation"]
    marked = t.groupby(["pairs", "model"])["uses_target_assay"].first()
    assert marked[marked].index.tolist() == [(kind, "observed") for kind in sorted(KINDS)]


def test_without_validation_regions_the_scored_ones_choose(plain):
    mdata = plain.copy()
    split = mdata["atac"].var["ctl_split"].to_numpy()
    mdata["atac"].var["ctl_split"] = np.where(split == "val", "train", split)
    kwargs = {"pairs": "cross-both", "baselines": ["gc", "kmer_ridge"], "views": ["per_cell"], "n_bootstrap": 0}
    with pytest.warns(ChromatellWarning, match="no validation region.*scored cross-both pairs.*split_regions"):
        ctl.tl.evaluate(mdata, **kwargs)
    t = mdata.uns["ctl"]["evaluation"].query("is_baseline and metric == 'auroc'").set_index("model")["value"]
    assert value(mdata, "cross-both", "true", "per_cell", "auroc", "baseline", "gains") == t.idxmax()
