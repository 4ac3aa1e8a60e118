"""Matrices that stay on disk, read one block of rows at a time: the one reader for every verb that reads cells.

`matrix` returns what is in memory as it is. Anything else (a `.h5ad` or `.h5mu` opened with ``backed="r"``, Zarr, a
dask array of dense or sparse blocks, a lazy AnnData) becomes a `DiskMatrix`, which is cut by rows and columns without
being read, and gives CSR or dense NumPy blocks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import scipy.sparse as sp
from anndata import AnnData

from chromatell._row_sources import CsrRows, DaskRows, DenseRows, HeldRows, Source, opened
from chromatell._settings import check_fits
from chromatell._sparse import summed

BLOCK = 4096  # rows that a pass over a matrix reads at a time
_RUN = 64  # rows that are read and dropped rather than looked for again
_PIECE = 32 * 1024**2  # bytes read at once


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

    @property
    def n_bytes(self) -> float:
        """About how many bytes it takes once read, as if its entries were spread evenly over the columns."""
        return self.source.row_bytes() * self.shape[0] * self.shape[1] / max(self.source.shape[1], 1)

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
        if isinstance(self.source, HeldRows):
            return self._cut(self.source.x[wanted])
        distinct, back = np.unique(wanted, return_inverse=True)
        if isinstance(self.source, CsrRows) and self.cols is None and len(distinct):
            block: Any = self._cut(self.source.read_spans(distinct, self._spans(distinct)))
        elif not (parts := [self._cut(part) for part in self._read_sorted(distinct)]):
            block = sp.csr_matrix((0, self.shape[1]), dtype=np.float32)
        elif sp.issparse(parts[0]):
            block = parts[0] if len(parts) == 1 else _stacked(parts)
        else:
            block = parts[0] if len(parts) == 1 else np.concatenate(parts)
        in_order = len(wanted) == len(distinct) and bool((back[1:] > back[:-1]).all())
        return block if in_order else block[back]

    def _cut(self, part: Any) -> Any:
        part = part if self.cols is None else part[:, self.cols]
        return part if self.change is None else self.change(part)

    def _read_sorted(self, rows: np.ndarray) -> Iterator[Any]:
        """Yield the rows, which rise, a span after the other."""
        for start, stop in self._spans(rows):
            here = rows[np.searchsorted(rows, start) : np.searchsorted(rows, stop)]
            block = self.source.read(start, stop)
            yield block if len(here) == stop - start else block[here - start]

    def _spans(self, rows: np.ndarray) -> Iterator[tuple[int, int]]:
        """Yield where to read, first row and behind: in one go where few rows of a span are left out."""
        if not len(rows):
            return
        most = int(max(1, _PIECE // max(self.source.row_bytes(), 1)))
        breaks = np.flatnonzero(np.diff(rows) > _RUN) + 1
        for run in np.split(rows, breaks):
            while len(run):
                n = int(np.searchsorted(run, run[0] + most))
                here, run = run[:n], run[n:]
                yield int(here[0]), int(here[-1]) + 1

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
        return DiskMatrix(DaskRows(x))
    if hasattr(x, "shape") and hasattr(x, "chunks") and len(x.shape) == 2:
        return DiskMatrix(DenseRows(x))
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
    return isinstance(x, DiskMatrix) and isinstance(x.source, CsrRows | DenseRows)


def compact(x: Any) -> Any:
    """Return a matrix in memory as CSR or ndarray, and one on disk as it is."""
    return x if isinstance(x, DiskMatrix) else sp.csr_matrix(x) if sp.issparse(x) else np.asarray(x)


def columns(x: Any, places: np.ndarray) -> Any:
    """Return some columns of a matrix without a copy of them all: where all its rows are many, they are cut by blocks.

    Parameters
    ----------
    x
        CSR, dense, or on disk.
    places
        Positions of the columns, in the order wanted.
    """
    if not isinstance(x, DiskMatrix):
        if len(places) == x.shape[1] and np.array_equal(places, np.arange(len(places))):
            return compact(x)
        x = compact(x)
        if x.shape[0] > BLOCK:
            x = DiskMatrix(HeldRows(x))
    return compact(x[:, places])


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
    with opened(x):
        if x.format == "csr":
            return DiskMatrix(CsrRows(x))
        check_fits(
            x.group["data"].shape[0] * 12,
            f"X is stored by columns ({x.format.upper()}): no block of cells can be read alone, and all of it takes",
            "Turn it once: adata = adata.to_memory(); adata.X = adata.X.tocsr(); adata.write(path).",
        )
        return summed(sp.csr_matrix(x.to_memory()))
