"""In-silico knock-outs: equal to predictions of data from which the gene or region was removed by hand."""

from __future__ import annotations

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from matplotlib.figure import Figure
from tests.helpers import dense_multiome

import chromatell as ctl
from chromatell import ChromatellError
from chromatell.tl._knockout import without


def logit(p):
    p = np.clip(p, 1e-6, 1 - 1e-6)
    return np.log(p / (1 - p))


@pytest.fixture(scope="module")
def mdata():
    return dense_multiome(300, 40, 60, n_types=3, epochs=4)


def test_a_gene_taken_out_is_the_prediction_without_its_counts(mdata):
    targets = {"one": ["gene_3"], "two": ["gene_3", "gene_7"]}
    found = ctl.tl.perturb(mdata, targets, n_cells=1000, seed=0, copy=True).uns["ctl"]["perturbation"]
    assert "perturbation" not in mdata.uns["ctl"]
    assert found["effect"].shape == (2, 3, 60)
    base = ctl.tl.predict(mdata.mod["rna"].copy(), mdata).mod["atac_pred"].X
    for k, genes in enumerate(targets.values()):
        rna = mdata.mod["rna"].copy()
        rna.X = np.where(rna.var_names.isin(genes), 0, rna.X.toarray())
        moved = logit(ctl.tl.predict(rna, mdata).mod["atac_pred"].X) - logit(base)
        for g, group in enumerate(found["groups"]):
            here = (mdata.obs["cell_type"] == group).to_numpy()
            np.testing.assert_allclose(found["effect"][k, g], moved[here].mean(axis=0), atol=2e-3)
            row = found["table"].set_index(["target", "group"]).loc[(list(targets)[k], group)]
            had = (mdata.mod["rna"][:, genes].X.toarray() > 0).any(axis=1)
            assert (row["n_cells"], row["n_changed"]) == (here.sum(), (had & here).sum())
            assert row["size"] == pytest.approx(np.sqrt((moved[here].mean(axis=0) ** 2).mean()), rel=2e-2, abs=1e-3)
    assert list(found["regions"]) == mdata.mod["atac"].var_names.tolist()


def test_a_direction_is_found_that_is_known():
    """Where the genes of one type are taken out of its cells, they move toward another type."""
    mdata = ctl.datasets.simulate_multiome(400, 60, 80, n_types=2, seed=1)
    ctl.pp.split_cells(mdata, seed=0)
    ctl.tl.dense(mdata, train_kwargs={"max_epochs": 10}, seed=0)
    rna = mdata.mod["rna"].X.toarray()
    own = (mdata.obs["cell_type"] == "type_1").to_numpy()
    ratio = (rna[own].mean(axis=0) + 0.1) / (rna[~own].mean(axis=0) + 0.1)
    marks = mdata.mod["rna"].var_names[np.argsort(-ratio)[:8]]
    ctl.tl.perturb(mdata, {"marks of type_1": marks}, seed=0)
    table = mdata.uns["ctl"]["perturbation"]["table"].set_index("group")
    assert table.loc["type_1", "toward"] == "type_2"
    assert table.loc["type_1", "cosine"] > 0.5
    assert table.loc["type_1", "size"] > table.loc["type_2", "size"]


def test_a_cell_that_would_have_nothing_left_stays_as_it_is():
    x = np.array([[3, 0, 0], [2, 1, 0], [0, 4, 1]], dtype=np.float32)
    for given in (x, sp.csr_matrix(x), sp.csc_matrix(x)):
        changed, had = without(ad.AnnData(given, var=pd.DataFrame(index=["a", "b", "c"])), ["a"])
        found = changed.X.toarray() if sp.issparse(changed.X) else changed.X
        assert found.tolist() == [[3, 0, 0], [0, 1, 0], [0, 4, 1]]
        assert had.tolist() == [False, True, False]
    mdata = ctl.datasets.simulate_multiome(120, 20, 30, n_types=2, seed=0)
    counts = mdata.mod["rna"].X.toarray()
    counts[0] = np.arange(20) == 0  # gene_1 alone
    mdata.mod["rna"].X = sp.csr_matrix(counts)
    ctl.pp.split_cells(mdata, seed=0)
    ctl.tl.dense(mdata, n_hidden=4, train_kwargs={"max_epochs": 1}, seed=0)
    ctl.tl.perturb(mdata, "gene_1", n_cells=1000)
    table = mdata.uns["ctl"]["perturbation"]["table"]
    assert table["n_changed"].sum() == ((counts[:, 0] > 0) & (counts[:, 1:].sum(axis=1) > 0)).sum()


