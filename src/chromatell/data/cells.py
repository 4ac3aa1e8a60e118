"""Batches of cells for models that read expression: dense input, sparse targets, nothing larger than the batch."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse as sp
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from chromatell._rows import DiskMatrix, compact, read
from chromatell.data.expression import Expression
from chromatell.data.sampler import BLOCK, BlockBatches, EpochSampler, Pick, RowBatches, batch_loader
from chromatell.data.smoothing import Smoothing
from chromatell.data.sparse_expression import sparse_scores
from chromatell.data.standardise import block_rows
from chromatell.data.targets import BlockedRows, sparse_target
from chromatell.nn.batch import Batch
from chromatell.nn.losses import SparseTarget

_CACHE_BYTES = 1024**3  # encoder inputs of all cells are kept in memory up to this size, targets up to half of it


@dataclass
class CellBatch(Batch):
    """Cells of one step.

    Attributes
    ----------
    x
        float32 (cells, genes or principal components): what the encoder reads.
    genes
        float32 (cells, genes): z-scored expression, where a skip or a reconstruction needs it.
    covariates
        float32 (cells, 2 + covariates): log total and log number of detected genes first.
    depth
        float32 (cells,): standardised log depth.
    target
        Sparse targets of all regions; None in prediction.
    """

    x: Tensor
    genes: Tensor | None
    covariates: Tensor
    depth: Tensor
    target: SparseTarget | None = None

    def __len__(self) -> int:
        return self.x.shape[0]


class CellInput:
    """What a model reads of each cell, made batch by batch from the raw expression (cached while it is small).

    Parameters
    ----------
    x
        Raw expression, CSR or dense (cells, present genes).
    present
        Which of the model's genes `x` holds; None for all.
    projection
        float32 (genes, pcs), or None to read the genes themselves.
    covariates
        float32 (cells, covariates), without the library size.
    keep_genes
        Whether the z-scored genes are wanted beside their projection.
    """

    def __init__(
        self,
        x: Any,
        expression: Expression,
        *,
        present: np.ndarray | None = None,
        projection: np.ndarray | None = None,
        covariates: np.ndarray | None = None,
        keep_genes: bool = False,
    ):
        self.x, self.expression, self.present = x, expression, present
        self.projection, self.covariates, self.keep_genes = projection, covariates, keep_genes
        width = projection.shape[1] if projection is not None else 0
        if projection is None or keep_genes:
            width += len(expression.genes)
        self._cache: list[np.ndarray] | None = None
        self._buffer: tuple[np.ndarray, Any] | None = None
        if x.shape[0] * width * 4 <= _CACHE_BYTES:
            parts = [
                self._read(rows)[: 3 if keep_genes else 2] for rows in row_blocks(x.shape[0], block_rows(x.shape[1]))
            ]
            self._cache = [np.concatenate(column) for column in zip(*parts, strict=True)]

    def __len__(self) -> int:
        return self.x.shape[0]

    @property
    def on_disk(self) -> bool:
        """Whether each batch is read from disk."""
        return self._cache is None and isinstance(self.x, DiskMatrix)

    def _read(self, rows: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return (x, sizes, genes) of some cells; without the genes where nobody reads them."""
        raw = self._raw(rows)
        whole = self.present is None or bool(self.present.all())
        if self.projection is not None and not self.keep_genes and whole and sp.issparse(raw):
            scores = sparse_scores(self.expression, raw)
            sizes = np.column_stack([scores.library, self.expression.detected(raw, self.present)])
            return scores.times(self.projection), sizes, np.zeros(0)
        z, library = self.expression.transform(raw, self.present)
        sizes = np.column_stack([library, self.expression.detected(raw, self.present)])
        return (z if self.projection is None else z @ self.projection), sizes, z

    def _raw(self, rows: Any) -> Any:
        if self._buffer is not None and not isinstance(rows, slice):
            place = places_in(self._buffer[0], rows)
            if place is not None:
                return self._buffer[1][place]
        return read(self.x[rows])

    def fill(self, buffer: np.ndarray) -> None:
        """Read the rows, sorted, that the next batches are taken from, where they are on disk and not cached."""
        if not self.on_disk:
            return
        if self._buffer is None or not np.array_equal(self._buffer[0], buffer):
            self._buffer = None
            self._buffer = (buffer, self.x[buffer].read())

    def __call__(self, rows: Any, depth: np.ndarray, target: SparseTarget | None = None) -> CellBatch:
        """Return the batch of the given rows; `depth` is that of all cells."""
        if self._cache is not None:
            x, covariates, *genes = [column[rows] for column in self._cache]
        else:
            x, covariates, *genes = self._read(rows)
        if self.covariates is not None and self.covariates.shape[1]:
            covariates = np.hstack([covariates, self.covariates[rows]])
        return CellBatch(
            x=torch.from_numpy(np.ascontiguousarray(x)),
            genes=torch.from_numpy(genes[0]) if self.keep_genes else None,
            covariates=torch.from_numpy(np.ascontiguousarray(covariates, dtype=np.float32)),
            depth=torch.from_numpy(np.ascontiguousarray(depth[rows], dtype=np.float32)),
            target=target,
        )


