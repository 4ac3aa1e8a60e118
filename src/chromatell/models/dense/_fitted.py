"""What Dense knows of its training cells beside the network's weights, and what training alone reads."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from anndata import AnnData
from mudata import MuData

from chromatell._keys import ATAC, RNA, TRAIN, VAL
from chromatell._rows import matrix
from chromatell._settings import logger
from chromatell._validate import ChromatellError, split_of
from chromatell.data.accessibility import fragment_counts, open_matrix, selected, true_depth
from chromatell.data.cells import subset
from chromatell.data.covariates import Covariates
from chromatell.data.depth import DepthModel
from chromatell.data.expression import Embedding, Expression, components_there
from chromatell.data.inputs import Inputs
from chromatell.data.smoothing import Smoothing, fit_smoothing
from chromatell.data.sparse_expression import projected
from chromatell.data.stored import stored
from chromatell.models.dense._links import linked_pairs
from chromatell.models.dense._module import N_SIZES, DenseConfig
from chromatell.models.dense._presets import SmoothingConfig
from chromatell.models.stack._regressions import CELLS, Regressions
from chromatell.models.stack._weights import Stack

_CLAMP = 1e-4  # a region open nowhere (or everywhere) in training keeps a finite bias


class Scores(NamedTuple):
    """What is read of cells.

    Attributes
    ----------
    z
        float32 (cells, genes): z-scored expression.
    sizes
        float32 (cells, s): what depth is predicted from beside it.
    beside
        float32 (cells, n): log total, log number of detected genes, batches and covariates, other modalities.
    """

    z: np.ndarray
    sizes: np.ndarray
    beside: np.ndarray


@dataclass
class Fitted:
    """Names and statistics of the training cells, and what stands beside the network.

    Attributes
    ----------
    genes, regions
        Names, in the order of the network.
    projection
        float32 (genes, n_pcs): z-scores to what the network reads; None where that is the genes themselves.
    stack
        Simpler predictors and their weights; None where the network predicts alone.
    """

    genes: pd.Index
    regions: pd.Index
    expression: Expression
    depth_model: DepthModel
    covariates: Covariates
    inputs: Inputs
    projection: np.ndarray | None = None
    stack: Stack | None = None

    @classmethod
    def fit(
        cls, data: MuData, setup: Mapping[str, Any], network: DenseConfig, smoothing: SmoothingConfig, seed: int
    ) -> tuple[Fitted, Training]:
        """Fit on training cells alone; validation cells set the threshold beyond which a cell is out of range."""
        rna, atac = data.mod[RNA], data.mod[ATAC]
        rows, val = (np.flatnonzero(split_of(data) == part) for part in (TRAIN, VAL))
        genes, regions = selected(rna), selected(atac)
        names = rna.var_names[genes]
        x = subset(matrix(rna), rows, genes)
        expression = Expression.fit(x, names, whole=matrix(rna)[rows])
        if expression.kind == "normalised":
            logger.info("Expression is not integer: taken as already normalised (no size factor, no log1p).")
        reads_pcs = network.encoder in ("mlp", "autoencoder")
        n_pcs = components_there(network.n_pcs, x.shape) if reads_pcs and network.n_pcs else 0
        embedding = Embedding.fit(expression, x, max(n_pcs, 50), seed=seed)
        expression = expression.filled_by(embedding).with_range(x, subset(matrix(rna), val, genes), seed)
        scores, sizes = projected(expression, x, embedding.components)
        projection = None
        if n_pcs:
            projection = embedding.components[:, :n_pcs] / np.float32(np.sqrt((scores[:, :n_pcs] ** 2).mean()))
        depth = true_depth(atac, setup.get("depth_key"))[rows]
        fitted = cls(
            genes=names,
            regions=atac.var_names[regions],
            expression=expression,
            depth_model=DepthModel.fit(scores, sizes, depth, components=embedding.components),
            covariates=Covariates.fit(data, rows, setup.get("batch_key"), setup.get("continuous_covariate_keys") or []),
            inputs=Inputs.fit(data, setup.get("inputs", []), rows, seed),
            projection=projection,
        )
        y = targets_of(network, atac, rows, regions)
        share = np.asarray(y.sum(axis=0), dtype=np.float64).ravel() / len(rows)
        if not share.any():
            raise ChromatellError(
                "No selected region is open in any training cell: there is nothing to learn. Check mdata.mod['atac'].X "
                "and run ctl.pp.select_features(mdata) again."
            )
        smoother = None
        if (s := smoothing).mix > 0:
            top, n_entries = scores[:, : n_pcs or 30], float(share.sum() * len(rows))
            smoother = fit_smoothing(top, y, space=s.space, k=s.k, mix=s.mix, seed=seed, n_entries=n_entries)
        needs_links = network.linked_genes or network.encoder == "shared"
        some = np.sort(np.random.default_rng(seed).permutation(len(rows))[:CELLS])
        training = Training(
            share=share,
            is_share=network.likelihood != "poisson",
            smoother=smoother,
            links=linked_pairs(data, fitted.genes, fitted.regions) if needs_links else None,
            some=(rows[some], scores[some], sizes[some]),
            components=embedding.components,
        )
        return fitted, training

    @property
    def sizes(self) -> dict[str, Any]:
        """Fields of the network that follow the data."""
        return {
            "n_genes": len(self.genes),
            "n_regions": len(self.regions),
            "n_covariates": self.covariates.width + self.inputs.width,
            "n_pcs": 0 if self.projection is None else self.projection.shape[1],
        }

    def beside_expression(self, data: MuData | AnnData, rows: np.ndarray) -> np.ndarray:
        """Return what is read beside expression: batches and covariates, then other modalities; float32 (rows, n)."""
        return np.hstack([self.covariates.transform(data, rows), self.inputs.transform(data, rows)])

    def scores(self, x: Any, present: np.ndarray | None, covariates: np.ndarray) -> Scores:
        """Return what is read of cells; `covariates` is what `beside_expression` gives of them."""
        z, library = self.expression.transform(x, present)
        beside = np.column_stack([library, self.expression.detected(x, present), covariates])
        return Scores(z, self.expression.sizes(library, x, present), beside)

    def of_inputs(self, beside: np.ndarray) -> np.ndarray:
        """Return what other modalities hold of `Scores.beside`, float32 (cells, m), in the units of the regressions."""
        return beside[:, N_SIZES + self.covariates.width :] / self.inputs.units

    def depth_ratio(self, z: np.ndarray, sizes: np.ndarray, simple: Regressions) -> np.ndarray:
        """Return the predicted depth of cells over its mean in the training cells."""
        d = self.depth_model
        return d.depth_of(d.predict(z, sizes)) / simple.depth_mean

    def stacked(self, z: np.ndarray, sizes: np.ndarray, more: np.ndarray, given: np.ndarray | None) -> Callable:
        """Return what makes of a block of the network's predictions that of the stack."""
        stack, d = self.stack, self.depth_model
        assert stack is not None  # asked for only where there is one
        design, deeper = stack.simple.design(z, sizes[:, 0], more), None
        ratio = self.depth_ratio(z, sizes, stack.simple)
        if given is not None:
            deeper = d.depth_of(given) / stack.simple.depth_mean / np.maximum(ratio, 1e-9)
        return lambda block, regions: stack.combine(block, design, ratio, regions, deeper)

    # ---- the record

    @property
    def var_names(self) -> dict[str, list[str]]:
        """Names of the genes read, of the regions predicted, and of what is read of other modalities."""
        others = {name: list(map(str, one.names)) for name, one in self.inputs.of.items()}
        return {RNA: list(map(str, self.genes)), ATAC: list(map(str, self.regions)), **others}

    def plain(self) -> dict[str, Any]:
        """Return what is not an array, for a record's configuration."""
        inputs = {"inputs": self.inputs.plain()} if self.inputs.of else {}
        return {"expression_kind": self.expression.kind, "covariates": self.covariates.plain(), **inputs}

    def arrays(self) -> dict[str, np.ndarray]:
        """Return statistics as plain arrays."""
        arrays = self.expression.arrays() | self.depth_model.arrays() | self.covariates.arrays() | self.inputs.arrays()
        if self.projection is not None:
            arrays["scaling.projection"] = self.projection
        return arrays if self.stack is None else arrays | self.stack.arrays()

    @classmethod
    def from_record(
        cls, config: Mapping[str, Any], var_names: Mapping[str, list[str]], arrays: Mapping[str, np.ndarray]
    ) -> Fitted:
        """Return it from a record; shapes and values are checked."""
        names = {name: pd.Index(one) for name, one in var_names.items()}
        genes, regions = names.pop(RNA), names.pop(ATAC)
        n, n_pcs = len(genes), config["network"]["n_pcs"]
        inputs = Inputs.from_plain(config.get("inputs", []), names, arrays)
        return cls(
            genes=genes,
            regions=regions,
            expression=Expression.from_arrays(genes, config["expression_kind"], arrays),
            depth_model=DepthModel.from_arrays(n, arrays),
            covariates=Covariates.from_plain(config["covariates"], arrays),
            inputs=inputs,
            projection=stored(arrays, "scaling.projection", (n, n_pcs)) if n_pcs > 0 else None,
            stack=Stack.from_arrays(n, len(regions), arrays, inputs.width),
        )


