"""DNA sequence -> a short vector: convolutions over int8 tokens, one-hot only where they are read."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from chromatell._validate import ChromatellError, in_range, one_of

POOLS = ("max", "mean")
TOWERS = ("basset", "motifs")
_LIMITS = (
    ("sequence_length", 1, 1_000_000),
    ("stem_filters", 1, 100_000),
    ("stem_kernel", 1, 10_000),
    ("stem_pool", 1, 10_000),
    ("kernel", 1, 10_000),
    ("last_filters", 0, 100_000),
    ("n_hidden", 1, 100_000),
    ("n_bottleneck", 1, 100_000),
    ("max_shift", 0, 10_000),
)


@dataclass(frozen=True)
class TowerConfig:
    """Sizes of the tower; every field is stored with the model.

    `kind` 'basset' is the published tower and reads all fields but `n_hidden`; 'motifs' reads `stem_filters`,
    `stem_kernel`, `n_hidden` and `dropout`.
    """

    kind: str = "basset"
    sequence_length: int = 1344
    stem_filters: int = 288
    stem_kernel: int = 17
    stem_pool: int = 3
    filters: tuple[int, ...] = (288, 323, 363, 407, 456, 512)  # a convolution and a pooling by 2 each
    kernel: int = 5
    pool: str = "max"
    last_filters: int = 256  # of a last convolution of width 1; 0 leaves it out
    gelu_after: bool = True  # as published, the vector of a region passes batch norm and a GELU
    n_hidden: int = 64
    n_bottleneck: int = 32
    dropout: float = 0.2
    max_shift: int = 3  # random shift in training, in bases
    reverse_complement: bool = True  # training draws the strand; prediction averages both

    def __post_init__(self) -> None:
        one_of(self.kind, TOWERS, "kind")
        one_of(self.pool, POOLS, "pool")
        for name, low, high in _LIMITS:
            object.__setattr__(self, name, in_range(getattr(self, name), low, high, name))
        object.__setattr__(self, "dropout", in_range(self.dropout, 0, 0.95, "dropout", whole=False))
        if isinstance(self.filters, int) or len(self.filters) > 64:
            raise ChromatellError(f"filters={self.filters!r} is out of range: a list of at most 64 is needed.")
        filters = tuple(in_range(n, 1, 100_000, "filters") for n in self.filters)  # JSON knows lists only
        object.__setattr__(self, "filters", filters)

    @property
    def is_bounded(self) -> bool:
        """Whether the vector passes a GELU, as published; else it is free, and bias and depth slope are part of it."""
        return self.kind == "basset" and self.gelu_after

    @property
    def turns_strands(self) -> bool:
        """Whether training draws the strand and prediction averages both; 'motifs' reads both by itself."""
        return self.reverse_complement and self.kind == "basset"

    @property
    def shortest(self) -> int:
        """Bases that the tower needs at least."""
        return self.stem_kernel if self.kind == "motifs" else self.stem_pool * 2 ** len(self.filters)

    @property
    def n_positions(self) -> int:
        """Positions that are left after all poolings of 'basset'."""
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


class BassetTower(nn.Module):
    """``(n, 4, length) -> (n, n_bottleneck)``, as in scBasset and XChrom: convolutions, pooling, then all positions."""

    def __init__(self, config: TowerConfig):
        super().__init__()
        c = config
        widths = [c.stem_filters, *c.filters]
        blocks = [ConvBlock(4, c.stem_filters, c.stem_kernel, c.stem_pool, first=True, kind=c.pool)]
        blocks += [ConvBlock(i, o, c.kernel, 2, kind=c.pool) for i, o in zip(widths[:-1], widths[1:], strict=True)]
        if c.last_filters:
            blocks.append(ConvBlock(widths[-1], c.last_filters, 1, 1))
        self.blocks = nn.Sequential(*blocks)
        self.activation = QuickGELU()
        self.dropout = nn.Dropout(0.0 if c.is_bounded else c.dropout)
        self.last = nn.Linear(c.n_positions * (c.last_filters or widths[-1]), c.n_bottleneck)
        self.after = (
            nn.Sequential(nn.BatchNorm1d(c.n_bottleneck), nn.Dropout(c.dropout), QuickGELU()) if c.is_bounded else None
        )

    def forward(self, x: Tensor) -> Tensor:
        """``(n, 4, length) -> (n, n_bottleneck)``."""
        h = self.activation(self.blocks(x)).flatten(1)  # (n, channels * positions)
        u = self.last(self.dropout(h))
        return u if self.after is None else self.after(u)


class MotifTower(nn.Module):
    """``(n, 4, length) -> (n, n_bottleneck)``: a bank of motif detectors, each read by its mean and its best match.

    As in DeepBind, one convolution wherever a motif lies and on whichever strand, then a small network. It needs fewer
    sequences than a deep tower, and says nothing of how motifs are arranged. The filters scan both strands, so that a
    sequence and its reverse complement give the same vector.
    """

    def __init__(self, config: TowerConfig):
        super().__init__()
        c = config
        self.scan = nn.Conv1d(4, c.stem_filters, c.stem_kernel, padding=c.stem_kernel // 2)
        self.activation = nn.ReLU()
        self.best = nn.MaxPool1d(2 * (c.sequence_length + c.stem_kernel // 2 * 2 - c.stem_kernel + 1))
        self.norm = nn.Sequential(nn.BatchNorm1d(2 * c.stem_filters), nn.Dropout(c.dropout))
        self.hidden = nn.Sequential(
            nn.Linear(2 * c.stem_filters, c.n_hidden),
            nn.BatchNorm1d(c.n_hidden),
            nn.SiLU(),
            nn.Dropout(c.dropout),
        )
        self.last = nn.Linear(c.n_hidden, c.n_bottleneck)
        self.straight = nn.Linear(2 * c.stem_filters, c.n_bottleneck, bias=False)  # few sequences support no more
        nn.init.zeros_(self.straight.weight)

    def read(self, x: Tensor) -> Tensor:
        """Return the mean and the best match of each filter, ``(n, 4, length) -> (n, 2 filters)``."""
        strands = torch.cat([x, x.flip((1, 2))])  # (2 n, 4, length): complementing reverses the order of the bases
        score = self.scan(strands)  # (2 n, filters, positions)
        if self.training:  # the same as below, and faster
            forward, backward = self.activation(score).mean(dim=2).chunk(2)
            mean, best = (forward + backward) / 2, torch.maximum(*score.max(dim=2).values.chunk(2))
        else:  # in layers that see one sequence a row, which attribution methods follow
            score = torch.cat(score.chunk(2), dim=2)
            mean, best = self.activation(score).mean(dim=2), self.best(score).squeeze(2)
        return torch.cat([mean, best], dim=1)

    def forward(self, x: Tensor) -> Tensor:
        """``(n, 4, length) -> (n, n_bottleneck)``."""
        features = self.norm(self.read(x))
        return self.last(self.hidden(features)) + self.straight(features)


def sequence_tower(config: TowerConfig) -> BassetTower | MotifTower:
    """Return the tower of the kind that was asked for."""
    return MotifTower(config) if config.kind == "motifs" else BassetTower(config)
