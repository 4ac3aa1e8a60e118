"""What is resampled for an interval: cells or their groups, regions or windows of the genome."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from anndata import AnnData
from mudata import MuData

from chromatell._keys import ATAC, CHROM, END, RNA, SPLIT_HOW, START, UNS
from chromatell._settings import logger
from chromatell._validate import ChromatellError, examples, warn
from chromatell.genome.regions import normalise_chrom, region_table
from chromatell.metrics.bootstrap import resample

WINDOW = 1_000_000  # bp of a chromosome whose regions are drawn together
_MIN_WINDOWS = 20
_MIN_GROUPS = 3


def cell_weights(data: MuData | AnnData, rows: np.ndarray, part: str, n: int, seed: np.random.Generator) -> np.ndarray:
    """Return how often each cell is drawn, float32 (n, cells): whole groups where cells were split by group."""
    return resample(rows.size, n, groups=_cell_groups(data, rows, part), seed=seed)


def _cell_groups(data: MuData | AnnData, rows: np.ndarray, part: str) -> np.ndarray | None:
    """Return the groups by which cells were split; None for a random split, or too few groups to resample."""
    how = data.uns.get(UNS, {}).get(SPLIT_HOW, {})
    by = str(how.get("by", "")) if isinstance(how, Mapping) else ""
    if not by:
        return None
    modalities = data.mod if isinstance(data, MuData) else {}
    tables = [data.obs, *(modalities[name].obs for name in (RNA, ATAC) if name in modalities)]
    groups = next((o[by].astype(str).to_numpy() for o in tables if by in o), None)
    if groups is None:
        warn(f"Cells were split by {by!r}, which is no longer in obs: intervals come from resampled cells.")
        return None
    present = np.unique(groups[rows])
    if present.size < _MIN_GROUPS:
        warn(
            f"Cells were split by {by!r} and {part!r} holds {present.size} of its groups ({examples(present)}), too "
            "few to resample: intervals come from resampled cells and hold for these groups only."
        )
        return None
    return groups[rows]


def region_weights(atac: AnnData, places: np.ndarray, n: int, seed: np.random.Generator) -> np.ndarray:
    """Return how often each region is drawn, float32 (n, regions): whole windows of 1 Mb, or singly where few."""
    return resample(places.size, n, groups=_windows(atac, places), seed=seed)


def _windows(atac: AnnData, places: np.ndarray) -> Any:
    """Return the window of the genome in which each region lies; None without coordinates or with few windows."""
    try:
        table = region_table(atac).iloc[places]
    except ChromatellError:
        logger.info("Regions have no coordinates: each is resampled by itself.")
        return None
    middle = (table[START].to_numpy() + table[END].to_numpy()) // 2
    names = normalise_chrom(table[CHROM]).to_numpy() + ":" + (middle // WINDOW).astype(str).astype(object)
    n = np.unique(names.astype(str)).size
    if n < _MIN_WINDOWS:
        logger.info("The %d regions lie in %d windows of 1 Mb, too few: each is resampled by itself.", places.size, n)
        return None
    return names
