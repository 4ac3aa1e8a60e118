"""Regions whose ATAC the model has read are not scored as new ones, however they are split or named afterwards."""

from __future__ import annotations

import mudata as md
import numpy as np
import pandas as pd
import pytest

import chromatell as ctl
from chromatell import ChromatellError, ChromatellWarning
from chromatell.genome.regions import parse_regions
from chromatell.tl._train import _are_among

NEW = {"baselines": None, "views": "overall", "n_bootstrap": 0, "pairs": "cross-region"}
SWAPPED = {"val": "test", "test": "val", "train": "train"}  # regions that chose the best weights are tested
TURNED = {"val": "train", "test": "train", "train": "test"}  # regions that were trained on are tested


def split_as(mdata, how):
    var = mdata.mod["atac"].var
    var["ctl_split"] = pd.Categorical(var["ctl_split"].astype(str).map(how))


def query_of(done, named, shift=0):
    """The cells and regions of `done`, without its model; regions are moved by `shift` bases and named anew."""
    atac = done.mod["atac"].copy()
    atac.var[["start", "end"]] += shift
    atac.var_names = [named.format(*place) for place in atac.var[["chrom", "start", "end"]].to_numpy()]
    query = md.MuData({"rna": done.mod["rna"].copy(), "atac": atac})
    query.obs["ctl_split"] = done.obs["ctl_split"]
    return query


def test_validation_regions_are_no_test_regions(done):
    mdata = done.copy()
    ctl.tl.evaluate(mdata, **NEW)
    split_as(mdata, SWAPPED)
    with pytest.raises(ChromatellError, match="cross-region.*has not read the ATAC of the held-out regions"):
        ctl.tl.evaluate(mdata, **NEW)


@pytest.mark.parametrize("named", ["{}:{}-{}", "{}-{}-{}", "{}_{}_{}"])
@pytest.mark.parametrize("shift", [0, 5])
def test_regions_of_another_name_are_known_by_their_place(done, fasta, named, shift):
    query = query_of(done, named, shift)  # split as in training
    ctl.tl.evaluate(ctl.tl.predict(query, done, regions=query.mod["atac"].var_names, fasta=fasta), **NEW)
    for how in (TURNED, SWAPPED):
        query = query_of(done, named, shift)
        split_as(query, how)
        found = ctl.tl.predict(query, done, regions=query.mod["atac"].var_names, fasta=fasta)
        with pytest.raises(ChromatellError, match="cross-region.*has not read the ATAC of the held-out regions"):
            ctl.tl.evaluate(found, **NEW)


def test_half_of_the_bases_of_over_a_twentieth(done):
    model = ctl.models.load(done)
    known = model.read_regions
    split = done.mod["atac"].var["ctl_split"]
    assert known["ctl_split"].to_dict() == split[split != "test"].astype(str).to_dict()
    atac = query_of(done, "{}:{}-{}", 10**6).mod["atac"][:100].copy()[:, :100].copy()  # nowhere near
    assert not _are_among(atac, known)
    read = parse_regions(known.index[:6])
    for n, bases, want in ((5, 0, False), (6, 0, True), (6, 100, True), (6, 101, False)):
        moved = atac.copy()
        table = moved.var.reset_index(drop=True)
        for i in range(n):
            table.loc[i, ["start", "end"]] = read[["start", "end"]].to_numpy()[i] + bases
            table.loc[i, "chrom"] = read["chrom"].iloc[i].removeprefix("chr")
        moved.var = table.set_axis([f"peak_{i}" for i in range(len(table))])
        assert _are_among(moved, known) is want, (n, bases)
    named = atac.copy()
    named.var_names = [known.index[0], *named.var_names[1:]]
    assert _are_among(named, known)


def test_a_record_that_does_not_say_counts_all_that_was_held_out(done):
    record = ctl.models.load(done).to_record()
    arrays = {k: v for k, v in record.arrays.items() if k != "regions.tuned"}
    old = ctl.models.XChrom.from_record(ctl.io.Record("xchrom", 1, record.config, arrays, record.var_names))
    assert list(old.read_regions.index) == list(done.mod["atac"].var_names)
    query = query_of(done, "{}:{}-{}")
    with pytest.raises(ChromatellError, match="has not read the ATAC of the held-out regions"):
        ctl.tl.evaluate(ctl.tl.predict(query, old), **NEW)
    bad = {**arrays, "regions.tuned": np.zeros(3, dtype=bool)}
    with pytest.raises(ChromatellError, match=r"'regions.tuned' does not fit the 130 regions"):
        ctl.models.XChrom.from_record(ctl.io.Record("xchrom", 1, record.config, bad, record.var_names))


def test_a_layer_that_nothing_is_known_of_is_said_and_its_cure_ends_that(done):
    mdata = done.copy()
    values = mdata.mod["atac_pred"].layers["mine"] = mdata.mod["atac_pred"].X.copy()
    how = {**NEW, "pairs": "cross-cell", "models": "mine"}
    with pytest.warns(ChromatellWarning, match="Nothing says what the prediction 'mine' was trained on"):
        ctl.tl.evaluate(mdata, **how)
    ctl.tl.add_prediction(mdata, values, key="mine_2")
    ctl.tl.evaluate(mdata, **{**how, "models": "mine_2"})
