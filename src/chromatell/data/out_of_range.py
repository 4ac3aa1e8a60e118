"""How far a cell lies from the training cells, in what a model reads of its expression."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse as sp
from scipy.special import logsumexp

from chromatell._rows import read
from chromatell._validate import ChromatellError
from chromatell.data.depth import NOISE
from chromatell.data.standardise import Standardiser
from chromatell.data.stored import stored

_CELLS = 5000  # training cells that are fitted, drawn at random
_STATES = 10  # normal distributions at most, one for 50 cells
_FEW = 20  # validation cells: with fewer the training cells set the threshold
_COMPONENTS, _PER_COMPONENT = 30, 20  # at most, and training cells for each: more would fit those cells alone
_SHARE = 0.05  # of the validation cells lies above the threshold


@dataclass(frozen=True)
class TrainingRange:
    """A mixture of normal distributions over the training cells, and a threshold from the validation cells.

    It is over principal components of the expression, log total, number of detected genes, and what the components
    leave. Counts are also compared with the training cells' mean profile: a draw from that profile, of which all genes
    are at their mean, lies in the middle of all cells and is still none; its deviance is smaller than theirs.

    Attributes
    ----------
    means, factor, log_weights
        float64 (states, d), (d, d) and (states,): of the mixture; `factor` is the Cholesky factor of the precision.
    curve
        float64 (6,): log deviance by log total, a parabola; the sd around it; the totals between which it was fitted.
    units
        float64 (3,): by what both distances are divided, and the threshold of the larger of the two.
    """

    means: np.ndarray
    factor: np.ndarray
    log_weights: np.ndarray
    curve: np.ndarray
    units: np.ndarray

    @classmethod
    def fit(cls, expression: Standardiser, train: Any, val: Any, seed: int) -> TrainingRange:
        """Fit on training cells, (cells, genes) as the model reads them; the threshold is set on validation cells."""
        from sklearn.mixture import GaussianMixture

        n = train.shape[0]
        rows = np.sort(np.random.default_rng(seed).permutation(n)[:_CELLS])
        assert expression.loadings is not None  # a new model's
        k = int(min(_COMPONENTS, expression.loadings.shape[1], max(1, n // _PER_COMPONENT)))
        features, deviance = _read(expression, train[rows], None, k)
        states = int(min(_STATES, max(1, len(rows) // 50)))
        mixture = GaussianMixture(states, covariance_type="tied", reg_covar=NOISE**2, max_iter=50, random_state=seed)
        mixture.fit(features)
        curve = np.array([0.0, 0.0, 0.0, 1.0, 0.0, 0.0])
        if deviance is not None and len(rows) > 2 * _FEW:
            log, total = np.log(deviance), features[:, -3]
            weights = np.polyfit(total, log, 2)
            sd = float((log - np.polyval(weights, total)).std()) or 1.0
            curve = np.array([*weights, sd, total.min(), total.max()])
        found = cls(
            mixture.means_, mixture.precisions_cholesky_, np.log(mixture.weights_), curve, np.array([1.0, 0.0, 1.0])
        )
        if val.shape[0] > _CELLS:
            val = val[np.sort(np.random.default_rng([seed, 1]).permutation(val.shape[0])[:_CELLS])]
        of_val = found._parts(expression, val if val.shape[0] >= _FEW else train[rows], None)
        far, plain = np.quantile(of_val, 1 - _SHARE / 2, axis=0)
        units = np.array([max(far, 1e-6), plain if curve[3] != 1.0 and plain > 0.1 else 0.0, 1.0])
        units[2] = np.quantile(_larger(of_val, units), 1 - _SHARE)
        return cls(found.means, found.factor, found.log_weights, curve, units)

    @property
    def described(self) -> dict[str, Any]:
        """What a model's card says of it."""
        reads = "principal components of expression, log total, genes detected, what the components leave"
        reads += "; deviance of counts from the mean profile" if self.units[1] else ""
        return {"reads": reads, "threshold": 1.0, "share_of_validation_cells_above": _SHARE, "states": len(self.means)}

    def distance(self, expression: Standardiser, x: Any, present: np.ndarray | None = None) -> np.ndarray:
        """Return each cell's distance, float32 (cells,); above 1 it is out of range, as 5% of validation cells are."""
        return (_larger(self._parts(expression, x, present), self.units) / self.units[2]).astype(np.float32)

    def _parts(self, expression: Standardiser, x: Any, present: np.ndarray | None) -> np.ndarray:
        """Return the distance from the mixture, and by how much the cell is too like the mean profile, (cells, 2)."""
        features, deviance = _read(expression, x, present, self.means.shape[1] - 3)
        square = [np.square((features - mean) @ self.factor).sum(axis=1) for mean in self.means]
        log = logsumexp(self.log_weights - np.stack(square, axis=1) / 2, axis=1)
        plain = np.zeros(len(features))
        if deviance is not None:
            total = np.clip(features[:, -3], self.curve[4], self.curve[5])
            plain = (np.polyval(self.curve[:3], total) - np.log(deviance)) / self.curve[3]
        return np.column_stack([np.sqrt(np.maximum(-2 * log, 0)), plain])

    def arrays(self) -> dict[str, np.ndarray]:
        """Return it as plain arrays, for a record."""
        return {f"scaling.range_{name}": getattr(self, name) for name in _SHAPES}

    @classmethod
    def from_arrays(cls, most: int, arrays: Mapping[str, np.ndarray]) -> TrainingRange:
        """Return it from a record; shapes and values are checked. It reads at most `most` numbers of a cell."""
        states, d = arrays["scaling.range_means"].shape
        if not 4 <= d <= most:
            raise ChromatellError(f"The stored range reads {d} numbers of a cell, of {most}. Ask for the file again.")
        sizes = {"k": states, "d": d}
        parts = {
            name: stored(arrays, f"scaling.range_{name}", tuple(sizes.get(s, s) for s in shape))
            for name, shape in _SHAPES.items()
        }
        return cls(**parts)


