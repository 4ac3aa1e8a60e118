"""Files whose modalities have other names, and counts in a layer: ``--rna``, ``--atac``, ``--layer``."""

from __future__ import annotations

import argparse

import mudata as md
import numpy as np
import pandas as pd
import pytest

import chromatell as ctl
from chromatell.cli import main
from chromatell.cli._signatures import layers


@pytest.fixture
def renamed(simulated, tmp_path):
    rna, atac = simulated.mod["rna"].copy(), simulated.mod["atac"].copy()
    rna.layers["counts"] = rna.X.copy()
    rna.X = np.ones(rna.shape, dtype=np.float32)  # says nothing of a cell: the layer must be read
    mdata = md.MuData({"gex": rna, "peaks": atac})
    mdata.write_h5mu(tmp_path / "renamed.h5mu")
    return tmp_path / "renamed.h5mu"


def test_names_and_a_layer_give_what_the_usual_ones_do(renamed, by_api, tmp_path):
    named = ["--rna", "gex", "--atac", "peaks"]
    out, scores, query = tmp_path / "out.h5mu", tmp_path / "scores.csv", tmp_path / "query.h5mu"
    words = ["train", renamed, "-o", out, "--seed", "3", "--max-epochs", "2", *named, "--layer", "gex=counts"]
    assert main([str(w) for w in words]) == 0
    done = md.read_h5mu(out)
    assert list(done.mod) == ["gex", "peaks", "atac_pred"]
    np.testing.assert_allclose(done["atac_pred"].X, by_api["atac_pred"].X, atol=1e-6)

    usual = by_api.copy()
    ctl.tl.evaluate(usual, baselines=["region_mean"], n_bootstrap=0, seed=0)
    words = [
        "evaluate",
        out,
        "--csv",
        scores,
        "--baselines",
        "region_mean",
        "--n-bootstrap",
        "0",
        "--seed",
        "0",
        *named,
    ]
    assert main([str(w) for w in (*words, *named)]) == 0
    want = usual.uns["ctl"]["evaluation"]["value"].to_numpy()
    np.testing.assert_allclose(pd.read_csv(scores)["value"], want, atol=1e-6)

    words = ["predict", renamed, "--model", out, "-o", query, *named, "--layer", "gex=counts"]
    assert main([str(w) for w in words]) == 0
    np.testing.assert_allclose(md.read_h5mu(query)["atac_pred"].X, done["atac_pred"].X, atol=1e-6)


def test_what_a_layer_may_be():
    assert layers("counts") == "counts"
    assert layers("rna=counts,atac=raw") == {"rna": "counts", "atac": "raw"}
    with pytest.raises(argparse.ArgumentTypeError, match="is neither a layer nor modalities with theirs: rna=counts"):
        layers("rna=")


def test_tracks_have_no_modalities(cells, refused):
    said = refused(["train", cells, "-o", cells.with_name("o.zarr"), "--family", "nascent", "--rna", "gex"], 2)
    assert "--rna is for --family dense or xchrom or atacformer" in said
