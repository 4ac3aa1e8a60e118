"""What XChrom learns, that it learns the same each time, and that it learns from nothing that is held out."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp
import torch
from sklearn.metrics import roc_auc_score
from tests.helpers import assert_same_weights, rows_of, weights, with_fragments

import chromatell as ctl
from chromatell import ChromatellError
from chromatell.models.xchrom._module import XChromModule
from chromatell.models.xchrom._training import TrainingData

XChrom = ctl.models.XChrom
WIDTH, LENGTH = 150, 140  # of the windows, and of what the tower reads


def mean_auroc(y, p):
    """Per column, of those with both classes."""
    both = (y.mean(0) > 0) & (y.mean(0) < 1)
    return np.mean([roc_auc_score(y[:, j], p[:, j]) for j in np.flatnonzero(both)])


@pytest.mark.parametrize(("cells", "regions"), [("test", "train"), ("train", "test"), ("test", "test")])
def test_learns_for_cells_and_regions_never_seen(trained, mdata, cells, regions):
    """Per region over cells and per cell over regions, against what the true probabilities score."""
    pair = np.ix_(rows_of(mdata.obs, cells), rows_of(mdata["atac"].var, regions))
    y = (mdata["atac"].X.toarray()[pair] > 0).astype(int)
    p, truth = trained.predict(mdata)[pair], mdata["atac"].layers["truth"][pair]
    for a, b, t in ((y, p, truth), (y.T, p.T, truth.T)):
        ceiling = mean_auroc(a, t) - 0.5
        assert ceiling > 0.2
        assert mean_auroc(a, b) - 0.5 > 0.6 * ceiling


def test_prediction_is_calibrated_in_the_mean(trained, mdata):
    pair = np.ix_(rows_of(mdata.obs, "test"), rows_of(mdata["atac"].var, "test"))
    assert trained.predict(mdata)[pair].mean() == pytest.approx(mdata["atac"].X.toarray()[pair].mean(), abs=0.03)


@pytest.mark.parametrize(
    "options",
    [
        {"kind": "motifs", "stem_filters": 12, "stem_pool": 10},
        {"gelu_after": True, "warm_epochs": 0, "freeze_cells": False, "depth_mix": 0.0},
        {"pool": "mean", "last_filters": 0},
        {"cells_per_batch": 40},
        {"region_effect": True, "reverse_complement": False, "max_shift": 0},
        {"noise": 0.0, "freeze_cells": False, "block": 13},
    ],
    ids=str,
)
def test_every_choice_learns_and_round_trips(fit, mdata, options):
    model = fit(mdata, epochs=8, **options)
    pair = np.ix_(rows_of(mdata.obs, "test"), rows_of(mdata["atac"].var, "train"))
    y, p = (mdata["atac"].X.toarray()[pair] > 0).astype(int), model.predict(mdata)
    assert p.dtype == np.float32
    assert np.isfinite(p).all()
    assert mean_auroc(y, p[pair]) > 0.57
    again = ctl.models.load(model.to_record())
    np.testing.assert_allclose(again.predict(mdata["rna"]), p, atol=1e-6)
    tokens = mdata["atac"].varm["dna_code"][:9]
    np.testing.assert_allclose(again.region_vectors(tokens), model.region_vectors(tokens), atol=1e-6)


def test_published_preset(small):
    """Its towers and recipe, at a length that a test can afford."""
    mdata = small.copy()
    XChrom.setup_mudata(mdata)
    model = XChrom(mdata, preset="xchrom", sequence_length=WIDTH, stem_filters=8, filters=(8, 8, 8), last_filters=8)
    t, n = model.train_config, model.network
    assert (t.optimizer, t.lr, t.betas, t.gradient_clip, t.schedule) == ("adam", 0.01, (0.95, 0.9995), 1.0, "plateau")
    assert (n.tower.kind, n.tower.gelu_after, n.n_embed, n.n_hidden) == ("basset", True, 32, 64)
    assert (n.warm_epochs, n.freeze_cells, n.depth_mix) == (0, False, 0.0)
    assert XChrom(mdata, preset="xchrom").sequence_length == 1344
    model.train(max_epochs=2, seed=0)
    assert model.predict(mdata).shape == (120, 120)


@pytest.mark.parametrize("kind", ["basset", "motifs"])
def test_same_seed_same_weights(fit, small, kind):
    one, two, other = (fit(small, seed=s, region_effect=True, kind=kind) for s in (1, 1, 2))
    assert_same_weights(one, two)
    name = "weights.tower.last.weight"
    assert np.abs(weights(one)[name] - weights(other)[name]).max() > 1e-3


def test_training_leaves_the_global_generators_alone(fit, small):
    torch.manual_seed(0)
    np.random.seed(0)
    want = torch.rand(3), np.random.random(3)
    torch.manual_seed(0)
    np.random.seed(0)
    fit(small, epochs=1, seed=9, cells_per_batch=30, region_effect=True)
    torch.testing.assert_close(torch.rand(3), want[0])
    np.testing.assert_array_equal(np.random.random(3), want[1])


@pytest.mark.parametrize("tower", [{}, {"kind": "motifs"}, {"warm_epochs": 0, "gelu_after": True}], ids=str)
@pytest.mark.parametrize("what", ["test regions", "test cells", "expression of test cells", "embedding of test cells"])
def test_nothing_of_what_is_held_out_reaches_training(fit, small, what, tower):
    """The weights are the same to the last bit, terms of regions, statistics and early stopping included."""
    mdata = with_fragments(small)
    setup = {}
    if what == "embedding of test cells":
        mdata["rna"].obsm["X_own"] = np.random.default_rng(0).normal(size=(mdata.n_obs, 4))
        setup = {"embedding": "X_own"}
    other = mdata.copy()
    cells, regions = rows_of(mdata.obs, "test"), rows_of(mdata["atac"].var, "test")
    x = other["atac"].X.toarray()
    if what == "test regions":
        x[:, regions] = 1 - x[:, regions]
        other["atac"].varm["dna_code"][regions] = 3 - other["atac"].varm["dna_code"][regions]
    elif what == "test cells":
        x[cells] = 1 - x[cells]
        other["atac"].obs.iloc[cells, other["atac"].obs.columns.get_loc("n_fragments")] = 1e6
    elif what == "embedding of test cells":
        other["rna"].obsm["X_own"][cells] += 50
    else:
        y = other["rna"].X.toarray()
        y[cells] = y[cells][:, ::-1] + 1
        other["rna"].X = sp.csr_matrix(y)
    other["atac"].X = sp.csr_matrix(x)
    options = {"setup": setup, "region_effect": True, "train": {"patience": 1}, **tower}
    one, two = (fit(m, epochs=3, **options) for m in (mdata, other))
    assert one.history == two.history
    own = {k for k in weights(one) if k != "regions.vectors"}
    for name in own:
        np.testing.assert_array_equal(weights(one)[name], weights(two)[name], err_msg=name)
    kept = np.setdiff1d(np.arange(120), regions)
    np.testing.assert_array_equal(one.stored_vectors()[kept], two.stored_vectors()[kept])
    if what != "test regions":
        np.testing.assert_array_equal(one.stored_vectors(), two.stored_vectors())


def test_what_is_learned_from_does_reach_training(fit, small):
    """The check above can fail: a training region in a training cell changes the weights."""
    mdata = with_fragments(small)
    other = mdata.copy()
    x = other["atac"].X.toarray()
    cell, region = rows_of(mdata.obs, "train")[0], rows_of(mdata["atac"].var, "train")[0]
    x[cell, region] = 1 - x[cell, region]
    other["atac"].X = sp.csr_matrix(x)
    name = "weights.tower.last.weight"
    assert not np.array_equal(*(weights(fit(m))[name] for m in (mdata, other)))


def test_depth_is_the_total_over_all_regions(fit, small):
    """Also those that are not learned from, as the cell's depth is known whatever the split."""
    model = fit(small, epochs=1)
    total = np.asarray(small["atac"].X.sum(1)).ravel()
    log = np.log1p(total[rows_of(small.obs, "train")])
    assert model.fitted.depth_model.mean == pytest.approx(log.mean(), abs=1e-6)
    assert model.fitted.depth_model.sd == pytest.approx(log.std(), abs=1e-6)


