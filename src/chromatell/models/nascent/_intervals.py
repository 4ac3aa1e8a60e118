"""Intervals of bins for the networks that train region to region: each usable bin once an epoch, cut anew each time."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from chromatell.data.sampler import EpochSampler, batch_loader
from chromatell.models.nascent._networks import TrackBatch
from chromatell.models.nascent._sequence import MARGIN

Fetch = Callable[[int, int, int], np.ndarray]  # chromosome, first bin, behind the last -> int8 tokens


class Intervals(Dataset):
    """Intervals of several chromosomes, of which (chromosome, first bin) pairs give a batch.

    Parameters
    ----------
    signal
        Scaled signal of each chromosome, float32 (inputs, bins).
    targets
        Targets of each chromosome, float32 (targets, bins); NaN where a bin is unknown or does not count.
    window
        In bins.
    length
        Bins of an interval. It may reach over a chromosome's ends: no signal there, and nothing to learn.
    tokens
        Where the sequence is read.
    """

    def __init__(
        self, signal: list[np.ndarray], targets: list[np.ndarray], window: int, length: int, tokens: Fetch | None = None
    ) -> None:
        self.signal, self.targets = signal, targets
        self.half, self.length, self.tokens = window // 2, length, tokens

    def __len__(self) -> int:
        """Bins that count."""
        return sum(int(np.isfinite(y).any(axis=0).sum()) for y in self.targets)

    def __getitem__(self, rows: np.ndarray) -> TrackBatch:
        x, y, tokens = [], [], []
        for chrom, first in rows.tolist():
            behind = first + self.length
            x.append(_part(self.signal[chrom], first - self.half, behind + self.half, 0))
            y.append(_part(self.targets[chrom], first, behind, np.nan))
            if self.tokens is not None:
                tokens.append(torch.from_numpy(self.tokens(chrom, first - MARGIN, behind + MARGIN)))
        return TrackBatch(torch.stack(x), torch.stack(y), torch.stack(tokens) if tokens else None)


class IntervalBatches(EpochSampler):
    """Batches of (chromosome, first bin) that cover runs of bins.

    In training the cuts are drawn too, so that an interval and its phase differ between epochs.
    """

    def __init__(
        self, runs: list[tuple[int, int, int]], length: int, batch_size: int, *, shuffle: bool, seed: int
    ) -> None:
        super().__init__(seed)
        self.runs, self.length, self.batch_size, self.shuffle = runs, length, batch_size, shuffle
        self.n = sum(-(-(b - a) // length) + int(shuffle) for _, a, b in runs)  # one more: the first is cut short

    def __len__(self) -> int:
        return -(-self.n // self.batch_size)

    def batches(self, rng: np.random.Generator) -> Iterator[np.ndarray]:
        """Yield pairs, int64 (batch, 2)."""
        rows = []
        for chrom, a, b in self.runs:
            n = -(-(b - a) // self.length) + int(self.shuffle)
            first = a - int(rng.integers(self.length)) if self.shuffle else a
            rows += [(chrom, first + i * self.length) for i in range(n)]
        intervals = np.array(rows, dtype=np.int64)
        if self.shuffle:
            intervals = rng.permutation(intervals)
        for i in range(len(self)):
            yield intervals[i * self.batch_size : (i + 1) * self.batch_size]


def runs_of(usable: np.ndarray, hole: int) -> list[tuple[int, int]]:
    """Return runs of usable bins, [first, behind the last); holes up to so many bins do not end one.

    Examples
    --------
    >>> import numpy as np
    >>> runs_of(np.array([0, 1, 1, 0, 1, 0, 0, 0, 1], dtype=bool), 2)
    [(1, 5), (8, 9)]
    """
    at = np.flatnonzero(usable)
    if at.size == 0:
        return []
    ends = np.flatnonzero(np.diff(at) > hole + 1)
    firsts, lasts = np.append(at[0], at[ends + 1]), np.append(at[ends], at[-1])
    return [(int(a), int(b) + 1) for a, b in zip(firsts, lasts, strict=True)]


def interval_loader(dataset: Intervals, batch_size: int, *, shuffle: bool, seed: int) -> DataLoader:
    """Return a loader of batches."""
    runs = [
        (i, a, b) for i, y in enumerate(dataset.targets) for a, b in runs_of(np.isfinite(y).any(axis=0), dataset.length)
    ]
    batches = IntervalBatches(runs, dataset.length, batch_size, shuffle=shuffle, seed=seed)
    return batch_loader(dataset, batches)


def _part(values: np.ndarray, first: int, behind: int, outside: float) -> Tensor:
    """Return some columns, those beyond the ends filled."""
    n = values.shape[1]
    a, b = min(max(first, 0), n), min(max(behind, 0), n)
    part = torch.full((len(values), behind - first), outside)
    part[:, a - first : b - first] = torch.from_numpy(values[:, a:b])
    return part
