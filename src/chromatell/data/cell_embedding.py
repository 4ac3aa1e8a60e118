"""The embedding of a cell that a model reads: the user's own, or principal components fitted on training cells."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse as sp
from anndata import AnnData

from chromatell._keys import RNA, X_PCA
from chromatell._rows import DiskMatrix, matrix, read
from chromatell._settings import logger
from chromatell._validate import ChromatellError, examples
from chromatell._values import expressed, is_counts, nonnegative, values
from chromatell.data.accessibility import selected
from chromatell.data.cells import row_blocks, subset
from chromatell.data.expression import Embedding, Expression, components_there
from chromatell.data.sparse_expression import projected
from chromatell.data.stored import stored

_ROWS = 4096
_LOOKED_AT = 5_000_000  # values, to tell what a matrix holds
_SCALED = 0.2  # share of negative values: centred expression has most of them
# A component that varies less is not stretched to a standard deviation of 1, which would stretch its noise too.
_LEAST = 0.1  # in standard deviations of a gene
_LEAST_SHARE = 0.02  # where these are not known, of the largest component's
_FITS = 1e-2  # a stored projection reproduces the embedding to this share of its spread


@dataclass(frozen=True)
class CellEmbedding:
    """What the cell side of a model reads, standardised with the statistics of the training cells.

    Attributes
    ----------
    key
        Key of ``rna.obsm``; '' where the components were fitted here.
    genes
        Names of the genes that a query is projected from; none where a query must bring the embedding itself.
    components
        float32 (genes, d).
    expression
        Normalisation before the projection; None where the user's matrix is only centred.
    gene_mean
        float32 (genes,), what the user's projection centres by; with `components` of ``rna.varm['PCs']``.
    kind
        'counts' or 'normalised', what the user's projection was fitted on; '' where there is none.
    mean, sd
        float32 (d,), of the training cells; sd at least a tenth of a gene's, or 2% of the largest component's.
    """

    key: str
    genes: pd.Index
    mean: np.ndarray
    sd: np.ndarray
    components: np.ndarray | None = None
    gene_mean: np.ndarray | None = None
    expression: Expression | None = None
    kind: str = ""

    @classmethod
    def fit(
        cls, rna: AnnData, rows: np.ndarray, *, key: str | None, n_pcs: int, seed: int, val: np.ndarray | None = None
    ) -> CellEmbedding:
        """Fit on the training cells at `rows`; `key` None computes principal components of the selected genes.

        The validation cells at `val` set the threshold of cells out of range.

        Peak memory: at most 20,000 training cells x genes as float32.
        """
        if key is not None:
            given = embedding_of(rna, key)
            mean, sd = _scale(given[rows])
            own = _own_projection(rna, key, given)
            if own is None:
                return cls(key, pd.Index([]), mean, sd)
            genes, components, gene_mean = own
            return cls(key, genes, mean, sd, components, gene_mean, kind=_kind(matrix(rna)))
        keep = selected(rna)
        x = subset(matrix(rna), rows, keep)
        n_pcs = components_there(n_pcs, x.shape)
        if is_scaled(rna):
            return cls._fit_scaled(np.asarray(read(x), dtype=np.float32), rna.var_names[keep], n_pcs, seed)
        expression = Expression.fit(x, rna.var_names[keep], whole=matrix(rna)[rows])
        embedding = Embedding.fit(expression, x, n_pcs, seed=seed)
        val = subset(matrix(rna), np.zeros(0, dtype=int) if val is None else val, keep)
        expression = expression.filled_by(embedding).with_range(x, val, seed)
        scores, _ = projected(expression, x, embedding.components)
        mean, sd = _scale(scores, _LEAST)
        return cls("", expression.genes, mean, sd, embedding.components, expression=expression)

    @classmethod
    def _fit_scaled(cls, x: np.ndarray, genes: pd.Index, n_pcs: int, seed: int) -> CellEmbedding:
        """Fit on expression that was scaled already: it is centred again, by the training cells, and no more."""
        from sklearn.utils.extmath import randomized_svd

        centre = x.mean(axis=0)
        _, _, vt = randomized_svd(x - centre, n_pcs, n_iter=4, random_state=seed)
        components = np.ascontiguousarray(vt.T, dtype=np.float32)
        mean, sd = _scale((x - centre) @ components, _LEAST)
        return cls("", genes, mean, sd, components, centre, kind="scaled")

    @property
    def n_components(self) -> int:
        """Length of the embedding."""
        return len(self.mean)

    @property
    def spread(self) -> np.ndarray:
        """What each component was divided by, (d,): in sd of a gene, or where that is not known, of the largest one."""
        return self.sd if self.expression is not None else self.sd / self.sd.max()

    def transform(self, rna: AnnData, name: str = RNA) -> tuple[np.ndarray, np.ndarray]:
        """Return the standardised embedding, float32 (cells, d), and the cells' sizes, 0 where unknown.

        `name` is that of the modality in which the user has the cells, '' of an AnnData by itself.

        Raises
        ------
        ChromatellError
            The query lacks the embedding, or too many genes to compute it.
        """
        if self.key and self.key in rna.obsm:
            scores = embedding_of(rna, self.key, self.n_components)
            sizes = np.zeros((rna.n_obs, 1), dtype=np.float32)
        elif self.expression is not None:
            scores, sizes = self._project_counts(rna, name)
        elif self.components is not None:
            scores, sizes = self._project_centred(rna), np.zeros((rna.n_obs, 1), dtype=np.float32)
        else:
            raise ChromatellError(
                f"The model reads rna.obsm[{self.key!r}], which the query lacks; there: {_there(rna)}. Compute it "
                "with the projection of the training cells (as sc.tl.ingest does; one fitted anew on the query means "
                f"something else) and put it there: rna.obsm[{self.key!r}] = values ({self.n_components} columns)."
            )
        z = (scores - self.mean) / self.sd
        return np.ascontiguousarray(np.clip(z, -20, 20), dtype=np.float32), sizes

    def _project_counts(self, rna: AnnData, name: str) -> tuple[np.ndarray, np.ndarray]:
        assert self.expression is not None
        assert self.components is not None
        nonnegative(rna, name, smoothed=True)
        expressed(rna, name)
        x, present = self.expression.align(rna)
        scores = np.empty((rna.n_obs, self.n_components), dtype=np.float32)
        sizes = []
        for rows in row_blocks(rna.n_obs, _ROWS):
            block = read(x[rows])
            z, library = self.expression.transform(block, present)
            scores[rows] = z @ self.components
            sizes.append(self.expression.sizes(library, block, present))
        return scores, np.concatenate(sizes)

    def _project_centred(self, rna: AnnData) -> np.ndarray:
        assert self.components is not None
        assert self.gene_mean is not None
        place = rna.var_names.get_indexer(self.genes)
        if (place < 0).any():
            raise ChromatellError(
                f"The query lacks {int((place < 0).sum())} of the {len(place)} genes that its embedding comes from "
                f"(such as {examples(self.genes[place < 0])}). Add them. {self._bring()}"
            )
        if _kind(matrix(rna)) != self.kind:
            raise ChromatellError(
                f"The embedding of the training cells was computed from {_OF_KIND[self.kind]}; the query's X "
                f"holds {_OF_KIND[_kind(matrix(rna))]}. Give X the same treatment. {self._bring()}"
            )
        if self.key:
            logger.info(f"The query has no obsm[{self.key!r}]: projected with the training data's varm['PCs'].")
        scores = np.empty((rna.n_obs, self.n_components), dtype=np.float32)
        for rows in row_blocks(rna.n_obs, _ROWS):
            x = read(matrix(rna)[rows][:, place])
            scores[rows] = (np.asarray(x.todense() if hasattr(x, "todense") else x) - self.gene_mean) @ self.components
        _finite(scores, rna, "X")
        return scores

    def _bring(self) -> str:
        if not self.key:
            return f"These {len(self.genes)} genes are needed, as they were in training."
        return f"Or compute the embedding yourself: rna.obsm[{self.key!r}] = values, {self.n_components} columns."

    # ---- the record

    def plain(self) -> dict[str, Any]:
        """Return what is not an array, for a record's configuration."""
        return {
            "key": self.key,
            "projects": self.components is not None,
            "kind": self.kind,
            "expression_kind": "" if self.expression is None else self.expression.kind,
        }

    def arrays(self) -> dict[str, np.ndarray]:
        """Return the statistics as plain arrays."""
        arrays = {"scaling.embedding_mean": self.mean, "scaling.embedding_sd": self.sd}
        if self.components is not None:
            arrays["scaling.components"] = self.components
        if self.gene_mean is not None:
            arrays["scaling.centre"] = self.gene_mean
        return arrays | (self.expression.arrays() if self.expression is not None else {})

    @classmethod
    def from_plain(
        cls, plain: Mapping[str, Any], genes: pd.Index, n_components: int, arrays: Mapping[str, np.ndarray]
    ) -> CellEmbedding:
        """Return it from a record; shapes and values are checked."""
        n, d = len(genes), (n_components,)
        kind, projects = plain["expression_kind"], bool(plain["projects"])
        return cls(
            key=str(plain["key"]),
            genes=genes,
            mean=stored(arrays, "scaling.embedding_mean", d),
            sd=np.maximum(stored(arrays, "scaling.embedding_sd", d), 1e-6),
            components=stored(arrays, "scaling.components", (n, *d)) if projects or kind else None,
            gene_mean=stored(arrays, "scaling.centre", (n,)) if projects and not kind else None,
            expression=Expression.from_arrays(genes, kind, arrays) if kind else None,
            kind=str(plain["kind"]),
        )


