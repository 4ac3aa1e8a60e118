"""Options that errors name and no other test of cures takes: the call with them must go through."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from tests.cures.harness import Cure
from tests.cures.inputs import changed, tracks, trained
from tests.cures.test_sequence import bins, sequence

import chromatell as ctl

SCORE = "ctl.tl.evaluate(mdata, baselines=['region_mean'], views=['overall'], n_bootstrap=0)"
TRACK_SCORE = "ctl.tl.evaluate(tracks, baselines=['log_signal'], n_bootstrap=0)"
NASCENT = "ctl.tl.nascent(tracks, window=5, train_kwargs={'max_epochs': 2}, seed=0)"
CNN = NASCENT.replace("window=5", "window=5, architecture='cnn', n_filters=4, stretch=100")
SIZES = {"chr1": 200_000}


def with_nan(mdata):
    mdata.mod["atac_pred"].layers["other"] = np.full(mdata.mod["atac_pred"].shape, np.nan, np.float32)
    mdata.mod["atac_pred"].uns["ctl"]["provenance"]["other"] = {"family": "external"}


def held_out_regions(mdata):
    mdata.mod["atac"].var["ctl_split"] = np.where(np.arange(30) < 10, "test", "train")


def group_named_twice(mdata):
    """Groups whose bigWigs are in the folder already."""
    ctl.io.write_tracks(mdata, "cell_type", "out", genome="hg38", what="observed")


def two_models(mdata):
    ctl.tl.dense(mdata, key_added="second", train_kwargs={"max_epochs": 1}, seed=0, n_hidden=4, n_members=1)


def of_reads(mdata):
    lines = "".join(f"chr1\t{i * 100}\t{i * 100 + 50}\tx\t0\t+\n" for i in range(20))
    for folder in ("a", "b"):
        (one := mdata_folder(folder)).joinpath("cell.1.bed").write_text(lines)
    return {"one": str(one.parent / "a/cell.1.bed"), "two": str(one.parent / "b/cell.1.bed")}


def mdata_folder(name):
    from pathlib import Path

    folder = Path(name)
    folder.mkdir()
    return folder


def fragments(mdata):
    from pathlib import Path

    rows = [f"chr1\t{1000 * i}\t{1000 * i + 200}\tc{i % 3}\t1\n" for i in range(60)]
    Path("fragments.tsv").write_text("".join(rows))
    Path("black.bed").write_text("chr1\t0\t100000\n")
    return {"path": "fragments.tsv", "cells": ["c0", "c1", "c2"]}


def untrained(mdata):
    ctl.models.Dense.setup_mudata(mdata)
    return {"model": ctl.models.Dense(mdata, n_hidden=4)}


def regions_twice(mdata):
    table = pd.DataFrame({"chrom": ["chr1", "chr1"], "start": [0, 0], "end": [900, 900]})
    return fragments(mdata) | {"table": table}


def regions_held_out(mdata):
    ctl.pp.split_regions(mdata, by="random", seed=0)
    ctl.tl.xchrom(mdata, stem_filters=8, train_kwargs={"max_epochs": 1}, seed=0)


def without_names(found):
    return {"values": {"chr1": found.values("chr1")}, "table": pd.DataFrame({"assay": ["a", "b"]})}


def two_parts(found):
    return {"first": found.copy(), "second": found.copy()}


def peaks_alone(found):
    from pathlib import Path

    Path("a.narrowPeak").write_text("chr1\t100\t900\tp\t10\t.\t5\t3\t2\t50\n")
    return {"files": {"mark": {"path": "a.narrowPeak", "role": "target"}}}


def below_zero(found):
    values = {"chr1": np.stack([found.values("chr1", ["plus"])[0], found.values("chr1", ["mark"])[0] - 1])}
    return {"tracks": _roles(ctl.data.BinnedTracks(values, ["plus", "mark"], chrom_sizes=SIZES))}


def without_validation_signal(found):
    mark = found.values("chr1", ["mark"])[0].copy()
    mark[found.splits["chr1"] == 1] = 0
    made = _roles(
        ctl.data.BinnedTracks(
            {"chr1": np.stack([found.values("chr1", ["plus"])[0], mark])}, ["plus", "mark"], chrom_sizes=SIZES
        )
    )
    made.splits = {"chr1": found.splits["chr1"].copy()}
    return {"tracks": made}


def _roles(made):
    made.table.loc["plus", "role"], made.table.loc["mark", "role"] = "input", "target"
    ctl.pp.split_regions(made, by="blocks", block=20_000, width=250)
    return made


def taken_name(found):
    found.add({"chr1": found.values("chr1", ["mark"])}, ["mark_nascent"])


def taken_by_a_baseline(found):
    found.add({"chr1": found.values("chr1", ["mark"])}, ["mark_log_signal"])


def odd_column(found):
    table = pd.DataFrame({"what": [1, "x"]})
    found.uns["mine"] = table
    return {"table": table}


def alike(found):
    both = np.stack([found.values("chr1", ["plus"])[0]] * 2)
    return {"tracks": ctl.data.BinnedTracks({"chr1": both}, ["a b", "a/b"], chrom_sizes=SIZES), "name": "a b"}


def several_rows(mdata):
    names = list(mdata.mod["atac"].var_names)
    rng = np.random.default_rng(0)
    table = pd.DataFrame(rng.random((41, 2)) > 0.7, index=[*names, names[0]], columns=["A", "B"])
    return {"matches": table}


def of_loss(loss, says, change):
    call = CNN.replace("seed=0", f"seed=0, loss={loss!r}")
    return Cure(f"targets of {loss}", call, says, tracks(change), take=("loss",))


def of_source(source, says, named):
    call = f"ctl.pp.count_regions({source}, regions=['chr1:0-500'])"
    return Cure(says, call, says, changed(of_reads), take=("source",), fill={"'cell': path, ...": named})


CURES = [
    Cure("NaN of a prediction", SCORE, "holds .* NaN or infinite", trained(with_nan), fill={"[...]": "['dense']"}),
    Cure(
        "files of groups that are there",
        "ctl.io.write_tracks(mdata, 'cell_type', 'out', genome='hg38', what='observed')",
        "holds .* already",
        changed(group_named_twice),
    ),
    Cure(
        "no genome",
        "ctl.io.write_tracks(mdata, 'cell_type', 'out', what='observed')",
        "Which genome the regions lie on is not known",
        changed(),
    ),
    Cure(
        "no chromosome of the genome",
        "ctl.io.write_tracks(mdata, 'cell_type', 'out', what='observed', genome={'chrZ': 10})",
        "No region lies on a chromosome of the genome",
        changed(),
    ),
    Cure(
        "a hub of a genome without name",
        "ctl.io.write_tracks(mdata, 'cell_type', 'x', what='observed', hub=True, genome={'chr1': 9**9, 'chr2': 9**9})",
        "hub=True needs a genome that UCSC knows",
        changed(),
        take=("genome",),
    ),
    Cure(
        "several models to plot",
        "ctl.pl.history(mdata)",
        "carries 2 models",
        trained(two_models),
        fill={"key=.": "key='second'."},
    ),
    Cure(
        "holdout",
        "ctl.pp.split_regions(mdata, holdout={'tset': ['chr1']})",
        "'val' and 'test' are known",
        changed(),
        fill={"'chr20'": "'chr1'", "'chr8'": "'chr2'"},
    ),
    Cure(
        "all on the blacklist",
        "ctl.pp.bin_genome(path, barcodes=cells, chrom_sizes={'chr1': 200_000}, blacklist='black.bed')",
        "No bin is left",
        changed(fragments),
    ),
    Cure(
        "bins of no kind",
        "ctl.pp.bin_genome(path, barcodes=cells, bins=5)",
        "bins is a int",
        bins(lambda a: None)
        if False
        else changed(
            lambda m: (
                fragments(m)
                | {"binned": ctl.pp.bin_genome(fragments(m)["path"], barcodes=["c0"], chrom_sizes={"chr1": 200_000})}
            )
        ),
        take=("bins",),
        fill={"bins=model.regions": "x"},
    ),
    Cure(
        "several rows of matches",
        "ctl.tl.motif_activity(mdata, key='atac', matches=matches, n_backgrounds=5)",
        "several rows",
        sequence(several_rows),
    ),
    Cure("peaks alone", "ctl.pp.bin_tracks(files)", "Name the build", tracks(peaks_alone)),
    of_loss("poisson", "needs targets of 0 and above", below_zero),
    of_loss("masked_mse", "in the validation bins all are 0", without_validation_signal),
    Cure("a predicted name that is taken", NASCENT, "are there and are no predictions", tracks(taken_name)),
    Cure(
        "a baseline's name that is taken",
        "ctl.tl.baseline(tracks, 'log_signal')",
        "are there and are no predictions",
        tracks(taken_by_a_baseline),
    ),
    Cure(
        "a baseline named as a model",
        "ctl.tl.baseline(tracks, 'log_signal', key_added='nascent')",
        "is a prediction of a model",
        tracks(start="trained"),
    ),
    Cure("a column of uns", "tracks.save('t.zarr')", "cannot be stored: its column 'what'", tracks(odd_column)),
    Cure(
        "one file for two tracks",
        "ctl.io.bigwig.write(tracks, 'one.bw')",
        "is one file for 2 tracks",
        tracks(),
        fill={"names=...": "names='mark'"},
    ),
    Cure(
        "no share of an assay",
        "ctl.pp.simulate_assay(tracks)",
        "Nothing says what is simulated",
        tracks(),
        take=("share",),
    ),
    Cure(
        "calls of what no model predicted",
        "ctl.tl.call_regions(tracks, 'mark')",
        "was not predicted by a model",
        tracks(start="trained"),
        fill={"threshold=...": "threshold=0.5", "model=tracks_that": "x=tracks_that"},
        take=("threshold",),
    ),
    Cure("betas", "model.train(betas=5, max_epochs=1)", "two numbers are needed", changed(untrained), take=("betas",)),
    of_source("source=[one, two]", "the same name", "'one': one, 'two': two"),
    of_source("source={'x': one}, barcodes=['one']", "have no file", "'one': one"),
    Cure(
        "regions twice",
        "ctl.pp.count_regions(path, table, barcodes=cells)",
        "are there twice",
        changed(regions_twice),
        into="table",
    ),
    Cure(
        "files named alike",
        "ctl.io.bigwig.write(tracks, path='out')",
        "would have the same file name",
        tracks(alike),
        fill={"to path='name.bw'": "names=name, path='name.bw'"},
        take=("names", "path"),
    ),
    Cure(
        "a baseline that knows the regions",
        SCORE.replace("baselines=['region_mean']", "baselines='region_mean', pairs='cross-region'"),
        "knows a region by its ATAC",
        sequence(regions_held_out),
        take=("baselines",),
    ),
    Cure(
        "a track in two parts",
        "ctl.data.concat_tracks([first, second])",
        "is in two of the parts",
        tracks(two_parts),
        fill={", ...]": "]"},
    ),
    Cure(
        "no resolution",
        TRACK_SCORE.replace("tracks,", "tracks, resolutions=(70,),"),
        "must be multiples of the bin size",
        tracks(start="trained"),
        take=("resolutions", "block"),
    ),
    Cure(
        "no resolution of arrays",
        "ctl.metrics.track_scores([x], [x], [x >= 0], bin_size=70, resolutions=(100,), n_bootstrap=0)",
        "are not multiples of the bin size",
        changed(lambda m: {"x": np.arange(40_000.0)}),
        take=("resolutions", "block"),
    ),
    Cure(
        "tracks without names",
        "ctl.data.BinnedTracks(values, table, chrom_sizes={'chr1': 200_000})",
        "and no names",
        tracks(without_names),
        fill={"[...]": "['plus', 'mark']"},
    ),
]


@pytest.mark.filterwarnings("ignore::chromatell.ChromatellWarning")
@pytest.mark.parametrize("case", CURES, ids=lambda c: c.name)
def test_the_option_that_is_named_cures(case, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    case.run(tmp_path)
