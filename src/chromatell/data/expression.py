"""Expression as the models read it: normalised, log1p, z-scored with the statistics of the training cells."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, cast

import numpy as np
import pandas as pd
import scipy.sparse as sp
from anndata import AnnData

from chromatell._dask import current_client, over_rows
from chromatell._rows import BLOCK, DiskMatrix, columns, matrix, read
from chromatell._settings import logger
from chromatell._validate import ChromatellError, examples, one_of, warn
from chromatell._values import is_counts, kept_counts, negative_values
from chromatell.data.gene_names import cure_of_names
from chromatell.data.out_of_range import TrainingRange
from chromatell.data.scale import MOST_LOGGED, Scale, far_off, find_scale
from chromatell.data.sparse_expression import is_sparse, normalised, sparse_scores
from chromatell.data.standardise import Kind, Standardiser, block_rows, normalised_dense
from chromatell.data.stored import stored

_FIT_VALUES = 2**27  # components are fitted on so many dense values, 512 MB
_MIN_SD = 1e-6  # under it values differ by rounding, as totals do that were normalised to one
_VALUES = {"counts": "counts", "normalised": "normalised values"}
_MIN_NOISE = 0.0025  # share of a gene's variance: an error of 5% of its sd is never taken for a signal


@dataclass(frozen=True)
class Expression(Standardiser):
    """The map from a cell's expression to the input of a model, fitted on training cells, with their scale and range.

    Attributes
    ----------
    scale
        How normalised training values came about, and the largest; None in records of schema 1.
    range
        Where the training cells lie; None in records of schema 1.
    """

    scale: Scale | None = None
    range: TrainingRange | None = None

    @classmethod
    def fit(cls, x: Any, genes: pd.Index, clip: float = 10.0, *, whole: Any = None) -> Expression:
        """Fit on training cells `x` (cells x genes, dense or CSR). Peak memory: one block of 4,096 cells.

        `whole` holds the same cells with all genes that were measured, from which normalised values tell their scale.
        """
        kind: Kind = "counts" if is_counts(x) else "normalised"
        total, gene_total = _totals(x)
        positive = total[total > 0]
        if positive.size == 0:
            raise ChromatellError(
                "No training cell expresses any selected gene. Select more genes: ctl.pp.select_features(mdata)."
            )
        target_sum = float(np.median(positive)) if kind == "counts" else 0.0
        n = x.shape[0]
        s1, s2, above = (np.zeros(x.shape[1]) for _ in range(3))
        detected = []
        largest = 0.0
        moments = over_rows(current_client(), _moments, x, block_rows(x.shape[1]), kind, target_sum)
        for first, second, positives, n_positive, high in moments:
            s1, s2, above = s1 + first, s2 + second, above + positives
            detected.append(np.log1p(n_positive))
            largest = max(largest, high)
        own_scale = find_scale(x if whole is None else whole) if kind == "normalised" else None
        if kind == "normalised" and own_scale is None and largest > MOST_LOGGED:
            warn(
                f"Expression holds decimals up to {largest:,.4g}, taken as they are: no size factor, no log1p. Where "
                "they are corrected counts, round them: rna.X = np.rint(rna.X); else sc.pp.normalize_total(rna); "
                "sc.pp.log1p(rna)."
            )
        scale = Scale(False, 0.0, largest) if own_scale is None else replace(own_scale, largest=largest)
        mean = s1 / n
        sd = np.sqrt(np.maximum(s2 / n - mean**2, 0))
        library = np.log1p(np.maximum(total, 0))
        spread = float(library.std())
        n_detected = np.concatenate(detected)
        return cls(
            genes=pd.Index(genes),
            kind=kind,
            scale=scale,
            target_sum=target_sum,
            mean=mean.astype(np.float32),
            sd=np.where(sd > _MIN_SD, sd, 1.0).astype(np.float32),
            share=(gene_total / gene_total.sum()).astype(np.float32),
            rate=(above / n).astype(np.float32),
            library_mean=float(library.mean()),
            library_sd=spread if spread > _MIN_SD else 1.0,
            detected_mean=float(n_detected.mean()),
            detected_sd=float(n_detected.std()),
            clip=clip,
        )

    def arrays(self) -> dict[str, np.ndarray]:
        """Return the statistics as plain arrays, for a record."""
        numbers = [self.target_sum, self.library_mean, self.library_sd, self.detected_mean, self.detected_sd, self.clip]
        arrays = {
            "scaling.gene_mean": self.mean,
            "scaling.gene_sd": self.sd,
            "scaling.gene_share": self.share,
            "scaling.gene_rate": self.rate,
            "scaling.expression": np.array(numbers),
        }
        if self.loadings is not None and self.noise is not None:
            arrays |= {"scaling.gene_loadings": self.loadings, "scaling.gene_noise": self.noise}
        if self.range is not None:
            arrays |= self.range.arrays()
        if self.scale is not None:
            arrays["scaling.scale"] = np.array([float(self.scale.log), self.scale.total, self.scale.largest])
        return arrays

    @classmethod
    def from_arrays(cls, genes: pd.Index, kind: str, arrays: Mapping[str, np.ndarray]) -> Expression:
        """Return them from a record; shapes and values are checked."""
        one_of(kind, ("counts", "normalised"), "expression_kind")
        n = (len(genes),)
        target_sum, library_mean, library_sd, detected_mean, detected_sd, clip = (
            float(v) for v in stored(arrays, "scaling.expression", (6,))
        )
        if not library_sd > 0:
            raise ChromatellError(f"The stored sd of the cells' totals is {library_sd:g}; it must be above 0.")
        loadings = noise = None
        if "scaling.gene_loadings" in arrays:  # not in records of schema 1
            k = arrays["scaling.gene_loadings"].shape[-1]
            loadings = stored(arrays, "scaling.gene_loadings", (*n, k))
            noise = np.maximum(stored(arrays, "scaling.gene_noise", n), np.float32(_MIN_NOISE))
        scale = training_range = None
        if "scaling.range_means" in arrays and loadings is not None:
            training_range = TrainingRange.from_arrays(loadings.shape[1], arrays, counts=kind == "counts")
        if "scaling.scale" in arrays:
            log, total, largest = (float(v) for v in stored(arrays, "scaling.scale", (3,)))
            scale = Scale(log > 0.5, total, largest)
        return cls(
            scale=scale,
            range=training_range,
            loadings=loadings,
            noise=noise,
            genes=genes,
            kind=cast("Kind", kind),
            target_sum=target_sum,
            mean=stored(arrays, "scaling.gene_mean", n),
            sd=stored(arrays, "scaling.gene_sd", n),
            share=stored(arrays, "scaling.gene_share", n),
            rate=stored(arrays, "scaling.gene_rate", n),
            library_mean=library_mean,
            library_sd=library_sd,
            detected_mean=detected_mean,
            detected_sd=detected_sd,
            clip=clip,
        )

    def align(self, rna: AnnData, floor: float = 0.5, *, quiet: bool = False) -> tuple[Any, np.ndarray]:
        """Return the model's genes of a query in the model's order, and which of them are there.

        Parameters
        ----------
        rna
            Any cells; its genes may be in any order, with others among them.
        floor
            Share of the model's genes below which the query is refused.
        quiet
            Say nothing of what can be used all the same: it was said.

        Returns
        -------
        x : CSR or dense, (n_obs, present)
            The genes that are there.
        present : bool (g,)

        Raises
        ------
        ChromatellError
            Fewer than `floor` of the genes are there, or the values are of another kind than in training.
        """
        position = rna.var_names.get_indexer(self.genes)
        present = position >= 0
        n_missing = int((~present).sum())
        if present.mean() < floor:
            raise ChromatellError(
                f"The query holds {int(present.sum())} of the model's {len(self.genes)} genes ({present.mean():.0%}; "
                f"at least {floor:.0%} are needed). The model's names look like {examples(self.genes)}, the query's "
                f"like {examples(rna.var_names)}. {self._in_raw(rna, floor) or cure_of_names(rna, self.genes, floor)}"
            )
        if n_missing and not quiet:
            warn(
                f"{n_missing} of the model's {len(self.genes)} genes are not in the query (such as "
                f"{examples(self.genes[~present])}); they are "
                f"{'set to the training mean' if self.loadings is None else 'estimated from the others'}."
            )
        x = columns(matrix(rna), position[present])
        kind = "counts" if is_counts(x) else "normalised"
        if kind != self.kind:
            if self.kind == "counts":
                cure = kept_counts(rna, "rna") or "Put the counts into rna.X"
                if n_negative := negative_values(x):
                    raise ChromatellError(
                        f"The model was trained on counts; the query's X holds {n_negative} negative values. {cure}."
                    )
                if find_scale(matrix(rna)) is None:  # logarithms of counts, when rounded, would be taken for counts
                    cure += "; where its decimals are corrected counts, round them: rna.X = np.rint(rna.X)"
            else:
                cure = (self.scale or Scale(True, 0.0)).recipe()
            raise ChromatellError(
                f"The model was trained on {_VALUES[self.kind]}; the query's X holds {_VALUES[kind]}. {cure}."
            )
        return self._on_scale(x, rna, present, quiet=quiet), present

    def _in_raw(self, rna: AnnData, floor: float) -> str:
        """Return what to do where ``.raw`` holds the genes that were left out of X, as scanpy's users keep them."""
        if rna.raw is None or self.genes.isin(rna.raw.var_names).mean() < floor:
            return ""
        n_held = int(self.genes.isin(rna.raw.var_names).sum())
        return f"rna.raw holds {n_held} of them: rna = rna.raw.to_adata()."

    def _on_scale(self, x: Any, rna: AnnData, present: np.ndarray, *, quiet: bool) -> Any:
        """Return a query's values on the scale of training where that is exact; say, or refuse, what is not."""
        if self.kind == "normalised" and self.scale is not None and self.scale.total:
            own, wanted = find_scale(matrix(rna)), self.scale
            if own is not None and not own.is_as(wanted):
                log = logger.debug if quiet else logger.info
                log(f"The query holds {own}; it is brought to the training cells' {wanted}.")
                known = own
                x = (
                    x.changed(lambda block: known.to(wanted, block))
                    if isinstance(x, DiskMatrix)
                    else known.to(wanted, x)
                )
        mass = float(self.share[present].sum())
        off = far_off(x, rna, mass, self.library_mean, self.library_sd, self.scale, counts=self.kind == "counts")
        if off is not None:
            message, hopeless = off
            if hopeless:
                raise ChromatellError(message)
            if not quiet:
                warn(message)
        return x

    def out_of_range(self, rna: AnnData) -> np.ndarray | None:
        """Return each cell's distance from the training cells, float32 (cells,); above 1 it is out of range."""
        if self.range is None:
            return None
        return self.range.distance(self, *self.align(rna, quiet=True))

    def with_range(self, train: Any, val: Any, seed: int) -> Expression:
        """Return the same map, which knows where the training cells lie; `val` sets the threshold."""
        return replace(self, range=TrainingRange.fit(self, train, val, seed))

    def filled_by(self, embedding: Embedding) -> Expression:
        """Return the same map, which estimates missing genes from the components of the training cells."""
        loadings = embedding.components * embedding.sd
        noise = np.maximum(1 - np.square(loadings).sum(axis=1), _MIN_NOISE).astype(np.float32)
        return replace(self, loadings=loadings, noise=noise)


