"""Batches and numbers that XChrom's cell side reads beside the embedding."""

from __future__ import annotations

import mudata
import numpy as np
import pytest

import chromatell as ctl
from chromatell.models.xchrom._stages import cell_vectors
from chromatell.tl._sequences import group_vectors


@pytest.fixture(scope="module")
def batched(small):
    """Cells of two batches: in the second, a quarter of all regions is open whatever the cell is."""
    mdata = small.copy()
    second = np.arange(mdata.n_obs) % 2 == 1
    mdata.obs["lane"] = np.where(second, "two", "one")
    mdata.mod["rna"].obs["age"] = np.linspace(20, 60, mdata.n_obs)
    x = mdata.mod["atac"].X.tolil()
    x[np.ix_(second, np.arange(0, mdata["atac"].n_vars, 4))] = 1.0
    mdata.mod["atac"].X = x.tocsr()
    return mdata


@pytest.fixture(scope="module")
def model(batched, fit):
    setup = {"embedding": None, "batch_key": "lane", "continuous_covariate_keys": ["age"]}
    return fit(batched, epochs=15, region_effect=True, setup=setup)


def of_lane(mdata, lane):
    query = mdata.copy()
    query.obs["lane"] = lane
    return query


def test_the_batch_moves_what_differs_between_batches(model, batched):
    assert model.network.n_inputs == model.fitted.embedding.n_components + 3
    probabilities = [model.predict(of_lane(batched, lane), depth="fixed").mean(axis=0) for lane in ("one", "two")]
    moved = probabilities[1] - probabilities[0]
    assert moved[model.fitted.seen & (np.arange(len(moved)) % 4 == 0)].mean() > 0.1
    assert abs(moved[model.fitted.seen & (np.arange(len(moved)) % 4 != 0)].mean()) < 0.05


def test_a_batch_that_is_new_or_absent_takes_the_mean_effect(model, batched):
    rows = np.flatnonzero(batched.obs["ctl_split"] == "train")
    share = (batched.obs["lane"].iloc[rows] == "one").mean()
    age = batched.mod["rna"].obs["age"].to_numpy()
    age = (age - age[rows].mean()) / age[rows].std()
    z, _ = model.fitted.embedding.transform(batched.mod["rna"])
    inputs = np.column_stack([z, np.tile([share, 1 - share], (len(z), 1)), age]).astype(np.float32)
    with pytest.warns(ctl.ChromatellWarning, match="'lane' were not in training"):
        new = model.cell_vectors(of_lane(batched, "three"), depth="fixed")
    absent = batched.copy()
    del absent.obs["lane"]
    with pytest.warns(ctl.ChromatellWarning, match="no column 'lane'"):
        np.testing.assert_array_equal(model.cell_vectors(absent, depth="fixed"), new)
    np.testing.assert_allclose(new, cell_vectors(model.module, inputs, np.zeros(len(z), np.float32)), atol=1e-6)


def test_groups_read_the_batches_of_their_own_cells(model, batched):
    own, lane = model.cell_vectors(batched, depth="fixed"), batched.obs["lane"].to_numpy()
    groups, vectors = group_vectors(batched, model, "lane", None)
    assert groups == ["one", "two"]
    np.testing.assert_allclose(vectors, [own[lane == g].mean(axis=0) for g in groups], atol=1e-6)
    some = np.arange(0, batched.n_obs, 3)
    _, vectors = group_vectors(batched, model, None, batched.obs_names[some])
    np.testing.assert_allclose(vectors[0], own[some].mean(axis=0), atol=1e-6)


def test_a_batch_goes_by_barcode(model, batched):
    query = mudata.MuData({"atac": batched.mod["atac"].copy(), "rna": batched.mod["rna"][::-1].copy()})
    query.obs["lane"] = batched.obs["lane"]
    assert query.obs_names[0] != query.mod["rna"].obs_names[0]
    own = model.cell_vectors(batched, depth="fixed")
    np.testing.assert_allclose(model.cell_vectors(query, depth="fixed"), own[::-1], atol=1e-6)


def test_it_travels_with_the_record(model, batched, tmp_path):
    again = ctl.models.load(ctl.io.save_record(model.to_record(), tmp_path / "model"))
    assert again.fitted.cell_covariates.levels == ["one", "two"]
    np.testing.assert_allclose(again.predict(batched), model.predict(batched), atol=1e-6)
    assert np.abs(again.predict(of_lane(batched, "two")) - again.predict(of_lane(batched, "one"))).max() > 0.01


def test_a_column_that_is_no_batch_is_refused_and_none_is_none(batched, fit, small):
    setup = ctl.models.XChrom.setup_mudata
    with pytest.raises(ctl.ChromatellError, match="Did not find a column 'donor9'"):
        setup(batched.copy(), batch_key="donor9")
    unlabelled = batched.copy()
    unlabelled.obs["lane"] = unlabelled.obs["lane"].where(np.arange(unlabelled.n_obs) > 2)
    with pytest.raises(ctl.ChromatellError, match="'lane'"):
        setup(unlabelled, batch_key="lane")
    plain = fit(small, epochs=1)
    assert plain.fitted.cell_covariates.width == 0
    assert plain.network.n_inputs == plain.fitted.embedding.n_components
    record = plain.to_record()
    older = {k: v for k, v in record.config.items() if k != "cell_covariates"}
    old = ctl.io.Record(record.family, 2, older, record.arrays, record.var_names)
    np.testing.assert_allclose(ctl.models.load(old).predict(small), plain.predict(small), atol=1e-6)
