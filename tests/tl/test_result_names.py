"""`key_added=` never takes the place of what another verb keeps: models, links, tables, how cells were split."""

from __future__ import annotations

import copy

import numpy as np
import pytest

import chromatell as ctl
from chromatell._keys import ENTRIES


@pytest.fixture(scope="module")
def mdata():
    mdata = ctl.datasets.simulate_multiome(150, 30, 60, seed=0)
    ctl.pp.split_cells(mdata, seed=0)
    ctl.tl.baseline(mdata, "region_mean", key_added="mine")
    mdata["rna"].obsm["E"] = np.random.default_rng(0).random((150, 4))
    mdata["rna"].obsm["X_pca"] = mdata["rna"].obsm["E"]
    mdata["atac"].var["ctl_split"] = ["train", "test"] * 30
    mdata.uns["ctl"] |= dict.fromkeys(["models", "links"], {"kept": 1})
    return mdata


VERBS = {
    "neighbor_score": lambda m, key: ctl.tl.neighbor_score(m, key="E", n_neighbors=5, key_added=key),
    "evaluate": lambda m, key: ctl.tl.evaluate(
        m, views="overall", baselines=["region_mean"], n_bootstrap=0, key_added=key
    ),
    "rank_regions": lambda m, key: ctl.tl.rank_regions(m, "cell_type", key="atac", n_bootstrap=2, key_added=key),
    "split_cells": lambda m, key: ctl.pp.split_cells(m, key_added=key),
    "split_regions": lambda m, key: ctl.pp.split_regions(m, by="random", key_added=key),
    "add_sequence": lambda m, key: ctl.pp.add_sequence(m, key_added=key),
    "embed_sequence": lambda m, key: ctl.pp.embed_sequence(m, key_added=key),
}


@pytest.mark.parametrize("name", ["models", "links", "predictions", "fisher", "region_classes"])
@pytest.mark.parametrize("verb", VERBS)
def test_no_result_takes_the_place_of_what_another_verb_keeps(mdata, verb, name):
    before = copy.deepcopy(mdata.uns["ctl"])
    with pytest.raises(ctl.ChromatellError, match=f"key_added='{name}' is what another tool of this package writes"):
        VERBS[verb](mdata, name)
    assert mdata.uns["ctl"].keys() == before.keys()
    assert mdata.uns["ctl"]["models"] == {"kept": 1}
    assert name not in mdata.obs


def test_an_evaluation_keeps_its_own_names_and_takes_no_other(mdata):
    m = mdata.copy()
    VERBS["evaluate"](m, "evaluation")
    VERBS["evaluate"](m, "mine")
    assert {"evaluation", "gains", "curves", "mine", "mine_gains", "mine_curves"} <= set(m.uns["ctl"])
    for name in ("gains", "input"):  # 'input' would write 'input_gains'
        with pytest.raises(ctl.ChromatellError, match="another tool"):
            VERBS["evaluate"](m, name)


def test_every_entry_that_is_no_result_is_known(mdata):
    """What verbs with the names that they use by themselves have written so far."""
    assert set(mdata.uns["ctl"]) <= ENTRIES
    m = mdata.copy()
    ctl.pp.split_cells(m, key_added="split")  # a column of one's own
    assert m.obs["split"].nunique() == 3


@pytest.mark.parametrize("name", ["rna", "atac", "atac_pred"])
def test_an_activity_is_no_modality_that_other_verbs_read(mdata, name):
    m = mdata.copy()
    if name == "atac_pred":
        del m.mod[name]
        m.update()
    wrong = "is a modality that other verbs read" if name == "atac_pred" else "is there already"
    with pytest.raises(ctl.ChromatellError, match=wrong):
        ctl.tl.gene_activity(m, key="atac", key_added=name)
    assert (name in m.mod) == (name != "atac_pred")
