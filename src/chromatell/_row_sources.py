"""Where rows of a matrix come from: CSR and dense arrays of HDF5 and Zarr, dask arrays, matrices in memory."""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from functools import lru_cache
from math import prod
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import scipy.sparse as sp

from chromatell._errors import ChromatellError, ChromatellWarning
from chromatell._sparse import check_index, check_indptr, check_sparse, summed

_CHUNK = 64 * 1024**2  # bytes of a chunk from which a few rows cost too much: all of it is unpacked for them
_said_of: set[str] = set()  # files whose chunks were spoken of


class Source(Protocol):
    """Where rows come from."""

    shape: tuple[int, int]
    dtype: np.dtype

    def read(self, start: int, stop: int) -> Any:
        """Return rows `start` to `stop`, CSR or ndarray."""

    def row_bytes(self) -> float:
        """Return about how many bytes a row takes once read."""


class opened:
    """Says of a file that is closed or gone what to do about it."""

    def __init__(self, x: Any):
        self.x = x

    def __enter__(self) -> None:
        store = getattr(getattr(getattr(self.x, "group", self.x), "store", None), "root", None)
        if store is not None and not Path(str(store)).exists():
            raise ChromatellError(f"The Zarr store that X is read from is gone: {store}. Put it back, or open another.")

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        if isinstance(error, OSError | KeyError | ValueError | RuntimeError) and not isinstance(error, ChromatellError):
            raise ChromatellError(
                f"X is on disk and cannot be read ({type(error).__name__}: {error}). Its file is closed, moved or cut "
                "short: open it again, e.g. anndata.read_h5ad(path, backed='r')."
            ) from error


def _say_of_chunks(array: Any) -> None:
    """Warn, once a file, where reading a few rows means unpacking a chunk that holds very many."""
    chunks = getattr(array, "chunks", None)
    size = prod(chunks) * np.dtype(array.dtype).itemsize if chunks else 0
    packed = getattr(array, "compression", "zarr") is not None  # a chunk of Zarr is read whole in any case
    name = str(getattr(getattr(array, "file", None), "filename", None) or getattr(array, "store", ""))
    if size <= _CHUNK or not packed or name in _said_of:
        return
    _said_of.add(name)
    warnings.warn(
        f"X is stored in compressed chunks of {size / 1024**2:,.0f} MB, each of which is unpacked for every few cells "
        "that are read of it: training from this file will be slow. Write it once in small chunks: "
        "ctl.io.write_shuffled(data, 'cells.zarr'); data = ctl.io.open_cells('cells.zarr').",
        ChromatellWarning,
        stacklevel=2,
    )


def _shape(x: Any) -> tuple[int, int]:
    return int(x.shape[0]), int(x.shape[1])


def _float(block: np.ndarray) -> np.ndarray:
    return block.astype(np.float32) if block.dtype == np.float16 else block  # scipy has no sparse float16


def _address(x: Any) -> tuple[str, Any]:
    """Return where an array or group lies: the path of its file and its name there, or itself, of Zarr."""
    group = getattr(x, "group", x)
    return (group.name, Path(group.file.filename).absolute()) if hasattr(group, "file") else ("", group)


@lru_cache(maxsize=16)
def _opened_again(kind: Any, name: str, place: Any) -> Any:
    import anndata
    import h5py

    group = h5py.File(place, "r")[name] if name else place
    return kind(anndata.io.sparse_dataset(group) if kind is CsrRows else group)


