"""Lines about cells, files and figures that no other test of cures runs: the printed line is run, the error is gone."""

from __future__ import annotations

import anndata as ad
import mudata as md
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from tests.cures.harness import Cure
from tests.cures.inputs import changed, putting, trained
from tests.cures.test_sequence import GENOME, bins, sequence

import chromatell as ctl

SCORE = "ctl.tl.evaluate(mdata, baselines=['region_mean'], views=['overall'], n_bootstrap=0)"
DENSE = "ctl.tl.dense(mdata, train_kwargs={'max_epochs': 1}, seed=0, n_hidden=4, dropout=0, n_members=1)"
PROT = DENSE.replace("seed=0", "seed=0, inputs=('rna', 'prot')")
VARIANT = "ctl.tl.variant_effect(mdata, variant, n_null=0, per=None)"


def view_of_a_file(mdata):
    mdata.mod["rna"].write_h5ad("rna.h5ad")
    return {"adata": ad.read_h5ad("rna.h5ad", backed="r")[:40]}


def view_of_a_whole_file(mdata):
    ctl.io.write(mdata, "whole.h5mu")
    return {"mdata": md.read_h5mu("whole.h5mu", backed="r")[:70]}


def modality_view(mdata):
    mdata.mod["rna"].write_h5ad("rna.h5ad")
    del mdata.mod["rna"].var["chrom"]
    held = md.MuData({"rna": mdata.mod["rna"], "atac": mdata.mod["atac"]})
    held.mod["rna"] = ad.read_h5ad("rna.h5ad", backed="r")[:]
    held.obs["ctl_split"] = mdata.obs["ctl_split"]
    return {"mdata": held}


def with_proteins(mdata, x=None):
    prot = ad.AnnData(np.random.default_rng(0).poisson(5.0, (80, 4)).astype("float32") if x is None else x)
    prot.obs_names, prot.var_names = mdata.obs_names, [f"p{i}" for i in range(4)]
    found = md.MuData({**mdata.mod, "prot": prot})
    found.obs["ctl_split"] = mdata.obs["ctl_split"]
    return found


def infinite(dense):
    def change(mdata):
        x = np.random.default_rng(0).poisson(5.0, (80, 4)).astype("float32") + 1
        x[3, 1], x[5, 2] = np.nan, np.inf
        return {"mdata": with_proteins(mdata, x if dense else sp.csr_matrix(x))}

    return change


def counts_in_a_layer(mdata):
    """A model of counts of proteins, and a query whose X was normalised beside them."""
    both = with_proteins(mdata)
    ctl.tl.dense(both, inputs=("rna", "prot"), train_kwargs={"max_epochs": 1}, seed=0, n_hidden=4, n_members=1)
    query = md.MuData({name: both.mod[name].copy() for name in ("rna", "prot")})
    query.mod["prot"].layers["counts"] = query.mod["prot"].X.copy()
    query.mod["prot"].X = np.log1p(query.mod["prot"].X / 3)
    return {"mdata": query, "model": ctl.models.load(both)}


def written(mdata):
    found = md.MuData({"rna2": mdata.mod["rna"], "atac": mdata.mod["atac"]})
    found.obs["ctl_split"] = mdata.obs["ctl_split"]
    ctl.io.write(found, "cells.h5mu")
    return {"path": "cells.h5mu"}


def fewer_cells(mdata):
    mdata.mod["atac"] = mdata.mod["atac"][:60].copy()
    mdata.update()


def without_uns(mdata):
    ctl.io.write(mdata, "trained.h5mu")
    mdata.mod["atac_pred"].uns = {}


def only_test_cells(mdata):
    return {"mdata": mdata[(mdata.obs["ctl_split"] == "test").to_numpy()].copy()}


def without_validation(mdata):
    mdata.obs["ctl_split"] = mdata.obs["ctl_split"].astype(str).replace("val", "train")


def ranked(mdata):
    ctl.tl.rank_regions(mdata, "cell_type", key="atac", n_bootstrap=2)
    mdata.uns["ctl"]["rank_regions"] = {"other": 1}


def overall_alone(mdata):
    ctl.tl.evaluate(mdata, baselines=["region_mean"], views=["overall"], n_bootstrap=0)


def embedded(mdata):
    mdata.mod["rna"].obsm["mine"] = sp.csr_matrix(np.random.default_rng(0).random((60, 4), dtype=np.float32))


def with_xchrom(change=None):
    def both(mdata):
        ctl.tl.xchrom(mdata, stem_filters=8, train_kwargs={"max_epochs": 1}, seed=0)
        return None if change is None else change(mdata)

    return both


def indel(mdata):
    return one_variant(mdata, "CA")


def elsewhere(mdata):
    return one_variant(mdata, None, place=100)


