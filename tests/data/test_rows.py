"""The reader of rows on disk, against the matrix in memory."""

from __future__ import annotations

import anndata as ad
import dask.array as da
import h5py
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
import zarr
from tests.helpers import in_halves

import chromatell as ctl
from chromatell import ChromatellError, _row_sources
from chromatell._rows import DiskMatrix, as_rows, matrix, read
from chromatell._values import is_counts, nonnegative

KINDS = ("h5ad", "h5ad dense", "zarr", "zarr dense", "dask sparse", "dask dense", "dask columns", "lazy")


@pytest.fixture
def x(rng):
    return sp.csr_matrix(rng.poisson(0.3, (230, 37)).astype(np.float32))


def on_disk(x, kind, folder):
    """Return an AnnData whose X is not in memory."""
    dense = x.toarray()
    names = {"obs": pd.DataFrame(index=[f"c{i}" for i in range(x.shape[0])])}
    if kind == "dask sparse":
        return ad.AnnData(da.from_array(x, chunks=(70, x.shape[1])), **names)
    if kind == "dask dense":
        return ad.AnnData(da.from_array(dense, chunks=(64, x.shape[1])), **names)
    if kind == "dask columns":
        return ad.AnnData(da.from_array(dense, chunks=(64, 10)).map_blocks(sp.csr_matrix), **names)
    whole = ad.AnnData(dense if "dense" in kind else x, **names)
    path = folder / f"a.{'zarr' if 'zarr' in kind else 'h5ad'}"
    if "zarr" in kind:
        whole.write_zarr(path)
        stored = zarr.open_group(str(path), mode="r")["X"]
        return ad.AnnData(stored if "dense" in kind else ad.io.sparse_dataset(stored), **names)
    whole.write_h5ad(path)
    return ad.experimental.read_lazy(path) if kind == "lazy" else ad.read_h5ad(path, backed="r")


def dense_of(m):
    m = read(m)
    return m.toarray() if sp.issparse(m) else m


@pytest.mark.parametrize("kind", KINDS)
def test_rows_and_columns_as_in_memory(x, kind, tmp_path):
    adata, dense = on_disk(x, kind, tmp_path), x.toarray()
    m = matrix(adata)
    assert isinstance(m, DiskMatrix)
    assert m.shape == x.shape
    mask = dense[:, 0] > 0
    wanted = np.array([200, 3, 3, 117, 0, 229])
    for rows in (slice(None), slice(60, 150), slice(None, None, -7), mask, wanted, [5], np.array([], dtype=int), [-1]):
        np.testing.assert_array_equal(dense_of(m[rows]), dense[rows])
    np.testing.assert_array_equal(dense_of(m[wanted][:, [30, 2]][1:4]), dense[wanted][:, [30, 2]][1:4])
    np.testing.assert_array_equal(dense_of(m[:, np.arange(37) % 3 == 0][mask]), dense[:, np.arange(37) % 3 == 0][mask])
    np.testing.assert_allclose(m[mask].sum(axis=1), dense[mask].sum(axis=1), rtol=1e-6)
    np.testing.assert_allclose(m.sum(axis=0), dense.sum(axis=0), rtol=1e-6)
    np.testing.assert_allclose(m[wanted].mean(axis=0), dense[wanted].mean(axis=0), rtol=1e-6)
    assert m.sum() == dense.sum()
    np.testing.assert_array_equal(dense_of(m.changed(lambda b: b * 2)[wanted]), 2 * dense[wanted])
    blocks = list(m.blocks(64))
    assert [(s.start, s.stop) for s, _ in blocks] == [(0, 64), (64, 128), (128, 192), (192, 230)]
    np.testing.assert_array_equal(np.concatenate([dense_of(b) for _, b in blocks]), dense)


def test_long_intervals_are_read_in_pieces(x, tmp_path, monkeypatch):
    monkeypatch.setattr("chromatell._rows._PIECE", 2000)
    m = matrix(on_disk(x, "h5ad", tmp_path))
    seen = []
    read_spans = m.source.read_spans

    def noted(rows, spans):
        spans = list(spans)
        seen.extend(b - a for a, b in spans)
        return read_spans(rows, spans)

    m.source.read_spans = noted
    np.testing.assert_array_equal(dense_of(m), x.toarray())
    assert max(seen) * m.source.row_bytes() <= 2000
    assert sum(seen) == 230
    seen.clear()
    np.testing.assert_array_equal(dense_of(m[[0, 5, 225]]), x.toarray()[[0, 5, 225]])
    assert sum(seen) < 10  # what lies between is not read


def test_view_of_a_backed_file_is_not_read(x, tmp_path):
    part = on_disk(x, "h5ad", tmp_path)[[9, 4, 100], [3, 1]]
    m = matrix(part)
    assert isinstance(m, DiskMatrix)
    np.testing.assert_array_equal(dense_of(m), x.toarray()[[9, 4, 100]][:, [3, 1]])


def test_matrix_in_memory_is_left_alone(x):
    adata = ad.AnnData(x)
    assert matrix(adata) is adata.X
    assert as_rows(None) is None
    assert read(x) is x


def test_a_dask_block_is_computed_once_by_a_pass():
    calls = []
    source = da.from_array(np.arange(200.0).reshape(100, 2), chunks=(50, 2)).map_blocks(
        lambda b: calls.append(1) or b, meta=np.zeros((0, 2))
    )
    m = as_rows(source)
    calls.clear()
    assert [b.shape[0] for _, b in m.blocks(10)] == [10] * 10
    assert len(calls) == 2


