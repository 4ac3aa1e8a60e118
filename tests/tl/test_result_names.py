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


@pytest.fixture(scope="module")
def with_sequence():
    m = ctl.datasets.simulate_sequence_multiome(n_cells=60, n_regions=40, seed=0)
    ctl.pp.split_cells(m, seed=0)
    rng = np.random.default_rng(0)
    for name in ("X_pca", "X_umap"):
        m["rna"].obsm[name] = rng.random((60, 4), dtype=np.float32)
    m["atac"].obsm["X_umap"] = m["rna"].obsm["X_umap"]
    m["atac"].obs["kind_mine"], m["atac"].obs["kind"] = "theirs", list("ab") * 30
    m["atac"].varm["LSI"] = rng.random((40, 3))
    m["atac"].var["gc"] = rng.random(40)
    return m


TAKEN = {  # verb -> the name, where that is read, whether the package reads it or the user had it there
    "split_cells cell_type": (lambda m: ctl.pp.split_cells(m, key_added="cell_type"), "there already"),
    "split_cells sample": (lambda m: ctl.pp.split_cells(m, key_added="sample"), "other tools"),
    "split_regions chrom": (lambda m: ctl.pp.split_regions(m, by="random", key_added="chrom"), "other tools"),
    "split_regions gc": (lambda m: ctl.pp.split_regions(m, by="random", key_added="gc"), "there already"),
    "embed dna_code": (lambda m: ctl.pp.embed_sequence(m, key_added="dna_code"), "other tools"),
    "embed LSI": (lambda m: ctl.pp.embed_sequence(m, key_added="LSI"), "there already"),
    "add_sequence X_dna": (lambda m: ctl.pp.add_sequence(m, "no.fa", key_added="X_dna"), "other tools"),
    "add_sequence LSI": (lambda m: ctl.pp.add_sequence(m, "no.fa", key_added="LSI"), "there already"),
    "motif_activity": (lambda m: ctl.tl.motif_activity(m, key="atac", key_added="X_xchrom"), "other tools"),
    "xchrom pca": (lambda m: ctl.tl.xchrom(m, key_added="pca"), "other tools"),
    "xchrom umap": (lambda m: ctl.tl.xchrom(m, key_added="umap"), "there already"),
    "atacformer umap": (lambda m: ctl.tl.atacformer(m, key_added="umap"), "there already"),
    "atacformer kind": (lambda m: ctl.tl.atacformer(m, labels="kind", key_added="mine"), "there already"),
}


def values_of(m):
    tables = [getattr(a, place) for a in (m, *m.mod.values()) for place in ("obs", "var", "obsm", "varm")]
    return [{name: np.asarray(table[name]).tolist() for name in table} for table in tables]


@pytest.mark.parametrize("name", TAKEN)
def test_no_entry_of_the_users_is_replaced(with_sequence, name):
    """`X_pca` was by xchrom(key_added='pca'), which reads it; the coordinates were by a split called 'chrom'."""
    call, why = TAKEN[name]
    before = values_of(with_sequence)
    with pytest.raises(ctl.ChromatellError, match=f"{why}.*hoose another key_added="):
        call(with_sequence)
    assert values_of(with_sequence) == before


def test_a_verbs_own_entry_is_replaced(with_sequence):
    m = with_sequence.copy()
    for _ in range(2):
        ctl.pp.embed_sequence(m, n_components=2, key_added="short")
        ctl.pp.split_cells(m, key_added="second", seed=0)
        ctl.pp.split_regions(m, by="random", key_added="second", seed=0)
        ctl.tl.xchrom(m, stem_filters=8, key_added="mine", train_kwargs={"max_epochs": 1})
    m["atac"].varm["tokens"] = m["atac"].varm["dna_code"].astype(np.int64)
    ctl.pp.add_sequence(m, key_added="tokens")  # the user's own are taken as they are
    assert m["atac"].varm["tokens"].dtype == np.int8
    assert m["rna"].obsm["X_mine"].shape == (60, 32)


def test_two_labels_are_not_written_under_one_name(with_sequence):
    """The table of 'a kind' was lost beside that of 'a/kind', with a model each."""
    m = with_sequence.copy()
    for name in ("a kind", "a/kind"):
        m["atac"].obs[name] = list("ab") * 30
    with pytest.raises(ctl.ChromatellError, match="of 'a kind', 'a/kind' would be written under one name"):
        ctl.tl.atacformer(m, labels=["a kind", "a/kind"])


PREDICTIONS = {
    "dense": lambda m: ctl.tl.dense(m, key_added="atac"),
    "baseline": lambda m: ctl.tl.baseline(m, "region_mean", key_added="atac"),
    "add_prediction": lambda m: ctl.tl.add_prediction(m, np.full((60, 40), 0.5), key="atac"),
}


@pytest.mark.parametrize("verb", PREDICTIONS)
def test_no_prediction_takes_the_name_of_what_was_measured(with_sequence, verb):
    """key='atac' names the measured accessibility in every verb: such a prediction could never be asked for."""
    with pytest.raises(ctl.ChromatellError, match="'atac' names what was measured; choose another"):
        PREDICTIONS[verb](with_sequence.copy())
