"""Errors about paired cells and their predictions: the printed line is run, and the error is gone."""

from __future__ import annotations

import anndata as ad
import mudata as md
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from tests.cures.harness import Cure
from tests.cures.inputs import changed, putting, trained, without

import chromatell as ctl

DENSE = "ctl.tl.dense(mdata, train_kwargs={'max_epochs': 1}, seed=0, n_hidden=4)"
SCORE = "ctl.tl.evaluate(mdata, baselines=['region_mean'], views=['overall'], n_bootstrap=0)"


def renamed(mdata, old="rna", new="gex"):
    mdata.mod[new] = mdata.mod.pop(old)
    mdata.update()


def renamed_both(mdata):
    renamed(mdata)
    renamed(mdata, "atac", "peaks")


def swapped(mdata):
    return {"mdata": md.MuData({"rna": mdata.mod["atac"], "atac": mdata.mod["rna"]})}


def cut_atac(mdata):
    mdata.mod["atac"] = mdata.mod["atac"][:40].copy()


def other_regions(mdata):
    mdata.mod["atac"].var_names = [f"chr9:{i}000-{i}500" for i in range(1, 31)]
    mdata.update()


def foreign_prediction(mdata):
    mdata.mod["atac_pred"] = ad.AnnData(np.ones((80, 3), "float32"), obs=pd.DataFrame(index=mdata.obs_names))
    mdata.mod["atac_pred"].var_names = ["x", "y", "z"]


def lost_regions(mdata):
    del mdata.mod["atac_pred"].var["region"]
    mdata.mod["atac_pred"].var_names = [f"p{i}" for i in range(mdata.mod["atac_pred"].n_vars)]


def turned_prediction(mdata):
    mdata.mod["atac_pred"] = mdata.mod["atac_pred"][::-1].copy()


def named_as_a_baseline(mdata):
    mdata.mod["atac_pred"].layers["knn"] = mdata.mod["atac_pred"].X.copy()


def missing_donors(mdata):
    mdata.obs["donor"] = mdata.obs["donor"].where(np.arange(80) > 3)


def strange_matrix(mdata):
    mdata.mod["rna"].X = sp.coo_matrix(mdata.mod["rna"].X)


def with_names(adata, names):
    adata.obs_names = names
    return adata


def with_dropout(mdata):
    ctl.tl.dense(mdata, train_kwargs={"max_epochs": 1}, seed=0, n_hidden=4, dropout=0.2, n_members=1)


def two_members(mdata):
    ctl.tl.dense(mdata, train_kwargs={"max_epochs": 1}, seed=0, n_hidden=4, n_members=2, dropout=0, key_added="two")


def only_predictions():
    found = trained()(None)["mdata"]
    return md.MuData({"atac_pred": found.mod["atac_pred"]})


def features(mdata):
    for name in ("rna", "atac"):
        mdata.mod[name].var["ctl_selected"] = False


