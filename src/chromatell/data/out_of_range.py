"""How far a cell lies from the training cells, in what a model reads of its expression."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import scipy.sparse as sp
from scipy.special import logsumexp

from chromatell._rows import read
from chromatell._validate import ChromatellError
from chromatell.data.depth import NOISE
from chromatell.data.standardise import Standardiser, block_rows
from chromatell.data.stored import stored

_CELLS = 5000  # training cells that are fitted, drawn at random
_ROWS = 512  # cells of a query that are looked at together, as many as are predicted together
_STATES = 10  # normal distributions at most, one for 50 cells
_FEW = 20  # validation cells: with fewer the training cells set the threshold
_COMPONENTS, _PER_COMPONENT = 30, 20  # at most, and training cells for each: more would fit those cells alone
_SHARE = 0.05  # this share of the validation cells lies above the threshold
_NOISE_CELLS = 1000  # drawn from the mean profile
_LEADING = 8  # components by which cells are told from such draws: the others hold more noise than cells
_NARROW = 1e-6  # log odds that spread less tell nothing
_DEVIANCE = 3  # its place among the features: log total, genes detected, what components leave, deviance, components


@dataclass(frozen=True)
class TrainingRange:
    """Two distributions, of the training cells and of noise, and a threshold from the validation cells.

    Both are over log total, number of detected genes, what the principal components of expression leave, the deviance
    of counts from the training cells' mean profile, and the components. The cells' is a mixture of normal
    distributions. Noise is Poisson draws from the mean profile with the totals of training cells: they lie in the
    middle of all cells and are none, so the odds of the two are looked at beside the distance.

    Attributes
    ----------
    means, factor, log_weights
        float64 (states, d), (d, d) and (states,): of the mixture; `factor` is the Cholesky factor of the precision.
    units
        float64 (4,): by what the distance is divided; median and threshold of the log odds; threshold of the larger.
    noise_mean, noise_factor
        float64 (d,) and (d, d): of the noise; None where values are no counts, which have no deviance either.
    curve
        float64 (6,), in older records instead of the noise: log deviance by log total, a parabola; the sd around it;
        the totals between which it was fitted.
    """

    means: np.ndarray
    factor: np.ndarray
    log_weights: np.ndarray
    units: np.ndarray
    noise_mean: np.ndarray | None = None
    noise_factor: np.ndarray | None = None
    curve: np.ndarray | None = None

    @classmethod
    def fit(cls, expression: Standardiser, train: Any, val: Any, seed: int) -> TrainingRange:
        """Fit on training cells, (cells, genes) as the model reads them; the threshold is set on validation cells."""
        from sklearn.mixture import GaussianMixture

        n = train.shape[0]
        rng = np.random.default_rng(seed)
        rows = np.sort(rng.permutation(n)[:_CELLS])
        assert expression.loadings is not None  # a new model's
        k = int(min(_COMPONENTS, expression.loadings.shape[1], max(1, n // _PER_COMPONENT)))
        features = _features(expression, train[rows], None, k)
        states = int(min(_STATES, max(1, len(rows) // 50)))
        mixture = GaussianMixture(states, covariance_type="tied", reg_covar=NOISE**2, max_iter=50, random_state=seed)
        mixture.fit(features)
        fitted = cls(
            mixture.means_, mixture.precisions_cholesky_, np.log(mixture.weights_), np.array([1.0, 0.0, 0.0, 1.0])
        )
        if expression.kind == "counts":
            noise = _features(expression, _draws(expression, train[rows], rng), None, k)
            factor = _factor(np.cov(noise, rowvar=False) + NOISE**2 * np.eye(noise.shape[1]))
            fitted = replace(fitted, noise_mean=noise.mean(axis=0), noise_factor=factor)
        if val.shape[0] > _CELLS:
            val = val[np.sort(np.random.default_rng([seed, 1]).permutation(val.shape[0])[:_CELLS])]
        parts = fitted._parts(expression, val if val.shape[0] >= _FEW else train[rows], None)
        far, odds = np.quantile(parts, 1 - _SHARE / 2, axis=0)
        likely = max(odds, 0.0)  # noise is more probable than a cell there: few validation cells may lie far below
        units = np.array([max(far, 1e-6), np.median(parts[:, 1]), likely, 1.0])
        units[3] = np.quantile(_larger(parts, units), 1 - _SHARE)
        return replace(fitted, units=units)

    @property
    def described(self) -> dict[str, Any]:
        """What a model's card says of it."""
        reads = "principal components of expression, log total, genes detected, what the components leave"
        odds = self.noise_mean is not None or self.curve is not None
        reads += "; deviance of counts from the mean profile" if odds else ""
        return {"reads": reads, "threshold": 1.0, "share_of_validation_cells_above": _SHARE, "states": len(self.means)}

    def distance(self, expression: Standardiser, x: Any, present: np.ndarray | None = None) -> np.ndarray:
        """Return each cell's distance, float32 (cells,); above 1 it is out of range, as 5% of validation cells are.

        Memory: one block of 512 cells, whatever their number.
        """
        distances = np.empty(x.shape[0], dtype=np.float32)
        for rows in (slice(i, i + _ROWS) for i in range(0, len(distances), _ROWS)):
            parts = self._parts(expression, read(x[rows]), present)
            distances[rows] = _larger(parts, self.units) / self.units[3]
        return distances

    def _parts(self, expression: Standardiser, x: Any, present: np.ndarray | None) -> np.ndarray:
        """Return the distance from the mixture, and the log odds that a cell is noise, (cells, 2)."""
        if self.curve is not None:
            return self._parts_by_curve(expression, x, present)
        deviance = self.noise_mean is not None
        features = _features(expression, x, present, self.means.shape[1] - _DEVIANCE - deviance)
        read = np.arange(self.means.shape[1])
        if features.shape[1] < len(read):  # a query without some genes has no deviance
            read = np.delete(read, _DEVIANCE)
        far = _far(features, self.means[:, read], self.log_weights, _marginal(self.factor, read))
        odds = np.zeros(len(features))
        if self.noise_mean is not None and self.noise_factor is not None:
            first = read[read <= _DEVIANCE + _LEADING]
            some = features[:, : len(first)]
            odds = _log_density(some, self.noise_mean[None, first], np.zeros(1), _marginal(self.noise_factor, first))
            odds -= _log_density(some, self.means[:, first], self.log_weights, _marginal(self.factor, first))
        return np.column_stack([far, odds])

    def _parts_by_curve(self, expression: Standardiser, x: Any, present: np.ndarray | None) -> np.ndarray:
        """Return the distance as an older record has it, and by how much a cell is too like the mean profile."""
        assert self.curve is not None
        features = _features(expression, x, present, self.means.shape[1] - _DEVIANCE)
        plain = np.zeros(len(features))
        if features.shape[1] > self.means.shape[1]:
            log, features = features[:, _DEVIANCE], np.delete(features, _DEVIANCE, axis=1)
            total = np.clip(features[:, 0], self.curve[4], self.curve[5])
            plain = (np.polyval(self.curve[:3], total) - log) / self.curve[3]
        return np.column_stack([_far(features, self.means, self.log_weights, self.factor), plain])

    def arrays(self) -> dict[str, np.ndarray]:
        """Return it as plain arrays, for a record; one that was read from an older record keeps that record's form."""
        arrays = {f"scaling.range_{name}": getattr(self, name) for name in (*_SHAPES, *_OF_NOISE, "curve")}
        if self.curve is not None:
            order = np.r_[_DEVIANCE : self.means.shape[1], :_DEVIANCE]
            arrays["scaling.range_means"], arrays["scaling.range_factor"] = self.means[:, order], self.factor[order]
            arrays["scaling.range_units"] = self.units[[0, 2, 3]]
        return {name: value for name, value in arrays.items() if value is not None}

    @classmethod
    def from_arrays(cls, most: int, arrays: Mapping[str, np.ndarray], *, counts: bool) -> TrainingRange:
        """Return it from a record, which is checked; it reads at most `most` components of a cell."""
        states, d = arrays["scaling.range_means"].shape
        sizes = {"k": states, "d": d}
        older, of_noise = ("scaling.range_curve" in arrays, "scaling.range_noise_mean" in arrays)
        if counts and not (older or of_noise):
            raise ChromatellError(
                "The stored range of counts lacks 'scaling.range_noise_mean'. Ask for the file again."
            )
        shapes = dict(_SHAPES) | (_OF_NOISE if of_noise else {})
        if older:
            shapes |= {"units": (3,), "curve": (6,)}
        if not 1 <= d - _DEVIANCE - of_noise <= most:
            raise ChromatellError(
                f"The stored range reads {d - _DEVIANCE - of_noise} components of a cell, of {most}. Ask for the file "
                "again."
            )
        parts = {
            name: stored(arrays, f"scaling.range_{name}", tuple(sizes.get(s, s) for s in shape))
            for name, shape in shapes.items()
        }
        for name in ("factor", *(("noise_factor",) if of_noise else ())):
            if np.tril(parts[name], -1).any() or not (np.diag(parts[name]) > 0).all():
                raise ChromatellError(f"The stored scaling.range_{name} is no Cholesky factor. Ask for the file again.")
        if older:  # components came first there
            order = np.r_[d - _DEVIANCE : d, : d - _DEVIANCE]
            parts["means"], parts["factor"] = parts["means"][:, order], parts["factor"][order]
            far, plain, threshold = parts["units"]
            parts["units"] = np.array([far, 0.0, plain, threshold])
        return cls(**parts)


