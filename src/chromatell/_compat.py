"""What differs between releases of anndata and mudata, in one place."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any


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
