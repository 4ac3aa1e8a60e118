"""More errors that offer a value or a line: what they offer is taken, and the call must go through."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from tests.cures.harness import Cure
from tests.cures.inputs import changed, putting, tracks, trained
from tests.cures.test_left_out import BIN, fragments
from tests.cures.test_sequence import XCHROM, _sequenced, bins, sequence

import chromatell as ctl

SCORE = "ctl.tl.evaluate(mdata, baselines=['region_mean'], views=['overall'], n_bootstrap=0)"
NASCENT = "ctl.tl.nascent(tracks, window=5, train_kwargs={'max_epochs': 2}, seed=0)"
DENSE = "ctl.tl.dense(mdata, train_kwargs={'max_epochs': 1}, seed=0, n_hidden=4)"
FORMER = "ctl.tl.atacformer(adata, train_kwargs={'max_epochs': 1}, seed=0)"
PWM = {"A": np.tile([0.85, 0.05, 0.05, 0.05], (8, 1))}


@cache
def _xchrom():
    mdata = _sequenced()[0].copy()
    ctl.tl.xchrom(mdata, stem_filters=8, train_kwargs={"max_epochs": 1}, seed=0)
    return mdata


def of_sequence(change=None):
    """A trained XChrom: its cells and regions, its genome, and a region that it does not hold."""

    def make(folder):
        found = changed(change, _xchrom)(folder)
        return {**found, "fasta": _sequenced()[1], "new": ["chr1:1000-1500"], "pwm": PWM}

    return make


def prediction_of_others(mdata):
    mdata.mod["atac_pred"] = mdata.mod["atac_pred"][:50].copy()


def bed_alone(mdata):
    var = mdata.mod["atac"].var
    Path("x.bed").write_text("".join(f"{c}\t{s}\t{e}\n" for c, s, e in var[["chrom", "start", "end"]].to_numpy()))


def written_tracks(mdata):
    ctl.io.write_tracks(mdata, "cell_type", "out", genome="hg38", what="observed")


def held_out_all_but_one(mdata):
    mdata.mod["atac"].var["ctl_split"] = np.where(np.arange(mdata.mod["atac"].n_vars) == 0, "train", "test")


def pwm(mdata):
    return {"pwm": PWM}


def rare_gene(mdata):
    x = mdata.mod["rna"].X.toarray()
    x[:, 0], x[79, 0] = 0, 3
    mdata.mod["rna"].X = x


def one_type_of_test_cells(mdata):
    mdata.obs["group"] = np.where(mdata.obs["ctl_split"] == "test", "a", np.where(np.arange(80) % 2, "a", "b"))


def untrained(mdata):
    ctl.models.Dense.setup_mudata(mdata)
    return {"model": ctl.models.Dense(mdata, n_hidden=4)}


def of_fragments(mdata):
    return {**fragments(mdata), "table": pd.DataFrame({"chrom": ["chr1"], "start": [0], "end": [60_000]})}


def saved_tracks(found):
    found.save("t.zarr")


ANNOTATION: dict = {"fill": {"'genes.gtf.gz'": "annotation", "'enhancers.bed'": "'x.bed'"}, "take": ("annotation",)}

CELLS = [
    Cure(
        "no region is predictable",
        SCORE.replace("n_b", "regions='predictable', n_b"),
        "is predictable",
        trained(putting("mod/atac_pred/var/ctl_predictable", False)),
        take=("regions",),
    ),
    Cure(
        "types without labels",
        "ctl.tl.baseline(mdata, 'celltype_mean', labels=None)",
        "text is needed. Left out",
        changed(),
    ),
    Cure("a prediction of other cells", DENSE, "cells that are not the", trained(prediction_of_others)),
    Cure(
        "a BED of which class",
        "ctl.pp.annotate_regions(mdata, annotation='x.bed')",
        "of which class",
        changed(bed_alone),
        **ANNOTATION,
    ),
    Cure(
        "classes that are none",
        "ctl.pp.annotate_regions(mdata, annotation=5)",
        "An annotation is a path",
        changed(bed_alone),
        **ANNOTATION,
    ),
    Cure(
        "no such annotation",
        "ctl.pp.annotate_regions(mdata, annotation='none.gtf')",
        "No annotation file at|is not there",
        changed(bed_alone),
        **ANNOTATION,
    ),
    Cure(
        "tracks that are there",
        "ctl.io.write_tracks(mdata, 'cell_type', 'out', genome='hg38', what='observed')",
        "overwrite=True",
        changed(written_tracks),
        take=("overwrite",),
    ),
    Cure(
        "no gene to take out",
        "ctl.tl.perturb(mdata, targets=[], n_cells=20)",
        "1 to .* are needed",
        trained(),
        fill={"'GATA1'": "'gene_1'"},
        take=("targets",),
    ),
]
CELLS += [
    Cure("no pairs", SCORE.replace("n_b", "pairs=[], n_b"), "names none of", trained(), take=("pairs",)),
    Cure("no views", SCORE.replace("['overall']", "[]"), "names no view", trained(), take=("views",)),
    Cure("axes that are none", "ctl.pl.history(mdata, ax=5)", "axes of matplotlib are needed", trained(), take=("ax",)),
    Cure(
        "a gene of no cell that is drawn",
        "ctl.tl.perturb(mdata, targets=['gene_1'], n_cells=5, seed=0)",
        "so nothing can be taken out",
        trained(rare_gene),
        take=("n_cells",),
    ),
    Cure(
        "one type of test cells",
        "ctl.tl.rank_regions(mdata, 'group', split='test', n_bootstrap=2, seed=0)",
        "groups of two or more cells",
        trained(one_type_of_test_cells),
        take=("split",),
    ),
    Cure(
        "a strategy of no kind",
        "model.train(max_epochs=1, seed=0, trainer_kwargs={'strategy': 'fsdp'})",
        "is not supported",
        changed(untrained),
        take=("trainer_kwargs",),
    ),
    Cure(
        "cut sites by overlap",
        BIN.replace(")", ", count='cut_sites', assign='overlap')"),
        "is for a fragments file, without",
        changed(fragments),
        take=("assign",),
    ),
    Cure(
        "fragments of known cells",
        "ctl.pp.count_regions(path, table, barcodes=cells, min_fragments=5)",
        "is for a fragments file without",
        changed(of_fragments),
        take=("min_fragments",),
    ),
]
SEQUENCE = [
    Cure(
        "labels that nobody has",
        "ctl.tl.ism(mdata, atac.var_names[:1], groupby='none', window=4)",
        "has a label in obs",
        of_sequence(putting("obs/none", np.full(60, None, dtype=object))),
        take=("groupby",),
    ),
    Cure(
        "a genome that is read and written",
        "ctl.datasets.simulate_sequence_multiome(n_cells=20, n_regions=10, fasta=fasta, fasta_out='x.fa', seed=0)",
        "writes the made-up genome",
        sequence(),
    ),
    Cure("one training region", XCHROM, "at least 2", sequence(held_out_all_but_one), take=(0,)),
    Cure(
        "no region asked for",
        "ctl.tl.predict(rna, mdata, key='xchrom', regions=[])",
        "names no region",
        of_sequence(),
        take=("regions",),
    ),
    Cure(
        "a region that is not held",
        "ctl.tl.predict(rna, mdata, key='xchrom', regions=new)",
        "Name the genome for their sequence",
        of_sequence(),
        fill={"'genome.fa'": "fasta"},
        take=("fasta",),
    ),
    Cure(
        "a region to change that is not held",
        "ctl.tl.ism(mdata, new, window=4)",
        "are not in mdata.mod",
        of_sequence(),
        fill={"'genome.fa'": "fasta"},
        take=("fasta",),
    ),
    Cure(
        "labels that are not there",
        "ctl.tl.ism(mdata, atac.var_names[:1], groupby='no', window=4)",
        "Did not find mdata.obs",
        of_sequence(),
        take=("groupby",),
    ),
    Cure(
        "no cell chosen", "ctl.tl.ism(mdata, atac.var_names[:1], cells=[], window=4)", "chooses no cell", of_sequence()
    ),
    Cure(
        "half a base",
        "ctl.tl.ism(mdata, atac.var_names[:1], window=1.5)",
        "must be a whole number of bases",
        of_sequence(),
        option="window",
    ),
    Cure(
        "motifs that are nowhere",
        "ctl.tl.motif_activity(mdata, key='atac', motifs=pwm, pvalue=1e-12, n_backgrounds=5)",
        "pvalue",
        sequence(pwm),
        option="pvalue",
    ),
    Cure(
        "a sentence that is not read",
        "ctl.models.load(adata).embed(adata, sentence=False)",
        "reads the context alone",
        bins(lambda a: ctl.tl.atacformer(a, train_kwargs={"max_epochs": 1}, seed=0)),
        take=("sentence",),
    ),
    Cure(
        "motifs beside a tower that reads none",
        XCHROM.replace("seed=0", "seed=0, preset='xchrom', motifs=pwm"),
        "read beside the tower",
        sequence(pwm),
        take=("preset",),
    ),
]
TRACKS = [
    Cure("tracks for cells", "ctl.io.read('t.zarr')", "holds tracks and no cells", tracks(saved_tracks), instead=True),
    Cure(
        "groups of tracks",
        "ctl.tl.predict(tracks.copy(), tracks, groupby='x')",
        "the model reads tracks",
        tracks(start="trained"),
    ),
    Cure(
        "sequence for trees",
        NASCENT.replace("window=5", "window=5, context='sequence'"),
        "context='sequence' is for",
        tracks(),
        take=("context",),
    ),
]


@pytest.mark.filterwarnings("ignore::chromatell.ChromatellWarning")
@pytest.mark.parametrize("case", [*CELLS, *SEQUENCE, *TRACKS], ids=lambda c: c.name)
def test_the_call_goes_through(case, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    case.run(tmp_path)
