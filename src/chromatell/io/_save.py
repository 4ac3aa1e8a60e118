"""``ctl.io.write``: data with its models and predictions into a file that is whole at any moment."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Literal

import mudata
from anndata import AnnData
from mudata import MuData

from chromatell._arguments import arguments
from chromatell._compat import either_zarr, layer_names, no_pull, plain_axis, plain_strings
from chromatell._settings import file_name, logger
from chromatell._validate import ChromatellError, check_tables, check_writable
from chromatell.io._child import known
from chromatell.io._h5_sink import H5Sink, h5_sink
from chromatell.io._replace import check_target
from chromatell.io._text_columns import text_as_before
from chromatell.io._write import sibling

SUFFIXES = (".h5mu", ".h5ad", ".zarr")


@arguments
def write(
    data: MuData | AnnData,
    path: str | os.PathLike[str],
    *,
    compression: Literal["gzip", "lzf"] | None = None,
    overwrite: bool = False,
) -> Path:
    """Write data to a file and return its path; the file is whole at any moment.

    It is written beside its place and renamed at the end. ``mdata.write(path)`` writes in place: stopped in the middle,
    over an older file, it leaves neither the old nor the new one.

    Parameters
    ----------
    data
        MuData or AnnData, with all that it carries.
    path
        A `.h5mu` for a MuData, a `.h5ad` for an AnnData, or a `.zarr` for either.
    compression
        Compression of HDF5; a Zarr store is always compressed.
    overwrite
        Replace an AnnData or MuData that is there. A file or folder that is anything else is never replaced.

    Returns
    -------
    pathlib.Path
        The file, or the folder of a Zarr store.

    Raises
    ------
    ChromatellError
        The ending does not fit the data, something is there, the disk is full, or nothing may be written there.

    Examples
    --------
    >>> import tempfile
    >>> import chromatell as ctl
    >>> mdata = ctl.datasets.simulate_multiome(20, 5, 8, seed=0)
    >>> path = ctl.io.write(mdata, tempfile.mkdtemp() + "/shared.h5mu")
    >>> ctl.io.read(path).shape
    (20, 13)
    """
    path = Path(path)
    if not isinstance(data, MuData | AnnData):
        raise ChromatellError(
            f"ctl.io.write takes a MuData or an AnnData, got {type(data).__name__}. Tracks are written with "
            "tracks.save('tracks.zarr'), a model with ctl.io.export_model(mdata, key, 'folder')."
        )
    fitting = ".h5mu" if isinstance(data, MuData) else ".h5ad"
    if path.suffix not in (fitting, ".zarr"):
        raise ChromatellError(
            f"path={str(path)!r} does not fit a {type(data).__name__}: it must end in {fitting} or .zarr, such as "
            f"path={str(path.parent / (path.stem or 'data')) + fitting!r}."
        )
    check_writable(data)
    check_tables(data)
    check_target(path, "data", overwrite=overwrite)
    backing = data.filename if data.isbacked else None
    if backing is not None and path.exists() and path.samefile(backing):
        raise ChromatellError(
            f"{str(path)!r} is the file from which this {type(data).__name__} is being read (backed). Write another "
            "one, or read it whole first: ctl.io.read(path)."
        )
    path.parent.mkdir(parents=True, exist_ok=True)
    with sibling(path.absolute(), overwrite=overwrite) as temporary:
        _write(data, temporary, path.suffix, compression)
    known(path)
    logger.debug("Wrote %s.", file_name(path))
    return path


def _write(data: MuData | AnnData, path: Path, suffix: str, compression: str | None) -> None:
    from anndata.io import write_zarr

    from chromatell.io._zarr_memory import write_through_memory  # zarr takes .3 s to import

    options: dict[str, Any] = {} if compression is None else {"compression": compression}
    # mudata would otherwise pull the modalities' columns into .obs and .var, which the user did not ask for
    with either_zarr(), no_pull(), text_as_before(data), plain_strings():
        if suffix == ".zarr":
            plain = data if isinstance(data, AnnData) else plain_axis(data)
            write_store = write_zarr if isinstance(data, AnnData) else mudata.write_zarr
            if data.isbacked or _of_dask(data):
                write_store(path, plain)
            else:
                write_through_memory(lambda store: write_store(store, plain), path)
            return
        with h5_sink(path) as sink:
            mudata.write_h5mu(sink, data, **options) if isinstance(data, MuData) else _write_h5ad(data, sink, options)


def _of_dask(data: MuData | AnnData) -> bool:
    """Return whether a matrix is a dask array: other processes may write it, which cannot reach a store in memory."""
    parts = data.mod.values() if isinstance(data, MuData) else [data]
    return any(
        hasattr(x, "dask")
        for part in parts
        for x in (part.X, *(part.layers[k] for k in layer_names(part)), *part.obsm.values(), *part.varm.values())
    )


def _write_h5ad(adata: AnnData, sink: H5Sink, options: dict[str, Any]) -> None:
    """Write what ``adata.write_h5ad`` writes, which takes no open file."""
    import h5py
    from anndata.io import write_elem

    adata.strings_to_categoricals()
    if adata.raw is not None:
        adata.strings_to_categoricals(adata.raw.var)
    with h5py.File(sink, "w") as file:
        file.attrs.update({"encoding-type": "anndata", "encoding-version": "0.1.0"})
        for name, part in (("X", adata.X), ("raw", adata.raw), ("obs", adata.obs), ("var", adata.var)):
            if part is not None:
                write_elem(file, name, part, dataset_kwargs=options)
        write_elem(file, "layers", {k: adata.layers[k] for k in layer_names(adata)}, dataset_kwargs=options)
        for name in ("obsm", "varm", "obsp", "varp", "uns"):
            write_elem(file, name, dict(getattr(adata, name)), dataset_kwargs=options)
