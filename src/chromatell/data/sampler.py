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
    """

    buffer: np.ndarray
    rows: np.ndarray


class BlockBatches(Sampler):
    """Batches of rows for data on disk, in an order that depends on (seed, epoch) alone, also in a run that resumes.

    Blocks of neighbouring rows are drawn at random, so that a disk reads stretches; the blocks of a buffer are shuffled
    row by row. Every row comes once an epoch; with several ranks, each gets rows that no other gets, equally many (up
    to ``n_ranks - 1`` rows, other ones each epoch, are left out).

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
        rank: int = 0,
        n_ranks: int = 1,
    ):
        self.n, self.seed, self.epoch, self.block = n, seed, 0, max(1, block)
        self.rank, self.n_ranks = rank, n_ranks
        self.mine = n // n_ranks
        self.batch_size = max(1, min(batch_size, self.mine))
        self.buffer = max(1, buffer // self.batch_size) * self.batch_size

    def set_epoch(self, epoch: int) -> None:
        """Set the epoch; Lightning calls this."""
        self.epoch = epoch

    def __len__(self) -> int:
        # a last batch of one cell would stop batch norm
        return -(-self.mine // self.batch_size) - int(self.mine > 1 and self.mine % self.batch_size == 1)

    def __iter__(self) -> Iterator[Pick]:
        rng = np.random.default_rng([self.seed, self.epoch])
        starts = np.arange(0, self.n, self.block)[rng.permutation(-(-self.n // self.block))]
        order = (starts[:, np.newaxis] + np.arange(self.block)).ravel()
        order = order[order < self.n][self.rank * self.mine : (self.rank + 1) * self.mine]
        left = len(self)
        for first in range(0, self.mine, self.buffer):
            buffer = order[first : first + self.buffer]
            shuffled = rng.permutation(buffer)
            buffer = np.sort(buffer)
            for i in range(0, len(shuffled), self.batch_size):
                if left:
                    yield Pick(buffer, shuffled[i : i + self.batch_size])
                    left -= 1
