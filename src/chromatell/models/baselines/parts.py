"""The arithmetic behind the baselines, without the user's object: ridge, gene activity, other chromosomes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse as sp
from anndata import AnnData
from mudata import MuData
from scipy.special import expit, logit

from chromatell._keys import CHROM
from chromatell._rows import matrix, read
from chromatell._validate import ChromatellError, column, paired
from chromatell._values import is_counts
from chromatell.data.accessibility import open_matrix
from chromatell.data.cells import row_blocks
from chromatell.data.lsi import Lsi
from chromatell.genome.regions import normalise_chrom, region_table
from chromatell.models.baselines.neighbours import LastColumns, NeighbourMeans

EPS = 1e-6
ROWS = 512  # cells predicted at a time
ACTIVITY_SCALE = 5_000.0  # bp
N_LSI = 29  # components of a cell's own ATAC, without the first
_STATS_CELLS = 5_000  # training cells, evenly spread, that give the mean and sd of gene activity


def blocks(n: int) -> Iterator[slice]:
    """Return slices of at most 512 cells."""
    return row_blocks(n, ROWS)


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
class Ridge:
    """Probability = region mean + (design - centre) @ beta, or of a low rank, @ beta @ components."""

    centre: np.ndarray  # (k + 1,)
    beta: np.ndarray  # (k + 1, regions or rank)
    components: np.ndarray | None  # (rank, regions)

    def change(self, design: np.ndarray, cols: Any = slice(None)) -> np.ndarray:
        """Return by how much probabilities differ from the mean, float32 (cells, regions)."""
        d = (design - self.centre).astype(np.float32)
        return d @ self.beta[:, cols] if self.components is None else (d @ self.beta) @ self.components[:, cols]

    def predict(self, design: np.ndarray, mean: np.ndarray, cols: Any = slice(None)) -> np.ndarray:
        """Return probabilities, float32 (cells, regions)."""
        return np.clip(mean[cols] + self.change(design, cols), EPS, 1 - EPS)


class RidgePath:
    """Ridge regressions from a design to the open matrix, for any penalty, number of components and weight of inputs.

    Parameters
    ----------
    design
        float64 (cells, k + m + 1), of training cells: components of expression, the m columns of the other inputs, and
        the library size.
    truth
        CSR (cells, regions), 1 where open; or an array of what is left of it.
    rank
        None regresses each region. Else its leading components, and this is the highest number of them that will be
        asked for.
    inputs
        Number of columns of each other input.
    """

    def __init__(
        self,
        design: np.ndarray,
        truth: sp.csr_matrix,
        *,
        rank: int | None = None,
        inputs: Sequence[int] = (),
        seed: int = 0,
    ) -> None:
        from sklearn.decomposition import TruncatedSVD

        self._widths = np.array(inputs, dtype=int)
        self.rank = truth.shape[1] if rank is None else max(min(rank, truth.shape[1] - 1, truth.shape[0] - 1), 1)
        self._centre = design.mean(axis=0)
        d = design - self._centre
        self._gram = d.T @ d
        if rank is None:
            self._components = None
            # the columns of d sum to 0, so that the regions need not be centred
            self._moment = np.asarray((truth.T @ d.astype(np.float32)).T, dtype=np.float32)
        elif truth.shape[1] == 1:  # one region is its own component
            self._components = np.ones((1, 1), dtype=np.float32)
            self._moment = np.asarray((truth.T @ d.astype(np.float32)).T, dtype=np.float32)
        else:
            with np.errstate(divide="ignore", invalid="ignore"):  # shares of a variance that is 0 where all are open
                svd = TruncatedSVD(self.rank, random_state=seed).fit(truth)
            self._components = svd.components_.astype(np.float32)
            self._moment = d.T @ (truth @ self._components.T)

    def at(self, alpha: float, components: int, rank: int | None = None, inputs: Sequence[float] = ()) -> Ridge:
        """Return the regression of one penalty, number of components of expression, rank, and weight of each input.

        The columns of an input count as if they were multiplied by its weight: 0 leaves it out. None given are 1.
        """
        weight = np.repeat(inputs or np.ones(self._widths.size), self._widths)
        first, last = len(self._centre) - 1 - weight.size, len(self._centre) - 1
        held = np.concatenate([np.arange(components), first + np.flatnonzero(weight), [last]])
        penalty = alpha * np.concatenate([np.ones(components), 1 / weight[weight > 0] ** 2, [1.0]])
        gram = self._gram[np.ix_(held, held)] + np.diag(penalty)
        weights = np.linalg.inv(gram).astype(np.float32) @ self._moment[held, :rank]
        beta = np.zeros((len(self._centre), weights.shape[1]), dtype=np.float32)
        beta[held] = weights
        return Ridge(self._centre, beta, None if self._components is None else self._components[:rank])


def scaled(ratio: np.ndarray, mean: np.ndarray) -> np.ndarray:
    """Return probabilities (cells, regions): region means whose rates are scaled by each cell's depth over the mean."""
    # The rate of a Poisson count is what scales with depth; P(count > 0) then stays below 1.
    rate = -np.log1p(-mean.astype(np.float64))
    return -np.expm1(-np.outer(ratio, rate))


