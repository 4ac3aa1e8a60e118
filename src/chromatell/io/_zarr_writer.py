"""Predictions too large for memory: written block by block into a Zarr store of their own."""

from __future__ import annotations

import hashlib
import os
import re
import sys
import warnings
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd

from chromatell._arguments import arguments
from chromatell._compat import either_zarr
from chromatell._validate import ChromatellError, one_of
from chromatell.io._child import known
from chromatell.io._replace import PREDICTION_FILES as FILES
from chromatell.io._replace import check_target
from chromatell.io._write import sibling

ROOT = "zarr.json"
CHUNKS = (512, 4096)
_BLOCK = 2**19  # bytes compressed together: with Blosc's own choice a store is 11% larger, and takes longer to write
_HALF = 65520.0  # from here on float16 is infinite


class PredictionWriter(AbstractContextManager["PredictionWriter"]):
    """A Zarr store that fills block by block and is a valid AnnData when it closes.

    It is written beside its place and renamed at the end; where the ``with`` block raises, or cells or regions are left
    out, nothing stays behind and a store that was there before is untouched. Blocks of whole `chunks` are the fastest.

    Parameters
    ----------
    path
        The folder to make, such as ``'predictions.zarr'``.
    obs_names
        Names of the cells, or the table `obs` with them as its index.
    var
        Table of the regions, its index being their names.
    dtype
        ``'float16'`` takes half the space and keeps three digits.
    chunks
        Cells and regions of a chunk.
    uns
        Plain values to keep with it.
    overwrite
        Replace a store of predictions that is there; any other folder stays, and is an error.

    Raises
    ------
    ChromatellError
        The folder exists, names repeat, or a block does not fit.

    Examples
    --------
    >>> import tempfile, anndata, numpy as np, pandas as pd
    >>> from chromatell.io import PredictionWriter
    >>> path = tempfile.mkdtemp() + "/predictions.zarr"
    >>> var = pd.DataFrame(index=["chr1:0-500", "chr1:500-1000"])
    >>> with PredictionWriter(path, ["cell1", "cell2", "cell3"], var) as writer:
    ...     for rows in (slice(0, 2), slice(2, 3)):
    ...         writer.write(rows, slice(0, 2), np.full((rows.stop - rows.start, 2), 0.5))
    >>> anndata.read_zarr(path).X.mean()
    np.float32(0.5)
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        obs_names: Sequence[str] | pd.Index | pd.DataFrame,
        var: pd.DataFrame,
        *,
        dtype: Literal["float32", "float16"] = "float32",
        chunks: tuple[int, int] | None = None,
        uns: Mapping[str, Any] | None = None,
        overwrite: bool = False,
    ) -> None:
        self.path = Path(path)
        self.obs = (
            obs_names if isinstance(obs_names, pd.DataFrame) else pd.DataFrame(index=pd.Index(obs_names, dtype=str))
        )
        self.var = var
        self.dtype = one_of(dtype, ("float32", "float16"), "dtype")
        self.uns = dict(uns or {})
        self.shape = (len(self.obs), len(self.var))
        rows, columns = chunks or CHUNKS
        self.chunks = (max(1, min(rows, self.shape[0])), max(1, min(columns, self.shape[1])))
        self.hash = ""
        self._covered = np.zeros(self.shape[0], dtype=np.int64)
        if 0 in self.shape:
            raise ChromatellError(f"There is nothing to write: {self.shape[0]} cells x {self.shape[1]} regions.")
        for index, what in ((self.obs.index, "cells"), (self.var.index, "regions")):
            if not index.is_unique:
                raise ChromatellError(f"The names of {what} repeat; give each its own name before predicting.")
        self.overwrite = overwrite
        check_target(self.path, "predictions", overwrite=overwrite)

    def __enter__(self) -> PredictionWriter:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._beside = sibling(self.path, overwrite=self.overwrite)
        self._temporary = self._beside.__enter__()
        make_store(self._temporary, self.shape, self.dtype, self.chunks)
        self._x = open_x(self._temporary)
        return self

    def write(self, rows: slice, columns: slice, values: np.ndarray) -> None:
        """Write one block.

        Parameters
        ----------
        rows, columns
            Which cells and which regions; steps of one.
        values
            Predictions, shape (cells of the block, regions of the block), finite.
        """
        spans = [s.indices(n) for s, n in zip((rows, columns), self.shape, strict=True)]
        expected = tuple(max(0, stop - start) for start, stop, _ in spans)
        given = [
            stop for s, n in zip((rows, columns), self.shape, strict=True) if (stop := s.stop) is not None and stop > n
        ]
        if values.shape != expected or given or any(step != 1 for *_, step in spans):
            raise ChromatellError(
                f"A block of shape {values.shape} does not fit rows {rows} and columns {columns} of a store "
                f"of {self.shape}. Give slices within it, of the block's own shape."
            )
        self._x[rows, columns] = checked_values(np.asarray(values), self.dtype, rows)
        self._covered[rows] += values.shape[1]

    def __exit__(self, *raised: Any) -> Literal[False]:
        finish_or_stop(self._beside, raised, self._finish)
        if raised[1] is None:
            known(self.path)
        return False

    def reference(self) -> dict[str, str]:
        """Return what stands in ``uns['ctl']['predictions'][key]``: the store's name beside the file, and its hash."""
        if not self.hash:
            raise ChromatellError(f"{self.path} is not written yet; call reference() after the with block.")
        return prediction_reference(self.path)

    def _finish(self) -> None:
        wrong = np.flatnonzero(self._covered != self.shape[1])
        if wrong.size:
            raise ChromatellError(
                f"{wrong.size} of {self.shape[0]} cells are not written exactly once (such as "
                f"{self.obs.index[wrong[0]]!r}: {self._covered[wrong[0]]} of {self.shape[1]} regions). "
                "Write every block once."
            )
        self.hash = finish_store(self._temporary, self.obs, self.var, self.uns)


