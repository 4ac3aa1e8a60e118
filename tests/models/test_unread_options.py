"""Options that the chosen network would not read are refused, with the choice that reads them."""

from __future__ import annotations

import logging

import pytest
from tests.models.tiny_families import atacformer, dense, nascent, xchrom

from chromatell import ChromatellError


@pytest.mark.parametrize(
    ("model", "options", "needed"),
    [
        (dense, {"encoder": "mlp", "reconstruction_weight": 0.2}, "encoder='autoencoder'"),
        (dense, {"encoder": "transformer", "n_pcs": 5}, "encoder='mlp' or 'autoencoder'"),
        (dense, {"gene_sets": {"mine": ["g1"]}}, "encoder='shared', after ctl.pp.link_genes"),
        (dense, {"depth_hidden": 0, "depth_mix": 0.2}, "a network of depth, depth_hidden=64"),
        (dense, {"n_members": 1, "shared_head": True}, "several networks, n_members=2"),
        (xchrom, {"filters": (8, 8)}, "kind='basset', preset='xchrom'"),
        (xchrom, {"preset": "xchrom", "hidden_filters": 8}, "kind='motifs', preset='small'"),
        (xchrom, {"preset": "xchrom", "covariate_length": 90}, "preset='small', where the tower learns"),
        (nascent, {"n_hidden": 8}, "architecture='dense'"),
        (nascent, {"architecture": "xgboost", "dropout": 0.5}, "networks, architecture='dense' or 'cnn'"),
        (nascent, {"architecture": "cnn", "max_depth": 3}, "trees, architecture='transfer' or 'xgboost'"),
        (nascent, {"architecture": "dense", "blend": 0.5}, "architecture='transfer'"),
        (nascent, {"architecture": "cnn", "max_bins": 500}, "trees and architecture='dense'"),
    ],
)
def test_an_option_that_nothing_would_read_names_what_reads_it(model, options, needed):
    name = list(options)[-1]
    with pytest.raises(ChromatellError, match=rf"^{name}=.* would be read by nothing: it is for {needed}"):
        model(**options)


def test_an_option_of_the_training_that_trees_would_not_read():
    with pytest.raises(ChromatellError, match=r"^batch_size=9 would be read by nothing: .*='dense' or 'cnn'"):
        nascent(architecture="xgboost").train(max_epochs=1, batch_size=9)


def test_labels_are_needed_for_their_weight():
    made = atacformer(label_weight=0.7)  # has labels
    assert made.network.label_weight == 0.7
    mdata = made._adata
    type(made).setup_mudata(mdata)
    with pytest.raises(ChromatellError, match=r"label_weight=0\.7 would be read by nothing: .* data with labels"):
        type(made)(mdata, label_weight=0.7)


def test_what_is_there_already_or_asks_for_nothing_is_let_through():
    assert nascent(architecture="xgboost", dropout=0.1).options.dropout == 0.1  # the default, which trees do not read
    assert dense(depth_hidden=0, depth_mix=0.0).network.depth_mix == 0


@pytest.mark.parametrize("model", [dense, atacformer], ids=["dense", "atacformer"])
def test_a_rate_at_which_nothing_is_learnt_is_warned_of(model, caplog):
    made = model(**({"stack": False} if model is dense else {}))
    with caplog.at_level(logging.WARNING, logger="chromatell"):
        made.train(max_epochs=2, lr=1e3, seed=0)
    losses = made.history["train_loss"]
    assert "The network did not learn: its lowest training loss" in caplog.text
    assert f"{min(losses):.4g}" in caplog.text.replace("\n", " ")
    caplog.clear()
    with caplog.at_level(logging.WARNING, logger="chromatell"):
        made.train(max_epochs=2, lr=1e-3, seed=0)
    assert "did not learn" not in caplog.text