def embedding_of(rna: AnnData, key: str, width: int | None = None) -> np.ndarray:
    """Return ``rna.obsm[key]`` as finite float32 (cells, d)."""
    if key not in rna.obsm:
        raise ChromatellError(f"Did not find rna.obsm[{key!r}]; there: {_there(rna)}. Compute it, or name another.")
    value = rna.obsm[key]
    if sp.issparse(value):
        raise ChromatellError(
            f"rna.obsm[{key!r}] is sparse ({type(value).__name__}); an array of numbers, cells x components, is "
            f"needed: rna.obsm[{key!r}] = rna.obsm[{key!r}].toarray()."
        )
    array = np.asarray(value.to_numpy() if isinstance(value, pd.DataFrame) else value)
    if array.ndim != 2 or array.dtype.kind not in "fiu" or not array.shape[1]:
        raise ChromatellError(
            f"rna.obsm[{key!r}] is {type(value).__name__}, {array.dtype} {array.shape}; an array of numbers, cells x "
            "components, is needed."
        )
    with np.errstate(over="ignore"):  # what float32 cannot hold becomes infinite
        array = array.astype(np.float32)
    _finite(array, rna, f"obsm[{key!r}]")
    if width is not None and array.shape[1] != width:
        raise ChromatellError(
            f"rna.obsm[{key!r}] has {array.shape[1]} columns; the model was trained on {width}. Use the projection of "
            "the training cells."
        )
    return array


