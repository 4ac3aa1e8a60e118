"""``ctl.pl.perturb``: the regions that a perturbation moves most, group by group."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Unpack

import numpy as np
from mudata import MuData

from chromatell._compat import text_of
from chromatell._docs import documented, example
from chromatell._keys import PERTURBATION
from chromatell._nearest import names_there
from chromatell._validate import ChromatellError, in_range
from chromatell.pl._plot import Shown, plot
from chromatell.pl._style import call_of, finish, font_size, new_axes, read_table, room_for

if TYPE_CHECKING:
    from matplotlib.axes import Axes


@plot
@documented("plotted")
@example("predicted cells")
def perturb(
    mdata: MuData,
    target: str | None = None,
    *,
    n_top: int = 20,
    key: str = PERTURBATION,
    ax: Axes | None = None,
    **more: Unpack[Shown],
) -> Axes:
    """Effect of one perturbation on the regions that it moves most, in each group of cells.

    Parameters
    ----------
    mdata
        After ``ctl.tl.perturb(mdata, targets)``.
    target
        Which perturbation; None takes the one with the largest effect.
    n_top
        Number of regions, by their largest effect in any group.

    Returns
    -------
    matplotlib.axes.Axes
        A row a region, a column a group: blue where the region closes without what was taken out, red where it opens,
        on one scale around 0. Groups in which nothing was there to take out are grey.

    Raises
    ------
    ChromatellError
        `tl.perturb` was not run, or not for that target.

    Examples
    --------
    >>> ctl.tl.perturb(mdata, ["gene_1", "gene_2"], n_cells=20)
    >>> ctl.pl.perturb(mdata, "gene_2", n_top=5).get_ylabel()
    'Region'
    """
    from matplotlib import colormaps

    n_top = in_range(n_top, 1, 200, "n_top")
    call = call_of("ctl.tl.perturb(mdata, targets)", key, PERTURBATION)
    stored = read_table(mdata, key, call)
    if not isinstance(stored, Mapping) or not {"effect", "targets", "groups", "regions"} <= set(stored):
        raise ChromatellError(
            f"mdata.uns['ctl'][{key!r}] was not written by ctl.tl.perturb. Run {call}, or name another with key=."
        )
    effect = np.asarray(stored["effect"])
    names, groups, regions = (text_of(stored[n]) for n in ("targets", "groups", "regions"))
    largest = f" (largest of {len(names)} targets)" if target is None and len(names) > 1 else ""
    if target is None:
        target = str(names[np.nanargmax(np.nanmax(np.abs(effect), axis=(1, 2)))])
    if target not in names:
        raise ChromatellError(f"No {target!r} in mdata.uns['ctl'][{key!r}]; there: {names_there(names, target)}.")
    values = effect[list(names).index(target)]
    order = np.argsort(-np.nanmax(np.abs(values), axis=0), kind="stable")[:n_top]
    shown = values[:, order].T
    ax = new_axes(ax, (2.6 + 0.34 * len(groups), 1.5 + 0.19 * len(order) + room_for(groups)))
    size = font_size(ax)
    top = float(np.nanmax(np.abs(shown))) or 1.0
    colours = colormaps["RdBu_r"].with_extremes(bad="#DDDDDD")
    image = ax.imshow(shown, cmap=colours, vmin=-top, vmax=top, aspect="auto", interpolation="nearest")
    ax.set_xticks(range(len(groups)), groups, rotation=90 if max(map(len, groups)) > 2 else 0)
    ax.set_yticks(range(len(order)), regions[order])
    figure = ax.figure
    bar = figure.colorbar(image, ax=ax, pad=0.03, fraction=0.08)
    bar.set_label("Change of log-odds", fontsize=size)
    bar.ax.tick_params(labelsize=size - 0.5, length=2)
    bar.outline.set_visible(False)
    finish(ax, "", "Region", f"Without {target}{largest}")
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)
    return ax
