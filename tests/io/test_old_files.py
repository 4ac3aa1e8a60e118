"""Files of anndata 0.7 and muon 0.1, whose columns refer to their categories by an HDF5 reference."""

from __future__ import annotations

import anndata
import h5py
import numpy as np
import pytest

import chromatell as ctl
from chromatell import ChromatellError

TYPES = ["B", "T", "B", "NK"]
pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::anndata.OldFormatWarning")


def write_axis(parent, axis: str, names: list[str], column: str | None):
    group = parent.create_group(axis)
    group.create_dataset("_index", data=names, dtype=h5py.string_dtype())
    group.attrs.update({"_index": "_index", "encoding-type": "dataframe", "encoding-version": "0.1.0"})
    group.attrs["column-order"] = np.array([column] if column else [], dtype=h5py.string_dtype())
    if column is None:
        return None
    values = group.create_group("__categories").create_dataset(column, data=["B", "NK", "T"], dtype=h5py.string_dtype())
    values.attrs["ordered"] = False
    codes = group.create_dataset(column, data=np.array([0, 2, 0, 1], dtype="i1"))
    codes.attrs["categories"] = values.ref
    return codes


def old_h5ad(path) -> None:
    """What anndata 0.7.8 writes, by hand."""
    with h5py.File(path, "w") as file:
        file.create_dataset("X", data=np.arange(12, dtype="f4").reshape(4, 3))
        write_axis(file, "obs", ["c1", "c2", "c3", "c4"], "cell_type")
        write_axis(file, "var", ["G1", "G2", "G3"], None)


def test_columns_read_as_anndata_reads_them(tmp_path):
    path = tmp_path / "old.h5ad"
    old_h5ad(path)
    ctl.io.check_file(path)
    found = ctl.io.read(path)
    assert found.obs["cell_type"].tolist() == anndata.read_h5ad(path).obs["cell_type"].tolist() == TYPES
    np.testing.assert_array_equal(found.X, np.arange(12).reshape(4, 3))


@pytest.mark.filterwarnings("error::anndata.OldFormatWarning")
def test_a_reader_of_an_old_file_is_not_warned_of_its_format(tmp_path):
    old_h5ad(tmp_path / "old.h5ad")
    assert ctl.io.read(tmp_path / "old.h5ad").obs["cell_type"].tolist() == TYPES


def change(codes, what: str) -> None:
    group, file = codes.parent, codes.file
    own = group["__categories/cell_type"]
    if what == "elsewhere":
        other = file.create_dataset("elsewhere", data=["B", "NK", "T"], dtype=h5py.string_dtype())
        codes.attrs["categories"] = other.ref
    elif what == "a group":
        codes.attrs["categories"] = group.ref
    elif what == "a region":
        codes.attrs["categories"] = own.regionref[0:2]
    elif what == "null":
        codes.attrs.create("categories", h5py.Reference(), dtype=h5py.ref_dtype)
    elif what == "several":
        codes.attrs.create("categories", np.array([own.ref, own.ref], dtype=h5py.ref_dtype))
    elif what == "another name":
        codes.attrs["more"] = own.ref
    elif what == "a data set":
        file.create_dataset("references", data=np.array([own.ref], dtype=h5py.ref_dtype))
    elif what == "a link in between":
        del group["__categories"]
        group["__categories"] = h5py.SoftLink("/other")
        other = file.create_group("other").create_dataset("cell_type", data=["x"], dtype=h5py.string_dtype())
        codes.attrs["categories"] = other.ref


@pytest.mark.parametrize(
    "what",
    ["elsewhere", "a group", "a region", "null", "several", "another name", "a data set", "a link in between"],
)
def test_every_other_reference_stays_refused(what, tmp_path):
    path = tmp_path / "old.h5ad"
    old_h5ad(path)
    with h5py.File(path, "r+") as file:
        change(file["obs/cell_type"], what)
    with pytest.raises(ChromatellError, match="references|a soft link"):
        ctl.io.check_file(path)
