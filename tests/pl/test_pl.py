"""Plots draw exactly what is stored, fit small and large figures, and leave pyplot alone."""

from __future__ import annotations

from types import SimpleNamespace

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from tests.helpers import assert_legible

import chromatell.pl as pl
from chromatell import ChromatellError
from chromatell.models._declared import Declared
from chromatell.models.xchrom import XChrom
from chromatell.pl import _style

CALLS = {
    "history": lambda m, **k: pl.history(m, **k),
    "pr_curve": lambda m, **k: pl.pr_curve(m, **k),
    "pr_curve_all": lambda m, **k: pl.pr_curve(m, baselines="all", **k),
    "per_cell_per_region": lambda m, **k: pl.per_cell_per_region(m, **k),
    "leaderboard": lambda m, **k: pl.leaderboard(m, views="depth_matched", **k),
    "calibration": lambda m, **k: pl.calibration(m, **k),
    "confusion": lambda m, **k: pl.confusion(m, **k),
}


def lines(ax: Axes) -> dict[str, np.ndarray]:
    return {str(line.get_label()): np.array(line.get_data(), dtype=float) for line in ax.lines}


def legend_texts(ax: Axes) -> list[str]:
    return [t.get_text() for t in ax.get_legend().get_texts()]


# ---- all of them


@pytest.mark.parametrize("name", CALLS)
def test_draws_on_the_given_axes_without_pyplot(mdata, name):
    ax = Figure(layout="constrained").subplots()
    assert CALLS[name](mdata, ax=ax) is ax
    assert plt.get_fignums() == []
    assert ax.has_data()


@pytest.mark.parametrize("name", CALLS)
def test_makes_one_figure_where_no_axes_are_given(mdata, name, monkeypatch):
    monkeypatch.setattr(plt, "show", lambda *a, **k: pytest.fail("show was called"))
    assert isinstance(CALLS[name](mdata), Axes)
    assert len(plt.get_fignums()) == 1


@pytest.mark.parametrize("size", [(6, 4), (3.3, 2.5)])
@pytest.mark.parametrize("name", CALLS)
def test_no_text_overlaps_another_or_leaves_the_figure(mdata, name, size):
    figure = Figure(figsize=size, layout="constrained", dpi=100)
    ax = figure.subplots()
    CALLS[name](mdata, ax=ax)
    assert_legible(figure)


@pytest.mark.parametrize("name", CALLS)
def test_computes_and_writes_nothing(mdata, name):
    before = {k: v.copy() if hasattr(v, "copy") else v for k, v in mdata.uns["ctl"].items()}
    CALLS[name](mdata)
    assert set(mdata.uns["ctl"]) == set(before)
    for key in ("evaluation", "gains", "fisher"):
        assert before[key].equals(mdata.uns["ctl"][key])


@pytest.mark.parametrize(
    ("name", "missing", "call"),
    [
        ("history", "models", "ctl.tl.dense"),
        ("pr_curve", "curves", "ctl.tl.evaluate"),
        ("pr_curve", "gains", "ctl.tl.evaluate"),
        ("per_cell_per_region", "evaluation", "ctl.tl.evaluate"),
        ("leaderboard", "evaluation", "ctl.tl.evaluate"),
        ("calibration", "evaluation", "ctl.tl.evaluate"),
        ("confusion", "fisher", "ctl.tl.fisher"),
    ],
)
def test_a_missing_table_names_the_call(mdata, name, missing, call):
    del mdata.uns["ctl"][missing]
    with pytest.raises(ChromatellError, match=f"Did not find mdata.uns.*{missing}.*Run {call}"):
        CALLS[name](mdata)
    mdata.uns.pop("ctl")
    with pytest.raises(ChromatellError, match=f"Run {call}"):
        CALLS[name](mdata)
    if name != "history":
        with pytest.raises(ChromatellError, match="Expected a MuData"):
            CALLS[name](mdata.mod["rna"])
    assert plt.get_fignums() == []


# ---- each


def test_history(mdata):
    ax = pl.history(mdata, "dense")
    found = lines(ax)
    stored = mdata.uns["ctl"]["models"]["dense"]["history"]
    np.testing.assert_array_equal(found["training"], [[1, 2, 3, 4], stored["train_loss"]])
    np.testing.assert_array_equal(found["validation"], [[1, 2, 3, 4], stored["validation_loss"]])
    np.testing.assert_array_equal(found["lowest: epoch 3"], [[3], [0.42]])
    assert ax.get_xlabel() == "Epoch"
    assert ax.get_ylabel().startswith("Loss")


