"""Oracle baselines: they read the ATAC of the very cells that they predict; shown, but never the best baseline."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np

from chromatell.data.accessibility import open_matrix
from chromatell.models.baselines.cell_data import CellData, every
from chromatell.models.baselines.expression import CellBaseline
from chromatell.models.baselines.parts import OtherChromosomes, scaled
from chromatell.models.baselines.protocol import NEIGHBOURS, Axis, register


@register
class RegionMeanTrueDepth(CellBaseline):
    """The region mean, of held-out regions too, x the cell's true depth. `predict` takes all regions."""

    name, is_oracle, reads_region_atac = "region_mean_true_depth", True, False  # scored on held-out regions as well
    about = "reference: region mean x the cell's true depth, which is read from its ATAC"

    @cached_property
    def _mean(self) -> np.ndarray:
        data = self.data
        if data.seen.size == data.places.size:
            return data.mean
        return data.share_open(open_matrix(data.atac, data.train, data.places))

    def predict(self, rows: np.ndarray, cols: Any, option: Any) -> np.ndarray:
        """Return the mean of each region, its rate scaled by the cell's depth."""
        return scaled(self.data.true_ratio[rows], self._mean)


@register
class KnnAtac(CellBaseline):
    """The mean over the training cells that are nearest in the cell's own ATAC on the other chromosomes."""

    name, is_oracle, tuned = "knn_atac", True, ("k",)
    about = "reference: mean over the nearest training cells in the cell's own ATAC on the other chromosomes"

    @classmethod
    def possible(cls, data: CellData) -> bool:
        """Regions on two chromosomes are needed."""
        return cls(data)._others.possible

    @cached_property
    def _others(self) -> OtherChromosomes:
        data = self.data
        return OtherChromosomes(data.atac, data.train, data.cols, data.seed)

    def axes(self) -> Sequence[Axis]:
        """Numbers of neighbours."""
        return (Axis.up_to(NEIGHBOURS, max(self.data.reference.size - 1, 1), 50),)

    def predict(self, rows: np.ndarray, cols: Any, option: Any) -> np.ndarray:
        """Return the mean over the neighbours."""
        data, cols = self.data, every(cols, self.data.cols.size)
        among = data.train[data.reference]
        return self._others.mean(rows, option[0], cols, among, data.reference_open, data.mean)
