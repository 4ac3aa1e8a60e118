"""New cells, new regions, and both: values on these pairs, and intervals over what is new."""

from __future__ import annotations

import mudata
import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import average_precision_score, roc_auc_score
from tests.tl.pairs.made import kinds_of, prediction, sub, value

import chromatell as ctl
from chromatell._settings import logger
from chromatell.evaluation import resampling as module

KINDS = ["cross-cell", "cross-region", "cross-both"]
MAIN = [
    ("overall", "ap"),
    ("overall", "auroc"),
    ("per_cell", "auroc"),
    ("per_region", "auroc"),
    ("depth_matched", "auroc"),
]


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


def test_regions_of_an_interval_are_drawn_together(plain, monkeypatch, caplog):
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
    interval = (atac.var["start"].to_numpy()[places] + 250) // 1_000_000
    for s in np.unique(interval):
        assert (np.ptp(w[:, interval == s], axis=1) == 0).all()
    first = [np.flatnonzero(interval == s)[0] for s in np.unique(interval)]
    np.testing.assert_array_equal(w[:, first].sum(axis=1), len(first))
    nameless = atac[:, :50].copy()
    nameless.var = pd.DataFrame(index=[f"r{i}" for i in range(50)])
    module.region_weights(nameless, np.arange(50), 5, np.random.default_rng(0))
    assert "Regions have no coordinates" in caplog.text
