"""``pl.ism_heatmap``: the stored changes, in colours that are even about 0, and the bases that are there."""

from __future__ import annotations

import anndata as ad
import matplotlib.pyplot as plt
import mudata as md
import numpy as np
import pytest
from matplotlib.figure import Figure

import chromatell.pl as pl


@pytest.fixture
def mdata() -> md.MuData:
    effect = np.random.default_rng(1).normal(0, 1, (1, 2, 4, 6)).astype(np.float32)
    effect[0, 1, 3, 5] = -9
    mdata = md.MuData({"rna": ad.AnnData(np.ones((2, 2), dtype=np.float32))})
    mdata.uns["ctl"] = {
        "ism": {
            "regions": np.array(["chr1:95-115"], dtype=object),
            "chrom": np.array(["chr1"], dtype=object),
            "start": np.array([102]),
            "groups": np.array(["a", "b"], dtype=object),
            "tokens": np.array([[2, 4, 0, 1, 3, 3]], dtype=np.int8),
            "effect": effect,
            "method": "ism",
        }
    }
    mdata.uns["ctl"]["attribution"] = {**mdata.uns["ctl"]["ism"], "method": "input_x_gradient"}
    return mdata


def test_draws_the_changes_about_zero(mdata):
    figure = Figure(layout="constrained")
    ax = figure.subplots()
    assert pl.ism_heatmap(mdata, group="b", ax=ax) is ax
    (image,) = ax.images
    np.testing.assert_array_equal(image.get_array(), mdata.uns["ctl"]["ism"]["effect"][0, 1])
    assert image.get_clim() == (-9, 9)
    assert list(image.get_extent()) == [101.5, 107.5, 3.5, -0.5]
    red, blue = image.cmap(0.95)[:3], image.cmap(0.05)[:3]
    assert red[0] > red[2]  # more open
    assert blue[2] > blue[0]
    assert min(image.cmap(0.5)[:3]) > 0.95
    assert [t.get_text() for t in ax.get_yticklabels()] == list("ACGT")
    assert ax.get_ylim() == (3.5, -0.5)  # A on top
    assert ax.get_xlim() == (101.5, 107.5)
    assert ax.get_xlabel() == "Position on chr1 (bp, 0-based)"
    assert ax.get_title(loc="left") == "chr1:95-115, b\ndash: base of the sequence"
    assert figure.axes[1].get_ylabel() == "Change in log-odds"


def test_dashes_mark_the_bases_that_are_there(mdata):
    ax = pl.ism_heatmap(mdata)
    (dashes,) = ax.collections
    found = [segment.tolist() for segment in dashes.get_segments()]
    places = [(102, 2), (104, 0), (105, 1), (106, 3), (107, 3)]  # none at the N
    assert found == [[[p - 0.5, base], [p + 0.5, base]] for p, base in places]


def test_an_interval_and_contributions(mdata):
    figure = plt.figure(figsize=(3.3, 2.5), layout="constrained")
    ax = pl.ism_heatmap(mdata, "chr1:95-115", key="attribution", start=104, end=107, ax=figure.subplots())
    np.testing.assert_array_equal(ax.images[0].get_array(), mdata.uns["ctl"]["ism"]["effect"][0, 0, :, 2:5])
    assert list(ax.images[0].get_extent()) == [103.5, 106.5, 3.5, -0.5]
    assert figure.axes[1].get_ylabel() == "Contribution to log-odds"
    assert len(ax.collections[0].get_segments()) == 3


def test_no_change_at_all(mdata):
    mdata.uns["ctl"]["ism"]["effect"][:] = 0
    assert pl.ism_heatmap(mdata).images[0].get_clim() == (-1, 1)


@pytest.mark.parametrize("draw", [pl.ism_heatmap, pl.logo])
def test_one_base_has_one_tick(mdata, draw):
    figure = Figure(layout="constrained")
    ax = draw(mdata, group="b", start=104, end=105, ax=figure.subplots())
    figure.draw_without_rendering()
    low, high = ax.get_xlim()
    ticks = [t.get_text() for t in ax.get_xticklabels() if low <= t.get_position()[0] <= high]
    assert ticks == ["104"]