def components_there(asked: int, shape: tuple[int, ...]) -> int:
    """Return how many components to take of cells x genes; where that is fewer than were asked for, say so."""
    n = min(asked, max(1, min(shape) - 1))
    if n < asked:
        logger.info(f"n_pcs={asked}: {shape[0]} training cells x {shape[1]} genes have {n} components, which are read.")
    return n


@dataclass(frozen=True)
class Embedding:
    """Principal components of the z-scored training expression.

    Attributes
    ----------
    components
        float32 (g, k), orthonormal columns.
    sd
        float32 (k,), standard deviation of each score over the training cells.
    """

    components: np.ndarray
    sd: np.ndarray

    @classmethod
    def fit(
        cls, expression: Expression, x: Any, n_components: int = 50, max_cells: int = 20_000, seed: int = 0
    ) -> Embedding:
        """Fit on training cells `x` (raw), at most `max_cells` of them, drawn at random.

        Up to 512 MB of z-scores are made dense; more than that stays sparse, or, where `x` is dense, is fitted on fewer
        cells. Memory is that of the drawn cells.
        """
        from sklearn.utils.extmath import randomized_svd

        rng = np.random.default_rng(seed)
        sparse = min(x.shape[0], max_cells) * x.shape[1] > _FIT_VALUES and is_sparse(x)
        if not sparse:
            max_cells = max(1000, min(max_cells, _FIT_VALUES // max(x.shape[1], 1)))
        rows = np.sort(rng.choice(x.shape[0], max_cells, replace=False)) if x.shape[0] > max_cells else slice(None)
        part = x[rows]
        if sparse:
            k = int(min(n_components, min(part.shape) - 1)) or 1
            components, scores = sparse_scores(expression, read(part)).components(k, seed)
            return cls(components, np.maximum(scores.std(axis=0), 1e-6).astype(np.float32))
        z = np.empty((part.shape[0], len(expression.genes)), dtype=np.float32)
        for some, values, _ in expression.blocks(part):
            z[some] = values
        k = int(min(n_components, min(z.shape) - 1)) or 1
        _, _, vt = randomized_svd(z, k, n_iter=4, random_state=seed)
        scores = z @ vt.T
        return cls(
            np.ascontiguousarray(vt.T, dtype=np.float32), np.maximum(scores.std(axis=0), 1e-6).astype(np.float32)
        )

    def transform(self, z: np.ndarray) -> np.ndarray:
        """Return the scores, float32 (cells, k)."""
        return z @ self.components


def _totals(x: Any) -> tuple[np.ndarray, np.ndarray]:
    """Return the sums of cells and of genes, float64, from one reading of the matrix."""
    of_cells, of_genes = [], np.zeros(x.shape[1])
    for cells, genes in over_rows(current_client(), _sums, x, BLOCK):
        of_cells.append(cells)
        of_genes += genes
    return np.concatenate(of_cells) if of_cells else np.zeros(0), of_genes


def _sums(block: Any) -> tuple[np.ndarray, np.ndarray]:
    cells = np.asarray(block.sum(axis=1), dtype=np.float64).ravel()
    if sp.issparse(block):  # SciPy sums in float32, whatever it is asked for
        block = sp.csr_matrix(block)
        return cells, np.bincount(block.indices, block.data, minlength=block.shape[1])
    return cells, block.sum(axis=0, dtype=np.float64)


def _moments(block: Any, kind: Kind, target_sum: float) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, float]:
    """Return sums, sums of squares and positive cells of each gene, positive genes of each cell, the largest value."""
    if sp.issparse(block):
        block = sp.csr_matrix(block, dtype=np.float32)
        if not block.has_canonical_format:
            block = block.copy()
            block.sum_duplicates()
        value, m = normalised(block, kind, target_sum).astype(np.float64), block.shape[1]
        positive = block.data > 0
        sums = [np.bincount(block.indices, weights, minlength=m) for weights in (value, value**2, positive)]
        cell = np.concatenate([[0], np.cumsum(positive)])[block.indptr]
        return *sums, np.diff(cell), float(block.data.max(initial=0))
    block = np.asarray(block, dtype=np.float32)
    dense = normalised_dense(block, kind, target_sum).astype(np.float64)
    over = block > 0
    return dense.sum(axis=0), (dense**2).sum(axis=0), over.sum(axis=0), over.sum(axis=1), float(block.max(initial=0))
