"""Errors about cells x bins, sequences and their models: the printed line is run, and the error is gone."""

from __future__ import annotations

from functools import cache

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from tests.cures.harness import Cure
from tests.cures.inputs import annotation, changed, putting, trained
from tests.cures.test_sequence import bins, sequence

import chromatell as ctl

SMALL = "train_kwargs={'max_epochs': 1}, seed=0, d=16, n_layers=1, n_heads=2, n_hidden=16, k=8"
FORMER = f"ctl.tl.atacformer(adata, {SMALL})"
XCHROM = "ctl.tl.xchrom(mdata, train_kwargs={'max_epochs': 1}, seed=0)"
QUICK = {"atacformer(adata)": f"atacformer(adata, {SMALL})"}
SCORE = "ctl.tl.evaluate(adata, n_bootstrap=0)"


@cache
def _former():
    adata = bins()(None)["adata"]
    adata.obsm["X_own"] = np.random.default_rng(0).normal(size=(adata.n_obs, 3)).astype("float32")
    exec(FORMER, {"ctl": ctl, "adata": adata})
    return adata


def former(change=None):
    def make(folder):
        adata = _former().copy()
        more = change(adata) if change is not None else None
        found = bins()(folder)
        return {**found, "adata": adata, "data": adata, **(more if isinstance(more, dict) else {})}

    return make


def of_context(adata):
    adata.uns.pop("ctl")
    exec(FORMER.replace("seed=0", "seed=0, context='X_own'"), {"ctl": ctl, "adata": adata})


def no_test_cell(adata):
    adata.uns.pop("ctl")
    adata.obs["ctl_split"] = "train"


def classes(value):
    def change(adata):
        adata.varm["region_class_fraction"] = pd.DataFrame(value, index=adata.var_names, columns=["a", "b"])

    return bins_with_genes(change)


def bins_with_genes(change=None):
    def make(folder):
        found = bins(change)(folder)
        table = pd.DataFrame({"chrom": ["chr1", "chr2"], "tss": [5000, 9000], "strand": "+", "name": ["a", "b"]})
        return {**found, "annotation": table.assign(start=table["tss"], end=table["tss"] + 900)}

    return make


def one_training_cell(adata):
    most = np.argmax(np.asarray(adata.X.sum(axis=1)))
    adata.obs["ctl_split"] = np.where(np.arange(adata.n_obs) == most, "train", "val")


def few_training_regions(mdata):
    mdata.mod["atac"].var["ctl_split"] = np.where(np.arange(40) < 10, "train", "test")


def one_training_region(mdata):
    mdata.mod["atac"].var["ctl_split"] = np.where(np.arange(40) < 1, "train", "test")


def with_tss(mdata):
    var = mdata.mod["atac"].var
    return {"annotation": pd.DataFrame({"chrom": var["chrom"][:3], "tss": 500, "strand": "+", "name": list("abc")})}


def few_held_out(mdata):
    found = ctl.datasets.simulate_multiome(80, 12, 60, n_types=2, depth=8, seed=0)
    found.mod["rna"].obsm["X_own"] = np.eye(80)[:, :5]
    found.mod["atac"].var["ctl_split"] = np.where(np.arange(60) < 3, "test", "train")
    return {"mdata": found}


def far_links(mdata):
    """No gene has a region in reach."""
    ctl.pp.link_genes(mdata, annotation())
    mdata.uns["ctl"]["links"]["distance"] = sp.csr_matrix(mdata.uns["ctl"]["links"]["distance"].shape)


def closed(mdata):
    """The one training cell has no open region."""
    x = mdata.mod["atac"].X.tolil()
    x[0] = 0
    mdata.mod["atac"].X = x.tocsr()
    mdata.obs["ctl_split"] = ["train"] + ["val"] * 79


def with_xchrom(folder):
    ctl.io.write(_xchrom(), "xchrom.h5mu")
    return {**bins()(folder), "mdata": _xchrom()}


