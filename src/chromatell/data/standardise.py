"""Expression as z-scores: normalised, log1p, and standardised with the statistics of the training cells."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd
import scipy.sparse as sp

from chromatell._rows import read

Kind = Literal["counts", "normalised"]
_BLOCK = 4096  # cells densified at a time, fewer where there are many genes:
_VALUES = 2**24  # values of a dense block, 64 MB


@dataclass(frozen=True)
class Standardiser:
    """The statistics of training cells, and the z-scores of any cells by them.

    Counts are divided by the cell's total over `genes`, multiplied by `target_sum` and log1p-transformed; values that
    are not counts are taken as already normalised. Then each gene is z-scored and clipped to ``[-clip, clip]``. Because
    the total runs over `genes` alone, other genes in a query change nothing.

    Attributes
    ----------
    genes
        Names of the genes, length g.
    kind
        'counts' or 'normalised', as found in the training cells.
    mean, sd
        float32 (g,), of the normalised training values; `sd` is 1 where a gene does not vary.
    share
        float32 (g,), each gene's share of the training total: estimates the total of a query that misses genes.
    rate
        float32 (g,), share of the training cells in which a gene is above zero: likewise for the number detected.
    loadings, noise
        float32 (g, k) and (g,): components of the z-scored training cells times their sd, and each gene's variance
        beside them, from which a query's missing genes are estimated; None leaves them at the training mean.
    """

    genes: pd.Index
    kind: Kind
    target_sum: float
    mean: np.ndarray
    sd: np.ndarray
    share: np.ndarray
    rate: np.ndarray
    library_mean: float
    library_sd: float
    detected_mean: float
    detected_sd: float
    clip: float = 10.0
    loadings: np.ndarray | None = None
    noise: np.ndarray | None = None

    def transform(self, x: Any, present: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Return (z, library), float32 (cells, g) and (cells,): z-scored expression and standardised log total.

        `x` holds the genes marked in `present` (all where None). A gene that is not there is estimated from the others,
        as the components of the training cells have it.
        """
        if present is None or present.all():
            keep: Any = slice(None)
            mass = 1.0
        else:
            keep, mass = np.flatnonzero(present), float(self.share[present].sum())
        x = read(x)
        block = np.asarray(x.todense() if sp.issparse(x) else x, dtype=np.float32)
        values = normalised_dense(block, self.kind, self.target_sum * mass)
        z = np.zeros((block.shape[0], len(self.genes)), dtype=np.float32)
        z[:, keep] = np.clip((values - self.mean[keep]) / self.sd[keep], -self.clip, self.clip)
        total = block.sum(axis=1, dtype=np.float64)
        if present is not None and self.loadings is not None and not present.all():
            gone = np.flatnonzero(~present)
            z[:, gone] = self._estimated(z[:, keep], keep, gone)
            if self.kind == "normalised":
                total, mass = total + (self.mean[gone] + self.sd[gone] * z[:, gone]).sum(axis=1), 1.0
        library = np.log1p(np.maximum(total, 0) / max(mass, 1e-6))
        return z, ((library - self.library_mean) / self.library_sd).astype(np.float32)

    def _estimated(self, z: np.ndarray, present: np.ndarray, gone: np.ndarray) -> np.ndarray:
        """Return the expected z-scores of some genes given those of others, float32 (cells, gone)."""
        assert self.loadings is not None and self.noise is not None  # noqa: PT018  # asked only where they are
        known, weighted = self.loadings[present], self.loadings[present] / self.noise[present, None]
        state = np.linalg.solve(np.eye(known.shape[1]) + known.T @ weighted, weighted.T @ z.T)  # (k, cells)
        return np.clip((self.loadings[gone] @ state).T, -self.clip, self.clip)

    def detected(self, x: Any, present: np.ndarray | None = None) -> np.ndarray:
        """Return the standardised log number of detected genes, float32 (cells,); 0 where training does not vary."""
        if self.detected_sd < 1e-3:
            return np.zeros(x.shape[0], dtype=np.float32)
        mass = 1.0 if present is None else float(self.rate[present].sum() / self.rate.sum())
        count = np.asarray((read(x) > 0).sum(axis=1), dtype=np.float64).ravel()
        return ((np.log1p(count / max(mass, 1e-6)) - self.detected_mean) / self.detected_sd).astype(np.float32)

    def sizes(self, library: np.ndarray, x: Any, present: np.ndarray | None = None) -> np.ndarray:
        """Return what a depth is predicted from beside genes, float32 (cells, 1 or 2): log total, and genes detected.

        `library` is the log total. Only of counts that have zeros the second is there: in values that were smoothed or
        corrected whether a gene is above zero hangs on very little.
        """
        if self.kind != "counts" or self.detected_sd < 1e-3:
            return library[:, np.newaxis]
        return np.column_stack([library, self.detected(x, present)])

    def blocks(self, x: Any, present: np.ndarray | None = None) -> Iterator[tuple[slice, np.ndarray, np.ndarray]]:
        """Yield (rows, z, library) for at most 4,096 cells at a time."""
        size = block_rows(x.shape[1])
        for start in range(0, x.shape[0], size):
            rows = slice(start, min(start + size, x.shape[0]))
            yield rows, *self.transform(x[rows], present)


def block_rows(n_genes: int) -> int:
    """Return how many cells are made dense at a time."""
    return max(64, min(_BLOCK, _VALUES // max(n_genes, 1)))


def normalised_dense(block: np.ndarray, kind: Kind, target_sum: float) -> np.ndarray:
    """Return dense counts after division by the cell's total and log1p; other values as they are."""
    if kind == "normalised":
        return block
    total = block.sum(axis=1, keepdims=True, dtype=np.float32)
    return np.log1p(block * (target_sum / np.maximum(total, 1.0)))
