"""What the verbs behind a prediction read: predicted or measured accessibility, and groups of cells."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse as sp
from anndata import AnnData
from mudata import MuData

from chromatell._keys import ATAC, ATAC_PRED, RNA
from chromatell._nearest import names_there
from chromatell._validate import ChromatellError, modality
from chromatell._values import nonnegative
from chromatell.data.accessibility import open_matrix
from chromatell.data.predictions import predicted_regions, prediction_keys, read_prediction
from chromatell.genome.regions import region_table

_ROWS = 2048  # cells read at a time
MEASURED_IS = "What was measured is key='atac', whatever the modality is called."


@dataclass(frozen=True)
class Accessibility:
    """Accessibility of the cells of a MuData.

    Attributes
    ----------
    values
        (n_obs, n regions): predicted probabilities, float32, in memory or read when used; or measured, CSR of 0 and 1.
    regions
        The target modality's own names.
    key
        Name of the prediction, or 'atac'.
    measured
        Whether it was measured.
    """

    values: Any
    regions: pd.Index
    key: str
    measured: bool

    def blocks(self, size: int = _ROWS) -> Iterator[tuple[slice, Any]]:
        """Yield (rows, float32 block), dense where predicted and CSR where measured."""
        for start in range(0, self.values.shape[0], size):
            rows = slice(start, min(start + size, self.values.shape[0]))
            block = self.values[rows]
            yield rows, block if sp.issparse(block) else np.asarray(block, dtype=np.float32)

    def group_means(self, codes: np.ndarray, n_groups: int) -> np.ndarray:
        """Return the mean of each group's cells, float64 (n_groups, n regions); code -1 is no group, none gives NaN."""
        total = np.zeros((n_groups, len(self.regions)))
        for rows, block in self.blocks():
            part = indicator(codes[rows], n_groups) @ block
            total += part.toarray() if sp.issparse(part) else part
        n = np.bincount(codes[codes >= 0], minlength=n_groups).astype(np.float64)
        return total / np.where(n > 0, n, np.nan)[:, None]


def accessibility(mdata: MuData, key: str | None = None) -> Accessibility:
    """Return what `key` names: a prediction, 'atac' for what was measured, or None for the prediction in `X`.

    Raises
    ------
    ChromatellError
        There is no such prediction, or no measured modality of the same cells.
    """
    if not isinstance(mdata, MuData):
        raise ChromatellError(f"Expected a MuData with 'atac_pred' or 'atac', got {type(mdata).__name__}.")
    if key == ATAC:
        atac = modality(mdata, ATAC)
        if not atac.obs_names.equals(mdata.obs_names):
            raise ChromatellError(
                f"mdata.mod['atac'] has {atac.n_obs} cells that are not the {mdata.n_obs} of mdata, in their order. "
                "Keep the measured ones: mdata = mdata[mdata.mod['atac'].obs_names].copy()."
            )
        nonnegative(atac, ATAC)
        return Accessibility(open_matrix(atac), atac.var_names, ATAC, True)
    regions, keys = predicted_regions(mdata), prediction_keys(mdata)
    chosen = keys[0] if key is None else key
    if chosen in mdata.mod and chosen not in keys:
        raise ChromatellError(
            f"No prediction {chosen!r} in mdata.mod['atac_pred']; there: {names_there(keys, chosen)}. {MEASURED_IS}"
        )
    return Accessibility(read_prediction(mdata, chosen), regions, chosen, False)


def coordinates(mdata: MuData, regions: pd.Index) -> pd.DataFrame:
    """Return `chrom`, `start`, `end` of regions, from `atac` where it holds them, else as they came with `atac_pred`.

    Raises
    ------
    ChromatellError
        A region has no coordinates.
    """
    atac = mdata.mod.get(ATAC)
    if atac is not None and regions.isin(atac.var_names).all():
        return region_table(atac[:, regions] if len(regions) < atac.n_vars else atac).loc[regions]
    pred = mdata.mod.get(ATAC_PRED)
    var = pd.DataFrame(index=regions)
    if pred is not None and len(regions) == pred.n_vars:
        var = pred.var.set_axis(regions)
    return region_table(AnnData(var=var))


def cell_labels(mdata: MuData | AnnData, groupby: str) -> tuple[np.ndarray, list[str]]:
    """Return the group of each cell, int64 (n_obs,), -1 where it has none, and the groups' names, as text.

    Raises
    ------
    ChromatellError
        There is no such column, no cell has a label, or numbers stand in it that are no labels.
    """
    mods = mdata.mod if isinstance(mdata, MuData) else {}
    named = [mdata, *(mods[m] for m in (RNA, ATAC, ATAC_PRED) if m in mods)]
    labels = next((one.obs[groupby] for one in named if groupby in one.obs), None)
    if labels is None:
        columns = sorted({str(c) for one in named for c in one.obs.columns})
        raise ChromatellError(
            f"Did not find mdata.obs[{groupby!r}]; columns there: {names_there(columns, groupby)}. Name one of them."
        )
    column = labels.reindex(mdata.obs_names)
    if pd.api.types.is_float_dtype(column.dtype) and column.nunique() > 100:
        raise ChromatellError(
            f"mdata.obs[{groupby!r}] holds {column.nunique():,} different numbers, not labels of groups. Name a column "
            "of labels, such as 'cell_type'."
        )
    if not isinstance(column.dtype, pd.CategoricalDtype):
        column = column.astype(object).where(column.notna()).astype("category")
    column = column.cat.remove_unused_categories()
    text = [str(c) for c in column.cat.categories]
    names = list(dict.fromkeys(text))  # 1 and '1', after samples were joined, are one group
    if not names:
        raise ChromatellError(f"No cell has a label in mdata.obs[{groupby!r}]. Name another column.")
    place = np.array([*(names.index(t) for t in text), -1])
    return place[column.cat.codes.to_numpy()], names


def indicator(codes: np.ndarray, n_groups: int) -> sp.csr_matrix:
    """Return 1 where a cell is of a group, float32 CSR (n_groups, cells)."""
    cells = np.flatnonzero(codes >= 0)
    ones = np.ones(cells.size, dtype=np.float32)
    return sp.csr_matrix((ones, (codes[cells], cells)), shape=(n_groups, codes.size))
