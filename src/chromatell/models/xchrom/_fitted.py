"""What XChrom knows of its training cells and regions beside the weights of its towers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from chromatell._keys import ATAC, RNA
from chromatell._validate import ChromatellError
from chromatell.data.accessibility import true_depth
from chromatell.data.cell_embedding import CellEmbedding
from chromatell.data.covariates import Covariates
from chromatell.data.depth import DepthModel
from chromatell.data.stored import stored
from chromatell.models._support import expression_of, observed_atac
from chromatell.models.xchrom._module import XChromConfig
from chromatell.models.xchrom._store import places_from, plain_places
from chromatell.nn.region_covariates import CovariateSource

SHRINK = np.float32(0.8)  # a predicted depth is drawn towards the mean: it is uncertain


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
    cell_covariates
        Batches and the like, which the cell tower reads beside the embedding.
    source
        Start sites and motifs, of the covariates of regions.
    vectors
        float32 (regions, n_vector), with their own terms; of no region before the end of training.
    """

    regions: pd.Index
    places: pd.DataFrame
    seen: np.ndarray
    embedding: CellEmbedding
    cell_covariates: Covariates
    depth_model: DepthModel
    source: CovariateSource = field(default_factory=CovariateSource)
    vectors: np.ndarray = field(default_factory=lambda: np.zeros((0, 0), dtype=np.float32))

    def read_cells(self, data: Any, depth: str, depth_key: str | None) -> tuple[np.ndarray, np.ndarray]:
        """Return what the cell tower reads, float32 (cells, n_inputs), and standardised log depth, (cells,)."""
        rna = expression_of(data)
        cells, library = self.embedding.transform(rna)
        if depth == "predicted":
            size = SHRINK * self.depth_model.predict(cells, library)
        elif depth == "fixed":
            size = np.zeros(rna.n_obs, dtype=np.float32)
        else:
            size = self.depth_model.standardise(true_depth(observed_atac(data), depth_key))
        return np.hstack([cells, self.cell_covariates.transform(data, np.arange(rna.n_obs))]), size

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
        if seen.shape != (n,) or seen.dtype != bool:
            raise ChromatellError(f"The stored 'regions.seen' does not fit the {n} regions. Ask for the file again.")
        return cls(
            regions=regions,
            places=places_from(regions, arrays["regions.places"], config["chromosomes"]),
            seen=seen,
            embedding=CellEmbedding.from_plain(config["embedding"], genes, d, arrays),
            cell_covariates=covariates,
            depth_model=DepthModel.from_arrays(d, arrays),
            source=CovariateSource.from_record(config, arrays),
            vectors=stored(arrays, "regions.vectors", (n, network.n_vector)).astype(np.float32, copy=False),
        )
