"""Training in several processes: each holds part of a batch, and together they compute what one process would.

Lightning averages gradients over the processes (ranks). `share_of_mean`, `ratio`, `summed` and `gathered` make what
each rank returns such that this average is the loss of the whole batch. In one process they change nothing.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from contextvars import ContextVar

import torch
import torch.distributed as dist
from torch import Tensor, nn

_N_RANKS: ContextVar[int] = ContextVar("chromatell_ranks", default=1)


@contextlib.contextmanager
def sharing(n_ranks: int) -> Iterator[None]:
    """Say that all ranks compute the loss of their parts of one batch now, in step with each other."""
    before = _N_RANKS.set(n_ranks)
    try:
        yield
    finally:
        _N_RANKS.reset(before)


def rank() -> int:
    """Return the number of this process among those that train together; 0 where there is one."""
    return dist.get_rank() if dist.is_available() and dist.is_initialized() else 0


def total(value: Tensor | float) -> Tensor:
    """Return the sum of a count over the ranks; no gradient passes."""
    count = torch.as_tensor(value, dtype=torch.float32).detach().clone()
    if _N_RANKS.get() > 1:
        if dist.get_backend() == "nccl":
            count = count.cuda()
        dist.all_reduce(count)
    return count


def ratio(value: Tensor, n: Tensor | float) -> Tensor:
    """Return what a rank adds to the sum of `value` over the sum of `n`; `n` of all ranks together is at least 1."""
    ranks = _N_RANKS.get()
    if ranks == 1:
        return value / (n.clamp(min=1) if isinstance(n, Tensor) else max(n, 1))
    return value * (ranks / total(n).clamp(min=1)).to(value.device)


def share_of_mean(mean: Tensor, n: Tensor | float) -> Tensor:
    """Return what a rank adds to a mean over the whole batch, given the mean over its own `n` items."""
    ranks = _N_RANKS.get()
    return mean if ranks == 1 else mean * (ranks * n / total(n)).to(mean.device)


def summed(value: Tensor) -> Tensor:
    """Return the sum over the ranks, which gradients pass: for losses that are no mean over items."""
    if _N_RANKS.get() == 1:
        return value
    from torch.distributed.nn.functional import all_reduce  # not there where torch was built without distributed

    return all_reduce(value)


def gathered(rows: Tensor) -> Tensor:
    """Return the rows of all ranks, which gradients pass; ranks may have different numbers of them."""
    ranks = _N_RANKS.get()
    if ranks == 1:
        return rows
    sizes = [torch.zeros(1, dtype=torch.int64, device=rows.device) for _ in range(ranks)]
    dist.all_gather(sizes, torch.tensor([len(rows)], device=rows.device))
    n = [int(size) for size in sizes]
    from torch.distributed.nn.functional import all_gather

    padded = torch.cat([rows, rows.new_zeros(max(n) - len(rows), *rows.shape[1:])])
    return torch.cat([part[:k] for part, k in zip(all_gather(padded), n, strict=True)])


class BatchNorm(nn.BatchNorm1d):
    """Batch norm over the whole batch, whatever the number of ranks that hold it; on CPU as on GPU.

    ``(n, channels)`` or ``(n, channels, length)``; weights and buffers are those of :class:`torch.nn.BatchNorm1d`.
    """

    def forward(self, input: Tensor) -> Tensor:
        """Return the same shape and dtype."""
        if not self.training or _N_RANKS.get() == 1:
            return super().forward(input)
        x = input.float()
        over = [0] if x.ndim == 2 else [0, 2]
        shape = (1, -1) if x.ndim == 2 else (1, -1, 1)
        n = total(x.numel() / x.shape[1]).to(x.device)
        mean = summed(x.sum(over)) / n
        centred = x - mean.view(shape)
        variance = summed(centred.square().sum(over)) / n
        if self.running_mean is not None and self.running_var is not None and self.num_batches_tracked is not None:
            with torch.no_grad():
                self.num_batches_tracked += 1
                momentum = self.momentum if self.momentum is not None else 1 / float(self.num_batches_tracked)
                self.running_mean.lerp_(mean.detach(), momentum)
                self.running_var.lerp_(variance.detach() * n / (n - 1).clamp(min=1), momentum)
        y = centred * torch.rsqrt(variance + self.eps).view(shape)
        if self.affine:
            y = y * self.weight.view(shape) + self.bias.view(shape)
        return y.to(input.dtype)
