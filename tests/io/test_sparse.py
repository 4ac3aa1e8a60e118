"""Sparse matrices that do not fit themselves are refused before anything is computed from them."""

from __future__ import annotations

import anndata
import h5py
import mudata
import numpy as np
import pytest
import scipy.sparse as sp
import zarr
from tests.helpers import dense_multiome

import chromatell as ctl
from chromatell import ChromatellError
from chromatell._sparse import check_sparse


def outside(x, value: int | None = None):
    """Return a matrix of the same values with one index out of range, by one."""
    broken = x.copy()
    broken.indices[0] = broken.shape[1 if broken.format == "csr" else 0] if value is None else value
    return broken


@pytest.fixture
def matrix(rng):
    return sp.random(6, 5, 0.5, format="csr", dtype="float32", random_state=rng)


def test_what_scipy_finds_is_found(matrix):
    """SciPy's own full check is the oracle: the same matrices pass, the same are refused."""

    def refused(x) -> bool:
        try:
            check_sparse(x, "x")
        except ChromatellError:
            return True
        return False

    def oracle(x) -> bool:
        try:
            x.copy().check_format(full_check=True)
        except ValueError:
            return True
        return False

    def changed(x, field, at, by):
        y = x.copy()
        getattr(y, field)[at] += by
        return y

    found = []
    for x in (matrix, matrix.tocsc(), sp.csr_array(matrix), sp.csr_matrix((0, 5))):
        variants = [x] + [changed(x, "indptr", at, by) for at in range(len(x.indptr)) for by in (-1, 1, 100)]
        variants += [changed(x, "indices", at, by) for at in range(min(3, x.nnz)) for by in (-9, 7, 2**30)]
        for variant in variants:
            assert refused(variant) == oracle(variant), (variant.indptr, variant.indices)
            found.append(refused(variant))
    assert 50 < sum(found) < len(found) - 4
    check_sparse(matrix.tocoo(), "x")
    coo = matrix.tocoo()
    coo.row[0] = 6
    with pytest.raises(ChromatellError, match="a coordinate is 6, outside the 6"):
        check_sparse(coo, "x")
    for passed in (np.ones((2, 2)), None, "text", matrix.todia(), matrix.tobsr((2, 1))):
        check_sparse(passed, "x")


def test_pointers_whose_difference_wraps_around(matrix):
    """From the largest to the least whole number of 32 bits is +1 in 32 bits; SciPy's own check lets it pass."""
    broken = matrix.copy()
    broken.indptr[2], broken.indptr[3] = 2**31 - 1, -(2**31)
    assert np.diff(broken.indptr)[2] == 1
    with pytest.raises(ChromatellError, match="indptr goes down"):
        check_sparse(broken, "x")


PLACES = ["X", "layers/l", "raw/X", "obsm/o", "varm/v", "obsp/p", "varp/p", "uns/deep/u"]


def everywhere(rng) -> anndata.AnnData:
    """An AnnData with a sparse matrix in every place."""

    def part(rows, columns):
        return sp.random(rows, columns, 0.5, format="csr", dtype="float32", random_state=rng)

    adata = anndata.AnnData(part(6, 5))
    adata.raw = adata.copy()
    adata.layers["l"], adata.obsm["o"], adata.varm["v"] = part(6, 5), part(6, 2), part(5, 3)
    adata.obsp["p"], adata.varp["p"], adata.uns["deep"] = part(6, 6), part(5, 5), {"u": part(4, 4)}
    return adata


@pytest.mark.parametrize("suffix", [".h5ad", ".zarr"])
def test_reading_looks_at_every_place(suffix, rng, tmp_path):
    path = ctl.io.write(everywhere(rng), tmp_path / f"x{suffix}")
    ctl.io.read(path)
    for place in PLACES:
        root = h5py.File(path, "r+") if suffix == ".h5ad" else zarr.open_group(path, mode="r+")
        indices = root[f"{place}/indices"]
        kept, broken = indices[:], indices[:]
        broken[0] = 6
        indices[:] = broken
        with pytest.raises(ChromatellError, match=r"does not fit itself: an index is 6, outside the \d there are"):
            ctl.io.read(path) if suffix == ".zarr" else _closed(root, lambda: ctl.io.read(path))
        root = h5py.File(path, "r+") if suffix == ".h5ad" else root
        root[f"{place}/indices"][:] = kept
        if suffix == ".h5ad":
            root.close()
    ctl.io.read(path)


