"""XChrom: DNA sequence x cell embedding -> logit that a region is open in a cell. Plain PyTorch."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from chromatell._validate import in_range
from chromatell.data.sequences import RegionBatch
from chromatell.models.xchrom._covariates import RegionCovariates
from chromatell.nn import ranks
from chromatell.nn.batch import Batch
from chromatell.nn.losses import LossConfig, blocked_loss
from chromatell.nn.sequence_tower import TowerConfig, augment, centre, one_hot, reverse_complement, sequence_tower

_LIMITS = (
    *(("n_inputs", 0), ("n_hidden", 1), ("n_embed", 1), ("warm_epochs", 0), ("block", 1)),
    *(("covariate_length", 0), ("n_motifs", 0), ("motif_width", 0)),
)


@dataclass(frozen=True)
class XChromConfig:
    """Sizes and choices of the two towers; every field is stored with the model."""

    tower: TowerConfig = field(default_factory=TowerConfig)
    n_inputs: int = 0  # components of the cell embedding
    n_hidden: int = 64
    n_embed: int = 32
    noise: float = 0.01
    depth_mix: float = 0.5  # share of training cells that are given their predicted depth instead of their own
    warm_epochs: int = 10  # of a first fit of the cell tower against free vectors of regions; 0 leaves it out
    freeze_cells: bool = True  # the cell tower then stays as it is
    block: int = 16_384  # cells at a time in the loss
    covariate_length: int = 0  # bases that GC, CpG and motifs are read from, beside the tower; 0 leaves these out
    n_motifs: int = 0  # among the covariates
    motif_width: int = 0

    def __post_init__(self) -> None:
        for name, low in _LIMITS:
            object.__setattr__(self, name, in_range(getattr(self, name), low, 1_000_000, name))
        for name, high in (("noise", 10), ("depth_mix", 1)):
            object.__setattr__(self, name, in_range(getattr(self, name), 0, high, name, whole=False))

    @property
    def n_vector(self) -> int:
        """Length of the two vectors whose product is the logit: embedding, bias, depth."""
        return self.n_embed + 2

    @property
    def learns_vectors(self) -> bool:
        """Whether the sequence tower learns the vectors that the first fit found, not the pairs.

        Towers of kind 'basset' learn better from pairs.
        """
        return bool(self.warm_epochs) and self.freeze_cells and self.tower.kind == "motifs"

    @property
    def read_length(self) -> int:
        """Bases that are read of a region, by the tower or by the covariates beside it."""
        return max(self.tower.sequence_length, self.covariate_length)

    @property
    def n_bottleneck(self) -> int:
        """What the sequence tower returns: the embedding, or where that is free the whole vector."""
        return self.n_embed if self.tower.is_bounded else self.n_vector


@dataclass
class RegionVectors(Batch):
    """Regions of one step, and the vectors that their sequences should have.

    Attributes
    ----------
    tokens
        int8 (regions, width): A C G T N = 0 1 2 3 4.
    vectors
        float32 (regions, n_vector).
    metric
        float32 (n_vector, n_vector): errors times this are squared.
    said
        float32 (regions, n_vector): what covariates say of them; None without covariates.
    """

    tokens: Tensor
    vectors: Tensor
    metric: Tensor
    said: Tensor | None = None

    def __len__(self) -> int:
        return self.tokens.shape[0]


class XChromModule(nn.Module):
    """``logit[r, c] = w[r] . v[c]``; ``w = [u, bias, slope]`` from sequence, ``v = [v, 1, depth]`` from the cell.

    Parameters
    ----------
    start
        (bias, slope) where training starts: the logit of the share of open pairs, and the sd of log depth.
    """

    def __init__(self, config: XChromConfig, start: tuple[float, float] = (0.0, 1.0)):
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
        self.cell_tower = nn.Sequential(
            nn.LayerNorm(c.n_inputs), nn.Linear(c.n_inputs, c.n_hidden), nn.ReLU(), nn.Linear(c.n_hidden, c.n_embed)
        )

    # ---- the two sides

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

    def cells(self, x: Tensor, depth: Tensor) -> Tensor:
        """Return the vector of each cell, ``(cells, n_inputs), (cells,) -> (cells, n_vector)``."""
        if self.training and self.config.noise:
            x = x + self.config.noise * torch.randn_like(x)
        v = self.cell_tower(x)
        return torch.cat([v, torch.ones_like(depth)[:, None], depth[:, None]], dim=1)

    # ---- training

    def forward(self, batch: RegionBatch) -> Tensor:
        """Return the logits, (regions, cells), float32."""
        return (self.regions(batch.tokens, batch.said) @ self._cells(batch).T).float()

    def loss(self, batch: RegionBatch | RegionVectors) -> Tensor:
        """Return the cross entropy, mean over regions and cells, in blocks over cells; or how far vectors are off.

        The latter is the squared error of the logit, mean over regions and cells.
        """
        if isinstance(batch, RegionVectors):
            error = (self.regions(batch.tokens, batch.said).float() - batch.vectors) @ batch.metric
            return ranks.share_of_mean(error.square().sum(dim=1).mean(), len(batch))
        assert batch.target is not None
        w, v = self.regions(batch.tokens, batch.said), self._cells(batch)
        return blocked_loss(
            lambda start, stop: (w @ v[start:stop].T)[None],  # (1, regions, block of cells)
            batch.target,
            n_cells=len(w),  # the loss runs over the other side in blocks: cells here, regions in Dense
            n_regions=len(v),
            config=LossConfig("bce"),
        )[0]

    def _cells(self, batch: RegionBatch) -> Tensor:
        depth = self.mixed_depth(batch.depth, batch.predicted_depth) if self.training else batch.predicted_depth
        return self.cells(batch.cells, depth)

    def mixed_depth(self, own: Tensor, predicted: Tensor) -> Tensor:
        """Return the depth that training cells are given: a share of them the predicted one, as new cells are."""
        return torch.where(torch.rand_like(own) >= self.config.depth_mix, own, predicted)
