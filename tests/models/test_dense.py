"""Dense on simulated cells whose truth is known."""

from __future__ import annotations

import dataclasses

import anndata as ad
import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score

import chromatell as ctl
from chromatell import ChromatellError, ChromatellWarning
from chromatell.models.dense._module import DenseConfig, DenseModule
from chromatell.models.dense._presets import SmoothingConfig


def test_rows(mdata, name):
    return np.flatnonzero(mdata.obs["ctl_split"] == name)


test_rows.__test__ = False


def within_region_auroc(y, p):
    keep = (y.mean(0) > 0) & (y.mean(0) < 1)
    return np.mean([roc_auc_score(y[:, j], p[:, j]) for j in np.flatnonzero(keep)])


def test_learns_what_expression_knows(trained):
    """On unseen cells, per region: well above chance, and much of what the true probabilities reach."""
    model, mdata = trained
    rows = test_rows(mdata, "test")
    y = (mdata["atac"].X[rows].toarray() > 0).astype(int)
    p = model.predict(mdata)[rows]
    reached = within_region_auroc(y, p) - 0.5
    ceiling = within_region_auroc(y, np.asarray(mdata["atac"].layers["truth"])[rows]) - 0.5
    assert reached > 0.4 * ceiling > 0.02  # the ceiling knows each cell's true depth too


def test_mean_prediction_is_calibrated(trained):
    model, mdata = trained
    rows = test_rows(mdata, "train")
    y = (mdata["atac"].X[rows] > 0).mean(axis=0)
    np.testing.assert_allclose(model.predict(mdata)[rows].mean(0), np.asarray(y).ravel(), atol=0.01)


def test_same_seed_same_weights(multiome):
    arrays = []
    for seed in (1, 1, 2):
        mdata = multiome.copy()
        ctl.models.Dense.setup_mudata(mdata)
        model = ctl.models.Dense(mdata)
        model.train(max_epochs=2, seed=seed)
        arrays.append(model.to_record().arrays["weights.weight"])
    np.testing.assert_array_equal(arrays[0], arrays[1])
    assert np.abs(arrays[0] - arrays[2]).max() > 1e-3


def test_training_leaves_the_global_generator_alone(multiome):
    torch.manual_seed(0)
    want = torch.rand(3)
    torch.manual_seed(0)
    mdata = multiome.copy()
    ctl.models.Dense.setup_mudata(mdata)
    ctl.models.Dense(mdata).train(max_epochs=1, seed=9)
    torch.testing.assert_close(torch.rand(3), want)


def test_record_predicts_the_same(trained):
    model, mdata = trained
    again = ctl.models.load(model.to_record())
    np.testing.assert_allclose(again.predict(mdata["rna"]), model.predict(mdata), atol=1e-6)
    assert again.content_hash == model.content_hash
    assert again.history == model.history


def test_saved_model_predicts_the_same_and_nothing_is_pickled(trained, tmp_path):
    model, mdata = trained
    model.save(tmp_path / "model")
    again = ctl.models.Dense.load(tmp_path / "model")
    np.testing.assert_allclose(again.predict(mdata["rna"]), model.predict(mdata), atol=1e-6)
    with pytest.raises(ChromatellError, match="exists"):
        model.save(tmp_path / "model")


def test_cells_and_regions_are_independent_of_their_blocks(trained):
    """One cell, some regions, any order: the same numbers."""
    model, mdata = trained
    whole = model.predict(mdata)
    np.testing.assert_allclose(model.predict(mdata["rna"][7:8].copy()), whole[7:8], atol=1e-6)
    some = [model.var_names["atac"][j] for j in (100, 3, 50)]
    np.testing.assert_allclose(model.predict(mdata, regions=some), whole[:, [100, 3, 50]], atol=1e-6)
    block = model.module.config.block
    try:
        object.__setattr__(model.module.config, "block", 16)
        object.__setattr__(model.network, "block", 16)
        np.testing.assert_allclose(model.predict(mdata), whole, atol=1e-6)
        np.testing.assert_allclose(model.predict(mdata, regions=some), whole[:, [100, 3, 50]], atol=1e-6)
    finally:
        object.__setattr__(model.module.config, "block", block)
        object.__setattr__(model.network, "block", block)


