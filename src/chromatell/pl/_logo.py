"""``ctl.pl.logo``: the importance of each base, as letters."""

from __future__ import annotations

from typing import TYPE_CHECKING, Unpack

import numpy as np
from mudata import MuData

from chromatell._docs import documented, example
from chromatell._keys import ISM
from chromatell.pl._plot import Shown, plot
from chromatell.pl._sequence_view import Window, axes_size, genomic_axis, window_of
from chromatell.pl._style import FAINT, OKABE_ITO, finish, new_axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes

COLOURS = {
    "A": OKABE_ITO["green"],
    "C": OKABE_ITO["blue"],
    "G": OKABE_ITO["orange"],
    "T": OKABE_ITO["vermillion"],
}


@plot
@documented("sequence plot")
@example("sequence model")
def logo(
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
    """The bases of a region, each as high as it matters for being open.

    After `tl.ism`, the height is the mean fall of the log-odds when the base is changed to each of the other three;
    after `tl.attribute`, the contribution of the base. Letters below the axis, upside down, keep the region closed.

    Parameters
    ----------
    mdata
        After ``ctl.tl.ism`` or ``ctl.tl.attribute``.
    start, end
        Interval of the chromosome to draw, 0-based and half-open; None for all that is stored. About 100 bases can be
        read at a width of 6 inches.

    Returns
    -------
    matplotlib.axes.Axes
        A letter a base, over genomic positions; an unknown base (N) has none.

    Raises
    ------
    ChromatellError
        Nothing is stored under `key`, or not of that region, group or window.

    References
    ----------
    Schneider and Stephens, Nucleic Acids Research 1990 (sequence logos).

    Examples
    --------
    >>> ctl.tl.ism(mdata, mdata.mod["atac"].var_names[:1], window=20)
    >>> ctl.pl.logo(mdata).get_ylabel()
    'Mean fall of log-odds when changed'
    """
    shown = window_of(mdata, key, region, group, start, end)
    heights = _heights(shown)
    ax = new_axes(ax, (6.0, 3.0))
    _draw(ax, shown, heights)
    ax.axhline(0, color=FAINT, linewidth=0.6, zorder=0)
    bottom, top = min(0.0, float(heights.min(initial=0))), max(0.0, float(heights.max(initial=0)))
    margin = 0.05 * (top - bottom) or 1.0
    ax.set_ylim(bottom - margin, top + margin)
    xlabel = genomic_axis(ax, shown)
    low = axes_size(ax)[1] < 2.2
    ylabel = "Mean fall of log-odds{}when changed" if shown.is_ism else "Contribution{}to log-odds"
    return finish(ax, xlabel, ylabel.format("\n" if low else " "), shown.title)


def _heights(shown: Window) -> np.ndarray:
    """Return the importance of each base that is there, 0 for an N."""
    if shown.is_ism:
        heights = -shown.effect.sum(axis=0) / 3  # its own change is 0
    else:
        heights = np.take_along_axis(shown.effect, np.minimum(shown.tokens, 3)[None].astype(np.int64), axis=0)[0]
    return np.where(shown.tokens < 4, heights, 0.0)


def _draw(ax: Axes, shown: Window, heights: np.ndarray) -> None:
    from matplotlib.collections import PathCollection
    from matplotlib.path import Path

    for token, (base, colour) in enumerate(COLOURS.items()):
        corners, codes = _glyph(base)
        at = np.flatnonzero((shown.tokens == token) & (heights != 0))
        letters = [Path(corners * (0.94, heights[i]) + (shown.start + i - 0.47, 0), codes) for i in at]
        if letters:
            ax.add_collection(PathCollection(letters, facecolors=colour, edgecolors="none", label=base))


def _glyph(base: str) -> tuple[np.ndarray, np.ndarray]:
    """Return the outline of a letter, stretched to fill the unit square: corners (n, 2) and codes (n,) of a path."""
    from matplotlib.font_manager import FontProperties
    from matplotlib.textpath import TextPath

    outline = TextPath((0, 0), base, size=1, prop=FontProperties(family="DejaVu Sans", weight="bold"))
    box = outline.get_extents()
    return (np.asarray(outline.vertices) - box.p0) / box.size, np.asarray(outline.codes)
