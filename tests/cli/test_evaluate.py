"""``chromatell evaluate``: the same tables as the Python call, and how they are shown."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from pandas.testing import assert_frame_equal
from tests.helpers import file_names

import chromatell as ctl
from chromatell.cli import main
from chromatell.cli._tables import gains, leaderboard


def test_evaluate_prints_and_writes_the_same_table_as_the_api(shared, tmp_path, capsys):
    out, csv = tmp_path / "scored.h5mu", tmp_path / "scores.csv"
    options = ["--baselines", "region_mean,knn", "--n-bootstrap", "20", "--views", "overall,per_cell", "--seed", "1"]
    before = shared.read_bytes()
    assert main(["evaluate", str(shared), "-o", str(out), "--csv", str(csv), *options]) == 0
    mdata = ctl.io.read(shared)
    ctl.tl.evaluate(mdata, baselines=["region_mean", "knn"], n_bootstrap=20, views=["overall", "per_cell"], seed=1)
    expected = mdata.uns["ctl"]["evaluation"]
    assert_frame_equal(pd.read_csv(csv), expected.reset_index(drop=True), check_dtype=False, atol=1e-12)
    written = ctl.io.read(out).uns["ctl"]["evaluation"]
    np.testing.assert_allclose(written["value"], expected["value"])
    assert shared.read_bytes() == before
    assert file_names(tmp_path) == {"scored.h5mu", "scores.csv"}
    said = capsys.readouterr().out
    ap = expected.set_index(["model", "view", "metric"]).loc[("dense", "overall", "ap")]
    assert f"{ap['value']:.3f}" in said
    assert f"{ap['ci_low']:.3f}–{ap['ci_high']:.3f}" in said
    assert "Gain over the best baseline" in said


def test_evaluate_without_output_writes_nothing(shared, capsys):
    before = file_names(shared.parent), shared.read_bytes()
    assert main(["evaluate", str(shared), "--baselines", "none", "--labels", "none", "--n-bootstrap", "0"]) == 0
    assert (file_names(shared.parent), shared.read_bytes()) == before
    said = capsys.readouterr().out
    assert "Gain" not in said
    assert "dense" in said


def test_the_leaderboard_orders_and_marks_its_rows(by_api, capsys):
    mdata = by_api.copy()
    kinds = ["region_mean", "knn", "region_mean_true_depth"]
    ctl.tl.evaluate(mdata, baselines=kinds, n_bootstrap=20, seed=0)
    table = leaderboard(mdata, "title", "note")
    rows = [str(cell).split("\n")[0] for cell in table.columns[0].cells]
    scores = mdata.uns["ctl"]["evaluation"]
    ap = scores[(scores["view"] == "overall") & (scores["metric"] == "ap")].set_index("model")["value"]
    assert rows == ["dense", *ap[["region_mean", "knn"]].sort_values(ascending=False).index, "region_mean_true_depth"]
    assert "reads the cells' ATAC" in str(list(table.columns[0].cells)[-1])
    shown = gains(mdata)
    # of 32 test cells no two types have the 20 that a profile needs
    assert [str(cell) for cell in shown.columns[1].cells] == [
        "AP, all pairs",
        "AUROC, per cell",
        "AUROC, depth-matched",
    ]
    gain = mdata.uns["ctl"]["gains"].set_index(["view", "metric"]).loc[("overall", "ap")]
    assert next(iter(shown.columns[2].cells)) == gain["baseline"]
    assert str(next(iter(shown.columns[3].cells))) == f"{gain['gain']:+.4f}"
    assert ap["dense"] - ap[gain["baseline"]] == pytest.approx(gain["gain"])


@pytest.mark.parametrize("option", [["--targets", "A"], ["--block", "5"], ["--resolutions", "5,10"]])
def test_options_of_tracks_are_refused_for_cells(shared, refused, option):
    assert f"{option[0]} is of tracks" in refused(["evaluate", shared, *option], 2)
