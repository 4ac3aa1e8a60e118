"""``ctl.pl.uncertainty``: do the intervals hold what they should."""

from __future__ import annotations

from typing import TYPE_CHECKING, Unpack

from mudata import MuData

from chromatell._docs import documented, example
from chromatell._keys import UNCERTAINTY
from chromatell._validate import ChromatellError
from chromatell.pl._plot import Shown, plot
from chromatell.pl._style import BASELINE, OKABE_ITO, call_of, finish, legend, new_axes, read_table

if TYPE_CHECKING:
    from matplotlib.axes import Axes


@plot
@documented("plotted")
@example("predicted cells")
def uncertainty(
    mdata: MuData,
    key: str = UNCERTAINTY,
    *,
    ax: Axes | None = None,
    **more: Unpack[Shown],
) -> Axes:
    """Share of intervals that hold the measured value, against their nominal level.

    Parameters
    ----------
    mdata
        After ``ctl.tl.uncertainty(mdata, groupby)`` on data with measured ATAC.

    Returns
    -------
    matplotlib.axes.Axes
        A line a split: validation cells, which the intervals were calibrated on, and test cells. On the diagonal they
        hold what they say; under it they are too narrow.

    Raises
    ------
    ChromatellError
        `tl.uncertainty` was not run, or no group has ten validation or test cells with measured ATAC.

    Examples
    --------
    >>> ctl.tl.uncertainty(mdata, "cell_type", n_draws=5)
    >>> ctl.pl.uncertainty(mdata).get_xlabel()
    'Nominal level'
    """
    call = call_of("ctl.tl.uncertainty(mdata, groupby='cell_type')", key, UNCERTAINTY)
    stored = read_table(mdata, key, call)
    if not isinstance(stored, dict) or "coverage" not in stored:
        raise ChromatellError(
            f"mdata.uns['ctl'][{key!r}] has no coverage: no group has ten cells with measured ATAC among the "
            f"validation cells, nor among the test cells. Run {call} on data "
            "with `atac`, ctl.pp.split_cells and a column of larger groups."
        )
    table = stored["coverage"]
    ax = new_axes(ax, (3.8, 3.4))
    ax.plot([0.4, 1], [0.4, 1], color=BASELINE, linewidth=1, linestyle="--", label="as they say")
    styles = {"val": (OKABE_ITO["sky"], "s", "validation cells"), "test": (OKABE_ITO["blue"], "o", "test cells")}
    for split, part in table.groupby("split", sort=False):
        colour, marker, label = styles[str(split)]
        ax.plot(part["level"], part["covered"], color=colour, marker=marker, markersize=4.5, label=label)
    ax.set(xlim=(0.45, 1.0), ylim=(min(0.45, float(table["covered"].min()) - 0.05), 1.0))
    legend(ax, loc="lower right")
    return finish(ax, "Nominal level", "Intervals that hold the measured share")
