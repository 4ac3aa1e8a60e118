"""A query that is not quite like the training cells: a gene is missing, values are a little off, the record is old."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import average_precision_score

import chromatell as ctl
from chromatell import ChromatellWarning
from chromatell.io import Record


@pytest.fixture(scope="module")
def example():
    """A third of the packaged example, whose expression is smoothed: the last components have almost no spread."""
    mdata = ctl.datasets.pbmc_example()
    mdata = mdata[::3].copy()
    atac = mdata.mod["atac"]
    atac.var["ctl_selected"] = np.arange(atac.n_vars) % 4 == 0
    ctl.pp.split_cells(mdata, seed=0)
    ctl.tl.dense(mdata, seed=0, train_kwargs={"max_epochs": 6})
    model = ctl.models.load(mdata)
    test = (mdata.obs["ctl_split"] == "test").to_numpy()
    truth = (np.asarray(atac.X[test].todense()) > 0)[:, atac.var["ctl_selected"]]
    rna = mdata.mod["rna"]
    return model, rna[test].copy(), truth, rna.X[(mdata.obs["ctl_split"] == "train").to_numpy()].std(axis=0)


def ap(model, query, truth):
    return average_precision_score(truth.ravel(), model.predict(query).ravel())


def test_a_gene_or_ten_may_be_missing(example):
    model, query, truth, _ = example
    whole = ap(model, query, truth)
    assert whole > 1.05 * ap_of_mean(model, truth)
    for gone, most in [([g], 0.004) for g in (0, 9, 17, 33, 50)] + [(np.arange(0, 50, 5), 0.02)]:
        with pytest.warns(ChromatellWarning, match="they are estimated from the others"):
            part = ap(model, query[:, np.setdiff1d(np.arange(51), gone)].copy(), truth)
        assert whole - part < most, gone


def ap_of_mean(model, truth):
    return average_precision_score(truth.ravel(), np.broadcast_to(truth.mean(axis=0), truth.shape).ravel())


def test_values_may_be_a_little_off(example, rng):
    model, query, truth, sd = example
    whole = ap(model, query, truth)
    noisy = query.copy()
    noisy.X = noisy.X + np.float32(0.03) * sd * rng.normal(size=query.shape).astype(np.float32)
    assert whole - ap(model, noisy, truth) < 0.005
    moved = model.predict(noisy).mean(axis=1) / model.predict(query).mean(axis=1)
    assert np.percentile(np.abs(np.log(moved)), 95) < 0.2  # each cell's depth stays


def test_depth_stays_within_the_training_cells(example):
    model, query, _, _ = example
    far = query.copy()
    far.X = far.X * 10
    z, library = model.fitted.expression.transform(far.X)
    depth = model.fitted.depth_model.predict(z, library)
    assert depth.min() >= np.float32(model.fitted.depth_model.low)
    assert depth.max() <= np.float32(model.fitted.depth_model.high)


def test_a_record_of_schema_1_predicts_as_it_did(example):
    """Without what schema 2 added: a missing gene stands at the training mean."""
    model, query, _, _ = example
    record = model.to_record()
    added = ("depth_range", "gene_loadings", "gene_noise", "range.")
    arrays = {k: v for k, v in record.arrays.items() if not any(name in k for name in added)}
    config = {k: v for k, v in record.config.items() if k != "out_of_range"}
    old = ctl.models.load(Record("dense", 1, config, arrays, record.var_names))
    np.testing.assert_allclose(old.predict(query), model.predict(query), atol=1e-6)
    with pytest.warns(ChromatellWarning, match="1 of the model's 51 genes.*set to the training mean"):
        part = old.predict(query[:, 1:].copy())
    mean = query.copy()
    mean.X[:, 0] = model.fitted.expression.mean[0]
    share = model.fitted.expression.share[1:].sum()
    assert np.abs(np.log(part / old.predict(mean))).mean() < 0.2 / share


def test_the_card_says_which_release_reads_the_record(example, tmp_path):
    model = example[0]
    assert model.to_record().card["needs"] == "0.2.0"
    mdata = ctl.datasets.simulate_multiome(10, 5, 6, seed=0)
    ctl.io.write_record(mdata, "dense", model.to_record())
    ctl.io.export_model(mdata, "dense", tmp_path / "shared")
    assert ctl.io.load_record(tmp_path / "shared").card["needs"] == "0.2.0"
