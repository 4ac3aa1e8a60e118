"""What the batches of all families have in common: they move to a device as one."""

from __future__ import annotations

from typing import Any, Self

from torch import Tensor


class Batch:
    """Base of dataclasses that hold tensors, other batches, and plain values."""

    def to(self, device: Any, **kwargs: Any) -> Self:
        """Return it with all tensors on another device; keywords as of :meth:`torch.Tensor.to`."""
        moved = {k: v.to(device, **kwargs) if isinstance(v, Tensor | Batch) else v for k, v in vars(self).items()}
        return type(self)(**moved)
