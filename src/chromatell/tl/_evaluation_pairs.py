"""Which cells x regions are scored: new cells, new regions, or both; and what is resampled for their intervals."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from anndata import AnnData
from mudata import MuData

from chromatell._keys import ATAC, CHROM, END, RNA, SPLIT_HOW, START, TRAIN, UNS
from chromatell._settings import logger, settings
from chromatell._validate import ChromatellError, examples, one_of, split_of, warn
from chromatell.genome.regions import normalise_chrom, region_table
from chromatell.metrics.bootstrap import resample

CROSS_CELL, CROSS_SAMPLE, CROSS_REGION, CROSS_BOTH = "cross-cell", "cross-sample", "cross-region", "cross-both"
KINDS = (CROSS_CELL, CROSS_SAMPLE, CROSS_REGION, CROSS_BOTH)
HELD_OUT = (CROSS_REGION, CROSS_BOTH)  # regions whose ATAC nothing has read

STRETCH = 1_000_000  # bp of a chromosome whose regions are drawn together
_MIN_STRETCHES = 20
_MIN_GROUPS = 3
_MIN_CELLS = 1_000  # kept where cells and regions must both be thinned out


@dataclass(frozen=True)
class Block:
    """Places of cells in the MuData and of regions among the predicted ones."""

    rows: np.ndarray
    cols: np.ndarray


@dataclass(frozen=True)
class Splits:
    """How cells and predicted regions were split.

    Attributes
    ----------
    cells, regions
        'train', 'val' or 'test', object (n_obs,) and (n predicted regions,).
    by_sample
        Whether cells were split in whole groups other than the labels, such as donors.
    """

    cells: np.ndarray
    regions: np.ndarray
    by_sample: bool

    @property
    def cell_kind(self) -> str:
        """Name of the pairs of new cells and training regions."""
        return CROSS_SAMPLE if self.by_sample else CROSS_CELL

    def there(self, part: str) -> list[str]:
        """Return the kinds of pairs for which there are cells and regions of `part`."""
        cells, regions = (self.cells == part).any(), (self.regions == part).any() and part != TRAIN
        found = [self.cell_kind] if cells and (self.regions == TRAIN).any() else []
        if regions and (self.cells == TRAIN).any():
            found.append(CROSS_REGION)
        return [*found, CROSS_BOTH] if cells and regions else found

    def kinds(self, pairs: str | Sequence[str] | None, part: str) -> list[str]:
        """Return the kinds of pairs to score, each of which has cells and regions."""
        there = self.there(part)
        if pairs is None:
            return there
        wanted = []
        for name in [pairs] if isinstance(pairs, str) else pairs:
            one_of(name, KINDS, "pairs")
            if name == CROSS_SAMPLE and not self.by_sample:
                raise ChromatellError(
                    f"pairs={name!r}: cells were not split in whole samples, so these pairs are {CROSS_CELL!r}. Split "
                    "again with ctl.pp.split_cells(mdata, by='donor')."
                )
            wanted.append(self.cell_kind if name == CROSS_CELL else name)
        if not wanted:
            raise ChromatellError(f"pairs={pairs!r} names none of {list(KINDS)}. Leave it at None for all.")
        missing = [name for name in wanted if name not in there]
        if missing:
            n = {k: int((self.regions == k).sum()) for k in (TRAIN, part)}
            raise ChromatellError(
                f"pairs={missing[0]!r} needs cells and regions that are not there: {int((self.cells == part).sum())} "
                f"{part!r} cells, and of {self.regions.size} predicted regions {n}. Split cells with "
                "ctl.pp.split_cells(mdata) and regions with ctl.pp.split_regions(mdata), before training."
            )
        return [name for name in (self.cell_kind, *HELD_OUT) if name in wanted]

    def block(self, kind: str, part: str, among: np.ndarray) -> Block:
        """Return all pairs of a kind; regions only `among` those at these places."""
        cells = TRAIN if kind == CROSS_REGION else part
        regions = part if kind in HELD_OUT else TRAIN
        return Block(np.flatnonzero(self.cells == cells), among[self.regions[among] == regions])


def read_splits(mdata: MuData, regions: pd.Index, region_split: np.ndarray, part: str, labels: str | None) -> Splits:
    """Return the splits; cells of `part` must be there unless regions of it are."""
    needed = part if part == TRAIN or not (region_split == part).any() else TRAIN
    cells = split_of(mdata, require=(needed,))
    columns = _split_by(mdata)
    return Splits(cells, region_split, any(c != labels for c in columns))


def _split_by(mdata: MuData) -> list[str]:
    """Return the columns whose whole groups were kept together or held out; none for a random split."""
    how = mdata.uns.get(UNS, {}).get(SPLIT_HOW, {})
    if not isinstance(how, Mapping):
        return []
    columns = [str(how["by"])] if how.get("by") else []
    if how.get("holdout"):
        columns += list(json.loads(str(how["holdout"])))
    return list(dict.fromkeys(columns))


def thinned(block: Block, kind: str, max_regions: int | None, rng: np.random.Generator) -> Block:
    """Return a random part of a block where one prediction of it would be above ``ctl.settings.dense_limit``."""
    rows, cols = block.rows, block.cols
    fits = settings.dense_limit // 4
    if max_regions is not None and max_regions < 1:
        raise ChromatellError(f"max_regions={max_regions} must be at least 1, or None for all.")
    if kind == CROSS_REGION:  # training cells are many, and are not what is new
        n_regions = min(cols.size, max_regions or cols.size)
        limit = max(fits // max(n_regions, 1), min(_MIN_CELLS, rows.size), 1)
        if limit < rows.size:
            logger.info("%s: scored in %d of %d training cells, drawn at random.", kind, limit, rows.size)
            rows = np.sort(rng.choice(rows, limit, replace=False))
    limit = max(1, fits // max(rows.size, 1)) if max_regions is None else max_regions
    if limit < cols.size:
        logger.info(
            "Scored on %d of %d regions, drawn at random (max_regions, ctl.settings.dense_limit).", limit, cols.size
        )
        cols = cols[np.sort(rng.choice(cols.size, limit, replace=False))]
    return Block(rows, cols)


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
    found = np.unique(groups[rows])
    if found.size < _MIN_GROUPS:
        warn(
            f"Cells were split by {by!r} and {part!r} holds {found.size} of its groups ({examples(found)}), too "
            "few to resample: intervals come from resampled cells and hold for these groups only."
        )
        return None
    return groups[rows]


def region_weights(atac: AnnData, places: np.ndarray, n: int, seed: np.random.Generator) -> np.ndarray:
    """Return how often each region is drawn, float32 (n, regions): whole stretches of 1 Mb, or singly where few."""
    return resample(places.size, n, groups=_stretches(atac, places), seed=seed)


def _stretches(atac: AnnData, places: np.ndarray) -> Any:
    """Return the stretch of the genome in which each region lies; None without coordinates or with few stretches."""
    try:
        table = region_table(atac).iloc[places]
    except ChromatellError:
        logger.info("Regions have no coordinates: each is resampled by itself.")
        return None
    middle = (table[START].to_numpy() + table[END].to_numpy()) // 2
    names = normalise_chrom(table[CHROM]).to_numpy() + ":" + (middle // STRETCH).astype(str).astype(object)
    n = np.unique(names.astype(str)).size
    if n < _MIN_STRETCHES:
        logger.info("The %d regions lie in %d stretches of 1 Mb, too few: each is resampled by itself.", places.size, n)
        return None
    return names
