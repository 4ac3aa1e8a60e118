"""`tl.call_regions` says where its calls mean nothing: a mark that is not to be had, tracks that do not compare."""

import warnings

import numpy as np
import pandas as pd
import pytest

import chromatell as ctl
from chromatell._validate import ChromatellError, ChromatellWarning

N = 6_000


@pytest.mark.filterwarnings("ignore:At no height:chromatell._validate.ChromatellWarning")  # of noise, by the library
def test_a_mark_that_validation_bins_deny_is_warned_of_at_the_call():
    rng = np.random.default_rng(0)
    rate = np.repeat(np.where(rng.random(N // 20) < 0.3, 4.0, 0.1), 20)
    values = np.stack([rng.poisson(rate), rng.poisson(rate), rate, rng.random(N)]).astype(np.float32)
    table = pd.DataFrame(
        {
            "name": ["plus", "minus", "mark", "noise"],
            "strand": ["+", "-", ".", "."],
            "role": ["input", "input", "target", "target"],
        }
    )
    tracks = ctl.data.BinnedTracks({"chr1": values}, table, chrom_sizes={"chr1": 50 * N})
    ctl.pp.split_regions(tracks, by="blocks", block=20_000, gap=2_000, width=2_050, seed=0)
    ctl.tl.nascent(tracks, window=41, train_kwargs={"max_epochs": 10}, seed=0)
    told = tracks.uns["ctl"]["models"]
    assert told
    with pytest.warns(ChromatellWarning, match="'noise' cannot be had from this signal"):
        ctl.tl.call_regions(tracks, "noise_nascent", fdr=0.5, seed=0)
    with warnings.catch_warnings():
        warnings.simplefilter("error", ChromatellWarning)
        assert len(ctl.tl.call_regions(tracks, "mark_nascent", fdr=0.2, seed=0))


def humps(bin_size=50, scale=1.0):
    """A track of 40 humps, each over a site."""
    values = np.zeros((1, 100_000 // bin_size), dtype=np.float32)
    starts = np.arange(40) * 2_400 + 1_000
    for start in starts:
        values[0, start // bin_size : (start + 400) // bin_size] = 3 * scale
    tracks = ctl.data.BinnedTracks({"chr1": values}, ["x"], bin_size=bin_size, chrom_sizes={"chr1": 100_000})
    return tracks, [f"chr1:{start + 100}-{start + 200}" for start in starts]


def test_known_sites_beside_tracks_of_other_bins_are_refused():
    (tracks, sites), (other, _) = humps(), humps(bin_size=100)
    with pytest.raises(ChromatellError, match=r"calibrate_on= has bins of 100 bp.* bins of 50"):
        ctl.tl.call_regions(tracks, "x", calibrate=sites, calibrate_on=[tracks, other])


def test_known_sites_beside_tracks_of_another_scale():
    (tracks, sites), (other, _) = humps(), humps(scale=1000.0)
    with pytest.warns(ChromatellWarning, match="Nothing is called: the threshold by known sites is"):
        assert ctl.tl.call_regions(tracks, "x", calibrate=sites, calibrate_on=other).empty
    assert len(ctl.tl.call_regions(tracks, "x", calibrate=sites, calibrate_on=tracks)) == 40
