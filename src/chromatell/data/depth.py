"""The depth of a cell, predicted from its expression."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from chromatell._errors import ChromatellError
from chromatell.data.stored import stored

NOISE = 0.05  # sd of a gene: what smoothing, rounding or another version of a pipeline may change of its value
_STRENGTHS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0)  # penalties, as noise in sd of a gene that they allow for
# Library size and number of detected genes are numbers that sum over all genes: their weights are penalised a hundredth
_SIZE = 10.0
_FOLDS = 5
_STEPS, _TOLERANCE = 25, 1e-6  # of Newton's method
_MAX_CELLS = 50_000  # training cells among which the penalty is chosen


@dataclass(frozen=True)
class DepthModel:
    """Log depth of a cell from its expression: two ridge regressions on scores of it and on its sizes.

    Sizes are the log library size and, of counts, the log number of detected genes.

    Their weights are averaged. One has the least squared error of the log depth, which cells of hardly any fragments
    weigh in most; the other is a Poisson regression of the depth itself with a log link, which a few cells of very many
    weigh in most, and whose error is what scaling a region's mean by the depth suffers from. Together they are better
    than either where cells are few, and as good where they are many.

    The penalty is on the weights of the z-scored genes, however small the component that they act through: smoothed
    expression has components of almost no spread, through which a change of 1% of a gene would change depth as much as
    a cell type does. It is chosen by cross-validation on the training cells: the least error in held-out cells whose
    genes are off by 5% of their sd.

    Attributes
    ----------
    coef
        float64 (g + s,): weights of the z-scored genes (or of the scores), then of the sizes.
    mean, sd
        Mean and sd of ``log1p(depth)`` over the training cells.
    low, high
        Range of the standardised log depth over the training cells; the prediction stays inside it.
    n_sizes
        How many sizes are read, s: 1 is the library size alone, as in records of earlier versions.
    """

    coef: np.ndarray
    intercept: float
    mean: float
    sd: float
    low: float = -np.inf
    high: float = np.inf
    n_sizes: int = 1

    @classmethod
    def fit(
        cls,
        scores: np.ndarray,
        sizes: np.ndarray,
        depth: np.ndarray,
        *,
        components: np.ndarray | None = None,
        spread: np.ndarray | None = None,
    ) -> DepthModel:
        """Fit on training cells.

        Parameters
        ----------
        scores
            (cells, k), of principal components or of any embedding.
        sizes
            (cells,) or (cells, s), standardised: what `Standardiser.sizes` returns.
        depth
            (cells,): fragments or counts.
        components
            (genes, k), where a query is to be predicted from its z-scored genes and not from the scores.
        spread
            (k,), by which the scores were divided when they were standardised; None where they were not.
        """
        log_depth = np.log1p(depth)
        mean, sd = float(log_depth.mean()), float(log_depth.std()) or 1.0
        target = (log_depth - mean) / sd
        sizes = _columns(sizes)
        n = sizes.shape[1]
        unit = np.append(np.ones(scores.shape[1]) if spread is None else spread.astype(np.float64), np.full(n, _SIZE))
        design = np.column_stack([scores, sizes]).astype(np.float64) * unit
        strength = choose_strength(design, target, n)
        of_log, of_depth = _ridge(design, target, strength), _poisson(design, depth + 1.0, strength)
        weights = unit * (of_log + of_depth / sd) / 2  # one intercept for both: the mean prediction is the mean depth
        of_genes = weights[:-n] if components is None else components.astype(np.float64) @ weights[:-n]
        return cls(
            coef=np.append(of_genes, weights[-n:]),
            intercept=float(-(design / unit).mean(axis=0) @ weights),
            mean=mean,
            sd=sd,
            low=float(target.min()),
            high=float(target.max()),
            n_sizes=n,
        )

    @property
    def of_genes(self) -> np.ndarray:
        """Weights of the z-scored genes (or of the scores), float64 (g,)."""
        return self.coef[: -self.n_sizes]

    def predict(self, z: np.ndarray, sizes: np.ndarray) -> np.ndarray:
        """Return the predicted standardised log depth, float32 (cells,), within that of the training cells.

        The first columns of `sizes`, (cells,) or (cells, s), are read, as many as in training.
        """
        return self.from_score(z @ self.of_genes, sizes)

    def from_score(self, score: np.ndarray, sizes: np.ndarray) -> np.ndarray:
        """Return the same, where the product of the z-scored genes and their weights, (cells,), is known."""
        read = _columns(sizes)[:, : self.n_sizes]
        if read.shape[1] < self.n_sizes:  # a record whose parts do not fit each other
            raise ChromatellError(
                f"The stored depth model reads {self.n_sizes} sizes of a cell, and the stored expression gives "
                f"{read.shape[1]}. Ask for the file again, or train anew."
            )
        of_sizes = read @ self.coef[-self.n_sizes :]
        return self.within((score + of_sizes + self.intercept).astype(np.float32))

    def within(self, depth: np.ndarray) -> np.ndarray:
        """Return a predicted standardised log depth, kept within that of the training cells."""
        return np.clip(depth, np.float32(self.low), np.float32(self.high))

    def standardise(self, depth: np.ndarray) -> np.ndarray:
        """Return an observed depth on the same scale, float32 (cells,)."""
        return ((np.log1p(depth) - self.mean) / self.sd).astype(np.float32)

    def depth_of(self, standardised: np.ndarray) -> np.ndarray:
        """Return the depth that a standardised log depth stands for, float64 (cells,)."""
        return np.expm1(standardised.astype(np.float64) * self.sd + self.mean)

    def arrays(self) -> dict[str, np.ndarray]:
        """Return the statistics as plain arrays, for a record."""
        arrays = {"scaling.depth_coef": self.coef, "scaling.depth": np.array([self.intercept, self.mean, self.sd])}
        if np.isfinite(self.low):
            arrays["scaling.depth_range"] = np.array([self.low, self.high])
        if self.n_sizes > 1:
            arrays["scaling.depth_sizes"] = np.array([float(self.n_sizes)])
        return arrays

    @classmethod
    def from_arrays(cls, n_genes: int, arrays: Mapping[str, np.ndarray]) -> DepthModel:
        """Return them from a record, older ones without a range or with one size too; all is checked."""
        intercept, mean, sd = (float(v) for v in stored(arrays, "scaling.depth", (3,)))
        low, high = -np.inf, np.inf
        if "scaling.depth_range" in arrays:
            low, high = (float(v) for v in stored(arrays, "scaling.depth_range", (2,)))
        least = mean if low == -np.inf else low * sd + mean  # of a log depth: below 0 probabilities would be
        if mean < 0 or sd <= 0 or low > high or least < -1e-5 * (1 + mean):
            raise ChromatellError(
                f"The stored 'scaling.depth' holds mean {mean:g} and sd {sd:g} of the log depth, from {low:g} to "
                f"{high:g} sds; a mean of 0 or more, a positive sd and no depth below 0 are needed. Ask for the file "
                "again."
            )
        n = int(stored(arrays, "scaling.depth_sizes", (1,))[0]) if "scaling.depth_sizes" in arrays else 1
        coef = stored(arrays, "scaling.depth_coef", (n_genes + max(n, 1),))
        return cls(coef, intercept, mean, sd, low, high, n_sizes=max(n, 1))


def _columns(sizes: np.ndarray) -> np.ndarray:
    return sizes[:, np.newaxis] if sizes.ndim == 1 else sizes


def choose_strength(design: np.ndarray, target: np.ndarray, n_sizes: int = 1) -> float:
    """Return the penalty with the least error in held-out training cells whose genes are off by `NOISE`.

    Parameters
    ----------
    design
        float64 (cells, k + s); an error of one sd in each gene is an error of one in each of the first k columns.
    target
        float64 (cells,).
    n_sizes
        Columns after those, s.
    """
    fold = np.random.default_rng(0).permutation(len(target))[:_MAX_CELLS]
    if len(fold) < 2 * _FOLDS:
        return _STRENGTHS[-1]
    error = np.zeros(len(_STRENGTHS))
    for k in range(_FOLDS):
        held, rest = fold[k::_FOLDS], np.delete(fold, np.s_[k::_FOLDS])
        centre, level = design[rest].mean(axis=0), target[rest].mean()
        for i, strength in enumerate(_STRENGTHS):
            weights = _ridge(design[rest], target[rest], strength)
            residual = target[held] - level - (design[held] - centre) @ weights
            error[i] += np.mean(residual**2) + NOISE**2 * np.sum(weights[:-n_sizes] ** 2)
    return _STRENGTHS[int(error.argmin())]


def _ridge(design: np.ndarray, target: np.ndarray, strength: float) -> np.ndarray:
    """Return the weights of the centred columns, (k + s,); the penalty is that of noise of sd `strength` in each."""
    d = design - design.mean(axis=0)
    penalty = len(d) * strength**2 * np.eye(d.shape[1])
    return np.linalg.solve(d.T @ d + penalty, d.T @ (target - target.mean()))


def _poisson(design: np.ndarray, depth: np.ndarray, strength: float) -> np.ndarray:
    """Return the weights of the columns, (k + s,), of a Poisson regression with a log link; the penalty is the same.

    Noise of sd `strength` in a column adds to the expected loss what the penalty does, since its second derivative is
    the expected depth.
    """
    d = np.column_stack([design - design.mean(axis=0), np.ones(len(design))])
    y, w = depth / depth.mean(), np.zeros(d.shape[1])
    penalty = len(d) * strength**2 * np.eye(len(w))
    penalty[-1, -1] = 0  # the intercept is free
    for _ in range(_STEPS):
        expected = np.exp(d @ w)
        step = np.linalg.solve((d * expected[:, None]).T @ d + penalty, d.T @ (y - expected) - penalty @ w)
        far = float(np.abs(d @ step).max())
        w += step * min(1.0, 1 / max(far, 1e-12))  # no log depth moves by more than 1 in a step
        if far < _TOLERANCE:
            break
    return w[:-1]
