"""New cells, new regions, and both: which cells x regions, which baselines may be there, intervals over what is new."""

from __future__ import annotations

import mudata
import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import average_precision_score, roc_auc_score

import chromatell as ctl
from chromatell import ChromatellError
from chromatell._settings import logger
from chromatell._validate import ChromatellWarning
from chromatell.models._baseline_kinds import UNSEEN
from chromatell.tl import _evaluation_pairs as module

KINDS = ["cross-cell", "cross-region", "cross-both"]
MAIN = [
    ("overall", "ap"),
    ("overall", "auroc"),
    ("per_cell", "auroc"),
    ("per_region", "auroc"),
    ("depth_matched", "auroc"),
]


def simulated(n_cells: int = 600, n_regions: int = 240, seed: int = 0, **kwargs) -> mudata.MuData:
    """Regions whose GC content follows how open they are; the truth and a noisy version of it as predictions."""
    mdata = ctl.datasets.simulate_multiome(n_cells, 40, n_regions, n_types=3, depth=16.0, seed=seed, **kwargs)
    ctl.pp.split_cells(mdata, fractions=(0.5, 0.2, 0.3), seed=0)
    atac, rng = mdata["atac"], np.random.default_rng(seed)
    truth = np.clip(atac.layers["truth"], 1e-4, 1 - 1e-4)
    gc = 0.3 + 0.4 * np.argsort(np.argsort(truth.mean(axis=0) + rng.normal(0, 0.02, n_regions))) / n_regions
    strong = rng.random((n_regions, 80)) < gc[:, None]
    tokens = np.where(strong, rng.integers(1, 3, strong.shape), 3 * rng.integers(0, 2, strong.shape))
    atac.varm["dna_code"] = tokens.astype(np.int8)
    atac.var["ctl_split"] = rng.choice(["train", "val", "test"], n_regions, p=[0.5, 0.2, 0.3])
    atac.obs["n_fragments"] = np.asarray(atac.X.sum(axis=1)).ravel()
    noisy = np.log(truth / (1 - truth)) + rng.normal(0, 1, truth.shape)
    ctl.tl.add_prediction(mdata, noisy, key="noisy", transform="sigmoid")
    ctl.tl.add_prediction(mdata, truth, key="true")
    return mdata


@pytest.fixture(scope="module")
def plain() -> mudata.MuData:
    return simulated()


@pytest.fixture(scope="module")
def evaluated(plain) -> mudata.MuData:
    return ctl.tl.evaluate(plain, seed=0, copy=True)


def sub(mdata, kind: str, part: str = "test"):
    """Places of the cells and regions of a kind, and the truth there."""
    cells, regions = mdata.obs["ctl_split"].to_numpy(), mdata["atac"].var["ctl_split"].to_numpy()
    rows = np.flatnonzero(cells == ("train" if kind == "cross-region" else part))
    cols = np.flatnonzero(regions == ("train" if kind == "cross-cell" else part))
    return rows, cols, mdata["atac"].X[rows][:, cols].toarray() > 0


def prediction(mdata, key: str):
    pred = mdata["atac_pred"]
    return pred.layers.get(key, pred.X)


def only_held_out(plain):
    """An object in which only the held-out regions are predicted."""
    held = plain.copy()
    test = (held["atac"].var["ctl_split"] == "test").to_numpy()
    del held.mod["atac_pred"]
    held["atac"].var["ctl_selected"] = test
    ctl.tl.add_prediction(held, prediction(plain, "noisy")[:, test], key="mine")
    return held


def value(mdata, kind, model, view, metric, column="value", table="evaluation"):
    t = mdata.uns["ctl"][table]
    row = t[(t["pairs"] == kind) & (t["model"] == model) & (t["view"] == view) & (t["metric"] == metric)]
    assert len(row) == 1
    return row[column].item()


def kinds_of(mdata, table="evaluation"):
    return list(dict.fromkeys(mdata.uns["ctl"][table]["pairs"]))


# ---- values


