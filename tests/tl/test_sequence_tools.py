"""The tools that read a sequence model, on one that was trained, stored and loaded."""

from __future__ import annotations

import mudata as md
import numpy as np
import pandas as pd
import pytest

import chromatell as ctl


@pytest.fixture(scope="module")
def trained() -> md.MuData:
    mdata = ctl.datasets.simulate_sequence_multiome(n_cells=100, n_regions=60, n_types=3, seed=0)
    ctl.pp.split_cells(mdata, seed=0)
    ctl.tl.xchrom(mdata, seed=0, train_kwargs={"max_epochs": 2})
    return mdata


def parts(mdata):
    """The model, the tokens that it reads of the first regions, and the mean vector of each type's cells."""
    model = ctl.models.load(mdata, key="xchrom")
    tokens, length = mdata.mod["atac"].varm["dna_code"], model.sequence_length
    first = tokens.shape[1] // 2 - length // 2
    v = model.cell_vectors(mdata, depth="fixed")
    types = mdata.obs["cell_type"].astype(str).to_numpy()
    groups = sorted(set(types))
    return model, tokens[:, first : first + length], groups, np.stack([v[types == g].mean(axis=0) for g in groups])


def test_ism_of_a_trained_model(trained):
    model, tokens, groups, vectors = parts(trained)
    names = trained.mod["atac"].var_names[[5, 2]]
    trained.uns["ctl"]["models"]["second"] = trained.uns["ctl"]["models"]["xchrom"]
    ctl.tl.ism(trained, names, key="second", window=30)
    found = trained.uns["ctl"]["ism"]
    assert found["groups"].tolist() == groups
    middle = model.sequence_length // 2
    place = (trained.mod["atac"].var["start"] + trained.mod["atac"].var["end"]).iloc[5] // 2
    assert found["start"][0] == place - 15
    changed = np.repeat(tokens[[5]], 4, axis=0)
    changed[:, middle - 15 + 21] = range(4)
    expected = (model.region_vectors(changed) - model.region_vectors(tokens[[5]])) @ vectors.T
    np.testing.assert_allclose(found["effect"][0, :, :, 21], expected.T, atol=1e-5 * np.abs(vectors).max())
    assert np.abs(found["effect"]).max() > 1e-4


@pytest.mark.parametrize("preset", ["small", "xchrom"])
def test_attribution_of_trained_models_adds_up(trained, preset):
    mdata = trained
    if preset == "xchrom":
        mdata = trained.copy()
        small = {"stem_filters": 8, "filters": (8, 8), "last_filters": 4, "sequence_length": 200}
        ctl.tl.xchrom(mdata, preset="xchrom", seed=0, train_kwargs={"max_epochs": 1}, **small)
    names = mdata.mod["atac"].var_names[:3]
    ctl.tl.attribute(mdata, names, n_shuffles=4, seed=0)  # a warning, that it does not add up, is an error here
    found = mdata.uns["ctl"]["attribution"]
    own = np.take_along_axis(found["effect"], found["tokens"][:, None, None].astype(int), axis=2).sum(axis=(2, 3))
    assert np.abs(found["delta"]).max() < 0.01 * np.abs(own).max()  # effects are small, float32


def test_variants_of_a_trained_model(trained, tmp_path):
    model, tokens, groups, vectors = parts(trained)
    atac, middle = trained.mod["atac"], model.sequence_length // 2
    place = (atac.var["start"] + atac.var["end"]).iloc[7] // 2
    base = int(tokens[7, middle])
    table = pd.DataFrame({"chrom": atac.var["chrom"].iloc[[7]], "start": place, "ref": "ACGT"[base]})
    table["alt"] = "ACGT"[base - 1]
    changed = tokens[[7, 7]].copy()
    changed[1, middle] = (base - 1) % 4
    w = model.region_vectors(changed)
    trained.write(tmp_path / "shared.h5mu")
    query = md.MuData({"rna": trained.mod["rna"], "atac": atac})  # carries no model
    query.obs["cell_type"] = trained.obs["cell_type"]
    ctl.tl.variant_effect(query, table, model=str(tmp_path / "shared.h5mu"), n_null=30, seed=0)
    found = query.uns["ctl"]["variant_effect"]
    assert found["group"].tolist() == groups
    np.testing.assert_allclose(found["effect"], (w[1] - w[0]) @ vectors.T, atol=1e-5)
    np.testing.assert_allclose(found["logit_ref"], w[0] @ vectors.T, atol=1e-4)
    assert found["p"].between(1 / 31, 1).all()