_SHAPES: dict[str, tuple[Any, ...]] = {"means": ("k", "d"), "factor": ("d", "d"), "log_weights": ("k",), "units": (4,)}
_OF_NOISE: dict[str, tuple[Any, ...]] = {"noise_mean": ("d",), "noise_factor": ("d", "d")}


def _larger(parts: np.ndarray, units: np.ndarray) -> np.ndarray:
    """Return the larger of both parts, each 1 at its own threshold; noise has none where cells do not differ."""
    far, width = parts[:, 0] / units[0], units[2] - units[1]
    return far if width <= _NARROW else np.maximum(far, 1 + (parts[:, 1] - units[2]) / width)


def _far(features: np.ndarray, means: np.ndarray, log_weights: np.ndarray, factor: np.ndarray) -> np.ndarray:
    """Return the distance from a mixture in its own sd, (cells,)."""
    return np.sqrt(np.maximum(-2 * _log_density(features, means, log_weights, factor, constant=False), 0))


def _log_density(
    features: np.ndarray, means: np.ndarray, log_weights: np.ndarray, factor: np.ndarray, *, constant: bool = True
) -> np.ndarray:
    """Return the log density of a mixture of normal distributions that share a covariance, (cells,).

    `constant` adds the log determinant; what is left out of it is the same for all of them.
    """
    square = [np.square((features - mean) @ factor).sum(axis=1) for mean in means]
    log_density = logsumexp(log_weights - np.stack(square, axis=1) / 2, axis=1)
    return log_density + np.log(np.diag(factor)).sum() if constant else log_density


