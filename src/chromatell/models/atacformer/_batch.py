"""What a step reads: cells as sentences, what is asked of them, and the same cells changed."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

from chromatell.nn.batch import Batch


@dataclass
class Asked(Batch):
    """Pairs of cell and bin whose state is asked, and how often each state is asked of such a pair.

    Attributes
    ----------
    cell, bin
        int64 (asked,): place of the cell in the batch, and the bin.
    state
        int64 (asked,): 0 not in the sentence, 1 in it and seen, 2 in it but removed.
    log_rate
        float32 (asked, 3): log of the expected number of times that the pair would be asked, were it in each state.
    n_asked
        Pairs of each cell, on the host, where they are needed: a GPU is not asked for them. Cells at the end of which
        nothing is asked may be left out.
    """

    cell: Tensor
    bin: Tensor
    state: Tensor
    log_rate: Tensor
    n_asked: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        if not self.n_asked and len(self.cell):
            self.n_asked = torch.bincount(self.cell).tolist()

    def of(self, new: Tensor) -> Asked:
        """Return what is asked of some cells, given the new place of each cell, int64 (cells,); -1 leaves it out."""
        cell = new[self.cell]
        kept = cell >= 0
        return Asked(cell[kept], self.bin[kept], self.state[kept], self.log_rate[kept])


@dataclass
class SentenceBatch(Batch):
    """Sentences of one step, packed.

    Attributes
    ----------
    tokens
        int64 (tokens,): each sentence is `<cls>`, `<context>` if any, its bins, then the `<eos>` tokens (unless these
        ask from outside).
    lengths
        int64 (cells,): tokens of each sentence. Equal lengths stand together.
    n_seen, n_removed
        float32 (cells,): open bins in the sentence, and taken out of it.
    context
        float32 (cells, n_context) or None.
    labels
        int64 (cells, n_labels), -1 where unknown, or None.
    asked
        What the decoder is asked; None in prediction.
    positive
        The same cells changed, for contrastive learning; None elsewhere.
    sizes, labelled
        `lengths`, and whether any cell has each label, on the host, where they are needed: a GPU is not asked for them.
    """

    tokens: Tensor
    lengths: Tensor
    n_seen: Tensor
    n_removed: Tensor
    context: Tensor | None = None
    labels: Tensor | None = None
    asked: Asked | None = None
    positive: Positive | None = None
    sizes: list[int] = field(default_factory=list)
    labelled: list[bool] = field(default_factory=list)

    def __post_init__(self) -> None:
        if not self.sizes:
            self.sizes = self.lengths.tolist()
        if self.labels is not None and not self.labelled:
            self.labelled = (self.labels >= 0).any(dim=0).tolist()

    def __len__(self) -> int:
        return self.lengths.shape[0]

    def some(self, cells: Tensor) -> SentenceBatch:
        """Return some of the sentences, int64 (n,), rising; what is asked of them, and the same of their `positive`."""
        new = torch.full((len(self),), -1)
        new[cells] = torch.arange(len(cells))
        kept = (new >= 0)[torch.repeat_interleave(torch.arange(len(self)), self.lengths)]
        one_each = (self.lengths, self.n_seen, self.n_removed, self.context, self.labels)
        lengths, n_seen, n_removed, context, labels = (None if x is None else x[cells] for x in one_each)
        return SentenceBatch(
            self.tokens[kept],
            lengths,
            n_seen,
            n_removed,
            context,
            labels,
            asked=None if self.asked is None else self.asked.of(new),
            positive=None if self.positive is None else self.positive.some(cells),
        )


@dataclass
class Positive(Batch):
    """The cells of a batch, changed.

    Attributes
    ----------
    sentences
        Packed, in an order of their own, without a context.
    place
        int64 (cells,): where in `sentences` each cell of the batch is.
    cell, bin
        int64 (asked,): places in `sentences`, and bins, whose state is asked.
    state
        int64 (asked,): 0 open in neither, 1 kept, 2 dropped, 3 added.
    n_asked
        As of `Asked`.
    """

    sentences: SentenceBatch
    place: Tensor
    cell: Tensor
    bin: Tensor
    state: Tensor
    n_asked: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        if not self.n_asked and len(self.cell):
            self.n_asked = torch.bincount(self.cell).tolist()

    def some(self, cells: Tensor) -> Positive:
        """Return those of some cells of the batch, int64 (n,)."""
        kept = self.place[cells].sort().values
        new = torch.full((len(self.sentences),), -1)
        new[kept] = torch.arange(len(kept))
        asked = new[self.cell] >= 0
        return Positive(
            self.sentences.some(kept),
            new[self.place[cells]],
            new[self.cell][asked],
            self.bin[asked],
            self.state[asked],
        )
