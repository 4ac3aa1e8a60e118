"""Cells on disk: opened without reading the matrices, and written once in a random order for training."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse as sp
from anndata import AnnData
from mudata import MuData

from chromatell._arguments import arguments
from chromatell._compat import either_zarr, no_pull
from chromatell._rows import DiskMatrix, as_rows, matrix, read
from chromatell._settings import logger, settings
from chromatell._validate import ChromatellError, examples
from chromatell.io._guard import check_file, existing
from chromatell.io._other_files import check_cells
from chromatell.io._replace import check_suffix, check_target
from chromatell.io._write import sibling

_BLOCK, _BUFFER = 64, 16_384  # cells read together, cells shuffled together


@arguments
def open_cells(path: str | os.PathLike[str]) -> MuData | AnnData:
    """Return the data in a file or store with `X` left on disk, after `check_file`.

    Every verb that reads cells takes what this returns: rows are read block by block, as they are needed. The matrix of
    `raw` stays on disk too, as do the layers of a `.zarr`; anndata reads the layers of a `.h5ad` or `.h5mu`. All else
    is in memory.

    Parameters
    ----------
    path
        A `.h5mu` or `.h5ad`, or a `.zarr` with a MuData or an AnnData.

    Raises
    ------
    ChromatellError
        There is no such file, it is refused, or it holds no cells.

    Examples
    --------
    >>> import tempfile, anndata, numpy as np
    >>> from chromatell.io import open_cells
    >>> path = tempfile.mkdtemp() + "/cells.zarr"
    >>> anndata.AnnData(np.ones((2, 3), "float32")).write_zarr(path)
    >>> open_cells(path).shape
    (2, 3)
    """
    import anndata
    import h5py
    import mudata

    path = existing(path)
    check_cells(path)
    check_file(path)
    with no_pull():
        if not path.is_dir():
            with h5py.File(path, "r") as file:
                whole = "mod" in file
            return mudata.read_h5mu(path, backed="r") if whole else anndata.read_h5ad(path, backed="r")
        import zarr

        root = zarr.open_group(str(path), mode="r")
        if "mod" not in root:
            return _lazy(root)
        mods = {name: _lazy(root["mod"][name]) for name in _order(root["mod"])}
        mdata = MuData(mods, axis=int(root.attrs.get("axis", 0)))
    for part, names in (("obs", mdata.obs_names), ("var", mdata.var_names)):
        table, own = anndata.io.read_elem(root[part]), getattr(mdata, part)
        for column in table:
            own[column] = table[column] if table.index.equals(names) else table[column].reindex(names)
    for part in ("uns", "obsm", "varm", "obsp", "varp"):
        held = anndata.io.read_elem(root[part]) if part in root else {}
        getattr(mdata, part).update({name: value for name, value in held.items() if name not in mods or part == "uns"})
    return mdata


def _order(mods: Any) -> list[str]:
    return list(mods.attrs.get("mod-order", sorted(mods)))


def _lazy(group: Any) -> AnnData:
    import anndata

    def on_disk(x: Any) -> Any:
        if x is None or hasattr(x, "shape"):
            return x
        sparse = str(x.attrs.get("encoding-type", "")) in ("csr_matrix", "csc_matrix")
        return anndata.io.sparse_dataset(x) if sparse else anndata.io.read_elem(x)

    in_memory = ("obs", "var", "obsm", "varm", "obsp", "varp", "uns")
    parts: dict[str, Any] = {name: anndata.io.read_elem(group[name]) for name in in_memory if name in group}
    if "layers" in group:
        parts["layers"] = {name: on_disk(x) for name, x in group["layers"].members()}
    raw = group.get("raw", None)
    if raw is not None and "X" in raw:
        tables = {name: anndata.io.read_elem(raw[name]) for name in ("var", "varm") if name in raw}
        parts["raw"] = {"X": on_disk(raw["X"]), **tables}
    return AnnData(on_disk(group.get("X", None)), **parts)


@arguments
def write_shuffled(
    data: MuData | AnnData,
    path: str | os.PathLike[str],
    *,
    seed: int | None = None,
    overwrite: bool = False,
) -> Path:
    """Write cells in a random order as a Zarr store, block by block, and return its path.

    A file whose cells are sorted by donor or type gives batches of one kind when blocks are read; shuffled once, any
    part of it is a random draw. Blocks of 64 cells are drawn at random and 16,384 cells are shuffled together:
    memory is that of these. `obs`, `obsm` and the matrices are permuted alike; `layers`, `raw`, `obsp` and `varp` are
    left out, predictions in layers with them, which is logged.

    Parameters
    ----------
    data
        Cells in memory or on disk; modalities of a MuData hold the same cells in the same order.
    path
        The folder to make, such as ``'cells.zarr'``; ``ctl.io.open_cells`` opens it.
    seed
        The same seed gives the same order; None follows ``ctl.settings.seed``.
    overwrite
        Replace a store of cells that is there.

    Raises
    ------
    ChromatellError
        Something is there, modalities hold other cells, dask is not installed, or the disk is full; nothing is left
        half-written.

    Examples
    --------
    >>> import tempfile
    >>> import chromatell as ctl
    >>> mdata = ctl.datasets.simulate_multiome(200, 20, 30, seed=0)
    >>> path = ctl.io.write_shuffled(mdata, tempfile.mkdtemp() + "/cells.zarr", seed=0)
    >>> sorted(ctl.io.open_cells(path).obs_names) == sorted(mdata.obs_names)
    True
    """
    target = check_target(check_suffix(path, "the cells", ""), "data", overwrite=overwrite)
    order = _drawn(data.n_obs, settings.resolve_seed(seed))
    if isinstance(data, MuData):
        for name, adata in data.mod.items():
            if not adata.obs_names.equals(data.obs_names):
                raise ChromatellError(
                    f"mdata.mod[{name!r}] holds {adata.n_obs} cells that are not the {data.n_obs} of mdata, in their "
                    "order. Keep the shared ones: shared = [c for c in mdata.obs_names if all(c in a.obs_names for a "
                    "in mdata.mod.values())]; mdata = mudata.MuData({name: a[shared].copy() for name, a in "
                    "mdata.mod.items()})."
                )
        with no_pull():
            out: Any = MuData({name: _permuted(adata, order) for name, adata in data.mod.items()})
        for column in data.obs:
            out.obs[column] = data.obs[column].reindex(out.obs_names)
        out.uns.update(_plain(data.uns))
        out.obsm.update({k: _rows(v, order) for k, v in data.obsm.items() if k not in data.mod})
    else:
        out = _permuted(data, order)
    if left := _left_out(data):
        logger.info("Left out of the store: %s.", examples(left, 8))
    target.parent.mkdir(parents=True, exist_ok=True)
    import dask

    one_thread = dask.config.set(scheduler="synchronous")
    with sibling(target, overwrite=overwrite) as temporary, one_thread, either_zarr(), no_pull():
        out.write_zarr(temporary)
    return target


def _drawn(n: int, seed: int) -> np.ndarray:
    """Return a permutation of cells: blocks at random, then cells within buffers of many blocks."""
    rng = np.random.default_rng(seed)
    starts = np.arange(0, n, _BLOCK)[rng.permutation(-(-n // _BLOCK))]
    order = (starts[:, np.newaxis] + np.arange(_BLOCK)).ravel()
    order = order[order < n]
    return np.concatenate([rng.permutation(order[i : i + _BUFFER]) for i in range(0, n, _BUFFER)])


def _permuted(adata: AnnData, order: np.ndarray) -> AnnData:
    """Return the cells in another order; `X` is a dask array of one block for each buffer, read when it is written."""
    try:
        import dask.array as da
    except ImportError as err:
        raise ChromatellError("Shuffling cells needs dask. Install it: pip install 'chromatell[dask]'.") from err
    x = matrix(adata)
    lazy = x if isinstance(x, DiskMatrix) else None
    first = read(as_rows(x)[:1])
    bounds = list(range(0, len(order), _BUFFER))
    sizes = tuple(min(_BUFFER, len(order) - start) for start in bounds)

    def block(block_info: Any = None) -> Any:
        start = block_info[None]["array-location"][0][0]
        rows = order[start : start + _BUFFER]
        return read(lazy[rows]) if lazy is not None else x[rows]

    shuffled = da.map_blocks(block, chunks=(sizes, (adata.n_vars,)), dtype=first.dtype, meta=first[:0])
    return AnnData(
        shuffled,
        obs=adata.obs.iloc[order].copy(),
        var=adata.var.copy(),
        obsm={k: _rows(v, order) for k, v in adata.obsm.items()},
        varm=dict(adata.varm),
        uns=_plain(adata.uns),
    )


def _rows(value: Any, order: np.ndarray) -> Any:
    """Return rows of a table or matrix in memory."""
    if isinstance(value, pd.DataFrame):
        return value.iloc[order]
    return value[order] if sp.issparse(value) else np.asarray(value)[order]


def _left_out(data: MuData | AnnData) -> list[str]:
    """Return what stands beside X and is not written, by the user's names."""
    names = []
    for name, adata in data.mod.items() if isinstance(data, MuData) else [("", data)]:
        of = f"{name}." if name else ""
        for part in ("layers", "obsp", "varp"):
            names += [f"{of}{part}[{key!r}]" for key in getattr(adata, part) if key is not None]  # None: X
        names += [f"{of}raw"] if adata.raw is not None else []
    return names


def _plain(uns: Any) -> dict[str, Any]:
    return {k: _plain(v) if isinstance(v, Mapping) else v for k, v in uns.items()}
