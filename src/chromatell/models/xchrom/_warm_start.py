"""A first fit of the cell tower against free vectors of the training regions, before any sequence is read."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp
import torch
from torch import nn

from chromatell._progress import progress
from chromatell.data.targets import sparse_target
from chromatell.models._train_config import rise_share
from chromatell.models.xchrom._module import XChromModule
from chromatell.nn.losses import LossConfig, blocked_loss

_CELLS, _RATE, _DECAY = 256, 5e-3, 1e-2


def warm_start(
    module: XChromModule,
    cells: np.ndarray,
    depth: np.ndarray,
    predicted_depth: np.ndarray,
    opened: sp.csr_matrix,
    *,
    depth_slope: float,
    n_epochs: int,
    seed: int,
    device: torch.device,
) -> np.ndarray:
    """Fit ``logit = w . v(cell)`` with a free `w` for each region, then set the sequence side to start at their mean.

    Returns the free vectors, float32 (regions, n_vector).

    It takes seconds, since no convolution runs, and it gives the sequence tower a fixed target: coordinates of regions
    that explain accessibility over cells, scaled to unit variance. Memory grows with 256 cells x regions.

    Parameters
    ----------
    cells, depth, predicted_depth
        Values of the training cells, as in `RegionBatch`.
    opened
        float32 CSR (cells, regions), training part only.
    """
    config, rng = module.config, np.random.default_rng(seed)
    k, n_regions = config.n_embed, opened.shape[1]
    mean = np.asarray(opened.mean(axis=0)).ravel().clip(1e-4, 1 - 1e-4)
    start = torch.randn(n_regions, config.n_vector) * 0.1
    start[:, k] = torch.from_numpy(np.log(mean / (1 - mean)).astype(np.float32))
    start[:, k + 1] = depth_slope
    module.to(device).train()
    free = nn.Parameter(start.to(device))
    groups = [
        {"params": [free, *(p for p in module.cell_tower.parameters() if p.ndim > 1)], "weight_decay": _DECAY},
        {"params": [p for p in module.cell_tower.parameters() if p.ndim < 2], "weight_decay": 0.0},
    ]
    batch_size = min(_CELLS, max(32, len(cells) // 24))
    n_steps = -(-len(cells) // batch_size)
    optimizer = torch.optim.AdamW(groups, lr=_RATE)
    total = n_epochs * n_steps
    rise = rise_share(max(0.1, 2 / total), total)  # at least two steps, where there are
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, _RATE, total, pct_start=rise)
    arrays = [torch.from_numpy(a) for a in (cells, depth, predicted_depth)]
    with progress("Fitting cells", n_epochs, "epochs") as advance:
        for _ in range(n_epochs):
            order = rng.permutation(len(cells))
            for i in range(n_steps):
                rows = order[i * batch_size : (i + 1) * batch_size]
                x, own, guess = (a[rows].to(device) for a in arrays)
                v = module.cells(x, module.mixed_depth(own, guess))
                loss = n_regions * _entropy(v, free, opened[rows], config.block, device)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                schedule.step()
            advance(1)
    return _aim_sequence_side(module, free.detach()).cpu().numpy()


def _entropy(v: torch.Tensor, free: torch.Tensor, y: sp.csr_matrix, block: int, device: torch.device) -> torch.Tensor:
    return blocked_loss(
        lambda a, b: (v @ free[a:b].T)[None],
        sparse_target(y, block).to(device),
        n_cells=len(v),
        n_regions=len(free),
        config=LossConfig("bce"),
    )[0]


@torch.no_grad()
def _aim_sequence_side(module: XChromModule, free: torch.Tensor) -> torch.Tensor:
    """Scale the cells' coordinates so that those of regions have unit variance; start regions at their mean."""
    k = module.config.n_embed
    scale = free[:, :k].std(dim=0).clamp(min=1e-3)
    last = module.cell_tower[-1]
    last.weight.mul_(scale[:, None])
    last.bias.mul_(scale)
    free = torch.cat([free[:, :k] / scale, free[:, k:]], dim=1)
    if module.head is None:
        module.origin.copy_(free.mean(dim=0))
        module.tower.last.bias.zero_()
    else:
        module.tower.last.bias.copy_(free[:, :k].mean(dim=0))
        module.head.bias.copy_(free[:, k:].mean(dim=0))
    return free
