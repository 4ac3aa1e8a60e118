"""`tl.link_regions` against knock-outs done cell by cell, and links that the simulator made."""

from __future__ import annotations

import dataclasses

import numpy as np
import pandas as pd
import pytest
import torch

import chromatell as ctl
from chromatell.models.dense._gene_effects import GeneEffects, StackEffects


@pytest.fixture(scope="module")
def mdata():
    mdata = ctl.datasets.simulate_multiome(1200, 120, 240, seed=2)
    ctl.pp.split_cells(mdata, seed=0)
    ctl.pp.link_genes(mdata, mdata.mod["rna"].var, max_distance=50_000)
    ctl.tl.dense(mdata, seed=0, train_kwargs={"max_epochs": 8})
    return mdata


def each_member(model, z, sizes):
    """Logits by the network itself, cell by cell, at the mean depth: (members, cells, regions)."""
    batch = model._batch(z, sizes, np.zeros(len(z), dtype=np.float32))
    with torch.no_grad():
        return model.module.decode(model.module.encode(batch), batch, 0, len(model.regions)).numpy()


def logits(model, z, sizes):
    """Their mean over members, (cells, regions)."""
    return each_member(model, z, sizes).mean(axis=0)


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
        change = logits(model, effects.z, effects.scores.beside) - logits(model, z, effects.scores.beside)
        np.testing.assert_allclose(found[i], change[cells].mean(axis=0), atol=2e-5)
        assert np.abs(change[~cells]).max() < 1e-5
    ((_, _, slope),) = effects.of(genes, "gradient")
    z = effects.z.copy()
    z[:, 3] += 0.02
    direct = (logits(model, z, effects.scores.beside) - logits(model, effects.z, effects.scores.beside)).mean(
        axis=0
    ) / 0.02
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
    ((_, _, effect),) = StackEffects(model, mdata).of(np.array([4]), "knockout")
    chrom = mdata.mod["atac"].var["chrom"].to_numpy()
    null = np.abs(effect[0][chrom != mdata.mod["rna"].var.loc[gene, "chrom"]])
    for _, row in table.iterrows():
        own = effect[0][mdata.mod["atac"].var_names.get_loc(row["region"])]
        assert row["effect"] == pytest.approx(own, abs=1e-6)
        assert row["pvalue"] == pytest.approx((1 + (null >= abs(own)).sum()) / (1 + null.size))


@pytest.mark.parametrize("likelihood", ["bernoulli", "poisson"])
def test_of_a_stack_what_predicts_is_asked(mdata, likelihood):
    """By hand from the stored arrays: ridge beside the network, whose sum is asked with the gene and without it."""
    data = mdata[mdata.obs["ctl_split"] == "test"].copy()
    trained = ctl.tl.dense(
        mdata, seed=0, key_added=likelihood, likelihood=likelihood, train_kwargs={"max_epochs": 3}, copy=True
    )
    model = ctl.models.load(trained, key=likelihood)
    stack = model.fitted.stack
    assert stack.simple.beta is not None, "the ridge has a weight here"
    model.fitted.stack = dataclasses.replace(stack, weights={"ridge": 0.6, "network": 0.4})
    stored = model.to_record().arrays
    effects = StackEffects(model, data)
    z, library = effects.z, effects.scores.sizes[:, 0]
    depth = model.fitted.depth_model

    def by_hand(z):
        members = each_member(model, z, effects.scores.beside)
        network = (-np.expm1(-np.exp(members)) if likelihood == "poisson" else 1 / (1 + np.exp(-members))).mean(axis=0)
        scale = stored["stack.depth"][0]
        design = np.column_stack([z @ stored["stack.projection"] / scale, library]) - stored["stack.centre"]
        ridge = np.clip(stored["stack.mean"] + design @ stored["stack.beta"], 1e-6, 1 - 1e-6)
        own = depth.depth_of(depth.predict(z, effects.scores.sizes))  # the rate at the mean depth, not at the cell's
        ridge = 1 - (1 - ridge) ** (depth.depth_of(np.zeros(len(z))) / own)[:, None]
        p = 0.4 * network + 0.6 * ridge
        return np.log(-np.log1p(-p)) if likelihood == "poisson" else np.log(p / (1 - p))

    base = model.predict(data, depth="fixed")
    value = by_hand(z)
    direct = -np.expm1(-np.exp(value)) if likelihood == "poisson" else 1 / (1 + np.exp(-value))
    np.testing.assert_allclose(direct, base, atol=2e-5)
    gene = 3
    absent = z.copy()
    absent[:, gene] = -model.fitted.expression.mean[gene] / model.fitted.expression.sd[gene]
    expressed = data.mod["rna"].X.toarray()[:, gene] > 0
    ((_, used, found),) = effects.of(np.array([gene]), "knockout")
    assert used.tolist() == [expressed.sum()]
    np.testing.assert_allclose(found[0], (value - by_hand(absent))[expressed].mean(axis=0), atol=5e-4)
    assert np.abs(found[0]).max() > 0.05
    more, less = z.copy(), z.copy()
    more[:, gene] += 0.05
    less[:, gene] -= 0.05
    ((_, used, slope),) = effects.of(np.array([gene]), "gradient")
    assert used.tolist() == [data.n_obs]
    np.testing.assert_allclose(slope[0], (by_hand(more) - by_hand(less)).mean(axis=0) / 0.1, atol=2e-3)
    assert np.abs(slope[0]).max() > 0.03


def test_a_network_that_predicts_nothing_moves_nothing(mdata):
    """Two models whose networks differ and have no weight in the stack have the same links."""
    data = mdata.copy()
    model = ctl.models.load(data, key="dense")
    model.fitted.stack = dataclasses.replace(model.fitted.stack, weights={"ridge": 1.0})
    tables = []
    for _ in range(2):
        ctl.tl.link_regions(data, model=model, genes=["gene_5"], n_cells=300, seed=0)
        tables.append(data.uns["ctl"]["region_links"]["table"])
        with torch.no_grad():
            model.module.weight *= -1
    pd.testing.assert_frame_equal(*tables)
    assert np.abs(tables[0]["effect"]).max() > 0.01


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
