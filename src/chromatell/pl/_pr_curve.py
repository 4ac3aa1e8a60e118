"""``ctl.pl.pr_curve``: precision against recall."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Unpack

from anndata import AnnData
from mudata import MuData

from chromatell._docs import documented, example
from chromatell._keys import EVALUATION, PREVALENCE
from chromatell.pl._plot import Shown, plot
from chromatell.pl._style import INK, Evaluation, Lines, Which, finish, legend, new_axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes


@plot
@documented("evaluated")
@example("evaluated")
def pr_curve(
    mdata: MuData | AnnData,
    models: str | Sequence[str] | None = None,
    *,
    baselines: Which = "best",
    pairs: str | None = None,
    key: str = EVALUATION,
    ax: Axes | None = None,
    **more: Unpack[Shown],
) -> Axes:
    """Precision against recall over all (cell, region) pairs, beside the baselines and the prevalence.

    Parameters
    ----------
    mdata
        After ``ctl.tl.evaluate(mdata)``; cells x bins after the same call.
    baselines
        'best' (chosen on validation cells by average precision), 'all', 'none' or a list of kinds.
    pairs
        'cross-cell', 'cross-sample', 'cross-region' or 'cross-both', of cells x bins 'completion'; None takes the
        first in the table.

    Returns
    -------
    matplotlib.axes.Axes
        A line for each prediction, its average precision in the legend (where all baselines are drawn, that of the best
        one only), and a dotted one at the prevalence, which is what chance reaches.

    Raises
    ------
    ChromatellError
        `tl.evaluate` was not run, or not for that model or the view `overall`.

    Examples
    --------
    >>> ctl.pl.pr_curve(mdata, "svd_ridge").get_ylabel()
    'Precision'
    """
    evaluation = Evaluation(mdata, key, pairs)
    ap = ("overall", "ap")
    lines = Lines(evaluation, models, baselines, curve="pr", best=ap, shown=ap, format="AP {:.3f}")
    ax = new_axes(ax)
    for name in lines.names:
        ax.plot(*evaluation.curve(name, "pr"), **lines.style(name))
    prevalence = float(evaluation.curves[PREVALENCE])
    ax.axhline(prevalence, color=INK, linewidth=0.8, linestyle=(0, (1, 2)), label=f"prevalence {prevalence:.3f}")
    ax.set_xlim(0, 1)
    ax.set_ylim(bottom=0)
    legend(ax, loc="upper right")
    return finish(ax, "Recall", "Precision", evaluation.title)