def test_depth_is_a_named_choice(trained):
    model, mdata = trained
    fixed = model.predict(mdata, depth="fixed")
    with pytest.warns(ChromatellWarning, match="uses the target assay"):
        observed = model.predict(mdata, depth="observed")
    depth = np.asarray(mdata["atac"].X.sum(1)).ravel()
    high, low = depth > np.quantile(depth, 0.9), depth < np.quantile(depth, 0.1)
    assert (observed[high] > fixed[high]).mean() > 0.9
    assert (observed[low] < fixed[low]).mean() > 0.9
    with pytest.raises(ChromatellError, match=r"depth='observed' reads each cell's own ATAC"):
        model.predict(mdata["rna"], depth="observed")
    with pytest.raises(ChromatellError, match="depth='true' is not known"):
        model.predict(mdata, depth="true")


def test_a_call_starts_from_the_preset_and_one_that_is_refused_leaves_nothing_behind(multiome):
    mdata = multiome.copy()
    ctl.models.Dense.setup_mudata(mdata)
    model = ctl.models.Dense(mdata, n_hidden=8, n_latent=4)
    preset = model.train_config
    for wrong in ({"lr": -1}, {"max_epochs": 0}, {"optimizer": "sgd"}):
        with pytest.raises(ChromatellError):
            model.train(**{"max_epochs": 1, "patience": 2, **wrong})
    with pytest.raises(ChromatellError, match="'nonsense'. Leave 'nonsense' out of trainer_kwargs"):
        model.train(max_epochs=1, patience=2, trainer_kwargs={"nonsense": 1})
    assert model.train_config == preset
    model.train(max_epochs=1, patience=2, betas=np.array([0.5, 0.9]), seed=0)
    assert model.train_config == dataclasses.replace(preset, max_epochs=1, patience=2, betas=(0.5, 0.9))
    model.train(max_epochs=2, seed=0)
    assert model.train_config == dataclasses.replace(preset, max_epochs=2)


def test_unknown_regions_are_named(trained):
    model, mdata = trained
    with pytest.raises(ChromatellError, match=r"1 of the 1 regions are not among the 120 .*'chr1:1-2'"):
        model.predict(mdata, regions=["chr1:1-2"])
    with pytest.raises(ChromatellError, match="regions= names no region"):
        model.predict(mdata, regions=[])


@pytest.mark.parametrize(
    "options",
    [
        {"encoder": "autoencoder"},
        {"encoder": "transformer", "n_members": 1},
        {"encoder": "mlp", "n_pcs": 10, "shared_head": True, "norm": "batch"},
        {"encoder": "mlp", "norm": "none", "n_layers": 3, "depth_hidden": 0, "depth_term": False},
        {"likelihood": "poisson"},
        {"loss": "focal_dice"},
        {"loss": "dice"},
        {"smoothing": SmoothingConfig(k=10, mix=0.5, space="rna")},
        {"smoothing": None, "block": 50},
    ],
    ids=str,
)
def test_every_choice_learns_and_round_trips(multiome, options):
    mdata = multiome.copy()
    ctl.models.Dense.setup_mudata(mdata)
    model = ctl.models.Dense(mdata, **options)
    model.train(max_epochs=6, seed=0)
    rows = test_rows(mdata, "test")
    p = model.predict(mdata)
    assert p.dtype == np.float32
    assert (p >= 0).all()
    assert (p <= 1).all()
    y = (mdata["atac"].X[rows].toarray() > 0).astype(int)
    if options.get("loss") == "dice":  # alone it ranks pairs, not cells within a region
        assert roc_auc_score(y.ravel(), p[rows].ravel()) > 0.7
    else:
        assert within_region_auroc(y, p[rows]) > 0.53
    again = ctl.models.load(model.to_record())
    np.testing.assert_allclose(again.predict(mdata["rna"]), p, atol=1e-6)


