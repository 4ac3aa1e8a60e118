"""Sparse targets of a batch, made from CSR rows at the cost of the entries that are read: no sort, whatever the width.

A step looks at the targets one block of columns at a time. In a CSR row the entries of a block lie side by side, so a
second `indptr`, one entry per row and block, turns the same arrays into a CSR matrix of (row, block) pairs: one gather
of pairs in the order of blocks is the batch.
"""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp
import torch

from chromatell.nn.losses import SparseTarget

_AT_ONCE = 2**17  # entries


class BlockedRows:
    """CSR (cells, regions) from which the targets of any cells are gathered.

    Parameters
    ----------
    x
        CSR; its columns are sorted in each row if they are not.
    width
        Regions in a block.
    """

    def __init__(self, x: sp.csr_matrix, width: int):
        if not x.has_sorted_indices:
            x = x.sorted_indices()
        n, self.n_regions = x.shape
        self.width = max(1, min(width, self.n_regions))
        self.n_blocks = max(1, -(-self.n_regions // self.width))
        if self.n_blocks == 1:
            indptr = x.indptr
        else:
            n_entries = _entries(x, self.width, self.n_blocks)
            indptr = np.concatenate([[0], np.cumsum(n_entries)])
        self._ones = bool(x.nnz and x.data.min() == 1 and x.data.max() == 1)
        data = np.ones(x.nnz, dtype=np.int8) if self._ones else x.data  # a quarter to gather, and it is not looked at
        arrays = (data, x.indices, indptr.astype(x.indices.dtype if x.nnz < 2**31 else np.int64, copy=False))
        self._pairs = sp.csr_matrix(arrays, shape=(n * self.n_blocks, self.n_regions), copy=False)
        self._n = n

    def __len__(self) -> int:
        return self._n

    def target(self, rows: np.ndarray | None = None) -> SparseTarget:
        """Return the targets of some rows, in their order; all where None."""
        rows = np.arange(self._n) if rows is None else np.asarray(rows)
        if self.n_blocks == 1:
            pairs = self._pairs[rows]
        else:
            pairs = self._pairs[(rows * self.n_blocks + np.arange(self.n_blocks)[:, np.newaxis]).ravel()]
        n = len(rows)
        counts = np.diff(pairs.indptr).astype(np.int32, copy=False).reshape(self.n_blocks, n)
        return SparseTarget(
            counts=torch.from_numpy(counts),
            region=torch.from_numpy(pairs.indices),
            value=None if self._ones else torch.from_numpy(pairs.data),
            bounds=tuple(pairs.indptr[::n].tolist()) if n else (0,) * (self.n_blocks + 1),
            width=self.width,
        )


def _entries(x: sp.csr_matrix, width: int, n_blocks: int) -> np.ndarray:
    """Return how many entries each row has in each block, int64 (rows x blocks,): some rows at a time, in the cache."""
    n = x.shape[0]
    out = np.empty(n * n_blocks, dtype=np.int64)
    step = int(min(_AT_ONCE, max(1, _AT_ONCE * n // max(x.nnz, 1))))
    for start in range(0, n, step):
        stop = min(start + step, n)
        key = x.indices[x.indptr[start] : x.indptr[stop]] // width
        key += np.repeat(np.arange(stop - start, dtype=key.dtype) * n_blocks, np.diff(x.indptr[start : stop + 1]))
        out[start * n_blocks : stop * n_blocks] = np.bincount(key, minlength=(stop - start) * n_blocks)
    return out


def sparse_target(x: sp.csr_matrix, width: int) -> SparseTarget:
    """Return the targets of all rows of a CSR matrix, in blocks of `width` columns."""
    return BlockedRows(x, width).target()
