"""Baselines of tracks, against scikit-learn in the same bins."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import Ridge
from tests.tl.made_tracks import N, bins, make

import chromatell as ctl
from chromatell.models.baselines.tracks import TrackBaselines
from chromatell.models.nascent._signal import Signal


def test_the_baselines_are_least_squares_on_training_bins():
    tracks = make(fractions=(0.6, 0, 0.4))
    fitter = TrackBaselines(tracks)
    y = bins(tracks, "H3K4me3", "train")
    assert fitter.predict("mean", "chr2")[0].tolist() == pytest.approx([y.mean()] * N["chr2"], rel=1e-5)
    scale = np.mean([bins(tracks, n, "train").mean() for n in ("plus", "minus")])
    parts = {c: tracks.values(c, ["plus", "minus"]) / np.float32(scale) for c in N}
    narrow = {c: np.log1p(np.convolve(v.sum(axis=0), np.ones(101), mode="same")) for c, v in parts.items()}
    x = np.concatenate([narrow[c][tracks.usable(c, "train")] for c in N])
    slope, intercept = np.polyfit(x, y, 1)
    low = y.min()
    np.testing.assert_allclose(
        fitter.predict("log_signal", "chr1")[0], np.maximum(intercept + slope * narrow["chr1"], low), atol=1e-3
    )
    features = {c: Signal(v, 41).features(slice(0, N[c])).astype(float) for c, v in parts.items()}
    x = np.concatenate([features[c][:, tracks.usable(c, "train")] for c in N], axis=1).T
    centre, spread = x.mean(axis=0), x.std(axis=0)
    ridge = Ridge(alpha=1e-4 * len(x)).fit((x - centre) / spread, y)
    expected = np.maximum(ridge.predict((features["chr1"].T - centre) / spread), low)
    np.testing.assert_allclose(fitter.predict("ridge", "chr1")[0], expected, atol=2e-3)
    some = np.array([5, 77, 4000])
    np.testing.assert_allclose(fitter.predict("ridge", "chr1", some)[0], expected[some], atol=2e-3)
    assert fitter.chosen("ridge", "penalty") == {"H3K4me3": 1e-4, "noise": 1e-4}


def test_the_other_targets_are_averaged_on_the_scale_of_each():
    tracks = make()
    fitter = TrackBaselines(tracks)
    stats = {n: (bins(tracks, n, "train").mean(), bins(tracks, n, "train").std()) for n in fitter.targets}
    z = (tracks.values("chr1", "noise")[0] - stats["noise"][0]) / stats["noise"][1]
    expected = stats["H3K4me3"][0] + stats["H3K4me3"][1] * z
    np.testing.assert_allclose(fitter.predict("other_targets", "chr1")[0], expected, rtol=1e-3, atol=1e-3)


def test_no_baseline_reads_a_held_out_target():
    tracks = make()
    changed = {c: tracks.values(c, ["H3K4me3", "noise"]).copy() for c in N}
    for c, v in changed.items():
        v[:, ~(tracks.usable(c, "train") | tracks.usable(c, "val"))] = 999
    other = tracks.copy()
    other.replace(changed, ["H3K4me3", "noise"])
    for kind in ("mean", "log_signal", "ridge"):
        np.testing.assert_array_equal(*(TrackBaselines(t).predict(kind, "chr1") for t in (tracks, other)))


def test_a_target_is_fitted_where_it_is_known_whatever_the_others_are():
    whole = make()
    values = {c: whole.values(c, "noise").copy() for c in N}
    values["chr1"][:, whole.usable("chr1", "val")] = np.nan
    values["chr2"][:] = np.nan  # 'noise' has no validation bin left
    tracks = whole.copy()
    tracks.replace(values, ["noise"])
    known = np.isfinite(values["chr1"][0]) & tracks.usable("chr1", "train")
    both, first, second = TrackBaselines(tracks), TrackBaselines(whole, "H3K4me3"), TrackBaselines(tracks, "noise")
    mean = values["chr1"][0, known].mean(dtype=float)
    assert both.predict("mean", "chr2")[1, 0] == pytest.approx(mean, rel=1e-6)
    for kind in ("mean", "log_signal", "ridge"):
        found = both.predict(kind, "chr1")
        np.testing.assert_allclose(found[0], first.predict(kind, "chr1")[0], rtol=1e-5, atol=1e-5)
        np.testing.assert_allclose(found[1], second.predict(kind, "chr1")[0], rtol=1e-5, atol=1e-5)
    assert both.chosen("ridge", "penalty") == {**first.chosen("ridge", "penalty"), "noise": 1e-4}


def test_validation_bins_choose_the_penalty():
    tracks = make(seed=3)
    fitter = TrackBaselines(tracks)
    fitter.predict("ridge", "chr1")
    assert fitter.chosen("ridge", "penalty")["noise"] > 1e-4  # nothing to learn: more is better


def test_a_baseline_becomes_tracks_that_say_what_they_are():
    tracks = make()
    assert ctl.tl.baseline(tracks, "other_targets") is None
    assert (
        ctl.tl.baseline(tracks, "ridge", key_added="linear", copy=True).names_of(role="prediction")[-1]
        == "noise_linear"
    )
    assert tracks.table.loc["noise_other_targets", ["assay", "role"]].tolist() == ["noise", "prediction"]
    said = tracks.uns["ctl"]["predictions"]["other_targets"]
    assert said["tracks"] == ["H3K4me3_other_targets", "noise_other_targets"]
    assert said["uses_target_assay"] is True
    ctl.tl.baseline(tracks, "other_targets")  # again, in the same place
    assert len(tracks.names_of(role="prediction")) == 3
