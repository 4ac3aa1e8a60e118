"""What differs between releases of anndata and mudata, in one place."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any, TypeVar

_MuData = TypeVar("_MuData")


def no_pull() -> AbstractContextManager[object]:
    """Return a context in which `MuData()`, `update()` and the readers do not pull columns up from the modalities.

    mudata 0.3 pulls by default and has `set_options`; mudata 0.4 has `settings`, and pulls where the user asks for it.

    Examples
    --------
    >>> import anndata, mudata, numpy
    >>> rna = anndata.AnnData(numpy.ones((2, 3)))
    >>> rna.var["length"] = 1
    >>> with no_pull():
    ...     mdata = mudata.MuData({"rna": rna})
    >>> list(mdata.var.columns)
    []
    """
    import mudata

    if hasattr(mudata, "settings"):
        return mudata.settings.override(pull_on_update=False)
    return mudata.set_options(pull_on_update=False)


def layer_names(adata: Any) -> list[str]:
    """Return the names of an AnnData's layers. From anndata 0.13 on, `layers` also holds `X`, under the key None.

    Examples
    --------
    >>> import anndata, numpy
    >>> adata = anndata.AnnData(numpy.ones((2, 3)), layers={"counts": numpy.ones((2, 3))})
    >>> layer_names(adata)
    ['counts']
    """
    return [name for name in adata.layers if name is not None]


def plain_strings() -> AbstractContextManager[object]:
    """Return a context in which anndata writes text as every release of it reads: an array of str.

    From 0.13 on, where pandas keeps text in a dtype of its own, it would write `nullable-string-array`.

    Examples
    --------
    >>> import anndata
    >>> with plain_strings():
    ...     anndata.settings.allow_write_nullable_strings
    False
    """
    import anndata

    return anndata.settings.override(allow_write_nullable_strings=False)


@contextmanager
def either_zarr() -> Iterator[None]:
    """Return a context in which anndata and zarr do not tell of formats to come: every format of theirs is read.

    Examples
    --------
    >>> with either_zarr():
    ...     warnings.warn("Writing zarr v2 data will no longer be the default")
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="(?s).*(Consolidated metadata|zarr v2|zarr v3|autosharding)")
        yield


def text_of(values: Any) -> Any:
    """Return an array of text as NumPy's fixed-width str, whatever dtype of text its reader gave it.

    anndata reads text of Zarr stores as NumPy's variable-width `StringDType`, which ``astype(str)`` refuses.

    Examples
    --------
    >>> import numpy as np
    >>> text_of(np.array(["chr1", "chr22"], dtype=np.dtypes.StringDType())).dtype
    dtype('<U5')
    """
    import numpy as np

    array = np.asarray(values)
    return (array.astype(object) if array.dtype.kind == "T" else array).astype(str)


def own_text_dtype() -> bool:
    """Return whether pandas keeps text in a dtype of its own unless told otherwise, as pandas 3 does."""
    import pandas as pd

    return int(pd.__version__.split(".")[0]) >= 3 or bool(pd.options.future.infer_string)


def plain_axis(mdata: _MuData) -> _MuData:
    """Return `mdata` with its axis as a Python int.

    Read from HDF5 it is a NumPy one, which mudata hands on to Zarr as it is: zarr 3.4 cannot write it.

    Examples
    --------
    >>> import mudata
    >>> type(plain_axis(mudata.MuData({})).axis)
    <class 'int'>
    """
    mdata._axis = int(mdata._axis)  # type: ignore[attr-defined]
    return mdata