class LinkedExpression:
    """Expression of the genes linked to each region, summed, and its map to a probability.

    Parameters
    ----------
    rna
        All cells.
    train
        Positions of the training cells, whose statistics are used.
    regions
        Names of the regions to predict.
    links
        ``mdata.uns['ctl']['links']``: sparse `distance` (genes, regions; bp + 1), names `gene` and `region`.
    """

    def __init__(self, rna: AnnData, train: np.ndarray, regions: pd.Index, links: Any) -> None:
        distance = sp.coo_matrix(links["distance"])
        gene = rna.var_names.get_indexer(pd.Index(links["gene"]).astype(str))[distance.row]
        region = regions.get_indexer(pd.Index(links["region"]).astype(str))[distance.col]
        keep = (gene >= 0) & (region >= 0)
        # as ArchR weighs a gene's surroundings
        weight = np.exp(-(distance.data[keep] - 1) / ACTIVITY_SCALE) + np.exp(-1)
        shape = (rna.n_vars, len(regions))
        self._links = sp.csr_matrix((weight, (gene[keep], region[keep])), shape=shape, dtype=np.float32)
        self._x = matrix(rna)
        self._counts = is_counts(self._x)
        total = np.asarray(self._x.sum(axis=1), dtype=np.float64).ravel()
        self._factor = np.median(total[train]) / np.maximum(total, 1)
        s1, s2 = np.zeros(shape[1]), np.zeros(shape[1])
        train = train[:: train.size // _STATS_CELLS + 1]
        for block in blocks(train.size):
            a = self._sum(train[block])
            s1 += np.asarray(a.sum(axis=0)).ravel()
            s2 += np.asarray(a.multiply(a).sum(axis=0)).ravel()
        self._mean = s1 / train.size
        sd = np.sqrt(np.maximum(s2 / train.size - self._mean**2, 0))
        self.linked = sd > 1e-5  # a region without a link, or whose genes do not vary, keeps its mean
        self._sd = np.where(self.linked, sd, np.inf)
        self._weights = np.array([0.0, 1.0, 0.0])

    def _sum(self, rows: np.ndarray) -> sp.csr_matrix:
        x = sp.csr_matrix(read(self._x[rows]), dtype=np.float32)
        if self._counts:
            x = (sp.diags(self._factor[rows]) @ x).tocsr()
            x.data = np.log1p(x.data)
        return (x @ self._links).tocsr()

    def activity(self, rows: np.ndarray, cols: Any = slice(None)) -> np.ndarray:
        """Return the z-scored sums, float64 (rows, cols); 0 where a region has no link."""
        return (self._sum(rows)[:, cols].toarray() - self._mean[cols]) / self._sd[cols]

    def fit(self, rows: np.ndarray, cols: np.ndarray, truth: np.ndarray, mean: np.ndarray) -> None:
        """Fit logit(p) = a + b logit(region mean) + c activity, c >= 0, on cells `rows` and linked regions `cols`."""
        if cols.size:
            offset = np.broadcast_to(logit(mean[cols].astype(np.float64)), truth.shape)
            features = np.stack([offset.ravel(), self.activity(rows, cols).ravel()], axis=1)
            self._weights = logistic(features, truth.ravel())

    def predict(self, rows: np.ndarray, mean: np.ndarray) -> np.ndarray:
        """Return probabilities, float64 (rows, regions)."""
        intercept, of_mean, of_activity = self._weights
        p = expit(intercept + of_mean * logit(mean.astype(np.float64)) + of_activity * self.activity(rows))
        return np.where(self.linked, p, mean)


def chromosome_halves(atac: AnnData) -> np.ndarray:
    """Return 0 or 1 for each region: chromosomes in two halves of about as many regions; all 0 where there is one."""
    chrom = normalise_chrom(region_table(atac)[CHROM])
    sizes = chrom.value_counts().sort_index().sort_values(ascending=False, kind="stable")
    total, half = [0, 0], {}
    for name, n in sizes.items():
        half[name] = int(total[1] < total[0])
        total[half[name]] += int(n)
    return chrom.map(half).to_numpy(dtype=np.int64)


class OtherChromosomes:
    """Neighbours of a cell in its own ATAC on the chromosomes that are not predicted.

    Parameters
    ----------
    atac
        All regions; their chromosomes are taken in two halves.
    train
        Places of the training cells.
    cols
        Places of the regions to predict.
    means
        Means over neighbours among the training cells.
    """

    def __init__(self, atac: AnnData, train: np.ndarray, cols: np.ndarray, means: NeighbourMeans, seed: int) -> None:
        self._atac, self._train, self._cols, self._means, self._seed = atac, train, cols, means, seed
        self._last = LastColumns(), LastColumns()  # of each half

    @cached_property
    def _halves(self) -> np.ndarray:
        return chromosome_halves(self._atac)  # 0 or 1 for each region of the modality

    @property
    def possible(self) -> bool:
        """Whether the regions have coordinates, on two chromosomes or more."""
        try:
            return len(np.unique(self._halves)) == 2
        except ChromatellError:  # regions without coordinates
            return False

    @cached_property
    def _lsi(self) -> tuple[np.ndarray, np.ndarray]:
        """LSI of each half, float32 (cells, k) of unit length; a cell open nowhere in it has zeros."""
        if len(np.unique(self._halves)) < 2:
            raise ChromatellError(
                "The baseline 'knn_atac' needs regions on two chromosomes or more; all are on one. Leave it out."
            )
        return self._of_half(0), self._of_half(1)

    def _of_half(self, half: int) -> np.ndarray:
        binarized = open_matrix(self._atac, slice(None), np.flatnonzero(self._halves == half))
        return Lsi.fit(binarized[self._train], N_LSI, seed=self._seed).transform(binarized)

    def mean(
        self, rows: np.ndarray, ks: Sequence[int], cols: np.ndarray, truth: sp.csr_matrix, mean: np.ndarray
    ) -> np.ndarray:
        """Return the mean over the nearest training cells, float32 (rows, cols).

        Parameters
        ----------
        ks
            The number of neighbours, and those that will be asked for next.
        cols
            Places among the regions to predict.
        truth
            CSR (reference cells, regions to predict), 1 where open.
        mean
            float32 (regions to predict,), of the training cells; for a cell open nowhere on the other chromosomes.
        """
        out = np.empty((rows.size, cols.size), dtype=np.float32)
        side = self._halves[self._cols[cols]]
        for half in (0, 1):
            here = cols[side == half]
            space = self._lsi[1 - half]  # never the chromosomes that are predicted
            known = np.any(space[rows] != 0, axis=1)
            part = np.tile(mean[here], (rows.size, 1))
            if here.size and known.any():
                space_of = partial(self._lsi.__getitem__, 1 - half)
                truth_here = self._last[half](truth, here)
                part[known] = self._means.mean(("atac", half), space_of, rows[known], ks, truth_here, mean[here])
            out[:, side == half] = part
        return out


def logistic(features: np.ndarray, y: np.ndarray, steps: int = 25) -> np.ndarray:
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
