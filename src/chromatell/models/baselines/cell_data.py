"""What baselines of cells x regions share: training rows, expression, predicted depth, a sample to tune on."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse as sp
from mudata import MuData

from chromatell._keys import LINKS, TRAIN, UNS, VAL
from chromatell._rows import compact, matrix
from chromatell._settings import logger
from chromatell._validate import ChromatellError, examples, paired, region_split_of, split_of
from chromatell.data.accessibility import open_matrix, selected, true_depth
from chromatell.data.depth import DepthModel
from chromatell.data.expression import Embedding, Expression
from chromatell.models.baselines.parts import EPS, labels_of
from chromatell.models.baselines.protocol import Baseline, Option, reference_rows

_TUNE_CELLS, _TUNE_REGIONS = 1_000, 5_000


class CellData:
    """Cells, the regions to predict, and what several baselines need; each part is made when it is first asked for.

    Parameters as for :class:`~chromatell.models.baselines.fitter.BaselineFitter`.
    """

    def __init__(
        self, mdata: MuData, regions: pd.Index, labels_key: str | None, depth_key: str | None, seed: int
    ) -> None:
        self.rna, self.atac = paired(mdata)
        split = split_of(mdata)
        self.regions, self.seed, self.depth_key = pd.Index(regions), seed, depth_key
        self.places = self.atac.var_names.get_indexer(self.regions)  # of all regions to predict
        if (self.places < 0).any():
            missing = self.regions[self.places < 0]
            raise ChromatellError(
                f"{len(missing)} of {len(self.regions)} regions (such as {examples(missing)}) are not in "
                "mdata.mod['atac']. Predict regions of this object: regions=mdata.mod['atac'].var_names."
            )
        region_split = region_split_of(self.atac)
        self.n_train_regions = int((region_split == TRAIN).sum())
        self.seen = np.flatnonzero(region_split[self.places] == TRAIN)  # among `regions`
        self.cols = self.places[self.seen]  # the regions whose ATAC is read
        self.labels = None if labels_key is None else labels_of(mdata, labels_key).to_numpy(dtype=object)
        self.links = mdata.uns.get(UNS, {}).get(LINKS)
        self.train, self.val = (np.flatnonzero(split == part) for part in (TRAIN, VAL))
        if not self.val.size:
            logger.info("No validation cell: baselines take k = 50, rank = 15 and a penalty of 100.")

    # ---- accessibility of the training cells

    @cached_property
    def opened(self) -> sp.csr_matrix:
        """Open regions of the training cells, CSR (train, training regions)."""
        return open_matrix(self.atac, self.train, self.cols)

    @cached_property
    def mean(self) -> np.ndarray:
        """Share of training cells, float32 (training regions,), kept half a cell away from 0 and 1."""
        return self.share_open(self.opened)

    def share_open(self, truth: sp.csr_matrix) -> np.ndarray:
        """Return the share of the training cells in which each region of `truth` is open."""
        n = self.train.size
        mean = np.asarray(truth.sum(axis=0), dtype=np.float64).ravel() / n
        return np.clip(mean, 0.5 / (n + 1), 1 - 0.5 / (n + 1)).astype(np.float32)

    @cached_property
    def reference(self) -> np.ndarray:
        """Positions among the training cells between which neighbours are sought."""
        return reference_rows(self.train.size, self.seed)

    @cached_property
    def reference_open(self) -> sp.csr_matrix:
        """Open regions of the cells between which neighbours are sought."""
        return self.opened if self.reference.size == self.train.size else self.opened[self.reference]

    @cached_property
    def true_ratio(self) -> np.ndarray:
        """True depth over its mean in the training cells, (cells,)."""
        depth = true_depth(self.atac, self.depth_key)
        return depth / max(float(depth[self.train].mean()), EPS)

    # ---- expression

    @cached_property
    def expression(self) -> tuple[np.ndarray, np.ndarray]:
        """Principal components of every cell's expression, float32 (cells, k), and log library size (cells,)."""
        keep = selected(self.rna)
        x = compact(matrix(self.rna)[:, keep])
        expression = Expression.fit(x[self.train], self.rna.var_names[keep])
        embedding = Embedding.fit(expression, x[self.train], seed=self.seed)
        scores = np.empty((x.shape[0], embedding.components.shape[1]), dtype=np.float32)
        library = np.empty(x.shape[0], dtype=np.float32)
        for rows, z, size in expression.blocks(x):
            scores[rows], library[rows] = embedding.transform(z), size
        return scores, library

    @cached_property
    def design(self) -> np.ndarray:
        """Components of expression, of one scale, and log library size, float64 (cells, k + 1)."""
        scores, library = self.expression
        # one scale: the penalty shrinks minor components more
        scale = max(float(scores[self.train].std(axis=0).max()), EPS)
        return np.column_stack([scores / scale, library]).astype(np.float64)

    @cached_property
    def predicted_ratio(self) -> np.ndarray:
        """Depth predicted from expression over its mean in the training cells, (cells,)."""
        scores, library = self.expression
        depth = true_depth(self.atac, self.depth_key)[self.train]
        model = DepthModel.fit(scores[self.train], library[self.train], depth)
        predicted = np.expm1(model.predict(scores, library) * model.sd + model.mean)
        return predicted / max(float(predicted[self.train].mean()), EPS)

    sequence: Any  # what the baselines that read sequence share, made by the first of them

    # ---- tuning

    @cached_property
    def tuning(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Validation cells, positions of regions, and whether open: dense float32 (cells, regions), of bounded size."""
        cells, regions = (np.random.default_rng(s) for s in np.random.SeedSequence(self.seed).spawn(2))
        rows = np.sort(cells.permutation(self.val)[:_TUNE_CELLS])
        cols = np.sort(regions.permutation(self.cols.size)[:_TUNE_REGIONS])
        return rows, cols, open_matrix(self.atac, rows, self.cols[cols]).toarray()

    def loss(self, baseline: Baseline) -> Callable[[Option], float] | None:
        """Return the Brier score of an option on validation cells; None without any."""
        if not self.val.size:
            return None
        rows, cols, truth = self.tuning
        return lambda option: float(np.mean((baseline.predict(rows, cols, option) - truth) ** 2))

    def sample(self, regions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return positions of training cells and of some of these regions, of bounded number, to fit a map on."""
        cells, cols = (np.random.default_rng(s) for s in np.random.SeedSequence(self.seed + 1).spawn(2))
        rows = np.sort(cells.permutation(self.train.size)[:_TUNE_CELLS])
        return rows, np.sort(cols.permutation(regions)[:_TUNE_REGIONS])


def every(cols: Any, n: int) -> np.ndarray:
    """Return positions of columns, all of `n` where None."""
    return np.arange(n) if cols is None else cols
