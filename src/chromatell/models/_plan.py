"""The one LightningModule: optimiser, schedule, logging; and the callbacks that training needs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Callback, LightningDataModule, LightningModule, Trainer
from torch import Tensor, nn

from chromatell._validate import one_of

OPTIMIZERS = ("adamw", "adam", "rmsprop")
ORDERS = ("auto", "cells", "blocks")
SCHEDULES = ("cosine", "plateau", "none")


@dataclass(frozen=True)
class TrainConfig:
    """How a network is fitted; every field is stored with the model."""

    max_epochs: int = 30
    batch_size: int = 256
    min_steps: int = 24  # steps an epoch at least: fewer cells take smaller batches, down to 32
    optimizer: str = "adamw"
    betas: tuple[float, float] = (0.9, 0.999)  # of adam and adamw
    lr: float = 2e-3
    full_rate_at: int = 0  # regions (XChrom) from which `lr` holds; it falls in proportion with fewer
    weight_decay: float = 1e-2
    schedule: str = "cosine"
    warmup: float = 0.1  # share of all steps
    gradient_clip: float = 0.0  # largest norm of the gradient; 0 leaves it
    early_stopping: bool = True
    patience: int = 8
    order: str = "auto"  # of the cells: 'cells', each at random; 'blocks', from disk; 'auto': 'blocks' where on disk
    block_cells: int = 64  # neighbouring cells that 'blocks' reads together

    def __post_init__(self) -> None:
        one_of(self.optimizer, OPTIMIZERS, "optimizer")
        one_of(self.schedule, SCHEDULES, "schedule")
        one_of(self.order, ORDERS, "order")
        object.__setattr__(self, "betas", tuple(self.betas))  # JSON knows lists only

    def batch_for(self, n_train: int) -> int:
        """Return the cells in a batch, given the number of training cells."""
        return min(self.batch_size, max(32, n_train // self.min_steps))


class Plan(LightningModule):
    """Fits any module that has ``loss(batch)``; logs `train_loss` and `validation_loss` once an epoch."""

    def __init__(self, module: nn.Module, config: TrainConfig, *, steps_per_epoch: int, seed: int):
        super().__init__()
        self.module = module
        self.config = config
        self.seed = seed
        self.total_steps = max(1, steps_per_epoch * config.max_epochs)

    def on_train_batch_start(self, batch: Any, batch_idx: int) -> None:
        """Seed dropout by (seed, epoch) once the loader is made, which draws too: a resumed run goes on alike."""
        if batch_idx == 0:  # the caller forked the generator
            torch.manual_seed(self.seed * 100_003 + self.current_epoch)

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        """Return the loss of one batch."""
        loss = self.module.loss(batch)
        if not torch.isfinite(loss):
            raise FloatingPointError(
                f"The training loss became {loss.item()} at epoch {self.current_epoch}. "
                "Lower the learning rate: train(lr=...), or clip harder: train(gradient_clip=...)."
            )
        self.log("train_loss", loss.detach(), on_step=False, on_epoch=True, prog_bar=True, batch_size=1)
        return loss

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        """Log the loss of one validation batch, weighted by its size."""
        loss = self.module.loss(batch)
        self.log(
            "validation_loss",
            loss,
            on_step=False,
            on_epoch=True,
            prog_bar=True,
            batch_size=len(batch),
            sync_dist=True,
        )

    def configure_optimizers(self) -> Any:
        """Decay matrices only: biases, norms and per-region terms are left alone."""
        c = self.config
        decayed = [p for p in self.module.parameters() if p.ndim >= 2 and not getattr(p, "no_decay", False)]
        other = [p for p in self.module.parameters() if p.ndim < 2 or getattr(p, "no_decay", False)]
        groups = [{"params": decayed, "weight_decay": c.weight_decay}, {"params": other, "weight_decay": 0.0}]
        optimizer: torch.optim.Optimizer
        if c.optimizer == "rmsprop":
            optimizer = torch.optim.RMSprop(groups, lr=c.lr)
        elif c.optimizer == "adam":
            optimizer = torch.optim.Adam(groups, lr=c.lr, betas=c.betas)
        else:
            optimizer = torch.optim.AdamW(groups, lr=c.lr, betas=c.betas)
        if c.schedule == "cosine":
            rise = c.warmup * self.total_steps
            if abs(rise - 1) < 1e-6:
                rise = 1.1  # torch divides by the length of the rise less one step
            cosine = torch.optim.lr_scheduler.OneCycleLR(
                optimizer,
                c.lr,
                self.total_steps,
                pct_start=rise / self.total_steps,
                cycle_momentum=False,
                div_factor=25,
                final_div_factor=100,
            )
            return {"optimizer": optimizer, "lr_scheduler": {"scheduler": cosine, "interval": "step"}}
        if c.schedule == "plateau":
            plateau = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, factor=0.5, patience=2)
            return {"optimizer": optimizer, "lr_scheduler": {"scheduler": plateau, "monitor": "validation_loss"}}
        return optimizer


class BestWeights(Callback):
    """Keeps the weights of the epoch with the lowest validation loss, in memory, and puts them back at the end.

    With `start`, the weights that training starts from take part: they were fitted by other means.
    """

    def __init__(self, *, start: bool = False) -> None:
        self.start = start
        self.best = float("inf")
        self.best_epoch = -1
        self.weights: dict[str, Tensor] = {}

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Validate the weights as they are, in a run that does not resume."""
        if not self.start or self.weights or trainer.current_epoch:
            return
        total, n = 0.0, 0
        pl_module.module.eval()
        with torch.no_grad():
            for batch in trainer.val_dataloaders:
                batch = batch.to(pl_module.device)
                total, n = total + float(pl_module.module.loss(batch)) * len(batch), n + len(batch)
        pl_module.module.train()
        self._keep(total / n, -1, pl_module)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Compare this epoch with the best so far."""
        value = trainer.callback_metrics.get("validation_loss")
        if value is not None and float(value) < self.best:
            self._keep(float(value), trainer.current_epoch, pl_module)

    def _keep(self, value: float, epoch: int, pl_module: LightningModule) -> None:
        self.best, self.best_epoch = value, epoch
        self.weights = {k: v.detach().clone() for k, v in pl_module.module.state_dict().items()}

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Put the best weights back."""
        if self.weights:
            pl_module.module.load_state_dict(self.weights)

    def state_dict(self) -> dict[str, Any]:
        """Return what a checkpoint keeps: tensors and plain values only."""
        return {"best": self.best, "best_epoch": self.best_epoch, "weights": self.weights}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take it back when a stopped run resumes."""
        self.best, self.best_epoch = state_dict["best"], state_dict["best_epoch"]
        self.weights = state_dict["weights"]


class SaveState(Callback):
    """Writes the state of the run after each epoch, beside and renamed, so that a stopped run can go on."""

    def __init__(self, path: Path):
        self.path = path

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write tensors and plain values; nothing else is read back (``weights_only=True``)."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        beside = self.path.with_suffix(".partial")
        trainer.save_checkpoint(beside)
        if trainer.is_global_zero:
            beside.replace(self.path)


class Loaders(LightningDataModule):
    """The training and validation loaders of one run."""

    def __init__(self, train: Any, val: Any | None):
        super().__init__()
        self._train, self._val = train, val

    def train_dataloader(self) -> Any:
        """Return the training loader."""
        return self._train

    def val_dataloader(self) -> Any:
        """Return the validation loader, or none."""
        return self._val if self._val is not None else []
