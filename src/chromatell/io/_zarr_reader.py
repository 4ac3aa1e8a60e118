"""Predictions in a Zarr store of their own: found from their file, checked, opened lazily."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from anndata import AnnData
from mudata import MuData

from chromatell._arguments import arguments
from chromatell._keys import PREDICTIONS, UNS
from chromatell._settings import check_fits
from chromatell._validate import ChromatellError
from chromatell.io._child import open_in_child
from chromatell.io._guard import existing, resolve_sibling
from chromatell.io._h5_guard import check_group, group_at, open_h5
from chromatell.io._limits import REFUSED, Budget
from chromatell.io._uns_store import choose_key
from chromatell.io._zarr_guard import check_store, is_zarr, step_into
from chromatell.io._zarr_writer import FILES, ROOT, listing, sha256


@arguments
def open_prediction(
    source: MuData | AnnData | str | os.PathLike[str],
    key: str | None = None,
    *,
    folder: str | os.PathLike[str] | None = None,
    verify: bool = False,
) -> AnnData:
    """Return predictions kept in a Zarr store as an AnnData whose `X` is read when it is used.

    Parameters
    ----------
    source
        A MuData with ``uns['ctl']['predictions']``, the `.h5mu` of one, or the store itself.
    key
        Name of the prediction; may be left out where there is only one.
    folder
        Where the store lies, for a MuData in memory; None is the folder of its file, else the working folder.
    verify
        Hash every chunk, which reads the whole store; else only names and sizes of files are compared.

    Returns
    -------
    AnnData
        ``X`` : dask array, float32 or float16 (n_obs, n regions); of a store that ``tl.predict(top_k=)`` wrote, CSR on
        disk, float32, which ``.to_memory()`` reads. Where dask is not installed (``chromatell[dask]``)
        it is read at once, up to ``settings.dense_limit``.

    Raises
    ------
    ChromatellError
        No such prediction, the store is not beside its file, it is refused, or it was changed.

    Examples
    --------
    >>> import tempfile, numpy as np, pandas as pd
    >>> from chromatell.io import PredictionWriter, open_prediction
    >>> path = tempfile.mkdtemp() + "/predictions.zarr"
    >>> with PredictionWriter(path, ["cell1"], pd.DataFrame(index=["chr1:0-500"])) as writer:
    ...     writer.write(slice(0, 1), slice(0, 1), np.ones((1, 1)))
    >>> open_prediction(path).shape
    (1, 1)
    """
    store, expected = _locate(source, key, folder)
    if not is_zarr(store):
        raise ChromatellError(f"{store} is not a Zarr store. Write predictions with ctl.tl.predict(..., out=path).")
    check_store(store, Budget(str(store), model=False))
    open_in_child(store)
    _compare(store, expected, verify)
    return _open(store)


def _locate(source: Any, key: str | None, folder: str | os.PathLike[str] | None) -> tuple[Path, str | None]:
    """Return the store and the hash it should have."""
    if isinstance(source, MuData | AnnData):
        own = source.uns.get(UNS, {})
        entries: Mapping[str, Any] = own.get(PREDICTIONS, {}) if isinstance(own, Mapping) else {}
        file = getattr(source, "filename", None)
        base = Path(folder) / "mdata" if folder is not None else Path(file) if file else Path.cwd() / "mdata"
        where = "mdata.uns['ctl']['predictions']"
    else:
        base = existing(source)
        if base.is_dir() and step_into(base, "mod") is None and step_into(base, "X") is not None:
            return base, None
        entries, where = _entries(base), str(base)
    if not entries:
        raise ChromatellError(
            f"There is no stored prediction in {where}. Write one with ctl.tl.predict(..., out=path)."
        )
    entry = entries[choose_key(sorted(entries), key, where)]
    if not isinstance(entry, Mapping) or not {"path", "hash"} <= entry.keys():
        raise ChromatellError(f"The prediction {key!r} in {where} has no 'path' and 'hash'. {REFUSED}")
    return resolve_sibling(base, str(entry["path"])), str(entry["hash"])


def _entries(path: Path) -> dict[str, Any]:
    from chromatell.io._file import read_group_h5, read_group_zarr

    name = f"The list of predictions in {path}"
    if path.is_dir():
        folder = step_into(path, "uns", UNS, PREDICTIONS)
        if folder is None:
            return {}
        check_store(folder, Budget(name, model=True))
        open_in_child(folder)
        return read_group_zarr(folder)
    open_in_child(path, f"uns/{UNS}/{PREDICTIONS}")
    with open_h5(path) as file:
        group = group_at(file, "uns", UNS, PREDICTIONS)
        if group is None:
            return {}
        check_group(group, Budget(name, model=True))
        return read_group_h5(group)


def _compare(store: Path, expected: str | None, verify: bool) -> None:
    if expected is not None and (not (store / ROOT).is_file() or sha256(store / ROOT) != expected):
        raise ChromatellError(
            f"{store} is not the store that was written with this file: its hash differs. "
            "Copy both again, or predict again."
        )
    import zarr

    said = zarr.open_group(str(store), mode="r").attrs.get(FILES)
    if not isinstance(said, dict):
        if expected is None:
            return  # an AnnData store that another tool wrote
        raise ChromatellError(f"{store} does not list its files. {REFUSED}")
    present = listing(store, hashes=verify)
    changed = [
        n
        for n in present.keys() | said.keys()
        if (present.get(n) or [None])[: 1 + verify] != (said.get(n) or [0])[: 1 + verify]
    ]
    if changed:
        raise ChromatellError(
            f"{len(changed)} files of {store} are missing, added or changed (such as {sorted(changed)[0]!r}). "
            "Copy it again, or predict again."
        )


def _open(store: Path) -> AnnData:
    import zarr
    from anndata.io import read_elem

    root = zarr.open_group(str(store), mode="r")
    x = root["X"]
    matrix: Any
    try:
        if isinstance(x, zarr.Group):  # the best regions of each cell
            from anndata.io import sparse_dataset

            matrix = sparse_dataset(x)
        else:
            import dask.array as da

            matrix = da.from_zarr(x)
    except ImportError:
        matrix = None
    if matrix is None:
        cure = "To read it lazily: pip install 'chromatell[dask]'."
        check_fits(int(np.prod(x.shape)) * x.dtype.itemsize, f"X of {store} takes", cure)
        matrix = x[...]
    obs, var = read_elem(root["obs"]), read_elem(root["var"])
    return AnnData(matrix, obs=obs, var=var, uns=read_elem(root["uns"]) if "uns" in root else {})
