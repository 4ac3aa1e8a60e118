"""How a network is fitted, as plain values: they are stored with the model."""

from __future__ import annotations

from dataclasses import dataclass
from numbers import Real

from chromatell._validate import ChromatellError, in_range, one_of, own_types

OPTIMIZERS = ("adamw", "adam", "rmsprop")
ORDERS = ("auto", "cells", "blocks")
SCHEDULES = ("cosine", "plateau", "none")


@dataclass(frozen=True)
class TrainConfig:
    """How a network is fitted; every field is stored with the model."""

    max_epochs: int = 30
    batch_size: int = 256  # over all processes
    min_steps: int = 24  # steps an epoch at least: fewer cells take smaller batches, down to 32
    optimizer: str = "adamw"
    betas: tuple[float, float] = (0.9, 0.999)  # adam and adamw take them
    lr: float = 2e-3
    full_rate_at: int = 0  # regions (XChrom) from which `lr` holds; it falls in proportion with fewer
    weight_decay: float = 1e-2
    schedule: str = "cosine"
    warmup: float = 0.1  # share of all steps
    gradient_clip: float = 0.0  # largest norm of the gradient; 0 leaves it
    early_stopping: bool = True
    patience: int = 8
    order: str = (
        "auto"  # cells come as 'cells', each at random; 'blocks', of a file; 'auto': 'blocks' of what is not held
    )
    block_cells: int = 64  # neighbouring cells that 'blocks' reads together

    def __post_init__(self) -> None:
        own_types(self)
        one_of(self.optimizer, OPTIMIZERS, "optimizer")
        one_of(self.schedule, SCHEDULES, "schedule")
        one_of(self.order, ORDERS, "order")
        for name in ("max_epochs", "batch_size", "min_steps"):
            object.__setattr__(self, name, in_range(getattr(self, name), 1, 10**9, name))
        for name, low, high in (("lr", 1e-12, 1e6), ("weight_decay", 0, 1e6), ("gradient_clip", 0, 1e9)):
            object.__setattr__(self, name, in_range(getattr(self, name), low, high, name, whole=False))
        in_range(self.warmup, 0, 1, "warmup", whole=False)
        in_range(self.full_rate_at, 0, 10**9, "full_rate_at")
        for name in ("patience", "block_cells"):
            in_range(getattr(self, name), 1, 10**9, name)
        betas = [self.betas] if isinstance(self.betas, Real | str) else list(self.betas)  # JSON knows lists only
        if len(betas) != 2:
            raise ChromatellError(f"betas={self.betas!r}: two numbers are needed, such as betas=(0.9, 0.999).")
        object.__setattr__(self, "betas", tuple(in_range(b, 0, 0.999999, "betas", whole=False) for b in betas))

    def batch_for(self, n_train: int) -> int:
        """Return the cells in a batch, given the number of training cells."""
        return min(self.batch_size, max(32, n_train // self.min_steps))


def rise_share(share: float, steps: int) -> float:
    """Return the share of the steps in which the rate rises, for torch's `OneCycleLR`.

    It divides by the length of the rise less one step, and by that of the fall: neither may be 0.

    Examples
    --------
    >>> rise_share(0.2, 50), rise_share(0.1, 10), rise_share(1.0, 2)
    (0.2, 0.11000000000000001, 0.95)
    """
    rise = share * steps
    if abs(rise - 1) < 1e-6:
        rise = 1.1
    return min(rise, steps - 0.1) / steps
