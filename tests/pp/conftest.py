from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from anndata import AnnData

import chromatell as ctl


def _leaf(value) -> str:
    if sp.issparse(value):
        value = value.tocsr()
        return repr((value.format, value.shape, value.dtype.str, value.data.tobytes(), value.indices.tobytes()))
    if isinstance(value, np.ndarray):
        body = value.tolist() if value.dtype == object else value.tobytes()
        return repr((value.shape, value.dtype.str, body))
    return repr(value)


def fields_of(data, where: str = "") -> dict[str, str]:
    """Return every field of a MuData or AnnData (each column, layer, key of `uns`) as text."""
    out: dict[str, str] = {}

    def add(path: str, value) -> None:
        if isinstance(value, Mapping):
            for key in value:
                add(f"{path}/{key}", value[key])
        elif isinstance(value, pd.DataFrame):
            out[f"{path}#index"] = repr(value.index.tolist())
            for column in value:
                out[f"{path}/{column}"] = repr((value[column].dtype.name, value[column].tolist()))
        else:
            out[path] = _leaf(value)

    for name in ("obs", "var", "obsm", "varm", "obsp", "varp", "uns"):
        add(f"{where}{name}", getattr(data, name))
    if isinstance(data, AnnData):
        add(f"{where}X", data.X)
        add(f"{where}layers", dict(data.layers))
    else:
        for name, mod in data.mod.items():
            out |= fields_of(mod, f"{where}{name}:")
    return out


@pytest.fixture
def fields() -> Callable[..., dict[str, str]]:
    return fields_of


@pytest.fixture
def mdata():
    """Simulated cells with something of the user's in every slot."""
    mdata = ctl.datasets.simulate_multiome(200, 30, 80, n_donors=6, seed=3)
    rna, atac = mdata.mod["rna"], mdata.mod["atac"]
    mdata.obs["number"] = np.arange(200)
    mdata.var["flag"] = True
    mdata.uns["mine"] = {"a": 1, "b": np.arange(3)}
    mdata.uns["ctl"] = {"other": {"x": 1}}
    mdata.obsm["joint"] = np.ones((200, 2))
    rna.obs["batch"] = pd.Categorical(np.where(np.arange(200) % 4 == 0, "b1", "b2"))
    rna.layers["counts"] = rna.X.copy()
    rna.uns["log1p"] = {"base": 2}
    atac.varm["v"] = np.ones((80, 2))
    atac.obsp["near"] = sp.eye(200, format="csr")
    return mdata