def test_linked_genes_and_shared_space(multiome, tmp_path):
    mdata = multiome.copy()
    var = mdata["rna"].var
    with pytest.raises(ChromatellError, match="Run ctl.pp.link_genes"):
        fit(mdata, encoder="shared")
    tss = np.asarray(var["tss"], dtype=int)
    rows = [f"{c}\t{t}\t{t + 1}\t{g}\t0\t+" for c, t, g in zip(var["chrom"], tss, mdata["rna"].var_names, strict=True)]
    (tmp_path / "genes.bed").write_text("\n".join(rows) + "\n")
    ctl.pp.link_genes(mdata, tmp_path / "genes.bed", max_distance=200_000)
    sets = {"first": list(mdata["rna"].var_names[:5]), "second": list(mdata["rna"].var_names[5:9])}
    for options in ({"encoder": "shared", "gene_sets": sets}, {"linked_genes": True}):
        model = fit(mdata, **options)
        again = ctl.models.load(model.to_record())
        np.testing.assert_allclose(again.predict(mdata["rna"]), model.predict(mdata), atol=1e-6)
    record = model.to_record()
    assert np.abs(record.arrays["weights.linked.weight"]).max() > 1e-4
    outside = {**record.arrays, "weights.linked.link_gene": record.arrays["weights.linked.link_gene"] + 10_000}
    crafted = ctl.io.Record("dense", 1, record.config, outside, record.var_names)
    with pytest.raises(ChromatellError, match="points outside the 110 it counts"):
        ctl.models.load(crafted)


def fit(mdata, **options):
    mdata = mdata.copy()
    ctl.models.Dense.setup_mudata(mdata)
    model = ctl.models.Dense(mdata, **options)
    model.train(max_epochs=2, seed=0)
    return model


def test_preset_follows_the_published_recipe(multiome):
    mdata = multiome.copy()
    ctl.models.Dense.setup_mudata(mdata)
    model = ctl.models.Dense(mdata, preset="wizel2025")
    t, n = model.train_config, model.network
    assert (t.optimizer, t.batch_size, t.max_epochs) == ("rmsprop", 32, 50)
    assert (n.loss.name, n.encoder, n.n_pcs, n.n_members, n.depth_term) == ("focal_dice", "mlp", 0, 1, False)
    model.train(max_epochs=2)
    assert model.predict(mdata).shape == (900, 120)


def test_batches_and_covariates(multiome):
    mdata = multiome.copy()
    rng = np.random.default_rng(0)
    mdata.obs["batch"] = np.where(rng.random(900) < 0.5, "b1", "b2")
    mdata["rna"].obs["age"] = rng.normal(50, 9, 900)
    ctl.models.Dense.setup_mudata(mdata, batch_key="batch", continuous_covariate_keys=["age"])
    model = ctl.models.Dense(mdata)
    model.train(max_epochs=2, seed=0)
    assert model.network.n_covariates == 3
    query = mdata["rna"][:50].copy()
    with pytest.warns(ChromatellWarning, match="no column 'batch'"):
        absent = model.predict(query)
    query.obs["batch"] = "b9"
    with pytest.warns(ChromatellWarning, match="levels of 'batch' were not in training"):
        unseen = model.predict(query)
    np.testing.assert_allclose(absent, unseen, atol=1e-6)
    with pytest.raises(ChromatellError, match="Did not find a column 'donor9'"):
        ctl.models.Dense.setup_mudata(mdata, batch_key="donor9")
    with pytest.raises(ChromatellError, match=r"'age' has 900 values.*continuous_covariate_keys=\['age'\]"):
        ctl.models.Dense.setup_mudata(mdata, batch_key="age")
    one = mdata.copy()
    ctl.models.Dense.setup_mudata(one, continuous_covariate_keys="age")  # one name is a list of one
    assert ctl.models.Dense(one).config["setup"]["continuous_covariate_keys"] == ["age"]