def test_a_region_taken_out_of_sentences(tmp_path):
    mdata = ctl.datasets.simulate_multiome(200, 20, 60, n_types=2, depth=12, seed=0)
    ctl.pp.split_cells(mdata, seed=0)
    tiny = {"d": 16, "n_layers": 1, "n_hidden": 16}
    adata = mdata.mod["atac"]
    adata.obs["ctl_split"] = mdata.obs["ctl_split"]
    ctl.tl.atacformer(adata, train_kwargs={"max_epochs": 1}, seed=0, **tiny)
    model = ctl.models.load(adata)
    region = adata.var_names[int(np.argmax((adata.X > 0).sum(axis=0)))]
    ctl.tl.perturb(mdata, region, model=model, n_cells=1000)
    found = mdata.uns["ctl"]["perturbation"]
    changed = adata.copy()
    changed.X = np.where(changed.var_names == region, 0, changed.X.toarray())
    moved = logit(model.predict(changed)) - logit(model.predict(adata))
    one = (mdata.obs["cell_type"] == found["groups"][0]).to_numpy()
    np.testing.assert_allclose(found["effect"][0, 0], moved[one].mean(axis=0), atol=2e-3)
    home, away = model.embed(adata)[one], model.embed(changed)[one]
    spread = np.sqrt(((home - home.mean(axis=0)) ** 2).sum(axis=1).mean())
    expected = np.linalg.norm(away.mean(axis=0) - home.mean(axis=0)) / spread
    assert found["table"]["embedding"].iloc[0] == pytest.approx(expected, rel=1e-3)
    ctl.io.write(mdata, tmp_path / "with.h5mu")
    back = ctl.io.read(tmp_path / "with.h5mu").uns["ctl"]["perturbation"]
    np.testing.assert_array_equal(back["effect"], found["effect"])


def test_bad_input(mdata):
    with pytest.raises(ChromatellError, match="reads no genes 'no_gene'"):
        ctl.tl.perturb(mdata, ["gene_1", "no_gene"])
    with pytest.raises(ChromatellError, match="There is no model 'other'"):
        ctl.tl.perturb(mdata, "gene_1", key="other")
    with pytest.raises(ChromatellError, match="names 0 perturbations"):
        ctl.tl.perturb(mdata, [])
    with pytest.raises(ChromatellError, match="columns there"):
        ctl.tl.perturb(mdata, "gene_1", groupby="nothing")
    for unread in ({"fasta": "x.fa"}, {"pvalue": 1e-3}, {"n_shuffles": 2}):
        with pytest.raises(ChromatellError, match="would be read by nothing: it is for transcription factors"):
            ctl.tl.perturb(mdata, "gene_1", **unread)
    assert "perturbation" not in mdata.uns["ctl"]
    with pytest.raises(ChromatellError, match=r"Run ctl.tl.perturb\(mdata, targets\) first"):
        ctl.pl.perturb(mdata)


def test_the_picture_shows_the_largest_effects(mdata):
    held = ctl.tl.perturb(mdata, ["gene_3", "gene_7"], n_cells=50, seed=0, copy=True)
    found = held.uns["ctl"]["perturbation"]
    ax = ctl.pl.perturb(held, "gene_7", n_top=6, ax=Figure().subplots())
    order = np.argsort(-np.abs(found["effect"][1]).max(axis=0), kind="stable")[:6]
    assert [t.get_text() for t in ax.get_yticklabels()] == list(found["regions"][order])
    np.testing.assert_allclose(ax.images[0].get_array(), found["effect"][1][:, order].T)
    low, high = ax.images[0].get_clim()
    assert low == -high
    with pytest.raises(ChromatellError, match="No 'gene_9'"):
        ctl.pl.perturb(held, "gene_9")
