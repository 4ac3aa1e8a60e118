"""Baselines that know a region by its ATAC, and a cell by its expression, its label, its own ATAC, or nothing."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse as sp

from chromatell._validate import ChromatellError
from chromatell.data.accessibility import open_matrix
from chromatell.models.baselines.cell_data import CellData
from chromatell.models.baselines.neighbours import LastColumns
from chromatell.models.baselines.parts import (
    LinkedExpression,
    OtherChromosomes,
    Ridge,
    RidgePath,
    scaled,
)
from chromatell.models.baselines.protocol import (
    DIMENSIONS,
    EVERY,
    NEIGHBOURS,
    PENALTIES,
    RANKS,
    WEIGHTS,
    Axis,
    Baseline,
    register,
)

LABEL_PRIOR = 5.0  # training cells' worth of region mean in a label's mean: a rare label has few cells


class CellBaseline(Baseline):
    """A baseline of cells x regions. `predict` takes positions of cells, and of training regions (or `EVERY`)."""

    data: CellData


@register
class RegionMean(CellBaseline):
    """Share of training cells in which the region is open."""

    name, about = "region_mean", "share of training cells in which the region is open; the same for every cell"

    def predict(self, rows: np.ndarray, cols: Any, option: Any) -> np.ndarray:
        """Return the mean for every cell."""
        mean = self.data.mean[cols]
        return np.broadcast_to(mean, (rows.size, mean.size))


@register
class RegionMeanDepth(CellBaseline):
    """The region mean x the depth that expression predicts."""

    name, about = "region_mean_depth", "region mean x the cell's depth predicted from its expression"

    def predict(self, rows: np.ndarray, cols: Any, option: Any) -> np.ndarray:
        """Return the mean of each region, its rate scaled by the cell's depth."""
        return scaled(self.data.predicted_ratio[rows], self.data.mean[cols])


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
        total = (member @ data.binarized).toarray() + LABEL_PRIOR * data.mean
        size = np.bincount(codes[known], minlength=len(names))[:, None]
        table = (total / (size + LABEL_PRIOR)).astype(np.float32)
        # The last row serves cells without a label and labels without a training cell.
        self._names, self._table = pd.Index(names), np.vstack([table, data.mean])

    def predict(self, rows: np.ndarray, cols: Any, option: Any) -> np.ndarray:
        """Return the mean of each cell's label."""
        return self._table[self._names.get_indexer(pd.Index(np.asarray(self.data.labels)[rows]))][:, cols]


