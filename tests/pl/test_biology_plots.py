"""Plots of what is done with a prediction: no text runs into another, in a notebook and in a column of a journal."""

from __future__ import annotations

import pytest
from matplotlib.figure import Figure
from tests.helpers import assert_legible, dense_multiome

import chromatell as ctl

pytestmark = pytest.mark.filterwarnings("ignore::chromatell.ChromatellWarning")  # the data are small

PLOTS = {
    "rank_regions": lambda m, ax: ctl.pl.rank_regions(m, "type_1", n_top=12, ax=ax),
    "gene_activity": lambda m, ax: ctl.pl.gene_activity(m, ax=ax),
    "uncertainty": lambda m, ax: ctl.pl.uncertainty(m, ax=ax),
    "link_regions": lambda m, ax: ctl.pl.link_regions(m, ax=ax),
    "perturb": lambda m, ax: ctl.pl.perturb(m, n_top=12, ax=ax),
    "region": lambda m, ax: ctl.pl.region(m, "chr1:300,000-420,000", ax=ax),
    "history": lambda m, ax: ctl.pl.history(m, ax=ax),
}


@pytest.fixture(scope="module")
def mdata():
    mdata = dense_multiome(300, 60, 80, epochs=2)
    ctl.pp.link_genes(mdata, mdata.mod["rna"].var)
    ctl.tl.rank_regions(mdata, "cell_type", n_bootstrap=10, seed=0)
    ctl.tl.gene_activity(mdata)
    ctl.tl.uncertainty(mdata, "cell_type", n_draws=3, seed=0)
    ctl.tl.link_regions(mdata, n_cells=50, seed=0)
    ctl.tl.perturb(mdata, list(mdata.mod["rna"].var_names[:3]), n_cells=10, seed=0)
    return mdata


@pytest.mark.parametrize("size", [(6, 4), (3.35, 2.6)])
@pytest.mark.parametrize("name", PLOTS)
def test_no_text_overlaps_another_or_leaves_the_figure(mdata, name, size):
    figure = Figure(figsize=size, layout="constrained", dpi=100)
    ax = figure.subplots()
    PLOTS[name](mdata, ax)
    assert ax.has_data()
    assert_legible(figure)


@pytest.mark.parametrize("name", ["perturb", "region"])
def test_long_names_of_groups_have_room(mdata, name):
    named = mdata.copy()
    long = {
        t: f"{t}, of which an annotator has written a long description, as is the custom"
        for t in set(named.obs["cell_type"])
    }
    named.obs["cell_type"] = named.obs["cell_type"].astype(str).map(long).astype("category")
    for adata in named.mod.values():
        adata.obs.drop(columns="cell_type", errors="ignore", inplace=True)
    if name == "perturb":
        ctl.tl.perturb(named, [named.mod["rna"].var_names[0]], n_cells=10, seed=0)
    ax = PLOTS[name](named, None)
    assert_legible(ax.figure)
