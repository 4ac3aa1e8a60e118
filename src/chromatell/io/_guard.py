"""Whole data files that others wrote, and files that lie beside them: looked at before they are read."""

from __future__ import annotations

import os
import re
import warnings
from pathlib import Path

import h5py
import mudata
from anndata import AnnData
from mudata import MuData

from chromatell._arguments import arguments
from chromatell._compat import no_pull
from chromatell._errors import ChromatellError
from chromatell._keys import MODELS, UNS
from chromatell._sparse import check_sparse_parts
from chromatell.io._child import open_in_child
from chromatell.io._h5_guard import check_group, group_at, open_h5
from chromatell.io._limits import REFUSED, Budget
from chromatell.io._other_files import check_cells, what_reads
from chromatell.io._text_columns import as_this_stack, check_columns
from chromatell.io._zarr_guard import check_store, is_zarr, step_into


@arguments
def check_file(path: str | os.PathLike[str], *, max_bytes: int | None = None) -> None:
    """Raise where a data file from elsewhere holds something that should not be read.

    The whole file is walked by metadata: links of any kind but plain ones, virtual or external data, objects, pickles,
    unknown filters and codecs, and files that would inflate over 200-fold to gigabytes are refused, wherever that is.
    Models in it are held to the stricter limits of `read_record_file`. How long text is cannot be told beforehand.

    Parameters
    ----------
    path
        A `.h5mu`, `.h5ad` or `.zarr`.
    max_bytes
        The most that its arrays may take in memory; no fixed bound where None.

    Raises
    ------
    ChromatellError
        Names what was found, and where.

    Examples
    --------
    >>> import tempfile, pathlib, anndata, numpy as np
    >>> from chromatell.io import check_file
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "cells.h5ad"
    >>> anndata.AnnData(np.ones((2, 3), "float32")).write_h5ad(path)
    >>> check_file(path)
    """
    path = existing(path)
    if path.is_dir():
        if not is_zarr(path):
            raise ChromatellError(f"{path} is a folder but no Zarr store. Give a .h5mu, .h5ad or .zarr.")
        check_store(path, Budget(str(path), model=False, max_bytes=max_bytes))
        open_in_child(path)
        models_folder = step_into(path, "uns", UNS, MODELS)
        for folder in subfolders(models_folder):
            check_store(folder, Budget(f"The model {folder.name!r} in {path}", model=True))
        return
    open_in_child(path)
    with open_h5(path) as file:
        check_group(file["/"], Budget(str(path), model=False, max_bytes=max_bytes))
        models = group_at(file, "uns", UNS, MODELS)
        for key in [] if models is None else sorted(models):
            group = group_at(file, "uns", UNS, MODELS, key)
            if group is not None:
                check_group(group, Budget(f"The model {key!r} in {path}", model=True))


@arguments
def read(path: str | os.PathLike[str], *, max_bytes: int | None = None) -> MuData | AnnData:
    """Return the data in a file from elsewhere, after `check_file`.

    Parameters
    ----------
    path
        A `.h5mu` or `.zarr` with a MuData, or a `.h5ad` or `.zarr` with an AnnData.
    max_bytes
        The most that its arrays may take in memory.

    Raises
    ------
    ChromatellError
        The file is refused, cut short, holds no MuData or AnnData, or a sparse matrix in it does not fit itself.

    Examples
    --------
    >>> import tempfile, pathlib, anndata, numpy as np
    >>> from chromatell.io import read
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "cells.h5ad"
    >>> anndata.AnnData(np.ones((2, 3), "float32")).write_h5ad(path)
    >>> read(path).shape
    (2, 3)
    """
    import anndata

    path = existing(path)
    check_cells(path)
    check_file(path, max_bytes=max_bytes)
    try:
        with no_pull(), warnings.catch_warnings():
            warnings.simplefilter("ignore", anndata.OldFormatWarning)  # a file of an old anndata is read, not at fault
            if path.is_dir():
                data = mudata.read_zarr(path)
            else:
                with h5py.File(path, "r") as file:
                    whole = "mod" in file
                data = mudata.read_h5mu(path) if whole else anndata.read_h5ad(path)
    except Exception as err:  # whatever the readers raise on a damaged file, the user gets one clear error
        if hint := what_reads(path):
            raise ChromatellError(f"{path} is no .h5ad, .h5mu or .zarr. {hint}") from err
        raise ChromatellError(
            f"{path} is no MuData or AnnData that can be read ({type(err).__name__}: {str(err)[:200]}). "
            "Write it anew, ctl.io.write(mdata, 'new.h5mu'), or copy it again if it is cut short."
        ) from err
    check_sparse_parts(data, str(path))
    for name, adata in data.mod.items() if isinstance(data, MuData) else ():
        check_sparse_parts(adata, f"mod[{name!r}] of {path}")
    check_columns(data, str(path))
    return as_this_stack(data)


@arguments
def resolve_sibling(base_path: str | os.PathLike[str], name: str) -> Path:
    """Return the path of a file that lies beside another, from a name found in its ``.uns``.

    Parameters
    ----------
    base_path
        The file that names it.
    name
        A plain name in the same folder.

    Raises
    ------
    ChromatellError
        The name climbs, is absolute, a URL or a link, or there is no such file.

    Examples
    --------
    >>> from chromatell.io import resolve_sibling
    >>> resolve_sibling("cells.h5mu", "../secret")
    Traceback (most recent call last):
    chromatell._validate.ChromatellError: ...
    """
    plain = (
        isinstance(name, str) and re.fullmatch(r"[A-Za-z0-9_-][A-Za-z0-9_. -]*", name) and not name.endswith((".", " "))
    )
    if not plain:
        raise ChromatellError(
            f"{base_path} names the file {str(name)[:100]!r}, which is not a plain name in its own folder "
            f"(letters, digits, '_', '-', '.'; no path, no '..', no URL). {REFUSED}"
        )
    path = Path(base_path).parent / name
    if path.is_symlink():
        raise ChromatellError(f"{path} is a link to another place. {REFUSED}")
    if not path.exists():
        raise ChromatellError(f"{base_path} refers to {name!r}, which is not beside it. Keep the two in one folder.")
    return path


def existing(path: str | os.PathLike[str], *, also: str = "") -> Path:
    """Return the path, where there is something; `also` ends the message where there is nothing."""
    path = Path(path)
    if not path.exists():
        raise ChromatellError(
            f"There is no file or folder at {path}. Give the path of a .h5mu, .h5ad, .zarr or exported model.{also}"
        )
    return path


def subfolders(path: Path | None) -> list[Path]:
    """Return the folders in a folder, links among them: the guard refuses those."""
    return [] if path is None else sorted(p for p in path.iterdir() if p.is_dir() or p.is_symlink())