class CellDataset(Dataset):
    """Map-style data set over *batches*: its index is an array of rows, its item a `CellBatch`.

    Parameters
    ----------
    targets
        float32 (cells, regions), CSR or on disk: 1 where open, or counts. What is on disk is read once and held where
        it takes up to 512 MB, else a buffer of cells at a time.
    block
        Regions at a time in the loss.
    smoothing
        Averages the targets over neighbours: once where the result is small, else a batch at a time.
    """

    def __init__(
        self, inputs: CellInput, targets: Any, depth: np.ndarray, block: int, smoothing: Smoothing | None = None
    ):
        self.inputs, self.depth, self.block, self.smoothing = inputs, depth, block, smoothing
        if isinstance(targets, DiskMatrix) and targets.n_bytes <= _CACHE_BYTES // 2:
            targets = targets.read()
        self.targets: Any = targets
        self._buffer: tuple[np.ndarray, Any] | None = None
        self._blocked: BlockedRows | None = None
        if isinstance(targets, DiskMatrix):
            return
        if smoothing is not None and smoothing.size(targets) <= _CACHE_BYTES // 2:
            self.targets, self.smoothing = smoothing(targets, np.arange(targets.shape[0])), None
        if self.smoothing is None:
            self._blocked = BlockedRows(self.targets, block)

    def __len__(self) -> int:
        return len(self.inputs)

    @property
    def on_disk(self) -> bool:
        """Whether each buffer of cells is read from disk."""
        return isinstance(self.targets, DiskMatrix) or self.inputs.on_disk

    def __getitem__(self, rows: Any) -> CellBatch:
        if isinstance(rows, Pick):
            self._fill(rows.buffer)
            rows = rows.rows
        rows = np.asarray(rows)
        return self.inputs(rows, self.depth, self._target(rows))

    def _target(self, rows: np.ndarray) -> SparseTarget:
        """Return the targets of some rows: from memory, from the buffer, or read now."""
        if self._blocked is not None:
            return self._blocked.target(rows)
        place = None if self._buffer is None else places_in(self._buffer[0], rows)
        if self._buffer is None or place is None:
            own = read(self.targets[rows])
        elif self.smoothing is None:
            return self._buffer[1].target(place)
        else:
            own = self._buffer[1][place]
        return sparse_target(own if self.smoothing is None else self.smoothing.mixed(own, rows), self.block)

    def _fill(self, buffer: np.ndarray) -> None:
        """Read the rows of a buffer, once: its batches follow each other."""
        new = self._buffer is None or not np.array_equal(self._buffer[0], buffer)
        if isinstance(self.targets, DiskMatrix) and new:
            self._buffer = None  # the old one is let go before the new one is read
            y = self.targets[buffer].read()
            self._buffer = (buffer, BlockedRows(y, self.block) if self.smoothing is None else y)
        self.inputs.fill(buffer)


def cell_loader(
    dataset: CellDataset, batch_size: int, *, shuffle: bool, seed: int, order: str = "auto", block: int = BLOCK
) -> DataLoader:
    """Return a loader of batches; `order` is that of `TrainConfig`."""
    batches: EpochSampler
    if shuffle and (order == "blocks" or (order == "auto" and dataset.on_disk)):
        batches = BlockBatches(len(dataset), batch_size, seed=seed, block=block)
    else:
        batches = RowBatches(len(dataset), batch_size, shuffle=shuffle, seed=seed)
    return batch_loader(dataset, batches)


def places_in(buffer: np.ndarray, rows: np.ndarray) -> np.ndarray | None:
    """Return where rows stand in a sorted buffer, None where one is not there."""
    place = np.searchsorted(buffer, rows)
    return place if place.max(initial=0) < len(buffer) and np.array_equal(buffer[place], rows) else None


TILE = 512  # regions computed at a time: 512 cells of these stay in a core's cache


def row_blocks(n: int, size: int) -> Iterator[slice]:
    """Yield slices that cover ``range(n)``."""
    for start in range(0, n, size):
        yield slice(start, min(start + size, n))


def subset(x: Any, rows: np.ndarray, columns: np.ndarray) -> Any:
    """Return rows, and the columns that are True, of a matrix: CSR where it was sparse, unread where it is on disk."""
    part = x[rows]
    part = part if columns.all() else part[:, columns]
    return compact(part)
