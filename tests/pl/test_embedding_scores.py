"""The picture of the neighbour scores: what is stored, where it belongs, on small and large figures."""

from __future__ import annotations

import anndata as ad
import matplotlib.pyplot as plt
import mudata as md
import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from tests.helpers import assert_legible

import chromatell.pl as pl
from chromatell import ChromatellError
from chromatell.pl import _style

KS = (10, 50, 100)
GROUPS = (("neighbor", "rna"), ("neighbor", "atac_held_out"), ("label", "cell_type"))


@pytest.fixture
def mdata() -> md.MuData:
    mdata = md.MuData({"rna": ad.AnnData(np.ones((4, 3), dtype=np.float32))})
    rows = []
    for i, (metric, space) in enumerate(GROUPS):
        for j, name in enumerate(("X_xchrom", "X_pca", "random")):
            if (name, space) != ("X_pca", "rna"):
                rows += [(name, metric, space, k, 0.2 + 0.2 * i - 0.05 * j + 0.001 * k, 300) for k in KS]
    columns = ["embedding", "metric", "space", "k", "value", "n"]
    mdata.uns["ctl"] = {"neighbor_score": pd.DataFrame(rows, columns=columns)}
    return mdata


def test_every_line_is_where_it_belongs(mdata):
    ax = pl.embedding_scores(mdata)
    lines = [line for line in ax.lines if len(line.get_xdata()) == 3]
    drawn = {(str(line.get_label()).lstrip("_"), float(line.get_xdata()[0])): line for line in lines}
    assert len(drawn) == 8
    t = mdata.uns["ctl"]["neighbor_score"]
    for i, (metric, space) in enumerate(GROUPS):
        for name in ("X_xchrom", "X_pca", "random"):
            rows = t[(t["metric"] == metric) & (t["space"] == space) & (t["embedding"] == name)]
            if len(rows):
                np.testing.assert_allclose(drawn[name, 3.0 * i].get_ydata(), rows["value"])
    assert [t.get_text() for t in ax.get_legend().get_texts()] == ["X_xchrom", "X_pca", "random"]
    assert [t.get_text() for t in ax.get_xticklabels()] == ["10", "50", "100"] * 3
    groups = [t.get_text() for t in ax.get_xticklabels(minor=True)]
    assert groups == ["near in RNA\n(circular)", "near in ATAC of\nheld-out regions", "same\ncell_type"]
    assert drawn["X_xchrom", 0.0].get_color() == _style.OKABE_ITO["blue"]
    assert drawn["X_pca", 3.0].get_color() == _style.BASELINE
    assert (ax.get_ylabel(), ax.get_ylim()[0]) == ("Share of the k nearest cells", 0)


@pytest.mark.parametrize("size", [(6, 4), (3.3, 2.5)])
def test_it_draws_on_given_axes_and_no_text_overlaps(mdata, size):
    figure = Figure(figsize=size, layout="constrained", dpi=100)
    ax = figure.subplots()
    assert pl.embedding_scores(mdata, ax=ax) is ax
    assert plt.get_fignums() == []
    assert_legible(figure, 15)


def test_one_value_of_k_no_labels_and_another_key(mdata):
    t = mdata.uns["ctl"].pop("neighbor_score")
    mdata.uns["ctl"]["mine"] = t[(t["k"] == 50) & (t["metric"] == "neighbor")].replace("atac_held_out", "atac_all")
    ax = pl.embedding_scores(mdata, key="mine")
    assert [t.get_text() for t in ax.get_xticklabels(minor=True)][1] == "near in ATAC of\nall regions"
    assert [t.get_text() for t in ax.get_xticklabels()] == ["50", "50"]
    with pytest.raises(ChromatellError, match=r"Run ctl.tl.neighbor_score\(mdata\) first"):
        pl.embedding_scores(mdata)
    with pytest.raises(ChromatellError, match=r"Run ctl.tl.neighbor_score\(mdata, key_added='other'\)"):
        pl.embedding_scores(mdata, key="other")
