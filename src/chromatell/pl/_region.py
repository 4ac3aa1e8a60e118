"""``ctl.pl.region``: predicted and observed accessibility of groups of cells over one window of the genome."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Unpack

import numpy as np
import pandas as pd
from mudata import MuData

from chromatell._docs import documented
from chromatell._keys import ATAC, ATAC_PRED, CHROM, END, REGION, START
from chromatell._nearest import names_there
from chromatell._validate import ChromatellError, examples
from chromatell.data.chosen import Accessibility, accessibility, cell_labels, coordinates
from chromatell.data.named import modalities
from chromatell.data.predictions import prediction_keys
from chromatell.genome.regions import normalise_chrom, parse_regions, plain_chrom
from chromatell.pl._gene_row import name_rows, place_genes
from chromatell.pl._plot import ShownModalities, plot
from chromatell.pl._sequence_view import axes_size
from chromatell.pl._style import FAINT, OKABE_ITO, finish, font_size, legend, new_axes, room_for
from chromatell.pl._tracks import OBSERVED, positions

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_FILL = 0.84  # share of a row's height that is drawn on
_MOST = 40  # groups
_NARROW = 0.004  # share of the window: regions are drawn at least so wide


@plot
@modalities
@documented("genome plot")
def region(
    mdata: MuData,
    region: str,
    groupby: str = "cell_type",
    *,
    groups: Sequence[str] | None = None,
    key: str | None = None,
    annotation: str | os.PathLike[str] | pd.DataFrame | None = None,
    ax: Axes | None = None,
    **more: Unpack[ShownModalities],
) -> Axes:
    """Accessibility of each group over one window of the genome: what was observed, and the prediction over it.

    Parameters
    ----------
    region
        Such as ``'chr1:35,000,000-35,200,000'`` (0-based, half-open).

    Returns
    -------
    matplotlib.axes.Axes
        A row a group, all on one scale, whose top stands beside the first: grey bars are the share of cells in which a
        region was open, coloured outlines the mean predicted probability. Regions are drawn at least 0.4% of the
        window wide. Positions as 0-based bp.

    Raises
    ------
    ChromatellError
        The region does not parse or holds no region of `mdata`, or no such column, group or prediction.

    Examples
    --------
    >>> import chromatell as ctl
    >>> mdata = ctl.datasets.pbmc_example()
    >>> first = mdata.mod["atac"].var.iloc[0]
    >>> ax = ctl.pl.region(mdata, f"{first['chrom']}:{first['start'] - 5000}-{first['end'] + 5000}")
    >>> ax.get_ylabel()
    'Share of cells with the region open'
    """
    window = window_of(mdata, region, groupby, groups, key)
    chosen, layers, chrom, start, end = window.groups, window.layers, window.chrom, window.start, window.end
    height = max(2.8, 1.1 + 0.34 * len(chosen) + (0.6 if annotation is not None else 0))  # the axis's label fits
    ax = new_axes(ax, (6.0 + room_for(chosen), height))
    ax.set_xlim(start, end)
    genes = None if annotation is None else place_genes(annotation, chrom, start, end, axes_size(ax)[0], font_size(ax))
    top = max(float(np.nanmax(means, initial=0)) for _, _, means in layers) or 1.0
    for label, places, means in layers:
        _draw(ax, label, places, means / top, (end - start) * _NARROW)
    floors = np.arange(len(chosen))[::-1]
    for floor in floors:
        ax.axhline(floor, color=FAINT, linewidth=0.5, zorder=0.5)
    ticks, labels = list(floors + _FILL / 2), list(chosen)
    labels[0] = f"{labels[0]}\n0 to {top:.2g}"
    name_rows(ax, ticks, labels, genes)
    finish(ax, f"Position on {chrom} ({positions(ax, end - start)})", "Share of cells with the region open")
    ax.tick_params(axis="y", length=0)
    ax.spines["left"].set_visible(False)
    legend(ax, loc="lower right", bbox_to_anchor=(1.0, 1.0), ncols=2, borderaxespad=0.1)
    return ax


@dataclass(frozen=True)
class Window:
    """One window of the genome, and (source, places, means of the groups) of what was observed and predicted there."""

    chrom: str
    start: int
    end: int
    groups: list[str]
    layers: list[tuple[str, pd.DataFrame, np.ndarray]]


def window_of(
    mdata: MuData, region: str, groupby: str, groups: Sequence[str] | None, key: str | None, *, flank: int = 0
) -> Window:
    """Return the accessibility of groups in a window and `flank` bp beside it; raise where the window is empty."""
    place = parse_regions([str(region)]).iloc[0].copy()
    if place[START] < 0:
        raise ChromatellError(f"{region!r} is no region. Give one such as 'chr1:35,000,000-35,200,000'.")
    if place[END] <= place[START]:
        turned = f"{place[CHROM]}:{place[END]}-{max(place[START], place[END] + 1)}"
        raise ChromatellError(f"{region!r} must begin before it ends, such as {turned!r}.")
    codes, names = cell_labels(mdata, groupby)
    chosen = list(names if groups is None else [groups] if isinstance(groups, str) else groups)
    unknown = [g for g in chosen if g not in names]
    if unknown or not chosen or len(chosen) > _MOST:
        raise ChromatellError(
            f"groups= names {examples(unknown) if unknown else len(chosen)}: up to {_MOST} are drawn of "
            f"{names_there(names, unknown, 20)}. Name some of these."
        )
    rows = [names.index(g) for g in chosen]
    chrom, start, end = str(place[CHROM]), int(place[START]), int(place[END])
    place[START], place[END] = start - flank, end + flank
    layers = _layers(mdata, key, place, codes, len(names), rows)
    if not any(((places[START] < end) & (places[END] > start)).any() for _, places, _ in layers):
        raise ChromatellError(
            f"No region of mdata lies in {region}. Its regions look like {examples(_any_names(mdata))}; take a window "
            "around one of them."
        )
    return Window(chrom, start, end, chosen, layers)


def _layers(
    mdata: MuData, key: str | None, place: pd.Series, codes: np.ndarray, n_groups: int, rows: list[int]
) -> list[tuple[str, pd.DataFrame, np.ndarray]]:
    """Return (name, places, means of the groups) of what was observed and predicted in the window."""
    sources: list[tuple[str, Accessibility]] = []
    if ATAC in mdata.mod:
        sources.append(("observed", accessibility(mdata, ATAC)))
    if key is not None or prediction_keys(mdata):
        sources.append(("predicted", accessibility(mdata, key)))
    out = []
    plain = plain_chrom(place[CHROM])
    for label, source in sources:
        table = coordinates(mdata, source.regions)
        here = (normalise_chrom(table[CHROM]) == plain) & (table[START] < place[END]) & (table[END] > place[START])
        at = np.flatnonzero(here)
        if at.size:
            part = Accessibility(source.values[:, at], source.regions[at], source.key, source.measured)
            out.append((label, table.iloc[at], part.group_means(codes, n_groups)[rows]))
    return out


def _draw(ax: Axes, label: str, places: pd.DataFrame, heights: np.ndarray, narrow: float) -> None:
    start, end = places[START].to_numpy(np.float64), places[END].to_numpy(np.float64)
    more = np.maximum(narrow - (end - start), 0) / 2
    left, width = start - more, end - start + 2 * more
    n = len(heights)
    for i, row in enumerate(heights):
        floor = n - 1 - i
        style = (
            {"color": OBSERVED, "linewidth": 0}
            if label == "observed"
            else {"facecolor": "none", "edgecolor": OKABE_ITO["green"], "linewidth": 1.0}
        )
        shown = label if i == 0 else None
        ax.bar(left, _FILL * np.nan_to_num(row), width, bottom=floor, align="edge", label=shown, zorder=2, **style)


def _any_names(mdata: MuData) -> list[str]:
    if ATAC in mdata.mod:
        return list(mdata.mod[ATAC].var_names[:3])
    return list(mdata.mod[ATAC_PRED].var[REGION].astype(str)[:3]) if ATAC_PRED in mdata.mod else []
