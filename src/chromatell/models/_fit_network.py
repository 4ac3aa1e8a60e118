"""Fits a network by gradient descent, through scvi-tools' runner and Lightning."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from lightning.pytorch.callbacks import EarlyStopping
from scvi.train import Trainer, TrainRunner
from torch.utils.data import DataLoader

from chromatell._settings import settings
from chromatell.models._plan import BestWeights, Loaders, Plan, SaveState, TrainConfig


class _SafeTrainer(Trainer):
    """Resumes from tensors and plain values only."""

    def fit(self, *args: Any, **kwargs: Any) -> None:
        super().fit(*args, weights_only=True, **kwargs)


class _Runner(TrainRunner):
    _trainer_cls = _SafeTrainer


def fit_network(
    model: Any,
    config: TrainConfig,
    loaders: tuple[DataLoader, DataLoader | None],
    *,
    seed: int,
    starts_fitted: bool,
    state: Path | None,
    **trainer: Any,
) -> dict[str, list[float]]:
    """Fit `model.module`, leave the weights that are best on validation data in it, and return the losses by epoch.

    `state` is the file that a stopped run goes on from; `starts_fitted` says that the first weights take part in the
    choice of the best.
    """
    train, val = loaders
    callbacks: list[Any] = list(trainer.pop("callbacks", []))
    if val is not None:
        callbacks.append(BestWeights(start=starts_fitted))
    if state is not None:
        callbacks.append(SaveState(state))
    if val is not None and config.early_stopping:
        # Lightning's own: scvi-tools' prints to stdout
        callbacks.append(EarlyStopping("validation_loss", patience=config.patience, mode="min"))
    runner = _Runner(
        model,
        training_plan=Plan(model.module, config, steps_per_epoch=len(train), seed=seed),
        data_splitter=Loaders(train, val),
        max_epochs=config.max_epochs,
        callbacks=callbacks,
        ckpt_path=state if state is not None and state.exists() else None,
        gradient_clip_val=config.gradient_clip or None,
        check_val_every_n_epoch=1,
        enable_progress_bar=settings.progress,
        **trainer,
    )
    model.module.train()  # Lightning keeps the mode that it finds
    runner()
    frames = runner.trainer.logger.history if runner.trainer.is_global_zero else {}
    keep = ("train_loss", "validation_loss")
    return {k: [float(v) for v in f.iloc[:, 0]] for k, f in frames.items() if k in keep}
