"""The line of code that an error prints is run, and the error must be gone."""

from __future__ import annotations

from typing import Any

import anndata as ad
import mudata as md
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from tests.cures.harness import code_of

import chromatell as ctl
from chromatell import ChromatellError


def cure(call: str, names: dict[str, Any], match: str, *, rounds: int = 1) -> Any:
    """Run a call that fails, the lines of its error, and the call again; return what that gave."""
    scope = {"ctl": ctl, "np": np, "pd": pd, "mudata": md, **names}
    for _ in range(rounds):
        with pytest.raises(ChromatellError, match=match) as caught:
            exec(call, scope)
        lines = code_of(str(caught.value))
        assert lines, f"no line of code in: {caught.value}"
        for line in lines:
            exec(line, scope)
    exec(call, scope)
    return scope


def paired(n=12, regions=None, **obs):
    rng = np.random.default_rng(0)
    index = pd.Index([f"c{i}" for i in range(n)])
    regions = regions or [f"chr1:{i * 1000}-{i * 1000 + 500}" for i in range(6)]
    rna = ad.AnnData(sp.csr_matrix(rng.poisson(2, (n, 5)) + 1.0), obs=pd.DataFrame(obs, index=index))
    rna.var_names = [f"g{i}" for i in range(5)]
    atac = ad.AnnData(sp.csr_matrix(rng.poisson(1, (n, len(regions))) * 1.0), obs=pd.DataFrame(index=index))
    atac.var_names = regions
    return md.MuData({"rna": rna, "atac": atac})


def test_code_is_found_in_a_message():
    text = "Run ctl.pp.split_cells(mdata, by='x') first. Or keep = rna.X.sum(1) > 0; rna = rna[keep].copy(). No mdata."
    assert code_of(text) == ["ctl.pp.split_cells(mdata, by='x')", "keep = rna.X.sum(1) > 0; rna = rna[keep].copy()"]


@pytest.mark.parametrize("bad", ["chr1:1e-05-100500", "peak_7", "chr1:900-100", "chr1:nan-5"])
def test_regions_without_coordinates(bad):
    mdata = paired(regions=["chr1:0-500", bad, "2:200-700", "chr3:200-700"])
    scope = cure("table = ctl.genome.region_table(atac)", {"atac": mdata.mod["atac"]}, "1 of 4 regions (have|end)")
    assert scope["table"]["chrom"].tolist() == ["chr1", "2", "chr3"]


def test_regions_of_other_columns():
    atac = paired().mod["atac"]
    atac.var["chrom"], atac.var["start"], atac.var["end"] = "chr1", [0, 5, np.nan, 7, 1.5, 9], [5, 9, 9, 2, 9, 99]
    atac.var_names = [f"p{i}" for i in range(6)]
    assert len(cure("table = ctl.genome.region_table(atac)", {"atac": atac}, "3 of 6 regions")["table"]) == 3


def test_cells_without_a_split():
    mdata = paired(40)
    cure("ctl._validate.split_of(mdata)", {"mdata": mdata}, "Did not find mdata.obs", rounds=1)
    mdata.obs["ctl_split"] = "x"
    cure("ctl._validate.split_of(mdata)", {"mdata": mdata}, "must hold only 'train'")


def test_a_region_split_that_is_none():
    mdata = paired(40, regions=[f"chr{1 + i % 8}:{i * 9000}-{i * 9000 + 500}" for i in range(80)])
    mdata.mod["atac"].var["ctl_split"] = "x"
    cure("ctl._validate.region_split_of(mdata.mod['atac'])", {"mdata": mdata}, "must hold 'train'")


@pytest.mark.parametrize("dense", [False, True])
def test_values_that_are_not_finite(dense):
    rna = paired().mod["rna"]
    rna.X = rna.X.toarray() if dense else rna.X
    values = rna.X if dense else rna.X.data
    values.reshape(-1)[:3] = [np.nan, np.inf, -np.inf]
    scope = cure("ctl._values.nonnegative(mdata.mod['rna'], 'rna')", {"mdata": md.MuData({"rna": rna})}, "3 NaN or inf")
    assert np.isfinite(scope["mdata"].mod["rna"].X.sum())


def test_negative_values_beside_counts():
    mdata = paired()
    rna = mdata.mod["rna"]
    rna.layers["counts"] = rna.X.copy()
    rna.X = rna.X.toarray() - 3
    cure("ctl._values.nonnegative(mdata.mod['rna'], 'rna')", {"mdata": mdata}, "negative values")


def test_negative_values_beside_raw():
    """Scanpy's tutorials keep log-normalised values of more genes in .raw before sc.pp.scale."""
    mdata = paired()
    rna = mdata.mod["rna"]
    rna.X = np.log1p(rna.X.toarray() * np.float32(1.3))
    kept = rna.X.copy()
    rna.raw = rna.copy()
    rna.X = rna.X - 3
    scope = cure("ctl._values.nonnegative(mdata.mod['rna'], 'rna')", {"mdata": mdata}, "negative values")
    np.testing.assert_array_equal(scope["mdata"].mod["rna"].X, kept)


def test_names_that_repeat():
    mdata = paired()
    mdata.mod["atac"].var_names = ["a"] * 6
    cure("ctl._validate.modality(mdata, 'atac')", {"mdata": mdata}, "repeated names of variables")