def finish_or_stop(
    outer: AbstractContextManager[Any],
    raised: tuple[Any, ...],
    finish: Callable[[], None],
    stopped: Callable[[], None] | None = None,
) -> None:
    """Finish a store where its ``with`` block did not raise, and leave the place that `outer` gave to it.

    Parameters
    ----------
    raised
        What ``__exit__`` is given.
    stopped
        Called where the block raised, or finishing it did.
    """
    try:
        if raised[1] is None:
            finish()
    except BaseException as error:
        if stopped is not None:
            stopped()
        outer.__exit__(type(error), error, error.__traceback__)
        raise
    if raised[1] is not None and stopped is not None:
        stopped()
    outer.__exit__(*raised)


def make_store(
    folder: Path,
    shape: tuple[int, int],
    dtype: str,
    chunks: tuple[int, int],
    *,
    per_cell: int = 0,
    attributes: Mapping[str, Any] | None = None,
) -> None:
    """Make an AnnData store with an empty `X`: dense, or CSR with `per_cell` entries a cell."""
    import zarr

    root = zarr.open_group(str(folder), mode="w", zarr_format=3)
    root.attrs.update({"encoding-type": "anndata", "encoding-version": "0.1.0", **(attributes or {})})
    packed = zarr.codecs.BloscCodec(cname="zstd", clevel=1, shuffle="shuffle", blocksize=_BLOCK)
    if not per_cell:
        chunks = (max(1, min(chunks[0], shape[0])), max(1, min(chunks[1], shape[1])))
        said = {"encoding-type": "array", "encoding-version": "0.2.0"}
        root.create_array("X", shape=shape, chunks=chunks, dtype=dtype, compressors=packed, attributes=said)
        return
    x = root.create_group("X")
    x.attrs.update({"encoding-type": "csr_matrix", "encoding-version": "0.1.0", "shape": list(shape)})
    n = shape[0] * per_cell
    for name, kind in (("data", dtype), ("indices", "int32")):
        size = (min(n, chunks[0] * per_cell),)
        x.create_array(name, shape=(n,), chunks=size, dtype=kind, compressors=packed)
    indptr = x.create_array("indptr", shape=(shape[0] + 1,), chunks=(shape[0] + 1,), dtype="int64", compressors=packed)
    indptr[:] = np.arange(0, n + 1, per_cell, dtype=np.int64)


