"""Matrices that stay on disk, read one block of rows at a time: the one reader for every verb that reads cells.

`matrix` returns what is in memory as it is. Anything else (a `.h5ad` or `.h5mu` opened with ``backed="r"``, Zarr, a
dask array of dense or sparse blocks, a lazy AnnData) becomes a `DiskMatrix`, which is cut by rows and columns without
being read, and gives CSR or dense NumPy blocks.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from functools import lru_cache
from math import prod
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import scipy.sparse as sp
from anndata import AnnData

from chromatell._errors import ChromatellError, ChromatellWarning
from chromatell._settings import check_fits
from chromatell._sparse import check_indptr, check_sparse, summed

BLOCK = 4096  # rows that a pass over a matrix reads at a time
_RUN = 64  # rows that are read and dropped rather than looked for again
_PIECE = 32 * 1024**2  # bytes read at once
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


class DiskMatrix:
    """Some rows and columns of a matrix on disk. Indexing reads nothing; `read` and `blocks` do.

    Parameters
    ----------
    source
        The whole matrix.
    rows, cols
        Positions in it, in the order wanted; None for all.
    change
        Applied to each block once it is read, element by element.
    """

    ndim = 2

    def __init__(
        self,
        source: Source,
        rows: np.ndarray | None = None,
        cols: np.ndarray | None = None,
        change: Callable[[Any], Any] | None = None,
    ):
        self.source, self.rows, self.cols, self.change = source, rows, cols, change

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        n, m = self.source.shape
        return (n if self.rows is None else len(self.rows), m if self.cols is None else len(self.cols))

    @property
    def dtype(self) -> np.dtype:
        """Type of the stored values."""
        return self.source.dtype

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, key: Any) -> DiskMatrix:
        rows, cols = key if isinstance(key, tuple) else (key, slice(None))
        n, m = self.source.shape
        return DiskMatrix(self.source, _compose(self.rows, rows, n), _compose(self.cols, cols, m), self.change)

    def changed(self, change: Callable[[Any], Any]) -> DiskMatrix:
        """Return it with a further change to each block that is read."""
        first = self.change
        both = change if first is None else lambda block: change(first(block))
        return DiskMatrix(self.source, self.rows, self.cols, both)

    def read(self) -> Any:
        """Return it in memory, CSR or ndarray."""
        n, m = self.source.shape
        wanted = np.arange(n) if self.rows is None else np.asarray(self.rows)
        distinct, back = np.unique(wanted, return_inverse=True)
        parts = [self._cut(part) for part in self._read_sorted(distinct)]
        if not parts:
            found: Any = sp.csr_matrix((0, self.shape[1]), dtype=np.float32)
        elif sp.issparse(parts[0]):
            found = parts[0] if len(parts) == 1 else _stacked(parts)
        else:
            found = parts[0] if len(parts) == 1 else np.concatenate(parts)
        in_order = len(wanted) == len(distinct) and bool((back[1:] > back[:-1]).all())
        return found if in_order else found[back]

    def _cut(self, part: Any) -> Any:
        part = part if self.cols is None else part[:, self.cols]
        return part if self.change is None else self.change(part)

    def _read_sorted(self, rows: np.ndarray) -> Iterator[Any]:
        """Yield the rows, which rise, in pieces: a stretch is read in one go where few rows of it are left out."""
        if not len(rows):
            return
        most = int(max(1, _PIECE // max(self.source.row_bytes(), 1)))
        breaks = np.flatnonzero(np.diff(rows) > _RUN) + 1
        for run in np.split(rows, breaks):
            while len(run):
                n = int(np.searchsorted(run, run[0] + most))
                here, run = run[:n], run[n:]
                start, stop = int(here[0]), int(here[-1]) + 1
                block = self.source.read(start, stop)
                yield block if len(here) == stop - start else block[here - start]

    def blocks(self, size: int = BLOCK) -> Iterator[tuple[slice, Any]]:
        """Yield (rows, block in memory) in order."""
        for start in range(0, len(self), size):
            rows = slice(start, min(start + size, len(self)))
            yield rows, self[rows].read()

    def sum(self, axis: int | None = None) -> Any:
        """Return sums over rows (0), columns (1) or all (None), float64."""
        parts = [np.asarray(b.sum(axis=1), dtype=np.float64).ravel() for _, b in self.blocks()] if axis != 0 else []
        if axis == 1:
            return np.concatenate(parts) if parts else np.zeros(0)
        if axis is None:
            return float(sum(p.sum() for p in parts))
        total = np.zeros(self.shape[1])
        for _, block in self.blocks():
            total += np.asarray(block.sum(axis=0, dtype=np.float64)).ravel()
        return total

    def mean(self, axis: int) -> np.ndarray:
        """Return means over rows (0) or columns (1), float64."""
        return self.sum(axis) / max(self.shape[axis], 1)


def _stacked(parts: list[sp.csr_matrix]) -> sp.csr_matrix:
    """Return CSR blocks one below the other; the blocks are emptied on the way, so that few values are there twice."""
    shape = (sum(p.shape[0] for p in parts), parts[0].shape[1])
    counts = np.concatenate([np.diff(p.indptr) for p in parts])
    joined = []
    for name in ("data", "indices"):
        joined.append(np.concatenate([getattr(p, name) for p in parts]))
        for p in parts:
            setattr(p, name, joined[-1][:0])
    indptr = np.concatenate([[0], np.cumsum(counts, dtype=np.int64)])
    return sp.csr_matrix((*joined, indptr), shape=shape)


def matrix(adata: AnnData) -> Any:
    """Return ``adata.X`` where it is in memory, with entries that are there twice added up, else a `DiskMatrix`."""
    if adata.is_view and adata.isbacked:  # its own X would read the whole part at once
        whole, rows, cols = adata._adata_ref, adata._oidx, adata._vidx
        x = as_rows(whole.X)
        return x[rows, cols] if isinstance(x, DiskMatrix) else adata.X
    return as_rows(adata.X)


def as_rows(x: Any) -> Any:
    """Return a matrix in memory, with entries that are there twice added up, else a `DiskMatrix`.

    Raises
    ------
    ChromatellError
        It is stored by columns and too large to be turned, its file is closed, or its chunks are of unknown size.
    """
    if x is None or isinstance(x, np.ndarray | DiskMatrix) or sp.issparse(x):
        return summed(x)
    if hasattr(x, "group") and hasattr(x, "format"):
        return _compressed(x)
    if hasattr(x, "dask"):
        return DiskMatrix(_DaskRows(x))
    if hasattr(x, "shape") and hasattr(x, "chunks") and len(x.shape) == 2:
        return DiskMatrix(_DenseRows(x))
    return x


def with_tables(adata: AnnData) -> AnnData:
    """Return a lazy AnnData (``anndata.experimental.read_lazy``) with `obs` and `var` in memory; another as it is."""
    tables = [t.to_memory() if hasattr(t, "to_memory") else t for t in (adata.obs, adata.var)]
    if tables[0] is adata.obs and tables[1] is adata.var:
        return adata
    obsm = {key: value.compute() if hasattr(value, "dask") else value for key, value in adata.obsm.items()}
    return AnnData(adata.X, obs=tables[0], var=tables[1], obsm=obsm)


def read(x: Any) -> Any:
    """Return a matrix in memory: a `DiskMatrix` is read, anything else is returned as it is."""
    return x.read() if isinstance(x, DiskMatrix) else x


def in_file(x: Any) -> bool:
    """Return whether a matrix is in a file, which another process can open: it is sent as its place there."""
    return isinstance(x, DiskMatrix) and isinstance(x.source, _CsrRows | _DenseRows)


def compact(x: Any) -> Any:
    """Return a matrix in memory as CSR or ndarray, and one on disk as it is."""
    return x if isinstance(x, DiskMatrix) else sp.csr_matrix(x) if sp.issparse(x) else np.asarray(x)


def pieces(x: Any, size: int = BLOCK) -> Iterator[Any]:
    """Yield blocks of rows in memory, of a matrix in memory or on disk."""
    for start in range(0, x.shape[0], size):
        yield read(x[start : start + size])


def _compose(old: np.ndarray | None, new: Any, n: int) -> np.ndarray | None:
    if isinstance(new, slice) and new == slice(None):
        return old
    if not isinstance(new, slice):
        new = np.asarray(new)
        if new.dtype != bool and old is None:
            return np.where(new < 0, new + n, new) if new.size and new.min() < 0 else new.astype(np.int64, copy=False)
    return (np.arange(n) if old is None else old)[new]


def _compressed(x: Any) -> Any:
    with _opened(x):
        if x.format == "csr":
            return DiskMatrix(_CsrRows(x))
        check_fits(
            x.group["data"].shape[0] * 12,
            f"X is stored by columns ({x.format.upper()}): no block of cells can be read alone, and all of it takes",
            "Turn it once: adata = adata.to_memory(); adata.X = adata.X.tocsr(); adata.write(path).",
        )
        return summed(sp.csr_matrix(x.to_memory()))


class _opened:
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
    return kind(anndata.io.sparse_dataset(group) if kind is _CsrRows else group)


class _CsrRows:
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
        with _opened(self.x):
            value, index = self.data[low:high], self.indices[low:high]
        arrays = (_float(np.asarray(value)), np.asarray(index).astype(self._index, copy=False))
        block = sp.csr_matrix((*arrays, self.indptr[start : stop + 1] - low), shape=(stop - start, self.shape[1]))
        check_sparse(block, "X, on disk,")
        return summed(block)


class _DenseRows:
    """Rows of a dense array of HDF5 or Zarr."""

    __reduce__ = _CsrRows.__reduce__

    def __init__(self, x: Any):
        self.x, self.shape, self.dtype = x, _shape(x), np.dtype(x.dtype)
        _say_of_chunks(x)

    def row_bytes(self) -> float:
        return self.shape[1] * self.dtype.itemsize

    def read(self, start: int, stop: int) -> np.ndarray:
        with _opened(self.x):
            return _float(np.asarray(self.x[start:stop]))


class _DaskRows:
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
            with _opened(self.x):
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
