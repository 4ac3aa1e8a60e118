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
            first = np.repeat(np.arange(n, dtype=np.int64) * self.n_blocks, np.diff(x.indptr))
            n_entries = np.bincount(first + x.indices // self.width, minlength=n * self.n_blocks)
            indptr = np.concatenate([[0], np.cumsum(n_entries)])
        arrays = (x.data, x.indices, indptr.astype(x.indices.dtype if x.nnz < 2**31 else np.int64, copy=False))
        self._pairs = sp.csr_matrix(arrays, shape=(n * self.n_blocks, self.n_regions), copy=False)
        self._n = n

    def __len__(self) -> int:
        return self._n

    def target(self, rows: np.ndarray | None = None) -> SparseTarget:
        """Return the targets of some rows, in their order; all where None."""
        rows = np.arange(self._n) if rows is None else np.asarray(rows)
        if self.n_blocks == 1:
            found = self._pairs[rows]
        else:
            found = self._pairs[(rows * self.n_blocks + np.arange(self.n_blocks)[:, np.newaxis]).ravel()]
        n = len(rows)
        counts = np.diff(found.indptr).astype(np.int32, copy=False).reshape(self.n_blocks, n)
        return SparseTarget(
            counts=torch.from_numpy(counts),
            region=torch.from_numpy(found.indices),
            value=torch.from_numpy(found.data),
            bounds=tuple(found.indptr[::n].tolist()) if n else (0,) * (self.n_blocks + 1),
            width=self.width,
        )


def sparse_target(x: sp.csr_matrix, width: int) -> SparseTarget:
    """Return the targets of all rows of a CSR matrix, in blocks of `width` columns."""
    return BlockedRows(x, width).target()
