"""``ctl.pl.calibration``: observed against predicted."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal, Unpack

import numpy as np
from mudata import MuData

from chromatell._docs import documented, example
from chromatell._keys import EVALUATION
from chromatell._validate import one_of
from chromatell.pl._plot import Shown, plot
from chromatell.pl._style import INK, Evaluation, Lines, Which, finish, legend, new_axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_SHORT = 100  # largest to smallest value of an axis on which 2 and 5 of each decade have room


@plot
@documented("evaluated")
@example("evaluated")
def calibration(
    mdata: MuData,
    models: str | Sequence[str] | None = None,
    *,
    baselines: Which = "best",
    scale: Literal["log", "linear"] = "log",
    pairs: str | None = None,
    key: str = EVALUATION,
    ax: Axes | None = None,
    **more: Unpack[Shown],
) -> Axes:
    """Observed share of open pairs against the predicted probability, in bins of the prediction.

    Parameters
    ----------
    baselines
        'best' (chosen on validation cells by the Brier score), 'all', 'none' or a list of kinds.
    scale
        'log', since most pairs have a low probability (bins without an open pair are then not seen), or 'linear'.

    Returns
    -------
    matplotlib.axes.Axes
        A line for each prediction, its expected calibration error in the legend; on the diagonal, probabilities are
        right.

    Raises
    ------
    ChromatellError
        `tl.evaluate` was not run, or not for that model or the view `calibration`.

    Examples
    --------
    >>> ctl.pl.calibration(mdata, "svd_ridge").get_xscale()
    'log'
    """
    one_of(scale, ("log", "linear"), "scale")
    evaluation = Evaluation(mdata, key, pairs)
    shown = ("calibration", "ece")
    best = ("calibration", "brier")
    lines = Lines(evaluation, models, baselines, curve="reliability", best=best, shown=shown, format="ECE {:.4f}")
    ax = new_axes(ax)
    seen = []
    for name in lines.names:
        predicted, observed = evaluation.curve(name, "reliability")[:2]
        ax.plot(predicted, observed, marker="o", markersize=3, **lines.style(name))
        seen += [predicted, observed]
    values = np.concatenate(seen)
    positive = values[values > 0]
    low = float(positive.min()) * 0.8 if scale == "log" and positive.size else 0.0
    high = float(min(values.max() * 1.1, 1.0)) or 1.0
    ax.plot(
        [low, high],
        [low, high],
        color=INK,
        linewidth=0.8,
        linestyle=(0, (1, 2)),
        label="predicted = observed",
        zorder=1,
    )
    ax.set(xscale=scale, yscale=scale, xlim=(low, high), ylim=(low, high))
    if scale == "log":
        _plain_ticks(ax, high / low)
    legend(ax, loc="best")
    return finish(ax, "Predicted probability of being open", "Observed share of open pairs", evaluation.title)


def _plain_ticks(ax: Axes, span: float) -> None:
    """Label 0.01, 0.02, 0.05, of a wide span 0.01 and 0.1 alone; Matplotlib's 2 x 10^-3 meet each other."""
    from matplotlib.ticker import LogLocator, NullFormatter

    for axis in (ax.xaxis, ax.yaxis):
        axis.set_major_locator(LogLocator(subs=(1, 2, 5) if span < _SHORT else (1,)))
        axis.set_major_formatter("{x:g}")
        axis.set_minor_formatter(NullFormatter())
