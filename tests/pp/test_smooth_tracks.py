"""`pp.smooth_tracks`: a Gaussian along each chromosome, from raw values that stay."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import chromatell as ctl

SIZES = {"chr1": 6000, "chr2": 777}
BINS = {"chr1": 120, "chr2": 16}


@pytest.fixture
def tracks(rng):
    table = pd.DataFrame({"name": ["plus", "a", "b"], "role": ["input", "target", "target"]})
    values = {c: rng.random((3, n)).astype(np.float32) for c, n in BINS.items()}
    return ctl.data.BinnedTracks(values, table, chrom_sizes=SIZES)


def by_loop(x, sigma):
    """Each bin the weighted mean of the known bins up to 3 sigma away."""
    reach = int(3 * sigma + 0.5)
    out = np.full(x.size, np.nan)
    for i in range(x.size):
        at = np.arange(max(0, i - reach), min(x.size, i + reach + 1))
        at = at[~np.isnan(x[at])]
        w = np.exp(-0.5 * ((at - i) / sigma) ** 2)
        if not np.isnan(x[i]):
            out[i] = (w * x[at]).sum() / w.sum()
    return out


@pytest.mark.parametrize("sigma", [0.5, 2, 10])
def test_values_are_those_of_a_loop(tracks, sigma):
    raw = {c: tracks.values(c).copy() for c in SIZES}
    ctl.pp.smooth_tracks(tracks, sigma=sigma)
    for chrom in SIZES:
        found = tracks.values(chrom)
        np.testing.assert_array_equal(found[0], raw[chrom][0])
        for row in (1, 2):
            np.testing.assert_allclose(found[row], by_loop(raw[chrom][row], sigma), rtol=2e-6)
        np.testing.assert_array_equal(tracks.values(chrom, layer="raw"), raw[chrom])
    assert tracks.layers == {"raw": ["a", "b"]}
    assert tracks.table["sigma"].tolist() == [0, sigma, sigma]


def test_unknown_bins_stay_unknown_and_count_for_nothing():
    x = np.array([[1, 2, np.nan, 4, 5, np.nan]], dtype=np.float32)
    tracks = ctl.data.BinnedTracks({"chr1": x}, ["a"], chrom_sizes={"chr1": 300})
    ctl.pp.smooth_tracks(tracks, sigma=1)
    np.testing.assert_allclose(tracks.values("chr1")[0], by_loop(x[0], 1), rtol=2e-6)


def test_smoothing_again_starts_from_the_raw_values(tracks):
    once = ctl.pp.smooth_tracks(tracks, sigma=3, copy=True)
    ctl.pp.smooth_tracks(tracks, sigma=8)
    ctl.pp.smooth_tracks(tracks, sigma=3)
    np.testing.assert_array_equal(tracks.values("chr1"), once.values("chr1"))
    assert tracks.table.loc["a", "sigma"] == 3


def test_inputs_and_names_are_smoothed_on_request_and_a_copy_leaves_the_first(tracks):
    before = tracks.values("chr1").copy()
    found = ctl.pp.smooth_tracks(tracks, role="input", copy=True)
    np.testing.assert_array_equal(tracks.values("chr1"), before)
    assert tracks.layers == {}
    assert found.layers == {"raw": ["plus"]}
    assert ctl.pp.smooth_tracks(tracks, names="b", copy=True).layers == {"raw": ["b"]}


def test_a_store_takes_the_smoothed_values(tracks, tmp_path):
    memory = ctl.pp.smooth_tracks(tracks, copy=True)
    tracks.save(tmp_path / "t.zarr")
    stored = ctl.data.BinnedTracks.open(tmp_path / "t.zarr")
    ctl.pp.smooth_tracks(stored, out=tmp_path / "s.zarr")
    for chrom in SIZES:
        np.testing.assert_array_equal(stored.values(chrom), memory.values(chrom))
        np.testing.assert_array_equal(stored.values(chrom, layer="raw"), tracks.values(chrom))
    assert not stored.in_memory
    stored.save(tmp_path / "all.zarr")
    back = ctl.data.BinnedTracks.open(tmp_path / "all.zarr")
    np.testing.assert_array_equal(back.values("chr2", "b"), memory.values("chr2", "b"))


def test_an_anndata_is_smoothed_in_place(tracks):
    adata = tracks.to_anndata("chr1")
    ctl.pp.smooth_tracks(tracks)
    assert ctl.pp.smooth_tracks(adata) is None
    np.testing.assert_array_equal(adata.X, tracks.values("chr1"))
    np.testing.assert_array_equal(adata.layers["raw"], tracks.values("chr1", layer="raw"))
    assert adata.obs["sigma"].tolist() == [0, 10, 10]
    fresh = tracks.to_anndata("chr1")
    copied = ctl.pp.smooth_tracks(fresh, sigma=2, copy=True)
    assert fresh.obs["sigma"].tolist() == [0, 10, 10]
    assert copied.obs["sigma"].tolist() == [0, 2, 2]


@pytest.mark.parametrize(
    ("kwargs", "cure"),
    [
        ({"sigma": 0}, "sigma=0 is out of range"),
        ({"sigma": "10"}, "sigma='10'"),
        ({"role": "prediction"}, "no track of role 'prediction'"),
        ({"names": ["no"]}, "no track 'no'"),
    ],
)
def test_wrong_arguments(tracks, kwargs, cure):
    with pytest.raises(ctl.ChromatellError, match=cure):
        ctl.pp.smooth_tracks(tracks, **kwargs)


def test_more_than_memory_may_hold_asks_for_a_store(tracks, monkeypatch):
    monkeypatch.setattr(ctl.settings, "dense_limit", 10)
    with pytest.raises(ctl.ChromatellError, match="out='smoothed.zarr'"):
        ctl.pp.smooth_tracks(tracks)
    assert tracks.layers == {}
