"""``ctl.pl.tf_activity``: a heatmap of factors and groups of cells."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Unpack

import numpy as np
import pandas as pd
from mudata import MuData

from chromatell._docs import example
from chromatell._keys import RNA, TF_ACTIVITY
from chromatell._nearest import names_there
from chromatell._validate import ChromatellError
from chromatell.data.named import modalities
from chromatell.pl._plot import ShownModalities, plot
from chromatell.pl._style import call_of, finish, font_size, new_axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes

FACTOR = "Transcription factor"
_MOST = 25  # factors drawn where their number was not given


@plot
@modalities
@example("sequence model")
def tf_activity(
    mdata: MuData,
    tfs: Sequence[str] | None = None,
    *,
    groupby: str = "cell_type",
    key: str = TF_ACTIVITY,
    n_top: int | None = None,
    standardise: bool = True,
    ax: Axes | None = None,
    **more: Unpack[ShownModalities],
) -> Axes:
    """Mean activity of transcription factors in groups of cells, as a heatmap.

    Parameters
    ----------
    mdata
        After ``ctl.tl.tf_activity(mdata)``.
    tfs
        Factors to draw, in this order; None takes the `n_top` that differ most between the groups, ordered by the group
        in which they are highest.
    groupby
        Column of ``mdata.obs`` or ``mdata.mod['rna'].obs``.
    key
        Name of the activities in ``mdata.mod['rna'].obsm``.
    n_top
        Number of factors where `tfs` is None; None draws as many as can be read in `ax`, at most 25.
    standardise
        Show standard deviations over the cells, each factor centred on its mean; False shows the change of the log-odds
        of being open as it was written.

    Returns
    -------
    matplotlib.axes.Axes
        Factors in rows, groups in columns; blue below zero, red above.

    Raises
    ------
    ChromatellError
        `tl.tf_activity` was not run, or no such column or factor.

    Examples
    --------
    >>> ctl.tl.tf_activity(mdata, ["SPI1", "EBF1"], n_backgrounds=4)
    >>> ctl.pl.tf_activity(mdata).get_ylabel()
    'Transcription factor'
    """
    table = _read(mdata, key)
    means, label = _means(table, _labels(mdata, groupby), standardise)
    means = _chosen(means, tfs, n_top, key, ax)
    return heatmap(ax, means, groupby, label)


def tops(means: pd.DataFrame, n_top: int | None, ax: Axes | None) -> pd.DataFrame:
    """Return the rows that differ most between groups, ordered by the group in which they are highest."""
    if n_top is None:
        n_top = _MOST if ax is None else int(np.clip(_height(ax) // (1.2 * font_size(ax)), 1, _MOST))
    spread = means.std(axis=1, ddof=0).to_numpy()
    top = means.iloc[np.sort(np.argsort(-spread, kind="stable")[:n_top])]
    return top.iloc[np.lexsort((-top.max(axis=1).to_numpy(), top.to_numpy().argmax(axis=1)))]


def heatmap(ax: Axes | None, means: pd.DataFrame, groupby: str, label: str, ylabel: str = FACTOR) -> Axes:
    """Draw means of groups, (rows, groups), from blue over white to red."""
    ax = new_axes(ax, (6.0, max(2.5, 0.9 + 0.22 * len(means))))
    size = font_size(ax)
    limit = float(np.abs(means.to_numpy()).max()) or 1.0
    image = ax.imshow(means, cmap="RdBu_r", vmin=-limit, vmax=limit, aspect="auto", interpolation="nearest")
    ax.set_yticks(range(len(means)), list(means.index))
    ax.set_xticks(range(means.shape[1]), list(means.columns), **_turned(ax, means.columns, size))
    finish(ax, groupby.replace("_", " "), ylabel)
    ax.spines[:].set_visible(False)
    ax.tick_params(length=0)
    ax.tick_params(axis="y", labelsize=float(np.clip(_height(ax) / (1.1 * len(means)), 3.0, size - 0.5)))
    bar = ax.figure.colorbar(image, ax=ax, fraction=0.05, pad=0.03)
    bar.set_label(label, fontsize=size)
    bar.ax.tick_params(labelsize=size - 0.5, length=3)
    bar.outline.set_visible(False)
    return ax


def _height(ax: Axes) -> float:
    """Return the height in points that rows have, names of groups and the axis's label left out."""
    figure = ax.get_figure(root=True)
    inches = 4.0 if figure is None else figure.get_size_inches()[1]
    return float(0.68 * 72 * inches * ax.get_position().height / 0.77)  # 0.77: one axes in a figure


