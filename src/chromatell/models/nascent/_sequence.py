"""Sequence beside the signal: bases -> a vector in each bin."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from chromatell._validate import ChromatellError, examples
from chromatell.genome.genome import Genome
from chromatell.nn.sequence_tower import one_hot

MARGIN = 8  # bins of sequence on each side of an interval
_DILATIONS = (1, 2, 4)


class SequenceStem(nn.Module):
    """Motif detectors, the best match of each in a bin and its mean, then a look at 7 bins on each side."""

    def __init__(self, n_filters: int, bin_size: int) -> None:
        super().__init__()
        self.bin_size = bin_size
        self.scan = nn.Conv1d(4, n_filters, min(15, 2 * bin_size - 1))
        self.start = nn.Conv1d(2 * n_filters, n_filters, 1)
        self.blocks = nn.ModuleList(nn.Conv1d(n_filters, n_filters, 3, dilation=d) for d in _DILATIONS)
        self.unused = (MARGIN - sum(_DILATIONS)) * bin_size - self.scan.kernel_size[0] // 2  # bases at each end

    def forward(self, tokens: Tensor) -> Tensor:
        """Return (intervals, filters, bins) of int8 (intervals, (bins + 2 * MARGIN) * bin_size)."""
        bases = one_hot(tokens[:, self.unused : tokens.shape[1] - self.unused])
        match = F.relu(self.scan(bases))
        best, mean = F.max_pool1d(match, self.bin_size), F.avg_pool1d(match, self.bin_size)
        h = self.start(torch.cat([best, mean], dim=1))
        for block in self.blocks:
            cut = block.dilation[0]
            h = h[:, :, cut : h.shape[2] - cut] + F.gelu(block(h), approximate="tanh")
        return h


def bin_tokens(genome: Genome, chrom: str, first: int, behind: int, bin_size: int) -> np.ndarray:
    """Return the bases of some bins, int8 (bases,); 4 where they are unknown or off the chromosome."""
    return genome.fetch(chrom, first * bin_size, behind * bin_size)


def open_genome(fasta: str | os.PathLike[str] | Genome | None, chroms: Sequence[str]) -> Genome:
    """Return the genome that a model with sequence reads; raise where it is missing or lacks chromosomes."""
    if fasta is None:
        raise ChromatellError("context='sequence' reads the sequence too: pass fasta='hg19.fa', or a Genome of it.")
    genome = fasta if isinstance(fasta, Genome) else Genome(Path(fasta))
    lacking = [c for c in chroms if c not in genome]
    if lacking:
        raise ChromatellError(
            f"{genome.path.name} lacks {examples(lacking)}; it has {examples(genome.chromosomes)}. Give the FASTA of "
            "the tracks' build, or leave those chromosomes out: tracks.select(chroms=[...])."
        )
    return genome
