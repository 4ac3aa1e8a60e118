"""DNA sequence -> a short vector: convolutions over int8 tokens, one-hot only where they are read."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from chromatell._validate import ChromatellError, in_range, one_of, own_types
from chromatell.nn.ranks import BatchNorm

POOLS = ("max", "mean")
TOWERS = ("basset", "motifs")
_LIMITS = (
    ("sequence_length", 1, 1_000_000),
    ("stem_filters", 1, 100_000),
    ("stem_kernel", 1, 10_000),
    ("stem_pool", 1, 10_000),
    ("kernel", 1, 10_000),
    ("last_filters", 0, 100_000),
    ("hidden_filters", 1, 100_000),
    ("n_bottleneck", 1, 100_000),
    ("max_shift", 0, 10_000),
)


@dataclass(frozen=True)
class TowerConfig:
    """Sizes of the tower; every field is stored with the model.

    `kind` 'basset' is the published tower and reads all fields but `hidden_filters`; 'motifs' reads `stem_filters`,
    `stem_kernel`, `stem_pool`, `hidden_filters` and `dropout`.
    """

    kind: str = "basset"
    sequence_length: int = 1344
    stem_filters: int = 288
    stem_kernel: int = 17
    stem_pool: int = 3
    filters: tuple[int, ...] = (288, 323, 363, 407, 456, 512)  # a convolution and a pooling by 2 each
    kernel: int = 5
    pool: str = "max"
    last_filters: int = 256  # filters of a last convolution of width 1; 0 leaves it out
    gelu_after: bool = True  # as published, the vector of a region passes batch norm and a GELU
    hidden_filters: int = 128  # filters of the convolution of width 1 in 'motifs'
    n_bottleneck: int = 32
    dropout: float = 0.2
    max_shift: int = 3  # random shift in training, in bases
    reverse_complement: bool = True  # training draws the strand; prediction averages both

    def __post_init__(self) -> None:
        own_types(self)
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
        if self.kind == "motifs":
            return max(self.stem_kernel, self.stem_pool)
        return self.stem_pool * 2 ** len(self.filters)

    @property
    def n_positions(self) -> int:
        """Positions that are left after all poolings."""
        n = self.sequence_length // self.stem_pool
        for _ in self.filters if self.kind == "basset" else ():
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
    """Return the central `length` bases, ``(n, length)`` of tokens or ``(n, 4, length)`` of one-hot."""
    start = tokens.shape[-1] // 2 - length // 2  # about the same base as a window of that width from the genome
    return tokens[..., start : start + length]


class ConvBlock(nn.Sequential):
    """GELU, convolution without bias, batch norm, pooling: ``(n, in, length) -> (n, out, length // pool)``.

    The GELU of a block comes after the pooling of the block before it, on fewer values. The first block has none: on
    one-hot input it is a constant factor, which the batch norm takes out.
    """

    def __init__(self, n_in: int, n_out: int, kernel: int, pool: int, *, first: bool = False, kind: str = "max"):
        layers: list[nn.Module] = [] if first else [QuickGELU()]
        layers += [nn.Conv1d(n_in, n_out, kernel, padding="same", bias=False), BatchNorm(n_out)]
        if pool > 1:
            layers.append(nn.MaxPool1d(pool) if kind == "max" else nn.AvgPool1d(pool))
        super().__init__(*layers)
        self.pool = pool


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
            nn.Sequential(BatchNorm(c.n_bottleneck), nn.Dropout(c.dropout), QuickGELU()) if c.is_bounded else None
        )

    def forward(self, x: Tensor) -> Tensor:
        """``(n, 4, length) -> (n, n_bottleneck)``."""
        h = self.activation(self.blocks(x)).flatten(1)  # (n, channels * positions)
        u = self.last(self.dropout(h))
        return u if self.after is None else self.after(u)


class Composition(nn.Module):
    """``(n, 4, length) -> (n, 4)``: the share of G and C, that of CpG, and how far GC lies above 45% and 55%.

    The last two let what is linear in these bend with GC. All four are the same on both strands.
    """

    n_features = 4

    def __init__(self) -> None:
        super().__init__()
        self.both = nn.ReLU()  # modules, each used once: attribution methods follow them
        self.above = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        """One-hot; an N counts as no base."""
        gc = (x[:, 1] + x[:, 2]).mean(dim=1, keepdim=True)
        cpg = 2 * self.both(x[:, 1, :-1] + x[:, 2, 1:] - 1.5).mean(dim=1, keepdim=True)  # 2 of 2, away from the kink
        return self.of_shares(gc, cpg)

    def of_shares(self, gc: Tensor, cpg: Tensor) -> Tensor:
        """``(n, 1), (n, 1) -> (n, 4)``."""
        return torch.cat([gc, cpg, self.above(torch.cat([gc - 0.45, gc - 0.55], dim=1))], dim=1)


class MotifTower(nn.Module):
    """``(n, 4, length) -> (n, n_bottleneck)``: motif detectors, what they mean together, and where it counts.

    One convolution scans both strands; of each filter the best match in every 16 bases is kept (`stem_pool`). A
    convolution of width 1 reads them together, and a sum over positions has one learned weight for each, the same on
    either side of the centre, so that a sequence and its reverse complement give the same vector. For odd lengths, and
    those that are no multiple of `stem_pool`, a few bases at the ends are not scanned. Beside it stands what is linear
    in the composition of the whole sequence.
    """

    def __init__(self, config: TowerConfig):
        super().__init__()
        c = config
        self.n_read = c.n_positions * c.stem_pool
        self.scan = nn.Conv1d(4, c.stem_filters, c.stem_kernel, padding=c.stem_kernel // 2, bias=False)
        self.pools = nn.ModuleList(nn.MaxPool1d(c.stem_pool) for _ in range(2))
        self.better = nn.MaxPool1d(2)
        self.hidden = nn.Sequential(
            BatchNorm(c.stem_filters),
            QuickGELU(),
            nn.Conv1d(c.stem_filters, c.hidden_filters, 1, bias=False),
            BatchNorm(c.hidden_filters),
            QuickGELU(),
        )
        self.place = nn.Parameter(torch.zeros(c.n_positions))
        self.dropout = nn.Dropout(c.dropout)
        self.last = nn.Linear(c.hidden_filters, c.n_bottleneck)
        self.composition = Composition()
        self.straight = nn.Linear(Composition.n_features, c.n_bottleneck, bias=False)
        with torch.no_grad():
            self.last.weight.mul_(0.1)
            self.straight.weight.zero_()

    def forward(self, x: Tensor) -> Tensor:
        """``(n, 4, length) -> (n, n_bottleneck)``."""
        start = (x.shape[2] - self.n_read) // 2
        inner = x[:, :, start : start + self.n_read]
        forward = self.pools[0](self.scan(inner))[:, :, : len(self.place)]  # (n, filters, positions)
        backward = self.pools[1](self.scan(inner.flip((1, 2))))[:, :, : len(self.place)].flip(2)
        h = self.hidden(self.better(torch.stack([forward, backward], dim=3).flatten(2)))
        weight = torch.softmax((self.place + self.place.flip(0)) / 2, dim=0)
        return self.last(self.dropout((h * weight).sum(dim=2))) + self.straight(self.composition(x))


def sequence_tower(config: TowerConfig) -> BassetTower | MotifTower:
    """Return the tower of the kind that was asked for."""
    return MotifTower(config) if config.kind == "motifs" else BassetTower(config)