def _finite(array: np.ndarray, rna: AnnData, where: str) -> None:
    bad = ~np.isfinite(array).all(axis=1)
    if bad.any():
        raise ChromatellError(
            f"rna.{where} holds NaN or infinite values in {int(bad.sum())} of {len(array)} cells (such as "
            f"{examples(rna.obs_names[bad])}). Compute it again, or remove those cells."
        )


def _scale(scores: np.ndarray, least: float | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Return mean and sd, at least `least`, of each component; one that does not vary in training keeps its scale."""
    mean, sd = scores.mean(axis=0), scores.std(axis=0)
    most = sd.max()
    known = np.maximum(sd, _LEAST_SHARE * most if least is None else least)
    return mean, np.where(sd > 1e-5 * most, known, 1).astype(np.float32)


_OF_KIND = {"counts": "counts", "normalised": "normalised values", "scaled": "scaled values", "": "nothing"}


def _kind(x: Any) -> str:
    if x is None:
        return ""
    first = x[:_ROWS].read() if isinstance(x, DiskMatrix) else x
    v = values(first).reshape(-1)[:_LOOKED_AT]
    if not sp.issparse(first) and v.size and np.isfinite(v).all() and np.mean(v < 0) > _SCALED:
        return "scaled"
    return "counts" if is_counts(x) else "normalised"


def is_scaled(rna: AnnData) -> bool:
    """Return whether `X` holds scaled expression: dense, finite, a fifth and more of it below zero."""
    return _kind(matrix(rna)) == "scaled"


def _there(rna: AnnData) -> str:
    return examples(rna.obsm.keys(), 12) or "none"


def _own_projection(rna: AnnData, key: str, given: np.ndarray) -> tuple[pd.Index, np.ndarray, np.ndarray] | None:
    """Return (genes, components, centre) where ``varm['PCs']`` and the mean of `X` reproduce the embedding."""
    if key != X_PCA or rna.X is None or "PCs" not in rna.varm or rna.varm["PCs"].shape[1] < given.shape[1]:
        return None
    loadings = np.asarray(rna.varm["PCs"], dtype=np.float32)[:, : given.shape[1]]
    used = np.abs(loadings).sum(axis=1) > 0
    whole = matrix(rna)
    mean = np.asarray(whole.mean(axis=0), dtype=np.float32).ravel()
    if not used.any() or not np.isfinite(mean).all():  # a NaN or infinite value anywhere is in the mean of its gene
        return None
    mean = mean[used]
    rows = np.unique(np.linspace(0, rna.n_obs - 1, min(rna.n_obs, 500)).astype(int))
    x = read(whole[rows][:, used])
    again = (np.asarray(x.todense() if hasattr(x, "todense") else x) - mean) @ loadings[used]
    shift = (given[rows] - again).mean(axis=0)  # scanpy centres by the cells it was fitted on, which may be others
    if np.abs(again + shift - given[rows]).max() > _FITS * given[rows].std():
        return None
    centre = mean - np.linalg.lstsq(loadings[used].T, shift, rcond=None)[0].astype(np.float32)
    return rna.var_names[used], np.ascontiguousarray(loadings[used]), centre
