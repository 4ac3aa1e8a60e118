"""Data that is odd is learned from; data and options that are wrong are named, with the cure."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from tests.helpers import assert_same_weights, rows_of, weights, with_fragments

import chromatell as ctl
from chromatell import ChromatellError, ChromatellWarning

XChrom = ctl.models.XChrom
WIDTH, LENGTH = 150, 140  # of the windows, and of what the tower reads


def test_regions_and_cells_with_nothing_open_are_kept(fit, small):
    """And a cell type without any ATAC: finite numbers everywhere, closed regions near zero."""
    mdata = small.copy()
    x = mdata["atac"].X.toarray()
    train = rows_of(mdata["atac"].var, "train")
    x[:, train[3]] = 0
    x[:, train[4]] = 1
    x[(mdata.obs["cell_type"] == "2").to_numpy()] = 0
    x[5] = 0
    mdata["atac"].X = sp.csr_matrix(x)
    for options in ({}, {"region_effect": True}, {"gelu_after": True, "warm_epochs": 0}):
        model = fit(mdata, epochs=4, **options)
        assert all(np.isfinite(v).all() for v in weights(model).values())
        p = model.predict(mdata)
        assert np.isfinite(p).all()
        with pytest.warns(ChromatellWarning):
            assert np.isfinite(model.predict(mdata, depth="observed")).all()
        if options.get("region_effect"):
            assert p[:, train[3]].max() < 0.1 < p[:, train[4]].mean()


def test_regions_without_sequence_are_named(fit, small):
    mdata = small.copy()
    mdata["atac"].varm["dna_code"][[4, 9]] = 4
    name = mdata["atac"].var_names[4]
    with pytest.warns(ChromatellWarning, match=rf"2 of 120 regions \(such as '{name}'.*have no sequence.*add_sequence"):
        model = fit(mdata)
    assert np.isfinite(model.predict(mdata)).all()
    mdata["atac"].varm["dna_code"][:] = 4
    with pytest.raises(ChromatellError, match="120 of 120 regions .*have no sequence"):
        fit(mdata)


def test_all_pairs_open(fit, small):
    mdata = with_fragments(small)
    mdata["atac"].X = sp.csr_matrix(np.ones((120, 120), np.float32))
    with pytest.warns(ChromatellWarning, match="nearly everything is open"):
        assert fit(mdata).predict(mdata).min() > 0.9


def test_counts_and_densities_are_read_as_open_or_closed(fit, small):
    """Counts beside ones, explicit zeros, a dense matrix: the same regions are open."""
    mdata = with_fragments(small)
    want = weights(fit(mdata))["weights.tower.last.weight"]
    more = mdata.copy()
    more["atac"].X = more["atac"].X * 3
    zeros = mdata.copy()
    x = zeros["atac"].X.tocoo()
    zeros["atac"].X = sp.csr_matrix(
        (np.append(x.data, [0.0, 0.0]), (np.append(x.row, [0, 1]), np.append(x.col, [0, 1]))), shape=x.shape
    )
    dense = mdata.copy()
    dense["atac"].X = dense["atac"].X.toarray()
    for other in (more, zeros, dense):
        np.testing.assert_array_equal(weights(fit(other))["weights.tower.last.weight"], want)


def test_selected_regions_alone_are_learned_from(fit, small):
    mdata = with_fragments(small)
    mdata["atac"].var["ctl_selected"] = np.arange(120) % 2 == 0
    model = fit(mdata)
    assert list(model.regions) == list(mdata["atac"].var_names[::2])
    assert len(model.fitted.seen) == 60
    other = mdata[:, np.append(np.arange(40), 40 + np.arange(0, 120, 2))].copy()
    del other["atac"].var["ctl_selected"]
    assert_same_weights(model, fit(other))


def broken(mdata, what):
    """Return (MuData, setup, options) with one thing wrong."""
    mdata, setup, options = mdata.copy(), {}, {}
    rna, atac = mdata["rna"], mdata["atac"]
    if what == "no sequence":
        del atac.varm["dna_code"]
    elif what == "short windows":
        atac.varm["dna_code"] = atac.varm["dna_code"][:, :100].copy()
    elif what == "one-hot":
        atac.varm["dna_code"] = np.zeros((120, 4, WIDTH), np.int8)
    elif what == "letters":
        atac.varm["dna_code"] = np.full((120, WIDTH), 65, np.int8)
    elif what == "no key":
        setup = {"embedding": "X_scVI"}
        rna.obsm["X_umap"] = np.zeros((120, 2))
    elif what == "nan":
        rna.obsm["X_pca"] = np.full((120, 3), np.nan)
    elif what == "no split":
        del mdata.obs["ctl_split"]
    elif what == "no training region":
        atac.var["ctl_split"] = pd.Categorical(["test"] * 120)
    elif what == "one training region":
        atac.var["ctl_split"] = pd.Categorical(["train"] + ["test"] * 119)
    elif what == "region split":
        atac.var["ctl_split"] = pd.Categorical(["training"] * 120)
    elif what == "closed":
        atac.X = sp.csr_matrix((120, 120), dtype=np.float32)
    elif what == "depth":
        setup = {"depth_key": "fragments"}
        atac.obs["fragments"] = np.nan
    elif what == "depth key":
        setup = {"depth_key": "fragments"}
    elif what == "negative":
        atac.X.data[0] = -1
    elif what == "partly scaled":
        rna.X = rna.X.toarray()
        rna.X[:, :4] -= 300
    elif what == "nothing selected":
        atac.var["ctl_selected"] = False
    elif what == "batch":
        options = {"train": {"batch_size": 1}}
    return mdata, setup, options


@pytest.mark.parametrize(
    ("what", "message"),
    [
        ("no sequence", r"varm\['dna_code'\]. Run ctl.pp.add_sequence"),
        ("short windows", "100 bases long; the model reads 140.*add_sequence.*width=140"),
        ("one-hot", r"\(120, 4, 150\); int8 \(sequences, bases\) is needed"),
        ("letters", "tokens from 65 to 65"),
        ("no key", r"Did not find rna.obsm\['X_scVI'\]; there: 'X_umap'"),
        ("nan", r"rna.obsm\['X_pca'\] holds NaN or infinite values in 120 of 120 cells"),
        ("no split", "Run ctl.pp.split_cells"),
        ("no training region", r"must hold 'train'.*ctl.pp.split_regions"),
        ("one training region", "1 of the 120 selected regions are marked 'train'; at least 2"),
        ("region split", r"found \['training'\]. Run ctl.pp.split_regions"),
        ("closed", "No training region is open in any training cell"),
        ("depth", "holds NaN or negative values for .* of .* cells.*depth_key"),
        ("depth key", r"Did not find mdata.mod\['atac'\].obs\['fragments'\]"),
        ("negative", "1 negative values"),
        ("partly scaled", "negative values.*before scaling"),
        ("nothing selected", "selects nothing. Run ctl.pp.select_features"),
        ("batch", "batch_size=1 is out of range: a whole number from 2"),
    ],
)
def test_bad_input_names_the_cure(fit, small, what, message):
    mdata, setup, options = broken(small, what)
    with pytest.raises(ChromatellError, match=message):
        fit(mdata, setup=setup, **options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"preset": "large"}, "preset='large' is not known; choose one of"),
        ({"stem_filter": 3}, r"XChrom knows no option \['stem_filter'\]; it knows"),
        ({"n_inputs": 3}, r"knows no option \['n_inputs'\]"),
        ({"n_bottleneck": 3}, r"knows no option \['n_bottleneck'\]"),
        ({"kind": "rnn"}, "kind='rnn' is not known"),
        ({"pool": "sum"}, "pool='sum' is not known"),
        ({"kind": "basset", "sequence_length": 15}, "sequence_length=15 is too short.*at least 16 bases"),
        ({"n_pcs": 0}, "n_pcs=0 is out of range: a whole number from 1"),
        ({"cells_per_batch": -1}, "cells_per_batch=-1 is out of range"),
        ({"stem_filters": 0}, "stem_filters=0 is out of range: a whole number from 1"),
        ({"stem_filters": 2.5}, "stem_filters=2.5 is out of range: a whole number"),
        ({"filters": (8, 0)}, "filters=0 is out of range"),
        ({"filters": 8}, "filters=8 is out of range: a list of at most 64"),
        ({"n_embed": 0}, "n_embed=0 is out of range"),
        ({"n_hidden": -3}, "n_hidden=-3 is out of range"),
        ({"dropout": 1.5}, "dropout=1.5 is out of range: a number from 0"),
        ({"noise": -1}, "noise=-1 is out of range"),
        ({"depth_mix": 2}, "depth_mix=2 is out of range"),
        ({"max_shift": -1}, "max_shift=-1 is out of range"),
        ({"warm_epochs": -1}, "warm_epochs=-1 is out of range"),
        ({"block": 0}, "block=0 is out of range"),
    ],
    ids=str,
)
def test_wrong_options_are_named(tiny, small, options, message):
    mdata = small.copy()
    XChrom.setup_mudata(mdata)
    with pytest.raises(ChromatellError, match=message):
        XChrom(mdata, **{**tiny, **options})


def test_untrained_and_unknown_training_options(tiny, small):
    mdata = small.copy()
    with pytest.raises(ChromatellError, match=r"is not set up: XChrom.setup_mudata\(mdata\) comes first"):
        XChrom(mdata)
    with pytest.raises(ChromatellError, match="AnnData is not set up: XChrom.setup_mudata"):
        XChrom(mdata["rna"])
    XChrom.setup_mudata(mdata)
    model = XChrom(mdata, **tiny)
    calls = [
        lambda: model.predict(mdata),
        lambda: model.region_vectors(mdata["atac"].varm["dna_code"]),
        lambda: model.cell_vectors(mdata),
        model.stored_vectors,
        model.sequence_module,
        model.to_record,
    ]
    for call in calls:
        with pytest.raises(ChromatellError, match="is not trained"):
            call()
    with pytest.raises(ChromatellError, match=r"train\(\) knows no option \['epochs'\]"):
        model.train(epochs=3)
    with pytest.raises(ChromatellError, match="schedule='step' is not known; choose one of"):
        model.train(schedule="step")
