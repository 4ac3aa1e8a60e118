"""Errors about scores of cells and their tables: the printed line is run, and the error is gone."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp
from tests.cures.harness import Cure
from tests.cures.inputs import changed, tracks, trained
from tests.cures.test_sequence import sequence

import chromatell as ctl

SCORE = "ctl.tl.evaluate(mdata, baselines=['region_mean'], views=['overall'], n_bootstrap=0)"
TRACK_SCORE = "ctl.tl.evaluate(tracks, baselines=['log_signal'], n_bootstrap=0)"
XCHROM = {"xchrom(mdata)": "xchrom(mdata, train_kwargs={'max_epochs': 1})"}
TRACKS_SPLIT_ANEW = tracks(
    lambda t: ctl.pp.split_regions(t, by="blocks", block=20_000, width=250, seed=5), start="trained"
)


def given(mdata):
    """A prediction of no model: it was trained on nothing, so cells can be split anew."""
    values = np.random.default_rng(0).uniform(0.1, 0.9, (mdata.n_obs, mdata.mod["atac"].n_vars))
    ctl.tl.add_prediction(mdata, values, key="given")
    return {"values": values}


def held_out(part):
    """All regions that are predicted are of one part; others are for training."""

    def change(mdata):
        given(mdata)
        mdata.mod["atac_pred"] = mdata.mod["atac_pred"][:, :20].copy()
        mdata.mod["atac"].var["ctl_split"] = np.where(np.arange(30) < 20, part, "train")

    return change


def closed_in_test(mdata):
    values = given(mdata)
    keep = (mdata.obs["ctl_split"] != "test").to_numpy()[:, None]
    mdata.mod["atac"].X = sp.csr_matrix(mdata.mod["atac"].X.multiply(keep))
    return values


def read_the_regions(mdata):
    ctl.tl.baseline(mdata, "svd_ridge")
    ctl.pp.split_regions(mdata)


def with_donors(mdata):
    given(mdata)
    mdata.obs["donor"] = np.array(list("abcdefgh"))[np.arange(mdata.n_obs) % 8]


def named_as_a_baseline(mdata):
    mdata.mod["atac_pred"].layers["region_mean"] = mdata.mod["atac_pred"].X.copy()


def split_otherwise(mdata):
    ctl.pp.split_cells(mdata, seed=1)


def nan_in_prediction(found):
    values = found.values("chr1", ["mark_nascent"]).copy()
    values[:, :] = np.nan
    told = found.table.copy()
    found.add({"chr1": values}, ["mark_nascent"], overwrite=True)
    found.table.loc[told.index] = told
    return {"model": ctl.models.load(found, key="nascent")}


CURES = [
    Cure(
        "values for stored predictions",
        SCORE.replace("mdata,", "mdata, models={'mine': values},"),
        "models= as a dict",
        changed(lambda m: {"values": given(m)["values"]}),
        instead=True,
    ),
    Cure("no region and no cell to score", SCORE, "None of the 20 predicted regions", changed(held_out("val"))),
    Cure(
        "no held-out region",
        SCORE.replace("mdata,", "mdata, pairs='cross-region',").replace("['region_mean']", "['gc']"),
        "needs cells and regions that are not there",
        sequence(given),
    ),
    Cure(
        "a prediction that read the regions",
        SCORE.replace("mdata,", "mdata, pairs='cross-region',").replace("['region_mean']", "['gc']"),
        "needs a prediction that has not read",
        sequence(read_the_regions),
        fill=XCHROM,
        take=(0,),
    ),
    Cure(
        "a prediction named as a baseline",
        SCORE,
        "'region_mean' in mdata.mod..atac_pred.. has the name",
        trained(named_as_a_baseline),
    ),
    Cure("test cells in which nothing is open", SCORE, "nothing can be ranked", changed(closed_in_test)),
    Cure(
        "cells not split in samples",
        SCORE.replace("mdata,", "mdata, pairs='cross-sample',"),
        "cells were not split in whole samples",
        changed(with_donors),
    ),
    Cure(
        "test cells that were trained on",
        SCORE,
        "are among those that 'dense' was trained",
        trained(split_otherwise),
        fill={"seed=...": "seed=0"},
        take=(0,),
    ),
    Cure(
        "other cells of the same barcodes",
        SCORE,
        "are among those that 'dense' was trained",
        trained(split_otherwise),
        take=(1,),
    ),
    Cure(
        "bins that were trained on",
        TRACK_SCORE,
        "are among those that 'nascent' was trained on",
        TRACKS_SPLIT_ANEW,
        fill={"by=..., seed=...": "by='blocks', block=20_000, width=250"},
        take=(0,),
    ),
    Cure(
        "tracks of another sample",
        TRACK_SCORE,
        "are among those that 'nascent' was trained on",
        TRACKS_SPLIT_ANEW,
        take=(1,),
    ),
    Cure(
        "a prediction that is NaN",
        TRACK_SCORE,
        "is NaN or infinite in",
        tracks(nan_in_prediction, start="trained"),
        fill={"model=...": "model=model, key='nascent'"},
        take=(0,),
    ),
    Cure(
        "all regions are held out",
        "ctl.tl.fisher(mdata)",
        "predicted regions are held out",
        changed(held_out("test")),
        instead=True,
    ),
    Cure(
        "no open pair for a table",
        "ctl.tl.fisher(mdata)",
        "No region is open in any",
        changed(closed_in_test),
    ),
    Cure(
        "no table of a model",
        "ctl.pl.confusion(mdata, 'given')",
        "No 'given' in mdata.uns",
        trained(lambda m: (ctl.tl.fisher(m, "dense", n_bootstrap=1), given(m))[-1]),
    ),
    Cure(
        "no usable bin to draw",
        "ctl.pl.track_scatter(tracks, 'mark', 'nascent')",
        "No usable bin is 'test' and predicted",
        tracks(lambda t: t.splits["chr1"].__setitem__(slice(None), 0), start="trained"),
        fill={"by='blocks'": "by='blocks', block=20_000, width=250"},
    ),
]


@pytest.mark.filterwarnings("ignore::chromatell.ChromatellWarning")
@pytest.mark.parametrize("case", CURES, ids=lambda c: c.name)
def test_the_line_that_is_printed_cures(case, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    case.run(tmp_path)