BINS = [
    Cure(
        "no split of scored bins", SCORE, "Did not find adata.obs", former(lambda a: a.obs.pop("ctl_split")), take=(2,)
    ),
    Cure(
        "models that read a context",
        SCORE,
        "do not read a cell's own open bins",
        former(of_context),
        fill=QUICK,
        take=(1,),
    ),
    Cure(
        "a model of the name of a baseline",
        SCORE.replace("adata,", "adata, models=models,"),
        "has the name of a baseline",
        former(lambda a: {"models": {"lsi": ctl.models.load(a, key="atacformer")}}),
        take=("models",),
    ),
    Cure(
        "no test cell of bins",
        SCORE.replace("adata,", "adata, models=[], baselines='all',"),
        "holds no 'test' cell",
        former(no_test_cell),
    ),
    Cure(
        "one cell to contrast",
        FORMER.replace("seed=0", "seed=0, contrastive=True"),
        "contrastive= needs neighbours",
        bins(one_training_cell),
    ),
    Cure("no bin selected", FORMER, "selects no bin", bins(lambda a: a.var.insert(0, "ctl_selected", False))),
    Cure(
        "no classes of bins",
        FORMER.replace("seed=0", "seed=0, decoder='region_class'"),
        "reads the classes of the bins",
        bins_with_genes(),
    ),
    Cure(
        "no classes of bins, the other decoder",
        FORMER.replace("seed=0", "seed=0, decoder='region_class'"),
        "reads the classes of the bins",
        bins_with_genes(),
        take=("decoder",),
    ),
    Cure(
        "classes that are no table",
        FORMER.replace("seed=0", "seed=0, decoder='region_class'"),
        "a table with a column for each class",
        bins_with_genes(lambda a: a.varm.__setitem__("region_class_fraction", np.zeros((a.n_vars, 2)))),
    ),
    Cure(
        "classes that are no shares",
        FORMER.replace("seed=0", "seed=0, decoder='region_class'"),
        "no shares between 0 and 1",
        classes(3.0),
    ),
]
SEQUENCES = [
    Cure(
        "tokens of no base",
        "ctl.genome.decode(tokens)",
        "tokens are 0 to 4",
        lambda _: {"tokens": np.array([7])},
        fill={"(sequences)": "('ACGT')"},
        into="tokens",
    ),
    Cure("nothing selected", XCHROM, "selects nothing", sequence(putting("mod/atac/var/ctl_selected", False))),
    Cure("one training region", XCHROM, "are marked 'train'; at least 2", sequence(one_training_region)),
    Cure(
        "a sequence too short for the tower",
        XCHROM.replace("seed=0", "seed=0, sequence_length=10"),
        "sequence_length=10 is too short",
        sequence(),
        take=("sequence_length",),
    ),
    Cure(
        "tokens of floats",
        XCHROM,
        "int8 .sequences, bases. is needed",
        sequence(putting("mod/atac/varm/dna_code", np.zeros((40, 608)))),
    ),
    Cure(
        "tokens beyond N",
        XCHROM,
        "hold tokens from",
        sequence(putting("mod/atac/varm/dna_code", np.full((40, 608), 9, "int8"))),
        take=(0,),
    ),
    Cure(
        "tokens that are too short",
        XCHROM.replace("seed=0", "seed=0, sequence_length=608"),
        "Sequences are 300 bases long",
        sequence(putting("mod/atac/varm/dna_code", np.zeros((40, 300), "int8"))),
        take=(0,),
    ),
    Cure(
        "few regions with a sequence",
        "ctl.tl.baseline(mdata, 'gc_cpg')",
        "training regions have a sequence",
        sequence(few_training_regions),
    ),
    Cure(
        "no distance to start sites",
        "ctl.tl.baseline(mdata, 'gc_cpg_tss')",
        "needs mdata.mod..atac...var",
        sequence(with_tss),
        fill={"'genes.gtf.gz'": "annotation"},
    ),
    Cure(
        "no motifs",
        "ctl.tl.baseline(mdata, 'motif_ridge')",
        "needs motifs",
        sequence(with_tss),
        fill={"'motifs.meme'": "{'M': np.eye(4)}", "'genes.gtf.gz'": "annotation"},
        take=("motifs",),
    ),
    Cure(
        "few held-out regions open",
        "ctl.tl.neighbor_score(mdata, key='X_own')",
        "are open in a cell; LSI needs",
        changed(few_held_out),
    ),
    Cure(
        "an embedding of no model",
        "ctl.pp.embed_sequence(data, fasta, method='xchrom', n_components=4)",
        "needs model=: a trained XChrom",
        with_xchrom,
    ),
    Cure(
        "an embedding of something else",
        "ctl.pp.embed_sequence(data, fasta, method='xchrom', model=model, n_components=4)",
        "its record or the path of a file with one; got int",
        lambda folder: {**with_xchrom(folder), "model": 3},
        into="model",
    ),
    Cure(
        "an embedding of another model",
        "ctl.pp.embed_sequence(data, fasta, method='xchrom', model=model, n_components=4)",
        "this is a 'dense' model",
        lambda folder: {**with_xchrom(folder), "model": ctl.models.load(trained()(folder)["mdata"])},
        fill={"'xchrom.h5mu'": "'xchrom.h5mu', n_components=4"},
    ),
    Cure(
        "far links alone",
        "ctl.tl.dense(mdata, train_kwargs={'max_epochs': 1}, seed=0, n_hidden=4, linked_genes=True)",
        "No selected gene is linked",
        changed(far_links),
        fill={"(..., max_distance=...)": "(mdata, annotation, max_distance=1_000_000)"},
    ),
    Cure("nothing open to select", "ctl.pp.select_features(mdata)", "nothing can be selected", changed(closed)),
]


@cache
def _xchrom():
    mdata = sequence()(None)["mdata"]
    exec(XCHROM, {"ctl": ctl, "mdata": mdata})
    return mdata


@pytest.mark.filterwarnings("ignore::chromatell.ChromatellWarning")
@pytest.mark.parametrize("case", [*BINS, *SEQUENCES], ids=lambda c: c.name)
def test_the_line_that_is_printed_cures(case, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    case.run(tmp_path)
