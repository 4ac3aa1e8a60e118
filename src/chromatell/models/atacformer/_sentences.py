"""Cells as sentences of open bins, packed one after another; batches of about the same number of tokens."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse as sp
import torch
from torch.utils.data import DataLoader, Dataset

from chromatell.data.sampler import EpochSampler, batch_loader
from chromatell.models.atacformer._batch import Asked, Positive, SentenceBatch
from chromatell.models.atacformer._vocabulary import Vocabulary

CLOSED, SEEN, REMOVED = 0, 1, 2  # states of a bin: not in the sentence, in it, in it but removed
_WINDOW = 16  # batches among which sentences are sorted by length


@dataclass(frozen=True)
class Masking:
    """What is removed from a sentence in training, and what the decoder is asked.

    Attributes
    ----------
    low, high
        The share of open bins that is removed, uniform between these, drawn for each sentence.
    empty
        Share of sentences that are emptied wholly, so that the context alone must do (with a context only).
    n_seen
        Seen bins asked of a sentence, at most.
    n_negatives
        Closed bins drawn for a sentence, at least; `per_removed` for each removed bin where that is more.
    by_frequency
        Share of the closed bins that is drawn by how often a bin is open in training; the rest is drawn uniformly.
    """

    low: float = 0.15
    high: float = 0.6
    empty: float = 0.5
    n_seen: int = 32
    n_negatives: int = 256
    per_removed: float = 2.0
    by_frequency: float = 0.8


def pack(
    vocabulary: Vocabulary, bins: np.ndarray, lengths: np.ndarray, *, context: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Return (tokens, lengths) of sentences whose bins stand one after another in `bins`."""
    head = 1 + int(context)
    n_eos = vocabulary.n_inside
    total = lengths + head + n_eos
    start = np.concatenate([[0], np.cumsum(total)])
    tokens = np.empty(start[-1], dtype=np.int64)
    tokens[start[:-1]] = vocabulary.cls_token
    if context:
        tokens[start[:-1] + 1] = vocabulary.context
    before = np.concatenate([[0], np.cumsum(lengths)])[:-1]
    tokens[np.arange(len(bins)) + np.repeat(start[:-1] + head - before, lengths)] = bins
    tokens[(start[1:, None] - n_eos + np.arange(n_eos)).ravel()] = np.tile(vocabulary.eos[:n_eos], len(lengths))
    return tokens, total.astype(np.int64)


