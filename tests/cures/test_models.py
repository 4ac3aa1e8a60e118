"""Errors about models that meet other data, and about what is held out: the printed line is run, the error is gone."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from tests.cures.harness import Cure
from tests.cures.inputs import tracks
from tests.cures.test_bins import SCORE, former
from tests.cures.test_sequence import sequence

import chromatell as ctl

PERTURB = "ctl.tl.perturb(mdata, {'gone': [gene]}, key='xchrom')"
OTHERS = SCORE.replace("adata,", "adata, models={'former': model},")
AGAIN = "ctl.tl.atacformer(adata, pretrained=model, train_kwargs={'max_epochs': 1}, seed=0)"
COUNT = {"'fragments.tsv.gz'": "peaks"}


def counted_otherwise(adata):
    """The same cells under bins that the model does not know; the peaks that they were counted from."""
    other = adata.copy()
    other.var_names = [f"scaffold:{i}-{i + 1}" for i in range(0, 2 * other.n_vars, 2)]
    return {"peaks": adata.copy(), "model": ctl.models.load(adata, key="atacformer"), "adata": other, "query": other}


def apart(adata):
    """The one of the bins in use that both models know."""
    model = ctl.models.load(adata, key="atacformer")
    adata.var["ctl_selected"] = np.arange(adata.n_vars) < 1
    return {"models": {"first": model, "second": model}}


def own_embedding(mdata):
    mdata.mod["rna"].obsm["X_own"] = np.random.default_rng(0).normal(size=(60, 4)).astype("float32")
    ctl.tl.xchrom(mdata, embedding="X_own", train_kwargs={"max_epochs": 1}, seed=0)
    return {"gene": mdata.mod["rna"].var_names[0]}


def of_sequence(mdata):
    ctl.tl.xchrom(mdata, train_kwargs={"max_epochs": 1}, seed=0)


def all_for_training(found):
    start = np.arange(0, 3900, 20) * 50
    found.splits["chr1"][:] = found.splits["chr1"][0]
    return {"sites": pd.DataFrame({"chrom": "chr1", "start": start, "end": start + 100})}


def of_two_samples(found):
    values = np.vstack([found.values("chr1"), found.values("chr1", ["plus"])])
    two = ctl.data.BinnedTracks({"chr1": values}, ["plus", "mark", "other"], chrom_sizes=found.chrom_sizes)
    two.table["role"], two.table["sample"] = ["input", "target", "input"], ["a", "a", "b"]
    ctl.pp.split_regions(two, by="blocks", block=20_000, width=250)
    return {"tracks": two}


CURES = [
    Cure("bins of no model", OTHERS, "is a bin of the model", former(counted_otherwise), fill=COUNT),
    Cure(
        "a query in other bins",
        "ctl.tl.predict(query, model=model)",
        "The query holds 0 of the model's 40 bins",
        former(counted_otherwise),
        fill=COUNT,
    ),
    Cure(
        "pretrained in other bins",
        AGAIN,
        "pretrained= knows none of the 40 bins",
        former(counted_otherwise),
        fill=COUNT,
        take=(0,),
    ),
    Cure(
        "no site held out",
        "ctl.tl.call_regions(tracks, 'mark', calibrate=sites, fdr=0.99)",
        "calibrate: 0 of the 195 sites lie in usable bins",
        tracks(all_for_training, start="trained"),
        fill={"(tracks)": "(tracks, by='blocks', block=20_000, width=250)"},
    ),
    Cure(
        "models that share one bin",
        SCORE.replace("adata,", "adata, models=models,"),
        "share 1 of the bins in use",
        former(apart),
        fill={"var['ctl_selected']": "del adata.var['ctl_selected']"},
    ),
    Cure(
        "a gene of a model that reads an embedding",
        PERTURB,
        "reads an embedding of the user's own",
        sequence(own_embedding),
        fill={"embedding=None": "embedding=None, train_kwargs={'max_epochs': 1}, seed=0"},
        take=(0,),
    ),
    Cure(
        "uncertainty of a model of sequence",
        "ctl.tl.uncertainty(mdata, 'cell_type', key='xchrom')",
        "is of family 'xchrom'; this needs",
        sequence(of_sequence),
        fill={"dense(mdata)": "dense(mdata, train_kwargs={'max_epochs': 1}, seed=0, n_hidden=4, dropout=0)"},
        take=(0, "key"),
    ),
    Cure(
        "inputs of two samples to train on",
        "ctl.tl.nascent(tracks, window=5, train_kwargs={'max_epochs': 2}, seed=0)",
        "The inputs are of several samples",
        tracks(of_two_samples),
    ),
    Cure(
        "inputs of two samples",
        "ctl.tl.evaluate(tracks, baselines='all', n_bootstrap=0)",
        "The inputs are of several samples",
        tracks(of_two_samples),
    ),
]


@pytest.mark.filterwarnings("ignore::chromatell.ChromatellWarning")
@pytest.mark.parametrize("case", CURES, ids=lambda c: c.name)
def test_the_line_that_is_printed_cures(case, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    case.run(tmp_path)
