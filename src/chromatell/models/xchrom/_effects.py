"""What sequence does not say of a region that was seen: a term of its own, fitted when the towers stand still."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp

from chromatell._progress import progress
from chromatell.data.cells import row_blocks

PENALTIES = (3.0, 10.0, 30.0, 100.0, 300.0, 1000.0)
_STEPS = 4  # of Newton's method; the last changes logits by under 1e-3
MAX_CELLS = 20_000  # in the fit of the terms
_REGIONS = 256
_TUNE_REGIONS = 500


@dataclass(frozen=True)
class Effects:
    """Maximum a posteriori terms of regions, around what their sequence says.

    For each region ``logit = (w + e) . v`` over cells, with a Gaussian prior of precision `penalty` on `e`: a logistic
    regression with 34 coefficients, solved by Newton's method for a block of regions at once. Since the towers are not
    touched, regions without a term are predicted exactly as before.

    Attributes
    ----------
    cells
        float32 (cells, k): vectors of the training cells, at most 20,000 of them.
    """

    cells: np.ndarray
    centre: np.ndarray
    scale: float

    @classmethod
    def prepare(cls, cells: np.ndarray, n_embed: int) -> Effects:
        """Centre the embedding part of the cells' vectors and find their scale."""
        centre = np.zeros(cells.shape[1], dtype=np.float32)
        centre[:n_embed] = cells[:, :n_embed].mean(axis=0)
        scale = float(np.sqrt(np.square(cells[:, :n_embed] - centre[:n_embed]).mean())) or 1.0
        return cls(cells, centre, scale)

    def fit(self, vectors: np.ndarray, binarized: sp.csr_matrix, penalty: float) -> np.ndarray:
        """Return the terms, float32 (regions, k), given what sequence says, (regions, k), and CSR (regions, cells)."""
        x = (self.cells - self.centre).astype(np.float32)
        k = x.shape[1]
        upper = np.triu_indices(k)
        pairs = x[:, upper[0]] * x[:, upper[1]]  # (cells, k (k + 1) / 2)
        prior = np.full(k, penalty * self.scale**2, dtype=np.float32)
        prior[-2] = 1.0  # the bias is nearly free
        prior[-1] = penalty
        out = np.zeros_like(vectors)
        with progress("Fitting regions", len(vectors), "regions") as advance:
            for rows in row_blocks(len(vectors), _REGIONS):
                y = binarized[rows].toarray()
                base = vectors[rows] @ self.cells.T
                e = np.zeros((y.shape[0], k), dtype=np.float32)
                for _ in range(_STEPS):
                    p = 1 / (1 + np.exp(-np.clip(base + e @ x.T, -30, 30)))
                    gradient = (y - p) @ x - prior * e
                    hessian = np.empty((len(y), k, k), dtype=np.float32)
                    hessian[:, upper[0], upper[1]] = hessian[:, upper[1], upper[0]] = (p * (1 - p)) @ pairs
                    hessian[:, np.arange(k), np.arange(k)] += prior
                    step = np.linalg.solve(hessian, gradient[..., None])[..., 0]
                    size = np.abs(step @ x[:: max(1, len(x) // 200)].T).max(axis=1, keepdims=True)
                    e += step * np.minimum(1, 2 / np.maximum(size, 1e-6))  # no logit moves by more than 2 in a step
                out[rows] = e
                advance(len(y))
        out[:, -2] -= out @ self.centre  # e . (v - centre) = e . v - e . centre
        return out


def choose_penalty(
    effects: Effects, vectors: np.ndarray, binarized: sp.csr_matrix, new_cells: np.ndarray, binarized_new: sp.csr_matrix
) -> float:
    """Return the penalty with the lowest cross entropy on validation cells, over at most 500 regions."""
    spread = np.unique(np.linspace(0, len(vectors) - 1, min(len(vectors), _TUNE_REGIONS)).astype(int))
    truth = binarized_new[spread].toarray()

    def entropy(penalty: float) -> float:
        logits = (vectors[spread] + effects.fit(vectors[spread], binarized[spread], penalty)) @ new_cells.T
        return float(np.mean(np.logaddexp(0, logits) - truth * logits))

    return min(PENALTIES, key=entropy)
