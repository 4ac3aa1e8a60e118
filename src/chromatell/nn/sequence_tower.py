"""DNA sequence -> a short vector: convolutions over int8 tokens, one-hot only where they are read."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

POOLS = ("max", "mean")
HEADS = ("flatten", "mean_max")


@dataclass(frozen=True)
class TowerConfig:
    """Sizes of the tower; every field is stored with the model."""

    sequence_length: int = 1344
    stem_filters: int = 288
    stem_kernel: int = 17
    stem_pool: int = 3
    both_strands: bool = False  # the stem scans both strands with the same filters and keeps the better match
    filters: tuple[int, ...] = (288, 323, 363, 407, 456, 512)  # a convolution and a pooling by 2 each
    kernel: int = 5
    pool: str = "max"
    last_filters: int = 256  # of a last convolution of width 1; 0 leaves it out
    n_bottleneck: int = 32
    head: str = "flatten"  # all positions, or 'mean_max': mean and maximum over positions, wherever a motif lies
    n_hidden: int = 0  # width of a hidden layer before the bottleneck; 0 for none
    dropout: float = 0.2
    gelu_after: bool = True  # as published, the vector of a region passes a GELU
    max_shift: int = 3  # random shift in training, in bases
    reverse_complement: bool = True  # training draws the strand; prediction averages both

    def __post_init__(self) -> None:
        object.__setattr__(self, "filters", tuple(self.filters))  # JSON knows lists only

    @property
    def is_symmetric(self) -> bool:
        """Whether both strands of a sequence give the same vector by construction."""
        one_convolution = not self.filters and not self.last_filters
        return self.both_strands and one_convolution and self.head == "mean_max" and self.stem_pool == 1

    @property
    def turns_strands(self) -> bool:
        """Whether training draws the strand and prediction averages both."""
        return self.reverse_complement and not self.is_symmetric

    @property
    def n_positions(self) -> int:
        """Positions that are left after all poolings."""
        n = self.sequence_length // self.stem_pool
        for _ in self.filters:
            n //= 2
        return n


class QuickGELU(nn.Module):
    """``x * sigmoid(1.702 x)``: the form of GELU that Basset's descendants use (Hendrycks and Gimpel 2016)."""

    def forward(self, x: Tensor) -> Tensor:
        """Elementwise."""
        return x * torch.sigmoid(1.702 * x)


def one_hot(tokens: Tensor, dtype: torch.dtype = torch.float32) -> Tensor:
    """``int8 (n, length) -> (n, 4, length)``; an N (4) is all zeros."""
    bases = torch.arange(4, dtype=tokens.dtype, device=tokens.device)
    return (tokens.unsqueeze(1) == bases[:, None]).to(dtype)


def reverse_complement(tokens: Tensor) -> Tensor:
    """``int8 (n, length) -> (n, length)``: the other strand; N stays N."""
    flipped = tokens.flip(1)
    return torch.where(flipped < 4, 3 - flipped, flipped)


