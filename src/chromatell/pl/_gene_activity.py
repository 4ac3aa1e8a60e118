"""``ctl.pl.gene_activity``: how well activity of genes follows their expression."""

from __future__ import annotations

from typing import TYPE_CHECKING, Unpack

import numpy as np
from mudata import MuData

from chromatell._keys import DERIVED, GENE, GENE_ACTIVITY, PEARSON, PEARSON_MEASURED, UNS
from chromatell._validate import ChromatellError, in_range
from chromatell.pl._plot import Shown, plot
from chromatell.pl._sequence_view import axes_size
from chromatell.pl._style import BASELINE, FAINT, INK, OKABE_ITO, call_of, finish, font_size, legend, new_axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes


@plot
def gene_activity(
    mdata: MuData,
    key: str = GENE_ACTIVITY,
    *,
    n_named: int = 6,
    ax: Axes | None = None,
    **more: Unpack[Shown],
) -> Axes:
    """Correlation of gene activity and measured expression, gene by gene: predicted against measured accessibility.

    Parameters
    ----------
    mdata
        After ``ctl.tl.gene_activity(mdata)``.
    key
        The modality that it wrote.
    n_named
        So many genes of the highest correlation get their name.

    Returns
    -------
    matplotlib.axes.Axes
        A point a gene, with the line of equality; where nothing was measured beside it, a histogram. Medians in the
        legend.

    Raises
    ------
    ChromatellError
        `tl.gene_activity` was not run.

    Examples
    --------
    >>> import chromatell as ctl
    >>> mdata = ctl.datasets.simulate_multiome(100, 20, 60, seed=0)
    >>> ctl.tl.gene_activity(mdata, key="atac")
    >>> ctl.pl.gene_activity(mdata).get_ylabel()
    'Genes'
    """
    n_named = in_range(n_named, 0, 1000, "n_named")
    activity = mdata.mod.get(key) if isinstance(mdata, MuData) else None
    if activity is None or PEARSON not in activity.var:
        call = call_of("ctl.tl.gene_activity(mdata)", key, GENE_ACTIVITY)
        raise ChromatellError(f"Did not find gene activities in mdata.mod[{key!r}]. Run {call}.")
    var, about = activity.var, activity.uns.get(UNS, {})
    source = "measured ATAC" if about.get(DERIVED) == "atac" else f"prediction '{about.get(DERIVED)}'"
    over = f"Pearson r with expression over {about.get('correlated', 'cells')}"
    y = var[PEARSON].to_numpy(dtype=np.float64)
    if PEARSON_MEASURED not in var:
        ax = new_axes(ax, (4.5, 3.4))
        values = y[np.isfinite(y)]
        ax.hist(values, bins=min(40, max(8, values.size // 8)), color=OKABE_ITO["blue"], alpha=0.85)
        ax.axvline(0, color=FAINT, linewidth=0.8)
        if values.size:
            middle = float(np.median(values))
            ax.axvline(middle, color=INK, linewidth=1.2, linestyle="--", label=f"median {middle:.2f}, {source}")
            legend(ax)
        return finish(ax, over, "Genes")
    x = var[PEARSON_MEASURED].to_numpy(dtype=np.float64)
    both = np.isfinite(x) & np.isfinite(y)
    ax = new_axes(ax, (4.6, 4.2))
    low = float(min(np.min(x[both], initial=0), np.min(y[both], initial=0))) - 0.04
    high = float(max(np.max(x[both], initial=0), np.max(y[both], initial=0))) + 0.06
    ax.plot([low, high], [low, high], color=BASELINE, linewidth=1.0, linestyle="--", label="equal")
    for line in (ax.axhline, ax.axvline):
        line(0, color=FAINT, linewidth=0.6, zorder=0)
    size = float(np.clip(4000 / max(both.sum(), 1), 5, 24))
    medians = f"medians {_short(np.median(x[both]))} and {_short(np.median(y[both]))}" if both.any() else "no gene"
    label = f"{int(both.sum()):,} genes, {medians}"
    ax.scatter(x[both], y[both], s=size, color=OKABE_ITO["blue"], alpha=0.6, linewidth=0, label=label)
    ax.set(xlim=(low, high), ylim=(low, high), aspect="equal")
    _names(ax, x, y, var[GENE].to_numpy(dtype=object), both, n_named)
    legend(ax, loc="lower left", bbox_to_anchor=(0.0, 1.0), borderaxespad=0.1)  # no gene lies under it
    return finish(ax, f"{over}:\nmeasured ATAC", f"Pearson r: {source}")


def _short(value: float) -> str:
    return f"{round(float(value), 2) + 0.0:.2f}"  # not -0.00


def _names(ax: Axes, x: np.ndarray, y: np.ndarray, names: np.ndarray, known: np.ndarray, n: int) -> None:
    """Write the names of the best genes, those that would run into another one left out."""
    points = font_size(ax) - 1.5
    wide, high = axes_size(ax)
    left, right = ax.get_xlim()
    per_letter, line = 0.62 * points / 72 / wide * (right - left), 1.2 * points / 72 / high * (right - left)
    boxes: list[tuple[float, float, float]] = []
    for i in np.flatnonzero(known)[np.argsort(-y[known], kind="stable")]:
        start, end = x[i], x[i] + (len(names[i]) + 1) * per_letter
        free = all(abs(y[i] - at) > line or end < low or start > top for at, low, top in boxes)
        if len(boxes) < n and free:
            boxes.append((y[i], start, end))
            ax.annotate(names[i], (x[i], y[i]), (3, -2), textcoords="offset points", fontsize=points)
