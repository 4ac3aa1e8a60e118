"""``ctl.get.prediction``: one prediction under the regions' own names."""

from __future__ import annotations

import pandas as pd
from anndata import AnnData
from mudata import MuData

from chromatell._arguments import arguments
from chromatell._docs import example
from chromatell._keys import ATAC_PRED, KEY, REGION, UNS
from chromatell.data.chosen import accessibility, cell_labels


@arguments
@example("predicted cells")
def prediction(mdata: MuData, key: str | None = None, groupby: str | None = None) -> AnnData | pd.DataFrame:
    """One prediction under the target modality's own names of the regions, of cells or of groups.

    In ``mdata.mod['atac_pred']`` names carry the prefix ``atac_pred:``, since names must be unique across a MuData.
    Here they do not: ``ctl.get.prediction(mdata)[:, mdata.mod['atac'].var_names]`` is a join by name.

    Parameters
    ----------
    mdata
        With `atac_pred`, or with a prediction in a Zarr store beside it.
    key
        Which prediction; None takes that in ``mdata.mod['atac_pred'].X``, the latest.
    groupby
        Column of `obs`: return the mean of each group's cells.

    Returns
    -------
    anndata.AnnData
        (n_obs, n regions): `X`, float32, the probability that a region is open, shared with `mdata`, not copied (a lazy
        array where it lies in a Zarr store); `obs` that of `mdata`; `var` without the column `region`.
    pandas.DataFrame
        With `groupby`: float64 (groups, n regions), mean probability. Cells without a label are left out.

    Raises
    ------
    ChromatellError
        There is no such prediction or column.

    Examples
    --------
    >>> predicted = ctl.get.prediction(mdata)
    >>> predicted.var_names.equals(mdata.mod["atac"].var_names)
    True
    >>> ctl.get.prediction(mdata, groupby="donor").shape[1]
    60
    """
    source = accessibility(mdata, key)
    if groupby is not None:
        codes, names = cell_labels(mdata, groupby)
        index = pd.Index(names, name=groupby)
        return pd.DataFrame(source.group_means(codes, len(names)), index=index, columns=source.regions)
    pred = mdata.mod.get(ATAC_PRED)
    var = pd.DataFrame(index=source.regions)
    if pred is not None and not source.measured and pred.n_vars == len(var):
        var = pred.var.drop(columns=REGION).set_axis(source.regions)
    return AnnData(source.values, obs=mdata.obs.copy(), var=var, uns={UNS: {KEY: source.key}})
