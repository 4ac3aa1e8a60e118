"""Text in files: written so that every release of anndata reads it, and given back to the user as it was."""

from __future__ import annotations

import contextlib

import anndata as ad
import h5py
import mudata as md
import numpy as np
import pandas as pd
import pytest
import zarr

import chromatell as ctl
from chromatell import ChromatellError
from chromatell._compat import no_pull, own_text_dtype
from chromatell.io._text_columns import check_columns, is_own_dtype, plain_text

CELLS = ["a", "b", "c", "d"]


def of_own_text() -> md.MuData:
    """Text as pandas 3, or a file written with it, has it: in the index, columns, categories, obsm and uns."""
    index = pd.Index(pd.array(CELLS, dtype="string"))
    column = pd.array(["x", "y", None, "x"], dtype="string")
    obs = pd.DataFrame({"with_missing": column, "unique": pd.array(CELLS, dtype="string")}, index=index)
    obs["kind"] = pd.Categorical(["x", "y", "x", None], categories=pd.Index(pd.array(["y", "x"], dtype="string")))
    rna = ad.AnnData(np.ones((4, 2), "float32"), obs=obs)
    rna.var_names = pd.Index(pd.array(["g", "h"], dtype="string"))
    rna.obsm["table"] = pd.DataFrame({"t": column}, index=rna.obs_names)
    rna.uns["one"] = {"table": pd.DataFrame({"t": column, "n": [1, 2, 3, 4]}), "array": pd.array(["p"], dtype="string")}
    with no_pull():
        mdata = md.MuData({"rna": rna})
    mdata.obs["donor"] = pd.array(["m", None, "m", "n"], dtype="string")
    mdata.uns["ctl_like"] = pd.DataFrame({"model": pd.array(["dense", "knn"], dtype="string")})
    return mdata


def encodings(path) -> set[str]:
    if path.suffix == ".zarr":
        return {str(o.attrs.get("encoding-type")) for _, o in zarr.open_group(path, mode="r").members(max_depth=None)}
    found = []
    with h5py.File(path) as file:
        file.visititems(lambda _, o: found.append(str(o.attrs.get("encoding-type"))))
    return set(found)


def test_text_is_a_numpy_array_or_categories_where_values_are_missing():
    table = pd.DataFrame({"m": pd.array(["x", None], "string"), "t": pd.array(["x", "y"], "string"), "n": [1, 2]})
    table.index = pd.Index(pd.array(["i", "j"], dtype="string"), name="cells")
    plain = plain_text(table)
    assert list(plain.dtypes.astype(str)) == ["category", "object", "int64"]
    assert plain["m"].cat.categories.dtype == plain.index.dtype == object
    assert (list(plain["m"].cat.codes), list(plain["t"]), list(plain.index)) == ([0, -1], ["x", "y"], ["i", "j"])
    assert plain.index.name == "cells"
    assert is_own_dtype(table["t"].dtype)


def test_the_order_of_categories_stays():
    kind = pd.Categorical(["x", "y"], categories=pd.Index(pd.array(["y", "x"], dtype="string")), ordered=True)
    plain = plain_text(pd.DataFrame({"k": kind}))["k"].cat
    assert (list(plain.categories), plain.ordered, list(plain.codes)) == (["y", "x"], True, [1, 0])


def test_what_holds_no_text_of_its_own_dtype_is_returned_itself():
    table = pd.DataFrame({"n": [1.0]}, index=pd.Index(["a"], dtype=object))
    nested = {"a": {"b": table}, "c": np.ones(1)}
    assert plain_text(table) is table
    assert plain_text(nested) is nested


@pytest.mark.parametrize("suffix", [".h5mu", ".zarr"])
def test_every_release_of_anndata_reads_what_is_written(suffix, tmp_path):
    mdata = of_own_text()
    path = ctl.io.write(mdata, tmp_path / f"x{suffix}")
    assert "string-array" in encodings(path)
    assert not {e for e in encodings(path) if "nullable" in e}
    found = ctl.io.read(path)
    assert found["rna"].obs["with_missing"].isna().tolist() == [False, False, True, False]
    assert found["rna"].obs["with_missing"].dropna().tolist() == ["x", "y", "x"]
    assert found["rna"].obs["kind"].cat.categories.tolist() == ["y", "x"]
    assert found["rna"].obs_names.tolist() == found.obs_names.tolist() == CELLS
    assert found["rna"].uns["one"]["table"]["t"].dropna().tolist() == ["x", "y", "x"]
    assert found["rna"].uns["one"]["array"].tolist() == ["p"]
    assert found.obs["donor"].isna().tolist() == [False, True, False, False]


