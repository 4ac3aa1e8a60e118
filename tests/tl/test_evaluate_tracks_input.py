"""What the leaderboard of tracks refuses."""

from __future__ import annotations

import numpy as np
import pytest
from tests.tl.made_tracks import NO_VAL, N, make

import chromatell as ctl


@pytest.mark.parametrize(
    ("options", "cure"),
    [
        ({"split": "all"}, "split='all' is not known"),
        ({"models": "no"}, "No predictions 'no' of these targets; there: 'good'"),
        ({"targets": "no"}, "There is no track 'no'"),
        ({"baselines": "knn"}, "baselines='knn' is not known"),
        ({"views": "per_cell"}, "views='per_cell' is not known"),
        ({"regions": "chr9"}, "No chromosome 'chr9'"),
        ({"resolutions": (75,)}, r"multiples of the bin size \(50 bp\)"),
        ({"resolutions": (2_000_000,)}, "resolutions=2000000 is out of range"),
        ({"threshold": {"no": 1.0}}, "threshold names 'no'"),
        ({"threshold": "high"}, "threshold='high'"),
        ({"threshold": 1.0, "views": ["raw"]}, "it is for the view 'peaks'"),
        ({"block": 10}, "block=10 is out of range"),
        ({"pairs": "cross-cell"}, r"\['pairs'\] are no options for tracks"),
        ({"key_added": "a/b"}, "cannot be stored"),
    ],
)
def test_what_cannot_be_scored(options, cure):
    tracks = make()
    with pytest.raises(ctl.ChromatellError, match=cure):
        ctl.tl.evaluate(tracks, **options)
    assert "ctl" not in tracks.uns


@pytest.mark.filterwarnings(NO_VAL)
def test_what_the_tracks_lack():
    tracks = make()
    hole = tracks.values("chr1", "H3K4me3_good").copy()
    hole[0, np.flatnonzero(tracks.usable("chr1", "test"))[:3]] = np.nan
    holed = tracks.copy()
    holed.replace({"chr1": hole, "chr2": tracks.values("chr2", "H3K4me3_good")}, ["H3K4me3_good"])
    with pytest.raises(ctl.ChromatellError, match="'good' of 'H3K4me3' is NaN or infinite in 3 of"):
        ctl.tl.evaluate(holed)
    holed.splits = {}
    with pytest.raises(ctl.ChromatellError, match="not split, which makes all of them 'train'"):
        ctl.tl.evaluate(holed)
    bare = tracks.copy()
    bare.drop("H3K4me3_good")
    with pytest.raises(ctl.ChromatellError, match="no prediction of these targets"):
        ctl.tl.evaluate(bare, baselines=None)
    single = make(targets=1)
    with pytest.raises(ctl.ChromatellError, match="needs another target"):
        ctl.tl.baseline(single, "other_targets")
    with pytest.raises(ctl.ChromatellError, match="these tracks allow"):
        ctl.tl.evaluate(single, baselines="other_targets")
    with pytest.raises(ctl.ChromatellError, match="kind='region_mean' is not known"):
        ctl.tl.baseline(single)
    mdata = ctl.datasets.simulate_multiome(120, 30, 40, seed=0)
    with pytest.raises(ctl.ChromatellError, match=r"\['threshold'\] are no options for cells"):
        ctl.tl.evaluate(mdata, threshold=1.0)


def test_a_models_name_is_not_taken():
    tracks = make()
    ctl.tl.nascent(tracks, window=21, train_kwargs={"max_epochs": 2}, seed=0)
    with pytest.raises(ctl.ChromatellError, match="'nascent' is a prediction of a model"):
        ctl.tl.baseline(tracks, "mean", key_added="nascent")
    tracks.add({c: np.zeros((1, n)) for c, n in N.items()}, ["noise_mean"])
    with pytest.raises(ctl.ChromatellError, match="are no predictions"):
        ctl.tl.baseline(tracks, "mean")