class CsrRows:
    """Rows of a CSR group of HDF5 or Zarr: its arrays are read directly, only `indptr` is kept."""

    def __reduce__(self) -> tuple[Any, ...]:
        return _opened_again, (type(self), *_address(self.x))

    def __init__(self, x: Any):
        self.x, self.shape = x, _shape(x)
        self.indptr = np.asarray(x.group["indptr"][...]).astype(np.int64)
        self.data, self.indices = x.group["data"], x.group["indices"]
        _say_of_chunks(self.data)
        check_indptr(self.indptr, self.shape[0], self.indices.shape[0], "X, on disk,")
        self.dtype = np.dtype(self.data.dtype)
        self._index = np.int32 if self.shape[1] < 2**31 else np.int64

    def row_bytes(self) -> float:
        return 12 * self.indptr[-1] / max(self.shape[0], 1)

    def read(self, start: int, stop: int) -> sp.csr_matrix:
        low, high = int(self.indptr[start]), int(self.indptr[stop])
        with opened(self.x):
            value, index = self.data[low:high], self.indices[low:high]
        return self._checked(_float(np.asarray(value)), self._narrow(index), self.indptr[start : stop + 1] - low)

    def read_spans(self, rows: np.ndarray, spans: Iterable[tuple[int, int]]) -> sp.csr_matrix:
        """Return `rows`, which rise and lie in the spans: read into their place, so that few are there twice."""
        counts = self.indptr[rows + 1] - self.indptr[rows]
        total = int(counts.sum())
        value, index = np.empty(total, dtype=self.dtype), np.empty(total, dtype=self._index)
        at = first = 0
        for start, stop in spans:
            low, high = int(self.indptr[start]), int(self.indptr[stop])
            last = first + int(np.searchsorted(rows[first:], stop))
            wanted: Any = slice(None)
            if last - first < stop - start:  # some rows of the span are not asked for
                keep = np.zeros(stop - start, dtype=bool)
                keep[rows[first:last] - start] = True
                wanted = np.repeat(keep, np.diff(self.indptr[start : stop + 1]))
            end = at + int(counts[first:last].sum())
            with opened(self.x):
                block = self.data[low:high], self._narrow(self.indices[low:high])
            value[at:end], index[at:end] = block[0][wanted], block[1][wanted]
            at, first = end, last
        indptr = np.concatenate([[0], np.cumsum(counts)])
        return self._checked(_float(value), index, indptr)

    def _narrow(self, index: Any) -> np.ndarray:
        """Return column indices in 32 bits where all columns can be told so; one that is too large does not wrap."""
        index = np.asarray(index)
        if index.dtype.itemsize > np.dtype(self._index).itemsize:
            check_index(index, self.shape[1], "X, on disk,")
        return index.astype(self._index, copy=False)

    def _checked(self, value: np.ndarray, index: np.ndarray, indptr: np.ndarray) -> sp.csr_matrix:
        block = sp.csr_matrix((value, index, indptr), shape=(len(indptr) - 1, self.shape[1]))
        check_sparse(block, "X, on disk,")
        return summed(block)


class DenseRows:
    """Rows of a dense array of HDF5 or Zarr."""

    __reduce__ = CsrRows.__reduce__

    def __init__(self, x: Any):
        self.x, self.shape, self.dtype = x, _shape(x), np.dtype(x.dtype)
        _say_of_chunks(x)

    def row_bytes(self) -> float:
        return self.shape[1] * self.dtype.itemsize

    def read(self, start: int, stop: int) -> np.ndarray:
        with opened(self.x):
            return _float(np.asarray(self.x[start:stop]))


class HeldRows:
    """Rows of a matrix in memory, CSR or dense, of which a `DiskMatrix` cuts columns block by block."""

    def __init__(self, x: Any):
        self.x, self.shape, self.dtype = x, _shape(x), np.dtype(x.dtype)

    def row_bytes(self) -> float:
        held = self.x.nnz * 12 if sp.issparse(self.x) else self.x.nbytes
        return held / max(self.shape[0], 1)

    def read(self, start: int, stop: int) -> Any:
        return self.x[start:stop]


class DaskRows:
    """Rows of a dask array of dense or sparse blocks. The last block of rows is kept: it is not computed twice."""

    def __init__(self, x: Any):
        if any(np.isnan(v) for sizes in x.chunks for v in sizes):
            raise ChromatellError(
                "X is a dask array whose blocks have unknown sizes. Compute them first: adata.X.compute_chunk_sizes()."
            )
        self.x, self.shape, self.dtype = x, _shape(x), np.dtype(x.dtype)
        self.edges = np.concatenate([[0], np.cumsum(x.chunks[0])]).astype(np.int64)
        self._last: tuple[int, Any] = (-1, None)

    def row_bytes(self) -> float:
        return self.shape[1] * self.dtype.itemsize / 8

    def _block(self, i: int) -> Any:
        if self._last[0] != i:
            with opened(self.x):
                self._last = (i, summed(plain(self.x.blocks[i].compute())))
        return self._last[1]

    def read(self, start: int, stop: int) -> Any:
        first = int(np.searchsorted(self.edges, start, side="right")) - 1
        last = max(first, int(np.searchsorted(self.edges, stop, side="left")) - 1)
        parts = []
        for i in range(first, last + 1):
            low, high = self.edges[i], self.edges[i + 1]
            block = self._block(i)
            whole = start <= low and stop >= high
            parts.append(block if whole else block[max(start - low, 0) : min(stop, high) - low])
        if len(parts) == 1:
            return parts[0]
        return sp.csr_matrix(sp.vstack(parts, format="csr")) if sp.issparse(parts[0]) else np.concatenate(parts)


def plain(block: Any) -> Any:
    """Return a block that a dask array computed as CSR or ndarray."""
    if sp.issparse(block):
        check_sparse(block, "A block of X")
        block = sp.csr_matrix(block)
        return block.astype(np.float32) if block.dtype == np.float16 else block
    if hasattr(block, "to_scipy_sparse"):  # pydata's sparse arrays
        return sp.csr_matrix(block.to_scipy_sparse())
    return _float(np.asarray(block))
