"""Fits a network by gradient descent, through Lightning: on one device or several, in one go or several."""

from __future__ import annotations

import contextlib
import re
import signal
import threading
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import torch
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch import Trainer
from lightning.pytorch.strategies import DDPStrategy
from torch.utils.data import DataLoader

from chromatell._progress import progress
from chromatell._settings import logger, settings
from chromatell._validate import ChromatellError
from chromatell.models._checkpoint import StateFile, check_same_run, read_state
from chromatell.models._plan import Loaders, Plan
from chromatell.models._run import Run
from chromatell.models._train_config import TrainConfig

_PLAIN = {"accelerator": "cpu", "devices": 1, "precision": "32-true"}  # what every machine has
_DDP = ("ddp", "ddp_find_unused_parameters_true", "ddp_find_unused_parameters_false")
_MODULE = "module."  # how a state names the weights of what `Plan` fits


def fit_network(
    module: Any,
    config: TrainConfig,
    loaders: tuple[DataLoader, DataLoader | None],
    *,
    seed: int,
    starts_fitted: bool,
    state: Path | None,
    identity: Callable[[], dict[str, Any]],
    **trainer: Any,
) -> tuple[Trainer | None, dict[str, list[float]]]:
    """Fit a module, leave the weights that are best on validation data in it; return the trainer and losses by epoch.

    Parameters
    ----------
    starts_fitted
        The first weights take part in the choice of the best.
    state
        The file that a stopped run goes on from, and that is written after each epoch.
    identity
        Returns what tells this run from others; a state of another is refused. Asked where there is a `state`, or
        where several processes train: all must have the same.
    """
    identity = cache(identity)
    train, val = loaders
    objective = getattr(module, "training_objective", "")
    run = Run(config, path=state, start_counts=starts_fitted and val is not None, objective=objective)
    if state is not None:
        run.identity = identity()
        if state.exists():
            take_up(run, state)
            rest = "it is finished, nothing is trained" if run.is_over else "training goes on"
            logger.info(f"Epoch {run.n_epochs} of {config.max_epochs} is in {str(state.parent)!r}: {rest}.")
    callbacks = [*trainer.pop("callbacks", []), run]
    made = make_trainer(config, callbacks=callbacks, skips_parts=getattr(module, "skips_parts", False), **trainer)
    if run.is_over and made.world_size == 1:  # several processes have to be started, for what comes after
        run.restore(module)
        return None, run.history
    # on a GPU torch chooses, and Lightning clips no gradients of such an optimiser in mixed precision
    plain = made.precision == "32-true" and made.strategy.root_device.type == "cpu"
    plan = Plan(module, config, steps_per_epoch=len(train), seed=seed, identity=identity, in_one_pass=plain)
    module.train()  # Lightning keeps the mode that it finds
    steps = len(train) * (config.max_epochs - run.n_epochs)
    with _shown(run, steps if made.is_global_zero else None), _stopped_by_user(run):
        made.fit(plan, datamodule=Loaders(train, val), ckpt_path=str(state) if run.n_epochs else None)
    run.restore(module)
    module.to(made.strategy.root_device)
    return made, run.history


def take_up(run: Run, state: Path) -> None:
    """Take the losses and best weights of a stopped run; raise where it is another one, or the file is damaged."""
    kept = read_state(state)
    saved = kept["callbacks"][run.state_key]
    check_same_run(saved["identity"], run.identity, state)
    run.load_state_dict(saved)
    if run.n_epochs > run.config.max_epochs:
        raise ChromatellError(
            f"The run in {str(state.parent)!r} has {run.n_epochs} epochs, max_epochs={run.config.max_epochs} is less. "
            f"Take max_epochs={run.n_epochs} or more, or name another folder: train(checkpoint_dir=...)."
        )
    if run.is_over and not run.weights:  # without validation data the last weights are the model's
        own = {name: w for name, w in kept["state_dict"].items() if name.startswith(_MODULE)}
        run.weights = {name.removeprefix(_MODULE): w for name, w in own.items()}


