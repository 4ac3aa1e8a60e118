"""More errors about cells, models, files and tracks: the printed line is run, and the error is gone."""

from __future__ import annotations

import anndata as ad
import mudata as md
import numpy as np
import pytest
import scipy.sparse as sp
from tests.cures.harness import Cure
from tests.cures.inputs import changed, names_of, putting, tracks, trained

import chromatell as ctl

DENSE = "ctl.tl.dense(mdata, train_kwargs={'max_epochs': 1}, seed=0, n_hidden=4)"
SCORE = "ctl.tl.evaluate(mdata, baselines=['region_mean'], views=['overall'], n_bootstrap=0)"
NASCENT = "ctl.tl.nascent(tracks, window=5, train_kwargs={'max_epochs': 2}, seed=0)"
TRACK_SCORE = "ctl.tl.evaluate(tracks, baselines=['log_signal'], n_bootstrap=0)"


def one_silent_gene(mdata):
    x = mdata.mod["rna"].X.toarray()
    x[:, 0] = 0
    mdata.mod["rna"].X = sp.csr_matrix(x)
    mdata.mod["rna"].var["ctl_selected"] = np.arange(x.shape[1]) == 0


def closed_regions(mdata):
    x = mdata.mod["atac"].X.toarray()
    x[:, :3] = 0
    mdata.mod["atac"].X = sp.csr_matrix(x)
    mdata.mod["atac"].var["ctl_selected"] = np.arange(x.shape[1]) < 3


def with_proteins(mdata):
    """Proteins of the same cells, turned around."""
    prot = ad.AnnData(np.random.default_rng(0).poisson(5.0, (80, 4)).astype("float32"))
    prot.obs_names = mdata.obs_names
    prot.var_names = [f"p{i}" for i in range(4)]
    found = md.MuData({**mdata.mod, "prot": prot[::-1].copy()})
    found.obs["ctl_split"] = mdata.obs["ctl_split"]
    return {"mdata": found}


def a_little_aside(mdata):
    table = ctl.genome.region_table(mdata.mod["atac"])[:3]
    query = [f"{c}:{s + 50}-{e + 50}" for c, s, e in table[["chrom", "start", "end"]].values]
    return {"query": query, "data": mdata, "model": mdata}


def few_probable(mdata):
    found = ctl.tl.predict(mdata, mdata, top_k=3)
    found.obs["ctl_split"] = mdata.obs["ctl_split"]
    found.uns = mdata.uns
    return {"mdata": found, "data": mdata, "model": mdata}


def filtered(mdata):
    return {"measured": ctl.get.measured(mdata)[:40].copy()}


def linked(mdata):
    ctl.pp.link_genes(mdata, names_of(mdata)["annotation"])


def changed_after_links(mdata):
    linked(mdata)
    found = mdata.copy()
    found.mod["rna"].var_names = [f"new{i}" for i in range(found.mod["rna"].n_vars)]
    found.update()
    names = names_of(mdata)["annotation"]
    return {"mdata": found, "annotation": names.assign(name=list(found.mod["rna"].var_names))}


def named_as_a_baseline(mdata):
    mdata.mod["atac_pred"].layers["knn"] = mdata.mod["atac_pred"].X.copy()


def saved(mdata):
    ctl.io.write(mdata, "whole.h5mu")
    return {"mdata": "whole.h5mu"}


def backed(mdata):
    mdata.mod["rna"].write_h5ad("rna.h5ad")
    return {"mdata": ad.read_h5ad("rna.h5ad", backed="r"), "path": "rna.h5ad"}


def lost_cells(mdata):
    mdata.mod["rna"] = mdata.mod["rna"][:40].copy()


