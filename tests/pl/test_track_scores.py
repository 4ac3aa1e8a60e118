"""`pl.track_scatter`, `pl.metric_by_chromosome` and `pl.leaderboard` of tracks: what is drawn, read off the tables."""

from __future__ import annotations

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest

import chromatell as ctl
from chromatell.metrics import coarsen

mpl.use("agg")
import matplotlib.pyplot as plt

N = {"chr1": 6000, "chr2": 4000}


@pytest.fixture(scope="module")
def tracks():
    rng = np.random.default_rng(0)
    values = {}
    for chrom, n in N.items():
        signal = rng.poisson(0.4, n)
        marks = [np.where(signal > k, 4.0 + signal, 0) for k in (0, 1)]
        values[chrom] = np.stack([signal, *marks, *(m + rng.normal(0, 1, n) for m in marks)])
    table = pd.DataFrame(
        {
            "name": ["plus", "me1", "me3", "me1_mine", "me3_mine"],
            "assay": ["PRO", "me1", "me3", "me1", "me3"],
            "role": ["input", "target", "target", "prediction", "prediction"],
        }
    )
    tracks = ctl.data.BinnedTracks(values, table, chrom_sizes={c: 50 * n for c, n in N.items()})
    ctl.pp.smooth_tracks(tracks, sigma=1)
    ctl.pp.split_regions(tracks, by="blocks", fractions=(0.4, 0.2, 0.4), block=10_000, width=50, seed=0)
    ctl.tl.evaluate(tracks, block=5_000, resolutions=(50, 1000), n_bootstrap=20, seed=0)
    return tracks


def value(tracks, **at):
    at = {"target": "me1", "view": "smoothed", "resolution": 50, "metric": "pearson", **at}
    t = tracks.uns["ctl"]["evaluation"]
    return float(t.loc[np.all([t[k] == v for k, v in at.items()], axis=0), "value"].iloc[0])


def drawn(ax):
    return {line.get_label(): line.get_ydata() for line in ax.lines if not line.get_label().startswith("_")}


def test_each_chromosome_shows_the_scores_of_the_table(tracks):
    ax = ctl.pl.metric_by_chromosome(tracks, target="me3")
    assert [t.get_text() for t in ax.get_xticklabels()] == ["all", "chr1", "chr2"]
    assert ax.get_ylabel() == "Pearson r\n(me3, smoothed, 50 bp)"
    found = drawn(ax)
    assert set(found) == {"mine", "log_signal", "ridge", "other_targets (reads targets)"}  # the mean has no r
    for model in ("mine", "ridge"):
        expected = [value(tracks, target="me3", model=model, chrom=c) for c in ("all", "chr1", "chr2")]
        np.testing.assert_allclose(found[model], expected)


def test_metric_view_resolution_and_models_are_chosen(tracks):
    _, axes = plt.subplots()
    ax = ctl.pl.metric_by_chromosome(tracks, "rmse", view="raw", resolution=1000, models=["mine", "mean"], ax=axes)
    assert ax is axes
    assert ax.get_ylabel() == "RMSE\n(me1, raw, 1 kb)"
    expected = [
        value(tracks, model="mean", chrom=c, metric="rmse", view="raw", resolution=1000)
        for c in ("all", "chr1", "chr2")
    ]
    np.testing.assert_allclose(drawn(ax)["mean"], expected)
    assert ctl.pl.metric_by_chromosome(tracks, "ap").get_ylabel() == "average precision\n(me1, peaks, 50 bp)"


def test_the_leaderboard_has_a_panel_for_each_target(tracks):
    panels = ctl.pl.leaderboard(tracks)
    assert [p.get_title(loc="left") for p in panels] == ["me1", "me3"]
    assert panels[0].get_xlabel() == "Pearson r\n(smoothed, 50 bp)"
    labels = [t.get_text() for t in panels[0].get_yticklabels()]
    for panel, target in zip(panels, ("me1", "me3"), strict=True):
        points = {round(float(line.get_xdata()[0]), 9) for line in panel.lines if line.get_marker() in "osD"}
        scores = {
            value(tracks, target=target, model=m, chrom="all") for m in ("mine", "ridge", "log_signal", "other_targets")
        }
        assert points == {round(v, 9) for v in scores}
    assert labels[-1] == "mine"
    assert "other_targets (reads targets)" in labels
    one = ctl.pl.leaderboard(tracks, targets="me3", views="peaks", models=["mine", "ridge"])
    assert one.get_xlabel() == "average precision\n(peaks, 50 bp)"
    lowest = ctl.pl.leaderboard(tracks, targets="me3", views=("raw", "rmse"), resolution=1000)
    assert lowest.get_xlabel() == "RMSE\n(raw, 1 kb) (lower is better)"


def test_the_scatter_holds_every_scored_bin_and_the_tables_r(tracks):
    ax = ctl.pl.track_scatter(tracks, "me1", "mine")
    counts = ax.collections[0].get_array()
    assert counts.sum() == sum(tracks.usable(c, "test").sum() for c in N)
    assert [t.get_text() for t in ax.texts] == [f"r = {value(tracks, model='mine', chrom='all'):.2f}"]
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("Observed me1 (50 bp)", "Predicted by mine")


def test_a_coarse_scatter_of_logs(tracks):
    _, axes = plt.subplots()
    ax = ctl.pl.track_scatter(tracks, "me1", "me1_mine", view="raw", resolution=1000, log=True, split="val", ax=axes)
    assert ax is axes
    held = sum(coarsen(tracks.values(c, "me1")[0], tracks.usable(c, "val"), 20)[1].sum() for c in N)
    assert ax.collections[0].get_array().sum() == held
    assert ax.get_xlabel() == "Observed me1 (1 kb, raw, log(1 + x))"
    assert len(ax.texts) == 0  # validation bins were not scored


@pytest.mark.parametrize(
    ("call", "cure"),
    [
        (lambda t: ctl.pl.metric_by_chromosome(t, "auroc"), "No scores of metric 'auroc'"),
        (lambda t: ctl.pl.metric_by_chromosome(t, target="no"), "No scores of target 'no'; there: 'me1', 'me3'"),
        (lambda t: ctl.pl.metric_by_chromosome(t, view="smoothed", resolution=10_000), "No scores of resolution 10000"),
        (lambda t: ctl.pl.metric_by_chromosome(t, models=["no"]), "No scores of 'no' for 'me1'"),
        (lambda t: ctl.pl.metric_by_chromosome(t, models=["mean"]), "'pearson' is not defined for 'me1'"),
        (lambda t: ctl.pl.leaderboard(t, key="mine"), r"Run ctl.tl.evaluate\(tracks, key_added='mine'\) first"),
        (lambda t: ctl.pl.leaderboard(t, views=("peaks", "pearson")), "No scores of view 'peaks'"),
        (lambda t: ctl.pl.track_scatter(t, "no", "mine"), "There is no track 'no'"),
        (lambda t: ctl.pl.track_scatter(t, "me1", "other"), "no prediction of 'me1' by 'other'"),
        (lambda t: ctl.pl.track_scatter(t, "me1", "mine", resolution=75), "multiple of the bin size"),
        (lambda t: ctl.pl.track_scatter(t, "me1", "mine", split="all"), "split='all' is not known"),
    ],
)
def test_what_cannot_be_drawn(tracks, call, cure):
    with pytest.raises(ctl.ChromatellError, match=cure):
        call(tracks)
