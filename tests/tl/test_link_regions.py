"""`tl.link_regions` against knock-outs done cell by cell, and links that the simulator made."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch

import chromatell as ctl
from chromatell.models.dense._gene_effects import GeneEffects
from chromatell.tl._link_regions import _say_share


@pytest.fixture(scope="module")
def mdata():
    mdata = ctl.datasets.simulate_multiome(1200, 120, 240, seed=2)
    ctl.pp.split_cells(mdata, seed=0)
    ctl.pp.link_genes(mdata, mdata.mod["rna"].var, max_distance=50_000)
    ctl.tl.dense(mdata, seed=0, train_kwargs={"max_epochs": 8})
    return mdata


def logits(model, z, sizes):
    """By the network itself, cell by cell, at the mean depth: (cells, regions), mean over members."""
    batch = model._batch(z, sizes, np.zeros(len(z), dtype=np.float32))
    with torch.no_grad():
        return model.module.decode(model.module.encode(batch), batch, 0, len(model.regions)).mean(dim=0).numpy()


@pytest.mark.parametrize("linked", [False, True])
def test_an_effect_is_the_mean_difference_of_the_cells_log_odds(mdata, linked):
    if linked:
        other = ctl.tl.dense(
            mdata, seed=0, key_added="linked", linked_genes=True, train_kwargs={"max_epochs": 2}, copy=True
        )
        model = ctl.models.load(other, key="linked")
    else:
        model = ctl.models.load(mdata, key="dense")
    data = mdata[:200]
    effects = GeneEffects(model, data)
    genes = np.array([3, 17])
    ((_, used, found),) = effects.of(genes, "knockout")
    raw = data.mod["rna"].X.toarray()
    for i, gene in enumerate(genes):
        cells = raw[:, gene] > 0
        assert used[i] == cells.sum()
        z = effects.z.copy()
        z[:, gene] = -model.fitted.expression.mean[gene] / model.fitted.expression.sd[gene]
        change = logits(model, effects.z, effects.sizes) - logits(model, z, effects.sizes)
        np.testing.assert_allclose(found[i], change[cells].mean(axis=0), atol=2e-5)
        assert np.abs(change[~cells]).max() < 1e-5
    ((_, _, slope),) = effects.of(genes, "gradient")
    z = effects.z.copy()
    z[:, 3] += 0.02
    direct = (logits(model, z, effects.sizes) - logits(model, effects.z, effects.sizes)).mean(axis=0) / 0.02
    np.testing.assert_allclose(slope[0], direct, atol=5e-3)


def test_linked_regions_follow_their_gene_and_others_do_not(mdata):
    ctl.tl.link_regions(mdata, n_cells=300, seed=0)
    table = mdata.uns["ctl"]["region_links"]["table"]
    own = mdata.mod["atac"].var["linked_gene"].astype(str)
    true = table["gene"].to_numpy() == own.loc[table["region"]].to_numpy()
    assert true.sum() > 30
    assert table["effect"][true].mean() > 2 * abs(table["effect"][~true].mean())
    assert np.mean(table["effect"][true] > 0) > 0.62
    assert table["pvalue"][true].median() < 0.45 < table["pvalue"][~true].median()
    assert table["pvalue"].between(0, 1).all()
    assert (table["distance"] <= 50_000).all()
    links = mdata.uns["ctl"]["links"]["distance"]
    row = table.iloc[0]
    at = mdata.mod["rna"].var_names.get_loc(row["gene"]), mdata.mod["atac"].var_names.get_loc(row["region"])
    assert links[at] - 1 == row["distance"]


def test_a_pvalue_is_a_rank_among_regions_elsewhere(mdata):
    gene = "gene_5"
    out = ctl.tl.link_regions(mdata, genes=[gene], n_cells=100_000, copy=True, key_added="one")
    assert "one" not in mdata.uns["ctl"]
    table = out.uns["ctl"]["one"]["table"]
    assert set(table["gene"]) == {gene}
    model = ctl.models.load(mdata, key="dense")
    ((_, _, effect),) = GeneEffects(model, mdata).of(np.array([4]), "knockout")
    chrom = mdata.mod["atac"].var["chrom"].to_numpy()
    null = np.abs(effect[0][chrom != mdata.mod["rna"].var.loc[gene, "chrom"]])
    for _, row in table.iterrows():
        own = effect[0][mdata.mod["atac"].var_names.get_loc(row["region"])]
        assert row["effect"] == pytest.approx(own, abs=1e-6)
        assert row["pvalue"] == pytest.approx((1 + (null >= abs(own)).sum()) / (1 + null.size))


@pytest.mark.parametrize(("share", "level"), [(0.0, "WARNING"), (0.7, "INFO"), (None, "")])
def test_it_says_that_a_network_with_a_small_share_is_asked_alone(share, level, caplog, monkeypatch):
    stack = None if share is None else SimpleNamespace(network_weight=share)
    monkeypatch.setattr(ctl._settings.logger, "propagate", True)
    _say_share(SimpleNamespace(fitted=SimpleNamespace(stack=stack)))
    assert {r.levelname for r in caplog.records} == ({level} if level else set())
    assert not caplog.records or f"is {share:.2f}" in caplog.text


def test_what_cannot_be_used_is_said(mdata):
    before = set(mdata.uns["ctl"])
    bare = mdata.copy()
    del bare.uns["ctl"]["links"]
    for data, arguments, message in (
        (bare, {}, r"Run ctl.pp.link_genes\(mdata, annotation\) first"),
        (mdata, {"key": "other"}, r"There is no model 'other'.*'dense'"),
        (mdata, {"genes": ["x"]}, "The model reads no gene 'x'"),
        (mdata, {"method": "shap"}, r"choose one of \['knockout', 'gradient'\]"),
        (mdata, {"n_cells": 2}, "n_cells=2 is out of range"),
    ):
        with pytest.raises(ctl.ChromatellError, match=message):
            ctl.tl.link_regions(data, **arguments)
    assert set(mdata.uns["ctl"]) == before


def test_the_plot_has_a_stem_a_region(mdata):
    matplotlib = pytest.importorskip("matplotlib")
    pytest.importorskip("matplotlib.collections")
    matplotlib.use("agg")
    with pytest.raises(ctl.ChromatellError, match=r"Run ctl.tl.link_regions\(mdata"):
        ctl.pl.link_regions(mdata, key="nothing")
    out = ctl.tl.link_regions(mdata, genes=["gene_5", "gene_7"], n_cells=100, method="gradient", copy=True)
    ax = ctl.pl.link_regions(out, "gene_5")
    table = out.uns["ctl"]["region_links"]["table"]
    dots = [c for c in ax.collections if isinstance(c, matplotlib.collections.PathCollection)]
    drawn = np.concatenate([np.asarray(c.get_offsets()) for c in dots])
    wanted = table[table["gene"] == "gene_5"]
    np.testing.assert_allclose(np.sort(drawn[:, 1]), np.sort(wanted["effect"]), rtol=1e-6)
    assert ax.get_ylabel() == "Gradient of gene_5 on log-odds"
    with pytest.raises(ctl.ChromatellError, match="No pair of gene 'zz'"):
        ctl.pl.link_regions(out, "zz")
    matplotlib.pyplot.close("all")


def test_an_atacformer_that_reads_expression_is_asked_gene_by_gene():
    """By hand: predictions at the mean depth, of the cells that express the gene, with and without its counts."""
    mdata = ctl.datasets.simulate_multiome(150, 20, 60, n_types=2, depth=12, seed=0)
    ctl.pp.split_cells(mdata, seed=0)
    ctl.pp.link_genes(mdata, mdata.mod["rna"].var, max_distance=500_000)
    tiny = {"d": 16, "n_layers": 1, "n_hidden": 16, "train_kwargs": {"max_epochs": 1}, "seed": 0}
    ctl.tl.atacformer(mdata, context="X_pca", **tiny)
    gene = str(mdata.uns["ctl"]["links"]["gene"][np.diff(mdata.uns["ctl"]["links"]["distance"].indptr).argmax()])
    ctl.tl.link_regions(mdata, key="atacformer", genes=[gene], n_cells=1000)
    table = mdata.uns["ctl"]["region_links"]["table"]
    model = ctl.models.load(mdata, key="atacformer")
    rna = mdata.mod["rna"].copy()
    rna.X = rna.X.toarray()
    had = rna[:, gene].X.ravel() > 0
    without = rna.copy()
    without.X[:, rna.var_names.get_loc(gene)] = 0
    p, q = (np.clip(model.predict(x, depth="fixed"), 1e-6, 1 - 1e-6) for x in (rna, without))
    change = (np.log(p / (1 - p)) - np.log(q / (1 - q)))[had].mean(axis=0)
    at = pd.Index(model.region_names(None)).get_indexer(table["region"])
    np.testing.assert_allclose(table["effect"], change[at], atol=2e-3)
    assert (table["n_cells"] == had.sum()).all()
    assert len(table) > 0
    assert np.abs(table["effect"]).max() > 0
    with pytest.raises(ctl.ChromatellError, match="method='gradient' needs a Dense"):
        ctl.tl.link_regions(mdata, key="atacformer", method="gradient")
    ctl.tl.atacformer(mdata, key_added="bins", **tiny)
    with pytest.raises(ctl.ChromatellError, match="reads no expression"):
        ctl.tl.link_regions(mdata, key="bins")