class Sentences(Dataset):
    """Data set over *batches*: its index is (rows, entropy), its item a `SentenceBatch`.

    With (rows, entropy, (rank, n_ranks)) it is every n-th sentence of that batch.

    Parameters
    ----------
    binarized
        CSR (cells, bins): 1 where open.
    room
        Bins that a sentence holds at most; of more, a random subset is taken.
    frequency
        float (bins,): share of training cells in which each bin is open.
    context
        float32 (cells, n_context), standardised, or None.
    labels
        int64 (cells, n_labels), -1 where unknown, or None.
    masking
        What is removed and asked; None for whole sentences and no question.
    """

    def __init__(
        self,
        binarized: sp.csr_matrix,
        vocabulary: Vocabulary,
        *,
        room: int,
        frequency: np.ndarray,
        context: np.ndarray | None = None,
        labels: np.ndarray | None = None,
        masking: Masking | None = None,
    ):
        self.binarized, self.vocabulary, self.room = binarized, vocabulary, room
        self.context, self.labels, self.masking = context, labels, masking
        self.positives: Callable[[np.ndarray, np.random.Generator], Positive] | None = None  # in contrastive training
        self.n_open = np.minimum(np.diff(binarized.indptr), room)
        if masking is not None:
            share = frequency / max(frequency.sum(), 1e-12)
            q = masking.by_frequency * share + (1 - masking.by_frequency) / len(share)
            self.q = q / q.sum()
            self.cumulative = np.cumsum(self.q)

    def __len__(self) -> int:
        return self.binarized.shape[0]

    @property
    def special(self) -> int:
        """Tokens of a sentence that are no bins."""
        return 1 + int(self.context is not None) + self.vocabulary.n_inside

    def __getitem__(self, index: tuple[Any, ...]) -> SentenceBatch:
        rows, entropy, *part = index
        batch = self._drawn(rows, entropy)
        if not part:
            return batch
        rank, n_ranks = part[0]  # the whole batch is drawn, so that its parts do not depend on their number
        return batch.some(torch.arange(rank, len(batch), n_ranks)) if len(batch) >= n_ranks else batch

    def _drawn(self, rows: np.ndarray, entropy: list[int]) -> SentenceBatch:
        rng = np.random.default_rng(entropy)
        part = self.binarized[rows]
        bins, cell, rank, n = self.shuffled(part, rng)
        m = self.masking
        n_removed = np.zeros(len(rows), dtype=np.int64)
        if m is not None:
            share = rng.uniform(m.low, m.high, len(rows))
            if self.context is not None:
                share[rng.random(len(rows)) < m.empty] = 1.0
            n_removed = np.rint(share * n).astype(np.int64)
        # equal lengths stand together, so that attention takes them in one call
        order = np.argsort(n - n_removed, kind="stable")
        place = np.argsort(order, kind="stable")
        rows, n, n_removed, cell = rows[order], n[order], n_removed[order], place[cell]
        kept = rank >= n_removed[cell]
        sort = np.argsort(cell[kept], kind="stable")
        tokens, lengths = pack(self.vocabulary, bins[kept][sort], n - n_removed, context=self.context is not None)
        asked = None if m is None else self._ask(m, part[order], bins, cell, kept, n, n_removed, rng)
        return SentenceBatch(
            tokens=torch.from_numpy(tokens),
            lengths=torch.from_numpy(lengths),
            n_seen=torch.from_numpy((n - n_removed).astype(np.float32)),
            n_removed=torch.from_numpy(n_removed.astype(np.float32)),
            context=None if self.context is None else torch.from_numpy(self.context[rows]),
            labels=None if self.labels is None else torch.from_numpy(self.labels[rows]),
            asked=asked,
            positive=None if self.positives is None else self.positives(rows, rng),
        )

    def shuffled(
        self, part: sp.csr_matrix, rng: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Return (bin, cell, rank in a random order) of each open bin, at most `room` a cell, and their numbers."""
        n = np.diff(part.indptr).astype(np.int64)
        cell = np.repeat(np.arange(len(n)), n)
        order = np.lexsort((rng.random(len(cell)), cell))  # cells stay in order
        rank = np.arange(len(cell)) - part.indptr[cell]
        bins = part.indices[order].astype(np.int64)
        if (n > self.room).any():
            fits = rank < self.room
            bins, cell, rank = bins[fits], cell[fits], rank[fits]
        return bins, cell, rank, np.minimum(n, self.room)

    def _ask(
        self,
        m: Masking,
        part: sp.csr_matrix,
        bins: np.ndarray,
        cell: np.ndarray,
        kept: np.ndarray,
        n: np.ndarray,
        n_removed: np.ndarray,
        rng: np.random.Generator,
    ) -> Asked:
        """Ask all removed bins, some seen ones, and drawn closed ones; say how often each state is asked."""
        n_seen = n - n_removed
        rate_seen = np.minimum(1.0, m.n_seen / np.maximum(n_seen, 1))
        seen = kept & (rng.random(len(bins)) < rate_seen[cell])
        n_drawn = np.maximum(m.n_negatives, np.rint(m.per_removed * n_removed)).astype(np.int64)
        drawn_cell = np.repeat(np.arange(len(n)), n_drawn)
        drawn = np.searchsorted(self.cumulative, rng.random(len(drawn_cell)) * self.cumulative[-1], side="right")
        drawn = np.minimum(drawn, self.vocabulary.n_bins - 1)
        open_key = np.repeat(np.arange(len(n)), np.diff(part.indptr)) * self.vocabulary.n_bins + part.indices
        closed = ~np.isin(drawn_cell * self.vocabulary.n_bins + drawn, open_key)
        asked_cell = np.concatenate([cell[~kept], cell[seen], drawn_cell[closed]])
        asked_bin = np.concatenate([bins[~kept], bins[seen], drawn[closed]])
        state = np.repeat([REMOVED, SEEN, CLOSED], [int((~kept).sum()), int(seen.sum()), int(closed.sum())])
        log_rate = np.zeros((len(state), 3), dtype=np.float32)
        log_rate[:, CLOSED] = np.log(
            n_drawn[asked_cell] * self.q[asked_bin]
        )  # draws that fall on open bins are left out
        log_rate[:, SEEN] = np.log(rate_seen[asked_cell])
        return Asked(*(torch.from_numpy(a) for a in (asked_cell, asked_bin, state, log_rate)))


class TokenBatches(EpochSampler):
    """Batches of rows with about `budget` tokens each, sentences of similar length together.

    The number of batches is the same in every epoch. Without `shuffle` every epoch is the first.
    """

    def __init__(self, lengths: np.ndarray, budget: int, *, shuffle: bool, seed: int):
        super().__init__(seed)
        self.lengths, self.shuffle = lengths.astype(np.int64), shuffle
        self.n_batches = int(min(len(lengths), max(1, -(-int(self.lengths.sum()) // budget))))

    def __len__(self) -> int:
        return self.n_batches

    def batches(self, rng: np.random.Generator) -> Iterator[tuple[np.ndarray, list[int]]]:
        """Yield places of sentences, and what draws from them."""
        epoch = self.epoch if self.shuffle else 0
        order = rng.permutation(len(self.lengths)) if self.shuffle else np.argsort(self.lengths, kind="stable")
        if self.shuffle:
            window = max(1, _WINDOW * len(order) // self.n_batches)
            order = np.concatenate(
                [
                    part[np.argsort(self.lengths[part], kind="stable")]
                    for part in np.split(order, range(window, len(order), window))
                ]
            )
        end = np.cumsum(self.lengths[order])
        cut = np.searchsorted(end, np.arange(1, self.n_batches) * (end[-1] / self.n_batches))
        step = np.arange(1, self.n_batches)
        cut = np.clip(np.maximum.accumulate(cut - step) + step, step, len(order) - self.n_batches + step)
        batches = np.split(order, cut)
        for i in rng.permutation(self.n_batches) if self.shuffle else range(self.n_batches):
            yield batches[i], [self.seed, epoch, int(i)]


def sentence_loader(dataset: Sentences, budget: int, *, shuffle: bool, seed: int) -> DataLoader:
    """Return a loader of batches with about `budget` tokens (counted before anything is removed)."""
    batches = TokenBatches(dataset.n_open + dataset.special, budget, shuffle=shuffle, seed=seed)
    return batch_loader(dataset, batches)