def test_cells_without_expression():
    mdata = paired()
    x = mdata.mod["rna"].X.toarray()
    x[3] = 0
    mdata.mod["rna"].X = sp.csr_matrix(x)
    call = "ctl._values.expressed(mdata.mod['rna'])"
    scope = cure(call, {"mdata": mdata, "rna": mdata.mod["rna"]}, "1 of 12 cells have no expression")
    assert scope["mdata"].n_obs == 11


def test_cells_that_are_not_paired():
    mdata = paired()
    rna, atac = mdata.mod["rna"], mdata.mod["atac"][2:].copy()
    for changed in (md.MuData({"rna": rna, "atac": atac}), md.MuData({"rna": rna[::-1].copy(), "atac": atac})):
        names = {"mdata": changed, "rna": changed.mod["rna"], "atac": changed.mod["atac"]}
        scope = cure("ctl._validate.paired(mdata)", names, "must hold the same cells in the same order")
        assert scope["mdata"].n_obs == 10


def test_an_object_out_of_step():
    mdata = paired()
    mdata.mod["rna"], mdata.mod["atac"] = (mdata.mod[m][:8].copy() for m in ("rna", "atac"))
    cure("ctl._validate.paired(mdata)", {"mdata": mdata}, "is not in step with its modalities")


def test_uns_that_is_not_ours():
    mdata = paired()
    mdata.uns["ctl"] = "x"
    mdata.uns["ctl"] = "x"
    call = "ctl.pp.link_genes(mdata, pd.DataFrame({'chrom': ['chr1'], 'tss': [5], 'name': ['g0']}))"
    cure(call, {"mdata": mdata}, "is not a dict")
    assert mdata.uns["ctl"]["links"]["distance"].nnz > 0


def test_tokens_that_are_not_there(tmp_path, monkeypatch):
    (tmp_path / "genome.fa").write_text(f">chr1\n{'ACGT' * 5000}\n")
    mdata = paired()
    monkeypatch.chdir(tmp_path)  # where the line looks for genome.fa
    scope = cure("ctl.pp.add_sequence(mdata)", {"mdata": mdata}, "have no tokens")
    assert scope["mdata"].mod["atac"].varm["dna_code"].shape == (6, 1344)


def test_cells_given_as_a_path(tmp_path):
    mdata = paired()
    mdata.mod["atac"].write(tmp_path / "x.h5ad")
    call = f"binned = ctl.pp.bin_genome({str(tmp_path / 'x.h5ad')!r}, chrom_sizes={{'chr1': 9000}})"
    with pytest.raises(ChromatellError, match="holds cells, not fragments") as caught:
        exec(call, {"ctl": ctl})
    line = code_of(str(caught.value))[0]
    binned = eval(line.removesuffix(")") + ", chrom_sizes={'chr1': 9000})", {"ctl": ctl})
    assert binned.shape == (12, 2)


def test_values_that_are_no_numbers_or_no_counts():
    call = "ctl._values.nonnegative(mdata.mod['rna'], 'rna')"
    mdata = paired()
    counts = mdata.mod["rna"].X
    mdata.mod["rna"].X = counts.toarray().astype(object)
    scope = cure(call, {"mdata": mdata}, "is of dtype object; numbers are needed")
    assert scope["mdata"].mod["rna"].X.dtype == "float32"
    for value in (1e30, 2.0**31 + 2**10):
        mdata.mod["rna"].X = counts.toarray()
        mdata.mod["rna"].X[2, 1] = value
        scope = cure(call, {"mdata": mdata}, "values up to .*; counts, and values made of them, are at most")
        assert scope["mdata"].obs_names.tolist() == [f"c{i}" for i in range(12) if i != 2]


@pytest.mark.parametrize("change", [0.0, -99.0])
def test_a_query_by_itself_is_not_spoken_of_as_a_modality(change):
    mdata = ctl.datasets.simulate_multiome(60, 8, 12, seed=0)
    ctl.pp.split_cells(mdata, seed=0)
    ctl.tl.dense(mdata, n_hidden=4, n_members=1, seed=0, train_kwargs={"max_epochs": 1})
    adata = mdata.mod["rna"][:20].copy()
    adata.layers["counts"] = adata.X.copy()
    adata.X[:2] = change
    with pytest.raises(ChromatellError) as caught:
        ctl.tl.predict(adata, model=mdata)
    assert "mdata" not in str(caught.value)
    names = {"adata": adata, "np": np}
    exec(code_of(str(caught.value))[0], names)
    assert ctl.tl.predict(names["adata"], model=mdata).n_obs == (18 if change == 0 else 20)


def test_a_split_by_two_columns():
    mdata = paired(40, a=["x", "y"] * 20, b=["1"] * 20 + ["2"] * 10 + ["3"] * 10)
    mdata.obs[["a", "b"]] = mdata.mod["rna"].obs[["a", "b"]]
    with pytest.raises(ChromatellError, match="is of type list; text or None is needed") as caught:
        ctl.pp.split_cells(mdata, by=["a", "b"])
    exec(code_of(str(caught.value))[0], {"mdata": mdata})
    ctl.pp.split_cells(mdata, by="both", seed=0)
    assert mdata.obs.groupby("both", observed=True)["ctl_split"].nunique().max() == 1