def test_early_stopping_keeps_the_best_weights(multiome):
    mdata = multiome.copy()
    ctl.models.Dense.setup_mudata(mdata)
    model = ctl.models.Dense(mdata)
    model.train(max_epochs=60, lr=2e-2, schedule="none", patience=3, seed=0)
    loss = model.history["validation_loss"]
    assert len(loss) < 60
    assert len(loss) - 1 - int(np.argmin(loss)) == 3


def test_scvi_tools_set_up_is_there(multiome, capsys):
    mdata = multiome.copy()
    ctl.models.Dense.setup_mudata(mdata)
    model = ctl.models.Dense(mdata)
    model.view_anndata_setup(mdata)
    assert "atac" in capsys.readouterr().out
    with pytest.raises(ChromatellError, match="trains on paired cells"):
        ctl.models.Dense.setup_anndata(mdata["rna"])


def test_clear_frees_the_data(multiome):
    mdata = multiome.copy()
    ctl.models.Dense.setup_mudata(mdata)
    model = ctl.models.Dense(mdata)
    model.clear()
    assert model.adata is None
    assert mdata.uns["_scvi_uuid"] not in type(model)._setup_adata_manager_store


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"encoder": "rnn"}, "encoder='rnn' is not known; choose one of"),
        ({"loss": "mse"}, "loss='mse' is not known"),
        ({"gene_sets": 5}, "gene_sets=5: a dict is needed"),
        ({"smoothing": "x"}, "smoothing='x': a SmoothingConfig, None or 'preset' is needed"),
        ({"n_laten": 3}, r"Dense knows no option \['n_laten'\].*Did you mean 'n_latent'\?"),
        (
            {"max_epochs": 3},
            r"max_epochs is of the training: ctl.tl takes train_kwargs=dict\(max_epochs=3\)",
        ),
        ({"loss": "poisson"}, "goes with likelihood='poisson'"),
        ({"likelihood": "poisson", "loss": "bce"}, "goes with likelihood='bernoulli'"),
        ({"n_members": "x"}, "n_members='x' is out of range"),
        ({"n_latent": 0}, "n_latent=0 is out of range"),
        ({"dropout": 1.5}, "dropout=1.5 is out of range: a number from 0 to 0.95"),
        ({"preset": "best"}, "preset='best' is not known"),
        ({"norm": "group"}, "norm='group' is not known"),
    ],
)
def test_wrong_options_are_named(multiome, options, message):
    mdata = multiome.copy()
    ctl.models.Dense.setup_mudata(mdata)
    with pytest.raises(ChromatellError, match=message):
        ctl.models.Dense(mdata, **options)


def test_untrained_and_unknown_training_options(multiome):
    mdata = multiome.copy()
    ctl.models.Dense.setup_mudata(mdata)
    model = ctl.models.Dense(mdata)
    with pytest.raises(ChromatellError, match="is not trained"):
        model.predict(mdata)
    with pytest.raises(ChromatellError, match=r"knows no option \['epochs'\].*Did you mean 'max_epochs'\?"):
        model.train(epochs=3)
    with pytest.raises(ChromatellError, match="optimizer='sgd' is not known; choose one of"):
        model.train(optimizer="sgd")
    with pytest.raises(ChromatellError, match="schedule='step' is not known; choose one of"):
        model.train(schedule="step")


def test_loaded_model_says_that_it_has_no_data(trained):
    model, _ = trained
    with pytest.raises(ChromatellError, match="was loaded and has no data to train on"):
        ctl.models.load(model.to_record()).train()


