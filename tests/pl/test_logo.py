"""``pl.logo``: each letter is as high as its base matters, and stands where the base is."""

from __future__ import annotations

import anndata as ad
import matplotlib.pyplot as plt
import mudata as md
import numpy as np
import pytest
from matplotlib.collections import PathCollection
from matplotlib.figure import Figure
from tests.helpers import assert_legible

import chromatell.pl as pl
from chromatell import ChromatellError

TOKENS = np.array([[0, 1, 2, 3, 4, 0, 0, 3], [3, 3, 2, 1, 0, 0, 1, 2]], dtype=np.int8)


@pytest.fixture
def mdata() -> md.MuData:
    """Two regions of 8 bases, two groups; the third base of the first holds it open, the fourth keeps it closed."""
    effect = np.random.default_rng(0).normal(0, 0.1, (2, 2, 4, 8)).astype(np.float32)
    for r in range(2):
        for i in range(8):
            if TOKENS[r, i] < 4:
                effect[r, :, TOKENS[r, i], i] = 0
    effect[0, 0, [0, 1, 3], 2] = [-1.0, -2.0, -0.6]
    effect[0, 0, [0, 1, 2], 3] = [0.3, 0.6, 0.3]
    found = {
        "regions": np.array(["chr1:1000-1020", "peak2"], dtype=object),
        "chrom": np.array(["chr1", "chr2"], dtype=object),
        "start": np.array([1006, 35_000_120]),
        "groups": np.array(["B cell", "T cell"], dtype=object),
        "tokens": TOKENS,
        "effect": effect,
        "method": "ism",
    }
    attribution = {**found, "effect": effect + 1, "method": "deep_lift_shap", "groups": np.array(["all", "T cell"])}
    mdata = md.MuData({"rna": ad.AnnData(np.ones((2, 2), dtype=np.float32))})
    mdata.uns["ctl"] = {"ism": found, "attribution": attribution, "other": {"a": 1}}
    return mdata


def letters(ax) -> dict[int, tuple[str, float]]:
    """Position -> base and height of what is drawn."""
    found = {}
    for collection in ax.collections:
        assert isinstance(collection, PathCollection)
        for path in collection.get_paths():
            box = path.get_extents()
            middle = (box.x0 + box.x1) / 2
            np.testing.assert_allclose(middle, round(middle), atol=1e-6)
            assert box.width < 1
            assert min(abs(box.y0), abs(box.y1)) < 1e-6  # it stands on the axis or hangs from it
            found[round(middle)] = (collection.get_label(), box.y0 + box.y1)
    return found


def test_letters_of_ism(mdata):
    ax = pl.logo(mdata)
    found = letters(ax)
    assert {p: base for p, (base, _) in found.items()} == {
        1006: "A", 1007: "C", 1008: "G", 1009: "T", 1011: "A", 1012: "A", 1013: "T"
    }  # fmt: skip
    effect = mdata.uns["ctl"]["ism"]["effect"][0, 0]
    for place, (base, height) in found.items():
        alternatives = [effect[b, place - 1006] for b in range(4) if "ACGT"[b] != base]
        np.testing.assert_allclose(height, -np.mean(alternatives), rtol=1e-5)
    np.testing.assert_allclose(found[1008][1], 1.2, rtol=1e-6)
    np.testing.assert_allclose(found[1009][1], -0.4, rtol=1e-6)
    assert ax.get_xlim() == (1005.5, 1013.5)
    assert ax.get_ylim()[0] < -0.4
    assert ax.get_ylim()[1] > 1.2
    assert ax.get_xlabel() == "Position on chr1 (bp, 0-based)"
    assert ax.get_ylabel().replace("\n", " ") == "Mean fall of log-odds when changed"
    assert ax.get_title(loc="left") == "chr1:1000-1020, B cell"


def test_letters_of_attribution(mdata):
    ax = pl.logo(mdata, key="attribution")
    effect = mdata.uns["ctl"]["attribution"]["effect"][0, 0]
    found = letters(ax)
    assert set(found) == {1006, 1007, 1008, 1009, 1011, 1012, 1013}
    for place, (base, height) in found.items():
        np.testing.assert_allclose(height, effect["ACGT".index(base), place - 1006], rtol=1e-5)
    assert ax.get_ylabel().replace("\n", " ") == "Contribution to log-odds"
    assert ax.get_title(loc="left") == "chr1:1000-1020, all cells"


def test_region_group_and_interval(mdata):
    ax = pl.logo(mdata, "peak2", group="T cell", start=35_000_121, end=35_000_124)
    found = letters(ax)
    assert {p: base for p, (base, _) in found.items()} == {35_000_121: "T", 35_000_122: "G", 35_000_123: "C"}
    effect = mdata.uns["ctl"]["ism"]["effect"][1, 1]
    np.testing.assert_allclose(found[35_000_121][1], -effect[:, 1].sum() / 3, rtol=1e-5)
    assert ax.get_xlim() == (35_000_120.5, 35_000_123.5)
    assert ax.get_title(loc="left") == "peak2, T cell"


def test_a_negative_letter_hangs_upside_down(mdata):
    ax = pl.logo(mdata)
    turned = next(c for c in ax.collections if c.get_label() == "T").get_paths()[0]  # at 1009
    low = turned.vertices[turned.vertices[:, 1] < -0.39]
    high = turned.vertices[turned.vertices[:, 1] > -0.01]
    assert np.ptp(low[:, 0]) > 1.3 * np.ptp(high[:, 0])  # the bar of the T is far from the axis, its foot on it


def test_no_importance_at_all(mdata):
    mdata.uns["ctl"]["ism"]["effect"][:] = 0
    ax = pl.logo(mdata)
    assert not ax.collections
    assert ax.get_ylim() == (-1, 1)


@pytest.mark.parametrize("size", [(6, 4), (3.3, 2.5), (6, 2.2)])
@pytest.mark.parametrize("draw", [pl.logo, pl.ism_heatmap])
def test_no_text_overlaps_or_leaves_the_figure(mdata, size, draw):
    figure = Figure(figsize=size, layout="constrained", dpi=100)
    ax = figure.subplots()
    assert draw(mdata, "peak2", ax=ax) is ax
    assert plt.get_fignums() == []
    assert_legible(figure)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        ({"region": "chr9:1-2"}, "No region 'chr9:1-2'.*there: 'chr1:1000-1020', 'peak2'.*ctl.tl.ism"),
        ({"group": "NK"}, "No group 'NK'.*there: 'B cell', 'T cell'"),
        ({"key": "absent"}, "Did not find mdata.uns\\['ctl'\\]\\['absent'\\].*key_added='absent'"),
        ({"key": "other"}, "'other'\\] is not what tl.ism or tl.attribute writes"),
        ({"start": 900}, "start=900, end=None is not a window of chr1:1006-1014"),
        ({"start": 1010, "end": 1010}, "end=1010"),
        ({"key": "attribution", "end": 2000}, "ctl.tl.attribute\\(mdata, regions, window=...\\)"),
    ],
)
def test_bad_input_draws_nothing(mdata, call, message):
    for draw in (pl.logo, pl.ism_heatmap):
        with pytest.raises(ChromatellError, match=message):
            draw(mdata, **call)
    with pytest.raises(ChromatellError, match="Expected a MuData"):
        pl.logo(mdata.mod["rna"])
    assert plt.get_fignums() == []
