"""Options of ``chromatell evaluate`` that one kind of data has: the table is that of Python with the same option."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from pandas.testing import assert_frame_equal
from tests.tl.made_bins import TINY, some_bins
from tests.tl.made_tracks import make

import chromatell as ctl
from chromatell.cli import main
from chromatell.evaluation.tasks import TASKS

MEME = """MEME version 4

ALPHABET= ACGT

MOTIF half
letter-probability matrix: alength= 4 w= 4
0.9 0.1 0.0 0.0
0.0 0.0 0.1 0.9
0.9 0.0 0.1 0.0
0.0 0.5 0.5 0.0
"""
# option -> its words, what Python takes for them, what else both are given
TRACKS = {
    "targets": ("H3K4me3", ["H3K4me3"], {}),
    "resolutions": ("50,100", [50, 100], {}),
    "threshold": ("H3K4me3=45", {"H3K4me3": 45.0}, {}),
    "within": ("chr1:0-300000,chr2:0-200000", ["chr1:0-300000", "chr2:0-200000"], {}),
    "block": ("100000", 100_000, {}),
    "regions": ("chr1", ["chr1"], {}),
}
CELLS = {
    "regions": ("predictable", "predictable", {"baselines": ["region_mean"]}),
    "motifs": ("MEME", "MEME", {"baselines": ["motif_ridge"], "pairs": ["cross-region"]}),
    "top": ("5", 5, {"baselines": ["region_mean"]}),
}
BINS = {"removed": ("0.4", 0.4, {"pairs": ["completion"], "baselines": ["bin_frequency_depth"]})}
CASES = [
    *(("tracks", name) for name in TRACKS),
    *(("cells", name) for name in CELLS),
    *(("cells x bins", name) for name in BINS),
]
SHARED = {"n_bootstrap": 5, "seed": 1}


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A file of each kind of data, and motifs."""
    folder = tmp_path_factory.mktemp("kinds")
    make().save(folder / "tracks.zarr")
    mdata = ctl.datasets.simulate_multiome(400, 30, 80, n_types=3, depth=20.0, seed=0)
    ctl.pp.split_cells(mdata, seed=0)
    atac, rng = mdata["atac"], np.random.default_rng(0)
    atac.varm["dna_code"] = rng.integers(0, 4, (80, 60)).astype(np.int8)
    atac.var["ctl_split"] = rng.choice(["train", "val", "test"], 80, p=[0.6, 0.2, 0.2])
    ctl.tl.add_prediction(mdata, atac.layers["truth"], key="mine")
    ctl.tl.evaluate(mdata, baselines="region_mean", pairs="cross-cell", n_bootstrap=0)
    mdata.write_h5mu(folder / "cells.h5mu")
    bins = some_bins()
    ctl.tl.atacformer(bins, **TINY)
    bins.write_h5ad(folder / "bins.h5ad")
    (folder / "motifs.meme").write_text(MEME)
    return {
        "tracks": folder / "tracks.zarr",
        "cells": folder / "cells.h5mu",
        "cells x bins": folder / "bins.h5ad",
        "MEME": folder / "motifs.meme",
    }


def of_python(path, **options):
    data = ctl.data.BinnedTracks.open(path) if path.suffix == ".zarr" else ctl.io.read(path)
    ctl.tl.evaluate(data, **SHARED, **options)
    return data.uns["ctl"]["evaluation"].reset_index(drop=True)


@pytest.mark.parametrize(("kind", "option"), CASES)
def test_the_table_is_that_of_python(kind, option, files, tmp_path):
    words, value, other = {"tracks": TRACKS, "cells": CELLS, "cells x bins": BINS}[kind][option]
    other = {"baselines": ["mean"], **other} if kind == "tracks" else other
    named = [word for name, names in other.items() for word in (f"--{name}", ",".join(names))]
    shared = [word for name, number in SHARED.items() for word in (f"--{name.replace('_', '-')}", str(number))]
    csv, words = tmp_path / "scores.csv", str(files.get(words, words))
    value = files["MEME"] if value == "MEME" else value
    argv = ["evaluate", str(files[kind]), f"--{option}", words, "--csv", str(csv), *named, *shared]
    assert main(argv) == 0
    want = of_python(files[kind], **{option: value}, **other)
    found = pd.read_csv(csv)
    assert_frame_equal(found, want, check_dtype=False, atol=1e-12)
    if option != "motifs":  # which its baseline cannot do without
        assert not of_python(files[kind], **other).equals(want), "the option changed nothing"


def test_every_option_of_one_kind_is_among_these():
    tried = {kind: {name for k, name in CASES if k == kind} for kind, _ in CASES}
    for task in TASKS:
        assert set(task.own_options) <= tried[task.called]


@pytest.mark.parametrize(
    ("kind", "option", "words", "cure"),
    [
        ("tracks", "labels", "nonsense", "--labels is of cells or cells x bins; "),
        ("tracks", "labels", "cell_type", "--labels is of cells or cells x bins; "),
        ("tracks", "top", "5", "--top is of cells or cells x bins; "),
        ("tracks", "motifs", "MEME", "--motifs is of cells; "),
        ("tracks", "removed", "0.3", "--removed is of cells x bins; "),
        ("tracks", "rna", "gex", "--rna is of cells or cells x bins; "),
        ("cells", "targets", "a", "--targets is of tracks; "),
        ("cells x bins", "block", "100000", "--block is of tracks; "),
    ],
)
def test_an_option_of_another_kind_of_data(kind, option, words, cure, files, refused):
    error = " ".join(refused(["evaluate", files[kind], f"--{option}", files.get(words, words)], 2).split())
    assert cure in error
    assert f"holds {'tracks' if kind == 'tracks' else 'cells'}." in error