def _factor(covariance: np.ndarray) -> np.ndarray:
    """Return the Cholesky factor of the precision, upper triangular as scikit-learn has it."""
    return np.triu(np.linalg.inv(np.linalg.cholesky(covariance)).T)


def _marginal(factor: np.ndarray, of: np.ndarray) -> np.ndarray:
    """Return the factor of the distribution of some features alone."""
    if len(of) == len(factor):
        return factor
    root = np.linalg.inv(factor)
    return _factor((root.T @ root)[np.ix_(of, of)])


def _draws(expression: Standardiser, cells: Any, rng: np.random.Generator) -> sp.csr_matrix:
    """Return Poisson draws from the mean profile with the totals of some cells, CSR float32 (1,000, genes)."""
    total = np.asarray(read(cells).sum(axis=1), dtype=np.float64).ravel()
    share = expression.share.astype(np.float64)
    size = block_rows(len(share))
    blocks = np.split(rng.choice(total, _NOISE_CELLS), range(size, _NOISE_CELLS, size))
    draws = [sp.csr_matrix(rng.poisson(t[:, None] * share).astype(np.float32)) for t in blocks]
    return sp.csr_matrix(sp.vstack(draws))


def _features(expression: Standardiser, x: Any, present: np.ndarray | None, k: int) -> np.ndarray:
    """Return log total, genes detected, what components leave, log deviance (of counts, all genes), k components."""
    assert expression.loadings is not None  # schema 2
    loadings = expression.loadings[:, :k]
    components = loadings / np.maximum(np.linalg.norm(loadings, axis=0), 1e-6)
    whole = present is None or bool(present.all())
    counts = expression.kind == "counts" and whole  # fewer genes have less deviance
    share = expression.share.astype(np.float64) + 1e-8
    features = []
    for rows, z, library in expression.blocks(x, present):
        block = read(x[rows])
        scores = z @ components
        if whole:
            left = np.square(z).mean(axis=1) - np.square(scores).sum(axis=1) / z.shape[1]
        else:  # an estimated gene leaves nothing
            left = np.square((z - scores @ components.T)[:, present]).mean(axis=1)
        rest = np.log(np.maximum(left, 0) + NOISE**2)
        deviance = [np.log(_deviance(block, share / share.sum()))] if counts else []
        features.append(np.column_stack([library, expression.detected(block, present), rest, *deviance, scores]))
    return np.concatenate(features).astype(np.float64)


def _deviance(block: Any, share: np.ndarray) -> np.ndarray:
    """Return twice the log likelihood ratio of each cell's own profile to the mean one, given its total, (cells,)."""
    if sp.issparse(block):  # a gene without counts has no term
        rows = sp.csr_matrix(block, dtype=np.float64)
        total = np.asarray(rows.sum(axis=1)).ravel()
        expected = np.repeat(total, np.diff(rows.indptr)) * share[rows.indices]
        kept = rows.data > 0
        part = np.zeros_like(rows.data)
        part[kept] = rows.data[kept] * np.log(rows.data[kept] / expected[kept])
        sums = sp.csr_matrix((part, rows.indices, rows.indptr), shape=rows.shape).sum(axis=1)
        return np.maximum(2 * np.asarray(sums).ravel(), 1e-3)
    x = np.asarray(block, dtype=np.float64)
    expected = x.sum(axis=1, keepdims=True) * share
    with np.errstate(divide="ignore", invalid="ignore"):
        terms = np.where(x > 0, x * np.log(x / expected), 0.0)
    return np.maximum(2 * terms.sum(axis=1), 1e-3)
