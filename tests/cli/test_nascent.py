"""The commands on tracks: bigWigs or a store in, bigWigs or a store out, the same numbers as the Python calls."""

from __future__ import annotations

import re

import numpy as np
import pandas as pd
import pytest
from tests.helpers import file_names, one_line

import chromatell as ctl
from chromatell.cli import main

pytest.importorskip("pybigtools")
pytest.importorskip("xgboost")
BINS = {"chr1": 6000, "chr2": 2000}
TRAIN = ["--family", "nascent", "--window", "21", "--max-epochs", "5", "--seed", "3"]


def words(*given) -> list[str]:
    return [str(word) for word in given]


def refused(argv, capsys, code) -> str:
    assert main(words(*argv)) == code
    said = capsys.readouterr()
    assert said.out == ""
    assert "Traceback" not in said.err
    return said.err


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Two strands and a mark where both are, as bigWigs."""
    rng = np.random.default_rng(0)
    values = {}
    for chrom, n in BINS.items():
        strands = rng.poisson(0.4, (2, n))
        mark = np.convolve((strands.sum(axis=0) > 0), np.ones(5), "same")
        values[chrom] = np.vstack([strands, mark]).astype(np.float32)
    tracks = ctl.data.BinnedTracks(
        values, ["plus", "minus", "mark"], bin_size=50, chrom_sizes={c: 50 * n for c, n in BINS.items()}
    )
    return ctl.io.bigwig.write(tracks, tmp_path_factory.mktemp("files"), names=tracks.names)


@pytest.fixture(scope="module")
def shared(files, tmp_path_factory):
    """What the command makes of them."""
    out = tmp_path_factory.mktemp("shared") / "shared.zarr"
    strands = ["--plus", files["plus"], "--minus", files["minus"], "--target", f"H3K4me3={files['mark']}"]
    assert main(words("train", "-o", out, *TRAIN, *strands, "--block", "20000", "--smooth", "2")) == 0
    return out


@pytest.fixture(scope="module")
def by_api(files):
    """The same in Python."""
    paths = {"plus": files["plus"], "minus": files["minus"], "H3K4me3": files["mark"]}
    tracks = ctl.pp.bin_tracks(paths)
    ctl.pp.mask_bins(tracks)
    ctl.pp.smooth_tracks(tracks, sigma=2)
    ctl.pp.split_regions(tracks, by="blocks", block=20_000, width=1050 + 6000, seed=3)
    ctl.tl.nascent(tracks, window=21, seed=3, train_kwargs={"max_epochs": 5})
    return tracks


def assert_same(one, two):
    assert one.names == two.names
    for chrom in BINS:
        np.testing.assert_array_equal(one.values(chrom), two.values(chrom))
        np.testing.assert_array_equal(one.splits[chrom], two.splits[chrom])


def test_train_from_bigwigs_equals_the_api(shared, by_api):
    written = ctl.data.BinnedTracks.open(shared)
    assert_same(written, by_api)
    np.testing.assert_array_equal(written.values("chr1", layer="raw"), by_api.values("chr1", layer="raw"))
    assert ctl.models.load(shared).content_hash == ctl.models.load(by_api).content_hash
    assert file_names(shared.parent) == {"shared.zarr"}


def test_train_from_a_store_keeps_its_split(by_api, tmp_path, capsys):
    by_api.save(tmp_path / "in.zarr")
    assert main(words("train", tmp_path / "in.zarr", "-o", tmp_path / "out.zarr", *TRAIN, "--key", "mine")) == 0
    said = capsys.readouterr()
    assert "is used" in said.err
    assert "chromatell predict --model" in said.out
    written = ctl.data.BinnedTracks.open(tmp_path / "out.zarr")
    np.testing.assert_array_equal(written.values("chr1", ["H3K4me3_mine"]), by_api.values("chr1", ["H3K4me3_nascent"]))
    argv = ["train", tmp_path / "out.zarr", "-o", tmp_path / "out.zarr", *TRAIN, "--overwrite"]
    assert main(words(*argv, "--test-chromosomes", "chr2", "--fractions", 0.9, 0, 0.1)) == 0
    again = ctl.data.BinnedTracks.open(tmp_path / "out.zarr")
    assert set(np.unique(again.splits["chr2"])) == {2}
    assert set(again.names_of(role="prediction")) == {"H3K4me3_nascent", "H3K4me3_mine"}


def test_predict_from_bigwig_to_bigwig(shared, files, tmp_path, capsys):
    strands = ["--plus", files["plus"], "--minus", files["minus"]]
    argv = ["predict", "--model", shared, *strands, "--bigwig", tmp_path / "out"]
    assert main(words(*argv)) == 0
    assert "Wrote 1 predicted tracks" in capsys.readouterr().out
    assert file_names(tmp_path / "out") == {"H3K4me3_nascent.bw"}
    want = ctl.tl.predict({n: files[n] for n in ("plus", "minus")}, shared)
    back = ctl.io.bigwig.read(tmp_path / "out" / "H3K4me3_nascent.bw")
    np.testing.assert_allclose(back["chr1"], want.values("chr1", ["H3K4me3_nascent"])[0], atol=1e-6)
    assert "exist" in refused(argv, capsys, 1)
    assert main(words(*argv, "--overwrite", "--chroms", "chr2", "--depth", "fixed", "-qq")) == 0
    assert set(ctl.io.bigwig.read(tmp_path / "out" / "H3K4me3_nascent.bw")) == {"chr2"}


def test_predict_from_a_store_to_a_store(shared, by_api, tmp_path):
    by_api.select(["plus", "minus"]).save(tmp_path / "query.zarr")
    out = tmp_path / "predicted.zarr"
    assert main(words("predict", tmp_path / "query.zarr", "--model", shared, "-o", out, "--depth", "fixed")) == 0
    written = ctl.data.BinnedTracks.open(out)
    for chrom in BINS:
        want = by_api.values(chrom, ["H3K4me3_nascent"])
        np.testing.assert_array_equal(written.values(chrom, ["H3K4me3_nascent"]), want)


def test_evaluate_prints_and_writes_the_same_table_as_the_api(shared, tmp_path, capsys):
    csv, out = tmp_path / "scores.csv", tmp_path / "scored.zarr"
    options = ["--baselines", "mean,log_signal", "--n-bootstrap", "10", "--seed", "1"]
    assert main(words("evaluate", shared, "--csv", csv, "-o", out, *options)) == 0
    tracks = ctl.data.BinnedTracks.open(shared)
    ctl.tl.evaluate(tracks, baselines=["mean", "log_signal"], n_bootstrap=10, seed=1)
    want = tracks.uns["ctl"]["evaluation"]
    pd.testing.assert_frame_equal(pd.read_csv(csv), want.reset_index(drop=True), check_dtype=False, atol=1e-9)
    assert len(ctl.data.BinnedTracks.open(out).uns["ctl"]["evaluation"]) == len(want)
    said = capsys.readouterr().out
    assert "H3K4me3, test bins" in said
    rows = want[(want["chrom"] == "all") & (want["view"] == "smoothed") & (want["metric"] == "pearson")]
    shown = rows[(rows["model"] == "nascent") & (rows["resolution"] == 1000)]["value"].item()
    assert f"{shown:.3f}" in said
    assert said.index("nascent") < said.index("log_signal")


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["train", "-o", "o.zarr", "--family", "nascent"], "Name a store of tracks, IN, or bigWigs"),
        (["train", "-o", "o.h5mu"], "Name a file of paired cells"),
        (["train", "-o", "o.zarr", "--family", "nascent", "--plus", "PLUS"], "what to predict (--target NAME=X.bw)"),
        (["train", "S", "-o", "o.zarr", "--family", "nascent", "--plus", "PLUS"], "not both"),
        (["train", "S", "-o", "o.zarr", "--family", "nascent", "--bin-size", "100"], "--bin-size is for bigWigs"),
        (["train", "S", "-o", "o.zarr", "--family", "nascent", "--n-genes", "5"], "is for --family dense or xchrom"),
        (["train", "S", "-o", "o.zarr", "--family", "nascent", "--split-regions", "random"], "take blocks"),
        (["train", "S", "-o", "o.h5mu", "--family", "nascent"], "must end in .zarr"),
        (["train", "S", "-o", "S", "--family", "nascent"], "is an input too"),
        (["train", "S", "-o", "o.h5mu", "--window", "21"], "--window is for --family nascent"),
        (["predict", "--model", "S", "--plus", "PLUS"], "--bigwig FOLDER, or -o PREDICTED.zarr"),
        (["predict", "--model", "S", "--bigwig", "o"], "Name a file of cells or a store of tracks"),
        (["predict", "--model", "S", "--signal", "PLUS", "--plus", "PLUS", "--bigwig", "o"], "without strand"),
        (["predict", "S", "--model", "S", "-o", "o.zarr", "--regions", "x.bed"], "name --chroms"),
        (["predict", "cells.h5ad", "--model", "S", "-o", "o.h5mu", "--bigwig", "o"], "--bigwig is of tracks"),
        (["evaluate", "S", "--pairs", "cross-cell"], "--pairs is of cells"),
    ],
)
def test_a_mistake_in_the_call_is_exit_code_2(argv, message, shared, files, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    named = {"S": shared, "PLUS": files["plus"]}
    assert message in refused([named.get(word, word) for word in argv], capsys, 2)
    assert file_names(tmp_path) == set()


def test_files_that_are_not_there_are_one_line(shared, files, tmp_path, capsys):
    absent = tmp_path / "absent.bw"
    argv = ["predict", "--model", shared, "--plus", absent, "--minus", files["minus"], "--bigwig", tmp_path / "out"]
    assert "bigWig of --plus" in refused(argv, capsys, 1)
    target = ["--target", f"mark={absent}"]
    strands = ["--plus", files["plus"], "--minus", files["minus"]]
    assert "--target mark" in refused(["train", "-o", tmp_path / "o.zarr", *TRAIN, *strands, *target], capsys, 1)
    swapped = ["--plus", files["plus"], "--minus", files["minus"], "--target", f"plus={files['mark']}"]
    assert "a name of its own" in refused(["train", "-o", tmp_path / "o.zarr", *TRAIN, *swapped], capsys, 2)
    assert main(words("train", "-o", tmp_path / "o.zarr", *TRAIN, "--target", "mark")) == 2
    assert "is not NAME=X.bw" in capsys.readouterr().err
    assert file_names(tmp_path) == set()


def test_evaluate_takes_the_options_of_tracks(shared, tmp_path, capsys):
    (tmp_path / "within.bed").write_text("chr1\t0\t250000\nchr2\t0\t50000\n")
    options = ["--resolutions", "50,500", "--threshold", "1", "--block", "2000", "--targets", "H3K4me3"]
    options += ["--within", tmp_path / "within.bed", "--regions", "chr1", "--n-bootstrap", "20", "--seed", "0"]
    assert main(words("evaluate", shared, "--csv", tmp_path / "scores.csv", *options)) == 0
    tracks = ctl.data.BinnedTracks.open(shared)
    kept = {"within": tmp_path / "within.bed", "regions": "chr1", "n_bootstrap": 20, "seed": 0}
    ctl.tl.evaluate(tracks, resolutions=(50, 500), threshold=1, block=2000, targets=["H3K4me3"], **kept)
    want = tracks.uns["ctl"]["evaluation"].reset_index(drop=True)
    pd.testing.assert_frame_equal(pd.read_csv(tmp_path / "scores.csv"), want, check_dtype=False, atol=1e-12)
    assert set(want["resolution"]) == {50, 500}
    held = tracks.usable("chr1", "test") & (np.arange(BINS["chr1"]) < 5000)
    raw = tracks.values("chr1", "H3K4me3", layer="raw")[0][held]
    np.testing.assert_allclose(want.loc[want["metric"] == "prevalence", "value"], np.mean(raw > 1))
    said = capsys.readouterr().out
    gains = tracks.uns["ctl"]["gains"]
    at = (gains["view"] == "peaks") & (gains["metric"] == "ap") & (gains["chrom"] == "all")
    assert f"{gains.loc[at, 'gain'].iloc[0]:+.4f}" in said
    assert "Grey:" in said


def test_intervals_that_there_cannot_be_are_not_announced(shared, capsys):
    call = words("evaluate", shared, "--n-bootstrap", "20", "--baselines", "none", "--resolutions", "50")
    assert main([*call, "--block", "20000"]) == 0
    said = capsys.readouterr()
    assert "Grey" not in said.out
    assert "too few to resample: there are no intervals" in one_line(said.err)
    cure = re.search(r"block=([\d_]+)", one_line(said.err))[1]
    assert main([*call, "--block", cure]) == 0
    said = capsys.readouterr()
    assert "Grey" in said.out
    assert "too few" not in one_line(said.err)


@pytest.mark.parametrize("option", [["--motifs", "SPI1"], ["--top", "5"], ["--max-regions", "5"]])
def test_options_of_cells_are_refused_for_tracks(shared, capsys, option):
    assert f"{option[0]} is of cells" in refused(["evaluate", shared, *option], capsys, 2)
