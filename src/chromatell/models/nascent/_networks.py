"""The networks of `Nascent`, plain PyTorch: intervals of run-on signal -> every target in each of their bins."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from chromatell.models.nascent._config import NascentConfig
from chromatell.models.nascent._losses import mean_loss, to_output
from chromatell.models.nascent._sequence import SequenceStem
from chromatell.nn.sequence_tower import reverse_complement


@dataclass
class TrackBatch:
    """Intervals of one step.

    Attributes
    ----------
    x
        float32 (intervals, inputs, bins + window - 1): the signal over its mean, half a window more on each side.
    y
        float32 (intervals, targets, bins): scaled, or 0 and 1; NaN is unknown or not of this split.
    tokens
        int8 (intervals, bases) of the bins and of `MARGIN` more on each side, where sequence is read.
    """

    x: Tensor
    y: Tensor
    tokens: Tensor | None = None

    def __len__(self) -> int:
        """Bins that count."""
        return int(torch.isfinite(self.y).any(dim=1).sum())


class TrackNetwork(nn.Module):
    """What the networks share: their loss, and the other strand as one more training example."""

    step: int = 1  # training looks at each step-th bin of an interval; targets are smooth
    piece: int = 16_384  # bins predicted at a time

    def __init__(self, config: NascentConfig, n_targets: int, swap: Sequence[int]) -> None:
        super().__init__()
        self.window, self.kind = config.window, config.loss
        self.flips, self.jitter = config.strand_flip, config.depth_jitter
        self.swap = list(swap)  # each input's place on the other strand
        self.share = [0.5] * n_targets  # share of the bins that are not 0

    def forward(self, x: Tensor, tokens: Tensor | None = None, step: int = 1) -> Tensor:
        """Return outputs (intervals, targets, bins) of each `step`-th bin; fields as in `TrackBatch`."""
        raise NotImplementedError

    def last_bias(self) -> Tensor:
        """Return the bias of the outputs (targets,)."""
        raise NotImplementedError

    def start_from(self, mean: Sequence[float], share: Sequence[float]) -> None:
        """Start training from the targets' means, and keep their shares of non-zero bins for the loss."""
        self.share = list(share)
        with torch.no_grad():
            self.last_bias().copy_(to_output(self.kind, torch.tensor(mean, dtype=torch.float32)))

    def loss(self, batch: TrackBatch) -> Tensor:
        """Return the mean loss over known bins and targets."""
        x, y, tokens = batch.x, batch.y, batch.tokens
        if self.training and self.flips:
            turned = torch.rand(len(x), device=x.device) < 0.5
            x = torch.where(turned[:, None, None], x.flip(2)[:, self.swap], x)
            y = torch.where(turned[:, None, None], y.flip(2), y)
            tokens = None if tokens is None else torch.where(turned[:, None], reverse_complement(tokens), tokens)
        if self.training and self.jitter:
            x = x * torch.exp(self.jitter * torch.randn(len(x), 1, 1, device=x.device))
        output = self(x, tokens, self.step).float()
        return mean_loss(self.kind, output, y[:, :, :: self.step], torch.tensor(self.share, device=y.device))


class DenseNetwork(TrackNetwork):
    """Dense layers with ReLU over log(1 + signal) of the whole window, both strands side by side."""

    piece: int = 4096

    def __init__(self, config: NascentConfig, n_inputs: int, n_targets: int, swap: Sequence[int]) -> None:
        super().__init__(config, n_targets, swap)
        width = n_inputs * config.window
        layers: list[nn.Module] = []
        for _ in range(config.n_layers):
            layers += [nn.Linear(width, config.n_hidden), nn.ReLU(), nn.Dropout(config.dropout)]
            width = config.n_hidden
        self.layers = nn.Sequential(*layers, nn.Linear(width, n_targets))

    def forward(self, x: Tensor, tokens: Tensor | None = None, step: int = 1) -> Tensor:
        """Return (intervals, targets, bins)."""
        windows = x.log1p().unfold(2, self.window, step).transpose(1, 2)  # (intervals, bins, inputs, window)
        return self.layers(windows.flatten(2)).transpose(1, 2)

    def last_bias(self) -> Tensor:
        """Return the bias of the last layer."""
        return self.layers[-1].bias


