"""Accessibility as target: open or closed, fragment counts, and the depth of a cell as it was measured."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse as sp
from anndata import AnnData

from chromatell._keys import N_FRAGMENTS, SELECTED
from chromatell._rows import DiskMatrix, matrix
from chromatell._settings import logger
from chromatell._validate import ChromatellError, column, examples
from chromatell._values import values

_LOOKED_AT = 5_000_000
_DEPTH_COLUMNS = (N_FRAGMENTS, "atac_fragments", "nCount_ATAC")


def true_depth(atac: AnnData, depth_key: str | None = None) -> np.ndarray:
    """Return each cell's depth, float64 (n_obs,): its fragments where `obs` knows them, else its counts.

    Parameters
    ----------
    atac
        All regions, *before* any selection.
    depth_key
        A column of `atac.obs`; None looks for `n_fragments`, `atac_fragments` and `nCount_ATAC`.

    Raises
    ------
    ChromatellError
        There is no such column, or it holds what is no number, NaN, infinite or negative values.
    """
    key = depth_key or next((c for c in _DEPTH_COLUMNS if c in atac.obs), None)
    if key is not None:
        given = column(atac.obs, key, "mdata.mod['atac'].obs")
        depth = pd.to_numeric(given, errors="coerce").to_numpy(dtype=np.float64, na_value=np.nan)
        bad = ~np.isfinite(depth) | (depth < 0)
        if bad.any():
            raise ChromatellError(
                f"mdata.mod['atac'].obs[{key!r}], the fragments of each cell, holds NaN or negative values for "
                f"{int(bad.sum())} of {len(bad)} cells (such as {examples(atac.obs_names[bad])}). Mend the column, "
                "leave these cells out, or name another: depth_key='...'."
            )
        return depth
    return np.asarray(matrix(atac).sum(axis=1), dtype=np.float64).ravel()


def selected(adata: AnnData) -> np.ndarray:
    """Return which variables are in use: ``var['ctl_selected']`` where it is, else all; bool (n_vars,)."""
    if SELECTED not in adata.var:
        return np.ones(adata.n_vars, dtype=bool)
    return adata.var[SELECTED].to_numpy(dtype=bool)


def _changed(atac: AnnData, rows: Any, cols: Any, change: Callable[[Any], sp.csr_matrix], *, lazy: bool) -> Any:
    """Return a part of the matrix after `change`; on disk each block is changed as it is read, or, `lazy`, stays."""
    part = matrix(atac)[rows][:, cols]
    if isinstance(part, DiskMatrix):
        changed = part.changed(change)
        return changed if lazy else changed.read()
    part = part.astype(np.float32) if part.dtype == np.float16 else part  # scipy has no sparse float16
    return change(sp.csr_matrix(part, copy=True))


def open_matrix(atac: AnnData, rows: Any = slice(None), cols: Any = slice(None), *, lazy: bool = False) -> Any:
    """Return 1 where a region has any count in a cell, float32 CSR (rows, cols).

    With `lazy` a matrix on disk stays there: a `DiskMatrix` whose blocks are made so as they are read.
    """
    return _changed(atac, rows, cols, _binarized, lazy=lazy)


def _binarized(part: Any) -> sp.csr_matrix:
    x = sp.csr_matrix(part, dtype=bool)  # repeated entries join without a sum, which may wrap to 0 in a narrow dtype
    x.sum_duplicates()
    x.eliminate_zeros()
    return x.astype(np.float32)


def fragment_counts(atac: AnnData, rows: Any = slice(None), cols: Any = slice(None), *, lazy: bool = False) -> Any:
    """Return fragment counts, float32 CSR (rows, cols), or as `open_matrix` with `lazy`.

    Cut-site counts come in pairs: where over 90% of the non-zero counts are even they are halved (rounded up) and that
    is said. Counting fragments suits a Poisson likelihood (Martens et al., Nature Methods 2024).
    """
    halved = counts_are_cut_sites(matrix(atac))
    if halved:
        logger.info("Counts are nearly all even: taken as cut sites and halved into fragments.")

    def counted(part: Any) -> sp.csr_matrix:
        x = sp.csr_matrix(part, dtype=np.float32)
        x.sum_duplicates()
        x.eliminate_zeros()
        if halved:
            x.data = np.ceil(x.data / 2)
        return x

    return _changed(atac, rows, cols, counted, lazy=lazy)


def counts_are_cut_sites(x: Any) -> bool:
    """Return whether over 90% of the non-zero counts are even (two cut sites a fragment)."""
    if isinstance(x, DiskMatrix):  # the same first values, from as many rows as hold them
        parts, n = [], 0
        for _, block in x.blocks():
            parts.append(values(block).reshape(-1))
            n += parts[-1].size
            if n >= _LOOKED_AT:
                break
        v = np.concatenate(parts) if parts else np.zeros(0)
    else:
        v = values(x).reshape(-1)
    v = v[:_LOOKED_AT]
    v = v[v > 0]
    return bool(v.size and np.mean(v % 2 == 0) > 0.9)
