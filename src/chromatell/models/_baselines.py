"""Simple predictors of accessibility that every model must beat, fitted on training cells only."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property

import numpy as np
import pandas as pd
import scipy.sparse as sp
from mudata import MuData

from chromatell._keys import DNA, LINKS, TRAIN, UNS, VAL
from chromatell._rows import compact, matrix
from chromatell._settings import logger
from chromatell._validate import ChromatellError, examples, one_of, paired, region_split_of, split_of
from chromatell.data.accessibility import open_matrix, selected, true_depth
from chromatell.data.depth import DepthModel
from chromatell.data.expression import Embedding, Expression
from chromatell.models._baseline_kinds import BASELINES, REFERENCES, SEQUENCE_BASELINES, UNSEEN, uses_target_assay
from chromatell.models._baseline_parts import (
    EPS,
    LinkedExpression,
    OtherChromosomes,
    Ridge,
    RidgePath,
    blocks,
    labels_of,
    neighbour_mean,
)
from chromatell.models._sequence_baselines import MIN_REGIONS, SequencePredictor, cell_factors

__all__ = ["BASELINES", "REFERENCES", "SEQUENCE_BASELINES", "BaselineFitter", "labels_of", "uses_target_assay"]

NEIGHBOURS = (15, 50, 150, 500)
RANKS = (5, 15, 50)
ALPHAS = (1.0, 10.0, 100.0, 1_000.0, 10_000.0)
LABEL_PRIOR = 5.0  # training cells' worth of region mean in a label's mean: a rare label has few cells
_MAX_REFERENCE = 50_000  # training cells among which neighbours are sought
_TUNE_CELLS, _TUNE_REGIONS = 1_000, 5_000


class BaselineFitter:
    """Fit and apply simple baselines, each when it is first asked for.

    Parameters
    ----------
    mdata
        Paired cells with ``obs['ctl_split']``; where regions are split, with ``mdata.mod['atac'].var['ctl_split']``.
    regions
        Names of the regions to predict, from ``mdata.mod['atac'].var_names``.
    labels_key
        A column with cell types; None leaves `celltype_mean` out.
    depth_key
        A column of ``mdata.mod['atac'].obs`` with each cell's fragments; None looks for `n_fragments`, `atac_fragments`
        and `nCount_ATAC`, then sums the counts over all regions.
    seed
        Of the randomised decompositions and of the validation cells that are used for tuning.

    Notes
    -----
    Everything is fitted on the training cells; `k`, rank and penalty are chosen by the Brier score on at most 1,000
    validation cells x 5,000 regions. The neighbour and label means hold a few cells' worth of the region mean (1 and
    5), so that no probability is 0 and a rare label is not noise. `region_mean_depth` scales the Poisson rate of a
    count above zero, which keeps probabilities under 1. `gene_activity` weighs genes by ``exp(-distance / 5 kb) +
    exp(-1)`` (Granja et al., Nature Genetics 2021); `knn_atac` uses TF-IDF and truncated SVD without the first
    component (Cusanovich et al., Cell 2018). The three that read sequence are described at
    :class:`~chromatell.models._sequence_baselines.SequenceRates`.

    The ATAC of a held-out region (`ctl_split` 'val' or 'test') is read by `region_mean_true_depth` alone, which is a
    reference. The other baselines that know a region by its ATAC give each held-out region the mean over the training
    regions asked for beside it, and are refused where there is none.

    Memory: the sparse open matrix of the training cells (twice for `knn_atac`), 51 floats a cell, 50 floats a region
    (`svd_ridge`), labels x regions (`celltype_mean`), and what `predict` returns; work runs over 512 cells at a time.
    Neighbours are sought among at most 50,000 training cells.

    Examples
    --------
    >>> import numpy as np, pandas as pd, anndata as ad, mudata as md
    >>> rng = np.random.default_rng(0)
    >>> rna = ad.AnnData(rng.poisson(2.0, (60, 8)).astype("float32"))
    >>> atac = ad.AnnData(rng.poisson(0.3, (60, 12)).astype("float32"))
    >>> mdata = md.MuData({"rna": rna, "atac": atac})
    >>> mdata.obs["ctl_split"] = ["train"] * 40 + ["val"] * 10 + ["test"] * 10
    >>> fitter = BaselineFitter(mdata, atac.var_names)
    >>> fitter.predict("knn", np.arange(50, 60)).shape
    (10, 12)
    """

    def __init__(
        self,
        mdata: MuData,
        regions: pd.Index,
        *,
        labels_key: str | None = None,
        depth_key: str | None = None,
        seed: int = 0,
    ) -> None:
        self._rna, self._atac = paired(mdata)
        split = split_of(mdata)
        self.regions = pd.Index(regions)
        self._every = self._atac.var_names.get_indexer(self.regions)
        if (self._every < 0).any():
            missing = self.regions[self._every < 0]
            raise ChromatellError(
                f"{len(missing)} of {len(self.regions)} regions (such as {examples(missing)}) are not in "
                "mdata.mod['atac']. Predict regions of this object: regions=mdata.mod['atac'].var_names."
            )
        region_split = region_split_of(self._atac)
        self._n_train_regions = int((region_split == TRAIN).sum())
        self._seen = np.flatnonzero(region_split[self._every] == TRAIN)  # among `regions`
        self._cols = self._every[self._seen]  # the regions whose ATAC is read
        self._labels = None if labels_key is None else labels_of(mdata, labels_key).to_numpy(dtype=object)
        self._depth_key = depth_key
        self._seed = seed
        self._links = mdata.uns.get(UNS, {}).get(LINKS)
        self.train = np.flatnonzero(split == TRAIN)
        self.val = np.flatnonzero(split == VAL)
        if not self.val.size:
            logger.info("No validation cell: baselines take k = 50, rank = 15 and a penalty of 100.")

    # ---- what the user calls

    def available(self, *, held_out: bool = False) -> list[str]:
        """Return the kinds that can be predicted with what the data holds, in display order.

        With ``held_out=True`` those that say something of a region whose ATAC was never read.
        """
        absent = set() if self._seen.size and not held_out else set(BASELINES) - set(UNSEEN)
        if self._labels is None:
            absent.add("celltype_mean")
        if self._links is None:
            absent.add("gene_activity")
        if not self._other_chromosomes.possible:
            absent.add("knn_atac")
        if DNA not in self._atac.varm or self._n_train_regions < MIN_REGIONS:
            absent |= set(SEQUENCE_BASELINES)
        return [kind for kind in BASELINES if kind not in absent]

    def predict(self, kind: str, rows: np.ndarray, cols: np.ndarray | None = None) -> np.ndarray:
        """Return the probability that each region is open, float32 (len(rows), len(regions)), in [0, 1].

        Parameters
        ----------
        kind
            A key of `BASELINES`.
        rows
            Positions of the cells in `mdata`, int or bool. A training cell is never its own neighbour.
        cols
            Positions among `regions`; None predicts all of them.

        Raises
        ------
        ChromatellError
            `kind` is not known, or the data lacks what it needs.
        """
        one_of(kind, BASELINES, "kind")
        if not self._seen.size and kind not in UNSEEN:
            raise ChromatellError(
                f"The baseline {kind!r} knows a region by its ATAC in the training cells, and all {len(self.regions)} "
                f"regions asked for are held out. Use one that reads sequence: {', '.join(SEQUENCE_BASELINES)}."
            )
        rows = np.asarray(rows)
        rows = np.flatnonzero(rows) if rows.dtype == bool else rows.astype(np.int64)
        cols = np.arange(len(self.regions)) if cols is None else np.asarray(cols)
        out = np.empty((rows.size, cols.size), dtype=np.float32)
        for block in blocks(rows.size):
            if kind in SEQUENCE_BASELINES:
                out[block] = self._sequence.predict(kind, rows[block], cols)
            else:
                out[block] = self._with_held_out(getattr(self, f"_{kind}")(rows[block]), cols)
        return out

    def _with_held_out(self, p: np.ndarray, cols: np.ndarray) -> np.ndarray:
        """Return the columns asked for of `p`, (cells, all regions) or (cells, training regions among them)."""
        if p.shape[1] == len(self.regions):
            return p if cols.size == p.shape[1] and np.array_equal(cols, np.arange(cols.size)) else p[:, cols]
        full = np.repeat(p.mean(axis=1, keepdims=True, dtype=np.float64), len(self.regions), axis=1)
        full[:, self._seen] = p
        return full[:, cols]

    def chosen(self) -> dict[str, float]:
        """Return what was chosen so far: `knn` k, `svd_ridge` rank and alpha, `knn_atac` k, the penalty on 5-mers."""
        cached = self.__dict__
        found: dict[str, float] = {}
        if "_knn_k" in cached:
            found["knn_k"] = float(self._knn_k)
        if "_ridge" in cached:
            found |= {"svd_ridge_rank": float(self._ridge[1]), "svd_ridge_alpha": float(self._ridge[2])}
        if "_knn_atac_k" in cached:
            found["knn_atac_k"] = float(self._knn_atac_k)
        if "_sequence" in cached and "kmer_ridge" in self._sequence.fitted:
            found["kmer_ridge_alpha"] = self._sequence.fitted["kmer_ridge"].penalty
        return found

    # ---- shared parts

    @cached_property
    def _open(self) -> sp.csr_matrix:
        return open_matrix(self._atac, self.train, self._cols)  # (train, regions)

    @cached_property
    def _mean(self) -> np.ndarray:
        """Share of training cells, float32 (training regions,), kept half a cell away from 0 and 1."""
        return self._share_open(self._open)

    def _share_open(self, truth: sp.csr_matrix) -> np.ndarray:
        n = self.train.size
        mean = np.asarray(truth.sum(axis=0), dtype=np.float64).ravel() / n
        return np.clip(mean, 0.5 / (n + 1), 1 - 0.5 / (n + 1)).astype(np.float32)

    @cached_property
    def _expression(self) -> tuple[np.ndarray, np.ndarray]:
        """Principal components of every cell's expression, float32 (cells, k), and log library size (cells,)."""
        keep = selected(self._rna)
        x = compact(matrix(self._rna)[:, keep])
        expression = Expression.fit(x[self.train], self._rna.var_names[keep])
        embedding = Embedding.fit(expression, x[self.train], seed=self._seed)
        scores = np.empty((x.shape[0], embedding.components.shape[1]), dtype=np.float32)
        library = np.empty(x.shape[0], dtype=np.float32)
        for rows, z, size in expression.blocks(x):
            scores[rows], library[rows] = embedding.transform(z), size
        return scores, library

    @cached_property
    def _reference(self) -> np.ndarray:
        """Positions among the training cells between which neighbours are sought."""
        n = self.train.size
        if n <= _MAX_REFERENCE:
            return np.arange(n)
        return np.sort(np.random.default_rng(self._seed).choice(n, _MAX_REFERENCE, replace=False))

    @cached_property
    def _tuning(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Validation cells, positions of regions, and whether open: dense float32 (cells, regions), of bounded size."""
        cells, regions = (np.random.default_rng(s) for s in np.random.SeedSequence(self._seed).spawn(2))
        rows = np.sort(cells.permutation(self.val)[:_TUNE_CELLS])
        cols = np.sort(regions.permutation(self._cols.size)[:_TUNE_REGIONS])
        return rows, cols, open_matrix(self._atac, rows, self._cols[cols]).toarray()

    # ---- the baselines: positions of cells -> probabilities

    def _region_mean(self, rows: np.ndarray) -> np.ndarray:
        return np.broadcast_to(self._mean, (rows.size, self._mean.size))

    def _scaled(self, ratio: np.ndarray, mean: np.ndarray) -> np.ndarray:
        # The rate of a Poisson count is what scales with depth; P(count > 0) then stays below 1.
        rate = -np.log1p(-mean.astype(np.float64))
        return -np.expm1(-np.outer(ratio, rate))

    @cached_property
    def _true_ratio(self) -> np.ndarray:
        depth = true_depth(self._atac, self._depth_key)
        return depth / max(float(depth[self.train].mean()), EPS)

    @cached_property
    def _predicted_ratio(self) -> np.ndarray:
        scores, library = self._expression
        depth = true_depth(self._atac, self._depth_key)[self.train]
        model = DepthModel.fit(scores[self.train], library[self.train], depth)
        predicted = np.expm1(model.predict(scores, library) * model.sd + model.mean)
        return predicted / max(float(predicted[self.train].mean()), EPS)

    def _region_mean_depth(self, rows: np.ndarray) -> np.ndarray:
        return self._scaled(self._predicted_ratio[rows], self._mean)

    @cached_property
    def _mean_of_every(self) -> np.ndarray:
        """Share of training cells of all regions, held out or not: for the reference alone."""
        if self._seen.size == self._every.size:
            return self._mean
        return self._share_open(open_matrix(self._atac, self.train, self._every))

    def _region_mean_true_depth(self, rows: np.ndarray) -> np.ndarray:
        return self._scaled(self._true_ratio[rows], self._mean_of_every)

    @cached_property
    def _sequence(self) -> SequencePredictor:
        ratio = self._predicted_ratio
        factors = cell_factors(self._design, self.train, ratio)
        return SequencePredictor(self._atac, self.train, factors, ratio, self._every, self._seed)

    @cached_property
    def _label_means(self) -> tuple[pd.Index, np.ndarray]:
        if self._labels is None:
            raise ChromatellError("The baseline 'celltype_mean' needs labels; name a column, e.g. labels='cell_type'.")
        codes, names = pd.factorize(self._labels[self.train])
        known = np.flatnonzero(codes >= 0)
        member = sp.csr_matrix((np.ones(known.size), (codes[known], known)), shape=(len(names), self.train.size))
        total = (member @ self._open).toarray() + LABEL_PRIOR * self._mean
        size = np.bincount(codes[known], minlength=len(names))[:, None]
        table = (total / (size + LABEL_PRIOR)).astype(np.float32)
        # The last row serves cells without a label and labels without a training cell.
        return pd.Index(names), np.vstack([table, self._mean])

    def _celltype_mean(self, rows: np.ndarray) -> np.ndarray:
        names, table = self._label_means
        return table[names.get_indexer(pd.Index(self._labels[rows]))]  # type: ignore[index]

    @cached_property
    def _reference_open(self) -> sp.csr_matrix:
        return self._open if self._reference.size == self.train.size else self._open[self._reference]

    @cached_property
    def _knn_k(self) -> int:
        space = self._expression[0]
        return self._choose_k(
            lambda rows, k, cols: self._knn_mean(space, rows, k, self._reference_open[:, cols], self._mean[cols]), "knn"
        )

    def _knn(self, rows: np.ndarray) -> np.ndarray:
        return self._knn_mean(self._expression[0], rows, self._knn_k, self._reference_open, self._mean)

    def _knn_mean(
        self, space: np.ndarray, rows: np.ndarray, k: int, truth: sp.csr_matrix, mean: np.ndarray
    ) -> np.ndarray:
        return neighbour_mean(space, rows, k, self.train[self._reference], truth, mean)

    def _choose_k(self, predict: Callable[[np.ndarray, int, np.ndarray], np.ndarray], kind: str) -> int:
        if not self.val.size:
            return 50
        rows, cols, truth = self._tuning
        brier = {k: float(np.mean((predict(rows, k, cols) - truth) ** 2)) for k in NEIGHBOURS if k <= self.train.size}
        best = min(brier, key=lambda k: brier[k], default=NEIGHBOURS[0])
        logger.debug("Baseline %s: k = %d, chosen on validation cells.", kind, best)
        return best

    @cached_property
    def _design(self) -> np.ndarray:
        scores, library = self._expression
        scale = max(
            float(scores[self.train].std(axis=0).max()), EPS
        )  # one scale: the penalty shrinks minor components more
        return np.column_stack([scores / scale, library]).astype(np.float64)

    @cached_property
    def _ridge(self) -> tuple[Ridge, int, float]:
        """The fitted regression, its rank and its penalty."""
        path = RidgePath(self._design[self.train], self._open, RANKS[-1], self._seed)
        ranks = sorted({min(r, path.rank) for r in RANKS})
        if not self.val.size:
            rank = ranks[min(1, len(ranks) - 1)]
            return path.at(rank, 100.0), rank, 100.0
        rows, cols, truth = self._tuning
        design = self._design[rows]
        brier = {
            (rank, alpha): float(np.mean((path.at(rank, alpha).predict(design, self._mean, cols) - truth) ** 2))
            for rank in ranks
            for alpha in ALPHAS
        }
        rank, alpha = min(brier, key=lambda pair: brier[pair])
        logger.debug("Baseline svd_ridge: rank %d, alpha %g, chosen on validation cells.", rank, alpha)
        return path.at(rank, alpha), rank, alpha

    def _svd_ridge(self, rows: np.ndarray) -> np.ndarray:
        return self._ridge[0].predict(self._design[rows], self._mean)

    # ---- expression of linked genes

    @cached_property
    def _linked(self) -> LinkedExpression:
        if self._links is None:
            raise ChromatellError(
                "The baseline 'gene_activity' needs links. Run ctl.pp.link_genes(mdata, annotation) first."
            )
        linked = LinkedExpression(self._rna, self.train, self.regions[self._seen], self._links)
        cells, regions = (np.random.default_rng(s) for s in np.random.SeedSequence(self._seed + 1).spawn(2))
        rows = np.sort(cells.permutation(self.train.size)[:_TUNE_CELLS])
        cols = np.sort(regions.permutation(np.flatnonzero(linked.linked))[:_TUNE_REGIONS])
        linked.fit(self.train[rows], cols, self._open[rows][:, cols].toarray(), self._mean)
        return linked

    def _gene_activity(self, rows: np.ndarray) -> np.ndarray:
        return self._linked.predict(rows, self._mean)

    # ---- the cell's own ATAC on other chromosomes

    @cached_property
    def _other_chromosomes(self) -> OtherChromosomes:
        return OtherChromosomes(self._atac, self.train, self._cols, self._seed)

    @cached_property
    def _knn_atac_k(self) -> int:
        return self._choose_k(self._knn_atac_mean, "knn_atac")

    def _knn_atac(self, rows: np.ndarray) -> np.ndarray:
        return self._knn_atac_mean(rows, self._knn_atac_k, np.arange(self._cols.size))

    def _knn_atac_mean(self, rows: np.ndarray, k: int, cols: np.ndarray) -> np.ndarray:
        return self._other_chromosomes.mean(
            rows, k, cols, self.train[self._reference], self._reference_open, self._mean
        )