@dataclass
class Training:
    """What is read in training alone, and left behind after it.

    Attributes
    ----------
    share
        float64 (regions,): mean of the targets over training cells; a share of open cells where `is_share`.
    links
        Genes, regions and distances of linked pairs.
    some
        Up to `CELLS` training cells: their rows, scores on `components`, and sizes.
    """

    share: np.ndarray
    is_share: bool
    smoother: Smoothing | None
    links: tuple[np.ndarray, np.ndarray, np.ndarray] | None
    some: tuple[np.ndarray, np.ndarray, np.ndarray]
    components: np.ndarray

    @property
    def start_bias(self) -> np.ndarray:
        """Where the bias of each region starts, float32 (regions,): a logit, or for counts a logarithm."""
        mean = np.clip(self.share, _CLAMP, None)
        inside = np.minimum(mean, 1 - _CLAMP)
        return np.log(inside / (1 - inside) if self.is_share else mean).astype(np.float32)

    def share_open(self, atac: AnnData, rows: np.ndarray, regions: np.ndarray) -> np.ndarray:
        """Return the share of open cells of each region among some `rows`, or all where that is known."""
        if self.is_share:
            return self.share
        opened = open_matrix(atac, rows, regions, lazy=True)
        return np.asarray(opened.sum(axis=0), dtype=np.float64).ravel() / len(rows)


def targets_of(network: DenseConfig, atac: AnnData, rows: np.ndarray, regions: np.ndarray) -> Any:
    """Return the targets of some cells, CSR, or unread where they are on disk."""
    make = fragment_counts if network.likelihood == "poisson" else open_matrix
    return make(atac, rows, regions, lazy=True)