def augment(tokens: Tensor, length: int, max_shift: int, both_strands: bool) -> Tensor:
    """Return the central `length` bases, each sequence shifted at random and, half of the time, turned round."""
    n, available = tokens.shape
    offset = torch.full((n,), available // 2 - length // 2, device=tokens.device)
    if max_shift:
        offset = offset + torch.randint(-max_shift, max_shift + 1, (n,), device=tokens.device)
    at = offset[:, None] + torch.arange(length, device=tokens.device)
    inside = (at >= 0) & (at < available)
    tokens = torch.where(inside, tokens.gather(1, at.clamp(0, available - 1)), 4)
    if both_strands:
        turned = torch.rand(n, device=tokens.device) < 0.5
        tokens = torch.where(turned[:, None], reverse_complement(tokens), tokens)
    return tokens.to(torch.int8)


def centre(tokens: Tensor, length: int) -> Tensor:
    """Return the central `length` bases, ``(n, length)``."""
    start = tokens.shape[1] // 2 - length // 2  # about the same base as a window of that width from the genome
    return tokens[:, start : start + length]


class ConvBlock(nn.Sequential):
    """GELU, convolution without bias, batch norm, pooling: ``(n, in, length) -> (n, out, length // pool)``.

    The GELU of a block comes after the pooling of the block before it, on fewer values. The first block has none: on
    one-hot input it is a constant factor, which the batch norm takes out.
    """

    def __init__(self, n_in: int, n_out: int, kernel: int, pool: int, *, first: bool = False, kind: str = "max"):
        layers: list[nn.Module] = [] if first else [QuickGELU()]
        layers += [nn.Conv1d(n_in, n_out, kernel, padding="same", bias=False), nn.BatchNorm1d(n_out)]
        if pool > 1:
            layers.append(nn.MaxPool1d(pool) if kind == "max" else nn.AvgPool1d(pool))
        super().__init__(*layers)


class BothStrands(nn.Conv1d):
    """A convolution that scans both strands with the same filters: ``(n, 4, length) -> (n, out, length)``.

    At each position the better of the two matches is kept. The kernel width is odd, so that both are centred alike.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Turning filters round is cheaper than turning sequences."""
        weight = torch.cat([self.weight, self.weight.flip((1, 2))])
        forward, backward = F.conv1d(x, weight, padding="same").chunk(2, dim=1)
        return torch.maximum(forward, backward)


class SequenceTower(nn.Module):
    """``(n, 4, length) -> (n, n_bottleneck)``.

    With ``head='flatten'`` the tower of scBasset and XChrom. With ``both_strands`` and ``head='mean_max'`` a bank of
    motif detectors (as in DeepBind), each read by its mean and its best match: fewer sequences suffice to learn it.
    """

    def __init__(self, config: TowerConfig):
        super().__init__()
        self.config = c = config
        widths = [c.stem_filters, *c.filters]
        stem = ConvBlock(4, c.stem_filters, c.stem_kernel, c.stem_pool, first=True, kind=c.pool)
        if c.both_strands:
            stem[0] = BothStrands(4, c.stem_filters, c.stem_kernel, bias=False)
        blocks = [stem]
        blocks += [ConvBlock(i, o, c.kernel, 2, kind=c.pool) for i, o in zip(widths[:-1], widths[1:], strict=True)]
        if c.last_filters:
            blocks.append(ConvBlock(widths[-1], c.last_filters, 1, 1))
        self.blocks = nn.Sequential(*blocks)
        n_read = (c.last_filters or widths[-1]) * (c.n_positions if c.head == "flatten" else 2)
        self.hidden = (
            nn.Sequential(
                nn.BatchNorm1d(n_read),
                nn.Dropout(c.dropout),
                nn.Linear(n_read, c.n_hidden),
                nn.BatchNorm1d(c.n_hidden),
                nn.SiLU(),
            )
            if c.n_hidden
            else None
        )
        self.last = nn.Linear(c.n_hidden or n_read, c.n_bottleneck)
        # as published: batch norm, dropout and GELU after it; else the vector is free, and dropout comes before
        self.after = (
            nn.Sequential(nn.BatchNorm1d(c.n_bottleneck), nn.Dropout(c.dropout), QuickGELU()) if c.gelu_after else None
        )
        self.activation, self.dropout = QuickGELU(), nn.Dropout(0.0 if c.gelu_after else c.dropout)

    def forward(self, x: Tensor) -> Tensor:
        """``(n, 4, length) -> (n, n_bottleneck)``."""
        h = self.activation(self.blocks(x))  # (n, channels, positions)
        h = h.flatten(1) if self.config.head == "flatten" else torch.cat([h.mean(dim=2), h.amax(dim=2)], dim=1)
        if self.hidden is not None:
            h = self.hidden(h)
        u = self.last(self.dropout(h))
        return u if self.after is None else self.after(u)
