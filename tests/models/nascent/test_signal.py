"""What the model reads: sums around bins, scaled and masked."""

from __future__ import annotations

import numpy as np
import pytest

import chromatell as ctl
from chromatell.data._tracks_inputs import input_values
from chromatell.models.nascent._signal import Signal, mean_signal, segments


@pytest.mark.parametrize("window", [1, 3, 13, 15, 201, 2561])
def test_segments_cover_the_window_once_and_alike_on_both_sides(window):
    found = segments(window)
    covered = [i for first, behind in found for i in range(first, behind)]
    assert covered == list(range(-(window // 2), window // 2 + 1))
    assert found == [(1 - b, 1 - a) for a, b in reversed(found)]
    widths = [b - a for a, b in found[len(found) // 2 :]]
    assert max(widths) <= max(1, window // 4)


def test_features_are_the_sums_of_the_window_of_each_bin(rng):
    values = rng.gamma(0.5, 2, (2, 60)).astype(np.float32)
    window = 31
    signal = Signal(values, window)
    padded = np.pad(values.astype(np.float64), ((0, 0), (15, 15)))
    expected = np.stack(
        [
            [np.log1p(padded[c, i + 15 + a : i + 15 + b].sum()) for i in range(60)]
            for c in range(2)
            for a, b in segments(window)
        ]
    )
    np.testing.assert_allclose(signal.features(slice(0, 60)), expected, rtol=1e-5, atol=1e-6)
    some = np.array([0, 59, 7, 30])
    np.testing.assert_array_equal(signal.features(some), signal.features(slice(0, 60))[:, some])
    np.testing.assert_array_equal(signal.features(slice(20, 25)), signal.features(slice(0, 60))[:, 20:25])


def test_a_window_longer_than_the_chromosome_sees_nothing_beyond_it():
    signal = Signal(np.ones((1, 4), dtype=np.float32), 101)
    total = np.expm1(signal.features(slice(0, 4))).sum(axis=0)
    np.testing.assert_allclose(total, 4, rtol=1e-6)


def test_inputs_are_zero_where_blacklisted_or_unknown_and_scaled_by_what_trains():
    values = np.array([[1, 2, np.nan, 100, 3, 50], [3, 4, 0, 100, 5, 70]], dtype=np.float32)
    tracks = ctl.data.BinnedTracks({"chr1": values}, ["plus", "minus"], chrom_sizes={"chr1": 300})
    ctl.pp.mask_bins(tracks, blacklist=["chr1:150-200"], all_zero=None)
    assert input_values(tracks, "chr1", ["plus", "minus"]).tolist() == [[1, 2, 0, 0, 3, 50], [3, 4, 0, 0, 5, 70]]
    assert np.isnan(tracks.values("chr1")[0, 2])
    tracks.splits = {"chr1": np.array([0, 0, 0, 0, 0, 2], dtype=np.int8)}
    np.testing.assert_allclose(mean_signal(tracks, ["plus", "minus"], ["a", "b"], "train"), [6 / 4, 12 / 4])
    np.testing.assert_allclose(mean_signal(tracks, ["plus", "minus"], ["a", "a"], "train"), [9 / 4, 9 / 4])


def test_inputs_that_are_negative_or_silent_are_refused():
    values = np.array([[1, -2, 0, 1], [0, 0, 0, 0]], dtype=np.float32)
    tracks = ctl.data.BinnedTracks({"chr1": values}, ["minus", "empty"], chrom_sizes={"chr1": 200})
    with pytest.raises(ctl.ChromatellError, match="takes the absolute values"):
        input_values(tracks, "chr1", ["minus"])
    with pytest.raises(ctl.ChromatellError, match=r"\['empty'\] have no signal"):
        mean_signal(tracks, ["empty"], ["a"])