def one_variant(mdata, alt, place=None):
    var, tokens = mdata.mod["atac"].var.iloc[0], mdata.mod["atac"].varm["dna_code"][0]
    middle = (int(var["start"]) + int(var["end"])) // 2
    ref = "ACGT"[tokens[tokens.size // 2]]
    place = middle if place is None else place
    chrom = var["chrom"]
    if alt is None:
        genome = ctl.genome.Genome(names_of_sequence()["fasta"])
        ref = "ACGT"[int(genome.fetch(chrom, place, place + 1)[0])]
        alt = "A" if ref != "A" else "C"
    return {"variant": pd.DataFrame({"chrom": [chrom], "pos": [place + 1], "ref": [ref], "alt": [alt]})}


def linked(mdata):
    ctl.pp.link_genes(mdata, mdata.mod["rna"].var.assign(name=mdata.mod["rna"].var_names))


def other_uns(mdata):
    record = ctl.io.read_record(mdata)
    mdata.uns["ctl"] = "x"
    return {"record": record}


def names_of_sequence():
    return sequence()(None)


CURES = [
    Cure("a view of a file", "ctl.pp.split_cells(adata, seed=0)", "adata is a view of cells", changed(view_of_a_file)),
    Cure("a view of a MuData", "ctl.pp.split_cells(mdata, seed=0)", "mdata is a view", changed(view_of_a_whole_file)),
    Cure("a modality that is a view", "ctl.pp.select_features(mdata)", "is a view of cells", changed(modality_view)),
    Cure("NaN among proteins", PROT, "2 NaN or infinite values", changed(infinite(True))),
    Cure("NaN among sparse proteins", PROT, "2 NaN or infinite values", changed(infinite(False))),
    Cure(
        "proteins that are no counts",
        "ctl.tl.predict(mdata, model)",
        "trained on counts of 'prot'",
        changed(counts_in_a_layer),
    ),
    Cure(
        "fewer cells were measured",
        "ctl.tl.rank_regions(mdata, 'cell_type', key='atac', n_bootstrap=2)",
        "60 cells that are not the 80",
        changed(fewer_cells),
    ),
    Cure(
        "a file for a verb with rna=",
        "ctl.pp.select_features(path, rna='rna2', n_genes=5)",
        "rna= is for a MuData or an AnnData, got str",
        changed(written),
        fill={"mdata = ": ""},
        into="path",
    ),
    Cure(
        "a prediction that lost its uns",
        "ctl.tl.rank_regions(mdata, 'cell_type', n_bootstrap=2)",
        "has lost its .uns",
        trained(without_uns),
    ),
    Cure("no training cell to fit on", SCORE, "holds no 'train' cell", trained(only_test_cells), instead=True),
    Cure("no validation cell", "ctl.tl.fisher(mdata)", "is chosen on validation", trained(without_validation)),
    Cure("another tool's ranks", "ctl.pl.rank_regions(mdata)", "was not written by", trained(ranked)),
    Cure(
        "no scores of cells",
        "ctl.pl.per_cell_per_region(mdata)",
        "No AUROC of cells or regions",
        trained(overall_alone),
        fill={"evaluate(mdata)": "evaluate(mdata, views=['per_cell', 'per_region'], n_bootstrap=0)"},
    ),
    Cure(
        "an AnnData without scores",
        "ctl.pl.leaderboard(adata)",
        "is not there. Run",
        bins(lambda a: ctl.tl.atacformer(a, labels="cell_type", d=16, n_layers=1, train_kwargs={"max_epochs": 1})),
        fill={"evaluate(mdata)": "evaluate(adata, labels='cell_type')"},
    ),
    Cure(
        "a sparse embedding",
        "ctl.tl.xchrom(mdata, embedding='mine', stem_filters=8, train_kwargs={'max_epochs': 1})",
        "is sparse",
        sequence(embedded),
    ),
    Cure("an insertion", VARIANT, "are insertions or deletions", sequence(with_xchrom(indel)), fill=GENOME),
    Cure(
        "a place in no region", VARIANT, "lies in the window of a region", sequence(with_xchrom(elsewhere)), fill=GENOME
    ),
    Cure(
        "a table that is no attribution",
        "ctl.pl.logo(mdata, key='mine')",
        "is not what tl.ism or tl.attribute writes",
        sequence(with_xchrom(lambda m: m.uns["ctl"].__setitem__("mine", {"other": 1}))),
        fill={"mdata, regions": "mdata, [str(mdata.mod['atac'].var_names[0])], window=10"},
    ),
    Cure(
        "a window that was not written",
        "ctl.pl.ism_heatmap(mdata, start=2226, end=2256)",
        "is not a window of",
        sequence(with_xchrom(lambda m: ctl.tl.ism(m, [m.mod["atac"].var_names[0]], window=10))),
        fill={"mdata, regions, window=...": "mdata, [str(mdata.mod['atac'].var_names[0])], window=40"},
    ),
    Cure(
        "a region that was not asked",
        "ctl.pl.ism_heatmap(mdata, region)",
        "No region .* in mdata.uns",
        sequence(
            with_xchrom(
                lambda m: (
                    ctl.tl.ism(m, [m.mod["atac"].var_names[0]], window=10)
                    or {"region": str(m.mod["atac"].var_names[1])}
                )
            )
        ),
        fill={"mdata, regions": "mdata, [region], window=10"},
    ),
    Cure(
        "no training cell",
        DENSE,
        "no training cell|no 'train'|must hold",
        changed(putting("obs/ctl_split", "test")),
    ),
    Cure(
        "uns that is no dict",
        "ctl.io.write_record(mdata, 'mine', record)",
        "is not a dict of this package",
        trained(other_uns),
    ),
    Cure(
        "a gradient of sequence",
        "ctl.tl.link_regions(mdata, key='xchrom', method='gradient')",
        "needs a Dense",
        sequence(with_xchrom(linked)),
        take=("method",),
    ),
]


@pytest.mark.filterwarnings("ignore::chromatell.ChromatellWarning")
@pytest.mark.parametrize("case", CURES, ids=lambda c: c.name)
def test_the_line_that_is_printed_cures(case, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    case.run(tmp_path)