def _read(mdata: MuData, key: str) -> pd.DataFrame:
    if not isinstance(mdata, MuData) or RNA not in mdata.mod:
        raise ChromatellError(f"Expected a MuData with a modality 'rna', got {type(mdata).__name__}.")
    obsm = mdata.mod[RNA].obsm
    if key not in obsm or not isinstance(obsm[key], pd.DataFrame):
        call = call_of("ctl.tl.tf_activity(mdata)", key, TF_ACTIVITY)
        raise ChromatellError(
            f"Did not find a table of activities in mdata.mod['rna'].obsm[{key!r}]; keys there: "
            f"{names_there(obsm, key)}. Run {call} first."
        )
    return obsm[key]


def _labels(mdata: MuData, groupby: str) -> np.ndarray:
    rna = mdata.mod[RNA]
    for obs in (mdata.obs, rna.obs):
        if groupby in obs:
            values = obs[groupby].reindex(rna.obs_names).astype(object)
            return values.where(values.isna(), values.astype(str)).to_numpy(dtype=object)
    raise ChromatellError(
        f"Did not find mdata.obs[{groupby!r}]; columns there: {names_there(mdata.obs.columns, groupby)}. Name one of "
        "them with groupby=."
    )


def _means(table: pd.DataFrame, labels: np.ndarray, standardise: bool) -> tuple[pd.DataFrame, str]:
    """Return the means of groups, (factors, groups), and what they are."""
    values = table.astype(np.float64)
    label = "Mean change of log-odds"
    if standardise:
        spread = values.std(axis=0, ddof=0)
        values = (values - values.mean(axis=0)) / spread.where(spread > 0, 1.0)
        label = "Mean activity (s.d. over cells)"
    means = values.groupby(labels).mean().T
    if means.shape[1] == 0:
        raise ChromatellError("No cell has a label in the column that groupby= names. Choose another one.")
    return means, label


def _chosen(
    means: pd.DataFrame, tfs: Sequence[str] | None, n_top: int | None, key: str, ax: Axes | None
) -> pd.DataFrame:
    if tfs is None:
        if n_top is not None and n_top < 1:
            raise ChromatellError(f"n_top={n_top!r} must be at least 1, the number of factors to draw.")
        return tops(means, n_top, ax)
    names = [tfs] if isinstance(tfs, str) else list(tfs)
    missing = [t for t in names if t not in means.index]
    if missing or not names:
        call = call_of(f"ctl.tl.tf_activity(mdata, motifs={names or '...'})", key, TF_ACTIVITY)
        raise ChromatellError(
            f"No activity of {missing or 'any factor'} in mdata.mod['rna'].obsm[{key!r}]; there: "
            f"{names_there(means.index, missing)}. Run {call}."
        )
    return means.loc[names]


def _turned(ax: Axes, names: pd.Index, size: float) -> dict[str, Any]:
    """Return how to write the names of groups: at an angle where they would run into each other."""
    figure = ax.get_figure(root=True)
    inches = 6.0 if figure is None else figure.get_size_inches()[0]
    room = 0.6 * 72 * inches * ax.get_position().width / 0.775 / len(names)  # points; 0.775: one axes in a figure
    longest = max(len(str(n)) for n in names) * 0.62 * size
    return {"rotation": 45, "ha": "right", "rotation_mode": "anchor"} if longest > room else {}
