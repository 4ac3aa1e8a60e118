"""AtacFormer: what it learns, what it does not depend on, and other data."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp
from anndata import AnnData
from sklearn.metrics import average_precision_score, roc_auc_score
from tests.models.atacformer.tiny_module import TINY

import chromatell as ctl
from chromatell import ChromatellError
from chromatell._validate import ChromatellWarning
from chromatell.models.atacformer import _reader


def removed(adata, share=0.3, seed=0):
    """The cells with a share of their open bins taken out, and what was taken, bool (cells, bins)."""
    rng = np.random.default_rng(seed)
    x = adata.X.toarray() > 0
    out = x & (rng.random(x.shape) < share)
    query = adata.copy()
    query.X = sp.csr_matrix((x & ~out).astype(np.float32))
    return query, out


def test_it_finds_removed_bins_of_new_cells(trained, cells):
    test = cells[cells.obs["ctl_split"] == "test"].copy()
    query, out = removed(test)
    unseen = query.X.toarray() == 0
    p = trained.predict(query)
    frequency = cells[cells.obs["ctl_split"] == "train"].X.toarray().mean(0)
    mine = average_precision_score(out[unseen], p[unseen])
    base = average_precision_score(out[unseen], np.broadcast_to(frequency, p.shape)[unseen])
    truth = average_precision_score(out[unseen], test.layers["truth"][unseen])
    assert mine > base + 0.7 * (truth - base)
    assert trained.history["validation_loss"][-1] < trained.history["validation_loss"][0]


def test_probabilities_are_those_of_all_bins_though_few_closed_ones_were_asked(trained, cells):
    query, out = removed(cells[cells.obs["ctl_split"] == "test"].copy(), share=0.4)
    reader = trained._reader(query)
    n = out.sum(1).astype(np.float32)
    (_, _, p), *more = reader.probabilities(np.arange(90), n)
    assert not more
    unseen = query.X.toarray() == 0
    found, want = p[unseen].mean(), out[unseen].mean()
    assert abs(found / want - 1) < 0.2
    high = unseen & (p > np.quantile(p[unseen], 0.8))
    assert abs(p[high].mean() / out[high].mean() - 1) < 0.3


def test_it_tells_the_labels_and_the_embedding_does(trained, cells):
    test = cells[cells.obs["ctl_split"] == "test"].copy()
    table = trained.predict_labels(test)["kind"]
    assert list(table.columns) == ["a", "b"]
    np.testing.assert_allclose(table.sum(axis=1), 1, atol=1e-5)
    assert (table.idxmax(axis=1) == test.obs["kind"]).mean() > 0.95
    z = trained.embed(test)
    assert z.shape == (test.n_obs, 32)
    assert z.dtype == np.float32
    kind = (test.obs["kind"] == "a").to_numpy()
    axis = z[kind].mean(0) - z[~kind].mean(0)
    assert roc_auc_score(kind, z @ axis) > 0.95


def test_a_stored_model_says_the_same_on_any_device(trained, cells, device):
    test = cells[cells.obs["ctl_split"] == "test"].copy()
    again = ctl.models.load(trained.to_record())
    again.module.to(device)
    assert again.device.type == device
    np.testing.assert_allclose(again.predict(test), trained.predict(test), atol=1e-4)
    (z, tables), (want, labels) = again.embed_and_label(test), trained.embed_and_label(test)
    np.testing.assert_allclose(z, want, atol=1e-3)
    np.testing.assert_allclose(tables["kind"], labels["kind"], atol=1e-4)


def test_the_same_seed_gives_the_same_weights_and_another_does_not(cells, fit):
    short = {"max_epochs": 1}
    first, again, other = (fit(cells, train=short | {"seed": s}).to_record().arrays for s in (3, 3, 4))
    for name, value in first.items():
        np.testing.assert_array_equal(value, again[name])
    assert not np.array_equal(first["weights.tokens.up.weight"], other["weights.tokens.up.weight"])


def test_how_much_is_read_at_a_time_changes_nothing(trained, in_context, cells, paired_cells, monkeypatch):
    cells, paired_cells = cells[:40].copy(), paired_cells[:40].copy()
    want = trained.predict(cells), trained.embed(cells), in_context.predict(paired_cells)
    for sizes in ({"CELLS": 1}, {"CELLS": 7, "COLUMNS": 11}, {"TOKENS": 64, "_GRID": 16}):
        for name, value in sizes.items():
            monkeypatch.setattr(_reader, name, value)
        found = trained.predict(cells), trained.embed(cells), in_context.predict(paired_cells)
        for mine, old in zip(found, want, strict=True):
            np.testing.assert_allclose(mine, old, atol=1e-5)


def test_blocks_in_a_store_are_the_matrix(trained, cells, tmp_path, monkeypatch):
    monkeypatch.setattr(_reader, "CELLS", 64)
    path = trained.predict(cells, out=tmp_path / "predicted.zarr")
    stored = ctl.io.open_prediction(path)
    np.testing.assert_allclose(np.asarray(stored.X[:]), trained.predict(cells), atol=1e-6)
    some = list(cells.var_names[[40, 3]])
    np.testing.assert_allclose(trained.predict(cells, regions=some), trained.predict(cells)[:, [40, 3]], atol=1e-6)


def test_cells_with_no_open_bin_and_with_one(trained, cells, fit):
    query = cells[:4].copy()
    x = np.zeros((4, 90), dtype=np.float32)
    x[1, 5] = x[2, 60] = 1
    query.X = sp.csr_matrix(x)
    p, z = trained.predict(query), trained.embed(query)
    assert np.isfinite(p).all()
    assert np.isfinite(z).all()
    np.testing.assert_allclose(p[0], p[3], atol=1e-6)
    mended = cells.copy()
    mended.X = sp.csr_matrix(np.where(np.arange(300)[:, None] < 20, 0, cells.X.toarray()))
    assert np.isfinite(fit(mended, train={"max_epochs": 1}).history["train_loss"][0])


def test_cells_may_lack_labels_and_bring_new_ones(cells, fit):
    data = cells.copy()
    kind = data.obs["kind"].astype(object)
    kind.iloc[::3] = None
    kind[(data.obs["ctl_split"] == "test").to_numpy() & (np.arange(data.n_obs) % 2 == 0)] = "never seen"
    data.obs["kind"] = kind
    data.obs["half"] = np.where(np.arange(data.n_obs) % 2, "odd", "even")
    model = fit(data, setup={"labels": ["kind", "half"]}, label_balance=True)
    tables = model.predict_labels(cells)
    assert {k: list(t.columns) for k, t in tables.items()} == {"kind": ["a", "b"], "half": ["even", "odd"]}
    assert (tables["kind"].idxmax(axis=1) == cells.obs["kind"]).mean() > 0.9


def test_expression_alone_tells_the_bins(in_context, paired_cells):
    test = (paired_cells.obs["ctl_split"] == "test").to_numpy()
    p = in_context.predict(paired_cells)[test]
    x, truth = (paired_cells["atac"].X.toarray() > 0)[test], paired_cells["atac"].layers["truth"][test]
    mean = (paired_cells["atac"].X.toarray() > 0)[~test].mean(0)
    base = roc_auc_score(x.ravel(), np.broadcast_to(mean, p.shape).ravel())
    mine, best = roc_auc_score(x.ravel(), p.ravel()), roc_auc_score(x.ravel(), truth.ravel())
    assert mine > base + 0.8 * (best - base)
    assert abs(p.mean() / x.mean() - 1) < 0.15
    np.testing.assert_allclose(in_context.predict(paired_cells["rna"])[test], p, atol=1e-6)  # no ATAC was read
    assert not in_context.reads_atac
    labels = in_context.predict_labels(paired_cells["rna"], sentence=False)["kind"]
    assert (labels.idxmax(axis=1) == paired_cells["atac"].obs["kind"]).mean() > 0.9


def test_depths_of_a_context(in_context, paired_cells):
    fixed, predicted = (in_context.predict(paired_cells, depth=d).sum(1) for d in ("fixed", "predicted"))
    with pytest.warns(ChromatellWarning, match="uses the target assay"):
        observed = in_context.predict(paired_cells, depth="observed").sum(1)
    n = np.diff(paired_cells["atac"].X.indptr)
    assert np.corrcoef(observed, n)[0, 1] > 0.9
    assert fixed.std() < observed.std()
    assert predicted.std() < observed.std()
    with pytest.raises(ChromatellError, match="depth='observed' reads each cell's own ATAC"):
        in_context.predict(paired_cells["rna"], depth="observed")
    with pytest.raises(ChromatellError, match="depth='deep' is not known"):
        in_context.predict(paired_cells, depth="deep")


def test_both_are_read_where_it_is_asked(in_context, trained, paired_cells):
    query, _ = removed(paired_cells["atac"], share=0.9, seed=3)
    both = paired_cells.copy()
    both.mod["atac"].X = query.X
    assert np.abs(in_context.predict(both, sentence=True) - in_context.predict(both)).max() > 1e-3
    with pytest.raises(ChromatellError, match="was trained without one"):
        trained.predict(query, sentence=False)


def test_components_are_computed_where_there_are_none(paired_cells, fit):
    model = fit(paired_cells, setup={"context": "X_pca"}, train={"max_epochs": 1})
    again = ctl.models.load(model.to_record())
    np.testing.assert_allclose(again.predict(paired_cells["rna"]), model.predict(paired_cells), atol=1e-6)
    assert len(again.var_names["rna"]) == 12


def test_dna_helps_bins_that_were_never_open_in_training(cells, fit):
    data = cells.copy()
    truth = data.layers["truth"]
    high_in_a = truth[(data.obs["kind"] == "a").to_numpy()][0] > 0.3
    data.varm["X_dna"] = np.column_stack([high_in_a, np.random.default_rng(0).normal(size=90)])
    model = fit(data, setup={"dna_key": "X_dna"})
    record = model.to_record()
    assert record.arrays["bins.dna"].shape == (90, 2)
    assert np.square(record.arrays["bins.dna"]).mean() == pytest.approx(1)
    again = ctl.models.load(record)
    np.testing.assert_allclose(again.predict(cells), model.predict(cells), atol=1e-6)  # a query needs no DNA
    assert np.abs(record.arrays["weights.tokens.from_dna.weight"]).max() > 0


# ---- other data


def test_small_reads_bins_by_cross_attention_and_from_a_context_by_chromosome(trained, in_context):
    assert trained.config["preset"] == in_context.config["preset"] == "small"
    assert trained.network.decoder == "cross_attention"
    assert in_context.network.decoder == "chromosome"


def test_bins_are_matched_by_name(trained, cells):
    want = trained.predict(cells)
    rng = np.random.default_rng(0)
    shuffled = cells[:, rng.permutation(90)].copy()
    np.testing.assert_allclose(trained.predict(shuffled), want, atol=1e-6)
    part = cells[:, :60].copy()
    closed = cells.copy()
    closed.X = sp.csr_matrix(np.where(np.arange(90) < 60, cells.X.toarray(), 0))
    np.testing.assert_allclose(trained.predict(part), trained.predict(closed), atol=1e-6)
    with pytest.warns(ChromatellWarning, match="holds 20 of the model's 90 bins"):
        assert trained.predict(cells[:, :20].copy()).shape == (300, 90)
    with pytest.raises(ChromatellError, match=r"holds 5 of the model's 90 bins .*a tenth at least .*bin_genome"):
        trained.predict(cells[:, :5].copy())
    other = AnnData(cells.X.copy())
    other.var_names = [f"chr9:{i}-{i + 1}" for i in range(90)]
    with pytest.raises(ChromatellError, match="holds 0 of the model's 90 bins"):
        trained.embed(other)


def test_fine_tuning_keeps_the_bins_in_common(trained, cells, tmp_path, fit):
    data = cells[:, 10:].copy()
    names = data.var_names.to_numpy().copy()
    names[:3] = ["chr1:9000000-9005000", "chr1:9005000-9010000", "chr7:0-5000"]
    data.var_names = names
    data.var.loc[names[:3], ["chrom", "start", "end"]] = [
        ["chr1", 9_000_000, 9_005_000],
        ["chr1", 9_005_000, 9_010_000],
        ["chr7", 0, 5000],
    ]
    trained.save(tmp_path / "model")
    model = fit(data, setup={"labels": "kind"}, pretrained=tmp_path / "model", train={"max_epochs": 1, "lr": 1e-12})
    old, new = trained.module.state_dict(), model.module.state_dict()
    place = trained.fitted.vocabulary.bins.get_indexer(model.fitted.vocabulary.bins)
    table = "tokens.table.weight"
    np.testing.assert_allclose(new[table][:80][place >= 0], old[table][place[place >= 0]], atol=1e-5)
    mean = old[table][place[place >= 0]].mean(0)
    np.testing.assert_allclose(new[table][:80][place < 0], mean.expand(3, -1), atol=1e-5)
    for chrom in ("chr1", "chr2", "chrX"):
        mine = model.fitted.vocabulary.eos[model.fitted.vocabulary.chroms.index(chrom)]
        theirs = trained.fitted.vocabulary.eos[trained.fitted.vocabulary.chroms.index(chrom)]
        np.testing.assert_allclose(new[table][mine], old[table][theirs], atol=1e-5)
    np.testing.assert_allclose(new["blocks.0.qkv.weight"], old["blocks.0.qkv.weight"], atol=1e-5)
    np.testing.assert_allclose(new["heads.0.weight"], old["heads.0.weight"], atol=1e-5)
    assert "chr7" in model.fitted.vocabulary.chroms
    with pytest.raises(ChromatellError, match=r"With pretrained=, AtacFormer .*knows no option \['d'\]"):
        fit(data, pretrained=trained, d=64)


# ---- bad input


def test_bad_input_names_the_cure(cells, paired_cells):
    setup = ctl.models.AtacFormer.setup_anndata
    lone = cells.copy()
    lone.obs["one"] = "same"
    for options, message in (
        ({"labels": "one"}, r"obs\['one'\] has 1 class \('same'\) in the training cells; two or more"),
        ({"labels": "nobody"}, r"did not find 'nobody' in obs; columns there: 'kind'"),
        ({"context": "X_none"}, r"did not find adata.obsm\['X_none'\]; there: none"),
        ({"dna_key": "X_dna"}, r"did not find varm\['X_dna'\] of the bins"),
    ):
        with pytest.raises(ChromatellError, match=message):
            setup(lone.copy(), **options)
    with pytest.raises(ChromatellError, match=r"did not find rna.obsm\['X_none'\]; there: 'X_own'"):
        ctl.models.AtacFormer.setup_mudata(paired_cells.copy(), context="X_none")
    negative = cells.copy()
    negative.X = negative.X * -1
    with pytest.raises(ChromatellError, match="negative values"):
        setup(negative)
    bare = cells.copy()
    del bare.obs["ctl_split"]
    with pytest.raises(ChromatellError, match="Run ctl.pp.split_cells"):
        setup(bare)
    with pytest.raises(ChromatellError, match="is not set up"):
        ctl.models.AtacFormer(cells.copy())


def test_bad_options_name_the_cure(cells):
    data = cells.copy()
    ctl.models.AtacFormer.setup_anndata(data)
    family = ctl.models.AtacFormer
    for options, message in (
        ({"preset": "huge"}, "preset='huge' is not known"),
        ({"decoder": "none"}, "decoder='none' is not known"),
        ({"d": 30, "n_heads": 4}, "n_heads=4 does not divide d=30. Take d=28"),
        ({"layers": 3}, r"knows no option \['layers'\]"),
        ({"low": 0.9, "high": 0.2}, "low=0.9 is over high=0.2"),
        ({"start": "svd"}, "start='svd' is not known"),
        ({"class_weights": (1, 2)}, "three are needed"),
        ({"label_balance": "x"}, "label_balance='x' is of type str; True or False is needed"),
    ):
        with pytest.raises(ChromatellError, match=message):
            family(data, **options)
    with pytest.raises(ChromatellError, match="max_length=4 leaves no room for bins: 4 tokens"):
        family(data, max_length=4, **TINY).train(max_epochs=1)
    with pytest.raises(ChromatellError, match="is not trained"):
        family(data, **TINY).embed(data)
    with pytest.raises(ChromatellError, match="batches of tokens, not of cells: .*tokens_per_batch"):
        family(data, **TINY).train(max_epochs=1, batch_size=64)
    model = family(data, max_length=9, **TINY)
    model.train(max_epochs=1)
    assert model.predict(data).shape == (300, 90)
    closed = cells.copy()
    closed.X = sp.csr_matrix(closed.shape, dtype=np.float32)
    family.setup_anndata(closed)
    with pytest.raises(ChromatellError, match="No bin is open in any training cell"):
        family(closed, **TINY).train(max_epochs=1)