def validation_loss(model, mdata):
    """The loss of the module as it stands, over the validation batches."""
    inner = mdata.copy()
    t = TrainingData.fit(inner, model.config, model.sequence_length, model.config["seed"])
    loader = t.loader("val", model.train_config.batch_for(int(model.fitted.seen.sum())), 0, model.config["seed"])
    model.module.eval()
    with torch.no_grad():
        parts = [(float(model.module.loss(batch)), len(batch)) for batch in loader]
    return np.average([p for p, _ in parts], weights=[n for _, n in parts])


def test_early_stopping_keeps_the_best_weights(fit, small):
    model = fit(small, epochs=80, freeze_cells=False, train={"lr": 3e-2, "schedule": "none", "patience": 3})
    loss = model.history["validation_loss"]
    assert len(loss) < 80
    assert len(loss) - 1 - int(np.argmin(loss)) == 3
    assert validation_loss(model, small) == pytest.approx(min(loss), abs=1e-5)
    assert loss[-1] > min(loss) + 1e-4  # the last weights were other ones


def test_validation_looks_at_new_regions_and_new_cells(small):
    mdata = with_fragments(small)
    t = TrainingData.fit(
        mdata, {"setup": {"embedding": None, "sequence": "dna_code", "depth_key": None}, "n_pcs": 5}, LENGTH, 0
    )
    cells = {part: rows_of(mdata.obs, part) for part in ("train", "val", "test")}
    regions = {part: rows_of(mdata["atac"].var, part) for part in ("train", "val", "test")}
    blocks = t.loader("train", 32, 0, 0).sampler.blocks
    assert len(blocks) == 1
    np.testing.assert_array_equal(blocks[0].regions, regions["train"])
    np.testing.assert_array_equal(blocks[0].cells, cells["train"])
    new, known = t.loader("val", 32, 0, 0).sampler.blocks
    np.testing.assert_array_equal(new.regions, regions["val"])
    np.testing.assert_array_equal(new.cells, np.sort(np.append(cells["train"], cells["val"])))
    assert set(known.regions) <= set(regions["train"])
    assert len(set(known.regions)) == len(known.regions) == len(new.regions)
    np.testing.assert_array_equal(known.cells, cells["val"])
    (alone,) = t.loader("val", 32, 0, 0, new_regions_only=True).sampler.blocks  # where cells stand still
    np.testing.assert_array_equal(alone.regions, regions["val"])


