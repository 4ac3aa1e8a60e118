"""``ctl.pl.motif_activity``: a heatmap of motifs and groups of cells."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Unpack

import numpy as np
import pandas as pd
from mudata import MuData

from chromatell._keys import ATAC, MOTIF_ACTIVITY, RNA
from chromatell._nearest import names_there
from chromatell._validate import ChromatellError, in_range
from chromatell.data.chosen import cell_labels
from chromatell.data.named import modalities
from chromatell.pl._plot import ShownModalities, plot
from chromatell.pl._style import call_of
from chromatell.pl._tf_activity import heatmap, tops

if TYPE_CHECKING:
    from matplotlib.axes import Axes


@plot
@modalities
def motif_activity(
    mdata: MuData,
    motifs: Sequence[str] | None = None,
    *,
    groupby: str = "cell_type",
    key: str = MOTIF_ACTIVITY,
    n_top: int | None = None,
    ax: Axes | None = None,
    **more: Unpack[ShownModalities],
) -> Axes:
    """Mean activity of motifs in groups of cells, as a heatmap.

    Parameters
    ----------
    mdata
        After ``ctl.tl.motif_activity(mdata)``.
    motifs
        Motifs to draw, in this order; None takes the `n_top` that differ most between the groups, ordered by the group
        in which they are highest.
    groupby
        Column of `obs`.
    key
        Name of the activities in `obsm`.
    n_top
        Number of motifs where `motifs` is None; None draws as many as can be read in `ax`, at most 25.

    Returns
    -------
    matplotlib.axes.Axes
        Motifs in rows, groups in columns; blue below zero, red above.

    Raises
    ------
    ChromatellError
        `tl.motif_activity` was not run, or no such column or motif.

    Examples
    --------
    >>> import chromatell as ctl
    >>> mdata = ctl.datasets.simulate_sequence_multiome(n_cells=100, n_regions=120, seed=0)
    >>> ctl.tl.motif_activity(mdata, ["SPI1", "EBF1"], key="atac", pvalue=1e-3, n_backgrounds=10)
    >>> ctl.pl.motif_activity(mdata).get_ylabel()
    'Motif'
    """
    activity = None
    if isinstance(mdata, MuData):
        activity = next(
            (mdata.mod[m].obsm[key] for m in (RNA, ATAC) if m in mdata.mod and key in mdata.mod[m].obsm), None
        )
    if not isinstance(activity, pd.DataFrame):
        call = call_of("ctl.tl.motif_activity(mdata, motifs)", key, MOTIF_ACTIVITY)
        raise ChromatellError(f"Did not find a table of activities in obsm[{key!r}]. Run {call}.")
    codes, names = cell_labels(mdata, groupby)
    groups = [np.asarray(activity[codes == g], dtype=np.float64).mean(axis=0) for g in range(len(names))]
    means = pd.DataFrame(np.column_stack(groups), index=activity.columns, columns=names)
    if motifs is None:
        n_top = None if n_top is None else in_range(n_top, 1, 1000, "n_top")
        means = tops(means, n_top, ax)
    else:
        asked = [motifs] if isinstance(motifs, str) else list(motifs)
        missing = [m for m in asked if m not in means.index]
        if missing or not asked:
            raise ChromatellError(
                f"No activity of {missing or 'any motif'}; there: {names_there(means.index, missing)}."
            )
        means = means.loc[asked]
    return heatmap(ax, means, groupby, "Mean activity (s.d. over backgrounds)", "Motif")