def open_x(folder: str | os.PathLike[str]) -> Any:
    """Return the `X` of a store to write into; blocks are not compared with the fill value, a third of a write."""
    import zarr

    with zarr.config.set({"array.write_empty_chunks": True}):
        return zarr.open_group(str(folder), mode="r+")["X"]


def checked_values(values: np.ndarray, dtype: str, rows: slice) -> np.ndarray:
    """Return predictions as `dtype`; raise where one is not finite in it."""
    low, high = (float(values.min()), float(values.max())) if values.size else (0.0, 0.0)
    most = _HALF if dtype == "float16" else np.inf
    if not (-most < low and high < most):  # NaN is neither
        raise ChromatellError(
            f"Predictions of rows {rows} are not all finite in {dtype}; write float32, or find the NaN."
        )
    return _as(values, dtype)


def finish_store(
    folder: Path, obs: pd.DataFrame, var: pd.DataFrame, uns: Mapping[str, Any], *, left_out: Sequence[str] = ()
) -> str:
    """Write the tables, list the files and return the SHA-256 of the root's metadata."""
    import zarr
    from anndata.io import write_elem

    root = zarr.open_group(str(folder), mode="r+")
    with either_zarr():
        for name, table in (("obs", obs), ("var", var)):
            write_elem(root, name, table)
        write_elem(root, "uns", dict(uns))
        listed = listing(folder, hashes=True)
        root.attrs[FILES] = {name: said for name, said in listed.items() if name not in left_out}
        with warnings.catch_warnings():
            for name in left_out:  # files that Zarr does not know, and says so
                warnings.filterwarnings("ignore", message=f"Object at {re.escape(name)} is not recognized")
            zarr.consolidate_metadata(root.store, zarr_format=3)
    return sha256(folder / ROOT)


def _as(values: np.ndarray, dtype: str) -> np.ndarray:
    """Return values as float16 or float32; torch, where it is loaded, halves them as NumPy does, but faster."""
    torch = sys.modules.get("torch")
    if dtype == "float16" and values.dtype == np.float32 and torch is not None:
        return torch.from_numpy(np.ascontiguousarray(values)).half().numpy()
    return values.astype(dtype)


@arguments
def prediction_reference(path: str | os.PathLike[str]) -> dict[str, str]:
    """Return what stands in ``uns['ctl']['predictions'][key]`` for a store: its name beside the file, and its hash.

    Parameters
    ----------
    path
        A store that `PredictionWriter` wrote.

    Raises
    ------
    ChromatellError
        There is no such store.

    Examples
    --------
    >>> import tempfile, numpy as np, pandas as pd
    >>> from chromatell.io import PredictionWriter, prediction_reference
    >>> path = tempfile.mkdtemp() + "/predictions.zarr"
    >>> with PredictionWriter(path, ["cell1"], pd.DataFrame(index=["chr1:0-500"])) as writer:
    ...     writer.write(slice(0, 1), slice(0, 1), np.ones((1, 1)))
    >>> prediction_reference(path)["path"]
    'predictions.zarr'
    """
    if not (Path(path) / ROOT).is_file():
        raise ChromatellError(
            f"{path} is not a store that ctl.io.PredictionWriter wrote. Write one: ctl.tl.predict(..., out=path)."
        )
    return {"path": Path(path).name, "hash": sha256(Path(path) / ROOT)}


def listing(store: Path, *, hashes: bool) -> dict[str, list[Any]]:
    """Return {file: [size] or [size, SHA-256]} of a store, its root metadata left out."""
    files: dict[str, list[Any]] = {}
    for path in sorted(store.rglob("*")):
        name = path.relative_to(store).as_posix()
        if path.is_file() and name != ROOT:
            files[name] = [path.stat().st_size, *([sha256(path)] if hashes else [])]
    return files


def sha256(path: Path) -> str:
    """Return the SHA-256 of a file."""
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()
