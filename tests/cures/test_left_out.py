"""Errors whose cure is to leave an option out, or to take a value that they offer: the call must go through then."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from tests.cures.harness import Cure, left_out
from tests.cures.inputs import changed, putting, tracks, trained
from tests.cures.test_sequence import bins, sequence

import chromatell as ctl

SCORE = "ctl.tl.evaluate(mdata, baselines=['region_mean'], views=['overall'], n_bootstrap=0)"
TRACK_SCORE = "ctl.tl.evaluate(tracks, baselines=['log_signal'], n_bootstrap=0)"
NASCENT = "ctl.tl.nascent(tracks, window=5, train_kwargs={'max_epochs': 2}, seed=0)"
DENSE = "ctl.tl.dense(mdata, train_kwargs={'max_epochs': 1}, seed=0, n_hidden=4)"
FORMER = "ctl.tl.atacformer(adata, train_kwargs={'max_epochs': 1}, seed=0)"
XCHROM = "ctl.tl.xchrom(mdata, train_kwargs={'max_epochs': 1}, seed=0)"
BIN = "ctl.pp.bin_genome(path, chrom_sizes={'chr1': 100_000}, barcodes=cells, size=5000)"
PREDICT = "ctl.tl.predict(rna, mdata)"


def fragments(mdata):
    rows = [f"chr1\t{1000 * i}\t{1000 * i + 200}\tc{i % 3}\t1\n" for i in range(60)]
    Path("fragments.tsv").write_text("".join(rows))
    Path("black.bed").write_text("chr9\t0\t100\n")
    return {"path": "fragments.tsv", "cells": ["c0", "c1", "c2"]}


def with_bins(mdata):
    return {**fragments(mdata), "regions": ["chr1:0-5000", "chr1:5000-10000"]}


def saved_model(mdata):
    ctl.models.load(mdata).save("model")


def one_donor(mdata):
    mdata.obs["donor"] = "d1"


def no_measured(mdata):
    rna = mdata.mod["rna"]
    del mdata.mod["rna"], mdata.mod["atac"]
    mdata.update()
    return {"rna": rna}


def stale(mdata):
    mdata.mod["prot"] = mdata.mod["rna"][:, :3].copy()
    mdata.update()
    del mdata.mod["prot"]  # without an update: names of genes are twice in mdata.var


def some_cells(mdata):
    mdata.mod["rna"] = mdata.mod["rna"][5:].copy()


def a_little_aside(mdata):
    table = ctl.genome.region_table(mdata.mod["atac"])[:3]
    return {"aside": [f"{c}:{s + 50}-{e + 50}" for c, s, e in table[["chrom", "start", "end"]].values]}


def measured(mdata):
    return {"measured": ctl.get.measured(mdata)}


def known_sites(found):
    bins = np.flatnonzero((found.splits["chr1"] > 0) & (found.values("chr1", ["mark"])[0] > 0))[::3]
    return {"sites": pd.DataFrame({"chrom": "chr1", "start": 50 * bins, "end": 50 * bins + 50})}


CELLS = [
    Cure(
        "a bigWig of cells", PREDICT.replace(")", ", bigwig='x')"), "bigwig= is for models that read tracks", trained()
    ),
    Cure(
        "a store is not replaced",
        PREDICT.replace(")", ", out='p.zarr', overwrite=True)"),
        "is for the files",
        trained(),
    ),
    Cure("a genome for Dense", PREDICT.replace(")", ", fasta='x.fa')"), "reads no sequence: leave it out", trained()),
    Cure(
        "top_k of other regions",
        PREDICT.replace(")", ", regions=aside, top_k=3)"),
        "top_k= keeps the model's own regions",
        trained(a_little_aside),
        take=("top_k",),
    ),
    Cure("float16 of top_k", PREDICT.replace(")", ", top_k=3, dtype='float16')"), "has no float16", trained()),
    Cure("motifs for knn", "ctl.tl.baseline(mdata, 'knn', motifs=['CTCF'])", "is read by the baseline", changed()),
    Cure(
        "keywords of training that are none",
        DENSE.replace("train_kwargs={'max_epochs': 1}", "train_kwargs=5"),
        "a dict is needed",
        changed(),
        take=("train_kwargs",),
    ),
    Cure(
        "no group of ten cells",
        "ctl.tl.uncertainty(mdata, groupby='tiny', seed=0, n_draws=2)",
        "has ten cells",
        trained(putting("obs/tiny", [f"g{i // 8}" for i in range(80)])),
        option="groupby",
    ),
    Cure(
        "one donor to resample",
        "ctl.tl.rank_regions(mdata, 'cell_type', sample_key='donor', n_bootstrap=2, seed=0)",
        "Leave sample_key= out",
        trained(one_donor),
    ),
    Cure(
        "no number of neighbours",
        "ctl.tl.neighbor_score(mdata, key='X_pca', n_neighbors=[])",
        "names no number",
        trained(lambda m: m.mod["rna"].obsm.update(X_pca=np.random.default_rng(0).random((80, 3)).astype(np.float32))),
        take=("n_neighbors",),
    ),
    Cure(
        "nothing was measured",
        "ctl.get.measured(mdata)",
        "Nothing in this MuData was measured",
        trained(no_measured),
        into="mdata",
    ),
    Cure("an old table of variables", "ctl.get.measured(mdata)", "not in step", trained(stale)),
    Cure("the wrong way round", "ctl.get.merge_results(measured, mdata)", "mdata did not measure", trained(measured)),
    Cure(
        "a model of that name",
        "ctl.io.import_model('model', mdata)",
        "has a model 'dense' already",
        trained(saved_model),
        take=("key",),
    ),
    Cure("a model for cells", "ctl.io.read('model')", "holds a model and no cells", trained(saved_model), instead=True),
    Cure(
        "cells that lack expression",
        "ctl.io.write_shuffled(mdata, 's.zarr', seed=0)",
        "Keep the shared ones",
        trained(some_cells),
    ),
    Cure(
        "no validation cells to wait for",
        DENSE.replace("{'max_epochs': 1}", "{'max_epochs': 1, 'schedule': 'plateau'}"),
        "schedule='plateau' needs 'val' cells",
        changed(putting("obs/ctl_split", np.where(np.arange(80) < 60, "train", "test"))),
    ),
    Cure(
        "no label to hold out",
        "ctl.pp.split_cells(mdata, holdout={'cell_type': []})",
        "names no label",
        changed(),
        take=("holdout",),
    ),
    Cure(
        "no chromosome to hold out",
        "ctl.pp.split_regions(mdata, holdout={'test': []})",
        "names no chromosome",
        changed(),
        take=("holdout",),
    ),
    Cure(
        "cells known and their number too",
        BIN.replace(")", ", min_fragments=5)"),
        "is for a fragments file without",
        changed(fragments),
        take=("min_fragments",),
    ),
    Cure(
        "a blacklist beside bins",
        BIN.replace("size=5000", "bins=regions, blacklist='black.bed'"),
        "does not go with bins=",
        changed(with_bins),
        take=("bins",),
    ),
    Cure(
        "a blacklist of another species",
        BIN.replace(")", ", blacklist='black.bed')"),
        "none of its regions is on a chromosome",
        changed(fragments),
    ),
    Cure(
        "regions of a model by no name",
        "ctl.models.load(mdata).predict(mdata, regions=[])",
        "names no region",
        trained(),
    ),
]
SEQUENCE = [
    Cure(
        "a width that is half a base",
        "ctl.pp.add_sequence(mdata, fasta, width=1.5)",
        "must be a whole number of bp",
        sequence(),
        option="width",
    ),
    Cure(
        "a share above 1",
        "ctl.pp.add_sequence(mdata, fasta, max_unknown=5)",
        "must be a share of N",
        sequence(),
        option="max_unknown",
    ),
    Cure(
        "contrasts of no kind",
        FORMER.replace(")", ", contrastive=5)"),
        "a dict of options is needed",
        bins(),
        option="contrastive",
    ),
    Cure("heads that do not divide", FORMER.replace(")", ", d=16, n_heads=3)"), "does not divide", bins(), take=("d",)),
    Cure(
        "a sentence of no bins",
        FORMER.replace(")", ", max_length=2)"),
        "leaves no room for bins",
        bins(),
        take=("max_length",),
    ),
]
TRACKS = [
    Cure(
        "a threshold that nothing reads",
        TRACK_SCORE.replace("n_b", "threshold=1, views=['raw'], n_b"),
        "would be read by nothing",
        tracks(start="trained"),
        take=("threshold",),
    ),
    Cure(
        "no chromosome to call on",
        "ctl.tl.call_regions(tracks, 'mark', threshold=1, regions=[])",
        "names no chromosome",
        tracks(start="trained"),
        take=("regions",),
    ),
    Cure(
        "a threshold, and what finds it",
        "ctl.tl.call_regions(tracks, 'mark_nascent', calibrate=sites, threshold=1)",
        "Leave one of the two out",
        tracks(known_sites, "trained"),
        take=("calibrate",),
    ),
    Cure(
        "a BED that is packed otherwise",
        "ctl.tl.call_regions(tracks, 'mark', threshold=1, path='x.bed.zip')",
        "plain text or, where",
        tracks(start="trained"),
        take=("path",),
    ),
    Cure(
        "no tracks to calibrate on",
        "ctl.tl.call_regions(tracks, 'mark_nascent', calibrate=sites, calibrate_on=[], fdr=0.9)",
        "is an empty list",
        tracks(known_sites, "trained"),
    ),
    Cure(
        "a genome that is not read",
        NASCENT.replace("window=5", "window=5, fasta='x.fa'"),
        "reads signal alone",
        tracks(),
        take=("fasta",),
    ),
    Cure(
        "a window that is no length",
        NASCENT.replace("window=5", "window='far'"),
        "is no length",
        tracks(),
        option="window",
    ),
    Cure(
        "a window beyond the chromosome",
        NASCENT.replace("window=5", "window=999_999"),
        "is longer than the longest",
        tracks(),
        take=("window",),
    ),
    Cure(
        "no bin to train on",
        NASCENT,
        "No usable bin is marked 'train'",
        tracks(lambda t: t.splits.update(chr1=np.full(4000, 2, np.int8))),
    ),
]


def test_what_is_left_out():
    assert left_out("a=1 and b= do not go. Leave one of them out.") == {"a": "..."}
    assert left_out("Take a=2, or leave b= out, or leave it out.") == {"b": "...", "a": "..."}
    assert left_out("Take another a=2.") == {}


@pytest.mark.filterwarnings("ignore::chromatell.ChromatellWarning")
@pytest.mark.parametrize("case", [*CELLS, *SEQUENCE, *TRACKS], ids=lambda c: c.name)
def test_the_call_goes_through(case, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    case.run(tmp_path)
