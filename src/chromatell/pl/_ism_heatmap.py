"""``ctl.pl.ism_heatmap``: what each change of each base does."""

from __future__ import annotations

from typing import TYPE_CHECKING, Unpack

import numpy as np
from mudata import MuData

from chromatell._docs import documented, example
from chromatell._keys import ISM
from chromatell.pl._plot import Shown, plot
from chromatell.pl._sequence_view import genomic_axis, window_of
from chromatell.pl._style import INK, finish, font_size, new_axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes


@plot
@documented("sequence plot")
@example("sequence model")
def ism_heatmap(
    mdata: MuData,
    region: str | None = None,
    *,
    group: str | None = None,
    key: str = ISM,
    start: int | None = None,
    end: int | None = None,
    ax: Axes | None = None,
    **more: Unpack[Shown],
) -> Axes:
    """The change in log-odds of being open with A, C, G and T in each place of a region.

    Parameters
    ----------
    mdata
        After ``ctl.tl.ism``; or after ``ctl.tl.attribute``, whose contributions are drawn alike.
    start, end
        Interval of the chromosome to draw, 0-based and half-open; None for all that is stored.

    Returns
    -------
    matplotlib.axes.Axes
        Four rows over genomic positions, red where more open and blue where less; dashes mark the bases that are there.

    Raises
    ------
    ChromatellError
        Nothing is stored under `key`, or not of that region, group or window.

    Examples
    --------
    >>> ctl.tl.ism(mdata, mdata.mod["atac"].var_names[:1], window=20)
    >>> ctl.pl.ism_heatmap(mdata).get_ylabel()
    'Base'
    """
    shown = window_of(mdata, key, region, group, start, end)
    ax = new_axes(ax, (6.0, 3.0))
    limit = float(np.abs(shown.effect).max()) or 1.0
    first, width = shown.start, shown.tokens.size
    image = ax.imshow(
        shown.effect,
        cmap="RdBu_r",
        vmin=-limit,
        vmax=limit,
        aspect="auto",
        interpolation="nearest",
        extent=(first - 0.5, first + width - 0.5, 3.5, -0.5),
    )
    known = np.flatnonzero(shown.tokens < 4)
    ax.hlines(
        shown.tokens[known], first + known - 0.5, first + known + 0.5, color=INK, linewidth=0.1 * font_size(ax) + 0.2
    )
    figure = ax.get_figure()
    assert figure is not None  # the image was just drawn
    bar = figure.colorbar(image, ax=ax, fraction=0.06, pad=0.02)
    bar.set_label("Change in log-odds" if shown.is_ism else "Contribution to log-odds", fontsize=font_size(ax) - 0.5)
    bar.ax.tick_params(labelsize=font_size(ax) - 1, length=2)
    bar.outline.set_visible(False)
    ax.set_yticks(range(4), list("ACGT"))
    finish(ax, genomic_axis(ax, shown), "Base", f"{shown.title}\ndash: base of the sequence")
    ax.spines[:].set_visible(False)
    ax.tick_params(axis="y", length=0)
    return ax
