"""The networks of `Nascent`, plain PyTorch: windows of run-on signal -> every target in the bin in their middle."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from chromatell._validate import ChromatellError, in_range, one_of

ARCHITECTURES = ("xgboost", "dense")
WINDOWS = {"xgboost": 2561, "dense": 201}  # bins


@dataclass(frozen=True)
class NascentConfig:
    """Options of the model; every field is stored with it."""

    architecture: str = "xgboost"
    window: int = 0  # bins, odd; 0 is 2,561 for trees and 201 for 'dense'
    max_bins: int = 400_000  # training bins at most; more are drawn at random
    max_depth: int = 6  # of a tree
    min_child_weight: float = 100.0  # least bins in a leaf
    subsample: float = 0.8  # share of the bins that a tree sees
    colsample: float = 0.5  # share of the features that a tree sees
    n_hidden: int = 256  # of each dense layer
    n_layers: int = 5  # dense layers before the last
    dropout: float = 0.1

    def __post_init__(self) -> None:
        one_of(self.architecture, ARCHITECTURES, "architecture")
        if self.window == 0:
            object.__setattr__(self, "window", WINDOWS[self.architecture])
        in_range(self.window, 1, 1_000_001, "window")
        in_range(self.max_bins, 100, 1_000_000_000, "max_bins")
        in_range(self.max_depth, 1, 16, "max_depth")
        in_range(self.min_child_weight, 0, 1e9, "min_child_weight", whole=False)
        in_range(self.subsample, 0.01, 1, "subsample", whole=False)
        in_range(self.colsample, 0.01, 1, "colsample", whole=False)
        in_range(self.n_hidden, 1, 65_536, "n_hidden")
        in_range(self.n_layers, 1, 64, "n_layers")
        in_range(self.dropout, 0, 0.95, "dropout", whole=False)
        if self.window % 2 == 0:
            raise ChromatellError(
                f"window={self.window} bins has no bin in its middle. Take an odd number: {self.window + 1}."
            )


@dataclass
class WindowBatch:
    """Bins of one step.

    Attributes
    ----------
    x
        float32 (bins, inputs, window): log(1 + scaled signal).
    y
        float32 (bins, targets): scaled; NaN is unknown.
    """

    x: Tensor
    y: Tensor

    def __len__(self) -> int:
        return self.x.shape[0]


class DenseNetwork(nn.Module):
    """Dense layers with ReLU over the whole window, both strands side by side."""

    def __init__(self, config: NascentConfig, n_inputs: int, n_targets: int) -> None:
        super().__init__()
        width = n_inputs * config.window
        layers: list[nn.Module] = []
        for _ in range(config.n_layers):
            layers += [nn.Linear(width, config.n_hidden), nn.ReLU(), nn.Dropout(config.dropout)]
            width = config.n_hidden
        self.layers = nn.Sequential(*layers, nn.Linear(width, n_targets))

    def forward(self, x: Tensor) -> Tensor:
        """Return (bins, targets) of (bins, inputs, window)."""
        return self.layers(x.flatten(1))

    def loss(self, batch: WindowBatch) -> Tensor:
        """Return the mean squared error over known targets."""
        known = torch.isfinite(batch.y)
        error = torch.where(known, self(batch.x).float() - batch.y.nan_to_num(), 0)
        return error.square().sum() / known.sum().clamp(min=1)