class WithInputs(CellBaseline):
    """One that reads other inputs beside expression, each with a weight that is tuned: an input may be noise."""

    @property
    def _widths(self) -> dict[str, int]:
        return self.data.beside[1]

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the axes."""
        return *self.tuned, *(f"weight_of_{name}" for name in self._widths)

    def _weights(self) -> list[Axis]:
        return [Axis(WEIGHTS, 1.0, (True, True)) for _ in self._widths]


@register
class Knn(WithInputs):
    """The mean over the training cells that are nearest in expression and library size."""

    name, about, tuned = "knn", "mean over the nearest training cells in expression and library size", ("k", "library")

    def axes(self) -> Sequence[Axis]:
        """Numbers of neighbours, and how much a difference of library size counts."""
        most = max(self.data.reference.size - 1, 1)
        return Axis.up_to(NEIGHBOURS, most, 50), Axis(WEIGHTS, 1.0, (True, True)), *self._weights()

    @cached_property
    def _columns(self) -> LastColumns:
        return LastColumns()

    def predict(self, rows: np.ndarray, cols: Any, option: Any) -> np.ndarray:
        """Return the mean over the neighbours."""
        data, (k, library, *others) = self.data, option
        truth = data.reference_open if cols is EVERY else self._columns(data.reference_open, cols)
        if self.chosen:
            next_ks = [one[0] for one in self.chosen.values() if one[1:] == option[1:]]
        else:  # it is being tuned
            next_ks = list(self.axes()[0].values)

        def space() -> np.ndarray:
            design = data.design.astype(np.float32)
            widths = np.array([*self._widths.values(), 1])  # of other inputs, and the library size
            design[:, -widths.sum() :] *= np.repeat([*others, library], widths)
            return design

        return data.means.mean(option[1:], space, rows, (k, *next_ks), truth, data.mean[cols])


class RidgeBaseline(WithInputs):
    """Ridge regression from components of expression and log library size; `path` gives any of its kind."""

    _path: RidgePath
    _last: tuple[Any, Ridge | None] = (None, None)

    def _dimensions(self) -> Axis:
        return Axis.up_to((*DIMENSIONS, 100), self.data.expression[0].shape[1], 20)

    def predict(self, rows: np.ndarray, cols: Any, option: Any) -> np.ndarray:
        """Return the region mean and what the regression adds to it."""
        if self._last[0] != option:
            self._last = option, self._at(option)
        ridge = self._last[1]
        assert ridge is not None  # set with its option
        return ridge.predict(self.data.design[rows], self.data.mean, cols)

    def _at(self, option: Any) -> Ridge:
        n = len(self.tuned)
        return self._path.at(**dict(zip(self.tuned, option[:n], strict=True)), inputs=option[n:])


@register
class FullRidge(RidgeBaseline):
    """Ridge regression of each region on expression."""

    name, about = "ridge", "ridge regression of each region on components of expression and library size"
    tuned = ("components", "alpha")

    def fit(self) -> None:
        """Sum the products of the design with itself and with the open matrix, for any penalty."""
        inputs = tuple(self._widths.values())
        self._path = RidgePath(self.data.design[self.data.train], self.data.binarized, inputs=inputs)

    def axes(self) -> Sequence[Axis]:
        """Numbers of components, penalties, and weights of other inputs."""
        return self._dimensions(), Axis(PENALTIES, 100.0, (True, True)), *self._weights()


@register
class SvdRidge(RidgeBaseline):
    """Ridge regression from expression to the leading components of the open matrix."""

    name, about = "svd_ridge", "ridge regression from expression to the leading components of the open matrix"
    tuned = ("rank", "alpha", "components")

    def fit(self) -> None:
        """Decompose the open matrix and the design, for any rank and penalty."""
        data, inputs = self.data, tuple(self._widths.values())
        self._path = RidgePath(data.design[data.train], data.binarized, rank=max(RANKS), inputs=inputs, seed=data.seed)

    def axes(self) -> Sequence[Axis]:
        """Ranks, penalties, numbers of components of expression, and weights of other inputs."""
        penalty = Axis(PENALTIES, 100.0, (True, True))
        return Axis.up_to(RANKS, self._path.rank, 12), penalty, self._dimensions(), *self._weights()


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
        self._linked.fit(data.train[rows], cols, data.binarized[rows][:, cols].toarray(), data.mean)

    def predict(self, rows: np.ndarray, cols: Any, option: Any) -> np.ndarray:
        """Return the mapped sums."""
        return self._linked.predict(rows, self.data.mean)[:, cols]


# ---- oracles: they read the ATAC of the very cells that they predict


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
        return OtherChromosomes(data.atac, data.train, data.cols, data.means, data.seed)

    def axes(self) -> Sequence[Axis]:
        """Numbers of neighbours."""
        return (Axis.up_to(NEIGHBOURS, max(self.data.reference.size - 1, 1), 50),)

    def predict(self, rows: np.ndarray, cols: Any, option: Any) -> np.ndarray:
        """Return the mean over the neighbours."""
        data = self.data
        next_ks = [k for (k,) in self.chosen.values()] or self.axes()[0].values
        places = np.arange(data.cols.size)[cols]
        return self._others.mean(rows, (*option, *next_ks), places, data.reference_open, data.mean)
