"""Baselines that know a region by its ATAC and a cell by its expression, its label, or nothing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse as sp

from chromatell._validate import ChromatellError
from chromatell.models.baselines.cell_data import CellData
from chromatell.models.baselines.parts import LinkedExpression, Ridge, RidgePath, neighbour_mean, scaled
from chromatell.models.baselines.protocol import Baseline, register, usual_first

NEIGHBOURS = (50, 15, 150, 500)  # the usual one first, as in all grids
RANKS = (15, 5, 50)
ALPHAS = (100.0, 1.0, 10.0, 1_000.0, 10_000.0)
LABEL_PRIOR = 5.0  # training cells' worth of region mean in a label's mean: a rare label has few cells


class CellBaseline(Baseline):
    """A baseline of cells x regions. `predict` takes positions of cells, and of training regions (None for all)."""

    data: CellData

    def fit(self) -> None:
        """Most are fitted by what they share."""


@register
class RegionMean(CellBaseline):
    """Share of training cells in which the region is open."""

    name, about = "region_mean", "share of training cells in which the region is open; the same for every cell"

    def predict(self, rows: np.ndarray, cols: Any, option: Any) -> np.ndarray:
        """Return the mean for every cell."""
        mean = self.data.mean if cols is None else self.data.mean[cols]
        return np.broadcast_to(mean, (rows.size, mean.size))


@register
class RegionMeanDepth(CellBaseline):
    """The region mean x the depth that expression predicts."""

    name, about = "region_mean_depth", "region mean x the cell's depth predicted from its expression"

    def predict(self, rows: np.ndarray, cols: Any, option: Any) -> np.ndarray:
        """Return the mean of each region, its rate scaled by the cell's depth."""
        mean = self.data.mean if cols is None else self.data.mean[cols]
        return scaled(self.data.predicted_ratio[rows], mean)


@register
class CelltypeMean(CellBaseline):
    """The region mean within the cell's label, with five cells' worth of the mean over all."""

    name, about = "celltype_mean", "region mean within the cell's label (needs labels)"

    @classmethod
    def possible(cls, data: CellData) -> bool:
        """Labels are needed."""
        return data.labels is not None

    def fit(self) -> None:
        """Average the training cells of each label."""
        data = self.data
        if data.labels is None:
            raise ChromatellError("The baseline 'celltype_mean' needs labels; name a column, e.g. labels='cell_type'.")
        codes, names = pd.factorize(data.labels[data.train])
        known = np.flatnonzero(codes >= 0)
        member = sp.csr_matrix((np.ones(known.size), (codes[known], known)), shape=(len(names), data.train.size))
        total = (member @ data.opened).toarray() + LABEL_PRIOR * data.mean
        size = np.bincount(codes[known], minlength=len(names))[:, None]
        table = (total / (size + LABEL_PRIOR)).astype(np.float32)
        # The last row serves cells without a label and labels without a training cell.
        self._names, self._table = pd.Index(names), np.vstack([table, data.mean])

    def predict(self, rows: np.ndarray, cols: Any, option: Any) -> np.ndarray:
        """Return the mean of each cell's label."""
        found = self._table[self._names.get_indexer(pd.Index(np.asarray(self.data.labels)[rows]))]
        return found if cols is None else found[:, cols]


@register
class Knn(CellBaseline):
    """The mean over the training cells that are nearest in expression."""

    name, about, tuned = "knn", "mean over the nearest training cells in expression", ("k",)

    def options(self) -> Sequence[int]:
        """Numbers of neighbours."""
        return usual_first([k for k in NEIGHBOURS if k <= self.data.train.size] or [min(NEIGHBOURS)], NEIGHBOURS[0])

    def predict(self, rows: np.ndarray, cols: Any, option: Any) -> np.ndarray:
        """Return the mean over the neighbours."""
        data = self.data
        truth, mean = (data.reference_open, data.mean) if cols is None else (
            data.reference_open[:, cols], data.mean[cols])  # fmt: skip
        return neighbour_mean(data.expression[0], rows, option, data.train[data.reference], truth, mean)


@register
class SvdRidge(CellBaseline):
    """Ridge regression from expression to the leading components of the open matrix."""

    name, about = "svd_ridge", "ridge regression from expression to the leading components of the open matrix"
    tuned = ("rank", "alpha")

    def fit(self) -> None:
        """Decompose the open matrix and the design, for any rank and penalty."""
        data = self.data
        self._path = RidgePath(data.design[data.train], data.opened, max(RANKS), data.seed)
        self._last: tuple[Any, Ridge | None] = (None, None)

    def options(self) -> Sequence[tuple[int, float]]:
        """Ranks and penalties."""
        ranks = sorted({min(r, self._path.rank) for r in RANKS})
        usual = ranks[min(1, len(ranks) - 1)], ALPHAS[0]
        return usual_first([(r, a) for r in ranks for a in sorted(ALPHAS)], usual)

    def predict(self, rows: np.ndarray, cols: Any, option: Any) -> np.ndarray:
        """Return the region mean and what the regression adds to it."""
        if self._last[0] != option:
            self._last = option, self._path.at(*option)
        ridge = self._last[1]
        assert ridge is not None  # set with its option
        return ridge.predict(self.data.design[rows], self.data.mean, slice(None) if cols is None else cols)


@register
class GeneActivity(CellBaseline):
    """Summed expression of the genes linked to a region, through a logistic map."""

    name, about = "gene_activity", "summed expression of linked genes, through a logistic map (needs pp.link_genes)"

    @classmethod
    def possible(cls, data: CellData) -> bool:
        """Links are needed."""
        return data.links is not None

    def fit(self) -> None:
        """Fit the map on a sample of training cells and linked regions."""
        data = self.data
        if data.links is None:
            raise ChromatellError(
                "The baseline 'gene_activity' needs links. Run ctl.pp.link_genes(mdata, annotation) first."
            )
        self._linked = LinkedExpression(data.rna, data.train, data.regions[data.seen], data.links)
        rows, cols = data.sample(np.flatnonzero(self._linked.linked))
        self._linked.fit(data.train[rows], cols, data.opened[rows][:, cols].toarray(), data.mean)

    def predict(self, rows: np.ndarray, cols: Any, option: Any) -> np.ndarray:
        """Return the mapped sums."""
        found = self._linked.predict(rows, self.data.mean)
        return found if cols is None else found[:, cols]