def test_losses_of_two_kinds_have_an_axis_each():
    history = {"train_loss": [1.7, 0.5], "validation_loss": [0.9, 0.4]}
    assert len(pl.history(SimpleNamespace(history=history, declared=Declared())).figure.axes) == 1
    ax = pl.history(SimpleNamespace(history=history, declared=XChrom.declared))
    left, right = ax.figure.axes
    assert [left.lines[0].get_ydata().tolist(), right.lines[0].get_ydata().tolist()] == list(history.values())
    assert (left.get_ylabel(), right.get_ylabel()) == ("Training loss", "Validation loss")


def test_history_of_a_model_and_bad_keys(mdata):
    cells = AnnData(np.zeros((2, 2)), uns={"ctl": mdata.uns["ctl"]})
    np.testing.assert_allclose(pl.history(cells).lines[0].get_ydata(), pl.history(mdata).lines[0].get_ydata())
    with pytest.raises(ChromatellError, match="Did not find adata.uns.*Run ctl.tl.dense"):
        pl.history(AnnData(np.zeros((2, 2))))
    ax = pl.history(SimpleNamespace(history={"train_loss": [2.0, 1.0], "other": [1]}))
    np.testing.assert_array_equal(lines(ax)["training"], [[1, 2], [2.0, 1.0]])
    assert len(ax.lines) == 1
    with pytest.raises(ChromatellError, match="No model 'x'.*'dense'"):
        pl.history(mdata, "x")
    mdata.uns["ctl"]["models"]["second"] = {}
    with pytest.raises(ChromatellError, match="carries 2 models.*key="):
        pl.history(mdata)
    with pytest.raises(ChromatellError, match="'second' has no 'train_loss'"):
        pl.history(mdata, "second")
    with pytest.raises(ChromatellError, match="no 'train_loss'"):
        pl.history(SimpleNamespace(history=None))


def test_pr_curve(mdata):
    ax = pl.pr_curve(mdata)
    found, curves = lines(ax), mdata.uns["ctl"]["curves"]["cross-cell"]
    assert legend_texts(ax) == ["dense, AP 0.750", "multivi, AP 0.730", "knn, AP 0.690", "prevalence 0.100"]
    for label, name in zip(legend_texts(ax), ("dense", "multivi", "knn"), strict=False):
        np.testing.assert_allclose(found[label], curves[name]["pr"])
    np.testing.assert_array_equal(found["prevalence 0.100"][1], [0.1, 0.1])
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("Recall", "Precision")


def test_pr_curve_with_all_some_or_no_baselines(mdata):
    ax = pl.pr_curve(mdata, "dense", baselines="all")
    assert len(ax.lines) == 6  # the model, four baselines, the prevalence
    shown = ["dense, AP 0.750", "knn, AP 0.690", "other baselines", "references (read ATAC)", "prevalence 0.100"]
    assert legend_texts(ax) == shown
    ax = pl.pr_curve(mdata, "dense", baselines=["region_mean", "knn_atac"])
    assert legend_texts(ax)[1:3] == ["region_mean, AP 0.710", "knn_atac (reads ATAC), AP 0.650"]
    ax = pl.pr_curve(mdata, ["multivi", "dense"], baselines="none")
    assert legend_texts(ax) == ["multivi, AP 0.730", "dense, AP 0.750", "prevalence 0.100"]
    with pytest.raises(ChromatellError, match="baselines='few' is not known"):
        pl.pr_curve(mdata, baselines="few")
    with pytest.raises(ChromatellError, match="No curve 'pr' of \\['nope'\\].*there: 'dense'"):
        pl.pr_curve(mdata, "nope")
    mdata.uns["ctl"]["curves"]["cross-cell"]["dense"]["pr"] = np.zeros((2, 0), dtype=np.float32)
    with pytest.raises(ChromatellError, match="No curve 'pr' of \\['dense'\\]"):
        pl.pr_curve(mdata, "dense")


