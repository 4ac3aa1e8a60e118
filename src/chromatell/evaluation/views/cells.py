"""Views of whole cells, for models that read their open bins: labels, and neighbours in an embedding."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
from sklearn.neighbors import NearestNeighbors

from chromatell.evaluation.predictors import Prediction, Predictor
from chromatell.evaluation.views.registry import Score, Truth, view
from chromatell.metrics.bootstrap import mean_change

NEIGHBOURS = 15


@dataclass(frozen=True)
class LabelColumn:
    """One column of labels: the places of the cells that have one, str (cells,), and how often each is drawn."""

    rows: np.ndarray
    truth: np.ndarray
    weights: np.ndarray


@dataclass(frozen=True)
class Labels(Truth):
    """Labels of whole cells, by column; a predictor is asked for each, and gives None for one that it does not know."""

    columns: Mapping[str, LabelColumn]
    of = "labels"

    def read(self, predictor: Predictor) -> Prediction:
        """Return the label that is given to each cell, by column."""
        said = {key: predictor.predict(key, column.rows) for key, column in self.columns.items()}
        return Prediction(predictor.name, {key: guess for key, guess in said.items() if guess is not None})


@dataclass(frozen=True)
class Neighbours(Truth):
    """Cells whose neighbours in an embedding are compared by their labels.

    Attributes
    ----------
    rows, codes
        Places of the cells, and their labels as whole numbers.
    weights
        How often each is drawn.
    views
        In which views each model stands: the column, or that it was trained with it; baselines stand in all of them.
    """

    rows: np.ndarray
    codes: np.ndarray
    weights: np.ndarray
    views: Mapping[str, str]
    every: tuple[str, ...]
    of = "embedding"

    def read(self, predictor: Predictor) -> Prediction:
        """Return the embedding of the cells, (cells, d)."""
        return Prediction(predictor.name, np.asarray(predictor.predict(self.rows)))


@view("labels", of="labels")
def labels(truth: Labels, prediction: Prediction) -> Iterator[Score]:
    """Macro-F1 and accuracy of the labels of whole cells; the view is named after the column."""
    for key, guess in prediction.values.items():
        column = truth.columns[key]
        yield from label_scores(key, column.truth, guess, column.weights)


@view("embedding", of="embedding")
def embedding(truth: Neighbours, prediction: Prediction) -> Iterator[Score]:
    """Mean over cells of :func:`neighbour_shares`; the view is named after the column."""
    shares = neighbour_shares(prediction.values, truth.codes)
    change = mean_change(shares, truth.weights) if len(truth.weights) else None
    known = truth.views.get(prediction.name)
    for name in truth.every if known is None else (known,):
        yield Score(name, "knn_label", float(shares.mean()), len(shares), change)


def label_scores(name: str, truth: np.ndarray, guess: np.ndarray, weights: np.ndarray) -> Iterator[Score]:
    """Score labels, both str (cells,).

    Macro-F1 is the mean over the labels that a cell has or was given, as in scikit-learn; so it is in each replicate.
    """
    names, code = np.unique(np.concatenate([truth, guess]).astype(str), return_inverse=True)
    true, said = code[: len(truth)], code[len(truth) :]
    every = np.concatenate([np.ones((1, len(truth)), dtype=np.float64), weights])
    count = [_summed(every, true, len(names)), _summed(every, said, len(names))]
    right = _summed(every * (true == said), true, len(names))
    both = count[0] + count[1]
    f1 = np.divide(2 * right, both, out=np.zeros_like(both), where=both > 0)
    macro = f1.sum(axis=1) / np.maximum((both > 0).sum(axis=1), 1)
    accuracy = right.sum(axis=1) / np.maximum(every.sum(axis=1), 1)
    for metric, values in (("macro_f1", macro), ("accuracy", accuracy)):
        yield Score(name, metric, float(values[0]), len(truth), values[1:] - values[0] if len(weights) else None)


def _summed(weights: np.ndarray, code: np.ndarray, n: int) -> np.ndarray:
    """Return the weights of the cells of each label, float64 (replicates, n)."""
    member = sp.csr_matrix((np.ones(len(code)), (np.arange(len(code)), code)), shape=(len(code), n))
    return np.asarray(weights @ member)


def neighbour_shares(z: np.ndarray, codes: np.ndarray) -> np.ndarray:
    """Return for each cell the share of its 15 nearest others that have its label, float64 (cells,).

    Parameters
    ----------
    z
        (cells, d); near in Euclidean distance.
    codes
        int (cells,): label of each cell.
    """
    k = min(NEIGHBOURS, len(z) - 1)
    near = NearestNeighbors(n_neighbors=k).fit(z).kneighbors(return_distance=False)  # never the cell itself
    return (codes[near] == codes[:, None]).mean(axis=1)