@pytest.mark.parametrize("suffix", [".h5mu", ".zarr"])
def test_the_users_own_object_stays_as_it_was(suffix, tmp_path):
    mdata = of_own_text()
    before, obs, var = mdata.obs.copy(), mdata["rna"].obs.copy(), mdata["rna"].var.copy()
    uns, table = mdata["rna"].uns, mdata["rna"].obsm["table"]
    ctl.io.write(mdata, tmp_path / f"x{suffix}")
    pd.testing.assert_frame_equal(mdata.obs, before)
    pd.testing.assert_frame_equal(mdata["rna"].obs, obs)
    pd.testing.assert_frame_equal(mdata["rna"].var, var)
    assert mdata["rna"].uns is uns
    assert is_own_dtype(uns["one"]["table"]["t"].dtype)
    pd.testing.assert_frame_equal(mdata["rna"].obsm["table"], table)


def test_an_h5ad_too(tmp_path):
    adata = of_own_text()["rna"]
    adata.raw = adata.copy()
    path = ctl.io.write(adata, tmp_path / "x.h5ad")
    assert not {e for e in encodings(path) if "nullable" in e}
    assert ctl.io.read(path).raw.var_names.tolist() == ["g", "h"]


@pytest.mark.parametrize("suffix", [".h5mu", ".zarr"])
def test_a_file_of_a_newer_stack_can_be_written_again_by_mudata_itself(suffix, tmp_path):
    newer = tmp_path / "newer.h5mu"
    with ad.settings.override(allow_write_nullable_strings=True), no_pull():
        of_own_text().write_h5mu(newer)
    assert "nullable-string-array" in encodings(newer)
    found = ctl.io.read(newer)
    assert is_own_dtype(found["rna"].obs_names.dtype) is own_text_dtype()
    write = md.write_h5mu if suffix == ".h5mu" else md.write_zarr
    write(tmp_path / f"again{suffix}", found)
    again = ctl.io.read(tmp_path / f"again{suffix}")
    assert again["rna"].obs["with_missing"].isna().tolist() == [False, False, True, False]
    assert again.obs_names.tolist() == CELLS


def test_the_same_barcodes_in_either_dtype_are_the_same(tmp_path):
    mdata = ctl.datasets.simulate_multiome(30, 6, 9, seed=0)
    values = np.full((30, 9), 0.5, np.float32)
    other = ad.AnnData(values, obs=pd.DataFrame(index=pd.Index(mdata.obs_names.to_numpy(), dtype=object)))
    other.var_names = pd.Index(pd.array(mdata["atac"].var_names, dtype="string"))
    other.obs_names = pd.Index(pd.array(mdata.obs_names, dtype="string"))[::-1]
    ctl.tl.add_prediction(mdata, other, key="mine")
    np.testing.assert_array_equal(mdata["atac_pred"].X, values)


@pytest.mark.parametrize("place", ["obs/type/categories", "obs/type/codes", "obs/_index", "obs/number"])
@pytest.mark.parametrize("kind", ["h5ad", "zarr"])
def test_columns_of_two_dimensions_are_refused(tmp_path, place, kind):
    """pandas would make tuples of them, and names such as "('a',)"."""
    obs = pd.DataFrame({"type": pd.Categorical(["x", "y", "x"]), "number": [1, 2, 3]}, index=list("abc"))
    adata = ad.AnnData(np.ones((3, 2), "float32"), obs=obs)
    path = tmp_path / f"x.{kind}"
    adata.write_h5ad(path) if kind == "h5ad" else adata.write_zarr(path)
    with h5py.File(path, "r+") if kind == "h5ad" else contextlib.nullcontext(zarr.open_group(path)) as root:
        if not hasattr(root[place], "dtype"):  # text of pandas 3: a group of values and a mask
            place += "/values"
        values, attributes = root[place][...], dict(root[place].attrs)
        del root[place]
        made = root.create_array if kind == "zarr" else root.create_dataset
        made(place, data=values[:, None]).attrs.update(attributes)
    if path.is_dir():
        zarr.consolidate_metadata(path)
    with pytest.raises(ChromatellError, match="has not one dimension|wrong number of dimensions"):
        ctl.io.read(path)


def test_categories_of_bytes_are_named():
    obs = pd.DataFrame({"type": pd.Categorical([b"x", b"y"])}, index=["a", "b"])
    with pytest.raises(ChromatellError, match="column 'type' holds .* a bytes where text or a number is needed"):
        check_columns(ad.AnnData(np.ones((2, 2), "float32"), obs=obs), "x.h5ad")
