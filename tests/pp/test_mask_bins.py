"""`pp.mask_bins`: which bins count, and why the others do not."""

from __future__ import annotations

import gzip

import numpy as np
import pandas as pd
import pytest

import chromatell as ctl

SIZES = {"chr1": 2000, "chr2": 480}


@pytest.fixture
def tracks():
    """Signal in bins 10 and 30 of chr1 (an input, a target) and bin 9, the last and shorter one, of chr2."""
    values = {c: np.zeros((2, -(-n // 50)), dtype=np.float32) for c, n in SIZES.items()}
    values["chr1"][0, 10] = values["chr1"][1, 30] = values["chr2"][0, 9] = 2
    table = pd.DataFrame({"name": ["plus", "me3"], "role": ["input", "target"]})
    return ctl.data.BinnedTracks(values, table, chrom_sizes=SIZES)


def test_silent_intervals_are_masked_from_their_distance_on(tracks):
    ctl.pp.mask_bins(tracks, all_zero=200)
    expected = np.full(40, 4)
    expected[6:15] = expected[26:35] = 0  # 4 bins to either side
    assert tracks.masks["chr1"].tolist() == expected.tolist()
    assert tracks.masks["chr2"].tolist() == [4] * 5 + [0] * 5
    assert tracks.masks["chr1"].dtype == np.uint8


def test_blacklist_and_gaps_mask_every_bin_that_they_touch_and_reasons_add_up(tracks, tmp_path):
    bed = tmp_path / "gaps.bed.gz"
    with gzip.open(bed, "wt") as handle:
        handle.write("track name=gap\n1\t1900\t2000\tN\nchr9\t0\t10\tN\n")
    table = pd.DataFrame({"chrom": ["chr1", "chr1"], "start": [499, 1000], "end": [551, 1050]})
    ctl.pp.mask_bins(tracks, blacklist=table, gaps=bed, all_zero=None)
    mask = tracks.masks["chr1"]
    assert {i: int(m) for i, m in enumerate(mask) if m} == {9: 1, 10: 1, 11: 1, 20: 1, 38: 2, 39: 2}
    ctl.pp.mask_bins(tracks, blacklist=table, all_zero=100)  # bin 10 is an artefact, so nothing is near it
    mask = tracks.masks["chr1"]
    assert [int(m) for m in mask[8:13]] == [4, 5, 5, 5, 4]
    assert np.flatnonzero(mask == 0).tolist() == [28, 29, 30, 31, 32]


def test_signal_is_looked_for_in_raw_values(tracks):
    plain = ctl.pp.mask_bins(tracks, all_zero=100, copy=True)
    assert tracks.masks == {}
    ctl.pp.smooth_tracks(tracks, sigma=5)
    ctl.pp.mask_bins(tracks, all_zero=100)
    np.testing.assert_array_equal(tracks.masks["chr1"], plain.masks["chr1"])


def test_unknown_values_are_no_signal(tracks):
    tracks.add({"chr1": np.full((1, 40), np.nan)}, ["x"])
    ctl.pp.mask_bins(tracks, all_zero=0)
    assert np.flatnonzero(tracks.masks["chr1"] == 0).tolist() == [10, 30]


def test_predictions_are_no_signal(tracks):
    tracks.add({"chr1": np.ones((1, 40))}, pd.DataFrame({"name": ["p"], "role": ["prediction"]}))
    ctl.pp.mask_bins(tracks, all_zero=0)
    assert np.flatnonzero(tracks.masks["chr1"] == 0).tolist() == [10, 30]


def test_an_anndata_keeps_what_is_outside_masked(tracks):
    adata = tracks.to_anndata("chr1:0-1000")
    ctl.pp.mask_bins(adata, blacklist=["chr1:500-550"], all_zero=None)
    assert np.flatnonzero(adata.var["ctl_mask"]).tolist() == [10]
    back = ctl.data.BinnedTracks.from_anndata(adata)
    assert set(back.masks["chr1"][20:].tolist()) == {8}
    again = ctl.pp.mask_bins(back, all_zero=None, copy=True)
    assert set(again.masks["chr1"][20:].tolist()) == {8}
    assert ctl.pp.mask_bins(adata, all_zero=0, copy=True) is not adata


@pytest.mark.parametrize(
    ("kwargs", "cure"),
    [
        (
            {"blacklist": ["chr1:0-2500"]},
            "lie off the end of their chromosome: one ends at 2,500 of chr1, which has 2,000 bp",
        ),
        ({"blacklist": ["chr1"]}, "1 of 1 are no regions, such as 'chr1'"),
        ({"blacklist": []}, "blacklist: it is empty"),
        ({"gaps": pd.DataFrame({"chrom": ["chr1"]})}, "gaps lacks the columns 'start', 'end'"),
        ({"gaps": pd.DataFrame({"chrom": ["chr1"], "start": [5], "end": [5]})}, "1 of 1 rows are no intervals"),
        ({"gaps": "no.bed"}, "gaps 'no.bed' is not there"),
        ({"all_zero": -1}, "all_zero=-1"),
        ({"blacklist": ["chr1:0-2000", "chr2:0-480"]}, r"All 50 bins would be masked \(blacklist 100.0%"),
    ],
)
def test_wrong_regions(tracks, kwargs, cure):
    with pytest.raises(ctl.ChromatellError, match=cure):
        ctl.pp.mask_bins(tracks, **kwargs)
    assert tracks.masks == {}


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("chr1 0 10\n", "has 1 columns, 'chr1 0 10'"),
        ("chr1\tzero\t10\n", "1 of 1 rows are no intervals"),
        ("chr1\t0\n", "has 2 columns"),
    ],
)
def test_a_bed_that_is_none(tracks, tmp_path, text, reason):
    (tmp_path / "a.bed").write_text(text)
    with pytest.raises(ctl.ChromatellError, match=reason):
        ctl.pp.mask_bins(tracks, blacklist=tmp_path / "a.bed")


def test_regions_on_no_chromosome_of_the_tracks_are_said(tracks):
    with pytest.raises(ctl.ChromatellError, match=r"none of its 1 regions \('chr7'\).*leave blacklist= out"):
        ctl.pp.mask_bins(tracks, blacklist=["chr7:0-100"])
