"""What a sequence says of a region: its features, the regression on them, and how often it is open in a cell."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
from scipy.linalg import solve_triangular

from chromatell.genome.region_covariates import gc_and_cpg
from chromatell.models.baselines.protocol import PENALTIES, Axis, Option, tune

GRID = Axis((*PENALTIES, np.inf), 1e3, (True, True))  # from least squares to no use of the words
_ROWS = 1_024  # windows taken at a time
_STEEPEST = 4.0  # a cell's log rate may differ from the others' by so much
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
        self._shadow = self._q.T @ x  # what the free features hold of the penalised ones
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
        scaling = cls(reads, mean, tuple(np.where(s > 1e-9, s, np.inf) for s in sd))
        return scaling, scaling._scaled(raw)

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


@dataclass(frozen=True)
class Regions:
    """Regions with their sequence and what the training cells show of them.

    Attributes
    ----------
    tokens
        int8 (n, width).
    n_open
        float64 (n,), training cells in which each is open.
    covariance
        float64 (n, k), mean over the training cells of open x each cell factor.
    distance
        float64 (n,), bp to the nearest TSS; None where that is not known.
    """

    tokens: np.ndarray
    n_open: np.ndarray
    covariance: np.ndarray
    distance: np.ndarray | None = None

    @classmethod
    def read(
        cls, tokens: np.ndarray, distance: np.ndarray | None, truth: sp.csr_matrix, factors: np.ndarray
    ) -> Regions:
        """Return them from `truth`, CSR (training cells, n), and `factors` (training cells, k)."""
        by_region = truth.T.tocsr()
        n_open = np.asarray(truth.sum(axis=0), dtype=np.float64).ravel()
        return cls(tokens, n_open, (by_region @ factors) / len(factors), distance)


class SequenceRates:
    """Log rate of a region in a cell, from the region's sequence and the cell's factors.

    ``rate = depth ratio x exp(a + b mean(sequence) + factors . response(sequence))``, ``P(open) = 1 - exp(-rate)``.

    Parameters
    ----------
    reads
        What is read of a region.
    train
        Training regions.
    n_cells
        Training cells.
    val
        Validation regions. Penalties are chosen on them and on the training regions, each left out in turn.
    responds
        Whether there is a response; without, a region is the same in all cells but for their depth.
    name
        Name of the baseline, for what the tuner says.

    Notes
    -----
    The mean is the complementary log-log of the share of cells, with half a cell added, weighted by the inverse of one
    unit of variance between regions plus the Poisson variance. The map ``a + b`` of predictions that leave the region
    out is fitted to the shares by complementary log-log regression, which keeps probabilities calibrated. The response
    to a factor is a region's covariance with it over the derivative of the link, weighted by its information; here GC
    and CpG pay the penalty too, and each factor has one of its own, infinite where sequence says nothing of it. One
    slope for all, that of the truth on left-out predictions, makes up for what the penalties shrink too much.
    """

    def __init__(
        self,
        reads: Reads,
        train: Regions,
        n_cells: int,
        val: Regions | None = None,
        *,
        responds: bool = False,
        name: str = "sequence",
    ) -> None:
        self._features, (free, penalised) = Features.fit(reads, train.tokens, train.distance)
        target, weight = _log_rate(train.n_open, n_cells)
        held = None
        if val is not None:
            held = self._features(val.tokens, val.distance), *_log_rate(val.n_open, n_cells)
        ridge = PartialRidge(free, penalised, target[:, None], weight)
        alpha = choose(name, ridge, target[:, None], weight, held)
        self._mean = ridge.at(alpha)
        self.penalty = float(alpha[0])
        self._map = _complementary_log_log(ridge.left_out(alpha)[:, 0], train.n_open / n_cells)
        self._response: tuple[np.ndarray, np.ndarray] | None = None
        self.penalties = np.zeros(0)
        if responds and train.covariance.shape[1]:
            target, weight = _response(train, n_cells)
            if held is not None and val is not None:
                held = (_all_penalised(*held[0]), *_response(val, n_cells))
            ridge = PartialRidge(*_all_penalised(free, penalised), target, weight)
            self.penalties = choose(name, ridge, target, weight, held)
            slope = _slope(ridge.left_out(self.penalties), target, weight)
            self._response = (slope * ridge.at(self.penalties)[0], slope * ridge.at(self.penalties)[1])

    def predict(self, tokens: np.ndarray, distance: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Return the log rate of each region, float64 (n,), and its response to the factors (n, k); k may be 0."""
        rate, response = np.empty(len(tokens)), []
        for a in range(0, len(tokens), _ROWS):
            part = None if distance is None else distance[a : a + _ROWS]
            free, penalised = self._features(tokens[a : a + _ROWS], part)
            rate[a : a + _ROWS] = self._map[0] + self._map[1] * _apply(self._mean, free, penalised)[:, 0]
            if self._response is not None:
                response.append(_apply(self._response, *_all_penalised(free, penalised)))
        return rate, np.concatenate(response) if response else np.zeros((len(tokens), 0))


