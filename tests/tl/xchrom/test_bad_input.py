"""``tl.xchrom`` and ``tl.predict`` of it: what cannot be used is named, with its cure."""

from __future__ import annotations

import numpy as np
import pytest
from tests.helpers import joined, spoiled
from tests.tl.xchrom.made import QUICK

import chromatell as ctl
from chromatell import ChromatellError


def broken(mdata, what):
    """Return (a MuData with one thing wrong, options)."""
    rna, atac = spoiled(mdata, what)
    options = {}
    if what == "no sequence":
        del atac.varm["dna_code"]
    elif what == "no such sequence":
        options = {"sequence": "dna"}
    elif what == "short":
        options = {"sequence_length": 400}
    elif what == "all n":
        atac.varm["dna_code"][:] = 4
    elif what == "embedding":
        options = {"embedding": "X_scVI"}
        rna.obsm["X_umap"] = np.zeros((120, 2))
    elif what == "embedding nan":
        rna.obsm["X_pca"] = np.full((120, 2), np.nan)
    elif what == "regions":
        del atac.var["ctl_split"]
        atac.var["ctl_split"] = "somewhere"
    elif what == "option":
        options = {"n_filters": 3}
    elif what == "train option":
        options = {"train_kwargs": {"n_epochs": 3}}
    return joined(mdata, rna, atac, what), options


@pytest.mark.parametrize(
    ("what", "message"),
    [
        ("barcodes", "120 and 120 barcodes, 0 shared"),
        ("order", "the same barcodes in a different order"),
        ("nan", "1 NaN or infinite values"),
        ("negative", "1 negative values"),
        ("unexpressed", "2 of 120 cells have no expression at all"),
        ("no atac", "no modality 'atac'; it has"),
        ("no split", "Run ctl.pp.split_cells"),
        ("closed", "No training region is open in any training cell"),
        ("no sequence", r"varm\['dna_code'\]. Run ctl.pp.add_sequence"),
        ("no such sequence", r"varm\['dna'\]. Run ctl.pp.add_sequence"),
        ("short", r"220 bases long; the model reads 400.*ctl.pp.add_sequence\(mdata, fasta, width=400\)"),
        ("all n", "130 of 130 regions .* have no sequence: all N.*ctl.pp.add_sequence"),
        ("embedding", r"Did not find rna.obsm\['X_scVI'\]; there: 'X_umap'"),
        ("embedding nan", "NaN or infinite values in 120 of 120 cells"),
        ("regions", r"found \['somewhere'\]. Run ctl.pp.split_regions"),
        ("option", r"XChrom knows no option \['n_filters'\]"),
        ("train option", r"train\(\) knows no option \['n_epochs'\]"),
    ],
)
def test_bad_input_names_the_cure_and_changes_nothing(mdata, what, message):
    bad, options = broken(mdata, what)

    def columns():
        return {k: (list(a.obs), list(a.var), list(a.uns), list(a.obsm), list(a.varm)) for k, a in bad.mod.items()}

    before, uns = columns(), sorted(bad.uns)
    with pytest.raises(ChromatellError, match=message):
        ctl.tl.xchrom(bad, **{**QUICK, **options})
    assert columns() == before
    assert sorted(bad.uns) == uns


def test_other_wrong_calls(mdata, done, fasta):
    with pytest.raises(ChromatellError, match="Expected a MuData"):
        ctl.tl.xchrom(mdata["rna"], **QUICK)
    with pytest.raises(ChromatellError, match="key 'a/b' cannot be stored"):
        ctl.tl.xchrom(mdata, key_added="a/b", **QUICK)
    with pytest.raises(ChromatellError, match="takes an AnnData of expression"):
        ctl.tl.predict(np.ones(3), model=done)
    other = done.copy()
    other["atac"].var["ctl_selected"] = np.arange(130) < 20
    with pytest.raises(ChromatellError, match="del mdata.mod"):
        ctl.tl.xchrom(other, **QUICK)
    altered = done.copy()
    weights = altered.uns["ctl"]["models"]["xchrom"]["weights"]
    weights["tower.last.bias"] = weights["tower.last.bias"] + 1
    with pytest.raises(ChromatellError, match="hash"):
        ctl.tl.predict(done["rna"], model=altered)
    with pytest.raises(ChromatellError, match="'chr77'"):
        ctl.tl.predict(done["rna"], model=done, regions=["chr77:500-700"], fasta=fasta)