def test_models_and_baselines_look_different(mdata):
    ax = pl.pr_curve(mdata, baselines="all")
    style = {line.get_label(): (line.get_color(), line.get_linestyle()) for line in ax.lines}
    assert style["dense, AP 0.750"] == (_style.OKABE_ITO["blue"], "-")
    assert style["multivi, AP 0.730"] == (_style.OKABE_ITO["vermillion"], "-")
    assert style["knn, AP 0.690"] == (_style.BASELINE, "--")


def test_per_cell_per_region(mdata):
    ax = pl.per_cell_per_region(mdata)
    curves = mdata.uns["ctl"]["curves"]["cross-cell"]
    medians = [line.get_ydata()[0] for line in ax.lines[:4]]
    expected = [
        np.median(curves["knn"]["per_cell"]),
        np.median(curves["dense"]["per_cell"]),
        np.nanmedian(curves["svd_ridge"]["per_region"]),
        np.nanmedian(curves["dense"]["per_region"]),
    ]
    np.testing.assert_allclose(medians, expected)
    assert [t.get_text() for t in ax.texts] == [f"{m:.3f}" for m in expected]
    assert len(ax.collections) == 4
    assert [t.get_text() for t in ax.get_xticklabels()] == [
        "per cell\nbeside knn\n(n = 200)",
        "per region\nbeside svd_ridge\n(n = 80)",
    ]
    assert legend_texts(ax) == ["best baseline", "dense"]
    assert ax.get_ylabel() == "AUROC"


def test_per_cell_per_region_with_a_named_and_a_constant_baseline(mdata):
    ax = pl.per_cell_per_region(mdata, "multivi", baseline="region_mean")
    assert legend_texts(ax) == ["region_mean", "multivi"]
    assert len(ax.collections) == 3  # a constant AUROC of 0.5 has no density, only its median
    assert ax.lines[2].get_ydata()[0] == 0.5
    for curve in mdata.uns["ctl"]["curves"]["cross-cell"].values():
        if isinstance(curve, dict):
            del curve["per_cell"], curve["per_region"]
    with pytest.raises(ChromatellError, match="No AUROC of cells or regions"):
        pl.per_cell_per_region(mdata)


def test_leaderboard(mdata):
    ax = pl.leaderboard(mdata, views="per_cell")
    table = mdata.uns["ctl"]["evaluation"]
    values = table[(table["view"] == "per_cell") & (table["metric"] == "auroc")].set_index("model")["value"]
    order = values.sort_values().index.tolist()
    names = [t.get_text() for t in ax.get_yticklabels()]
    assert names == [f"{n} (reads ATAC)" if n == "knn_atac" else n for n in order]
    dots = [line for line in ax.lines if line.get_marker() in ("o", "s", "D")]
    for dot in dots:
        assert dot.get_xdata()[0] == values[order[int(dot.get_ydata()[0])]]
    marker = {order[int(d.get_ydata()[0])]: d.get_marker() for d in dots}
    assert marker == {
        n: "D" if n == "knn_atac" else "s" if n in ("region_mean", "knn", "svd_ridge") else "o" for n in order
    }
    bars = [line for line in ax.lines if line.get_marker() == "None" and len(set(line.get_ydata())) == 1]
    assert len(bars) == 6
    np.testing.assert_allclose(bars[-1].get_xdata(), [values["dense"] - 0.01, values["dense"] + 0.02])
    assert ax.get_xlabel() == "AUROC (per cell)"
    line = [line for line in ax.lines if line.get_linestyle() == "--" or line.get_linewidth() == 0.9]
    assert line[0].get_xdata()[0] == values["knn"]


def test_a_baseline_that_is_ahead_of_the_chosen_one_is_shown(mdata):
    table, gains = (mdata.uns["ctl"][name] for name in ("evaluation", "gains"))
    gains["ahead"] = np.where(gains["view"] == "per_cell", "svd_ridge", "")
    ax = pl.leaderboard(mdata, views="per_cell")
    value = table[(table["view"] == "per_cell") & (table["model"] == "svd_ridge")]["value"].iloc[0]
    assert [line.get_xdata()[0] for line in ax.lines if line.get_linewidth() == 0.9][1] == value
    assert [t.get_text() for t in ax.texts] == ["chosen", "ahead"]
    assert [t.get_text() for t in pl.leaderboard(mdata, views="depth_matched").texts] == ["best baseline"]


