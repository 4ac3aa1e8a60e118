"""XChrom: DNA sequence x cell embedding -> logit that a region is open in a cell. Plain PyTorch."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from chromatell._validate import in_range
from chromatell.data.sequences import RegionBatch
from chromatell.nn import ranks
from chromatell.nn.batch import Batch
from chromatell.nn.losses import LossConfig, blocked_loss
from chromatell.nn.region_side import RegionSide, RegionSideConfig

_LIMITS = (("n_inputs", 0), ("n_hidden", 1), ("warm_epochs", 0), ("block", 1))


@dataclass(frozen=True)
class XChromConfig(RegionSideConfig):
    """Sizes and choices of the two towers; every field is stored with the model."""

    n_inputs: int = 0  # components of the cell embedding
    n_hidden: int = 64
    noise: float = 0.01
    depth_mix: float = 0.5  # share of training cells that are given their predicted depth instead of their own
    warm_epochs: int = 10  # the cell tower is first fitted against free vectors of regions; 0 leaves that out
    freeze_cells: bool = True  # the cell tower then stays as it is
    block: int = 16_384  # cells at a time in the loss

    def __post_init__(self) -> None:
        super().__post_init__()
        for name, low in _LIMITS:
            object.__setattr__(self, name, in_range(getattr(self, name), low, 1_000_000, name))
        for name, high in (("noise", 10), ("depth_mix", 1)):
            object.__setattr__(self, name, in_range(getattr(self, name), 0, high, name, whole=False))

    @property
    def learns_vectors(self) -> bool:
        """Whether the sequence tower learns the vectors that the first fit found, not the pairs.

        Towers of kind 'basset' learn better from pairs.
        """
        return bool(self.warm_epochs) and self.freeze_cells and self.tower.kind == "motifs"


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


class XChromModule(RegionSide):
    """``logit[r, c] = w[r] . v[c]``; ``w = [u, bias, slope]`` from sequence, ``v = [v, 1, depth]`` from the cell."""

    config: XChromConfig

    def __init__(self, config: XChromConfig, start: tuple[float, float] = (0.0, 1.0)):
        super().__init__(config, start)
        c = config
        self.cell_tower = nn.Sequential(
            nn.LayerNorm(c.n_inputs), nn.Linear(c.n_inputs, c.n_hidden), nn.ReLU(), nn.Linear(c.n_hidden, c.n_embed)
        )

    def cells(self, x: Tensor, depth: Tensor) -> Tensor:
        """Return the vector of each cell, ``(cells, n_inputs), (cells,) -> (cells, n_vector)``."""
        if self.training and self.config.noise:
            x = x + self.config.noise * torch.randn_like(x)
        v = self.cell_tower(x)
        return torch.cat([v, torch.ones_like(depth)[:, None], depth[:, None]], dim=1)

    # ---- training

    @property
    def training_objective(self) -> str:
        """What the training loss is where the validation loss is another; '' where it is the same."""
        c = self.config
        beside_covariates = bool(c.warm_epochs) and c.tower.kind == "motifs" and self.covariates is not None
        if not (beside_covariates or c.learns_vectors):
            return ""
        return "the squared error of the regions' vectors, in logits; validation: the cross entropy over cells"

    def forward(self, batch: RegionBatch) -> Tensor:
        """Return the logits, (regions, cells), float32."""
        return (self.regions(batch.tokens, batch.said) @ self._cells(batch).T).float()

    def loss(self, batch: RegionBatch | RegionVectors) -> Tensor:
        """Return the cross entropy, mean over regions and cells, in blocks over cells; or how far vectors are off.

        The latter is the squared error of the logit, mean over regions and cells.
        """
        if isinstance(batch, RegionVectors):
            w = self.regions(batch.tokens, batch.said).float()
            with torch.autocast(w.device.type, enabled=False):  # small differences of large numbers
                error = (w - batch.vectors) @ batch.metric
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
