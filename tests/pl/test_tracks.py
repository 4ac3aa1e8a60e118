"""`pl.tracks`: what is drawn where, at which scale."""

from __future__ import annotations

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from tests.helpers import genes

import chromatell as ctl
from chromatell.pl._tracks import _digits

mpl.use("agg")
import matplotlib.pyplot as plt
from matplotlib.patches import Polygon, StepPatch

GENES = genes(("chr1", 1000, 2500, "ABC", "+"), ("chr1", 2600, 9000, "XYZ", "-"), ("2", 0, 50, "far", "+"))


@pytest.fixture
def tracks(rng):
    table = pd.DataFrame(
        {
            "name": ["plus", "minus", "me3", "me3_pred", "cap"],
            "assay": ["PRO", "PRO", "H3K4me3", "H3K4me3", "cap"],
            "strand": ["+", "-", ".", ".", "."],
            "role": ["input", "input", "target", "prediction", "input"],
            "stat": "mean",
        }
    )
    values = rng.random((5, 200)).astype(np.float32)
    values[0, 50], values[1, 60], values[2, 70], values[3, 71] = 8, 16, 500, 1250
    return ctl.data.BinnedTracks({"chr1": values}, table, chrom_sizes={"chr1": 9990})


def steps(ax):
    return [p for p in ax.patches if isinstance(p, StepPatch)]


def test_strands_are_mirrored_on_one_scale_and_predictions_lie_over_their_target(tracks):
    ax = ctl.pl.tracks(tracks, "chr1:2,000-5,000")
    assert [t.get_text() for t in ax.get_yticklabels()] == [
        "plus / minus\n±16",
        "me3\n0 to 1,250",
        "cap\n0 to " + cap(tracks),
    ]
    assert ax.get_xlim() == (2000, 5000)
    assert ax.get_xlabel() == "Position on chr1 (bp, 0-based)"
    assert ax.get_ylabel() == "Signal (mean over 50 bp)"
    plus, minus, observed, predicted, _ = steps(ax)
    values = tracks.values("chr1", bins=slice(40, 100))
    for patch, row, sign, zero, height in (
        (plus, 0, 1, 2.43, 0.43 / 16),
        (minus, 1, -1, 2.43, 0.43 / 16),
        (observed, 2, 1, 1, 0.86 / 1250),
        (predicted, 3, 1, 1, 0.86 / 1250),
    ):
        data = patch.get_data()
        np.testing.assert_allclose(data.values, zero + sign * height * values[row], rtol=1e-5)
        assert data.edges.tolist() == list(range(2000, 5001, 50))
    assert [t.get_text() for t in ax.get_legend().get_texts()] == ["observed", "predicted"]


def cap(tracks):
    return f"{tracks.values('chr1', 'cap', bins=slice(40, 100)).max():.3g}"


def test_names_choose_and_order_the_rows(tracks):
    ax = ctl.pl.tracks(tracks, "chr1", ["me3", "minus"])
    assert [t.get_text().split("\n")[0] for t in ax.get_yticklabels()] == ["me3", "minus"]
    assert ax.get_legend() is None
    alone = ctl.pl.tracks(tracks, "chr1", "me3_pred")
    assert [t.get_text().split("\n")[0] for t in alone.get_yticklabels()] == ["me3_pred"]
    assert steps(ax)[0].get_data().edges[-1] == 9990


def test_negative_targets_have_their_zero_in_the_middle(tracks):
    tracks.replace({"chr1": tracks.values("chr1", "me3") - 100}, ["me3"])
    ax = ctl.pl.tracks(tracks, "chr1", "me3")
    assert ax.get_yticklabels()[0].get_text() == "me3\n±400"
    assert steps(ax)[0].get_data().baseline == pytest.approx(0.43)
    assert ctl.pl.tracks(tracks, "chr1", "me3", layer="raw").get_ylabel() == "Signal (mean over 50 bp), raw"


def test_many_bins_are_shown_by_their_largest(rng):
    values = rng.random((1, 10_000)).astype(np.float32)
    values[0, 4321] = 9
    tracks = ctl.data.BinnedTracks({"chr1": values}, ["a"], chrom_sizes={"chr1": 500_000})
    ax = ctl.pl.tracks(tracks, "chr1")
    data = steps(ax)[0].get_data()
    assert data.values.size == 1429  # every 7
    np.testing.assert_allclose(data.values[:3] * 9 / 0.86, values[0, :21].reshape(3, 7).max(axis=1), rtol=1e-5)
    assert data.values.max() == pytest.approx(0.86)
    assert ax.get_xlabel() == "Position on chr1 (Mb)"


