"""What a baseline is: fit, tune, predict; the register of all of them; one tuner; one search for neighbours."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import numpy as np
import scipy.sparse as sp
from sklearn.neighbors import NearestNeighbors

from chromatell._settings import logger

MAX_REFERENCE = 50_000  # training cells among which neighbours are sought

Option = Any  # one choice of what is tuned: a number, or a tuple of them


class Baseline(ABC):
    """A simple predictor that every model must beat.

    A baseline is made with the data, and is fitted when it is first asked for a prediction. `fit` sees training rows
    alone; `tune` chooses among `options` on validation rows.

    Attributes
    ----------
    name, about
        Its name, and what it knows in a line.
    of
        What it predicts: 'cells' (x regions), 'completion' (of a cell's open bins) or 'labels'.
    is_oracle
        It reads the target assay of what it predicts: shown, but never the best baseline.
    reads_region_atac
        It knows a region by its ATAC, so it says nothing of one that was held out.
    """

    name: ClassVar[str]
    about: ClassVar[str]
    of: ClassVar[str] = "cells"
    is_oracle: ClassVar[bool] = False
    reads_region_atac: ClassVar[bool] = True
    tuned: ClassVar[tuple[str, ...]] = ()  # names of what an option holds, as the provenance gives them

    def __init__(self, data: Any) -> None:
        self.data = data
        self.chosen: Option | None = None

    @classmethod
    def possible(cls, data: Any) -> bool:
        """Return whether the data hold what it needs."""
        return True

    @abstractmethod
    def fit(self) -> None:
        """Fit on the training rows."""

    def options(self) -> Sequence[Option]:
        """Return what may be chosen; the first, the usual one, is taken without validation rows. None is no choice."""
        return ()

    @abstractmethod
    def predict(self, rows: Any, cols: Any, option: Option | None) -> np.ndarray:
        """Return predictions of some rows and columns under one option."""

    def ready(self) -> Option | None:
        """Fit and tune where that has not been done; return what was chosen."""
        if not hasattr(self, "_ready"):
            self.fit()
            options = self.options()
            if options:
                self.chosen = tune(self.name, options, self.data.loss(self))
            self._ready = True
        return self.chosen


BASELINES: dict[str, type[Baseline]] = {}


def register(baseline: type[Baseline]) -> type[Baseline]:
    """Put a baseline on the list, in the order in which it is shown."""
    BASELINES[baseline.name] = baseline
    return baseline


def named(of: str) -> dict[str, str]:
    """Return name and description of the baselines of a kind."""
    return {name: b.about for name, b in BASELINES.items() if b.of == of}


def tune(name: str, options: Sequence[Option], loss: Callable[[Option], float] | None) -> Option:
    """Return the option with the smallest loss on validation data, the first of several; without them, the first.

    Parameters
    ----------
    options
        The usual one first; the others in any order.
    loss
        Of an option, NaN where it cannot be computed; None where there are no validation data.
    """
    if loss is None or len(options) < 2:
        return options[0]
    found = np.array([loss(option) for option in options])
    best = options[int(np.argmin(np.nan_to_num(found, nan=np.inf)))]
    logger.debug("Baseline %s: %s, chosen on validation data.", name, best)
    return best


def usual_first(options: Sequence[Any], usual: Any) -> list[Any]:
    """Return options with the usual one first, where it is among them."""
    return [*(o for o in options if o == usual), *(o for o in options if o != usual)]


def nearest(space: np.ndarray, queries: np.ndarray, k: int, own: np.ndarray) -> np.ndarray:
    """Return the `k` nearest rows of `space` to each query, nearest first, int (queries, <= k), never the query itself.

    Parameters
    ----------
    space, queries
        (n, d) and (m, d); near in Euclidean distance.
    own
        Place of each query in `space`, -1 for one that is not in it.
    """
    k = min(k, len(space))
    index = NearestNeighbors(n_neighbors=min(k + 1, len(space)), algorithm="brute").fit(space)
    near = index.kneighbors(queries, return_distance=False)
    return without_self(near, own, k)


def without_self(near: np.ndarray, own: np.ndarray, k: int) -> np.ndarray:
    """Return the first `k` neighbours of each row that are not the row itself."""
    same = near == own[:, None]
    order = np.argsort(same, axis=1, kind="stable")  # itself to the end
    return np.take_along_axis(near, order, axis=1)[:, : min(k, max(near.shape[1] - int(same.any()), 1))]


def neighbour_weights(near: np.ndarray, n: int) -> sp.csr_matrix:
    """Return CSR (queries, n), 1 for each neighbour."""
    starts = np.arange(0, near.size + 1, near.shape[1])
    return sp.csr_matrix((np.ones(near.size, dtype=np.float32), near.ravel(), starts), shape=(len(near), n))


def reference_rows(n: int, seed: int) -> np.ndarray:
    """Return the training rows among which neighbours are sought: all, or 50,000 drawn at random."""
    if n <= MAX_REFERENCE:
        return np.arange(n)
    return np.sort(np.random.default_rng(seed).choice(n, MAX_REFERENCE, replace=False))
