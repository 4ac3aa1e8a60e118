"""Orders in which training cells are read from disk: whole blocks at random, shuffled in a buffer."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from torch.utils.data import Sampler

BLOCK, BUFFER = 64, 4096


class Pick(NamedTuple):
    """A batch out of a buffer.

    Attributes
    ----------
    buffer
        Rows that are read together, sorted; the batches of one buffer follow each other.
    rows
        Those of the batch, in order.
    block
        Neighbouring rows that are read together.
    """

    buffer: np.ndarray
    rows: np.ndarray
    block: int = BLOCK

    def part(self, rank: int, n_ranks: int) -> Pick:
        """Return what one of several processes takes: every n-th block of the buffer, and the rows that lie there.

        No other process reads these blocks. Where one would be left without a row, they share the rows in turn.
        """
        owner = np.unique(self.buffer // self.block, return_inverse=True)[1] % n_ranks
        of_rows = owner[np.searchsorted(self.buffer, self.rows)]
        mine = self.buffer[owner == rank]
        if np.bincount(of_rows, minlength=n_ranks).min() == 0:
            return Pick(mine, part_of(self.rows, rank, n_ranks), self.block)
        return Pick(mine, self.rows[of_rows == rank], self.block)


def part_of(rows: np.ndarray, rank: int, n_ranks: int) -> np.ndarray:
    """Return what one process takes of the rows of a batch; at least one.

    Examples
    --------
    >>> import numpy as np
    >>> part_of(np.arange(5), 0, 2), part_of(np.arange(5), 1, 2), part_of(np.arange(1), 1, 2)
    (array([0, 2, 4]), array([1, 3]), array([0]))
    """
    return rows[rank::n_ranks] if len(rows) >= n_ranks else rows


class BlockBatches(Sampler):
    """Batches of rows for data on disk, in an order that depends on (seed, epoch) alone, also in a run that resumes.

    Blocks of neighbouring rows are drawn at random, so that a disk reads stretches; the blocks of a buffer are shuffled
    row by row. Every row comes once an epoch. Several processes share each batch, see `Pick.part`.

    Parameters
    ----------
    block
        Neighbouring rows that are read together.
    buffer
        Rows that are shuffled together and lie in memory; rounded to whole batches.
    """

    def __init__(
        self,
        n: int,
        batch_size: int,
        *,
        seed: int,
        block: int = BLOCK,
        buffer: int = BUFFER,
    ):
        self.n, self.seed, self.epoch, self.block = n, seed, 0, max(1, block)
        self.batch_size = max(1, min(batch_size, n))
        self.buffer = max(1, buffer // self.batch_size) * self.batch_size

    def set_epoch(self, epoch: int) -> None:
        """Set the epoch; Lightning calls this."""
        self.epoch = epoch

    def __len__(self) -> int:
        # a last batch of one cell would stop batch norm
        return -(-self.n // self.batch_size) - int(self.n > 1 and self.n % self.batch_size == 1)

    def __iter__(self) -> Iterator[Pick]:
        rng = np.random.default_rng([self.seed, self.epoch])
        starts = np.arange(0, self.n, self.block)[rng.permutation(-(-self.n // self.block))]
        order = (starts[:, np.newaxis] + np.arange(self.block)).ravel()
        order = order[order < self.n]
        left = len(self)
        for first in range(0, self.n, self.buffer):
            buffer = order[first : first + self.buffer]
            shuffled = rng.permutation(buffer)
            buffer = np.sort(buffer)
            for i in range(0, len(shuffled), self.batch_size):
                if left:
                    yield Pick(buffer, shuffled[i : i + self.batch_size], self.block)
                    left -= 1