def test_leaderboard_panels_and_choices(mdata):
    axes = pl.leaderboard(mdata)
    assert axes.shape == (3,)
    labels = ["average precision\n(all pairs)", "AUROC\n(per cell)", "AUROC\n(depth-matched)"]
    assert [ax.get_xlabel() for ax in axes] == labels
    ax = pl.leaderboard(mdata, views=[("calibration", "brier")], models=["dense", "knn"])
    assert [t.get_text() for t in ax.get_yticklabels()] == ["dense", "knn"]  # lower is better: knn is
    assert ax.get_xlabel() == "Brier score (calibration) (lower is better)"
    given = Figure().subplots(1, 2)
    found = pl.leaderboard(mdata, views=["overall", "per_region"], ax=given)
    assert list(found) == list(given)
    assert pl.leaderboard(mdata, ax=given[0]).get_xlabel() == "AUROC (depth-matched)"
    with pytest.raises(ChromatellError, match="2 axes were given for 1 views"):
        pl.leaderboard(mdata, views="overall", ax=given)
    with pytest.raises(ChromatellError, match="No scores of \\[\\('profile', 'pearson'\\)\\]"):
        pl.leaderboard(mdata, views="profile")
    with pytest.raises(ChromatellError, match="targets='x' would be read by nothing: it is for tracks"):
        pl.leaderboard(mdata, targets="x")


def test_leaderboard_without_intervals_gains_or_a_value(mdata):
    table = mdata.uns["ctl"]["evaluation"]
    table[["ci_low", "ci_high"]] = np.nan
    table.loc[(table["model"] == "region_mean") & (table["view"] == "per_cell"), "value"] = np.nan
    mdata.uns["ctl"]["gains"] = mdata.uns["ctl"]["gains"].iloc[:0]
    ax = pl.leaderboard(mdata, views="per_cell")
    assert len(ax.lines) == 5
    assert ax.get_yticklabels()[0].get_text() == "region_mean"


def test_calibration(mdata):
    ax = pl.calibration(mdata, "dense")
    found, curve = lines(ax), mdata.uns["ctl"]["curves"]["cross-cell"]["dense"]["reliability"]
    assert legend_texts(ax) == ["dense, ECE 0.5500", "knn, ECE 0.4900", "predicted = observed"]
    np.testing.assert_allclose(found["dense, ECE 0.5500"], curve[:2])
    np.testing.assert_array_equal(*found["predicted = observed"])
    assert (ax.get_xscale(), ax.get_yscale()) == ("log", "log")
    assert "probability" in ax.get_xlabel()
    ax = pl.calibration(mdata, "dense", scale="linear", baselines="none")
    assert ax.get_xscale() == "linear"
    assert ax.get_xlim()[0] == 0
    with pytest.raises(ChromatellError, match="scale='sqrt' is not known"):
        pl.calibration(mdata, scale="sqrt")


def test_calibration_of_bins_without_an_open_pair(mdata):
    mdata.uns["ctl"]["curves"]["cross-cell"]["dense"]["reliability"][1] = 0
    ax = pl.calibration(mdata, "dense", baselines="none")
    assert ax.get_xlim()[0] > 0


def test_confusion(mdata):
    ax = pl.confusion(mdata)
    shown = [t.get_text() for t in ax.texts]
    assert shown == ["400\n40.0%", "600\n60.0%", "600\n6.7%", "8,400\n93.3%"]
    np.testing.assert_allclose(ax.images[0].get_array(), [[0.4, 0.6], [600 / 9000, 8400 / 9000]])
    title = ax.get_title(loc="left")
    assert "dense, open at p >= 0.200" in title
    assert "log odds ratio 2.20 [2.10, 2.30]" in title
    assert "best baseline, same share: 1.90 (knn)" in title  # the reference is not a rival
    ax = pl.confusion(mdata, "region_mean")
    assert ax.texts[0].get_text() == "300\n30.0%"
    assert "best baseline" not in ax.get_title(loc="left")
    with pytest.raises(ChromatellError, match="No 'nope'.*'knn'"):
        pl.confusion(mdata, "nope")


def test_reads_another_evaluation_by_its_key(mdata):
    own = mdata.uns["ctl"]
    for name in ("gains", "curves"):
        own[f"val_{name}"] = own.pop(name)
    own["val"] = own.pop("evaluation")
    assert legend_texts(pl.pr_curve(mdata, "dense", key="val"))[0] == "dense, AP 0.750"
    with pytest.raises(ChromatellError, match="Run ctl.tl.evaluate\\(mdata, key_added='test'\\)"):
        pl.pr_curve(mdata, key="test")


