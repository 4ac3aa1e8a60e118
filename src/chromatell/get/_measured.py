"""``ctl.get.measured``: what was measured, for tools that take every modality of a MuData."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pandas as pd
from anndata import AnnData
from mudata import MuData

from chromatell._arguments import arguments
from chromatell._compat import no_pull
from chromatell._docs import example
from chromatell._keys import ATAC_PRED, DERIVED, UNS
from chromatell._validate import ChromatellError
from chromatell.data.named import with_matrix


@arguments
@example("predicted cells")
def measured(mdata: MuData) -> MuData:
    """A MuData of the measured modalities alone, which shares their matrices.

    Tools that read every modality, such as ``muon.pp.neighbors``, MOFA or SNF, would take a prediction for one more
    measurement. Run them on this, then bring their results home with :func:`chromatell.get.merge_results`.

    Parameters
    ----------
    mdata
        With `atac_pred`, or modalities that ``ctl.tl`` made from predictions.

    Returns
    -------
    mudata.MuData
        Every other modality, under its name. Matrices (`X`, `layers`, `obsm`, `obsp`, `varm`, `raw`) are shared, not
        copied; tables (`obs`, `var`) and `uns` are its own, so that what is written there does not reach `mdata`.

    Raises
    ------
    ChromatellError
        No MuData, or nothing in it was measured.

    Examples
    --------
    >>> list(ctl.get.measured(mdata).mod)
    ['rna', 'atac']
    """
    if not isinstance(mdata, MuData):
        raise ChromatellError(f"Expected a MuData, got {type(mdata).__name__}. An AnnData has one modality: use it.")
    names = [name for name, adata in mdata.mod.items() if not is_derived(name, adata)]
    if not names:
        raise ChromatellError(
            f"Nothing in this MuData was measured: its modalities {sorted(mdata.mod)} are predictions. Add expression: "
            "mudata.MuData({'rna': rna, **mdata.mod})."
        )
    with no_pull():
        result = MuData({name: _shared(mdata.mod[name]) for name in names})
    for name in mdata.obs.columns:
        result.obs[name] = mdata.obs[name].reindex(result.obs_names)
    places = variable_rows(mdata, names)
    for name in mdata.var.columns:
        result.var[name] = mdata.var[name].reset_index(drop=True).reindex(places).array
    rows = mdata.obs_names.get_indexer(result.obs_names)
    everything = result.n_obs == mdata.n_obs and bool((rows == range(mdata.n_obs)).all())
    for name, value in mdata.obsm.items():
        if name not in mdata.mod:
            result.obsm[name] = value if everything else value[rows]
    if everything:
        for name, value in mdata.obsp.items():
            result.obsp[name] = value
    result.uns.update(mdata.uns)
    return result


def variable_rows(mdata: MuData, names: Iterable[str]) -> np.ndarray:
    """Return the rows of ``mdata.var`` that are of these modalities, -1 where there is none.

    They are told by their place, since two modalities may share names, and by name where `mdata` is not up to date.
    """
    names, every = list(names), {name: adata.var_names for name, adata in mdata.mod.items()}
    if mdata.var_names.equals(pd.Index(np.concatenate(list(every.values())))):
        first = dict(zip(every, np.cumsum([0, *map(len, every.values())]), strict=False))
        return np.concatenate([first[name] + np.arange(len(every[name])) for name in names])
    if not mdata.var_names.is_unique:
        raise ChromatellError("mdata.var is not in step with its modalities. Call mdata.update() first.")
    return mdata.var_names.get_indexer(np.concatenate([every[name] for name in names]))


def is_derived(name: str, adata: AnnData) -> bool:
    """Return whether a modality was predicted, or made from another one by ``ctl.tl``."""
    return name == ATAC_PRED or DERIVED in adata.uns.get(UNS, {})


def _shared(adata: AnnData) -> AnnData:
    """Return an AnnData with the same matrices and tables of its own."""
    raw = None if adata.raw is None else {"X": adata.raw.X, "var": adata.raw.var, "varm": dict(adata.raw.varm)}
    return with_matrix(adata, adata.X, raw=raw)
