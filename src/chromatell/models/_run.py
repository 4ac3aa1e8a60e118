"""One training run from epoch to epoch: its losses, best weights, when it stops, what is kept and what is shown."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor

from chromatell._settings import logger
from chromatell.models._train_config import TrainConfig

TRAIN_LOSS, VALIDATION_LOSS = "train_loss", "validation_loss"
_SAID = {TRAIN_LOSS: "training", VALIDATION_LOSS: "validation"}
Show = Callable[[int, str], None]
WORSE = (
    5.0  # training losses that stay so many times above that of the first batch: one batch of few cells varies twofold
)


class Run(Callback):
    """Keeps the losses and the best weights, stops early, writes the state after each epoch, and says how it goes.

    Parameters
    ----------
    identity
        What a state says of its run, see `fingerprint`.
    path
        Where the state is kept; None keeps none.
    start_counts
        The weights that training starts from are a candidate for the best: they were fitted by other means.
    objective
        What the training loss is where the validation loss is another: it is said once.
    show
        Takes the number of steps done and a text, for a progress bar; None writes a log line an epoch.
    """

    def __init__(
        self,
        config: TrainConfig,
        *,
        identity: Mapping[str, Any] | None = None,
        path: Path | None = None,
        start_counts: bool = False,
        objective: str = "",
        show: Show | None = None,
    ) -> None:
        self.config, self.identity, self.path = config, dict(identity or {}), path
        self.start_counts, self.objective, self.show = start_counts, objective, show
        self.history: dict[str, list[float]] = {}
        self.best, self.best_epoch = math.inf, -1
        self.weights: dict[str, Tensor] = {}
        self.lowest, self.waited = math.inf, 0  # what early stopping saw; it looks at epochs alone
        self.plateau: dict[str, Any] = {}  # state of that schedule
        self.first: float | None = None  # loss of the first batch, before any step
        self.interrupted = False

    @property
    def n_epochs(self) -> int:
        """Epochs that were run."""
        return len(self.history.get(TRAIN_LOSS, ()))

    @property
    def is_over(self) -> bool:
        """Whether there is nothing left to train."""
        stopped = self.config.early_stopping and self.waited >= self.config.patience
        return stopped or self.n_epochs >= self.config.max_epochs

    # ---- what Lightning calls

    def on_train_start(self, trainer: Trainer, pl_module: Any) -> None:
        """Validate the weights as they are where they count, in a run that does not resume."""
        if self.is_over:
            trainer.should_stop = True
        if pl_module.plateau is not None and self.plateau:
            pl_module.plateau.load_state_dict(self.plateau)
        if not self.start_counts or self.weights or trainer.current_epoch:
            return
        pl_module.module.eval()
        pl_module.begin_means()
        with torch.no_grad():
            for i, batch in enumerate(trainer.val_dataloaders or ()):
                pl_module.validation_step(batch.to(pl_module.device), i)
        pl_module.module.train()
        if VALIDATION_LOSS in (losses := pl_module.losses()):
            self._keep(losses[VALIDATION_LOSS], -1, pl_module)

    def on_train_batch_end(self, trainer: Trainer, pl_module: Any, outputs: Any, *args: Any, **kwargs: Any) -> None:
        """Keep the loss of the first batch of all, and move the progress bar."""
        if self.first is None:
            self.first = float(outputs["loss"])
        if self.show is not None:
            self.show(1, "")

    def on_train_epoch_end(self, trainer: Trainer, pl_module: Any) -> None:
        """Take in the losses, decide whether to stop, and write the state; in this order, so that it holds all."""
        losses = pl_module.losses()
        self._check(losses, trainer)
        for name, value in losses.items():
            self.history.setdefault(name, []).append(value)
            pl_module.log(name, value)  # for callbacks of the user
        validation = losses.get(VALIDATION_LOSS)
        if validation is not None:
            self._compare(validation, trainer, pl_module)
            if pl_module.plateau is not None:
                pl_module.plateau.step(validation)
                self.plateau = pl_module.plateau.state_dict()
        if self.is_over:
            trainer.should_stop = True
        self._say(losses)
        if self.path is not None:
            trainer.save_checkpoint(self.path)

    def _check(self, losses: Mapping[str, float], trainer: Trainer) -> None:
        """Raise where a loss is infinite: once an epoch, on all processes, which share it."""
        for name, value in losses.items():
            if not math.isfinite(value):
                raise FloatingPointError(
                    f"The {_SAID[name]} loss became {value} at epoch {trainer.current_epoch}. "
                    "Lower the learning rate: train(lr=...), or clip harder: train(gradient_clip=...)."
                )

    def _compare(self, value: float, trainer: Trainer, pl_module: Any) -> None:
        if value < self.best:
            self._keep(value, trainer.current_epoch, pl_module)
        self.waited = 0 if value < self.lowest else self.waited + 1
        self.lowest = min(self.lowest, value)

    def _keep(self, value: float, epoch: int, pl_module: Any) -> None:
        self.best, self.best_epoch = value, epoch
        self.weights = {k: v.detach().clone() for k, v in pl_module.module.state_dict().items()}

    def _say(self, by_name: Mapping[str, float]) -> None:
        losses = {"training": by_name.get(TRAIN_LOSS), "validation": by_name.get(VALIDATION_LOSS)}
        text = ", ".join(f"{name} loss {value:.4g}" for name, value in losses.items() if value is not None)
        best = " (best)" if self.best_epoch == self.n_epochs - 1 and self.weights else ""
        text = f"Epoch {self.n_epochs}/{self.config.max_epochs}: {text}{best}"
        if self.n_epochs == 1 and self.objective:
            logger.info(f"The two losses are of different kinds; training: {self.objective}.")
        if self.show is not None:
            self.show(0, text)
        elif "ipykernel" not in sys.modules:  # a notebook would keep every line
            logger.info(text)

    def restore(self, module: Any) -> None:
        """Put the best weights into a module; warn where no epoch was better than the weights that came first."""
        if self.weights:
            module.load_state_dict(self.weights)
        least = min(self.history.get(TRAIN_LOSS, ()), default=math.nan)
        if self.first is not None and self.first > 0 and least > WORSE * self.first:
            logger.warning(
                f"The network did not learn: its lowest training loss, {least:.4g}, is above that of the first batch, "
                f"{self.first:.4g}. Lower the learning rate, lr={self.config.lr / 10:.2g}, or clip harder, "
                "gradient_clip=1: ctl.tl takes both in train_kwargs=dict(...), a model in train(...)."
            )

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Remember that the user stopped the run: Lightning would end the process."""
        self.interrupted = isinstance(exception, KeyboardInterrupt)

    # ---- the state

    @property
    def state_key(self) -> str:
        """Name of what is kept in a state."""
        return "chromatell"

    def state_dict(self) -> dict[str, Any]:
        """Return what a state keeps: tensors and plain values only."""
        kept = ("identity", "history", "best", "best_epoch", "weights", "lowest", "waited", "plateau", "first")
        return {name: getattr(self, name) for name in kept}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take it back when a stopped run resumes."""
        for name, value in state_dict.items():
            setattr(self, name, value)
