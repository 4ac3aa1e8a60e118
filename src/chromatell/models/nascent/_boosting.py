"""Gradient boosting, one model a target, by XGBoost; what comes back are plain arrays."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from chromatell._progress import progress
from chromatell._settings import logger, settings
from chromatell._validate import ChromatellError
from chromatell.models._checkpoint import StateFile, check_same_run, read_state
from chromatell.models._train_config import TrainConfig
from chromatell.models.nascent._config import NascentConfig
from chromatell.models.nascent._trees import Trees, joined_trees, read_booster

_OBJECTIVES = {  # loss -> XGBoost's name, what stops training, and whether that should be small
    "mse": ("reg:squarederror", "rmse", False),
    "logistic": ("binary:logistic", "aucpr", True),
    "hinge": ("binary:hinge", "error", False),
}
Bins = tuple[np.ndarray, np.ndarray]  # features (features, bins) and targets (targets, bins), NaN where unknown


def import_xgboost() -> Any:
    """Return XGBoost, or say how to get it."""
    try:
        import xgboost
    except ImportError as error:
        raise ChromatellError(
            "architecture='xgboost' needs XGBoost to train (a trained model does not): pip install "
            "'chromatell[tracks]'."
        ) from error
    return xgboost


def tree_options(options: NascentConfig) -> dict[str, Any]:
    """Return XGBoost's names of the options."""
    return {
        "max_depth": options.max_depth,
        "min_child_weight": options.min_child_weight,
        "subsample": options.subsample,
        "colsample_bytree": options.colsample,
    }


@dataclass(frozen=True)
class Boosted:
    """One target: its trees, and the losses after each round."""

    trees: Trees
    losses: dict[str, np.ndarray]  # those of 'train' and of 'val'

    def plain(self) -> dict[str, Any]:
        """Return tensors by name, for a state of training."""
        both = {"trees": self.trees.arrays(), "losses": self.losses}
        return {k: {name: torch.from_numpy(array) for name, array in v.items()} for k, v in both.items()}

    @classmethod
    def from_plain(cls, plain: dict[str, Any]) -> Boosted:
        """Take it back."""
        both = {k: {name: tensor.numpy() for name, tensor in plain[k].items()} for k in ("trees", "losses")}
        return cls(Trees(**both["trees"]), both["losses"])


def boost(
    train: Bins,
    val: Bins | None,
    config: TrainConfig,
    options: dict[str, Any],
    *,
    loss: str,
    seed: int,
    device: str,
    state: Path | None = None,
    identity: Callable[[], dict[str, Any]] = dict,
    called: str = "bins",
) -> tuple[Trees, dict[str, list[float]]]:
    """Return trees of every target, and a loss after each round that all of them had, the mean over targets.

    It is the RMSE, with 'logistic' 1 - average precision, with 'hinge' the share of wrong calls. A target of which the
    validation bins have no such loss is grown for all rounds, and is not in the mean of it. `state` is the file
    that a stopped run goes on from, written after each target; `identity` as for `fit_network`; `called` is what a log
    line calls the rows that trees are grown on.
    """
    n = len(train[1])
    own = {} if state is None else identity()
    boosted: list[Boosted] = []
    if state is not None and state.exists():
        kept = read_state(state)
        check_same_run(kept["identity"], own, state)
        boosted = [Boosted.from_plain(target) for target in kept["targets"]]
        rest = "nothing is trained" if len(boosted) == n else "training goes on"
        logger.info(f"{len(boosted)} of {n} targets are in {str(state.parent)!r}: {rest}.")
    if len(boosted) < n:
        logger.info(f"Trees are grown on {train[1].shape[1]:,} {called}, target by target.")
    with progress("Training", total=n, unit="targets") as advance:
        advance(len(boosted))
        for i in range(len(boosted), n):
            parts = {"train": _matrix(train, i)}
            if val is not None and has_loss(val[1][i], loss):
                parts["val"] = _matrix(val, i)
            boosted.append(_boost_one(parts, config, options, loss=loss, seed=seed, device=device))
            if state is not None:
                StateFile().save_checkpoint({"identity": own, "targets": [x.plain() for x in boosted]}, state)
            advance(1)
            name, losses = list(boosted[-1].losses.items())[-1]
            part = "validation" if name == "val" else "training"
            logger.info(f"Trees of target {i + 1} of {n}: lowest {part} loss {losses.min():.4g}.")
    history = {}
    for part, name in (("train", "train_loss"), ("val", "validation_loss")):
        if each := [x.losses[part] for x in boosted if part in x.losses]:
            history[name] = _mean(each)
    return joined_trees([x.trees for x in boosted]), history


def has_loss(y: np.ndarray, loss: str) -> bool:
    """Return whether bins of a target (bins,), NaN where unknown, say when to stop: some known, of classes both."""
    known = y[np.isfinite(y)]
    return known.size > 0 and (loss != "logistic" or known.min() < known.max())


def _boost_one(
    parts: dict[str, Any], config: TrainConfig, options: dict[str, Any], *, loss: str, seed: int, device: str
) -> Boosted:
    objective, metric, high_is_good = _OBJECTIVES[loss]
    base = 0.0 if loss == "hinge" else float(parts["train"].get_label().mean())
    parameters = {
        "objective": objective,
        "eval_metric": metric,
        "tree_method": "hist",
        "eta": config.lr,
        "seed": seed % 2**31,
        "nthread": settings.n_jobs,
        "device": device,
        "verbosity": 0,
        "base_score": base,
        **options,
    }
    log: dict[str, dict[str, list[float]]] = {}
    stop = "val" in parts and config.early_stopping
    booster = import_xgboost().train(
        parameters,
        parts["train"],
        config.max_epochs,
        evals=[(part, k) for k, part in parts.items()],  # the last one decides when to stop
        evals_result=log,
        early_stopping_rounds=config.patience if stop else None,
        verbose_eval=False,
    )
    rounds = booster.best_iteration + 1 if stop else config.max_epochs
    losses = {k: np.array(log[k][metric]) for k in parts}
    losses = {k: 1 - values if high_is_good else values for k, values in losses.items()}
    return Boosted(read_booster(booster, rounds, _margin(loss, float(np.float32(base)))), losses)


def _matrix(part: Bins, i: int) -> Any:
    known = np.isfinite(part[1][i])
    x = part[0] if known.all() else part[0][:, known]
    return import_xgboost().DMatrix(x.T, label=part[1][i][known])


def _mean(lists: list[np.ndarray]) -> list[float]:
    shortest = min(len(x) for x in lists)
    return np.mean([x[:shortest] for x in lists], axis=0).tolist()


def _margin(loss: str, base: float) -> float:
    """Return what the trees add to: of a share its log odds."""
    return float(np.log(base / (1 - base))) if loss == "logistic" else base
