"""What baselines of cells x regions share: training rows, expression, predicted depth, a sample to tune on."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse as sp
from mudata import MuData

from chromatell._keys import LINKS, RNA, TRAIN, UNS, VAL
from chromatell._row_sources import HeldRows
from chromatell._rows import BLOCK, DiskMatrix, columns, matrix
from chromatell._settings import logger
from chromatell._validate import ChromatellError, examples, paired, region_split_of, split_of
from chromatell.data.accessibility import open_matrix, selected, true_depth
from chromatell.data.depth import DepthModel
from chromatell.data.expression import Embedding, Expression
from chromatell.data.inputs import Inputs, beside_expression
from chromatell.genome.motifs import Motifs, read_motifs
from chromatell.metrics import views
from chromatell.metrics._comparing import MatchedPairs
from chromatell.metrics._sorted_scores import binned_ap
from chromatell.metrics.delong import region_auroc
from chromatell.metrics.ranking import auroc, flat_positives
from chromatell.models.baselines.neighbours import NeighbourMeans, Recent
from chromatell.models.baselines.parts import EPS, blocks, labels_of
from chromatell.models.baselines.protocol import EVERY, Baseline, Data, Losses, Option, reference_rows

PANEL = 100  # up to this many genes ridge may use all of them
_COMPONENTS = 50
_TUNE_CELLS, _TUNE_REGIONS = 1_000, 2_000  # of validation, drawn at random, on which options are chosen
_FIT_CELLS, _FIT_REGIONS = 1_000, 5_000  # of training, on which a map is fitted
_RANKED_CELLS, _RANKED_REGIONS = 300, 500  # at most so many of them where each is sorted
_MOST_PAIRS = 8_000_000  # at most so many pairs of cells of one depth are listed: 100 MB
PURPOSES = (
    "calibration",
    "overall",
    "per_cell",
    "per_region",
    "depth_matched",
    "profile",
)  # the first is the usual one
_LIKE = {"within_type": "depth_matched", "within_type_depth_matched": "depth_matched"}


def purpose(view: str | None) -> str | None:
    """Return by which loss a baseline is tuned for a view; None is the usual one, the Brier score."""
    return _LIKE.get(view or "", view)


class CellData(Data):
    """Cells, the regions to predict, and what several baselines need; each part is made when it is first asked for.

    Parameters as for :class:`~chromatell.models.baselines.cells.BaselineFitter`.
    """

    of = "cells"

    def __init__(
        self,
        mdata: MuData,
        regions: pd.Index,
        *,
        labels_key: str | None = None,
        depth_key: str | None = None,
        seed: int = 0,
        motifs: Motifs | None = None,
        inputs: Sequence[str] = (RNA,),
        views: Sequence[str] | None = None,
    ) -> None:
        super().__init__()
        asked = PURPOSES if views is None else [purpose(v) for v in views]
        self.purposes = tuple(p for p in PURPOSES if p in asked or p == PURPOSES[0])
        self.motifs = None if motifs is None else read_motifs(motifs)
        self.rna, self.atac = paired(mdata)
        split = split_of(mdata)
        self.regions, self.seed, self.depth_key = pd.Index(regions), seed, depth_key
        self.places = self.atac.var_names.get_indexer(self.regions)  # places of all regions to predict
        if (self.places < 0).any():
            missing = self.regions[self.places < 0]
            raise ChromatellError(
                f"{len(missing)} of {len(self.regions)} regions (such as {examples(missing)}) are not in "
                "mdata.mod['atac']. Predict regions of this object: regions=mdata.mod['atac'].var_names."
            )
        region_split = region_split_of(self.atac)
        self.n_train_regions = int((region_split == TRAIN).sum())
        self.seen = np.flatnonzero(region_split[self.places] == TRAIN)  # among `regions`
        self.cols = self.places[self.seen]  # the regions whose ATAC is read
        self.labels = None if labels_key is None else labels_of(mdata, labels_key).to_numpy(dtype=object)
        self.links = mdata.uns.get(UNS, {}).get(LINKS)
        self.train, self.val = (np.flatnonzero(split == part) for part in (TRAIN, VAL))
        self._mdata, self._beside = mdata, beside_expression(mdata, inputs)
        if not self.val.size:
            logger.info("No validation cell: baselines take k = 50, 20 components, rank = 12, penalty = 100.")

    # ---- accessibility of the training cells

    @cached_property
    def binarized(self) -> sp.csr_matrix:
        """Open regions of the training cells, CSR (train, training regions)."""
        return open_matrix(self.atac, self.train, self.cols)

    @cached_property
    def mean(self) -> np.ndarray:
        """Share of training cells, float32 (training regions,), kept half a cell away from 0 and 1."""
        return self.share_open(self.binarized)

    def share_open(self, truth: sp.csr_matrix) -> np.ndarray:
        """Return the share of the training cells in which each region of `truth` is open."""
        n = self.train.size
        mean = np.asarray(truth.sum(axis=0), dtype=np.float64).ravel() / n
        return np.clip(mean, 0.5 / (n + 1), 1 - 0.5 / (n + 1)).astype(np.float32)

    @cached_property
    def reference(self) -> np.ndarray:
        """Positions among the training cells between which neighbours are sought."""
        return reference_rows(self.train.size, self.seed)

    @cached_property
    def reference_open(self) -> sp.csr_matrix:
        """Open regions of the cells between which neighbours are sought, of short whole numbers to be summed."""
        held = self.binarized if self.reference.size == self.train.size else self.binarized[self.reference]
        return sp.csr_matrix((held.data.astype(np.uint16), held.indices, held.indptr), held.shape)

    @cached_property
    def means(self) -> NeighbourMeans:
        """Means over nearest training cells; one, so that what it keeps is bounded for all baselines together."""
        return NeighbourMeans(self.train[self.reference])

    @cached_property
    def true_ratio(self) -> np.ndarray:
        """True depth over its mean in the training cells, (cells,)."""
        depth = true_depth(self.atac, self.depth_key)
        return depth / max(float(depth[self.train].mean()), EPS)

    # ---- expression

    @cached_property
    def expression(self) -> tuple[np.ndarray, np.ndarray]:
        """Principal components of every cell's expression, float32 (cells, k), and its sizes, (cells, s)."""
        keep = selected(self.rna)
        x = columns(matrix(self.rna), np.flatnonzero(keep))
        if not isinstance(x, DiskMatrix) and x.shape[0] > BLOCK:
            x = DiskMatrix(HeldRows(x))  # rows are read block by block, without a copy of them all
        expression = Expression.fit(x[self.train], self.rna.var_names[keep])
        n = _COMPONENTS if keep.sum() > PANEL else int(keep.sum())  # a panel keeps all that its genes hold
        embedding = Embedding.fit(expression, x[self.train], n, seed=self.seed)
        scores = np.empty((x.shape[0], embedding.components.shape[1]), dtype=np.float32)
        sizes = []
        for rows, z, library in expression.blocks(x):
            scores[rows] = embedding.transform(z)
            sizes.append(expression.sizes(library, x[rows]))
        return scores, np.concatenate(sizes)

    def __getstate__(self) -> dict[str, Any]:
        """Return what is sent to a worker: without the MuData, which cannot be; what is read of it goes along."""
        self.beside  # noqa: B018  it is kept
        read = {name: a.to_memory() for name, a in (("rna", self.rna), ("atac", self.atac)) if a.isbacked}
        return {**vars(self), "_mdata": None, **read}

    @cached_property
    def beside(self) -> tuple[np.ndarray, dict[str, int]]:
        """What other inputs hold of every cell, of the same scale, float32 (cells, m), and the columns of each."""
        fitted = Inputs.fit(self._mdata, self._beside, self.train, self.seed)
        return fitted.transform(self._mdata, np.arange(self.rna.n_obs)) / fitted.units, fitted.widths

    @cached_property
    def design(self) -> np.ndarray:
        """Components of expression, of one scale, other inputs, and log library size, float64 (cells, k + m + 1)."""
        scores, sizes = self.expression
        # one scale: the penalty shrinks minor components more
        scale = max(float(scores[self.train].std(axis=0).max()), EPS)
        return np.column_stack([scores / scale, self.beside[0], sizes[:, :1]]).astype(np.float64)

    @cached_property
    def predicted_ratio(self) -> np.ndarray:
        """Depth predicted from expression over its mean in the training cells, (cells,)."""
        scores, sizes = self.expression
        depth = true_depth(self.atac, self.depth_key)[self.train]
        model = DepthModel.fit(scores[self.train], sizes[self.train], depth)
        predicted = model.depth_of(model.predict(scores, sizes))
        return predicted / max(float(predicted[self.train].mean()), EPS)

    # ---- tuning

    @cached_property
    def tuning(self) -> Tuning:
        """A sample of validation cells and regions."""
        cells, regions = (np.random.default_rng(s) for s in np.random.SeedSequence(self.seed).spawn(2))
        rows = np.sort(cells.permutation(self.val)[:_TUNE_CELLS])
        cols = np.sort(regions.permutation(self.cols.size)[:_TUNE_REGIONS])
        labels = None if self.labels is None else self.labels[rows]
        depth = true_depth(self.atac, self.depth_key)[rows]
        return Tuning(rows, cols, open_matrix(self.atac, rows, self.cols[cols]), depth, labels)

    def losses(self, baseline: Baseline) -> Losses | None:
        """Return the losses of an option on validation cells, by view; None without any."""
        if not self.val.size:
            return None
        sample = self.tuning
        predictions: Recent[np.ndarray] = Recent()
        cols = EVERY if sample.cols.size == self.cols.size else sample.cols

        def predicted(option: Option) -> np.ndarray:
            values = np.empty((sample.rows.size, sample.cols.size), dtype=np.float32)
            for block in blocks(sample.rows.size):  # those of `predict`, so that neighbours that are kept serve it too
                values[block] = baseline.predict(sample.rows[block], cols, option)
            return values

        def losses(option: Option) -> Mapping[str, float]:
            return _Asked(sample, lambda: predictions.get(option, lambda: predicted(option)), self.purposes)

        return losses

    def sample(self, regions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return positions of training cells and of some of these regions, of bounded number, to fit a map on."""
        cells, cols = (np.random.default_rng(s) for s in np.random.SeedSequence(self.seed + 1).spawn(2))
        rows = np.sort(cells.permutation(self.train.size)[:_FIT_CELLS])
        return rows, np.sort(cols.permutation(regions)[:_FIT_REGIONS])


class Tuning:
    """Validation cells and regions, of bounded number, on which baselines are tuned.

    Losses are named after the views that they stand for, the Brier score ('calibration') first; of 'overall' it is the
    average precision (scores within 0.02% of each other count as ties), of 'profile' Pearson's correlation of the
    deviation from the mean over labels.

    Parameters
    ----------
    rows, cols
        Positions of cells, and of training regions.
    truth
        CSR (cells, regions), 1 where open.
    depth, labels
        Depth and labels of the cells; labels may be None.
    """

    def __init__(
        self, rows: np.ndarray, cols: np.ndarray, truth: sp.csr_matrix, depth: np.ndarray, labels: np.ndarray | None
    ) -> None:
        self.rows, self.cols = rows, cols
        self._positives, self._dense = flat_positives(truth), truth.toarray()
        self._open = views.most_open(truth, _RANKED_REGIONS)
        self._by_region, self._first_cells = truth[:, self._open].tocsc(), truth[:_RANKED_CELLS]
        self._strata = views.depth_strata(depth)
        self._matched = MatchedPairs.fit(self._by_region, self._strata, _MOST_PAIRS)
        self._code, self._n_types = np.full(rows.size, -1), 0
        if labels is not None:
            self._code, self._n_types = views.frequent_codes(labels)
        self._bulk = self._pseudobulk(truth)

    def _pseudobulk(self, x: Any) -> np.ndarray:
        return views.pseudobulk(x, self._code, np.ones((1, self.rows.size), dtype=np.float32), self._n_types)

    def _depth_matched(self, ranked: np.ndarray) -> float:
        if self._matched is not None:
            return self._matched.auroc(ranked)
        return region_auroc(self._by_region, ranked, self._strata, by_size=True, influence=False).mean

    def loss(self, purpose: str, p: np.ndarray) -> float:
        """Return one loss of a prediction, float32 (cells, regions); NaN where it cannot be computed."""
        if purpose == "calibration":
            return float(np.mean((p - self._dense) ** 2))
        if purpose == "overall":
            return -binned_ap(self._positives, p)
        if purpose == "per_cell":
            return -_mean(auroc(self._first_cells, p[:_RANKED_CELLS], axis=1))
        if purpose == "profile":
            if self._n_types < 2:
                return float("nan")
            return -float(views.profile_correlation(self._bulk, self._pseudobulk(p), ranks=False)[0, 2])
        ranked = p if self._open.size == p.shape[1] else np.ascontiguousarray(p[:, self._open])
        if purpose == "depth_matched":
            return -self._depth_matched(ranked)
        return -_mean(auroc(self._by_region, ranked, axis=0))


class _Asked(Mapping[str, float]):
    """The losses of one option, each computed when it is asked for."""

    def __init__(self, sample: Tuning, predicted: Callable[[], np.ndarray], purposes: Sequence[str]) -> None:
        self._sample, self._predicted, self._purposes = sample, predicted, purposes

    def __getitem__(self, purpose: str) -> float:
        return self._sample.loss(purpose, self._predicted())

    def __iter__(self) -> Iterator[str]:
        return iter(self._purposes)

    def __len__(self) -> int:
        return len(self._purposes)


def _mean(values: np.ndarray) -> float:
    held = values[np.isfinite(values)]
    return float(held.mean()) if held.size else float("nan")
