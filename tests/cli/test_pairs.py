"""What `chromatell evaluate` prints where regions are held out: a board for each kind of pairs."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import chromatell as ctl
from chromatell.cli import main
from chromatell.cli._tables import gains, kinds, leaderboard

KINDS = ["cross-cell", "cross-region", "cross-both"]


@pytest.fixture(scope="module")
def scored():
    mdata = ctl.datasets.simulate_multiome(200, 30, 120, n_types=2, depth=12.0, seed=0)
    ctl.pp.split_cells(mdata, seed=0)
    atac, rng = mdata["atac"], np.random.default_rng(0)
    atac.varm["dna_code"] = rng.integers(0, 4, (120, 60)).astype(np.int8)
    atac.var["ctl_split"] = rng.choice(["train", "val", "test"], 120)
    ctl.tl.add_prediction(mdata, atac.layers["truth"], key="mine")
    ctl.tl.add_prediction(mdata, atac.layers["truth"], key="observed", uses_target_assay=True)
    return mdata


def test_a_board_for_each_kind(scored, tmp_path, capsys):
    path, csv = tmp_path / "in.h5mu", tmp_path / "scores.csv"
    scored.write_h5mu(path)
    options = ["--baselines", "gc,region_mean", "--n-bootstrap", "10", "--seed", "1"]
    assert main(["evaluate", str(path), "--csv", str(csv), *options]) == 0
    said = " ".join(capsys.readouterr().out.split())
    for kind in KINDS:
        assert f"{kind} pairs, test" in said
        assert f"Gain over the best baseline (paired), {kind}" in said
    table = pd.read_csv(csv)
    assert list(dict.fromkeys(table["pairs"])) == KINDS
    ap = table.query("model == 'mine' and view == 'overall' and metric == 'ap'")["value"]
    assert len(ap) == 3
    assert all(f"{value:.3f}" in said for value in ap)


def test_only_the_pairs_asked_for(scored, tmp_path, capsys):
    path, csv = tmp_path / "in.h5mu", tmp_path / "scores.csv"
    scored.write_h5mu(path)
    options = ["--baselines", "gc", "--n-bootstrap", "0", "--views", "overall"]
    assert main(["evaluate", str(path), "--csv", str(csv), "--pairs", "cross-both,cross-region", *options]) == 0
    assert sorted(pd.read_csv(csv)["pairs"].unique()) == ["cross-both", "cross-region"]
    assert "cross-cell" not in capsys.readouterr().out
    assert main(["evaluate", str(path), "--pairs", "cross-peak", *options]) == 2
    assert "--pairs 'cross-peak' is not one of" in capsys.readouterr().err


def test_rows_are_of_their_kind_and_upper_bounds_say_so(scored):
    mdata = ctl.tl.evaluate(scored, baselines=["gc", "region_mean"], n_bootstrap=0, seed=1, copy=True)
    assert kinds(mdata) == KINDS
    rows = {k: [str(c).split("\n") for c in leaderboard(mdata, "t", pairs=k).columns[0].cells] for k in KINDS}
    assert [r[0] for r in rows["cross-region"]] == ["mine", "observed", "gc"]
    assert {r[0] for r in rows["cross-cell"]} == {"mine", "observed", "gc", "region_mean"}
    assert rows["cross-both"][1] == ["observed", "upper bound, reads the cells' ATAC"]
    table = mdata.uns["ctl"]["gains"]
    for kind in KINDS:
        shown = [str(c) for c in gains(mdata, kind).columns[3].cells]
        own = table.query("pairs == @kind and view == 'overall' and metric == 'ap'")["gain"]
        assert shown[:2] == [f"{g:+.4f}" for g in own]
    assert [str(c) for c in gains(mdata).columns[3].cells] == [str(c) for c in gains(mdata, KINDS[0]).columns[3].cells]