CURES = [
    Cure(
        "an AnnData", "ctl.pp.select_features(mdata)", "Expected a MuData", changed(lambda m: {"mdata": m.mod["rna"]})
    ),
    Cure(
        "a modality of another name",
        "ctl.pp.select_features(mdata)",
        "no modality 'rna'",
        changed(renamed),
    ),
    Cure(
        "a modality of another name, said",
        "ctl.pp.select_features(mdata)",
        "no modality 'rna'; it has 'atac', 'gex'",
        changed(renamed),
        take=("rna",),
    ),
    Cure(
        "regions of another name, said",
        "ctl.pp.select_features(mdata)",
        "no modality 'atac'; it has 'peaks', 'rna'",
        changed(lambda m: renamed(m, "atac", "peaks")),
        take=("atac",),
    ),
    Cure("swapped modalities", "ctl.pp.split_cells(mdata)", "the two are swapped", changed(swapped)),
    Cure(
        "swapped names",
        "ctl.pp.split_cells(mdata, rna='atac', atac='rna')",
        r"mod\['atac'\] holds regions .* mdata.mod\['rna'\] does not",
        changed(),
    ),
    Cure(
        "swapped names of the user's own",
        "ctl.pp.split_cells(mdata, rna='peaks', atac='gex')",
        r"mod\['peaks'\] holds regions .* mdata.mod\['gex'\] does not",
        changed(renamed_both),
    ),
    Cure(
        "no links, names of the user's own",
        "ctl.pp.select_features(mdata, n_genes=5, method='proximity', rna='gex', atac='peaks')",
        "Did not find .*links",
        changed(renamed_both),
    ),
    Cure(
        "no split, names of the user's own",
        DENSE.replace("mdata,", "mdata, rna='gex', atac='peaks',"),
        r"split_cells\(mdata, rna='gex', atac='peaks'\)",
        changed(lambda m: (renamed_both(m), m.obs.pop("ctl_split"), None)[-1]),
    ),
    Cure("no region so open", "ctl.pp.select_features(mdata, min_open=0.9999)", "the most open one is in", changed()),
    Cure("no split", DENSE, "Did not find mdata.obs", changed(without("obs/ctl_split"))),
    Cure(
        "no validation cells",
        DENSE.replace("1}", "1, 'schedule': 'plateau'}"),
        "needs 'val' cells",
        changed(putting("obs/ctl_split", "train")),
        take=(0,),
    ),
    Cure("only test cells", DENSE, "holds no 'train' cell", changed(putting("obs/ctl_split", "test"))),
    Cure(
        "a missing donor",
        "ctl.pp.split_cells(mdata, by='donor')",
        "4 of 80 cells have no 'donor'",
        changed(missing_donors),
    ),
    Cure(
        "names of cells that repeat",
        "ctl.pp.split_cells(adata)",
        "repeat",
        changed(lambda m: {"adata": with_names(m.mod["rna"], ["a"] * 80)}),
    ),
    Cure("atac is cut", "ctl.pp.split_cells(mdata)", "not the same|must hold the same cells", changed(cut_atac)),
    Cure("nothing selected", DENSE, "selects nothing|No region is selected", changed(features)),
    Cure("no prediction", SCORE, "Did not find mdata.mod.'atac_pred'", changed()),
    Cure("no prediction of a name", "ctl.tl.fisher(mdata, 'knn')", "No prediction 'knn'", trained(), take=(1,)),
    Cure("another's modality", DENSE, "is not of this package", changed(foreign_prediction)),
    Cure("another's modality, scored", SCORE, "is not of this package", trained(lost_regions)),
    Cure("other regions", SCORE, "are not in mdata.mod\\['atac'\\]", trained(other_regions)),
    Cure("cells in another order", SCORE, "in another order", trained(turned_prediction)),
    Cure(
        "regions changed",
        "ctl.pp.select_features(mdata, n_regions=10); " + DENSE.replace("n_hidden=4", "n_hidden=4, key_added='two'"),
        "regions that are not the 10",
        trained(),
    ),
    Cure("no links", "ctl.tl.baseline(mdata, 'gene_activity')", "needs links", changed()),
    Cure(
        "no links, proximity",
        "ctl.pp.select_features(mdata, n_genes=5, method='proximity')",
        "Did not find .*links",
        changed(),
    ),
    Cure(
        "no links, links asked for",
        DENSE.replace("n_hidden=4", "n_hidden=4, linked_genes=True"),
        "Did not find .*links",
        changed(),
    ),
    Cure(
        "regions not predictable",
        SCORE.replace("n_bootstrap=0", "n_bootstrap=0, regions='predictable'"),
        "Did not find .*ctl_predictable",
        trained(),
        take=(0,),
    ),
    Cure("no fisher", "ctl.pl.confusion(mdata, 'dense')", "fisher", trained()),
    Cure("no history", "ctl.pl.history(mdata)", "Did not find .*models", changed()),
    Cure("no curve", "ctl.pl.pr_curve(mdata)", "Run ctl.tl.evaluate", trained()),
    Cure(
        "no gene activity",
        "ctl.pl.gene_activity(mdata)",
        "Did not find gene activities",
        trained(),
        fill={"mdata)": "mdata, annotation)"},
    ),
    Cure("no model", "ctl.tl.link_regions(mdata)", "There is no model", changed(), take=(0,)),
    Cure(
        "no model to export",
        "ctl.io.export_model(mdata, 'dense', folder / 'x')",
        "There is no model",
        changed(),
        take=(0,),
    ),
    Cure(
        "one member",
        "ctl.tl.uncertainty(mdata, 'cell_type', method='members', n_draws=2)",
        "members cannot differ",
        trained(),
        take=(0,),
        fill={"n_members=5": "n_members=3, n_hidden=4, train_kwargs={'max_epochs': 1}"},
    ),
    Cure(
        "no dropout",
        "ctl.tl.uncertainty(mdata, 'cell_type', method='dropout', key='two')",
        "has no dropout",
        trained(two_members),
        take=("method",),
    ),
    Cure(
        "a name that is taken",
        "ctl.io.import_model(folder / 'dense', mdata)",
        "has a model 'dense' already",
        trained(lambda m: ctl.io.export_model(m, "dense", "dense")),
        take=("key",),
    ),
    Cure(
        "stored predictions of no name",
        "ctl.io.open_prediction(mdata)",
        "There is no stored prediction",
        trained(),
        fill={"..., out=path": "mdata, model=mdata, out='p.zarr'"},
        into="mdata",
    ),
    Cure(
        "scores that are probabilities of no kind",
        "ctl.metrics.calibration.brier_score(truth, score)",
        "Probabilities run",
        lambda _: {"truth": np.array([True, False]), "score": np.array([-1.0, 3.0])},
        into="score",
    ),
    Cure(
        "scores with NaN",
        "ctl.metrics.ranking.auroc(truth, score)",
        "NaN or infinite",
        lambda _: {"truth": np.array([True, False, True]), "score": np.array([0.2, 0.1, np.nan])},
        into="score",
    ),
    Cure(
        "writing over",
        "ctl.io.write(mdata, folder / 'x.h5mu')",
        "exists",
        changed(lambda m: ctl.io.write(m, "x.h5mu")),
        take=("overwrite",),
    ),
    Cure(
        "shuffling cells of which some have no ATAC",
        "ctl.io.write_shuffled(mdata, folder / 'x.zarr')",
        "holds 40 cells that are not the 80",
        changed(cut_atac),
    ),
    Cure(
        "predictions to measure",
        "ctl.get.measured(mdata)",
        "Nothing in this MuData was measured",
        changed(lambda m: {"mdata": only_predictions(), "mdata_": m, "rna": m.mod["rna"]}),
        fill={"Add expression: ": "mdata = "},
    ),
    Cure(
        "measured without expression",
        "ctl.get.merge_results(mdata, measured)",
        "did not measure",
        trained(lambda m: {"measured": only_predictions()}),
        take=(1,),
    ),
    Cure(
        "gene activity without places",
        "ctl.tl.gene_activity(mdata)",
        "has no columns 'chrom' and 'tss'",
        trained(without("mod/rna/var/chrom")),
        fill={"'genes.gtf.gz'": "annotation"},
    ),
    Cure(
        "no coverage",
        "ctl.pl.uncertainty(mdata)",
        "Did not find .*uncertainty",
        trained(with_dropout),
        fill={},
        take=(0,),
    ),
    Cure(
        "no fold",
        "ctl.pp.split_cells(mdata, by='donor', fractions=(0.9, 0.05, 0.05))",
        "groups .* for 3 parts",
        changed(putting("obs/donor", "one")),
    ),
    Cure("uns of another", "ctl.pp.split_cells(mdata)", "is not a dict", changed(putting("uns/ctl", "x"))),
    Cure(
        "prediction from text",
        "ctl.tl.add_prediction(mdata, prediction, key='mine')",
        "numbers are needed",
        changed(lambda m: {"prediction": np.full((80, 30), "0.1")}),
    ),
    Cure(
        "a prediction named as a baseline",
        "ctl.tl.add_prediction(mdata, values, key='knn')",
        "the name of a baseline",
        changed(lambda m: {"values": np.full((80, 30), 0.1)}),
        fill={"such as ": "such as key="},
        take=("key",),
    ),
    Cure(
        "too many to hold",
        "ctl.tl.add_prediction(mdata, values, key='mine')",
        "above ctl.settings.dense_limit",
        changed(lambda m: {"values": np.full((80, 30), 0.1)}),
        take=(1,),
    ),
]


@pytest.mark.filterwarnings("ignore::chromatell.ChromatellWarning")
@pytest.mark.parametrize("case", CURES, ids=lambda c: c.name)
def test_the_line_that_is_printed_cures(case, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    if "too many" in case.name:
        monkeypatch.setattr(ctl.settings, "dense_limit", 100)
    case.run(tmp_path)
