"""What a model that reads a cell's own open bins must beat: frequency, neighbours, low rank; logistic regression."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property

import numpy as np
import scipy.sparse as sp
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import f1_score
from sklearn.neighbors import NearestNeighbors
from sklearn.utils.extmath import randomized_svd

from chromatell._settings import logger
from chromatell._validate import one_of
from chromatell.data.lsi import Lsi
from chromatell.metrics.ranking import average_precision
from chromatell.models._baseline_parts import blocks, without_self

COMPLETIONS: dict[str, str] = {
    "bin_frequency_depth": "share of training cells in which the bin is open x the cell's open bins",
    "lsi_knn": "mean over the training cells that are nearest in latent semantic indexing",
    "svd": "the cell, projected on the leading singular vectors of the training cells",
}
LABELLERS: dict[str, str] = {
    "lsi_logistic": "logistic regression on latent semantic indexing",
    "majority": "the most frequent label of the training cells",
}
EMBEDDERS: dict[str, str] = {"lsi": "latent semantic indexing of the training cells, without its first component"}

N_LSI = 50
NEIGHBOURS = (30, 100, 300, 600)
DIMENSIONS = (20, 50)  # of LSI, in which neighbours are near
RANKS = (3, 5, 8, 12, 20)
PENALTIES = (0.01, 0.1, 1.0)  # scikit-learn's C
_PRIOR = 0.05  # of the mean over all training cells, beside the neighbours
_MAX_REFERENCE = 50_000  # training cells among which neighbours are sought
_TUNE_CELLS, _TUNE_BINS = 1_000, 20_000


def closed_pairs(score: np.ndarray, seen: sp.csr_matrix, removed: sp.csr_matrix) -> tuple[np.ndarray, np.ndarray]:
    """Return whether each pair that was not seen is a removed bin, bool (pairs,), and its score, (pairs,).

    Parameters
    ----------
    score
        (cells, bins).
    seen, removed
        CSR (cells, bins): the open bins that were read, and those that were taken out.

    Examples
    --------
    >>> seen, removed = sp.csr_matrix([[1, 0, 0]]), sp.csr_matrix([[0, 0, 1]])
    >>> [x.tolist() for x in closed_pairs(np.array([[0.9, 0.2, 0.4]]), seen, removed)]
    [[False, True], [0.2, 0.4]]
    """
    closed = np.ones(score.shape, dtype=bool)
    closed[seen.nonzero()] = False
    truth = np.zeros(score.shape, dtype=bool)
    truth[removed.nonzero()] = True
    return truth[closed], score[closed]


def cut(z: np.ndarray, d: int) -> np.ndarray:
    """Return the first `d` components of cells, each cell of length 1 (zeros stay)."""
    z = z[:, :d]
    length = np.linalg.norm(z, axis=1, keepdims=True)
    return z / np.where(length > 0, length, 1)


class BinBaselines:
    """Simple predictors that read a cell's open bins, each fitted when it is first asked for.

    Parameters
    ----------
    train
        CSR (cells, bins) of the training cells, 1 where open.
    val
        The open bins of validation cells that are read, and those that were removed, CSR (cells, bins) each. Numbers of
        neighbours, components and rank are those with the highest average precision there; None takes 100, 20 and 5.
    seed
        Of the decompositions, and of the validation cells and bins that are used: at most 1,000 x 20,000.

    Notes
    -----
    `lsi_knn`: the open bins of a neighbour, divided by their number, are averaged, a twentieth of the mean over all
    training cells is added, and the sum is multiplied by the cell's own number. Neighbours are near in cosine, sought
    among at most 50,000 training cells. `svd`: with V the first singular vectors of the training cells (not centred),
    x V V' for the open bins x of a cell. What is predicted ranks pairs of cell and bin; it is no probability.

    Memory: the sparse training cells twice, 50 floats a cell and a bin, and what `predict` returns.

    References
    ----------
    Cusanovich et al., Cell 2018 (LSI).

    Examples
    --------
    >>> x = sp.csr_matrix(np.random.default_rng(0).random((60, 20)) < 0.3, dtype=np.float32)
    >>> BinBaselines(x[:50]).predict("svd", x[50:]).shape
    (10, 20)
    """

    def __init__(
        self, train: sp.csr_matrix, val: tuple[sp.csr_matrix, sp.csr_matrix] | None = None, *, seed: int = 0
    ) -> None:
        self.train, self._seed = train, seed
        self._tuning = None if val is None or not val[0].shape[0] else self._thinned(*val)
        self.chosen: dict[str, tuple[int, ...]] = {}

    def predict(
        self, kind: str, seen: sp.csr_matrix, cols: np.ndarray | None = None, *, own: np.ndarray | None = None
    ) -> np.ndarray:
        """Return scores, the higher the more likely open, float32 (cells, bins).

        Parameters
        ----------
        kind
            A key of `COMPLETIONS`.
        seen
            CSR (cells, bins): the open bins that are read, those of the training cells in their order.
        cols
            Places of the bins to predict; None for all.
        own
            Place of each cell among the training cells, -1 for others: none is its own neighbour. None: all are others.
        """
        one_of(kind, COMPLETIONS, "kind")
        size = self._sizes(kind)
        own = np.full(seen.shape[0], -1) if own is None else own
        n_cols = seen.shape[1] if cols is None else len(cols)
        out = np.empty((seen.shape[0], n_cols), dtype=np.float32)
        for rows in blocks(seen.shape[0]):
            out[rows] = self._block(kind, seen[rows], slice(None) if cols is None else cols, own[rows], size)
        return out

    def _block(
        self, kind: str, seen: sp.csr_matrix, cols: np.ndarray | slice, own: np.ndarray, size: tuple[int, ...]
    ) -> np.ndarray:
        depth = np.asarray(seen.sum(axis=1), dtype=np.float32)
        if kind == "bin_frequency_depth":
            return depth * self.frequency[cols]
        if kind == "svd":
            v = self._vectors[:, : size[0]]
            return np.asarray(seen @ v) @ v[cols].T
        k, d = size
        near = self._near(seen, d, k, own)
        pick = sp.csr_matrix(
            (
                np.full(near.size, 1 / near.shape[1], dtype=np.float32),
                near.ravel(),
                np.arange(len(near) + 1) * near.shape[1],
            ),
            shape=(len(near), self._shares.shape[0]),
        )
        return ((pick @ self._shares[:, cols]).toarray() + _PRIOR * self._mean_share[cols]) * depth

    # ---- fitted parts

    @cached_property
    def frequency(self) -> np.ndarray:
        """Share of training cells in which each bin is open, float32 (bins,)."""
        return np.asarray(self.train.mean(axis=0), dtype=np.float32).ravel()

    @cached_property
    def lsi(self) -> Lsi:
        """LSI of the training cells, at most 50 components."""
        return Lsi.fit(self.train, N_LSI, seed=self._seed)

    @cached_property
    def _vectors(self) -> np.ndarray:
        """Leading right singular vectors of the training cells, float32 (bins, 20)."""
        rank = max(1, min(RANKS[-1], min(self.train.shape) - 1))
        _, _, vt = randomized_svd(self.train, rank, n_iter=5, random_state=self._seed)
        return np.ascontiguousarray(vt.T, dtype=np.float32)

    @cached_property
    def _reference(self) -> np.ndarray:
        """Places of the training cells between which neighbours are sought."""
        n = self.train.shape[0]
        if n <= _MAX_REFERENCE:
            return np.arange(n)
        return np.sort(np.random.default_rng(self._seed).choice(n, _MAX_REFERENCE, replace=False))

    @cached_property
    def _space(self) -> np.ndarray:
        return self.lsi.transform(self.train[self._reference], unit_length=False)

    @cached_property
    def _shares(self) -> sp.csr_matrix:
        """Open bins of the training cells, each divided by the number of its cell."""
        x = self.train[self._reference]
        return sp.csr_matrix(sp.diags(1 / np.maximum(np.asarray(x.sum(axis=1)).ravel(), 1)) @ x, dtype=np.float32)

    @cached_property
    def _mean_share(self) -> np.ndarray:
        return np.asarray(self._shares.mean(axis=0), dtype=np.float32).ravel()

    def _near(self, seen: sp.csr_matrix, d: int, k: int, own: np.ndarray) -> np.ndarray:
        """Return the `k` nearest reference cells of each cell, nearest first, int (cells, k), never the cell itself."""
        among = cut(self._space, d)
        k = min(k, max(len(among) - 1, 1))
        index = NearestNeighbors(n_neighbors=min(k + 1, len(among)), algorithm="brute").fit(among)
        near = index.kneighbors(cut(self.lsi.transform(seen, unit_length=False), d), return_distance=False)
        return without_self(near, self._reference, own, k)

    # ---- sizes

    def _sizes(self, kind: str) -> tuple[int, ...]:
        """Return neighbours and components, or the rank; chosen on validation cells where there are any."""
        if kind == "bin_frequency_depth":
            return ()
        if kind not in self.chosen:
            options: list[tuple[int, ...]] = [(r,) for r in RANKS if r <= self._vectors.shape[1]] or [(1,)]
            usual = options[min(1, len(options) - 1)]
            if kind == "lsi_knn":
                few = max(len(self._reference) - 1, 1)
                options = [(k, d) for k in sorted({min(k, few) for k in NEIGHBOURS}) for d in DIMENSIONS]
                usual = (min(100, few), DIMENSIONS[0])
            self.chosen[kind] = usual if self._tuning is None else self._best(kind, options)
            logger.debug("Baseline %s: %s.", kind, self.chosen[kind])
        return self.chosen[kind]

    def _best(self, kind: str, options: list[tuple[int, ...]]) -> tuple[int, ...]:
        seen, removed, cols = self._tuning  # type: ignore[misc]
        own = np.full(seen.shape[0], -1)

        def worth(size: tuple[int, ...]) -> float:
            score = np.concatenate([self._block(kind, seen[r], cols, own[r], size) for r in blocks(seen.shape[0])])
            return float(average_precision(*closed_pairs(score, seen[:, cols], removed[:, cols])))

        found = [np.nan_to_num(worth(size), nan=-1.0) for size in options]
        return options[int(np.argmax(found))]

    def _thinned(self, seen: sp.csr_matrix, removed: sp.csr_matrix) -> tuple[sp.csr_matrix, sp.csr_matrix, np.ndarray]:
        cells, bins = (np.random.default_rng(s) for s in np.random.SeedSequence(self._seed).spawn(2))
        rows = np.sort(cells.permutation(seen.shape[0])[:_TUNE_CELLS])
        return seen[rows], removed[rows], np.sort(bins.permutation(seen.shape[1])[:_TUNE_BINS])


def fit_labels(
    kind: str,
    lsi: Lsi,
    train: tuple[sp.csr_matrix, np.ndarray],
    val: tuple[sp.csr_matrix, np.ndarray] | None = None,
) -> Callable[[sp.csr_matrix], np.ndarray]:
    """Return a function from open bins, CSR (cells, bins), to labels, str (cells,).

    Parameters
    ----------
    kind
        A key of `LABELLERS`.
    lsi
        Fitted on training cells.
    train, val
        Open bins, CSR (cells, bins), and labels, str (cells,). The penalty and whether rare labels are given the weight
        of common ones are those with the highest macro-F1 on the validation cells; without any, C = 0.1 and equal
        weights of cells.
    """
    one_of(kind, LABELLERS, "kind")
    x, y = train
    if kind == "majority":
        names, counts = np.unique(y, return_counts=True)
        return lambda opened: np.full(opened.shape[0], names[np.argmax(counts)])
    z = lsi.transform(x)
    mean, sd = z.mean(axis=0), z.std(axis=0)
    sd[sd == 0] = 1

    def features(opened: sp.csr_matrix) -> np.ndarray:
        return (lsi.transform(opened) - mean) / sd

    z = (z - mean) / sd
    options = [(c, weight) for c in PENALTIES for weight in (None, "balanced")]
    tuning = None if val is None or not len(val[1]) else features(val[0])
    if tuning is None:
        options = [(0.1, None)]
    best: tuple[float, LogisticRegression | None] = (-1.0, None)
    for c, weight in options:
        model = LogisticRegression(C=c, class_weight=weight, max_iter=2000).fit(z, y)
        worth = 0.0
        if tuning is not None and val is not None:
            worth = float(f1_score(val[1], model.predict(tuning), average="macro", zero_division=0))
        if worth > best[0]:
            best = worth, model
    chosen = best[1]
    assert chosen is not None  # there is an option, and no F1 is below 0
    return lambda opened: chosen.predict(features(opened))
