"""What a model that reads a cell's own open bins must beat: frequency, neighbours, low rank; logistic regression."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any

import numpy as np
import scipy.sparse as sp
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import f1_score
from sklearn.utils.extmath import randomized_svd

from chromatell.data.lsi import Lsi
from chromatell.metrics.ranking import average_precision, closed_pairs
from chromatell.models.baselines.neighbours import nearest, neighbour_sum
from chromatell.models.baselines.parts import blocks
from chromatell.models.baselines.protocol import (
    DIMENSIONS,
    EVERY,
    NEIGHBOURS,
    RANKS,
    Axis,
    Baseline,
    Data,
    Listed,
    Losses,
    Option,
    reference_rows,
    register,
    tune,
)

EMBEDDERS: dict[str, str] = {"lsi": "latent semantic indexing of the training cells, without its first component"}

N_LSI = 50
STRENGTHS = (1e-3, 0.01, 0.1, 1.0, 10.0)  # scikit-learn's C, one over the penalty
_PRIOR = 0.05  # weight of the mean over all training cells beside the neighbours
_TUNE_CELLS, _TUNE_BINS = 1_000, 20_000


def truncated(z: np.ndarray, d: int) -> np.ndarray:
    """Return the first `d` components of cells, each cell of length 1 (zeros stay)."""
    z = z[:, :d]
    length = np.linalg.norm(z, axis=1, keepdims=True)
    return z / np.where(length > 0, length, 1)


class BinBaseline(Baseline):
    """A baseline of removed bins. `predict` takes (seen bins, CSR; place of each cell among the training cells)."""

    of = "completion"
    data: BinBaselines


@register
class BinFrequencyDepth(BinBaseline):
    """Share of training cells in which the bin is open x the cell's open bins."""

    name = "bin_frequency_depth"
    about = "share of training cells in which the bin is open x the cell's open bins"

    def predict(self, rows: Any, cols: Any, option: Option) -> np.ndarray:
        """Return the product."""
        return _depth(rows[0]) * self.data.frequency[cols]


@register
class LsiKnn(BinBaseline):
    """The mean over the training cells that are nearest in LSI."""

    name, tuned = "lsi_knn", ("k", "dimensions")
    about = "mean over the training cells that are nearest in latent semantic indexing"

    def fit(self) -> None:
        """Embed the training cells between which neighbours are sought, and take shares of their open bins."""
        data = self.data
        self._reference = reference_rows(data.train.shape[0], data.seed)
        x = data.train[self._reference]
        self._space = data.lsi.transform(x, unit_length=False)
        share = sp.diags(1 / np.maximum(np.asarray(x.sum(axis=1)).ravel(), 1)) @ x
        self._shares = sp.csr_matrix(share, dtype=np.float32)
        self._mean = np.asarray(self._shares.mean(axis=0), dtype=np.float32).ravel()

    def axes(self) -> Sequence[Axis]:
        """Neighbours, and components of LSI in which they are near."""
        few = max(len(self._reference) - 1, 1)
        return Axis.up_to(NEIGHBOURS, few, 100), Axis.up_to(DIMENSIONS, self._space.shape[1], 20)

    def predict(self, rows: Any, cols: Any, option: Any) -> np.ndarray:
        """Return the mean share of the neighbours and a twentieth of that of all, times the cell's open bins."""
        (seen, own), (k, d) = rows, option
        place = np.full(self.data.train.shape[0] + 1, -1)  # the last is that of cells which are not among them
        place[self._reference] = np.arange(self._reference.size)
        query = truncated(self.data.lsi.transform(seen, unit_length=False), d)
        near = nearest(truncated(self._space, d), query, min(k, max(len(self._space) - 1, 1)), place[own])
        share = neighbour_sum(near, self._shares if cols is EVERY else self._shares[:, cols], mean=True)
        return (share + _PRIOR * self._mean[cols]) * _depth(seen)


