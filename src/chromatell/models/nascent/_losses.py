"""What the networks of `Nascent` minimise, bin by bin, and how an output becomes a value."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from chromatell.nn import ranks

TASKS = {
    "regression": ("mse", "masked_mse", "weighted_mse", "poisson"),
    "classification": ("logistic", "hinge"),
}
OF_TREES = ("mse", "logistic", "hinge")
OF_NETWORKS = ("mse", "masked_mse", "weighted_mse", "poisson", "logistic")
_FLOOR = 1e-6  # least rate of 'poisson'


def mean_loss(kind: str, output: Tensor, y: Tensor, share: Tensor) -> Tensor:
    """Return the mean over known bins of output and y, float32 (intervals, targets, bins); NaN in y is unknown.

    `share` (targets,) is each target's share of training bins that are not zero, read by 'weighted_mse'.
    """
    known = torch.isfinite(y)
    if kind == "masked_mse":
        known = known & (y != 0)
    y = torch.where(known, y, 0)
    if kind == "poisson":
        rate = F.softplus(output) + _FLOOR
        each = rate - y * rate.log()
    elif kind == "logistic":
        each = F.binary_cross_entropy_with_logits(output, y, reduction="none")
    elif kind == "hinge":
        each = F.relu(1 - (2 * y - 1) * output)
    else:
        each = (output - y).square()
    if kind == "weighted_mse":  # bins with signal and bins without weigh the same in sum
        p = share[:, None].clamp(1e-3, 1 - 1e-3)
        each = each * torch.where(y != 0, 0.5 / p, 0.5 / (1 - p))
    return ranks.ratio(torch.where(known, each, 0).sum(), known.sum())


def to_value(kind: str, output: Tensor) -> Tensor:
    """Return what is predicted: a value in standard deviations, a probability, or, of 'hinge', a margin."""
    if kind == "poisson":
        return F.softplus(output)
    return torch.sigmoid(output) if kind == "logistic" else output


def to_output(kind: str, value: Tensor) -> Tensor:
    """Return the output that means a value, such as the mean that training starts from."""
    if kind == "poisson":
        return torch.log(torch.expm1(value.clamp(min=1e-4)))
    if kind == "hinge":
        return 2 * value - 1
    return torch.logit(value, eps=1e-4) if kind == "logistic" else value