def test_the_fitted_start_may_be_the_best(fit, small):
    """Where training does harm, the weights that it started from are kept: the ridge regression on words."""
    options = {"kind": "motifs", "stem_filters": 8, "stem_kernel": 9}
    start = fit(small, epochs=1, train={"lr": 1e-9}, **options)
    harmed = fit(small, epochs=2, train={"lr": 3.0, "gradient_clip": 0.0}, **options)
    assert min(harmed.history["validation_loss"]) > start.history["validation_loss"][0]
    np.testing.assert_allclose(harmed.predict(small), start.predict(small), atol=3e-3)


def test_few_regions_are_learned_at_a_lower_rate(fit, small):
    n = int((small["atac"].var["ctl_split"] == "train").sum())
    model = fit(small, epochs=1, train={"lr": 1e-2, "full_rate_at": 10 * n})
    assert model._schedule().lr == pytest.approx(1e-3)
    assert model.to_record().config["train"]["lr"] == 1e-2  # what the user gave
    assert fit(small, epochs=1, train={"lr": 1e-2, "full_rate_at": n})._schedule().lr == 1e-2


@pytest.mark.parametrize("held_out", ["cells", "regions", "neither"])
def test_without_validation_of_one_kind_or_both(fit, small, held_out):
    mdata = small.copy()
    if held_out != "regions":
        del mdata["atac"].var["ctl_split"]
    if held_out != "cells":
        mdata.obs["ctl_split"] = mdata.obs["ctl_split"].astype(str).replace("val", "train").astype("category")
    model = fit(mdata, region_effect=True)
    assert ("validation_loss" in model.history) == (held_out != "neither")
    assert np.isfinite(model.predict(mdata)).all()
    if held_out == "neither":
        with pytest.raises(ChromatellError, match="schedule='plateau' needs 'val' cells"):
            fit(mdata, train={"schedule": "plateau"})


def test_the_cell_tower_stands_still_after_its_first_fit(fit, small):
    """With ``freeze_cells``; and without, or without a first fit, it goes on learning."""
    name = "weights.cell_tower.1.weight"
    one, more = (weights(fit(small, epochs))[name] for epochs in (1, 4))
    np.testing.assert_array_equal(one, more)
    for options in ({"freeze_cells": False}, {"warm_epochs": 0}):
        one, more = (weights(fit(small, epochs, train={"schedule": "none"}, **options))[name] for epochs in (1, 4))
        assert np.abs(one - more).max() > 1e-4


@pytest.mark.parametrize("options", [{}, {"kind": "motifs"}, {"warm_epochs": 0}], ids=str)
def test_training_runs_in_training_mode_and_validation_does_not(fit, small, monkeypatch, options):
    """Lightning keeps the mode that it finds, and what runs before it evaluates the towers."""
    modes = []
    loss = XChromModule.loss

    def spied(self, batch):
        modes.append((torch.is_grad_enabled(), {m.training for m in self.modules()}))
        return loss(self, batch)

    monkeypatch.setattr(XChromModule, "loss", spied)
    model = fit(small, **options)
    assert {grad for grad, _ in modes} == {True, False}
    assert all(mode == {grad} for grad, mode in modes)
    assert not any(m.training for m in model.module.modules())


def test_a_model_can_be_trained_again(tiny, small):
    mdata = small.copy()
    XChrom.setup_mudata(mdata)
    model = XChrom(mdata, **tiny)
    model.train(max_epochs=1, seed=3)
    first = weights(model)
    model.train(max_epochs=1, seed=3)
    for name, value in first.items():
        np.testing.assert_array_equal(value, weights(model)[name], err_msg=name)


def test_a_stored_model_predicts_the_same_on_any_device_and_another_is_trained_there(
    fit, trained, mdata, small, device
):
    again = ctl.models.load(trained.to_record())
    again.module.to(device)
    assert again.device.type == device
    np.testing.assert_allclose(again.predict(mdata["rna"]), trained.predict(mdata), atol=1e-4)
    tokens = mdata["atac"].varm["dna_code"]
    np.testing.assert_allclose(again.region_vectors(tokens), trained.region_vectors(tokens), atol=1e-2)
    accelerator = {"cpu": "cpu", "cuda": "gpu"}[device]
    model = fit(small, epochs=4, region_effect=True, train={"accelerator": accelerator})
    assert np.isfinite(model.predict(small)).all()
    assert model.history["train_loss"][-1] < model.history["train_loss"][0]