def probability(rate: np.ndarray, response: np.ndarray, factors: np.ndarray, ratio: np.ndarray) -> np.ndarray:
    """Return the probability of being open, float64 (cells, regions).

    Parameters
    ----------
    rate, response
        Rates and responses of the regions, from :meth:`SequenceRates.predict`.
    factors, ratio
        Factors of the cells, (cells, k), and their depth over its mean, (cells,).
    """
    own = factors[:, : response.shape[1]] @ response.T
    # factors have unit variance: without the second term a region that differs between cells would be open more often
    own = np.clip(own, -_STEEPEST, _STEEPEST) - (response**2).sum(axis=1) / 2
    return -np.expm1(-ratio[:, None] * np.exp(np.minimum(rate + own, 50.0)))


def choose(
    name: str,
    ridge: PartialRidge,
    target: np.ndarray,
    weight: np.ndarray,
    held: tuple[tuple[np.ndarray, np.ndarray], np.ndarray, np.ndarray] | None,
) -> np.ndarray:
    """Return for each target the penalty of the smallest weighted squared error, of left-out rows and of `held`."""
    n = target.shape[1]

    def losses(option: Option) -> dict[str, float]:
        every = np.full(n, option[0])
        error = (weight[:, None] * (ridge.left_out(every) - target) ** 2).sum(axis=0)
        if held is not None:
            inputs, true, w = held
            error += (w[:, None] * (_apply(ridge.at(every), *inputs) - true.reshape(-1, n)) ** 2).sum(axis=0)
        return {str(j): float(e) for j, e in enumerate(error)}

    chosen = tune(name, {"alpha": GRID}, losses)
    return np.array([chosen.get(str(j), (GRID.usual,))[0] for j in range(n)])


def cell_factors(design: np.ndarray, train: np.ndarray, ratio: np.ndarray) -> np.ndarray:
    """Return what expression says of a cell beyond its predicted depth, of unit variance in the training cells.

    Parameters
    ----------
    design
        float64 (cells, d), components of expression.
    train
        Places of the training cells.
    ratio
        (cells,), predicted depth over its mean; each column's linear part in it is taken out.

    Returns
    -------
    numpy.ndarray, float32 (cells, k)
        Uncorrelated in the training cells; k <= d.
    """
    depth = np.column_stack([np.ones(len(ratio)), ratio])
    weights, *_ = np.linalg.lstsq(depth[train], design[train], rcond=None)
    rest = design - depth @ weights
    values, vectors = np.linalg.eigh(rest[train].T @ rest[train])
    held = values > 1e-6 * max(float(values.max(initial=0)), 1e-12)
    return (rest @ (vectors[:, held] / np.sqrt(values[held])) * np.sqrt(train.size)).astype(np.float32)


def _all_penalised(free: np.ndarray, penalised: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return np.zeros((len(free), 0)), np.column_stack([free, penalised])


def _apply(weights: tuple[np.ndarray, np.ndarray], free: np.ndarray, penalised: np.ndarray) -> np.ndarray:
    return weights[0][0] + free @ weights[0][1:] + penalised @ weights[1]


def _log_rate(n_open: np.ndarray, n_cells: int) -> tuple[np.ndarray, np.ndarray]:
    share = np.minimum((n_open + 0.5) / (n_cells + 1), 1 - 0.5 / (n_cells + 1))
    return np.log(-np.log1p(-share)), 1.0 / (1.0 + 1.0 / (n_open + 0.5))


def _response(regions: Regions, n_cells: int) -> tuple[np.ndarray, np.ndarray]:
    share = np.clip((regions.n_open + 0.5) / (n_cells + 1), None, 1 - 0.5 / (n_cells + 1))
    slope = -(1 - share) * np.log1p(-share)  # how the probability rises with the log rate
    return regions.covariance / slope[:, None], slope**2 / (share * (1 - share))


def _slope(predicted: np.ndarray, target: np.ndarray, weight: np.ndarray) -> float:
    """Return the weighted slope of `target` on `predicted` through the origin, within 0 to 2."""
    size = float((weight[:, None] * predicted**2).sum())
    return float(np.clip((weight[:, None] * predicted * target).sum() / size, 0, 2)) if size > 0 else 1.0


def _complementary_log_log(x: np.ndarray, share: np.ndarray, steps: int = 50) -> tuple[float, float]:
    """Return intercept and slope of ``log(-log(1 - p))`` on `x`, by Fisher scoring; a negative slope is set to 0."""
    flat = float(np.log(-np.log1p(-np.clip(share.mean(), 1e-9, 1 - 1e-9))))
    if x.std() < 1e-9:
        return flat, 0.0
    centre, scale = x.mean(), x.std()
    design = np.column_stack([np.ones(x.size), (x - centre) / scale])
    w = np.array([flat, 0.0])
    for _ in range(steps):
        rate = np.exp(np.clip(design @ w, -30, 3))
        p = np.clip(-np.expm1(-rate), 1e-9, 1 - 1e-9)
        slope = rate * (1 - p)
        information = slope**2 / (p * (1 - p))
        matrix = (design * information[:, None]).T @ design + 1e-9 * np.eye(2)
        step = np.clip(np.linalg.solve(matrix, design.T @ (slope * (share - p) / (p * (1 - p)))), -2, 2)
        w += step
        if np.abs(step).max() < 1e-9:
            break
    if not np.isfinite(w).all() or w[1] <= 0:
        return flat, 0.0
    return float(w[0] - w[1] * centre / scale), float(w[1] / scale)