# ---- kinds of pairs, and what reads the target assay


@pytest.fixture
def two_kinds(mdata):
    """The same scores for unseen regions, 0.1 lower, with one baseline fewer."""
    own = mdata.uns["ctl"]
    for name in ("evaluation", "gains"):
        other = own[name][own[name]["model"] != "svd_ridge"].assign(pairs="cross-region")
        if name == "evaluation":
            other[["value", "ci_low", "ci_high"]] -= 0.1
        else:
            other["baseline"] = "knn"
        own[name] = pd.concat([own[name], other], ignore_index=True)
    curves = {k: v for k, v in own["curves"]["cross-cell"].items() if k != "svd_ridge"}
    own["curves"]["cross-region"] = {**curves, "_prevalence": 0.2}
    return mdata


def test_each_kind_of_pairs_is_drawn_by_itself_and_named(two_kinds, mdata):
    assert legend_texts(pl.pr_curve(two_kinds, "dense"))[0] == "dense, AP 0.750"
    ax = pl.pr_curve(two_kinds, "dense", pairs="cross-region")
    assert legend_texts(ax) == ["dense, AP 0.650", "knn, AP 0.590", "prevalence 0.200"]
    assert ax.get_title(loc="left") == "cross-region pairs"
    ax = pl.calibration(two_kinds, "dense", pairs="cross-region")
    assert legend_texts(ax)[0] == "dense, ECE 0.4500"
    assert ax.get_title(loc="left") == "cross-region pairs"
    ax = pl.per_cell_per_region(two_kinds, pairs="cross-region")
    assert ax.get_xlabel() == "cross-region pairs"
    assert [t.get_text().split("\n")[1] for t in ax.get_xticklabels()] == ["beside knn", "beside knn"]
    ax = pl.leaderboard(two_kinds, views="per_cell", pairs="cross-region")
    assert ax.get_title(loc="left") == "cross-region pairs"
    names = [t.get_text() for t in ax.get_yticklabels()]
    assert names == ["knn_atac (reads ATAC)", "knn", "region_mean", "multivi", "dense"]
    dots = [line.get_xdata()[0] for line in ax.lines if line.get_marker() in ("o", "s", "D")]
    np.testing.assert_allclose(dots[-1], 0.8 - 0.05 * 2 - 0.1)
    with pytest.raises(ChromatellError, match="No scores of pairs 'cross-both'.*there: 'cross-cell', 'cross-region'"):
        pl.leaderboard(two_kinds, pairs="cross-both")
    for call in (pl.pr_curve, pl.calibration, pl.per_cell_per_region):
        with pytest.raises(ChromatellError, match="No scores of pairs 'cross-both'"):
            call(two_kinds, pairs="cross-both")


def test_one_kind_of_new_cells_needs_no_title(mdata):
    assert pl.pr_curve(mdata).get_title(loc="left") == ""
    assert pl.leaderboard(mdata, views="overall").get_title(loc="left") == ""


def test_a_model_that_reads_the_target_assay_is_an_upper_bound(mdata):
    table = mdata.uns["ctl"]["evaluation"]
    table.loc[table["model"] == "multivi", "uses_target_assay"] = True
    ax = pl.leaderboard(mdata, views="per_cell")
    assert "multivi (upper bound)" in [t.get_text() for t in ax.get_yticklabels()]
    faces = {line.get_marker(): line.get_markerfacecolor() for line in ax.lines if line.get_marker() in ("s", "D")}
    assert faces == {"s": _style.BASELINE, "D": "white"}
    circles = [line.get_markerfacecolor() for line in ax.lines if line.get_marker() == "o"]
    assert sorted(circles) == [_style.OKABE_ITO["blue"], "white"]
    assert legend_texts(pl.pr_curve(mdata))[1] == "multivi (upper bound), AP 0.730"


def test_tables_of_an_earlier_version_are_refused(mdata):
    del mdata.uns["ctl"]["evaluation"]["pairs"]
    with pytest.raises(ChromatellError, match="written by an earlier version.*Run ctl.tl.evaluate\\(mdata\\) again"):
        pl.leaderboard(mdata)
