"""``ctl.get.merge_results``: bring home what other tools computed on the measured modalities."""

from __future__ import annotations

from typing import Any

import numpy as np
from mudata import MuData

from chromatell._arguments import arguments
from chromatell._compat import layer_names
from chromatell._keys import UNS
from chromatell._settings import logger
from chromatell._validate import ChromatellError, examples
from chromatell.data.named import carry_mapping, carry_table
from chromatell.get._measured import is_derived, variable_rows


@arguments
def merge_results(mdata: MuData, measured: MuData) -> None:
    """Write what was computed on ``ctl.get.measured(mdata)`` into `mdata`.

    Parameters
    ----------
    mdata
        The whole, with its predictions.
    measured
        What :func:`chromatell.get.measured` gave, after other tools wrote into it: the same cells in the same order.

    Returns
    -------
    None. Written into `mdata` and its modalities, what is there under the same name replaced:

    ``obs``, ``obsm``, ``obsp``, ``uns``
        All of `measured`; ``uns['ctl']`` stays.
    ``var``, ``varm``, and of the modalities also ``varp`` and ``layers``
        Where the modality still has the same variables; NaN for predicted ones.

    Raises
    ------
    ChromatellError
        The cells are not the same, or a modality of `measured` is not in `mdata`; nothing was written.

    Examples
    --------
    >>> import chromatell as ctl
    >>> mdata = ctl.datasets.simulate_multiome(60, 20, 30, seed=0)
    >>> measured = ctl.get.measured(mdata)
    >>> measured.obsm["X_joint"] = measured.mod["rna"].X.toarray()[:, :2]  # as muon.tl.umap would
    >>> ctl.get.merge_results(mdata, measured)
    >>> mdata.obsm["X_joint"].shape
    (60, 2)
    """
    _check(mdata, measured)
    carry_table(mdata.obs, measured.obs)
    carry_mapping(mdata.obsm, measured.obsm, leave=measured.mod)
    carry_mapping(mdata.obsp, measured.obsp, leave=measured.mod)
    carry_mapping(mdata.uns, measured.uns, leave=(UNS,))
    changed = []
    for name, source in measured.mod.items():
        target = mdata.mod[name]
        carry_table(target.obs, source.obs)
        for part in ("obsm", "obsp"):
            carry_mapping(getattr(target, part), getattr(source, part))
        carry_mapping(target.uns, source.uns, leave=(UNS,))
        if not target.var_names.equals(source.var_names):
            changed.append(name)
            continue
        carry_table(target.var, source.var)
        for part in ("varm", "varp"):
            carry_mapping(getattr(target, part), getattr(source, part))
        carry_mapping(target.layers, {layer: source.layers[layer] for layer in layer_names(source)})
    if changed:
        logger.info("Other variables than before in %s: what was computed for them stays there.", ", ".join(changed))
        return
    rows = variable_rows(mdata, measured.mod)
    place = np.full(mdata.n_vars, -1)
    place[rows[rows >= 0]] = np.flatnonzero(rows >= 0)
    for name in measured.var:
        if name not in mdata.var:
            mdata.var[name] = measured.var[name].reset_index(drop=True).reindex(place).array
    for name, value in measured.varm.items():
        if name not in measured.mod:
            mdata.varm[name] = _spread(value, place)


def _check(mdata: MuData, measured: MuData) -> None:
    for data in (mdata, measured):
        if not isinstance(data, MuData):
            raise ChromatellError(f"Expected two MuData, the whole and what was measured, got {type(data).__name__}.")
    unknown = [name for name in measured.mod if name not in mdata.mod or is_derived(name, mdata.mod[name])]
    if unknown:
        raise ChromatellError(
            f"`measured` has modalities {examples(unknown)} that mdata did not measure. The order is "
            "ctl.get.merge_results(mdata, measured), with measured = ctl.get.measured(mdata)."
        )
    pairs: list[tuple[str, Any, Any]] = [("mdata", mdata, measured)]
    pairs += [(f"mdata.mod[{name!r}]", mdata.mod[name], source) for name, source in measured.mod.items()]
    for name, target, source in pairs:
        if not target.obs_names.equals(source.obs_names):
            shared = target.obs_names.isin(source.obs_names).sum()
            raise ChromatellError(
                f"{name} has {target.n_obs} cells, and what was measured {source.n_obs}, {int(shared)} of them shared, "
                "or in another order. If cells were filtered, filter the whole as well, then merge: mdata = "
                "mdata[measured.obs_names].copy(); ctl.get.merge_results(mdata, measured)."
            )


def _spread(value: Any, place: np.ndarray) -> np.ndarray:
    value = np.asarray(value)
    out = np.full((len(place), *value.shape[1:]), np.nan, dtype=np.result_type(value.dtype, np.float32))
    out[place >= 0] = value[place[place >= 0]]
    return out
