"""Sparse matrices whose indices fit: libraries trust them, and read or write elsewhere in memory where they do not."""

from __future__ import annotations

import weakref
from typing import Any

import numpy as np
import scipy.sparse as sp

from chromatell._compat import layer_names
from chromatell._errors import ChromatellError

_BLOCK = 10_000_000
_once: dict[int, weakref.ref] = {}  # matrices that hold no entry twice, though their rows are not in order


def check_sparse(x: Any, where: str) -> None:
    """Raise where an index of a sparse matrix points outside of it; anything else passes.

    Every index is looked at: three passes over them, about 1 s for 500 million.

    Parameters
    ----------
    x
        Any value; SciPy's CSR, CSC, BSR and COO matrices and arrays are looked at.
    where
        How the user's call names it.

    Raises
    ------
    ChromatellError
        ``indices`` or ``indptr`` are not whole numbers of the right length, order and range.

    Examples
    --------
    >>> import scipy.sparse as sp
    >>> from chromatell._sparse import check_sparse
    >>> x = sp.csr_matrix([[0.0, 1.0], [2.0, 0.0]])
    >>> check_sparse(x, "adata.X")
    >>> x.indices[0] = 2
    >>> check_sparse(x, "adata.X")
    Traceback (most recent call last):
    chromatell._validate.ChromatellError: ...
    """
    _raise(_fault(x) if sp.issparse(x) else "", where)


def summed(x: Any) -> Any:
    """Return a matrix that holds no entry twice: those of one cell and variable are added up, as SciPy and scanpy do.

    One without such entries, or that is not sparse, is returned as it is; else a copy, and `x` stays. Its indices must
    have passed :func:`check_sparse`.

    Examples
    --------
    >>> import scipy.sparse as sp
    >>> from chromatell._sparse import summed
    >>> twice = sp.csr_matrix(([1.0, 2.0], [0, 0], [0, 2]), shape=(1, 3))
    >>> summed(twice).data.tolist(), twice.data.tolist()
    ([3.0], [1.0, 2.0])
    """
    if not sp.issparse(x) or x.format not in ("csr", "csc") or x.has_canonical_format:
        return x
    known = _once.get(id(x))
    if known is not None and known() is x:
        return x
    small = x.dtype.kind in "iu" and x.dtype.itemsize < 8  # whose sums may not fit
    one = x.astype(np.int64) if small else x.copy()
    one.sum_duplicates()
    if one.nnz < x.nnz:
        return one
    key = id(x)
    _once[key] = weakref.ref(x, lambda _: _once.pop(key, None))
    return x


def check_indptr(indptr: np.ndarray, n_rows: int, n_values: int, where: str) -> None:
    """Raise where the row pointers of a matrix on disk do not fit its rows and values."""
    _raise(_bad_indptr(indptr, n_rows, n_values), where)


def check_index(index: np.ndarray, n_columns: int, where: str) -> None:
    """Raise where column indices of a matrix on disk point outside of it."""
    _raise(_outside(index, n_columns, "an index"), where)


def _raise(fault: str, where: str) -> None:
    if fault:
        raise ChromatellError(
            f"{where} is a sparse matrix that does not fit itself: {fault}. It is damaged or was made by hand; "
            "nothing can be computed from it. Read or make it again, and look with "
            "x.check_format(full_check=True)."
        )


def check_sparse_parts(adata: Any, name: str) -> None:
    """Raise where any sparse matrix that an AnnData or MuData carries does not fit itself.

    Parameters
    ----------
    adata
        An AnnData, or a MuData without its modalities.
    name
        How to call it in a message.

    Raises
    ------
    ChromatellError
        As :func:`check_sparse`.
    """
    if not hasattr(adata, "mod"):
        check_sparse(adata.X, f"{name}.X")
        for key in layer_names(adata):
            check_sparse(adata.layers[key], f"{name}.layers[{key!r}]")
        if adata.raw is not None:
            check_sparse(adata.raw.X, f"{name}.raw.X")
            _check_mapping(adata.raw.varm, f"{name}.raw.varm")
    for place in ("obsm", "varm", "obsp", "varp", "uns"):
        _check_mapping(getattr(adata, place), f"{name}.{place}")


def _check_mapping(values: Any, where: str) -> None:
    for key, value in values.items():
        if hasattr(value, "items") and not hasattr(value, "columns"):
            _check_mapping(value, f"{where}[{key!r}]")
        else:
            check_sparse(value, f"{where}[{key!r}]")


def _fault(x: Any) -> str:
    """Return what does not fit in a sparse matrix, '' where all does."""
    if x.format == "coo":
        axes = zip(x.coords if hasattr(x, "coords") else (x.row, x.col), x.shape, strict=True)
        return next((bad for index, n in axes if (bad := _outside(index, n, "a coordinate"))), "")
    if x.format not in ("csr", "csc", "bsr"):
        return ""
    indptr, indices, data = x.indptr, x.indices, x.data
    if indptr.dtype.kind != "i" or indices.dtype.kind != "i":
        return f"its index arrays are {indices.dtype} and {indptr.dtype}, not integers"
    if x.format == "bsr":
        major, minor = (n // max(b, 1) for n, b in zip(x.shape, x.blocksize, strict=True))
    else:
        major, minor = x.shape if x.format == "csr" else x.shape[::-1]
    if indices.ndim != 1 or len(data) != len(indices):
        return f"indices has {indices.size} entries, data {len(data)}"
    return _bad_indptr(indptr, major, len(indices)) or _outside(indices[: indptr[-1]], minor, "an index")


def _bad_indptr(indptr: np.ndarray, n_rows: int, n_values: int) -> str:
    if indptr.shape != (n_rows + 1,):
        return f"indptr has {indptr.size} entries for {n_rows} rows"
    if indptr[0] != 0 or indptr[-1] > n_values:
        return f"indptr goes from {indptr[0]} to {indptr[-1]}, and there are {n_values} values"
    parts = (indptr[i : i + _BLOCK + 1] for i in range(0, n_rows, _BLOCK))
    # compared, not subtracted: a difference of large numbers of 32 bits wraps around to a positive one
    down = any((part[1:] < part[:-1]).any() for part in parts)
    return "indptr goes down" if down else ""


def _outside(index: np.ndarray, n: int, what: str) -> str:
    if not index.size:
        return ""
    low, high = int(index.min()), int(index.max())
    fits = low >= 0 and high < n
    return "" if fits else f"{what} is {low if low < 0 else high}, outside the {n} there are"
