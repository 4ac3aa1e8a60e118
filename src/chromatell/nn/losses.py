"""Losses over all regions of a batch, computed one block of regions at a time from sparse targets.

The dense matrix of logits or targets, (cells, regions), is never built: a block's logits are recomputed in the backward
pass, so memory is O(cells x block). Every loss equals its plain dense formula.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from chromatell._validate import in_range, one_of, own_types
from chromatell.nn import ranks
from chromatell.nn.batch import Batch

LOSSES = ("bce", "focal", "dice", "focal_dice", "poisson")


@dataclass(frozen=True)
class SparseTarget(Batch):
    """Targets of a batch, one block of regions after the other; `chromatell.data.targets` makes them.

    Nothing here waits for a device: how many entries a block has is known on the host.

    Attributes
    ----------
    counts
        int32 (blocks, cells): entries of each cell in each block.
    region
        int (entries,): region of each entry, by block, then by cell.
    value
        float32 (entries,): a probability where targets were smoothed, or a count; None where all are 1.
    bounds
        Where each block's entries start and, last, end.
    width
        Regions in a block; the last may have fewer.
    """

    counts: Tensor
    region: Tensor
    value: Tensor | None
    bounds: tuple[int, ...]
    width: int

    def block(self, i: int, n_regions: int) -> Tensor:
        """Return the dense targets of block `i` of `n_regions` regions in all, (cells, regions of the block)."""
        first, last = self.bounds[i], self.bounds[i + 1]
        start = i * self.width
        wide, n_cells = min(self.width, n_regions - start), self.counts.shape[1]
        row = torch.arange(n_cells, device=self.counts.device) * wide - start
        at = torch.repeat_interleave(row, self.counts[i], output_size=last - first) + self.region[first:last]
        dtype = torch.float32 if self.value is None else self.value.dtype
        dense = torch.zeros(n_cells * wide, dtype=dtype, device=at.device)
        dense[at] = 1.0 if self.value is None else self.value[first:last]
        return dense.view(n_cells, wide)


@dataclass(frozen=True)
class LossConfig:
    """Which loss, and its weights.

    `focal_dice` is ``focal + dice_weight * dice``; focal as in Lin et al. 2017 (``gamma``, ``alpha``; alpha None leaves
    the two classes unweighted), Dice as in Milletari et al. 2016 over all (cell, region) pairs of the batch.
    """

    name: str = "bce"
    focal_gamma: float = 2.0
    focal_alpha: float | None = None
    dice_weight: float = 1.0
    dice_smooth: float = 1.0

    def __post_init__(self) -> None:
        own_types(self)
        one_of(self.name, LOSSES, "loss")
        for name, most in (("focal_gamma", 100), ("dice_weight", 1e6), ("dice_smooth", 1e6)):
            in_range(getattr(self, name), 0, most, name, whole=False)
        if self.focal_alpha is not None:
            in_range(self.focal_alpha, 0, 1, "focal_alpha", whole=False)


def region_sums(logits: Tensor, target: Tensor, config: LossConfig) -> Tensor:
    """Return what a block adds to the loss, (members, 4): sums of cross entropy, p*y, p and y.

    `logits` is (members, cells, block), float32; `target` is (cells, block).
    """
    zero = logits.new_zeros(logits.shape[0])
    if config.name == "poisson":  # logits are log rates
        return torch.stack([(logits.exp() - target * logits).sum((1, 2)), zero, zero, zero], dim=1)
    if config.name == "bce":
        entropy = F.binary_cross_entropy_with_logits(logits, target.expand_as(logits), reduction="none")
        return torch.stack([entropy.sum((1, 2)), zero, zero, zero], dim=1)
    p = logits.sigmoid()
    entropy = zero
    if "focal" in config.name:
        p_true = p * target + (1 - p) * (1 - target)
        focal = (1 - p_true).pow(config.focal_gamma) * (F.softplus(logits) - target * logits)
        if config.focal_alpha is not None:
            focal = focal * (config.focal_alpha * target + (1 - config.focal_alpha) * (1 - target))
        entropy = focal.sum((1, 2))
    y_sum = target.sum().expand(logits.shape[0])
    return torch.stack([entropy, (p * target).sum((1, 2)), p.sum((1, 2)), y_sum], dim=1)


def combine(sums: Tensor, n_pairs: int, config: LossConfig) -> Tensor:
    """Return the loss of each member, (members,), from the sums over all blocks, and over all ranks."""
    loss = ranks.share_of_mean(sums[:, 0] / n_pairs, n_pairs)
    if "dice" in config.name:
        inter, p_sum, y_sum = ranks.summed(sums[:, 1:]).unbind(dim=1)
        dice = 1 - (2 * inter + config.dice_smooth) / (p_sum + y_sum + config.dice_smooth)
        loss = dice if config.name == "dice" else loss + config.dice_weight * dice
    return loss


def blocked_loss(
    decode: Callable[[int, int], Tensor],
    target: SparseTarget,
    *,
    n_cells: int,
    n_regions: int,
    config: LossConfig,
) -> Tensor:
    """Return the loss of each member over all regions, (members,).

    Parameters
    ----------
    decode
        ``decode(start, stop)`` returns the logits of those regions, (members, cells, stop - start).
    target
        Its width is that of the blocks: memory grows with cells x width, not with cells x regions.
    """

    def sums_of(i: int) -> Tensor:
        start = i * target.width
        logits = decode(start, min(start + target.width, n_regions)).float()
        return region_sums(logits, target.block(i, n_regions), config)

    blocks = range(-(-n_regions // target.width))
    if len(blocks) == 1 or not torch.is_grad_enabled():
        parts = [sums_of(i) for i in blocks]
    else:
        parts = [checkpoint(sums_of, i, use_reentrant=False, preserve_rng_state=False) for i in blocks]
    return combine(torch.stack(parts).sum(dim=0), n_cells * n_regions, config)
