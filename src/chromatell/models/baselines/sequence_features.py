"""What the baselines read of a sequence: GC, CpG, 5-mers and motifs, and the regression on them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.linalg import solve_triangular

from chromatell.genome.region_covariates import gc_and_cpg

_NO_GENE = 1e12  # bp; the chromosome has no gene
_LIMIT = 3.0  # sd from the training mean within which a feature is believed


class PartialRidge:
    """Weighted regression in which some features are free and the others pay a penalty, for any penalty.

    Parameters
    ----------
    free, penalised
        float (n, f) and (n, p); an intercept is added to the first.
    target
        float64 (n, t).
    weight
        float64 (n,), positive; only their ratios matter.
    """

    def __init__(self, free: np.ndarray, penalised: np.ndarray, target: np.ndarray, weight: np.ndarray) -> None:
        self._target = target
        self._root = np.sqrt(weight / weight.mean())[:, None]
        self._q, self._r = np.linalg.qr(self._root * np.column_stack([np.ones(len(free)), free]))
        self._inside = self._q.T @ (self._root * target)
        x = self._root * penalised
        self._shadow = self._q.T @ x  # of the penalised features on the free ones
        x = x - self._q @ self._shadow
        if len(x) < x.shape[1]:  # what lies outside the space of the rows has no part in the fit
            left, size, right = np.linalg.svd(x, full_matrices=False)
            self._values, self._vectors, self._scores = size**2, right.T, left * size
        else:
            self._values, self._vectors = np.linalg.eigh(x.T @ x)
            self._values = np.maximum(self._values, 0)
            self._scores = x @ self._vectors
        self._moment = self._scores.T @ (self._root * target)

    def at(self, alpha: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the weights of (intercept, free) and of the penalised features, one penalty for each target."""
        alpha = np.asarray(alpha, dtype=np.float64)
        beta = self._vectors @ (self._moment / (self._values[:, None] + alpha))
        return solve_triangular(self._r, self._inside - self._shadow @ beta), beta

    def left_out(self, alpha: np.ndarray) -> np.ndarray:
        """Return the prediction of each row by a fit without it, (n, t); exact, from the leverages."""
        alpha = np.asarray(alpha, dtype=np.float64)
        fitted = self._q @ self._inside + self._scores @ (self._moment / (self._values[:, None] + alpha))
        own = (self._q**2).sum(axis=1, keepdims=True) + self._scores**2 @ (1.0 / (self._values[:, None] + alpha))
        residual = self._target - fitted / self._root
        return self._target - residual / np.maximum(1.0 - own, 1e-3)


@dataclass(frozen=True)
class Reads:
    """What is read of a region.

    Attributes
    ----------
    n_content
        1 for GC, 2 for GC and CpG.
    near
        Whether the distance to the nearest TSS is read, where it is known.
    words
        From tokens, int8 (n, width), to features that pay a penalty, float (n, p); None reads none of that.
    """

    n_content: int = 2
    near: bool = False
    words: Callable[[np.ndarray], np.ndarray] | None = None

    def __call__(self, tokens: np.ndarray, distance: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Return free and penalised features, float64 (n, f) and (n, p); NaN where one is unknown."""
        content = gc_and_cpg(tokens)[:, : self.n_content]
        if self.near and distance is not None:
            known = np.where(np.abs(distance) < _NO_GENE, np.abs(distance), np.nan)
            content = np.column_stack([content, np.log1p(known)])
        return content, np.zeros((len(tokens), 0), dtype=np.float32) if self.words is None else self.words(tokens)


@dataclass(frozen=True)
class Features:
    """Features of regions, standardised with the training regions; an unknown one is at the training mean."""

    reads: Reads
    mean: tuple[np.ndarray, ...]
    sd: tuple[np.ndarray, ...]

    @classmethod
    def fit(
        cls, reads: Reads, tokens: np.ndarray, distance: np.ndarray | None = None
    ) -> tuple[Features, tuple[np.ndarray, np.ndarray]]:
        """Return the map, and the features (free, penalised) of the training regions themselves."""
        raw = reads(tokens, distance)
        mean = tuple(np.nan_to_num(_nanmean(x)) for x in raw)
        sd = tuple(np.sqrt(np.nan_to_num(_nanmean((x - m) ** 2))) for x, m in zip(raw, mean, strict=True))
        found = cls(reads, mean, tuple(np.where(s > 1e-9, s, np.inf) for s in sd))
        return found, found._scaled(raw)

    def __call__(self, tokens: np.ndarray, distance: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Return (free, penalised) features of other regions."""
        return self._scaled(self.reads(tokens, distance))

    def _scaled(self, raw: tuple[np.ndarray, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        free, penalised = (
            np.clip(np.nan_to_num((x - m) / s), -_LIMIT, _LIMIT)
            for x, m, s in zip(raw, self.mean, self.sd, strict=True)
        )
        return np.column_stack([free, free[:, 0] ** 2]), penalised


def _nanmean(x: np.ndarray) -> np.ndarray:
    known = np.isfinite(x)
    return np.where(known, x, 0).sum(axis=0, dtype=np.float64) / np.maximum(known.sum(axis=0), 1)
