"""What XChrom is trained on: statistics of training cells and training regions, and the batches of both."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from mudata import MuData
from torch.utils.data import DataLoader

from chromatell._keys import ATAC, HAS_SEQUENCE, RNA, TRAIN, VAL
from chromatell._validate import ChromatellError, examples, region_split_of, split_of, warn
from chromatell.data.accessibility import open_matrix, selected, true_depth
from chromatell.data.cell_embedding import CellEmbedding
from chromatell.data.covariates import Covariates
from chromatell.data.depth import DepthModel
from chromatell.data.sampler import batch_loader
from chromatell.data.sequences import Block, RegionBatches, RegionCells
from chromatell.genome.regions import places_of
from chromatell.genome.sequence import UNKNOWN
from chromatell.models.xchrom._fitted import SHRINK, Fitted
from chromatell.models.xchrom._regions import checked_tokens
from chromatell.models.xchrom._vectors import VectorData
from chromatell.nn.region_covariates import CovariateSource

_VAL_REGIONS = 2000


@dataclass
class TrainingData:
    """The selected regions and all cells of a MuData, with statistics of its training part."""

    fitted: Fitted
    cell_split: np.ndarray
    region_split: np.ndarray
    tokens: np.ndarray
    dataset: RegionCells
    share_open: float
    sizes: np.ndarray  # of each cell, log library size first; 0 where the embedding is the user's
    vectors: VectorData | None = None  # what the tower learns instead of pairs, once a first fit has found it

    @classmethod
    def fit(
        cls,
        data: MuData,
        config: Mapping[str, Any],
        sequence_length: int,
        seed: int,
        *,
        block: int = 16_384,
        source: CovariateSource | None = None,
    ) -> TrainingData:
        """Fit components, scales and depth on training cells; nothing of the others is looked at."""
        rna, atac = data.mod[RNA], data.mod[ATAC]
        setup, cell_split, keep = config["setup"], split_of(data), selected(atac)
        region_split, rows = region_split_of(atac)[keep], np.flatnonzero(cell_split == TRAIN)
        seen = region_split == TRAIN
        tokens = checked_tokens(atac.varm[setup["sequence"]][keep], sequence_length)
        _with_sequence(tokens, atac.var_names[keep])
        val = np.flatnonzero(cell_split == VAL)
        embedding = CellEmbedding.fit(rna, rows, key=setup["embedding"], n_pcs=config["n_pcs"], seed=seed, val=val)
        cells, sizes = embedding.transform(rna)
        covariates = Covariates.fit(data, rows, setup.get("batch_key"), setup.get("continuous_covariate_keys") or [])
        depth = true_depth(atac, setup["depth_key"])
        model = DepthModel.fit(cells[rows], sizes[rows], depth[rows], spread=embedding.spread)
        opened = open_matrix(atac, slice(None), keep)
        if seen.sum() < 2:
            raise ChromatellError(
                f"{int(seen.sum())} of the {len(seen)} selected regions are marked 'train'; at least 2, and better "
                "thousands, are needed. Split anew, ctl.pp.split_regions(mdata, seed=1), or select more regions."
            )
        share = float(opened[rows][:, seen].mean())
        if share == 0:
            raise ChromatellError(
                "No training region is open in any training cell: there is nothing to learn. Check mdata.mod['atac'].X "
                "and the splits."
            )
        predicted = SHRINK * model.predict(cells, sizes)
        cells = np.hstack([cells, covariates.transform(data, np.arange(rna.n_obs))])
        dataset = RegionCells(tokens, opened.T.tocsr(), cells, model.standardise(depth), predicted, block)
        fitted = Fitted(
            regions=atac.var_names[keep],
            places=places_of(atac)[keep],
            seen=seen,
            tuned=region_split == VAL,
            embedding=embedding,
            cell_covariates=covariates,
            depth_model=model,
            source=source or CovariateSource(),
        )
        return cls(fitted, cell_split, region_split, tokens, dataset, share, sizes)

    @property
    def start(self) -> tuple[float, float]:
        """Bias and depth slope where training starts: the logit of the share of open pairs, the sd of log depth."""
        p = min(self.share_open, 1 - 1e-4)
        return float(np.log(p / (1 - p))), self.fitted.depth_model.sd

    def loader(
        self, split: str, batch_size: int, cells_per_batch: int, seed: int, *, new_regions_only: bool = False
    ) -> DataLoader | None:
        """Return the batches of one split, or None where it holds nothing.

        Validation looks at new regions, in all cells but the test cells, and at as many known regions in new cells:
        these not with `new_regions_only`, where only the sequence side is being learned, which knows them by heart.
        """
        cells, regions = self.cell_split, self.region_split
        train = np.flatnonzero(regions == TRAIN)
        dataset: RegionCells | VectorData = self.dataset
        if split == TRAIN:
            dataset = self.vectors or self.dataset
            blocks = [Block(train, np.flatnonzero(cells == TRAIN))]
        else:
            new = np.flatnonzero(regions == VAL)
            n_known = min(train.size, new.size or _VAL_REGIONS)
            known = np.sort(np.random.default_rng(seed).choice(train, n_known, replace=False))
            blocks = [
                Block(new, np.flatnonzero((cells == TRAIN) | (cells == VAL))),
                Block(known, np.flatnonzero(cells == VAL)),
            ]
            if new_regions_only and new.size:
                blocks = blocks[:1]
            cells_per_batch = 0
        shuffle = split == TRAIN
        batches = RegionBatches(blocks, batch_size, shuffle=shuffle, cells_per_batch=cells_per_batch, seed=seed)
        return batch_loader(dataset, batches) if len(batches) else None


def _with_sequence(tokens: np.ndarray, names: pd.Index) -> None:
    empty = tokens.min(axis=1) == UNKNOWN
    if empty.any():
        message = (
            f"{int(empty.sum())} of {len(names)} regions (such as {examples(names[empty])}) have no sequence: all N. "
            f"Leave them out, mdata.mod['atac'] = atac[:, atac.var[{HAS_SEQUENCE!r}]].copy(), or give the FASTA of "
            "their build: ctl.pp.add_sequence(mdata, fasta)."
        )
        if empty.all():
            raise ChromatellError(message)
        warn(message)