CELLS = [
    Cure("only silent genes", DENSE, "No training cell expresses any selected gene", changed(one_silent_gene)),
    Cure("only closed regions", DENSE, "No selected region is open in any training cell", changed(closed_regions)),
    Cure(
        "proteins in another order",
        DENSE.replace("seed=0", "seed=0, inputs=('rna', 'prot')"),
        "must hold the cells of mdata.mod",
        changed(with_proteins),
    ),
    Cure(
        "a file in place of cells",
        "ctl.pp.split_cells(mdata, rna='rna', seed=1)",
        "is a path; an open MuData or AnnData is needed",
        changed(saved),
    ),
    Cure(
        "the most probable alone",
        SCORE,
        "the most probable regions of each cell alone",
        trained(few_probable),
        into="mdata",
    ),
    Cure(
        "the measured cells were filtered",
        "ctl.get.merge_results(mdata, measured)",
        "mdata has 80 cells, and what was measured 40",
        trained(filtered),
    ),
    Cure(
        "no model file",
        "ctl.io.load_record('model')",
        "There is no model file at model",
        trained(),
        fill={"key, path": "'dense', 'model'"},
    ),
    Cure(
        "tracks for cells",
        "ctl.io.write(mdata, folder / 'tracks.zarr')",
        "takes a MuData or an AnnData, got BinnedTracks",
        lambda folder: {"mdata": (found := tracks()(folder)["tracks"]), "tracks": found},
        take=(0,),
        instead=True,
    ),
    Cure(
        "a file that is being read",
        "ctl.io.write(mdata, path, overwrite=True)",
        "is being read",
        changed(backed),
        into="mdata",
    ),
    Cure(
        "another family",
        "ctl.models.XChrom.from_record(record)",
        "The record holds a 'dense' model, not 'xchrom'",
        trained(lambda m: {"record": ctl.io.read_record(m)}),
        instead=True,
        fill={"(path)": "(mdata)"},
    ),
    Cure(
        "genes that changed after linking",
        DENSE.replace("n_hidden=4", "n_hidden=4, linked_genes=True"),
        "mdata changed after ctl.pp.link_genes",
        changed(changed_after_links),
        fill={"mdata, ...": "mdata, annotation"},
    ),
    Cure(
        "no training region",
        "ctl.tl.fisher(mdata)",
        "must hold 'train'",
        trained(lambda m: m.mod["atac"].var.insert(0, "ctl_split", "test")),
        take=(1,),
    ),
    Cure(
        "gene activity of fewer cells",
        "ctl.tl.gene_activity(mdata, annotation)",
        "must have the cells of mdata",
        trained(lost_cells),
    ),
    Cure(
        "ends of genes",
        "ctl.tl.gene_activity(mdata, method='body')",
        "needs the ends of genes",
        trained(),
        take=("method",),
    ),
    Cure(
        "regions written that are another's",
        "ctl.tl.predict(mdata, mdata, regions=query, out=folder / 'p.zarr')",
        "out= writes the model's own regions",
        trained(a_little_aside),
        take=(0,),
        fill={"out=...": "out='p.zarr'"},
        instead=True,
    ),
    Cure(
        "nothing is selected to be scored",
        "ctl.tl.baseline(mdata, 'knn')",
        "selects nothing|No region is selected",
        changed(putting("mod/atac/var/ctl_selected", False)),
    ),
    Cure(
        "tracks for a model of cells",
        "ctl.tl.predict(tracks, model)",
        "which reads cells, not tracks",
        lambda folder: {**tracks()(folder), "model": trained()(folder)["mdata"]},
        fill={"(tracks)": "(tracks, window=5, train_kwargs={'max_epochs': 2})"},
        instead=True,
    ),
]
TRACKS = [
    Cure(
        "files for tracks",
        "ctl.tl.nascent(files, targets=['mark'], window=5, train_kwargs={'max_epochs': 2})",
        "Expected ctl.data.BinnedTracks, got dict",
        tracks(lambda t: {"files": bigwigs(t)}),
        take=(0,),
        into="files",
        fill={"(files)": "({**files, 'mark': 'mark.bw'})"},
    ),
    Cure(
        "no usable test bins",
        TRACK_SCORE.replace("tracks,", "tracks, split='test',"),
        "No usable bin of",
        tracks(lambda t: t.splits["chr1"].__setitem__(t.splits["chr1"] == 2, 0), start="trained"),
        take=("split",),
    ),
]


def bigwigs(found):
    for name in ("plus", "mark"):
        ctl.io.bigwig.write(found, ".", names=name)
    return {"plus": "plus.bw"}


@pytest.mark.filterwarnings("ignore::chromatell.ChromatellWarning")
@pytest.mark.parametrize("case", [*CELLS, *TRACKS], ids=lambda c: c.name)
def test_the_line_that_is_printed_cures(case, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    case.run(tmp_path)