class DilatedBlock(nn.Module):
    """Residual: a convolution of 3 that skips `dilation` bins, GELU, a mix of channels; shorter by 2 x dilation."""

    def __init__(self, width: int, dilation: int, dropout: float) -> None:
        super().__init__()
        self.dilation = dilation
        self.look = nn.Conv1d(width, width, 3)
        self.mix = nn.Conv1d(width, width, 1)
        self.drop = nn.Dropout1d(dropout)
        self.gain = nn.Parameter(torch.full((width, 1), 0.3))

    def forward(self, h: Tensor, step: int = 1) -> Tensor:
        """Return (intervals, width, bins - 2 * dilation / step) of bins that lie `step` apart."""
        skip = self.dilation // step
        new = F.conv1d(h, self.look.weight, self.look.bias, dilation=skip)
        new = self.drop(self.mix(F.gelu(new, approximate="tanh")))
        return h[:, :, skip : h.shape[2] - skip] + self.gain * new


class DilatedNetwork(TrackNetwork):
    """Sums of the signal at several widths, then dilated convolutions up to the window's ends; no padding anywhere.

    The sums over 1, 3, 9, ... 243 bins tell counts that are sparse in single bins; their logarithms start near the
    same scale at any width. Dilations are 4, 8, 16, ..., so that bins 4 apart can be computed without those between:
    training does, with another phase in every epoch.
    """

    step: int = 4

    def __init__(self, config: NascentConfig, n_inputs: int, n_targets: int, swap: Sequence[int]) -> None:
        super().__init__(config, n_targets, swap)
        self.widths, self.kernel, self.dilations = reach_of(config.window)
        width = config.n_filters
        self.stem = nn.Conv1d(n_inputs * len(self.widths), width, self.kernel)
        self.blocks = nn.ModuleList(DilatedBlock(width, d, config.dropout) for d in self.dilations)
        self.sequence = SequenceStem(config.n_filters, config.bin_size) if config.context == "sequence" else None
        self.join = nn.Conv1d(2 * width, width, 1) if self.sequence is not None else None
        self.out = nn.Conv1d(width, n_targets, 1)
        nn.init.zeros_(self.out.weight)
        reach = self.widths[-1] // 2 + self.kernel // 2 + sum(self.dilations)
        self.unused = config.window // 2 - reach  # bins at each end of a window

    def sums(self, x: Tensor) -> Tensor:
        """Return (intervals, inputs * widths, bins - last width + 1)."""
        n, h, sums = x.shape[2] - self.widths[-1] + 1, x, []
        for width in self.widths:
            cut = (h.shape[2] - n) // 2
            sums.append(h[:, :, cut : cut + n].log1p() / math.log1p(width))
            if width < self.widths[-1]:
                h = h[:, :, : -2 * width] + h[:, :, width:-width] + h[:, :, 2 * width :]  # the sum over three times it
        return torch.cat(sums, dim=1)

    def forward(self, x: Tensor, tokens: Tensor | None = None, step: int = 1) -> Tensor:
        """Return (intervals, targets, bins)."""
        x = x[:, :, self.unused : x.shape[2] - self.unused]
        h = F.conv1d(self.sums(x), self.stem.weight, self.stem.bias, stride=step)
        for block in self.blocks:
            h = block(h, step)
        if self.sequence is not None and self.join is not None and tokens is not None:
            h = self.join(torch.cat([h, self.sequence(tokens)[:, :, ::step]], dim=1))
        return self.out(F.gelu(h, approximate="tanh"))

    def last_bias(self) -> Tensor:
        """Return the bias of the last layer."""
        return self.out.bias


def reach_of(window: int) -> tuple[list[int], int, list[int]]:
    """Return widths of sums, width of the first convolution, and dilations, that fill a window.

    Examples
    --------
    >>> reach_of(2561)
    ([1, 3, 9, 27, 81, 243], 9, [4, 8, 16, 32, 64, 128, 256, 512])
    >>> reach_of(21)
    ([1, 3], 9, [4])
    """
    half, widths = window // 2, [1]
    dilations: list[int] = []
    while 3 * widths[-1] // 2 <= half // 8:
        widths.append(3 * widths[-1])
    free = half - widths[-1] // 2
    kernel = min(9, 2 * free + 1)
    free -= kernel // 2
    while 4 << len(dilations) <= free:
        dilations.append(4 << len(dilations))
        free -= dilations[-1]
    return widths, kernel, dilations
