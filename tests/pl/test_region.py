"""`pl.region` draws the means of groups where the regions lie."""

from __future__ import annotations

import mudata
import numpy as np
import pandas as pd
import pytest

import chromatell as ctl

matplotlib = pytest.importorskip("matplotlib")
matplotlib.use("agg")


@pytest.fixture
def mdata():
    mdata = ctl.datasets.simulate_multiome(120, 20, 60, seed=0)
    values = np.random.default_rng(0).random((120, 60)).astype(np.float32)
    ctl.tl.add_prediction(mdata, values, key="mine")
    yield mdata
    matplotlib.pyplot.close("all")


def bars(ax, label):
    """Return left edges, widths and heights of what has a label, row by row: (groups, regions)."""
    found = [c for c in ax.containers if len(c)]
    half = len(found) // 2
    part = found[:half] if label == "observed" else found[half:]
    return [np.array([[p.get_x(), p.get_width(), p.get_height()] for p in c]) for c in part]


def test_bars_are_the_means_of_groups_over_their_regions(mdata):
    var = mdata.mod["atac"].var
    chrom = var["chrom"].iloc[0]
    here = np.flatnonzero(var["chrom"] == chrom)[:4]
    low, high = int(var["start"].iloc[here[0]]), int(var["end"].iloc[here[-1]])
    ax = ctl.pl.region(mdata, f"{chrom}:{low}-{high}", groups=["type_2", "type_1"])
    assert [t.get_text().split("\n")[0] for t in ax.get_yticklabels()] == ["type_2", "type_1"]
    x = (mdata.mod["atac"].X.toarray() > 0).astype(float)
    p = mdata.mod["atac_pred"].X
    inside = [(mdata.obs["cell_type"] == g).to_numpy() for g in ("type_2", "type_1")]
    means = {name: [v[c][:, here].mean(axis=0) for c in inside] for name, v in (("observed", x), ("predicted", p))}
    top = max(np.max(m) for m in means.values())
    for name, wanted in means.items():
        for drawn, heights in zip(bars(ax, name), wanted, strict=True):
            np.testing.assert_allclose(drawn[:, 2], 0.84 * heights / top, rtol=1e-5)
            np.testing.assert_allclose(drawn[:, 0] + drawn[:, 1] / 2, (var["start"] + var["end"]).iloc[here] / 2)
            assert (drawn[:, 1] >= 0.00399 * (high - low)).all()
    assert f"0 to {top:.2g}" in ax.get_yticklabels()[0].get_text()


def test_genes_lie_below_and_a_query_has_predictions_alone(mdata):
    var = mdata.mod["atac"].var
    first = var.iloc[0]
    window_of = f"{first['chrom']}:{first['start'] - 2000}-{first['end'] + 2000}"
    genes = pd.DataFrame(
        {"chrom": [first["chrom"]], "start": [first["start"]], "end": [first["end"]], "name": ["GENE"], "strand": ["+"]}
    )
    query = mudata.MuData({"rna": mdata.mod["rna"], "atac_pred": mdata.mod["atac_pred"]})
    query.obs["cell_type"] = mdata.obs["cell_type"]
    ax = ctl.pl.region(query, window_of, annotation=genes)
    assert ax.get_legend_handles_labels()[1] == ["predicted"]
    assert "GENE" in [t.get_text() for t in ax.texts]
    assert ax.get_ylim()[0] < 0


@pytest.mark.parametrize(
    ("region", "arguments", "message"),
    [
        ("chr1", {}, "'chr1' is no region"),
        ("chr1:200-100", {}, "'chr1:200-100' must begin before it ends, such as 'chr1:100-200'"),
        ("chr1:200-200", {}, "such as 'chr1:200-201'"),
        ("chr99:1-100", {}, "No region of mdata lies in chr99:1-100"),
        ("chr1:1-100", {"groups": ["x"]}, "groups= names 'x'"),
        ("chr1:1-100", {"groupby": "kind"}, "Did not find mdata.obs"),
        ("chr1:1-100", {"key": "other"}, "No prediction 'other'"),
    ],
)
def test_what_cannot_be_drawn_is_said(mdata, region, arguments, message):
    with pytest.raises(ctl.ChromatellError, match=message):
        ctl.pl.region(mdata, region, **arguments)
