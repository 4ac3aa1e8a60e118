"""The network's share below which cells of one depth would be told apart worse than by the network alone."""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.sparse as sp

from chromatell.metrics import average_precision, depth_matched_auroc

MOST_OPEN = 1_000  # regions that are looked at
STEPS = 8  # from the share that the loss chose to the network alone
ERRORS = 2.0  # standard errors over cells within which a loss is none: raising the share costs other scores a little
TOLERANCE = 0.001  # of AUROC; a loss that is smaller is none


class Watched:
    """What each member says of the validation cells in the most open regions, with their truth and depth.

    The loss of the weights is over all pairs of cells and regions, of which the level of each cell, and so how open its
    regions are, has the most part. A network that tells cells of one depth apart better than regressions do gives much
    of that up in their weighted mean.

    Parameters
    ----------
    mean
        float32 (regions,), share of the training cells in which each is open.
    truth
        CSR (cells, regions), 1 where open.
    depth
        (cells,), true.
    n_members
        The last is the network.
    """

    def __init__(self, mean: np.ndarray, truth: sp.csr_matrix, depth: np.ndarray, n_members: int) -> None:
        some = np.sort(np.argsort(-mean, kind="stable")[:MOST_OPEN])
        self._place = np.full(mean.size, -1)
        self._place[some] = np.arange(some.size)
        self._truth, self._depth = truth[:, some].tocsc(), depth
        self._said = np.zeros((n_members, truth.shape[0], some.size), dtype=np.float32)

    def add(self, rows: Any, regions: Any, members: list[np.ndarray]) -> None:
        """Keep a block of predictions, float32 (cells, regions) each."""
        place = self._place[regions]
        here = np.flatnonzero(place >= 0)
        for own, block in zip(self._said, members, strict=True):
            own[rows, place[here]] = block[:, here]

    def raised(self, weights: np.ndarray) -> np.ndarray:
        """Return weights in which the network has the least share with which the mean loses nothing to it.

        That is in depth-matched AUROC, but for `ERRORS` standard errors over cells, or `TOLERANCE`. No share is taken
        with which the average precision were below that of another member.
        """
        network = np.eye(len(weights))[-1]
        if not 0 <= weights[-1] < 1:
            return weights
        least = max(self._precision(w) for w in np.eye(len(weights))[:-1])
        alone, raised = self._matched(network), weights
        for share in np.linspace(0, 1, STEPS + 1):
            tried = weights + share * (network - weights)
            if share and self._precision(tried) < least:
                break
            raised, own = tried, self._matched(tried)
            error = float(np.sqrt(np.square(alone.influence - own.influence).sum()))
            if not alone.mean - own.mean > max(ERRORS * error, TOLERANCE):
                break
        return raised

    def _mean(self, weights: np.ndarray) -> np.ndarray:
        return np.einsum("m,mcr->cr", weights.astype(np.float32), self._said)

    def _precision(self, weights: np.ndarray) -> float:
        return float(average_precision(self._truth, self._mean(weights)))

    def _matched(self, weights: np.ndarray) -> Any:
        return depth_matched_auroc(self._truth, self._mean(weights), self._depth)
