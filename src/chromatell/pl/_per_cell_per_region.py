"""``ctl.pl.per_cell_per_region``: how AUROC is spread over cells and over regions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Unpack

import numpy as np
from mudata import MuData

from chromatell._docs import documented, example
from chromatell._keys import EVALUATION
from chromatell._validate import ChromatellError
from chromatell.pl._plot import Shown, plot
from chromatell.pl._style import (
    BASELINE,
    FAINT,
    INK,
    OKABE_ITO,
    Evaluation,
    finish,
    font_size,
    legend,
    new_axes,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_VIEWS = ("per_cell", "per_region")


@plot
@documented("evaluated")
@example("evaluated")
def per_cell_per_region(
    mdata: MuData,
    model: str | None = None,
    *,
    baseline: str | None = None,
    pairs: str | None = None,
    key: str = EVALUATION,
    ax: Axes | None = None,
    **more: Unpack[Shown],
) -> Axes:
    """How the AUROC of a model is spread over cells and over regions, beside that of the best baseline.

    Parameters
    ----------
    model
        Which prediction; None takes the first model.
    baseline
        Which baseline; None takes, for cells and for regions, the one that was chosen on the validation cells.

    Returns
    -------
    matplotlib.axes.Axes
        Half violins: baseline on the left, model on the right, a bar at each median; cells or regions with one class
        only are left out. The dotted line is chance.

    Raises
    ------
    ChromatellError
        `tl.evaluate` was not run, or not for that model, baseline or the views `per_cell` and `per_region`.

    Examples
    --------
    >>> ctl.pl.per_cell_per_region(mdata, "svd_ridge", baseline="region_mean").get_ylabel()
    'AUROC'
    """
    evaluation = Evaluation(mdata, key, pairs)
    views = [v for v in _VIEWS if any(evaluation.has(m, v) for m in evaluation.curves if not m.startswith("_"))]
    if not views:
        raise ChromatellError(
            f"No AUROC of cells or regions in mdata.uns['ctl']. Run {evaluation.call} with views {list(_VIEWS)}."
        )
    model = evaluation.chosen(model, views[0])[0]
    ax = new_axes(ax)
    labels, drawn = [], {}
    for place, view in enumerate(views):
        name = baseline or evaluation.best_baseline(view, "auroc")
        versus = ""
        if name is not None and name != model:
            evaluation.chosen(name, view)
            drawn["best baseline" if baseline is None else evaluation.name(name)] = _half(
                ax, evaluation.curve(name, view), place, "low", FAINT, BASELINE
            )
            versus = f"beside {name}\n" if baseline is None else ""
        values = evaluation.curve(model, view)
        drawn[evaluation.name(model)] = _half(ax, values, place, "high", OKABE_ITO["sky"], OKABE_ITO["blue"])
        labels.append(f"{view.replace('_', ' ')}\n{versus}(n = {int(np.isfinite(values).sum()):,})")
    ax.axhline(0.5, color=INK, linewidth=0.8, linestyle=(0, (1, 2)))
    ax.set_xticks(range(len(views)), labels)
    ax.set_xlim(-0.8, len(views) - 0.2)
    low, high = ax.get_ylim()
    ax.set_ylim(max(low, -0.02), min(high, 1.02))
    legend(ax, handles=list(drawn.values()), labels=list(drawn), loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=2)
    return finish(ax, evaluation.title, "AUROC")


def _half(ax: Axes, values: np.ndarray, place: int, side: Any, fill: str, edge: str) -> Any:
    """Draw one half of a violin with a bar at its median; return its handle for the legend."""
    values = values[np.isfinite(values)]
    if values.size > 1 and np.ptp(values) > 1e-6:  # a constant has no density
        bodies: Any = ax.violinplot(values, [place], widths=0.85, side=side, showextrema=False)["bodies"]
        bodies[0].set(facecolor=fill, edgecolor=edge, alpha=0.8, linewidth=0.8)
    median = float(np.median(values)) if values.size else float("nan")
    left = side == "low"
    ends = [place - 0.42, place] if left else [place, place + 0.42]
    (line,) = ax.plot(ends, [median, median], color=edge, linewidth=2)
    if np.isfinite(median):
        at, align = (ends[0] - 0.02, "right") if left else (ends[1] + 0.02, "left")
        ax.text(at, median, f"{median:.3f}", fontsize=font_size(ax) - 0.5, color=edge, ha=align, va="center")
    return line
