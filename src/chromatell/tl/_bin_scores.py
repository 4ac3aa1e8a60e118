"""Scores of models that read a cell's open bins: removed bins, labels, neighbours in an embedding."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
from sklearn.neighbors import NearestNeighbors

from chromatell._keys import PREVALENCE
from chromatell.metrics import ranking, views
from chromatell.metrics.bootstrap import Histograms, linear_change, mean_change
from chromatell.metrics.delong import region_auroc
from chromatell.models._bin_baselines import closed_pairs
from chromatell.tl._evaluation_scores import Scores

VIEWS = ("overall", "per_cell", "depth_matched")
NEIGHBOURS = 15


@dataclass(frozen=True)
class Removed:
    """Cells of which some open bins were taken out.

    Attributes
    ----------
    seen, removed
        CSR (cells, bins): what is left, and what was removed.
    depth
        float64 (cells,), true depth.
    top
        Bins in the depth-matched view: those open in most of the cells.
    weights
        float32 (replicates, cells): how often each cell is drawn; no replicate where no interval is wanted.
    """

    seen: sp.csr_matrix
    removed: sp.csr_matrix
    depth: np.ndarray
    top: int
    weights: np.ndarray

    @property
    def prevalence(self) -> float:
        """Share of removed bins among those that were not seen."""
        n, m = self.seen.shape
        return self.removed.nnz / max(n * m - self.seen.nnz, 1)

    def score(self, predicted: np.ndarray, names: tuple[str, ...]) -> Scores:
        """Score one prediction, float32 (cells, bins), in the views named, over the pairs that were not seen."""
        result = Scores()
        if "overall" in names:
            self._overall(result, predicted)
        if "per_cell" in names:
            self._per_cell(result, predicted)
        if "depth_matched" in names:
            self._depth_matched(result, predicted)
        return result

    def _overall(self, result: Scores, predicted: np.ndarray) -> None:
        truth, score = closed_pairs(predicted, self.seen, self.removed)
        for metric, value in zip(("auroc", "ap"), ranking.auroc_and_ap(truth, score), strict=True):
            result.points["overall", metric] = (float(value), truth.size)
        result.curves["pr"] = ranking.pr_curve(truth, score)
        if len(self.weights):
            binned = Histograms.fit(self.removed, predicted, self.weights, left_out=self.seen)
            result.changes["overall", "auroc"], result.changes["overall", "ap"], _ = binned.ranking_change()

    def _per_cell(self, result: Scores, predicted: np.ndarray) -> None:
        n, m = predicted.shape
        found = np.full((n, 2), np.nan)
        for i in range(n):
            kept = np.ones(m, dtype=bool)
            kept[self.seen.indices[self.seen.indptr[i] : self.seen.indptr[i + 1]]] = False
            truth = np.zeros(m, dtype=bool)
            truth[self.removed.indices[self.removed.indptr[i] : self.removed.indptr[i + 1]]] = True
            found[i] = ranking.auroc_and_ap(truth[kept], predicted[i, kept])
        result.curves["per_cell"] = found[:, 0].astype(np.float32)
        for metric, values in zip(("auroc", "ap"), found.T, strict=True):
            held = np.isfinite(values)
            result.points["per_cell", metric] = (float(values[held].mean()) if held.any() else np.nan, int(held.sum()))
            if len(self.weights):
                result.changes["per_cell", metric] = mean_change(values, self.weights)

    def _depth_matched(self, result: Scores, predicted: np.ndarray) -> None:
        bins = views.most_open(self.seen + self.removed, self.top)
        strata = views.depth_strata(self.depth)
        seen, removed = (sp.csc_matrix(x)[:, bins] for x in (self.seen, self.removed))
        found = region_auroc(removed, predicted[:, bins], strata, left_out=seen, influence=len(self.weights) > 0)
        result.points["depth_matched", "auroc"] = (found.mean, found.n)
        if found.influence is not None and found.n:
            result.changes["depth_matched", "auroc"] = linear_change(found.influence, self.weights)


def curves(scores: dict[str, Scores], removed: Removed) -> dict[str, object]:
    """Return what plots need."""
    return {**{name: dict(s.curves) for name, s in scores.items()}, PREVALENCE: removed.prevalence}


def label_scores(result: Scores, view: str, truth: np.ndarray, guess: np.ndarray, weights: np.ndarray) -> None:
    """Add macro-F1 and accuracy of labels, both str (cells,).

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
        result.points[view, metric] = (float(values[0]), len(truth))
        if len(weights):
            result.changes[view, metric] = values[1:] - values[0]


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


def embedding_scores(result: Scores, view: str, z: np.ndarray, codes: np.ndarray, weights: np.ndarray) -> None:
    """Add the mean over cells of :func:`neighbour_shares`."""
    shares = neighbour_shares(z, codes)
    result.points[view, "knn_label"] = (float(shares.mean()), len(shares))
    if len(weights):
        result.changes[view, "knn_label"] = mean_change(shares, weights)