@pytest.mark.parametrize(
    ("ticks", "digits"), [([11.475e6, 11.5e6, 11.525e6], 3), ([11.4e6, 11.5e6], 1), ([1e6, 2e6], 0), ([5e4, 6e4], 2)]
)
def test_positions_in_mb_have_the_decimals_of_their_ticks(ticks, digits):
    assert _digits(np.array(ticks)) == digits


def test_genes_of_the_interval_are_drawn_with_their_names(tracks):
    ax = ctl.pl.tracks(tracks, "chr1:0-5000", annotation=GENES)
    assert sorted(t.get_text() for t in ax.texts) == ["ABC", "XYZ"]
    assert ax.get_yticklabels()[-1].get_text() == "genes"
    assert ax.get_ylim()[0] < -0.3
    markers = [(line.get_marker(), float(line.get_xdata()[0])) for line in ax.lines if line.get_marker() in "<>"]
    assert markers == [(">", 1000.0)]  # that of XYZ is outside


def test_crowded_genes_keep_to_four_lanes(tracks):
    many = pd.DataFrame(
        {
            "chrom": "chr1",
            "start": np.arange(60) * 80,
            "end": np.arange(60) * 80 + 400,
            "name": "LONGNAME",
            "strand": "+",
        }
    )
    ax = ctl.pl.tracks(tracks, "chr1:0-5000", annotation=many)
    assert ax.get_ylim()[0] == pytest.approx(-(4 * 0.42 + 0.1 + 0.05))
    assert len(ax.texts) < 60


def test_masked_bins_have_a_ground(tracks):
    tracks.masks["chr1"] = np.zeros(200, dtype=np.uint8)
    tracks.masks["chr1"][[10, 11, 30]] = 4
    ax = ctl.pl.tracks(tracks, "chr1:0-2000", "me3")
    spans = [p for p in ax.patches if not isinstance(p, StepPatch) and not isinstance(p, Polygon)]
    assert [(p.get_x(), p.get_width()) for p in spans] == [(500, 100), (1500, 50)]


def test_an_anndata_is_drawn_on_given_axes(tracks):
    _, ax = plt.subplots()
    assert ctl.pl.tracks(tracks.to_anndata("chr1:1000-3000"), "chr1:1000-3000", ax=ax) is ax


@pytest.mark.parametrize(
    ("args", "kwargs", "cure"),
    [
        (("chr1:x-y",), {}, "does not parse"),
        (("chr2:0-50",), {}, "no chromosome 'chr2'"),
        (("chr1", "no"), {}, "There is no track 'no'"),
        (("chr1",), {"layer": "raw"}, "No layer 'raw'"),
        (("chr1",), {"annotation": "no.gtf"}, "No annotation file"),
    ],
)
def test_what_cannot_be_drawn(tracks, args, kwargs, cure):
    with pytest.raises(ctl.ChromatellError, match=cure):
        ctl.pl.tracks(tracks, *args, **kwargs)


def test_too_many_rows():
    tracks = ctl.data.BinnedTracks({"chr1": np.ones((61, 2))}, [f"t{i}" for i in range(61)], chrom_sizes={"chr1": 100})
    with pytest.raises(ctl.ChromatellError, match="61 rows; up to 60"):
        ctl.pl.tracks(tracks, "chr1")


def test_predictions_of_several_models_have_their_keys_and_one_colour_each(tracks):
    """In rows of two targets: 'dense' is of one colour in both, though the second target has it alone."""
    table = tracks.table.loc[["me3_pred", "me3_pred", "cap", "cap"]].reset_index(drop=True)
    table["name"], table["role"] = (
        ["me3_nascent", "me3_dense", "cage", "cage_dense"],
        ["prediction"] * 2 + ["target", "prediction"],
    )
    table["assay"] = ["H3K4me3", "H3K4me3", "CAGE", "CAGE"]
    tracks.add({"chr1": np.ones((4, 200), dtype=np.float32)}, table)
    tracks.uns = {
        "ctl": {
            "predictions": {"run-on": {"tracks": ["me3_nascent"]}, "dense": {"tracks": ["me3_dense", "cage_dense"]}}
        }
    }
    ax = ctl.pl.tracks(tracks, "chr1:2,000-5,000", ["me3", "me3_nascent", "me3_dense", "cage", "cage_dense"])
    assert [t.get_text() for t in ax.get_legend().get_texts()] == ["observed", "run-on", "dense"]
    lines = [p for p in steps(ax) if not p.get_fill()]
    assert [p.get_edgecolor() == lines[1].get_edgecolor() for p in lines] == [False, True, True]
    tracks.uns = {}  # tracks that were read from elsewhere: what their names add
    ax = ctl.pl.tracks(tracks, "chr1:2,000-5,000", ["me3", "me3_nascent", "me3_dense"])
    assert [t.get_text() for t in ax.get_legend().get_texts()] == ["observed", "nascent", "dense"]