def _closed(file, call):
    file.close()
    return call()


def test_a_modality_and_its_name(rng, tmp_path):
    mdata = mudata.MuData({"rna": everywhere(rng)})
    mdata.mod["rna"].layers["l"] = outside(mdata.mod["rna"].layers["l"])
    path = ctl.io.write(mdata, tmp_path / "x.h5mu")
    with pytest.raises(ChromatellError, match=r"mod\['rna'\] of .*\.layers\['l'\] is a sparse matrix"):
        ctl.io.read(path)


@pytest.mark.parametrize("suffix", [".h5ad", ".zarr"])
@pytest.mark.parametrize("change", ["float", "short", "flat"])
def test_the_walk_wants_integer_index_arrays(suffix, change, rng, tmp_path):
    path = ctl.io.write(everywhere(rng), tmp_path / f"x{suffix}")
    root = h5py.File(path, "r+") if suffix == ".h5ad" else zarr.open_group(path, mode="r+")
    group = root["obsp/p"]
    indices = group["indices"][:]
    del group["indices"]
    new = {"float": indices.astype("f8"), "short": indices[:-1], "flat": indices[:, None]}[change]
    if suffix == ".h5ad":
        group["indices"] = new
        root.close()
    else:
        group.create_array("indices", data=new)
        zarr.consolidate_metadata(path)
    with pytest.raises(ChromatellError, match="not arrays of integers"):
        ctl.io.check_file(path)


@pytest.fixture(scope="module")
def trained():
    return dense_multiome(120, 12, 20, n_types=2)


@pytest.mark.parametrize("name", ["rna", "atac"])
def test_the_gates_of_training_and_prediction(trained, name):
    mdata = trained.copy()
    mdata.mod[name].X = outside(sp.csr_matrix(mdata.mod[name].X))
    fits = rf"mdata\.mod\['{name}'\]\.X is a sparse matrix that does not fit itself"
    for call in (
        lambda: ctl.tl.dense(mdata, key_added="again", train_kwargs={"max_epochs": 1}),
        lambda: ctl.models.Dense.setup_mudata(mdata),
        lambda: ctl.tl.baseline(mdata, "region_mean"),
        lambda: ctl.tl.evaluate(mdata, baselines=None, n_bootstrap=0),
        lambda: ctl.tl.atacformer(mdata, train_kwargs={"max_epochs": 1}),
        lambda: ctl.pp.select_features(mdata, n_regions=5),
    ):
        with pytest.raises(ChromatellError, match=fits):
            call()
    if name == "rna":
        with pytest.raises(ChromatellError, match="does not fit itself"):
            ctl.tl.predict(mdata.mod["rna"], model=trained)
        with pytest.raises(ChromatellError, match="does not fit itself"):
            ctl.models.load(trained).predict(mdata)
    else:
        with pytest.warns(match="target assay"), pytest.raises(ChromatellError, match=fits):
            ctl.tl.predict(mdata, model=trained, depth="observed")


@pytest.mark.parametrize("part", ["indices", "indptr"])
def test_rows_on_disk_are_looked_at_as_they_are_read(part, trained, tmp_path):
    rna = trained.mod["rna"].copy()
    rna.X = sp.csr_matrix(rna.X)
    path = ctl.io.write(rna, tmp_path / "x.h5ad")
    with h5py.File(path, "r+") as file:
        file[f"X/{part}"][3] = rna.n_vars if part == "indices" else rna.X.nnz + 1
    backed = anndata.read_h5ad(path, backed="r")
    with pytest.raises(ChromatellError, match="X, on disk, is a sparse matrix that does not fit itself"):
        ctl.tl.predict(backed, model=trained)
