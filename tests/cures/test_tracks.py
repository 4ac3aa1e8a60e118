"""Errors about tracks: the printed line is run, and the error is gone."""

from __future__ import annotations

import numpy as np
import pytest
from tests.cures.harness import Cure
from tests.cures.inputs import tracks

import chromatell as ctl

NASCENT = "ctl.tl.nascent(tracks, window=5, train_kwargs={'max_epochs': 2}, seed=0)"
SMALL = {"nascent(tracks)": "nascent(tracks, window=5, train_kwargs={'max_epochs': 2})"}
SCORE = "ctl.tl.evaluate(tracks, baselines=['log_signal'], n_bootstrap=0)"


def interval(found):
    return {"adata": found.to_anndata("chr1:0-10,000")}


def unnamed_interval(found):
    adata = found.to_anndata("chr1:0-10,000")
    del adata.uns["ctl"]
    return {"adata": adata}


def with_gap(found):
    adata = found.to_anndata("chr1:0-10,000")
    return {"adata": adata[:, [0, 1, 4, 5]].copy()}


def two_samples(found):
    more = ctl.data.BinnedTracks({"chr1": found.values("chr1", ["plus"])}, ["plus2"], chrom_sizes=found.chrom_sizes)
    return {"tracks": more}


def negative(found):
    values = {"chr1": np.stack([-found.values("chr1", ["plus"])[0], found.values("chr1", ["mark"])[0]])}
    made = ctl.data.BinnedTracks(values, ["plus", "mark"], chrom_sizes=found.chrom_sizes)
    made.table.loc["plus", "role"], made.table.loc["mark", "role"] = "input", "target"
    ctl.pp.split_regions(made, by="blocks", block=20_000, width=250)
    return {"tracks": made}


CURES = [
    Cure(
        "an interval of another",
        "ctl.data.BinnedTracks.from_anndata(adata)",
        "not an interval of tracks",
        tracks(unnamed_interval),
        fill={"chr21:35,000,000-36,000,000": "chr1:0-10,000"},
        into="adata",
    ),
    Cure(
        "an interval with a gap",
        "ctl.data.BinnedTracks.from_anndata(adata)",
        "do not follow each other",
        tracks(with_gap),
        fill={"(region)": "('chr1:0-10,000')"},
        into="adata",
    ),
    Cure(
        "no tracks",
        "ctl.pp.smooth_tracks(tracks)",
        "Expected ctl.data.BinnedTracks",
        tracks(lambda t: {"tracks": [1], "files": t}),
        fill={"or open stored ones with": "or", "(path)": "(store())"},
        take=(1,),
        into="tracks",
    ),
    Cure("no store", "ctl.data.BinnedTracks.open('tracks.zarr')", "is not a Zarr store|no store", tracks()),
    Cure("no layer", "tracks.values('chr1', layer='raw')", "No layer 'raw'", tracks()),
    Cure(
        "a name that is taken",
        "tracks.add({'chr1': np.ones((1, 4000))}, ['mark'])",
        "are there",
        tracks(),
        take=("overwrite",),
    ),
    Cure(
        "leaky split",
        "ctl.pp.split_regions(tracks, by='random')",
        "puts single bins",
        tracks(),
        take=("by",),
        fill={"block=...": "block=20_000", "width=...": "width=250"},
    ),
    Cure(
        "a small gap",
        "ctl.pp.split_regions(tracks, by='blocks', block=20_000, width=250, gap=10)",
        "gap=10 bp lets",
        tracks(),
        take=("allow_leaky",),
    ),
    Cure(
        "all bins masked",
        "ctl.pp.mask_bins(tracks, all_zero=50)",
        "would be masked",
        tracks(lambda t: {"tracks": zeros()}),
        take=("all_zero",),
    ),
    Cure(
        "no prediction to score",
        SCORE.replace("tracks,", "tracks, 'mine',"),
        "No predictions 'mine'",
        tracks(start="trained"),
        fill={"key_added=...": "key_added='mine', window=5, train_kwargs={'max_epochs': 2}"},
        take=(0,),
    ),
    Cure(
        "nothing predicted",
        SCORE.replace("['log_signal']", "None"),
        "There is no prediction",
        tracks(),
        fill=SMALL,
    ),
    Cure(
        "not smoothed",
        SCORE.replace("n_bootstrap", "views=['smoothed'], n_bootstrap"),
        "are not smoothed",
        tracks(start="trained"),
        take=("views",),
    ),
    Cure(
        "negative input",
        NASCENT,
        "is negative on chr1",
        tracks(negative),
        fill={"ctl.pp.bin_tracks(files)": "tracks = absolute(tracks)"},
    ),
    Cure(
        "no prediction to draw",
        "ctl.pl.track_scatter(tracks, 'mark', 'nascent')",
        "no prediction of 'mark'",
        tracks(),
        fill=SMALL,
    ),
    Cure(
        "strands of trees",
        NASCENT.replace("window=5", "window=5, strand_flip=True"),
        "is for networks",
        tracks(),
        take=("architecture",),
    ),
]


def zeros():
    return ctl.data.BinnedTracks({"chr1": np.zeros((1, 400))}, ["a"], chrom_sizes={"chr1": 20_000})


def absolute(found):
    values = {"chr1": np.abs(found.values("chr1"))}
    made = ctl.data.BinnedTracks(values, found.names, chrom_sizes=found.chrom_sizes)
    made.table["role"] = found.table["role"]
    ctl.pp.split_regions(made, by="blocks", block=20_000, width=250)
    return made


@pytest.mark.filterwarnings("ignore::chromatell.ChromatellWarning")
@pytest.mark.parametrize("case", CURES, ids=lambda c: c.name)
def test_the_line_that_is_printed_cures(case, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def make(folder):
        found = case.make(folder)
        store = lambda: tracks()(None)["tracks"].save("t.zarr") or "t.zarr"  # noqa: E731
        return {"store": store, "absolute": absolute, **found}

    Cure(case.name, case.call, case.match, make, case.fill, case.take, case.into).run(tmp_path)
