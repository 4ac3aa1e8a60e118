"""Which baselines the data allow, where labels are found, and what is refused."""

from __future__ import annotations

import anndata as ad
import mudata as md
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

import chromatell as ctl
from chromatell import ChromatellError
from chromatell.models.baselines.cells import BaselineFitter
from chromatell.models.baselines.parts import labels_of


@pytest.fixture(scope="module")
def mdata() -> md.MuData:
    mdata = ctl.datasets.simulate_multiome(300, 40, 80, n_types=3, depth=12.0, truth=False, seed=3)
    ctl.pp.split_cells(mdata, fractions=(0.6, 0.2, 0.2), seed=0)
    return mdata


def four_cells(names: list[str]) -> md.MuData:
    obs = pd.DataFrame(index=[f"c{i}" for i in range(4)])
    x = sp.csr_matrix(np.ones((4, 2), dtype=np.float32))
    atac = ad.AnnData(x, obs=obs.copy(), var=pd.DataFrame(index=names))
    mdata = md.MuData({"rna": ad.AnnData(x.copy(), obs=obs.copy()), "atac": atac})
    mdata.obs["ctl_split"] = "train"
    return mdata


def test_available_says_what_the_data_allows(mdata):
    names = mdata.mod["atac"].var_names
    found = BaselineFitter(mdata, names).available()
    assert "celltype_mean" not in found
    assert "gene_activity" not in found
    assert "knn_atac" in found
    one_chromosome, no_coordinates = ["chr1:0-10", "chr1:20-30"], ["a", "b"]
    for other in map(four_cells, (one_chromosome, no_coordinates)):
        fitter = BaselineFitter(other, other.mod["atac"].var_names)
        assert "knn_atac" not in fitter.available()
        with pytest.raises(ChromatellError, match="coordinates|two chromosomes"):
            fitter.predict("knn_atac", np.arange(2))


def test_labels_are_found_wherever_they_are(mdata):
    new = mdata.copy()
    if "cell_type" in new.obs:
        del new.obs["cell_type"]
    for mod in ("rna", "atac"):
        if "cell_type" in new.mod[mod].obs:
            del new.mod[mod].obs["cell_type"]
    new.mod["rna"].obs["kind"] = pd.Categorical(["a", "b", None] * 100)
    for key in ("kind", "rna:kind"):
        found = labels_of(new, key)
        assert found.iloc[:2].tolist() == ["a", "b"]
        assert found.isna().sum() == 100
    with pytest.raises(ChromatellError, match="Did not find mdata.obs\\['cell_type'\\]"):
        labels_of(new, "cell_type")


def test_bad_input(mdata):
    names = mdata.mod["atac"].var_names
    fitter = BaselineFitter(mdata, names, labels_key="cell_type")
    with pytest.raises(ChromatellError, match="kind='nope' is not known"):
        fitter.predict("nope", np.arange(2))
    with pytest.raises(ChromatellError, match="1 of 2 regions .such as 'chrZ:1-2'"):
        BaselineFitter(mdata, pd.Index([names[0], "chrZ:1-2"]))
    with pytest.raises(ChromatellError, match="needs labels"):
        BaselineFitter(mdata, names).predict("celltype_mean", np.arange(2))
    with pytest.raises(ChromatellError, match="needs links. Run ctl.pp.link_genes"):
        fitter.predict("gene_activity", np.arange(2))
    without = mdata.copy()
    del without.obs["ctl_split"]
    with pytest.raises(ChromatellError, match="Run ctl.pp.split_cells"):
        BaselineFitter(without, names)