@register
class Svd(BinBaseline):
    """The cell, projected on the leading singular vectors of the training cells."""

    name, tuned = "svd", ("rank",)
    about = "the cell, projected on the leading singular vectors of the training cells"

    def fit(self) -> None:
        """Find the singular vectors, float32 (bins, 50)."""
        rank = max(1, min(RANKS[-1], min(self.data.train.shape) - 1))
        _, _, vt = randomized_svd(self.data.train, rank, n_iter=5, random_state=self.data.seed)
        self._vectors = np.ascontiguousarray(vt.T, dtype=np.float32)

    def axes(self) -> Sequence[Axis]:
        """Ranks."""
        return (Axis.up_to(RANKS, self._vectors.shape[1], 5),)

    def predict(self, rows: Any, cols: Any, option: Any) -> np.ndarray:
        """Return the projection."""
        v = self._vectors[:, : option[0]]
        return np.asarray(rows[0] @ v) @ v[cols].T


def _depth(seen: sp.csr_matrix) -> np.ndarray:
    return np.asarray(seen.sum(axis=1), dtype=np.float32)


COMPLETIONS = Listed("completion")


class BinBaselines(Data):
    """Simple predictors that read a cell's open bins, each fitted when it is first asked for.

    Parameters
    ----------
    train
        CSR (cells, bins) of the training cells, 1 where open.
    val
        The open bins of validation cells that are read, and those that were removed, CSR (cells, bins) each. Numbers of
        neighbours, components and rank are those with the highest average precision there; None takes 100, 20 and 5.
    seed
        Seed of the decompositions, and of the validation cells and bins that are used: at most 1,000 x 20,000.

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

    of = "completion"

    def __init__(
        self, train: sp.csr_matrix, val: tuple[sp.csr_matrix, sp.csr_matrix] | None = None, *, seed: int = 0
    ) -> None:
        super().__init__()
        self.train, self.seed = train, seed
        self._tuning = None if val is None or not val[0].shape[0] else self._thinned(*val)

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
        baseline = self.baseline(kind)
        option = baseline.ready()
        own = np.full(seen.shape[0], -1) if own is None else own
        n_cols = seen.shape[1] if cols is None else len(cols)
        out = np.empty((seen.shape[0], n_cols), dtype=np.float32)
        for rows in blocks(seen.shape[0]):
            out[rows] = baseline.predict((seen[rows], own[rows]), EVERY if cols is None else cols, option)
        return out

    def losses(self, baseline: Baseline) -> Losses | None:
        """Return minus the average precision of an option for the bins removed from validation cells."""
        if self._tuning is None:
            return None
        seen, removed, cols = self._tuning
        own = np.full(seen.shape[0], -1)

        def losses(option: Option) -> dict[str, float]:
            parts = [baseline.predict((seen[r], own[r]), cols, option) for r in blocks(seen.shape[0])]
            return {
                "ap": -float(average_precision(*closed_pairs(np.concatenate(parts), seen[:, cols], removed[:, cols])))
            }

        return losses

    @cached_property
    def frequency(self) -> np.ndarray:
        """Share of training cells in which each bin is open, float32 (bins,)."""
        return np.asarray(self.train.mean(axis=0), dtype=np.float32).ravel()

    @cached_property
    def lsi(self) -> Lsi:
        """LSI of the training cells, at most 50 components."""
        return Lsi.fit(self.train, N_LSI, seed=self.seed)

    def _thinned(self, seen: sp.csr_matrix, removed: sp.csr_matrix) -> tuple[sp.csr_matrix, sp.csr_matrix, np.ndarray]:
        cells, bins = (np.random.default_rng(s) for s in np.random.SeedSequence(self.seed).spawn(2))
        rows = np.sort(cells.permutation(seen.shape[0])[:_TUNE_CELLS])
        return seen[rows], removed[rows], np.sort(bins.permutation(seen.shape[1])[:_TUNE_BINS])


class LabelBaselines(Data):
    """Simple predictors of labels from open bins, each fitted when it is first asked for.

    Parameters
    ----------
    lsi
        Fitted on training cells.
    train, val
        Open bins, CSR (cells, bins), and labels, str (cells,). What is tuned has the highest macro-F1 on the validation
        cells; without any, C = 0.1 and equal weights of cells.
    """

    of = "labels"

    def __init__(
        self,
        lsi: Lsi,
        train: tuple[sp.csr_matrix, np.ndarray],
        val: tuple[sp.csr_matrix, np.ndarray] | None = None,
    ) -> None:
        super().__init__()
        self.lsi, self.train = lsi, train
        self.val = None if val is None or not len(val[1]) else val

    def predict(self, kind: str, binarized: sp.csr_matrix) -> np.ndarray:
        """Return the labels, str (cells,), that a baseline, a key of `LABELLERS`, gives to open bins."""
        baseline = self.baseline(kind)
        return baseline.predict(binarized, EVERY, baseline.ready())

    def losses(self, baseline: Baseline) -> Losses | None:
        """Return minus the macro-F1 of an option on the validation cells."""
        if self.val is None:
            return None
        x, y = self.val
        return lambda o: {
            "macro_f1": -float(f1_score(y, baseline.predict(x, EVERY, o), average="macro", zero_division=0))
        }


@register
class LsiLogistic(Baseline):
    """Logistic regression on LSI; the penalty, and whether rare labels weigh as much as common ones, are tuned."""

    name, about, of = "lsi_logistic", "logistic regression on latent semantic indexing", "labels"
    tuned = ("c", "weights")
    data: LabelBaselines

    def fit(self) -> None:
        """Standardise the components of the training cells; a regression is fitted for each option that is asked."""
        z = self.data.lsi.transform(self.data.train[0])
        self._mean, self._sd = z.mean(axis=0), z.std(axis=0)
        self._sd[self._sd == 0] = 1
        self._z = (z - self._mean) / self._sd
        self._fits: dict[Option, LogisticRegression] = {}
        self._last: tuple[Any, np.ndarray | None] = (None, None)

    def axes(self) -> Sequence[Axis]:
        """Scikit-learn's C, and the weights of labels."""
        return Axis(STRENGTHS, 0.1), Axis((None, "balanced"), None, (True, True))

    def predict(self, rows: sp.csr_matrix, cols: Any, option: Any) -> np.ndarray:
        """Return labels, str (cells,), of open bins, CSR."""
        if option not in self._fits:
            c, weight = option
            model = LogisticRegression(C=c, class_weight=weight, max_iter=2000)
            self._fits[option] = model.fit(self._z, self.data.train[1])
        if self._last[0] is not rows:  # the components of the validation cells are computed once, not once an option
            self._last = rows, (self.data.lsi.transform(rows) - self._mean) / self._sd
        return self._fits[option].predict(self._last[1])


@register
class Majority(Baseline):
    """The most frequent label of the training cells."""

    name, about, of = "majority", "the most frequent label of the training cells", "labels"
    data: LabelBaselines

    def fit(self) -> None:
        """Count the labels."""
        names, counts = np.unique(self.data.train[1], return_counts=True)
        self._most = names[np.argmax(counts)]

    def predict(self, rows: sp.csr_matrix, cols: Any, option: Any) -> np.ndarray:
        """Return that label for every cell."""
        return np.full(rows.shape[0], self._most)


LABELLERS = Listed("labels")


def lsi_dimensions(loss: Callable[[int], float] | None) -> int:
    """Return the number of components of the baseline `lsi`, an embedding, by its loss on validation cells."""
    losses = None if loss is None else lambda option: {"knn_label": loss(option[0])}
    chosen = tune("lsi", {"components": Axis((5, 10, 20, 30, 50), 30, (False, True))}, losses)
    return int(next(iter(chosen.values()))[0])
