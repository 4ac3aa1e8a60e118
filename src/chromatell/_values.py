"""Whether the values of a matrix can be what they are taken for, and where an object keeps those that can."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import scipy.sparse as sp
from anndata import AnnData
from mudata import MuData

from chromatell._compat import layer_names
from chromatell._errors import ChromatellError
from chromatell._keys import ATAC, RNA
from chromatell._nearest import examples
from chromatell._rows import DiskMatrix, as_rows, matrix
from chromatell._settings import logger
from chromatell._sparse import check_sparse
from chromatell._validate import are_regions, called, modality, warn

MAX_VALUE = 2**31  # no count is larger, and no value normalised to a target sum
_NEGATIVE = 0.05  # share of the sum of absolute values below zero from which a matrix was centred, not smoothed
_EDGE = 1e-6  # a probability is kept so far from 0 and 1 before its log-odds
MOST_OPEN = 0.95  # of cells x regions: with more above 0, the values are no counts of single cells


def values(x: Any) -> np.ndarray:
    """Return the stored values of a dense or sparse matrix, without a copy."""
    return x.data if sp.issparse(x) else np.asarray(x)


def log_odds(p: np.ndarray) -> np.ndarray:
    """Return the log-odds of probabilities, each kept 1e-6 away from 0 and 1."""
    p = _inside(p)
    return np.log(p) - np.log1p(-p)


def log_rates(p: np.ndarray) -> np.ndarray:
    """Return the logarithm of the rates at which a Poisson count is above 0 with these probabilities, kept as above."""
    return np.log(-np.log1p(-_inside(p)))


def _inside(p: np.ndarray) -> np.ndarray:
    return np.clip(p, _EDGE, 1 - _EDGE)


def nonnegative(adata: AnnData, name: str, *, smoothed: bool = False) -> None:
    """Raise where ``adata.X`` holds NaN, infinite or negative values. Works in blocks of rows.

    `name` is that of a modality, '' of an AnnData by itself. With ``smoothed=True``, negative values within 5% of the
    largest value, which make up 5% of all at most, are let through: smoothing and imputation leave such.
    """
    where, whole = called(name), "mdata" if name else "adata"
    own: Any = None if adata.isbacked else adata.X
    check_sparse(own, f"{where}.X")
    x = matrix(adata) if own is None else as_rows(own)
    if x is None:
        kept = kept_counts(adata, where) or f"{where}.X = {where}.layers['counts'].copy()"
        raise ChromatellError(f"{where}.X is None. Put the matrix there, e.g. {kept}.")
    if not (sp.issparse(x) or isinstance(x, DiskMatrix) or hasattr(x, "__array__")):
        raise ChromatellError(
            f"{where}.X is a {type(x).__name__.strip('_')}, which is not known. Put a NumPy or SciPy CSR matrix or "
            f"a dask array there: {where}.X = scipy.sparse.csr_matrix(...)."
        )
    if getattr(x, "dtype", np.dtype(float)).kind not in "fiub":
        raise ChromatellError(
            f"{where}.X is of dtype {x.dtype}; numbers are needed: {where}.X = {where}.X.astype('float32')."
        )
    if sp.issparse(own) and x.nnz < own.nnz:
        logger.info(f"{where}.X holds {own.nnz - x.nnz} entries twice: they are added up, as SciPy does.")
    n_nan = n_negative = n_positive = 0
    low = high = below = mass = 0.0
    for flat in _flat_parts(x):
        n_nan += int((~np.isfinite(flat)).sum())
        n_positive += int((flat > 0).sum())
        low, high = min(low, float(flat.min(initial=0))), max(high, float(flat.max(initial=0)))
    if low < 0 and smoothed:
        for flat in _flat_parts(x):
            below -= float(np.minimum(flat, 0).sum(dtype=np.float64))
            mass += float(np.abs(flat).sum(dtype=np.float64))
    floor = -0.05 * high if low < 0 and smoothed and not is_counts(x) else 0.0
    if low < floor or below > _NEGATIVE * mass:
        n_negative = negative_values(x)
    if n_nan:
        raise ChromatellError(
            f"{where}.X holds {n_nan} NaN or infinite values; every value must be a finite number. "
            f"Set them, e.g. {where}.X{'.data' if sp.issparse(x) else ''}[:] = "
            f"np.nan_to_num({where}.X{'.data' if sp.issparse(x) else ''}, posinf=0, neginf=0)."
        )
    if high > MAX_VALUE:
        raise ChromatellError(
            f"{where}.X holds values up to {high:.3g}; counts, and values made of them, are at most {MAX_VALUE:,}. "
            "Find the cells, and leave them out or mend them: keep = "
            f"np.asarray({where}.X.max(axis=1)).ravel() < {MAX_VALUE}; {whole} = {whole}[keep].copy()."
        )
    if n_negative:
        raise ChromatellError(
            f"{where}.X holds {n_negative} negative values (smallest {low:.3g}); counts or "
            f"log-normalised values, which are never negative, are needed. Use the matrix before scaling: "
            f"{kept_before_scaling(adata, where) or 'read the file again'}."
        )
    if name == ATAC and n_positive > MOST_OPEN * x.shape[0] * x.shape[1]:
        warn(
            f"{n_positive / (x.shape[0] * x.shape[1]):.1%} of {where}.X is above 0, and a region counts as open in a "
            "cell where its value is above 0: nearly everything is open. If the matrix was smoothed, imputed or "
            f"scaled, use the one before: {kept_counts(adata, where) or 'read the file again'}."
        )


def is_counts(x: Any) -> bool:
    """Return whether every value of a matrix is a non-negative integer; above 10 million values a spread is read."""
    if isinstance(x, DiskMatrix):
        return all(_whole(flat) for flat in _flat_parts(x))
    v = values(x).reshape(-1)
    if v.size > 10_000_000:
        v = v[:: v.size // 10_000_000 + 1]
    return _whole(v)


def negative_values(x: Any) -> int:
    """Return how many values of a matrix are below 0."""
    return sum(int((flat < 0).sum()) for flat in _flat_parts(x))


def _whole(v: np.ndarray) -> bool:
    parts = (v[i : i + 1_000_000] for i in range(0, v.size, 1_000_000))  # what is compared is a copy, so a small one
    return all(bool(np.all(part >= 0) and np.all(part == np.floor(part))) for part in parts)


def _flat_parts(x: Any) -> Iterable[np.ndarray]:
    """Yield the stored values of a matrix, some millions at a time."""
    if isinstance(x, DiskMatrix):
        yield from (values(block).reshape(-1) for _, block in x.blocks())
        return
    flat = values(x).reshape(-1)
    for i in range(0, flat.size, 10_000_000):
        yield flat[i : i + 10_000_000]


def expressed(rna: AnnData, name: str = RNA) -> None:
    """Raise where a cell has no expression at all; `name` is that of a modality, '' of an AnnData by itself."""
    total = np.asarray(matrix(rna).sum(axis=1)).ravel()
    empty = total <= 0
    if empty.any():
        if are_regions(rna.var_names):
            raise ChromatellError(
                f"The variables are regions (such as {examples(rna.var_names, 1)}) where genes are read. Give the "
                "cells' expression, such as mdata.mod['rna'], and not their ATAC."
            )
        cure = "keep = np.asarray(rna.X.sum(1)).ravel() > 0; mdata = mdata[keep].copy()"
        where = " from both modalities"
        if not name:
            cure, where = "adata = adata[np.asarray(adata.X.sum(1)).ravel() > 0].copy()", ""
        raise ChromatellError(
            f"{int(empty.sum())} of {rna.n_obs} cells have no expression at all (such as "
            f"{examples(rna.obs_names[empty])}). Remove them{where}: {cure}."
        )


def query_expression(data: MuData | AnnData) -> AnnData:
    """Return the expression of a query, as a modality or by itself, once its values are checked."""
    rna, name = (modality(data, RNA), RNA) if isinstance(data, MuData) else (data, "")
    nonnegative(rna, name, smoothed=True)
    expressed(rna, name)
    return rna


def kept_counts(adata: AnnData, where: str) -> str | None:
    """Return the line that puts the counts which `adata` keeps beside X into X; None where it keeps none.

    `where` is what the user calls the object. Layers are looked at first, 'counts' before others, then ``.raw``. What
    is put there is a copy: scanpy normalises X in place, which would change the kept counts too.
    """
    for name in sorted(layer_names(adata), key=lambda layer: (layer != "counts", str(layer))):
        if _numbers(adata.layers[name]) and is_counts(as_rows(adata.layers[name])):
            return f"{where}.X = {where}.layers[{name!r}]{_copied(adata.layers[name])}"
    raw = adata.raw
    if raw is not None and adata.var_names.isin(raw.var_names).all() and _numbers(raw.X) and is_counts(as_rows(raw.X)):
        return f"{where}.X = {where}.raw[:, {where}.var_names].X.copy()"
    return None


def kept_before_scaling(adata: AnnData, where: str) -> str | None:
    """Return the line that puts values without negatives, counts or ``.raw``, into X; None where there are none."""
    counts = kept_counts(adata, where)
    raw = adata.raw
    if counts is not None or raw is None or not adata.var_names.isin(raw.var_names).all() or not _numbers(raw.X):
        return counts
    least = min((float(flat.min(initial=0)) for flat in _flat_parts(as_rows(raw.X))), default=0.0)
    return f"{where}.X = {where}.raw[:, {where}.var_names].X.copy()" if least >= 0 else None


def _copied(x: Any) -> str:
    """Return what stands behind a matrix that is copied, or read where it lies on disk."""
    return next((f".{name}()" for name in ("copy", "to_memory") if hasattr(x, name)), "[:]")


def _numbers(x: Any) -> bool:
    return getattr(x, "dtype", np.dtype(object)).kind in "fiub"
