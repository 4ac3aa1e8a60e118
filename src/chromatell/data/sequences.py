"""Batches of regions x cells for models that read DNA: int8 tokens, sparse targets, nothing larger than the batch."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
import torch
from torch import Tensor
from torch.utils.data import Dataset

from chromatell.data.sampler import EpochSampler, n_batches
from chromatell.data.targets import sparse_target
from chromatell.nn.batch import Batch
from chromatell.nn.losses import SparseTarget


@dataclass
class RegionBatch(Batch):
    """Regions of one step, and the cells that they are learned from.

    Attributes
    ----------
    tokens
        int8 (regions, width): A C G T N = 0 1 2 3 4.
    cells
        float32 (cells, components): the standardised embedding.
    depth, predicted_depth
        float32 (cells,): standardised log depth, the cell's own and as predicted from its expression.
    target
        Sparse, with regions in rows and cells in columns.
    said
        float32 (regions, n_vector): what is known of the regions' vectors beside their sequence; None for nothing.
    """

    tokens: Tensor
    cells: Tensor
    depth: Tensor
    predicted_depth: Tensor
    target: SparseTarget | None = None
    said: Tensor | None = None

    def __len__(self) -> int:
        return self.tokens.shape[0]


@dataclass(frozen=True)
class Block:
    """Regions and cells that may meet in a batch: all of `regions` come once an epoch, with all or some `cells`."""

    regions: np.ndarray
    cells: np.ndarray


class RegionCells(Dataset):
    """Map-style data set over *batches*: its index is a pair of arrays (regions, cells), its item a `RegionBatch`.

    Parameters
    ----------
    tokens
        int8 (n_regions, width).
    open_by_region
        float32 CSR (n_regions, n_cells), 1 where open.
    cells, depth, predicted_depth
        Values of all cells, as in `RegionBatch`.
    block
        Cells at a time in the loss.
    """

    def __init__(
        self,
        tokens: np.ndarray,
        open_by_region: sp.csr_matrix,
        cells: np.ndarray,
        depth: np.ndarray,
        predicted_depth: np.ndarray,
        block: int = 16_384,
    ):
        self.tokens, self.open_by_region = tokens, open_by_region
        self.cells, self.depth, self.predicted_depth, self.block = cells, depth, predicted_depth, block
        self.said: np.ndarray | None = None  # (n_regions, n_vector), once it is known

    def __len__(self) -> int:
        return self.tokens.shape[0]

    def __getitem__(self, index: tuple[np.ndarray, np.ndarray]) -> RegionBatch:
        regions, cells = index
        part = self.open_by_region[regions]  # rows first: columns of the whole matrix cost more
        everything = len(cells) == part.shape[1] and bool((cells == np.arange(len(cells))).all())
        part = part if everything else part[:, cells]
        return RegionBatch(
            tokens=torch.from_numpy(np.ascontiguousarray(self.tokens[regions])),
            cells=torch.from_numpy(self.cells[cells]),
            depth=torch.from_numpy(self.depth[cells]),
            predicted_depth=torch.from_numpy(self.predicted_depth[cells]),
            target=sparse_target(part, self.block),
            said=None if self.said is None else torch.from_numpy(self.said[regions]),
        )


class RegionBatches(EpochSampler):
    """Batches of regions, block by block.

    Parameters
    ----------
    blocks
        What is passed in an epoch.
    cells_per_batch
        Cells drawn for each step; 0 takes all of the block's.
    """

    def __init__(self, blocks: list[Block], batch_size: int, *, shuffle: bool, cells_per_batch: int = 0, seed: int = 0):
        super().__init__(seed)
        self.blocks = [b for b in blocks if b.regions.size and b.cells.size]
        self.batch_size, self.shuffle = batch_size, shuffle
        self.cells_per_batch = cells_per_batch

    def _sizes(self, n: int) -> int:
        return n_batches(n, self.batch_size, shuffle=self.shuffle)

    def __len__(self) -> int:
        return sum(self._sizes(b.regions.size) for b in self.blocks)

    def batches(self, rng: np.random.Generator) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yield places of regions and of cells."""
        for block in self.blocks:
            order = rng.permutation(block.regions) if self.shuffle else block.regions
            for i in range(self._sizes(order.size)):
                cells = block.cells
                if 0 < self.cells_per_batch < cells.size:
                    cells = np.sort(rng.choice(cells, self.cells_per_batch, replace=False))
                yield order[i * self.batch_size : (i + 1) * self.batch_size], cells