def test_crafted_records_are_refused(trained):
    model, _ = trained
    record = model.to_record()

    def changed(config=None, arrays=None, **fields):
        parts = {"family": record.family, "schema": record.schema, "var_names": record.var_names} | fields
        return ctl.io.Record(config=config or record.config, arrays=arrays or record.arrays, **parts)

    with pytest.raises(ChromatellError, match="schema 99; this chromatell"):
        ctl.models.load(changed(schema=99))
    with pytest.raises(ChromatellError, match="of family 'mystery'"):
        ctl.models.load(changed(family="mystery"))
    with pytest.raises(ChromatellError, match="does not fit its own description"):
        ctl.models.load(changed(arrays={k: v for k, v in record.arrays.items() if k != "weights.weight"}))
    with pytest.raises(ChromatellError, match="does not fit its own description"):
        ctl.models.load(changed(arrays={**record.arrays, "weights.weight": np.zeros((1, 2, 3), np.float32)}))
    huge = {**record.config, "network": {**record.config["network"], "n_hidden": 10**9, "n_members": 10**6}}
    with pytest.raises(ChromatellError, match="not that of any model. n_hidden=1000000000 is out of range"):
        ctl.models.load(changed(config=huge))
    wide = {**record.config, "network": {**record.config["network"], "n_hidden": 100_000}}
    with pytest.raises(ChromatellError, match="does not fit"):  # refused by shape, nothing allocated
        ctl.models.load(changed(config=wide))
    doubles = {**record.arrays, "weights.bias": record.arrays["weights.bias"].astype(np.float64)}
    with pytest.raises(ChromatellError, match=r"'weights.bias' is torch.float64; finite torch.float32 is needed"):
        ctl.models.load(changed(arrays=doubles))
    nan = {**record.arrays, "scaling.gene_sd": record.arrays["scaling.gene_sd"] * np.nan}
    with pytest.raises(ChromatellError, match="'scaling.gene_sd' holds 110 values that are NaN or infinite, of 110"):
        ctl.models.load(changed(arrays=nan))
    renamed = {**record.var_names, "rna": record.var_names["rna"][:-1]}
    with pytest.raises(ChromatellError, match="names 109 and 120"):
        ctl.models.load(changed(var_names=renamed))


def test_module_is_plain_pytorch():
    """The logit is bias + z.w + depth * d, by hand."""
    config = DenseConfig(n_genes=3, n_regions=4, n_latent=2, n_layers=0, dropout_in=0.0, depth_hidden=0, n_hidden=5)
    module = DenseModule(config, torch.arange(4.0), 0.7).eval()
    from chromatell.data.cells import CellBatch

    batch = CellBatch(torch.randn(6, 3), None, torch.randn(6, 2), torch.randn(6))
    linear = module.encoders[0][-1]
    z = torch.cat([batch.x, batch.covariates], 1) @ linear.weight.T + linear.bias
    logit = torch.arange(4.0) + z @ module.weight[0].T + batch.depth[:, None] * 0.7
    torch.testing.assert_close(module(batch), logit.sigmoid())


def test_a_stored_model_predicts_the_same_on_any_device(trained, device):
    model, mdata = trained
    again = ctl.models.load(model.to_record())
    again.module.to(device)
    assert again.device.type == device
    np.testing.assert_allclose(again.predict(mdata["rna"]), model.predict(mdata), atol=1e-4)


def test_anndata_query_of_another_kind_is_refused(trained):
    model, mdata = trained
    query = ad.AnnData(np.log1p(mdata["rna"].X.toarray()), var=mdata["rna"].var.copy())
    with pytest.raises(ChromatellError, match="was trained on counts; the query's X holds"):
        model.predict(query)


def test_the_card_says_sizes_and_names_nobody(trained):
    model, mdata = trained
    card = model.to_record().card
    assert card["data"]["cells"] == {"train": 630, "val": 90, "test": 180}
    assert card["data"]["variables"] == {"rna": 110, "atac": 120}
    assert card["split"] == {"by": "cells at random", "held_out_labels": False}
    assert not any(str(name) in str(card) for name in mdata.obs_names)
