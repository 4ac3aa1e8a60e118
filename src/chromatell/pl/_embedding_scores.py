"""``ctl.pl.embedding_scores``: neighbour and label scores of an embedding."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Unpack

import numpy as np
import pandas as pd
from mudata import MuData

from chromatell._keys import ALL_SPACE, HELD_OUT_SPACE, NEIGHBOR_SCORE, RANDOM, RNA_SPACE
from chromatell.pl._plot import Shown, plot
from chromatell.pl._style import BASELINE, FAINT, INK, MODEL_COLOURS, finish, font_size, legend, new_axes, read_table

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_SPACES = {
    RNA_SPACE: "near in RNA\n(circular)",
    HELD_OUT_SPACE: "near in ATAC of\nheld-out regions",
    ALL_SPACE: "near in ATAC of\nall regions",
}
_GAP = 1.0  # between groups, in steps between values of k


@plot
def embedding_scores(
    mdata: MuData,
    *,
    key: str = NEIGHBOR_SCORE,
    ax: Axes | None = None,
    **more: Unpack[Shown],
) -> Axes:
    """Neighbour score and label score of an embedding against k, beside its input and what chance gives.

    Parameters
    ----------
    mdata
        After ``ctl.tl.neighbor_score(mdata)``.
    key
        `key_added` of that call.

    Returns
    -------
    matplotlib.axes.Axes
        A group for each space and one for the labels, in each a line over k for the embedding (blue circles), the RNA
        space that it is compared with (grey squares) and chance (dashed).

    Raises
    ------
    ChromatellError
        `tl.neighbor_score` was not run.

    Examples
    --------
    >>> import chromatell as ctl
    >>> mdata = ctl.datasets.simulate_multiome(200, 30, 300, n_types=2, seed=0)
    >>> mdata.mod["rna"].obsm["mine"] = mdata.mod["rna"].X[:, 5:15].toarray()
    >>> mdata.mod["atac"].var["ctl_split"] = ["train", "test"] * 150
    >>> ctl.tl.neighbor_score(mdata, key="mine", n_neighbors=[10, 20])
    >>> ctl.pl.embedding_scores(mdata).get_ylabel()
    'Share of the k nearest cells'
    """
    call = "ctl.tl.neighbor_score(mdata" + (")" if key == NEIGHBOR_SCORE else f", key_added={key!r})")
    table: pd.DataFrame = read_table(mdata, key, call)
    groups = list(dict.fromkeys(zip(table["metric"].astype(str), table["space"].astype(str), strict=True)))
    ks = sorted(int(k) for k in table["k"].unique())
    names = [n for n in dict.fromkeys(table["embedding"].astype(str)) if n != RANDOM]
    ax = new_axes(ax)
    step = len(ks) - 1 + _GAP
    for i, (metric, space) in enumerate(groups):
        here = table[(table["metric"] == metric) & (table["space"] == space)]
        for j, name in enumerate((*names, RANDOM)):
            rows = here[here["embedding"] == name].sort_values("k")
            if not len(rows):
                continue
            x = i * step + np.array([ks.index(int(k)) for k in rows["k"]])
            ax.plot(x, rows["value"], label=name if i == _first(table, groups, name) else f"_{name}", **_line(j, name))
    ax.set_xticks(
        [i * step + j for i in range(len(groups)) for j in range(len(ks))], [str(k) for k in ks] * len(groups)
    )
    ax.xaxis.remove_overlapping_locs = False  # a group's name stands under its middle value of k
    middles = [i * step + (len(ks) - 1) / 2 for i in range(len(groups))]
    ax.set_xticks(middles, [_SPACES.get(s, s) if m == "neighbor" else f"same\n{s}" for m, s in groups], minor=True)
    for middle in middles[1:]:
        ax.axvline(middle - step / 2, color="#EBEBEB", linewidth=0.8, zorder=0)
    ax.set_xlim(-_GAP / 2, len(groups) * step - _GAP / 2)
    ax.set_ylim(bottom=0)
    size = font_size(ax)
    shown = {str(line.get_label()): line for line in ax.lines if not str(line.get_label()).startswith("_")}
    order = {name: shown[name] for name in (*names, RANDOM) if name in shown}
    above = {"loc": "lower center", "bbox_to_anchor": (0.5, 1.0), "ncols": len(order)}
    legend(ax, handles=list(order.values()), labels=list(order), **above)
    finish(ax, "k, the number of nearest cells", "Share of the k nearest cells")
    ax.tick_params(axis="x", which="minor", length=0, pad=size + 8, labelsize=size - 0.5)
    return ax


def _first(table: pd.DataFrame, groups: list[tuple[str, str]], name: str) -> int:
    """Return the first group in which an embedding stands: there it gets its label."""
    rows = table[(table["embedding"] == name).to_numpy()]
    return min(groups.index((str(m), str(s))) for m, s in zip(rows["metric"], rows["space"], strict=True))


def _line(place: int, name: str) -> dict[str, Any]:
    if name == RANDOM:
        return {"color": INK, "linewidth": 1.3, "linestyle": "--", "zorder": 4}
    if place == 0:
        return {"color": MODEL_COLOURS[0], "marker": "o", "markersize": 4, "linewidth": 1.8, "zorder": 3}
    return {"color": BASELINE, "marker": "s", "markersize": 4, "linewidth": 1.3, "markeredgecolor": FAINT}
