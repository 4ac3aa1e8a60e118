from pathlib import Path

import mudata
import numpy as np
import pytest

import chromatell as ctl
from chromatell.genome.annotation import read_genes

FILES = Path(ctl.datasets.__file__).parent / "_files"


@pytest.fixture(scope="module")
def mdata():
    return ctl.datasets.pbmc_example()


def test_what_it_holds(mdata):
    rna, atac = mdata.mod["rna"], mdata.mod["atac"]
    assert rna.shape == (3200, 51)
    assert atac.shape == (3200, 1000)
    assert rna.X.dtype == atac.X.dtype == np.float32
    assert atac.X.format == "csr"
    assert mdata.obs["cell_type"].nunique() == 13
    assert list(mdata.obs.columns) == ["cell_type"]
    assert (atac.X.data >= 1).all()
    assert rna.obs_names.equals(atac.obs_names)


def test_small_and_attributed():
    assert (FILES / "pbmc_example.h5mu").stat().st_size <= 1_500_000
    text = (FILES / "ATTRIBUTION.md").read_text()
    for words in ("10x Genomics", "CC BY 4.0", "chromatinhd", "smoothed over neighbouring cells", "51 genes"):
        assert words in text
    assert "smoothed the" in ctl.datasets.pbmc_example.__doc__


def test_it_is_a_cut_of_the_source(mdata, data_dir):
    full = mudata.read_h5mu(data_dir / "multiome" / "pbmc10k_51genes.h5mu")
    rna, atac = full.mod["rna"], full.mod["atac"]
    cells = rna.obs_names.get_indexer(mdata.obs_names)
    regions = atac.var_names.get_indexer(mdata.mod["atac"].var_names)
    assert (cells >= 0).all()
    assert (regions >= 0).all()
    assert (atac.X[cells][:, regions] != mdata.mod["atac"].X).nnz == 0
    np.testing.assert_allclose(mdata.mod["rna"].X, rna.X[cells], rtol=1e-3, atol=1e-6)
    assert mdata.obs["cell_type"].tolist() == rna.obs["cell_type"].iloc[cells].tolist()
    # the regions are the most open ones in the cells that are not in the example
    others = np.setdiff1d(np.arange(full.n_obs), cells)
    n_open = np.asarray((atac.X[others] > 0).sum(axis=0)).ravel()
    left_out = np.setdiff1d(np.arange(atac.n_vars), regions)
    assert n_open[regions].min() >= n_open[left_out].max()
    genes = read_genes(data_dir / "annotation" / "hg38_genes.tsv.gz").set_index("gene_id")
    assert mdata.mod["rna"].var["tss"].tolist() == genes.loc[rna.var["gene_id"], "tss"].tolist()


def test_first_steps(mdata):
    mdata = mdata.copy()
    ctl.pp.split_cells(mdata, seed=0)
    ctl.pp.link_genes(mdata, mdata.mod["rna"].var)
    ctl.pp.select_features(mdata, n_regions=500)
    atac = mdata.mod["atac"]
    chosen = atac.var["ctl_selected"].to_numpy()
    assert chosen.sum() == 500
    assert 0.08 < (atac.X[:, chosen] > 0).mean() < 0.11
    assert mdata.uns["ctl"]["links"]["distance"].nnz > 900
    test = (mdata.obs["ctl_split"] == "test").to_numpy()
    assert ((atac.X[test][:, chosen] > 0).sum(axis=0) > 0).all()
