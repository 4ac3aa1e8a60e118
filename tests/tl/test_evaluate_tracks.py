"""`tl.evaluate` and `tl.baseline` on tracks, against scipy and scikit-learn in the same bins."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.stats import pearsonr, spearmanr
from sklearn.metrics import average_precision_score, f1_score, precision_score, recall_score
from tests.tl.made_tracks import BLOCK, N, bins, make

import chromatell as ctl
from chromatell.metrics.bootstrap import metric_range
from chromatell.metrics.tracks import track_scores
from chromatell.models.baselines.tracks import TrackBaselines
from chromatell.models.nascent._evaluation import prediction_table
from chromatell.tl._baseline import baseline
from chromatell.tl._evaluate import evaluate


@pytest.fixture(scope="module")
def scored():
    tracks = make()
    ctl.tl.evaluate(tracks, block=BLOCK, resolutions=(50, 1000), n_bootstrap=60, seed=5)
    return tracks


def row(tracks, **at):
    at = {"model": "good", "target": "H3K4me3", "chrom": "all", "resolution": 50, **at}
    t = tracks.uns["ctl"]["evaluation"]
    found = t[np.all([t[k] == v for k, v in at.items()], axis=0)]
    assert len(found) == 1
    return found.iloc[0]


def test_scores_are_those_of_scipy_and_scikit_learn(scored):
    y = bins(scored, "H3K4me3_good")
    for view, layer in (("smoothed", None), ("raw", "raw")):
        x = bins(scored, "H3K4me3", layer=layer)
        assert row(scored, view=view, metric="pearson").value == pytest.approx(pearsonr(x, y)[0])
        assert row(scored, view=view, metric="spearman").value == pytest.approx(spearmanr(x, y)[0])
        assert row(scored, view=view, metric="rmse").value == pytest.approx(np.sqrt(np.mean((x - y) ** 2)))
    peak = bins(scored, "H3K4me3", layer="raw") > 0
    assert row(scored, view="peaks", metric="ap").value == pytest.approx(average_precision_score(peak, y))
    assert row(scored, view="peaks", metric="prevalence").value == pytest.approx(peak.mean())
    assert row(scored, view="peaks", metric="ap").n == y.size


def test_the_threshold_has_the_best_f1_of_the_validation_bins(scored):
    cut = row(scored, view="peaks", metric="threshold").value
    peak, y = (bins(scored, n, "val", layer="raw") for n in ("H3K4me3", "H3K4me3_good"))
    candidates = np.unique(y)
    best = max(f1_score(peak > 0, y > c) for c in candidates[:: max(1, candidates.size // 300)])
    assert f1_score(peak > 0, y > cut) >= best
    truth, called = bins(scored, "H3K4me3", layer="raw") > 0, bins(scored, "H3K4me3_good") > cut
    for metric, score in (("f1", f1_score), ("precision", precision_score), ("recall", recall_score)):
        assert row(scored, view="peaks", metric=metric).value == pytest.approx(score(truth, called))


def test_each_chromosome_has_its_scores_and_intervals(scored):
    for chrom in N:
        x, y = (bins(scored, n, chroms=(chrom,)) for n in ("H3K4me3", "H3K4me3_good"))
        found = row(scored, view="smoothed", metric="pearson", chrom=chrom)
        assert found.value == pytest.approx(pearsonr(x, y)[0])
        assert found.ci_low < found.value < found.ci_high
        assert found.n == x.size
    assert row(scored, view="smoothed", metric="pearson").n == sum(
        row(scored, view="smoothed", metric="pearson", chrom=c).n for c in N
    )


def test_intervals_and_coarse_scores_are_those_of_the_metrics(scored):
    seeds = np.random.SeedSequence(5).spawn(2)[0].spawn(3)
    arrays = [[scored.values(c, n)[0] for c in N] for n in ("H3K4me3", "H3K4me3_good")] + [
        [scored.usable(c, "test") for c in N]
    ]
    expected = track_scores(*arrays, resolutions=(50, 1000), block=BLOCK, n_bootstrap=60, seed=seeds[0])
    for metric, resolution, *numbers in zip(
        *(expected[k] for k in ("metric", "resolution", "value", "ci_low", "ci_high")), strict=True
    ):
        found = row(scored, view="smoothed", metric=metric, resolution=resolution)
        np.testing.assert_allclose([found.value, found.ci_low, found.ci_high], numbers)


def test_gains_are_over_the_baseline_that_is_best_on_validation_bins(scored):
    table, gains = scored.uns["ctl"]["evaluation"], scored.uns["ctl"]["gains"]
    assert set(gains["model"]) == {"good"}
    assert "other_targets" not in set(gains["baseline"])
    assert set(gains["metric"]) == {"pearson", "spearman", "rmse", "ap", "f1"}
    fitter = TrackBaselines(scored)
    x = bins(scored, "H3K4me3", "val")
    by_kind = {
        k: pearsonr(x, np.concatenate([fitter.predict(k, c)[0][scored.usable(c, "val")] for c in N]))[0]
        for k in ("log_signal", "ridge")
    }
    best = max(by_kind, key=by_kind.get)
    for metric, sign in (("pearson", 1), ("rmse", -1)):
        one = gains[(gains["metric"] == metric) & (gains["view"] == "smoothed") & (gains["resolution"] == 50)]
        one = one[one["chrom"] == "all"].iloc[0]
        assert one.baseline == best
        other = row(scored, model=best, view="smoothed", metric=metric).value
        assert one.gain == pytest.approx(sign * (row(scored, view="smoothed", metric=metric).value - other))
        assert one.ci_low < one.gain < one.ci_high
    assert set(table.loc[table["uses_target_assay"], "model"]) == {"other_targets"}
    assert set(table.loc[table["is_baseline"], "model"]) == {"mean", "log_signal", "ridge", "other_targets"}


def test_intervals_hold_what_a_score_can_be():
    tracks = make()
    near = {c: tracks.values(c, "H3K4me3", layer="raw") for c in N}
    first = np.flatnonzero(near["chr1"][0] == 0)[::40]
    near["chr1"][0, first] = 99.0  # some false calls, in a few of the blocks
    tracks.add(near, pd.DataFrame({"name": ["near"], "assay": "H3K4me3", "role": "prediction"}))
    evaluate(tracks, ["near", "good"], targets="H3K4me3", block=BLOCK, resolutions=(50,), n_bootstrap=20)
    table, gains = (tracks.uns["ctl"][k] for k in ("evaluation", "gains"))
    for metric, own in table[table["metric"] != "threshold"].groupby("metric"):
        low, high = {"rmse": (0, np.inf), "pearson": (-1, 1), "spearman": (-1, 1)}.get(metric, (0, 1))
        assert metric_range(metric) == (low, high)
        assert own["ci_low"].min() >= low
        assert own["ci_high"].max() <= high
    assert (table["ci_high"] == 1).any()  # where it went beyond
    shares = gains[gains["metric"].isin(["ap", "f1"])]
    assert shares[["ci_low", "ci_high"]].abs().max().max() <= 1


def test_a_mark_of_another_sample_is_found_by_its_assay_and_one_without_is_named():
    tracks = make()
    table = tracks.table.assign(sample="GM")
    names = ["GM_plus", "GM_minus", "GM_H3K4me3", "GM_noise"]
    table = table.iloc[:4].drop(columns=["assay", "stat", "sigma"]).assign(name=names)
    other = ctl.data.BinnedTracks(
        {c: tracks.values(c, tracks.names[:4]) for c in N}, table, chrom_sizes=tracks.chrom_sizes
    )
    other.splits = tracks.splits
    own = {c: tracks.values(c, "H3K4me3_good") for c in N}
    described = [{"assay": "H3K4me3"}]
    other.add(own, prediction_table(other, ["GM_plus"], ["K562_H3K4me3"], described, "good"))
    scoring = {"baselines": "mean", "block": BLOCK, "resolutions": (50,), "n_bootstrap": 0}
    ctl.tl.evaluate(other, **scoring)
    scores = other.uns["ctl"]["evaluation"]
    assert set(scores.loc[scores["model"] == "K562_H3K4me3_good", "target"]) == {"GM_H3K4me3"}
    wanted = scores[scores["model"] == "K562_H3K4me3_good"]["value"].to_numpy()

    other.table.loc["K562_H3K4me3_good", "assay"] = "K562_H3K4me3"  # as before the sample was told apart
    with pytest.warns(ctl.ChromatellWarning, match="predicts none of the targets: assay and sample") as caught:
        ctl.tl.evaluate(other, **scoring)
    assert set(other.uns["ctl"]["evaluation"]["model"]) == {"mean"}
    for options in ({"models": "K562_H3K4me3_good"}, {"baselines": None}):
        with pytest.raises(ctl.ChromatellError, match="predicts none of the targets"):
            ctl.tl.evaluate(other, **(scoring | options))
    cure = str(caught[0].message).split("say so: ")[1].removesuffix(".")
    exec(cure, {"tracks": other})
    ctl.tl.evaluate(other, **scoring)
    scores = other.uns["ctl"]["evaluation"]
    np.testing.assert_array_equal(scores[scores["model"] == "K562_H3K4me3_good"]["value"], wanted)


def test_a_model_that_took_the_name_whole_predicts_the_track_of_that_name():
    one = np.ones((2, 20), dtype=np.float32)
    table = pd.DataFrame({"name": ["K562_plus", "K562_me3"], "sample": "K562", "role": ["input", "target"]})
    tracks = ctl.data.BinnedTracks({"chr1": one}, table, chrom_sizes={"chr1": 1000})
    for said, wanted in (("K562_me3", "me3"), ("H3K4me3", "H3K4me3")):
        found = prediction_table(tracks, ["K562_plus"], ["K562_me3"], [{"assay": said}], "m")
        assert found.loc["K562_me3_m", ["assay", "sample"]].tolist() == [wanted, "K562"]


def test_paired_intervals_of_twins_have_no_width():
    tracks = make()
    baseline(tracks, "ridge")
    twin = {c: tracks.values(c, "H3K4me3_ridge") for c in N}
    tracks.add(twin, pd.DataFrame({"name": ["twin"], "assay": "H3K4me3", "role": "prediction"}))
    evaluate(tracks, "twin", baselines="ridge", targets="H3K4me3", views="smoothed", block=BLOCK, n_bootstrap=30)
    gains = tracks.uns["ctl"]["gains"]
    assert set(gains["baseline"]) == {"ridge"}
    np.testing.assert_allclose(gains[["gain", "ci_low", "ci_high"]], 0, atol=1e-6)


def test_tables_travel_with_the_store(scored, tmp_path):
    scored.save(tmp_path / "t.zarr")
    back = ctl.data.BinnedTracks.open(tmp_path / "t.zarr")
    for name in ("evaluation", "gains"):
        pd.testing.assert_frame_equal(back.uns["ctl"][name], scored.uns["ctl"][name])
    types = scored.uns["ctl"]["evaluation"].dtypes
    assert (types["is_baseline"], types["resolution"], types["value"]) == (bool, np.int64, np.float64)


def test_nothing_but_the_tables_is_written_and_a_copy_leaves_the_tracks_alone():
    tracks = make()
    before = tracks.copy()
    found = ctl.tl.evaluate(tracks, block=BLOCK, n_bootstrap=0, key_added="mine", regions="chr2", copy=True)
    assert "ctl" not in tracks.uns
    assert set(found.uns["ctl"]) == {"mine", "mine_gains"}
    assert set(found.uns["ctl"]["mine"]["chrom"]) == {"all", "chr2"}
    assert found.uns["ctl"]["mine"]["ci_low"].isna().all()
    assert found.names == before.names
    for chrom in N:
        np.testing.assert_array_equal(found.values(chrom), before.values(chrom))


def test_bins_within_regions_alone_are_scored():
    tracks = make()
    regions = [f"chr1:{s}-{s + 2000}" for s in range(0, 440_000, 4000)]
    ctl.tl.evaluate(tracks, baselines=None, within=regions, block=BLOCK, n_bootstrap=0)
    inside = (np.arange(N["chr1"]) % 80 < 40) & (np.arange(N["chr1"]) < 8800) & tracks.usable("chr1", "test")
    x, y = (tracks.values("chr1", n)[0][inside] for n in ("H3K4me3", "H3K4me3_good"))
    found = row(tracks, view="smoothed", metric="pearson")
    assert found.value == pytest.approx(pearsonr(x.astype(float), y.astype(float))[0])
    assert found.n == inside.sum()
    assert set(tracks.uns["ctl"]["evaluation"]["chrom"]) == {"all", "chr1"}
    assert (tracks.masks["chr1"] != 8).all()
    with pytest.raises(ctl.ChromatellError, match="within 'no.bed' is not there"):
        ctl.tl.evaluate(tracks, within="no.bed")


def test_one_chromosome_stands_for_all():
    tracks = make().select(chroms="chr1")
    ctl.tl.evaluate(tracks, baselines=None, block=BLOCK, n_bootstrap=20)
    t = tracks.uns["ctl"]["evaluation"]
    both = [t[t["chrom"] == c].drop(columns="chrom").reset_index(drop=True) for c in ("all", "chr1")]
    pd.testing.assert_frame_equal(*both)
    assert len(tracks.uns["ctl"]["gains"]) == 0


def test_targets_that_are_not_smoothed_and_thresholds_of_their_own():
    tracks = make()
    raw = {c: tracks.values(c, layer="raw") for c in N}
    plain = ctl.data.BinnedTracks(raw, tracks.table.assign(sigma=0.0), chrom_sizes=tracks.chrom_sizes)
    plain.splits, plain.masks = tracks.splits, tracks.masks
    ctl.tl.evaluate(plain, baselines="mean", threshold={"H3K4me3": 25.0}, block=BLOCK, n_bootstrap=0)
    assert set(plain.uns["ctl"]["evaluation"]["view"]) == {"raw", "peaks"}
    peak = bins(plain, "H3K4me3") > 25
    assert row(plain, view="peaks", metric="prevalence").value == pytest.approx(peak.mean())
    assert np.isnan(row(plain, model="mean", view="raw", metric="pearson").value)
    assert row(plain, model="mean", view="peaks", metric="ap").value == pytest.approx(peak.mean())
    with pytest.raises(ctl.ChromatellError, match=r"not smoothed. Call ctl.pp.smooth_tracks"):
        ctl.tl.evaluate(plain, views="smoothed")


def test_without_validation_bins_it_is_chosen_on_training_bins_with_a_warning():
    tracks = make(fractions=(0.6, 0, 0.4))
    with pytest.warns(ctl._validate.ChromatellWarning, match="no validation bin"):
        ctl.tl.evaluate(tracks, targets="H3K4me3", block=BLOCK, n_bootstrap=0)
    cut = row(tracks, view="peaks", metric="threshold").value
    peak, y = bins(tracks, "H3K4me3", "train", layer="raw") > 0, bins(tracks, "H3K4me3_good", "train")
    assert f1_score(peak, y > cut) == pytest.approx(
        max(f1_score(peak, y > c) for c in [cut, *np.quantile(y, np.arange(0, 1, 0.01))])
    )


def test_a_target_that_no_validation_bin_knows_is_chosen_on_training_bins_alone_with_a_warning():
    tracks = make()
    known = {c: tracks.values(c, tracks.names).copy() for c in tracks.chroms}
    for c in tracks.chroms:
        known[c][tracks.names.index("noise"), tracks.usable(c, "val")] = np.nan
    lacking = ctl.data.BinnedTracks(known, tracks.table, chrom_sizes=tracks.chrom_sizes)
    lacking.masks, lacking.splits = tracks.masks, tracks.splits
    noise = {c: tracks.values(c, "noise") + 0.1 * tracks.values(c, "plus") for c in tracks.chroms}
    added = pd.DataFrame({"name": ["noise_good"], "assay": "noise", "role": "prediction"})
    expected = ctl.data.BinnedTracks(known, tracks.table, chrom_sizes=tracks.chrom_sizes)
    expected.masks = tracks.masks
    expected.splits = {c: np.where(x == 1, -1, x).astype(x.dtype) for c, x in tracks.splits.items()}
    for one in (lacking, expected):
        one.add(noise, added)
    options = {"block": BLOCK, "n_bootstrap": 0, "resolutions": (50,)}
    with pytest.warns(ctl._validate.ChromatellWarning, match="'noise' is unknown in the validation bins"):
        ctl.tl.evaluate(lacking, **options)
    with pytest.warns(ctl._validate.ChromatellWarning, match="There is no validation bin"):
        ctl.tl.evaluate(expected, **options)
    for name in ("evaluation", "gains"):
        found, other = (x.uns["ctl"][name] for x in (lacking, expected))
        found, other = (x[x["target"] == "noise"].reset_index(drop=True) for x in (found, other))
        assert len(found)
        pd.testing.assert_frame_equal(found, other)
    cut = row(lacking, view="peaks", metric="threshold").value  # of the others as ever
    peak, y = bins(lacking, "H3K4me3", "val") > 0, bins(lacking, "H3K4me3_good", "val")
    assert f1_score(peak, y > cut) == pytest.approx(
        max(f1_score(peak, y > c) for c in [cut, *np.quantile(y, np.arange(0, 1, 0.01))])
    )


def test_a_target_that_no_test_bin_knows_is_warned_of():
    tracks = make()
    known = {c: tracks.values(c, tracks.names).copy() for c in N}
    for c in N:
        known[c][tracks.names.index("noise"), tracks.usable(c, "test")] = np.nan
    lacking = ctl.data.BinnedTracks(known, tracks.table, chrom_sizes=tracks.chrom_sizes)
    lacking.masks, lacking.splits = tracks.masks, tracks.splits
    with pytest.warns(ctl._validate.ChromatellWarning, match="'noise' is unknown in the 'test' bins: its scores are"):
        ctl.tl.evaluate(lacking, baselines=["mean"], block=BLOCK, resolutions=(50,), n_bootstrap=0)
    table = lacking.uns["ctl"]["evaluation"]
    assert (table.loc[table["target"] == "noise", "n"] == 0).all()
    assert np.isfinite(row(lacking, view="raw", metric="pearson").value)


def test_few_blocks_give_no_interval():
    tracks = make()
    ctl.tl.evaluate(tracks, baselines=None, views="smoothed", n_bootstrap=20)  # blocks of 1 Mb: one a chromosome
    assert tracks.uns["ctl"]["evaluation"]["ci_low"].isna().all()


def test_a_trained_model_is_found_with_the_baselines_that_were_stored():
    tracks = make()
    tracks.drop("H3K4me3_good")
    ctl.tl.nascent(tracks, window=21, train_kwargs={"max_epochs": 5}, seed=0)
    ctl.tl.baseline(tracks, "log_signal", key_added="near")
    ctl.tl.evaluate(tracks, baselines="mean", block=BLOCK, n_bootstrap=0)
    table = tracks.uns["ctl"]["evaluation"].drop_duplicates(["model", "target"])
    assert table["model"].tolist() == ["nascent", "near", "mean"] * 2
    assert table["is_baseline"].tolist() == [False, True, True] * 2
    assert set(tracks.uns["ctl"]["gains"]["model"]) == {"nascent"}