def test_checks_read_all_blocks(x, tmp_path):
    x.data[:] = np.maximum(x.data, 1)
    assert is_counts(matrix(on_disk(x, "h5ad", tmp_path)))
    x.data[-1] = 0.5
    assert not is_counts(matrix(on_disk(x, "zarr", tmp_path)))
    x.data[-1] = np.nan
    with pytest.raises(ChromatellError, match="1 NaN or infinite"):
        nonnegative(on_disk(x, "dask sparse", tmp_path), "rna")
    x.data[-1] = -3
    with pytest.raises(ChromatellError, match=r"1 negative values \(smallest -3\)"):
        nonnegative(on_disk(x, "lazy", tmp_path), "rna")


def test_closed_file_is_named(x, tmp_path):
    adata = on_disk(x, "h5ad", tmp_path)
    m = matrix(adata)
    adata.file.close()
    with pytest.raises(ChromatellError, match="open it again"):
        m[:5].read()


def test_store_that_is_gone_is_named(x, tmp_path):
    m = matrix(on_disk(x, "zarr", tmp_path))
    (tmp_path / "a.zarr").rename(tmp_path / "b.zarr")
    with pytest.raises(ChromatellError, match=r"is gone: .*a\.zarr"):
        m[:5].read()


def test_columns_first_is_turned_or_refused(x, tmp_path, monkeypatch):
    with h5py.File(tmp_path / "c.h5", "w") as file:
        ad.io.write_elem(file, "X", sp.csc_matrix(x))
    with h5py.File(tmp_path / "c.h5") as file:
        stored = ad.io.sparse_dataset(file["X"])
        assert (as_rows(stored) != x).nnz == 0
        monkeypatch.setattr(ctl.settings, "dense_limit", 1000)
        with pytest.raises(ChromatellError, match="stored by columns"):
            as_rows(stored)


def test_unknown_chunks_are_refused():
    unknown = da.from_array(np.ones((10, 2)))[da.from_array(np.arange(10) > 4)]
    with pytest.raises(ChromatellError, match="compute_chunk_sizes"):
        as_rows(unknown)


def test_huge_compressed_chunks_are_said_once_with_their_cure(tmp_path, monkeypatch):
    x = sp.random(400, 50, 0.2, format="csr", random_state=0, dtype=np.float32)
    ad.AnnData(x).write_h5ad(tmp_path / "small.h5ad", compression="gzip")
    ad.AnnData(x).write_h5ad(tmp_path / "huge.h5ad")
    with h5py.File(tmp_path / "huge.h5ad", "r+") as file:
        values = file["X/data"][...]
        del file["X/data"]
        file["X"].create_dataset("data", data=values, chunks=values.shape, compression="gzip")
    monkeypatch.setattr(_row_sources, "_CHUNK", 4 * x.nnz - 1)
    as_rows(ad.read_h5ad(tmp_path / "small.h5ad", backed="r").X)
    data = ad.read_h5ad(tmp_path / "huge.h5ad", backed="r")
    with pytest.warns(ctl.ChromatellWarning, match=r"compressed chunks.*ctl.io.write_shuffled\(data, 'cells.zarr'\)"):
        rows = as_rows(data.X)
    np.testing.assert_array_equal(rows[7:9].read().toarray(), x[7:9].toarray())
    as_rows(data.X)  # said once
    assert ctl.io.write_shuffled(data, tmp_path / "cells.zarr", seed=0).is_dir()  # the call that is named


@pytest.mark.parametrize("form", ["csr", "csc", "uint8", "zarr", "dask sparse"])
def test_entries_that_are_there_twice_are_added_up(x, form, tmp_path):
    twice = in_halves(x)
    if form == "uint8":  # where the sum does not fit
        twice = sp.csr_matrix((np.full(twice.nnz, 250, "uint8"), twice.indices, twice.indptr), shape=x.shape)
        x = sp.csr_matrix((x > 0) * 500)
    adata = on_disk(twice, form, tmp_path) if form in KINDS else ad.AnnData(twice.tocsc() if form == "csc" else twice)
    before = None if form in KINDS else adata.X.copy()
    np.testing.assert_array_equal(dense_of(matrix(adata)), x.toarray())
    assert is_counts(matrix(adata))
    nonnegative(adata, "")
    if before is not None:  # the user's own stays
        np.testing.assert_array_equal(adata.X.data, before.data)
        np.testing.assert_array_equal(adata.X.indices, before.indices)


def test_rows_out_of_order_are_no_entries_twice(x):
    backwards = x.copy()
    for i in range(x.shape[0]):
        part = slice(x.indptr[i], x.indptr[i + 1])
        backwards.indices[part], backwards.data[part] = x.indices[part][::-1], x.data[part][::-1]
    backwards.has_sorted_indices = backwards.has_canonical_format = False
    assert as_rows(backwards) is backwards


@pytest.mark.parametrize("step", [1, 2])
def test_an_index_of_64_bits_that_is_too_large_does_not_wrap(x, step, tmp_path):
    """2**32 + 1 cut to 32 bits would be column 1."""
    path = tmp_path / "a.h5ad"
    ad.AnnData(sp.csr_matrix(x)).write_h5ad(path)
    with h5py.File(path, "a") as f:
        index = f["X/indices"][...].astype(np.int64)
        index[0] += 2**32
        del f["X/indices"]
        f["X"].create_dataset("indices", data=index)
    backed = ad.read_h5ad(path, backed="r")
    with pytest.raises(ChromatellError, match=r"X, on disk, is a sparse matrix that does not fit itself: an index is"):
        matrix(backed)[::step].read()