@pytest.mark.parametrize("kind", KINDS)
def test_values_equal_sklearn_on_the_pairs(evaluated, kind):
    rows, cols, y = sub(evaluated, kind)
    p = prediction(evaluated, "noisy")[np.ix_(rows, cols)]
    found = {m: value(evaluated, kind, "noisy", *m) for m in [*MAIN[:4], ("per_cell", "ap"), ("calibration", "brier")]}
    per_cell = [(roc_auc_score(a, b), average_precision_score(a, b)) for a, b in zip(y, p, strict=True) if a.any()]
    per_region = [roc_auc_score(a, b) for a, b in zip(y.T, p.T, strict=True) if a.any()]
    expected = {
        ("overall", "ap"): average_precision_score(y.ravel(), p.ravel()),
        ("overall", "auroc"): roc_auc_score(y.ravel(), p.ravel()),
        ("per_cell", "auroc"): np.mean([v[0] for v in per_cell]),
        ("per_region", "auroc"): np.mean(per_region),
        ("per_cell", "ap"): np.mean([v[1] for v in per_cell]),
        ("calibration", "brier"): np.mean((p - y) ** 2),
    }
    assert found == {k: pytest.approx(v, abs=1e-6) for k, v in expected.items()}
    assert value(evaluated, kind, "noisy", "overall", "ap", "n") == y.size
    assert value(evaluated, kind, "noisy", "per_region", "auroc", "n") == len(per_region)
    curves = evaluated.uns["ctl"]["curves"][kind]
    assert curves["_prevalence"] == pytest.approx(y.mean())
    assert curves["noisy"]["per_cell"].shape == (rows.size,)
    assert curves["noisy"]["per_region"].shape == (cols.size,)
    assert curves["noisy"]["reliability"][2].sum() == y.size


def test_cross_cell_is_what_it_was_without_the_held_out_regions(plain, evaluated):
    regions = plain["atac"].var["ctl_split"] == "train"
    alone = mudata.MuData({"rna": plain["rna"].copy(), "atac": plain["atac"][:, regions.to_numpy()].copy()})
    for name in ("ctl_split", "cell_type"):
        alone.obs[name] = plain.obs[name]
    del alone["atac"].var["ctl_split"]
    for key in ("noisy", "true"):
        ctl.tl.add_prediction(alone, prediction(plain, key)[:, regions.to_numpy()], key=key)
    ctl.tl.evaluate(alone, seed=0)
    for table in ("evaluation", "gains"):
        both, other = evaluated.uns["ctl"][table], alone.uns["ctl"][table]
        both = both[(both["pairs"] == "cross-cell") & (both["model"] != "knn_atac")]  # which reads all regions' ATAC
        other = other[other["model"] != "knn_atac"]
        pd.testing.assert_frame_equal(both.reset_index(drop=True), other.reset_index(drop=True))
    columns = ["ctl_auroc", "ctl_auroc_depth_matched", "ctl_gain", "ctl_predictable"]
    written = evaluated["atac_pred"].var[columns]
    expected = alone["atac_pred"].var[columns].to_numpy()
    np.testing.assert_array_equal(written[regions.to_numpy()].to_numpy().astype(float), expected.astype(float))
    assert written.loc[~regions.to_numpy(), columns[:3]].isna().all(axis=None)
    assert not written.loc[~regions.to_numpy(), "ctl_predictable"].any()


