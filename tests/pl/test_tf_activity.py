"""The heatmap shows the groups' means, in order, and can be read in small and large figures."""

from __future__ import annotations

import anndata as ad
import matplotlib.pyplot as plt
import mudata as md
import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from tests.helpers import assert_legible

import chromatell as ctl
from chromatell import ChromatellError

TYPES = ["CD14 Monocyte", "CD4 Naive T", "Memory B", "Plasmacytoid DC", "NK"]


def made(n_tfs: int) -> md.MuData:
    rng = np.random.default_rng(0)
    kind = np.arange(60) % len(TYPES)
    centre = rng.normal(size=(len(TYPES), n_tfs)) * np.linspace(2, 0.2, n_tfs)
    rna = ad.AnnData(np.ones((60, 2), dtype=np.float32))
    rna.obsm["tf_activity"] = pd.DataFrame(
        (centre[kind] + rng.normal(size=(60, n_tfs))).astype(np.float32),
        index=rna.obs_names,
        columns=[f"TF{i}" for i in range(n_tfs)],
    )
    mdata = md.MuData({"rna": rna})
    mdata.obs["cell_type"] = pd.Categorical(np.array(TYPES)[kind])
    mdata.obs.loc[mdata.obs_names[0], "cell_type"] = np.nan
    return mdata


@pytest.fixture
def activities() -> md.MuData:
    return made(6)


def drawn(ax) -> pd.DataFrame:
    columns = [t.get_text() for t in ax.get_xticklabels()]
    return pd.DataFrame(np.asarray(ax.images[0].get_array()), [t.get_text() for t in ax.get_yticklabels()], columns)


def test_means_of_groups_in_standard_deviations(activities):
    ax = ctl.pl.tf_activity(activities)
    table = activities.mod["rna"].obsm["tf_activity"].astype(float)
    z = (table - table.mean()) / table.std(ddof=0)
    expected = z.groupby(activities.obs["cell_type"].to_numpy()).mean().T
    got = drawn(ax)
    assert list(got.columns) == sorted(TYPES)
    pd.testing.assert_frame_equal(got, expected.loc[got.index], check_names=False)
    # by the group where they are highest, the highest first
    best = got.to_numpy().argmax(axis=1)
    assert (np.diff(best) >= 0).all()
    assert all(
        a >= b
        for i, (a, b) in enumerate(zip(got.max(axis=1), got.max(axis=1)[1:], strict=False))
        if best[i] == best[i + 1]
    )
    assert ax.images[0].colorbar.ax.get_ylabel() == "Mean activity (s.d. over cells)"
    low, high = ax.images[0].get_clim()
    assert -low == high == pytest.approx(np.abs(expected).to_numpy().max())  # zero is white


def test_as_written_and_chosen_factors(activities):
    ax = ctl.pl.tf_activity(activities, ["TF4", "TF1"], standardise=False)
    table = activities.mod["rna"].obsm["tf_activity"].astype(float)
    expected = table.groupby(activities.obs["cell_type"].to_numpy()).mean().T.loc[["TF4", "TF1"]]
    pd.testing.assert_frame_equal(drawn(ax), expected, check_names=False)
    assert ax.images[0].colorbar.ax.get_ylabel() == "Mean change of log-odds"
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("cell type", "Transcription factor")


def test_those_that_differ_most_are_drawn(activities):
    table = activities.mod["rna"].obsm["tf_activity"].astype(float)
    z = (table - table.mean()) / table.std(ddof=0)
    spread = z.groupby(activities.obs["cell_type"].to_numpy()).mean().std(ddof=0)
    assert set(drawn(ctl.pl.tf_activity(activities, n_top=2)).index) == set(spread.nlargest(2).index)
    assert len(drawn(ctl.pl.tf_activity(made(60)))) == 25


def test_column_of_rna_and_another_key(activities):
    rna = activities.mod["rna"]
    rna.obsm["mine"] = rna.obsm.pop("tf_activity")
    rna.obs["half"] = ["x", "y"] * 30
    assert list(drawn(ctl.pl.tf_activity(activities, groupby="half", key="mine")).columns) == ["x", "y"]


def test_draws_on_the_given_axes_without_pyplot(activities):
    ax = Figure(layout="constrained").subplots()
    assert ctl.pl.tf_activity(activities, ax=ax) is ax
    assert plt.get_fignums() == []
    ctl.pl.tf_activity(activities)
    assert len(plt.get_fignums()) == 1


@pytest.mark.parametrize("n_tfs", [1, 6, 60])
@pytest.mark.parametrize("size", [(6, 4), (3.3, 2.5)])
def test_no_text_overlaps_another_or_leaves_the_figure(size, n_tfs):
    figure = Figure(figsize=size, layout="constrained", dpi=100)
    ax = figure.subplots()
    ctl.pl.tf_activity(made(n_tfs), ax=ax)
    assert_legible(figure)
    assert {t.get_rotation() for t in ax.get_xticklabels()} == {45.0}  # long names


def test_a_factor_that_is_the_same_everywhere_is_white(activities):
    activities.mod["rna"].obsm["tf_activity"]["TF0"] = np.float32(2.0)
    got = drawn(ctl.pl.tf_activity(activities, ["TF0"]))
    assert (got == 0).all().all()


def test_bad_input(activities):
    with pytest.raises(ChromatellError, match=r"obsm\['none'\]; keys there: 'tf_activity'. Run ctl.tl.tf_activity"):
        ctl.pl.tf_activity(activities, key="none")
    with pytest.raises(ChromatellError, match=r"Did not find mdata.obs\['x'\]; columns there: 'cell_type'"):
        ctl.pl.tf_activity(activities, groupby="x")
    with pytest.raises(ChromatellError, match=r"No activity of \['TF9'\] .* Run ctl.tl.tf_activity"):
        ctl.pl.tf_activity(activities, ["TF9"])
    with pytest.raises(ChromatellError, match="n_top=0 must be at least 1"):
        ctl.pl.tf_activity(activities, n_top=0)
    with pytest.raises(ChromatellError, match="Expected a MuData with a modality 'rna', got AnnData"):
        ctl.pl.tf_activity(activities.mod["rna"])
    activities.obs["empty"] = pd.Series([None] * 60, index=activities.obs_names, dtype=object)
    with pytest.raises(ChromatellError, match="No cell has a label"):
        ctl.pl.tf_activity(activities, groupby="empty")