def make_trainer(
    config: TrainConfig,
    *,
    accelerator: str = "auto",
    devices: int | list[int] | str = "auto",
    precision: str = "32-true",
    strategy: Any = "auto",
    skips_parts: bool = False,
    **kwargs: Any,
) -> Trainer:
    """Return Lightning's trainer; `skips_parts` says that a batch may leave some of the weights without a gradient.

    Raises
    ------
    ChromatellError
        The hardware is not there, or an option is unknown.
    """
    if devices == "auto":
        devices = 1  # several are asked for by name: they would run the caller's script again
        if accelerator == "auto" and not torch.cuda.is_available():
            accelerator = "cpu"
    several = devices not in (1, "1") and not (isinstance(devices, list) and len(devices) == 1)
    if strategy in _DDP or (strategy == "auto" and several):
        # buffers are the same everywhere, see `BatchNorm`; sent at each batch, they wait for ranks that have fewer
        strategy = DDPStrategy(find_unused_parameters=skips_parts, broadcast_buffers=False)
    elif isinstance(strategy, str) and strategy != "auto":
        raise ChromatellError(
            f"trainer_kwargs={{'strategy': {strategy!r}}} is not supported: take 'ddp', or leave it out."
        )
    options: dict[str, Any] = {
        "max_epochs": config.max_epochs,
        "gradient_clip_val": config.gradient_clip or None,
        "check_val_every_n_epoch": 1,
        "num_sanity_val_steps": 0,
        "logger": False,
        "enable_checkpointing": False,
        "enable_model_summary": False,
        "enable_progress_bar": False,
        "use_distributed_sampler": False,
        **kwargs,
    }
    options["plugins"] = [*_listed(options.get("plugins")), StateFile()]
    try:
        return Trainer(accelerator=accelerator, devices=devices, precision=precision, strategy=strategy, **options)
    except (MisconfigurationException, TypeError, ValueError, RuntimeError) as error:
        said = str(error).strip().splitlines()[0].removeprefix("Trainer.__init__() ").rstrip(".!")
        asked = {"accelerator": accelerator, "devices": devices, "precision": precision}
        raise ChromatellError(_not_set_up(said, asked, kwargs)) from error


def _not_set_up(said: str, asked: dict[str, Any], others: dict[str, Any]) -> str:
    """Return what Lightning said, with the options that can be at fault: those it names, else all that were given."""
    others = {name: value for name, value in others.items() if name != "callbacks" or name in said}
    given = {name: value for name, value in asked.items() if value != _PLAIN[name]} | others
    blamed = [name for name in given if re.search(rf"\b{name}\b", said)] or list(given)
    plain = [f"{name}={_PLAIN[name]!r}" for name in blamed if name in _PLAIN]
    cures = [f"take {', '.join(plain)}"] if plain else []
    if other := [name for name in blamed if name not in _PLAIN]:
        cures.append(f"leave {', '.join(map(repr, other))} out of trainer_kwargs")
    cure = ", and ".join(cures) or "update lightning: pip install -U lightning"
    shown = ", ".join(f"{name}={value!r}" for name, value in (asked | others).items())
    return f"Training cannot be set up with {shown[:400]}: {said}. {cure[0].upper()}{cure[1:]}."


def _listed(value: Any) -> list[Any]:
    return [] if value is None else list(value) if isinstance(value, list | tuple) else [value]


@contextlib.contextmanager
def _shown(run: Run, steps: int | None) -> Iterator[None]:
    """Show a progress bar in a terminal or notebook; elsewhere `run` writes a line an epoch."""
    if steps is None or not settings.progress:
        yield
        return
    with progress("Training", steps, "steps") as advance:
        run.show = advance
        yield


@contextlib.contextmanager
def _stopped_by_user(run: Run) -> Iterator[None]:
    """Let Ctrl-C be a KeyboardInterrupt: Lightning ends the process and leaves signals ignored."""
    main = threading.current_thread() is threading.main_thread()
    handler = signal.getsignal(signal.SIGINT) if main else None
    try:
        yield
    except SystemExit as error:
        if not run.interrupted:
            raise
        if run.path is None:
            how = "Nothing is kept; train(checkpoint_dir=...) keeps the state after each epoch."
        elif run.n_epochs:
            how = f"The state after epoch {run.n_epochs} is in {str(run.path)!r}: the same call goes on from there."
        else:
            how = "No epoch was finished: the same call starts anew."
        logger.warning(f"Training was stopped. {how}")
        raise KeyboardInterrupt(f"Training was stopped. {how}") from error
    finally:
        if main:
            signal.signal(signal.SIGINT, handler)
