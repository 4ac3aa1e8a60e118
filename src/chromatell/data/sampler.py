"""Orders of batches: what all depend on, single rows, and, from disk, whole blocks shuffled in a buffer."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from torch.utils.data import DataLoader, Dataset, Sampler

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


class EpochSampler(Sampler):
    """An order of batches that depends on (seed, epoch) alone, also in a run that resumes."""

    def __init__(self, seed: int) -> None:
        self.seed, self.epoch = seed, 0

    def set_epoch(self, epoch: int) -> None:
        """Set the epoch; Lightning calls this."""
        self.epoch = epoch

    def __iter__(self) -> Iterator[Any]:
        # a generator: Lightning asks for the iterator before it sets the epoch of a run that resumes
        yield from self.batches(np.random.default_rng([self.seed, self.epoch]))

    @abstractmethod
    def __len__(self) -> int:
        """Batches of an epoch."""

    @abstractmethod
    def batches(self, rng: np.random.Generator) -> Iterator[Any]:
        """Yield the batches of an epoch, drawn by its generator."""


def n_batches(n: int, batch_size: int, *, shuffle: bool) -> int:
    """Return the batches of n rows; in training a last batch of one row, which would stop batch norm, is left out."""
    return -(-n // batch_size) - int(shuffle and n > batch_size and n % batch_size == 1)


def batch_loader(dataset: Dataset, batches: Sampler) -> DataLoader:
    """Return a loader whose data set makes a whole batch of each item of the sampler."""
    return DataLoader(dataset, sampler=batches, batch_size=None)


class RowBatches(EpochSampler):
    """Batches of rows."""

    def __init__(self, n: int, batch_size: int, *, shuffle: bool, seed: int) -> None:
        super().__init__(seed)
        self.n, self.batch_size, self.shuffle = n, min(batch_size, n), shuffle

    def __len__(self) -> int:
        return n_batches(self.n, self.batch_size, shuffle=self.shuffle)

    def batches(self, rng: np.random.Generator) -> Iterator[np.ndarray]:
        """Yield places of rows."""
        order = rng.permutation(self.n) if self.shuffle else np.arange(self.n)
        for i in range(len(self)):
            yield order[i * self.batch_size : (i + 1) * self.batch_size]


class BlockBatches(EpochSampler):
    """Batches of rows for data on disk.

    Blocks of neighbouring rows are drawn at random, so a disk reads few pieces; the blocks of a buffer are shuffled
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
        super().__init__(seed)
        self.n, self.block = n, max(1, block)
        self.batch_size = max(1, min(batch_size, n))
        self.buffer = max(1, buffer // self.batch_size) * self.batch_size

    def __len__(self) -> int:
        return n_batches(self.n, self.batch_size, shuffle=True)

    def batches(self, rng: np.random.Generator) -> Iterator[Pick]:
        """Yield rows of a buffer."""
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
