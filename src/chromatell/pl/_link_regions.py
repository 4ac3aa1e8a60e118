"""``ctl.pl.link_regions``: the regions near a gene, and how much the gene moves them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Unpack

import numpy as np
import pandas as pd
from mudata import MuData

from chromatell._docs import documented, example
from chromatell._keys import CHROM, END, REGION_LINKS, RNA, START
from chromatell._nearest import names_there
from chromatell._validate import ChromatellError
from chromatell.data.chosen import coordinates
from chromatell.data.named import modalities
from chromatell.pl._plot import ShownModalities, plot
from chromatell.pl._sequence_view import axes_size
from chromatell.pl._style import BASELINE, FAINT, INK, OKABE_ITO, call_of, finish, legend, new_axes, read_table
from chromatell.pl._tracks import positions

if TYPE_CHECKING:
    from matplotlib.axes import Axes


@plot
@modalities
@documented("plotted")
@example("predicted cells")
def link_regions(
    mdata: MuData,
    gene: str | None = None,
    *,
    fdr: float = 0.1,
    key: str = REGION_LINKS,
    ax: Axes | None = None,
    **more: Unpack[ShownModalities],
) -> Axes:
    """Effect of one gene on the regions near it, along the genome.

    Parameters
    ----------
    mdata
        After ``ctl.tl.link_regions(mdata)``.
    gene
        Which; None takes that of the smallest p-value.
    fdr
        Pairs below it are coloured.

    Returns
    -------
    matplotlib.axes.Axes
        A stem a region, at its middle: above 0 the gene's expression goes with an open region. A dashed line at the
        start site where ``mdata.mod['rna'].var['tss']`` has it.

    Raises
    ------
    ChromatellError
        `tl.link_regions` was not run, or it has no such gene.

    Examples
    --------
    >>> ctl.pp.link_genes(mdata, mdata.mod["rna"].var)
    >>> ctl.tl.link_regions(mdata, n_cells=100)
    >>> ctl.pl.link_regions(mdata, "gene_5").get_ylabel()
    'Effect of gene_5 on log-odds'
    """
    call = call_of("ctl.tl.link_regions(mdata)", key, REGION_LINKS)
    stored = read_table(mdata, key, call)
    if not (
        isinstance(stored, dict) and isinstance(stored.get("table"), pd.DataFrame) and "distance" in stored["table"]
    ):
        raise ChromatellError(
            f"mdata.uns['ctl'][{key!r}] was not written by ctl.tl.link_regions. Run {call}, or name another: key=."
        )
    table: pd.DataFrame = stored["table"]
    gene = str(table["gene"].iloc[0]) if gene is None else gene
    part = table[table["gene"].astype(str) == gene]
    if part.empty:
        raise ChromatellError(
            f"No pair of gene {gene!r} in mdata.uns['ctl'][{key!r}]; there: "
            f"{names_there(table['gene'].unique(), gene)}."
        )
    places = coordinates(mdata, pd.Index(part["region"].astype(str)))
    x = ((places[START] + places[END]) / 2).to_numpy()
    y, sure = part["effect"].to_numpy(), (part["fdr"] < fdr).to_numpy()
    ax = new_axes(ax, (5.6, 2.8))
    ax.axhline(0, color=FAINT, linewidth=0.8, zorder=0)
    label = {True: f"FDR < {fdr:.0%}", False: "not significant"}
    for these, colour in ((~sure, BASELINE), (sure, OKABE_ITO["vermillion"])):
        if these.any():
            ax.vlines(x[these], 0, y[these], color=colour, linewidth=1.2)
            ax.scatter(x[these], y[these], s=18, color=colour, label=label[bool(sure[these][0])], zorder=3)
    tss = mdata.mod[RNA].var.get("tss") if RNA in mdata.mod else None
    if tss is not None and gene in mdata.mod[RNA].var_names:
        ax.axvline(float(tss[gene]), color=INK, linewidth=0.9, linestyle="--", label=f"start of {gene}", zorder=0)
    left, right = ax.get_xlim()
    unit = positions(ax, max(int(right - left), 100_000))
    n = 3 if axes_size(ax)[0] > 3.5 else 1
    legend(ax, loc="lower left", bbox_to_anchor=(0.0, 1.0), ncols=n, borderaxespad=0.1)
    what = "Gradient" if stored["settings"]["method"].iloc[0] == "gradient" else "Effect"
    finish(ax, f"Position on {places[CHROM].iloc[0]} ({unit})", f"{what} of {gene} on log-odds")
    low, high = np.append(y, 0).min(), np.append(y, 0).max()
    ax.set_ylim(low - 0.1 * (high - low), high + 0.1 * (high - low))
    return ax
