"""``ctl.pl.confusion``: the 2 x 2 table of `tl.fisher`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Unpack

import numpy as np
import pandas as pd
from mudata import MuData

from chromatell._keys import FISHER
from chromatell._nearest import names_there
from chromatell._validate import ChromatellError
from chromatell.models.baselines.cells import ORACLES
from chromatell.pl._plot import Shown, plot
from chromatell.pl._style import INK, finish, font_size, new_axes, read_table

if TYPE_CHECKING:
    from matplotlib.axes import Axes


@plot
def confusion(
    mdata: MuData,
    model: str | None = None,
    *,
    ax: Axes | None = None,
    **more: Unpack[Shown],
) -> Axes:
    """Predicted against observed open, in numbers of (cell, region) pairs and shares of each row.

    Parameters
    ----------
    mdata
        After ``ctl.tl.fisher(mdata)``.
    model
        A row of that table, such as a baseline; None takes the model.

    Returns
    -------
    matplotlib.axes.Axes
        Four fields, shaded by the share of their row; the title has the threshold, the log odds ratio with its
        interval and the best of the baselines at the same share of predicted positives.

    Raises
    ------
    ChromatellError
        `tl.fisher` was not run, or not for that model.

    Examples
    --------
    >>> import chromatell as ctl
    >>> mdata = ctl.datasets.simulate_multiome(200, 30, 60, seed=0)
    >>> ctl.pp.split_cells(mdata, seed=0)
    >>> ctl.tl.baseline(mdata, "svd_ridge")
    >>> ctl.tl.fisher(mdata, "svd_ridge", baselines=["knn"])
    >>> ctl.pl.confusion(mdata).get_xlabel()
    'Predicted'
    """
    table: pd.DataFrame = read_table(mdata, FISHER, "ctl.tl.fisher(mdata)")
    names = table["model"].astype(str)
    if model is None:
        model = names.iloc[0]
    if model not in set(names):
        raise ChromatellError(
            f"No {model!r} in mdata.uns['ctl']['fisher']; there: {names_there(names, model)}. Run "
            f"ctl.tl.fisher(mdata, {model!r})."
        )
    row = table[(names == model).to_numpy()].iloc[0]
    counts = np.array([[row["tp"], row["fn"]], [row["fp"], row["tn"]]], dtype=np.float64)
    share = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    ax = new_axes(ax, (4.5, 4.0))
    size = font_size(ax)
    ax.imshow(share, cmap="Blues", vmin=0, vmax=1, aspect="auto")
    for i in range(2):
        for j in range(2):
            colour = "white" if share[i, j] > 0.6 else INK
            text = f"{int(counts[i, j]):,}\n{share[i, j]:.1%}"
            ax.text(j, i, text, ha="center", va="center", color=colour, fontsize=size + 1)
    ax.set_xticks([0, 1], ["open", "closed"])
    ax.set_yticks([0, 1], ["open", "closed"], rotation=90, va="center")
    finish(ax, "Predicted", f"Observed ({row['split']} pairs)", _title(table, row))
    ax.spines[:].set_visible(False)
    ax.tick_params(length=0)
    return ax


def _title(table: pd.DataFrame, row: pd.Series) -> str:
    lines = [
        f"{row['model']}, open at p >= {row['threshold']:.3f}",
        f"log odds ratio {row['log_odds_ratio']:.2f} [{row['ci_low']:.2f}, {row['ci_high']:.2f}]",
    ]
    beside = table["is_baseline"].astype(bool) & (table["model"] != row["model"])
    rivals = table[beside & ~table["model"].isin(list(ORACLES))]
    rivals = rivals[np.isfinite(rivals["log_odds_ratio"])]
    if len(rivals) and not row["is_baseline"]:
        best = rivals.loc[rivals["log_odds_ratio"].idxmax()]
        lines.append(f"best baseline, same share: {best['log_odds_ratio']:.2f} ({best['model']})")
    return "\n".join(lines)
