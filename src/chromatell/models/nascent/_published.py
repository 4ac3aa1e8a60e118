"""``preset='stanford2019'``: the published convolutional network, layer by layer, and one network a target."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from chromatell._validate import ChromatellError
from chromatell.models.nascent._config import NascentConfig
from chromatell.models.nascent._networks import TrackNetwork
from chromatell.models.nascent._sliding import slide

PUBLISHED_WINDOW = 2561  # bins
_FILTERS, _KERNEL, _LAYERS = 16, 5, 7


def published_stack(dropout: float) -> nn.Sequential:
    """Return the network of one window and one target, (n, 1, 2561) -> (n, 1): 8,385 weights.

    Published: the window, one input channel, a first convolution of 16 filters of width 5, dropout, max pooling by 2,
    six more convolutions, 512 numbers flattened, one dense output, and the number of weights. These leave one choice
    of what else there is: 16 filters of width 5 without padding everywhere, and a pooling by 2 behind each convolution
    but the last (2,561 -> 1,278 -> 637 -> 316 -> 156 -> 76 -> 36 -> 32 positions).

    Left open, and chosen here: ReLU behind each convolution, dropout only where it is named, its rate.

    Examples
    --------
    >>> sum(w.numel() for w in published_stack(0.2).parameters())
    8385
    """
    layers: list[nn.Module] = []
    for i in range(_LAYERS):
        layers += [nn.Conv1d(_FILTERS if i else 1, _FILTERS, _KERNEL), nn.ReLU()]
        if i == 0:
            layers.append(nn.Dropout(dropout))
        if i < _LAYERS - 1:
            layers.append(nn.MaxPool1d(2))
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(512, 1))


class PublishedNetwork(TrackNetwork):
    """The published network of one target, slid along intervals; it reads log(1 + sum of the inputs)."""

    step: int = 8

    def __init__(self, config: NascentConfig, n_inputs: int, n_targets: int, swap: Sequence[int]) -> None:
        super().__init__(config, n_targets, swap)
        if config.window != PUBLISHED_WINDOW or n_targets != 1:
            raise ChromatellError(
                f"preset='stanford2019' of the CNN reads {PUBLISHED_WINDOW} bins and has one network a target; found "
                f"window={config.window}, multi_task={config.multi_task}. Leave window= and multi_task= out."
            )
        self.stack = published_stack(config.dropout)

    def forward(self, x: Tensor, tokens: Tensor | None = None, step: int = 1) -> Tensor:
        """Return (intervals, 1, bins)."""
        return slide(self.stack, x.sum(dim=1, keepdim=True).log1p(), self.window, step)

    def last_bias(self) -> Tensor:
        """Return the bias of the dense layer."""
        return self.stack[-1].bias


class OnePerTarget(TrackNetwork):
    """A network of its own for each target, trained side by side."""

    step: int = 1

    def __init__(
        self,
        build: Callable[..., TrackNetwork],
        config: NascentConfig,
        n_inputs: int,
        n_targets: int,
        swap: Sequence[int],
    ) -> None:
        super().__init__(config, n_targets, swap)
        self.networks = nn.ModuleList(build(config, n_inputs, 1, swap) for _ in range(n_targets))
        self.step, self.piece = self.networks[0].step, self.networks[0].piece

    def forward(self, x: Tensor, tokens: Tensor | None = None, step: int = 1) -> Tensor:
        """Return (intervals, targets, bins)."""
        return torch.cat([network(x, tokens, step) for network in self.networks], dim=1)

    def start_from(self, mean: Sequence[float], share: Sequence[float]) -> None:
        """Hand each network its own."""
        self.share = list(share)
        for i, network in enumerate(self.networks):
            network.start_from(mean[i : i + 1], share[i : i + 1])
