"""Genes below tracks: packed into lanes, with an arrow at their start and their name."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from chromatell._keys import CHROM, END, START
from chromatell.genome.gene_bodies import read_gene_bodies
from chromatell.genome.regions import normalise_chrom, plain_chrom
from chromatell.pl._style import INK, font_size

if TYPE_CHECKING:
    from matplotlib.axes import Axes

GENES = "genes"
_LANES = 4
_LANE = 0.42  # share of a track's row that a lane of genes takes


@dataclass
class Placed:
    """Genes of a window with the lane of each; names are drawn where they have room."""

    genes: pd.DataFrame
    lanes: np.ndarray
    named: np.ndarray
    n_lanes: int


def place_genes(
    annotation: str | os.PathLike[str] | pd.DataFrame, chrom: str, start: int, end: int, inches: float, points: float
) -> Placed:
    """Return the genes of a window, each in the first lane in which it and its name have room."""
    genes = read_gene_bodies(annotation)
    plain = plain_chrom(chrom)
    here = (normalise_chrom(genes[CHROM]) == plain) & (genes[START] < end) & (genes[END] > start)
    genes = genes[here.to_numpy()].drop_duplicates([START, END, "name"]).sort_values([START, END], ignore_index=True)
    letter = 0.62 * points / 72 / max(inches * 0.8, 0.1) * (end - start)  # bp as wide as a letter
    low = genes[START].clip(lower=start).to_numpy(dtype=np.float64)
    high = genes[END].clip(upper=end).to_numpy(dtype=np.float64)
    middle, half = (low + high) / 2, genes["name"].str.len().to_numpy() * letter / 2
    middle = np.clip(middle, start + half, end - half)
    lanes = np.zeros(len(genes), dtype=np.int64)
    named = np.ones(len(genes), dtype=bool)
    ends: list[float] = []
    for i in range(len(genes)):
        for with_name in (True, False):
            left = min(low[i], middle[i] - half[i]) if with_name else low[i]
            right = max(high[i], middle[i] + half[i]) if with_name else high[i]
            lane = next((k for k, last in enumerate(ends) if last + letter <= left), len(ends))
            if lane < _LANES or not with_name:
                break
        lane = min(lane, _LANES - 1)
        ends[lane : lane + 1] = [right if lane == len(ends) else max(ends[lane], right)]
        lanes[i], named[i] = lane, with_name
    genes["x"], genes["low"], genes["high"] = middle, low, high
    return Placed(genes, lanes, named, max(1, len(ends)))


def name_rows(ax: Axes, ticks: list[float], labels: list[str], genes: Placed | None) -> None:
    """Name rows of height 1 at their ticks, and draw the genes, if any, in a row below."""
    from matplotlib.ticker import FixedLocator

    low, n_rows = 0.0, len(labels)
    if genes is not None:
        low = -draw_genes(ax, genes, font_size(ax))
        ticks, labels = [*ticks, low / 2], [*labels, GENES]
    ax.set_ylim(low - 0.05, n_rows)
    ax.yaxis.set_major_locator(FixedLocator(ticks))
    ax.set_yticklabels(labels)


def draw_genes(ax: Axes, placed: Placed, points: float) -> float:
    """Draw the genes below 0; return how far down they reach."""
    left, right = ax.get_xlim()
    for i, gene in placed.genes.iterrows():
        y = -_LANE * (placed.lanes[i] + 0.45)
        ax.plot([gene["low"], gene["high"]], [y, y], color=INK, linewidth=1.6, solid_capstyle="butt")
        forward = gene["strand"] == "+"
        tss = gene[START] if forward else gene[END]
        if gene["strand"] != "." and left <= tss <= right:
            ax.plot([tss], [y], marker=">" if forward else "<", markersize=points * 0.5, color=INK, linewidth=0)
        if placed.named[i]:
            ax.text(gene["x"], y - 0.05, gene["name"], ha="center", va="top", fontsize=points - 1.5, style="italic")
    return _LANE * placed.n_lanes + 0.1