def test_tables_name_their_pairs_and_survive_in_files(plain, evaluated, tmp_path):
    assert kinds_of(evaluated) == KINDS
    assert kinds_of(evaluated, "gains") == KINDS
    assert list(evaluated.uns["ctl"]["curves"]) == KINDS
    views = evaluated.uns["ctl"]["evaluation"].groupby("pairs")["view"].unique().map(set)
    assert views["cross-cell"] == views["cross-region"] == views["cross-both"]
    assert "profile" in views["cross-both"]
    few = ctl.tl.evaluate(plain, baselines=["gc"], views=["overall"], n_bootstrap=0, copy=True)
    few.write(tmp_path / "e.h5mu")
    few.write_zarr(tmp_path / "e.zarr")
    for back in (mudata.read_h5mu(tmp_path / "e.h5mu"), mudata.read_zarr(tmp_path / "e.zarr")):
        assert kinds_of(back) == KINDS
        for kind in KINDS:
            a, b = (m.uns["ctl"]["curves"][kind] for m in (few, back))
            np.testing.assert_array_equal(a["true"]["pr"], b["true"]["pr"])
            assert float(b["_prevalence"]) == pytest.approx(a["_prevalence"])


def test_a_kind_scores_the_same_alone(plain, evaluated):
    for kind in ("cross-region", "cross-both"):
        alone = ctl.tl.evaluate(plain, pairs=kind, seed=0, copy=True)
        both = evaluated.uns["ctl"]["evaluation"]
        expected = both[both["pairs"] == kind].reset_index(drop=True)
        # but for what is drawn or fitted beside: the baselines see the same regions either way
        pd.testing.assert_frame_equal(alone.uns["ctl"]["evaluation"].reset_index(drop=True), expected)
        assert "ctl_auroc" not in alone["atac_pred"].var  # columns are of cross-cell pairs


# ---- baselines


def test_baselines_that_know_a_region_by_its_atac_are_not_there_for_unseen_ones(evaluated):
    t = evaluated.uns["ctl"]["evaluation"]
    board = {kind: set(t.loc[(t["pairs"] == kind) & t["is_baseline"], "model"]) for kind in KINDS}
    assert board["cross-region"] == board["cross-both"] == set(UNSEEN)
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
    assert record["kmer_ridge"]["kmer_ridge_alpha"] >= 1


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
        ChromatellError, match="'noisy' has, or was made with another split. Train one with ctl.tl.xchrom"
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


# ---- intervals


def brute(y, p, depth, n=80, *, cells, regions, seed=0):
    """Standard deviation of each main score when cells, regions or both are drawn with repeats."""
    rng = np.random.default_rng(seed)
    drawn = []
    for _ in range(n):
        i = rng.integers(0, len(y), len(y)) if cells else np.arange(len(y))
        j = rng.integers(0, y.shape[1], y.shape[1]) if regions else np.arange(y.shape[1])
        a, b = y[np.ix_(i, j)], p[np.ix_(i, j)]
        drawn.append(
            [
                average_precision_score(a.ravel(), b.ravel()),
                roc_auc_score(a.ravel(), b.ravel()),
                np.nanmean(ctl.metrics.auroc(a, b, 1)),
                np.nanmean(ctl.metrics.auroc(a, b, 0)),
                ctl.metrics.depth_matched_auroc(a, b, depth[i], influence=False).mean,
            ]
        )
    return np.std(drawn, axis=0)


@pytest.mark.parametrize(("kind", "cells", "regions"), [("cross-region", False, True), ("cross-both", True, True)])
def test_intervals_have_the_width_of_a_brute_force_bootstrap(evaluated, kind, cells, regions):
    rows, cols, y = sub(evaluated, kind)
    p = prediction(evaluated, "noisy")[np.ix_(rows, cols)]
    depth = evaluated["atac"].obs["n_fragments"].to_numpy()[rows]
    expected = brute(y, p, depth, cells=cells, regions=regions)
    for (view, metric), sd in zip(MAIN, expected, strict=True):
        low, high = (value(evaluated, kind, "noisy", view, metric, c) for c in ("ci_low", "ci_high"))
        assert high - low == pytest.approx(3.92 * sd, rel=0.35), (kind, view, metric)