_SHAPES: dict[str, tuple[Any, ...]] = {
    "means": ("k", "d"),
    "factor": ("d", "d"),
    "log_weights": ("k",),
    "curve": (6,),
    "units": (3,),
}


def _larger(parts: np.ndarray, units: np.ndarray) -> np.ndarray:
    far = parts[:, 0] / units[0]
    return far if units[1] == 0 else np.maximum(far, parts[:, 1] / units[1])


def _read(expression: Standardiser, x: Any, present: np.ndarray | None, k: int) -> tuple[np.ndarray, np.ndarray | None]:
    """Return (features, deviance), float64 (cells, k + 3) and (cells,); no deviance where values are no counts."""
    assert expression.loadings is not None  # schema 2
    loadings = expression.loadings[:, :k]
    components = loadings / np.maximum(np.linalg.norm(loadings, axis=0), 1e-6)
    whole = present is None or bool(present.all())
    counts = expression.kind == "counts" and whole  # fewer genes have less deviance
    share = expression.share.astype(np.float64) + 1e-8
    features, deviances = [], []
    for rows, z, library in expression.blocks(x, present):
        block = read(x[rows])
        scores = z @ components
        if whole:
            left = np.square(z).mean(axis=1) - np.square(scores).sum(axis=1) / z.shape[1]
        else:  # an estimated gene leaves nothing
            left = np.square((z - scores @ components.T)[:, present]).mean(axis=1)
        rest = np.log(np.maximum(left, 0) + NOISE**2)
        features.append(np.column_stack([scores, library, expression.detected(block, present), rest]))
        if counts:
            deviances.append(_deviance(block, share / share.sum()))
    return np.concatenate(features).astype(np.float64), np.concatenate(deviances) if counts else None


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
