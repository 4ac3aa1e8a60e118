"""``ctl.pl.rank_regions``: the regions that a group opens most, with intervals."""

from __future__ import annotations

from typing import TYPE_CHECKING, Unpack

import numpy as np
import pandas as pd
from mudata import MuData

from chromatell._docs import documented
from chromatell._keys import RANK_REGIONS
from chromatell._nearest import names_there
from chromatell._validate import ChromatellError, in_range
from chromatell.pl._plot import Shown, plot
from chromatell.pl._sequence_view import axes_size
from chromatell.pl._style import FAINT, OKABE_ITO, call_of, finish, font_size, legend, new_axes, read_table

if TYPE_CHECKING:
    from matplotlib.axes import Axes


@plot
@documented("plotted")
def rank_regions(
    mdata: MuData,
    group: str | None = None,
    *,
    n_top: int = 20,
    key: str = RANK_REGIONS,
    ax: Axes | None = None,
    **more: Unpack[Shown],
) -> Axes:
    """The regions that one group opens most: predicted effects with intervals, measured ones beside them.

    Parameters
    ----------
    mdata
        After ``ctl.tl.rank_regions(mdata, groupby)``.
    group
        Which group; None takes the one with the highest lower bound.
    n_top
        Number of regions, by rank.

    Returns
    -------
    matplotlib.axes.Axes
        A row a region, the first on top: predicted log2 ratio with its interval; where measured, a diamond, filled at
        an FDR of 5%.

    Raises
    ------
    ChromatellError
        `tl.rank_regions` was not run, or it has no such group.

    Examples
    --------
    >>> import chromatell as ctl
    >>> mdata = ctl.datasets.simulate_multiome(100, 30, 40, seed=0)
    >>> ctl.tl.rank_regions(mdata, "cell_type", key="atac", n_bootstrap=10)
    >>> ctl.pl.rank_regions(mdata, "type_1").get_ylabel()
    'Region'
    """
    n_top = in_range(n_top, 1, 200, "n_top")
    call = call_of("ctl.tl.rank_regions(mdata, groupby='cell_type')", key, RANK_REGIONS)
    stored = read_table(mdata, key, call)
    if not isinstance(stored, dict) or not {"table", "settings"} <= set(stored):
        raise ChromatellError(f"mdata.uns['ctl'][{key!r}] was not written by {call}. Run it, or name another: key=.")
    table: pd.DataFrame = stored["table"]
    about = stored["settings"].iloc[0]
    groups = list(dict.fromkeys(table["group"].astype(str)))
    if group is None:
        group = str(table.loc[table["low"].idxmax(), "group"])
    if group not in groups:
        raise ChromatellError(
            f"No group {group!r} in mdata.uns['ctl'][{key!r}]; there: {names_there(groups, group, 20)}."
        )
    part = table[table["group"].astype(str) == group].nsmallest(n_top, "rank")
    ax = new_axes(ax, (5.6, 1.0 + 0.19 * len(part)))
    y = np.arange(len(part))[::-1]
    name = "measured" if about["key"] == "atac" else f"predicted, {about['level']:.0%} interval"
    effect = part["effect"].to_numpy()
    bounds = np.abs(np.stack([effect - part["low"], part["high"] - effect]))
    ax.axvline(0, color=FAINT, linewidth=0.8, zorder=0)
    blue, orange = OKABE_ITO["blue"], OKABE_ITO["vermillion"]
    ax.errorbar(effect, y, xerr=bounds, fmt="o", color=blue, markersize=3.5, linewidth=1.2, label=name, zorder=3)
    if "measured_effect" in part and about["key"] != "atac":
        sure = part["measured_fdr"].to_numpy() < 0.05
        for these, face, label in ((sure, orange, "measured, FDR < 5%"), (~sure, "white", "measured, not significant")):
            if these.any():
                x = part["measured_effect"].to_numpy()[these]
                ax.scatter(x, y[these], s=14, marker="D", facecolor=face, edgecolor=orange, linewidth=0.9, label=label)
    size = font_size(ax)
    ax.set_yticks(y, part["region"].astype(str).to_list())
    ax.set_ylim(-0.7, len(part) - 0.3)
    other = "all other cells" if about["reference"] == "rest" else str(about["reference"])
    finish(ax, f"log2 ratio, {group} to {other}", "Region")
    figure = ax.get_figure(root=True)
    inches = 4.0 if figure is None else figure.get_size_inches()[1]
    ax.tick_params(axis="y", labelsize=float(np.clip(0.72 * 72 * inches / (1.15 * len(part)), 3.5, size - 1)), length=0)
    n = 2 if axes_size(ax)[0] > 3.5 else 1
    legend(ax, loc="lower left", bbox_to_anchor=(0.0, 1.0), ncols=n, borderaxespad=0.1, columnspacing=1.0)
    return ax