def test_every_score_has_an_interval_around_it(evaluated):
    t = evaluated.uns["ctl"]["evaluation"]
    t = t[(t["view"] != "self_expected") & t["value"].notna()]
    constant = t["model"].isin(["region_mean", "gc", "gc_cpg"]) & (
        t["view"] == "profile"
    )  # nothing varies between types
    assert np.isfinite(t.loc[~constant, ["ci_low", "ci_high"]]).all(axis=None)
    assert (t.loc[~constant, "ci_low"] <= t.loc[~constant, "value"] + 1e-9).all()
    assert (t.loc[~constant, "value"] <= t.loc[~constant, "ci_high"] + 1e-9).all()
    width = {k: value(evaluated, k, "true", "overall", "ap", "ci_high") for k in KINDS}
    width = {k: w - value(evaluated, k, "true", "overall", "ap", "ci_low") for k, w in width.items()}
    assert width["cross-both"] > width["cross-region"] > 0


def test_gains_over_regions_are_paired(evaluated):
    def width(table, model):
        low, high = (
            value(evaluated, "cross-region", model, "per_cell", "auroc", c, table) for c in ("ci_low", "ci_high")
        )
        return high - low

    assert width("gains", "true") < width("evaluation", "true") + width("evaluation", "kmer_ridge")
    gain = value(evaluated, "cross-region", "true", "per_cell", "auroc", "gain", "gains")
    other = value(evaluated, "cross-region", "true", "per_cell", "auroc", "baseline", "gains")
    difference = value(evaluated, "cross-region", "true", "per_cell", "auroc") - value(
        evaluated, "cross-region", other, "per_cell", "auroc"
    )
    assert gain == pytest.approx(difference)


def test_regions_of_a_stretch_are_drawn_together(plain, monkeypatch, caplog):
    monkeypatch.setattr(logger, "propagate", True)
    caplog.set_level("INFO")
    atac = plain["atac"].copy()
    places = np.arange(5, 105)
    w = module.region_weights(atac, places, 40, np.random.default_rng(0))
    assert "too few: each is resampled by itself" in caplog.text
    np.testing.assert_array_equal(w.sum(axis=1), 100)
    atac.var["chrom"], atac.var["start"] = "1", np.arange(atac.n_vars) * 300_000
    atac.var["end"] = atac.var["start"] + 500
    w = module.region_weights(atac, places, 40, np.random.default_rng(0))
    stretch = (atac.var["start"].to_numpy()[places] + 250) // 1_000_000
    for s in np.unique(stretch):
        assert (np.ptp(w[:, stretch == s], axis=1) == 0).all()
    first = [np.flatnonzero(stretch == s)[0] for s in np.unique(stretch)]
    np.testing.assert_array_equal(w[:, first].sum(axis=1), len(first))
    nameless = atac[:, :50].copy()
    nameless.var = pd.DataFrame(index=[f"r{i}" for i in range(50)])
    module.region_weights(nameless, np.arange(50), 5, np.random.default_rng(0))
    assert "Regions have no coordinates" in caplog.text


# ---- which pairs


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


def test_without_validation_regions_the_scored_ones_choose(plain):
    mdata = plain.copy()
    split = mdata["atac"].var["ctl_split"].to_numpy()
    mdata["atac"].var["ctl_split"] = np.where(split == "val", "train", split)
    kwargs = {"pairs": "cross-both", "baselines": ["gc", "kmer_ridge"], "views": ["per_cell"], "n_bootstrap": 0}
    with pytest.warns(ChromatellWarning, match="no validation region.*scored cross-both pairs.*split_regions"):
        ctl.tl.evaluate(mdata, **kwargs)
    t = mdata.uns["ctl"]["evaluation"].query("is_baseline and metric == 'auroc'").set_index("model")["value"]
    assert value(mdata, "cross-both", "true", "per_cell", "auroc", "baseline", "gains") == t.idxmax()


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
    mdata.uns["ctl"]["predictions"] = {"noisy": ctl.io.prediction_reference("p.zarr")}
    ctl.tl.evaluate(mdata, **kwargs)
    pd.testing.assert_frame_equal(mdata.uns["ctl"]["evaluation"], memory)
    mdata.uns["ctl"]["models"] = {"noisy": {"manifest": '{"family": "dense"}'}}
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
