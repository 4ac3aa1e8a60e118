"""The sequence side of XChrom: DNA of a region -> its vector, by a tower and by covariates beside it. Plain PyTorch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

import torch
from torch import Tensor, nn

from chromatell._validate import in_range, own_types
from chromatell.nn.region_covariates import RegionCovariates
from chromatell.nn.sequence_tower import TowerConfig, augment, centre, one_hot, reverse_complement, sequence_tower

_LIMITS = (("n_embed", 1), ("covariate_length", 0), ("n_motifs", 0), ("motif_width", 0))


@dataclass(frozen=True)
class RegionSideConfig:
    """Sizes and choices of the sequence side."""

    tower: TowerConfig = field(default_factory=TowerConfig)
    n_embed: int = 32
    covariate_length: int = 0  # bases that GC, CpG and motifs are read from, beside the tower; 0 leaves these out
    n_motifs: int = 0  # among the covariates
    motif_width: int = 0

    def __post_init__(self) -> None:
        own_types(self)
        for name, low in _LIMITS:
            object.__setattr__(self, name, in_range(getattr(self, name), low, 1_000_000, name))

    @classmethod
    def of(cls, stored: Mapping[str, Any]) -> RegionSideConfig:
        """Return that part of a stored description of the network."""
        own = {f.name: stored[f.name] for f in fields(RegionSideConfig) if f.name in stored}
        return RegionSideConfig(**{**own, "tower": TowerConfig(**stored["tower"])})

    @property
    def n_vector(self) -> int:
        """Length of the two vectors whose product is the logit: embedding, bias, depth."""
        return self.n_embed + 2

    @property
    def read_length(self) -> int:
        """Bases that are read of a region, by the tower or by the covariates beside it."""
        return max(self.tower.sequence_length, self.covariate_length)

    @property
    def n_bottleneck(self) -> int:
        """What the sequence tower returns: the embedding, or where that is free the whole vector."""
        return self.n_embed if self.tower.is_bounded else self.n_vector


class RegionSide(nn.Module):
    """``w = [embedding, bias, slope on depth]`` of each sequence.

    Parameters
    ----------
    start
        (bias, slope) where training starts: the logit of the share of open pairs, and the sd of log depth.
    """

    def __init__(self, config: RegionSideConfig, start: tuple[float, float] = (0.0, 1.0)):
        super().__init__()
        self.config = c = config
        if c.tower.n_bottleneck != c.n_bottleneck:
            raise ValueError(f"the bottleneck of this sequence tower is {c.n_bottleneck}, not {c.tower.n_bottleneck}")
        self.tower = sequence_tower(c.tower)
        self.covariates = RegionCovariates(c.n_motifs, c.motif_width, c.n_vector) if c.covariate_length else None
        self.head: nn.Linear | None = None
        self.basis: Tensor
        self.origin: Tensor
        if c.tower.is_bounded:  # a region's bias and depth slope are then read off its embedding
            self.head = nn.Linear(c.n_embed, 2)
            nn.init.normal_(self.head.weight, std=0.01)
            with torch.no_grad():
                self.head.bias.copy_(torch.tensor(start))
        else:  # else the tower's output is turned by a matrix that is set once, see `start_at_vectors`
            self.register_buffer("basis", torch.eye(c.n_vector))
            self.register_buffer("origin", torch.zeros(c.n_vector))
            with torch.no_grad():
                self.origin[-2:] = torch.tensor(start)

    def from_one_hot(self, x: Tensor) -> Tensor:
        """Return the vector of each sequence, ``(n, 4, read_length) -> (n, n_vector)``, at average proximity."""
        if self.covariates is None:
            return self.of_tower(x)
        c = self.config
        outer, inner = (centre(x, length) for length in (c.covariate_length, c.tower.sequence_length))
        return self.of_tower(inner) + self.covariates(outer)

    def of_tower(self, x: Tensor) -> Tensor:
        """Return what the tower says, and where vectors start, ``(n, 4, length) -> (n, n_vector)``."""
        u = self.tower(x)
        if self.head is not None:
            return torch.cat([u, self.head(u)], dim=1)
        with torch.autocast(u.device.type, enabled=False):  # directions that matter little have large numbers
            return self.origin + u.to(self.basis.dtype) @ self.basis

    def change_of(self, u: Tensor) -> Tensor:
        """Return how the vector changes where what the tower returns changes by `u`: what comes after it is linear."""
        if self.head is not None:
            return torch.cat([u, u @ self.head.weight.T], dim=1)
        return u.to(self.basis.dtype) @ self.basis

    def regions(self, tokens: Tensor, said: Tensor | None = None) -> Tensor:
        """Return the vector of each sequence, ``int8 (n, >= length) -> (n, n_vector)``.

        Training draws shift and strand; evaluation takes the centre and the mean over both strands. What covariates say
        is added as it was computed before, `said`, or else from the sequence.
        """
        c = self.config.tower
        if said is not None or self.training:
            tokens = augment(tokens, c.sequence_length, c.max_shift, c.turns_strands) if self.training else tokens
            w = self.of_tower(one_hot(centre(tokens, c.sequence_length)))
            return w if said is None else w + said
        tokens = centre(tokens, self.config.read_length)
        w = self.from_one_hot(one_hot(tokens))
        if c.turns_strands:
            w = (w + self.from_one_hot(one_hot(reverse_complement(tokens)))) / 2
        return w
