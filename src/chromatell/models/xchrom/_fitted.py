"""What XChrom knows of its training cells and regions beside the weights of its towers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from mudata import MuData

from chromatell._keys import ATAC, RNA
from chromatell._validate import ChromatellError
from chromatell.data.accessibility import true_depth
from chromatell.data.cell_embedding import CellEmbedding
from chromatell.data.cells import TILE, row_blocks
from chromatell.data.covariates import Covariates
from chromatell.data.depth import DepthModel
from chromatell.data.stored import stored
from chromatell.models._support import expression_of, observed_atac
from chromatell.models.stack._weights import Stack
from chromatell.models.xchrom._module import XChromConfig
from chromatell.models.xchrom._store import places_from, plain_places
from chromatell.nn.region_covariates import CovariateSource

SHRINK = np.float32(0.8)  # a predicted depth is drawn towards the mean: it is uncertain


class ReadCells(NamedTuple):
    """What is read of cells.

    Attributes
    ----------
    inputs
        float32 (cells, n_inputs), what the cell tower reads.
    log_depth
        float32 (cells,), standardised, as asked for.
    embedding, sizes
        float32 (cells, d) and (cells, s): the standardised embedding; log library size and the like.
    given
        Whether the depth is not the predicted one.
    """

    inputs: np.ndarray
    log_depth: np.ndarray
    embedding: np.ndarray
    sizes: np.ndarray
    given: bool


@dataclass
class Fitted:
    """Regions, and statistics of training cells and training regions.

    Attributes
    ----------
    regions
        Names of the model's own regions.
    places
        Their `chrom`, `start`, `end`.
    seen
        bool (regions,): those that were not held out.
    tuned
        bool (regions,): those that were marked 'val', on which options and the best weights are chosen; None where an
        older record does not say.
    cell_covariates
        Batches and the like, which the cell tower reads beside the embedding.
    source
        Start sites and motifs, of the covariates of regions.
    vectors
        float32 (regions, n_vector), with their own terms; of no region before the end of training.
    stack
        Simpler predictors of the seen regions, and their weights; None where the network predicts alone.
    """

    regions: pd.Index
    places: pd.DataFrame
    seen: np.ndarray
    tuned: np.ndarray | None
    embedding: CellEmbedding
    cell_covariates: Covariates
    depth_model: DepthModel
    source: CovariateSource = field(default_factory=CovariateSource)
    vectors: np.ndarray = field(default_factory=lambda: np.zeros((0, 0), dtype=np.float32))
    stack: Stack | None = None

    def read_cells(self, data: Any, depth: str, depth_key: str | None) -> ReadCells:
        """Return what is read of cells, at the depth asked for."""
        rna = expression_of(data)
        cells, sizes = self.embedding.transform(rna, RNA if isinstance(data, MuData) else "")
        if depth == "predicted":
            size = SHRINK * self.depth_model.predict(cells, sizes)
        elif depth == "fixed":
            size = np.zeros(rna.n_obs, dtype=np.float32)
        else:
            size = self.depth_model.standardise(true_depth(observed_atac(data), depth_key))
        inputs = np.hstack([cells, self.cell_covariates.transform(data, np.arange(rna.n_obs))])
        return ReadCells(inputs, size, cells, sizes, depth != "predicted")

    def beside_network(self, cells: ReadCells) -> dict[str, np.ndarray | None]:
        """Return what the stack reads of cells: the design of its regressions, and predicted depth over its mean.

        `deeper` is by how many times a given depth is above the predicted one; None where depth is predicted.
        """
        if self.stack is None:
            return {}
        simple, d = self.stack.simple, self.depth_model
        ratio = d.depth_of(d.predict(cells.embedding, cells.sizes)) / simple.depth_mean
        deeper = None
        if cells.given:
            deeper = d.depth_of(cells.log_depth) / simple.depth_mean / np.maximum(ratio, 1e-9)
        none = np.zeros((len(ratio), 0), dtype=np.float32)  # no other modality is read
        return {"design": simple.design(cells.embedding, cells.sizes[:, 0], none), "ratio": ratio, "deeper": deeper}

    def combined(
        self,
        network: np.ndarray,
        place: np.ndarray,
        design: np.ndarray | None = None,
        ratio: np.ndarray | None = None,
        deeper: np.ndarray | None = None,
    ) -> np.ndarray:
        """Return a block of predictions, with the stack's in its columns that have a `place` there; the rest stays."""
        known = np.flatnonzero(place >= 0)
        if self.stack is None or design is None or ratio is None or not known.size:
            return network
        for cols in (known[some] for some in row_blocks(known.size, TILE)):
            network[:, cols] = self.stack.combine(network[:, cols], design, ratio, place[cols], deeper)
        return network

    def described(self, wanted: bool) -> str:
        """Return what predicts, for the card; `wanted` is whether there was to be a stack."""
        if self.stack is None:
            return "the network alone" + (": there were no validation cells" if wanted else "")
        return f"known regions by {self.stack.described()}; other regions by the network alone"

    def places_in_stack(self, known: np.ndarray) -> np.ndarray:
        """Return the column of the stack of each region, by its place among the model's own; -1 where it has none."""
        place = np.where(self.seen, np.cumsum(self.seen) - 1, -1)
        return np.where(known >= 0, place[known], -1)

    # ---- the record

    @property
    def var_names(self) -> dict[str, list[str]]:
        """Names of the genes read (none where a query brings its embedding) and of the regions held."""
        return {RNA: list(map(str, self.embedding.genes)), ATAC: list(map(str, self.regions))}

    def plain(self) -> dict[str, Any]:
        """Return what is not an array, for a record's configuration."""
        return {
            "embedding": self.embedding.plain(),
            "cell_covariates": self.cell_covariates.plain(),
            "chromosomes": plain_places(self.places)[1],
        }

    def arrays(self) -> dict[str, np.ndarray]:
        """Return statistics, places and vectors as plain arrays."""
        arrays = self.embedding.arrays() | self.cell_covariates.arrays() | self.depth_model.arrays()
        arrays |= self.source.arrays()
        arrays |= {"regions.vectors": self.vectors, "regions.seen": self.seen}
        arrays |= {} if self.tuned is None else {"regions.tuned": self.tuned}
        arrays |= {} if self.stack is None else self.stack.arrays()
        return arrays | {"regions.places": plain_places(self.places)[0]}

    @classmethod
    def from_record(
        cls,
        config: Mapping[str, Any],
        network: XChromConfig,
        var_names: Mapping[str, list[str]],
        arrays: Mapping[str, np.ndarray],
    ) -> Fitted:
        """Return it from a record; shapes and values are checked."""
        genes, regions = pd.Index(var_names[RNA]), pd.Index(var_names[ATAC])
        covariates = Covariates.from_plain(config["cell_covariates"], arrays)
        d, n, seen = network.n_inputs - covariates.width, len(regions), arrays["regions.seen"]
        tuned = arrays.get("regions.tuned")
        for name, marked in {"regions.seen": seen, "regions.tuned": seen if tuned is None else tuned}.items():
            if marked.shape != (n,) or marked.dtype != bool:
                raise ChromatellError(f"The stored {name!r} does not fit the {n} regions. Ask for the file again.")
        return cls(
            regions=regions,
            places=places_from(regions, arrays["regions.places"], config["chromosomes"]),
            seen=seen,
            tuned=tuned,
            embedding=CellEmbedding.from_plain(config["embedding"], genes, d, arrays),
            cell_covariates=covariates,
            depth_model=DepthModel.from_arrays(d, arrays),
            source=CovariateSource.from_record(config, arrays),
            vectors=stored(arrays, "regions.vectors", (n, network.n_vector)).astype(np.float32, copy=False),
            stack=Stack.from_arrays(d, int(seen.sum()), arrays),
        )
