"""Simple predictors of accessibility that every model must beat, fitted on training cells only."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse as sp
from mudata import MuData
from scipy.special import expit, logit
from sklearn.decomposition import TruncatedSVD
from sklearn.neighbors import NearestNeighbors

from chromatell._keys import CHROM, LINKS, TRAIN, UNS, VAL
from chromatell._settings import logger
from chromatell._validate import ChromatellError, column, examples, is_counts, one_of, paired, split_of
from chromatell.data.accessibility import DepthModel, open_matrix, selected, true_depth
from chromatell.data.expression import Embedding, Expression
from chromatell.genome.regions import normalise_chrom, region_table

BASELINES: dict[str, str] = {
    "region_mean": "share of training cells in which the region is open; the same for every cell",
    "region_mean_depth": "region mean x the cell's depth predicted from its expression",
    "celltype_mean": "region mean within the cell's label (needs labels)",
    "knn": "mean over the nearest training cells in expression",
    "svd_ridge": "ridge regression from expression to the leading components of the open matrix",
    "gene_activity": "summed expression of linked genes, through a logistic map (needs pp.link_genes)",
    "region_mean_true_depth": "reference: region mean x the cell's true depth, which is read from its ATAC",
    "knn_atac": "reference: mean over the nearest training cells in the cell's own ATAC on the other chromosomes",
}
# These read the target assay of the very cell that they predict: shown, but never the best baseline.
REFERENCES = frozenset({"region_mean_true_depth", "knn_atac"})

NEIGHBOURS = (15, 50, 150)
RANKS = (5, 15, 50)
ALPHAS = (1.0, 10.0, 100.0, 1_000.0, 10_000.0)
EPS = 1e-6
LABEL_PRIOR = 5.0  # training cells' worth of region mean in a label's mean: a rare label has few cells
NEIGHBOUR_PRIOR = 1.0
_ROWS = 512  # cells predicted at a time
_MAX_REFERENCE = 50_000  # training cells among which neighbours are sought
_TUNE_CELLS, _TUNE_REGIONS = 1_000, 5_000
_ACTIVITY_SCALE = 5_000.0  # bp


def uses_target_assay(kind: str) -> bool:
    """Return whether a baseline reads the ATAC of the cells that it predicts."""
    return kind in REFERENCES


def labels_of(mdata: MuData, key: str) -> pd.Series:
    """Return a column of labels of the cells, from ``mdata.obs`` or else from a modality's `obs`.

    Parameters
    ----------
    mdata
        Paired cells.
    key
        Name of the column, such as ``'cell_type'``; ``'rna:cell_type'`` is understood too.

    Returns
    -------
    pandas.Series
        One label a cell, object, indexed by barcode; missing labels stay missing.

    Raises
    ------
    ChromatellError
        No such column anywhere.
    """
    rna, atac = paired(mdata)
    for obs in (mdata.obs, atac.obs, rna.obs):
        if key in obs:
            values = obs[key].astype(object)
            return values.where(values.isna(), values.astype(str))
    for prefix, adata in (("rna:", rna), ("atac:", atac)):
        if key.startswith(prefix) and key.removeprefix(prefix) in adata.obs:
            return labels_of(mdata, key.removeprefix(prefix))
    return column(mdata.obs, key, "mdata.obs")  # raises, and lists the columns there are


@dataclass(frozen=True)
class _Ridge:
    """Cell scores = (design - centre) @ beta; probability = region mean + scores @ components."""

    centre: np.ndarray  # (k + 1,)
    beta: np.ndarray  # (k + 1, rank)
    components: np.ndarray  # (rank, regions)

    def predict(self, design: np.ndarray, mean: np.ndarray, cols: Any = slice(None)) -> np.ndarray:
        scores = ((design - self.centre) @ self.beta).astype(np.float32)
        return np.clip(mean[cols] + scores @ self.components[:, cols], EPS, 1 - EPS)


class BaselineFitter:
    """Fit and apply simple baselines, each when it is first asked for.

    Parameters
    ----------
    mdata
        Paired cells with ``obs['ctl_split']``.
    regions
        Names of the regions to predict, from ``mdata.mod['atac'].var_names``.
    labels_key
        A column with cell types; None leaves `celltype_mean` out.
    depth_key
        A column of ``mdata.mod['atac'].obs`` with each cell's fragments; None as in :func:`~chromatell.data.accessibility.true_depth`.
    seed
        Of the randomised decompositions and of the validation cells that are used for tuning.

    Notes
    -----
    Everything is fitted on the training cells; `k`, rank and penalty are chosen by the Brier score on at most 1,000 validation cells x
    5,000 regions. Memory: the sparse open matrix of the training cells, 51 floats a cell, and what `predict` returns; work runs over
    512 cells at a time. Neighbours are sought among at most 50,000 training cells. `svd_ridge` adds 50 floats a region.

    Examples
    --------
    >>> import numpy as np, pandas as pd, anndata as ad, mudata as md
    >>> rng = np.random.default_rng(0)
    >>> rna = ad.AnnData(rng.poisson(2.0, (60, 8)).astype("float32"))
    >>> atac = ad.AnnData(rng.poisson(0.3, (60, 12)).astype("float32"))
    >>> with md.set_options(pull_on_update=False):
    ...     mdata = md.MuData({"rna": rna, "atac": atac})
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
        self._cols = self._atac.var_names.get_indexer(self.regions)
        if (self._cols < 0).any():
            missing = self.regions[self._cols < 0]
            raise ChromatellError(
                f"{len(missing)} of {len(self.regions)} regions (such as {examples(missing)}) are not in mdata.mod['atac']. "
                "Predict regions of this object: regions=mdata.mod['atac'].var_names."
            )
        self._labels = None if labels_key is None else labels_of(mdata, labels_key).to_numpy(dtype=object)
        self._depth_key = depth_key
        self._seed = seed
        self._links = mdata.uns.get(UNS, {}).get(LINKS)
        self.train = np.flatnonzero(split == TRAIN)
        self.val = np.flatnonzero(split == VAL)
        if not self.val.size:
            logger.info("No validation cell: baselines take k = 50, rank = 15 and a penalty of 100.")

    # ---- what the user calls

    def available(self) -> list[str]:
        """Return the kinds that can be predicted with what the data holds, in display order."""
        absent = set()
        if self._labels is None:
            absent.add("celltype_mean")
        if self._links is None:
            absent.add("gene_activity")
        try:
            halves = self._halves
        except ChromatellError:  # regions without coordinates
            absent.add("knn_atac")
        else:
            if len(np.unique(halves)) < 2:
                absent.add("knn_atac")
        return [kind for kind in BASELINES if kind not in absent]

    def predict(self, kind: str, rows: np.ndarray) -> np.ndarray:
        """Return the probability that each region is open, float32 (len(rows), len(regions)), in [0, 1].

        Parameters
        ----------
        kind
            A key of `BASELINES`.
        rows
            Positions of the cells in `mdata`, int or bool. A training cell is never its own neighbour.

        Raises
        ------
        ChromatellError
            `kind` is not known, or the data lacks what it needs.
        """
        one_of(kind, BASELINES, "kind")
        rows = np.asarray(rows)
        rows = np.flatnonzero(rows) if rows.dtype == bool else rows.astype(np.int64)
        predict: Callable[[np.ndarray], np.ndarray] = getattr(self, f"_{kind}")
        out = np.empty((rows.size, len(self.regions)), dtype=np.float32)
        for block in _blocks(rows.size):
            out[block] = predict(rows[block])
        return out

    def chosen(self) -> dict[str, float]:
        """Return what was chosen on the validation cells so far: `knn` k, `svd_ridge` rank and alpha, `knn_atac` k."""
        cached = self.__dict__
        found: dict[str, float] = {}
        if "_knn_k" in cached:
            found["knn_k"] = float(self._knn_k)
        if "_ridge" in cached:
            found |= {"svd_ridge_rank": float(self._ridge[1]), "svd_ridge_alpha": float(self._ridge[2])}
        if "_knn_atac_k" in cached:
            found["knn_atac_k"] = float(self._knn_atac_k)
        return found

    # ---- shared parts

    @cached_property
    def _open(self) -> sp.csr_matrix:
        return open_matrix(self._atac, self.train, self._cols)  # (train, regions)

    @cached_property
    def _mean(self) -> np.ndarray:
        """Share of training cells, float32 (regions,), kept half a cell away from 0 and 1."""
        n = self.train.size
        mean = np.asarray(self._open.sum(axis=0), dtype=np.float64).ravel() / n
        return np.clip(mean, 0.5 / (n + 1), 1 - 0.5 / (n + 1)).astype(np.float32)

    @cached_property
    def _expression(self) -> tuple[np.ndarray, np.ndarray]:
        """Principal components of every cell's expression, float32 (cells, k), and log library size (cells,)."""
        keep = selected(self._rna)
        x = self._rna.X[:, keep]
        x = sp.csr_matrix(x) if sp.issparse(x) else np.asarray(x)
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
        cols = np.sort(regions.permutation(len(self.regions))[:_TUNE_REGIONS])
        return rows, cols, open_matrix(self._atac, rows, self._cols[cols]).toarray()

    # ---- the baselines: positions of cells -> probabilities

    def _region_mean(self, rows: np.ndarray) -> np.ndarray:
        return np.broadcast_to(self._mean, (rows.size, self._mean.size))

    def _scaled(self, ratio: np.ndarray) -> np.ndarray:
        # The rate of a Poisson count is what scales with depth; P(count > 0) then stays below 1.
        rate = -np.log1p(-self._mean.astype(np.float64))
        return -np.expm1(-np.outer(ratio, rate))

    @cached_property
    def _true_ratio(self) -> np.ndarray:
        depth = true_depth(self._atac, self._depth_key)
        return depth / max(float(depth[self.train].mean()), EPS)

    @cached_property
    def _predicted_ratio(self) -> np.ndarray:
        scores, library = self._expression
        depth = true_depth(self._atac, self._depth_key)[self.train]
        model = DepthModel.fit(scores[self.train], library[self.train], np.eye(scores.shape[1]), depth)
        log = np.clip(model.predict(scores, library) * model.sd + model.mean, *np.log1p([depth.min(), depth.max()]))
        predicted = np.expm1(log)
        return predicted / max(float(predicted[self.train].mean()), EPS)

    def _region_mean_depth(self, rows: np.ndarray) -> np.ndarray:
        return self._scaled(self._predicted_ratio[rows])

    def _region_mean_true_depth(self, rows: np.ndarray) -> np.ndarray:
        return self._scaled(self._true_ratio[rows])

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
    def _knn_k(self) -> int:
        return self._choose_k(lambda rows, k, cols: self._knn_mean(self._expression[0], rows, k, cols), "knn")

    def _knn(self, rows: np.ndarray) -> np.ndarray:
        return self._knn_mean(self._expression[0], rows, self._knn_k)

    def _knn_mean(self, space: np.ndarray, rows: np.ndarray, k: int, cols: Any = slice(None)) -> np.ndarray:
        """Mean over the `k` nearest training cells, with `NEIGHBOUR_PRIOR` cells' worth of the region mean."""
        among = self.train[self._reference]
        k = min(k, among.size)
        index = NearestNeighbors(n_neighbors=min(k + 1, among.size), algorithm="brute").fit(space[among])
        _, near = index.kneighbors(space[rows])
        near = _without_self(near, among, rows, k)
        weights = sp.csr_matrix(
            (np.ones(near.size, dtype=np.float32), near.ravel(), np.arange(0, near.size + 1, near.shape[1])),
            shape=(rows.size, among.size),
        )
        total = (weights @ self._open[self._reference][:, cols]).toarray()
        return (total + NEIGHBOUR_PRIOR * self._mean[cols]) / (near.shape[1] + NEIGHBOUR_PRIOR)

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
    def _ridge(self) -> tuple[_Ridge, int, float]:
        """The fitted regression, its rank and its penalty."""
        most = max(min(RANKS[-1], len(self.regions) - 1, self.train.size - 1), 1)
        svd = TruncatedSVD(most, random_state=self._seed).fit(self._open)
        target = self._open @ svd.components_.T
        design = self._design[self.train]
        centre = design.mean(axis=0)
        values, vectors = np.linalg.eigh((design - centre).T @ (design - centre))
        moment = vectors.T @ ((design - centre).T @ (target - target.mean(axis=0)))

        def model(rank: int, alpha: float) -> _Ridge:
            beta = vectors @ (moment[:, :rank] / (np.maximum(values, 0) + alpha)[:, None])
            return _Ridge(centre, beta, svd.components_[:rank].astype(np.float32))

        ranks = sorted({min(r, most) for r in RANKS})
        if not self.val.size:
            rank = ranks[min(1, len(ranks) - 1)]
            return model(rank, 100.0), rank, 100.0
        rows, cols, truth = self._tuning
        brier = {
            (rank, alpha): float(
                np.mean((model(rank, alpha).predict(self._design[rows], self._mean, cols) - truth) ** 2)
            )
            for rank in ranks
            for alpha in ALPHAS
        }
        rank, alpha = min(brier, key=lambda pair: brier[pair])
        logger.debug("Baseline svd_ridge: rank %d, alpha %g, chosen on validation cells.", rank, alpha)
        return model(rank, alpha), rank, alpha

    def _svd_ridge(self, rows: np.ndarray) -> np.ndarray:
        return self._ridge[0].predict(self._design[rows], self._mean)

    # ---- expression of linked genes

    @cached_property
    def _activity(self) -> sp.csr_matrix:
        """Weighted sum of the log-normalised expression of each region's linked genes, CSR (cells, regions)."""
        if self._links is None:
            raise ChromatellError(
                "The baseline 'gene_activity' needs links. Run ctl.pp.link_genes(mdata, annotation) first."
            )
        distance = sp.coo_matrix(self._links["distance"])
        gene = self._rna.var_names.get_indexer(pd.Index(self._links["gene"]).astype(str))[distance.row]
        region = self.regions.get_indexer(pd.Index(self._links["region"]).astype(str))[distance.col]
        keep = (gene >= 0) & (region >= 0)
        weight = np.exp(-(distance.data[keep] - 1) / _ACTIVITY_SCALE) + np.exp(
            -1
        )  # as ArchR weighs a gene's surroundings
        links = sp.csr_matrix(
            (weight, (gene[keep], region[keep])), shape=(self._rna.n_vars, len(self.regions)), dtype=np.float32
        )
        x = sp.csr_matrix(self._rna.X, dtype=np.float32, copy=True)
        if is_counts(self._rna.X):
            total = np.asarray(x.sum(axis=1)).ravel()
            target = np.median(total[self.train])
            x = (sp.diags(target / np.maximum(total, 1)) @ x).tocsr()
            x.data = np.log1p(x.data)
        return (x @ links).tocsr()

    @cached_property
    def _activity_map(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Mean and sd of the activity over training cells, and (intercept, weight of the region's logit, weight of activity)."""
        train = self._activity[self.train]
        mean = np.asarray(train.mean(axis=0), dtype=np.float64).ravel()
        sd = np.sqrt(np.maximum(np.asarray(train.multiply(train).mean(axis=0)).ravel() - mean**2, 0))
        sd = np.where(sd > EPS, sd, np.inf)  # without a link, or constant: the region mean
        cells, regions = (np.random.default_rng(s) for s in np.random.SeedSequence(self._seed + 1).spawn(2))
        rows = np.sort(cells.permutation(self.train.size)[:_TUNE_CELLS])
        linked = np.flatnonzero(np.isfinite(sd))
        cols = np.sort(regions.permutation(linked)[:_TUNE_REGIONS])
        if not cols.size:
            return mean, sd, np.array([0.0, 1.0, 0.0])
        activity = (train[rows][:, cols].toarray() - mean[cols]) / sd[cols]
        offset = np.broadcast_to(logit(self._mean[cols].astype(np.float64)), activity.shape)
        weights = _logistic(
            np.stack([offset.ravel(), activity.ravel()], axis=1), self._open[rows][:, cols].toarray().ravel()
        )
        return mean, sd, weights

    def _gene_activity(self, rows: np.ndarray) -> np.ndarray:
        mean, sd, (intercept, of_mean, of_activity) = self._activity_map
        activity = (self._activity[rows].toarray() - mean) / sd
        return expit(intercept + of_mean * logit(self._mean.astype(np.float64)) + of_activity * activity)

    # ---- the cell's own ATAC on other chromosomes

    @cached_property
    def _halves(self) -> np.ndarray:
        """0 or 1 for each region of ``mdata.mod['atac']``: chromosomes in two halves of about as many regions."""
        chrom = normalise_chrom(region_table(self._atac)[CHROM])
        sizes = chrom.value_counts().sort_index().sort_values(ascending=False, kind="stable")
        total, half = [0, 0], {}
        for name, n in sizes.items():
            half[name] = int(total[1] < total[0])
            total[half[name]] += int(n)
        return chrom.map(half).to_numpy(dtype=np.int64)

    @cached_property
    def _lsi(self) -> tuple[np.ndarray, np.ndarray]:
        """Latent semantic indexing of each half, float32 (cells, k) of unit length; a cell open nowhere in it has zeros."""
        if len(np.unique(self._halves)) < 2:
            raise ChromatellError(
                "The baseline 'knn_atac' needs regions on two chromosomes or more; all are on one. Leave it out."
            )
        return _lsi(self._half(0), self.train, self._seed), _lsi(self._half(1), self.train, self._seed)

    def _half(self, half: int) -> sp.csr_matrix:
        return open_matrix(self._atac, slice(None), np.flatnonzero(self._halves == half))

    @cached_property
    def _knn_atac_k(self) -> int:
        return self._choose_k(self._knn_atac_mean, "knn_atac")

    def _knn_atac(self, rows: np.ndarray) -> np.ndarray:
        return self._knn_atac_mean(rows, self._knn_atac_k, np.arange(len(self.regions)))

    def _knn_atac_mean(self, rows: np.ndarray, k: int, cols: np.ndarray) -> np.ndarray:
        out = np.empty((rows.size, cols.size), dtype=np.float32)
        side = self._halves[self._cols[cols]]
        for half in (0, 1):
            space = self._lsi[1 - half]  # never the chromosomes that are predicted
            here = cols[side == half]
            known = np.any(space[rows] != 0, axis=1)
            block = np.tile(self._mean[here], (rows.size, 1))
            if here.size and known.any():
                block[known] = self._knn_mean(space, rows[known], k, here)
            out[:, side == half] = block
        return out


def _blocks(n: int) -> Iterator[slice]:
    for start in range(0, n, _ROWS):
        yield slice(start, min(start + _ROWS, n))


def _without_self(near: np.ndarray, among: np.ndarray, rows: np.ndarray, k: int) -> np.ndarray:
    """Return the first `k` neighbours of each row that are not the cell itself."""
    own = among[near] == rows[:, None]
    order = np.argsort(own, axis=1, kind="stable")  # itself to the end
    return np.take_along_axis(near, order, axis=1)[:, : min(k, max(near.shape[1] - int(own.any()), 1))]


def _lsi(x: sp.csr_matrix, train: np.ndarray, seed: int, k: int = 30) -> np.ndarray:
    """TF-IDF and truncated SVD fitted on training cells; the first component, which is depth, is left out."""
    seen = np.asarray(x[train].sum(axis=0)).ravel()
    idf = np.log1p(train.size / np.maximum(seen, 1)) * (seen > 0)
    total = np.asarray(x.sum(axis=1)).ravel()
    tf = sp.diags(1.0 / np.maximum(total, 1)) @ x @ sp.diags(idf)
    tf = sp.csr_matrix(tf, dtype=np.float32)
    tf.data = np.log1p(1e4 * tf.data)
    k = int(min(k, x.shape[1] - 1, train.size - 1))
    if k < 2:
        return np.asarray(tf.sum(axis=1), dtype=np.float32)
    svd = TruncatedSVD(k, random_state=seed).fit(tf[train])
    scores = (tf @ svd.components_[1:].T).astype(np.float32)
    return scores / np.maximum(np.linalg.norm(scores, axis=1, keepdims=True), EPS)


def _logistic(features: np.ndarray, y: np.ndarray, steps: int = 25) -> np.ndarray:
    """Logistic regression by Newton's method, float64 (1 + features,); the last weight is kept from falling below 0."""
    x = np.column_stack([np.ones(len(y)), features])
    w = np.zeros(x.shape[1])
    w[1] = 1.0  # starts at the region mean
    for _ in range(steps):
        p = expit(x @ w)
        hessian = (x * (p * (1 - p))[:, None]).T @ x + 1e-3 * np.eye(x.shape[1])
        step = np.linalg.solve(hessian, x.T @ (y - p) - 1e-3 * (w - np.eye(x.shape[1])[1]))
        w += step
        if np.abs(step).max() < 1e-8:
            break
    if w[-1] < 0:  # more expression may not mean less accessibility
        return np.array([0.0, 1.0, 0.0])
    return w
