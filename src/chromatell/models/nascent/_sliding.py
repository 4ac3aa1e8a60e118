"""A network for one window, evaluated at every position of a long interval, each layer once: pooling becomes dilation.

A window's network with pooling, slid along by single bins, computes the same numbers again and again. Here layers
behind a pooling by 2 look at every second position of the layer before, behind the next one at every fourth, and so on
(the 'a trous' scheme), so that all windows share them.

References
----------
Giusti et al., Fast image scanning with deep max-pooling convolutional neural networks (ICIP, 2013).
"""

from __future__ import annotations

from math import gcd

from torch import Tensor, nn
from torch.nn import functional as F

from chromatell._validate import ChromatellError

_ELEMENTWISE = (nn.ReLU, nn.GELU, nn.SiLU, nn.Dropout, nn.Identity)


def slide(stack: nn.Sequential, x: Tensor, window: int, step: int = 1) -> Tensor:
    """Evaluate a network of windows on all windows of intervals.

    Parameters
    ----------
    stack
        ``(n, inputs, window) -> (n, outputs)``: convolutions without padding, max pooling, elementwise layers, then
        `Flatten` and dense layers.
    x
        ``(intervals, inputs, length)``.
    window
        In bins.
    step
        Evaluate each `step`-th window only; what no such window looks at is not computed.

    Returns
    -------
    Tensor
        ``(intervals, outputs, windows)``; column `i` is ``stack(x[:, :, i * step : i * step + window])``.

    Raises
    ------
    ChromatellError
        A layer of another kind.

    Examples
    --------
    >>> import torch
    >>> from torch import nn
    >>> stack = nn.Sequential(nn.Conv1d(1, 2, 3), nn.MaxPool1d(2), nn.ReLU(), nn.Flatten(), nn.Linear(6, 1))
    >>> x = torch.rand(1, 1, 20)
    >>> windows = x.unfold(2, 8, 1)[0].transpose(0, 1)
    >>> bool(torch.allclose(slide(stack, x, 8)[0, 0], stack(windows)[:, 0], atol=1e-6))
    True
    """
    n, flat = (x.shape[2] - window) // step + 1, False
    apart, left = 1, window  # bins between neighbours in a window's layer; positions of a window there
    grid = 1  # bins between the positions that are computed
    for layer in stack:
        fine = apart // grid
        if isinstance(layer, nn.Conv1d):
            _check_conv(layer)
            (kernel,), (stride,), (dilation,) = layer.kernel_size, layer.stride, layer.dilation
            x = F.conv1d(x, layer.weight, layer.bias, dilation=fine * dilation, groups=layer.groups)
            left = (left - dilation * (kernel - 1) - 1) // stride + 1
            apart *= stride
        elif isinstance(layer, nn.MaxPool1d):
            kernel, stride = _pooling(layer)
            x = F.max_pool1d(x, kernel, stride=1, dilation=fine)
            left = (left - kernel) // stride + 1
            apart *= stride
        elif isinstance(layer, nn.Flatten):
            flat = True
        elif isinstance(layer, nn.Linear) and flat:
            weight = layer.weight.reshape(layer.out_features, x.shape[1], left)
            x = F.conv1d(x, weight, layer.bias, dilation=fine)
            left = 1
        elif isinstance(layer, _ELEMENTWISE):
            x = layer(x)
        else:
            raise ChromatellError(f"{layer} cannot be slid along: convolutions, max pooling, Flatten and Linear can.")
        coarser = gcd(apart, step)  # windows start on multiples of step, and look at multiples of apart from there
        x, grid = x[:, :, :: coarser // grid], coarser
    return x[:, :, :: step // grid][:, :, :n]


def _check_conv(layer: nn.Conv1d) -> None:
    if layer.padding not in (0, (0,), "valid"):
        raise ChromatellError(f"{layer} pads its windows, which neighbours then do not share. Use padding=0.")


def _pooling(layer: nn.MaxPool1d) -> tuple[int, int]:
    numbers = [x[0] if isinstance(x, tuple) else x for x in (layer.kernel_size, layer.stride)]
    if layer.padding not in (0, (0,)) or layer.dilation not in (1, (1,)) or layer.ceil_mode:
        raise ChromatellError(f"{layer} cannot be slid along. Use padding=0, dilation=1, ceil_mode=False.")
    return int(numbers[0]), int(numbers[1])
