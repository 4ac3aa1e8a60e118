"""`pp.simulate_assay`: rates worked by hand, reads that are left, and what is kept of the tracks."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter1d

import chromatell as ctl
from chromatell.data._other_assays import cap, run_on, sharp_cap


def tracks_of(values, chroms=("chr1",)):
    sizes = dict.fromkeys(chroms, 50 * values.shape[1])
    tracks = ctl.data.BinnedTracks(dict.fromkeys(chroms, values), ["plus", "minus", "mark"], chrom_sizes=sizes)
    tracks.table["role"], tracks.table["strand"] = ["input", "input", "target"], ["+", "-", "."]
    return tracks


@pytest.fixture
def signal():
    return np.random.default_rng(0).poisson(0.5, (3, 4000)).astype(np.float32)


def test_all_reads_that_are_left_are_those_that_there_are(signal):
    tracks = tracks_of(signal * 7)  # a read is worth 7
    found = ctl.pp.simulate_assay(tracks, share=1)
    np.testing.assert_array_equal(found.values("chr1"), signal[:2])
    np.testing.assert_array_equal(tracks.values("chr1"), signal * 7)
    assert found.names == ["plus", "minus"]


def test_a_share_of_the_reads_is_left_and_none_is_made(signal):
    found = ctl.pp.simulate_assay(tracks_of(signal), share=0.3, seed=1).values("chr1")
    assert (found <= signal[:2]).all()
    n = signal[:2].sum()
    assert abs(found.sum() - 0.3 * n) < 4 * np.sqrt(n * 0.3 * 0.7)  # four standard deviations of the binomial


def test_pro_cap_is_what_stands_out_of_its_surroundings():
    reads = np.zeros((1, 400))
    reads[0, 100], reads[0, 300] = 60, 20
    how = {"power": 1.5, "spread": 0.0, "rest": 0.1, "depth": 0.5}
    near, far = (gaussian_filter1d(reads, s, axis=1) for s in (1, 60))  # 50 bp, 3 kb
    excess = np.maximum(near - 2 * far, 0) ** 1.5
    expected = 0.5 * (0.9 * 80 * excess / excess.sum() + 0.1 * reads)
    found = cap(reads, 50, how, np.random.default_rng(0))
    np.testing.assert_allclose(found, expected)
    assert found.sum() == pytest.approx(40)
    assert found[0, 100] / found[0, 300] > 3  # sharpened


def test_sharp_pro_cap_is_at_the_highest_bins():
    reads = np.ones((1, 400))
    reads[0, 200:203] = 30, 60, 30
    how = {"power": 1.0, "spread": 0.0, "rest": 0.0, "depth": 1.0}
    found = sharp_cap(reads, 50, how, np.random.default_rng(0))[0]
    assert found.sum() == pytest.approx(reads.sum())
    assert found.argmax() == 201
    assert found[[195, 207]].max() < 1e-3 * found[201]


def test_gro_seq_moves_reads_upstream_and_adds_background():
    reads = np.zeros((2, 100))
    reads[:, 50] = 8
    how = {"power": 1.0, "levels": 0.0, "background": 0.25, "depth": 0.5}
    plus, minus = run_on(reads, "+-", 50, how, np.random.default_rng(0))
    background = 0.25 * 0.08  # of the mean, 8 in 100 bins
    assert plus[47:51].tolist() == pytest.approx([0.5 * (2 + background)] * 4)
    assert minus[50:54].tolist() == pytest.approx([0.5 * (2 + background)] * 4)
    assert plus[[46, 51]].tolist() == minus[[49, 54]].tolist() == pytest.approx([0.5 * background] * 2)


@pytest.mark.parametrize("assay", ["PRO-cap", "sharp PRO-cap", "GRO-seq"])
def test_the_share_sets_the_depth_and_the_seed_everything(signal, assay):
    signal[:2, 1000:1003] += 200
    tracks = tracks_of(signal)
    one, same, other = (ctl.pp.simulate_assay(tracks, assay, share=0.5, seed=s).values("chr1") for s in (3, 3, 4))
    np.testing.assert_array_equal(one, same)
    assert (one != other).any()
    assert (one == np.round(one)).all()
    if assay != "GRO-seq":  # whose background comes on top
        assert one.sum() == pytest.approx(0.5 * signal[:2].sum(), rel=0.1)


def test_one_protocol_is_drawn_for_all_chromosomes_and_masks_and_split_are_kept(signal):
    tracks = tracks_of(signal, chroms=("chr1", "chr2"))
    ctl.pp.mask_bins(tracks, blacklist=["chr1:0-5000"], all_zero=None)
    ctl.pp.split_regions(tracks, by="chromosome", fractions=(0.5, 0, 0.5), seed=0)
    found = ctl.pp.simulate_assay(tracks, "GRO-seq", seed=0)
    for chrom in tracks.chroms:
        np.testing.assert_array_equal(found.masks[chrom], tracks.masks[chrom])
        np.testing.assert_array_equal(found.splits[chrom], tracks.splits[chrom])
    sums = [found.values(c)[:, 200:].sum() for c in found.chroms]
    assert sums[0] == pytest.approx(sums[1], rel=0.1)  # one depth, of the same signal
    assert not np.array_equal(*(found.values(c)[:, 200:] for c in found.chroms))


def test_what_cannot_be_simulated_is_told(signal):
    tracks = tracks_of(signal)
    with pytest.raises(ctl.ChromatellError, match="choose one of .*PRO-cap.*Did you mean 'PRO-cap'"):
        ctl.pp.simulate_assay(tracks, "PROcap")
    with pytest.raises(ctl.ChromatellError, match="share=0.1"):
        ctl.pp.simulate_assay(tracks)
    with pytest.raises(ctl.ChromatellError, match="share"):
        ctl.pp.simulate_assay(tracks, share=0)
    with pytest.raises(ctl.ChromatellError, match="no signal"):
        ctl.pp.simulate_assay(tracks_of(0 * signal), share=0.5)


def test_a_threshold_is_calibrated_on_a_simulated_assay(signal):
    signal[:2, 50:4000:100] += 40
    signal[2] = signal[:2].sum(axis=0) > 20
    tracks = tracks_of(np.concatenate([signal, signal], axis=1))
    ctl.pp.split_regions(tracks, by="blocks", block=50_000, width=1050, fractions=(0.4, 0.3, 0.3), seed=0)
    ctl.tl.nascent(tracks, window=21, min_child_weight=5, seed=0, train_kwargs={"max_epochs": 10})
    as_cap = ctl.pp.simulate_assay(tracks, "PRO-cap", seed=1)
    predicted = ctl.tl.predict(as_cap, tracks)
    sites = ctl.tl.call_regions(tracks, "mark", threshold=0.5, sigma=0, min_length=50)
    both = [tracks, predicted]
    called = ctl.tl.call_regions(tracks, "mark_nascent", calibrate=sites, calibrate_on=both, fdr=0.5, min_length=50)
    alone = ctl.tl.call_regions(tracks, "mark_nascent", calibrate=sites, fdr=0.5, min_length=50)
    assert called.attrs["calibration"]["sites"] == 2 * alone.attrs["calibration"]["sites"] > 0
